"""A Source whose bodies misbehave on a script, and that counts what it is asked."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import trio

from mediafs.errors import MediafsError, NotFound, Unavailable
from mediafs.model import (
    AccountName,
    Conversation,
    Data,
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
    Version,
)
from mediafs.reading.checks import Identity
from mediafs.reading.disk.bodyfile import Record
from mediafs.reading.reader import Reader
from mediafs.source import Body

KIB = 1024
MIB = 1024 * KIB


def some_bytes(size: int, seed: int = 0) -> bytes:
    """Bytes that differ from place to place, so that shifted ones are seen."""
    words = (((place + seed) * 2654435761 % 2**32).to_bytes(4, "big") for place in range((size + 3) // 4))
    return b"".join(words)[:size]


def a_media(size: int | None, *, filename: str = "call.mp4", mime_type: str | None = None) -> Media:
    return Media(
        id=MediaId("m1"),
        created=datetime(2024, 5, 17, tzinfo=UTC),
        filename=filename,
        size=size,
        mime_type=mime_type,
    )


def version_of(media: Media) -> Version:
    return Version(AccountName("clinic"), media.id, media.validator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How one GET goes wrong. What is not named stays as it is."""

    refuse: MediafsError | None = None
    """Raised on entering."""
    hang: bool = False
    """No reply ever."""
    cut_after: int | None = None
    """`Unavailable` after so many bytes of the body."""
    stall_after: int | None = None
    """Nothing more after so many bytes."""
    short_by: int = 0
    """Ends as if all were well, with no length stated."""
    extra: bytes = b""
    """Goes on past the end, with no length stated."""
    shift: int = 0
    """Starts elsewhere than asked, and says so."""
    ignore_range: bool = False
    content_type: str | None = None
    total: int | None = None
    bug: BaseException | None = None
    """Raised on entering; not a domain error."""


@dataclass(frozen=True, slots=True)
class Asked:
    span: Span
    if_range: str | None
    urgency: Urgency


class ScriptedSource:
    """Serves `content`; the first faults apply to the first GETs, in order."""

    def __init__(
        self,
        content: bytes,
        faults: Iterable[Fault | None] = (),
        *,
        ranges: bool = True,
        etag: str | None = '"one"',
        last_modified: str | None = None,
        tells_size: bool = True,
        chunk: int = 64 * KIB,
        pace_s: float = 0.0,
        straight: bool = False,
        answer_s: float = 0.0,
    ) -> None:
        """`straight`: bodies can be received into buffers."""
        self.content = content
        self.faults: deque[Fault | None] = deque(faults)
        self.ranges = ranges
        self.etag = etag
        self.last_modified = last_modified
        self.tells_size = tells_size
        self.chunk = chunk
        self.pace_s = pace_s
        self.straight = straight
        self.answer_s = answer_s
        self.gone = False
        self.to_spare: int | None = None
        self.asked: list[Asked] = []
        self.sent = 0
        self.open_bodies = 0

    @property
    def spans(self) -> list[Span]:
        return [each.span for each in self.asked]

    @property
    def traits(self) -> Traits:
        raise AssertionError("reading asks for bytes only")

    async def page(self, question: Question, *, urgency: Urgency) -> Page:
        raise AssertionError("reading asks for bytes only")

    async def media(self, media: Media, *, urgency: Urgency) -> Media:
        raise AssertionError("reading asks for bytes only")

    async def update(self, media: Media, edits: Edits, *, urgency: Urgency) -> Edited:
        raise AssertionError("reading changes nothing")

    async def erase(self, media: Media, removal: Removal, *, urgency: Urgency) -> Erased:
        raise AssertionError("reading changes nothing")

    async def recover(self, media: Media, *, urgency: Urgency) -> Media:
        raise AssertionError("reading changes nothing")

    async def prove_filter(self, scope: Conversation | User, *, urgency: Urgency) -> None:
        raise AssertionError("reading asks for bytes only")

    def live(self, user: UserId) -> tuple[tuple[str, Media], ...]:
        return ()

    def wait_s(self, task: trio.lowlevel.Task) -> float:
        return 0.0

    def spare(self, urgency: Urgency) -> int | None:
        return self.to_spare

    def is_media_id(self, text: str) -> bool:
        return True

    is_conversation_id = is_user_id = is_media_id

    def body(
        self, media: Media, span: Span, *, if_range: str | None = None, urgency: Urgency
    ) -> AbstractAsyncContextManager[Body]:
        self.asked.append(Asked(span, if_range, urgency))
        fault = self.faults.popleft() if self.faults else None
        return self._body(span, if_range, fault or Fault())

    @asynccontextmanager
    async def _body(self, span: Span, if_range: str | None, fault: Fault) -> AsyncIterator[Body]:
        await trio.sleep(self.answer_s)
        if fault.bug is not None:
            raise fault.bug
        if fault.hang:
            await trio.sleep_forever()
        if fault.refuse is not None:
            raise fault.refuse
        if self.gone:
            raise NotFound("no such media")
        whole = self.content
        partial = self.ranges and not fault.ignore_range and (if_range is None or if_range == self.etag)
        start = max(span.start + fault.shift, 0) if partial else 0
        stop = min(span.stop, len(whole)) if partial and span.stop is not None else len(whole)
        data = whole[start:stop]
        stated = self.tells_size and not fault.short_by and not fault.extra
        total: int | None = len(whole) if stated or (partial and self.tells_size) else None
        chunks = self._chunks(data[: len(data) - fault.short_by] + fault.extra, fault)
        self.open_bodies += 1
        try:
            async with aclosing(chunks):
                yield Body(
                    start=start,
                    length=len(data) if stated else None,
                    total=fault.total if fault.total is not None else total,
                    partial=partial,
                    content_type=fault.content_type or "video/mp4",
                    etag=self.etag,
                    last_modified=self.last_modified,
                    chunks=chunks,
                    receive_into=_straight(chunks) if self.straight else None,
                )
        finally:
            self.open_bodies -= 1

    async def _chunks(self, data: bytes, fault: Fault) -> AsyncGenerator[bytes, None]:
        upto = min(
            (each for each in (fault.cut_after, fault.stall_after) if each is not None), default=len(data)
        )
        for at in range(0, min(upto, len(data)), self.chunk):
            if self.pace_s:
                await trio.sleep(self.pace_s)
            else:
                await trio.lowlevel.checkpoint()
            part = data[at : min(at + self.chunk, upto)]
            self.sent += len(part)
            yield part
        await trio.lowlevel.checkpoint()
        if fault.cut_after is not None:
            raise Unavailable("the connection broke")
        if fault.stall_after is not None:
            await trio.sleep_forever()


