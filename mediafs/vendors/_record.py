"""A vendor's record as it may be shown: without secrets and without links that open without a login."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ._json import At, dump

_LINK: Final = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
_SECRET: Final = re.compile(
    r"hash|token|secret|passw|passphrase|signature|api_?key|access_?key|private_?key|authoriz|credential|jwt|cookie"
    r"|^sig$|^auth$|ur[il]$",
    re.IGNORECASE,
)
_SHORTEST: Final = 8
"""Characters that a value under a secret's name needs before other values are searched for it."""
_DEEPEST: Final = 32


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    """Whether a member is named like a secret. Remembered: all records of a service have the same names."""
    return _SECRET.search(key) is not None


def scrubbed(at: At, record: Mapping[str, object]) -> str:
    """The JSON of `record` without members that are links or are named like a secret.

    A string elsewhere that repeats a removed secret goes too: a link may be built from it.
    Raises InvalidReply where the record is nested more deeply than any record is.
    """
    secrets = frozenset(
        value
        for key, value in record.items()
        if isinstance(value, str) and len(value) >= _SHORTEST and _is_secret(key)
    )
    return dump(_scrub(at, dict(record), secrets, 0))


def _scrub(at: At, value: object, secrets: frozenset[str], depth: int) -> object:
    if depth > _DEEPEST:
        at.refuse("the record is nested too deeply")
    if isinstance(value, dict):
        return {
            key: _scrub(at, member, secrets, depth + 1) if isinstance(member, dict | list) else member
            for key, member in value.items()
            if not _is_secret(key) and not _links(member, secrets)
        }
    if isinstance(value, list):
        return [_scrub(at, member, secrets, depth + 1) for member in value if not _links(member, secrets)]
    return value


def _links(value: object, secrets: frozenset[str]) -> bool:
    if not isinstance(value, str):
        return False
    return ("//" in value and _LINK.match(value) is not None) or any(secret in value for secret in secrets)
