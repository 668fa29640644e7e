"""A service's own words, made fit for a message of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from ._json import clean

_LINK: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S*|\bwww\.\S+|\S*\?\S+=\S*", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_.~-]{20,}")
"""What may be a token or a key: no word of a language is as long without a break."""
_READ: Final = 4 * 200
"""More than is shown, less than would keep a pattern busy."""
_WORDS: Final = 200
"""The most characters of the service's own words in a message of ours."""


def harmless(text: str, secrets: Iterable[str | None] = ()) -> str:
    """One short line without links, queries, control characters, the given secrets, and whatever else
    may be one: a service may repeat a token that it has just granted."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "...").replace(quote(secret, safe=""), "...")
    text = " ".join(_TOKEN.sub("...", _LINK.sub("...", clean(text[:_READ]))).split())
    return "".join(c for c in text if c.isprintable())[:_WORDS]
