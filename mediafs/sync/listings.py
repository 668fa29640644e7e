"""Keeps scopes of the catalogue fresh: who lists when, for whom, and what a failure means.

Decided here and only here: whether a directory is shown as it is, refreshed behind or listed
first; that two who ask for one listing share it; that a person waits no longer than the deadline
while the listing goes on behind. How a listing is read is `crawlers.py`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date

import trio

from ..catalogue import Catalogue, ListingState
from ..errors import Denied, InvalidReply, Late, MediafsError, Unavailable
from ..model import Change, Conversation, Days, Everything, Scope, Urgency, User
from ..source import Source
from .crawlers import Crawlers
from .freshness import STALE_FACTOR, Answer, answer_for
from .options import SyncOptions
from .proofs import Proofs

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Flight:
    """A listing under way, shared by all who wait for it.

    `urgency` is that of the most urgent who waits; it falls back when nobody does.
    """

    scope: Scope
    peek: bool
    """Only the first page is asked for: is there anything at all?"""
    urgency: Urgency
    done: trio.Event = field(default_factory=trio.Event)
    cancel: trio.CancelScope = field(default_factory=trio.CancelScope)
    error: MediafsError | None = None
    waiting: int = 0


class Listings:
    """Invariant: at most one flight a scope; every flight ends by setting `done`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        source: Source,
        catalogue: Catalogue,
        options: SyncOptions,
        emit: Callable[[Sequence[Change]], None],
        wall_clock: Callable[[], float],
    ) -> None:
        self._nursery = nursery
        self._source = source
        self._catalogue = catalogue
        self._options = options
        self._now = wall_clock
        self._proofs = Proofs(source, catalogue, options, wall_clock)
        self._crawlers = Crawlers(source, catalogue, self._proofs, options, emit, wall_clock)
        self._flights: dict[tuple[Scope, bool], _Flight] = {}
        self._stale_days: set[date] = set()
        self._refreshing_days = False

    # --- what the tree asks ------------------------------------------------------------------------

    async def ensure(self, scope: Scope) -> None:
        """Returns when the catalogue may be shown for `scope`.

        Raises Late where it was never listed whole and the deadline is over (the crawl goes on
        behind), Denied on refused credentials, and why the listing failed where there is no
        earlier whole one to show.
        """
        state = self.state(scope)
        match answer_for(state, self._now(), self._options.fresh_for_s):
            case Answer.AS_IT_IS:
                return
            case Answer.REFRESH_BEHIND:
                self._refresh_behind(scope)
            case Answer.LIST_NOW:
                await self._list(scope)
            case Answer.REFRESH_FIRST:
                try:
                    await self._list(scope)
                except (Unavailable, Late) as error:
                    log.info("%s is shown as it was listed before: %s", _words(scope), error)

    async def exists(self, scope: Conversation | User) -> bool:
        """Whether the service has any media of it; one small request where that is not known."""
        if self._catalogue.views.is_populated(scope):
            return True
        state = self.state(scope)
        if state.listed is not None and 0 <= self._now() - state.listed < self._options.fresh_for_s:
            return False
        await self._list(scope, peek=True)
        return self._catalogue.views.is_populated(scope)

    async def oldest_day(self) -> date | None:
        """The day of the oldest media; None where there is none. Asked of the service once a day."""
        kept = self._catalogue.database.remembered("oldest")
        if kept is None or not 0 <= self._now() - kept["at"] < self._options.whole_for_s:
            try:
                await self._list(Everything())
            except (Unavailable, Late):
                if kept is None:
                    raise
        known = self._catalogue.views.day_range()
        return None if known is None else date.fromordinal(known[0])

    def refusal(self, kind: str) -> str | None:
        """Why a filtered view ("conversation", "user") is refused; None: it is not."""
        return self._proofs.refusal(kind)

    async def refresh(self, scope: Scope) -> None:
        """Lists again, whatever the age. Raises why that failed."""
        await self._list(scope)

    def expire(self, first: date, last: date) -> None:
        """The next look at each of these days lists it again; until then it is shown as it was."""
        self._catalogue.coverage.expire_days(
            first.toordinal(), last.toordinal(), self._now() - STALE_FACTOR * self._options.fresh_for_s
        )

    def state(self, scope: Scope) -> ListingState:
        """When `scope` was last listed whole, and its last failure; also derived from by-date."""
        state = self._catalogue.coverage.state(scope)
        if isinstance(scope, User) and self._proofs.refusal("user") is None:
            # Records name their owner, so all days together hold all media of every user.
            whole = self.whole_since()
            if whole is not None and (state.listed is None or whole > state.listed):
                state = state._replace(listed=whole)
        return state

    def whole_since(self) -> float | None:
        """When the oldest part of the listing of all days was read; None: some day never was."""
        known = self._catalogue.views.day_range()
        oldest = self._catalogue.database.remembered("oldest")
        if oldest is None or known is None or self._options.since is not None:
            return None
        first, today = date.fromordinal(known[0]), self._options.today(self._now())
        return self._catalogue.coverage.state(Days(first, max(today, first))).listed

    def conversation_ids(self) -> list[str]:
        """What `by-conversation/` lists: what the configuration names, and what is known."""
        named = self._options.conversations()
        return [*named, *(c for c in self._catalogue.views.conversations() if c not in set(named))]

    def is_named(self, conversation: str) -> bool:
        """Whether the configuration names this conversation."""
        return conversation in self._options.conversations()

    # --- flights -----------------------------------------------------------------------------------

    def _deadline(self, scope: Scope) -> _Deadline:
        return _Deadline(self._options.list_deadline_s, scope)

    async def _list(self, scope: Scope, *, peek: bool = False) -> None:
        """Waits for one listing of `scope`, begun now or by somebody else before."""
        with self._deadline(scope):
            while True:
                flight = self._join(scope, Urgency.PERSON, peek)
                flight.waiting += 1
                try:
                    await self._wait(flight)
                finally:
                    flight.waiting -= 1
                    if not flight.waiting:
                        flight.urgency = Urgency.BACKGROUND
                if not flight.cancel.cancelled_caught:
                    break
        if flight.error is not None:
            raise flight.error

    def _join(self, scope: Scope, urgency: Urgency, peek: bool = False) -> _Flight:
        flight = self._flights.get((scope, peek))
        if flight is not None and flight.urgency > urgency:
            if self._source.wait_s(flight.urgency) > 0:
                # Its request is in line behind everybody else's: begin again in front, from where the
                # catalogue says that it stands.
                flight.cancel.cancel()
                flight = None
            else:
                flight.urgency = urgency
        if flight is None:
            flight = _Flight(scope, peek, urgency)
            self._flights[scope, peek] = flight
            self._nursery.start_soon(self._fly, flight)
        return flight

    async def _wait(self, flight: _Flight) -> None:
        """Fails at once where the rate limit is known to outlast the deadline."""
        with trio.move_on_after(0.05):
            await flight.done.wait()  # the time to get in line for the limit, or to be answered
        while not flight.done.is_set():
            left = trio.current_effective_deadline() - trio.current_time()
            wait_s = self._source.wait_s(flight.urgency)
            if wait_s > left:
                raise Late(
                    f"the service allows no request for {math.ceil(wait_s)} s;"
                    f" the listing of {_words(flight.scope)} goes on behind",
                    wait_s,
                )
            # A second: the limiter may learn of a throttle while we wait.
            with trio.move_on_after(1):
                await flight.done.wait()

    async def _fly(self, flight: _Flight) -> None:
        try:
            with flight.cancel:
                if flight.peek:
                    await self._crawlers.peek(flight.scope, lambda: flight.urgency)
                else:
                    await self._crawlers.list(flight.scope, lambda: flight.urgency)
        except MediafsError as error:
            flight.error = error
            self._catalogue.coverage.failed(flight.scope, str(error), self._now())
            level = logging.INFO if isinstance(error, Late) else logging.WARNING
            log.log(level, "%s cannot be listed: %s", _words(flight.scope), error)
        except Exception:
            # A bug, or a full disk under the catalogue: it fails this listing, not the mount.
            log.exception("the listing of %s failed", _words(flight.scope))
            flight.error = InvalidReply(f"the listing of {_words(flight.scope)} failed; the log says why")
        finally:
            if self._flights.get((flight.scope, flight.peek)) is flight:
                del self._flights[flight.scope, flight.peek]
            flight.done.set()

    def _refresh_behind(self, scope: Scope) -> None:
        if isinstance(scope, Days) and scope.first == scope.last:
            # A walker comes by hundreds of stale days in a second. One task takes them in order, so
            # that the page which refreshes one day serves those after it too.
            self._stale_days.add(scope.first)
            if not self._refreshing_days:
                self._refreshing_days = True
                self._nursery.start_soon(self._refresh_days)
        elif (scope, False) not in self._flights:
            self._join(scope, Urgency.BACKGROUND)

    async def _refresh_days(self) -> None:
        try:
            while self._stale_days:
                day = min(self._stale_days)
                self._stale_days.remove(day)
                scope = Days(day, day)
                state = self.state(scope)
                if answer_for(state, self._now(), self._options.fresh_for_s) is Answer.AS_IT_IS:
                    continue
                flight = self._join(scope, Urgency.BACKGROUND)
                await flight.done.wait()
                if isinstance(flight.error, Unavailable | Denied | Late):
                    self._stale_days.clear()  # each of them would fail alike
        finally:
            self._refreshing_days = False


