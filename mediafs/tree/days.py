"""Which days by-date holds, and which of them it lists."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Dates:
    """A range of days, both ends included. What lies in by-date's range can always be looked up."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def overlap(self, other: Dates) -> Dates | None:
        first, last = max(self.first, other.first), min(self.last, other.last)
        return Dates(first, last) if first <= last else None

    def spanning(self, other: Dates) -> Dates:
        """The range from the first day of both to the last."""
        return Dates(min(self.first, other.first), max(self.last, other.last))

    def listed(self, covered: Set[int], filled: Set[int]) -> Iterator[date]:
        """Without the days that are known to be empty: `covered` holds the ordinals of days that were
        listed whole, `filled` those of days with media."""
        day = self.first
        while day <= self.last:
            if day.toordinal() in filled or day.toordinal() not in covered:
                yield day
            day += timedelta(days=1)
