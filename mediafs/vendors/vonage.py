"""Vonage (Nexmo) Media API v3: what is asked of `/v3/media`, and how its answers are read.

Facts come from the vendor's OpenAPI document (media, 1.0.2), which has neither the download nor how to
log in, from the older official reference that had both, and from the vendor's Node SDK. Where they
contradict each other the OpenAPI document comes first and the others are fallen back to.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from ..errors import InvalidReply, MediafsError, NotFound, Unsupported
from ..model import (
    Conversation,
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
    User,
)
from ._defaults import Defaults
from ._json import At, parse
from ._vonage_changes import (
    OTHER_WAY,
    checked,
    edit_call,
    has_changed,
    is_untouched,
    known_way,
    stands,
    ways,
)
from ._vonage_failures import NAME, failure, is_problem, members, said
from ._vonage_login import authorized, gained
from ._vonage_pages import PAGE_LIMIT, has_no_days, place_of, query_of, read_page
from ._vonage_record import EDITABLE, MEDIA_ID, media_of, shown
from .account import AccountSpec, Given, Kind
from .protocol import Call, Credential, Flow, Pace, Reply
from .vonage_options import VonageOptions

PACE: Final = Pace(per_second=5, parallel=4)
"""Nothing is documented for the Media API; the vendor's slowest documented API takes 5 a second."""
DOUBT: Final = timedelta(days=1)
"""An account that showed media and answers 404 to everything is believed empty after so long: a
deployment under way, or a gateway without its service, is over by then."""

_NOTHING: Final = Page(media=(), total=0, next=None)


