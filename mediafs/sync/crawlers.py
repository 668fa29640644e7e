"""How each kind of scope is read whole from a source into the catalogue.

Every record goes into the catalogue as soon as its page arrives; a scope is marked as listed, and
what it no longer shows as gone, only when all of it has been read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from ..catalogue import RECENT_COUNT, Catalogue, CrawlState
from ..errors import Incomplete, InvalidReply, MediafsError, NotFound
from ..model import (
    EARLIEST,
    Change,
    Conversation,
    Days,
    Everything,
    Media,
    MediaId,
    Page,
    Question,
    Recent,
    Scope,
    Search,
    Trash,
    User,
)
from ..source import Source
from .crawl import MAX_DISTURBANCES, Crawl, OutOfOrder, Position, advance
from .freshness import STALE_FACTOR, is_younger
from .offsets import Offsets
from .options import SyncOptions
from .pages import Pages
from .proofs import Proofs, UrgencyNow
from .searches import Searches

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 5
"""Who left a scope is gone only when its own record says so. More than a handful is not worth a
request each: the days they were created on will tell."""

WIDEST_DAYS: Final = 60
"""How far back a page may begin for somebody who walks backwards."""


@dataclass(slots=True)
class _Sweep:
    """A crawl by date. The days before `covered_from` are whole; None: the first page will tell."""

    crawl: Crawl
    covered_from: date | None
    until: date | None

    def has(self, day: date) -> bool:
        return self.covered_from is not None and self.covered_from > day


class Crawlers:
    """One method a kind of scope. All raise what `Source.page` raises, Incomplete, FilterRefused."""

    def __init__(
        self,
        source: Source,
        catalogue: Catalogue,
        proofs: Proofs,
        options: SyncOptions,
        emit: Callable[[Sequence[Change]], None],
        wall_clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._catalogue = catalogue
        self._proofs = proofs
        self._options = options
        self._emit = emit
        self._now = wall_clock
        self.pages = self._pages = Pages(source, catalogue, proofs, emit, wall_clock)
        self.offsets = Offsets(self._pages, catalogue, options, wall_clock)
        self.searches = Searches(source, catalogue, self._pages, options, wall_clock)

    async def read(self, scope: Scope, urgency: UrgencyNow) -> None:
        """Reads `scope` whole. `Everything` is the first look: where the archive begins; of a service that
        cannot list by date it is all there is."""
        match scope:
            case Trash():
                await self._trash(urgency)
            case Everything() if not self._source.traits.in_date_order:
                await self._archive(urgency)
            case Days(first, last) if first == last:
                await self._day(first, urgency)
            case Days():
                raise ValueError("days are listed one at a time; a page brings those after it")
            case Conversation() | User():
                await self._filtered(scope, urgency)
            case Recent():
                await self._recent(urgency)
            case Search():
                await self.searches.read(scope, urgency)
            case Everything():
                await self._first_look(urgency)

    async def peek(self, scope: Scope, urgency: UrgencyNow) -> None:
        """Reads the first page of a filtered scope, from which a crawl that soon follows goes on."""
        if not isinstance(scope, Conversation | User):
            raise ValueError(f"there is nothing to peek into: {scope}")
        await self._filtered(scope, urgency, pages=1)

    # --- by date -----------------------------------------------------------------------------------

    async def _day(self, day: date, urgency: UrgencyNow) -> None:
        """Reads on from the start of `day` until it is whole.

        The question is open-ended, up to the next day that is fresh: a page is always full, so it
        brings the days that follow for the same one request. Walking all of by-date costs the
        pages of one whole listing, and one day alone costs its own.
        """
        today = self._options.today(self._now())
        fresh_after = self._now() - self._options.fresh_for_s
        next_fresh = self._catalogue.coverage.covered_since(
            day.toordinal() + 1, today.toordinal(), fresh_after
        )
        until = date.fromordinal(next_fresh - 1) if next_fresh else None
        try:
            first = self._widened(day, today, fresh_after)
            if first < day:
                # Somebody walks backwards: one page of several days, unless it turns out too full.
                sweep = self._sweep(first, until)
                total = await self._sweep_page(sweep, day, urgency)
                if not sweep.has(day) and total is not None and total <= 2 * self._pages.limit:
                    await self._sweep_page(sweep, day, urgency)
                self._keep(sweep.crawl, None)
                if sweep.has(day):
                    return
            sweep = self._sweep(day, until)
            while not sweep.has(day):
                await self._sweep_page(sweep, day, urgency)
            self._keep(sweep.crawl, None)
        except OutOfOrder:
            await self.all_days_by_offset(urgency)

    async def days_from(self, first: date, urgency: UrgencyNow) -> None:
        """Reads every day from `first` on."""
        sweep = self._sweep(first, None, key=Days(first, None))
        try:
            while sweep.crawl.position is not None:
                await self._sweep_page(sweep, None, urgency)
        except OutOfOrder:
            await self.all_days_by_offset(urgency)
        self._keep(sweep.crawl, None)

    def _widened(self, day: date, today: date, fresh_after: float) -> date:
        """How far back a page may begin when the day after `day` is known already."""
        coverage = self._catalogue.coverage
        before, after = day.toordinal() - 1, day.toordinal() + 1
        if day >= today or coverage.covered_since(after, after, fresh_after) is None:
            return day
        if coverage.covered_since(before, before, fresh_after) is not None:
            return day  # a gap between known days
        known = len(coverage.covered_days(after, after + WIDEST_DAYS))
        span = Days(date.fromordinal(after), date.fromordinal(after + WIDEST_DAYS))
        per_day = max(self._catalogue.views.count(span), 1) / max(known, 1)
        # Five in six pages' worth: a page that is too full costs another one.
        days = max(int(self._pages.limit * 0.85 / per_day) - 1, 0)
        return max(day - timedelta(days=min(days, WIDEST_DAYS)), self._options.since or date.min)

    async def _first_look(self, urgency: UrgencyNow) -> None:
        """The oldest page: where by-date begins; a small account is known whole by it."""
        sweep = self._sweep(self._options.since, None, afresh=True)
        try:
            total = await self._sweep_page(sweep, None, urgency)
            while (
                sweep.crawl.position is not None
                and total is not None
                and total <= self._options.small_account
            ):
                await self._sweep_page(sweep, None, urgency)
        except OutOfOrder:
            await self.all_days_by_offset(urgency)
        self._keep(sweep.crawl, None)
        self._catalogue.database.remember("oldest", {"at": self._now()})
        self._catalogue.coverage.listed(Everything(), self._now())

    def _sweep(
        self, first: date | None, until: date | None, *, afresh: bool = False, key: Days | None = None
    ) -> _Sweep:
        # What is older than anything is dated to the very first day: no lower bound finds it there.
        start = self._options.start_of(first) if first and first > EARLIEST.date() else None
        end = self._options.start_of(until + timedelta(days=1)) - timedelta(seconds=1) if until else None
        key = key or Days(first or date.min, first or date.min)
        if afresh:
            self._catalogue.coverage.keep_crawl(key, None)
        crawl = self._begun(key, Everything(), start)
        crawl.until = end
        return _Sweep(crawl, first, until)

    async def _sweep_page(self, sweep: _Sweep, target: date | None, urgency: UrgencyNow) -> int | None:
        """Reads one page and marks the days that it completes. Returns the service's total."""
        page = await self._step(sweep.crawl, urgency)
        newest = self._options.day_of(page.media[-1].created) if page.media else None
        position = sweep.crawl.position
        if position is not None:
            whole_to = (
                self._options.day_of(position.since) - timedelta(days=1) if position.since else date.min
            )
        else:
            today = self._options.today(self._now())
            whole_to = sweep.until or max(newest or today, today, target or today)
        if sweep.covered_from is None:
            sweep.covered_from = self._options.day_of(page.media[0].created) if page.media else whole_to
        if whole_to >= sweep.covered_from:
            first, last = sweep.covered_from.toordinal(), whole_to.toordinal()
            listed = self._listed_at(sweep.crawl)
            self._emit(self._catalogue.contents.cover_days(first, last, sweep.crawl.clock, listed))
            sweep.covered_from = whole_to + timedelta(days=1)
        return page.total

    # --- filtered ----------------------------------------------------------------------------------

    async def _filtered(
        self, scope: Conversation | User, urgency: UrgencyNow, pages: int | None = None
    ) -> None:
        if isinstance(scope, Conversation):
            await self._proofs.prove("conversation", scope, urgency)
            await self._proofs.prove_all_users(urgency)
        else:
            self._proofs.raise_refusal("user")
        crawl = self._begun(scope, scope, None)
        try:
            while crawl.position is not None:
                await self._step(crawl, urgency)
                if crawl.position is not None and pages is not None and (pages := pages - 1) <= 0:
                    return
        except OutOfOrder:
            crawl.clock = (await self.offsets.read(scope, urgency)).clock
        self._keep(crawl, None)
        await self._whole(scope, crawl, urgency)

    async def _whole(self, scope: Conversation | User, crawl: Crawl, urgency: UrgencyNow) -> None:
        """Draws the consequences of a whole listing of a conversation or user."""
        contents = self._catalogue.contents
        if isinstance(scope, Conversation):
            changes, left = contents.leave_conversation(scope, crawl.clock)
        else:
            changes, left = contents.leave_user(scope, crawl.clock)
        self._emit(changes)
        self._catalogue.coverage.listed(scope, self._listed_at(crawl))
        for media in left[:LOOK_AGAIN]:
            try:
                await self._look_again(media, urgency)
            except MediafsError as error:
                log.info("whether media %s is gone cannot be told yet: %s", media.id, error)
                return

    async def _look_again(self, media: Media, urgency: UrgencyNow) -> None:
        clock = self._catalogue.database.tick()
        try:
            record = await self._source.media(media, urgency=urgency())
        except NotFound:
            self._emit(self._catalogue.contents.remove(media.id))
        else:
            self._emit(self._catalogue.contents.put([record], clock, dated=False))

    # --- the newest --------------------------------------------------------------------------------

    async def _recent(self, urgency: UrgencyNow) -> None:
        for _ in range(MAX_DISTURBANCES):
            if await self._newest(urgency):
                self._catalogue.coverage.listed(Recent(), self._now())
                return
        raise Incomplete("the newest media change faster than they can be listed; try again later")

    async def _newest(self, urgency: UrgencyNow) -> bool:
        """Reads the newest media; False where they moved between two pages."""
        clock = self._catalogue.database.tick()
        seen: set[MediaId] = set()
        cursor, total, last = None, None, None
        # A service that lists a month at once is not to be asked for the years before the archive begins.
        begins = self._begins()
        question = Question(newest_first=True, since=begins, limit=RECENT_COUNT)
        while len(seen) < RECENT_COUNT:
            page = await self._pages.ask(replace(question, cursor=cursor), urgency)
            if total is not None and page.total != total:
                return False
            for media in page.media:
                if last is not None and media.created > last:
                    raise InvalidReply("the service does not list the newest media first, as it was asked to")
                last = media.created
            seen.update(media.id for media in page.media)
            cursor, total = page.next, page.total
            if cursor is None:
                if total is not None and len(seen) < total:
                    return False
                last = None
                break
        last = begins if last is None else last
        since = last.timestamp() if last is not None else float("-inf")
        self._emit(self._catalogue.contents.cover_newest(since, clock))
        return True

    def _begins(self) -> datetime | None:
        """Where the archive begins: nothing older is shown, or known to be there. None: not known yet."""
        if self._options.since is not None:
            return self._options.start_of(self._options.since)
        known = self._catalogue.views.day_range()
        if known is None or self._catalogue.database.remembered("oldest") is None:
            return None
        first = date.fromordinal(known[0])
        return self._options.start_of(first) if first > EARLIEST.date() else None

    # --- the trash ---------------------------------------------------------------------------------

    async def _trash(self, urgency: UrgencyNow) -> None:
        walked = await self.offsets.read(Trash(), urgency)
        self._emit(self._catalogue.contents.cover_trash(walked.clock))
        self._catalogue.coverage.listed(Trash(), self._now())

    # --- services that do not keep the order ---------------------------------------------------------

    async def _archive(self, urgency: UrgencyNow) -> None:
        listed = await self.all_days_by_offset(urgency)
        self._catalogue.database.remember("oldest", {"at": listed})
        for scope in (Everything(), Recent()):
            self._catalogue.coverage.listed(scope, listed)

    async def all_days_by_offset(self, urgency: UrgencyNow) -> float:
        """Reads everything in the service's own order; returns how old that listing is."""
        walked = await self.offsets.read(Everything(), urgency)
        today = self._options.today(self._now()).toordinal()
        first, last = self._catalogue.views.day_range() or (today, today)
        if self._options.since is not None:
            first = min(first, self._options.since.toordinal())
        changes = self._catalogue.contents.cover_days(first, max(last, today), walked.clock, walked.listed)
        self._emit(changes)
        return walked.listed

    # --- crawls that go on ---------------------------------------------------------------------------

    def _begun(self, key: Scope, scope: Conversation | User | Everything, start: datetime | None) -> Crawl:
        """The crawl under `key` that was left half done a moment ago, or a new one."""
        kept = self._catalogue.coverage.crawl(key)
        now = self._now()
        if (
            kept is not None
            and kept.since
            and is_younger(kept.touched, now, STALE_FACTOR * self._options.fresh_for_s)
        ):
            position = Position(since=datetime.fromtimestamp(kept.since, UTC))
            return Crawl(
                key=key, scope=scope, started=kept.started, clock=kept.clock, resumed=True, position=position
            )
        clock = self._catalogue.database.tick()
        return Crawl(key=key, scope=scope, started=now, clock=clock, position=Position(since=start))

    def _listed_at(self, crawl: Crawl) -> float:
        """How old a listing counts that has just been read whole: what was read before a pause is as
        old as the crawl."""
        return crawl.started if crawl.resumed else self._now()

    async def _step(self, crawl: Crawl, urgency: UrgencyNow) -> Page:
        assert crawl.position is not None
        at = crawl.position
        question = Question(scope=crawl.scope, since=at.since, until=crawl.until, cursor=at.cursor)
        page = await self._pages.ask(question, urgency)
        crawl.position = advance(at, page)
        self._keep(crawl, crawl.position)
        return page

    def _keep(self, crawl: Crawl, position: Position | None) -> None:
        state = None
        if position is not None and position.since is not None:
            # A run of offsets is not kept: it is begun again from its `since`.
            since = position.since.timestamp()
            state = CrawlState(started=crawl.started, touched=self._now(), clock=crawl.clock, since=since)
        self._catalogue.coverage.keep_crawl(crawl.key, state)
