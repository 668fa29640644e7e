"""Live names: files in a user's directory behind which another media may be at any time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

import trio
from cachetools import LRUCache

from ..catalogue import Catalogue
from ..errors import Changed, NotFound
from ..model import Inode, User
from ..reading import LiveReader, Pages, Reading
from .nodes import Live, stored
from .seams import Ids
from .shapes import UNKNOWN_SIZE
from .values import Attributes, Entry, Kind

CONTENTION_S: Final = 0.1
"""For how long after two met on one inode each who looks a name up gets an inode of their own. No longer:
`cp` takes a file that has another inode when it opens it for a replaced one."""


class LiveFile:
    """One opened live name. Its size is known where the call has ended."""

    keep_cache = False

    def __init__(
        self, reader: LiveReader, attributes: Attributes, *, grows: bool, closed: Callable[[], None]
    ) -> None:
        self._reader = reader
        self._attributes = attributes
        self._closed = closed
        self.grows = grows

    @property
    def content(self) -> object:
        return self._reader.content

    def put_into(self, pages: Pages) -> None:
        """There are none of what grows."""

    def leave_no_pages(self) -> None:
        """Nor is it opened with any."""

    async def read(self, offset: int, length: int) -> bytes:
        return await self._reader.read(offset, length)

    def attributes(self) -> Attributes:
        return self._attributes

    async def close(self) -> None:
        self._closed()
        await self._reader.close()


@dataclass(slots=True)
class _Met:
    """Two met on one inode of a name, not long ago."""

    until: float
    turn: int
    """The last that was given out."""


class LiveNames:
    """Nothing of them is remembered: the kernel asks each time, and each open is a download.

    Invariant: of one inode one call is open at most. The kernel has one size and one set of pages an inode:
    with two calls under one, the end of the shorter would cut the longer.
    """

    def __init__(self, catalogue: Catalogue, reading: Reading, ids: Ids) -> None:
        self._catalogue = catalogue
        self._reading = reading
        self._ids = ids
        self._open: set[Inode] = set()
        self._met: LRUCache[tuple[User, str], _Met] = LRUCache(1000)

    def of(self, user: User) -> list[Entry]:
        return [Entry(name, self._free(user, name)) for name, _ in self._ids.live(user.id)]

    def find(self, user: User, name: str) -> Attributes | None:
        """What the name stands for now; an inode under which nothing is open."""
        return self._free(user, name) if any(name == known for known, _ in self._ids.live(user.id)) else None

    def _free(self, user: User, name: str) -> Attributes:
        met = self._met.get((user, name))
        if met is not None and met.until <= trio.current_time():
            met = None
        for turn in count(met.turn + 1 if met is not None else 0):
            found = self.attributes(Live(user, name, turn))
            if found.inode not in self._open:
                if met is not None:
                    met.turn = turn
                return found
        raise AssertionError("unreachable: there is always one more")

    def attributes(self, node: Live, size: int | None = None) -> Attributes:
        inode, _ = self._catalogue.directories.get(*stored(node))
        return Attributes(
            inode=inode,
            kind=Kind.FILE,
            size=UNKNOWN_SIZE if size is None else size,
            links=1,
            modified_s=int(time.time()),
            writable=False,
            entry_timeout_s=0,
            attr_timeout_s=0,
        )

    async def open(self, node: Live) -> LiveFile:
        """Raises NotFound where nothing is behind it now, what the service refuses, and Changed where the
        inode is open already: the kernel then looks the name up again, once."""
        media = dict(self._ids.live(node.user.id)).get(node.name)
        if media is None:
            raise NotFound(f"{node.name}: there is no such name any more")
        inode = self.attributes(node).inode
        if inode in self._open:
            self._met[node.user, node.name] = _Met(trio.current_time() + CONTENTION_S, node.turn)
            raise Changed(f"{node.name}: another call is open under this inode")
        self._open.add(inode)
        reader = self._reading.open_live(media)
        try:
            size = await reader.settle()
        except BaseException:
            self._open.discard(inode)
            await reader.close()
            raise
        return LiveFile(
            reader,
            self.attributes(node, size),
            grows=size is None,
            closed=lambda: self._open.discard(inode),
        )
