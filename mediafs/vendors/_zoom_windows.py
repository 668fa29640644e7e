"""How the history of an account is cut into windows, one a page: no I/O, days in UTC.

The service lists at most a month at once. A window holds the recordings that began in it, so that no two
hold the same one; what is asked of the service is wider by days on both sides, because it may sort a
recording under another day than the one it began on (its session's), and the last day may be excluded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Self

from ..errors import Incomplete
from ..model import EARLIEST, LATEST, Cursor, Question
from ._zoom_record import FARTHEST, NAME, Session

LONGEST: Final = 28
"""Days in one question, both ends included: "the maximum range can be a month", and February is one."""
FIRST_DAY: Final = date(2020, 1, 1)
"""No recording of the Video SDK is older: it did not exist."""
DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_MOST_REACH: Final = 2 * FARTHEST.days


@dataclass(frozen=True, slots=True)
class Reach:
    """How many days before and after its own a recording may be listed under.

    Before: a session may begin on one day and a recording of it on another; sessions of more than a day and
    a night are taken for possible until longer ones were seen. After: `to` may be excluded.
    """

    before: int = 2
    after: int = 1

    @classmethod
    def of(cls, learnt: Mapping[str, object]) -> Self:
        match learnt.get("reach"):
            case [int(before), int(after)]:
                plain = cls()
                return cls(
                    min(max(before, plain.before), _MOST_REACH), min(max(after, plain.after), _MOST_REACH)
                )
        return cls()

    def as_json(self) -> list[int]:
        return [self.before, self.after]

    @property
    def span(self) -> int:
        """Days in one window, so that it costs one question."""
        return max(LONGEST - self.before - self.after, 7)

    def widened(self, sessions: Iterable[Session], first: date, last: date) -> Reach:
        """What the answer to a question for `first` to `last` shows of how far recordings lie.

        Raises Incomplete where one lies so far away that it cannot be found by its own day.
        """
        before, after = self.before, self.after
        for session in sessions:
            days = [media.created.date() for media in session.media]
            began = session.began.date() if session.began is not None else None
            for day in days:
                if began is not None and first <= began <= last:
                    lag = (day - began).days
                elif any(first <= other <= last for other in days):
                    lag = 0  # its own day explains it, or that of another one of the session
                elif first - FARTHEST <= day <= last + FARTHEST:
                    lag = (day - first).days if day > last else (day - last).days
                else:
                    raise Incomplete(
                        f"{NAME}: list: asked for {first} to {last}, the service lists a recording of {day}"
                    )
                before, after = max(before, lag), max(after, -lag)
        return Reach(min(before, _MOST_REACH), min(after, _MOST_REACH))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Recordings that began from `start` on and before `stop`; None leaves a side open.

    `first` to `last` are the days to ask for, not widened yet.
    """

    start: datetime | None
    stop: datetime | None
    first: date
    last: date
    next: Cursor | None

    def has(self, moment: datetime) -> bool:
        return (self.start is None or moment >= self.start) and (self.stop is None or moment < self.stop)


def window_of(question: Question, cursor: Cursor | None, reach: Reach, now: datetime) -> Window | None:
    """The window that a page of `question` is; None where there is none (any more).

    A question without an end ends with the day after `now`, and its last window is open to the future: the
    clock here may be behind the service's.
    """
    start = max(question.since, EARLIEST) - _SECOND if question.since is not None else None
    stop = min(question.until, LATEST) + _SECOND if question.until is not None else None
    last = _day(now + DAY)
    if stop is not None and _day(stop) <= last:
        last = _day(stop)
    else:
        stop = None
    first = FIRST_DAY if start is None else max(_day(start), FIRST_DAY)
    edge = _edge(cursor)
    if question.newest_first:
        if edge is not None:
            stop, last = _midnight(edge), min(last, edge - DAY)
        if last < first:
            return None
        begin = last - timedelta(days=reach.span - 1)
        if begin <= first:
            return Window(start=start, stop=stop, first=first, last=last, next=None)
        return Window(start=_midnight(begin), stop=stop, first=begin, last=last, next=_cursor(begin))
    if edge is not None:
        start, first = _midnight(edge), max(first, edge)
    if last < first:
        return None
    end = first + timedelta(days=reach.span)
    if end > last:
        return Window(start=start, stop=stop, first=first, last=last, next=None)
    return Window(start=start, stop=_midnight(end), first=first, last=end - DAY, next=_cursor(end))


def pieces(first: date, last: date) -> list[tuple[date, date]]:
    """The days from `first` to `last` in questions that the service answers whole, each beginning on the last
    day of the one before."""
    found = []
    while True:
        end = min(first + timedelta(days=LONGEST - 1), last)
        found.append((first, end))
        if end >= last:
            return found
        first = end


def _edge(cursor: Cursor | None) -> date | None:
    return None if cursor is None else date.fromisoformat(cursor)


def _cursor(day: date) -> Cursor:
    return Cursor(day.isoformat())


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
