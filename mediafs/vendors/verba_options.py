"""What a Verba account is configured with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final
from urllib.parse import urlsplit

CALL_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}", re.ASCII)
"""`ccdr_id` is a GUID; anything else that is plain is taken. Without a colon: those are live names."""
EXTENSION: Final = re.compile(r"\+?[0-9*#]{1,32}|[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,128}", re.ASCII)
"""A number as it is dialled, or an address such as `alice@example.org`."""
FIELD_ID: Final = re.compile(r"[A-Za-z0-9_-]{3,128}", re.ASCII)
"""The vendor's page on its metadata designer: letters, digits, `_`, `-`, 3 to 128 of them."""
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")

RESERVED: Final = frozenset(
    (
        # What mediafs says of every media under `user.mediafs.`...
        *("account", "cached", "conversation", "created", "description", "duration", "etag", "latitude"),
        *("listed", "longitude", "media_type", "mime_type", "owner", "owner_id", "record", "source_type"),
        *("status", "title", "vendor", "complete", "error"),
        # ... of every call, and what the requests themselves are made of.
        *("direction", "source", "destination", "meeting"),
        *("action", "apikey", "token", "callid", "responsetype", "extension", "username", "password"),
        *("platformcallid", "nativeid", "meetingid", "returnmetadata", "ccdr_id"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbaOptions:
    """One account. Raises ValueError, without the value, for what cannot work."""

    base_url: str
    """Such as `https://recorder.example/verba`: there is no address that would do for all."""
    api_key: str = field(repr=False)
    username: str | None = field(default=None, repr=False)
    """Of the API user; None: the key needs no login, and no token is asked for."""
    password: str | None = field(default=None, repr=False)
    extensions: tuple[str, ...] = ()
    """Whose live names are offered, and who counts as the recorded side of a call."""
    calls: tuple[str, ...] | Callable[[], Sequence[str]] = ()
    """Ids of calls, or of meetings, that are listed where the service is not to be searched; a function
    gives them as of now, and is asked at every page of a listing."""
    search: bool = False
    """SearchCalls may be used: by-date and by-user show all that the API user may see."""
    metadata_fields: tuple[str, ...] = ()
    """Ids of fields of a Metadata Template with API access: they become attributes that can be set."""
    zone: tzinfo = UTC
    """The API user's time zone: that of every time in a reply, and in a question."""

    def __post_init__(self) -> None:
        split = urlsplit(self.base_url)
        if split.scheme not in ("http", "https") or not split.hostname:
            raise ValueError("base_url: an address such as https://recorder.example/verba is needed")
        if split.query or split.fragment or split.username is not None:
            raise ValueError("base_url: neither query, fragment nor credentials belong in it")
        if not _HEADER_SAFE.fullmatch(self.api_key):
            raise ValueError("api_key: it is empty or holds a character that no key has")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.username is not None and (not self.username or not self.password):
            raise ValueError("username and password must not be empty")
        if self.username is not None and ":" in self.username:
            raise ValueError("username: a login can hold no colon")
        for extension in self.extensions:
            if not EXTENSION.fullmatch(extension):
                raise ValueError(f"extensions: {extension[:64]!r} is neither a number nor an address")
        if isinstance(self.calls, tuple):
            self.named_calls()
        for name in self.metadata_fields:
            if not FIELD_ID.fullmatch(name):
                raise ValueError(
                    f"metadata_fields: {name[:64]!r} cannot be the id of a field"
                    " (3 to 128 letters, digits, _ or -)"
                )
            if name.lower() in RESERVED:
                raise ValueError(f"metadata_fields: {name!r} has a meaning of its own here")
        if len(set(self.metadata_fields)) < len(self.metadata_fields):
            raise ValueError("metadata_fields: each only once")

    def named_calls(self) -> list[str]:
        """Each once. Raises ValueError: to leave one out without a word would look like a deletion."""
        named = self.calls if isinstance(self.calls, tuple) else self.calls()
        found = list(dict.fromkeys(call.strip() for call in named))
        for call in found:
            if not CALL_ID.fullmatch(call):
                raise ValueError(f"calls: {call[:64]!r} cannot be the id of a call")
        return found

    @property
    def replies_in(self) -> tzinfo:
        """In which zone the service words times: the API user's with a token, else GMT (the vendor's page
        on API authentication)."""
        return self.zone if self.username is not None else UTC
