"""What an account knows of its service's rate limit, and what that allows now. Pure: times come in.

Three things may bind, and the strictest wins:

- the operator's own number, as a rolling minute;
- what the service states: a 429 with its reset, `X-RateLimit-Remaining` with its reset;
- the documented number, or a larger one that the service showed, as a rolling minute, once a 429 or
  a Remaining without a Reset has shown that limits are on but not where they stand.

A service that has shown no limit is not paced, and one whose 429 was a stray one not for ever: the
pacing by the documented number ends with an answer that states no numbers, `LAPSE_S` after the last
sign of a limit. Where the limit is on after all, the next 429 brings the pacing back for twice as long.

When a stated window is over, its successor is felt with one request at a time until an answer tells
what is left: whether windows are fixed or rolling is not documented, and a rolling one may have room
for one request only.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..model import Urgency
from .retry import LONGEST_STATED_S, reset_s, stated_wait_s

MINUTE_S: Final = 60.0
UNSTATED_WAIT_S: Final = MINUTE_S
"""After a 429 that states no wait: the limits known to us are counted by the minute."""
LAPSE_S: Final = 10 * MINUTE_S
"""After a stray 429. Ten times the longest window that is known of a service, and at a documented ten a
minute a wrong guess costs one refusal in a hundred requests, then one in two hundred."""
LONGEST_LAPSE_S: Final = 1440 * MINUTE_S
KEPT_FOR_PEOPLE: Final = 3
"""The last requests of a window that only a person may spend."""
SECOND_S: Final = 1.0
_NOT_A_MINUTE: Final = frozenset({"qps", "daily-limit"})
"""What Zoom says in X-RateLimit-Type: its Limit and Remaining count a second, or a day. A pace keeps to the
second; that the day is used up is told by a 429."""
_SAME_WINDOW_S: Final = 2.0
"""Ends of one window, computed from answers that state whole seconds, differ by less than this."""
_MOST_REMEMBERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ready`: go. Otherwise at the earliest after `wait_s` seconds; 0 where only an answer can tell."""

    ready: bool
    wait_s: float = 0.0


_READY: Final = Verdict(True)


