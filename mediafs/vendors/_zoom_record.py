"""The files of a Video SDK session, as listings and the session's own page show them.

A record has no file name, title or MIME type. Its `file_extension` is missing in some replies, and its id
in others: the sample of the seed repeats one id, and the sister API for meetings documents that files of the
types CC and TIMELINE have neither id, status, size nor recording_type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Self

from ..errors import NotFound
from ..model import EARLIEST, LATEST, ConversationId, Media, MediaId
from ._json import At, dump
from ._record import scrubbed

NAME: Final = "zoom"
COMPLETED: Final = "completed"
"""The only status that is documented; CC and TIMELINE files have none."""
TRASHED: Final = "trashed"
"""Our own word: the status of a media that a listing of the trash showed."""
NO_FILE_ID: Final = "-"
FARTHEST: Final = timedelta(days=31)
"""A recording begins while its session lasts. One that claims to be farther from its session's start than
this has a date that is none, and is found by its session's."""

SESSION_ID: Final = re.compile(r"(?!\.+$)[\x21-\x39\x3b-\x7e]{1,200}")
"""Base64 as a rule. No colon, which divides a media's id, and not all dots, which a path resolves away."""
_FILE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_=+-]{0,127}", re.ASCII)
"""A UUID as a rule. Without a dot or slash: an empty segment or `..` would name the whole session."""
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_MEDIA_ID: Final = re.compile(
    r"(?P<session>[^:\s]{1,200}):(?P<file>-|[A-Za-z0-9][A-Za-z0-9_=+-]{0,127}):\d{8}T\d{6}Z:[\w.()-]{1,80}",
    re.ASCII,
)
_LISTS: Final = ("recording_files", "participant_audio_files", "participant_video_files")

_EXTENSION: Final = MappingProxyType(
    {
        "mp4": "mp4",
        "m4a": "m4a",
        "chat": "txt",
        "chat_message": "txt",
        "transcript": "vtt",
        "cc": "vtt",
        "csv": "csv",
        "timeline": "json",
        "summary": "json",
        "tb": "jpg",
    }
)
"""By `file_type`, for replies without `file_extension`."""
_MIME: Final = MappingProxyType(
    {
        "mp4": "video/mp4",
        "m4a": "audio/mp4",
        "txt": "text/plain",
        "vtt": "text/vtt",
        "csv": "text/csv",
        "json": "application/json",
        "jpg": "image/jpeg",
        "png": "image/png",
    }
)


@dataclass(frozen=True, slots=True)
class Key:
    """What finds a media again: its session, and its file there where that has an id."""

    session: str
    file: str | None

    @classmethod
    def of(cls, media: MediaId) -> Self:
        """Raises NotFound for what is no id of this vendor's."""
        found = _MEDIA_ID.fullmatch(media)
        if found is None or not SESSION_ID.fullmatch(found["session"]):
            raise NotFound(f"{NAME}: that cannot be the id of a media")
        return cls(found["session"], None if found["file"] == NO_FILE_ID else found["file"])


@dataclass(frozen=True, slots=True)
class Session:
    """One session of a reply: its finished files, and the day that it began on, where it says so."""

    at: At
    id: str | None
    began: datetime | None
    media: tuple[Media, ...]
    files: int
    """Files that the reply lists, unfinished and repeated ones too."""


def session_of(at: At, *, trashed: bool = False) -> Session:
    """One session of a listing, or one file where the listing is of files.

    A file that is not finished is left out unread; any other that cannot be read refuses the reply.
    """
    facts = at.mapping()
    if not any(name in facts for name in _LISTS) and "download_url" in facts:
        media = _media_of(at, at, None, trashed)
        return Session(at, _session_id(at, at), None, () if media is None else (media,), 1)
    began = _moment(at["start_time"])
    found: dict[MediaId, Media] = {}
    known: set[tuple[str, datetime]] = set()
    count = 0
    for name in _LISTS:
        each = at[name]
        for item in each.items() if each.value is not None else ():
            count += 1
            media = _media_of(item, at, began, trashed)
            if media is None:
                continue
            file = Key.of(media.id).file
            # A participant's file may be among the others as well, there with its type.
            if name != _LISTS[0] and file is not None and (file, media.created) in known:
                continue
            if file is not None:
                known.add((file, media.created))
            found[media.id] = media
    id_ = _session_id(at, at) if found or "session_id" in facts else None
    return Session(at, id_, began, tuple(found.values()), count)


def sessions_in(root: At, *, trashed: bool = False) -> Iterator[Session]:
    """The sessions of a listing: `{"sessions": [..]}`, or one bare session, as the seed shows it.

    Raises InvalidReply for what is neither: nothing is taken for an empty listing that does not say so.
    """
    facts = root.mapping()
    if "sessions" in facts:
        listed = root["sessions"]
        for item in listed.items() if listed.value is not None else ():
            yield session_of(item, trashed=trashed)
    elif facts.get("session_id") or any(facts.get(name) for name in _LISTS):
        yield session_of(root, trashed=trashed)
    elif root["total_records"].whole() != 0:
        root.refuse("there are neither sessions nor a session in it")


