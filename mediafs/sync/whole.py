"""Every day of an account listed, oldest first, page after page: what `mediafs sync` does by date.

Where it stands is kept after each page, together with the days that this page has completed: a crash costs
one page at most. Each day counts as old as the reading of its own beginning, not as that of the first day:
a crawl may take hours, and be interrupted for as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from ..catalogue import RECENT_COUNT, Catalogue
from ..model import EARLIEST, Change, Cursor, Days, Everything, MediaId, Page, Question, Recent
from .crawl import SLACK, Position, advance
from .freshness import is_younger
from .options import SyncOptions
from .pages import Pages
from .progress import Progress
from .proofs import UrgencyNow

_FORMAT: Final = 1
_LONGEST_RUN: Final = 10_000
"""Media of one second: beyond so many a crash begins that second again."""


@dataclass(slots=True, kw_only=True)
class _Place:
    """Where the crawl stands. `covered_from`: the days before it are whole; None: the first page tells.

    `clock` and `at`: the catalogue's clock, and the time, before the page that has read the start of
    `covered_from`; None where the next page will.
    """

    position: Position | None
    covered_from: date | None
    began: float
    clock: int | None = None
    at: float | None = None
    resumed: bool = False
    """The start of `covered_from` was read by an earlier process."""
    last: frozenset[MediaId] = frozenset()
    """Of the page before, those that the next one may show again."""
    progress: Progress = field(default_factory=Progress)


class Whole:
    """Raises what `Pages.ask` raises, and OutOfOrder and Incomplete as `advance` does."""

    def __init__(
        self,
        pages: Pages,
        catalogue: Catalogue,
        options: SyncOptions,
        emit: Callable[[Sequence[Change]], None],
        wall_clock: Callable[[], float],
        since: date | None,
    ) -> None:
        """`since`: the days before it are left out. None: where by-date begins."""
        begins = options.since
        self._since = max(since, begins) if since is not None and begins is not None else since or begins
        self._from_the_start = self._since == begins
        self._pages = pages
        self._catalogue = catalogue
        self._options = options
        self._emit = emit
        self._now = wall_clock
        self._key = f"sync:{self._since or ''}"
        self._place = self._kept() or self._begun()

    @property
    def progress(self) -> Progress:
        return self._place.progress

    @property
    def done(self) -> bool:
        return self._place.position is None

    async def step(self, urgency: UrgencyNow) -> None:
        """Reads one page; none where the days to come were listed since this began, or are fresh."""
        place = self._place
        self._skip(place)
        if place.position is not None:
            await self._page(place, place.position, urgency)
        if place.position is None:
            self._ended(place, place.began)

    def listed_otherwise(self, listed: float) -> None:
        """The days were all listed in another way; that listing is from `listed`."""
        self._place.position = None
        self._ended(self._place, listed)

    # --- a page

    async def _page(self, place: _Place, at: Position, urgency: UrgencyNow) -> None:
        clock, asked = self._catalogue.database.tick(), self._now()
        page = await self._pages.ask(Question(since=at.since, cursor=at.cursor), urgency)
        position = advance(at, page)
        if place.clock is None:
            place.clock, place.at, place.resumed = clock, asked, False
        changes: list[Change] = []
        with self._catalogue.database.transaction():
            whole_to = self._whole_to(position, page)
            if place.covered_from is None and page.media:
                place.covered_from = self._options.day_of(page.media[0].created)
            elif place.covered_from is None and position is None:
                place.covered_from = whole_to
            if place.covered_from is not None and whole_to >= place.covered_from:
                changes = self._cover(place, whole_to, clock)
                # The start of the next day was on this page, unless there is no next.
                place.clock, place.at, place.resumed = clock, asked, False
            place.position = position
            self._count(place, at, page)
            self._keep(place)
        self._emit(changes)

    def _whole_to(self, position: Position | None, page: Page) -> date:
        """The last day that has been read to its end."""
        if position is not None:
            since = position.since
            return self._options.day_of(since) - timedelta(days=1) if since else date.min
        newest = self._options.day_of(page.media[-1].created) if page.media else date.min
        return max(newest, self._options.today(self._now()))

    def _cover(self, place: _Place, to: date, clock: int) -> list[Change]:
        """The days from `covered_from` on have been read to their end: all but the first on this page alone,
        which was asked for at `clock`."""
        assert place.covered_from is not None
        assert place.clock is not None
        assert place.at is not None
        listed = place.at if place.resumed else self._now()
        first, last = place.covered_from.toordinal(), to.toordinal()
        changes = self._catalogue.contents.cover_days(first, first, place.clock, listed)
        if first < last:
            changes += self._catalogue.contents.cover_days(first + 1, last, clock, self._now())
        place.covered_from = to + timedelta(days=1)
        return changes

    def _skip(self, place: _Place) -> None:
        """Goes on behind the days that were listed since this began, or are fresh."""
        position, first = place.position, place.covered_from
        if position is None or position.cursor is not None or first is None:
            return
        after = min(place.began, self._now() - self._options.fresh_for_s)
        last = self._catalogue.coverage.covered_to(first.toordinal(), after)
        if last is None:
            return
        known = self._catalogue.views.day_range()
        end = max(self._options.today(self._now()).toordinal(), known[1] if known else 0)
        place.covered_from = date.fromordinal(last + 1)
        place.clock = place.at = None
        start = self._options.start_of(place.covered_from)
        place.position = Position(since=start) if last < end else None

    def _count(self, place: _Place, at: Position, page: Page) -> None:
        progress = place.progress
        ids = frozenset(media.id for media in page.media)
        again = len(ids & place.last)
        since = place.position.since if place.position is not None else None
        place.last = frozenset(
            media.id for media in page.media if since is None or media.created >= since - SLACK
        )
        if page.total is not None and at.cursor is None:
            progress.total = progress.items + page.total - again
        progress.items += len(ids) - again
        progress.pages += 1
        progress.day = place.covered_from
        progress.share = self._share(place, page)

    def _share(self, place: _Place, page: Page) -> float | None:
        progress = place.progress
        if place.position is None:
            return 1.0
        if progress.total is not None:
            return min(1.0, progress.items / max(progress.total, 1))
        first = self._since
        if first is None and (known := self._catalogue.views.day_range()) is not None:
            first = date.fromordinal(known[0])
        if first is None or place.covered_from is None:
            return None
        whole = max((self._options.today(self._now()) - first).days, 1)
        return min(max((place.covered_from - first).days / whole, 0.0), 1.0)

    # --- the start and the end

    def _begun(self) -> _Place:
        first, now = self._since, self._now()
        if first is None:
            first = self._oldest()
        # What is older than anything is dated to the very first day: no lower bound finds it there.
        bounded = first is not None and first > EARLIEST.date()
        start = self._options.start_of(first) if first is not None and bounded else None
        return _Place(position=Position(since=start), covered_from=first, began=now)

    def _oldest(self) -> date | None:
        """Where by-date begins, if that was asked of the service less than `fresh_for` ago."""
        kept, known = self._catalogue.database.remembered("oldest"), self._catalogue.views.day_range()
        fresh = kept is not None and is_younger(kept["at"], self._now(), self._options.fresh_for_s)
        return date.fromordinal(known[0]) if fresh and known is not None else None

    def _ended(self, place: _Place, listed: float) -> None:
        coverage, database = self._catalogue.coverage, self._catalogue.database
        with database.transaction():
            database.remember(self._key, None)
            if self._from_the_start:
                coverage.listed(Everything(), listed)
                database.remember("oldest", {"at": listed})
            self._cover_recent()
        place.progress.share = 1.0

    def _cover_recent(self) -> None:
        """The newest are known from their days."""
        newest = self._catalogue.views.children(Recent())
        if len(newest) == RECENT_COUNT:
            first = self._options.day_of(datetime.fromtimestamp(newest[0].created, UTC))
        elif (known := self._catalogue.views.day_range()) is not None and self._from_the_start:
            first = date.fromordinal(known[0])
        else:
            return
        last = max(self._options.today(self._now()), first)
        listed = self._catalogue.coverage.state(Days(first, last)).listed
        before = self._catalogue.coverage.state(Recent()).listed
        if listed is not None and (before is None or before < listed):
            self._catalogue.coverage.listed(Recent(), listed)

    # --- over restarts

    def _keep(self, place: _Place) -> None:
        position, progress = place.position, place.progress
        if position is None:
            return
        run = sorted(position.run) if len(position.run) <= _LONGEST_RUN else None
        state = {
            "format": _FORMAT,
            "touched": self._now(),
            "began": place.began,
            "since": None if position.since is None else position.since.timestamp(),
            "cursor": position.cursor if run is not None else None,
            "edge": position.edge if run is not None else None,
            "run": run or [],
            "run_total": position.run_total if run is not None else None,
            "covered_from": None if place.covered_from is None else place.covered_from.isoformat(),
            "clock": place.clock,
            "at": place.at,
            "last": sorted(place.last),
            "items": progress.items,
            "pages": progress.pages,
            "total": progress.total,
            "share": progress.share,
        }
        self._catalogue.database.remember(self._key, state)

    def _kept(self) -> _Place | None:
        """Where an earlier process stood, if that was within a day."""
        kept: dict[str, Any] | None = self._catalogue.database.remembered(self._key)
        if kept is None or kept.get("format") != _FORMAT:
            return None
        if not is_younger(kept["touched"], self._now(), self._options.whole_for_s):
            return None
        since = None if kept["since"] is None else datetime.fromtimestamp(kept["since"], UTC)
        covered = None if kept["covered_from"] is None else date.fromisoformat(kept["covered_from"])
        return _Place(
            position=Position(
                since=since,
                cursor=None if kept["cursor"] is None else Cursor(kept["cursor"]),
                run=frozenset(map(MediaId, kept["run"])),
                run_total=kept["run_total"],
                edge=None if kept["edge"] is None else MediaId(kept["edge"]),
            ),
            covered_from=covered,
            began=kept["began"],
            clock=kept["clock"],
            at=kept["at"],
            resumed=True,
            last=frozenset(map(MediaId, kept["last"])),
            progress=Progress(
                items=kept["items"],
                pages=kept["pages"],
                total=kept["total"],
                day=covered,
                share=kept["share"],
            ),
        )