class Window:
    """Mutable, and touched between two awaits only. Times are of one monotonic clock, in seconds.

    `in_flight` requests were sent and not answered; `_done` holds when the others of the last minute
    were answered, oldest first: the service counted each at that moment at the latest.
    """

    def __init__(self, *, explicit: int, documented: int | None) -> None:
        self._explicit = explicit
        self._documented = documented
        self.in_flight = 0
        self._done: deque[float] = deque(maxlen=_MOST_REMEMBERED)
        self.throttled_until: float | None = None
        self._feeling = False
        """A 429's wait was or is to be waited for, and no request sent after it was answered yet."""
        self._paced = False
        """Limits are on, and headers do not tell where they stand."""
        self._shown = 0.0
        """While paced: when that was last seen, or the end of the wait that a 429 asked for."""
        self._lapse_s = LAPSE_S
        """For how long after that the pacing lasts."""
        self._lapsed: float | None = None
        """When it ended so, unless a limit was seen since."""
        self._remaining: int | None = None
        """The lowest that the service stated in the window that ends at `_ends`."""
        self._ends: float | None = None
        self._most: int | None = None
        """Requests in a window: stated, or the most that were ever left, and one."""

    # --- what happens

    def sent(self) -> None:
        self.in_flight += 1

    def lost(self, now: float) -> None:
        """No answer came; the service may have counted the request."""
        self._finish(now)
        if self._remaining is not None:
            self._remaining = max(0, self._remaining - 1)

    def answered(
        self, now: float, wall_s: float, sent_at: float, status: int, headers: Mapping[str, str]
    ) -> None:
        self._finish(now)
        remaining = _count(headers.get("x-ratelimit-remaining"))
        stated = _count(headers.get("x-ratelimit-limit"))
        kind = headers.get("x-ratelimit-type", "").strip().lower()
        if status == 429:
            wait_s = stated_wait_s(headers, wall_s)
            self._throttle(now, SECOND_S if wait_s is None and kind == "qps" else wait_s)
            return
        if kind in _NOT_A_MINUTE:
            remaining = None
        if self.throttled_until is None or sent_at >= self.throttled_until:
            self._feeling = False
        if remaining is None:
            self._unstated(now, status)
            return
        self._most = stated or max(remaining + 1, self._most or 0, self._documented or 0)
        left_s = reset_s(headers, wall_s)
        self._paced, self._lapsed = False, None
        if left_s is None:
            self._pace(now)
        if left_s is None and self._all_ours(remaining, now):
            # The rolling minute of our own requests says it exactly, and when it ends, too.
            self._remaining = self._ends = None
            return
        ends = now + (MINUTE_S if left_s is None else left_s)
        if self._remaining is None or self._ends is None or self._is_over(now, ends):
            self._remaining, self._ends = remaining, ends
        else:
            self._remaining, self._ends = min(self._remaining, remaining), max(self._ends, ends)

    def _all_ours(self, remaining: int, now: float) -> bool:
        """Whether our own requests explain what the service has counted."""
        self._forget(now)
        return self._cap() - remaining <= len(self._done) + self.in_flight

    def _finish(self, now: float) -> None:
        self.in_flight -= 1
        self._done.append(now)

    def _throttle(self, now: float, wait_s: float | None) -> None:
        until = now + (UNSTATED_WAIT_S if wait_s is None else wait_s)
        self.throttled_until = max(until, self.throttled_until or until)
        if self._lapsed is not None:
            # It is on after all; but after a day without one this is taken for another stray one.
            forgotten = now - self._lapsed >= LONGEST_LAPSE_S
            self._lapse_s = LAPSE_S if forgotten else min(2 * self._lapse_s, LONGEST_LAPSE_S)
        self._feeling = True
        self._pace(self.throttled_until)
        self._remaining = self._ends = None

    def _pace(self, shown: float) -> None:
        self._paced, self._shown, self._lapsed = True, shown, None

    def _unstated(self, now: float, status: int) -> None:
        """An answer without a count: a failure page within a window, or a service that stopped to count."""
        if self._remaining is None or self._ends is None:
            # Only an answer ends the pacing: while nothing is asked, nothing is learnt.
            if self._paced and status < 400 and now >= self._shown + self._lapse_s:
                self._paced, self._lapsed = False, now
        elif now < self._ends:
            self._remaining = max(0, self._remaining - 1)
        elif status < 400:
            self._remaining = self._ends = None
            self._pace(now)

    def _is_over(self, now: float, ends: float) -> bool:
        return self._ends is None or now >= self._ends or ends > self._ends + _SAME_WINDOW_S

    # --- what is allowed

    def verdict(self, urgency: Urgency, ahead: int, now: float) -> Verdict:
        """Whether one more request may go, when `ahead` others go before it."""
        if self.throttled_until is not None and now < self.throttled_until:
            return Verdict(False, self.throttled_until - now)
        verdicts = [_READY]
        if self._explicit:
            verdicts.append(self._rolling(self._explicit, urgency, ahead, now))
        over = self._ends is not None and now >= self._ends
        if self._feeling or over:
            # A person goes on the service's word that the window is over; the rest also waits until
            # the rolling minute has room for people.
            verdicts.append(Verdict(self.in_flight + ahead == 0))
            if urgency is not Urgency.PERSON and self._cap():
                verdicts.append(self._rolling(self._cap(), urgency, ahead, now))
        else:
            if self._remaining is not None and self._ends is not None:
                need = ahead + 1 + _kept(self._cap(), urgency)
                if self._remaining < need:
                    verdicts.append(Verdict(False, self._ends - now))
                else:
                    verdicts.append(Verdict(self._remaining - self.in_flight >= need))
            if self._paced and self._cap():
                verdicts.append(self._rolling(self._cap(), urgency, ahead, now))
        return Verdict(all(v.ready for v in verdicts), max(v.wait_s for v in verdicts))

    def spare(self, urgency: Urgency, ahead: int, now: float) -> int | None:
        """Requests that `verdict` lets go now, after `ahead` others; None: no limit is known."""
        if self.throttled_until is not None and now < self.throttled_until:
            return 0
        self._forget(now)
        used = self.in_flight + len(self._done)
        rooms = []
        if self._explicit:
            rooms.append(self._explicit - used - _kept(self._explicit, urgency))
        feeling = self._feeling or (self._ends is not None and now >= self._ends)
        if feeling:
            rooms.append(1 - self.in_flight)
        elif self._remaining is not None and self._ends is not None:
            rooms.append(self._remaining - self.in_flight - _kept(self._cap(), urgency))
        if self._cap() and (urgency is not Urgency.PERSON if feeling else self._paced):
            rooms.append(self._cap() - used - _kept(self._cap(), urgency))
        return max(0, min(rooms) - ahead) if rooms else None

    def _rolling(self, cap: int, urgency: Urgency, ahead: int, now: float) -> Verdict:
        self._forget(now)
        need = ahead + 1 + _kept(cap, urgency) - (cap - self.in_flight - len(self._done))
        if need <= 0:
            return _READY
        if need <= len(self._done):
            return Verdict(False, self._done[need - 1] + MINUTE_S - now)
        # It needs the end of one that is in flight, and then a minute.
        return Verdict(False, MINUTE_S)

    def _forget(self, now: float) -> None:
        while self._done and self._done[0] + MINUTE_S <= now:
            self._done.popleft()

    def _cap(self) -> int:
        return self._most or self._documented or 0

    # --- what is told

    def left(self, now: float) -> int | None:
        """Requests that a person may still send now; None where no limit is known."""
        if self.throttled_until is not None and now < self.throttled_until:
            return 0
        self._forget(now)
        used = self.in_flight + len(self._done)
        known = []
        if self._explicit:
            known.append(self._explicit - used)
        if self._remaining is not None and self._ends is not None and now < self._ends:
            known.append(self._remaining - self.in_flight)
        elif self._paced and self._cap():
            known.append(self._cap() - used)
        return max(0, min(known)) if known else None

    def reset_in_s(self, now: float) -> float | None:
        """Until the service's window is over, or until our own minute allows more, where it is known."""
        ends = [end for end in (self.throttled_until, self._ends) if end is not None and end > now]
        if not ends and self._done and self.left(now) == 0:
            ends = [self._done[0] + MINUTE_S]
        return max(ends) - now if ends else None

    def export(self, now: float, wall_s: float) -> dict[str, object]:
        """What must survive a restart, in Unix time: JSON can hold it."""
        self._forget(now)

        def wall(moment: float | None) -> int | None:
            # Whole seconds, for what has not changed to read the same at the next look; up, for no
            # request to go too early.
            return None if moment is None else math.ceil(moment - now + wall_s)

        done = list(self._done)[-1000:] + [now] * min(self.in_flight, 1000)
        return {
            "format": 1,
            "throttled_until": wall(self.throttled_until),
            "feeling": self._feeling,
            "paced": self._paced,
            "shown": wall(self._shown if self._paced else None),
            "lapse_s": self._lapse_s,
            "lapsed": wall(self._lapsed),
            "remaining": self._remaining,
            "ends": wall(self._ends),
            "most": self._most,
            "done": [wall(moment) for moment in done],
        }

    def restore(self, state: Mapping[str, object], now: float, wall_s: float) -> None:
        """Takes over what `export` gave; what cannot be right is left out."""
        if state.get("format") != 1:
            return

        def moment(value: object) -> float | None:
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
                return None
            # A clock that was set in between must not stop the account for longer than a service may.
            return now + min(max(value - wall_s, -LONGEST_STATED_S), LONGEST_STATED_S)

        self.throttled_until = moment(state.get("throttled_until"))
        self._feeling = state.get("feeling") is True and self.throttled_until is not None
        if state.get("paced") is True:
            shown = moment(state.get("shown"))
            self._pace(now if shown is None else min(shown, max(now, self.throttled_until or now)))
        elif (lapsed := moment(state.get("lapsed"))) is not None:
            self._lapsed = min(now, lapsed)
        lapse_s = state.get("lapse_s")
        if isinstance(lapse_s, int | float) and LAPSE_S <= lapse_s <= LONGEST_LAPSE_S:
            self._lapse_s = lapse_s
        remaining, most, ends = state.get("remaining"), state.get("most"), moment(state.get("ends"))
        if isinstance(remaining, int) and remaining >= 0 and ends is not None:
            self._remaining, self._ends = remaining, ends
        if isinstance(most, int) and most > 0:
            self._most = most
        done = state.get("done")
        known = [moment(value) for value in done] if isinstance(done, list) else []
        self._done.extend(sorted(min(value, now) for value in known if value is not None))


def _kept(cap: int, urgency: Urgency) -> int:
    """Requests that this urgency leaves alone; less where the whole window is hardly more than that."""
    if urgency is Urgency.PERSON:
        return 0
    return min(KEPT_FOR_PEOPLE, max(0, (cap - 1) // 2))


def _count(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