def shared_file_ids(sessions: list[Session]) -> set[str]:
    """`session:file` of every file id that stands for several media: one cannot be meant alone."""
    seen: dict[str, MediaId] = {}
    shared: set[str] = set()
    for session in sessions:
        for media in session.media:
            key = Key.of(media.id)
            if key.file is not None and seen.setdefault(f"{key.session}:{key.file}", media.id) != media.id:
                shared.add(f"{key.session}:{key.file}")
    return shared


def _media_of(at: At, session: At, began: datetime | None, trashed: bool) -> Media | None:
    record = at.mapping()
    if (at["status"].text() or COMPLETED).strip().lower() != COMPLETED:
        return None
    session_id = _session_id(at, session)
    file_id = _file_id(at["id"])
    created = _created(at, began)
    file_type = _word(at["file_type"].text())
    kind = _word(at["recording_type"].text())
    what = ".".join(part for part in (kind, file_type) if part) or "file"
    id_ = MediaId(f"{session_id}:{file_id}:{created.strftime(_STAMP)}:{what}")
    extension = _extension(at["file_extension"].text()) or _EXTENSION.get(file_type) or _extension(file_type)
    extension = extension or "bin"
    mime_type = _MIME.get(extension)
    digest = sha256(id_.encode()).hexdigest()[:8]
    ended = _moment(at["recording_end"])
    duration_s = (ended - created).total_seconds() if ended is not None and ended > created else None
    # `id_` holds what tells two files apart and nothing that changes, and the name holds a hash of it.
    return Media(
        id=id_,
        created=created,
        filename=f"{created:%Y-%m-%d_%H-%M-%S}_{kind or file_type or 'file'}_{digest}.{extension}",
        filename_is_unique=True,
        size=at["file_size"].whole() or None,
        media_type=(mime_type or "").partition("/")[0],
        mime_type=mime_type,
        title=at["file_name"].text() or None,
        conversation=ConversationId(session_id),
        conversation_name=(session["session_name"].text() or "").strip() or None,
        status=TRASHED if trashed else COMPLETED,
        source_type=kind or None,
        duration_s=duration_s,
        extra=_extra(at, session),
        locator=at["download_url"].text() or None,
        record=scrubbed(at, record),
    )


def untrashed(media: Media) -> Media:
    """The record of a media of the trash as it is out of it."""
    record = json.loads(media.record)
    record.pop("deleted_time", None)
    extra = tuple(pair for pair in media.extra if pair[0] != "deleted")
    return replace(media, status=COMPLETED, extra=extra, record=dump(record))


def _created(at: At, began: datetime | None) -> datetime:
    created = _moment(at["recording_start"])
    if created is None and began is None:
        created = at["recording_start"].moment()  # says what is wrong with it
    if began is not None and (created is None or abs(created - began) > FARTHEST):
        created = began
    assert created is not None
    return min(max(created, EARLIEST), LATEST).replace(microsecond=0)


def _moment(at: At) -> datetime | None:
    return None if at.value in (None, "") else at.moment().astimezone(UTC)


def _session_id(at: At, session: At) -> str:
    """The session's id, which its files may repeat (seed) or tell alone."""
    own, of_session = at["session_id"].text(), session["session_id"].text()
    id_ = of_session or own
    if id_ is None or not SESSION_ID.fullmatch(id_):
        session["session_id"].refuse("this cannot be the id of a session")
    if own and own != id_:
        at["session_id"].refuse("a file of another session stands in this one")
    return id_


def _file_id(at: At) -> str:
    text = str(at.whole()) if isinstance(at.value, int) else at.text()
    if not text:
        return NO_FILE_ID
    if not _FILE_ID.fullmatch(text):
        at.refuse("this cannot be the id of a file")
    return text


def _word(text: str | None) -> str:
    """A word of the service's as a part of a name."""
    return re.sub(r"[^a-z0-9_()-]", "_", (text or "").strip().lower())[:36]


def _extension(text: str | None) -> str:
    found = re.fullmatch(r"\.?([a-z0-9]{1,8})", (text or "").strip().lower(), re.ASCII)
    return found[1] if found else ""


def _extra(at: At, session: At) -> tuple[tuple[str, str], ...]:
    found = (
        ("recording_type", at["recording_type"].text()),
        ("session_key", session["session_key"].text()),
        ("participant", _plain(at["user_key"]) or _plain(at["user_id"])),
        ("deleted", at["deleted_time"].text()),
    )
    return tuple((name, value) for name, value in found if value)


def _plain(at: At) -> str | None:
    return str(at.value) if isinstance(at.value, int) and not isinstance(at.value, bool) else at.text()


def is_media_id(text: str) -> bool:
    return _MEDIA_ID.fullmatch(text) is not None
