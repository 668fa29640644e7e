"""A listing read by the service's own paging: all pages, from the first to the last.

For services that keep no order, and for the trash. Proofs of completeness are a total that stood still and
was reached, and pages that begin with the end of the one before, where the service can be asked so; where it
has neither, its word that there is no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A walk under way."""

    clock: int
    started: float
    cursor: Cursor | None = None
    items: int = 0
    pages: int = 0


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
            resumed = kept is not None
            at = kept or _Kept(clock=self._database.tick(), started=self._now())
            cursor, kept = at.cursor, None
            seen: set[MediaId] = set()
            totals: set[int | None] = set()
            edge: MediaId | None = None
            moved = False
            progress = self.progress if isinstance(scope, Everything) else Progress()
            progress.pages = at.pages
            while True:
                page = await self._pages.ask(Question(scope=scope, cursor=cursor), urgency)
                moved = edge is not None and edge not in [media.id for media in page.media[:1]]
                if moved:
                    break
                seen.update(media.id for media in page.media)
                progress.count(at.items + len(seen), page.total)
                totals.add(page.total)
                edge = page.media[-1].id if page.again is not None and page.media else None
                cursor = page.next if edge is None else page.again
                if cursor is None:
                    break
                if isinstance(scope, Everything) and totals == {None} and edge is None:
                    self._keep(replace(at, cursor=cursor, items=progress.items, pages=progress.pages))
            if isinstance(scope, Everything):
                self.forget()
            if not moved and (totals <= {None} or totals == {len(seen)}):
                return Walked(at.clock, at.started if resumed else self._now())
        raise Incomplete("the service's pages do not add up to the total it states; try again later")

    def revive(self) -> None:
        """The next walk through everything goes on with one that was left within a day."""
        kept = self._database.remembered(_KEY)
        if kept is not None and is_younger(kept["touched"], self._now(), self._options.whole_for_s):
            self._database.remember(_KEY, {**kept, "touched": self._now()})

    def forget(self) -> None:
        """The next one begins at the start."""
        if self._database.remembered(_KEY) is not None:
            self._database.remember(_KEY, None)

    def _kept(self) -> _Kept | None:
        kept = self._database.remembered(_KEY)
        # Somebody waits for what it leads to: that shall not be older than what is shown without asking.
        shown_s = STALE_FACTOR * self._options.fresh_for_s
        if kept is None or not is_younger(kept["touched"], self._now(), shown_s):
            return None
        del kept["touched"]
        return _Kept(**kept)

    def _keep(self, state: _Kept) -> None:
        self._database.remember(_KEY, {**asdict(state), "touched": self._now()})
