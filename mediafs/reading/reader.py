"""The room's door: one `Reading` for a mount, one `Reader` for an open file."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Set
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Final

import trio
from cachetools import LRUCache

from ..errors import Changed, Denied, Late, MediafsError, NotFound, NotReady, Unavailable
from ..model import Media, MediaId, Span, Urgency, Version
from ..source import Source
from .blocks import Blocks, Edition
from .content import Content, Spooled, Wish
from .live import LiveReader
from .options import ReadingOptions, ReadingStatistics, Tally
from .plan import Fetch
from .pump import Pump
from .settling import Settling
from .spool import MakeStore, MemorySpool, Store, make_spool
from .stream import Stream

HISTORY: Final = 8
"""Reads remembered to tell whether a reader goes forward: the kernel has a few under way at once."""

SAME_ANSWER_S: Final = 1.0
"""For how long an open file is given the service's refusal again without asking for it, and a failure
that took long without waiting for it once more."""

EDITIONS: Final = 65_536
"""Closed versions of which blocks may be held: more than blocks fit into any sensible budget."""


class Reader:
    """One open file. Its reads may be concurrent, in any order."""

    def __init__(self, reading: Reading, content: Content, urgency: Urgency) -> None:
        self._reading = reading
        self._content = content
        self._urgency = urgency
        self._history: deque[Span] = deque(maxlen=HISTORY)
        self._refusal: tuple[float, MediafsError] | None = None
        self._closed = False
        content.readers.add(self)

    def __repr__(self) -> str:
        return f"<Reader of {self._content.media.id}>"

    @property
    def content(self) -> object:
        """The same object for readers of the same bytes, and for no others."""
        return self._content

    @property
    def held(self) -> Content:
        """For `Reading`: what it shares with other readers of the version."""
        return self._content

    @property
    def spools(self) -> bool:
        """Whether the whole body is on its way into a spool, or there."""
        return self._content.spool is not None

    async def settle(self) -> int:
        """The size of the media in bytes: of the record, else as the service tells it.

        Where the service does not tell it in its headers, the whole body is fetched into the spool.

        Raises what `read` raises; after Late the spool goes on, and a later call may succeed.
        """
        await trio.lowlevel.checkpoint()
        with self._total("its size"):
            return await self._settle()

    async def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on; fewer only where the media ends, none beyond its end.

        Raises NotFound, Denied, NotReady, Unavailable and InvalidReply as the service has it; Late
        after `total_s`; NoRoom where a body has to be spooled; Changed once the content is not what
        it was when first read, and from then on.
        """
        if offset < 0 or length < 0:
            raise ValueError("offset and length must not be negative")
        await trio.lowlevel.checkpoint()
        with self._remembered(), self._total(f"{length} bytes at {offset}"):
            stop = min(offset + length, await self._settle())
            if offset >= stop:
                return b""
            wish = Wish(offset, stop)
            with self._wishing(wish):
                await self._grant(wish, Span(offset, stop))
            return wish.taken()
        raise AssertionError("unreachable: _total raises when it cuts")

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        """Keeps a failure that is to be given again: what the service refused, and what took long."""
        began = trio.current_time()
        try:
            yield
        except (NotReady, Denied, NotFound, Late, Unavailable) as error:
            now = trio.current_time()
            given_again = self._refusal is not None and error is self._refusal[1]
            lasting = isinstance(error, NotReady | Denied | NotFound) and not given_again
            if lasting or now - began >= self._reading.options.progress_s:
                self._refusal = (now, error)
            raise

    async def close(self) -> None:
        """Cancels the requests that no other reader needs, and waits until they have ended."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        cancelled = self._reading.left(self, self._content)
        await trio.lowlevel.checkpoint()
        for stream in cancelled:
            await stream.ended.wait()

    async def _settle(self) -> int:
        content = self._content
        wish = Wish(0, 0)
        with self._wishing(wish):
            while (size := content.edition.size) is None:
                self._check_usable()
                self._check_fetchable()
                if content.spool is not None:
                    stream = content.spool.stream
                elif content.streams:
                    stream = content.streams[0]
                else:
                    stream = self._start(Fetch(Span(0)))
                await wish.wait_news(stream)
                if content.edition.size is None and stream.error is not None:
                    raise stream.error
        return size

    async def _grant(self, wish: Wish, span: Span) -> None:
        """Completes a wish. Each round ends complete, failed, or knowing more."""
        content = self._content
        content.note(span, self)
        history = tuple(self._history)
        self._history.append(span)
        while True:
            self._check_usable()
            content.fill(wish)
            if wish.complete:
                return
            spool = content.spool
            if spool is not None and spool.store is not None and wish.stop <= spool.filled:
                await self._take(wish, spool, spool.store)
                continue
            self._check_fetchable()
            self._check_refusal()
            if spool is not None:
                stream = spool.stream
            else:
                answer = content.plan(wish, span, history, self)
                stream = answer if isinstance(answer, Stream) else self._start(answer)
            await wish.wait_news(stream)
            if stream.error is not None and not wish.complete:
                raise stream.error

    async def _take(self, wish: Wish, spool: Spooled, store: Store) -> None:
        missing = wish.missing
        try:
            data = await store.get(missing, wish.stop - missing)
        except Unavailable:
            if self._content.spool is spool:
                raise
            return  # Discarded meanwhile: the next round says why, or looks elsewhere.
        if wish.missing == missing:
            wish.take(data)

    def _start(self, fetch: Fetch) -> Stream:
        stream = Stream(fetch.span, whole=fetch.whole, urgency=self._urgency)
        # How far it may run is said once it was answered: a service thought to have no ranges is asked
        # from byte 0, and must not be read through to a distant byte should it turn out to have them.
        stream.extend(stream.start, self)
        self._reading.begin(self._content, stream)
        return stream

    def _check_usable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the reader was closed")
        if self._content.failed is not None:
            raise Changed(str(self._content.failed))

    def _check_refusal(self) -> None:
        # The kernel asks again at once for what its read-ahead did not get: that is no new question.
        if self._refusal is not None and trio.current_time() - self._refusal[0] < SAME_ANSWER_S:
            raise self._refusal[1]

    def _check_fetchable(self) -> None:
        if self._content.forgotten:
            raise Changed(f"media {self._content.media.id}: deleted, and not all of it is held")

    @contextmanager
    def _wishing(self, wish: Wish) -> Iterator[None]:
        self._content.wishes.add(wish)
        try:
            yield
        finally:
            self._content.wishes.discard(wish)

    @contextmanager
    def _total(self, what: str) -> Iterator[None]:
        total_s = self._reading.options.total_s
        with trio.move_on_after(total_s) as scope:
            yield
        if scope.cancelled_caught:
            raise Late(f"media {self._content.media.id}: {what} did not come within {total_s:g} s")


class Reading:
    """All reading of one mount: one budget of memory, one account."""

    def __init__(
        self, source: Source, options: ReadingOptions, make_store: MakeStore | None, nursery: trio.Nursery
    ) -> None:
        """Made by `reading`, which owns the nursery that the streams run in."""
        self.options = options
        self._source = source
        self._make_store = make_store or self._spool
        self._nursery = nursery
        self._settling = Settling(nursery)
        self._tally = Tally()
        self._blocks = Blocks(options.memory, options.block)
        self._open: dict[Version, Content] = {}
        self._closed: LRUCache[Version, Edition] = LRUCache(EDITIONS)
        """Editions of versions that nobody has open, whose blocks may still be held."""

    def open(self, media: Media, version: Version, *, urgency: Urgency = Urgency.PERSON) -> Reader:
        """A reader of one version; no request is made before it reads. Close it.

        `urgency` is that of the requests which this reader causes.
        """
        content = self._open.get(version)
        if content is None or content.failed is not None or content.forgotten:
            edition = self._closed.pop(version, None)
            content = self._open[version] = Content(
                media,
                version,
                edition or Edition(media.size),
                options=self.options,
                blocks=self._blocks,
                tally=self._tally,
            )
        return Reader(self, content, urgency)

    async def settle(self, reader: Reader, known: Callable[[int], Version]) -> None:
        """Finds out the size of a media whose record does not tell it. `known` is told, and answers with the
        version by which the same bytes go from then on; what it raises is raised here.

        Raises what `Reader.settle` raises, and then the reader is not the caller's any more. After Late, or
        where the caller was cancelled, a body that is on its way is fetched on behind for who asks next.
        """
        content = reader.held

        def tell(size: int) -> None:
            self._rename(content, known(size))

        await self._settling.settle(reader, tell)

    def _rename(self, content: Content, version: Version) -> None:
        """What is held goes on under another key."""
        if self._open.get(content.version) is content and version not in self._open:
            del self._open[content.version]
            content.version = version
            self._open[version] = content

    def open_live(self, media: Media) -> LiveReader:
        """A reader of what is behind a live name now; its one request is made at once. Close it."""

        async def spool() -> Store:
            return await make_spool(self.options.spool_directory)

        reader = LiveReader(self._source, media, self.options, self._tally, spool)
        self._nursery.start_soon(reader.run, name=repr(reader))
        return reader

    def remembers(self, version: Version) -> bool:
        """Whether a change of content since the version was last read would be noticed."""
        return version in self._open or version in self._closed

    def forget(self, media: Set[MediaId]) -> None:
        """These were deleted: their bytes are held no longer than their readers are open.

        Those read on what is held, and fail with Changed elsewhere; nothing is fetched any more.
        """
        if not media:
            return
        for version in [each for each in self._closed if each.media in media]:
            self._blocks.drop(self._closed.pop(version))
        for content in [each for each in self._open.values() if each.media.id in media]:
            content.forget()

    def statistics(self) -> ReadingStatistics:
        contents = self._open.values()
        return ReadingStatistics(
            memory=self._blocks.used,
            readers=sum(len(content.readers) for content in contents),
            streams=self._tally.streams,
            fetched=self._tally.fetched,
            gets=self._tally.gets,
            spools=sum(content.spool is not None for content in contents),
        )

    def begin(self, content: Content, stream: Stream) -> None:
        """For `Reader`: starts a stream's task, which ends with the stream."""
        content.begin(stream)
        pump = Pump(
            self._source,
            content,
            stream,
            options=self.options,
            tally=self._tally,
            make_store=self._make_store,
        )
        self._nursery.start_soon(pump.run, name=f"{stream!r} of {content.media.id}")

    def left(self, reader: Reader, content: Content) -> list[Stream]:
        """For `Reader`: it was closed; the streams that were cancelled for it."""
        cancelled = content.leave(reader)
        if not content.readers and self._open.get(content.version) is content:
            del self._open[content.version]
            if content.failed is None and not content.forgotten:
                self._closed[content.version] = content.edition
        return cancelled

    async def _spool(self, version: Version, size: int | None) -> Store:
        # Memory first: reads of it need no thread, and a full disk is no reason to fail.
        if size is not None and self._blocks.lend(size):
            return MemorySpool(size, partial(self._blocks.give_back, size))
        return await make_spool(self.options.spool_directory)

    def discard(self) -> None:
        """For `reading`: gives back what open readers still hold outside memory."""
        for content in self._open.values():
            content.release()


@asynccontextmanager
async def reading(
    source: Source, options: ReadingOptions, *, make_store: MakeStore | None = None
) -> AsyncIterator[Reading]:
    """The reading of a mount, for as long as the context lasts; leaving it cancels what is under way.

    `make_store` says where whole bodies of services without ranges go; by default into memory while
    half of the budget has room for them, and then into a nameless file in `options.spool_directory`.
    A bug in a stream's task ends the context with that exception.
    """
    only: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            service = Reading(source, options, make_store, nursery)
            try:
                yield service
            finally:
                service.discard()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # No group leaves the room when there is one cause.
        only = group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        if only is group:
            raise
    if only is not None:
        raise only
