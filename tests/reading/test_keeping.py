"""What reading keeps on disk: when it asks the service again, and when not; a disk that has no room."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from mediafs.errors import Changed, InvalidReply, Late, NoRoom, Unavailable
from mediafs.model import Media, MediaId, Span
from mediafs.reading import CacheOptions, ReadingOptions, reading
from mediafs.reading.service import Reading

from .scripted import KIB, MIB, Fault, ScriptedSource, a_media, some_bytes, version_of

BIG = some_bytes(3 * MIB + 17)
READ = 128 * KIB


def options(folder: Path, *, memory: int = 4 * MIB, size: int = 1 << 30) -> ReadingOptions:
    """Half of the memory has no room for BIG."""
    cache = CacheOptions(folder=folder / "bytes", realm="here", size=size)
    return ReadingOptions(
        memory=memory,
        window=512 * KIB,
        whole_below=64 * KIB,
        gap=64 * KIB,
        spool_directory=folder / "spool",
        cache=cache,
    )


@asynccontextmanager
async def process(
    source: ScriptedSource, folder: Path, *, memory: int = 4 * MIB, size: int = 1 << 30
) -> AsyncIterator[Reading]:
    """As one mount has it."""
    async with reading(source, options(folder, memory=memory, size=size)) as service:
        yield service


def limited(content: bytes = BIG, *, size_known: bool = True) -> Media:
    return replace(a_media(len(content) if size_known else None), download_once=True)


async def read_whole(service: Reading, media: Media) -> bytes:
    reader = service.open(media, version_of(media))
    try:
        size = await reader.settle()
        parts = [await reader.read(at, READ) for at in range(0, size, READ)]
        return b"".join(parts)
    finally:
        await reader.close()


async def at_rest(service: Reading) -> None:
    """Nothing is under way any more, and nothing is held open."""
    with trio.fail_after(10):
        while service.statistics().spools or service.statistics().streams:  # noqa: ASYNC110
            await trio.sleep(0.01)


def kept(folder: Path) -> list[str]:
    return os.listdir(folder / "bytes") if (folder / "bytes").exists() else []


# --- services without ranges ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [BIG, BIG[: 300 * KIB], BIG[:1], b""], ids=["big", "small", "byte", "empty"]
)
async def test_what_was_fetched_whole_is_not_fetched_again_also_by_the_next_process(
    tmp_path: Path, content: bytes
) -> None:
    source, media = ScriptedSource(content, ranges=False), a_media(len(content))
    for _ in range(2):
        async with process(source, tmp_path) as service:
            for _ in range(2):
                assert await read_whole(service, media) == content
                await at_rest(service)
            assert service.cached(version_of(media)) == len(content) or not content
    assert len(source.asked) == (1 if content else 0)


async def test_who_closes_with_the_last_byte_does_not_throw_away_what_is_just_being_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, media, real = ScriptedSource(BIG, ranges=False), a_media(len(BIG)), os.fsync
    begun, go_on = trio.Event(), trio.Event()

    def slow(descriptor: int) -> None:
        trio.from_thread.run_sync(begun.set)
        trio.from_thread.run(go_on.wait)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
        await begun.wait()
        again = service.open(media, version_of(media))
        assert await again.read(5, 5) == BIG[5:10], "who comes meanwhile reads what is there"
        await again.close()
        go_on.set()
    assert len(kept(tmp_path)) == 1
    assert len(source.asked) == 1


async def test_a_mount_that_ends_while_it_is_being_kept_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, media, real = ScriptedSource(BIG, ranges=False), a_media(len(BIG)), os.fsync
    begun = trio.Event()

    def slow(descriptor: int) -> None:
        trio.from_thread.run_sync(begun.set)
        trio.from_thread.run(trio.sleep, 0.2)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
        await begun.wait()
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
    assert len(source.asked) == 1


async def test_a_reader_that_leaves_early_leaves_nothing_behind(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, [Fault(stall_after=1 * MIB)], ranges=False), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        reader = service.open(media, version_of(media))
        assert await reader.read(0, READ) == BIG[:READ]
        await reader.close()
        assert kept(tmp_path) == []
        cache = service.statistics().cache
        assert cache is not None
        assert cache.bytes == 0
        assert await read_whole(service, media) == BIG


@pytest.mark.parametrize("cut", [0, 1, 1 * MIB, len(BIG)])
async def test_a_cut_body_is_not_kept_and_the_whole_one_is(tmp_path: Path, cut: int) -> None:
    source, media = ScriptedSource(BIG, [Fault(cut_after=cut)], ranges=False), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
    assert len(source.asked) == 2


async def looked_through(service: Reading) -> None:
    """Until then what comes is not written, and a process that ends meanwhile leaves nothing."""
    assert service.cache is not None
    await service.cache.wait_scanned()


async def test_what_was_read_is_kept_and_needs_no_service(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        await looked_through(service)
        assert await read_whole(service, media) == BIG
        cache = service.statistics().cache
        assert cache is not None
    assert len(source.asked) == 1
    source.gone = True
    async with process(source, tmp_path) as service:
        await looked_through(service)
        assert await read_whole(service, media) == BIG
        assert service.cached(version_of(media)) == len(BIG)
    assert len(source.asked) == 1


async def test_of_what_is_kept_in_part_the_rest_is_fetched(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        await looked_through(service)
        reader = service.open(media, version_of(media))
        assert await reader.read(2 * MIB, 256 * KIB) == BIG[2 * MIB : 2 * MIB + 256 * KIB]
        await reader.close()
    async with process(source, tmp_path) as service:
        await looked_through(service)
        assert await read_whole(service, media) == BIG
    # Up to what is there, for it is long enough, and then the rest.
    middle = Span(2 * MIB, 2 * MIB + 256 * KIB)
    assert source.spans == [middle, Span(0, middle.start), Span(middle.stop or 0)]
    assert source.sent <= len(BIG) + 3 * source.chunk


async def test_what_is_kept_of_another_content_is_not_mixed_with_it(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        await looked_through(service)
        reader = service.open(media, version_of(media))
        await reader.read(0, 1 * MIB)
        await reader.close()
    other = bytes(byte ^ 1 for byte in BIG)
    source.content, source.etag = other, '"two"'
    async with process(source, tmp_path) as service:
        await looked_through(service)
        reader = service.open(media, version_of(media))
        assert await reader.read(0, READ) == BIG[:READ]
        with pytest.raises(Changed):
            await reader.read(2 * MIB, READ)
        await reader.close()
        assert await read_whole(service, media) == other, "and what was kept is gone"


async def test_a_deleted_media_is_gone_from_the_disk(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG), a_media(len(BIG))
    async with process(source, tmp_path, memory=1 * MIB) as service:
        await looked_through(service)
        assert await read_whole(service, media) == BIG
        reader = service.open(media, version_of(media))
        await reader.read(0, READ)
        service.forget({media.id})
        assert kept(tmp_path) == []
        with pytest.raises(Changed):
            await reader.read(1 * MIB, READ)
        await reader.close()
    assert kept(tmp_path) == []


async def test_a_body_that_turns_out_wrong_is_not_kept(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, [Fault(extra=b"more")]), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        await looked_through(service)
        with suppress(InvalidReply):  # where somebody waited for it when it turned out wrong
            assert await read_whole(service, media) == BIG
        assert await read_whole(service, media) == BIG
    assert 2 <= len(source.asked) <= 3
    source.gone = True
    async with process(source, tmp_path) as service:
        await looked_through(service)
        reader = service.open(media, version_of(media))
        assert await reader.read(3 * MIB, 17) == BIG[3 * MIB :], "of the second"
        with suppress(Changed):  # what came of the first is held no more
            for at in range(0, len(BIG), READ):
                assert await reader.read(at, READ) == BIG[at : at + READ]
        await reader.close()


async def test_a_disk_that_breaks_while_it_is_read_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, media = ScriptedSource(BIG), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        await looked_through(service)
        assert await read_whole(service, media) == BIG
    (file,) = kept(tmp_path)
    with (tmp_path / "bytes" / file).open("r+b") as body:
        body.seek(1 * MIB)
        body.write(bytes(64 * KIB))
    async with process(source, tmp_path) as service:
        await looked_through(service)
        assert await read_whole(service, media) == BIG
    assert 2 <= len(source.asked) <= 3
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["WARNING"]
    caplog.clear()


async def test_a_content_of_which_another_etag_was_seen_is_fetched_anew(tmp_path: Path) -> None:
    """The record may not show that the content is another."""
    source, media = ScriptedSource(BIG, ranges=False), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        await read_whole(service, media)
    new = bytes(reversed(BIG))
    source.content, source.etag, source.ranges = new, '"two"', True
    async with process(source, tmp_path) as service:
        reader = service.open(media, version_of(media))
        reader._content.sought = None  # as if it had not been found the first time
        assert await reader.read(0, READ) == new[:READ]
        await reader.close()
        assert await read_whole(service, media) == new


async def test_a_body_that_is_damaged_on_disk_is_fetched_anew(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, ranges=False), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        await read_whole(service, media)
        await at_rest(service)
        path = tmp_path / "bytes" / kept(tmp_path)[0]
        reader = service.open(media, version_of(media))
        assert await reader.read(0, READ) == BIG[:READ]
        with path.open("r+b") as file:
            file.seek(2 * MIB)
            file.write(b"damage")
        assert await reader.read(2 * MIB, READ) == BIG[2 * MIB : 2 * MIB + READ]
        assert await reader.read(0, len(BIG)) == BIG
        await reader.close()
    assert len(source.asked) == 2


async def test_a_deletion_takes_it_from_the_disk_also_from_who_reads_it(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, ranges=False), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        await read_whole(service, media)
        await at_rest(service)
        reader = service.open(media, version_of(media))
        await reader.read(0, 1)
        service.forget({media.id})
        assert kept(tmp_path) == []
        with pytest.raises(Changed):
            await reader.read(0, len(BIG))
        cache = service.statistics().cache
        assert cache is not None
        assert cache.bytes == 0, "the disk has them no longer, either"
        await reader.close()
        source.gone = True
        again = service.open(media, version_of(media))
        with pytest.raises(Exception, match="no such media"):
            await again.read(0, 1)
        await again.close()


# --- media whose size only their body tells --------------------------------------------------------------


@pytest.mark.parametrize("tells_size", [True, False])
async def test_a_size_that_was_settled_costs_one_download_for_good(tmp_path: Path, tells_size: bool) -> None:
    source = ScriptedSource(BIG, ranges=False, tells_size=tells_size)
    unknown, known = a_media(None), a_media(len(BIG))
    async with process(source, tmp_path) as service:
        reader = service.open(unknown, version_of(unknown))
        assert await reader.settle() == len(BIG)
        assert reader.version == version_of(known)
        other = service.open(known, version_of(known))
        assert other.content is reader.content, "the catalogue knows the size by now"
        assert await other.read(0, len(BIG)) == BIG
        await reader.close()
        await other.close()
        assert await read_whole(service, known) == BIG
    async with process(source, tmp_path) as service:
        assert await read_whole(service, known) == BIG
    assert len(source.asked) == 1


async def test_an_opening_that_came_too_late_is_not_lost(tmp_path: Path) -> None:
    """A body without a length that takes longer than any deadline: it goes on when all have given up."""
    source = ScriptedSource(BIG, ranges=False, tells_size=False, chunk=256 * KIB, pace_s=0.05)
    media, patience = a_media(None), replace(options(tmp_path), total_s=0.25)
    async with reading(source, patience) as service:
        for _ in range(2):
            reader = service.open(media, version_of(media))
            with pytest.raises(Late):
                await reader.settle()
            await reader.close()
        await at_rest(service)
        assert await read_whole(service, media) == BIG
    async with reading(source, patience) as service:
        assert await read_whole(service, media) == BIG, "also where the catalogue never learnt the size"
        assert await read_whole(service, a_media(len(BIG))) == BIG
    assert len(source.asked) == 1


# --- media of which each download counts -----------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size_known", [True, False])
async def test_a_limited_media_is_downloaded_once(tmp_path: Path, ranges: bool, size_known: bool) -> None:
    """Also with two readers at once, read anywhere, closed early, and over a remount."""
    source, media = ScriptedSource(BIG, ranges=ranges), limited(size_known=size_known)
    async with process(source, tmp_path) as service:

        async def read_at(at: int) -> None:
            reader = service.open(media, version_of(media))
            assert await reader.read(at, READ) == BIG[at : at + READ]
            await reader.close()

        async with trio.open_nursery() as nursery:
            for at in (2 * MIB, 0, len(BIG) - 10, 5, 2 * MIB):
                nursery.start_soon(read_at, at)
        await at_rest(service)
        assert await read_whole(service, media) == BIG
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
        assert await read_whole(service, limited()) == BIG
    assert source.spans == [Span(0)]


async def test_a_reader_that_leaves_does_not_end_the_one_download(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, pace_s=0.01), limited()
    async with process(source, tmp_path) as service:
        reader = service.open(media, version_of(media))
        with trio.move_on_after(0.05):
            await reader.read(len(BIG) - 10, 10)
        await reader.close()
        await at_rest(service)
        assert await read_whole(service, media) == BIG
    assert len(source.asked) == 1


@pytest.mark.parametrize("cut", [1, 1 * MIB, len(BIG) - 1, len(BIG)])
async def test_the_rest_of_a_cut_limited_body_is_asked_for_once(tmp_path: Path, cut: int) -> None:
    source, media = ScriptedSource(BIG, [Fault(cut_after=cut)]), limited()
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
    first, second = source.asked
    assert first.span == Span(0)
    assert 0 < second.span.start <= cut
    assert second.if_range == '"one"'


async def test_a_service_that_sends_all_of_it_again_is_believed(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, [Fault(cut_after=1 * MIB)], ranges=False), limited()
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
    async with process(source, tmp_path) as service:
        assert await read_whole(service, media) == BIG
    assert len(source.asked) == 2


@pytest.mark.parametrize(
    ("faults", "etag", "requests"),
    [
        ([Fault(cut_after=1 * MIB), Fault(cut_after=1 * MIB)], '"one"', 2),
        ([Fault(cut_after=1 * MIB)], None, 1),
        ([Fault(cut_after=1 * MIB)], 'W/"one"', 1),
        ([Fault(cut_after=0), Fault(cut_after=0)], None, 2),
        ([Fault(content_type="text/html")], '"one"', 1),
        ([Fault(extra=b"x")], '"one"', 1),
    ],
    ids=["cut twice", "no etag", "weak etag", "nothing came, twice", "html", "too long"],
)
async def test_a_limited_download_that_failed_is_not_repeated_while_it_is_open(
    tmp_path: Path, faults: list[Fault], etag: str | None, requests: int
) -> None:
    source, media = ScriptedSource(BIG, faults, etag=etag), limited()
    async with process(source, tmp_path) as service:
        reader = service.open(media, version_of(media))
        for _ in range(3):
            with pytest.raises((Unavailable, InvalidReply)):
                await reader.read(len(BIG) - 10, 10)
        assert len(source.asked) == requests
        await reader.close()
        assert kept(tmp_path) == []
        assert await read_whole(service, media) == BIG, "opening it again is asking for it again"
    assert len(source.asked) == requests + 1


async def test_a_request_that_was_not_answered_does_not_count(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, [Fault(refuse=Unavailable("down"))]), limited()
    async with process(source, tmp_path) as service:
        reader = service.open(media, version_of(media))
        with pytest.raises(Unavailable):
            await reader.read(0, 10)
        assert await reader.read(0, 10) == BIG[:10]
        await reader.close()
    assert len(source.asked) == 2


async def test_changed_content_does_not_continue_a_limited_body(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, [Fault(cut_after=1 * MIB)], pace_s=0.005), limited()
    async with process(source, tmp_path) as service:
        reader = service.open(media, version_of(media))
        await reader.read(0, 10)
        source.content, source.etag = bytes(reversed(BIG)), '"two"'
        with pytest.raises(Changed):
            await reader.read(2 * MIB, 10)
        await reader.close()
        assert kept(tmp_path) == []


async def test_what_cannot_be_kept_is_not_downloaded(tmp_path: Path) -> None:
    for size in (0, 2 * MIB):
        source, media = ScriptedSource(BIG), limited()
        async with process(source, tmp_path, size=size) as service:
            reader = service.open(media, version_of(media))
            for _ in range(2):
                with pytest.raises(NoRoom, match=r"raise size of \[cache\]"):
                    await reader.read(0, 10)
            await reader.close()
        assert source.asked == []


async def test_without_a_disk_cache_memory_keeps_it_until_the_mount_ends(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG), limited()
    async with process(source, tmp_path, size=0, memory=16 * MIB) as service:
        for _ in range(2):
            assert await read_whole(service, media) == BIG
        assert service.statistics().memory == len(BIG)
        service.forget({media.id})
        assert service.statistics().memory == 0
        assert service.statistics().spools == 0
    assert len(source.asked) == 1


async def test_a_limited_body_is_not_evicted_for_another(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, ranges=False), limited()
    async with process(source, tmp_path, size=6 * MIB) as service:
        await read_whole(service, media)
        for number in range(3):
            assert await read_whole(service, replace(a_media(len(BIG)), id=MediaId(f"o{number}"))) == BIG
        await at_rest(service)
        assert await read_whole(service, media) == BIG
    assert len(source.asked) == 4


async def test_a_limited_media_that_was_deleted_while_it_came_leaves_nothing(tmp_path: Path) -> None:
    source, media = ScriptedSource(BIG, [Fault(stall_after=1 * MIB)]), limited()
    async with process(source, tmp_path) as service:
        reader = service.open(media, version_of(media))
        await reader.read(0, 10)
        await reader.close()
        assert len(kept(tmp_path)) == 1
        service.forget({media.id})
        assert kept(tmp_path) == []
        await at_rest(service)
        cache = service.statistics().cache
        assert cache is not None
        assert cache.bytes == 0


# --- disks without room ----------------------------------------------------------------------------------


@contextmanager
def disk_of(folder: Path, size: int) -> Iterator[Path]:
    """A disk of so many bytes. Only root can have one."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk is root's; the limit of a process stands in for it")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("size_known", [True, False])
