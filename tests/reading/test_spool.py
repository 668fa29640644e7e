"""Services without ranges, media without a size, and the spool file itself."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from mediafs.errors import Changed, InvalidReply, Late, NoRoom, Unavailable
from mediafs.model import MediaId, Span, Version
from mediafs.reading import ReadingOptions, Store, reading
from mediafs.reading.reader import Reader
from mediafs.reading.service import Reading
from mediafs.reading.spool import make_spool

from .scripted import KIB, MIB, Fault, MemoryStore, ScriptedSource, a_media, some_bytes, version_of

READ = 128 * KIB
BIG = some_bytes(3 * MIB + 17)


def options(directory: Path) -> ReadingOptions:
    # Half of the memory has no room for BIG: it goes to disk.
    return ReadingOptions(memory=4 * MIB, window=512 * KIB, whole_below=64 * KIB, spool_directory=directory)


def roomy(directory: Path) -> ReadingOptions:
    return ReadingOptions(memory=8 * MIB, whole_below=64 * KIB, spool_directory=directory)


def opened(service: Reading, content: bytes = BIG, *, size_known: bool = True) -> Reader:
    media = a_media(len(content) if size_known else None)
    return service.open(media, version_of(media))


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_random_reads_without_ranges_are_one_get(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, ranges=False)
    before = open_descriptors()
    async with reading(source, options(tmp_path)) as service:
        reader, other = opened(service), opened(service)
        for at in (2 * MIB, 0, 1234567, len(BIG) - 10, 5):
            assert await reader.read(at, READ) == BIG[at : at + READ]
            assert await other.read(at, READ) == BIG[at : at + READ]
        assert service.statistics().spools == 1
        assert os.listdir(tmp_path) == []
        await reader.close()
        assert await other.read(7, 7) == BIG[7:14]
        await other.close()
        assert service.statistics().spools == 0
        assert open_descriptors() <= before + 2
    assert source.spans == [Span(2 * MIB, 2 * MIB + READ)]


async def test_a_deleted_media_leaves_its_spool_at_once(tmp_path: Path) -> None:
    """Although it is open: what was deleted is nowhere on disk."""
    source = ScriptedSource(BIG, ranges=False)
    before = open_descriptors()
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        assert await reader.read(2 * MIB, READ) == BIG[2 * MIB : 2 * MIB + READ]
        await trio.testing.wait_all_tasks_blocked(0.05)
        service.forget({a_media(len(BIG)).id})
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert service.statistics().spools == 0
        assert open_descriptors() <= before + 2
        with pytest.raises(Changed):
            await reader.read(MIB, READ)
        await reader.close()
    assert len(source.spans) == 1


async def test_concurrent_first_reads_without_ranges_are_one_get(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, ranges=False)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)

        async def fetch(at: int) -> None:
            assert await reader.read(at, READ) == BIG[at : at + READ]

        async with trio.open_nursery() as nursery:
            for at in (2 * MIB, 0, 1 * MIB, len(BIG) - 10):
                nursery.start_soon(fetch, at)
        await reader.close()
    assert len(source.asked) == 1


async def test_that_an_account_has_no_ranges_is_remembered_until_it_has(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, ranges=False)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        await reader.read(2 * MIB, READ)
        await reader.close()
        reader = opened(service)
        await reader.read(2 * MIB, READ)
        await reader.close()
        assert source.spans[1] == Span(0)
        source.ranges = True
        reader = opened(service)
        assert await reader.read(2 * MIB, READ) == BIG[2 * MIB : 2 * MIB + READ]
        await reader.close()
    assert source.spans[2:] == [Span(0), Span(2 * MIB, 2 * MIB + READ)]


async def test_a_read_is_served_as_the_spool_fills(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, [Fault(stall_after=1 * MIB)], ranges=False)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        assert await reader.read(0, READ) == BIG[:READ]
        assert await reader.read(512 * KIB, READ) == BIG[512 * KIB :][:READ]
        await reader.close()


@pytest.mark.parametrize("cut", [0, 1, 1 * MIB, len(BIG)])
async def test_a_cut_without_ranges_starts_again_in_a_fresh_spool(tmp_path: Path, cut: int) -> None:
    source = ScriptedSource(BIG, [Fault(cut_after=cut)], ranges=False)
    before = open_descriptors()
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        assert await reader.read(0, len(BIG)) == BIG
        await reader.close()
        assert open_descriptors() <= before + 2
    assert source.spans == [Span(0), Span(0)]


async def test_restarts_are_bounded_however_far_each_body_came(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, [Fault(cut_after=n * 64 * KIB) for n in range(1, 40)], ranges=False)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        with pytest.raises(Unavailable):
            await reader.read(len(BIG) - 10, 10)
        await reader.close()
    assert len(source.asked) == 4


async def test_changed_content_is_not_spooled_over_the_old(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, [Fault(cut_after=1 * MIB)], ranges=False)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        await reader.read(0, READ)
        await trio.testing.wait_all_tasks_blocked(0.05)
        source.content, source.etag = bytes(reversed(BIG)), '"two"'
        with pytest.raises(Changed):
            await reader.read(2 * MIB, READ)
        with pytest.raises(Changed):
            await reader.read(0, READ)
        await reader.close()


async def test_ranges_that_are_ignored_on_the_way_lead_to_a_spool(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, [None, Fault(ignore_range=True)], etag=None)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        await reader.read(0, READ)
        assert await reader.read(2 * MIB + 5, READ) == BIG[2 * MIB + 5 :][:READ]
        assert await reader.read(0, len(BIG)) == BIG
        await reader.close()
    assert len(source.asked) == 2


async def test_a_whole_body_with_the_etag_of_if_range_is_an_ignored_range(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, [None, Fault(ignore_range=True)])
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        await reader.read(0, READ)
        assert await reader.read(2 * MIB + 5, READ) == BIG[2 * MIB + 5 :][:READ]
        assert await reader.read(0, len(BIG)) == BIG
        await reader.close()
    assert [each.if_range for each in source.asked] == [None, '"one"']


async def test_a_cut_body_is_started_again_where_its_resumption_ignores_the_range(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, [Fault(cut_after=1 * MIB), Fault(ignore_range=True)])
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        assert await reader.read(0, len(BIG)) == BIG
        await reader.close()
    assert [each.if_range for each in source.asked] == [None, '"one"']


@pytest.mark.parametrize("etag", [None, '"two"', 'W/"one"'])
async def test_a_whole_body_with_another_etag_than_that_of_if_range_is_changed_content(
    tmp_path: Path, etag: str | None
) -> None:
    source = ScriptedSource(BIG)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service)
        await reader.read(0, READ)
        source.etag = etag
        with pytest.raises(Changed):
            await reader.read(2 * MIB, READ)
        await reader.close()


async def test_a_body_that_memory_has_room_for_needs_no_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = ScriptedSource(BIG, ranges=False)
    async with reading(source, roomy(tmp_path / "file")) as service:
        reader, other = opened(service), opened(service)
        for at in (2 * MIB, 0, 1234567, len(BIG) - 10, 5):
            assert await reader.read(at, READ) == BIG[at : at + READ]
            assert await other.read(at, READ) == BIG[at : at + READ]
        assert service.statistics().memory == len(BIG)
        assert service.statistics().spools == 1
        await reader.close()
        assert await other.read(7, 7) == BIG[7:14]
        await other.close()
        assert service.statistics().memory == 0
    assert len(source.asked) == 1


async def test_what_half_of_the_memory_has_no_room_for_goes_to_disk(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, ranges=False)
    async with reading(source, roomy(tmp_path)) as service:
        before = open_descriptors()
        readers = []
        for number in range(3):
            media = replace(a_media(len(BIG)), id=MediaId(f"m{number}"))
            readers.append(service.open(media, version_of(media)))
            assert await readers[-1].read(0, len(BIG)) == BIG
            assert service.statistics().memory == len(BIG)
        assert open_descriptors() >= before + 2
        for reader in readers:
            await reader.close()
        assert service.statistics().memory == 0


@pytest.mark.parametrize("cut", [0, 1, 1 * MIB, len(BIG)])
async def test_a_cut_gives_the_memory_back_that_the_body_had(tmp_path: Path, cut: int) -> None:
    (tmp_path / "file").touch()
    source = ScriptedSource(BIG, [Fault(cut_after=cut)] * 3, ranges=False)
    async with reading(source, roomy(tmp_path / "file")) as service:
        reader = opened(service)
        assert await reader.read(0, len(BIG)) == BIG
        assert service.statistics().memory == len(BIG)
        await reader.close()
        assert service.statistics().memory == 0


async def test_no_room_is_an_error_and_never_a_partial_file() -> None:
    stores: list[MemoryStore] = []

    async def small_disk(version: Version, size: int | None) -> Store:
        stores.append(MemoryStore(failing_at=1 * MIB, error=NoRoom("full")))
        return stores[-1]

    source = ScriptedSource(BIG, ranges=False)
    async with reading(source, ReadingOptions(), make_store=small_disk) as service:
        reader = opened(service)
        with pytest.raises(NoRoom):
            await reader.read(len(BIG) - 10, 10)
        await reader.close()
    assert [store.discarded for store in stores] == [True]
    assert not stores[0].finished


async def test_a_folder_that_cannot_be_written_is_no_room(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = ScriptedSource(BIG, ranges=False)
    async with reading(source, options(tmp_path / "file")) as service:
        reader = opened(service)
        with pytest.raises(NoRoom, match="spool file"):
            await reader.read(0, 10)
        await reader.close()


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_size_that_the_headers_tell_costs_one_get(tmp_path: Path, ranges: bool) -> None:
    source = ScriptedSource(BIG, ranges=ranges)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service, size_known=False)
        assert await reader.settle() == len(BIG)
        assert await reader.settle() == len(BIG)
        assert await reader.read(0, len(BIG) + 5) == BIG
        await reader.close()
    assert source.spans == [Span(0)]


async def test_a_size_that_nothing_tells_is_known_once_the_body_is_spooled(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, ranges=False, tells_size=False)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service, size_known=False)
        assert await reader.settle() == len(BIG)
        assert await reader.read(len(BIG) - 7, 100) == BIG[-7:]
        await reader.close()
    assert source.spans == [Span(0)]


async def test_a_part_of_unknown_size_is_refused(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, tells_size=False)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service, size_known=False)
        with pytest.raises(InvalidReply):
            await reader.settle()
        await reader.close()


async def test_settling_is_late_while_the_spool_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async def memory_store(version: Version, size: int | None) -> Store:
        return MemoryStore()

    source = ScriptedSource(BIG, ranges=False, tells_size=False, pace_s=2.0)
    async with reading(source, ReadingOptions(), make_store=memory_store) as service:
        reader = opened(service, size_known=False)
        with pytest.raises(Late):
            await reader.settle()
        assert await reader.settle() == len(BIG)
        await reader.close()
    assert source.spans == [Span(0)]


async def test_a_known_size_is_settled_without_a_request() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, ReadingOptions()) as service:
        assert await opened(service).settle() == len(BIG)
    assert source.asked == []


async def test_leaving_the_room_closes_open_spools(tmp_path: Path) -> None:
    source = ScriptedSource(BIG, ranges=False)
    before = open_descriptors()
    async with reading(source, options(tmp_path)) as service:
        await opened(service).read(0, len(BIG))
    assert open_descriptors() <= before + 2


async def test_a_spool_file_has_no_name_and_is_its_owners(tmp_path: Path) -> None:
    spool = await make_spool(tmp_path / "made")
    await spool.put(0, b"abc")
    assert os.listdir(tmp_path / "made") == []
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    assert await spool.get(1, 2) == b"bc"
    with pytest.raises(Unavailable, match="shorter"):
        await spool.get(1, 3)
    spool.discard()
    spool.discard()
    with pytest.raises(Unavailable):
        await spool.get(0, 1)


async def test_without_nameless_files_a_spool_is_unlinked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def no_tmpfile(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "open", no_tmpfile)
    spool = await make_spool(tmp_path)
    await spool.put(0, b"abc")
    assert await spool.get(0, 3) == b"abc"
    assert os.listdir(tmp_path) == []
    spool.discard()


async def test_discarding_waits_for_the_thread_that_uses_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor closed under a thread may be another file's the next moment."""
    spool = await make_spool(tmp_path)
    real_pwrite, begun, go_on = os.pwrite, trio.Event(), threading.Event()

    def slow_pwrite(descriptor: int, data: bytes, offset: int) -> int:
        trio.from_thread.run_sync(begun.set)
        assert go_on.wait(10)
        return real_pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", slow_pwrite)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.put, 0, b"abc")
        await begun.wait()
        spool.discard()
        before = open_descriptors()
        go_on.set()
    assert open_descriptors() == before - 1


