"""How one API says what an account can do: requests to send, replies to parse, and no I/O.

A vendor's module decides everything that is particular to the service. `remote/` sends what it
says, follows redirects, retries, and keeps the rate; it never knows which service it talks to.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from ..errors import MediafsError
from ..model import Conversation, Media, MediaId, Page, Question, Scope, Traits, User

T = TypeVar("T")

Pairs = tuple[tuple[str, str], ...]


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


Flow = Generator[Call, Reply, T]
"""An exchange of one or more steps: `reply = yield call`, and returns its outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a login gained. `renew_after_s` counts from when it was gained; None: never."""

    secret: str = field(repr=False)
    renew_after_s: float | None


class Vendor(Protocol):
    """One service, for one account. Pure: no clock, no socket, no log."""

    @property
    def name(self) -> str: ...

    @property
    def traits(self) -> Traits: ...

    @property
    def default_requests_per_minute(self) -> int | None:
        """What the vendor documents; None where it documents nothing."""
        ...

    def login(self) -> Flow[Credential]:
        """How a credential is gained; a static token is returned without a request.

        Raises CredentialsRefused when the service says no, InvalidReply when it says nonsense.
        """
        ...

    def authorized(self, call: Call, credential: Credential) -> Call:
        """The call with the credential on it."""
        ...

    def list_page(self, question: Question) -> Call: ...

    def parse_page(self, question: Question, reply: Reply) -> Page:
        """Raises InvalidReply, and NotFound where the service says so with 404."""
        ...

    def get(self, media: MediaId) -> Call: ...

    def parse_media(self, reply: Reply) -> Media: ...

    def probe(self, scope: Conversation | User) -> Call:
        """Lists with a filter on an id that no one can have."""
        ...

    def parse_probe(self, scope: Conversation | User, reply: Reply) -> None:
        """Raises FilterRefused where the reply shows that the filter does not filter."""
        ...

    def download(self, media: MediaId) -> Call:
        """GET of the bytes; `remote/` adds Range and If-Range."""
        ...

    def failure(self, call: Call, reply: Reply, scope: Scope | MediaId | None = None) -> MediafsError:
        """The error that a reply other than 2xx stands for (401 and 429 never get here)."""
        ...

    def is_media_id(self, text: str) -> bool: ...

    def is_conversation_id(self, text: str) -> bool: ...

    def is_user_id(self, text: str) -> bool: ...
