"""A loopback server that behaves like the Apizee Media API v3, for tests, ``mediafs demo`` and ``mediafs
sandbox``.

It imports nothing of mediafs outside this package, so that one misunderstanding cannot be on both sides of
the wire.
"""

from mediafs.sandbox.command import main
from mediafs.sandbox.faults import Fault, Kind
from mediafs.sandbox.media import BytesBody, NoiseBody
from mediafs.sandbox.options import Options
from mediafs.sandbox.records import Media, Owner
from mediafs.sandbox.server import serve
from mediafs.sandbox.state import Exchange, Server
from mediafs.sandbox.world import Selection, World

__all__ = [
    "BytesBody",
    "Exchange",
    "Fault",
    "Kind",
    "Media",
    "NoiseBody",
    "Options",
    "Owner",
    "Selection",
    "Server",
    "World",
    "main",
    "serve",
]
