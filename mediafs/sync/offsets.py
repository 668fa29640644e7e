"""A listing read by the service's own paging: all pages, from the first to the last.

For services that keep no order, and for the trash. The only proof of completeness is a total that stood
still and was reached; where the service states none, its word that there is no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..catalogue import Catalogue
from ..errors import Incomplete
from ..model import Conversation, Cursor, Everything, MediaId, Question, Trash, User
from .crawl import MAX_DISTURBANCES
from .freshness import STALE_FACTOR, is_younger
from .options import SyncOptions
from .pages import Pages
from .progress import Progress
from .proofs import UrgencyNow

_KEY: Final = "walk"


@dataclass(frozen=True, slots=True)
class Walked:
    """A listing that was read whole."""

    clock: int
    """The catalogue's clock at its start."""
    listed: float
    """How old it is, in Unix seconds."""


class Offsets:
    """A walk through everything is gone on with after a restart where the service states no totals: what
    it has seen then proves nothing, so that it need not be remembered."""

    def __init__(
        self, pages: Pages, catalogue: Catalogue, options: SyncOptions, wall_clock: Callable[[], float]
    ) -> None:
        self._pages = pages
        self._database = catalogue.database
        self._options = options
        self._now = wall_clock
        self.progress = Progress()
        """Of the last walk through everything."""

    async def read(self, scope: Conversation | User | Everything | Trash, urgency: UrgencyNow) -> Walked:
        """Raises Incomplete where the pages do not add up, and what `Pages.ask` raises."""
        kept = self._kept() if isinstance(scope, Everything) else None
        for _ in range(MAX_DISTURBANCES):
            clock, began, cursor = kept or (self._database.tick(), None, None)
            started = self._now() if began is None else began
            kept = None
            seen: set[MediaId] = set()
            totals: set[int | None] = set()
            if isinstance(scope, Everything) and cursor is None:
                self.progress.items = self.progress.pages = 0
            while True:
                page = await self._pages.ask(Question(scope=scope, cursor=cursor), urgency)
                seen.update(media.id for media in page.media)
                if isinstance(scope, Everything):
                    self._count(len(page.media), page.total)
                totals.add(page.total)
                cursor = page.next
                if cursor is None:
                    break
                if isinstance(scope, Everything) and totals == {None}:
                    self._keep(clock, started, cursor)
            if isinstance(scope, Everything):
                self.forget()
            if totals <= {None} or totals == {len(seen)}:
                return Walked(clock, self._now() if began is None else began)
        raise Incomplete("the service's pages do not add up to the total it states; try again later")

    def _count(self, items: int, total: int | None) -> None:
        self.progress.items += items
        self.progress.pages += 1
        self.progress.total = total
        self.progress.share = min(1.0, self.progress.items / total) if total else None

    def revive(self) -> None:
        """The next walk through everything goes on with one that was left within a day."""
        kept = self._database.remembered(_KEY)
        if kept is not None and is_younger(kept["touched"], self._now(), self._options.whole_for_s):
            self._keep(kept["clock"], kept["started"], kept["cursor"])

    def forget(self) -> None:
        """The next one begins at the start."""
        if self._database.remembered(_KEY) is not None:
            self._database.remember(_KEY, None)

    def _kept(self) -> tuple[int, float, Cursor] | None:
        kept = self._database.remembered(_KEY)
        # Somebody waits for what it leads to: that shall not be older than what is shown without asking.
        shown_s = STALE_FACTOR * self._options.fresh_for_s
        if kept is None or not is_younger(kept["touched"], self._now(), shown_s):
            return None
        return kept["clock"], kept["started"], Cursor(kept["cursor"])

    def _keep(self, clock: int, started: float, cursor: Cursor) -> None:
        state = {"clock": clock, "started": started, "cursor": cursor, "touched": self._now()}
        self._database.remember(_KEY, state)
