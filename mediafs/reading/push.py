"""Bytes on their way into the kernel before they are asked for.

Each page that the kernel has already is a page that it does not ask for: a request costs some 100 us,
and putting a mebibyte there about as much. So what a stream brings for a reader that goes forward is put
there ahead of it, but for a hole every `PIECE`: the request for the hole tells how far the reader has come.

The call waits for locks of pages that the kernel is asking for at that moment. So it is made in a thread,
nothing waits for it, and what has been asked for is not put there: nobody would be served sooner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, Protocol

import trio

from ..model import Data
from .blocks import Piece

KIB: Final = 1024
HOLE: Final = 128 * KIB
"""The most that the kernel asks for at once, where nobody has told it otherwise."""
PIECE: Final = 2048 * KIB
"""Put there in one call. In pieces of 256 KiB the same took 1.4 times the CPU, and brought 0.75 times the
bytes; in larger ones it was no faster (measured)."""
BEGIN: Final = 1024 * KIB
"""So much has a reader read in one go before anything is put there for it: players and file managers
look into many files, and read on in few."""
ENOUGH: Final = 1024 * KIB
ARRIVE_S: Final = 0.003
"""A read is not held back for longer until that much arrives. A fast line brings it in that time; who reads
over a slow one hardly notices..."""
PUT_S: Final = 0.05
"""... nor for longer until it was put there, whatever else the machine is doing."""
_AT_ONCE: Final = 2
"""Pieces in one hop to the thread."""


class Pages(Protocol):
    """What the kernel holds of one content of a file. Provided by who serves the kernel."""

    async def store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        """Puts pieces there, from the byte on that `from_` tells when their turn comes; False: no more of
        this content are to be put there."""
        ...


class Push:
    """What one stream puts into the kernel's pages. Trio thread only."""

    def __init__(self, pages: Pages, reach: Callable[[], int], kept: Callable[[Piece], None]) -> None:
        """`reach` is how far the readers of the stream have come; `kept` is told of each piece of which the
        kernel has all that it is to have, once it lies behind them."""
        self._pages = pages
        self._reach = reach
        self._kept = kept
        self._begin = reach() + BEGIN
        self._waiting: deque[Piece] = deque()
        self._stored: deque[Piece] = deque()
        self._busy = False
        self._from = self._until = 0
        self._ended = False
        self._news = trio.Event()
        self._progress = trio.Event()

    @property
    def begun(self) -> bool:
        """A reader has come far enough for it."""
        return self._reach() >= self._begin

    def offer(self, piece: Piece) -> None:
        """A piece that has arrived, the next of the stream; nothing waits for what comes of it."""
        reach = self._reach()
        if self.begun and piece.offset >= reach and not self._ended:
            self._waiting.append(piece)
            self._news.set()
            self._progress.set()
        while self._stored and self._stored[0].stop <= reach:
            self._kept(self._stored.popleft())

    def end(self) -> None:
        """What was not put there yet is not wanted any more."""
        self._ended = True
        self._waiting.clear()
        self._news.set()
        self._progress.set()

    async def wait_put(self, stop: int) -> None:
        """Until enough was put there, but not for long. For who reads foremost, up to `stop`: answered a
        little later it finds all of that there, where it would have come back for each piece of it.

        Who reads what is just being put there must not wait for it: the call waits for that read.
        """
        if self._ended or stop < self._begin or (self._busy and self._from < stop):
            return
        now = trio.current_time()
        with trio.CancelScope(deadline=now + PUT_S):
            while not self._ended and (self._busy or self._waiting or self._until < stop + ENOUGH):
                self._progress = trio.Event()
                with trio.CancelScope(
                    deadline=inf if self._busy or self._waiting else now + ARRIVE_S
                ) as scope:
                    await self._progress.wait()
                if scope.cancelled_caught and not (self._busy or self._waiting):
                    break

    async def run(self) -> None:
        """Until `end`."""
        while not self._ended:
            if not self._waiting:
                self._news = trio.Event()
                await self._news.wait()
                continue
            batch = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            self._busy, self._from = True, batch[0].offset
            if not await self._pages.store([_without_hole(each) for each in batch], self._reach):
                self.end()
            self._busy, self._until = False, batch[-1].stop
            self._progress.set()
            self._stored.extend(batch)


def _without_hole(piece: Piece) -> tuple[int, Data]:
    if piece.stop % PIECE == 0:
        return piece.offset, piece.data[: max(0, len(piece.data) - HOLE)]
    return piece.offset, piece.data
