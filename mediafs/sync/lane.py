"""A range of days read to its end, oldest first, page after page.

Each day counts as old as the reading of its own beginning, not as that of the first day: a crawl may take
hours, and be interrupted for as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ..catalogue import Catalogue
from ..model import Change, Media, MediaId, Page, Question
from .crawl import SLACK, Position, advance
from .options import SyncOptions
from .pages import Pages
from .proofs import UrgencyNow


@dataclass(slots=True, kw_only=True)
class Lane:
    """Where the reading stands. `covered_from`: the days before it are whole; None: the first page tells.

    `clock` and `at`: the catalogue's clock, and the time, before the page that has read the start of
    `covered_from`; None where the next page will.
    """

    position: Position | None
    """None: all has been read."""
    covered_from: date | None
    end: date | None = None
    """The last day of the range; None: there is none."""
    until: datetime | None = None
    """What the service is asked up to."""
    clock: int | None = None
    at: float | None = None
    begins: date | None = None
    """The first day of the range; None: there is none."""
    last: frozenset[MediaId] = frozenset()
    """Of the page before, those that the next one may show again."""
    rest: int | None = None
    """Media that were still to come, when the service last told."""
    resumed: bool = False
    """The start of `covered_from` was read by an earlier process."""

    @property
    def done(self) -> bool:
        past = self.end is not None and self.covered_from is not None and self.covered_from > self.end
        return self.position is None or past


class LaneReader:
    """Raises what `Pages.ask` raises, and OutOfOrder and Incomplete as `advance` does."""

    def __init__(
        self,
        pages: Pages,
        catalogue: Catalogue,
        options: SyncOptions,
        emit: Callable[[Sequence[Change]], None],
        wall_clock: Callable[[], float],
    ) -> None:
        self.pages = pages
        self._catalogue = catalogue
        self._options = options
        self._emit = emit
        self._now = wall_clock

    def begun(self, first: date, last: date | None) -> Lane:
        """A lane of these days."""
        start = self._options.start_of(first)
        lane = Lane(position=Position(since=start), covered_from=first, begins=first)
        if last is not None:
            self.shorten(lane, last)
        return lane

    def shorten(self, lane: Lane, last: date) -> None:
        """It ends with that day. What is on its way may still bring more."""
        lane.end = last
        lane.until = self._options.start_of(last + timedelta(days=1)) - timedelta(seconds=1)

    async def page(self, lane: Lane, urgency: UrgencyNow, keep: Callable[[Position, Page], None]) -> None:
        """Reads one page, and marks the days that it completes; `keep` is called in the same transaction."""
        at = lane.position
        assert at is not None
        clock, asked = self._catalogue.database.tick(), self._now()
        page = await self.pages.ask(Question(since=at.since, until=lane.until, cursor=at.cursor), urgency)
        position = advance(at, page)
        if lane.clock is None:
            lane.clock, lane.at, lane.resumed = clock, asked, False
        changes: list[Change] = []
        with self._catalogue.database.transaction():
            whole_to = self._whole_to(lane, position, page)
            if lane.covered_from is None and page.media:
                lane.covered_from = self._options.day_of(page.media[0].created)
            elif lane.covered_from is None and position is None:
                lane.covered_from = whole_to
            if lane.covered_from is not None and whole_to >= lane.covered_from:
                changes = self._cover(lane, whole_to, clock)
                # The start of the next day was on this page, unless there is no next.
                lane.clock, lane.at, lane.resumed = clock, asked, False
            lane.position = position
            if page.total is not None and at.cursor is None:
                lane.rest = page.total - len(page.media)
            keep(at, page)
        self._emit(changes)

    def count(self, lane: Lane, page: Page) -> tuple[int, int]:
        """How many media of its range the page has brought, and how many it showed again."""
        ids = frozenset(media.id for media in page.media if self._is_within(lane, media))
        again = len(ids & lane.last)
        since = lane.position.since if lane.position is not None else None
        lane.last = frozenset(
            media.id for media in page.media if since is None or media.created >= since - SLACK
        )
        return len(ids) - again, again

    def _is_within(self, lane: Lane, media: Media) -> bool:
        day = self._options.day_of(media.created)
        return (lane.begins is None or lane.begins <= day) and (lane.end is None or day <= lane.end)

    def _whole_to(self, lane: Lane, position: Position | None, page: Page) -> date:
        """The last day that has been read to its end."""
        if position is not None:
            since = position.since
            return self._options.day_of(since) - timedelta(days=1) if since else date.min
        if lane.until is not None:
            return self._options.day_of(lane.until)
        newest = self._options.day_of(page.media[-1].created) if page.media else date.min
        return max(newest, self._options.today(self._now()))

    def _cover(self, lane: Lane, to: date, clock: int) -> list[Change]:
        """The days from `covered_from` on have been read to their end: all but the first on this page alone,
        which was asked for at `clock`."""
        assert lane.covered_from is not None
        assert lane.clock is not None
        assert lane.at is not None
        listed = lane.at if lane.resumed else self._now()
        first, last = lane.covered_from.toordinal(), to.toordinal()
        changes = self._catalogue.contents.cover_days(first, first, lane.clock, listed)
        if first < last:
            changes += self._catalogue.contents.cover_days(first + 1, last, clock, self._now())
        lane.covered_from = to + timedelta(days=1)
        return changes
