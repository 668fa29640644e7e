"""Media fetched into the disk cache: which requests that takes, what is kept, and when it gives up."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from mediafs.errors import Changed, Late, NoRoom, NotReady, Unavailable, Unsupported
from mediafs.model import Media, MediaId, Span, Urgency
from mediafs.reading import Progress, Reading, warming

from .scripted import KIB, MIB, Fault, ScriptedSource, a_media, some_bytes, version_of
from .test_keeping import at_rest, process, read_whole

SIZE = 12 * MIB + 17
CONTENT = some_bytes(SIZE)
MEDIA = a_media(SIZE)
VERSION = version_of(MEDIA)


async def warmed(service: Reading, media: Media = MEDIA) -> Progress:
    """One run over one media."""
    progress = Progress()
    with warming(service) as run:
        await run.fetch(media, version_of(media), progress)
    return progress


def named(name: str, size: int = SIZE, *, once: bool = False, fleeting: bool = False) -> Media:
    return replace(a_media(size), id=MediaId(name), download_once=once, fleeting=fleeting)


@contextmanager
def nothing_asked(source: ScriptedSource) -> Iterator[None]:
    before = len(source.asked)
    yield
    assert source.spans[before:] == []


# --- which requests it takes -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SIZE, 2 * MIB, 300 * KIB + 5, 64 * KIB, 1])
async def test_it_is_one_get_and_then_nothing_needs_the_service(tmp_path: Path, size: int) -> None:
    media, source = a_media(size), ScriptedSource(CONTENT[:size])
    async with process(source, tmp_path) as service:
        progress = await warmed(service, media)
        assert (progress.size, progress.held, progress.before) == (size, size, 0)
        assert service.cached(version_of(media)) == size
        assert source.spans == [Span(0)]
        assert {each.urgency for each in source.asked} == {Urgency.BACKGROUND}
        with nothing_asked(source):
            again = await warmed(service, media)
        assert (again.held, again.fetched) == (size, 0)
        assert await read_whole(service, media) == CONTENT[:size]
    async with process(source, tmp_path) as service:
        with nothing_asked(source):
            assert (await warmed(service, media)).fetched == 0
            assert await read_whole(service, media) == CONTENT[:size]


async def test_nothing_is_held_by_an_empty_media(tmp_path: Path) -> None:
    source = ScriptedSource(b"")
    async with process(source, tmp_path) as service:
        assert (await warmed(service, a_media(0))).held == 0
    assert source.asked == []


async def test_only_what_is_missing_is_fetched(tmp_path: Path) -> None:
    source = ScriptedSource(CONTENT)
    async with process(source, tmp_path) as service:
        reader = service.open(MEDIA, VERSION)
        for start in (0, 6 * MIB):
            for at in range(start, start + 3 * MIB, 128 * KIB):
                await reader.read(at, 128 * KIB)
        await reader.close()
        await at_rest(service)
    async with process(source, tmp_path) as service:
        await service.cache.wait_scanned() if service.cache else None
        held, source.asked, source.sent = service.cached(VERSION), [], 0
        assert 6 * MIB <= held < SIZE - 3 * MIB
        progress = await warmed(service)
        assert (progress.before, progress.fetched) == (held, SIZE - held)
        assert len(source.asked) == 2, "one for each of the two runs that are missing"
        assert source.sent <= SIZE - held + 4 * source.chunk
    async with process(source, tmp_path) as service:
        with nothing_asked(source):
            assert await read_whole(service, MEDIA) == CONTENT


async def test_no_memory_is_taken_from_people(tmp_path: Path) -> None:
    source = ScriptedSource(CONTENT)
    async with process(source, tmp_path, memory=64 * MIB) as service:
        await warmed(service)
        assert service.statistics().memory < 2 * MIB


async def test_no_index_is_fetched_beside_it_for_no_player_waits(tmp_path: Path) -> None:
    boxes = struct.pack(">I4sI4s", 16, b"ftyp", 0, b"") + struct.pack(">I4s", SIZE - 1 * MIB - 16, b"mdat")
    source = ScriptedSource(boxes + CONTENT[len(boxes) :], answer_s=0.02)
    async with process(source, tmp_path) as service:
        await warmed(service)
    assert source.spans == [Span(0)]


async def test_what_memory_holds_is_kept_without_a_request(tmp_path: Path) -> None:
    source = ScriptedSource(CONTENT)
    async with process(source, tmp_path, memory=64 * MIB) as service:
        assert await read_whole(service, MEDIA) == CONTENT
        await at_rest(service)
        assert service.cache is not None
        await service.cache.evict({MEDIA.id})
        assert service.cached(VERSION) == 0
        with nothing_asked(source):
            await warmed(service)
        assert service.cached(VERSION) == SIZE


async def test_who_reads_meanwhile_gets_right_bytes(tmp_path: Path) -> None:
    source = ScriptedSource(CONTENT)
    async with process(source, tmp_path) as service, trio.open_nursery() as nursery:
        nursery.start_soon(warmed, service)
        for _ in range(2):
            assert await read_whole(service, MEDIA) == CONTENT
    async with process(source, tmp_path) as service:
        with nothing_asked(source):
            assert await read_whole(service, MEDIA) == CONTENT


async def test_a_size_that_no_record_states_is_found_by_the_same_get(tmp_path: Path) -> None:
    media, sizes, source = a_media(None), list[int](), ScriptedSource(CONTENT)
    async with process(source, tmp_path) as service:
        with warming(service) as run:
            await run.fetch(media, version_of(media), Progress(), sizes.append)
        assert sizes == [SIZE]
        assert source.spans == [Span(0)]
        assert service.cached(version_of(replace(media, size=SIZE))) == SIZE


# --- whole bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["size", "no-size"])
async def test_of_a_service_without_ranges_it_is_one_get(tmp_path: Path, known: bool) -> None:
    source = ScriptedSource(CONTENT, ranges=False)
    media = a_media(SIZE if known else None)
    for _ in range(2):
        async with process(source, tmp_path) as service:
            progress = await warmed(service, media)
            assert progress.held == SIZE
            assert service.cached(VERSION) == SIZE
            media = a_media(SIZE)  # as the catalogue has it by then
            assert service.cache is not None
            assert service.cache.statistics().files == 1
    assert len(source.asked) == 1


async def test_media_of_which_each_download_counts_are_downloaded_once(tmp_path: Path) -> None:
    source, media = ScriptedSource(CONTENT), named("m1", once=True)
    async with process(source, tmp_path) as service, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(warmed, service, media)
        assert await read_whole(service, media) == CONTENT
    async with process(source, tmp_path) as service:
        assert (await warmed(service, media)).fetched == 0
    assert source.spans == [Span(0)]


async def test_without_room_a_limited_media_is_not_asked_for(tmp_path: Path) -> None:
    source, media = ScriptedSource(CONTENT), named("m1", once=True)
    async with process(source, tmp_path, size=4 * MIB, memory=128 * MIB) as service:
        with pytest.raises(NoRoom, match=r"\[cache\]"):
            await warmed(service, media)
    assert source.asked == []


# --- room ------------------------------------------------------------------------------------------------


async def test_a_cache_that_is_off_is_said(tmp_path: Path) -> None:
    source = ScriptedSource(CONTENT)
    async with process(source, tmp_path, size=0) as service:
        with pytest.raises(NoRoom, match='size = "0"'):
            await warmed(service)
    assert source.asked == []


@pytest.mark.parametrize("ranges", [True, False], ids=["blocks", "whole"])
async def test_what_one_run_fetched_is_not_evicted_for_the_rest_of_it(tmp_path: Path, ranges: bool) -> None:
    source = ScriptedSource(CONTENT, ranges=ranges)
    media = [named(f"m{number}") for number in range(4)]
    async with process(source, tmp_path, size=40 * MIB) as service:
        await warmed(service, media[3])
        with warming(service) as run:
            for each in media[:3]:
                await run.fetch(each, version_of(each), Progress())
            assert service.cached(version_of(media[3])) == 0, "what nobody fetched now makes room"
            with nothing_asked(source), pytest.raises(NoRoom):
                await run.fetch(media[3], version_of(media[3]), Progress())
        assert [service.cached(version_of(each)) for each in media] == [SIZE, SIZE, SIZE, 0]
        assert service.cache is not None
        assert service.cache.statistics().bytes <= 40 * MIB
        await warmed(service, media[3])
        assert service.cached(version_of(media[3])) == SIZE


@pytest.mark.parametrize("ranges", [True, False], ids=["blocks", "whole"])
async def test_those_that_are_fetched_at_once_are_not_promised_the_same_room(
    tmp_path: Path, ranges: bool
) -> None:
    source = ScriptedSource(CONTENT, ranges=ranges)
    media, refused = [named(f"m{number}") for number in range(5)], list[NoRoom]()
    async with process(source, tmp_path, size=40 * MIB) as service:
        with warming(service) as run:

            async def fetch(each: Media) -> None:
                try:
                    await run.fetch(each, version_of(each), Progress())
                except NoRoom as error:
                    refused.append(error)

            async with trio.open_nursery() as nursery:
                for each in media:
                    nursery.start_soon(fetch, each)
        assert [service.cached(version_of(each)) for each in media].count(SIZE) == 3
        assert len(refused) == 2
    assert len(source.asked) == 3


async def test_what_is_evicted_meanwhile_is_fetched_again(tmp_path: Path) -> None:
    source, progress = ScriptedSource(CONTENT), Progress()
    async with process(source, tmp_path) as service, trio.open_nursery() as nursery:
        with warming(service) as run:
            nursery.start_soon(run.fetch, MEDIA, VERSION, progress)
            with trio.fail_after(10):
                while progress.held < 6 * MIB:
                    await trio.lowlevel.checkpoint()
            assert service.cache is not None
            assert await service.cache.evict({MEDIA.id}) > 5 * MIB
    async with process(source, tmp_path) as service:
        with nothing_asked(source):
            assert await read_whole(service, MEDIA) == CONTENT


async def test_a_disk_that_refuses_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    source = ScriptedSource(CONTENT)
    async with process(source, tmp_path) as service:
        monkeypatch.setattr(os, "pwritev", full)
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(NoRoom):
            await warmed(service)
        monkeypatch.undo()
    assert source.sent < SIZE
    assert "No space left on device" in caplog.text
    caplog.clear()


# --- what goes wrong -------------------------------------------------------------------------------------


async def test_a_media_that_is_deleted_meanwhile_is_fetched_no_further(tmp_path: Path) -> None:
    source, progress = ScriptedSource(CONTENT), Progress()
    async with process(source, tmp_path) as service:

        async def delete() -> None:
            while progress.held < 2 * MIB:
                await trio.lowlevel.checkpoint()
            service.forget({MEDIA.id})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(delete)
            with warming(service) as run, pytest.raises(Changed, match="deleted"):
                await run.fetch(MEDIA, VERSION, progress)
        await at_rest(service)
        assert service.cached(VERSION) == 0
    assert source.sent < SIZE
    assert [name for name in os.listdir(tmp_path / "bytes") if not name.endswith(".part")] == []


async def test_what_came_before_a_failure_stays_and_a_second_run_goes_on(tmp_path: Path) -> None:
    faults = [Fault(cut_after=5 * MIB), *[Fault(refuse=Unavailable("away"))] * 9]
    source = ScriptedSource(CONTENT, faults)
    async with process(source, tmp_path) as service:
        with pytest.raises(Unavailable):
            await warmed(service)
    source.sent = 0
    source.faults.clear()
    async with process(source, tmp_path) as service:
        progress = await warmed(service)
        assert progress.before >= 4 * MIB
        assert source.sent <= SIZE - progress.before + 2 * source.chunk
        with nothing_asked(source):
            assert await read_whole(service, MEDIA) == CONTENT


async def test_what_the_service_refuses_is_said(tmp_path: Path) -> None:
    source = ScriptedSource(CONTENT, [Fault(refuse=NotReady("not yet"))])
    async with process(source, tmp_path) as service:
        with pytest.raises(NotReady, match="not yet"):
            await warmed(service)
    assert len(source.asked) == 1


async def test_live_names_are_not_kept(tmp_path: Path) -> None:
    source = ScriptedSource(CONTENT)
    async with process(source, tmp_path) as service:
        with pytest.raises(Unsupported):
            await warmed(service, named("m1", fleeting=True))
    assert source.asked == []


# --- the service's rate limit ----------------------------------------------------------------------------


async def test_a_limit_that_says_for_how_long_is_waited_for(tmp_path: Path) -> None:
    source = ScriptedSource(CONTENT, [Fault(refuse=Late("throttled", wait_s=0.1))])
    async with process(source, tmp_path) as service:
        progress = await warmed(service)
        assert progress.held == SIZE
        assert not progress.waits
    assert source.spans == [Span(0), Span(0)]


async def test_a_service_that_is_only_slow_is_not_waited_for_again(tmp_path: Path) -> None:
    source = ScriptedSource(CONTENT, [Fault(refuse=Late("silent"))])
    async with process(source, tmp_path) as service:
        with pytest.raises(Late):
            await warmed(service)
    assert len(source.asked) == 1


async def test_nothing_is_begun_while_there_is_no_request_to_spare(tmp_path: Path) -> None:
    source, progress = ScriptedSource(CONTENT), Progress()
    source.to_spare = 0
    async with process(source, tmp_path) as service, trio.open_nursery() as nursery:
        with warming(service) as run:
            nursery.start_soon(run.fetch, MEDIA, VERSION, progress)
            with trio.fail_after(10):
                while not progress.waits:
                    await trio.lowlevel.checkpoint()
            assert source.asked == []
            source.to_spare = 1
    assert source.spans == [Span(0)]


async def test_no_more_are_begun_at_once_than_there_are_to_spare(tmp_path: Path) -> None:
    source = _Slow(CONTENT)
    source.to_spare = 2
    media = [named(f"m{number}", 64 * KIB) for number in range(5)]
    source.content = CONTENT[: 64 * KIB]
    async with process(source, tmp_path) as service, trio.open_nursery() as nursery:
        with warming(service) as run:
            for each in media:
                nursery.start_soon(run.fetch, each, version_of(each), Progress())
            await trio.sleep(0.6)
            assert len(source.asked) == 2
            source.gate.set()
            source.to_spare = None
    assert len(source.asked) == 5


class _Slow(ScriptedSource):
    """Answers nobody before `gate` is set."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.gate = trio.Event()

    async def _chunks(self, data: bytes, fault: Fault) -> AsyncGenerator[bytes, None]:
        await self.gate.wait()
        async for chunk in super()._chunks(data, fault):
            yield chunk
