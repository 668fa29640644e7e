"""Every day of an account listed, oldest first, page after page: what `mediafs sync` does by date.

Where it stands is kept after each page, together with the days that this page has completed: a crash costs
one page at most. Days that others have listed meanwhile it leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from ..catalogue import RECENT_COUNT, Catalogue
from ..model import EARLIEST, Cursor, Days, Everything, MediaId, Page, Recent
from .crawl import Position
from .freshness import is_younger
from .lane import Lane, LaneReader
from .lanes import Lanes, Range
from .options import SyncOptions
from .progress import Progress
from .proofs import UrgencyNow

_FORMAT: Final = 2
_LONGEST_RUN: Final = 10_000
"""Media of one second: beyond so many a crash begins that second again."""


@dataclass(slots=True, kw_only=True)
class _Place(Lane):
    """Where the crawl stands."""

    began: float
    beside: bool = False
    """Days that are still to come were read already: what a page says is left is more than that."""
    progress: Progress = field(default_factory=Progress)


class Whole:
    """Raises what `Pages.ask` raises, and OutOfOrder and Incomplete as `advance` does."""

    def __init__(
        self,
        reader: LaneReader,
        catalogue: Catalogue,
        options: SyncOptions,
        wall_clock: Callable[[], float],
        since: date | None,
    ) -> None:
        """`since`: the days before it are left out. None: where by-date begins."""
        begins = options.since
        self._since = max(since, begins) if since is not None and begins is not None else since or begins
        self._from_the_start = self._since == begins
        self._reader = reader
        self._catalogue = catalogue
        self._options = options
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
            await self._page(place, urgency)
        if place.position is None:
            self._ended(place, place.began)

    def days_to_come(self) -> list[Range]:
        """Ranges of days, where they are worth to be read by several at once; none where they are not."""
        place, progress = self._place, self._place.progress
        if progress.total is None:
            return []
        pages = (progress.total - progress.items) // self._reader.pages.limit
        if pages < 2 * self._options.lanes:
            return []
        self._skip(place)
        return [] if place.done or place.covered_from is None else self._gaps(place.covered_from)

    async def read(self, days: Sequence[Range], urgency: UrgencyNow, free: Callable[[], bool]) -> None:
        """Reads these days in no order, as long as that is `free`. Afterwards `step` goes on behind them."""
        place = self._place
        place.beside = True

        def count(lane: Lane, page: Page) -> None:
            progress = place.progress
            progress.items += self._reader.count(lane, page)[0]
            progress.pages += 1
            progress.day = lanes.first
            progress.share = self._share(place)
            self._keep(place)

        going = Lane(
            position=place.position,
            covered_from=place.covered_from,
            clock=place.clock,
            at=place.at,
            resumed=place.resumed,
            last=place.last,
        )
        today = self._options.today(self._now())
        lanes = Lanes(self._reader, self._options, going, days, today=today, free=free, count=count)
        await lanes.read(urgency)

    def _gaps(self, first: date) -> list[Range]:
        """The days from there on that were not listed since this began; what is of the future is with the
        last."""
        gaps: list[Range] = []
        for ordinal in self._catalogue.coverage.listed_days(first.toordinal(), self._listed_after):
            day = date.fromordinal(ordinal)
            if first < day:
                gaps.append((first, day - timedelta(days=1)))
            first = day + timedelta(days=1)
        return [*gaps, (first, None)] if first <= self._options.today(self._now()) else gaps

    def listed_otherwise(self, listed: float) -> None:
        """The days were all listed in another way; that listing is from `listed`."""
        self._place.position = None
        self._ended(self._place, listed)

    # --- a page

    async def _page(self, place: _Place, urgency: UrgencyNow) -> None:
        def keep(at: Position, page: Page) -> None:
            self._count(place, at, page)
            self._keep(place)

        await self._reader.page(place, urgency, keep)

    def _skip(self, place: _Place) -> None:
        """Goes on behind the days that were listed since this began, or are fresh."""
        position, first = place.position, place.covered_from
        if position is None or position.cursor is not None or first is None:
            return
        last = self._catalogue.coverage.covered_to(first.toordinal(), self._listed_after)
        if last is None:
            return
        known = self._catalogue.views.day_range()
        end = max(self._options.today(self._now()).toordinal(), known[1] if known else 0)
        place.covered_from = date.fromordinal(last + 1)
        place.clock = place.at = None
        start = self._options.start_of(place.covered_from)
        place.position = Position(since=start) if last < end else None

    @property
    def _listed_after(self) -> float:
        return min(self._place.began, self._now() - self._options.fresh_for_s)

    def _count(self, place: _Place, at: Position, page: Page) -> None:
        progress = place.progress
        new, again = self._reader.count(place, page)
        if page.total is not None and at.cursor is None and not place.beside:
            progress.total = progress.items + page.total - again
        progress.items += new
        progress.pages += 1
        progress.day = place.covered_from
        progress.share = self._share(place)

    def _share(self, place: _Place) -> float | None:
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
            "beside": place.beside,
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
            beside=kept["beside"],
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