def _straight(chunks: AsyncIterator[bytes]) -> Callable[[memoryview], Awaitable[int]]:
    left = b""

    async def receive_into(buffer: memoryview) -> int:
        nonlocal left
        assert buffer, "no room for a byte"
        if not left:
            left = await anext(chunks, b"")
        part, left = left[: len(buffer)], left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    return receive_into


class MemoryStore:
    """A Store without threads, which a clock that jumps cannot wait for; a second implementation of
    the seam."""

    lasting = False

    def __init__(self, failing_at: int | None = None, error: MediafsError | None = None) -> None:
        self.data = bytearray()
        self.finished = False
        self.discarded = False
        self._failing_at = failing_at
        self._error = error

    async def put(self, offset: int, data: Data) -> None:
        await trio.lowlevel.checkpoint()
        if self._failing_at is not None and offset + len(data) > self._failing_at:
            assert self._error is not None
            raise self._error
        assert offset == len(self.data), "a hole"
        self.data += data

    async def get(self, offset: int, length: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.discarded:
            raise Unavailable("gone")
        assert offset + length <= len(self.data), "never put"
        return bytes(self.data[offset : offset + length])

    async def finish(self, size: int, identity: Identity) -> None:
        await trio.lowlevel.checkpoint()
        assert size == len(self.data)
        self.finished = True

    def discard(self) -> None:
        self.discarded = True


class FakeKernel:
    """The pages of one content as a kernel holds them: what it has it does not ask for, and what it is asking
    for is locked."""

    def __init__(self, reader: Reader, *, page: int = 16) -> None:
        self.content = reader.content
        self.stored = 0
        """Bytes that were put there before they were asked for."""
        self._page = page
        self._pages: dict[int, bytes] = {}
        self._asked: Counter[int] = Counter()
        self._unlocked = trio.Event()
        self._ended = False

    async def read(self, reader: Reader, offset: int, length: int) -> bytes:
        """As a process reads through the kernel: whole pages at once, those that it has not."""
        size = await reader.settle()
        got = b""
        stop = min(offset + length, size)
        while offset < stop:
            number = offset // self._page
            if number not in self._pages:
                last = number
                while last + 1 not in self._pages and (last + 1) * self._page < stop:
                    last += 1
                await self._ask(reader, number, last, size)
            data = self._pages[number][offset % self._page : stop - number * self._page]
            got += data
            offset += len(data)
        return got

    async def _ask(self, reader: Reader, first: int, last: int, size: int) -> None:
        numbers = range(first, last + 1)
        self._asked.update(numbers)
        try:
            start = first * self._page
            data = bytes(await reader.read(start, min((last + 1) * self._page, size) - start))
        finally:
            self._asked.subtract(numbers)
            self._unlocked.set()
            self._unlocked = trio.Event()
        for number in numbers:
            self._pages[number] = data[(number - first) * self._page : (number - first + 1) * self._page]

    async def store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        await trio.lowlevel.checkpoint()
        for offset, data in pieces:
            if offset < from_():
                continue
            for number in range(-(-offset // self._page), (offset + len(data)) // self._page):
                while self._asked[number] > 0:
                    await self._unlocked.wait()
                if self._ended:
                    return False
                at = number * self._page - offset
                self._pages[number] = bytes(data[at : at + self._page])
                self.stored += self._page
        return True

    def end(self) -> None:
        self._ended = True


class FakeDisk:
    """A disk cache without threads, for one media: keeps blocks, refuses some, and loses some."""

    def __init__(self, chances: Iterable[bool] = (), *, block: int = 64) -> None:
        """One of the chances is taken with each call; at False it is refused, or what was asked for lost."""
        self._chances = deque(chances)
        self._block = block
        self.body: FakeBody | None = None
        self.given = 0
        """Bytes."""

    def lucky(self) -> bool:
        return self._chances.popleft() if self._chances else True

    async def scan(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    async def find(self, version: Version) -> None:
        await trio.lowlevel.checkpoint()

    async def make(self, media: Media, version: Version, size: int | None) -> None:
        await trio.lowlevel.checkpoint()

    def held(self, version: Version) -> int:
        return 0

    def forget(self, media: object) -> None:
        if self.body is not None:
            self.body.reset()

    def statistics(self) -> None:
        return None

    async def open_partial(
        self, media: Media, version: Version, size: int, etag: str | None, last_modified: str | None
    ) -> FakeBody:
        await trio.lowlevel.checkpoint()
        if self.body is None or not self.body.identify(etag, last_modified):
            self.body = FakeBody(self, media, size, self._block, etag, last_modified)
        return self.body


class FakeBody:
    def __init__(
        self, disk: FakeDisk, media: Media, size: int, block: int, etag: str | None, modified: str | None
    ) -> None:
        self._disk = disk
        self._block = block
        self._blocks: dict[int, bytes] = {}
        self.record = Record(
            realm="",
            media=media.id,
            validators=(),
            size=size,
            etag=etag,
            last_modified=modified,
            limited=False,
        )

    def held_until(self, offset: int) -> int:
        number = offset // self._block
        while number in self._blocks:
            number += 1
        return max(offset, min(number * self._block, self.record.size))

    def missing_until(self, offset: int) -> int:
        while offset < self.record.size and offset // self._block not in self._blocks:
            offset = (offset // self._block + 1) * self._block
        return min(offset, self.record.size)

    @property
    def bytes_held(self) -> int:
        return sum(map(len, self._blocks.values()))

    async def get(self, offset: int, length: int) -> bytes:
        await trio.lowlevel.checkpoint()
        numbers = range(offset // self._block, -(-(offset + length) // self._block))
        if not self._disk.lucky():
            for number in numbers:
                self._blocks.pop(number, None)
        if any(number not in self._blocks for number in numbers):
            raise Unavailable("damaged")
        got = b"".join(self._blocks[number] for number in numbers)
        start = offset - numbers[0] * self._block
        self._disk.given += length
        return got[start : start + length]

    def put_nowait(self, offset: int, data: Data) -> bool:
        if not self._disk.lucky():
            return False
        stop = offset + len(data)
        for number in range(-(-offset // self._block), -(-stop // self._block)):
            at, end = number * self._block, min((number + 1) * self._block, self.record.size)
            if end <= stop:
                self._blocks[number] = bytes(data[at - offset : end - offset])
        return True

    def identify(self, etag: str | None, last_modified: str | None) -> bool:
        record = self.record
        fits = all(
            now is None or before is None or now == before
            for now, before in ((etag, record.etag), (last_modified, record.last_modified))
        )
        if not fits or (record.etag is None and record.last_modified is None):
            self.record = replace(record, etag=etag, last_modified=last_modified)
            self.reset()
        return fits

    def reset(self) -> None:
        self._blocks.clear()

    def discard(self) -> None:
        pass
