"""The picture of `docs/benchmarks.md`: what was reached, and what was to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from .targets import MEASURES, Outcome, Target
from .work import Work

_MET, _MISSED = "#2a7f62", "#b5483a"

Judged = Sequence[tuple[Work, Target, Outcome | None]]
Crawled = Mapping[int, tuple[float, float]]
"""Media of an archive -> seconds and peak MiB of its crawl."""


def draw(judged: Judged, crawled: Crawled, path: Path) -> None:
    """An SVG of two panels: how many times as fast, and how much of what is allowed; marks are targets. A
    third shows the crawls, where there were any."""
    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "mediafs", "font.size": 9}
    known = [(work, target, result) for work, target, result in judged if result is not None]
    faster = [
        # What has no competitor is shown as a part of its own target.
        (_label(w, t, r), r.value, t.at_least, r.met)
        if r.against
        else (_label(w, t, r), r.value / t.at_least, 1.0, r.met)
        for w, t, r in known
        if t.at_least is not None
    ]
    within = [
        (_label(w, t, r), r.value / (t.at_most or 1.0), 1.0, r.met)
        for w, t, r in known
        if t.at_most is not None
    ]
    heights = [max(1, len(faster)), max(1, len(within))]
    heights += [8] if crawled else []
    figure, (above, below, *rest) = plt.subplots(
        len(heights), 1, figsize=(10, 1.8 + 0.4 * sum(heights)), height_ratios=heights, layout="constrained"
    )
    for axes in rest:
        _crawl(axes, crawled)
    _bars(above, faster, "times as fast (more is better)")
    above.set_xscale("log", base=2)
    above.xaxis.set_major_formatter(lambda value, _: f"{value:g} x")
    _bars(below, within, "part of what is allowed (less is better)")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _crawl(axes: Axes, crawled: Crawled) -> None:
    sizes = sorted(crawled)
    axes.plot(sizes, [crawled[size][0] for size in sizes], "o-", color=_MET)
    axes.set_ylabel("seconds", color=_MET)
    memory = axes.twinx()
    memory.plot(sizes, [crawled[size][1] for size in sizes], "s--", color=_MISSED)
    memory.set_ylabel("peak RSS, MiB", color=_MISSED)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    for each in (axes, memory):
        each.set_ylim(bottom=0)
    axes.set_title("crawl of an archive, by the number of its media", loc="left")


def _label(work: Work, target: Target, result: Outcome) -> str:
    best = "the best, " if len(target.theirs) > 1 else ""
    against = f" : {best}{result.against}" if result.against else ""
    return f"{work.name}\n{MEASURES[target.measure]}, {target.ours}{against}"


def _bars(axes: Axes, rows: Sequence[tuple[str, float, float, bool]], title: str) -> None:
    for at, (_, value, wanted, met) in enumerate(rows):
        axes.barh(at, value, height=0.6, color=_MET if met else _MISSED)
        axes.plot([wanted, wanted], [at - 0.42, at + 0.42], color="black", linewidth=2)
        axes.annotate(
            f"{value:.2f} (target {wanted:g})",
            (max(value, wanted), at),
            (5, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
