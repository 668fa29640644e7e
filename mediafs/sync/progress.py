"""How far a listing of everything is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(slots=True)
class Progress:
    """Mutable; of a listing that goes on after a restart, what was read before counts too."""

    items: int = 0
    """Media on the pages that were read."""
    pages: int = 0
    total: int | None = None
    """What `items` will be at the end, where the service states totals."""
    day: date | None = None
    """The days before it are listed."""
    share: float | None = None
    """Of the way, 0 to 1."""
    days: bool = True
    """The days are being listed; else what comes after them."""

    def count(self, items: int, total: int | None) -> None:
        """A page has been read; with it there are so many media, of `total`."""
        self.items = items
        self.pages += 1
        self.total = total
        self.share = min(1.0, items / total) if total else None
