"""Which years, months and days by-date shows: a pure matter of what is covered and what has media."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days by-date may hold, and which of them are known to be empty.

    A day that is known to be empty is not listed, nor a month or year of such days; it can still
    be looked up.
    """

    first: date
    last: date
    covered: frozenset[int]
    """Ordinals of days that were listed whole."""
    filled: frozenset[int]
    """Ordinals of days that have media."""

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def overlaps(self, first: date, last: date) -> bool:
        return first <= self.last and last >= self.first

    def days(self, first: date, last: date) -> Iterator[date]:
        """The days from `first` to `last` that are listed."""
        day = max(first, self.first)
        while day <= min(last, self.last):
            if day.toordinal() in self.filled or day.toordinal() not in self.covered:
                yield day
            day += timedelta(days=1)

    def years(self) -> list[int]:
        return sorted({day.year for day in self.days(self.first, self.last)})

    def months(self, year: int) -> list[int]:
        return sorted({day.month for day in self.days(date(year, 1, 1), date(year, 12, 31))})
