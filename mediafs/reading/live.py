"""Bytes of what is recorded right now: read as they come, and kept no longer than the file is open.

Behind a live name another call may be at any time, and a call under way grows while it is read. So
each open is one download of its own, into a spool without a name; nothing of it is shared or cached.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

import trio

from ..errors import Late, MediafsError, Unavailable
from ..model import Media, Span, Urgency
from ..source import Body, Source
from .checks import accept
from .options import ReadingOptions, Tally
from .spool import Store

log = logging.getLogger(__name__)

SETTLE_S: Final = 5.0
"""A body that has ended so long after it began, or whose length was stated, is a file like any other; one
that goes on is taken for a call under way."""


class LiveReader:
    """One download of a fleeting media. Made by `Reading.open_live`; close it.

    Invariant: the bytes before `_arrived` are in the store, and came in one body.
    """

    def __init__(
        self,
        source: Source,
        media: Media,
        options: ReadingOptions,
        tally: Tally,
        make_store: Callable[[], Awaitable[Store]],
    ) -> None:
        self._source = source
        self._media = media
        self._options = options
        self._tally = tally
        self._make_store = make_store
        self._store: Store | None = None
        self._arrived = 0
        self._size: int | None = None
        """Bytes, once the service has stated them or the body has ended."""
        self._error: MediafsError | None = None
        self._scope = trio.CancelScope()
        self._answer_by = min(trio.current_effective_deadline(), trio.current_time() + options.total_s)
        """Whoever opens it waits no longer: a wait that is known to be longer is told at once."""
        self._ended = trio.Event()
        self._news = trio.Event()

    def __repr__(self) -> str:
        return f"<LiveReader of {self._media.id} at {self._arrived}>"

    @property
    def content(self) -> object:
        """No two readers read the same bytes."""
        return self

    async def run(self) -> None:
        """The download; ends when the body does, or when the reader is closed. Raises bugs only."""
        self._tally.streams += 1
        self._tally.gets += 1
        try:
            with self._scope:
                await self._receive()
        except MediafsError as error:
            self._error = error
        finally:
            self._tally.streams -= 1
            if self._store is not None and self._scope.cancel_called:
                self._store.discard()
            self._ended.set()
            self._tell()

    async def _receive(self) -> None:
        answered = False
        with trio.CancelScope(deadline=self._answer_by) as scope:
            async with self._source.body(self._media, Span(0), urgency=Urgency.PERSON) as body:
                scope.deadline, answered = inf, True
                await self._take(body)
        if not answered and scope.cancelled_caught:
            raise Late(f"media {self._media.id}: the service does not answer in time")

    async def _take(self, body: Body) -> None:
        self._size = accept(body, Span(0), media=self._media, size=None, known=None, if_range=None).size
        store = self._store = await self._make_store()
        self._tell()
        async for chunk in body.chunks:
            await store.put(self._arrived, chunk)
            self._arrived += len(chunk)
            self._tally.fetched += len(chunk)
            self._tell()
        if self._size is not None and self._arrived != self._size:
            raise Unavailable(f"media {self._media.id}: {self._arrived} of {self._size} bytes came")
        self._size = self._arrived

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def settle(self) -> int | None:
        """The size in bytes; None of what is still being recorded.

        Waits for the service's answer without end: how long is for the caller to say. Raises what the
        service refuses: NotFound where nothing is recorded at this moment.
        """
        while self._store is None and not self._ended.is_set():
            await self._news.wait()
        with trio.move_on_after(SETTLE_S):
            while self._size is None and not self._ended.is_set():
                await self._news.wait()
        if self._error is not None:
            raise self._error
        return self._size

    async def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset` on, as soon as there is one; b"" only where the body has ended.

        Raises Late where none comes in time, and why the download failed.
        """
        with trio.move_on_after(self._options.total_s):
            while self._arrived <= offset and not self._ended.is_set():
                await self._news.wait()
            if self._arrived > offset and self._store is not None:
                return await self._store.get(offset, min(length, self._arrived - offset))
            if self._error is not None:
                raise self._error
            return b""
        raise Late(f"media {self._media.id}: nothing more came within {self._options.total_s:g} s")

    async def close(self) -> None:
        """Ends the download and gives back what was spooled."""
        self._scope.cancel()
        await self._ended.wait()
        if self._store is not None:
            self._store.discard()
