"""Which numbers of a range are in a set, kept as runs: a body read from beginning to end is one run."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Runs:
    """A set of whole numbers.

    Invariant: `_starts[i] < _stops[i] < _starts[i + 1]`; runs neither overlap nor touch.
    """

    __slots__ = ("_starts", "_stops", "total")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.total = 0
        """How many numbers are in it."""

    def __len__(self) -> int:
        """How many runs."""
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def held_until(self, number: int) -> int:
        """Where the run that holds `number` ends; `number` itself where none does."""
        at = bisect_right(self._starts, number) - 1
        return max(number, self._stops[at]) if at >= 0 else number

    def missing_until(self, number: int, end: int) -> int:
        """The first that is held from `number` on; `end` where none is before it."""
        if self.held_until(number) > number:
            return number
        at = bisect_left(self._starts, number)
        return min(self._starts[at], end) if at < len(self._starts) else end

    def gaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The runs of what is missing between."""
        while (start := self.held_until(start)) < stop:
            until = self.missing_until(start, stop)
            yield start, until
            start = until

    def add(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        first = bisect_left(self._stops, start)  # the first that touches, or lies behind
        last = bisect_right(self._starts, stop)  # the first that lies behind and does not touch
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._replace(first, last, [(start, stop)])

    def remove(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        if first >= last:
            return
        before = (self._starts[first], start)
        after = (stop, self._stops[last - 1])
        self._replace(first, last, [each for each in (before, after) if each[0] < each[1]])

    def _replace(self, first: int, last: int, runs: list[tuple[int, int]]) -> None:
        self.total -= sum(self._stops[first:last]) - sum(self._starts[first:last])
        self._starts[first:last] = [start for start, _ in runs]
        self._stops[first:last] = [stop for _, stop in runs]
        self.total += sum(stop - start for start, stop in runs)
