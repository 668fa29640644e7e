"""Apizee Media API v3: what is asked of `/api/v3/medias`, and how its answers are read.

Facts come from the vendor's public page on snapshots and recordings and from its token and
rate-limit pages. The public page lost some parameter names (the filters by user and by conversation
among them): those names are configuration, and `probe` proves them before they are trusted.
"""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from ..errors import (
    FilterRefused,
    InvalidReply,
    MediafsError,
    NotFound,
    Unsupported,
)
from ..model import (
    Conversation,
    ConversationId,
    Cursor,
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
    UserId,
)
from ._apizee_changes import EDITABLE, REFUSALS, edit_call, known_way, stands, ways
from ._apizee_failures import NAME, failure, said
from ._apizee_login import password_grant
from ._apizee_record import MEDIA_ID, media_of
from ._defaults import Defaults
from ._json import parse
from .account import AccountSpec, Given, Kind
from .apizee_options import ApizeeFilters, ApizeeOptions
from .protocol import Call, Credential, Flow, Pairs, Reply

PAGE_LIMIT: Final = 100
"""The largest `limit` is not documented; 100 is asked for and the length of `data` is believed."""
REQUESTS_PER_MINUTE: Final = 10
"""Per user, over all endpoints (rate-limit page of the vendor's developer portal)."""
IMPOSSIBLE_ID: Final = "2147483647"
"""An id that no user and no conversation has, and that a service of integers still understands."""

_NUMBER_ID: Final = re.compile(r"\d{1,19}", re.ASCII)
_CONVERSATION_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:@=+-]{0,127}", re.ASCII)
"""`ID can be a string or an integer`. Without a dot: what desktops probe for is `Thumbs.db`."""


