"""The world as Veriff shows it: conversations are sessions, and their media are spread over attempts.

Every id is a UUID made from the world's own name of the thing, so that the same world has the same ids.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mediafs.sandbox.records import Media
from mediafs.sandbox.veriff_options import VeriffOptions
from mediafs.sandbox.world import Selection, World

IMAGE_CONTEXTS: Final = (
    "document-front",
    "document-back",
    "face",
    "document-and-face",
    "document-front-pre",
    "face-pre",
)
VIDEO_CONTEXTS: Final = ("document-and-face", "face", "document-front")
_KINDS: Final = {"image": "images", "video": "videos", "audio": "nfcDocuments"}
"""There is no audio: those media are what a chip sent."""
_USUAL_TYPES: Final = {"images": "image/jpeg", "videos": "video/webm", "nfcDocuments": "application/json"}
_MOST: Final = 100_000


def uuid4_like(kind: str, name: object) -> str:
    """A UUID that is always the same for *name*."""
    text = hashlib.sha256(f"veriff:{kind}:{name}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[12:15]}-a{text[15:18]}-{text[18:30]}"


def media_uuid(media_id: int) -> str:
    """The UUID of a media, which tells its number to who knows: a million of them need no table."""
    return f"{uuid4_like('media', media_id)[:24]}{media_id:012x}"


def session_uuid(conversation: str) -> str:
    return uuid4_like("session", conversation)


def attempt_uuid(conversation: str, number: int) -> str:
    return uuid4_like("attempt", f"{conversation}:{number}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a session, with its media as the service sorts them: by quality, not by time."""

    id: str
    number: int
    created_s: int
    media: tuple[Media, ...]


class Sessions:
    """Finds what an id of the service's stands for in *world*."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sessions: dict[str, str] = {}
        self._attempts: dict[str, str] = {}
        """Ids to conversations, made anew when one is asked for that is not in it."""

    def conversation(self, session: str) -> str | None:
        """The conversation behind a session that has media."""
        if session not in self._sessions:
            self._sessions = {session_uuid(name): name for name in self._names()}
        name = self._sessions.get(session)
        return name if name is not None and self.media(name) else None

    def all(self) -> list[str]:
        """Every session that has media, in order of their conversations' names."""
        return [session_uuid(name) for name in self._names()]

    def _names(self) -> list[str]:
        return sorted({media.conversation for media in self._world if media.completed})

    def media(self, conversation: str) -> list[Media]:
        """The finished media of a conversation, oldest first."""
        wanted = Selection(facets=(("conversation", conversation),))
        return self._world.select(wanted, offset=0, limit=_MOST, newest_first=False)[1]

    def attempts(self, conversation: str, most: int) -> list[Attempt]:
        """The attempts of a session, newest first."""
        shares: dict[int, list[Media]] = {}
        for media in self.media(conversation):
            shares.setdefault(media.id % max(1, most), []).append(media)
        found = [
            Attempt(
                id=attempt_uuid(conversation, number),
                number=number,
                created_s=media[0].created_s,
                media=tuple(sorted(media, key=lambda one: media_uuid(one.id))),
            )
            for number, media in shares.items()
        ]
        return sorted(found, key=lambda attempt: (attempt.created_s, attempt.number), reverse=True)

    def attempt(self, id: str, most: int) -> tuple[str, Attempt] | None:
        """The conversation and the attempt of that id."""
        if id not in self._attempts:
            self._attempts = {
                attempt_uuid(name, number): name for name in self._names() for number in range(most)
            }
        conversation = self._attempts.get(id)
        if conversation is None:
            return None
        return next(((conversation, one) for one in self.attempts(conversation, most) if one.id == id), None)

    def named(self, text: str) -> Media | None:
        """The finished media of that UUID."""
        try:
            media = self._world.get(int(text[24:], 16))
        except ValueError:
            return None
        return media if media is not None and media.completed and media_uuid(media.id) == text else None


def verification(attempt: Attempt, options: VeriffOptions) -> dict[str, object]:
    """The row of an attempt in the list of a session's attempts."""
    row: dict[str, object] = {"id": attempt.id, "status": "resubmission_requested"}
    lacks = options.undated == "all" or (options.undated == "some" and attempt.number % 3 == 1)
    if not lacks:
        moment = datetime.fromtimestamp(attempt.created_s, UTC)
        row["createdTime"] = moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return row


def media_list(
    attempt: Attempt, session: str, origin: str | None, options: VeriffOptions
) -> dict[str, object]:
    """The list of an attempt's media; *origin* is that of their links, None for none."""
    lists: dict[str, list[dict[str, object]]] = {"images": [], "videos": []}
    for media in attempt.media:
        kind = _KINDS[media.media_type]
        if kind != "videos" or options.videos:
            lists.setdefault(kind, []).append(_record(media, kind, session, origin, options))
    return {"status": "success", **lists}


def _record(
    media: Media, kind: str, session: str, origin: str | None, options: VeriffOptions
) -> dict[str, object]:
    id = media_uuid(media.id)
    record: dict[str, object] = {"id": id}
    if kind == "nfcDocuments":
        record["context"] = "nfc"
    else:
        contexts = VIDEO_CONTEXTS if kind == "videos" else IMAGE_CONTEXTS
        context = contexts[media.id // 3 % len(contexts)]
        record |= {"name": context, "context": context, "timestamp": None, "sessionId": session}
    if kind == "videos":
        record["duration"] = 10.5 + media.id % 30
    if options.sizes:
        record["size"] = media.filesize
    if options.mimetypes:
        record["mimetype"] = content_type(media)
    if origin is not None:
        record["url"] = f"{origin}/v1/media/{id}"
    return record


def content_type(media: Media) -> str:
    """What the service calls the bytes of *media*."""
    kind = _KINDS[media.media_type]
    own = media.body.content_type
    return own if own.startswith(f"{media.media_type}/") and kind != "nfcDocuments" else _USUAL_TYPES[kind]
