"""What `storm.py` and `hammer.py` share: they run for seconds in the suite, and for minutes from scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from .mounting import Mount


class Report(Protocol):
    """How it went. `failures` is empty where all was explained."""

    failures: list[str]

    def lines(self) -> Iterator[str]: ...


def memory_kib(mount: Mount) -> int:
    """Resident, of the daemon."""
    status = Path(f"/proc/{mount.pids[-1]}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def main(
    arguments: Sequence[str],
    doing: str,
    soak: Callable[[float, int], Report],
    work: Callable[[Sequence[str]], None],
) -> int:
    """`[SECONDS [SEED]]`, as a person types it; or one of its processes, which does its `work`."""
    if arguments[:1] == ["worker"]:
        work(arguments[1:])
        return 0
    seconds = float(arguments[0]) if arguments else 120.0
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns() % 1_000_000
    print(f"{doing} {seconds:g} s, seed {seed}", flush=True)
    report = soak(seconds, seed)
    print("\n".join(report.lines()))
    return 1 if report.failures else 0
