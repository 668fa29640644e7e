"""Veriff session media: what is asked of `/v1/sessions`, `/v1/attempts`, `/v1/media`, and how it is signed.

Facts come from the vendor's public pages (devdocs.veriff.com). No service lists the sessions: they are
known from elsewhere, and a listing of everything walks them one after the other. A session has attempts,
each with media of its own; the listing of a session itself shows the latest attempt only.

Two things are never asked for: the deletion of a session, which would take all that was ever verified in
it, and its decision, which is the person's data.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlsplit

from ..errors import ConfigError, InvalidReply, MediafsError, NotFound, Unsupported, ValueRefused
from ..model import (
    Conversation,
    ConversationId,
    Cursor,
    Everything,
    Media,
    MediaId,
    Only,
    Page,
    Question,
    Scope,
    Traits,
)
from ._defaults import Defaults
from ._json import parse
from ._veriff_failures import NAME, WRONG_SIGNATURE, code, failure, is_gone, said
from ._veriff_record import ID, UNKNOWN, Attempt, attempts_of, media_of
from .account import AccountSpec, Given, Kind
from .protocol import Call, Credential, Flow, Pace, Reply
from .veriff_options import SESSION_ID, VeriffOptions, session_id

PACE: Final = Pace(per_second=5, parallel=4)
"""A courtesy: a limit exists (429), but neither its size nor its headers are published."""

_CURSOR: Final = re.compile(r"(\d{1,9}):([0-9a-f]{16})", re.ASCII)
_PATH: Final = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}
_SLACK: Final = timedelta(seconds=1)
"""Bounds came through a database of floating-point seconds."""


class Veriff(Defaults):
    """Implements `Vendor`. Learns `secret`, the number of the one in use; `attempts` and `attempt_media`,
    that the service lists them; `media_signed_by`, whose id the signature of a download covers."""

    def __init__(self, options: VeriffOptions) -> None:
        super().__init__()
        self._options = options
        self._secrets = tuple(dict.fromkeys(options.shared_secrets))
        self._root = options.base_url.rstrip("/") + "/v1"
        self._origin = _origin(self._root)

    def __repr__(self) -> str:
        return f"<Veriff {self._root}>"

    @property
    def name(self) -> str:
        return NAME

    @property
    def traits(self) -> Traits:
        return Traits(
            page_limit=100,
            conversations=True,
            users=False,
            enumerable=False,
            in_date_order=False,
            records_tell_conversation=True,
        )

    @property
    def pace(self) -> Pace | None:
        return PACE

    # --- credentials

    @property
    def renewals(self) -> int:
        return max(1, len(self._secrets) - 1)

    def login(self, now: datetime) -> Flow[Credential]:
        """The shared secret in use, without a request: signatures hold no time, so they never expire."""
        yield from ()
        return Credential(secret=self._secrets[self._in_use()], renew_after_s=None)

    def refused(self, credential: Credential) -> None:
        """The next secret in rotation follows, unless another call has moved on already."""
        in_use = self._in_use()
        if credential.secret == self._secrets[in_use]:
            self.learnt["secret"] = (in_use + 1) % len(self._secrets)

    def _in_use(self) -> int:
        match self.learnt.get("secret"):
            case bool():
                return 0
            case int(number) if 0 <= number < len(self._secrets):
                return number
        return 0

    def authorized(self, call: Call, credential: Credential) -> Call:
        """Signed: lower-case hex HMAC-SHA256 of the id in the path, its key the secret as it is written."""
        if not call.subject:
            raise ValueError(f"{call.operation}: there is no id to sign")
        signature = hmac.new(credential.secret.encode(), call.subject.encode(), hashlib.sha256).hexdigest()
        headers = (("X-AUTH-CLIENT", self._options.api_key), ("X-HMAC-SIGNATURE", signature))
        return replace(call, headers=(*call.headers, *headers))

    def otherwise(self, call: Call, reply: Reply) -> Call | None:
        """A download signed with the other id, where the service says that the signature is for a wrong one.

        The page on `/v1/media/{id}` says that its header is the media id signed; a newer one and the FAQ
        speak of the session's.
        """
        if not call.other_subject or code(reply) != WRONG_SIGNATURE:
            return None
        by_media = call.url.endswith(f"/{call.subject}")
        self.learnt["media_signed_by"] = "session" if by_media else "media"
        return replace(call, subject=call.other_subject, other_subject="")

    # --- listing

    def page(self, question: Question, now: datetime) -> Flow[Page]:
        """A session whole, or of everything one session a page, in the order in which they are known.

        Of everything no bounds are heeded: whoever goes on by date would pass over what is older in the
        next session, and is to see that there is no such order.
        """
        if question.only != Only():
            raise Unsupported(f"{NAME}: the service has no such filter")
        match question.scope:
            case Conversation(id):
                return _page(question, _within(question, (yield from self._session(id))), None)
            case Everything():
                return (yield from self._next_session(question))
        raise Unsupported(f"{NAME}: the service has no such listing")

    def _next_session(self, question: Question) -> Flow[Page]:
        sessions = self._sessions()
        place = _place(question.cursor, sessions)
        if place >= len(sessions):
            return _page(question, (), None)
        media: Sequence[Media] = ()
        try:
            media = yield from self._session(sessions[place])
        except NotFound:
            pass  # deleted or expired: the others are no less complete
        except ValueRefused as error:  # of everything, no one asked by this id
            raise InvalidReply(str(error)) from None
        more = place + 1 < len(sessions)
        return _page(question, media, _cursor(place + 1, sessions) if more else None)

    def _sessions(self) -> list[ConversationId]:
        """Raises ConfigError for what is no id: to leave it out would be a listing that lacks a session."""
        found: dict[ConversationId, None] = {}
        for number, text in enumerate(self._options.sessions(), 1):
            id = session_id(text)
            if id is None:
                raise ConfigError([f"{NAME}: sessions: number {number} is not the id of a session, a UUID"])
            found[ConversationId(id)] = None
        return list(found)

    def _session(self, session: ConversationId) -> Flow[tuple[Media, ...]]:
        """All media of all attempts, oldest first. Raises NotFound where the service knows no such session.

        Older integrations have no list of attempts: then the latest one is all there is to be had.
        """
        if not SESSION_ID.fullmatch(session):
            raise NotFound(f"{NAME}: that cannot be the id of a session")
        call = self._get("attempts", "sessions", session, "attempts")
        reply = yield call
        if _succeeds(reply):
            self.learnt["attempts"] = True
            found = yield from self._attempts(session, attempts_of(parse(NAME, call.operation, reply.body)))
        elif reply.status in (404, 405, 410, 501):
            found = yield from self._latest(session, UNKNOWN, "attempts")
        else:
            raise self.failure(call, reply, Conversation(session))
        return tuple(sorted(found, key=lambda media: media.created))

    def _attempts(self, session: ConversationId, attempts: Sequence[Attempt]) -> Flow[Iterable[Media]]:
        found: dict[MediaId, Media] = {}
        answered = not attempts
        for attempt in attempts:
            call = self._get("list", "attempts", attempt.id or "", "media")
            reply = yield call
            if _succeeds(reply):
                self.learnt["attempt_media"] = answered = True
                for media in self._media(call, reply, session, attempt):
                    found.setdefault(media.id, media)
            elif not is_gone(reply) and (answered or reply.status not in (405, 501)):
                raise self.failure(call, reply, Conversation(session))
        if not answered:
            try:
                return (yield from self._latest(session, attempts[-1], "attempt_media"))
            except NotFound:
                pass  # the session is there, its media are not any more
        return found.values()

    def _latest(self, session: ConversationId, attempt: Attempt, lacks: str) -> Flow[Iterable[Media]]:
        """What `/sessions/{id}/media` shows, where a listing that `lacks` names has nothing.

        Raises InvalidReply where that listing is known to exist: half a session would look whole.
        """
        call = self._get("list", "sessions", session, "media")
        reply = yield call
        if not _succeeds(reply):
            raise self.failure(call, reply, Conversation(session))
        found = {media.id: media for media in self._media(call, reply, session, attempt)}
        if found and self.learnt.get(lacks) is True:
            raise InvalidReply(
                f"{NAME}: {call.operation} of session {session}: it has media, and its attempts are not found"
            )
        return found.values()

    def _media(self, call: Call, reply: Reply, session: ConversationId, attempt: Attempt) -> Iterable[Media]:
        """One record that cannot be read refuses all: a partial listing is worse."""
        for media, url in media_of(parse(NAME, call.operation, reply.body), session, attempt):
            usual = url == f"{self._root}/media/{media.id}"
            locator = url if not usual and self._may_be_asked(media.id, url) else None
            yield replace(media, locator=locator)

    def _get(self, operation: str, *path: str) -> Call:
        """The id in the path, its second segment, is what is signed; the header is that of the samples."""
        return Call(
            method="GET",
            url="/".join((self._root, *(quote(segment, safe="") for segment in path))),
            headers=(("Content-Type", "application/json"),),
            subject=path[1],
            operation=operation,
        )

    # --- one media

    def record(self, media: Media) -> Flow[Media]:
        """There is no request for one record: its session is listed again."""
        if media.conversation is None:
            raise Unsupported(f"{NAME}: a record without its session cannot be asked for")
        for found in (yield from self._session(media.conversation)):
            if found.id == media.id:
                return found
        raise NotFound(f"{NAME}: get of media {media.id}: its session does not have it any more")

    def download(self, media: Media) -> Call:
        if not ID.fullmatch(media.id):
            raise NotFound(f"{NAME}: that cannot be the id of a media")
        call = self._get("download", "media", media.id)
        if media.locator is not None and self._may_be_asked(media.id, media.locator):
            call = replace(call, url=media.locator)
        session = media.conversation or ""
        if session and self.learnt.get("media_signed_by") == "session":
            return replace(call, subject=session, other_subject=media.id)
        return replace(call, other_subject=session)

    def _may_be_asked(self, id: MediaId, url: str | None) -> bool:
        """Whether the `url` of a record is of the account's own origin, and is for that media: whoever else
        it belongs to would be handed the account's key and a signature that never expires."""
        try:
            split = urlsplit(url or "")
            plain = not split.query and not split.fragment and split.username is None
            path = _PATH.fullmatch(split.path) is not None and split.path.endswith(f"/{id}")
            return plain and path and _origin(url or "") == self._origin
        except ValueError:
            return False

    # --- failures and ids

    def failure(self, call: Call, reply: Reply, scope: Scope | MediaId | None = None) -> MediafsError:
        """The error for a reply other than 2xx, with the service's own words where it has some."""
        return failure(call, reply, scope, said(reply, (*self._secrets, self._options.api_key)))

    def is_media_id(self, text: str) -> bool:
        return SESSION_ID.fullmatch(text) is not None

    def is_conversation_id(self, text: str) -> bool:
        return SESSION_ID.fullmatch(text) is not None

    def is_user_id(self, text: str) -> bool:
        return False


