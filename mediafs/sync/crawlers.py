"""How each kind of scope is read whole from a source into the catalogue.

Every record goes into the catalogue as soon as its page arrives; a scope is marked as listed, and
what it no longer shows as gone, only when all of it has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from ..catalogue import RECENT_COUNT, Catalogue, CrawlState
from ..errors import Incomplete, InvalidReply, NotFound, ValueRefused
from ..model import (
    Change,
    Conversation,
    Cursor,
    Days,
    Everything,
    MediaId,
    Page,
    Question,
    Recent,
    Scope,
    User,
)
from ..source import Source
from .crawl import MAX_DISTURBANCES, OutOfOrder, Position, advance
from .options import SyncOptions
from .proofs import Proofs, UrgencyNow

SMALLEST_PAGE: Final = 10
"""The documented default of Apizee: no service refuses it."""


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
        self._page_limit = source.traits.page_limit
        self._limit_is_taken = False
        """A page of this size was answered: a refusal is about something else."""

    async def list(self, scope: Scope, urgency: UrgencyNow) -> None:
        """Reads `scope` whole. `Everything` is the first look: where the archive begins."""
        match scope:
            case Days(first, last) if first == last:
                await self._day(first, urgency)
            case Days():
                raise ValueError("days are listed one at a time; a page brings those after it")
            case Conversation() | User():
                await self._filtered(scope, urgency)
            case Recent():
                await self._recent(urgency)
            case Everything():
                await self._beginning(urgency)

    async def peek(self, scope: Scope, urgency: UrgencyNow) -> None:
        """Reads the first page of a filtered scope, from which a later crawl goes on."""
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
        scope = Days(day, day)
        today = self._options.today(self._now())
        fresh_after = self._now() - self._options.fresh_for_s
        next_fresh = self._catalogue.coverage.covered_since(
            day.toordinal() + 1, today.toordinal(), fresh_after
        )
        until = date.fromordinal(next_fresh - 1) if next_fresh else None
        first = self._widened(day, today, fresh_after)
        # Somebody walks backwards: one page of several days, unless it turns out too full.
        if first < day and await self._read_days(Days(first, first), first, day, until, urgency, pages=1):
            return
        await self._read_days(scope, day, day, until, urgency)

    def _widened(self, day: date, today: date, fresh_after: float) -> date:
        """How far back a page may begin when the day after `day` is known already."""
        coverage, views = self._catalogue.coverage, self._catalogue.views
        after = day.toordinal() + 1
        if coverage.covered_since(after, after, fresh_after) is None or day >= today:
            return day
        if coverage.covered_since(day.toordinal() - 1, day.toordinal() - 1, fresh_after) is not None:
            return day  # a gap between known days
        sample = coverage.covered_days(after, after + 60)
        items = len(views.children(Days(date.fromordinal(after), date.fromordinal(after + 60))))
        per_day = max(items, 1) / max(len(sample), 1)
        days = int(self._page_limit * 0.6 / per_day)
        return max(day - timedelta(days=min(days, 60)), self._options.since or date.min)

    async def _beginning(self, urgency: UrgencyNow) -> None:
        """The oldest page: where by-date begins; a small account is known whole by it."""
        start = self._options.since
        page_days = Days(start or date.min, start or date.min)
        await self._read_days(page_days, start, None, None, urgency, pages=1)
        self._catalogue.database.remember("oldest", {"at": self._now()})

    async def _read_days(
        self,
        scope: Days,
        first: date | None,
        target: date | None,
        until: date | None,
        urgency: UrgencyNow,
        pages: int | None = None,
    ) -> bool:
        """Reads from `first` (None: the oldest there is) until `target` is whole, marking days as whole.

        `target` None: until the pages are used up, which are two where that is the whole account.
        Returns whether `target` was reached within `pages`.
        """
        state = self._begun(scope, resumable=target is not None)
        since = self._options.start_of(first) if first else None
        if state.since is not None:
            since = datetime.fromtimestamp(state.since, UTC)
        position: Position | None = Position(since=since)
        covered_from = first
        end = self._options.start_of(until + timedelta(days=1)) - timedelta(seconds=1) if until else None
        while position is not None:
            question = Question(
                since=position.since,
                until=end,
                cursor=_cursor(position),
                limit=self._page_limit,
            )
            page = await self._page(question, urgency)
            if covered_from is None:
                covered_from = self._first_day(page)
            try:
                position = advance(position, page)
            except OutOfOrder:
                await self._whole_by_offset(urgency)
                return True
            whole_to = self._whole_to(position, page, until)
            if whole_to >= covered_from:
                self._emit(
                    self._catalogue.contents.cover_days(
                        covered_from.toordinal(), whole_to.toordinal(), state.clock, self._now()
                    )
                )
                covered_from = whole_to + timedelta(days=1)
            if target is not None and whole_to >= target:
                break
            if position is not None:
                kept = position.since.timestamp() if position.since else None
                self._keep(scope, CrawlState(started=state.started, clock=state.clock, since=kept))
            if pages is not None:
                pages -= 1
                small = (
                    target is None and page.total is not None and page.total <= self._options.small_account
                )
                if pages <= 0 and not small:
                    break
        self._keep(scope, None)
        reached = target is None or covered_from is None or covered_from > target
        if reached and target is not None:
            self._catalogue.coverage.listed(Days(target, target), self._now(), 0)
        return reached

    def _first_day(self, page: Page) -> date:
        if page.media:
            return self._options.day_of(page.media[0].created)
        return self._options.today(self._now())

    def _whole_to(self, position: Position | None, page: Page, until: date | None) -> date:
        """The last day that has been read to its end."""
        if position is None:
            if until is not None:
                return until
            newest = self._options.day_of(page.media[-1].created) if page.media else date.min
            return max(newest, self._options.today(self._now()))
        if position.since is None:
            return date.min
        return self._options.day_of(position.since) - timedelta(days=1)

    # --- filtered ----------------------------------------------------------------------------------

    async def _filtered(
        self, scope: Conversation | User, urgency: UrgencyNow, pages: int | None = None
    ) -> None:
        if isinstance(scope, Conversation):
            await self._proofs.prove("conversation", scope, urgency)
        else:
            self._proofs.raise_refusal("user")
        state = self._begun(scope)
        kept = datetime.fromtimestamp(state.since, UTC) if state.since is not None else None
        position: Position | None = Position(since=kept)
        while position is not None:
            question = Question(
                scope=scope,
                since=position.since,
                cursor=_cursor(position),
                limit=self._page_limit,
            )
            page = await self._page(question, urgency)
            try:
                position = advance(position, page)
            except OutOfOrder:
                await self._by_offset(scope, urgency)
                position = None
            if position is not None:
                kept_s = position.since.timestamp() if position.since else None
                self._keep(scope, CrawlState(started=state.started, clock=state.clock, since=kept_s))
                if pages is not None and (pages := pages - 1) <= 0:
                    return
        self._keep(scope, None)
        await self._whole(scope, state.clock, urgency)

    async def _whole(self, scope: Conversation | User, clock: int, urgency: UrgencyNow) -> None:
        """Draws the consequences of a whole listing of a conversation or user."""
        contents = self._catalogue.contents
        if isinstance(scope, Conversation):
            changes, left = contents.cover_conversation(scope, clock)
            self._emit(changes)
        else:
            left = contents.absent_from_user(scope, clock)
        items = len(self._catalogue.views.children(scope)) - (len(left) if isinstance(scope, User) else 0)
        # Who left a scope is gone only when its own record says so. More than a handful is not worth
        # a request each: the days they were created on will tell.
        for media in left[:5]:
            await self._look_again(media, urgency)
        self._catalogue.coverage.listed(scope, self._now(), items)

    async def _look_again(self, media: MediaId, urgency: UrgencyNow) -> None:
        clock = self._catalogue.database.tick()
        try:
            record = await self._source.media(media, urgency=urgency())
        except NotFound:
            self._emit(self._catalogue.contents.remove(media))
        else:
            self._emit(self._catalogue.contents.put([record], clock))

    # --- the newest --------------------------------------------------------------------------------

    async def _recent(self, urgency: UrgencyNow) -> None:
        for _ in range(MAX_DISTURBANCES):
            if await self._newest(urgency):
                self._catalogue.coverage.listed(Recent(), self._now(), RECENT_COUNT)
                return
        raise Incomplete("the newest media change faster than they can be listed; try again later")

    async def _newest(self, urgency: UrgencyNow) -> bool:
        """Reads the newest media; False where they moved between two pages."""
        clock = self._catalogue.database.tick()
        seen: set[MediaId] = set()
        cursor, total, last = None, None, None
        while len(seen) < RECENT_COUNT:
            question = Question(newest_first=True, cursor=cursor, limit=RECENT_COUNT)
            page = await self._page(question, urgency)
            for media in page.media:
                if last is not None and media.created > last:
                    raise InvalidReply("the service does not list the newest media first, as it was asked to")
                last = media.created
            if total is not None and page.total != total:
                return False
            seen.update(media.id for media in page.media)
            cursor, total = page.next, page.total
            if cursor is None:
                last = None
                if total is not None and len(seen) < total:
                    return False
                break
        since = last.timestamp() if last is not None else float("-inf")
        self._emit(self._catalogue.contents.cover_newest(since, clock))
        return True

    # --- services that do not keep the order --------------------------------------------------------

    async def _whole_by_offset(self, urgency: UrgencyNow) -> None:
        clock = await self._by_offset(Everything(), urgency)
        known = self._catalogue.views.day_range()
        today = self._options.today(self._now()).toordinal()
        first, last = known if known else (today, today)
        if self._options.since is not None:
            first = min(first, self._options.since.toordinal())
        self._emit(self._catalogue.contents.cover_days(first, max(last, today), clock, self._now()))

    async def _by_offset(self, scope: Conversation | User | Everything, urgency: UrgencyNow) -> int:
        """Reads all pages in the service's own order; returns the clock at the start.

        The only proof of completeness is a total that stood still and was reached.
        """
        for _ in range(MAX_DISTURBANCES):
            clock = self._catalogue.database.tick()
            seen: set[MediaId] = set()
            totals: set[int | None] = set()
            cursor: Cursor | None = None
            while True:
                page = await self._page(Question(scope=scope, cursor=cursor, limit=self._page_limit), urgency)
                seen.update(media.id for media in page.media)
                totals.add(page.total)
                cursor = page.next
                if cursor is None:
                    break
            if totals <= {None} or totals == {len(seen)}:
                return clock
        raise Incomplete("the service's pages do not add up to the total it states; try again later")

    # --- pages -------------------------------------------------------------------------------------

    async def _page(self, question: Question, urgency: UrgencyNow) -> Page:
        """Asks for one page, checks what it proves, and takes its records in."""
        clock = self._catalogue.database.tick()
        scope = question.scope
        page = await self._answered(question, urgency)
        if isinstance(scope, User):
            self._proofs.check_owners(scope, page)
        if isinstance(scope, Everything) and self._source.traits.narrowed_by_user:
            await self._proofs.trust_user_filter(page, urgency)
        self._emit(self._catalogue.contents.put(page.media, clock, scope))
        return page

    async def _answered(self, question: Question, urgency: UrgencyNow) -> Page:
        # How large a page may be is not documented: services cut it short, or refuse the question.
        while True:
            asked = replace(question, limit=min(question.limit, self._page_limit))
            try:
                page = await self._source.page(asked, urgency=urgency())
            except NotFound:
                if isinstance(question.scope, Everything):
                    raise
                return Page(media=(), total=0, next=None)  # the service's words for: no such conversation
            except ValueRefused as error:
                if self._limit_is_taken or asked.limit <= SMALLEST_PAGE:
                    raise InvalidReply(f"the service refuses the question: {error}") from error
                self._page_limit = max(asked.limit // 2, SMALLEST_PAGE)
            else:
                self._limit_is_taken = True
                return page

    # --- crawls that go on ---------------------------------------------------------------------------

    def _begun(self, scope: Scope, resumable: bool = True) -> CrawlState:
        """The crawl of `scope` that was left half done, or a new one."""
        state = self._catalogue.coverage.crawl(scope) if resumable else None
        if state is None or not 0 <= self._now() - state.started < self._options.whole_for_s:
            state = CrawlState(started=self._now(), clock=self._catalogue.database.tick())
        return state

    def _keep(self, scope: Scope, state: CrawlState | None) -> None:
        self._catalogue.coverage.keep_crawl(scope, state)


def _cursor(position: Position) -> Cursor | None:
    return Cursor(position.cursor) if position.cursor is not None else None
