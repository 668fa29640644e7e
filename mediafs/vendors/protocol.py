"""How one API says what an account can do: requests to send, replies to parse, and no I/O.

A vendor's module decides everything that is particular to the service. `remote/` sends what it
says, follows redirects, retries, and keeps the rate; it never knows which service it talks to.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypeVar

from ..errors import MediafsError
from ..model import (
    Conversation,
    Edited,
    Edits,
    Erased,
    Media,
    MediaId,
    Page,
    Question,
    Removal,
    Scope,
    Traits,
    User,
    UserId,
)

T = TypeVar("T")

Pairs = tuple[tuple[str, str], ...]

RENEW: Final = 498
"""What `Vendor.status` says of an answer that may come of a spent credential, or of something about this
one media: the credential is renewed once. An answer that stays says nothing of the account's credentials:
`failure` words it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to send. Its repr shows neither headers, query nor body: they may hold secrets."""

    method: str
    url: str
    """Absolute, without a query."""
    query: Pairs = field(default=(), repr=False)
    headers: Pairs = field(default=(), repr=False)
    """May hold credentials: `remote/` drops all of them once a redirect leaves the origin, save
    those it knows to be harmless (Range, If-Range, Accept)."""
    body: bytes | None = field(default=None, repr=False)
    subject: str = field(default="", repr=False)
    """What a signature of the call covers, where the vendor signs calls."""
    other_subject: str = field(default="", repr=False)
    """What it may cover instead, where the vendor's documents contradict each other."""
    idempotent: bool = True
    """May be sent again when it is not known whether the first one arrived."""
    operation: str
    """What this is, for messages: `list`, `get`, `download`, `login`..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One whole answer, of bounded size. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    repeated: bool = False
    """An earlier try of the same call may have been carried out: no answer came, or that of a failure."""


Flow = Generator[Call, Reply, T]
"""An exchange of one or more steps: `reply = yield call`, and returns its outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a login gained. `renew_after_s` counts from when it was gained; None: never."""

    secret: str = field(repr=False)
    renew_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a service is asked at most, as a courtesy or because its vendor writes so.

    A limit that the service itself states or shows in headers is obeyed beside it.
    """

    per_second: int
    parallel: int
    """Requests sent and not answered yet; bodies that are being received do not count."""


class Vendor(Protocol):
    """One service, for one account. Pure: no clock, no socket, no log; `now` comes in, UTC-aware.

    A flow is given every reply but those that amount to 401 or 429, and judges it: where it cannot
    go on it raises what `failure` returns.
    """

    learnt: dict[str, object]
    """What was found out about the service where its documentation is silent (which encoding it takes,
    where its pages begin...). JSON can hold it; it is handed on to the account's next `Vendor`, also over
    a restart, so what is found in it is checked like any input."""

    @property
    def name(self) -> str: ...

    @property
    def traits(self) -> Traits: ...

    @property
    def default_requests_per_minute(self) -> int | None:
        """What the vendor documents; None where it documents nothing."""
        ...

    @property
    def pace(self) -> Pace | None:
        """None: as fast as it goes."""
        ...

    def login(self, now: datetime) -> Flow[Credential]:
        """How a credential is gained; one that is minted here is returned without a request.

        Called again when the service has refused the last one. Raises CredentialsRefused when the
        service says no, InvalidReply when it says nonsense.
        """
        ...

    @property
    def renewals(self) -> int:
        """How many logins in a row a 401 is worth before it is believed: more than one where `login` has
        several secrets to try in turn."""
        ...

    def refused(self, credential: Credential) -> None:
        """The service has answered 401 to this credential: `login` gives another next, if it has one."""
        ...

    def authorized(self, call: Call, credential: Credential) -> Call:
        """The call with the credential on it."""
        ...

    def otherwise(self, call: Call, reply: Reply) -> Call | None:
        """Another way to say a call that was answered with 401, where it may have been said wrong; None:
        it is the credential that is refused."""
        ...

    def status(self, call: Call, reply: Reply) -> int:
        """What a reply amounts to as an HTTP status, or RENEW, for services that word failures as 200."""
        ...

    def is_message(self, call: Call, headers: Mapping[str, str], start: bytes) -> bool:
        """Whether a download answered with 200 or 206 brings a message of the service, not media.

        `start` is the first piece of the body, where `peeks` is set, else empty. Such a body is read
        whole and judged by `status`, like any reply.
        """
        ...

    @property
    def peeks(self) -> bool:
        """Whether `is_message` needs the start of the body."""
        ...

    def page(self, question: Question, now: datetime) -> Flow[Page]:
        """One page of a listing: one request, or several where the service has no such question.

        Raises InvalidReply, and NotFound where the service says so.
        """
        ...

    def record(self, media: Media) -> Flow[Media]:
        """The record of a media as it is now; of `media`, what finds it again is looked at only.

        Raises NotFound, and Unsupported where the service cannot be asked for one.
        """
        ...

    def prove(self, scope: Conversation | User) -> Flow[None]:
        """Proves that the filter behind this kind of scope filters; without a request where there is no
        doubt. The id in it does not matter. Raises FilterRefused where it does not filter."""
        ...

    def download(self, media: Media) -> Call:
        """GET of the bytes; `remote/` adds Range and If-Range."""
        ...

    def another_download(self, call: Call, reply: Reply) -> Call | None:
        """Another way to ask for the same bytes, once the service has refused `call` with `reply`.

        None: there is none, and the refusal stands. For services whose versions differ in how a download
        is worded; asked for once a download.
        """
        ...

    def live(self, user: UserId) -> tuple[tuple[str, Media], ...]:
        """Names in the user's directory behind which another media may be at any time, such as the last
        call, and what to download for each (`Media.fleeting`). No request."""
        ...

    def update(self, media: Media, edits: Edits) -> Flow[Edited]:
        """Changes attributes of `media`, which is the record as it was last seen.

        Raises ValueRefused, Denied, NotFound, Unsupported.
        """
        ...

    def erase(self, media: Media, removal: Removal) -> Flow[Erased]:
        """Takes a media away; one that is gone already is no failure.

        Raises Denied, Unsupported, InvalidReply where the answer does not prove that it is gone.
        """
        ...

    def recover(self, media: Media) -> Flow[Media]:
        """Takes a media out of the trash; returns its record without what only the trash says.

        Raises NotFound, Denied, Unsupported.
        """
        ...

    def failure(self, call: Call, reply: Reply, scope: Scope | MediaId | None = None) -> MediafsError:
        """The error that a reply other than 2xx stands for (401 and 429 never get here)."""
        ...

    def is_media_id(self, text: str) -> bool: ...

    def is_conversation_id(self, text: str) -> bool: ...

    def is_user_id(self, text: str) -> bool: ...