async def test_a_full_disk_means_no_caching_one_warning_and_right_bytes(
    tmp_path: Path, size_known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What was written of a body when the disk was full is taken over into memory."""
    with disk_of(tmp_path / "disk", 1 * MIB) as disk:
        source = ScriptedSource(BIG, ranges=False, tells_size=size_known)
        media = a_media(len(BIG) if size_known else None)
        async with process(source, disk, memory=16 * MIB, size=100 * MIB) as service:
            for _ in range(2):
                assert await read_whole(service, media) == BIG
            assert kept(disk) == []
            assert service.statistics().memory == 0
        assert len(source.asked) == 2
        assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


@pytest.mark.parametrize("size_known", [True, False])
async def test_a_limit_of_the_file_size_means_no_caching_one_warning_and_right_bytes(
    tmp_path: Path, size_known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    source = ScriptedSource(BIG, ranges=False, tells_size=size_known)
    media = a_media(len(BIG) if size_known else None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 * MIB, before[1]))
    try:
        async with process(source, tmp_path, memory=16 * MIB) as service:
            for _ in range(2):
                assert await read_whole(service, media) == BIG
            assert kept(tmp_path) == []
            assert service.statistics().memory == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(source.asked) == 2
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


async def test_without_room_anywhere_a_body_that_can_only_be_had_whole_is_no_room(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    source, media = ScriptedSource(BIG, ranges=False), a_media(len(BIG))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 * MIB, before[1]))
    try:
        async with process(source, tmp_path) as service:
            reader = service.open(media, version_of(media))
            with pytest.raises(NoRoom):
                await reader.read(len(BIG) - 10, 10)
            await reader.close()
            assert service.statistics().memory == 0
            limited_reader = service.open(limited(), version_of(limited()))
            asked = len(source.asked)
            with pytest.raises(NoRoom):
                await limited_reader.read(0, 10)
            assert len(source.asked) == asked
            await limited_reader.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_can_only_be_read_gives_what_it_has_and_keeps_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with disk_of(tmp_path / "disk", 20 * MIB) as disk:
        source, held = ScriptedSource(BIG, ranges=False), a_media(len(BIG))
        other = replace(held, id=MediaId("other"))
        async with process(source, disk, memory=16 * MIB) as service:
            await read_whole(service, held)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)  # noqa: ASYNC221
        async with process(source, disk, memory=16 * MIB) as service:
            assert await read_whole(service, held) == BIG
            assert len(source.asked) == 1
            for _ in range(2):
                assert await read_whole(service, other) == BIG
        assert len(source.asked) == 3
        assert len(kept(disk)) == 1
        assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


async def test_a_folder_that_may_not_be_written_means_no_caching(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bytes").touch()  # root may write any folder, but not into a file
    source, media = ScriptedSource(BIG, ranges=False), a_media(len(BIG))
    async with process(source, tmp_path, memory=16 * MIB) as service:
        for _ in range(2):
            assert await read_whole(service, media) == BIG
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