class _Deadline:
    """`trio.fail_after` in the words of the domain: what was late, and that it goes on."""

    def __init__(self, seconds: float, scope: Scope) -> None:
        self._seconds = seconds
        self._scope = scope
        self._cancel = trio.CancelScope()

    def __enter__(self) -> None:
        self._cancel.deadline = trio.current_time() + self._seconds
        self._cancel.__enter__()

    def __exit__(self, *exc: object) -> bool:
        suppressed = bool(self._cancel.__exit__(*exc))  # type: ignore[arg-type]
        if self._cancel.cancelled_caught:
            raise Late(
                f"{_words(self._scope)} could not be listed within {self._seconds:g} s;"
                " the listing goes on behind, try again"
            )
        return suppressed


def _words(scope: Scope) -> str:
    match scope:
        case Days(first, last):
            return f"{first}" if first == last else f"{first} to {last or 'now'}"
        case Conversation(id_):
            return f"conversation {id_}"
        case User(id_):
            return f"user {id_}"
        case _:
            return type(scope).__name__.lower()


@asynccontextmanager
async def syncing(
    source: Source,
    catalogue: Catalogue,
    options: SyncOptions,
    *,
    emit: Callable[[Sequence[Change]], None],
    wall_clock: Callable[[], float] = time.time,
) -> AsyncIterator[Listings]:
    """Owns the tasks that list; `emit` is called, and must not block, with what each page changed."""
    async with trio.open_nursery() as nursery:
        yield Listings(nursery, source, catalogue, options, emit, wall_clock)
        nursery.cancel_scope.cancel()
