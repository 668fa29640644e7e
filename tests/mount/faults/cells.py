"""Runs one cell of the table: an operation while a fault is there, and what holds afterwards."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from .faults import FACTOR, Fault
from .operations import SUCCESS, Delete, Operation, Target
from .stage import Stage, eventually
from .table import Cell

CELLS: Final = "MEDIAFS_CELLS"
"""A folder: each cell that was run leaves a line of JSON there."""

SLACK_S: Final = 1.5
"""Of everybody's time, for starting a command and for a machine that does something else too."""

AGAIN_WITHIN_S: Final = 15.0
"""Within so long of everybody's time all is well again, once nothing is wrong any more: more than the
minute of the daemon's for which refused credentials and a 429 without a header are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a cell came to."""

    operation: str
    fault: str
    saw: tuple[str, ...]
    """Of each try: most cells have one."""
    took_s: float
    """The longest try, in the daemon's time."""
    sent: int
    """Requests of one try, the most that were seen."""


@contextmanager
def _armed(stage: Stage, operation: Operation, target: Target, fault: Fault) -> Iterator[None]:
    stage.box.reset()
    operation.arm(stage, target, fault)
    try:
        yield
    finally:
        stage.front.serve()
        stage.box.clear_faults()
        stage.box.set(redirect=False, redirect_ttl_s=300.0)


def run(stage: Stage, operation: Operation, target: Target, fault: Fault) -> Outcome:
    """The cell, with everything that holds for all of them; whether its outcome is right is not judged."""
    saw: list[str] = []
    took, sent = 0.0, 0
    operation.before(stage, target, fault)
    with _armed(stage, operation, target, fault):
        until = time.monotonic() + (fault.lasts_s or 0.0) / FACTOR
        while True:
            before, began = operation.sent(stage, target), time.monotonic()
            saw.append(operation.perform(stage, target))
            took = max(took, time.monotonic() - began)
            sent = max(sent, operation.sent(stage, target) - before)
            if time.monotonic() >= until:
                break
            time.sleep(0.5)
        deleted = target.path if isinstance(operation, Delete) else None
        stage.check_shown(gone=deleted)
    stage.check_alive()
    eventually(
        "the mount agrees with the service", lambda: operation.agrees(stage, target, saw[-1]), AGAIN_WITHIN_S
    )
    again: list[str] = []

    def well() -> bool:
        again.append(operation.again(stage, target))
        return again[-1] == SUCCESS

    eventually(f"it succeeds again: {fault.name}", well, AGAIN_WITHIN_S)
    stage.check_shown(gone=deleted)
    stage.check_alive()
    outcome = Outcome(
        operation=operation.name,
        fault=fault.name,
        saw=tuple(dict.fromkeys(saw)),
        took_s=round(took * FACTOR, 2),
        sent=sent,
    )
    return outcome


def judge(outcome: Outcome, cell: Cell) -> None:
    """Fails where it is not what the table promises."""
    fewest = cell.sent if cell.at_least < 0 else cell.at_least
    assert outcome.saw == (cell.sees,), outcome
    assert outcome.took_s <= cell.within_s + SLACK_S * FACTOR, outcome
    assert fewest <= outcome.sent <= cell.sent, outcome


def keep(outcome: Outcome) -> None:
    """For the document, where a run is made for it."""
    folder = os.environ.get(CELLS)
    if folder:
        with Path(folder, f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
