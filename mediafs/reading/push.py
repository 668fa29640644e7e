"""Bytes on their way into the kernel before they are asked for.

Each page that the kernel has already is a page that it does not ask for, and a request for 128 KiB costs
about as much as putting a mebibyte there. So what a stream brings for a reader that goes forward is put
there ahead of it, but for a hole at the end of each piece: the request for the hole tells how far the reader
has come.

The call waits for locks of pages that the kernel is asking for at that moment. So it is made in a thread,
nothing waits for it, and what has been asked for is not put there: nobody would be served sooner.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, Protocol

import trio

from ..model import Data
from .blocks import Piece
from .options import ReadingOptions

logger = logging.getLogger(__name__)

PLENTY: Final = 96 * 1024
"""Where so many bytes are there each time that some are received, more wait to be received: not the line is
slow but this program, and a read that is held back for the next piece saves it work. Over a line that is
slower than this program it would wait in vain."""
WAIT_S: Final = 0.02
"""No read is held back for longer until a piece comes..."""
PUT_S: Final = 0.05
"""... nor until it was put there, whatever else the machine is doing."""
_AT_ONCE: Final = 2
"""Pieces in one hop to the thread."""


class Pages(Protocol):
    """What the kernel holds of one content of a file. Provided by who serves the kernel."""

    async def store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        """Puts pieces there, from the byte on that `from_` tells when their turn comes; False: no more of
        this content are to be put there."""
        ...

    def end(self) -> None:
        """No more of this content is to be put there."""
        ...


class Push:
    """What one stream puts into the kernel's pages. Trio thread only."""

    def __init__(
        self,
        pages: Pages,
        options: ReadingOptions,
        reach: Callable[[], int],
        behind: Callable[[int, int], None],
    ) -> None:
        """`reach` is how far the readers of the stream have come; `behind` is told where each piece that was
        put there begins and ends, once it lies behind them: held here too it would be held twice."""
        self._pages = pages
        self._options = options
        self._reach = reach
        self._behind = behind
        self._begin = reach() + options.put_after
        self._waiting: deque[Piece] = deque()
        self._put: deque[Piece] = deque()
        self._busy = False
        self._from = self._until = 0
        """Where what is just being put there begins, and where what was put there ends."""
        self._receipts = 0
        """How often something was received, since the last piece."""
        self._plenty = False
        """There was `PLENTY` each time, on the average of the last piece."""
        self._ended = False
        self._news = trio.Event()
        self._progress = trio.Event()

    @property
    def begun(self) -> bool:
        """A reader has come far enough for it."""
        return self._reach() >= self._begin

    @property
    def wants_large(self) -> bool:
        """Pieces of full size are of use: they will be put there, and are then held here no longer."""
        return self.begun and self._plenty and not self._ended

    def received(self) -> None:
        """Some bytes were received, whether they completed a piece or not."""
        self._receipts += 1

    def offer(self, piece: Piece) -> None:
        """A piece that has arrived, the next of the stream; nothing waits for what comes of it."""
        self._plenty = len(piece.data) >= self._receipts * PLENTY
        self._receipts = 0
        while self._waiting and self._waiting[0].offset < self._reach():
            self._waiting.popleft()  # it was asked for meanwhile
        if self.begun and piece.offset >= self._reach() and not self._ended:
            self._waiting.append(piece)
            self._news.set()
            self._progress.set()
        self._let_go()

    def _let_go(self) -> None:
        while self._put and self._put[0].stop <= self._reach():
            piece = self._put.popleft()
            self._behind(piece.offset, piece.stop)

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
        if stop < self._begin or (self._busy and self._from < stop):
            return
        self._let_go()
        enough = stop + self._options.put_ahead
        began = trio.current_time()
        with trio.CancelScope(deadline=began + PUT_S):
            while not self._ended:
                under_way = self._busy or bool(self._waiting)
                if not under_way and (self._until >= enough or not self._plenty):
                    return
                if self._progress.is_set():  # others may wait for it
                    self._progress = trio.Event()
                with trio.CancelScope(deadline=inf if under_way else began + WAIT_S) as scope:
                    await self._progress.wait()
                if scope.cancelled_caught:
                    self._plenty = False

    async def run(self) -> None:
        """Until `end`."""
        while not self._ended:
            if not self._waiting:
                self._news = trio.Event()
                await self._news.wait()
                continue
            batch = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            self._busy, self._from = True, batch[0].offset
            if not await self._store(batch):
                self.end()
            self._busy, self._until = False, batch[-1].stop
            self._put.extend(batch)
            self._progress.set()

    async def _store(self, batch: Sequence[Piece]) -> bool:
        try:
            return await self._pages.store([self._without_hole(each) for each in batch], self._reach)
        except Exception:  # nobody needs them there, and nobody's failure is the end of the mount
            logger.exception("pages cannot be put ahead of a reader")
            return False

    def _without_hole(self, piece: Piece) -> tuple[int, Data]:
        if piece.stop % self._options.piece == 0:
            return piece.offset, piece.data[: max(0, len(piece.data) - self._options.hole)]
        return piece.offset, piece.data
