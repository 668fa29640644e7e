"""The world's media as files of Zoom sessions.

A session holds the media of one conversation that were made on one day. A conversation that is named like a
session's id is one session, over all its days.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Final
from uuid import UUID

from mediafs.sandbox.records import COMPLETED, STATUSES, Media
from mediafs.sandbox.world import Selection, World
from mediafs.sandbox.zoom_options import ZoomOptions

DAY_S: Final = 86400
FILE_LENGTH_S: Final = 60
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9+/]{8,}={1,2}", re.ASCII)
_BY_EXTENSION: Final = {
    "vtt": ("TRANSCRIPT", "audio_transcript", "VTT"),
    "txt": ("CHAT", "chat_file", "TXT"),
    "csv": ("CSV", "poll", "CSV"),
    "json": ("TIMELINE", "timeline", "JSON"),
}
_BY_TYPE: Final = {
    "video": ("MP4", "shared_screen_with_speaker_view", "MP4"),
    "audio": ("M4A", "audio_only", "M4A"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One session with the media that a listing shows of it, oldest first."""

    id: str
    name: str
    started_s: int
    media: tuple[Media, ...]


class Sessions:
    """Finds the sessions of a world; it keeps no media, so what changes in the world is seen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, tuple[str, int]] = {}

    def between(self, first_s: int, stop_s: int, options: ZoomOptions) -> list[Session]:
        """The sessions that began, or have a file that began, in [first_s, stop_s); newest first."""
        by_session = options.filter_by == "session"
        lead_s = options.session_lead_days * DAY_S if by_session else 0
        grouped: dict[str, list[Media]] = {}
        for media in self._select((), first_s + lead_s, stop_s + lead_s):
            grouped.setdefault(session_id(media), []).append(media)
        found = []
        for id_, media_of_day in grouped.items():
            conversation, day = media_of_day[0].conversation, _day(media_of_day[0])
            # The bounds are midnights, so a session of one day is whole here.
            session = (
                self._made(id_, conversation, day, options)
                if id_ == conversation
                else _session(id_, conversation, day, media_of_day, options)
            )
            if not by_session or first_s <= session.started_s < stop_s:
                found.append(session)
        return sorted(found, key=lambda session: (-session.started_s, session.id))

    def get(self, wanted: str, options: ZoomOptions) -> Session | None:
        """The session of that id, None where there never was one."""
        if wanted not in self._known:
            for media in self._world:
                self._known[session_id(media)] = (media.conversation, _day(media))
        if wanted not in self._known:
            return None
        return self._made(wanted, *self._known[wanted], options)

    def _made(self, id_: str, conversation: str, day: int, options: ZoomOptions) -> Session:
        whole = id_ == conversation
        first_s, stop_s = (None, None) if whole else (day * DAY_S, (day + 1) * DAY_S)
        media = self._select((("conversation", conversation),), first_s, stop_s)
        return _session(id_, conversation, day, media, options)

    def _select(
        self, facets: tuple[tuple[str, object], ...], first_s: int | None, stop_s: int | None
    ) -> list[Media]:
        selection = Selection(statuses=STATUSES, since_s=first_s, until_s=stop_s, facets=facets)
        return self._world.select(selection, offset=0, limit=len(self._world) + 1, newest_first=False)[1]


def _session(id_: str, name: str, day: int, media: list[Media], options: ZoomOptions) -> Session:
    started_s = media[0].created_s if media else day * DAY_S
    started_s -= options.session_lead_days * DAY_S
    return Session(id=id_, name=name, started_s=started_s, media=tuple(media))


def session_id(media: Media) -> str:
    """The Base64 of a UUID."""
    if _SESSION_ID.fullmatch(media.conversation):
        return media.conversation
    return b64encode(_digest(f"{media.conversation} {_day(media)}")).decode()


def file_id(media: Media, options: ZoomOptions) -> str:
    text = session_id(media) if options.shared_ids else f"file {media.id}"
    return str(UUID(bytes=_digest(text)))


def is_participants(media: Media, options: ZoomOptions) -> bool:
    return options.participant_files and media.media_type == "audio" and media.source_type == "recording"


def session_record(
    session: Session, files: Iterable[Media], options: ZoomOptions, origin: str, deleted: dict[int, float]
) -> dict[str, object]:
    """The object of a listing; *files* are those of the session that it shows, *deleted* says when."""
    records = [file_record(media, options, origin, deleted.get(media.id)) for media in files]
    if options.repeated_entries:
        records = [record for record in records for _ in range(2)]
    return {
        "session_id": session.id,
        "session_name": session.name,
        "start_time": _stamp(session.started_s),
        "duration": 2,
        "total_size": sum(media.filesize or 0 for media in files),
        "recording_count": len(records),
        "recording_files": records,
    }


def file_record(
    media: Media, options: ZoomOptions, origin: str, deleted_s: float | None
) -> dict[str, object]:
    """One recording file; *deleted_s* is when it was put into the trash."""
    file_type, kind, extension = _kind(media)
    record: dict[str, object] = {
        "id": file_id(media, options),
        "session_id": session_id(media),
        "recording_start": _stamp(media.created_s),
        "recording_end": _stamp(media.created_s + FILE_LENGTH_S),
        "file_type": file_type,
        "file_extension": extension,
        "file_size": media.filesize,
        "download_url": f"{origin}/rec/download/{media.id}-{_digest(media.hash).hex()}",
        "status": COMPLETED if media.completed else "processing",
        "recording_type": kind,
    }
    if not options.extensions:
        del record["file_extension"]
    if deleted_s is not None:
        record["deleted_time"] = _stamp(int(deleted_s))
    if is_participants(media, options):
        record |= {
            "file_name": f"Audio only - {media.owner.name}",
            "user_id": str(media.owner.id),
            "user_key": f"key-{media.owner.id}",
        }
    return record


def media_of_download(world: World, name: str) -> Media | None:
    """The media that the last segment of a download_url stands for."""
    number, _, token = name.partition("-")
    media = world.named(number)
    return media if media is not None and token == _digest(media.hash).hex() else None


def _kind(media: Media) -> tuple[str, str, str]:
    extension = media.filename.rpartition(".")[2].lower()
    if media.media_type == "image" and extension not in _BY_EXTENSION:
        return "TB", "thumbnail", extension.upper()
    return _BY_EXTENSION.get(extension) or _BY_TYPE[media.media_type]


def _day(media: Media) -> int:
    return media.created_s // DAY_S


def _digest(text: str) -> bytes:
    return md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()


def _stamp(at_s: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
