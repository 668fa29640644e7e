"""One body of which some blocks are held, as a sparse file: the blocks in their places, and behind them
which there are.

    body        `size` bytes; what is not held is a hole
    map         4 bytes for each `BLOCK` of the body: 0 where it is not held, else its checksum
    record      whose bytes they are
    tail        magic, size, length of the record, CRC-32 of record and tail

All but blocks and map is written once, under a temporary name. A block is written before its entry in the
map, and held against it whenever it is read. So whatever order the disk writes in, and wherever a crash or
a power cut ends it: a block that is not what was put is one whose checksum does not hold, and is not there.
That needs no `fsync`.

All of it blocks, and runs in threads: `write` and `close` in the writer's only, one at a time.
"""

from __future__ import annotations

import os
import re
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ..files import allocated, make, read_all, unlink_quietly, unlink_same, used_now, write_all
from .bodyfile import BLOCK, ENTRY, Damaged, Record, blocks_of, ending, little, read_ending
from .runs import Runs

_MAGIC: Final = b"mediafs2"
_AT_ONCE: Final = 1 << 20
"""Bytes that are summed and then written: still in the processor's cache by then."""
_VECTORS: Final = 512
"""Buffers of one write; Linux takes 1024."""
_FLAGS: Final = re.compile(rb"\x01+")


class Extent(NamedTuple):
    """Whole blocks of a body, from block number `first` on."""

    first: int
    stop: int
    data: memoryview


def checksum(data: memoryview | bytes) -> int:
    """Never 0, which stands for what is not held."""
    return zlib.crc32(data) or 0xFFFFFFFF


