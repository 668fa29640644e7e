"""What an Apizee account is configured with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Final
from urllib.parse import urlsplit

_RESERVED: Final = frozenset({"status", "offset", "limit", "since", "until", "search", "orderby", "order"})
_PARAMETER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.\[\]-]{0,63}", re.ASCII)
HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApizeeFilters:
    """Query names that the vendor's public page lost."""

    conversation: str = "conversation_id"
    user: str = "user_id"
    group: str = "group_id"
    tag: str = "tag"
    source: str = "source_type"

    def __post_init__(self) -> None:
        names = [getattr(self, each.name) for each in fields(self)]
        for name in names:
            if not _PARAMETER.fullmatch(name) or name in _RESERVED:
                raise ValueError(f"filters: {name[:64]!r} cannot be the name of a filter")
        if len(set(names)) < len(names):
            raise ValueError("filters: each needs a name of its own")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApizeeOptions:
    """One account: a token, or a user name with a password.

    Raises ValueError, without the value, for what cannot work.
    """

    base_url: str = "https://cloud.apizee.com"
    token: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    user: str | None = None
    """Whose media: a user's id, or `all` for the enterprise (an administrator's token). None: the
    token's own user."""
    filters: ApizeeFilters = field(default_factory=ApizeeFilters)

    def __post_init__(self) -> None:
        split = urlsplit(self.base_url)
        if split.scheme not in ("http", "https") or not split.hostname:
            raise ValueError("base_url: an address such as https://cloud.apizee.com is needed")
        if split.query or split.fragment or split.username is not None:
            raise ValueError("base_url: neither query, fragment nor credentials belong in it")
        if (self.token is None) == (self.username is None and self.password is None):
            raise ValueError("either token, or username and password, is needed")
        if self.token is None and not (self.username and self.password):
            raise ValueError("username and password belong together")
        if self.token is not None and not HEADER_SAFE.fullmatch(self.token):
            raise ValueError("token: it is empty or holds a character that no header can carry")
        if self.user is not None and not self.user.strip():
            raise ValueError("user: an id, or all")
