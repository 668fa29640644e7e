"""The room's door: one `Reading` for a mount."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import trio
from cachetools import LRUCache

from ..model import Media, MediaId, Span, Urgency, Version
from ..source import Source
from .blocks import Blocks, Edition
from .buffers import Buffers
from .causes import one_cause
from .content import Content
from .disk import DiskCache
from .index import may_have_index
from .live import LiveReader
from .options import ReadingOptions, ReadingStatistics, Tally
from .prefetch import Prefetcher
from .pump import Pump
from .push import Push
from .reader import Reader
from .spool import MakeStore, Store, make_spool
from .stores import Stores
from .stream import Stream

EDITIONS: Final = 65_536
"""Closed versions of which blocks may be held: more than blocks fit into any sensible budget."""

BUFFERS: Final = 8
"""Kept for the next stream: what two under way have in hand."""


class Reading:
    """All reading of one mount: one budget of memory, one account."""

    def __init__(
        self, source: Source, options: ReadingOptions, make_store: MakeStore | None, nursery: trio.Nursery
    ) -> None:
        """Made by `reading`, which owns the nursery that the streams run in."""
        self.options = options
        self._source = source
        self._nursery = nursery
        self.tally = Tally()
        self._blocks = Blocks(options.memory, options.block)
        self.cache = DiskCache(options.cache) if options.cache is not None else None
        """What is kept on disk; None: nothing is."""
        self._buffers = Buffers(options.piece, BUFFERS)
        self.stores = Stores(self._blocks, options, self.cache, make_store)
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
                tally=self.tally,
            )
        return Reader(self, content, urgency)

    def open_live(self, media: Media) -> LiveReader:
        """A reader of what is behind a live name now; its one request is made at once. Close it."""

        async def spool() -> Store:
            return await make_spool(self.options.spool_directory)

        reader = LiveReader(self._source, media, self.options, self.tally, spool)
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

    def spare(self, urgency: Urgency) -> int | None:
        """See `Source.spare`."""
        return self._source.spare(urgency)

    def _is_needed(self, version: Version, size: int) -> bool:
        """Whether reading it would take a request that nobody has made. No I/O."""
        if version in self._open or self.cached(version) >= size:
            return False
        edition = self._closed.get(version)
        places = (*range(0, size, self.options.block), size - 1)
        return edition is None or any(self._blocks.get(edition, place) is None for place in places)

    def settled(self, content: Content) -> None:
        """See `Owner`."""
        version = content.version
        media = replace(content.media, size=content.edition.size)
        becomes = replace(version, validator=media.validator)
        if becomes != version and self._open.get(version) is content and becomes not in self._open:
            del self._open[version]
            self._open[becomes] = content
            content.version = becomes
        if content.media.size is None and content.disk is None and content.spool is None:
            content.sought = trio.Lock()  # with a size, blocks of it can be kept

    def statistics(self) -> ReadingStatistics:
        contents = self._open.values()
        return ReadingStatistics(
            memory=self._blocks.used,
            readers=sum(len(content.readers) for content in contents) - self.prefetcher.held,
            streams=self.tally.streams,
            fetched=self.tally.fetched,
            gets=self.tally.gets,
            spools=sum(content.spool is not None for content in contents),
            cache=self.cache.statistics() if self.cache is not None else None,
        )

    def begin_cache(self) -> None:
        """For `reading`: behind everything else."""
        if self.cache is not None:
            self._nursery.start_soon(self.cache.run, name="disk cache")

    def begin(self, content: Content, stream: Stream) -> None:
        """See `Owner`."""
        if stream.open_ended:
            self._make_way()
        content.begin(stream)
        pump = Pump(
            self._source,
            content,
            stream,
            options=self.options,
            tally=self.tally,
            stores=self.stores,
            buffers=self._buffers,
            fetch_index=self._index_fetch(content, stream),
        )
        if content.pages is not None and stream.open_ended:
            stream.push = Push(content.pages, self.options, lambda: stream.reach, content.let_go)
            self._nursery.start_soon(stream.push.run, name=f"push {stream!r} of {content.media.id}")
        self._nursery.start_soon(self._run, pump, content, name=f"{stream!r} of {content.media.id}")

    def _make_way(self) -> None:
        """A stream that is parked keeps its connection. Where there are many, the one whose reader has been
        away for longest gives way; that reader goes on with a request of its own."""
        parked = [
            (stream.used_at, content, stream)
            for content in self._open.values()
            for stream in content.streams
            if stream.open_ended and not content.awaited(stream)
        ]
        if len(parked) >= self.options.parked:
            _, content, stream = min(parked, key=lambda each: each[0])
            content.cancel(stream)

    def _index_fetch(self, content: Content, stream: Stream) -> Callable[[Span], None] | None:
        """What begins to fetch the index beside the first stream of a film; None where it is not to be:
        the service counts requests, or no player waits."""
        first = stream.open_ended and stream.start == 0 and not content.index_sought
        for_a_player = may_have_index(content.media) and stream.urgency is not Urgency.BACKGROUND
        if not (first and for_a_player) or self._source.spare(Urgency.PREFETCH) is not None:
            return None
        content.index_sought = True

        def begin(span: Span) -> None:
            self.begin(content, Stream(span, whole=True, urgency=Urgency.PREFETCH))

        return begin

    async def _run(self, pump: Pump, content: Content) -> None:
        await pump.run()
        self._close_unread(content)

    def left(self, reader: Reader, content: Content) -> list[Stream]:
        """See `Owner`."""
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
            service.begin_cache()
            try:
                yield service
            finally:
                service.discard()
                if service.cache is not None:
                    await service.cache.aclose()
                nursery.cancel_scope.cancel()
