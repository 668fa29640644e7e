"""How far something is, in one line that is written over on a terminal, and now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

from .report import size, span

OFTEN_S: Final = 0.2
"""On a terminal."""
SELDOM_S: Final = 10.0
"""Elsewhere: in a log, each is a line."""
LATELY_S: Final = 15.0
"""What is taken for the speed now."""
WIDTH: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Sizes are in bytes."""

    files: int
    all_files: int
    bytes: int
    all_bytes: int
    fetched: int
    is_counted: bool
    """`all_files` and `all_bytes` will not become more."""
    waits: bool = False


class Meter:
    """Shows states, as often as is of use."""

    def __init__(
        self,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        columns: int | None = None,
    ) -> None:
        self._out = sys.stdout if out is None else out
        self._clock = clock
        self._columns = columns
        self._terminal = self._out.isatty()
        self._shown = clock()
        self._drawn = False
        self._lately: deque[tuple[float, int]] = deque()

    def show(self, state: State) -> None:
        """Or does not, where that was done a moment ago."""
        now = self._clock()
        self._lately.append((now, state.fetched))
        while len(self._lately) > 2 and self._lately[1][0] < now - LATELY_S:
            self._lately.popleft()
        if now - self._shown < (OFTEN_S if self._terminal else SELDOM_S):
            return
        self._shown = now
        if not self._terminal:
            self._write(line(state, self._speed()) + "\n")
            return
        columns = self._columns or shutil.get_terminal_size().columns
        self._write("\r\x1b[K" + line(state, self._speed(), bar=True)[: columns - 1])
        self._drawn = True

    def clear(self) -> None:
        """Before anything else is written there."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _speed(self) -> float:
        """Bytes a second."""
        (began, before), (now, fetched) = self._lately[0], self._lately[-1]
        return (fetched - before) / (now - began) if now > began else 0.0

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            pass  # nobody looks any more


def line(state: State, speed: float, *, bar: bool = False) -> str:
    """What is said of a state; `speed` is in bytes a second."""
    more = "" if state.is_counted else "+"
    share = min(1.0, state.bytes / state.all_bytes) if state.all_bytes else 1.0
    words = [f"{state.files}/{state.all_files}{more} files"]
    if bar and state.is_counted:
        filled = round(share * WIDTH)
        words.append(f"[{'#' * filled}{'.' * (WIDTH - filled)}] {100 * share:.0f} %")
    words.append(f"{size(state.bytes)} of {size(state.all_bytes)}{more}")
    if state.waits:
        words.append("waits for the service's rate limit")
    elif speed >= 1:
        words.append(f"{speed / 1e6:.1f} MB/s")
        if state.is_counted:
            words.append(f"{span(max(0, state.all_bytes - state.bytes) / speed)} left")
    return ", ".join(words)
