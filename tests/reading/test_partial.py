"""Bodies of which some blocks are held on disk: right bytes or none, under the cap, gone when they go."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import cache as remembered
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import trio
import trio.testing

from mediafs.errors import Unavailable
from mediafs.model import Media, MediaId
from mediafs.reading.disk.blockfile import BlockFile
from mediafs.reading.disk.bodyfile import BLOCK, name_of
from mediafs.reading.disk.cache import DiskCache
from mediafs.reading.disk.partial import PartialBody
from mediafs.reading.disk.writer import BOUND
from mediafs.reading.options import CacheOptions

from .scripted import KIB, MIB, some_bytes, version_of
from .test_cache import blocks, keep, listed, media_of

REPOSITORY = Path(__file__).parents[2]
PIECE = 4 * BLOCK


@remembered
def content_of(size: int, seed: int = 0) -> bytes:
    """Blocks that differ from one another."""
    whole = b"".join(
        some_bytes(64, seed + 97 * number) * (BLOCK // 64) for number in range(size // BLOCK + 1)
    )
    return whole[:size]


def new_cache(
    folder: Path, size: int = 1 << 30, *, keep_free: Callable[[int], int] = lambda disk: 0
) -> DiskCache:
    return DiskCache(CacheOptions(folder=folder, realm="here", size=size, keep_free=keep_free))


@asynccontextmanager
async def cache_in(
    folder: Path, size: int = 1 << 30, *, keep_free: Callable[[int], int] = lambda disk: 0
) -> AsyncIterator[DiskCache]:
    """As one process has it."""
    cache = new_cache(folder, size, keep_free=keep_free)
    await cache.scan()
    try:
        yield cache
    finally:
        await cache.aclose()
        assert cache.statistics().queued == 0


async def opened(
    cache: DiskCache, media: Media, etag: str | None = '"one"', modified: str | None = None
) -> PartialBody:
    assert media.size is not None
    body = await cache.open_partial(media, version_of(media), media.size, etag, modified)
    assert body is not None
    return body


def put(body: PartialBody, content: bytes, start: int = 0, stop: int | None = None) -> list[bool]:
    stop = len(content) if stop is None else stop
    return [body.put_nowait(at, content[at : min(at + PIECE, stop)]) for at in range(start, stop, PIECE)]


async def filled(cache: DiskCache, media: Media, content: bytes) -> None:
    """All of it, and closed."""
    body = await opened(cache, media)
    assert all(put(body, content))
    await body.wait_written()
    body.discard()


def runs(body: PartialBody) -> list[tuple[int, int]]:
    """What is held, in bytes."""
    found, at = [], 0
    while (at := body.missing_until(at)) < body.record.size:
        until = body.held_until(at)
        assert until > at
        found.append((at, until))
        at = until
    assert sum(stop - start for start, stop in found) == body.bytes_held
    return found


async def check(body: PartialBody, content: bytes) -> int:
    """All that is held is right, or is not held once it was asked for; bytes that were right."""
    right = 0
    for start, stop in runs(body):
        for at in range(start, stop, BLOCK):
            try:
                data = await body.get(at, min(BLOCK, stop - at))
            except Unavailable:
                assert body.held_until(at) == at
                continue
            assert data == content[at : at + len(data)]
            right += len(data)
    return right


@contextmanager
def slow_disk() -> Iterator[threading.Event]:
    """Writes wait for the event."""
    go, real = threading.Event(), BlockFile.write

    def write(file: BlockFile, pieces: Any) -> int:
        assert go.wait(10)
        return real(file, pieces)

    with patch.object(BlockFile, "write", write):
        try:
            yield go
        finally:
            go.set()


CALLS = ("mkdir", "open", "pwrite", "pwritev", "rename", "unlink", "utime", "close")
"""All by which blocks change the disk."""


@contextmanager
def around(
    before: Callable[[str, tuple[object, ...]], None] = lambda name, args: None,
    after: Callable[[str, tuple[object, ...]], None] = lambda name, args: None,
) -> Iterator[None]:
    """Calls these before and after every change of the disk that `os` is asked for."""

    def wrapped(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            before(name, args)
            done = real(*args, **kwargs)
            after(name, args)
            return done

        return call

    with ExitStack() as stack:
        for name in CALLS:
            stack.enter_context(patch.object(os, name, wrapped(name)))
        yield


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Who expects a warning clears the log."""
    yield
    assert [each.message for each in caplog.get_records("call") if each.levelno >= logging.WARNING] == []


