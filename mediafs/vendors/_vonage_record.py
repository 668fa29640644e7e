"""One record of the Vonage Media API v3, in either of its two published forms.

The vendor's specification (1.0.2) writes `media_size` and ISO 8601; its older reference, and the
service of that time, `mediaSize` and milliseconds since 1970. Which of them answers is not known.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from ..model import EARLIEST, LATEST, Media, MediaId
from ._json import At
from ._record import scrubbed

MEDIA_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", re.ASCII)
"""Documented as a UUID; anything that is safe as one segment of a path is taken. Without a dot: what
desktops probe for is `Thumbs.db`."""
OLD_NAMES: Final = {
    "title": "title",
    "description": "description",
    "metadata_primary": "metadataPrimary",
    "metadata_secondary": "metadataSecondary",
    "mime_type": "mimeType",
    "public": "publicItem",
    "max_downloads_allowed": "maxDownloadsAllowed",
    "original_file_name": "originalFileName",
    "media_size": "mediaSize",
    "times_downloaded": "timesDownloaded",
    "time_created": "timeCreated",
}
EDITABLE: Final = tuple(OLD_NAMES)[:7]
"""All that the vendor lets be changed, by the specification's names."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM: Final = 1e11
"""Smaller numbers would be milliseconds of before 1974: they are taken for seconds."""
_DIGITS: Final = re.compile(r"\d{1,15}", re.ASCII)


def media_of(at: At) -> Media:
    """One record. Unknown fields are ignored; a field of the wrong type refuses it."""
    record = at.mapping()
    told = shown(at)
    allowed, downloaded = told.get("max_downloads_allowed"), _count(_member(at, "times_downloaded"))
    # The samples show 0 where "unlimited when not provided" is meant.
    limit = int(allowed or 0)
    extra = [(name, told.get(name)) for name in EDITABLE[2:] if name != "mime_type"]
    if downloaded is not None:
        extra.append(("times_downloaded", str(downloaded)))
    if limit:
        extra.append(("downloads_left", str(max(0, limit - (downloaded or 0)))))
    return Media(
        id=MediaId(media_id(at)),
        created=min(max(_moment(_member(at, "time_created")), EARLIEST), LATEST),
        filename=_member(at, "original_file_name").text() or "",
        size=_member(at, "media_size").whole() or None,
        mime_type=told.get("mime_type") or None,
        title=told.get("title"),
        description=told.get("description"),
        # Opaque: it looks like an MD5, and nothing says so.
        etag=(at["etag"].text() or "").removeprefix("W/").strip('"') or None,
        extra=tuple((name, value) for name, value in extra if value),
        download_once=limit > 0,
        record=scrubbed(at, record),
    )


def media_id(at: At) -> str:
    """The record's id. Raises InvalidReply for what no path could carry."""
    text = at["id"].text()
    if text is None or not MEDIA_ID.fullmatch(text):
        at["id"].refuse("this cannot be an id")
    return text


def shown(at: At) -> dict[str, str | None]:
    """What can be changed, as far as the record shows it, as text; null where it shows that there is none.

    `title` and `description` are in no published record of the service, only in a type of the
    vendor's SDK: null there counts as not shown.
    """
    found: dict[str, str | None] = {}
    for name in EDITABLE:
        if not (at.has(name) or at.has(OLD_NAMES[name])):
            continue
        member = _member(at, name)
        match name:
            case "public":
                found[name] = _flag(member)
            case "max_downloads_allowed":
                count = _count(member)
                found[name] = None if count is None else str(count)
            case "title" | "description" if member.value is None:
                pass
            case _:
                found[name] = member.text()
    return found


def _member(at: At, name: str) -> At:
    """The member `name` in the spelling that has a value."""
    old = OLD_NAMES[name]
    return at[old] if at[name].value is None and at[old].value is not None else at[name]


def _flag(at: At) -> str | None:
    if at.value is None:
        return None
    text = str(at.value).lower() if isinstance(at.value, bool) else at.text()
    if text not in ("true", "false"):
        at.refuse("true or false was expected")
    return text


def _count(at: At) -> int | None:
    """A count; below 0 is a way to say that there is no limit."""
    value = at.value
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        return 0
    return at.whole()


def _moment(at: At) -> datetime:
    """A time in either form, in UTC."""
    value = at.value
    if isinstance(value, bool) or not (
        isinstance(value, int | float) or (isinstance(value, str) and _DIGITS.fullmatch(value))
    ):
        return at.moment()
    number = at.number() or 0.0
    made: datetime | None = None
    with suppress(OverflowError):
        made = _EPOCH + timedelta(milliseconds=number if number >= _MILLISECONDS_FROM else number * 1000)
    if made is None:
        at.refuse("there is no such date and time")
    return made
