"""Where a film has its index, and that it is fetched while its beginning still comes."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from mediafs.model import Span
from mediafs.reading import ReadingOptions, reading
from mediafs.reading.index import MOST, index_behind, may_have_index

from .scripted import KIB, MIB, ScriptedSource, a_media, some_bytes, version_of


def box(kind: bytes, length: int, *, long: bool = False) -> bytes:
    """One of `length` bytes in all."""
    if long:
        return struct.pack(">I4sQ", 1, kind, length) + bytes(length - 16)
    return struct.pack(">I4s", length, kind) + bytes(length - 8)


@pytest.mark.parametrize(
    ("boxes", "span"),
    [
        ([box(b"ftyp", 24), box(b"mdat", 10_000), box(b"moov", 500)], Span(8192, 10_524)),
        (
            [box(b"ftyp", 24), box(b"free", 8), box(b"mdat", 10_000, long=True), box(b"moov", 60)],
            Span(8192, 10_092),
        ),
        ([box(b"wide", 8), box(b"mdat", 4088), box(b"moov", 500)], Span(4096, 4596)),
        ([box(b"ftyp", 24), box(b"mdat", 4096), box(b"moov", 3 * MIB)], Span(4096, 4120 + MOST)),
        ([box(b"ftyp", 24), box(b"moov", 500), box(b"mdat", 10_000)], None),
        ([box(b"ftyp", 24), box(b"mdat", 10_000)], None),
        ([box(b"ftyp", 24), struct.pack(">I4s", 0, b"mdat"), bytes(9000)], None),
        ([box(b"ftyp", 24), struct.pack(">I4s", 7, b"free"), bytes(9000)], None),
        ([box(b"free", 5000), box(b"mdat", 10_000), box(b"moov", 500)], None),
        ([b"RIFF", bytes(9000)], None),
        ([], None),
    ],
)
def test_where_the_index_is(boxes: list[bytes], span: Span | None) -> None:
    whole = b"".join(boxes)
    assert index_behind(whole[:4096], len(whole)) == span


@given(st.binary(max_size=200), st.integers(0, 1 << 40))
def test_whatever_the_bytes_are_the_span_lies_within_the_media(head: bytes, size: int) -> None:
    span = index_behind(head, max(size, len(head)))
    assert span is None or 0 <= span.start < (span.stop or 0) <= max(size, len(head))


def test_of_what_kind_it_may_be() -> None:
    assert may_have_index(a_media(1, filename="call.MOV"))
    assert may_have_index(a_media(1, filename="call", mime_type="video/mp4; codecs=avc1"))
    assert not may_have_index(a_media(1, filename="mp4", mime_type="audio/mpeg"))
    assert not may_have_index(a_media(1, filename="a.wav"))


FILM = box(b"ftyp", 24) + box(b"mdat", 6 * MIB)[:8] + some_bytes(6 * MIB - 8) + box(b"moov", 50 * KIB)


@pytest.mark.parametrize("spare", [None, 10])
async def test_an_index_is_fetched_while_the_beginning_comes(
    spare: int | None, autojump_clock: trio.testing.MockClock
) -> None:
    source = ScriptedSource(FILM, chunk=16 * KIB, pace_s=0.03, answer_s=0.03)
    source.to_spare = spare
    async with reading(source, ReadingOptions()) as service:
        media = a_media(len(FILM))
        reader = service.open(media, version_of(media))
        assert await reader.read(0, 128 * KIB) == FILM[: 128 * KIB]
        behind = Span(24 + 6 * MIB - 24 % 4096, len(FILM))
        assert [(span.start // 4096, span.stop) for span in source.spans] == (
            [(0, None), (6 * MIB // 4096, behind.stop)] if spare is None else [(0, None)]
        )
        assert await reader.read(6 * MIB, 50 * KIB + 24) == FILM[6 * MIB :]
        assert len(source.asked) == 2
        await reader.close()


@pytest.mark.parametrize(
    "changed", [{"answer_s": 0.0}, {"name": "film.wav"}, {"limited": True}, {"ranges": False}]
)
async def test_no_index_is_fetched_where_it_is_of_no_use(
    changed: dict[str, Any], autojump_clock: trio.testing.MockClock
) -> None:
    source = ScriptedSource(
        FILM, chunk=64 * KIB, answer_s=changed.get("answer_s", 0.03), ranges=changed.get("ranges", True)
    )
    async with reading(source, ReadingOptions()) as service:
        media = a_media(len(FILM), filename=changed.get("name", "film.mp4"))
        if changed.get("limited"):
            media = replace(media, download_once=True)
        reader = service.open(media, version_of(media))
        for at in range(0, len(FILM), 512 * KIB):
            assert await reader.read(at, 512 * KIB) == FILM[at : at + 512 * KIB]
        await reader.close()
    assert len(source.asked) == 1
