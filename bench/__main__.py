"""`bench/run`: what is asked for, and whether this machine can do it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from . import report
from .machine import missing
from .rig import Failure, die_on_signals
from .rounds import Places, measure
from .work import ROUNDS
from .works import WORKS

_EPILOG = """Reading takes some 40 minutes in 5 rounds; listings and attributes (remount, find, stat,
first-listing, crawl, added) some 25, and 5 GB on a real disk."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0; 1 where something failed; 2 for wrong usage or a machine that lacks something."""
    parser = argparse.ArgumentParser(
        prog="bench/run", description="mediafs beside its peers.", epilog=_EPILOG
    )
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(WORKS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default {ROUNDS}")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for the raw results (default: a new one)")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="for caches: on a real disk")
    parser.add_argument(
        "--memory", type=Path, default="/dev/shm", metavar="FOLDER", help="for what is served"
    )
    parser.add_argument("--seed", type=int, default=1, help="of contents, offsets and orders")
    parser.add_argument("--write", action="store_true", help="write docs/ even if not all works ran")
    given = parser.parse_args(argv)
    for name in given.works:
        if name not in WORKS:
            parser.error(f"no work is called {name}: they are {', '.join(WORKS)}")
    if given.rounds < 1:
        parser.error("at least one round")
    if lacks := missing():
        print("bench/run needs what this machine lacks:", *lacks, sep="\n  ", file=sys.stderr)
        print("bench/set-up installs all of it", file=sys.stderr)
        return 2
    works = [WORKS[name] for name in dict.fromkeys(given.works)] or list(WORKS.values())
    started = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    out = given.out or Path(tempfile.gettempdir()) / f"mediafs-bench-{started}"
    out.mkdir(parents=True, exist_ok=True)
    die_on_signals()
    try:
        places = Places(out=out, scratch=given.scratch, memory=given.memory)
        failed = measure(works, given.rounds, given.seed, places)
    except KeyboardInterrupt:
        print(f"\ninterrupted; what was measured is in {out}", file=sys.stderr)
        return 1
    except Failure as failure:
        print(f"bench/run: {failure}", file=sys.stderr)
        return 1
    run = report.load(out)
    print(report.text(run))
    print(f"raw results: {out}")
    report.write(run, parts=given.write)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
