"""Apizee Media API v3: what is asked of `/api/v3/medias`, and how its answers are read.

Facts come from the vendor's public page on snapshots and recordings and from its token and
rate-limit pages. The public page lost some parameter names (the filters by user and by conversation
among them): those names are configuration, and `probe` proves them before they are trusted.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from ..errors import (
    CredentialsRefused,
    Denied,
    FilterRefused,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    Unavailable,
    Unsupported,
    ValueRefused,
)
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
    User,
    UserId,
)
from ._apizee_record import MEDIA_ID, media_of
from ._json import parse
from ._words import harmless
from .apizee_options import HEADER_SAFE, ApizeeFilters, ApizeeOptions
from .protocol import Call, Credential, Flow, Pairs, Reply

NAME: Final = "apizee"
PAGE_LIMIT: Final = 100
"""The largest `limit` is not documented; 100 is asked for and the length of `data` is believed."""
REQUESTS_PER_MINUTE: Final = 10
"""Per user, over all endpoints (rate-limit page of the vendor's developer portal)."""
TOKEN_LIFE_S: Final = 86400
"""`expires_in` of the documented sample, for a reply that leaves it out."""
RENEW_AT: Final = 0.9
"""There is no refresh token: a new login while a tenth of the old one's life is left."""
IMPOSSIBLE_ID: Final = "2147483647"
"""An id that no user and no conversation has, and that a service of integers still understands."""

_NUMBER_ID: Final = re.compile(r"\d{1,19}", re.ASCII)
_CONVERSATION_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:@=+-]{0,127}", re.ASCII)
"""`ID can be a string or an integer`. Without a dot: what desktops probe for is `Thumbs.db`."""


