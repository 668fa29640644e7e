"""What each API says: one module a vendor, free of I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from .apizee import Apizee
from .protocol import Vendor
from .verba import Verba
from .veriff import Veriff
from .vonage import Vonage
from .zoom import Zoom

VENDORS: Final[Mapping[str, Callable[..., Vendor]]] = MappingProxyType(
    {
        "apizee": Apizee,
        "verba": Verba,
        "veriff": Veriff,
        "vonage": Vonage,
        "zoom": Zoom,
    }
)
"""Name -> class; each is made from the options of its own module."""
