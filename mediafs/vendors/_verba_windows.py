"""Windows of time for SearchCalls: how wide the next one is, and how its bounds are worded. Pure.

The service takes and shows times in its API user's zone, without an offset. Where that zone's clock is
put back, an hour is there twice, and neither a bound nor a reply tells which one is meant. So a bound near
such a moment is widened until every reading of it encloses the window, and what belongs to a window is
decided by the time that we read from each record, which is always the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from ..model import EARLIEST, Cursor

DAY_S: Final = 86400
NARROWEST_S: Final = 1
WIDEST_S: Final = 120 * 366 * DAY_S
GROWTH: Final = 8
"""How much wider a window may be than one that came back small: two years of nothing are five windows."""
_FULL: Final = 120
"""Calls that a window should hold: a little more than a page, so that pages are full. How many rows the
service gives at most is then seen, and a page is handed on up to its last second."""
_MINUTE: Final = timedelta(minutes=1)
"""Whether bounds are included is not documented, nor whether the service looks at their seconds."""
_NEAR: Final = timedelta(hours=3)
_CURSOR: Final = re.compile(r"(-?\d{1,11})/(\d{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """Calls that began at `start` or later, and before `end`. Both are UTC and whole seconds."""

    start: datetime
    end: datetime

    @property
    def width_s(self) -> int:
        return int((self.end - self.start).total_seconds())

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True, slots=True)
class Place:
    """Where a listing stands: what lies before `edge` has been read (behind it, newest first)."""

    edge: datetime
    width_s: int

    def cursor(self) -> Cursor:
        return Cursor(f"{self.edge.timestamp():.0f}/{self.width_s}")

    @classmethod
    def of(cls, cursor: Cursor) -> Place:
        """Raises ValueError for what is no cursor of ours."""
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            raise ValueError("that is no cursor of this vendor")
        edge = datetime.fromtimestamp(int(match[1]), UTC)
        return cls(edge, min(max(int(match[2]), NARROWEST_S), WIDEST_S))

    def window(self, lower: datetime, upper: datetime, *, newest_first: bool) -> Window:
        """The next one, within the bounds of the question."""
        width = timedelta(seconds=self.width_s)
        if newest_first:
            return Window(max(lower, self.edge - width), self.edge)
        return Window(self.edge, min(upper, self.edge + width))

    def behind(self, window: Window, *, newest_first: bool, width_s: int) -> Place:
        return Place(window.start if newest_first else window.end, width_s)


def next_width(width_s: int, calls: int) -> int:
    """How wide to ask after a window of that width brought so many calls."""
    wider = width_s * GROWTH
    if calls:
        wider = min(wider, width_s * _FULL // calls)
    return min(max(wider, NARROWEST_S), WIDEST_S)


def turned_back(zone: tzinfo, moment: datetime) -> timedelta:
    """By how much the zone's clock is put back near `moment`; nothing where it is not."""
    before, after = ((moment + step).astimezone(zone).utcoffset() for step in (-_NEAR, _NEAR))
    return max((before or timedelta()) - (after or timedelta()), timedelta())


def is_settled(zone: tzinfo, moment: datetime) -> bool:
    """Whether order and time of calls around `moment` are beyond doubt."""
    return not turned_back(zone, moment)


def bounds(window: Window, zone: tzinfo) -> tuple[str, str]:
    """`start` and `end` as the service takes them; what they enclose holds the window, however read."""
    start = window.start - _MINUTE - turned_back(zone, window.start)
    end = window.end + _MINUTE + 2 * turned_back(zone, window.end)
    return _worded(max(start, EARLIEST - timedelta(days=2)), zone), _worded(end, zone)


def _worded(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"
