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
from typing import Final

import trio

from ..catalogue import Catalogue, ListingState
from ..errors import Incomplete, InvalidReply, Late, MediafsError, Unavailable
from ..model import Change, Conversation, Days, Everything, Recent, Scope, Search, Urgency, User
from ..source import Source
from .crawlers import Crawlers
from .failures import Failures
from .freshness import RETRY_AFTER_S, STALE_FACTOR, Answer, answer_for, is_younger
from .lane import LaneReader
from .options import SyncOptions
from .poll import Poll
from .proofs import Proofs
from .runs import Runs
from .whole import Whole

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.1
"""How soon somebody who waits hears that the rate limit outlasts the deadline."""


@dataclass(eq=False)
class _Flight:
    """A listing under way, shared by all who wait for it.

    `urgency` is that of the most urgent who waits; it falls back when nobody does.
    """

    scope: Scope
    peek: bool
    """Only the first page is asked for: is there anything at all?"""
    urgency: Urgency
    asked_as: Urgency = Urgency.PERSON
    """The urgency of its last request."""
    task: trio.lowlevel.Task | None = None
    done: trio.Event = field(default_factory=trio.Event)
    cancel: trio.CancelScope = field(default_factory=trio.CancelScope)
    error: MediafsError | None = None
    waiting: int = 0

    def ask(self) -> Urgency:
        """The urgency of the next request."""
        self.asked_as = self.urgency
        return self.urgency


