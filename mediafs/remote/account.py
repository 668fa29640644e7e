"""An account of a service, over the network: what `Source` asks for, said by a `Vendor`.

Here and only here the head of a download is judged: a part must be the part that was asked for, and
no coding may hide how long a body is.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, NoReturn, Self, TypeVar, cast

import httpx
import trio

from ..errors import InvalidReply, MediafsError, NotFound, NotReady, Unavailable
from ..model import (
    AccountName,
    Conversation,
    Edited,
    Edits,
    Erased,
    Media,
    MediaId,
    Page,
    Question,
    Removal,
    Span,
    Traits,
    Urgency,
    User,
    UserId,
)
from ..source import Body
from ..vendors.protocol import Call, Flow, Reply, Vendor
from .credentials import CredentialState
from .exchange import Exchanges
from .incoming import Incoming
from .limits import Limiter, LimiterStatistics
from .options import TransportOptions
from .retry import RetryOptions, http_date_s
from .transport import Transport

T = TypeVar("T")

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", re.ASCII | re.IGNORECASE)
_LENGTH: Final = re.compile(r"\d{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOptions:
    """How an account is reached, and how patiently."""

    requests_per_minute: int = 0
    """0: what the service shows."""
    transport: TransportOptions = field(default_factory=TransportOptions)
    retry: RetryOptions = field(default_factory=RetryOptions)

    def __post_init__(self) -> None:
        if self.requests_per_minute < 0:
            raise ValueError("requests_per_minute must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The last failure of one kind, for `status`."""

    kind: str
    """The name of the error's class."""
    operation: str
    message: str
    at_wall_s: float
    """Unix time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What one answer of the service tells about it."""

    total: int | None
    """Media that the account can see."""
    server_time: float | None
    """The service's clock, Unix time, to the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatistics:
    limits: LimiterStatistics
    credentials: CredentialState
    problems: tuple[Problem, ...]
    """The last of each kind, newest first."""


class RemoteAccount:
    """Implements `Source`; `async with` closes its connections.

    `limits` is what `export_limits` gave in an earlier process. `reread` makes the vendor anew with
    its secrets read again, before every login but the first. `http` replaces the network in tests.
    Raises ConfigError where a certificate cannot be read.
    """

    def __init__(
        self,
        name: AccountName,
        vendor: Vendor,
        options: RemoteOptions | None = None,
        *,
        limits: Mapping[str, object] | None = None,
        reread: Callable[[], Awaitable[Vendor]] | None = None,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        options = options or RemoteOptions()
        self._name = name
        self._traits = vendor.traits
        self._wall = wall
        self._limits = limits
        self._problems: dict[str, Problem] = {}
        self._transport = Transport(options.transport, http=http)
        self._limiter = Limiter(
            requests_per_minute=options.requests_per_minute,
            documented=vendor.default_requests_per_minute,
            pace=vendor.pace,
            wall=wall,
        )
        self._exchanges = Exchanges(
            name,
            vendor,
            self._transport,
            self._limiter,
            retry=options.retry,
            wall=wall,
            jitter=jitter,
            reread=reread,
        )

    def __repr__(self) -> str:
        return f"<RemoteAccount {self._name} {self._exchanges.vendor.name} {self._exchanges.credentials!r}>"

    async def __aenter__(self) -> Self:
        if self._limits is not None:
            self._limiter.restore(self._limits)
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    # --- Source

    @property
    def traits(self) -> Traits:
        return self._traits

    async def page(self, question: Question, *, urgency: Urgency) -> Page:
        """See `Source.page`."""
        return await self._drive(self._vendor.page(question, self._now()), urgency)

    async def media(self, media: Media, *, urgency: Urgency) -> Media:
        """See `Source.media`."""
        return await self._drive(self._vendor.record(media), urgency)

    async def prove_filter(self, scope: Conversation | User, *, urgency: Urgency) -> None:
        """See `Source.prove_filter`."""
        await self._drive(self._vendor.prove(scope), urgency)

    async def update(self, media: Media, edits: Edits, *, urgency: Urgency) -> Edited:
        """See `Source.update`."""
        return await self._drive(self._vendor.update(media, edits), urgency)

    async def erase(self, media: Media, removal: Removal, *, urgency: Urgency) -> Erased:
        """See `Source.erase`."""
        return await self._drive(self._vendor.erase(media, removal), urgency)

    async def recover(self, media: Media, *, urgency: Urgency) -> Media:
        """See `Source.recover`."""
        return await self._drive(self._vendor.recover(media), urgency)

    @asynccontextmanager
    async def body(
        self, media: Media, span: Span, *, if_range: str | None = None, urgency: Urgency
    ) -> AsyncIterator[Body]:
        """See `Source.body`. The span is asked for as a range; a 200 is the whole all the same."""
        plain = self._vendor.download(media)
        # Where each download counts, a range that is refused could count too.
        whole = media.download_once and span == Span(0)
        call = plain if whole else _ranged(plain, span, if_range)
        with self._noted(call, urgency):
            answer = await self._exchanges.open(call, urgency)
            if answer.incoming.status in (400, 416, 501) and span.start == 0 and span.stop is None:
                # A whole body is meant: what refuses it as a range may give it without.
                answer = await self._exchanges.open(plain, urgency)
            if answer.reply is not None and not answer.strayed:
                other = self._vendor.another_download(plain, answer.reply)
                if other is not None:
                    call = other if whole else _ranged(other, span, if_range)
                    answer = await self._exchanges.open(call, urgency)
            incoming = answer.incoming
            if answer.reply is not None:
                self._refuse_body(call, media.id, answer.reply)
        try:
            with self._noted(call, urgency):
                hurried = urgency is Urgency.PERSON
                body = _head(
                    call, span, incoming, lambda error: self._note(call, error, urgency), hurried=hurried
                )
            yield body
        finally:
            await incoming.aclose()

    def live(self, user: UserId) -> tuple[tuple[str, Media], ...]:
        """See `Vendor.live`."""
        return self._vendor.live(user)

    def wait_s(self, task: trio.lowlevel.Task) -> float:
        """See `Source.wait_s`."""
        return self._limiter.waits_s(task)

    def spare(self, urgency: Urgency) -> int | None:
        """See `Source.spare`."""
        return self._limiter.spare(urgency)

    async def reach(self) -> Reach:
        """Asks for one media, to see whether the service answers and takes the credentials.

        Raises what `page` raises.
        """
        dates: list[str] = []
        flow = self._vendor.page(Question(limit=1), self._now())
        page = await self._drive(
            flow, Urgency.PERSON, lambda reply: dates.append(reply.headers.get("date", ""))
        )
        return Reach(total=page.total, server_time=http_date_s(dates[-1]) if dates else None)

    def is_conversation_id(self, text: str) -> bool:
        return self._vendor.is_conversation_id(text)

    def is_user_id(self, text: str) -> bool:
        return self._vendor.is_user_id(text)

    # --- what is told about it

    def statistics(self) -> AccountStatistics:
        newest_first = sorted(self._problems.values(), key=lambda p: p.at_wall_s, reverse=True)
        return AccountStatistics(
            limits=self._limiter.statistics(),
            credentials=self._exchanges.credentials.state,
            problems=tuple(newest_first),
        )

    def export_limits(self) -> dict[str, object]:
        """What the next process has to know of the service's rate limit, as JSON can hold it."""
        return self._limiter.export()

    # ---

    @property
    def _vendor(self) -> Vendor:
        return self._exchanges.vendor

    @property
    def learnt(self) -> dict[str, object]:
        """What the vendor's module found out about the service; JSON can hold it."""
        return self._vendor.learnt

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall(), UTC)

    async def _drive(
        self, flow: Flow[T], urgency: Urgency, hear: Callable[[Reply], object] = lambda reply: None
    ) -> T:
        """Runs an exchange to its end; `hear` is told of every reply."""
        answered = changed = False
        try:
            call = next(flow)
            while True:
                with self._noted(call, urgency):
                    try:
                        reply = await self._exchanges.fetch(call, urgency)
                    except MediafsError as error:
                        error.undecided |= answered
                        raise
                    hear(reply)
                    answered, asked = True, call.method
                    try:
                        call = flow.send(reply)
                    except StopIteration as stop:
                        outcome: T = stop.value
                        return outcome
                    except MediafsError as error:
                        # A 502 may come from before the service, and nonsense from anywhere; and what the
                        # service took before it said no to a later question is done.
                        error.undecided |= changed or isinstance(error, Unavailable | InvalidReply)
                        raise
                    changed |= reply.status < 300 and asked != "GET"
        except StopIteration as stop:  # it needed no request
            return cast(T, stop.value)
        finally:
            flow.close()

    def _refuse_body(self, call: Call, media: MediaId, reply: Reply) -> NoReturn:
        """Why a download has no body: any status but 200 and 206, or a message in its place."""
        if reply.status == 204:
            raise NotReady(f"{call.operation}: media {media} has no content yet")
        if reply.status == 416:
            says = reply.headers.get("content-range", "").partition("/")[2]
            size = f"; it says that it has {says} bytes" if _LENGTH.fullmatch(says) else ""
            raise InvalidReply(f"{call.operation}: media {media} has no such range{size}")
        if 200 <= self._vendor.status(call, reply) < 300:
            raise InvalidReply(f"{call.operation}: media {media} was answered with {reply.status}")
        raise self._vendor.failure(call, reply, media)

    @contextmanager
    def _noted(self, call: Call, urgency: Urgency) -> Iterator[None]:
        try:
            yield
        except NotFound:  # an answer, not a problem
            raise
        except MediafsError as exc:
            self._note(call, exc, urgency)
            raise

    def _note(self, call: Call, error: MediafsError, urgency: Urgency) -> None:
        if urgency is Urgency.PREFETCH:
            return  # a problem for nobody: who needs it asks anew
        kind = type(error).__name__
        self._problems[kind] = Problem(
            kind=kind, operation=call.operation, message=str(error), at_wall_s=self._wall()
        )


