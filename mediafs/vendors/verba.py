"""Verba (Verint VFC) HTTP API: what is asked of `/api?action=`, and how its XML is read.

Only GetMedia is in the document that this began from; all else is from the vendor's public pages and from
public clients, and the account's configuration says what may be used (`search`, `metadata_fields`). The
key and the token go into the query of a question, as the vendor has it, and into the form of a change;
`remote/` shows neither, and follows redirects without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from ..errors import (
    ConfigError,
    Forbidden,
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
from . import _verba_calls as calls
from ._defaults import Defaults
from ._json import At
from ._verba_changes import attach, attached, delete, stands
from ._verba_live import is_name, live_media, live_names, selector
from ._verba_login import request_token
from ._verba_record import GUID, call_id, is_extension, is_ongoing, media_of
from ._verba_rows import Row
from ._verba_search import PAGE_ROWS, Search, Seen
from ._verba_xml import NAME, Answer, looks_like_message
from .account import AccountSpec, Given, Kind
from .protocol import Call, Credential, Flow, Pace, Pairs, Reply
from .verba_options import CALL_ID, VerbaOptions

CALLS_AT_ONCE: Final = 50
"""Configured calls that one page asks for, one request each; two for the id of a meeting."""
_ID_NAMES: Final = ("callID", "ccdr_id")
"""Newer pages of the vendor rename the first to the second, for GetMedia (CONFLICT with the older ones)."""
_MESSAGE_TYPES: Final = frozenset(("text/html", "application/xhtml+xml", "text/xml", "application/xml"))


class Verba(Defaults):
    """Implements `Vendor`. Learns `login`, `id_name` and `attach`, the ways that have worked, and what
    `_verba_search` found out about listings."""

    def __init__(self, options: VerbaOptions) -> None:
        super().__init__()
        self._options = options
        self._root = options.base_url.rstrip("/") + "/api"
        self._seen = Seen()

    def __repr__(self) -> str:
        return f"<Verba {self._root}>"

    @property
    def name(self) -> str:
        return NAME

    @property
    def traits(self) -> Traits:
        return Traits(
            page_limit=PAGE_ROWS,
            conversations=True,
            users=True,
            # What the API user may see is listed, whoever was recorded.
            all_users=True,
            enumerable=self._options.search,
            in_date_order=self._options.search,
            records_tell_conversation=True,
            named_users=tuple(map(UserId, self._options.extensions)),
            editable=frozenset(self._options.metadata_fields),
            deletable=True,
        )

    @property
    def pace(self) -> Pace | None:
        """A recorder on premises; no limit is documented."""
        return Pace(per_second=10, parallel=2)

    # --- credentials

    def login(self, now: datetime) -> Flow[Credential]:
        return (yield from request_token(self._root, self._options, self.learnt))

    def authorized(self, call: Call, credential: Credential) -> Call:
        keys: Pairs = (("apiKey", self._options.api_key),)
        token, _, cookie = credential.secret.partition(" ")
        if token:
            keys += (("token", token),)
        if cookie:
            call = replace(call, headers=(*call.headers, ("Cookie", cookie)))
        return calls.with_keys(call, keys)

    # --- what replies are

    def status(self, call: Call, reply: Reply) -> int:
        return calls.status(reply)

    @property
    def peeks(self) -> bool:
        return True

    def is_message(self, call: Call, headers: Mapping[str, str], start: bytes) -> bool:
        """XML or HTML, by its type or by how it begins: a failure comes as 200, and may say of itself
        that it is a recording."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _MESSAGE_TYPES or kind.endswith("+xml"):
            return True
        # The middle of a recording may look like anything.
        inside = not headers.get("content-range", "bytes 0-").strip().lower().startswith("bytes 0-")
        return not inside and looks_like_message(start)

    # --- listing

    def page(self, question: Question, now: datetime) -> Flow[Page]:
        if question.only != Only():
            raise Unsupported(f"{NAME}: calls can be searched by date and by user only")
        match question.scope:
            case Trash():
                raise Unsupported(f"{NAME}: the service has no trash")
            case Conversation():
                return (yield from self._conversation(question.scope))
            case _ if not self._options.search:
                return (yield from self._named_calls(question))
        user = question.scope if isinstance(question.scope, User) else None
        search = Search(
            question,
            now,
            ask=lambda parameters: self._search_calls(user, parameters),
            read=lambda call, reply: self._rows(call, reply, question.scope),
            keep=_of(user),
            zone=self._options.replies_in,
            learnt=self.learnt,
            seen=self._seen,
            remember=user is None,
        )
        return (yield from search.page())

    def _search_calls(self, user: User | None, parameters: Pairs) -> Call:
        if user is not None:
            # Both find parts of numbers and names: what else they find is left out when it is read.
            parameters += (("anynum" if is_extension(user.id) else "anyname", user.id),)
        return calls.asked(self._root, "SearchCalls", parameters, operation="list")

    def _rows(self, call: Call, reply: Reply, scope: Scope | Trash) -> list[Row] | None:
        match calls.code(reply):
            case calls.INVALID_PARAMETERS:
                return None
            case calls.CALL_NOT_FOUND:
                return []
        answer = self._read(call, reply, scope)
        if not answer.lists or not answer.answers("SearchCalls"):
            raise InvalidReply(f"{NAME}: list: /: this is no list of calls")
        return [self._row(at) for at in answer.records("list")]

    def _row(self, at: At) -> Row:
        return Row(call_id(at), None if is_ongoing(at) else media_of(at, self._options))

    def _named_calls(self, question: Question) -> Flow[Page]:
        """The calls that the configuration names, in its order; one that is gone is left out.

        The cursor is the last that was walked: where it is not named any more, all are walked again.
        """
        try:
            named = self._options.named_calls()
        except ValueError as error:
            raise ConfigError([f"{NAME}: {error}"]) from None
        cursor = question.cursor
        start = named.index(cursor) + 1 if cursor is not None and cursor in named else 0
        stop = start + CALLS_AT_ONCE
        user = question.scope if isinstance(question.scope, User) else None
        keep, found = _of(user), dict[MediaId, Media]()
        for id_ in named[start:stop]:
            try:
                page = yield from self._conversation(Conversation(ConversationId(id_)))
            except NotFound:
                continue
            found |= {media.id: media for media in page.media if keep(media) and _asked(question, media)}
        media = sorted(found.values(), key=_order, reverse=question.newest_first)
        more = stop < len(named)
        return Page(media=tuple(media), total=None, next=Cursor(named[stop - 1]) if more else None)

    def _conversation(self, scope: Conversation) -> Flow[Page]:
        """A call by its id, or the calls of a meeting by the meeting's."""
        try:
            records = yield from self._information((("callID", scope.id),), scope)
        except NotFound:
            if GUID.fullmatch(scope.id):  # no meeting is called so
                raise
            records = yield from self._information((("meetingID", scope.id),), scope)
        return Page(media=tuple(self._finished(records)), total=None, next=None)

    # --- one call

    def record(self, media: Media) -> Flow[Media]:
        """Of a live name, the record of the call that is behind it now; its id stays the name's."""
        live = selector(media.id)
        records = yield from self._information(live or (("callID", self._id(media)),), media.id)
        if live is not None and records:
            return live_media(media.id, media_of(records[0], self._options))
        for at in records:
            if call_id(at) == media.id:
                if is_ongoing(at):
                    raise InvalidReply(f"{NAME}: get: the call {media.id} is said to go on still")
                return _as_exact(media_of(at, self._options), media)
        raise InvalidReply(f"{NAME}: get: the record of another call came for {media.id}")

    def _information(self, selected: Pairs, scope: Scope | MediaId) -> Flow[list[At]]:
        """The records of what is selected. Raises NotFound."""
        (name, value), *rest = selected
        names = self._id_names() if name == "callID" else (name,)
        for number, name in enumerate(names, 1):
            parameters: Pairs = ((name, value), *rest, ("returnMetadata", "1"), ("responseType", "XML"))
            call = calls.asked(self._root, "GetCallInformation", parameters, operation="get")
            reply = yield call
            refused = calls.code(reply) == calls.INVALID_PARAMETERS
            if refused and number < len(names):
                continue
            if refused and isinstance(scope, Conversation):
                break  # that is no id of a call, or of a meeting
            answer = self._read(call, reply, scope)
            records = list(answer.records("get"))
            if not records and not (answer.lists and answer.answers("GetCallInformation")):
                raise InvalidReply(f"{NAME}: get: /: this is no call")
            if not records:
                break
            return records
        raise NotFound(f"{NAME}: get: the service has no such call")

    def _finished(self, records: list[At]) -> list[Media]:
        found = {media.id: media for media in (self._row(at).media for at in records) if media is not None}
        return sorted(found.values(), key=_order)

    def _id_names(self) -> tuple[str, ...]:
        """The parameter that names a call, the one that has worked first."""
        return _ID_NAMES[::-1] if self.learnt.get("id_name") == _ID_NAMES[1] else _ID_NAMES

    def _id(self, media: Media) -> str:
        if not CALL_ID.fullmatch(media.id):
            raise NotFound(f"{NAME}: that cannot be the id of a call")
        return media.id

    # --- bytes

    def download(self, media: Media) -> Call:
        """By the call's id, or by extension and status; never by the status `next`, which waits a minute
        for a call to come."""
        selected = selector(media.id) or ((self._id_names()[0], self._id(media)),)
        return calls.asked(self._root, "GetMedia", selected, operation="download")

    def another_download(self, call: Call, reply: Reply) -> Call | None:
        """With the other name of the parameter, where this one is refused. It is remembered; should it not
        be the name either, that is found out by the next download in the same way."""
        if calls.code(reply) != calls.INVALID_PARAMETERS:
            return None
        for name, other in (_ID_NAMES, _ID_NAMES[::-1]):
            value = dict(call.query).get(name)
            if value is not None:
                self.learnt["id_name"] = other
                return replace(call, query=(("action", "GetMedia"), (other, value)))
        return None

    def live(self, user: UserId) -> tuple[tuple[str, Media], ...]:
        if not is_extension(user):
            return ()
        return tuple((name, live_media(MediaId(id_))) for name, id_ in live_names(user))

    # --- changes

    def update(self, media: Media, edits: Edits) -> Flow[Edited]:
        """Sends the fields, then looks whether the record shows them: the reply alone does not."""
        values = attached(edits, self._options.metadata_fields)
        yield from attach(self._root, self._id(media), values, self.learnt, self._secrets())
        shown = yield from self.record(media)
        if stands(shown, values):
            return Edited(media=shown)
        return Edited(media=shown, refused=f"{NAME}: the service keeps another value, or does not show it")

    def erase(self, media: Media, removal: Removal) -> Flow[Erased]:
        if removal is not Removal.PERMANENT:
            raise Unsupported(f"{NAME}: the service has no trash")
        if selector(media.id) is not None:
            raise Forbidden(f"{NAME}: delete: a live name is no recording")
        return (yield from delete(self._root, self._id(media), self._secrets()))

    # --- failures and ids

    def failure(self, call: Call, reply: Reply, scope: Scope | MediaId | None = None) -> MediafsError:
        return calls.failure(call, reply, scope, self._secrets())

    def is_media_id(self, text: str) -> bool:
        return CALL_ID.fullmatch(text) is not None

    def is_conversation_id(self, text: str) -> bool:
        # Without a dot: what desktops probe for is `Thumbs.db`.
        return CALL_ID.fullmatch(text) is not None and "." not in text

    def is_user_id(self, text: str) -> bool:
        return is_extension(text) or is_name(text)

    def _read(self, call: Call, reply: Reply, scope: Scope | MediaId | None) -> Answer:
        return calls.read(call, reply, scope, self._secrets())

    def _secrets(self) -> Iterable[str | None]:
        options = self._options
        return (options.api_key, options.password, options.username)