class Listings:
    """Invariant: at most one flight a scope, and one that peeks; each ends by setting `done`."""

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
        self._failures = Failures(catalogue, wall_clock)
        self._proofs = Proofs(source, catalogue, options, wall_clock)
        self._crawlers = Crawlers(source, catalogue, self._proofs, options, emit, wall_clock)
        self.poll = Poll(
            self._crawlers, catalogue, options, wall_clock, in_date_order=source.traits.in_date_order
        )
        lanes = LaneReader(self._crawlers.pages, catalogue, options, emit, wall_clock)
        self.runs = Runs(
            nursery,
            source,
            self._crawlers,
            begin=lambda since: Whole(lanes, catalogue, options, wall_clock, since),
            share=self._list_behind,
            conversations=options.conversations,
        )
        self._flights: dict[tuple[Scope, bool], _Flight] = {}
        self._stale_days: set[date] = set()
        self._refreshing_days = False
        self._away: tuple[float, MediafsError] | None = None
        """When and how the service last could not be reached; None: it has answered since."""

    # --- what the tree asks ------------------------------------------------------------------------

    async def ensure(self, scope: Scope) -> None:
        """Returns when the catalogue may be shown for `scope`.

        Where the service cannot be reached, the last whole listing is good enough. Raises Late where
        there is none and the deadline is over (the crawl goes on behind), and any other failure of a
        listing that could not be put off: Denied, InvalidReply and their kin.
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
                if self._away is not None and is_younger(self._away[0], self._now(), RETRY_AFTER_S):
                    self._failures.note(scope, self._away[1])
                    return
                try:
                    await self._list(scope)
                except (Unavailable, Late) as error:
                    self._away = (self._now(), error)
                    self._failures.note(scope, error)
                    log.info("%s is shown as it was listed before: %s", _words(scope), error)

    async def ensure_known(self, scope: Scope) -> None:
        """As `ensure`, but an older listing will do: for a name that it does not hold."""
        older_s = STALE_FACTOR * self._options.fresh_for_s
        if not is_younger(self.state(scope).listed, self._now(), older_s):
            await self.ensure(scope)

    async def ensure_fresh(self, scope: Scope) -> None:
        """Returns when `scope` was listed whole less than `fresh_for` ago. Raises why that failed."""
        if not is_younger(self.state(scope).listed, self._now(), self._options.fresh_for_s):
            await self._list(scope)

    async def exists(self, scope: Conversation | User) -> bool:
        """Whether the service has any media of it; one small request where that is not known."""
        if self._catalogue.views.is_populated(scope):
            return True
        if is_younger(self.state(scope).listed, self._now(), self._options.fresh_for_s):
            return False
        await self._list(scope, peek=True)
        return self._catalogue.views.is_populated(scope)

    async def look_for_the_oldest(self) -> None:
        """Sees to it that where by-date begins is known: asked of the service once a day, and only the
        first time waited for."""
        kept = self._catalogue.database.remembered("oldest")
        if kept is None:
            await self._list(Everything())
            return
        nothing = self._catalogue.views.day_range() is None
        believed_s = self._options.fresh_for_s if nothing else self._options.whole_for_s
        if not is_younger(kept["at"], self._now(), believed_s):
            if nothing:
                await self._list(Everything())
            else:
                self._refresh_behind(Everything())

    async def refresh(self, scope: Scope) -> None:
        """Lists again from the start, whatever the age. Raises why that failed."""
        if (scope, False) not in self._flights:
            self._catalogue.coverage.keep_crawl(scope, None)
            self._crawlers.offsets.forget()
        await self._list(scope)

    def expire(self, first: date, last: date) -> None:
        """The next look at each of these days lists it again; until then it is shown as it was."""
        self._catalogue.coverage.expire_days(
            first.toordinal(), last.toordinal(), self._now() - STALE_FACTOR * self._options.fresh_for_s
        )

    def state(self, scope: Scope) -> ListingState:
        """When `scope` was last listed whole, and its last failure; a user's is also derived from days."""
        state = self._failures.state(scope)
        if isinstance(scope, Days | Recent) and not self._source.traits.in_date_order:
            # It is listed with everything, or not at all.
            every = self._failures.state(Everything())
            if every.failed is not None and (state.listed is None or every.failed > state.listed):
                state = ListingState(state.listed, every.error, every.failed)
        if isinstance(scope, User) and self._proofs.refusal("user") is None:
            whole = self.users_since()
            if whole is not None and (state.listed is None or whole > state.listed):
                later = state.failed is not None and state.failed >= whole
                state = state._replace(listed=whole) if later else ListingState(whole)
        return state

    def users_since(self) -> float | None:
        """Since when every user and all their media are known, in Unix seconds; None: some may not be."""
        # Records name their owner, so all days together hold all media of every user.
        derivable = self._source.traits.all_users and self._options.since is None
        return self.whole_since() if derivable else None

    def whole_since(self) -> float | None:
        """Since when every day of by-date is known, in Unix seconds; None: some day is not."""
        if not self._source.traits.enumerable:
            return None
        first, known = self._options.since, self._catalogue.views.day_range()
        if first is None and known is not None and self._catalogue.database.remembered("oldest"):
            first = date.fromordinal(known[0])
        if first is None:
            return None
        last = self._options.today(self._now())
        return self._catalogue.coverage.state(Days(first, max(first, last))).listed

    def conversations_since(self) -> float | None:
        """Since when every conversation is known, in Unix seconds; None: some may not be."""
        derivable = self._source.traits.records_tell_conversation and self._options.since is None
        return self.whole_since() if derivable else None

    def finds_all(self, scope: Search) -> bool:
        """Whether a search that was made has found all there is."""
        return self._crawlers.searches.whole(scope, archive=self.whole_since() is not None)

    def refusal(self, kind: str) -> str | None:
        """Why a filtered view ("conversation", "user") is refused; None: it is not."""
        return self._proofs.refusal(kind)

    def conversation_ids(self) -> list[str]:
        """What `by-conversation/` lists: what the configuration names, and what is known."""
        return list(dict.fromkeys((*self._options.conversations(), *self._catalogue.views.conversations())))

    def is_named(self, conversation: str) -> bool:
        """Whether the configuration names this conversation."""
        return conversation in self._options.conversations()

    # --- flights -----------------------------------------------------------------------------------

    async def _list(self, scope: Scope, *, peek: bool = False) -> None:
        """Waits for one listing of `scope`, begun now or by somebody else before."""
        flight = None
        with trio.move_on_after(self._options.list_deadline_s) as deadline:
            while flight is None or flight.cancel.cancelled_caught:
                flight = self._join(scope, Urgency.PERSON, peek)
                flight.waiting += 1
                try:
                    await self._wait(flight)
                finally:
                    flight.waiting -= 1
                    if not flight.waiting:
                        flight.urgency = Urgency.BACKGROUND
        if deadline.cancelled_caught:
            raise Late(
                f"{_words(scope)} could not be listed within {self._options.list_deadline_s:g} s;"
                " the listing goes on behind, try again"
            )
        if flight is not None and flight.error is not None:
            raise flight.error

    async def _list_behind(self, scope: Scope) -> None:
        """Lists `scope` after what people wait for, unless it is fresh. Raises why that failed."""
        if not is_younger(self.state(scope).listed, self._now(), self._options.fresh_for_s):
            flight = None
            while flight is None or flight.cancel.cancelled_caught:
                flight = self._join(scope, Urgency.BACKGROUND)
                await flight.done.wait()
            if flight.error is not None:
                raise flight.error

    def _join(self, scope: Scope, urgency: Urgency, peek: bool = False) -> _Flight:
        if isinstance(scope, Days | Recent) and not self._source.traits.in_date_order:
            scope = Everything()  # the service cannot be asked for less
        flight = self._flights.get((scope, peek))
        if flight is None or flight.cancel.cancel_called:
            flight = _Flight(scope, peek, urgency)
            self._flights[scope, peek] = flight
            self._nursery.start_soon(self._fly, flight)
        flight.urgency = min(flight.urgency, urgency)
        return flight

    async def _wait(self, flight: _Flight) -> None:
        """Fails at once where the rate limit is known to outlast the deadline."""
        while not flight.done.is_set():
            wait_s = self._source.wait_s(flight.task) if flight.task else 0.0
            if wait_s > 0 and flight.asked_as > flight.urgency:
                # Its request is in line behind everybody else's: begin again in front, from where the
                # catalogue says that it stands.
                flight.cancel.cancel()
            elif wait_s > trio.current_effective_deadline() - trio.current_time():
                raise Late(
                    f"the service allows no request for {math.ceil(wait_s)} s;"
                    f" the listing of {_words(flight.scope)} goes on behind",
                    wait_s,
                )
            # It may come in line, and the limit may change, while we wait.
            with trio.move_on_after(LOOK_EVERY_S):
                await flight.done.wait()

    async def _fly(self, flight: _Flight) -> None:
        flight.task = trio.lowlevel.current_task()
        read = self._crawlers.peek if flight.peek else self._crawlers.read
        try:
            with flight.cancel:
                await read(flight.scope, flight.ask)
                self._away = None
                if not flight.peek:
                    self._failures.over(flight.scope)
        except MediafsError as error:
            flight.error = error
            level = logging.INFO if isinstance(error, Late) else logging.WARNING
            log.log(level, "%s cannot be listed: %s", _words(flight.scope), error)
        except Exception:
            log.exception("the listing of %s failed", _words(flight.scope))
            flight.error = InvalidReply(f"the listing of {_words(flight.scope)} failed; the log says why")
        if flight.error is not None:
            self._failures.note(flight.scope, flight.error)
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
                if answer_for(self.state(scope), self._now(), self._options.fresh_for_s) is Answer.AS_IT_IS:
                    continue
                flight = self._join(scope, Urgency.BACKGROUND)
                await flight.done.wait()
                if flight.error is not None and not isinstance(flight.error, Incomplete):
                    self._stale_days.clear()  # each of them would fail alike
        except MediafsError as error:
            log.warning("days cannot be refreshed: %s", error)
        finally:
            self._refreshing_days = False


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
        listings = Listings(nursery, source, catalogue, options, emit, wall_clock)
        if options.poll_s:
            nursery.start_soon(listings.poll.run)
        yield listings
        nursery.cancel_scope.cancel()