def _ranged(call: Call, span: Span, if_range: str | None) -> Call:
    if span.stop == span.start:
        raise ValueError("a range of no bytes cannot be asked for")
    last = "" if span.stop is None else str(span.stop - 1)
    headers = (*call.headers, ("Range", f"bytes={span.start}-{last}"))
    if if_range is not None:
        headers += (("If-Range", if_range),)
    return replace(call, headers=headers)


def _head(
    call: Call, span: Span, incoming: Incoming, tell: Callable[[MediafsError], None], *, hurried: bool
) -> Body:
    """What the head of a 200 or 206 says. Raises InvalidReply where it cannot be right."""
    what = f"{call.operation}: the answer of {incoming.hop.host}"
    headers = incoming.headers
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise InvalidReply(f"{what} is coded, which was not asked for: its length would prove nothing")
    stated = headers.get("content-length", "").strip()
    if stated and not _LENGTH.fullmatch(stated):
        raise InvalidReply(f"{what} has a Content-Length that is no number")
    length = int(stated) if stated else None
    start, total = 0, length
    if incoming.status == 206:
        start, stop, total = _content_range(what, span, headers.get("content-range", ""))
        if length not in (None, stop - start):
            raise InvalidReply(f"{what} has a Content-Length that is not its Content-Range's")
        length = stop - start
    return Body(
        start=start,
        length=length,
        total=total,
        partial=incoming.status == 206,
        content_type=headers.get("content-type", "").partition(";")[0].strip().lower() or None,
        etag=headers.get("etag"),
        last_modified=headers.get("last-modified"),
        receive_into=incoming.receiver(length, tell),
        chunks=incoming.chunks(length, tell, hurried=hurried),
    )


def _content_range(what: str, span: Span, text: str) -> tuple[int, int, int | None]:
    """First byte, the one after the last, and the total where it is known."""
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None:
        raise InvalidReply(f"{what} is a part without a Content-Range that can be read")
    start, stop = int(match[1]), int(match[2]) + 1
    total = None if match[3] == "*" else int(match[3])
    if stop <= start or (total is not None and stop > total):
        raise InvalidReply(f"{what} has a Content-Range that contradicts itself")
    if start != span.start or (span.stop is not None and stop > span.stop):
        raise InvalidReply(f"{what} is another part ({start} to {stop - 1}) than was asked for")
    return start, stop, total
