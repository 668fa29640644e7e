"""The disk cache itself: what is kept, under which cap, for how long, and what a crash leaves."""

from __future__ import annotations

import errno
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from mediafs.errors import NoRoom, Unavailable
from mediafs.model import Media, MediaId
from mediafs.reading.checks import Identity
from mediafs.reading.disk.bodyfile import BLOCK, name_of
from mediafs.reading.disk.cache import DiskCache
from mediafs.reading.disk.cachefiles import Filling
from mediafs.reading.disk.cachefolder import Found, looked_through
from mediafs.reading.options import CacheOptions

from .scripted import KIB, MIB, a_media, some_bytes, version_of

TAGGED = Identity(etag='"one"', last_modified=None, total=None)
REPOSITORY = Path(__file__).parents[2]


def media_of(name: str, size: int | None, *, once: bool = False, etag: str | None = None) -> Media:
    return replace(a_media(size), id=MediaId(name), download_once=once, etag=etag)


@asynccontextmanager
async def cache_in(
    folder: Path,
    size: int = 1 << 30,
    *,
    realm: str = "here",
    keep_free: Callable[[int], int] = lambda disk: 0,
) -> AsyncIterator[DiskCache]:
    cache = DiskCache(CacheOptions(folder=folder, realm=realm, size=size, keep_free=keep_free))
    await cache.scan()
    yield cache


async def put(cache: DiskCache, media: Media, content: bytes, *, chunk: int = 100_000) -> Filling | None:
    """Fills and finishes; the store stays open."""
    filling = await cache.make(media, version_of(media), media.size)
    if filling is None:
        return None
    for at in range(0, len(content), chunk):
        await filling.put(at, content[at : at + chunk])
    await filling.finish(len(content), TAGGED)
    return filling


async def keep(cache: DiskCache, media: Media, content: bytes) -> bool:
    filling = await put(cache, media, content)
    if filling is None:
        return False
    filling.discard()
    return filling.lasting


async def got(cache: DiskCache, media: Media) -> bytes | None:
    store = await cache.find(version_of(media))
    if store is None:
        return None
    try:
        return await store.get(0, store.record.size)
    except Unavailable:
        return None
    finally:
        store.discard()