# --- put, held, got --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17])
async def test_what_was_put_is_held_for_the_next_process(tmp_path: Path, size: int) -> None:
    folder, content, media = tmp_path / "bytes", content_of(size), media_of("a", size)
    async with cache_in(folder) as cache:
        body = await opened(cache, media)
        assert (body.held_until(0), body.missing_until(0), body.bytes_held) == (0, size, 0)
        assert listed(folder) == [], "nothing is made before there is something to keep"
        assert all(put(body, content))
        await body.wait_written()
        assert (body.held_until(0), body.missing_until(0), body.bytes_held) == (size, 0, size)
        assert await body.get(0, size) == content
        assert cache.held(version_of(media)) == size
        body.discard()
        assert cache.held(version_of(media)) == size
        assert cache.media() == {media.id}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    async with cache_in(folder) as cache:
        assert cache.held(version_of(media)) == size
        assert await cache.find(version_of(media)) is None, "it is no whole body, even if all of it is there"
        body = await opened(cache, media, None)
        assert body.record.etag == '"one"'
        assert cache.statistics().hits == 1
        for offset in (0, 1, size // 2, size - 1):
            length = min(1000, size - offset)
            assert await body.get(offset, length) == content[offset : offset + length]
        with pytest.raises(Unavailable):
            await body.get(0, size + 1)
        body.discard()


async def test_only_whole_blocks_are_kept_in_whatever_pieces_they_come(tmp_path: Path) -> None:
    size = 10 * BLOCK + 100
    content, media = content_of(size), media_of("a", size)
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        assert not body.put_nowait(10, content[10:BLOCK])
        assert body.put_nowait(BLOCK - 5, memoryview(content)[BLOCK - 5 : 3 * BLOCK + 5])
        assert body.put_nowait(size - 150, bytearray(content[size - 150 :])), "the last block counts"
        assert not body.put_nowait(size - 50, content[size - 50 :])
        await body.wait_written()
        assert runs(body) == [(BLOCK, 3 * BLOCK), (10 * BLOCK, size)]
        assert (body.held_until(BLOCK + 7), body.missing_until(BLOCK + 7)) == (3 * BLOCK, BLOCK + 7)
        assert (body.held_until(7), body.missing_until(7)) == (7, BLOCK)
        assert (body.held_until(size), body.missing_until(size)) == (size, size)
        with pytest.raises(Unavailable):
            await body.get(2 * BLOCK, BLOCK + 1)
        assert put(body, content) == [True] * 3
        await body.wait_written()
        assert runs(body) == [(0, size)]
        assert await body.get(0, size) == content
        with pytest.raises(ValueError, match="not within"):
            body.put_nowait(size - 1, b"xx")
        body.discard()


async def test_what_is_held_or_on_its_way_is_not_written_twice(tmp_path: Path) -> None:
    media, content, written = media_of("a", MIB), content_of(MIB), 0

    def count(name: str, args: tuple[Any, ...]) -> None:
        nonlocal written
        if name == "pwritev":
            written += sum(map(len, args[1]))

    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        with around(count):
            for _ in range(3):
                assert all(put(body, content))
            await body.wait_written()
            assert all(put(body, content))
            assert body.put_nowait(0, content)
            await body.wait_written()
        assert written == MIB
        body.discard()


async def test_blocks_that_were_not_read_take_up_no_room(tmp_path: Path) -> None:
    size = 64 * MIB
    with (tmp_path / "probe").open("wb") as probe:
        probe.seek(size)
        probe.write(b"x")
    if (tmp_path / "probe").stat().st_blocks * 512 > MIB:
        pytest.skip("the file system has no holes")
    folder, media, content = tmp_path / "bytes", media_of("a", size), content_of(BLOCK)
    async with cache_in(folder) as cache:
        body = await opened(cache, media)
        for number in (1000, 3, 500, 7):
            assert body.put_nowait(number * BLOCK, content)
        await body.wait_written()
        body.discard()
        assert 4 * BLOCK <= blocks(folder) <= 4 * BLOCK + 64 * KIB
        assert blocks(folder) <= cache.statistics().bytes <= 4 * BLOCK + 64 * KIB
        body = await opened(cache, media)
        assert [start // BLOCK for start, _ in runs(body)] == [3, 7, 500, 1000]
        body.discard()


async def test_all_who_open_a_version_share_it_and_the_last_closes_it(tmp_path: Path) -> None:
    media, content = media_of("a", MIB), content_of(MIB)
    async with cache_in(tmp_path) as cache:
        one = await opened(cache, media)
        with slow_disk() as go:
            put(one, content, 0, MIB // 2)
            two = await opened(cache, media)
            assert two is one
            one.discard()
            two.discard()
            three = await opened(cache, media)
            assert three is one, "it was not written yet"
            go.set()
            put(three, content, MIB // 2)
            await three.wait_written()
        three.discard()
        assert not three.put_nowait(0, content), "it is closed"
        four = await opened(cache, media)
        assert four is not one
        assert await check(four, content) == MIB
        four.discard()
    assert not open_files(tmp_path)


def open_files(folder: Path) -> list[str]:
    found = []
    for each in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing
            found.append(os.readlink(f"/proc/self/fd/{each}"))
    return [link for link in found if link.startswith(str(folder))]


async def test_the_queue_is_bounded_and_told(tmp_path: Path) -> None:
    size = BOUND + 8 * MIB
    media, data = media_of("a", size), content_of(PIECE)
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        with slow_disk():
            taken = [body.put_nowait(at, data) for at in range(0, size, PIECE)]
            assert taken.count(True) == BOUND // PIECE
            assert cache.statistics().queued == BOUND
            other = await opened(cache, media_of("b", MIB))
            assert not other.put_nowait(0, data), "the bound is that of all together"
            other.discard()
        await body.wait_written()
        assert cache.statistics().queued == 0
        assert body.bytes_held == BOUND
        body.discard()


async def test_the_writer_comes_with_the_first_block_and_goes_with_the_cache(tmp_path: Path) -> None:
    def writers() -> int:
        return sum(each.name.startswith("mediafs disk cache") for each in threading.enumerate())

    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media_of("a", MIB))
        with trio.fail_after(5):
            while writers():  # those of other tests  # noqa: ASYNC110
                await trio.sleep(0.01)
        put(body, content_of(MIB))
        await body.wait_written()
        assert writers() == 1
        body.discard()
    with trio.fail_after(0.5):
        while writers():  # noqa: ASYNC110
            await trio.sleep(0.001)


async def test_nothing_is_done_on_the_loop_that_could_wait_for_a_disk(tmp_path: Path) -> None:
    media, content, loop = media_of("a", MIB), content_of(MIB), threading.get_ident()

    def look(name: str, args: tuple[object, ...]) -> None:
        assert threading.get_ident() != loop, name

    for _ in range(2):
        cache = new_cache(tmp_path / "bytes", 3 * MIB)
        with around(look):
            body = await opened(cache, media)
            await cache.scan()
            put(body, content)
            await body.wait_written()
            body.identify('"two"', None)
            await filled(cache, media_of("b", MIB), content)
            await filled(cache, media_of("c", MIB), content)
            await cache.pin(media.id)
            await cache.evict({media.id})
            body.discard()
            await cache.aclose()


# --- before the folder was looked through ----------------------------------------------------------------


async def test_an_opening_does_not_wait_for_the_folder_to_be_looked_through(tmp_path: Path) -> None:
    media, other, content = media_of("a", MIB), media_of("b", MIB), content_of(MIB)
    async with cache_in(tmp_path) as cache:
        await filled(cache, media, content)
    cache = new_cache(tmp_path)
    body = await opened(cache, media)
    assert await check(body, content) == MIB
    new = await opened(cache, other)
    assert all(put(new, content)), "it waits in memory until it is known what there is room for"
    assert cache.statistics().queued == MIB
    assert len(listed(tmp_path)) == 1
    await cache.scan()
    await new.wait_written()
    assert await check(new, content) == MIB
    assert cache.statistics().files == 2
    assert cache.statistics().bytes >= blocks(tmp_path)
    body.discard()
    new.discard()
    await cache.aclose()
    assert blocks(tmp_path) <= cache.statistics().bytes <= blocks(tmp_path) + 16 * KIB


async def test_a_deletion_before_the_folder_was_looked_through_takes_it_too(tmp_path: Path) -> None:
    media, content = media_of("a", MIB), content_of(MIB)
    for opens in (True, False):
        async with cache_in(tmp_path) as cache:
            await filled(cache, media, content)
            await cache.pin(media.id)
        cache = new_cache(tmp_path)
        body = await opened(cache, media) if opens else None
        cache.forget({media.id})
        assert listed(tmp_path) == []
        await cache.scan()
        assert cache.held(version_of(media)) == 0
        assert cache.pinned() == set()
        if body is not None:
            assert body.bytes_held == 0
            body.discard()
        await cache.aclose()
        assert cache.statistics().bytes == 0


# --- the cap ---------------------------------------------------------------------------------------------


async def test_the_cap_holds_while_sixteen_are_filled_and_one_is_larger_than_it(tmp_path: Path) -> None:
    cap, most, steps = 24 * MIB, 0, 0
    dice = random.Random(7)

    def measure(name: str, args: tuple[object, ...]) -> None:
        nonlocal most, steps
        steps += 1
        most = max(most, blocks(tmp_path))

    async with cache_in(tmp_path, cap) as cache:

        async def fill(number: int) -> None:
            for turn in range(3):
                size = 40 * MIB if number == 0 else dice.randrange(1, 6 * MIB)
                media, content = media_of(f"{number} {turn}", size), content_of(size, number)
                body = await opened(cache, media)
                places = list(range(0, size, PIECE))
                if number % 2:
                    dice.shuffle(places)
                for at in places:
                    body.put_nowait(at, content[at : at + PIECE])
                    if dice.random() < 0.3:
                        await body.wait_written()
                    assert cache.statistics().bytes <= cap
                await body.wait_written()
                assert await check(body, content) == body.bytes_held
                body.discard()

        with around(after=measure):
            async with trio.open_nursery() as fills:
                for number in range(16):
                    fills.start_soon(fill, number)
        statistics = cache.statistics()
        assert statistics.trouble is None, "that the cap is reached is no trouble"
        assert statistics.files == len(listed(tmp_path))
        assert blocks(tmp_path) <= statistics.bytes <= blocks(tmp_path) + statistics.files * 16 * KIB
    assert 16 * MIB < most <= cap
    assert steps > 200


async def test_what_was_used_longest_ago_goes_first_and_nothing_that_is_open_or_pinned(
    tmp_path: Path,
) -> None:
    content = content_of(MIB)
    a, b, c, d, e, f = (media_of(name, MIB) for name in "abcdef")
    async with cache_in(tmp_path, 4 * MIB + 700 * KIB) as cache:
        await cache.pin(c.id)
        for media in (a, b, c, d):
            await filled(cache, media, content)
        reading = await opened(cache, a)
        (await opened(cache, b)).discard()
        await filled(cache, e, content)
        assert cache.held(version_of(d)) == 0, "it was used longest ago, but for what is open or pinned"
        assert await check(reading, content) == MIB
        reading.discard()
    async with cache_in(tmp_path, 4 * MIB + 700 * KIB) as cache:
        assert cache.pinned() == {c.id}
        await filled(cache, f, content)
        assert [cache.held(version_of(media)) // MIB for media in (a, b, c, d, e, f)] in (
            [1, 0, 1, 0, 1, 1],
            [0, 1, 1, 0, 1, 1],
        )


async def test_what_earlier_processes_used_longest_ago_goes_first(tmp_path: Path) -> None:
    media = [media_of(str(number), MIB) for number in range(8)]
    async with cache_in(tmp_path) as cache:
        for each in media:
            await filled(cache, each, content_of(MIB))
    for number, each in enumerate(media):
        used = 1_700_000_000 + (number * 5) % 8
        os.utime(tmp_path / name_of("here", each.id), (used, used))
    for cap in (6, 4, 2):
        async with cache_in(tmp_path, cap * MIB + 100 * KIB) as cache:
            kept = {number for number in range(8) if cache.held(version_of(media[number]))}
            assert kept == {number for number in range(8) if (number * 5) % 8 >= 8 - cap}


async def test_what_is_written_beside_the_blocks_counts_too(tmp_path: Path) -> None:
    """Far apart, each block takes a page of the map."""
    cap, size, most = 2 * MIB, 2 << 30, 0

    def measure(name: str, args: tuple[object, ...]) -> None:
        nonlocal most
        most = max(most, blocks(tmp_path))

    async with cache_in(tmp_path, cap) as cache:
        body = await opened(cache, media_of("a", size))
        with around(after=measure), slow_disk() as go:
            for at in range(0, size, 1024 * BLOCK):
                body.put_nowait(at, content_of(BLOCK))
            go.set()
            await body.wait_written()
        assert MIB < body.bytes_held < 2 * MIB
        body.discard()
    assert MIB < most <= cap


async def test_room_that_one_does_not_need_is_anothers(tmp_path: Path) -> None:
    """Room is claimed in steps of 8 MiB."""
    cap = 12 * MIB
    async with cache_in(tmp_path, cap) as cache:
        idle = [await opened(cache, media_of(name, 20 * MIB)) for name in "ab"]
        for body in idle:
            assert body.put_nowait(0, content_of(PIECE))
            await body.wait_written()
        media, content = media_of("c", 10 * MIB), content_of(10 * MIB)
        body = await opened(cache, media)
        assert all(put(body, content))
        await body.wait_written()
        assert body.bytes_held == 10 * MIB
        assert cache.statistics().bytes <= cap
        for each in (*idle, body):
            each.discard()
        assert cache.room() == cap


async def test_without_a_cap_nothing_is_kept(tmp_path: Path) -> None:
    media = media_of("a", MIB)
    async with cache_in(tmp_path) as cache:
        await filled(cache, media, content_of(MIB))
    async with cache_in(tmp_path, 0) as cache:
        assert await cache.open_partial(media, version_of(media), MIB, None, None) is None
        assert listed(tmp_path) == []


async def test_the_free_room_of_the_disk_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    async with cache_in(tmp_path / "bytes", keep_free=lambda disk: free + (1 << 40)) as cache:
        for name in "abc":
            body = await opened(cache, media_of(name, MIB))
            assert not any(put(body, content_of(MIB)))
            body.discard()
    assert listed(tmp_path / "bytes") == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    caplog.clear()


async def test_a_whole_body_evicts_blocks_and_blocks_evict_it(tmp_path: Path) -> None:
    content = content_of(3 * MIB)
    parts, whole = media_of("a", 3 * MIB), media_of("b", 3 * MIB)
    async with cache_in(tmp_path, 5 * MIB) as cache:
        await filled(cache, parts, content)
        assert await keep(cache, whole, content)
        assert cache.held(version_of(parts)) == 0
        assert len(listed(tmp_path)) == 1
        await filled(cache, parts, content)
        assert await cache.find(version_of(whole)) is None
        assert len(listed(tmp_path)) == 1
        assert await keep(cache, media_of("c", MIB, once=True), content[:MIB])
        assert cache.held(version_of(parts)) == 3 * MIB


# --- which content it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "fits"),
    [
        (('"one"', None), ('"one"', None), True),
        (('"one"', None), ('W/"one"', None), True),
        (('"one"', None), ('"two"', None), False),
        (('"one"', "Mon"), ('"one"', "Tue"), True),
        ((None, "Mon"), (None, "Tue"), False),
        ((None, "Mon"), ('"one"', "Mon"), True),
        (('"one"', None), (None, None), True),
        ((None, None), (None, None), True),
        ((None, None), ('"one"', None), False),
    ],
)
async def test_blocks_of_another_content_are_not_there(
    tmp_path: Path, before: tuple[str | None, str | None], now: tuple[str | None, str | None], fits: bool
) -> None:
    """The first that both replies have decides; what nothing says anything of is not believed once
    something does."""
    media, content, new = media_of("a", MIB), content_of(MIB), content_of(MIB, 5)
    for later in ("by opening", "by opening after a look", "by a reply"):
        async with cache_in(tmp_path) as cache:
            body = await opened(cache, media, *before)
            assert all(put(body, content))
            await body.wait_written()
            body.discard()
        cache = new_cache(tmp_path)
        if later == "by opening after a look":
            await cache.scan()
        if later == "by a reply":
            body = await opened(cache, media, None)
            assert body.bytes_held == MIB
            assert body.identify(*now) == (fits or before == (None, None))
        else:
            body = await opened(cache, media, *now)
        assert body.bytes_held == (MIB if fits else 0)
        assert body.identify(*now), "it is that content now"
        await cache.scan()
        if not fits:
            assert all(put(body, new))
            await body.wait_written()
            assert body.record.etag == now[0]
        assert await check(body, content if fits else new) == MIB
        body.discard()
        assert len(listed(tmp_path)) == 1
        await cache.evict({media.id})
        await cache.aclose()


async def test_another_version_or_size_is_not_shown_in_its_place(tmp_path: Path) -> None:
    old, new = media_of("a", MIB, etag="1"), media_of("a", MIB, etag="2")
    grown = media_of("a", 2 * MIB, etag="1")
    async with cache_in(tmp_path) as cache:
        await filled(cache, old, content_of(MIB, 1))
        for other in (new, grown):
            body = await opened(cache, other)
            assert body.bytes_held == 0
            body.discard()
        reading = await opened(cache, old)
        assert reading.bytes_held == MIB, "it stays until there is something newer"
        body = await opened(cache, new)
        assert all(put(body, content_of(MIB, 2)))
        await body.wait_written()
        assert await check(body, content_of(MIB, 2)) == MIB
        assert await check(reading, content_of(MIB, 1)) == MIB, "who has the old one open reads on"
        assert not reading.put_nowait(0, content_of(MIB, 1))
        assert len(listed(tmp_path)) == cache.statistics().files == 1
        assert (cache.held(version_of(old)), cache.held(version_of(new))) == (0, MIB)
        reading.discard()
        body.discard()
    async with cache_in(tmp_path) as cache:
        assert (cache.held(version_of(old)), cache.held(version_of(new))) == (0, MIB)
        assert blocks(tmp_path) <= cache.statistics().bytes < 2 * MIB


async def test_a_whole_body_takes_the_place_of_its_blocks(tmp_path: Path) -> None:
    media, content = media_of("a", MIB), content_of(MIB)
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        put(body, content, 0, PIECE)
        await body.wait_written()
        assert await keep(cache, media, content)
        assert await check(body, content) == PIECE
        assert not body.put_nowait(PIECE, content[PIECE:])
        body.discard()
        assert await cache.open_partial(media, version_of(media), MIB, None, None) is None
        found = await cache.find(version_of(media))
        assert found is not None
        found.discard()
        assert cache.held(version_of(media)) == MIB
        newer = media_of("a", MIB, etag="newer")
        await filled(cache, newer, content)
        assert await cache.find(version_of(media)) is None
        assert len(listed(tmp_path)) == cache.statistics().files == 1


async def test_blocks_do_not_take_the_place_of_a_limited_body(tmp_path: Path) -> None:
    limited, other = media_of("a", MIB, once=True), media_of("a", MIB, etag="other")
    async with cache_in(tmp_path) as cache:
        assert await keep(cache, limited, content_of(MIB))
        assert await cache.open_partial(limited, version_of(limited), MIB, None, None) is None
        body = await opened(cache, other)
        assert not body.put_nowait(0, content_of(MIB))
        body.discard()
        assert cache.held(version_of(limited)) == MIB


# --- what goes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("way", ["forget", "evict", "purge"])
async def test_what_goes_while_it_is_written_leaves_nothing(tmp_path: Path, way: str, made: bool) -> None:
    media, content = media_of("a", 2 * MIB), content_of(2 * MIB)
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        written: list[str] = []
        await cache.pin(media.id)
        if made:
            put(body, content, 0, MIB)
            await body.wait_written()
        with slow_disk() as go:
            assert all(put(body, content, MIB))
            async with trio.open_nursery() as nursery:
                if way == "forget":
                    cache.forget({media.id})
                    assert listed(tmp_path) == []
                elif way == "evict":
                    nursery.start_soon(cache.evict, {media.id})
                else:
                    nursery.start_soon(cache.purge)
                await trio.testing.wait_all_tasks_blocked()
                assert body.bytes_held == 0
                assert cache.held(version_of(media)) == 0
                with around(lambda name, args: written.append(name)):
                    go.set()
                    await body.wait_written()
        assert not [name for name in written if name == "pwritev"], "it is not written in vain"
        assert listed(tmp_path) == []
        assert cache.pinned() == set()
        assert runs(body) == []
        assert cache.statistics().queued == 0
        again = put(body, content)
        await body.wait_written()
        if way == "forget":
            assert not any(again), "the media is gone"
        else:
            assert all(again)
            assert await check(body, content) == 2 * MIB
            assert len(listed(tmp_path)) == 1
            await cache.purge()
        body.discard()
        assert listed(tmp_path) == []
    assert cache.statistics().bytes == 0
    assert not open_files(tmp_path)


@pytest.mark.parametrize("scanned", [True, False])
async def test_a_deletion_while_it_is_opened_leaves_nothing(tmp_path: Path, scanned: bool) -> None:
    media, content, real = media_of("a", MIB), content_of(MIB), BlockFile.at
    async with cache_in(tmp_path) as cache:
        await filled(cache, media, content)
    cache = new_cache(tmp_path)
    if scanned:
        await cache.scan()

    def at(path: Path) -> BlockFile | None:
        file = real(path)
        assert file is not None
        trio.from_thread.run_sync(cache.forget, {media.id})
        return file

    with patch.object(BlockFile, "at", at):
        body = await opened(cache, media)
    assert body.bytes_held == 0
    await cache.scan()
    body.discard()
    await cache.aclose()
    assert cache.statistics().bytes == cache.statistics().files == 0
    assert not open_files(tmp_path)


@pytest.mark.parametrize("way", ["forget", "identify"])
@pytest.mark.parametrize("step", ["before", "after"])
async def test_what_goes_while_its_file_is_made_leaves_nothing(tmp_path: Path, step: str, way: str) -> None:
    media, content = media_of("a", MIB), content_of(MIB)

    def interfere(name: str, args: tuple[object, ...]) -> None:
        # In the middle of the writer's work, as the loop may at any moment.
        if name == "rename":
            token.run_sync_soon(go)
            assert gone.wait(10)

    def go() -> None:
        if way == "forget":
            cache.forget({media.id})
        else:
            assert not body.identify('"two"', None)
        gone.set()

    gone, token = threading.Event(), trio.lowlevel.current_trio_token()
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        with around(**{step: interfere}):
            put(body, content)
            await body.wait_written()
        assert gone.is_set()
        assert body.bytes_held == 0
        await cache.aclose()
        assert listed(tmp_path) == []
        body.discard()
    assert cache.statistics().bytes == 0
    async with cache_in(tmp_path) as cache:
        await filled(cache, media, content)
        assert cache.held(version_of(media)) == MIB


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_goes_when_its_file_was_just_made_leaves_nothing(
    tmp_path: Path, when: str, more: bool
) -> None:
    """The writer is done, and the loop was not told yet."""
    media, content, real = media_of("a", MIB), content_of(MIB), BlockFile.write

    def write(file: BlockFile, pieces: Any) -> int:
        if when == "before":
            trio.from_thread.run_sync(body.identify, '"two"', None, trio_token=token)
        done = real(file, pieces)
        if when == "after":
            trio.from_thread.run_sync(body.identify, '"two"', None, trio_token=token)
        return done

    token = trio.lowlevel.current_trio_token()
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        with patch.object(BlockFile, "write", write):
            put(body, content, 0, PIECE)
            await body.wait_written()
        if more:
            assert all(put(body, content, PIECE))
            await body.wait_written()
        assert runs(body) == [(PIECE, MIB)] * more
        body.discard()
        assert cache.statistics().files == more
    assert len(listed(tmp_path)) == more
    async with cache_in(tmp_path) as cache:
        assert cache.held(version_of(media)) == (MIB - PIECE) * more


async def test_what_is_being_read_when_it_goes_is_right_or_unavailable(tmp_path: Path) -> None:
    media, content = media_of("a", MIB), content_of(MIB)
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        put(body, content)
        await body.wait_written()
        real = BlockFile.read

        def read(file: BlockFile, offset: int, length: int) -> bytes:
            trio.from_thread.run_sync(cache.forget, {media.id})
            return real(file, offset, length)

        with patch.object(BlockFile, "read", read):
            assert await body.get(5, 100) == content[5:105]
        with pytest.raises(Unavailable):
            await body.get(5, 100)
        body.discard()
    assert cache.statistics().bytes == 0
    assert not open_files(tmp_path)


async def test_evicting_says_what_the_disk_got_back(tmp_path: Path) -> None:
    content = content_of(MIB)
    names = [media_of(name, MIB) for name in "abcd"]
    async with cache_in(tmp_path) as cache:
        for media in names[:2]:
            await filled(cache, media, content)
        await keep(cache, names[2], content)
        await keep(cache, media_of("l", MIB, once=True), content)
        body = await opened(cache, names[0])
        there = blocks(tmp_path)
        await cache.pin(names[1].id)
        freed = await cache.evict({*(media.id for media in names), MediaId("l"), MediaId("never seen")})
        assert freed == there
        assert listed(tmp_path) == []
        assert cache.pinned() == set(), "who evicts it does not want it to stay"
        assert cache.media() == set()
        body.discard()
    assert cache.statistics().bytes == 0


# --- pins ------------------------------------------------------------------------------------------------


async def test_what_is_pinned_stays_over_processes_until_it_is_unpinned(tmp_path: Path) -> None:
    a, whole, content = media_of("a", MIB), media_of("w", MIB), content_of(MIB)
    cap = 3 * MIB
    async with cache_in(tmp_path, cap) as cache:
        await cache.pin(a.id)
        await cache.pin(whole.id)
        assert cache.pinned() == {a.id, whole.id}
        await filled(cache, a, content)
        await keep(cache, whole, content)
        assert cache.statistics().files == 2
    for scan_first in (True, False):
        cache = new_cache(tmp_path, cap)
        if not scan_first:
            await cache.unpin(MediaId("other"))
        await cache.scan()
        assert cache.pinned() == {a.id, whole.id}
        for turn in range(3):
            body = await opened(cache, media_of(f"o{turn}", 2 * MIB))
            put(body, content_of(2 * MIB))
            await body.wait_written()
            body.discard()
        assert cache.held(version_of(a)) == cache.held(version_of(whole)) == MIB
        await cache.aclose()
    cache = new_cache(tmp_path, cap)
    await cache.unpin(a.id)
    await cache.scan()
    assert cache.pinned() == {whole.id}
    await filled(cache, media_of("o", 3 * MIB // 2), content_of(3 * MIB // 2))
    assert cache.held(version_of(a)) == 0
    await cache.aclose()
    async with cache_in(tmp_path, MIB // 2) as cache:
        assert cache.held(version_of(whole)) == MIB, "also under a smaller cap"
        await cache.purge()
        assert listed(tmp_path) == []


async def test_a_pin_holds_for_the_next_version_too(tmp_path: Path) -> None:
    old, new = media_of("a", MIB, etag="1"), media_of("a", MIB, etag="2")
    async with cache_in(tmp_path) as cache:
        await cache.pin(old.id)
        await filled(cache, old, content_of(MIB))
    async with cache_in(tmp_path, 2 * MIB) as cache:
        await filled(cache, new, content_of(MIB, 1))
        assert cache.pinned() == {old.id}
        body = await opened(cache, media_of("b", 2 * MIB))
        assert not all(put(body, content_of(2 * MIB)))
        await body.wait_written()
        body.discard()
        assert cache.held(version_of(new)) == MIB


async def test_all_who_wait_for_what_is_written_are_told(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media_of("a", 4 * MIB))
        put(body, content_of(4 * MIB))
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(body.wait_written)
        body.discard()