async def test_a_service_that_honours_ranges_only_now_and_then_shifts_no_byte(tmp_path: Path) -> None:
    """A cut stream starts again at byte 0 once ranges failed elsewhere; what it had is not the start."""
    content = BIG[: 400 * KIB]
    faults = [None, Fault(cut_after=100 * KIB), Fault(ignore_range=True, cut_after=10)]
    for seed in range(8):
        source = ScriptedSource(content, faults, etag=None, chunk=10_000)
        small = ReadingOptions(memory=0, whole_below=0, gap=0, window=1, spool_directory=tmp_path)
        async with reading(source, small) as service:
            probe = opened(service, content)
            assert await probe.read(len(content) - 5, 5) == content[-5:]

            async def fetch(reader: Reader, at: int, after: int) -> None:
                for _ in range(after):
                    await trio.lowlevel.checkpoint()
                assert await reader.read(at, 200 * KIB) == content[at : at + 200 * KIB]

            async with trio.open_nursery() as nursery:
                nursery.start_soon(fetch, probe, 0, 0)
                nursery.start_soon(fetch, probe, 200 * KIB, seed)
            await probe.close()


@pytest.mark.parametrize("tells_size", [True, False])
async def test_an_empty_body_is_not_believed_where_no_record_tells_the_size(
    tells_size: bool, tmp_path: Path
) -> None:
    source = ScriptedSource(b"", ranges=False, tells_size=tells_size)
    async with reading(source, options(tmp_path)) as service:
        reader = opened(service, size_known=False)
        with pytest.raises(InvalidReply, match="empty body"):
            await reader.settle()
        source.content = BIG
        assert await reader.settle() == len(BIG), "and it is not the size from now on"
        await reader.close()
