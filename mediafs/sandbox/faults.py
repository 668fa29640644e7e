"""Faults on a script: each matches some requests, spoils the first few of them, and is used up.

Decided here: what each kind of fault does to a response. Obeying the delivery (cutting, stalling) is the
server's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from http.client import responses
from typing import Final, Literal, get_args

from mediafs.sandbox.media import Body, NoiseBody, ResizedBody
from mediafs.sandbox.wire import (
    NO_CONTENT,
    Delivery,
    Headers,
    Refusal,
    Request,
    Response,
    Slice,
    WaitForm,
    wait_headers,
)


class Kind(StrEnum):
    """What goes wrong."""

    STATUS = "status"
    """``status`` with ``headers`` and ``body`` (default: the error as the service words it)."""
    REFUSE = "refuse"
    """The connection is reset before any byte."""
    RESET = "reset"
    """The connection is reset in the middle of the headers."""
    CUT = "cut"
    """The connection ends after ``after_bytes`` of the body promised."""
    STALL = "stall"
    """Nothing comes for ``seconds`` after ``after_bytes`` of the body."""
    TRICKLE = "trickle"
    """The body comes at ``bytes_per_s``."""
    SHORT = "short"
    """The body is ``after_bytes`` smaller than recorded (default 1), and the headers agree with it."""
    LONG = "long"
    """The body is ``after_bytes`` larger than recorded (default 1), and the headers agree with it."""
    WRONG_RANGE = "wrong-range"
    """The Content-Range says one byte later than the bytes are."""
    IGNORE_RANGE = "ignore-range"
    """200 and everything, whatever range was asked for."""
    HTML = "html"
    """200 and a login page."""
    JSON = "json"
    """200 and ``body`` as JSON (default the service's error)."""
    BAD_JSON = "bad-json"
    """200 and JSON that breaks off (``body`` or the beginning of a list)."""
    DEEP_JSON = "deep-json"
    """200 and 100,000 nested lists."""
    HUGE_JSON = "huge-json"
    """200 and a JSON string of ``after_bytes`` (default 64 MiB)."""
    REDIRECT_LOOP = "redirect-loop"
    """302 to the request's own address."""
    REDIRECT = "redirect"
    """302 to ``location`` (default: the same path on the storage origin)."""
    DELAY = "delay"
    """Nothing for ``seconds``, and only then the request is looked at and answered."""
    LATE = "late"
    """The request is carried out at once, and its answer is withheld for ``seconds``."""
    LOST = "lost"
    """The request is carried out, and after ``seconds`` the connection is reset before any byte of the
    answer.
    """
    CHANGE = "change"
    """The media's bytes are other ones from this request on (``after_bytes`` of them, default as many as
    before).
    """
    EMPTY = "empty"
    """200 without a body."""
    BLANK = "blank"
    """The request is carried out, and its answer is 200 without a body."""


DEEP: Final = 100_000
HUGE_BYTES: Final = 64 * 1024 * 1024
ERROR_TEXT: Final = {401: "Invalid token", 403: "Not allowed", 429: "Rate limit exceeded"}
"""Where it is not the status's own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One entry of the script. It spoils ``times`` matching requests (None: all) after letting ``skip``
    pass.

    ``path`` is a prefix of the path without the query, or a pattern when it has a ``*``, which then must
    fit the whole.
    """

    kind: Kind
    method: str = "*"
    path: str = "/"
    exact: bool = False
    times: int | None = 1
    skip: int = 0
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    wait_s: float | None = None
    """A wait told to the client in the form ``wait_form``, counted from the moment of the answer."""
    wait_form: WaitForm = "reset-seconds"
    after_bytes: int | None = None
    seconds: float = 0.0
    bytes_per_s: float = 1024.0
    location: str | None = None

    def matches(self, request: Request) -> bool:
        if self.method not in ("*", request.method):
            return False
        if self.exact:
            return request.path == self.path
        if "*" in self.path:
            return fnmatchcase(request.path, self.path)
        return request.path.startswith(self.path)


def read_fault(value: object) -> Fault:
    """The fault that a JSON object describes. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("a fault is a JSON object")
    unknown = value.keys() - {item.name for item in fields(Fault)}
    if unknown:
        raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
    if value.get("wait_form", "reset-seconds") not in get_args(WaitForm):
        raise ValueError("unknown wait_form")
    return Fault(**(value | {"kind": Kind(value.get("kind", ""))}))


class Script:
    """Faults in order; the first that matches and is not used up takes the request."""

    def __init__(self) -> None:
        self._entries: list[tuple[Fault, list[int]]] = []

    def add(self, faults: Iterable[Fault]) -> None:
        # The list holds what is left: requests to let pass, then requests to spoil (-1: all).
        self._entries += [
            (fault, [fault.skip, -1 if fault.times is None else fault.times]) for fault in faults
        ]

    def clear(self) -> None:
        self._entries.clear()

    @property
    def pending(self) -> int:
        """Faults not yet used up; one for all requests counts for ever."""
        return len(self._entries)

    def take(self, request: Request) -> Fault | None:
        """The fault for *request*, which is thereby used."""
        for number, (fault, left) in enumerate(self._entries):
            if not fault.matches(request):
                continue
            if left[0] > 0:
                left[0] -= 1
                continue
            left[1] -= 1
            if left[1] == 0:
                del self._entries[number]
            return fault
        return None


Handle = Callable[[Request, Callable[[Body], Body] | None], Response]


def spoil(
    fault: Fault,
    request: Request,
    handle: Handle,
    *,
    error: Callable[[Refusal], Response],
    storage: str,
    change: Callable[[int | None], None],
) -> Response:
    """The answer to *request* with *fault* in it.

    *handle* is the service and *error* its way of saying no; *change* gives the media of this request other
    bytes, that many or as many as it had.
    """
    amount = fault.after_bytes
    match fault.kind:
        case Kind.REFUSE | Kind.RESET:
            abort: Literal["refuse", "headers"] = "refuse" if fault.kind is Kind.REFUSE else "headers"
            return Response(status=0, delivery=Delivery(abort=abort, delay_s=fault.seconds))
        case Kind.LOST:
            handle(request, None)
            return Response(status=0, delivery=Delivery(abort="refuse", delay_s=fault.seconds))
        case Kind.BLANK:
            handle(request, None)
            return Response(status=200, delivery=Delivery(delay_s=fault.seconds))
        case Kind.DELAY:
            # The server has waited already.
            return handle(request, None)
        case Kind.SHORT | Kind.LONG:
            delta = (1 if amount is None else amount) * (1 if fault.kind is Kind.LONG else -1)
            return handle(request, lambda body: ResizedBody(base=body, size=max(0, body.size + delta)))
        case Kind.IGNORE_RANGE:
            kept = {name: value for name, value in request.headers.items() if name != "range"}
            return handle(replace(request, headers=kept), None)
        case Kind.CHANGE:
            change(amount)
            return handle(request, None)
        case Kind.WRONG_RANGE:
            response = handle(request, None)
            return replace(response, headers=tuple(_shifted(pair) for pair in response.headers))
        case Kind.CUT | Kind.STALL | Kind.TRICKLE | Kind.LATE:
            response = handle(request, None)
            return replace(response, delivery=_delivery(fault, response.delivery))
        case _:
            made = _made_up(fault, request, storage, error)
            return replace(made, delivery=Delivery(delay_s=fault.seconds))


def _delivery(fault: Fault, before: Delivery) -> Delivery:
    after = fault.after_bytes or 0
    match fault.kind:
        case Kind.CUT:
            return replace(before, cut_after=after, delay_s=fault.seconds)
        case Kind.STALL:
            return replace(before, stall_after=after, stall_s=fault.seconds)
        case Kind.TRICKLE:
            return replace(before, bytes_per_s=fault.bytes_per_s)
        case _:
            return replace(before, delay_s=fault.seconds)


def _made_up(fault: Fault, request: Request, storage: str, error: Callable[[Refusal], Response]) -> Response:
    """The answer of the kinds that never reach the service."""
    headers = tuple(fault.headers.items()) + _told_wait(fault, request.at_s)
    as_json = _typed(headers, "application/json")
    match fault.kind:
        case Kind.STATUS:
            if fault.status in (NO_CONTENT, 304):
                return Response(status=fault.status, headers=headers)
            if fault.body is not None:
                return Response(status=fault.status, headers=as_json, payload=fault.body.encode())
            text = ERROR_TEXT.get(fault.status) or responses.get(fault.status, "Error")
            said = error(Refusal(fault.status, text))
            return Response(status=fault.status, headers=headers, payload=said.payload).adding(said.headers)
        case Kind.HTML:
            page = fault.body or "<!DOCTYPE html><html><title>Sign in</title><p>Please sign in.</p></html>"
            typed = _typed(headers, "text/html; charset=utf-8")
            return Response(status=200, headers=typed, payload=page.encode())
        case Kind.JSON:
            if fault.body is not None:
                return Response(status=200, headers=as_json, payload=fault.body.encode())
            said = error(Refusal(500, "Something went wrong"))
            return Response(status=200, headers=as_json, payload=said.payload)
        case Kind.BAD_JSON:
            text = '{"total": 3, "data": [{"id": 1,' if fault.body is None else fault.body
            return Response(status=200, headers=as_json, payload=text.encode())
        case Kind.DEEP_JSON:
            return Response(status=200, headers=as_json, payload=b"[" * DEEP + b"]" * DEEP)
        case Kind.HUGE_JSON:
            size = HUGE_BYTES if fault.after_bytes is None else fault.after_bytes
            huge = _HugeString(size=size)
            return Response(status=200, headers=as_json, payload=Slice(body=huge, start=0, stop=size))
        case Kind.REDIRECT_LOOP | Kind.REDIRECT:
            location = request.target if fault.kind is Kind.REDIRECT_LOOP else fault.location
            return Response(status=302, headers=(("Location", location or storage + request.path), *headers))
        case _:
            return Response(status=200, headers=headers)


def _typed(headers: Headers, content_type: str) -> Headers:
    """*headers* with that content type, unless they have one."""
    return Response(status=200, headers=headers).adding((("Content-Type", content_type),)).headers


@dataclass(frozen=True, slots=True, kw_only=True)
class _HugeString:
    """A JSON string of *size* bytes, quotes included, never held whole."""

    size: int
    etag: str = "huge"
    content_type: str = "application/json"

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        for at in range(start, stop, 65536):
            end = min(at + 65536, stop)
            text = bytearray(b"x" * (end - at))
            if at == 0:
                text[:1] = b'"'
            if end == self.size:
                text[-1:] = b'"'
            yield bytes(text)


def _shifted(pair: tuple[str, str]) -> tuple[str, str]:
    name, value = pair
    if name != "Content-Range":
        return pair
    span, _, size = value.removeprefix("bytes ").partition("/")
    first, _, last = span.partition("-")
    return name, f"bytes {int(first) + 1}-{int(last) + 1}/{size}"


def _told_wait(fault: Fault, now_s: float) -> Headers:
    return () if fault.wait_s is None else wait_headers(fault.wait_form, fault.wait_s, now_s)


def other_body(old: Body, size: int | None, seed: int) -> Body:
    """Bytes that differ from *old*'s in every block, of the same type and, unless told, the same size."""
    return NoiseBody(size=old.size if size is None else size, seed=seed, content_type=old.content_type)
