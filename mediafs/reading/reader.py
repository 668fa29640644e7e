"""The room's door: one `Reading` for a mount, one `Reader` for an open file."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Set
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import trio
from cachetools import LRUCache

from ..errors import Changed, Denied, Late, MediafsError, NotFound, NotReady, Unavailable
from ..model import Media, MediaId, Span, Urgency, Version
from ..source import Source
from .blocks import Blocks, Edition
from .cache import DiskCache
from .causes import one_cause
from .content import Content, Spooled, Wish
from .live import LiveReader
from .options import ReadingOptions, ReadingStatistics, Tally
from .plan import Fetch
from .prefetch import Prefetcher
from .pump import Pump
from .spool import MakeStore, Store, make_spool
from .stores import Stores
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
    def version(self) -> Version:
        """The one that was opened; where its size was not known, as it is called once that is."""
        return self._content.version

    async def hold(self) -> None:
        """What is kept on disk of it is not evicted from now on, until it is closed. No request."""
        await trio.lowlevel.checkpoint()
        await self._reading.stores.recall(self._content)

    async def settle(self) -> int:
        """The size of the media in bytes: of the record, else as the service tells it.

        Where the service does not tell it in its headers, the whole body is fetched into the spool.

        Raises what `read` raises; after Late the spool goes on, and a later call may succeed.
        """
        await trio.lowlevel.checkpoint()
        with self._total("its size"):
            size = await self._settle()
            self._reading.settled(self._content)
            return size

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
        if content.sought is not None:
            await self._reading.stores.recall(content)
        wish = Wish(0, 0)
        with self._wishing(wish):
            while (size := content.edition.size) is None:
                self._check_usable()
                self._check_fetchable()
                if content.spool is not None and content.spool.stream is not None:
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
            if spool is not None and spool.stream is not None:
                stream = spool.stream
            else:
                answer = content.plan(wish, span, history, self)
                stream = answer if isinstance(answer, Stream) else self._start(answer)
            await wish.wait_news(stream)
            # What failed for a stream that nobody waited for is asked anew by who waits.
            if stream.error is not None and not wish.complete and stream.urgency <= self._urgency:
                raise stream.error

    async def _take(self, wish: Wish, spool: Spooled, store: Store) -> None:
        missing = wish.missing
        try:
            data = await store.get(missing, wish.stop - missing)
        except Unavailable:
            # Discarded or moved meanwhile: the next round says why, or looks elsewhere.
            if self._content.spool is spool and spool.store is store:
                if spool.stream is not None:
                    raise
                self._content.lost(spool)
            return
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
        if self._content.spent is not None:
            raise type(self._content.spent)(str(self._content.spent))

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
        self._nursery = nursery
        self._tally = Tally()
        self._blocks = Blocks(options.memory, options.block)
        self.cache = DiskCache(options.cache) if options.cache is not None else None
        """Whole bodies on disk; None: none are kept."""
        self.stores = Stores(self._blocks, options.spool_directory, self.cache, make_store)
        self._open: dict[Version, Content] = {}
        self._closed: LRUCache[Version, Edition] = LRUCache(EDITIONS)
        """Editions of versions that nobody has open, whose blocks may still be held."""
        open_ahead = partial(self.open, urgency=Urgency.PREFETCH)
        self.prefetcher = Prefetcher(open_ahead, self._is_needed, source.spare, options, nursery)

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

    def open_live(self, media: Media) -> LiveReader:
        """A reader of what is behind a live name now; its one request is made at once. Close it."""

        async def spool() -> Store:
            return await make_spool(self.options.spool_directory)

        reader = LiveReader(self._source, media, self.options, self._tally, spool)
        self._nursery.start_soon(reader.run, name=repr(reader))
        return reader

    def remembers(self, version: Version) -> bool:
        """Whether a change of content since the version was last read would be noticed."""
        content = self._open.get(version)
        return version in self._closed or (content is not None and content.failed is None)

    def forget(self, media: Set[MediaId]) -> None:
        """These were deleted: their bytes are held no longer than their readers are open.

        Those read on what is held, and fail with Changed elsewhere; nothing is fetched any more.
        """
        if not media:
            return
        self.prefetcher.forget(media)
        if self.cache is not None:
            self.cache.forget(media)
        for version in [each for each in self._closed if each.media in media]:
            self._blocks.drop(self._closed.pop(version))
        for content in [each for each in self._open.values() if each.media.id in media]:
            content.forget()
            self._close_unread(content)

    def cached(self, version: Version) -> int:
        """Bytes of a version that are kept on disk. No I/O."""
        return self.cache.held(version) if self.cache is not None else 0

    def _is_needed(self, version: Version, size: int) -> bool:
        """Whether reading it would take a request that nobody has made. No I/O."""
        if version in self._open or self.cached(version) >= size:
            return False
        edition = self._closed.get(version)
        places = (*range(0, size, self.options.block), size - 1)
        return edition is None or any(self._blocks.get(edition, place) is None for place in places)

    def settled(self, content: Content) -> None:
        """For `Reader`: its size is known, which may be part of what its version is called."""
        version = content.version
        media = replace(content.media, size=content.edition.size)
        becomes = replace(version, validator=media.validator)
        if becomes != version and self._open.get(version) is content and becomes not in self._open:
            del self._open[version]
            self._open[becomes] = content
            content.version = becomes

    def statistics(self) -> ReadingStatistics:
        contents = self._open.values()
        return ReadingStatistics(
            memory=self._blocks.used,
            readers=sum(len(content.readers) for content in contents) - self.prefetcher.held,
            streams=self._tally.streams,
            fetched=self._tally.fetched,
            gets=self._tally.gets,
            spools=sum(content.spool is not None for content in contents),
            cache=self.cache.statistics() if self.cache is not None else None,
        )

    def begin_scan(self) -> None:
        """For `reading`: behind everything else."""
        if self.cache is not None:
            self._nursery.start_soon(self.cache.scan, name="look through the disk cache")

    def begin(self, content: Content, stream: Stream) -> None:
        """For `Reader`: starts a stream's task, which ends with the stream."""
        content.begin(stream)
        pump = Pump(
            self._source,
            content,
            stream,
            options=self.options,
            tally=self._tally,
            stores=self.stores,
        )
        self._nursery.start_soon(self._run, pump, content, name=f"{stream!r} of {content.media.id}")

    async def _run(self, pump: Pump, content: Content) -> None:
        await pump.run()
        self._close_unread(content)

    def left(self, reader: Reader, content: Content) -> list[Stream]:
        """For `Reader`: it was closed; the streams that were cancelled for it."""
        cancelled = content.leave(reader)
        self._close_unread(content)
        return cancelled

    def _close_unread(self, content: Content) -> None:
        """Where nobody reads it, and nothing of it has to go on, it is not open any more."""
        if content.readers or content.lingers:
            return
        content.release()
        if self._open.get(content.version) is content:
            del self._open[content.version]
            if content.failed is None and not content.forgotten:
                self._closed[content.version] = content.edition

    def discard(self) -> None:
        """For `reading`: gives back what open readers still hold outside memory."""
        for content in self._open.values():
            content.release()


@asynccontextmanager
async def reading(
    source: Source, options: ReadingOptions, *, make_store: MakeStore | None = None
) -> AsyncIterator[Reading]:
    """The reading of a mount, for as long as the context lasts; leaving it cancels what is under way.

    `make_store` says where whole bodies of services without ranges go; by default into the disk cache,
    into memory while half of the budget has room for them, or into a nameless file in
    `options.spool_directory`: see `stores`.
    """
    with one_cause():
        async with trio.open_nursery() as nursery:
            service = Reading(source, options, make_store, nursery)
            service.begin_scan()
            try:
                yield service
            finally:
                service.discard()
                nursery.cancel_scope.cancel()
