"""What each API says: one module a vendor, free of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from . import apizee, verba, veriff, vonage, zoom
from .account import AccountSpec

VENDORS: Final[Mapping[str, AccountSpec]] = MappingProxyType(
    {
        "apizee": apizee.ACCOUNT,
        "vonage": vonage.ACCOUNT,
        "zoom": zoom.ACCOUNT,
        "veriff": veriff.ACCOUNT,
        "verba": verba.ACCOUNT,
    }
)
"""What an account of each is configured with, and how it is made."""
