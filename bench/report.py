"""Tables and a plot of raw results: `bench/report FOLDER... [--write]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from .rig import REPOSITORY
from .targets import MEASURES, Outcome, Target, outcome, values_of
from .works import WORKS, Work

DOCUMENT: Final = REPOSITORY / "docs" / "benchmarks.md"
PLOT: Final = REPOSITORY / "docs" / "benchmarks.svg"


@dataclass(frozen=True)
class Run:
    """One run's results: its first line, and the samples."""

    head: dict[str, Any]
    samples: list[dict[str, Any]]

    @property
    def works(self) -> list[Work]:
        done = {sample["work"] for sample in self.samples}
        return [work for work in WORKS.values() if work.name in done]

    def outcomes(self, work: Work) -> list[tuple[Target, Outcome | None]]:
        values = values_of(self.samples, work.name)
        return [(target, outcome(target, values)) for target in work.targets]


def load(*folders: Path) -> Run:
    """What `bench/run` left in *folders*. A work comes from the last of them that has it, whole."""
    head: dict[str, Any] = {}
    works: dict[str, list[dict[str, Any]]] = {}
    for folder in folders:
        first, *samples = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        link = first["link"] or head.get("link", {})
        rounds = min(first["rounds"], head.get("rounds", sys.maxsize))
        head = first | {"link": link, "rounds": rounds}
        works |= {name: [s for s in samples if s["work"] == name] for name in {s["work"] for s in samples}}
    return Run(head, [sample for samples in works.values() for sample in samples])


def text(run: Run) -> str:
    """Every work's tables, in Markdown."""
    return "\n".join(line for work in run.works for line in _section(run, work))


def _section(run: Run, work: Work) -> list[str]:
    values = values_of(run.samples, work.name)
    shown = [measure for measure in work.shown if any(measure in of for of in values.values())]
    rows = []
    for peer in work.peers:
        cells = [_cell(values.get(peer, {}).get(measure, [])) for measure in shown]
        rows.append([peer, *cells])
    lines = ["", f"## {work.title}", "", f"`bench/run {work.name}`", ""]
    lines += table(["", *(MEASURES[measure] for measure in shown)], rows)
    lines += ["", work.note] if work.note else []
    failures = [s for s in run.samples if s["work"] == work.name and "error" in s]
    lines += [""] if failures else []
    lines += [f"- {s['peer']}, round {s['round']}, **failed**: {s['error']}" for s in failures]
    lines.append("")
    lines += table(["target", "measured", ""], [_judged(*pair) for pair in run.outcomes(work)])
    return lines


def _judged(target: Target, result: Outcome | None) -> list[str]:
    against = " or ".join(target.theirs) if len(target.theirs) < 3 else "the best rclone"
    measure = MEASURES[target.measure]
    if target.at_least is not None:
        words = f"{target.ours}: {target.at_least:g} x {against} ({measure})"
    elif target.theirs:
        words = f"{target.ours}: {measure} at most {target.at_most:g} x {against}'s"
    else:
        words = f"{target.ours}: {measure} at most {target.at_most:g}"
    if result is None:
        return [words, "not measured", ""]
    value = figure(result.value) if result.against is None else f"{result.value:.2f} x"
    if len(target.theirs) > 1:
        value += f" ({result.against})"
    return [words, value, "met" if result.met else "**missed**"]


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{figure(median(values))} [{figure(min(values))}..{figure(max(values))}]"


def figure(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [" | ".join(head), " | ".join(["---"] * len(head)), *(" | ".join(row) for row in rows)]
    return [f"| {line} |" for line in lines]


def document(run: Run) -> str:
    """`docs/benchmarks.md`."""
    head = run.head
    every = [result for work in run.works for _, result in run.outcomes(work)]
    met = sum(result is not None and result.met for result in every)
    machine = "; ".join(f"{name}: {value}" for name, value in head["machine"].items())
    versions = ", ".join(f"{name} {value}" for name, value in head["versions"].items())
    link = head["link"]
    lines = [
        "# Reading, measured beside rclone",
        "",
        f"Written by `bench/run` after {head['rounds']} rounds: {met} of {len(every)} targets are met.",
        "Cells are medians, [lowest..highest] beside them; ratios are of medians of the same run.",
        "",
        "![Ratios and targets](benchmarks.svg)",
        "",
        f"Machine: {machine}.",
        "",
        f"Versions: {versions}.",
        "",
        *_METHOD.strip().splitlines(),
    ]
    if link:
        found = f"connects in {link['connect_ms']:.1f} ms and reads 128 MiB at {link['curl_mb_s']:.0f} MB/s"
        lines.append(f"- The link: 30 ms there and back, 1000 Mbit/s, a queue of 8 MB. Over it curl {found}.")
    return "\n".join(lines) + "\n" + text(run) + "\n"


_METHOD: Final = """
Method:

- Competitors read the same bytes from the same nginx: rclone (`:http:`) and curl by name, mediafs by the
  API's download path, which nginx maps to the same files. The files lie in memory, caches on disk.
- Each sample is a fresh process with empty caches, mounted and listed (`ls -l`) before the clock starts.
  Rounds are interleaved, and each has the competitors in another order.
- `rclone` is as it comes (`--vfs-cache-mode off`); `full` with that cache mode; `4 streams` with 4 chunk
  streams of 16M; `tuned` with these and `--buffer-size 64M`, without a cache. mediafs is as it comes, or with
  `size = "0"` where it says "disk cache off". The API states no rate limit.
- A reader asks for 128 KiB, then for 1 MiB at a time. What was read is compared with what is served, after
  the clock, in every round: by SHA-256 (curl: its length), `diff -rq`, or what ffprobe says of the original.
- CPU is that of the daemon, its threads and children, user and system, while the clock runs; memory its peak.
  curl's is of its process.
- "in-memory pyfuse3" serves one file from memory: what is left is the cost of FUSE in Python.
"""


def write(run: Run) -> None:
    """Writes the document and its plot."""
    from .plot import draw

    DOCUMENT.write_text(document(run))
    draw([(work, *pair) for work in run.works for pair in run.outcomes(work)], PLOT)
    print(f"written: {DOCUMENT.relative_to(REPOSITORY)}, {PLOT.relative_to(REPOSITORY)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/report", description="Tables of what bench/run measured.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a later one's works win")
    parser.add_argument("--write", action="store_true", help="into docs/, instead of to the terminal")
    given = parser.parse_args()
    run = load(*given.folders)
    if given.write:
        write(run)
    else:
        print(text(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
