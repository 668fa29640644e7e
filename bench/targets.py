"""What must be reached, and the arithmetic that says whether it was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

MEASURES: Final = {
    "mb_s": "MB/s",
    "ms_per_read": "ms per read",
    "seconds": "s",
    "first_s": "first, s",
    "again_s": "again, s",
    "directory_s": "first directory, s",
    "per_s": "per second",
    "us_per_media": "us a media",
    "requests": "requests",
    "count": "media",
    "ms": "ms",
    "first_ms": "first 128 KiB, ms",
    "worst_ms": "worst read, ms",
    "cpu_s": "CPU s",
    "cpu_s_per_gib": "CPU s/GiB",
    "peak_mib": "peak RSS, MiB",
}
"""Every measure and how it is called in a table."""
_MORE_IS_BETTER: Final = frozenset({"mb_s", "per_s"})

Values = Mapping[str, Mapping[str, Sequence[float]]]
"""Of one work: peer -> measure -> one value a round."""


@dataclass(frozen=True)
class Target:
    """*ours* against the best of *theirs*, of the medians of *measure*.

    *at_least*: so many times as fast. *at_most*: so much of theirs. Where there are no *theirs*, both are in
    the measure's own unit. One of the two is given.
    """

    measure: str
    ours: str
    theirs: tuple[str, ...]
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a target: *value* is in its terms; *against* is the peer that it is a ratio to."""

    target: Target
    value: float
    against: str | None

    @property
    def met(self) -> bool:
        target = self.target
        if target.at_least is not None:
            return self.value >= target.at_least
        return target.at_most is not None and self.value <= target.at_most


def values_of(samples: Iterable[Mapping[str, Any]], work: str) -> dict[str, dict[str, list[float]]]:
    """The samples of *work* that did not fail, by peer and measure."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        if sample["work"] == work and "error" not in sample:
            for measure in MEASURES.keys() & sample.keys():
                found[sample["peer"]][measure].append(sample[measure])
    return {peer: dict(measures) for peer, measures in found.items()}


def outcome(target: Target, values: Values) -> Outcome | None:
    """None where one side of it was not measured."""
    ours = _median(values, target.ours, target.measure)
    if ours is None:
        return None
    if not target.theirs:
        return Outcome(target, ours, None)
    more = target.measure in _MORE_IS_BETTER
    medians = {peer: m for peer in target.theirs if (m := _median(values, peer, target.measure)) is not None}
    if not medians:
        return None
    against = max(medians, key=lambda peer: medians[peer] if more else -medians[peer])
    theirs = medians[against]
    faster = target.at_least is not None
    above, below = (theirs, ours) if faster and not more else (ours, theirs)
    return Outcome(target, above / below if below else float("inf"), against)


def _median(values: Values, peer: str, measure: str) -> float | None:
    found = values.get(peer, {}).get(measure)
    return median(found) if found else None
