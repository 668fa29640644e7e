"""SearchCalls: all calls of a run of time, once each, in order, in few requests.

The service's pages are not documented: neither how many rows it gives at most, nor whether its rows are
counted from 0 or from 1, nor whether it sorts as it is asked to. So each page begins with the last row of
the one before, which proves that none was left out (`_verba_rows`); and where paging turns out to be of no
use, the window of time is made narrower until one page holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from typing import Final

from ..errors import Incomplete, InvalidReply, MediafsError
from ..model import EARLIEST, Media, Page, Question
from ._verba_rows import Row, Rows, Step
from ._verba_windows import DAY_S, NARROWEST_S, Place, Window, bounds, next_width
from ._verba_xml import NAME
from .protocol import Call, Flow, Pairs, Reply

PAGE_ROWS: Final = 100
"""The largest `pagelen` is not documented; this is what public scripts ask for."""
SMALLEST_CAP: Final = 10
"""That a service gives fewer rows than this at a time is not thought of: such a page is the last one."""
MOST_REQUESTS: Final = 8
"""Of one page of ours, before it is handed on with a cursor."""
MOST_OLDEST: Final = 1000
"""Of the oldest page, until it holds a call: it tells where the archive begins, and without one it would tell
something else. Two years by the day are 731."""
MOST_PAGES: Final = 200
"""Of one window that cannot be handed on in part."""
BACK: Final = timedelta(days=731)
"""Where a listing begins when the service cannot say what its oldest call is."""
WIDEST_UNPROVEN_S: Final = DAY_S
"""Of a window, until a search of all time has shown calls, or was refused: some services may keep a limit
without a word, and what a longer window left out would look like days without calls."""
_RESTARTS: Final = 3
_SECOND: Final = timedelta(seconds=1)

Ask = Callable[[Pairs], Call]
"""SearchCalls with these parameters."""
Read = Callable[[Call, Reply], list[Row] | None]
"""The rows of a reply; None where the service refuses the question. Raises what any other stands for."""


@dataclass(slots=True)
class Seen:
    """What this process has seen of the service. Not kept: an administrator may change it meanwhile."""

    rows: int = SMALLEST_CAP
    """The most that came at a time: a page of fewer was not cut short."""
    open_ended_failed: bool = False
    """A search of all time was not answered."""
    probed: bool = False
    """Whether it works was asked for its own sake."""


class _Found(Enum):
    WHOLE = "whole"
    PART = "part"
    REFUSED = "refused"
    CROWDED = "crowded"
    """It holds more than the service's pages can be made to show."""


@dataclass(slots=True)
class _Outcome:
    found: _Found
    window: Window
    """What was read."""
    media: list[Media] = field(default_factory=list)
    any_rows: bool = True
    """The service showed calls, be they wanted or not."""


