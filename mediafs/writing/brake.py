"""How many media may be deleted before somebody has to say that it is meant. Pure: times come in.

An `rm -rf` in the wrong window must not empty an archive, however slowly the service lets it: so the
brake counts a rolling hour, and once it has tripped it stays so until it is released, or until nobody
has tried for a while.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Final

HOUR_S: Final = 3600.0
QUIET_S: Final = 600.0
"""Without an attempt for so long, whatever was deleting has ended."""
_MOST: Final = 1_000_000
_KEPT: Final = 5000
"""Times kept where the limit asks for fewer: at each deletion the disk is to hold all of them."""


class Brake:
    """`limit` deletions in a rolling hour; 0: no brake. Times are Unix times, in seconds.

    Invariant: what was carried out in the last hour and what is under way are together at most
    `limit` and what was granted beside it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.latched = False
        self._last_attempt = 0.0
        self._done: deque[float] = deque(maxlen=max(limit, _KEPT))
        """When the last ones were carried out, in order."""
        self._under_way = 0
        self._granted = 0
        self._granted_until = 0.0

    def attempt(self, now: float) -> bool:
        """Whether one more deletion may be sent. If so it is under way until `carried_out` or
        `came_to_nothing` is told."""
        if self.limit:
            self._settle_clock(now)
            quiet_s = now - self._last_attempt
            if self.latched and quiet_s >= QUIET_S:
                self.latched = False
            self._last_attempt = now
            self.latched = self.latched or self.left(now) <= 0
            if self.latched:
                return False
        self._under_way += 1
        return True

    def carried_out(self, now: float) -> None:
        """The service did it."""
        self._under_way -= 1
        self._count(now)

    def came_to_nothing(self) -> None:
        """The service refused, or the media was gone already."""
        self._under_way -= 1

    def _count(self, now: float) -> None:
        self._forget(now)
        if len(self._done) >= self.limit and self._granted:
            self._granted -= 1
        self._done.append(now)

    def stop(self, now: float) -> None:
        """As after too many: until somebody says that more are meant, or nobody has tried for a while."""
        self.latched = bool(self.limit)
        self._last_attempt = now

    def grant(self, count: int, now: float) -> None:
        """Somebody says that `count` more are meant, within the next hour."""
        self._settle_clock(now)
        self.latched = False
        if now >= self._granted_until:
            self._granted = 0
        self._granted = min(self._granted + count, _MOST)
        self._granted_until = now + HOUR_S

    def left(self, now: float) -> int:
        """How many may still be deleted now, were it not latched."""
        granted = self._granted if now < self._granted_until else 0
        return max(0, self.limit - self.done(now)) + granted - self._under_way

    def done(self, now: float) -> int:
        """Deletions carried out in the last hour, as far as they are kept."""
        self._forget(now)
        return len(self._done)

    def _forget(self, now: float) -> None:
        self._settle_clock(now)
        while self._done and self._done[0] + HOUR_S <= now:
            self._done.popleft()

    def _settle_clock(self, now: float) -> None:
        """A clock that was turned back makes nothing last longer than it would from now on."""
        if self._done and self._done[-1] > now:
            self._done = deque((min(each, now) for each in self._done), maxlen=self._done.maxlen)
        self._last_attempt = min(self._last_attempt, now)
        self._granted_until = min(self._granted_until, now + HOUR_S)

    # --- over restarts -------------------------------------------------------------------------------

    def export(self) -> dict[str, object]:
        """What the next process must know, as JSON can hold it."""
        return {
            "latched": self.latched,
            "last_attempt": self._last_attempt,
            "done": list(self._done),
            "granted": self._granted,
            "granted_until": self._granted_until,
        }

    def restore(self, state: Mapping[str, object], now: float) -> None:
        """Takes over what `export` gave; of what cannot be right, what is on the safe side."""
        kept = state.get("done")
        done = [_moment(each, now) for each in kept] if isinstance(kept, list) else []
        self._done.extend(sorted(done))
        self.latched = state.get("latched") is True
        self._last_attempt = _moment(state.get("last_attempt"), now)
        granted = state.get("granted")
        if isinstance(granted, int) and not isinstance(granted, bool) and 0 <= granted <= _MOST:
            self._granted = granted
            self._granted_until = _moment(state.get("granted_until"), 0.0)
        self._settle_clock(now)

    def count_unknown(self, now: float) -> None:
        """A deletion of an earlier process of which nobody knows how it ended counts as carried out."""
        self._count(now)


def _moment(value: object, otherwise: float) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else otherwise  # type: ignore[arg-type]
