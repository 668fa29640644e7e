"""docs/RELIABILITY.md, written from the cells that a run has measured.

python -m tests.mount.faults.document FOLDER     the lines of JSON that the run has left there
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mediafs.mount import Deadlines
from mediafs.reading import ReadingOptions

from ..mounting import REPOSITORY
from .faults import FAULTS
from .operations import OPERATIONS, SUCCESS
from .table import AT_ONCE_S, TABLE, Cell, NotApplicable, cells

DOCUMENT: Final = REPOSITORY / "docs" / "RELIABILITY.md"

_HEAD: Final = """\
# What happens when the service fails

This document is written by `scripts/reliability` from a run of the tests in `tests/mount/faults/`, and a
test fails when it says something else than they demand. Each row of a table is one fault, done by the
sandbox to the requests of one operation on a real mount. What a user may rely on beside it is in
[SEMANTICS.md](SEMANTICS.md).

After each row the same holds, and is tested: the daemon lives, and has logged no bug; another folder that
is known is shown at once while the fault is there; bytes were right or the read failed, and a listing was
complete or failed; what the service has and what the mount shows agree again, by themselves; and the same
operation succeeds once the fault is over, without anybody doing anything.

**The process sees** what its system call came to: `success`, or an errno. **Within** is the bound on the
time that it waits, with the default deadlines; "at once" is a second. The tests run the daemon on a clock
that goes ten times as fast, with these same deadlines, and 1.5 s of true time are allowed for a busy machine.
**Requests** is how often the request was sent in all, and so what was retried: three times at most after a
failure, five times after a 429, each waited for as long as the service asks.

| what waits | for at most |
|---|---|
"""

_TAIL: Final = """\
## How the faults are made

Most are the sandbox's own (`mediafs/sandbox/faults.py`). A refused connection is a port that is held and
not listened on. A connect timeout needs no firewall: a listener with room for one connection, which a test
has taken and nobody accepts, so that the kernel drops every further attempt without an answer. "For a
minute" is a minute of the daemon's clock, in which the operation is tried again and again.

## Storm

`scripts/storm [SECONDS]` is everything at once: eight processes on one mount read with checksums, walk,
edit and delete for two minutes, while faults rain, and while media are added, replaced, retitled and
removed at the service. A media whose bytes are not those of one of its contents, an errno that SEMANTICS.md
does not explain, an edit or a deletion that succeeded and is not so, a process that does not end, a line of
a bug in the log, memory or descriptors that have grown, or a mount that differs from the service in the
end, fails it. The tests run it for a few seconds.
"""


def rendered() -> str:
    """The whole document, as a run that keeps to the table writes it."""
    return "".join(_parts())


def _parts() -> Iterator[str]:
    yield _HEAD
    deadlines, reading = Deadlines(), ReadingOptions()
    yield f"| names, attributes, `open`, edits | {deadlines.quick_s:g} s |\n"
    yield "| a directory (`list_deadline`) | 20 s |\n"
    yield f"| one `read` of a file | {reading.total_s:g} s |\n"
    yield f"| deletions | {deadlines.change_s:g} s |\n"
    yield "| an attempt to connect | 10 s |\n"
    yield f"| an answer, or the next bytes of a body | {reading.progress_s:g} s |\n\n"
    for operation in OPERATIONS.values():
        title = f"{operation.name[0].upper()}{operation.name[1:]}"
        yield f"## {title}\n\n{operation.words[0].upper()}{operation.words[1:]}.\n\n"
        yield "| fault | the process sees | within | requests | remarks |\n|---|---|---|---|---|\n"
        reasons: dict[str, list[str]] = {}
        for fault in FAULTS:
            row = TABLE[operation.name][fault]
            if isinstance(row, Cell):
                yield "| " + " | ".join(_cells(fault, row)) + " |\n"
            else:
                reasons.setdefault(row.why, []).append(fault)
        yield "\nNot applicable:\n\n"
        for why, faults in reasons.items():
            yield f"- {'; '.join(faults)}: {why}\n"
        yield "\n"
    yield _TAIL


def _cells(fault: str, cell: Cell) -> tuple[str, ...]:
    within = "at once" if cell.within_s <= AT_ONCE_S else f"{cell.within_s:g} s"
    return fault, cell.sees, within, cell.retried, cell.note


def complaints(outcomes: Iterable[Mapping[str, Any]]) -> list[str]:
    """What keeps a run from being the document's: cells that were not run, or came to something else."""
    measured = {(each["operation"], each["fault"]): each for each in outcomes}
    found = []
    for operation in OPERATIONS:
        for fault in cells(operation):
            cell, outcome = TABLE[operation][fault], measured.get((operation, fault))
            assert not isinstance(cell, NotApplicable)
            if outcome is None:
                found.append(f"{operation}: {fault}: it was not run, or it failed")
            elif outcome["saw"] != [cell.sees]:
                found.append(f"{operation}: {fault}: {outcome['saw']} instead of {cell.sees}")
    return found


def main() -> int:
    lines = [line for path in Path(sys.argv[1]).glob("*.jsonl") for line in path.read_text().splitlines()]
    outcomes = [json.loads(line) for line in lines]
    wrong = complaints(outcomes)
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    DOCUMENT.write_text(rendered())
    seen = sum(each["saw"] == [SUCCESS] for each in outcomes)
    print(f"{DOCUMENT.relative_to(REPOSITORY)}: {len(outcomes)} cells, {seen} of them without an error")
    return 0


if __name__ == "__main__":
    sys.exit(main())
