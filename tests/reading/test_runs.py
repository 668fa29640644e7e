"""Runs of numbers, against a plain set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediafs.reading.disk.runs import Runs

END = 40
numbers = st.integers(0, END)


@given(st.lists(st.tuples(st.booleans(), numbers, numbers)))
def test_runs_are_a_set_of_numbers(changes: list[tuple[bool, int, int]]) -> None:
    runs, plain = Runs(), set[int]()
    for added, start, stop in changes:
        if added:
            runs.add(start, stop)
            plain |= set(range(start, stop))
        else:
            runs.remove(start, stop)
            plain -= set(range(start, stop))
        assert runs.total == len(plain)
        assert {number for run in runs for number in range(*run)} == plain
        edges = [edge for run in runs for edge in run]
        assert edges == sorted(set(edges)), "runs neither overlap nor touch"
        assert len(runs) == len(edges) // 2
        for number in range(END):
            held = next(each for each in range(number, END + 1) if each not in plain)
            missing = next((each for each in range(number, END) if each in plain), END)
            assert runs.held_until(number) == held
            assert runs.missing_until(number, END) == missing
        gaps = {number for gap in runs.gaps(5, 30) for number in range(*gap)}
        assert gaps == set(range(5, 30)) - plain