class Search:
    """One page of ours. It learns `page_base`, what the service counts its first row as; `width_s`, how
    wide a window fits a page; `refused_s`, a window too wide; `open_ended`, that a search of all time works.
    """

    def __init__(
        self,
        question: Question,
        now: datetime,
        *,
        ask: Ask,
        read: Read,
        keep: Callable[[Media], bool],
        zone: tzinfo,
        learnt: dict[str, object],
        seen: Seen,
        remember: bool,
    ) -> None:
        self._backwards = question.newest_first
        self._limit = question.limit
        self._ask = ask
        self._read = read
        self._keep = keep
        self._zone = zone
        self._learnt = learnt
        self._seen = seen
        self._remember = remember
        self._requests = 0
        self._since = question.since
        self._from_start = question.cursor is None
        self._back = _second(now - BACK)
        latest = _second(now) + timedelta(days=1)
        self._upper = latest
        if question.until is not None:
            self._upper = min(_second(max(question.until, EARLIEST)) + _SECOND, latest)
        self._lower = self._oldest() if self._since is None else max(_second(self._since), EARLIEST)
        self._place = self._first(question)

    def _oldest(self) -> datetime:
        """Where calls begin: asked of the service, unless it can only be asked a little at a time."""
        limited = self._refused_s is not None or self._seen.open_ended_failed
        return self._back if limited else EARLIEST

    def _first(self, question: Question) -> Place:
        if question.cursor is not None:
            return Place.of(question.cursor)
        width_s = self._usual_s()
        if self._since is None and self._lower == EARLIEST:
            width_s = max(int((self._upper - EARLIEST).total_seconds()), NARROWEST_S)
        return Place(self._upper if self._backwards else self._lower, width_s)

    def _usual_s(self) -> int:
        known = _number(self._learnt.get("width_s")) if self._remember else None
        return self._fitted(known or DAY_S)

    def _fitted(self, width_s: int) -> int:
        """Wide windows only where the service has shown that it answers them."""
        refused_s = self._refused_s
        if refused_s is not None:  # it says so where a window is too wide
            return min(width_s, refused_s * 7 // 8)
        return width_s if self._learnt.get("open_ended") is True else min(width_s, WIDEST_UNPROVEN_S)

    @property
    def _refused_s(self) -> int | None:
        refused_s = _number(self._learnt.get("refused_s"))
        return refused_s if refused_s is not None and refused_s > DAY_S else None

    @property
    def _done(self) -> bool:
        edge = self._place.edge
        return edge <= self._lower if self._backwards else edge >= self._upper

    def page(self) -> Flow[Page]:
        """Raises Incomplete where one second holds more calls than the service can be made to show."""
        found: list[Media] = []
        oldest = self._since is None and self._from_start and not self._backwards
        while not self._done and len(found) < self._limit:
            if self._requests >= (MOST_OLDEST if oldest and not found else MOST_REQUESTS):
                break
            window = self._place.window(self._lower, self._upper, newest_first=self._backwards)
            all_time = window.start == EARLIEST and window.end == self._upper
            open_ended = all_time and self._since is None
            try:
                outcome = yield from self._window(window)
            except (GeneratorExit, MediafsError):
                # No answer, or none of use: the next attempt is a more modest one.
                self._learnt.pop("width_s", None)
                self._seen.open_ended_failed = self._seen.open_ended_failed or open_ended
                raise
            found += outcome.media
            self._move(outcome, open_ended)
            if not self._done and len(found) < self._limit and self._is_worth_a_probe:
                yield from self._probe()
        if self._remember:
            self._learnt["width_s"] = self._place.width_s
        found.sort(key=lambda media: (media.created, media.id), reverse=self._backwards)
        return Page(media=tuple(found), total=None, next=None if self._done else self._place.cursor())

    @property
    def _is_worth_a_probe(self) -> bool:
        """Whether many narrow windows may be spared: an account with `since` never asks for all time."""
        unknown = "open_ended" not in self._learnt and self._refused_s is None
        untried = not self._seen.open_ended_failed and not self._seen.probed
        left_s = abs((self._upper if not self._backwards else self._lower) - self._place.edge).total_seconds()
        narrow = self._place.width_s <= WIDEST_UNPROVEN_S < left_s
        return self._remember and unknown and untried and narrow

    def _probe(self) -> Flow[None]:
        """One row of a search of all time: it proves that a wide window is answered like a narrow one.

        A refusal proves that one which is too wide is refused. Whatever else the service says to it proves
        nothing, and is no reason to fail.
        """
        self._seen.probed = True
        start, end = bounds(Window(EARLIEST, self._upper), self._zone)
        order: Pairs = (
            ("orderby", "start_time"),
            ("order", "asc"),
            ("pagelen", "1"),
            ("responseType", "XML"),
        )
        call = self._ask((("start", start), ("end", end), *order))
        reply = yield call
        self._requests += 1
        with suppress(MediafsError):
            rows = self._read(call, reply)
            if rows:
                self._learnt["open_ended"] = True
            elif rows is None:
                self._learnt["refused_s"] = int((self._upper - EARLIEST).total_seconds())

    def _move(self, outcome: _Outcome, open_ended: bool) -> None:
        """Where to go on after a window."""
        width_s = outcome.window.width_s
        match outcome.found:
            case _Found.REFUSED:
                if width_s <= DAY_S:
                    raise InvalidReply(f"{NAME}: list: the service refuses to search a day")
                self._learnt["refused_s"] = width_s
                if open_ended:
                    self._go_back()
                else:
                    self._place = Place(self._place.edge, max(width_s // 4, DAY_S))
            case _Found.CROWDED:
                if width_s <= NARROWEST_S:
                    raise Incomplete(f"{NAME}: list: one second holds more calls than can be listed")
                self._place = Place(self._place.edge, max(width_s // 4, NARROWEST_S))
            case _ if open_ended and not outcome.any_rows and self._learnt.get("open_ended") is not True:
                # Never seen to work: it may be a limit that is kept without a word.
                self._go_back()
            case _:
                if open_ended and outcome.any_rows:
                    self._learnt["open_ended"] = True
                next_s = DAY_S if open_ended else self._fitted(next_width(width_s, len(outcome.media)))
                self._place = self._place.behind(outcome.window, newest_first=self._backwards, width_s=next_s)

    def _go_back(self) -> None:
        """Begins again without asking for all time."""
        self._lower = min(self._back, self._upper)
        self._place = Place(self._upper if self._backwards else self._lower, DAY_S)

    def _window(self, window: Window) -> Flow[_Outcome]:
        start, end = bounds(window, self._zone)
        question: Pairs = (
            ("start", start),
            ("end", end),
            ("orderby", "start_time"),
            ("order", "desc" if self._backwards else "asc"),
            ("pagelen", str(PAGE_ROWS)),
            ("returnMetadata", "1"),
            ("responseType", "XML"),
        )
        for _ in range(_RESTARTS):
            rows = Rows(self._zone, backwards=self._backwards)
            step = Step.ON
            while step is Step.ON:
                call = self._ask((*question, *rows.position(self._base)))
                reply = yield call
                self._requests += 1
                got = self._read(call, reply)
                if got is None:
                    return _Outcome(_Found.REFUSED if not rows.pages else _Found.CROWDED, window)
                step = rows.take(got, self._base, self._seen.rows)
                self._seen.rows = max(self._seen.rows, len(got))
                if rows.base is not None:
                    self._learnt["page_base"] = rows.base
                if step is Step.LAST:
                    return self._outcome(_Found.WHOLE, window, rows)
                if step is Step.ON:
                    part = self._outcome(_Found.PART, rows.whole(window), rows)
                    # Half a page is enough: the next window costs no more than this one's next page.
                    enough = len(part.media) >= self._limit // 2 or self._requests >= MOST_REQUESTS
                    if part.window == window or (part.window.width_s and enough):
                        return part
                if step is Step.IGNORED or rows.pages >= MOST_PAGES:
                    return _Outcome(_Found.CROWDED, window)
            self._learnt.pop("page_base", None)
        return _Outcome(_Found.CROWDED, window)

    @property
    def _base(self) -> int:
        return 1 if self._learnt.get("page_base") == 1 else 0

    def _outcome(self, found: _Found, window: Window, rows: Rows) -> _Outcome:
        media = [one for one in rows.media() if one.created in window and self._keep(one)]
        return _Outcome(found, window, media, any_rows=not rows.empty)


def _second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
