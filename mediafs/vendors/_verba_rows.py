"""The rows of one search, a page at a time: whether they continue each other, and what they prove. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import Enum
from itertools import pairwise

from ..model import Media
from ._verba_windows import Window, is_settled
from .protocol import Pairs


@dataclass(frozen=True, slots=True)
class Row:
    """One call of a reply; `media` None: it is still going on."""

    id: str
    media: Media | None


class Step(Enum):
    """What follows a page."""

    ON = "on"
    """More may come."""
    LAST = "last"
    BROKEN = "broken"
    """It does not begin with what the one before ended with: something may be missing in between."""
    IGNORED = "ignored"
    """It is the one before once more: the service does not page."""


class Rows:
    """What the pages of one question showed, in the service's order."""

    def __init__(self, zone: tzinfo, *, backwards: bool) -> None:
        self._zone = zone
        self._backwards = backwards
        self._ids: list[str] = []
        self._media: dict[str, Media] = {}
        self.pages = 0
        self.base: int | None = None
        """What the service counts its first row as, once two pages have told."""

    def position(self, base: int) -> Pairs:
        """The parameter that asks for the next page, from the last row that is known on."""
        return (("pagefirst", str(len(self._ids) - 1 + base)),) if self._ids else ()

    @property
    def empty(self) -> bool:
        return not self._ids

    def media(self) -> Iterator[Media]:
        return iter(self._media.values())

    def take(self, rows: list[Row], base: int, most: int) -> Step:
        """Takes a page, which was asked for at `position(base)`; `most` is how many rows have ever come."""
        self.pages += 1
        got = [row.id for row in rows]
        again = 0
        if self._ids:
            again = self._overlap(got)
            if not again:
                return Step.BROKEN
            if self.pages == 2 and got == self._ids and len(got) > 2:
                return Step.IGNORED
            if again == 1:
                self.base = base
            elif again == 2 and base == 0:
                self.base = 1  # it went one row further back than it was asked to
        self._ids += got[again:]
        self._media.update((row.id, row.media) for row in rows if row.media is not None)
        return Step.LAST if len(got) < most or (self.pages > 1 and len(got) == again) else Step.ON

    def whole(self, window: Window) -> Window:
        """The part of `window` of which nothing can be missing any more; an empty one where that is
        unknown.

        All that the service sorted before the last row has been read. The last second may go on.
        """
        nothing = Window(window.end, window.end) if self._backwards else Window(window.start, window.start)
        known = list(self._media.values())
        if not known or not self._is_sorted(known):
            return nothing
        second = known[-1].created.replace(microsecond=0)
        if not is_settled(self._zone, second):
            return nothing
        if self._backwards:
            return Window(min(max(second + timedelta(seconds=1), window.start), window.end), window.end)
        return Window(window.start, max(min(second, window.end), window.start))

    def _overlap(self, got: list[str]) -> int:
        """How many rows at the start of a page are those that are known to be the last."""
        longest = min(len(got), len(self._ids))
        return next((n for n in range(longest, 0, -1) if self._ids[-n:] == got[:n]), 0)

    def _is_sorted(self, media: list[Media]) -> bool:
        seconds: list[datetime] = [one.created.replace(microsecond=0) for one in media]
        if self._backwards:
            seconds.reverse()
        return all(
            earlier <= later or not is_settled(self._zone, earlier) for earlier, later in pairwise(seconds)
        )
