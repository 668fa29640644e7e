"""What was listed whole, and when; what failed, and why; crawls that go on after a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..model import Days, Scope
from .database import Database
from .scopes import scope_key


class ListingState(NamedTuple):
    """What is known of a scope's last listings."""

    listed: float | None = None
    error: str | None = None
    """Why the last try failed, where that was after the last whole listing."""
    failed: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlState:
    """A crawl under way: everything created before `since` has been read; None: nothing yet."""

    started: float
    touched: float
    """When its last page was read."""
    clock: int
    since: float | None = None


class Coverage:
    """Which scopes were listed. A day or scope is only ever marked by who has read it whole."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def state(self, scope: Scope) -> ListingState:
        """When a scope was last listed whole. For Days: the oldest listing of its days."""
        row = self._db.execute(
            "SELECT listed, error, failed FROM scope WHERE key = ?", (scope_key(scope),)
        ).fetchone()
        kept = ListingState(*row) if row else ListingState()
        if isinstance(scope, Days) and scope.last is not None:
            first, last = scope.first.toordinal(), scope.last.toordinal()
            count, oldest = self._db.execute(
                "SELECT COUNT(*), MIN(listed) FROM day WHERE day BETWEEN ? AND ?", (first, last)
            ).fetchone()
            kept = kept._replace(listed=oldest if count == last - first + 1 else None)
        if kept.listed is not None and kept.failed is not None and kept.listed > kept.failed:
            kept = ListingState(kept.listed)
        return kept

    def listed(self, scope: Scope, now: float) -> None:
        """The scope has been read whole. Days are marked by `Contents.cover_days`."""
        self._db.execute("INSERT OR REPLACE INTO scope(key, listed) VALUES (?, ?)", (scope_key(scope), now))

    def failed(self, scope: Scope, error: str, now: float) -> None:
        """The last try to list the scope failed; what was listed before stays."""
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO scope(key, error, failed) VALUES (?, ?, ?)"
                " ON CONFLICT(key) DO UPDATE SET error = excluded.error, failed = excluded.failed",
                (scope_key(scope), error, now),
            )

    def succeeded(self, scope: Scope) -> None:
        """The last try to list the scope did not fail."""
        self._db.execute("UPDATE scope SET error = NULL, failed = NULL WHERE key = ?", (scope_key(scope),))

    def expire_days(self, first: int, last: int, listed: float) -> None:
        """These days count as listed no later than `listed`."""
        self._db.execute(
            "UPDATE day SET listed = MIN(listed, ?) WHERE day BETWEEN ? AND ?", (listed, first, last)
        )

    def covered_since(self, first: int, last: int, listed_after: float) -> int | None:
        """The first day in the range that was listed after that moment, or None."""
        row = self._db.execute(
            "SELECT MIN(day) FROM day WHERE day BETWEEN ? AND ? AND listed > ?", (first, last, listed_after)
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def covered_to(self, first: int, listed_after: float) -> int | None:
        """The last of the days from `first` on that were all listed after that moment, or None."""
        last = None
        days = self._db.execute("SELECT day, listed FROM day WHERE day >= ? ORDER BY day", (first,))
        for day, listed in days:
            if day != (first if last is None else last + 1) or listed <= listed_after:
                break
            last = day
        return last

    def listed_days(self, first: int, listed_after: float) -> list[int]:
        """The days from `first` on that were listed after that moment, in order."""
        days = self._db.execute(
            "SELECT day FROM day WHERE day >= ? AND listed > ? ORDER BY day", (first, listed_after)
        )
        return [day for (day,) in days]

    def covered_days(self, first: int, last: int) -> set[int]:
        """The days in the range that were ever listed whole."""
        return {
            d for (d,) in self._db.execute("SELECT day FROM day WHERE day BETWEEN ? AND ?", (first, last))
        }

    def crawl(self, scope: Scope) -> CrawlState | None:
        row = self._db.execute(
            "SELECT started, touched, clock, since FROM crawl WHERE key = ?", (scope_key(scope),)
        ).fetchone()
        return None if row is None else CrawlState(started=row[0], touched=row[1], clock=row[2], since=row[3])

    def keep_crawl(self, scope: Scope, state: CrawlState | None) -> None:
        """Where the crawl goes on after a restart; None: it is over."""
        with self._db.transaction():
            if state is None:
                self._db.execute("DELETE FROM crawl WHERE key = ?", (scope_key(scope),))
            else:
                self._db.execute(
                    "INSERT OR REPLACE INTO crawl VALUES (?, ?, ?, ?, ?)",
                    (scope_key(scope), state.started, state.touched, state.clock, state.since),
                )
