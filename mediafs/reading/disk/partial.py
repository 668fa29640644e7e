"""A body of which some blocks are held on disk, shared by all who read that version.

Everything but `get` and `wait_written` is synchronous and takes no time; what blocks is done by the cache's
writer, or in threads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import trio

from ...errors import Unavailable
from ..checks import Identity, same_content
from .blockfile import BadBlocks, BlockFile, Extent, held_bytes
from .bodyfile import BLOCK, Record, blocks_of
from .cachefiles import MARGIN
from .ledger import Held, Ledger
from .runs import Runs
from .writer import BOUND, Writer

log = logging.getLogger(__name__)

STEP: Final = 8 << 20
"""Room that is claimed at once, where there is so much."""

_BESIDE: Final = 32
"""Bytes for each block beside its own: its entry, and what the file system writes down of where it is."""


class Keeper(Protocol):
    """What a body needs of its cache."""

    ledger: Ledger
    writer: Writer

    @property
    def open_for_writing(self) -> bool:
        """It is known what there is room for."""
        ...

    def put_later(self, body: PartialBody, offset: int, data: memoryview) -> None:
        """Calls `body.put_now` once it is."""
        ...

    def new_file(self, record: Record) -> BlockFile:
        """One that is made when it is first written."""
        ...

    def replaces(self, body: PartialBody) -> bool:
        """Its file is about to be made: what has its name now goes. False where that must stay."""
        ...

    def made(self, body: PartialBody, path: Path) -> Held:
        """Its file has its name, and is open."""
        ...

    def take_away(self, part: Part) -> None:
        """Its file is to have no name any more."""
        ...

    def closed(self, body: PartialBody) -> None:
        """Nobody reads it any more."""
        ...

    def close(self, part: Part) -> None:
        """Nobody uses its file any more."""
        ...

    def complain(self, why: str) -> None:
        """Something is not kept."""
        ...


class Part:
    """The file of a body, as the loop sees it: `Target` of the writer, `Grantee` of the ledger.

    Invariants:
    - A block is in at most one of `held` and `queued`.
    - What the disk takes up for it is at most `granted`.
    - The file is closed by the writer, once nothing is queued for it and nobody is reading it.
    """

    def __init__(self, body: PartialBody, file: BlockFile, held: Runs, allocated: int) -> None:
        self.file = file
        self.held = held
        self.queued = Runs()
        self.granted = 0
        self.allocated = allocated
        self.entry: Held | None = None
        """Of the ledger, once the file has been made."""
        self.reading = 0
        self.jobs = 0
        self._body = body

    @property
    def needed(self) -> int:
        """What of its room it cannot give back."""
        return self.with_queued(0)

    def with_queued(self, more: int) -> int:
        """What the disk will take up at most, with so many blocks more."""
        queued = self.queued.total + more
        # Some file systems tell only later what they take up.
        taken = max(self.allocated, held_bytes(self.held, self.file.record.size))
        if taken or queued:
            taken += self._fragments()
        if queued:
            taken += MARGIN + 4 * self.file.blocks + queued * (BLOCK + _BESIDE)
        return taken

    def _fragments(self) -> int:
        """What a file system writes down of where the runs are, perhaps only once they reach the disk."""
        return 4096 * (1 + (len(self.held) + self.file.record.size // (128 << 20)) // 128)

    def write(self, extents: Sequence[Extent]) -> int:
        return self.file.write(extents)

    def written(self, extents: Sequence[Extent], outcome: int | Exception) -> None:
        self._body.written(self, extents, outcome)


class PartialBody:
    """Opened by `Partials`, which is its `Keeper`; discard it."""

    def __init__(self, keeper: Keeper, record: Record, file: BlockFile | None = None) -> None:
        """`file` is what was found of it."""
        self.record = record
        self.readers = 0
        """How many have it open."""
        self.over = False
        """It was deleted: nothing of it is held, and nothing will be."""
        self._keeper = keeper
        self._refused = False
        """By the disk: nothing more is written while this is open."""
        self._warned = False
        self._closed = False
        self._waiting = 0
        """Extents that were taken and not written yet."""
        self._written = trio.Event()
        self.part = (
            Part(self, keeper.new_file(record), Runs(), 0)
            if file is None
            else Part(self, file, file.held(), file.allocated())
        )

    def __repr__(self) -> str:
        return f"<PartialBody of {self.record.media}: {self.bytes_held} of {self.record.size}>"

    # --- what is held ------------------------------------------------------------------------------

    def held_until(self, offset: int) -> int:
        """The end of the run of held bytes that begins at `offset`; `offset` where that byte is not held."""
        number = offset // BLOCK
        until = self.part.held.held_until(number)
        return min(until * BLOCK, self.record.size) if until > number else offset

    def missing_until(self, offset: int) -> int:
        """Where the next held byte is from `offset` on; the size where there is none."""
        number = offset // BLOCK
        until = self.part.held.missing_until(number, self.part.file.blocks)
        return min(max(offset, until * BLOCK), self.record.size)

    @property
    def bytes_held(self) -> int:
        return held_bytes(self.part.held, self.record.size)

    async def get(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, all of which are held; each was checked.

        Raises Unavailable where they are not held, or not any more: what the disk does not give back as it
        was put is held no longer when this is raised.
        """
        if length <= 0:
            await trio.lowlevel.checkpoint()
            return b""
        part = self.part
        if self.held_until(offset) < offset + length:
            await trio.lowlevel.checkpoint()
            raise Unavailable("not all of it is held on disk")
        part.reading += 1
        try:
            return await trio.to_thread.run_sync(part.file.read, offset, length)
        except BadBlocks as error:
            self._damaged(part, error.first, error.stop, str(error))
            raise Unavailable(f"the cached body is damaged: {error}") from error
        except OSError as error:
            self._damaged(part, offset // BLOCK, blocks_of(offset + length), error.strerror or str(error))
            raise Unavailable(f"cannot read the disk cache: {error.strerror}") from error
        finally:
            part.reading -= 1
            self._settle(part)

    def _damaged(self, part: Part, first: int, stop: int, why: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("a cached body of media %s is damaged (%s): fetched anew", self.record.media, why)
        part.held.remove(first, stop)
        part.file.strike(first, stop)
        self._keeper.writer.do(lambda: part.file.clear(first, stop), lambda error: None)

    # --- what comes --------------------------------------------------------------------------------

    def put_nowait(self, offset: int, data: bytes | bytearray | memoryview) -> bool:
        """Takes bytes that were proved right, to be written soon; the caller does not change them any more.

        Only whole blocks are kept of them. False where nothing was taken: no whole block in it, too much that
        waits to be written, no room, a disk that refuses.
        """
        view = memoryview(data).cast("B")
        stop = offset + len(view)
        if offset < 0 or stop > self.record.size:
            raise ValueError(f"{offset}..{stop} is not within {self.record.size} bytes")
        first, last = blocks_of(offset), blocks_of(stop) if stop == self.record.size else stop // BLOCK
        if first >= last or not self._takes:
            return False
        if not self.part.file.writable:
            self._keeper.complain("it can only be read")
            return False
        view = view[first * BLOCK - offset : min(last * BLOCK, stop) - offset]
        if self._keeper.open_for_writing:
            return self._put(first, last, view)
        if self._keeper.writer.queued + len(view) > BOUND:
            return False
        self._waiting += 1
        self._keeper.put_later(self, first * BLOCK, view)
        return True

    async def put(self, offset: int, data: bytes | bytearray | memoryview) -> bool:
        """As `put_nowait`, but waits for a writer that has too much to do, and until they are written.

        False where there is no room, or the disk refuses.
        """
        while not self.put_nowait(offset, data):
            if not self._takes or self._keeper.writer.takes(len(data)):
                await trio.lowlevel.checkpoint()
                return False
            await self._keeper.writer.wait_done()
        await self.wait_written()
        return not self._refused

    def put_now(self, offset: int, data: memoryview) -> None:
        """What the cache was asked to put later."""
        self._waiting -= 1
        if self._takes:
            self._put(offset // BLOCK, blocks_of(offset + len(data)), data)
        self._settle(self.part)

    @property
    def _takes(self) -> bool:
        return not (self.over or self._refused or self._closed or self.part.file.dead)

    def _put(self, first: int, last: int, view: memoryview) -> bool:
        part, writer = self.part, self._keeper.writer
        for start, stop in list(self._missing(first, last)):
            data = view[(start - first) * BLOCK : (stop - first) * BLOCK]
            if not self._claim(part, stop - start):
                return False
            if part.entry is None and not part.jobs and not self._keeper.replaces(self):
                self._refused = True
                return False
            if not writer.write(part, Extent(start, stop, data)):
                return False
            part.queued.add(start, stop)
            part.jobs += 1
            self._waiting += 1
        return True

    def _missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of these blocks is neither held nor queued."""
        for start, stop in self.part.held.gaps(first, last):
            yield from self.part.queued.gaps(start, stop)

    def _claim(self, part: Part, blocks: int) -> bool:
        room = part.with_queued(blocks)
        if room <= part.granted:
            return True
        rest = (part.file.blocks - part.held.total - part.queued.total - blocks) * BLOCK
        going = self._keeper.ledger.claim(part, room, spare=max(0, min(STEP, rest)))
        if going is None:
            if self._keeper.ledger.disk_is_full:
                self._keeper.complain("the disk is full, or would be beyond keep_free of [cache]")
            return False
        self._keeper.ledger.enter(part)
        self._keeper.writer.unlink(going)
        return True

    def written(self, part: Part, extents: Sequence[Extent], outcome: int | Exception) -> None:
        part.jobs -= len(extents)
        self._waiting -= len(extents)
        for extent in extents:
            part.queued.remove(extent.first, extent.stop)
        if isinstance(outcome, int):
            part.allocated = outcome
            if not part.file.dead:
                for extent in extents:
                    part.held.add(extent.first, extent.stop)
                if part.entry is None:
                    part.entry = self._keeper.made(self, part.file.path)
                if part.needed > part.granted and not self._claim(part, 0):
                    self.reset()
        else:
            self._refused = True
            with suppress(OSError):
                part.allocated = part.file.allocated()
            self._keeper.ledger.give_back(part, part.needed)
            if isinstance(outcome, OSError):
                self._keeper.complain(outcome.strerror or str(outcome))
            else:
                log.error("the disk cache cannot write", exc_info=outcome)
        self._settle(part)

    async def wait_written(self) -> None:
        """Until all that was put is written, or was given up."""
        await trio.lowlevel.checkpoint()
        while self._waiting:
            if self._written.is_set():  # others may wait for it
                self._written = trio.Event()
            await self._written.wait()

    # --- what goes ---------------------------------------------------------------------------------

    def identify(self, etag: str | None, last_modified: str | None) -> bool:
        """A reply said which content it is. False where what was held is another: it is held no longer.

        Also what nothing says anything of is not held any longer than that, once something does.
        """
        record = self.record
        fits = same_content(Identity(etag=etag, last_modified=last_modified, total=None), record)
        unproved = record.etag is None and record.last_modified is None
        if fits is False or (unproved and (etag is not None or last_modified is not None)):
            self.record = replace(record, etag=etag, last_modified=last_modified)
            self.reset()
        return fits is not False

    def discard(self) -> None:
        """It is not read any more; once for each time that it was opened."""
        self.readers -= 1
        self._settle(self.part)

    def reset(self) -> None:
        """Nothing of it is held any more; what comes from now on goes into a new file."""
        old = self.part
        self.part = Part(self, self._keeper.new_file(self.record), Runs(), 0)
        self._retire(old)

    def supersede(self) -> None:
        """Another file has its name, or will: it can be read, and nothing more is written."""
        self.part.file.dead = True
        self.part.entry = None
        self._keeper.ledger.give_back(self.part, self.part.needed)

    def end(self) -> None:
        """It was deleted."""
        self.over = True
        self.reset()

    def _retire(self, part: Part) -> None:
        part.file.dead = True
        self._keeper.take_away(part)
        part.entry = None
        self._keeper.ledger.give_back(part, part.needed)
        self._settle(part)

    def _settle(self, part: Part) -> None:
        """Closes what is not used any more."""
        if not self._waiting:
            self._written.set()
        if part.jobs or part.reading:
            return
        if part is not self.part:
            self._keeper.close(part)
        elif self.readers <= 0 and not self._waiting and not self._closed:
            self._closed = True
            self._keeper.closed(self)