def _of(user: User | None) -> Callable[[Media], bool]:
    """Whether a call is that user's, by the owner alone: a media has one, whichever way it was listed."""
    if user is None:
        return lambda media: True
    return lambda media: media.owner is not None and media.owner.id == user.id


def _asked(question: Question, media: Media) -> bool:
    """Whether it lies within the bounds of the question, which are included."""
    since, until = question.since, question.until
    late_enough = since is None or media.created >= since.replace(microsecond=0)
    return late_enough and (until is None or media.created <= until)


def _order(media: Media) -> tuple[datetime, str]:
    return media.created, media.id


def _as_exact(found: Media, known: Media) -> Media:
    """A record that leaves the seconds of its start out does not contradict one that has them: else the
    media would be taken for another content."""
    minute = known.created.replace(second=0, microsecond=0)
    return replace(found, created=known.created) if found.created == minute else found


__all__ = ["Verba", "VerbaOptions"]


def _make(given: Given) -> Verba:
    return Verba(
        VerbaOptions(
            base_url=given.base_url,
            api_key=given.text("api_key") or "",
            username=given.text("username"),
            password=given.text("password"),
            extensions=given.texts("extensions"),
            calls=given.conversations,
            search=given.flag("search"),
            metadata_fields=given.texts("metadata_fields"),
            zone=given.zone,
        )
    )


ACCOUNT: Final = AccountSpec(
    vendor=NAME,
    base_url=None,
    example_url="https://recorder.example/verba",
    keys={
        "api_key": Kind.SECRET,
        "username": Kind.TEXT,
        "password": Kind.SECRET,
        "extensions": Kind.IDS,
        "search": Kind.FLAG,
        "metadata_fields": Kind.WORDS,
    },
    ways=(("api_key",),),
    together=(("username", "password"),),
    listed="calls",
    permanent=True,
    make=_make,
)
