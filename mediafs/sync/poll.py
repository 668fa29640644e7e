"""What is new, asked for now and then: by the cheapest question that can show it.

Recordings complete late, with the time at which they began: so what is asked for begins some time before
the newest that is known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import trio

from ..catalogue import Catalogue
from ..errors import Late, MediafsError, Unsupported
from ..model import Days, Question, Recent, Urgency
from .crawlers import Crawlers
from .options import SyncOptions

log = logging.getLogger(__name__)

OVERLAP: Final = timedelta(hours=48)
OVERLAP_EVERY_S: Final = 3600.0
"""How often all of the overlap is read where it is more than a page, and no total tells that nothing in it
has changed."""
LONGEST_S: Final = 3600.0
"""Between two attempts at a service that fails."""
_NEARLY_A_PAGE: Final = 0.85


class Poll:
    """`run` never ends, whatever fails: it waits for twice as long after each failure in a row."""

    def __init__(
        self,
        crawlers: Crawlers,
        catalogue: Catalogue,
        options: SyncOptions,
        wall_clock: Callable[[], float],
        *,
        in_date_order: bool,
    ) -> None:
        self._crawlers = crawlers
        self._catalogue = catalogue
        self._options = options
        self._now = wall_clock
        self.can = in_date_order
        """Whether the service can be asked what is new at all."""
        self.done: float | None = None
        """When it was last known what is new, Unix time."""
        self.next: float | None = None
        self.error: str | None = None
        """Why the last attempt failed."""
        self._overlapped: float | None = None

    def news(self) -> dict[str, object] | None:
        """How it stands, as JSON can hold it, in Unix time; None: nothing is asked for by itself."""
        if not self.every_s:
            return None
        return {
            "every_s": self.every_s,
            "can": self.can,
            "done": self.done,
            "next": self.next,
            "error": self.error,
        }

    @property
    def every_s(self) -> float:
        """0: never."""
        return self._options.poll_s

    async def run(self) -> None:
        failures = 0
        while self.every_s and self.can:
            wait_s = min(self.every_s * 2**failures, max(self.every_s, LONGEST_S))
            self.next = self._now() + wait_s
            await trio.sleep(wait_s)
            try:
                await self.once()
            except MediafsError as error:
                level = (
                    logging.WARNING if self.error is None and not isinstance(error, Late) else logging.INFO
                )
                log.log(level, "what is new could not be asked: %s", error)
                self.error = str(error)
            except Exception:
                log.exception("what is new could not be asked")
                self.error = "a bug; the log says more"
            else:
                self.error, self.done = None, self._now()
            failures = min(failures + 1, 32) if self.error is not None else 0

    async def once(self) -> None:
        """Raises what listing raises, and Unsupported where the service lists its archive only whole."""
        if not self.can:
            raise Unsupported("the service cannot be asked what is new")
        newest = self._catalogue.views.newest()
        if newest is None:
            await self._crawlers.read(Recent(), _background)
            return
        now = self._now()
        newest = min(newest, now)  # a clock at the service that goes ahead must not hide what comes next
        first = self._day_of(newest, OVERLAP)
        if self._catalogue.views.count(Days(first, None)) <= self._crawlers.pages.limit * _NEARLY_A_PAGE:
            await self._crawlers.days_from(first, _background)
            return
        begins = await self._changed_from(first, newest)
        if begins is not None:
            await self._crawlers.days_from(begins, _background)

    async def _changed_from(self, first: date, newest: float) -> date | None:
        """From which day on there is something new, after a look at the newest page; None: there is not."""
        question = Question(newest_first=True, since=self._options.start_of(first))
        page = await self._crawlers.pages.ask(question, _background)
        if page.total is not None:
            return None if page.total == self._catalogue.views.count(Days(first, None)) else first
        now = self._now()
        if self._overlapped is None or not 0 <= now - self._overlapped < OVERLAP_EVERY_S:
            self._overlapped = now
            return first
        reached = page.next is None or (page.media and page.media[-1].created.timestamp() <= newest)
        return None if reached else self._day_of(newest, timedelta())

    def _day_of(self, moment: float, before: timedelta) -> date:
        day = self._options.day_of(datetime.fromtimestamp(moment, UTC) - before)
        return max(day, self._options.since) if self._options.since is not None else day


def _background() -> Urgency:
    return Urgency.BACKGROUND
