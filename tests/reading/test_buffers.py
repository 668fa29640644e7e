"""Buffers that are used again, but never while somebody looks at them."""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from mediafs.reading.buffers import Buffers

SIZE = 64 * 1024


def test_a_buffer_is_used_again_once_nobody_looks_at_it() -> None:
    buffers = Buffers(SIZE, 2)
    first = buffers.take()
    first[:] = b"a" * SIZE
    part = first[10:20].toreadonly()
    first.release()
    second = buffers.take()
    second[:] = b"b" * SIZE
    assert bytes(part) == b"a" * 10
    part.release()
    third = buffers.take()
    assert bytes(third[:3]) == b"aaa", "the first one"


def test_a_buffer_beyond_those_that_are_kept_goes_with_its_last_view() -> None:
    buffers = Buffers(SIZE, 1)
    views = [buffers.take() for _ in range(5)]
    for number, view in enumerate(views):
        view[:] = bytes([number]) * SIZE
    assert [view[0] for view in views] == [0, 1, 2, 3, 4]


@given(st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=60), st.integers(1, 4))
def test_no_two_views_share_a_buffer(steps: list[int | None], most: int) -> None:
    """None takes one and marks it; a number lets go of that one."""
    buffers = Buffers(SIZE, most)
    held: dict[int, memoryview] = {}
    for mark, step in enumerate(steps, 1):
        if step is None:
            view = buffers.take()
            view[:8] = mark.to_bytes(8, "big")
            held[mark] = view[:8].toreadonly()
            view.release()
        elif held:
            del held[sorted(held)[step % len(held)]]
        for mark, view in held.items():
            assert int.from_bytes(view, "big") == mark
    gc.collect()
