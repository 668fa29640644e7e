"""Where a whole body is put while it is read from: here memory, or a file without a name.

`Store` is the seam for a cache on disk: to the rest of the room a spool is a store that is gone
once its last reader is.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import trio

from ..errors import NoRoom, Unavailable
from ..model import Version


class Store(Protocol):
    """Bytes of one version. Offsets and lengths are in bytes."""

    async def put(self, offset: int, data: bytes) -> None:
        """Raises NoRoom; the store is then to be discarded."""
        ...

    async def get(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, all of which were put before. Raises Unavailable."""
        ...

    async def finish(self, size: int) -> None:
        """The whole body was put and proved to be right: it is `size` bytes."""
        ...

    def discard(self) -> None:
        """Nobody reads it any more, or it is not right. May be called more than once, and while
        `put` or `get` is under way."""
        ...


MakeStore = Callable[[Version, int | None], Awaitable[Store]]
"""A store for a body of so many bytes; None: only its end will tell. Raises NoRoom."""

_NO_TMPFILE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
"""What file systems and kernels without O_TMPFILE answer."""


class MemorySpool:
    """A Store in memory, for a body that the budget has room for: it needs no room on disk."""

    def __init__(self, size: int, give_back: Callable[[], None]) -> None:
        """`give_back` is called once, when the bytes are gone."""
        self._data: bytearray | None = bytearray(size)
        self._give_back = give_back

    async def put(self, offset: int, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self._data is None:
            raise Unavailable("the spool is gone")
        self._data[offset : offset + len(data)] = data

    async def get(self, offset: int, length: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._data is None:
            raise Unavailable("the spool is gone")
        return bytes(memoryview(self._data)[offset : offset + length])

    async def finish(self, size: int) -> None:
        await trio.lowlevel.checkpoint()

    def discard(self) -> None:
        if self._data is not None:
            self._data = None
            self._give_back()


class Spool:
    """A Store in a file that has no name: it cannot be found, and a crash leaves nothing behind.

    Invariant: the descriptor is closed only when no thread uses it. A number closed under a thread
    may be another file's the next moment.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._under_way = 0
        self._discarded = False

    async def put(self, offset: int, data: bytes) -> None:
        def write(descriptor: int) -> None:
            view, at = memoryview(data), offset
            while view:
                written = os.pwrite(descriptor, view, at)
                view, at = view[written:], at + written

        try:
            await self._in_thread(write)
        except OSError as error:
            raise NoRoom(f"cannot write to the spool file: {error.strerror}") from error

    async def get(self, offset: int, length: int) -> bytes:
        def read(descriptor: int) -> bytes:
            parts: list[bytes] = []
            at = offset
            while at < offset + length and (part := os.pread(descriptor, offset + length - at, at)):
                parts.append(part)
                at += len(part)
            return b"".join(parts)

        try:
            data = await self._in_thread(read)
        except OSError as error:
            raise Unavailable(f"cannot read the spool file: {error.strerror}") from error
        if len(data) != length:
            raise Unavailable("the spool file is shorter than what was put into it")
        return data

    async def finish(self, size: int) -> None:
        await trio.lowlevel.checkpoint()

    def discard(self) -> None:
        self._discarded = True
        self._close_unused()

    async def _in_thread(self, work: Callable[[int], bytes | None]) -> bytes:
        descriptor = self._descriptor
        if descriptor is None or self._discarded:
            raise Unavailable("the spool file is gone")
        self._under_way += 1
        try:
            return await trio.to_thread.run_sync(work, descriptor) or b""
        finally:
            self._under_way -= 1
            self._close_unused()

    def _close_unused(self) -> None:
        if self._discarded and self._under_way == 0 and self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


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
