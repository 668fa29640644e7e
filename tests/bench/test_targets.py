"""The arithmetic of the benchmark's report."""

from __future__ import annotations

import math

from bench.report import figure
from bench.targets import Outcome, Target, outcome, values_of


def samples(**medians: tuple[str, list[float]]) -> list[dict[str, object]]:
    """One sample a round of the work `w`, by peer: the measure and its values."""
    return [
        {"work": "w", "peer": peer, "round": number, measure: value}
        for peer, (measure, values) in medians.items()
        for number, value in enumerate(values, 1)
    ]


def judged(target: Target, **medians: tuple[str, list[float]]) -> Outcome | None:
    return outcome(target, values_of(samples(**medians), "w"))


def test_a_rate_is_faster_when_it_is_more() -> None:
    target = Target("mb_s", "ours", ("a", "b"), at_least=2.0)
    found = judged(
        target, ours=("mb_s", [100, 900, 600]), a=("mb_s", [200, 100, 1000]), b=("mb_s", [300, 300, 1])
    )
    assert found == Outcome(target, 2.0, "b")
    assert found.met


def test_a_time_is_faster_when_it_is_less() -> None:
    target = Target("ms_per_read", "ours", ("a", "b"), at_least=4.0)
    found = judged(
        target, ours=("ms_per_read", [50, 51]), a=("ms_per_read", [210]), b=("ms_per_read", [202, 202])
    )
    assert found is not None
    assert found.against == "b"
    assert math.isclose(found.value, 4.0)
    assert found.met


def test_a_cost_is_a_part_of_theirs_or_an_amount() -> None:
    part = judged(
        Target("cpu_s_per_gib", "ours", ("a",), at_most=0.6),
        ours=("cpu_s_per_gib", [1.3]),
        a=("cpu_s_per_gib", [2.0]),
    )
    assert part is not None
    assert (part.value, part.met) == (0.65, False)
    amount = judged(Target("peak_mib", "ours", (), at_most=336.0), ours=("peak_mib", [336.0, 1.0, 400.0]))
    assert amount is not None
    assert (amount.value, amount.against, amount.met) == (336.0, None, True)


def test_what_failed_or_was_not_measured_counts_for_nothing() -> None:
    target = Target("mb_s", "ours", ("a",), at_least=1.0)
    assert judged(target, ours=("mb_s", [1.0])) is None
    assert judged(target, a=("mb_s", [1.0])) is None
    failed = {"work": "w", "peer": "ours", "round": 2, "mb_s": 9.0, "error": "WRONG BYTES"}
    other = {"work": "v", "peer": "ours", "round": 1, "mb_s": 9.0}
    values = values_of([*samples(ours=("mb_s", [1.0])), failed, other], "w")
    assert values == {"ours": {"mb_s": [1.0]}}


def test_figures_have_three_digits() -> None:
    assert [figure(value) for value in (1234.5, 99.94, 1.006)] == ["1234", "99.9", "1.01"]


def test_a_rate_without_a_competitor_is_an_amount() -> None:
    found = judged(Target("per_s", "ours", (), at_least=14_000.0), ours=("per_s", [15_000, 14_000, 1]))
    assert found is not None
    assert (found.value, found.against, found.met) == (14_000, None, True)
    slower = judged(Target("per_s", "ours", (), at_least=14_000.0), ours=("per_s", [13_999]))
    assert slower is not None
    assert not slower.met
