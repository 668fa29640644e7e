"""One queue per account before the service's rate limit: a person before the background.

How much the service allows is `window.py`'s; here waits who must, the most urgent is served first,
and who is known to wait for longer than the deadline around it is told at once. What is fetched ahead
never waits: whoever then needs it asks as a person, and is not to stand in line with a smaller right.
"""

from __future__ import annotations

import time
from bisect import insort
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import Final

import trio

from ..errors import Late
from ..model import Urgency
from ..vendors.protocol import Pace
from .pace import Pacer
from .spent import Spent
from .window import Verdict, Window

_FORGETFUL_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterStatistics:
    left: int | None
    """Requests that a person may send now; None where no limit is known."""
    reset_in_s: float | None
    """Until the service's window is over, where it states one."""
    throttled_until: float | None
    """Unix time, where a 429 is waited for."""
    waiting: int
    spent: Mapping[Urgency, int] = field(default_factory=dict)
    """Requests since the start, by who waited for them."""
    spent_by_operation: Mapping[str, int] = field(default_factory=dict)
    today: Mapping[Urgency, int] = field(default_factory=dict)
    """Requests since midnight UTC, those of earlier processes included."""
    today_by_operation: Mapping[str, int] = field(default_factory=dict)


class Turn:
    """The right to send one request; told how it went, exactly once. Later tellings are ignored."""

    def __init__(self, limiter: Limiter, sent_at: float) -> None:
        self._limiter = limiter
        self._sent_at = sent_at
        self._open = True

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the answer came; header names are lower case."""
        if self._open:
            self._open = False
            self._limiter._answered(self._sent_at, status, headers)

    def lost(self) -> None:
        """No answer came, or nobody waited for it."""
        if self._open:
            self._open = False
            self._limiter._lost()


class Limiter:
    """`requests_per_minute` 0 means what the service shows; `documented` is what its vendor writes."""

    def __init__(
        self,
        *,
        requests_per_minute: int = 0,
        documented: int | None = None,
        pace: Pace | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if requests_per_minute < 0 or (documented is not None and documented < 1):
            raise ValueError("a rate is positive")
        self._wall = wall
        self._window = Window(explicit=requests_per_minute, documented=documented)
        self._pacer = Pacer(pace)
        self._waiting: list[tuple[Urgency, int]] = []
        self._places: dict[trio.lowlevel.Task, tuple[Urgency, int]] = {}
        """Which task waits at which place."""
        self._numbers = count()
        self._news = trio.Event()
        self._spent: Counter[Urgency] = Counter()
        self._by_operation: Counter[str] = Counter()
        self._today = Spent(wall)

    async def turn(self, urgency: Urgency, operation: str) -> Turn:
        """Waits for the right to send one request of the kind `operation`.

        Raises Late, with the wait, as soon as it is known that it ends after the deadline around
        this call; for a PREFETCH, where it would have to wait at all. Whoever gets the turn tells it how
        the request went.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        place = (urgency, next(self._numbers))
        insort(self._waiting, place)
        task = trio.lowlevel.current_task()
        self._places[task] = place
        try:
            while True:
                now = trio.current_time()
                ahead = self._waiting.index(place)
                verdict = self._window.verdict(urgency, ahead, now)
                if verdict.ready:
                    verdict = self._pacer.verdict(self._window.in_flight, ahead, now)
                if verdict.ready:
                    # No await between here and the return: a turn is never lost to a cancellation.
                    self._window.sent()
                    self._pacer.sent(now)
                    self._spent[urgency] += 1
                    self._by_operation[operation] += 1
                    self._today.count(urgency, operation)
                    return Turn(self, now)
                await self._wait(urgency, verdict, now)
        finally:
            self._waiting.remove(place)
            del self._places[task]
            self._announce()

    async def _wait(self, urgency: Urgency, verdict: Verdict, now: float) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if urgency is Urgency.PREFETCH or now + verdict.wait_s > trio.current_effective_deadline():
            raise Late(
                f"the service's rate limit allows no request for another {verdict.wait_s:.0f} s",
                wait_s=verdict.wait_s,
            )
        with trio.move_on_after(verdict.wait_s or _FORGETFUL_S):
            await self._news.wait()

    def wait_s(self, urgency: Urgency) -> float:
        """How long a request would have to wait for the limit, as far as is known; 0: not at all."""
        ahead = sum(1 for place in self._waiting if place[0] <= urgency)
        return self._window.verdict(urgency, ahead, trio.current_time()).wait_s

    def spare(self, urgency: Urgency) -> int | None:
        """Requests that may go now without waiting, after those that wait already; None: no limit is known.

        Where there is a pace, one of them is a person's.
        """
        ahead = sum(1 for place in self._waiting if place[0] <= urgency)
        now, in_flight = trio.current_time(), self._window.in_flight
        kept = 0 if urgency is Urgency.PERSON else 1
        known = [self._window.spare(urgency, ahead, now), self._pacer.spare(in_flight, ahead + kept, now)]
        return min((each for each in known if each is not None), default=None)

    def waits_s(self, task: trio.lowlevel.Task) -> float:
        """How long the request that this task is in line with must still wait; 0: it is not in line."""
        place = self._places.get(task)
        if place is None:
            return 0.0
        return self._window.verdict(place[0], self._waiting.index(place), trio.current_time()).wait_s

    def statistics(self) -> LimiterStatistics:
        now = trio.current_time()
        until = self._window.throttled_until
        return LimiterStatistics(
            left=self._window.left(now),
            reset_in_s=self._window.reset_in_s(now),
            throttled_until=None if until is None or until <= now else until - now + self._wall(),
            waiting=len(self._waiting),
            spent=MappingProxyType(dict(self._spent)),
            spent_by_operation=MappingProxyType(dict(self._by_operation)),
            today=MappingProxyType(self._today.by_urgency()),
            today_by_operation=MappingProxyType(self._today.by_operation()),
        )

    def export(self) -> dict[str, object]:
        """What the next process has to know, as JSON can hold it; times are Unix times."""
        return {**self._window.export(trio.current_time(), self._wall()), "today": self._today.export()}

    def restore(self, state: Mapping[str, object]) -> None:
        """Takes over what `export` gave in an earlier process; nonsense in it is ignored."""
        self._window.restore(state, trio.current_time(), self._wall())
        self._today.restore(state.get("today"))
        self._announce()

    def _answered(self, sent_at: float, status: int, headers: Mapping[str, str]) -> None:
        self._window.answered(trio.current_time(), self._wall(), sent_at, status, headers)
        self._announce()

    def _lost(self) -> None:
        self._window.lost(trio.current_time())
        self._announce()

    def _announce(self) -> None:
        """Everyone who waits looks again; there are few of them."""
        self._news.set()
        self._news = trio.Event()