class Apizee:
    """Implements `Vendor`."""

    def __init__(self, options: ApizeeOptions) -> None:
        self._options = options
        self._root = options.base_url.rstrip("/") + "/api/v3"
        self._login_way: int | None = None
        """Which of the ways to send a login has worked."""

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
        )

    @property
    def default_requests_per_minute(self) -> int | None:
        return REQUESTS_PER_MINUTE

    # --- credentials

    def login(self) -> Flow[Credential]:
        """A static token without a request; else the password grant.

        The documentation shows all fields in the query, where proxies and logs keep them; a public
        client sends them all as a form. The forms are tried first, and the way that worked is kept.
        Raises CredentialsRefused, InvalidReply, Late, Unavailable.
        """
        options = self._options
        if options.token is not None:
            return Credential(secret=options.token, renew_after_s=None)
        grant = (("grant_type", "password"),)
        who = (("username", options.username or ""), ("password", options.password or ""))
        call = Call(method="POST", url=f"{self._root}/token", operation="login")
        ways = [
            _with_form(replace(call, query=grant), who),
            _with_form(call, grant + who),
            replace(call, query=grant + who),
        ]
        failures: list[MediafsError] = []
        for way in range(len(ways)) if self._login_way is None else [self._login_way]:
            reply = yield ways[way]
            if 200 <= reply.status < 300:
                break
            failures.append(self._login_failure(call, reply))
            if reply.status not in (400, 401, 403, 404, 422):
                raise failures[-1]
        else:
            raise next((e for e in failures if isinstance(e, CredentialsRefused)), failures[-1])
        self._login_way = way
        root = parse(NAME, "login", reply.body)
        token = root["access_token"].text()
        if token is None or not HEADER_SAFE.fullmatch(token):
            root["access_token"].refuse("there is no token that a header can carry")
        life_s = root["expires_in"].number()
        if life_s is not None and life_s <= 0:
            root["expires_in"].refuse("the token is expired from the start")
        return Credential(secret=token, renew_after_s=RENEW_AT * (TOKEN_LIFE_S if life_s is None else life_s))

    def _login_failure(self, call: Call, reply: Reply) -> MediafsError:
        said = self._said(reply)
        # 400 and 404 are documented for the token endpoint beside 401 and 403; a web server that
        # has no such endpoint answers them too, but then not in the service's own words.
        if reply.status in (401, 403, 422) or (reply.status in (400, 404) and said):
            return CredentialsRefused(f"{NAME}: login: the service refuses username and password{said}")
        if reply.status in (400, 404):
            return InvalidReply(
                f"{NAME}: login: no answer of a token endpoint ({reply.status}); check base_url"
            )
        return self.failure(call, reply)

    def authorized(self, call: Call, credential: Credential) -> Call:
        return replace(call, headers=(*call.headers, ("Authorization", f"Bearer {credential.secret}")))

    # --- listing

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

    def _list(self, query: Pairs, scope: Conversation | User | Everything, operation: str) -> Call:
        filters = self._options.filters
        whose: str | None = self._options.user
        match scope:
            case Conversation(id):
                query += ((filters.conversation, id),)
            case User(id):
                whose = id
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
        return Page(media=media, total=total, next=Cursor(str(reached)) if more and data else None)

    # --- one media

    def get(self, media: MediaId) -> Call:
        return Call(method="GET", url=self._media_url(media), operation="get")

    def parse_media(self, reply: Reply) -> Media:
        return media_of(parse(NAME, "get", reply.body))

    def download(self, media: MediaId) -> Call:
        return Call(method="GET", url=f"{self._media_url(media)}/download", operation="download")

    def _media_url(self, media: MediaId) -> str:
        if not MEDIA_ID.fullmatch(media):
            raise NotFound(f"{NAME}: that cannot be the id of a media")
        return f"{self._root}/medias/{quote(media, safe='')}"

    # --- filters

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
        what = f"{NAME}: {call.operation}{_named(scope)}"
        said = self._said(reply)
        match reply.status:
            case 400 | 422 if call.operation in ("update", "list"):
                return ValueRefused(f"{what}: the service refuses a value{said}")
            case 401:
                return CredentialsRefused(f"{what}: the service refuses the credentials{said}")
            case 403:
                return Denied(f"{what}: the service refuses this to the account{said}")
            case 404 | 410 if scope is not None and not isinstance(scope, Everything):
                return NotFound(f"{what}: there is no such thing{said}")
            case 404 | 405 | 410 | 501 if call.operation in ("list", "probe", "get", "download"):
                return InvalidReply(
                    f"{what}: no Media API answers there ({reply.status}); check base_url{said}"
                )
            case 405 | 501:
                return Unsupported(f"{what}: the service has no such operation{said}")
            case 429:
                return Late(f"{what}: the service asks to wait{said}")
            case status if status >= 500 or status == 408:
                return Unavailable(f"{what}: the service fails ({status}){said}")
            case status:
                return InvalidReply(f"{what}: the service answers {status}{said}")

    def is_media_id(self, text: str) -> bool:
        return _NUMBER_ID.fullmatch(text) is not None

    def is_conversation_id(self, text: str) -> bool:
        return _CONVERSATION_ID.fullmatch(text) is not None

    def is_user_id(self, text: str) -> bool:
        return _NUMBER_ID.fullmatch(text) is not None

    def _said(self, reply: Reply) -> str:
        """The service's own words, made harmless: `: words`, or nothing.

        v3 answers `{"error": text}`; an older shape is `{"code", "message", "details"}`.
        """
        try:
            root = parse(NAME, "error", reply.body)
        except InvalidReply:
            return ""
        if not isinstance(root.value, dict):
            return ""
        for key in ("error", "message", "error_description"):
            value = root.value.get(key)
            if isinstance(value, dict):
                value = value.get("message")
            if isinstance(value, str) and value.strip():
                options = self._options
                text = harmless(value, (options.token, options.password, options.username))
                return f": {text}" if text else ""
        return ""


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


def _named(scope: Scope | MediaId | None) -> str:
    match scope:
        case Conversation(id):
            return f" of conversation {harmless(id)}"
        case User(id):
            return f" of user {harmless(id)}"
        case str():
            return f" of media {harmless(scope)}"
        case _:
            return ""


def _with_form(call: Call, form: Pairs) -> Call:
    header = ("Content-Type", "application/x-www-form-urlencoded")
    return replace(call, headers=(header,), body=urlencode(form).encode("ascii"))


__all__ = ["Apizee", "ApizeeFilters", "ApizeeOptions"]