class Vonage(Defaults):
    """Implements `Vendor`. Learns `update`, the way to send an edit that has worked; `shown`, the id of
    a media that a listing has shown; and `nothing_since`, when it began to say that there are none."""

    def __init__(self, options: VonageOptions) -> None:
        super().__init__()
        self._options = options
        self._root = options.base_url.rstrip("/") + "/v3/media"

    def __repr__(self) -> str:
        return f"<Vonage {self._root}>"

    @property
    def name(self) -> str:
        return NAME

    @property
    def traits(self) -> Traits:
        return Traits(
            page_limit=PAGE_LIMIT,
            conversations=False,
            users=False,
            editable=frozenset(EDITABLE),
            kept_here=frozenset({"title", "description"}),
            deletable=True,
        )

    @property
    def pace(self) -> Pace | None:
        return PACE

    # --- credentials

    def login(self, now: datetime) -> Flow[Credential]:
        """A token minted here; no request."""
        yield from ()
        return gained(self._options, now)

    def authorized(self, call: Call, credential: Credential) -> Call:
        return authorized(self._options, call, credential)

    # --- listing

    def page(self, question: Question, now: datetime) -> Flow[Page]:
        """One request; a second one where the service says 404, or sends a page again.

        Raises Unsupported for everything but dates: there are no other filters.
        """
        if not isinstance(question.scope, Everything) or question.only != Only():
            raise Unsupported(f"{NAME}: the service lists by date only")
        place = place_of(question)
        if has_no_days(question):
            return _NOTHING
        reply = yield self.list_page(question)
        if reply.status == 404 and not _is_listing(reply):
            yield from self._believe(question, reply, now)
            return _NOTHING if place.index == 0 else Page(media=(), total=None, next=None)
        page = self.parse_page(question, reply)
        if page.media:
            self.learnt.setdefault("shown", page.media[0].id)
            self.learnt.pop("nothing_since", None)
            if page.media[0].id == place.before:
                yield from self._is_the_end(question, page)
                return Page(media=(), total=None, next=None)
        return page

    def list_page(self, question: Question) -> Call:
        query = query_of(question, place_of(question))
        return Call(method="GET", url=self._root, query=query, operation="list")

    def parse_page(self, question: Question, reply: Reply) -> Page:
        if not _is_listing(reply):
            raise self.failure(self.list_page(question), reply, question.scope)
        return read_page(parse(NAME, "list", reply.body), place_of(question))

    def _believe(self, question: Question, reply: Reply, now: datetime) -> Flow[None]:
        """404 means that nothing matches (older reference), or that no Media API is there at all.

        The plainest question tells: where that one is answered, the service is there. Where it is 404
        too, the account is empty; that is believed where the service says so in its own way, and, of
        an account that has shown media, only after `DOUBT`. Raises InvalidReply.
        """
        plain = Question(limit=1, newest_first=True)
        call = self.list_page(plain)
        if self.list_page(question).query != call.query:
            reply = yield call
            if reply.status != 404 or _is_listing(reply):
                self.parse_page(plain, reply)
                self.learnt.pop("nothing_since", None)
                return
        if reply.body.strip() and not is_problem(reply):
            raise self.failure(call, reply)
        if "shown" not in self.learnt:
            return
        since = _moment(self.learnt.get("nothing_since"))
        if since is None or since > now:
            since = now
            self.learnt["nothing_since"] = now.isoformat()
        if now - since < DOUBT:
            raise InvalidReply(
                f"{NAME}: list: the service says that there is no media at all, where it has shown some"
                f" (404); believed when it still says so {DOUBT.days * 24} hours on"
            )
        self.learnt.pop("shown")

    def _is_the_end(self, question: Question, page: Page) -> Flow[None]:
        """The page before this one came again: proves that nothing is behind it. Raises InvalidReply."""
        edge = page.media[-1].created
        beyond = Question(
            since=question.since if question.newest_first else edge,
            until=edge if question.newest_first else question.until,
            newest_first=question.newest_first,
            limit=place_of(question).size,
        )
        known = {media.id for media in page.media}
        if not has_no_days(beyond):
            reply = yield self.list_page(beyond)
            rest = self.parse_page(beyond, reply)
            if all(media.id in known for media in rest.media) and rest.next is None:
                return
        raise InvalidReply(f"{NAME}: list: the service sends the same page again")

    # --- one media

    def record(self, media: Media) -> Flow[Media]:
        return media_of((yield from self._info(media.id)))

    def _info(self, media: MediaId) -> Flow[At]:
        """The record of a media, not read yet. Raises NotFound and InvalidReply."""
        call = self.get(media)
        reply = yield call
        if reply.status in (404, 410):
            yield from self._is_there(reply)
        if not 200 <= reply.status < 300:
            raise self.failure(call, reply, media)
        root = parse(NAME, call.operation, reply.body)
        if root["id"].text() != media:
            raise InvalidReply(f"{NAME}: {call.operation}: the record of another media came for {media}")
        return root

    def get(self, media: MediaId) -> Call:
        return Call(method="GET", url=f"{self._media_url(media)}/info", operation="get")

    def parse_media(self, reply: Reply) -> Media:
        return media_of(parse(NAME, "get", reply.body))

    def download(self, media: Media) -> Call:
        """Always with the credential, public media too: the limit on downloads is one of those without."""
        return Call(method="GET", url=self._media_url(media.id), operation="download")

    def _media_url(self, media: MediaId) -> str:
        if not MEDIA_ID.fullmatch(media):
            raise NotFound(f"{NAME}: that cannot be the id of a media")
        return f"{self._root}/{quote(media, safe='')}"

    # --- changes

    def update(self, media: Media, edits: Edits) -> Flow[Edited]:
        """Sends the edit in one way after the other until one is taken; the record must not contradict."""
        values, url, known = checked(edits), self._media_url(media.id), known_way(self.learnt)
        refusal: MediafsError | None = None
        record: Media | None = None
        for way in ways(known):
            call = edit_call(url, values, way)
            reply = yield call
            if reply.status in OTHER_WAY:
                refusal = refusal or self.failure(call, reply, media.id)
                if way == known and reply.status in (400, 404):
                    break  # the way is right: it is the value that is refused, or the media is gone
                continue
            if not 200 <= reply.status < 300:
                raise self.failure(call, reply, media.id)
            root = yield from self._info(media.id)
            record, fields = media_of(root), shown(root)
            if stands(fields, values):
                if refusal is not None or has_changed(fields, values, media):
                    self.learnt["update"] = way
                return Edited(media=record)
            if not is_untouched(fields, values, media):
                break  # it took the value, and made another of it
        if refusal is not None and record is None:
            raise refusal
        return Edited(media=record, refused=f"{NAME}: the service keeps another value")

    def erase(self, media: Media, removal: Removal) -> Flow[Erased]:
        """A success is 204 (documented), an empty answer, or a record that is not there any more."""
        if removal is not Removal.PERMANENT:
            raise Unsupported(f"{NAME}: the service has no trash")
        call = Call(method="DELETE", url=self._media_url(media.id), operation="delete")
        reply = yield call
        missing = reply.status in (404, 410)
        if missing:
            if not is_problem(reply):
                yield from self._is_gone(media.id)
        elif not 200 <= reply.status < 300:
            raise self.failure(call, reply, media.id)
        elif reply.status == 202 or reply.body.strip():
            yield from self._is_gone(media.id)
        if self.learnt.get("shown") == media.id:
            self.learnt.pop("shown")
        if missing and reply.repeated:  # it is gone because of an earlier try
            return Erased(answer=f"DELETE {reply.status} after a try without an answer")
        return Erased(answer=f"DELETE {reply.status}", carried_out=not missing)

    def _is_there(self, reply: Reply) -> Flow[None]:
        """A gateway says 404 to everything: the service has to show that it answers at all."""
        if not is_problem(reply):
            plain = Question(limit=1, newest_first=True)
            reply = yield self.list_page(plain)
            if not (reply.status == 404 and is_problem(reply)):
                self.parse_page(plain, reply)

    def _is_gone(self, media: MediaId) -> Flow[None]:
        """Some page before the service may have answered in its place."""
        try:
            yield from self._info(media)
        except NotFound:
            return
        raise InvalidReply(
            f"{NAME}: delete: the service did not say that it is done, and media {media} is still there"
        )

    # --- filters, failures and ids

    def prove(self, scope: Conversation | User) -> Flow[None]:
        yield from ()
        raise Unsupported(f"{NAME}: the service lists by date only")

    def failure(self, call: Call, reply: Reply, scope: Scope | MediaId | None = None) -> MediafsError:
        """The error for a reply other than 2xx, with the service's own words where it has some."""
        secrets = (self._options.api_secret, self._options.api_key)
        return failure(call, reply, scope, said(reply, secrets))

    def is_media_id(self, text: str) -> bool:
        return MEDIA_ID.fullmatch(text) is not None

    def is_conversation_id(self, text: str) -> bool:
        return False

    def is_user_id(self, text: str) -> bool:
        return False


def _is_listing(reply: Reply) -> bool:
    """The older reference says that the default listing may come with the status 404."""
    return 200 <= reply.status < 300 or (reply.status == 404 and "_embedded" in members(reply))


def _moment(text: object) -> datetime | None:
    """A time that was learnt; None for anything else."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


__all__ = ["Vonage", "VonageOptions"]


def _make(given: Given) -> Vonage:
    return Vonage(
        VonageOptions(
            base_url=given.base_url,
            application_id=given.text("application_id"),
            private_key=given.text("private_key"),
            api_key=given.text("api_key"),
            api_secret=given.text("api_secret"),
            key_in=given.text("key_in") or "query",  # type: ignore[arg-type]  # VonageOptions checks it
        )
    )


ACCOUNT: Final = AccountSpec(
    vendor=NAME,
    base_url="https://api.nexmo.com",
    keys={
        "application_id": Kind.TEXT,
        "private_key": Kind.SECRET_LINES,
        "api_key": Kind.SECRET,
        "api_secret": Kind.SECRET,
        "key_in": Kind.TEXT,
    },
    ways=(("application_id", "private_key"), ("api_key", "api_secret")),
    archive_keys=("application_id",),
    permanent=True,
    make=_make,
)
