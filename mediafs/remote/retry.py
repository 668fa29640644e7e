"""Whether a failed request is sent again, and after how long. Pure: no clock, no sleep, no randomness."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

GRAIN_S: Final = 1.0
"""Added to what a service states in whole seconds: it may have rounded down."""
LONGEST_STATED_S: Final = 86400.0
"""A stated wait is believed up to a day: nothing that a service says may stop an account for ever."""
_DELTA_BELOW: Final = 1e6
"""X-RateLimit-Reset below this is seconds left (Apizee), above a Unix time (Zoom)."""
_SECONDS: Final = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)


class Failure(Enum):
    """How far a request came before it failed."""

    UNSENT = "unsent"
    """No connection: the service never saw it."""
    BROKEN = "broken"
    """The connection broke or went silent: whether the service saw it is not known."""
    SERVER = "server"
    """5xx."""
    THROTTLED = "throttled"
    """429: the service refused to look at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    tries: int = 3
    """Requests in all for one that keeps failing. Three outlast a restart of a service's front end."""
    throttled_tries: int = 5
    """Requests in all for one that is answered 429; each waited as long as the service said."""
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    """Before jitter; doubling stops here, within a person's deadline of 15 s."""

    def __post_init__(self) -> None:
        if self.tries < 1 or self.throttled_tries < 1:
            raise ValueError("at least one try is needed")
        if not 0 <= self.first_wait_s <= self.longest_wait_s:
            raise ValueError("waits must be ordered and not negative")


@dataclass(frozen=True, slots=True)
class Wait:
    """Send it again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not send it again. `wait_s` is the wait that did not fit the deadline, if that was the reason."""

    wait_s: float | None = None


def decide(
    options: RetryOptions,
    *,
    attempt: int,
    failure: Failure,
    idempotent: bool,
    stated_wait_s: float | None,
    left_s: float,
    jitter: float,
) -> Wait | GiveUp:
    """What follows the failure of try number `attempt` (from 1).

    `stated_wait_s` is what the service asked for, `left_s` what remains of the caller's deadline,
    `jitter` a random number from 0 to 1. A wait that is longer than the deadline fails at once.
    """
    tries = options.throttled_tries if failure is Failure.THROTTLED else options.tries
    if not idempotent or attempt >= tries:
        return GiveUp()
    if stated_wait_s is None:
        # Doubling is capped before it is computed: 2 ** attempt of a long run would overflow.
        doubled = options.first_wait_s * 2 ** min(attempt - 1, 30)
        wait_s = min(doubled, options.longest_wait_s) * (0.5 + jitter / 2)
    else:
        wait_s = max(0.0, stated_wait_s)
    return GiveUp(wait_s) if wait_s >= left_s else Wait(wait_s)


def stated_wait_s(headers: Mapping[str, str], now_wall_s: float) -> float | None:
    """Seconds until the service wants to hear again: the later of Retry-After and X-RateLimit-Reset.

    `headers` have lower-case names, `now_wall_s` is Unix time. None where it states nothing.
    """
    stated = [
        wait
        for wait in (retry_after_s(headers, now_wall_s), reset_s(headers, now_wall_s))
        if wait is not None
    ]
    return max(stated, default=None)


def retry_after_s(headers: Mapping[str, str], now_wall_s: float) -> float | None:
    """Retry-After as seconds, HTTP-date or ISO 8601 date and time (Zoom's daily limit)."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return _bounded(float(text), whole="." not in text)
    moment = http_date_s(text) or _iso_date(text)
    return None if moment is None else _bounded(moment - _service_now(headers, now_wall_s), whole=True)


def reset_s(headers: Mapping[str, str], now_wall_s: float) -> float | None:
    """X-RateLimit-Reset as seconds left or as Unix time."""
    text = headers.get("x-ratelimit-reset", "").strip()
    if not _SECONDS.fullmatch(text):
        return None
    value = float(text)
    if value < _DELTA_BELOW:
        return _bounded(value, whole="." not in text)
    return _bounded(value - _service_now(headers, now_wall_s), whole=True)


def _bounded(seconds: float, *, whole: bool) -> float:
    return min(max(0.0, seconds) + (GRAIN_S if whole else 0.0), LONGEST_STATED_S)


def _service_now(headers: Mapping[str, str], now_wall_s: float) -> float:
    """The service's own clock, where it tells: a moment it names is a moment of that clock."""
    return http_date_s(headers.get("date", "")) or now_wall_s


def http_date_s(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _iso_date(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
