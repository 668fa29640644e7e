"""How fast a service is asked at most, whatever it allows: requests a second, and at once."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..vendors.protocol import Pace
from .window import Verdict

_READY: Final = Verdict(True)


class Pacer:
    """Times are of one monotonic clock, in seconds. Without a pace everything may go at once."""

    def __init__(self, pace: Pace | None) -> None:
        self._pace = pace
        self._sent: deque[float] = deque(maxlen=pace.per_second if pace else 0)
        """The last requests, oldest first: as many as may be sent in a second."""

    def sent(self, now: float) -> None:
        self._sent.append(now)

    def verdict(self, in_flight: int, ahead: int, now: float) -> Verdict:
        """Whether one more request may go, when `ahead` others go before it."""
        if self._pace is None:
            return _READY
        if in_flight + ahead >= self._pace.parallel:
            return Verdict(False)  # an answer tells when
        if len(self._sent) == self._pace.per_second and (wait_s := self._sent[0] + 1.0 - now) > 0:
            return Verdict(False, wait_s)
        return _READY

    def spare(self, in_flight: int, ahead: int, now: float) -> int | None:
        """Requests that may go now, after `ahead` others; None: there is no pace."""
        if self._pace is None:
            return None
        lately = sum(1 for sent in self._sent if sent + 1.0 > now)
        return max(0, min(self._pace.parallel - in_flight, self._pace.per_second - lately) - ahead)