def listed(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.exists() else []


def blocks(folder: Path) -> int:
    """Bytes of disk that all files in a folder take up, whatever their names."""
    total = 0
    for name in listed(folder):
        try:
            total += os.lstat(folder / name).st_blocks * 512
        except FileNotFoundError:
            continue
    return total


# --- kept, found, checked ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 300_000])
async def test_what_was_kept_is_found_by_the_next_process(tmp_path: Path, size: int) -> None:
    folder, content, media = tmp_path / "bytes", some_bytes(size), media_of("a", size)
    async with cache_in(folder) as cache:
        assert await keep(cache, media, content)
        assert cache.held(version_of(media)) == size
        assert await got(cache, media) == content
    async with cache_in(folder) as cache:
        assert await got(cache, media) == content
        assert cache.held(version_of(media)) == size
        assert cache.statistics().hits == 1
        store = await cache.find(version_of(media))
        assert store is not None
        assert (store.record.etag, store.record.size) == ('"one"', size)
        for offset in (0, 1, BLOCK - 1, BLOCK, size // 2, max(size - 5, 0)):
            length = min(1000, max(size - offset, 0))
            assert await store.get(offset, length) == content[offset : offset + length]
        store.discard()
        store.discard()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_it_is_found_before_the_folder_was_looked_through(tmp_path: Path) -> None:
    content, media = some_bytes(100_000), media_of("a", 100_000)
    async with cache_in(tmp_path / "bytes") as cache:
        await keep(cache, media, content)
    cache = DiskCache(CacheOptions(folder=tmp_path / "bytes", realm="here", size=1 << 30))
    assert await got(cache, media) == content
    assert await got(cache, media_of("b", 5)) is None
    await cache.scan()
    assert cache.statistics().files == 1
    assert cache.statistics().bytes == blocks(tmp_path / "bytes")


async def test_another_version_or_archive_is_not_shown_in_its_place(tmp_path: Path) -> None:
    old, new = media_of("a", 100, etag="old"), media_of("a", 100, etag="new")
    async with cache_in(tmp_path) as cache:
        await keep(cache, old, b"o" * 100)
        assert await got(cache, new) is None
        assert cache.held(version_of(new)) == 0
        reading = await cache.find(version_of(old))
        assert reading is not None
        await keep(cache, new, b"n" * 100)
        assert await got(cache, new) == b"n" * 100
        assert await got(cache, old) is None
        assert await reading.get(0, 100) == b"o" * 100, "who has the old one open reads on"
        reading.discard()
        assert cache.statistics().files == len(os.listdir(tmp_path)) == 1
        assert cache.statistics().bytes == blocks(tmp_path)
    async with cache_in(tmp_path, realm="elsewhere") as cache:
        assert await got(cache, new) is None


async def test_a_size_that_only_the_body_told_is_no_new_version(tmp_path: Path) -> None:
    media, content = media_of("a", None), some_bytes(300_000)
    async with cache_in(tmp_path) as cache:
        assert await keep(cache, media, content)
    async with cache_in(tmp_path) as cache:
        assert await got(cache, media) == content
        assert await got(cache, replace(media, size=len(content))) == content
        assert await got(cache, replace(media, size=7)) is None


@pytest.mark.parametrize("where", ["body", "checksums", "record", "tail", "cut", "longer", "empty", "hole"])
async def test_damage_is_noticed_and_the_body_is_not_there(
    tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, media = some_bytes(5 * BLOCK + 17), media_of("a", 5 * BLOCK + 17)
    async with cache_in(tmp_path) as cache:
        await keep(cache, media, content)
        file = tmp_path / os.listdir(tmp_path)[0]
        raw = bytearray(file.read_bytes())
        places = {
            "body": 3 * BLOCK + 5,
            "checksums": len(content) + 6,
            "record": len(raw) - 30,
            "tail": len(raw) - 7,
        }
        if where in places:
            raw[places[where]] ^= 1
        elif where == "hole":
            raw[BLOCK : 2 * BLOCK] = bytes(BLOCK)
        else:
            raw = {"cut": raw[:-BLOCK], "longer": raw + b"x", "empty": bytearray()}[where]
        file.write_bytes(raw)
        assert await got(cache, media) is None
        assert await got(cache, media) is None
    async with cache_in(tmp_path) as cache:
        assert await got(cache, media) is None
    assert os.listdir(tmp_path) == []
    assert cache.statistics().bytes == 0


async def test_a_body_that_starts_again_is_put_anew(tmp_path: Path) -> None:
    media, content = media_of("a", 200_000), some_bytes(200_000)
    async with cache_in(tmp_path) as cache:
        filling = await cache.make(media, version_of(media), media.size)
        assert filling is not None
        await filling.put(0, b"x" * 150_000)
        await filling.put(0, content[:10])
        with pytest.raises(ValueError, match="in order"):
            await filling.put(20, b"y")
        await filling.put(10, content[10:])
        await filling.finish(len(content), TAGGED)
        filling.discard()
        assert await got(cache, media) == content


# --- the cap -------------------------------------------------------------------------------------------


async def test_what_was_used_longest_ago_goes_first_and_nothing_that_is_open(tmp_path: Path) -> None:
    content = some_bytes(1 * MIB)
    async with cache_in(tmp_path, 4 * MIB) as cache:
        for name in "abc":
            assert await keep(cache, media_of(name, MIB), content)
        opened = await cache.find(version_of(media_of("a", MIB)))
        assert opened is not None
        assert await got(cache, media_of("b", MIB)) == content
        assert await keep(cache, media_of("d", MIB), content)
        assert await got(cache, media_of("c", MIB)) is None, "it was used longest ago"
        assert await keep(cache, media_of("e", MIB), content)
        assert await got(cache, media_of("b", MIB)) is None
        assert await opened.get(5, 5) == content[5:10]
        opened.discard()
        assert await got(cache, media_of("a", MIB)) == content
    # What was used last outlives the process, too.
    async with cache_in(tmp_path, 4 * MIB) as cache:
        assert await keep(cache, media_of("f", MIB), content)
        assert await got(cache, media_of("d", MIB)) is None
        assert await got(cache, media_of("a", MIB)) == content


async def test_a_smaller_cap_holds_from_the_next_start_on(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        for name in "abcd":
            await keep(cache, media_of(name, MIB, once=name == "a"), some_bytes(MIB))
    async with cache_in(tmp_path, 3 * MIB) as cache:
        assert blocks(tmp_path) == cache.statistics().bytes <= 3 * MIB
    async with cache_in(tmp_path, 0) as cache:
        assert await got(cache, media_of("a", MIB, once=True)) == some_bytes(MIB), "it cannot be had again"
        assert cache.statistics().files == len(os.listdir(tmp_path)) == 1
        assert not await keep(cache, media_of("e", 5), b"12345")


async def test_without_a_cap_nothing_is_made(tmp_path: Path) -> None:
    async with cache_in(tmp_path / "bytes", 0) as cache:
        assert not await keep(cache, media_of("a", 5), b"12345")
        assert not await keep(cache, media_of("b", None), b"12345")
    assert not (tmp_path / "bytes").exists()


@pytest.mark.parametrize("known", [True, False])
async def test_the_cap_holds_in_real_blocks_while_sixteen_bodies_are_filled(
    tmp_path: Path, known: bool
) -> None:
    cap, dice, most = 40 * MIB, random.Random(5), 0
    async with cache_in(tmp_path, cap) as cache:
        done = trio.Event()

        async def watch() -> None:
            nonlocal most
            while not done.is_set():
                most = max(most, await trio.to_thread.run_sync(blocks, tmp_path))

        async def fill(number: int) -> None:
            for turn in range(3):
                size = dice.randrange(1, 9 * MIB)
                media = media_of(f"{number} {turn}", size if known else None)
                content = some_bytes(64 * KIB, number) * (size // (64 * KIB))
                filling = await put(cache, replace(media, size=len(content) if known else None), content)
                assert cache.statistics().bytes <= cap
                if filling is not None:
                    assert await filling.get(0, len(content)) == content
                    filling.discard()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            async with trio.open_nursery() as fills:
                for number in range(16):
                    fills.start_soon(fill, number)
            done.set()
        assert blocks(tmp_path) == cache.statistics().bytes
        assert cache.statistics().files == len(os.listdir(tmp_path)) > 1
    assert 10 * MIB < most <= cap


async def test_a_body_that_outgrows_the_cap_is_read_from_a_file_without_a_name(tmp_path: Path) -> None:
    content = some_bytes(64 * KIB) * 200
    async with cache_in(tmp_path, 6 * MIB) as cache:
        filling = await put(cache, media_of("a", None), content)
        assert filling is not None
        assert not filling.lasting
        assert os.listdir(tmp_path) == []
        assert await filling.get(0, len(content)) == content
        filling.discard()
        assert cache.statistics().bytes == 0
        assert (
            await cache.make(media_of("a", len(content)), version_of(media_of("a", 1)), len(content)) is None
        )


async def test_the_free_room_of_the_disk_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    async with cache_in(tmp_path, keep_free=lambda disk: free + (1 << 40)) as cache:
        assert cache.room() == 0
        for _ in range(3):
            assert not await keep(cache, media_of("a", 5), b"12345")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    async with cache_in(tmp_path, 10 * MIB) as cache:
        assert cache.room() == 10 * MIB
        filling = await put(cache, media_of("a", MIB), some_bytes(MIB))
        assert filling is not None
        assert 8 * MIB < cache.room() < 9 * MIB
        filling.discard()
        assert cache.room() == 10 * MIB, "what can be evicted is room"
        await keep(cache, media_of("b", MIB, once=True), some_bytes(MIB))
        assert 8 * MIB < cache.room() < 9 * MIB


async def test_room_that_was_granted_is_not_granted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of bodies of unknown length the disk does not know yet what they will take."""
    disk = SimpleNamespace(f_blocks=10_000, f_frsize=4096, f_bavail=1_000 + 10 * MIB // 4096)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    async with cache_in(tmp_path, keep_free=lambda size: 1_000 * 4096) as cache:
        fillings = [
            await cache.make(media_of(name, None), version_of(media_of(name, None)), None) for name in "abc"
        ]
        assert [filling is None for filling in fillings] == [False, False, True]
        for filling in fillings:
            if filling is not None:
                filling.discard()


# --- what goes -----------------------------------------------------------------------------------------


async def test_a_deletion_takes_the_bytes_at_once_and_who_reads_them_reads_on(tmp_path: Path) -> None:
    media, content = media_of("a", 300_000), some_bytes(300_000)
    async with cache_in(tmp_path) as cache:
        filling = await put(cache, media, content)
        assert filling is not None
        found = await cache.find(version_of(media))
        assert found is not None
        cache.forget({media.id, MediaId("never seen")})
        assert os.listdir(tmp_path) == []
        assert cache.held(version_of(media)) == 0
        assert await got(cache, media) is None
        assert await found.get(0, 300_000) == await filling.get(0, 300_000) == content
        assert cache.statistics().bytes >= 300_000, "the disk has them until they are closed"
        found.discard()
        filling.discard()
        assert cache.statistics().bytes == 0


async def test_a_deletion_before_the_folder_was_looked_through_takes_them_too(tmp_path: Path) -> None:
    media, content = media_of("a", 300_000), some_bytes(300_000)
    async with cache_in(tmp_path) as cache:
        await keep(cache, media, content)
    cache = DiskCache(CacheOptions(folder=tmp_path, realm="here", size=1 << 30))
    cache.forget({media.id})
    assert os.listdir(tmp_path) == []
    await cache.scan()
    assert await got(cache, media) is None
    assert cache.statistics().bytes == 0


async def test_a_deletion_while_the_folder_is_looked_through_is_not_undone(tmp_path: Path) -> None:
    media, content = media_of("a", 300_000), some_bytes(300_000)
    async with cache_in(tmp_path) as cache:
        await keep(cache, media, content)
    cache = DiskCache(CacheOptions(folder=tmp_path, realm="here", size=1 << 30))

    def then_deleted(folder: Path) -> list[Found]:
        found = looked_through(folder)
        trio.from_thread.run_sync(cache.forget, {media.id})
        return found

    with patch("mediafs.reading.disk.cache.looked_through", then_deleted):
        await cache.scan()
    assert os.listdir(tmp_path) == []
    assert cache.held(version_of(media)) == 0
    assert cache.statistics().bytes == 0


@pytest.mark.parametrize("step", ["fill", "before rename", "after rename"])
async def test_a_deletion_while_it_is_filled_leaves_nothing(tmp_path: Path, step: str) -> None:
    media, content = media_of("a", 300_000), some_bytes(300_000)
    async with cache_in(tmp_path) as cache:
        filling = await cache.make(media, version_of(media), media.size)
        assert filling is not None
        await filling.put(0, content)
        real_rename = Path.rename

        def rename(path: Path, target: Path) -> Path:
            # In the middle of the thread's work, as the loop may at any moment.
            if step == "before rename":
                trio.from_thread.run_sync(cache.forget, {media.id})
            done = real_rename(path, target)
            if step == "after rename":
                trio.from_thread.run_sync(cache.forget, {media.id})
            return done

        if step == "fill":
            cache.forget({media.id})
        with patch.object(Path, "rename", rename):
            await filling.finish(len(content), TAGGED)
        assert os.listdir(tmp_path) == []
        assert not filling.lasting
        assert await filling.get(0, 300_000) == content
        assert await got(cache, media) is None
        filling.discard()
        assert cache.statistics().bytes == 0


async def test_a_purge_leaves_nothing(tmp_path: Path) -> None:
    async with cache_in(tmp_path, realm="elsewhere") as cache:
        await keep(cache, media_of("a", MIB), some_bytes(MIB))
    async with cache_in(tmp_path) as cache:
        await keep(cache, media_of("b", MIB, once=True), some_bytes(MIB))
        filling = await cache.make(media_of("c", MIB), version_of(media_of("c", MIB)), MIB)
        assert filling is not None
        await filling.put(0, some_bytes(MIB))
        removed = await cache.purge()
        assert (removed.files, removed.bytes >= 2 * MIB) == (2, True)
        assert os.listdir(tmp_path) == []
        await filling.finish(MIB, TAGGED)
        assert await filling.get(0, MIB) == some_bytes(MIB)
        filling.discard()
        assert os.listdir(tmp_path) == []
        assert cache.statistics().bytes == 0
        assert await keep(cache, media_of("b", MIB), some_bytes(MIB))


async def test_who_closes_before_it_is_whole_leaves_nothing(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        filling = await cache.make(media_of("a", MIB), version_of(media_of("a", MIB)), MIB)
        assert filling is not None
        await filling.put(0, b"x" * 100_000)
        assert cache.statistics().bytes >= MIB, "room that was granted counts"
        filling.discard()
        assert os.listdir(tmp_path) == []
        assert cache.statistics().bytes == 0


# --- a disk that fails, and a process that ends anywhere --------------------------------------------------

CALLS = ("mkdir", "open", "posix_fallocate", "pwrite", "ftruncate", "fsync", "rename", "unlink", "utime")
"""All by which the cache changes the disk."""


@contextmanager
def around(hook: Callable[[str, tuple[object, ...]], None], *, after: bool = False) -> Iterator[None]:
    """Calls `hook` before (and after) every change of the disk that `os` is asked for."""

    def wrapped(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            hook(name, args)
            done = real(*args, **kwargs)
            if after:
                hook(name, args)
            return done

        return call

    with ExitStack() as stack:
        for name in CALLS:
            stack.enter_context(patch.object(os, name, wrapped(name)))
        yield


async def test_a_crash_at_any_step_yields_the_right_bytes_or_none(tmp_path: Path) -> None:
    """`kill -9` leaves the disk as it was at that instant: each instant is opened anew."""
    folder, copies = tmp_path / "bytes", tmp_path / "copies"
    copies.mkdir()
    first, second = media_of("a", 200_000, etag="1"), media_of("a", 250_000, etag="2")
    contents = {first: some_bytes(200_000, 1), second: some_bytes(250_000, 2)}
    taking = False

    def copy(name: str, args: tuple[object, ...]) -> None:
        nonlocal taking
        if not taking and folder.exists():
            taking = True  # copying opens files, too
            shutil.copytree(folder, copies / f"{len(os.listdir(copies)):03} {name}")
            taking = False

    async with cache_in(folder) as cache:
        with around(copy, after=True):
            for media, content in contents.items():
                assert await keep(cache, media, content)
                assert await got(cache, media) == content
            cache.forget({first.id})
    seen = {media: 0 for media in contents}
    for instant in sorted(copies.iterdir()):
        async with cache_in(instant) as cache:
            for media, content in contents.items():
                found = await got(cache, media)
                assert found in (None, content), instant.name
                seen[media] += found is not None
            assert cache.statistics().bytes == blocks(instant)
            assert not [name for name in os.listdir(instant) if "." in name], "nothing half filled stays"
    assert len(os.listdir(copies)) > 20
    assert all(seen.values())


async def test_a_power_cut_that_loses_what_was_not_synced_yields_the_right_bytes_or_none(
    tmp_path: Path,
) -> None:
    """Names may reach the disk before the bytes do: what `fsync` has not confirmed is read as zeros."""
    folder, media, content = tmp_path / "bytes", media_of("a", 200_000), some_bytes(200_000)
    synced: dict[int, bytes] = {}
    outcomes: list[bytes | None] = []
    instants: list[dict[str, bytes]] = []

    def look(name: str, args: tuple[object, ...]) -> None:
        if name == "fsync" and not os.path.isdir(f"/proc/self/fd/{args[0]}"):
            return
        if name in ("rename", "pwrite", "fsync", "ftruncate"):
            instants.append(
                {
                    each.name: synced.get(each.stat().st_ino, b"").ljust(each.stat().st_size, b"\0")
                    for each in folder.iterdir()
                }
            )

    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        if not os.path.isdir(f"/proc/self/fd/{descriptor}"):
            synced[os.fstat(descriptor).st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()

    async with cache_in(folder) as cache:
        with patch.object(os, "fsync", fsync), around(look, after=True):
            assert await keep(cache, media, content)
    for number, instant in enumerate(instants):
        again = tmp_path / str(number)
        again.mkdir()
        for name, raw in instant.items():
            (again / name).write_bytes(raw)
        async with cache_in(again) as cache:
            outcomes.append(await got(cache, media))
    assert set(outcomes) == {None, content}


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EROFS, errno.EIO])
async def test_whatever_the_disk_refuses_is_no_error_and_one_warning(
    tmp_path: Path, failure: int, caplog: pytest.LogCaptureFixture
) -> None:
    media, content = media_of("a", 300_000), some_bytes(300_000)
    steps, at, kept = 1000, 0, 0
    while at < steps:
        folder, made, seen = tmp_path / str(at), 0, 0

        def refuse(name: str, args: tuple[object, ...], at: int = at) -> None:
            nonlocal seen
            changes = name != "open" or (len(args) > 1 and isinstance(args[1], int) and args[1] & os.O_CREAT)
            if changes and name != "unlink":
                seen += 1
                if seen - 1 == at:
                    raise OSError(failure, os.strerror(failure))

        caplog.clear()
        async with cache_in(folder) as cache:
            with around(refuse):
                filling = await cache.make(media, version_of(media), media.size)
                try:
                    for start in range(0, len(content) if filling else 0, 100_000):
                        assert filling is not None
                        await filling.put(start, content[start : start + 100_000])
                        made = start + 100_000
                except NoRoom:
                    pass
                else:
                    if filling is not None:
                        await filling.finish(len(content), TAGGED)
            if filling is not None:
                assert await filling.get(0, made) == content[:made], "what was put can be read"
                filling.discard()
            found = await got(cache, media)
            assert found in (None, content)
            kept += found is not None
            assert len(caplog.records) == (0 if found is not None else 1), at
            assert cache.statistics().bytes == blocks(folder)
            assert await keep(cache, media, content), "it may do better the next time"
        steps = seen if seen <= at else steps
        at += 1
    assert at > 8
    assert kept <= 2, "but for the last step, and for when a file was last used"


FILLER = """
import sys, trio
from pathlib import Path
from tests.reading.test_cache import *

async def main():
    async with cache_in(Path(sys.argv[1])) as cache:
        print("go", flush=True)
        for turn in range(1000):
            for name in "abcdef":
                content = some_bytes(64 * KIB, ord(name)) * 30
                assert await keep(cache, media_of(name, len(content)), content)
            if turn % 3 == 2:
                cache.forget({MediaId("c")})

trio.run(main)
"""


async def test_a_process_that_is_killed_while_it_fills_leaves_right_bytes_or_none(tmp_path: Path) -> None:
    dice, found_any = random.Random(3), 0
    for _ in range(12):
        process = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", FILLER, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        await trio.sleep(dice.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait()
        async with cache_in(tmp_path) as cache:
            for name in "abcdef":
                content = some_bytes(64 * KIB, ord(name)) * 30
                found = await got(cache, media_of(name, len(content)))
                assert found in (None, content)
                found_any += found is not None
            assert cache.statistics().bytes == blocks(tmp_path)
            assert all(len(name) == 40 for name in os.listdir(tmp_path)), "nothing half filled stays"
    assert found_any > 6


# --- against plain bytes -------------------------------------------------------------------------------

names = st.sampled_from("abc")
sizes = st.sampled_from([0, 1, 5_000, BLOCK, BLOCK + 1, 200_000, 400_000])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), names, st.integers(1, 2), sizes),
        st.tuples(st.just("cut"), names, st.integers(1, 2), sizes),
        st.tuples(st.just("open"), names, st.integers(1, 2), sizes),
        st.tuples(st.just("read"), st.integers(0, 5), st.integers(0, 400_000), st.integers(0, 100_000)),
        st.tuples(st.just("close"), st.integers(0, 5), st.just(0), st.just(0)),
        st.tuples(st.just("forget"), names, st.just(0), st.just(0)),
        st.tuples(st.just("purge"), st.just(0), st.just(0), st.just(0)),
        st.tuples(st.just("crash"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(script=steps, cap=st.sampled_from([0, 600 * KIB, 1 * MIB, 100 * MIB]))
def test_whatever_is_done_what_is_read_is_what_was_put(
    script: list[tuple[str, Any, int, int]], cap: int
) -> None:
    """A media's content is a function of its name, version and size; two readers, two versions, evictions,
    deletions, crashes: only that content is ever read, the blocks stay under the cap, and what was
    deleted is not there."""

    def content_of(name: str, version: int, size: int) -> bytes:
        return some_bytes(size, ord(name) * 10 + version)

    def one(name: str, version: int, size: int) -> Media:
        return media_of(name, size, etag=f"{version}-{size}")

    async def main(folder: Path) -> None:
        cache = DiskCache(CacheOptions(folder=folder, realm="here", size=cap))
        await cache.scan()
        readers: list[tuple[Any, bytes]] = []
        held: set[str] = set()
        for action, first, second, third in script:
            if action in ("fill", "cut"):
                media, content = one(first, second, third), content_of(first, second, third)
                filling = await cache.make(media, version_of(media), third)
                if filling is None:
                    continue
                stop = third if action == "fill" else third // 2
                for at in range(0, stop, 70_000):
                    await filling.put(at, content[at : min(at + 70_000, stop)])
                if action == "fill":
                    await filling.finish(third, TAGGED)
                    if filling.lasting:
                        held.add(first)
                assert await filling.get(0, stop) == content[:stop]
                readers.append((filling, content[:stop]))
            elif action == "open":
                media = one(first, second, third)
                found = await cache.find(version_of(media))
                if found is not None:
                    assert first in held
                    assert found.record.size == third == cache.held(version_of(media))
                    readers.append((found, content_of(first, second, third)))
            elif action == "read" and readers:
                store, content = readers[first % len(readers)]
                length = max(0, min(third, len(content) - second))
                if length:
                    assert await store.get(second, length) == content[second : second + length]
            elif action == "close" and readers:
                readers.pop(first % len(readers))[0].discard()
            elif action == "forget":
                cache.forget({MediaId(first)})
                held.discard(first)
                assert name_of("here", MediaId(first)) not in listed(folder)
            elif action == "purge":
                await cache.purge()
                held.clear()
                assert listed(folder) == []
            elif action == "crash":
                for descriptor in [store for store, _ in readers]:
                    # As the kernel does for a process that is gone: closed, and nothing else.
                    descriptor._discarded = True
                    descriptor._was_closed = lambda: None
                    descriptor._close_unused()
                readers.clear()
                cache = DiskCache(CacheOptions(folder=folder, realm="here", size=cap))
                await cache.scan()
            assert blocks(folder) <= cache.statistics().bytes <= max(cap, 0)
        for store, _ in readers:
            store.discard()
        assert blocks(folder) == cache.statistics().bytes

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder) / "bytes")