def _succeeds(reply: Reply) -> bool:
    return 200 <= reply.status < 300


def _page(question: Question, media: Sequence[Media], cursor: Cursor | None) -> Page:
    """There is no total: how many media a session has is told by it alone."""
    shown = tuple(reversed(media) if question.newest_first else media)
    return Page(media=shown, total=None, next=cursor)


def _within(question: Question, media: Sequence[Media]) -> Sequence[Media]:
    """What of a session was asked for."""
    return [
        one
        for one in media
        if (question.since is None or one.created + _SLACK >= question.since)
        and (question.until is None or one.created - _SLACK <= question.until)
    ]


def _cursor(place: int, sessions: Sequence[ConversationId]) -> Cursor:
    """How many sessions were walked, and which: they may be others by the next page."""
    walked = hashlib.sha256("\n".join(sessions[:place]).encode()).hexdigest()
    return Cursor(f"{place}:{walked[:16]}")


def _place(cursor: Cursor | None, sessions: Sequence[ConversationId]) -> int:
    """Where to go on. Where the sessions walked are not those that come first any more, all are walked
    again: one that changed its place must not be passed over. New ones at the end disturb nothing."""
    if cursor is None:
        return 0
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ValueError("a cursor of this vendor is a number and a digest")
    place = int(found[1])
    return place if place <= len(sessions) and cursor == _cursor(place, sessions) else 0


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError for an address that is none."""
    split = urlsplit(url)
    return split.scheme, split.hostname or "", split.port or _PORTS.get(split.scheme, 0)


__all__ = ["Veriff", "VeriffOptions"]


def _make(given: Given) -> Veriff:
    return Veriff(
        VeriffOptions(
            base_url=given.base_url,
            api_key=given.text("api_key") or "",
            shared_secrets=given.texts("shared_secret"),
            sessions=given.conversations,
        )
    )


ACCOUNT: Final = AccountSpec(
    vendor=NAME,
    base_url="https://stationapi.veriff.com",
    keys={"api_key": Kind.SECRET, "shared_secret": Kind.SECRETS},
    ways=(("api_key", "shared_secret"),),
    listed="sessions",
    make=_make,
)
