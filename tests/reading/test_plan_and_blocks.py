"""The pure parts: what to fetch, and how chunks become blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafs.model import Span
from mediafs.reading.blocks import Assembly, Blocks, Edition, Piece
from mediafs.reading.options import MIB, ReadingOptions
from mediafs.reading.plan import Ask, Fetch, Flow, Join, Known, plan

from .scripted import some_bytes

OPTIONS = ReadingOptions()
SIZE = 100 * MIB


def ask(offset: int, *history: Span, missing: int | None = None) -> Ask:
    return Ask(
        offset=offset,
        stop=offset + 1000,
        missing=offset if missing is None else missing,
        history=history,
    )


def known(*flows: Flow, size: int = SIZE, ranges: bool | None = True, prefix: int = 0) -> Known:
    return Known(size=size, ranges=ranges, prefix=prefix, flows=flows)


def flow(position: int, target: int, end: int = SIZE, answered: bool = True) -> Flow:
    return Flow(position=position, end=end, target=target, answered=answered)


@pytest.mark.parametrize(
    ("asked", "knows", "answer"),
    [
        (ask(0), known(), Fetch(Span(0))),
        (ask(0), known(prefix=500), Fetch(Span(500))),
        (ask(MIB - 1), known(), Fetch(Span(0))),
        (ask(MIB), known(), Fetch(Span(MIB, MIB + 1000))),
        (ask(9 * MIB), known(), Fetch(Span(9 * MIB, 9 * MIB + 1000))),
        (ask(9 * MIB, missing=9 * MIB + 10), known(), Fetch(Span(9 * MIB + 10, 9 * MIB + 1000))),
        (ask(9 * MIB, Span(9 * MIB - 10, 9 * MIB)), known(), Fetch(Span(9 * MIB))),
        (ask(9 * MIB, Span(9 * MIB - 10, 9 * MIB - 1)), known(), Fetch(Span(9 * MIB, 9 * MIB + 1000))),
        (ask(9 * MIB), known(size=9 * MIB + 5, ranges=False), Fetch(Span(0))),
        (ask(3 * MIB), known(size=4 * MIB - 1, prefix=MIB), Fetch(Span(MIB), whole=True)),
        (ask(5 * MIB), known(flow(4 * MIB, 8 * MIB)), Join(0)),
        (ask(8 * MIB), known(flow(7 * MIB, 8 * MIB)), Join(0)),
        (ask(8 * MIB + 1), known(flow(7 * MIB, 8 * MIB)), Fetch(Span(8 * MIB + 1, 8 * MIB + 1001))),
        (ask(5 * MIB), known(flow(3 * MIB, 8 * MIB), flow(4 * MIB, 8 * MIB)), Join(1)),
        (ask(5 * MIB), known(flow(6 * MIB, 8 * MIB)), Fetch(Span(5 * MIB, 5 * MIB + 1000))),
        (ask(5 * MIB), known(flow(4 * MIB, 5 * MIB, end=5 * MIB)), Fetch(Span(5 * MIB, 5 * MIB + 1000))),
        (ask(50 * MIB), known(flow(0, MIB, answered=False), ranges=None), Join(0, brings=False)),
        (ask(50 * MIB), known(flow(0, MIB, answered=False)), Fetch(Span(50 * MIB, 50 * MIB + 1000))),
    ],
)
def test_the_cheapest_way_to_a_missing_byte(asked: Ask, knows: Known, answer: Fetch | Join) -> None:
    assert plan(asked, knows, OPTIONS) == answer


@given(
    start=st.integers(0, 40),
    length=st.integers(1, 100),
    block=st.integers(1, 32),
    cuts=st.lists(st.integers(1, 30), min_size=1),
)
def test_an_assembly_gives_every_byte_once_and_keeps_the_last_block_back(
    start: int, length: int, block: int, cuts: list[int]
) -> None:
    data = some_bytes(start + length)
    assembly = Assembly(start, start + length, block)
    pieces: list[Piece] = []
    at = start
    while at < len(data):
        for cut in cuts:
            pieces += assembly.add(data[at : at + cut])
            at = min(at + cut, len(data))
            for offset in range(start, len(data)):
                shown = assembly.shown(offset)
                if shown is not None:
                    assert shown.data == data[shown.offset : shown.stop]
                    assert shown.stop <= (len(data) - 1) // block * block
                    assert shown.offset <= offset < shown.stop
            assert assembly.due <= max(start, (len(data) - 1) // block * block)
    assert all(piece.stop <= (len(data) - 1) // block * block for piece in pieces)
    pieces += assembly.finish()
    assert b"".join(piece.data for piece in pieces) == data[start:]
    for piece in pieces:
        assert piece.offset // block == (piece.stop - 1) // block


@given(
    spans=st.lists(st.tuples(st.integers(0, 99), st.integers(1, 99)), max_size=30),
    memory=st.integers(0, 120),
    block=st.integers(1, 40),
    lent=st.lists(st.integers(0, 70), max_size=3),
)
def test_blocks_hold_only_right_bytes_and_no_more_than_the_budget(
    spans: list[tuple[int, int]], memory: int, block: int, lent: list[int]
) -> None:
    data = some_bytes(200)
    blocks, edition, other = Blocks(memory, block), Edition(200), Edition(200)
    wanted, lent = lent, []
    for start, length in spans:
        if wanted and blocks.lend(wanted[-1]):
            lent.append(wanted.pop())
        assert 2 * sum(lent) <= memory
        assembly = Assembly(start, None, block)
        for piece in assembly.add(data[start : start + length]) + assembly.finish():
            blocks.put(edition, piece)
            if block <= memory - sum(lent):  # else what is joined to a whole block may not fit
                assert blocks.get(edition, piece.offset) is not None
        assert blocks.used <= memory
        for offset in range(200):
            assert blocks.get(other, offset) is None
            held = blocks.get(edition, offset)
            if held is not None:
                assert held.offset <= offset < held.stop
                assert held.data == data[held.offset : held.stop]
    blocks.drop(edition)
    assert blocks.used == sum(lent)
    for size in lent:
        blocks.give_back(size)
    assert blocks.used == 0
