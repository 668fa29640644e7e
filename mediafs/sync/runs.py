"""A listing of everything there is, for as long as somebody follows it: at most one at a time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

import trio

from ..errors import Busy, InvalidReply, Late, MediafsError, Unavailable
from ..model import Conversation, ConversationId, Everything, Scope, Trash, Urgency
from ..source import Source
from .crawl import OutOfOrder
from .crawlers import Crawlers
from .progress import Progress
from .whole import Whole

log = logging.getLogger(__name__)

PLENTY: Final = 500
"""Requests that may go at once. Each range of days that is read beside others costs one or two more."""

PATIENCE_S: Final = (5.0, 15.0, 60.0, 180.0)
"""How long is waited after failures in a row, of a service that has answered before."""


@dataclass(eq=False)
class Run:
    """Everything from `since` on."""

    since: date | None
    progress: Progress = field(default_factory=Progress)
    requests: int = 0
    """Asked for by this run itself: pages, and proofs that a filter filters."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """What else could not be listed, and why, after the days were."""
    troubled: str | None = None
    """Why it waits to try again."""
    error: MediafsError | None = None
    task: trio.lowlevel.Task | None = None
    done: trio.Event = field(default_factory=trio.Event)
    cancel: trio.CancelScope = field(default_factory=trio.CancelScope)
    followers: int = 0

    complete: bool = False

    def news(self) -> dict[str, object]:
        """How far it is, as JSON can hold it."""
        progress = self.progress
        return {
            "items": progress.items,
            "pages": progress.pages,
            "total": progress.total,
            "day": None if progress.day is None else progress.day.isoformat(),
            "share": progress.share,
            "days": progress.days,
            "requests": self.requests,
            "troubled": self.troubled,
            "failed": list(self.failed),
            "complete": self.complete,
        }

    def urgency(self) -> Urgency:
        self.requests += 1
        return Urgency.BACKGROUND


class Runs:
    """`begin` makes the crawl by date; `share` lists another scope, together with whoever else wants it."""

    def __init__(
        self,
        nursery: trio.Nursery,
        source: Source,
        crawlers: Crawlers,
        *,
        begin: Callable[[date | None], Whole],
        share: Callable[[Scope], Awaitable[None]],
        conversations: Callable[[], Sequence[str]],
    ) -> None:
        self._nursery = nursery
        self._source = source
        self._crawlers = crawlers
        self._begin = begin
        self._share = share
        self._conversations = conversations
        self.current: Run | None = None

    @contextmanager
    def follow(self, since: date | None = None) -> Iterator[Run]:
        """The run that is under way, or a new one; it ends with the last who follows it.

        Raises Busy where one is under way that begins on another day.
        """
        run = self.current
        if run is not None and run.cancel.cancel_called:
            run = None
        if run is None:
            run = self.current = Run(since)
            self._nursery.start_soon(self._work, run)
        elif run.since != since:
            begins = f"from {run.since} on" if run.since else "of everything"
            raise Busy(f"another sync of this account is under way, {begins}")
        run.followers += 1
        try:
            yield run
        finally:
            run.followers -= 1
            if not run.followers:
                run.cancel.cancel()

    async def _work(self, run: Run) -> None:
        run.task = trio.lowlevel.current_task()
        try:
            with run.cancel:
                await self._all(run)
                run.complete = True
        except MediafsError as error:
            run.error = error
            log.info("the sync has ended: %s", error)
        except Exception:
            log.exception("the sync failed")
            run.error = InvalidReply("the sync failed; the log says why")
        finally:
            if self.current is run:
                self.current = None
            run.done.set()

    async def _all(self, run: Run) -> None:
        traits = self._source.traits
        if traits.in_date_order:
            await self._days(run)
        else:
            self._crawlers.offsets.revive()
            run.progress = self._crawlers.offsets.progress
            await self._patiently(run, lambda: self._share(Everything()))
        # What is listed next counts for itself.
        run.progress = replace(run.progress, days=False)
        if not traits.records_tell_conversation and traits.conversations:
            for id_ in self._conversations():
                await self._beside(run, f"by-conversation/{id_}", Conversation(ConversationId(id_)))
        if traits.trash:
            await self._beside(run, "trash", Trash())

    async def _days(self, run: Run) -> None:
        whole = self._begin(run.since)
        run.progress = whole.progress
        try:
            while not whole.done:
                await self._patiently(run, lambda: self._on(whole, run))
        except OutOfOrder as error:
            log.info("%s", error)
            run.progress = self._crawlers.offsets.progress
            await self._patiently(run, lambda: self._by_offset(whole, run))

    async def _on(self, whole: Whole, run: Run) -> None:
        """A page; or all that are left, several at once, where a few requests more do not matter."""
        if self._is_free() and (days := whole.days_to_come()):
            await whole.read(days, run.urgency, self._is_free)
        await whole.step(run.urgency)

    def _is_free(self) -> bool:
        """Whether a few requests more do not matter."""
        spare = self._source.spare(Urgency.BACKGROUND)
        return spare is None or spare >= PLENTY

    async def _by_offset(self, whole: Whole, run: Run) -> None:
        whole.listed_otherwise(await self._crawlers.all_days_by_offset(run.urgency))

    async def _beside(self, run: Run, name: str, scope: Scope) -> None:
        try:
            await self._patiently(run, lambda: self._share(scope))
        except (Unavailable, Late):
            raise
        except MediafsError as error:
            run.failed.append((name, str(error)))

    async def _patiently(self, run: Run, ask: Callable[[], Awaitable[object]]) -> None:
        """A service that has answered is given some minutes to come back."""
        waits = iter(PATIENCE_S)
        while True:
            try:
                await ask()
            except (Unavailable, Late) as error:
                wait_s = next(waits, None) if run.progress.pages else None
                if wait_s is None:
                    raise
                run.troubled = str(error)
                log.info("the sync goes on in %.0f s: %s", wait_s, error)
                await trio.sleep(max(wait_s, (error.wait_s or 0.0) if isinstance(error, Late) else 0.0))
            else:
                run.troubled = None
                return
