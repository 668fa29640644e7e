"""Why scopes could not be listed: kept in the catalogue, or in memory where that takes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from cachetools import LRUCache

from ..catalogue import Catalogue, ListingState
from ..errors import MediafsError
from ..model import Scope

log = logging.getLogger(__name__)

_IN_MEMORY: Final = 1024
"""Failures held on a full disk: more folders than anybody looks at before making room."""


class Failures:
    """The last failure of each scope, for as long as no whole listing came after it."""

    def __init__(self, catalogue: Catalogue, wall_clock: Callable[[], float]) -> None:
        self._catalogue = catalogue
        self._now = wall_clock
        self._unkept: LRUCache[Scope, tuple[str, float]] = LRUCache(_IN_MEMORY)

    def note(self, scope: Scope, error: MediafsError) -> None:
        """The last try to list the scope failed."""
        now = self._now()
        self._unkept.pop(scope, None)
        try:
            self._catalogue.coverage.failed(scope, str(error), now)
        except MediafsError as failure:
            self._unkept[scope] = (str(error), now)
            log.warning("the failure cannot be kept: %s", failure)

    def over(self, scope: Scope) -> None:
        """The scope was listed. A crawl that goes on after a failure makes a listing as old as its beginning,
        so that its age does not tell."""
        self._unkept.pop(scope, None)
        self._catalogue.coverage.succeeded(scope)

    def state(self, scope: Scope) -> ListingState:
        """When the scope was last listed whole, and its last failure after that."""
        state = self._catalogue.coverage.state(scope)
        unkept = self._unkept.get(scope)
        if unkept is None or (state.listed is not None and state.listed > unkept[1]):
            return state
        return ListingState(state.listed, *unkept)