class Apizee(Defaults):
    """Implements `Vendor`. Learns `login`, the way to send one that has worked, and `update`."""

    def __init__(self, options: ApizeeOptions) -> None:
        super().__init__()
        self._options = options
        self._root = options.base_url.rstrip("/") + "/api/v3"

    def __repr__(self) -> str:
        return f"<Apizee {self._root}>"

    @property
    def name(self) -> str:
        return NAME

    @property
    def traits(self) -> Traits:
        return Traits(
            page_limit=PAGE_LIMIT,
            conversations=True,
            users=True,
            all_users=self._options.user == "all",
            user=UserId(self._options.user) if self._options.user not in (None, "all") else None,
            filter_names=",".join(asdict(self._options.filters).values()),
            editable=EDITABLE,
            searches=True,
            deletable=True,
        )

    @property
    def default_requests_per_minute(self) -> int | None:
        return REQUESTS_PER_MINUTE

    # --- credentials

    def login(self, now: datetime) -> Flow[Credential]:
        """A static token without a request; else the password grant."""
        if self._options.token is not None:
            return Credential(secret=self._options.token, renew_after_s=None)
        return (yield from password_grant(self._root, self._options, self.learnt))

    def authorized(self, call: Call, credential: Credential) -> Call:
        return replace(call, headers=(*call.headers, ("Authorization", f"Bearer {credential.secret}")))

    # --- listing

    def page(self, question: Question, now: datetime) -> Flow[Page]:
        reply = yield self.list_page(question)
        return self.parse_page(question, reply)

    def list_page(self, question: Question) -> Call:
        """`since` and `until` go out one second wider: whether they are inclusive is not documented."""
        query: list[tuple[str, str]] = [
            ("orderby", "date"),
            ("order", "desc" if question.newest_first else "asc"),
            ("limit", str(max(1, min(question.limit, PAGE_LIMIT)))),
        ]
        offset = _offset(question)
        if offset:
            query.append(("offset", str(offset)))
        if question.since is not None:
            query.append(("since", _stamp(question.since, up=False)))
        if question.until is not None:
            query.append(("until", _stamp(question.until, up=True)))
        query += self._only(question.only)
        return self._list(tuple(query), question.scope, "list")

    def _only(self, only: Only) -> list[tuple[str, str]]:
        names = self._options.filters
        # "One or more statuses": how several are written is not documented; a comma is WordPress's way,
        # whose list of parameters this is.
        wanted = (
            ("status", ",".join(only.statuses) or None),
            ("search", only.search),
            ("media_type", only.media_type),
            (names.source, only.source_type),
            (names.tag, only.tag),
            (names.group, only.group),
        )
        return [(name, value) for name, value in wanted if value is not None]

    def _list(self, query: Pairs, scope: Conversation | User | Everything | Trash, operation: str) -> Call:
        filters = self._options.filters
        whose: str | None = self._options.user
        match scope:
            case Conversation(id):
                query += ((filters.conversation, id),)
            case User(id):
                whose = id
            case Trash():
                raise Unsupported(f"{NAME}: the service has no trash")
            case Everything():
                pass
        if whose is not None:
            query += ((filters.user, whose),)
        return Call(method="GET", url=f"{self._root}/medias", query=query, operation=operation)

    def parse_page(self, question: Question, reply: Reply) -> Page:
        """One record that cannot be read refuses the page: a partial listing is worse."""
        if not 200 <= reply.status < 300:
            raise self.failure(self.list_page(question), reply, question.scope)
        root = parse(NAME, "list", reply.body)
        total, data = root["total"].whole(), root["data"].items()
        offset, next_offset = _offset(question), root["next_offset"].whole()
        media = tuple(media_of(item) for item in data)
        reached = offset + len(data)
        if total is not None:
            more = reached < total
        elif root.has("next_offset"):
            more = next_offset is not None and next_offset > offset
        else:
            more = True  # only a page without data ends it then
        if not (more and data):
            return Page(media=media, total=total, next=None)
        again = Cursor(str(reached - 1)) if len(media) == len(data) > 1 else None
        return Page(media=media, total=total, next=Cursor(str(reached)), again=again)

    # --- one media

    def record(self, media: Media) -> Flow[Media]:
        call = self.get(media.id)
        reply = yield call
        if reply.status in (404, 410):
            yield from self._is_there(reply)
        if not 200 <= reply.status < 300:
            raise self.failure(call, reply, media.id)
        found = self.parse_media(reply)
        if found.id != media.id:
            raise InvalidReply(f"{NAME}: {call.operation}: the record of another media came for {media.id}")
        return found

    def get(self, media: MediaId) -> Call:
        return Call(method="GET", url=self._media_url(media), operation="get")

    def parse_media(self, reply: Reply) -> Media:
        return media_of(parse(NAME, "get", reply.body))

    def download(self, media: Media) -> Call:
        return Call(method="GET", url=f"{self._media_url(media.id)}/download", operation="download")

    def _media_url(self, media: MediaId) -> str:
        if not MEDIA_ID.fullmatch(media):
            raise NotFound(f"{NAME}: that cannot be the id of a media")
        return f"{self._root}/medias/{quote(media, safe='')}"

    # --- changes

    def update(self, media: Media, edits: Edits) -> Flow[Edited]:
        """Sends the edit in one way after the other until the echoed record shows it."""
        url, known = self._media_url(media.id), known_way(self.learnt)
        refusal: MediafsError | None = None
        shown: Media | None = None
        for way in ways(known, edits):
            call = edit_call(url, edits, way)
            reply = yield call
            if reply.status in REFUSALS:
                refusal = refusal or self.failure(call, reply, media.id)
                if way == known:
                    break
                continue
            if not 200 <= reply.status < 300:
                raise self.failure(call, reply, media.id)
            shown = self._echo(media, reply) if reply.body.strip() else (yield from self.record(media))
            if stands(shown, edits):
                if not stands(media, edits):  # else it would have stood in any way
                    self.learnt["update"] = way.as_json()
                return Edited(media=shown)
            if not _holds_as_before(shown, media, edits):
                break  # it took the value, and made another of it
        if refusal is not None and shown is None:
            raise refusal
        return Edited(
            media=shown, refused=str(refusal) if refusal else f"{NAME}: the service keeps another value"
        )

    def _echo(self, media: Media, reply: Reply) -> Media:
        echo = media_of(parse(NAME, "update", reply.body))
        if echo.id != media.id:
            raise InvalidReply(f"{NAME}: update: the record of another media came for {media.id}")
        return echo

    def erase(self, media: Media, removal: Removal) -> Flow[Erased]:
        """A success is `[]` (documented), an empty answer, or a record that is not there any more."""
        if removal is not Removal.PERMANENT:
            raise Unsupported(f"{NAME}: the service has no trash")
        call = Call(method="DELETE", url=self._media_url(media.id), operation="delete")
        reply = yield call
        answer = f"DELETE {reply.status}"
        if reply.status in (404, 410):
            if not self._said(reply):
                yield from self._is_gone(media)
            if reply.repeated:  # it is gone because of an earlier try
                return Erased(answer=f"{answer} after a try without an answer")
            return Erased(answer=answer, carried_out=False)
        if not 200 <= reply.status < 300:
            raise self.failure(call, reply, media.id)
        if reply.body.strip() not in (b"", b"[]", b"{}"):
            yield from self._is_gone(media)
        return Erased(answer=answer)

    def _is_gone(self, media: Media) -> Flow[None]:
        """Some page before the service, or a gateway that lets no deletion by, may have answered for it."""
        try:
            yield from self.record(media)
        except NotFound:
            return
        raise InvalidReply(
            f"{NAME}: delete: the service answered something else, and media {media.id} is still there"
        )

    def _is_there(self, reply: Reply) -> Flow[None]:
        """A gateway says 404 to everything: the service has to show that it answers at all."""
        if not self._said(reply):
            question = Question(limit=1)
            self.parse_page(question, (yield self.list_page(question)))

    # --- filters

    def prove(self, scope: Conversation | User) -> Flow[None]:
        reply = yield self.probe(scope)
        self.parse_probe(scope, reply)

    def probe(self, scope: Conversation | User) -> Call:
        """One item of a listing by an id that no one can have."""
        impossible: Conversation | User = User(UserId(IMPOSSIBLE_ID))
        if isinstance(scope, Conversation):
            impossible = Conversation(ConversationId(IMPOSSIBLE_ID))
        query = (("orderby", "date"), ("order", "asc"), ("limit", "1"))
        return self._list(query, impossible, "probe")

    def parse_probe(self, scope: Conversation | User, reply: Reply) -> None:
        """Nothing found, or 404: it filters. 400 or anything found: FilterRefused."""
        kind = "conversation" if isinstance(scope, Conversation) else "user"
        parameter = (
            self._options.filters.conversation if kind == "conversation" else self._options.filters.user
        )
        advice = (
            f"set filters = {{ {kind} = \"...\" }} in the account's configuration to the service's own name"
            f" for the filter by {kind}"
        )
        if reply.status == 404:
            return
        if reply.status == 400:
            said = self._said(reply)
            why = f"{NAME}: the service refuses the parameter {parameter!r}{said}; {advice}"
            raise FilterRefused(why, by_value=True)
        if not 200 <= reply.status < 300:
            raise self.failure(self.probe(scope), reply, scope)
        root = parse(NAME, "probe", reply.body)
        if root["data"].items() or root["total"].whole():
            raise FilterRefused(f"{NAME}: the service ignores the parameter {parameter!r}; {advice}")

    # --- failures and ids

    def failure(self, call: Call, reply: Reply, scope: Scope | MediaId | None = None) -> MediafsError:
        """The error for a reply other than 2xx, with the service's own words where it has some."""
        return failure(call, reply, scope, self._said(reply))

    def is_media_id(self, text: str) -> bool:
        return _NUMBER_ID.fullmatch(text) is not None

    def is_conversation_id(self, text: str) -> bool:
        return _CONVERSATION_ID.fullmatch(text) is not None

    def is_user_id(self, text: str) -> bool:
        return _NUMBER_ID.fullmatch(text) is not None

    def _said(self, reply: Reply) -> str:
        options = self._options
        return said(reply, (options.token, options.password, options.username))


