"""What is recorded right now: read as it comes, each open on its own, and nothing of it is kept."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from mediafs.errors import InvalidReply, Late, NoRoom, NotFound, Unavailable
from mediafs.model import Media, Span
from mediafs.reading import LiveReader, Reading, ReadingOptions, Store, reading
from mediafs.reading import service as service_module
from mediafs.reading.live import SETTLE_S

from .scripted import KIB, Fault, MemoryStore, ScriptedSource, a_media, some_bytes

CALL = some_bytes(300 * KIB)
OPTIONS = ReadingOptions(total_s=65.0)


def live_media() -> Media:
    return replace(a_media(None, filename="ongoing.bin"), fleeting=True)


@asynccontextmanager
async def room(
    source: ScriptedSource, monkeypatch: pytest.MonkeyPatch, stores: list[MemoryStore]
) -> AsyncIterator[Reading]:
    """Reading with spools in memory: a clock that jumps waits for no thread."""

    async def make(directory: Path) -> Store:
        stores.append(MemoryStore())
        return stores[-1]

    monkeypatch.setattr(service_module, "make_spool", make)
    async with reading(source, OPTIONS) as service:
        yield service


@contextmanager
def nothing_is_kept(service: Reading, source: ScriptedSource, stores: list[MemoryStore]) -> Iterator[None]:
    yield
    held = service.statistics()
    assert (held.memory, held.readers, held.streams, held.spools) == (0, 0, 0, 0)
    assert source.open_bodies == 0
    assert all(store.discarded for store in stores)


async def everything(reader: LiveReader, step: int = 7777) -> bytes:
    parts: list[bytes] = []
    while part := await reader.read(sum(map(len, parts)), step):
        assert len(part) <= step
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("tells_size", [True, False])
async def test_a_call_that_is_over_is_a_file_of_its_size(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, tells_size: bool
) -> None:
    source, stores = ScriptedSource(CALL, ranges=False, tells_size=tells_size), list[MemoryStore]()
    async with room(source, monkeypatch, stores) as service:
        with nothing_is_kept(service, source, stores):
            reader = service.open_live(live_media())
            assert await reader.settle() == len(CALL)
            assert await everything(reader) == CALL
            assert await reader.read(len(CALL) - 9, 100) == CALL[-9:]
            await reader.close()
    assert source.spans == [Span(0)]


async def test_a_stated_length_is_not_waited_for(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedSource(CALL, ranges=False, pace_s=60.0)
    async with room(source, monkeypatch, []) as service:
        reader = service.open_live(live_media())
        assert await reader.settle() == len(CALL)
        assert trio.current_time() < 1
        assert len(await reader.read(0, 1000)) == 1000
        await reader.close()


async def test_a_call_under_way_is_read_as_it_comes_to_its_end(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedSource(CALL, ranges=False, tells_size=False, chunk=4 * KIB, pace_s=1.0)
    stores: list[MemoryStore] = []
    async with room(source, monkeypatch, stores) as service:
        with nothing_is_kept(service, source, stores):
            reader = service.open_live(live_media())
            began = trio.current_time()
            assert await reader.settle() is None
            assert trio.current_time() - began == SETTLE_S
            assert await reader.read(0, 4 * KIB) == CALL[: 4 * KIB], "what is there already"
            before = trio.current_time()
            behind = await reader.read(9 * 4 * KIB, 1 << 20)
            assert (behind, trio.current_time() - before) == (CALL[36 * KIB : 40 * KIB], 5.0)
            assert await everything(reader) == CALL
            assert trio.current_time() - began >= 75
            await reader.close()
    assert len(source.asked) == 1


async def test_who_stops_to_read_ends_the_download(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedSource(CALL, ranges=False, tells_size=False, chunk=4 * KIB, pace_s=1.0)
    stores: list[MemoryStore] = []
    async with room(source, monkeypatch, stores) as service:
        with nothing_is_kept(service, source, stores):
            reader = service.open_live(live_media())
            await reader.settle()
            await reader.close()
            sent = source.sent
            assert sent < 40 * KIB
            await trio.sleep(60)
            assert source.sent == sent


async def test_each_open_is_a_download_of_its_own(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, stores = ScriptedSource(CALL, ranges=False, chunk=4 * KIB, pace_s=0.1), list[MemoryStore]()
    async with room(source, monkeypatch, stores) as service:
        with nothing_is_kept(service, source, stores):
            first = service.open_live(live_media())
            assert await first.settle() == len(CALL)
            other = some_bytes(50 * KIB, seed=9)
            source.content = other
            second = service.open_live(live_media())
            assert await second.settle() == len(other)
            assert first.content is not second.content
            assert await everything(first) == CALL
            assert await everything(second) == other
            assert await first.read(0, 100) == CALL[:100]
            await second.close()
            assert await first.read(0, 100) == CALL[:100]
            await first.close()
    assert len(source.asked) == 2


async def test_where_nothing_is_recorded_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ScriptedSource(CALL, [Fault(refuse=NotFound("no call"))], ranges=False)
    async with room(source, monkeypatch, []) as service:
        reader = service.open_live(live_media())
        with pytest.raises(NotFound):
            await reader.settle()
        await reader.close()


@pytest.mark.parametrize("stated", [True, False])
async def test_a_body_that_breaks_off_is_never_taken_for_the_end(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, stated: bool
) -> None:
    source = ScriptedSource(
        CALL,
        [Fault(cut_after=100 * KIB)],
        ranges=False,
        tells_size=stated,
        chunk=4 * KIB,
        pace_s=1.0,
    )
    async with room(source, monkeypatch, []) as service:
        reader = service.open_live(live_media())
        await reader.settle()
        assert await reader.read(99 * KIB, 64 * KIB) == CALL[99 * KIB : 100 * KIB]
        assert await reader.read(0, 100 * KIB) == CALL[: 100 * KIB]
        with pytest.raises(Unavailable):
            await reader.read(100 * KIB, 64 * KIB)
        with pytest.raises(Unavailable):
            await everything(reader)
        await reader.close()


async def test_a_body_shorter_than_stated_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ScriptedSource(CALL, [Fault(short_by=10, total=len(CALL))], ranges=False)
    async with room(source, monkeypatch, []) as service:
        reader = service.open_live(live_media())
        assert await reader.settle() in (len(CALL), None)
        with pytest.raises(Unavailable):
            await everything(reader)
        await reader.close()


@pytest.mark.parametrize("kind", ["text/xml", "text/html", "application/json"])
async def test_a_message_is_no_recording(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    source = ScriptedSource(b"<VerbaApi/>", [Fault(content_type=kind)], ranges=False)
    async with room(source, monkeypatch, []) as service:
        reader = service.open_live(live_media())
        with pytest.raises(InvalidReply):
            await reader.settle()
        await reader.close()


async def test_silence_is_late_and_what_comes_after_it_is_read(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedSource(CALL[: 12 * KIB], ranges=False, tells_size=False, chunk=4 * KIB, pace_s=100.0)
    async with room(source, monkeypatch, []) as service:
        reader = service.open_live(live_media())
        assert await reader.settle() is None
        before = trio.current_time()
        with pytest.raises(Late):
            await reader.read(0, 100)
        assert trio.current_time() - before == OPTIONS.total_s
        assert await reader.read(0, 100) == CALL[:100]
        await reader.close()


async def test_a_service_that_does_not_answer_is_waited_for_as_long_as_the_caller_says(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, stores = ScriptedSource(CALL, [Fault(hang=True)], ranges=False), list[MemoryStore]()
    async with room(source, monkeypatch, stores) as service:
        with nothing_is_kept(service, source, stores):
            with trio.move_on_after(15) as scope:
                reader = service.open_live(live_media())
                await reader.settle()
            assert scope.cancelled_caught
            assert trio.current_time() == 15
            await reader.close()
            reader = service.open_live(live_media())
            source.faults.append(Fault(hang=True))
            with pytest.raises(Late):
                await reader.settle()
            assert trio.current_time() == 15 + OPTIONS.total_s
            await reader.close()


async def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def make(directory: Path) -> Store:
        return MemoryStore(failing_at=100 * KIB, error=NoRoom("full"))

    monkeypatch.setattr(service_module, "make_spool", make)
    async with reading(ScriptedSource(CALL, ranges=False), OPTIONS) as service:
        reader = service.open_live(live_media())
        await reader.settle()
        with pytest.raises(NoRoom):
            await everything(reader)
        await reader.close()


async def test_nothing_of_it_stands_in_the_cache_folder(tmp_path: Path) -> None:
    source = ScriptedSource(CALL, ranges=False)
    async with reading(source, replace(OPTIONS, spool_directory=tmp_path)) as service:
        reader = service.open_live(live_media())
        assert await reader.settle() == len(CALL)
        assert await everything(reader) == CALL
        assert os.listdir(tmp_path) == [], "a spool has no name"
        await reader.close()


async def test_leaving_the_room_ends_what_is_open(tmp_path: Path) -> None:
    source = ScriptedSource(CALL, ranges=False, tells_size=False, chunk=KIB, pace_s=0.05)
    async with reading(source, replace(OPTIONS, spool_directory=tmp_path)) as service:
        service.open_live(live_media())
        await trio.sleep(0.2)
        assert source.open_bodies == 1
    assert source.open_bodies == 0
