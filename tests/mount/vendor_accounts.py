"""What is particular to each vendor's account where it is mounted: its address, and what it logs in with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final

from mediafs.sandbox.testing import Box

from .mounting import Mount, mounted, prepared

PATHS: Final = MappingProxyType({"zoom": "/v2", "verba": "/verba"})
"""What base_url has behind the origin."""

KEYS: Final = MappingProxyType(
    {
        "vonage": ("application_id", "private_key"),
        "zoom": ("api_key", "api_secret"),
        "veriff": ("api_key", "shared_secret"),
        "verba": ("api_key", "username", "password"),
    }
)
"""The keys of the configuration that the sandbox's credentials are for."""


def vendor_url(box: Box) -> str:
    return box.url + PATHS.get(box.vendor, "")


def vendor_lines(box: Box, *lines: str) -> list[str]:
    """The account's credentials as lines of its configuration, and then `lines`."""
    # A JSON text is a TOML text.
    return [f"{key} = {json.dumps(box.credentials[key])}" for key in KEYS.get(box.vendor, ())] + [*lines]


def prepared_vendor(box: Box, lines: Sequence[str] = ()) -> AbstractContextManager[Mount]:
    """`prepared`, for the account of any vendor's sandbox."""
    return prepared(vendor_url(box), vendor=box.vendor, lines=vendor_lines(box, *lines))


def mounted_vendor(box: Box, *arguments: str, lines: Sequence[str] = ()) -> AbstractContextManager[Mount]:
    """`mounted`, for the account of any vendor's sandbox."""
    options: dict[str, Any] = {"vendor": box.vendor, "lines": vendor_lines(box, *lines)}
    return mounted(vendor_url(box), *arguments, **options)
