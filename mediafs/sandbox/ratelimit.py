"""Whether somebody has asked too often."""

from collections import deque
from collections.abc import Hashable
from math import ceil

from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.wire import Headers, Refusal, wait_headers


class RateLimit:
    """Requests counted, for each asker alone."""

    def __init__(self) -> None:
        self._windows: dict[Hashable, deque[float]] = {}

    def reset(self) -> None:
        """Forgets every request counted."""
        self._windows.clear()

    def count(
        self, asker: Hashable, now_s: float, options: CommonOptions, *, text: str = "Rate limit exceeded"
    ) -> Headers:
        """Counts one request of *asker* (a user, or a user and a class of requests that are limited by
        themselves).

        Returns the headers that go with the answer. Raises Refusal 429 with *text* and the headers of its
        own.
        """
        limit, width_s, form = options.rate_limit, options.rate_window_s, options.rate_header
        if limit is None:
            return ()
        times = self._windows.setdefault(asker, deque())
        if options.rate_mode == "fixed":
            start_s = now_s - now_s % width_s
            ends_s = start_s + width_s
            while times and times[0] < start_s:
                times.popleft()
        else:
            while times and times[0] <= now_s - width_s:
                times.popleft()
            ends_s = (times[0] if times else now_s) + width_s
        if len(times) >= limit:
            # Refused requests are not counted: a client that waits as told is always let in.
            told = wait_headers(form, max(1, ceil(ends_s - now_s)), now_s)
            raise Refusal(429, text, *told, *_remaining(form, 0))
        times.append(now_s)
        return _remaining(form, limit - len(times))


def _remaining(form: str, left: int) -> Headers:
    return () if form == "none" else (("X-RateLimit-Remaining", str(left)),)
