"""Bytes in memory: the mount's one budget, and how a body's chunks become blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cachetools import LRUCache

from ..model import Data
from .buffers import Buffers
from .checks import Identity


class Piece(NamedTuple):
    """Bytes of a media from `offset` on."""

    offset: int
    data: Data

    @property
    def stop(self) -> int:
        return self.offset + len(self.data)


class Edition:
    """One content of a version, as the service identified it: the key of its blocks.

    A version whose content changed gets a new edition; the blocks of the old one can then no longer
    be reached, whoever still holds or adds some.
    """

    __slots__ = ("identity", "size")

    def __init__(self, size: int | None) -> None:
        self.size = size
        """Bytes; None until the service told."""
        self.identity: Identity | None = None
        """Of the first reply; every later one is held against it."""


class Blocks:
    """Pieces of media within a budget of bytes; the least recently used go first.

    Invariants:
    - At most one piece for each block of an edition, and it lies within that block.
    - The pieces and what was lent of the budget fit into it together.
    """

    def __init__(self, memory: int, block: int) -> None:
        self._block = block
        self._lent = 0
        self._pieces: LRUCache[tuple[Edition, int], Piece] = LRUCache(
            memory, getsizeof=lambda piece: len(piece.data)
        )

    @property
    def used(self) -> int:
        """Bytes held or lent."""
        return int(self._pieces.currsize) + self._lent

    def lend(self, size: int) -> bool:
        """Takes so many bytes out of the budget, for a body that is held as a whole until it is given
        back; False where that would leave the pieces less than half of it."""
        if 2 * (self._lent + size) > self._pieces.maxsize:
            return False
        self._lent += size
        self._make_room(0)
        return True

    def give_back(self, size: int) -> None:
        """What was lent is part of the budget again."""
        self._lent -= size

    def get(self, edition: Edition, offset: int) -> Piece | None:
        """The piece that holds the byte at `offset`."""
        piece = self._pieces.get((edition, offset // self._block))
        return piece if piece is not None and piece.offset <= offset < piece.stop else None

    def put(self, edition: Edition, piece: Piece) -> None:
        """Keeps a piece if the budget allows, joined with what is held of its blocks if they touch.

        Of two in a block that do not touch the new one stays: somebody reads there now.
        """
        for part in self._by_block(piece):
            self._put(edition, part)

    def _by_block(self, piece: Piece) -> Iterator[Piece]:
        at = piece.offset
        while at < piece.stop:
            stop = min(piece.stop, at - at % self._block + self._block)
            yield Piece(at, piece.data[at - piece.offset : stop - piece.offset])
            at = stop

    def _put(self, edition: Edition, piece: Piece) -> None:
        key = (edition, piece.offset // self._block)
        held = self._pieces.get(key)
        if held is not None:
            piece = _joined(held, piece)
        if piece.data and len(piece.data) + self._lent <= self._pieces.maxsize:
            self._pieces.pop(key, None)
            self._make_room(len(piece.data))
            self._pieces[key] = piece

    def forget(self, edition: Edition, start: int, stop: int) -> None:
        """Lets go of the blocks that lie wholly within."""
        for number in range(-(-start // self._block), stop // self._block):
            self._pieces.pop((edition, number), None)

    def _make_room(self, size: int) -> None:
        while self.used + size > self._pieces.maxsize:
            self._pieces.popitem()

    def drop(self, edition: Edition) -> None:
        for key in [key for key in self._pieces if key[0] is edition]:
            del self._pieces[key]


def _joined(held: Piece, new: Piece) -> Piece:
    if held.offset <= new.offset and new.stop <= held.stop:
        return held
    if new.stop < held.offset or held.stop < new.offset:
        return new
    before = held.data[: max(0, new.offset - held.offset)]
    after = held.data[new.stop - held.offset :] if held.stop > new.stop else b""
    return Piece(min(held.offset, new.offset), b"".join((before, new.data, after)))


class Assembly:
    """Makes pieces of a body as it arrives, and keeps its end back until the body has ended there.

    Bytes are received into the buffer that becomes the piece, so that none is copied once it is here.

    Invariants:
    - `_buffer` is for the bytes from `_offset` on; those before `position` are in it, and none of them was
      given out by `add` or `filled`.
    - No byte of the buffer that holds byte `end - 1` is given out before `finish`.
    - What was given out or shown of a buffer is not written to again.
    """

    def __init__(self, start: int, end: int | None, block: int) -> None:
        self.position = start
        """The next byte to arrive."""
        self.end = end
        """Where the body must end; None where only its end will tell."""
        self.large: Buffers | None = None
        """Where pieces to come are received: larger ones, which end at multiples of their size."""
        self._block = block
        self._proved = False
        self._begin(start)

    def _begin(self, offset: int) -> None:
        self._offset = offset
        large = self.large
        # Not at the end, of which little is to be kept back.
        if large is not None and (self.end is None or offset + large.size < self.end):
            self._buffer = large.take()[: large.size - offset % large.size]
            return
        length = self._block - offset % self._block
        if self.end is not None:
            length = min(length, max(self.end - offset, 0))
        self._buffer = memoryview(bytearray(length))

    @property
    def due(self) -> int:
        """The first byte that was not shown yet."""
        return self._offset if self._is_kept_back() else self.position

    def room(self) -> memoryview:
        """Where the next bytes go; without any only at `end`."""
        return self._buffer[self.position - self._offset :]

    def filled(self, count: int) -> list[Piece]:
        """So many bytes came into the room; the pieces that this completed."""
        self.position += count
        if self.position - self._offset < len(self._buffer) or self._is_kept_back():
            return []
        piece = Piece(self._offset, self._buffer.toreadonly())
        self._begin(self.position)
        return [piece]

    def add(self, chunk: Data) -> list[Piece]:
        """The pieces that a chunk completed, which does not go on past `end`."""
        pieces = []
        while chunk:
            room = self.room()
            count = min(len(room), len(chunk))
            room[:count] = chunk[:count]
            pieces += self.filled(count)
            chunk = memoryview(chunk)[count:]
        return pieces

    def shown(self, offset: int) -> Piece | None:
        """What has arrived of the block under way, where it holds `offset` and may be shown."""
        if not self._offset <= offset < self.position or self._is_kept_back():
            return None
        return Piece(self._offset, self._buffer[: self.position - self._offset].toreadonly())

    def rewind_unproved(self) -> None:
        """The body was cut when all its bytes had come but not its end: what was kept back is
        received once more, for its end to prove it."""
        if self.position == self.end:
            self.position = self._offset

    def finish(self) -> list[Piece]:
        """The rest; only to be called when the body has ended where it must."""
        self._proved = True
        if self.position == self._offset:
            return []
        piece = Piece(self._offset, self._buffer[: self.position - self._offset].toreadonly())
        self._begin(self.position)
        return [piece]

    def _is_kept_back(self) -> bool:
        # A body without a known end is shown to nobody before it has ended, so nothing is kept back.
        return self.end is not None and not self._proved and self._offset + len(self._buffer) >= self.end
