"""`mediafs`, in whose process time goes faster: its deadlines are the real ones, and a test waits less.

Everything that mediafs waits for is told by trio's clock: deadlines, timeouts of connections, pauses
between tries, waits that a service asks for. So a clock that runs ten times as fast shortens all of them
alike, and nothing in the program knows of it: no option, no other code.

    python -m tests.mount.faults.hurried FACTOR ARGUMENTS-OF-MEDIAFS
"""

from __future__ import annotations

import sys
from functools import partial
from time import perf_counter
from typing import Final

import trio

from mediafs.cli import main as mediafs

_ORIGIN_S: Final = 1e5
"""Some time after zero, as trio's own clock: nobody may take 0 for a moment."""


class HurriedClock(trio.abc.Clock):
    """Counts seconds that are `factor` times as short."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._began = 0.0

    def start_clock(self) -> None:
        self._began = perf_counter()

    def current_time(self) -> float:
        return _ORIGIN_S + self._factor * (perf_counter() - self._began)

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return (deadline - self.current_time()) / self._factor


def main() -> int:
    factor = float(sys.argv.pop(1))
    trio.run = partial(trio.run, clock=HurriedClock(factor))  # type: ignore[assignment]
    return mediafs(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
