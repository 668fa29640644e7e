"""Tables and a plot of raw results: `bench/report FOLDER... [--write]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .rig import REPOSITORY
from .targets import MEASURES, Outcome, Target, outcome, values_of
from .work import Group, Work
from .works import WORKS

Judged = Sequence[tuple[Work, Target, Outcome | None]]


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
    if target.at_least is not None and not target.theirs:
        words = f"{target.ours}: {measure} at least {target.at_least:g}"
    elif target.at_least is not None:
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


def document(group: Group, run: Run) -> str:
    """That of a group, with the works of this run, which are all of that group."""
    head = run.head
    every = [result for work in run.works for _, result in run.outcomes(work)]
    met = sum(result is not None and result.met for result in every)
    machine = "; ".join(f"{name}: {value}" for name, value in head["machine"].items())
    versions = ", ".join(f"{name} {value}" for name, value in head["versions"].items())
    link = head["link"] if any(work.where == "link" for work in run.works) else {}
    lines = [
        f"# {group.title}",
        "",
        f"Written by `bench/run` after {head['rounds']} rounds: {met} of {len(every)} targets are met.",
        "Cells are medians, [lowest..highest] beside them; ratios are of medians of the same run.",
        "",
        f"![Ratios and targets]({group.plot.name})",
        "",
        f"Machine: {machine}.",
        "",
        f"Versions: {versions}.",
        "",
        *group.method.strip().splitlines(),
    ]
    if link:
        found = f"connects in {link['connect_ms']:.1f} ms and reads 128 MiB at {link['curl_mb_s']:.0f} MB/s"
        lines.append(f"- The link: 30 ms there and back, 1000 Mbit/s, a queue of 8 MB. Over it curl {found}.")
    return "\n".join(lines) + "\n" + text(run) + "\n"


def crawled(samples: Iterable[Mapping[str, Any]]) -> dict[int, tuple[float, float]]:
    """Of each size of an archive, the medians of its crawls' seconds and MiB."""
    by_size: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for sample in samples:
        if "count" in sample:
            by_size[int(sample["count"])].append((sample["seconds"], sample["peak_mib"]))
    return {size: (median(s for s, _ in of), median(m for _, m in of)) for size, of in by_size.items()}


def _draw(judged: Judged, crawled: Mapping[int, tuple[float, float]], path: Path) -> None:
    from .plot import draw  # matplotlib is there where a benchmark is run, and nowhere else

    draw(judged, crawled, path)


def write(run: Run, *, parts: bool) -> None:
    """Writes the document and the plot of each group that was measured: only where all its works were, or
    also *parts* of it. That of another group stays as it is."""
    for group in {work.group.name: work.group for work in run.works}.values():
        works = {name: work for name, work in WORKS.items() if work.group == group}
        done = Run(run.head, [sample for sample in run.samples if sample["work"] in works])
        if parts or len(done.works) == len(works):
            group.document.write_text(document(group, done))
            judged = [(work, *pair) for work in done.works for pair in done.outcomes(work)]
            _draw(judged, crawled(done.samples), group.plot)
            written = (path.relative_to(REPOSITORY) for path in (group.document, group.plot))
            print(f"written: {', '.join(map(str, written))}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/report", description="Tables of what bench/run measured.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a later one's works win")
    parser.add_argument("--write", action="store_true", help="into docs/, instead of to the terminal")
    given = parser.parse_args()
    run = load(*given.folders)
    if given.write:
        write(run, parts=True)
    else:
        print(text(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
