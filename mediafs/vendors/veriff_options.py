"""What a Veriff account is configured with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

SESSION_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
"""A UUID in lower case, as every sample shows it: one session is one folder, never two by letter case."""
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")


def session_id(text: str) -> str | None:
    """The id of a session as somebody wrote it down; None where it cannot be one."""
    found = text.strip().lower()
    return found if SESSION_ID.fullmatch(found) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class VeriffOptions:
    """One integration of the vendor's Customer Portal.

    Raises ValueError, without the value, for what cannot work.
    """

    base_url: str = "https://stationapi.veriff.com"
    """The integration's own base URL, without `/v1`."""
    api_key: str = field(repr=False)
    """The integration's API key, which the documentation also calls token, public or publishable key."""
    shared_secrets: tuple[str, ...] = field(repr=False)
    """The keys of signatures, newest first: while a secret is being rotated two are active."""
    sessions: Callable[[], Sequence[str]] = tuple
    """Which sessions there are, as of now: no service lists them. Those of the configuration and those
    that were looked up; asked at every page of a listing."""

    def __post_init__(self) -> None:
        split = urlsplit(self.base_url)
        if split.scheme not in ("http", "https") or not split.hostname:
            raise ValueError("base_url: an address such as https://stationapi.veriff.com is needed")
        if split.query or split.fragment or split.username is not None:
            raise ValueError("base_url: neither query, fragment nor credentials belong in it")
        if not _HEADER_SAFE.fullmatch(self.api_key):
            raise ValueError("api_key: it is empty or holds a character that no header can carry")
        if isinstance(self.shared_secrets, str) or not self.shared_secrets:
            raise ValueError("shared_secret: at least one is needed")
        for secret in self.shared_secrets:
            # What ends in a line break came out of a file: as a key it signs nothing that is accepted.
            if not secret or secret != secret.strip() or not _is_text(secret):
                raise ValueError("shared_secret: it is empty, has blanks around it, or is no text")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
