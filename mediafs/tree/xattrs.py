"""Extended attributes: which there are, what they say; never a request.

Capability links and hashes are not here: `cp -a` and `rsync -X` would copy them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Final

from ..errors import Forbidden, NoAttribute, Unsupported, ValueRefused
from ..model import AccountName, Edits, Media
from .names import mime_of

OWN: Final = "user.mediafs."

LISTED: Final = ("title", "description", "id", "vendor", "conversation", "owner", "created", "media_type")
"""What `listxattr` names: small and stable. ext4 holds about 4 KiB, and `rsync -aX` fails beyond it."""

LISTED_BYTES: Final = 3000
"""A longer title or description is readable by name but not listed, so that a copy always fits."""

ALIASES: Final = MappingProxyType(
    {
        "user.xdg.comment": "description",
        "user.dublincore.title": "title",
        "user.dublincore.description": "description",
        "user.dublincore.creator": "owner",
        "user.dublincore.date": "created",
        "user.dublincore.identifier": "id",
        "user.mime_type": "mime_type",
    }
)

EDITABLE: Final = frozenset(
    (
        "title",
        "description",
        "latitude",
        "longitude",
        "metadata_primary",
        "metadata_secondary",
        "mime_type",
        "public",
        "max_downloads_allowed",
    )
)
"""What one service or another can change."""

_NUMBER: Final = re.compile(r"[+-]?\d{1,3}(\.\d{1,15})?", re.ASCII)
_DEGREES: Final = MappingProxyType({"latitude": 90.0, "longitude": 180.0})


def file_values(
    media: Media, account: AccountName, vendor: str, conversations: list[str], cached: Callable[[], int]
) -> dict[str, Callable[[], str | None]]:
    """Attribute names, without their prefix, and how each value is made. None: there is none.

    `cached` tells the bytes that are held on disk.
    """
    created = media.created.astimezone(UTC)
    return {
        "title": lambda: media.title,
        "description": lambda: media.description,
        "latitude": lambda: _number(media.latitude),
        "longitude": lambda: _number(media.longitude),
        "id": lambda: media.id,
        "vendor": lambda: vendor,
        "account": lambda: account,
        "conversation": lambda: ",".join(conversations) or None,
        "owner": lambda: media.owner.name if media.owner else None,
        "owner_id": lambda: media.owner.id if media.owner else None,
        "created": lambda: created.isoformat(timespec="auto").replace("+00:00", "Z"),
        "status": lambda: media.status,
        "media_type": lambda: media.media_type or None,
        "mime_type": lambda: media.mime_type or mime_of(media.filename),
        "source_type": lambda: media.source_type,
        "etag": lambda: media.etag,
        "duration": lambda: _number(media.duration_s),
        "cached": lambda: str(cached()),
        "record": lambda: media.record,
        **{name: partial(str, value) for name, value in media.extra},
    }


def directory_values(complete: bool, listed_s: float | None, error: str | None) -> dict[str, str | None]:
    """`listed_s` is Unix time."""
    listed = datetime.fromtimestamp(listed_s, UTC) if listed_s is not None else None
    return {
        "complete": "true" if complete else "false",
        "listed": listed.isoformat(timespec="seconds").replace("+00:00", "Z") if listed else None,
        "error": error,
    }


def listed_names(values: dict[str, Callable[[], str | None]]) -> tuple[str, ...]:
    """The names that `listxattr` answers with: those that have a value and together fit a disk's limits."""
    room, names = LISTED_BYTES, []
    for name in LISTED:
        value = values[name]()
        if value is None:
            continue
        # An empty value is a value; cp and rsync copy it faithfully.
        size = len(value.encode()) + len(OWN) + len(name)
        if size <= room:
            names.append(OWN + name)
            room -= size
    return tuple(names)


def own_name(name: str) -> str:
    """`user.mediafs.title` or an alias of it as `title`.

    Raises Unsupported outside `user.`, NoAttribute for a `user.` name that is not ours.
    """
    if not name.startswith("user."):
        raise Unsupported(f"no attribute {name}: only user.* attributes are kept here")
    if name.startswith(OWN):
        return name.removeprefix(OWN)
    try:
        return ALIASES[name]
    except KeyError:
        raise NoAttribute(f"no attribute {name}") from None


def editable_name(name: str, editable: Set[str]) -> str:
    """The attribute, without prefix, that is edited under this name.

    Raises Unsupported for what this service cannot change, and Forbidden for what none can.
    """
    if not name.startswith("user."):
        raise Unsupported(f"no attribute {name}: only user.* attributes are kept here")
    short = name.removeprefix(OWN) if name.startswith(OWN) else ALIASES.get(name)
    if short is None:
        raise Forbidden(f"{name} cannot be set: the service has nowhere to keep it")
    if short in editable:
        return short
    if short in EDITABLE:
        raise Unsupported(f"{name} cannot be changed: the service has no way to")
    raise Forbidden(f"{name} cannot be changed: the service sets it")


def edits_of(name: str, value: bytes | None) -> Edits:
    """What is to be changed so that the attribute has this value; None takes it away.

    Raises ValueRefused for what cannot be right, before anything is sent.
    """
    limit = _DEGREES.get(name)
    if value is None:
        # Half a place is none.
        return dict.fromkeys(_DEGREES) if limit else {name: None}
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueRefused(f"{name}: the value is not UTF-8") from None
    if "\0" in text:
        raise ValueRefused(f"{name}: the value holds a NUL character")
    if limit is None:
        return {name: text}
    if not _NUMBER.fullmatch(text.strip()) or abs(float(text)) > limit:
        raise ValueRefused(f"{name}: a number of degrees from -{limit:g} to {limit:g} is needed")
    return {name: text.strip()}


def _number(value: float | None) -> str | None:
    return None if value is None else repr(value)