def _holds_as_before(shown: Media, before: Media, edits: Edits) -> bool:
    return all(getattr(shown, field) == getattr(before, field) for field in edits)


def _offset(question: Question) -> int:
    cursor = question.cursor
    if cursor is None:
        return 0
    if not _NUMBER_ID.fullmatch(cursor):
        raise ValueError("a cursor of this vendor is a number")
    return int(cursor)


def _stamp(moment: datetime, *, up: bool) -> str:
    """The format of the documentation, `2020-01-01T15:00:00Z`, one second wider than `moment`."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone")
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    second = utc.replace(microsecond=0)
    try:
        wider = (
            second - timedelta(seconds=1) if not up else second + timedelta(seconds=1 + bool(utc.microsecond))
        )
    except OverflowError:
        wider = second
    return f"{wider.isoformat()}Z"


def _make(given: Given) -> Apizee:
    return Apizee(
        ApizeeOptions(
            base_url=given.base_url,
            token=given.text("token"),
            username=given.text("username"),
            password=given.text("password"),
            user=given.text("user"),
            filters=ApizeeFilters(**given.names("filters")),
        )
    )


ACCOUNT: Final = AccountSpec(
    vendor=NAME,
    base_url="https://cloud.apizee.com",
    keys={
        "token": Kind.SECRET,
        "username": Kind.TEXT,
        "password": Kind.SECRET,
        "user": Kind.ID,
        "filters": Kind.NAMES,
    },
    ways=(("token",), ("username", "password")),
    names={"filters": asdict(ApizeeFilters())},
    listed="conversations",
    archive_keys=("user",),
    permanent=True,
    make=_make,
)

__all__ = ["ACCOUNT", "Apizee", "ApizeeFilters", "ApizeeOptions"]
