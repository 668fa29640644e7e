"""One record of the Apizee Media API v3, as its public page shows it."""

from __future__ import annotations

import re
from typing import Final

from ..model import EARLIEST, LATEST, Media, MediaId, Owner, UserId
from ._json import At
from ._record import scrubbed

MEDIA_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}", re.ASCII)
"""Documented as an integer; anything that is safe as one segment of a path is taken."""
_UNIQUE_NAME: Final = re.compile(r"media-[A-Za-z0-9]{8,}-\d+(\.\w{1,5})?", re.ASCII)
_OWNER_ID: Final = re.compile(r".{1,256}", re.DOTALL)


def media_of(at: At) -> Media:
    """One record. Unknown fields are ignored; a field of the wrong type refuses it."""
    record = at.mapping()
    filename = at["filename"].text() or ""
    latitude = longitude = None
    geoloc = at["geoloc"]
    if geoloc.value not in (None, []):  # PHP writes an empty object as []
        latitude, longitude = geoloc["lat"].number(), geoloc["lng"].number()
    return Media(
        id=MediaId(_id(at["id"], MEDIA_ID)),
        created=min(max(at["created"].moment(), EARLIEST), LATEST),
        filename=filename,
        filename_is_unique=_UNIQUE_NAME.fullmatch(filename) is not None,
        # 0 is what a record says while its file is being made: an empty file would be copied without a
        # word, so the size counts as unknown until it is read.
        size=at["filesize"].whole() or None,
        media_type=at["media_type"].text() or "",
        title=at["title"].text(),
        description=at["description"].text(),
        owner=_owner(at["owner"]),
        status=at["status"].text(),
        source_type=at["source_type"].text(),
        latitude=latitude,
        longitude=longitude,
        record=scrubbed(at, record),
    )


def _owner(at: At) -> Owner | None:
    if at.value in (None, []) or at["id"].value in (None, ""):
        return None
    name = at["name"].text()
    return Owner(
        id=UserId(_id(at["id"], _OWNER_ID)),
        name=name if name and name.strip() else None,
    )


def _id(at: At, shape: re.Pattern[str]) -> str:
    """An id, which the documentation shows as an integer."""
    text = str(at.whole()) if isinstance(at.value, int | float) else at.text()
    if text is None or not shape.fullmatch(text):
        at.refuse("this cannot be an id")
    return text
