"""A loopback server that behaves like a vendor's API, for tests, ``mediafs demo`` and ``mediafs
sandbox``.

It imports nothing of mediafs outside this package, so that one misunderstanding cannot be on both sides of
the wire.
"""

from mediafs.sandbox.apizee_options import ApizeeOptions as Options
from mediafs.sandbox.command import main
from mediafs.sandbox.faults import Fault, Kind
from mediafs.sandbox.media import BytesBody, NoiseBody
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.records import Media, Owner
from mediafs.sandbox.server import serve
from mediafs.sandbox.service import Service
from mediafs.sandbox.services import SERVICES
from mediafs.sandbox.state import Exchange, Server
from mediafs.sandbox.world import Selection, World

__all__ = [
    "SERVICES",
    "BytesBody",
    "CommonOptions",
    "Exchange",
    "Fault",
    "Kind",
    "Media",
    "NoiseBody",
    "Options",
    "Owner",
    "Selection",
    "Server",
    "Service",
    "World",
    "main",
    "serve",
]
