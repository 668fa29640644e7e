"""Zoom Video SDK cloud recordings: what is asked of `/videosdk`, and how its answers are read.

Facts come from the seed (the account's listing), from the vendor's pages, from its JavaScript library and
from mirrors of its reference; each oddity says where it was seen. A media is a recording file, a conversation
is a session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from ..errors import Changed, Incomplete, InvalidReply, MediafsError, NotFound, Unsupported
from ..model import (
    EARLIEST,
    LATEST,
    Conversation,
    ConversationId,
    Edited,
    Edits,
    Erased,
    Everything,
    Media,
    MediaId,
    Only,
    Page,
    Question,
    Removal,
    Scope,
    Traits,
    Trash,
    User,
)
from ._defaults import Defaults
from ._json import parse
from ._zoom_download import download_call
from ._zoom_listing import PAGE_SIZE, Listing, note_shared, shared
from ._zoom_record import NAME, TRASHED, Key, Session, is_media_id, sessions_in, untrashed
from ._zoom_replies import DOWNLOAD, LIST, failure, is_message, said, status_of
from ._zoom_sessions import GONE, exchanged
from ._zoom_token import signed
from .account import AccountSpec, Given, Kind
from .protocol import Call, Credential, Flow, Pace, Reply
from .zoom_options import DOWNLOAD_HOSTS, ZoomOptions

PACE: Final = Pace(per_second=20, parallel=8)
"""What a Pro account may send of Medium requests, as the listing is one; Video SDK plans count as Pro at
least (rate-limit pages). Deletions and sessions are Light, 30 a second."""

_SESSION_ID: Final = re.compile(r"[A-Za-z0-9+/_-]{14,126}={0,2}", re.ASCII)
"""The Base64 of a UUID as a rule. Longer than what desktops probe for, and without a dot."""
_SECOND: Final = timedelta(seconds=1)
_MOST_PAGES: Final = 200


class Zoom(Defaults):
    """Implements `Vendor`.

    Learns `reach` (how far from the day it is listed under a recording may lie), `page_size`, `encoding` (how
    the id of a session is written into an address) and `shared` (file ids that stand for several recordings).
    """

    def __init__(self, options: ZoomOptions) -> None:
        super().__init__()
        self._options = options
        self._root = options.base_url.rstrip("/")
        self._listing = Listing(self._root, lambda: self.learnt, self.failure)

    def __repr__(self) -> str:
        return f"<Zoom {self._root}>"

    @property
    def name(self) -> str:
        return NAME

    @property
    def traits(self) -> Traits:
        return Traits(
            page_limit=PAGE_SIZE,
            conversations=True,
            users=False,
            records_tell_conversation=True,
            deletable=True,
            trash=True,
        )

    @property
    def pace(self) -> Pace | None:
        return PACE

    @property
    def peeks(self) -> bool:
        return True

    # --- credentials and what answers stand for

    def login(self, now: datetime) -> Flow[Credential]:
        """A token that is signed here, without a request."""
        yield from ()
        return signed(self._options, now)

    def authorized(self, call: Call, credential: Credential) -> Call:
        query = call.query
        if call.operation == DOWNLOAD and self._options.token_in_query:
            query += (("access_token", credential.secret),)
        return replace(
            call, query=query, headers=(*call.headers, ("Authorization", f"Bearer {credential.secret}"))
        )

    def status(self, call: Call, reply: Reply) -> int:
        return status_of(call, reply)

    def is_message(self, call: Call, headers: Mapping[str, str], start: bytes) -> bool:
        return call.operation == DOWNLOAD and is_message(call, headers, start)

    def failure(self, call: Call, reply: Reply, scope: Scope | MediaId | None = None) -> MediafsError:
        """The error for a reply that is no success, with the service's own words where it has some."""
        words = said(reply, (self._options.api_secret, self._options.api_key))
        return failure(call, reply, scope, words)

    # --- listing

    def page(self, question: Question, now: datetime) -> Flow[Page]:
        """A whole window of days, or all of a session, or all of the trash.

        Raises Incomplete where the service does not list all that it was asked for.
        """
        if question.only != Only():
            raise Unsupported(f"{NAME}: the service has no such filter")
        match question.scope:
            case User():
                raise Unsupported(f"{NAME}: the service does not list recordings by user")
            case Conversation(id):
                found = yield from self._of_session(id)
                return self._whole(question, found)
            case Trash():
                found = yield from self._listing.trash()
                return self._whole(question, found)
            case Everything():
                found, window = yield from self._listing.history(question, now)
                beginning = question.cursor is None
                cursor = window.next if window is not None else None
                total = len(found) if beginning and cursor is None else None
                return Page(media=_ordered(found, question), total=total, next=cursor)

    def _whole(self, question: Question, found: Iterable[Media]) -> Page:
        since = max(question.since, EARLIEST) - _SECOND if question.since is not None else EARLIEST
        until = min(question.until, LATEST) + _SECOND if question.until is not None else LATEST
        media = _ordered((each for each in found if since <= each.created <= until), question)
        return Page(media=media, total=len(media), next=None)

    def _of_session(self, id_: ConversationId) -> Flow[list[Media]]:
        """All media of a session, those of single participants too, which only its own page shows."""
        call, reply = yield from exchanged(id_, self.learnt, lambda form: self._session_call(form))
        sessions: list[Session] = []
        tokens: set[str] = set()
        for _ in range(_MOST_PAGES):
            if not 200 <= status_of(call, reply) < 300:
                if tokens and status_of(call, reply) == 400:
                    break
                raise self.failure(call, reply, Conversation(id_))
            root = parse(NAME, call.operation, reply.body)
            for session in sessions_in(root):
                if session.id not in (None, id_):
                    raise InvalidReply(f"{NAME}: {LIST}: another session came than was asked for")
                sessions.append(session)
            token = root["next_page_token"].text() or ""
            if not token:
                note_shared(self.learnt, sessions)
                found = {media.id: media for session in sessions for media in session.media}
                return list(found.values())
            if token in tokens:
                break
            tokens.add(token)
            call = replace(call, query=(("page_size", str(PAGE_SIZE)), ("next_page_token", token)))
            reply = yield call
        raise Incomplete(f"{NAME}: {LIST}: the pages of a session do not come to an end; try again later")

    def _session_call(self, form: str) -> Call:
        return Call(method="GET", url=f"{self._root}/videosdk/sessions/{form}/recordings", operation=LIST)

    # --- one media

    def record(self, media: Media) -> Flow[Media]:
        """Out of its session's page; of a media that was seen in the trash, out of the trash.

        Raises NotFound where it is in neither, and Changed where it has gone from the one into the other.
        """
        key = Key.of(media.id)
        trashed = media.status == TRASHED
        found = yield from self._among(key, trashed=trashed)
        for each in found:
            if each.id == media.id:
                return each
        if key.file is not None and any(Key.of(each.id) == key for each in found):
            raise InvalidReply(f"{NAME}: get: the service shows media {media.id} as another one now")
        if any(each.id == media.id for each in (yield from self._among(key, trashed=not trashed))):
            where = "out of" if trashed else "into"
            raise Changed(f"{NAME}: get: media {media.id} was moved {where} the trash")
        raise NotFound(f"{NAME}: get: there is no such media")

    def _among(self, key: Key, *, trashed: bool) -> Flow[list[Media]]:
        """The media of the trash, or of a session that is there or not."""
        if trashed:
            return (yield from self._listing.trash())
        try:
            return (yield from self._of_session(ConversationId(key.session)))
        except NotFound:
            return []

    def download(self, media: Media) -> Call:
        Key.of(media.id)  # raises where it is none
        return download_call(media, self._options)

    def update(self, media: Media, edits: Edits) -> Flow[Edited]:
        yield from ()
        raise Unsupported(f"{NAME}: the service has no way to change what it says of a recording")

    def erase(self, media: Media, removal: Removal) -> Flow[Erased]:
        """A success is 204 and nothing else: 200 may say that there is no permission.

        404 may come of the way that the session's id is written, so it is believed where no listing shows
        the media any more.
        """
        key = Key.of(media.id)
        file = self._alone(key)
        action = "delete" if removal is Removal.PERMANENT else "trash"

        def made(form: str) -> Call:
            url = f"{self._root}/videosdk/sessions/{form}/recordings/{file}"
            return Call(method="DELETE", url=url, query=(("action", action),), operation="delete")

        call, reply = yield from exchanged(key.session, self.learnt, made)
        answer = f"DELETE action={action} {reply.status}"
        if reply.status == 204:
            return Erased(answer=answer)
        if status_of(call, reply) not in GONE:
            raise self.failure(call, reply, media.id)
        if (yield from self._is_listed(media, removal)):
            raise InvalidReply(
                f"{NAME}: delete: the service does not find media {media.id}, and lists it all the same"
            )
        if reply.repeated:  # it is there because of an earlier try
            return Erased(answer=f"{answer} after a try without an answer")
        return Erased(answer=answer, carried_out=False)

    def _is_listed(self, media: Media, removal: Removal) -> Flow[bool]:
        day = media.created.date()
        found = yield from self._listing.days(day, day, today=day + timedelta(days=1))
        if all(each.id != media.id for each in found):
            # Files of single participants are shown by their session's page only.
            found = yield from self._among(Key.of(media.id), trashed=False)
        if removal is Removal.PERMANENT and all(each.id != media.id for each in found):
            found = yield from self._listing.trash()
        return any(each.id == media.id for each in found)

    def recover(self, media: Media) -> Flow[Media]:
        """A success is 204, or 404 for what stands in its session: it is out of the trash already."""
        key = Key.of(media.id)
        file = self._alone(key)

        def made(form: str) -> Call:
            url = f"{self._root}/videosdk/sessions/{form}/recordings/{file}/status"
            headers = (("Content-Type", "application/json"),)
            return Call(
                method="PUT", url=url, headers=headers, body=b'{"action":"recover"}', operation="recover"
            )

        call, reply = yield from exchanged(key.session, self.learnt, made)
        if reply.status == 204:
            return untrashed(media)
        if status_of(call, reply) in GONE:
            for each in (yield from self._among(key, trashed=False)):
                if each.id == media.id:
                    return each
        raise self.failure(call, reply, media.id)

    def _alone(self, key: Key) -> str:
        """The file's id as a segment of an address, where it names this one file.

        Raises Unsupported where it would name others as well: none of them may be deleted by accident.
        """
        if key.file is None:
            raise Unsupported(f"{NAME}: the service gives this file no id to change it by")
        known = shared(self.learnt)
        if known is None or f"{key.session}:{key.file}" in known:
            raise Unsupported(
                f"{NAME}: the service gives another recording the same id: both would be changed"
            )
        return quote(key.file, safe="")

    # --- ids

    def is_media_id(self, text: str) -> bool:
        return is_media_id(text)

    def is_conversation_id(self, text: str) -> bool:
        return _SESSION_ID.fullmatch(text) is not None

    def is_user_id(self, text: str) -> bool:
        return False


def _ordered(media: Iterable[Media], question: Question) -> tuple[Media, ...]:
    found = sorted(media, key=lambda each: (each.created, each.id))
    return tuple(reversed(found)) if question.newest_first else tuple(found)


__all__ = ["Zoom", "ZoomOptions"]


def _make(given: Given) -> Zoom:
    return Zoom(
        ZoomOptions(
            base_url=given.base_url,
            api_key=given.text("api_key") or "",
            api_secret=given.text("api_secret") or "",
            download_hosts=given.download_hosts or DOWNLOAD_HOSTS,
            token_in_query=given.flag("token_in_query"),
        )
    )


ACCOUNT: Final = AccountSpec(
    vendor=NAME,
    base_url="https://api.zoom.us/v2",
    keys={"api_key": Kind.SECRET, "api_secret": Kind.SECRET, "token_in_query": Kind.FLAG},
    ways=(("api_key", "api_secret"),),
    permanent=True,
    trash=True,
    make=_make,
)
