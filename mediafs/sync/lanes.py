"""Many days listed at once: ranges of days beside each other, each read oldest first and proved by itself.

What comes or goes in one of them cannot shift another. Whoever has read its range to the end takes over the
later half of the one that has most left, so an archive that is dense in places is still read by all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import trio

from ..errors import MediafsError
from ..model import Page
from .lane import Lane, LaneReader
from .options import SyncOptions
from .proofs import UrgencyNow

Range = tuple[date, date | None]
"""First and last day; None: there is none."""


class Lanes:
    """`options.lanes` ranges are under way at a time, as long as there are so many."""

    def __init__(
        self,
        reader: LaneReader,
        options: SyncOptions,
        going: Lane,
        ranges: Sequence[Range],
        *,
        today: date,
        free: Callable[[], bool],
        count: Callable[[Lane, Page], None],
    ) -> None:
        """`going` has begun the first of the ranges. `free`: whether it costs nothing to ask for several at
        once. `count` is told of each page, in the transaction that takes it in."""
        self._reader = reader
        self._options = options
        self._today = today
        self._free = free
        self._count = count
        (_, last), *others = self._cut(ranges)
        if last is not None:
            reader.shorten(going, last)
        self._waiting = deque([going, *(reader.begun(*each) for each in others)])
        self._under_way: list[Lane] = []
        self._error: MediafsError | None = None

    @property
    def first(self) -> date | None:
        """The days before it are listed."""
        lanes = [*self._under_way, *self._waiting]
        return min((lane.covered_from for lane in lanes if lane.covered_from), default=None)

    async def read(self, urgency: UrgencyNow) -> None:
        """Until all is read, or it is not free any more. Raises what a page raises, the first to fail."""
        async with trio.open_nursery() as nursery:
            for _ in range(self._options.lanes):
                nursery.start_soon(self._work, urgency, nursery.cancel_scope)
        if self._error is not None:
            raise self._error

    async def _work(self, urgency: UrgencyNow, all_of_them: trio.CancelScope) -> None:
        while (lane := self._next()) is not None:
            self._under_way.append(lane)
            try:
                while not lane.done and self._free():
                    await self._reader.page(lane, urgency, lambda at, page: self._count(lane, page))
            except MediafsError as error:
                self._error = self._error or error
                all_of_them.cancel()
            finally:
                self._under_way.remove(lane)

    def _next(self) -> Lane | None:
        if not self._free():
            return None
        if self._waiting:
            return self._waiting.popleft()
        # Where offsets are counted, another end would be another total.
        fit = [lane for lane in self._under_way if lane.position and lane.position.cursor is None]
        widest = max(fit, key=lambda lane: lane.rest or 0, default=None)
        # Less is read sooner by who has it than by two of whom each asks for a page that is not full.
        if widest is None or (widest.rest or 0) <= 2 * self._reader.pages.limit:
            return None
        return self._later_half(widest)

    def _later_half(self, lane: Lane) -> Lane | None:
        assert lane.position is not None
        assert lane.position.since is not None
        first, last = self._options.day_of(lane.position.since), lane.end or self._today
        middle = first + (last - first) / 2 + timedelta(days=1)
        if middle > last:
            return None
        later = self._reader.begun(middle, lane.end)
        self._reader.shorten(lane, middle - timedelta(days=1))
        return later

    def _cut(self, ranges: Sequence[Range]) -> list[Range]:
        """In as many pieces as are read at once, of as many days."""
        days = sum(((last or self._today) - first).days + 1 for first, last in ranges)
        step = timedelta(days=max(1, -(-days // self._options.lanes)))
        pieces: list[Range] = []
        for first, last in ranges:
            while first + step <= (last or self._today):
                pieces.append((first, first + step - timedelta(days=1)))
                first += step
            pieces.append((first, last))
        return pieces
