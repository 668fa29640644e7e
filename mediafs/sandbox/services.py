"""Which services there are."""

import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mediafs.sandbox.apizee import Apizee
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.service import Service
from mediafs.sandbox.verba import Verba
from mediafs.sandbox.veriff import Veriff
from mediafs.sandbox.vonage import Vonage
from mediafs.sandbox.world import World
from mediafs.sandbox.zoom import Zoom

DEFAULT: Final = "apizee"

SERVICES: Final[Mapping[str, type[Service]]] = MappingProxyType(
    {
        "apizee": Apizee,
        "verba": Verba,
        "veriff": Veriff,
        "vonage": Vonage,
        "zoom": Zoom,
    }
)
"""Name -> twin; each knows the class of its options."""


def made(vendor: str, world: World, options: CommonOptions | None = None) -> Service:
    """The twin of *vendor* over *world*. Raises ValueError for an unknown one, TypeError for options of
    another's.
    """
    if vendor not in SERVICES:
        raise ValueError(f"no vendor is called {vendor}")
    twin = SERVICES[vendor]
    if options is None:
        options = twin.options_type()
    if not isinstance(options, twin.options_type):
        raise TypeError(f"{type(options).__name__} are not the options of {vendor}")
    return twin(world, options, signing_key=secrets.token_bytes(16))
