"""Attempts and media of a Veriff session, as the vendor's pages show them.

A record of a media has no date (`timestamp` is deprecated and always null), so it takes that of its
attempt. Of a session's decision, which has more dates and the person's data, nothing is fetched.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Final

from ..model import EARLIEST, LATEST, ConversationId, Media, MediaId
from ._json import At
from ._record import scrubbed

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", re.ASCII)
"""Documented as a UUID; anything that is safe as one segment of a path is taken."""
_UUID4: Final = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4})-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_SUBTYPE: Final = re.compile(r"[a-z0-9]{1,8}", re.ASCII)

_KINDS: Final = (("images", "image", "jpg"), ("videos", "video", "webm"), ("nfcDocuments", "nfc", "json"))
"""The lists of a reply, the word for one of each, and the extension where no type is told: the types
that the vendor's page on `/v1/media/{id}` names first."""
_EXTENSIONS: Final = MappingProxyType(
    {
        "image/jpeg": "jpg",
        "image/svg+xml": "svg",
        "video/quicktime": "mov",
        "video/x-matroska": "mkv",
        "text/plain": "txt",
    }
)
"""Where the extension is not simply the second half of the type."""


class Dated(Enum):
    """Where the time of an attempt comes from."""

    ATTEMPT = "attempt"
    NEIGHBOUR = "another-attempt"
    """From the next older attempt that has one, else the next newer."""
    NOTHING = "nothing"
    """No attempt of the session tells any: the very first day stands in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a person to be verified. `id` None: it is not known which one it was."""

    id: str | None
    created: datetime
    dated: Dated


UNKNOWN: Final = Attempt(id=None, created=EARLIEST, dated=Dated.NOTHING)


def attempts_of(root: At) -> tuple[Attempt, ...]:
    """The attempts of a session, oldest first; the service lists the newest first.

    `createdTime` is missing on some rows of the vendor's own sample, which also has one attempt twice.
    An older neighbour goes before a newer one: no attempt that is yet to come can change it.
    """
    check_success(root)
    times: dict[str, datetime | None] = {}
    for row in root["verifications"].items():
        id = _id(row["id"])
        created = row["createdTime"]
        moment = None if created.value in (None, "") else _bounded(created.moment())
        times[id] = times.get(id) or moment
    ids, known = list(times)[::-1], list(times.values())[::-1]
    return tuple(
        Attempt(id=id, created=moment, dated=Dated.ATTEMPT)
        if moment is not None
        else _undated(id, known[:index], known[index + 1 :])
        for index, (id, moment) in enumerate(zip(ids, known, strict=True))
    )


def _undated(id: str, older: list[datetime | None], newer: list[datetime | None]) -> Attempt:
    for moment in (*reversed(older), *newer):
        if moment is not None:
            return Attempt(id=id, created=moment, dated=Dated.NEIGHBOUR)
    return Attempt(id=id, created=EARLIEST, dated=Dated.NOTHING)


def media_of(root: At, session: ConversationId, attempt: Attempt) -> Iterator[tuple[Media, str | None]]:
    """Every media of an attempt with the `url` of its record. Unknown fields are ignored; a field of the
    wrong type, or a reply without any list, is refused: a session must not look empty by mistake."""
    check_success(root)
    lists = [(root[key], kind, extension) for key, kind, extension in _KINDS if root[key].value is not None]
    if not lists:
        root.refuse("there is no list of media")
    for found, kind, extension in lists:
        for at in found.items():
            yield _media(at, kind, extension, session, attempt), at["url"].text()


def _media(at: At, kind: str, extension: str, session: ConversationId, attempt: Attempt) -> Media:
    record = at.mapping()
    id = _id(at["id"])
    context, name = at["context"].text(), at["name"].text()
    mime_type = (at["mimetype"].text() or "").partition(";")[0].strip().lower() or None
    if mime_type == "image/jpg":  # documented beside image/jpeg, and no registered type
        mime_type = "image/jpeg"
    duration_s = at["duration"].number()
    shown = context or name or ""
    extra = (("attempt", attempt.id), ("context", shown), ("dated_by", attempt.dated.value))
    return Media(
        id=MediaId(id),
        created=attempt.created,
        filename=f"{_stem(shown) or kind}-{_short(id)}.{_extension(mime_type) or extension}",
        filename_is_unique=True,
        # A size of 0 would be copied as an empty file without a word: unknown until it is read.
        size=at["size"].whole() or None,
        media_type=kind,
        mime_type=mime_type,
        conversation=session,
        duration_s=duration_s if duration_s is not None and duration_s >= 0 else None,
        extra=tuple((key, value) for key, value in extra if value),
        record=scrubbed(at, record),
    )


def check_success(root: At) -> None:
    """Refuses a reply that words a failure as 200."""
    status = root["status"]
    if isinstance(status.value, str) and status.value.lower() != "success":
        status.refuse("the service says that it failed")


def _stem(text: str) -> str:
    """The context as the beginning of a file name: `document-front`, `face-pre`..."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:48].strip("-")


def _short(id: str) -> str:
    """Enough of an id that names are unique by it: 48 bits, of a random UUID its first two groups."""
    found = _UUID4.fullmatch(id)
    return found[1] if found else hashlib.sha256(id.encode()).hexdigest()[:12]


def _extension(mime_type: str | None) -> str | None:
    if mime_type is None:
        return None
    subtype = mime_type.rpartition("/")[2]
    return _EXTENSIONS.get(mime_type) or (subtype if _SUBTYPE.fullmatch(subtype) else "bin")


def _bounded(moment: datetime) -> datetime:
    return min(max(moment, EARLIEST), LATEST)


def _id(at: At) -> str:
    text = at.text()
    if text is None or not ID.fullmatch(text):
        at.refuse("this cannot be an id")
    return text
