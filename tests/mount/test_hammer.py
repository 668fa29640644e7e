"""A short hammering; `scripts/hammer` goes on for two minutes."""

from __future__ import annotations

from .hammer import MORE_MEMORY_KIB, WORKERS, hammer

SECONDS = 15.0


def test_while_everything_changes_nothing_hangs_and_every_error_is_explained() -> None:
    report = hammer(SECONDS, seed=5)
    said = "\n".join(report.lines())
    assert report.failures == [], said
    assert len(report.diaries) == len(WORKERS) == 8
    assert all(diary.done for diary in report.diaries), said
    assert report.changes.total() > 5 * SECONDS, said
    assert report.crawls["sync"], said
    before, after = report.memory_kib
    assert after - before < MORE_MEMORY_KIB, said
