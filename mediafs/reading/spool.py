"""Where a whole body is put while it is read from: here memory, or a file without a name.

`Store` is the seam to the cache on disk too: to the rest of the room a spool is a store that is gone
once its last reader is, and a file of the cache is one that is not.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

import trio

from ..errors import NoRoom, Unavailable
from ..model import Data, Version
from .checks import Identity
from .files import read_all, write_all


class Store(Protocol):
    """Bytes of one version. Offsets and lengths are in bytes."""

    @property
    def lasting(self) -> bool:
        """Once finished, it can be found again after it was discarded, also by a later process."""
        ...

    async def put(self, offset: int, data: Data) -> None:
        """In order, from byte 0 on; at byte 0 once more where the body starts again.

        Raises NoRoom: this was not put, what was put before can be read until the store is discarded.
        """
        ...

    async def get(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, all of which were put before. Raises Unavailable."""
        ...

    async def finish(self, size: int, identity: Identity) -> None:
        """The whole body was put and proved to be right: it is `size` bytes, which the service identified
        like this."""
        ...

    def discard(self) -> None:
        """Nobody reads it any more, or it is not right. May be called more than once, and while
        `put` or `get` is under way."""
        ...


T = TypeVar("T")

MakeStore = Callable[[Version, int | None], Awaitable[Store]]
"""A store for a body of so many bytes; None: only its end will tell. Raises NoRoom."""

_NO_TMPFILE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
"""What file systems and kernels without O_TMPFILE answer."""


class MemorySpool:
    """A Store in memory, for a body that the budget has room for: it needs no room on disk."""

    lasting = False

    def __init__(self, lent: int, lend: Callable[[int], bool], give_back: Callable[[int], None]) -> None:
        """`lent` bytes of the budget are its own already; what goes beyond them is lent as it comes.

        `give_back` is called once, when the bytes are gone.
        """
        self._data: bytearray | None = bytearray(lent)
        self._lend = lend
        self._give_back = give_back

    async def put(self, offset: int, data: Data) -> None:
        await trio.lowlevel.checkpoint()
        if self._data is None:
            raise Unavailable("the spool is gone")
        more = offset + len(data) - len(self._data)
        if more > 0:
            if not self._lend(more):
                raise NoRoom(f"memory has no room for {offset + len(data)} bytes of a body")
            self._data.extend(bytes(more))
        self._data[offset : offset + len(data)] = data

    async def get(self, offset: int, length: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._data is None:
            raise Unavailable("the spool is gone")
        return bytes(memoryview(self._data)[offset : offset + length])

    async def finish(self, size: int, identity: Identity) -> None:
        await trio.lowlevel.checkpoint()

    def discard(self) -> None:
        if self._data is not None:
            lent, self._data = len(self._data), None
            self._give_back(lent)


class Spool:
    """A Store in a file that has no name: it cannot be found, and a crash leaves nothing behind.

    Invariant: the descriptor is closed only when no thread uses it. A number closed under a thread
    may be another file's the next moment.
    """

    lasting = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._under_way = 0
        self._discarded = False

    async def put(self, offset: int, data: Data) -> None:
        try:
            await self._in_thread(lambda descriptor: write_all(descriptor, data, offset))
        except OSError as error:
            raise NoRoom(f"cannot write to the spool file: {error.strerror}") from error

    async def get(self, offset: int, length: int) -> bytes:
        try:
            data = await self._in_thread(lambda descriptor: read_all(descriptor, offset, length))
        except OSError as error:
            raise Unavailable(f"cannot read the spool file: {error.strerror}") from error
        if len(data) != length:
            raise Unavailable("the spool file is shorter than what was put into it")
        return data

    async def finish(self, size: int, identity: Identity) -> None:
        await trio.lowlevel.checkpoint()

    def discard(self) -> None:
        self._discarded = True
        self._close_unused()

    async def _in_thread(self, work: Callable[[int], T]) -> T:
        descriptor = self._descriptor
        if descriptor is None or self._discarded:
            raise Unavailable("the spool file is gone")
        self._under_way += 1
        try:
            return await trio.to_thread.run_sync(work, descriptor)
        finally:
            self._under_way -= 1
            self._close_unused()

    def _close_unused(self) -> None:
        if self._discarded and self._under_way == 0 and self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
            self._was_closed()

    def _was_closed(self) -> None:
        """For subclasses: its room on disk is free again, where it has no name."""


async def make_spool(directory: Path) -> Spool:
    """An empty spool, readable by its owner only; made with the folder if need be. Raises NoRoom."""
    try:
        return Spool(await trio.to_thread.run_sync(_nameless_file, directory))
    except OSError as error:
        raise NoRoom(f"cannot make a spool file in {directory}: {error.strerror}") from error


def _nameless_file(directory: Path) -> int:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
    descriptor, path = tempfile.mkstemp(prefix=".spool-", dir=directory)
    try:
        os.unlink(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
