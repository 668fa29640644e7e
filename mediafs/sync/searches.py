"""How a search is answered: by the service where it has one, else from what is known of its archive."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import trio
from cachetools import LRUCache

from ..catalogue import Catalogue
from ..errors import Incomplete, NotFound, ValueRefused
from ..model import Cursor, MediaId, Only, Question, Search
from ..source import Source
from .crawl import MAX_DISTURBANCES
from .freshness import is_younger
from .options import SyncOptions
from .pages import Pages
from .proofs import UrgencyNow

log = logging.getLogger(__name__)

ASKED_LIMIT: Final = 300
"""How many a service is asked for: three requests, of the ten that one allows in a minute."""
FOUND_LIMIT: Final = 1000
"""How many are shown of what is known here."""

IMPOSSIBLE: Final = "zqxj7vwk3f91c2e5"
"""Words that nobody has written of a media."""

_PROOF: Final = "filter:search"


class Searches:
    """`whole` tells whether a search has found all there is."""

    def __init__(
        self,
        source: Source,
        catalogue: Catalogue,
        pages: Pages,
        options: SyncOptions,
        wall_clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._catalogue = catalogue
        self._pages = pages
        self._options = options
        self._now = wall_clock
        self._all: LRUCache[Search, bool] = LRUCache(1000)
        """Whether the service has told all that it found; not of what was searched here."""

    def whole(self, scope: Search, *, archive: bool) -> bool:
        """`archive`: all of it is known here."""
        told = self._all.get(scope)
        return told if told is not None else archive and self._catalogue.views.count(scope) < FOUND_LIMIT

    async def read(self, scope: Search, urgency: UrgencyNow) -> None:
        """Raises what `Source.page` raises, and Incomplete."""
        self._all.pop(scope, None)
        if self._source.traits.searches and await self._heeded(urgency):
            await self._asked(scope, urgency)
        else:
            await self._known(scope)
        self._catalogue.coverage.listed(scope, self._now())

    async def _heeded(self, urgency: UrgencyNow) -> bool:
        """Whether the service narrows a listing down by words, by a question that must find nothing. A search
        that is ignored would show the newest of everything. Believed for a day."""
        kept = self._catalogue.database.remembered(_PROOF)
        if kept is not None and is_younger(kept["at"], self._now(), self._options.whole_for_s):
            return bool(kept["heeded"])
        question = Question(newest_first=True, only=Only(search=IMPOSSIBLE), limit=1)
        try:
            page = await self._source.page(question, urgency=urgency())
            heeded = not page.media and not page.total
        except NotFound:
            heeded = True
        except ValueRefused:
            heeded = False
        # Of an account that shows nothing, that it shows nothing is no proof.
        if not heeded or self._catalogue.views.day_range() is not None:
            self._catalogue.database.remember(_PROOF, {"at": self._now(), "heeded": heeded})
        if not heeded:
            log.info("the service does not search: what is known here is searched instead")
        return heeded

    async def _asked(self, scope: Search, urgency: UrgencyNow) -> None:
        question = Question(newest_first=True, only=Only(search=scope.words), limit=self._pages.limit)
        for _ in range(MAX_DISTURBANCES):
            seen: dict[MediaId, None] = {}
            totals: set[int | None] = set()
            cursor: Cursor | None = None
            while len(seen) < ASKED_LIMIT:
                page = await self._pages.ask(replace(question, cursor=cursor), urgency)
                seen.update((media.id, None) for media in page.media)
                totals.add(page.total)
                cursor = page.next
                if cursor is None:
                    break
            if len(totals) == 1 and (cursor is not None or totals <= {None, len(seen)}):
                words = self._catalogue.words
                words.keep(scope, words.inodes_of(list(seen)[:ASKED_LIMIT]))
                self._all[scope] = cursor is None
                return
        raise Incomplete("what the service finds does not add up to the total it states; try again later")

    async def _known(self, scope: Search) -> None:
        words = self._catalogue.words
        while words.index():
            await trio.lowlevel.checkpoint()  # others are served between two steps
        found = await trio.to_thread.run_sync(partial(words.search, scope.words, FOUND_LIMIT))
        words.keep(scope, found)
