"""Requests and responses as values, so that the service is a function of one to the other and needs no
socket.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil
from typing import Final, Literal, Self
from urllib.parse import parse_qsl, unquote

from mediafs.sandbox.media import CHUNK_BYTES, Body

NO_CONTENT: Final = 204

Headers = tuple[tuple[str, str], ...]

WaitForm = Literal["reset-seconds", "reset-unix", "retry-seconds", "retry-date", "retry-iso", "none"]
"""How a service tells a client to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. Header names are lower case; ``at_s`` is seconds since 1970."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    at_s: float = 0.0

    @property
    def path(self) -> str:
        """The path as it was sent, percent-encoding and all."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def parameters(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    @property
    def segments(self) -> list[str]:
        return [unquote(part) for part in self.path.strip("/").split("/")]

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form-encoded body, empty for any other content type."""
        if not self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The bytes [start, stop) of a body."""

    body: Body
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def chunks(self) -> Iterator[bytes]:
        return self.body.chunks(self.start, self.stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How the bytes travel: the server obeys, whoever wrote the response decides."""

    delay_s: float = 0.0
    cut_after: int | None = None
    stall_after: int | None = None
    stall_s: float = 0.0
    bytes_per_s: float | None = None
    abort: Literal["refuse", "headers"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response. A content-length is sent unless ``chunked``."""

    status: int
    headers: Headers = ()
    payload: bytes | Slice = b""
    chunked: bool = False
    delivery: Delivery = Delivery()

    def __len__(self) -> int:
        return len(self.payload)

    def chunks(self) -> Iterator[bytes]:
        if isinstance(self.payload, Slice):
            return self.payload.chunks()
        return (self.payload[at : at + CHUNK_BYTES] for at in range(0, len(self.payload), CHUNK_BYTES))

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def adding(self, headers: Headers) -> Self:
        """This response with those of *headers* that it does not have yet."""
        new = tuple(pair for pair in headers if self.header(pair[0]) is None)
        return replace(self, headers=(*self.headers, *new))


class Refusal(Exception):
    """The request ends here with an error; ``headers`` go with it, and the vendor's own ``code`` for it, if
    any.
    """

    def __init__(
        self, status: int, text: str, *headers: tuple[str, str], code: int | str | None = None
    ) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers = headers
        self.code = code


def only(request: Request, *methods: str) -> None:
    """Raises Refusal 405 for every other method."""
    if request.method not in methods:
        raise Refusal(405, "Method not allowed", ("Allow", ", ".join(methods)))


def json_response(status: int, value: object, *headers: tuple[str, str]) -> Response:
    """*value* as JSON in ASCII, which survives a lone surrogate in a hostile text."""
    data = json.dumps(value, separators=(",", ":")).encode()
    return Response(status=status, headers=(("Content-Type", "application/json"), *headers), payload=data)


def wait_headers(form: WaitForm, wait_s: float, now_s: float) -> Headers:
    """The header that tells to wait *wait_s* from *now_s* on, in whole seconds where it names a moment."""
    then = datetime.fromtimestamp(ceil(now_s + wait_s), UTC)
    match form:
        case "reset-seconds":
            return (("X-RateLimit-Reset", f"{wait_s:g}"),)
        case "reset-unix":
            return (("X-RateLimit-Reset", f"{then.timestamp():.0f}"),)
        case "retry-seconds":
            return (("Retry-After", f"{wait_s:g}"),)
        case "retry-date":
            return (("Retry-After", format_datetime(then, usegmt=True)),)
        case "retry-iso":
            return (("Retry-After", then.strftime("%Y-%m-%dT%H:%M:%SZ")),)
        case "none":
            return ()
