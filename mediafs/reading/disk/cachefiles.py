"""Whole bodies as files of the disk cache: one that is being filled, and one that is whole. Both are a
`Store`.

What blocks runs in threads; what is counted and named is decided by `wholes.py` on the loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import trio

from ...errors import NoRoom, Unavailable
from ...model import Data
from ..checks import Identity
from ..files import allocated, make, sync_folder, unlink_quietly, unlink_same, used_now, write_all
from ..spool import Spool
from .bodyfile import MAGIC, BodyFile, Checksums, Damaged, Record, ending
from .ledger import Held

MARGIN: Final = 64 * 1024
"""Room taken beside a body's own: what the file system itself writes down of a file."""

STEP: Final = 4 << 20
"""By how much the room of a body of unknown length grows at least."""


class Keeper(Protocol):
    """What a file that is being filled needs of its cache."""

    async def grant(self, to: Filling, room: int) -> bool:
        """Whether the file may take up `room` bytes of disk in all."""
        ...

    def took(self, filling: Filling, record: Record, descriptor: int) -> Held:
        """It is whole, and has its name; it is open until it is closed."""
        ...

    def let_go(self, filling: Filling) -> None:
        """It has no name any more, and will not be kept."""
        ...

    def hold(self, name: str) -> Held | None:
        """What has that name is not evicted until it is closed."""
        ...

    def closed(self, held: Held | None) -> None:
        """Nobody reads it any more."""
        ...

    def trouble(self, error: OSError) -> None:
        """The disk did not do what it should."""
        ...


class Filling(Spool):
    """A body on its way into the cache, under a temporary name until it is whole.

    Where it cannot be kept it lets go of that name and goes on as a nameless spool: who reads it does
    not notice.

    Invariant: the disk never takes up more for it than `granted`, as long as it has a name.
    """

    def __init__(
        self,
        keeper: Keeper,
        descriptor: int,
        *,
        temporary: Path,
        final: Path,
        record: Record,
        settled: Callable[[int], str],
        granted: int,
    ) -> None:
        """`record` is all but what only the end of the body tells; `settled` is the validator of the
        version once its size is known."""
        super().__init__(descriptor)
        self.final = final
        self.granted = granted
        self.allocated = 0
        """What the disk takes up for it, when last looked at."""
        self.record = record
        self._keeper = keeper
        self._temporary = temporary
        self._settled = settled
        self._checksums = Checksums()
        self._named = True
        self._held: Held | None = None
        """Once it is whole."""

    @property
    def lasting(self) -> bool:  # type: ignore[override]
        return self._named

    @property
    def needed(self) -> int:
        """Of what was granted it gives nothing back before it is whole."""
        return self.granted

    async def put(self, offset: int, data: Data) -> None:
        if offset == 0 and self._checksums.length:
            self._checksums = Checksums()
        if offset != self._checksums.length:
            raise ValueError(f"a body is put in order: {offset} after {self._checksums.length}")
        if self._named:
            await self._take_room(offset + len(data) + MARGIN)

        def write(descriptor: int) -> int:
            write_all(descriptor, data, offset)
            self._checksums.add(data)
            return allocated(descriptor)

        try:
            self.allocated = await self._in_thread(write)
        except OSError as error:
            if self._named:
                self._keeper.trouble(error)
            self.let_go()
            raise NoRoom(f"cannot write to the disk cache: {error.strerror}") from error
        if self._named:
            await self._take_room(self.allocated)

    async def finish(self, size: int, identity: Identity) -> None:
        """Without room for it, or with a disk that fails, it is not kept; that is no error."""
        settled = self._settled(size)
        record = replace(
            self.record,
            size=size,
            etag=identity.etag,
            last_modified=identity.last_modified,
            validators=tuple(dict.fromkeys((*self.record.validators, settled))),
        )
        end = ending(MAGIC, record, self._checksums.table())
        if self._checksums.length != size:
            raise ValueError(f"{size} bytes were to be put, not {self._checksums.length}")
        if self._named:
            await self._take_room(size + len(end) + MARGIN)
        if not self._named:
            await trio.lowlevel.checkpoint()
            return
        # Who evicts by name meanwhile must not meet this one.
        replaced = self._keeper.hold(self.final.name)
        try:
            await self._in_thread(lambda descriptor: self._seal(descriptor, end, size))
        except OSError as error:
            if self._named:  # else it was let go while this was under way
                self._keeper.trouble(error)
            self.let_go()
        except Unavailable:
            self.let_go()
        finally:
            self._keeper.closed(replaced)
        if self._named and self._descriptor is not None:
            self._held = self._keeper.took(self, record, self._descriptor)

    def _seal(self, descriptor: int, end: bytes, size: int) -> None:
        """In this order: the final name shows nothing that the disk does not hold."""
        write_all(descriptor, end, size)
        os.ftruncate(descriptor, size + len(end))
        os.fsync(descriptor)
        self._temporary.rename(self.final)
        sync_folder(self.final.parent)

    async def _take_room(self, room: int) -> None:
        if room > self.granted:
            # Beyond the body's known length only a margin is missing; else it grows by half.
            wanted = max(room, self.granted + max(STEP, self.granted // 2))
            if not await self._keeper.grant(self, wanted) and not await self._keeper.grant(self, room):
                self.let_go()

    def let_go(self) -> None:
        """Takes away its name, whichever it has by now, unless it is whole."""
        if self._named and self._held is None:
            self._named = False
            # In this order: a thread that is just renaming it loses either the one or the other.
            if self._descriptor is not None:
                unlink_same(self._temporary, self._descriptor)
                unlink_same(self.final, self._descriptor)
            self._keeper.let_go(self)

    def discard(self) -> None:
        self.let_go()
        super().discard()

    def _was_closed(self) -> None:
        if self._held is not None:
            self._keeper.closed(self._held)


class Whole(Spool):
    """A whole body of the cache, open for reading; every byte is checked before it is given out."""

    lasting = True

    def __init__(
        self, descriptor: int, body: BodyFile, *, damaged: Callable[[str], None], closed: Callable[[], None]
    ) -> None:
        super().__init__(descriptor)
        self.record = body.record
        self._body = body
        self._damaged = damaged
        self._closed = closed

    async def put(self, offset: int, data: Data) -> None:
        raise ValueError("this body is whole already")

    async def get(self, offset: int, length: int) -> bytes:
        try:
            return await self._in_thread(lambda descriptor: self._body.read(descriptor, offset, length))
        except Damaged as error:
            self._damaged(str(error))
            raise Unavailable(f"the cached body is damaged: {error}") from error
        except OSError as error:
            self._damaged(error.strerror or str(error))
            raise Unavailable(f"cannot read the disk cache: {error.strerror}") from error

    def _was_closed(self) -> None:
        self._closed()


# --- in threads ----------------------------------------------------------------------------------------


def open_whole(path: Path) -> tuple[int, BodyFile] | None:
    """A descriptor and what it holds; None where there is none, or none that is whole. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        body = BodyFile.at(descriptor)
        used_now(descriptor)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, Damaged):
            return None
        raise
    return descriptor, body


def make_temporary(path: Path, size: int) -> int:
    """A new file with room for `size` bytes. Raises OSError, and then leaves none."""
    descriptor = make(path)
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
    except BaseException:
        os.close(descriptor)
        unlink_quietly(path)
        raise
    return descriptor
