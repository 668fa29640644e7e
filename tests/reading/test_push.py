"""Bytes that are put into the kernel's pages before they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing

from mediafs.model import Data, Span
from mediafs.reading import ReadingOptions, reading
from mediafs.reading.blocks import Piece
from mediafs.reading.push import Push

from .scripted import KIB, FakeKernel, ScriptedSource, a_media, some_bytes, version_of

CONTENT = some_bytes(1024 * KIB)
OPTIONS = ReadingOptions(
    whole_below=0,
    block=16 * KIB,
    window=256 * KIB,
    gap=32 * KIB,
    put_after=64 * KIB,
    piece=128 * KIB,
    hole=8 * KIB,
    put_ahead=64 * KIB,
)
READ = 8 * KIB


async def test_who_reads_forward_finds_most_of_it_there(autojump_clock: trio.testing.MockClock) -> None:
    source = ScriptedSource(CONTENT, chunk=16 * KIB, straight=True)
    asked: list[int] = []
    async with reading(source, OPTIONS) as service:
        media = a_media(len(CONTENT))
        reader = service.open(media, version_of(media))
        kernel = FakeKernel(reader, page=4 * KIB)
        reader.put_into(kernel)
        real = reader.read

        async def counted(offset: int, length: int) -> Data:
            asked.append(offset)
            return await real(offset, length)

        reader.read = counted  # type: ignore[method-assign]
        got = b"".join([await kernel.read(reader, at, READ) for at in range(0, len(CONTENT), READ)])
        assert service.statistics().memory <= 512 * KIB  # what the kernel has is not held twice
        await reader.close()
    assert got == CONTENT
    assert source.spans == [Span(0)]
    assert kernel.stored > 700 * KIB
    assert len(asked) < 45, "of the 128 reads that it takes without"


async def test_what_is_left_out_tells_how_far_a_reader_has_come(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = ScriptedSource(CONTENT, chunk=16 * KIB, straight=True)
    async with reading(source, OPTIONS) as service:
        media = a_media(len(CONTENT))
        reader = service.open(media, version_of(media))
        kernel = FakeKernel(reader, page=4 * KIB)
        reader.put_into(kernel)
        for at in range(0, 128 * KIB, READ):
            await kernel.read(reader, at, READ)
        await trio.sleep(60)
        assert source.sent <= (128 + 256 + 32) * KIB, "no further than the window"
        await reader.close()


class Endless:
    def end(self) -> None:
        pass


class Stuck(Endless):
    """A kernel in which no call comes back."""

    def __init__(self) -> None:
        self.called = trio.Event()

    async def store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        self.called.set()
        await trio.sleep_forever()
        return True


class Slow(Endless):
    def __init__(self) -> None:
        self.go = trio.Event()

    async def store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        await self.go.wait()
        return True


class Refusing(Endless):
    def __init__(self) -> None:
        self.calls = 0

    async def store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        self.calls += 1
        await trio.lowlevel.checkpoint()
        return False


class Broken(Endless):
    async def store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        await trio.lowlevel.checkpoint()
        raise TypeError("a bug")


@pytest.mark.parametrize("kind", [Stuck, Refusing, Broken])
async def test_a_kernel_that_takes_nothing_more_holds_nobody_back(
    kind: type[Stuck | Refusing | Broken],
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pages = kind()
    source = ScriptedSource(CONTENT, chunk=16 * KIB, straight=True)
    async with reading(source, OPTIONS) as service:
        media = a_media(len(CONTENT))
        reader = service.open(media, version_of(media))
        reader.put_into(pages)
        began = trio.current_time()
        got = b"".join([await reader.read(at, READ) for at in range(0, len(CONTENT), READ)])
        assert got == CONTENT
        assert trio.current_time() - began < 8, "at most `PUT_S` for each read"
        await reader.close()
    assert source.spans == [Span(0)]
    if isinstance(pages, Refusing):
        assert pages.calls == 1
    elif isinstance(pages, Stuck):
        assert pages.called.is_set()
    else:
        assert [record.message for record in caplog.records] == ["pages cannot be put ahead of a reader"]
        caplog.clear()


async def test_two_who_wait_are_both_told(autojump_clock: trio.testing.MockClock) -> None:
    kernel = Slow()
    push = Push(kernel, OPTIONS, lambda: 64 * KIB, lambda start, stop: None)
    took: list[float] = []

    async def wait(stop: int) -> None:
        began = trio.current_time()
        await push.wait_put(stop)
        took.append(trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        push._begin = 0
        nursery.start_soon(push.run)
        push.offer(Piece(128 * KIB, CONTENT[: 128 * KIB]))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(wait, 64 * KIB)
        nursery.start_soon(wait, 72 * KIB)
        await trio.testing.wait_all_tasks_blocked()
        kernel.go.set()
        await trio.testing.wait_all_tasks_blocked()
        push.end()
    assert took == [pytest.approx(0), pytest.approx(0)]


@pytest.mark.parametrize("pace_s", [0.05, 0.5])
async def test_over_a_slow_line_no_read_is_held_back(
    pace_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    source = ScriptedSource(CONTENT, chunk=16 * KIB, straight=True, pace_s=pace_s)
    async with reading(source, OPTIONS) as service:
        media = a_media(len(CONTENT))
        reader = service.open(media, version_of(media))
        kernel = FakeKernel(reader, page=4 * KIB)
        reader.put_into(kernel)
        began = trio.current_time()
        for at in range(0, len(CONTENT), READ):
            assert await kernel.read(reader, at, READ) == CONTENT[at : at + READ]
        assert trio.current_time() - began == pytest.approx(64 * pace_s, rel=0.02)
        await reader.close()
