"""A short storm; `scripts/storm` runs a long one."""

from __future__ import annotations

from .storm import WORKERS, storm

SECONDS = 15.0


def test_in_a_storm_nothing_is_wrong_and_nothing_unexplained() -> None:
    report = storm(SECONDS, seed=7)
    assert report.failures == [], "\n".join(report.lines())
    assert len(WORKERS) == 8
    assert all(diary.done for diary in report.diaries)
    assert sum(report.faults.values()) > SECONDS