class BlockFile:
    """Made when the first blocks are written. Its table is shared: an entry is set by the writer after its
    block is on disk, and taken away by whoever finds that it does not hold."""

    def __init__(self, record: Record, final: Path, temporary: Path | None = None) -> None:
        self.record = record
        self.path = final
        self.blocks = blocks_of(record.size)
        self.dead = False
        """It is to have no name any more, and nothing more is written."""
        self.writable = True
        self._temporary = temporary
        self._descriptor: int | None = None
        self._table = array("I", bytes(ENTRY * self.blocks))
        assert self._table.itemsize == ENTRY

    @classmethod
    def at(cls, path: Path) -> BlockFile | None:
        """What an earlier process, or an earlier opening, left; None where there is nothing of the kind.

        Raises OSError.
        """
        writable = True
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            try:
                descriptor = os.open(path, os.O_RDWR | flags)
            except FileNotFoundError:
                raise
            except OSError:  # it, or the disk, can only be read
                writable = False
                descriptor = os.open(path, os.O_RDONLY | flags)
        except FileNotFoundError:
            return None
        try:
            record, table = read_map(descriptor)
            file = cls(record, path)
            file._descriptor, file._table, file.writable = descriptor, table, writable
            used_now(descriptor)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, Damaged):
                return None
            raise
        return file

    def held(self) -> Runs:
        """Numbers of the blocks that the map names."""
        return runs_of(self._table)

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    def allocated(self) -> int:
        """Bytes that the disk takes up for it. Raises OSError."""
        return 0 if self._descriptor is None else allocated(self._descriptor)

    # --- the writer's thread -----------------------------------------------------------------------

    def write(self, extents: Sequence[Extent]) -> int:
        """Writes blocks, and then that they are there; what the disk takes up for the file then.

        Raises OSError, and then none of them counts. Does nothing where the file is dead.
        """
        if self.dead:
            return self.allocated()
        if self._descriptor is None:
            self._descriptor = self._make()
        descriptor = self._descriptor
        entries: list[tuple[int, array[int]]] = []
        for group in _groups(extents):
            sums = array("I")
            for extent in group:
                for at in range(0, len(extent.data), BLOCK):
                    sums.append(checksum(extent.data[at : at + BLOCK]))
            _write_vector(descriptor, [extent.data for extent in group], group[0].first * BLOCK)
            if entries and entries[-1][0] + len(entries[-1][1]) == group[0].first:
                entries[-1][1].extend(sums)
            else:
                entries.append((group[0].first, sums))
        for first, sums in entries:
            write_all(descriptor, little(sums), self.record.size + ENTRY * first)
            self._table[first : first + len(sums)] = sums
        return self.allocated()

    def clear(self, first: int, stop: int) -> None:
        """Writes what the map says of these blocks anew. Raises OSError."""
        if self._descriptor is not None and self.writable and not self.dead:
            write_all(self._descriptor, little(self._table[first:stop]), self.record.size + ENTRY * first)

    def close(self) -> None:
        """Raises OSError: what was written may not all be there, as the checksums will tell."""
        descriptor, self._descriptor = self._descriptor, None
        self.writable = False
        if descriptor is not None:
            if self.dead:  # it may have become so just when it got its name
                unlink_same(self.path, descriptor)
            os.close(descriptor)

    def _make(self) -> int:
        assert self._temporary is not None
        descriptor = make(self._temporary)
        try:
            end = ending(_MAGIC, self.record)
            write_all(descriptor, end, self.record.size + ENTRY * self.blocks)
            self._temporary.rename(self.path)
            if self.dead:  # it became so meanwhile: who said so may have looked for the name before
                unlink_same(self.path, descriptor)
        except BaseException:
            os.close(descriptor)
            unlink_quietly(self._temporary)
            raise
        return descriptor

    # --- any thread --------------------------------------------------------------------------------

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the body that were checked. Raises BadBlocks and OSError."""
        first, stop = offset // BLOCK, blocks_of(offset + length)
        start = first * BLOCK
        end = min(stop * BLOCK, self.record.size)
        if self._descriptor is None:
            raise BadBlocks(first, stop, "the file is gone")
        raw = read_all(self._descriptor, start, end - start)
        data = memoryview(raw)
        for number in range(first, stop):
            entry = self._table[number]
            block = data[(number - first) * BLOCK : (number - first + 1) * BLOCK]
            if entry == 0 or len(block) != min(BLOCK, self.record.size - number * BLOCK):
                raise BadBlocks(number, number + 1, f"block {number} is not there")
            if checksum(block) != entry:
                raise BadBlocks(number, number + 1, f"the checksum of block {number} does not hold")
        if (start, end) == (offset, offset + length):
            return raw
        return bytes(data[offset - start : offset - start + length])

    def strike(self, first: int, stop: int) -> None:
        """These blocks do not hold: the map does not name them any more, in memory."""
        for number in range(first, stop):
            self._table[number] = 0


class BadBlocks(Exception):
    """Blocks that cannot be believed."""

    def __init__(self, first: int, stop: int, why: str) -> None:
        super().__init__(why)
        self.first = first
        self.stop = stop


def read_map(descriptor: int) -> tuple[Record, array[int]]:
    """Whose body it is, and the map. Raises Damaged for what is no such file, OSError."""
    return read_ending(descriptor, _MAGIC, sealed=False)


def runs_of(table: array[int]) -> Runs:
    """Numbers of the blocks that a map names."""
    runs = Runs()
    for run in _FLAGS.finditer(bytes(map(bool, table))):
        runs.add(run.start(), run.end())
    return runs


def held_bytes(runs: Runs, size: int) -> int:
    """Bytes of a body of which these blocks are held."""
    blocks = blocks_of(size)
    last = runs.held_until(blocks - 1) >= blocks if blocks else False
    return runs.total * BLOCK - (blocks * BLOCK - size if last else 0)


def _groups(extents: Sequence[Extent]) -> list[list[Extent]]:
    """Extents that follow one another, as far as they are written at once."""
    groups: list[list[Extent]] = []
    length = 0
    for extent in sorted(extents, key=lambda extent: extent.first):
        follows = groups and groups[-1][-1].stop == extent.first
        if follows and length + len(extent.data) <= _AT_ONCE and len(groups[-1]) < _VECTORS:
            groups[-1].append(extent)
            length += len(extent.data)
        else:
            groups.append([extent])
            length = len(extent.data)
    return groups


def _write_vector(descriptor: int, parts: list[memoryview], offset: int) -> None:
    written = os.pwritev(descriptor, parts, offset)
    for part in parts:
        if written < len(part):
            write_all(descriptor, part[max(written, 0) :], offset + max(written, 0))
        written -= len(part)
        offset += len(part)
