"""Small media that are going to be read, fetched before they are: within bounds, and at nobody's cost.

Nobody waits here. Who reads a media that is being fetched joins the GET under way, for both read one
version; and what fails is not told: who reads it then asks anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Set
from typing import Final, Protocol

import trio
from cachetools import LRUCache

from ..errors import Changed, MediafsError, NotFound, NotReady
from ..model import Data, Inode, Media, MediaId, Urgency, Version
from .options import ReadingOptions

logger = logging.getLogger(__name__)

HELD_S: Final = 30.0
"""How long what nobody reads is held open after it was last wanted. Later it is only as old as it is."""
STALE_S: Final = 2.0
"""What was not wanted again for so long gives way to what is wanted now: a walk that goes on wants what is
before it at each step."""
PASSED_S: Final = 2.0
"""For how long what needed no fetching is not looked at again."""
PAUSE_S: Final = 5.0
"""Nothing is begun for so long after the service refused or failed."""
LIMITED: Final = 4
"""Media fetched ahead where the service counts requests: what is never read is paid for by somebody."""
HELD: Final = 4
"""Times `ReadingOptions.prefetch`: media held open at once, of several walks."""

Find = Callable[[Inode], tuple[Media, Version] | None]


class Opened(Protocol):
    """What is needed of a `Reader`."""

    async def read(self, offset: int, length: int) -> Data: ...

    async def close(self) -> None: ...


class _Item:
    """One media that was fetched, or is being. A task of its own holds it open."""

    __slots__ = ("fetching", "media", "over", "reader", "size", "until")

    def __init__(self, media: MediaId, size: int, reader: Opened, until: float) -> None:
        self.media = media
        self.size = size
        self.reader = reader
        self.until = until
        self.fetching = True
        self.over = trio.Event()
        """It was read, or is in the way."""


class Prefetcher:
    """Invariants:
    - At most `options.prefetch` are being fetched; no more than the service has requests to spare,
      where it shows a limit.
    - What is held open is at most a quarter of `options.memory`.
    """

    def __init__(
        self,
        open_: Callable[[Media, Version], Opened],
        is_needed: Callable[[Version, int], bool],
        spare: Callable[[Urgency], int | None],
        options: ReadingOptions,
        nursery: trio.Nursery,
    ) -> None:
        """`is_needed` tells whether reading so many bytes of a version takes a request of its own; `spare`
        is `Source.spare`."""
        self._open = open_
        self._is_needed = is_needed
        self._spare = spare
        self._options = options
        self._nursery = nursery
        self._items: dict[Inode, _Item] = {}
        self._bytes = 0
        self._fetching = 0
        self._passed: LRUCache[Inode, float] = LRUCache(4096)
        """Until when it is not looked at again."""
        self._paused_until = 0.0

    @property
    def held(self) -> int:
        """Media that are held open here."""
        return len(self._items)

    def want(self, inodes: Sequence[Inode], find: Find) -> None:
        """These are going to be read, the first one first: begins to fetch those that `find` knows and that
        may be. Returns at once."""
        now = trio.current_time()
        most = self._most()
        for inode in inodes[:LIMITED] if most < self._options.prefetch else inodes:
            item = self._items.get(inode)
            if item is not None:
                item.until = now + HELD_S
            elif self._fetching >= most or now < self._paused_until or self._passed.get(inode, 0.0) > now:
                continue
            elif not self._begin(inode, find(inode), now):
                return

    def read(self, inode: Inode) -> None:
        """It was read by who wanted it, and is not held open any more."""
        item = self._items.get(inode)
        if item is not None:
            self._let_go(inode, item)

    def forget(self, media: Set[MediaId]) -> None:
        """These were deleted."""
        for inode, item in [each for each in self._items.items() if each[1].media in media]:
            self._let_go(inode, item)

    def _most(self) -> int:
        """How many may be fetched at once, now."""
        spare = self._spare(Urgency.PREFETCH) if self._options.prefetch else 0
        return self._options.prefetch if spare is None else min(self._options.prefetch, LIMITED, spare)

    def _begin(self, inode: Inode, found: tuple[Media, Version] | None, now: float) -> bool:
        """Fetches it, if that is of use; False where there is no room for it."""
        media, version = found if found is not None else (None, None)
        size = media.size if media is not None else None
        if (
            media is None
            or version is None
            or not size
            or media.download_once
            or media.fleeting
            or not self._options.fetched_whole(size)
            or not self._is_needed(version, size)
        ):
            self._passed[inode] = now + PASSED_S
            return True
        if not self._make_room(size, now):
            return False
        item = self._items[inode] = _Item(media.id, size, self._open(media, version), now + HELD_S)
        self._bytes += size
        self._fetching += 1
        self._nursery.start_soon(self._hold, inode, item, name=f"fetch media {media.id} ahead")
        return True

    def _make_room(self, size: int, now: float) -> bool:
        while (
            self._bytes + size > self._options.memory // 4
            or len(self._items) >= HELD * self._options.prefetch
        ):
            stale = now + HELD_S - STALE_S
            idle = (each for each in self._items.items() if not each[1].fetching and each[1].until < stale)
            first = next(idle, None)
            if first is None:
                return False
            self._let_go(*first)
        return True

    async def _hold(self, inode: Inode, item: _Item) -> None:
        """Fetches it, and holds it open until it was read, is in the way, or too old."""
        try:
            await self._fetch(inode, item)
            while not item.over.is_set() and trio.current_time() < item.until:
                with trio.move_on_at(item.until):
                    await item.over.wait()
        finally:
            self._let_go(inode, item)
            await item.reader.close()

    async def _fetch(self, inode: Inode, item: _Item) -> None:
        try:
            # The last byte is shown when all of them have come and the body has ended where it must.
            await item.reader.read(item.size - 1, 1)
        except MediafsError as error:
            logger.debug("media %s: not fetched ahead: %s", item.media, error)
            now = trio.current_time()
            self._passed[inode] = now + HELD_S
            if not isinstance(error, NotFound | NotReady | Changed):
                self._paused_until = now + PAUSE_S
            item.over.set()
        except Exception:  # not the end of the mount
            logger.exception("media %s: fetching it ahead failed", item.media)
            item.over.set()
        finally:
            item.fetching = False
            self._fetching -= 1

    def _let_go(self, inode: Inode, item: _Item) -> None:
        item.over.set()
        if self._items.get(inode) is item:
            del self._items[inode]
            self._bytes -= item.size
