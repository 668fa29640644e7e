"""Blocks on disk when the disk, the process or the power fails: right bytes or none, and no error."""

from __future__ import annotations

import errno
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from mediafs.errors import Unavailable
from mediafs.model import Media, MediaId
from mediafs.reading.disk.bodyfile import BLOCK, name_of
from mediafs.reading.disk.partial import PartialBody

from .scripted import KIB, MIB, version_of
from .test_cache import blocks, listed, media_of
from .test_keeping import disk_of
from .test_partial import (
    PIECE,
    around,
    cache_in,
    check,
    content_of,
    filled,
    new_cache,
    opened,
    put,
    runs,
)

REPOSITORY = Path(__file__).parents[2]
SIZE = 9 * BLOCK + 1000


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno >= logging.WARNING]


# --- a disk that gives back something else ---------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytearray], object]] = {
    "a block": lambda raw: flip(raw, 3 * BLOCK + 5),
    "the last block": lambda raw: flip(raw, SIZE - 1),
    "a hole": lambda raw: blank(raw, 3 * BLOCK, 4 * BLOCK),
    "the map": lambda raw: flip(raw, SIZE + 4 * 3 + 1),
    "a map of zeros": lambda raw: blank(raw, SIZE, SIZE + 40),
    "the record": lambda raw: flip(raw, len(raw) - 40),
    "the tail": lambda raw: flip(raw, len(raw) - 5),
    "cut": lambda raw: raw.__delitem__(slice(4 * BLOCK, None)),
    "shorter": lambda raw: raw.__delitem__(slice(5, 6)),
    "longer": lambda raw: raw.append(0),
    "empty": lambda raw: raw.clear(),
}
CHECKED = ("a block", "the last block", "a hole", "the map")
"""Damage that shows when the block is read."""


def flip(raw: bytearray, at: int) -> None:
    raw[at] ^= 1


def blank(raw: bytearray, start: int, stop: int) -> None:
    raw[start:stop] = bytes(stop - start)


@pytest.mark.parametrize("where", DAMAGES)
async def test_damage_is_noticed_and_the_block_is_not_there(
    tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, media = content_of(SIZE), media_of("a", SIZE)
    async with cache_in(tmp_path) as cache:
        await filled(cache, media, content)
    file = tmp_path / listed(tmp_path)[0]
    raw = bytearray(file.read_bytes())
    DAMAGES[where](raw)
    file.write_bytes(raw)
    for looked in (False, True):
        cache = new_cache(tmp_path)
        if looked:
            await cache.scan()
        body = await opened(cache, media)
        assert body.bytes_held == (SIZE if where in CHECKED else 0)
        damaged = SIZE - 9 * BLOCK if where == "the last block" else BLOCK if where in CHECKED else SIZE
        assert await check(body, content) == body.bytes_held == SIZE - damaged
        assert len(warnings(caplog)) == (where in CHECKED)
        caplog.clear()
        if where in CHECKED:
            await cache.scan()
            body.discard()
            await cache.aclose()
            cache = new_cache(tmp_path)
            body = await opened(cache, media)
            assert await check(body, content) == SIZE - damaged, "the next process does not stumble over it"
            assert not warnings(caplog)
        await cache.scan()
        assert all(put(body, content))
        await body.wait_written()
        assert await check(body, content) == SIZE, "it was fetched anew"
        body.discard()
        await cache.aclose()
        async with cache_in(tmp_path) as cache:
            assert cache.held(version_of(media)) == SIZE
        file.write_bytes(raw)


async def test_no_byte_of_whose_bytes_they_are_may_be_another(tmp_path: Path) -> None:
    content, media = content_of(SIZE), media_of("a", SIZE)
    async with cache_in(tmp_path) as cache:
        await filled(cache, media, content)
    file = tmp_path / listed(tmp_path)[0]
    raw = file.read_bytes()
    for at in range(SIZE + 4 * 10, len(raw)):
        file.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        cache = new_cache(tmp_path)
        body = await opened(cache, media, None)
        assert body.bytes_held == 0
        body.discard()
        await cache.aclose()
    file.write_bytes(raw)
    async with cache_in(tmp_path) as cache:
        assert cache.held(version_of(media)) == SIZE


@pytest.mark.parametrize("where", DAMAGES)
async def test_damage_under_an_open_file_is_noticed(
    tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, media = content_of(SIZE), media_of("a", SIZE)
    async with cache_in(tmp_path) as cache:
        await filled(cache, media, content)
        body = await opened(cache, media)
        file = tmp_path / listed(tmp_path)[0]
        raw = bytearray(file.read_bytes())
        DAMAGES[where](raw)
        file.write_bytes(raw)
        assert await check(body, content) == body.bytes_held
        assert len(warnings(caplog)) == (body.bytes_held < SIZE), "one, however many blocks it is"
        assert all(put(body, content))
        await body.wait_written()
        assert await check(body, content) == SIZE
        body.discard()
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        assert await check(body, content) == body.bytes_held
        body.discard()


async def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    media = media_of("a", SIZE)
    os.mkfifo(tmp_path / name_of("here", media.id))
    cache = new_cache(tmp_path)
    body = await opened(cache, media)
    assert body.bytes_held == 0
    await cache.scan()
    assert listed(tmp_path) == []
    body.discard()
    await cache.aclose()


async def test_a_disk_that_cannot_be_read_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, media = content_of(SIZE), media_of("a", SIZE)
    async with cache_in(tmp_path) as cache:
        await filled(cache, media, content)
        body = await opened(cache, media)

        def refuse(*args: object) -> bytes:
            raise OSError(errno.EIO, "it does not turn")

        with monkeypatch.context() as broken:
            broken.setattr(os, "pread", refuse)
            for at in (0, 3 * BLOCK):
                with pytest.raises(Unavailable, match="it does not turn"):
                    await body.get(at, BLOCK + 1)
        assert runs(body) == [(2 * BLOCK, 3 * BLOCK), (5 * BLOCK, SIZE)]
        assert len(warnings(caplog)) == 1
        assert all(put(body, content))
        await body.wait_written()
        assert await check(body, content) == SIZE
        body.discard()


# --- a disk that takes nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EROFS, errno.EIO])
async def test_whatever_the_disk_refuses_is_no_error_and_one_warning(
    tmp_path: Path, failure: int, caplog: pytest.LogCaptureFixture
) -> None:
    content, media = content_of(SIZE), media_of("a", SIZE)
    at, steps = 0, 1000
    while at < steps:
        folder, seen = tmp_path / str(at), 0

        def refuse(name: str, args: tuple[object, ...], at: int = at) -> None:
            nonlocal seen
            making = name == "open" and len(args) > 1 and isinstance(args[1], int) and args[1] & os.O_CREAT
            if making or name in ("mkdir", "pwrite", "pwritev", "rename"):
                seen += 1
                if seen - 1 == at:
                    raise OSError(failure, os.strerror(failure))

        caplog.clear()
        async with cache_in(folder) as cache:
            body = await opened(cache, media)
            with around(refuse):
                for start in range(0, SIZE, PIECE):
                    body.put_nowait(start, content[start : start + PIECE])
                    await body.wait_written()
            assert await check(body, content) == body.bytes_held
            assert body.bytes_held == SIZE or at < seen
            assert len(warnings(caplog)) == (at < seen), at
            assert cache.statistics().bytes >= blocks(folder)
            body.discard()
            body = await opened(cache, media)
            assert all(put(body, content)), "it may do better the next time"
            await body.wait_written()
            assert await check(body, content) == SIZE
            body.discard()
            assert all(len(name) == 40 for name in listed(folder))
        steps = seen if seen <= at else steps
        at += 1
    assert at > 8


async def test_a_full_disk_means_no_caching_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = 3 * MIB
    content = content_of(size)
    with disk_of(tmp_path / "disk", 1 * MIB) as disk:
        async with cache_in(disk / "bytes") as cache:
            for name in "ab":
                body = await opened(cache, media_of(name, size))
                for at in range(0, size, PIECE):
                    body.put_nowait(at, content[at : at + PIECE])
                    await body.wait_written()
                assert await check(body, content) == body.bytes_held
                body.discard()
        assert len(warnings(caplog)) == 1


async def test_a_write_that_was_cut_short_is_not_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The limit of a process stands in for a disk that becomes full within one write."""
    size = 3 * MIB
    content, media = content_of(size), media_of("a", size)
    async with cache_in(tmp_path) as cache:
        body = await opened(cache, media)
        assert body.put_nowait(0, content[:PIECE])
        await body.wait_written()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + 5000, before[1]))
        try:
            put(body, content)
            await body.wait_written()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert runs(body) == [(0, PIECE)]
        assert await check(body, content) == PIECE
        assert cache.statistics().bytes >= blocks(tmp_path)
        assert not body.put_nowait(PIECE, content[PIECE:]), "it is not tried again before it is opened again"
        body.discard()
        assert len(warnings(caplog)) == 1


async def test_a_disk_that_can_only_be_read_gives_what_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    media, other, content = media_of("a", MIB), media_of("b", MIB), content_of(MIB)
    with disk_of(tmp_path / "disk", 20 * MIB) as disk:
        async with cache_in(disk / "bytes") as cache:
            body = await opened(cache, media)
            put(body, content, 0, MIB // 2)
            await body.wait_written()
            body.discard()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)  # noqa: ASYNC221
        async with cache_in(disk / "bytes") as cache:
            for each, held in ((media, MIB // 2), (other, 0)):
                body = await opened(cache, each)
                assert await check(body, content) == held
                put(body, content)
                await body.wait_written()
                assert body.bytes_held == held
                assert len(warnings(caplog)) == 1
                body.discard()


async def test_a_folder_that_cannot_be_made_means_no_caching(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bytes").touch()  # root may write any folder, but not into a file
    async with cache_in(tmp_path / "bytes") as cache:
        for name in "ab":
            body = await opened(cache, media_of(name, MIB))
            put(body, content_of(MIB))
            await body.wait_written()
            assert body.bytes_held == 0
            body.discard()
        assert len(warnings(caplog)) == 1


# --- a process that ends anywhere, and a power cut -------------------------------------------------------


async def held_after(folder: Path, contents: dict[Media, bytes]) -> int:
    """Bytes that the next process finds, all of them right."""
    found = 0
    async with cache_in(folder) as cache:
        for media, content in contents.items():
            body = await opened(cache, media)
            found += await check(body, content)
            body.discard()
        assert cache.statistics().bytes >= blocks(folder)
        assert all(len(name) == 40 for name in listed(folder)), "nothing half made stays"
    return found


async def instants_of(folder: Path, copies: Path, contents: dict[Media, bytes]) -> list[Path]:
    """The folder as it was before and after each change of the disk, while it is filled out of order."""
    os.mkdir(copies)
    taking, dice = threading.local(), random.Random(1)

    def copy(name: str, args: tuple[object, ...]) -> None:
        if not getattr(taking, "now", False) and folder.exists():
            taking.now = True  # copying opens files, too
            shutil.copytree(folder, copies / f"{len(os.listdir(copies)):04} {name}")
            taking.now = False

    async with cache_in(folder) as cache:
        with around(copy, copy):
            for media, content in contents.items():
                body = await opened(cache, media)
                numbers = list(range(0, len(content), BLOCK))
                dice.shuffle(numbers)
                for at in numbers:
                    assert body.put_nowait(at, content[at : at + BLOCK])
                    if dice.random() < 0.5:
                        await body.wait_written()
                await body.wait_written()
                body.discard()
            cache.forget({MediaId("b")})
            await cache.aclose()
    return [copies / name for name in sorted(listed(copies))]


async def test_a_crash_at_any_step_yields_right_bytes_or_none(tmp_path: Path) -> None:
    """`kill -9` leaves the disk as it was at that instant: each instant is opened anew."""
    contents = {
        media_of("a", SIZE, etag="1"): content_of(SIZE, 1),
        media_of("b", SIZE, etag="1"): content_of(SIZE, 2),
        media_of("a", SIZE, etag="2"): content_of(SIZE, 3),
    }
    instants = await instants_of(tmp_path / "bytes", tmp_path / "copies", contents)
    amounts = [await held_after(instant, contents) for instant in instants]
    assert len(set(amounts)) > 10
    assert amounts[-1] == SIZE


async def test_a_power_cut_yields_right_bytes_or_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of what was not synced, any page may be on disk or not, and a file may be shorter."""
    dice = random.Random(2)
    media, content = media_of("a", SIZE), content_of(SIZE)
    instants = await instants_of(tmp_path / "bytes", tmp_path / "copies", {media: content})
    some = 0
    for instant in instants:
        for file in instant.iterdir():
            raw = bytearray(file.read_bytes())
            lost = dice.choice([0.02, 0.3, 0.9])
            for page in range(0, len(raw), 4096):
                if dice.random() < lost:
                    stop = min(page + 4096, len(raw))
                    raw[page:stop] = bytes(stop - page)
            if dice.random() < 0.1:
                del raw[dice.randrange(len(raw) + 1) :]
            file.write_bytes(raw)
        some += await held_after(instant, {media: content}) > 0
    assert some > 3
    caplog.clear()


FILLER = """
import random, sys, trio
from pathlib import Path
from tests.reading.test_partial import *

async def main():
    dice = random.Random()
    async with cache_in(Path(sys.argv[1]), 6 * MIB) as cache:
        print("go", flush=True)
        for turn in range(10000):
            name = dice.choice("abcdef")
            size = 2 * MIB + 1000
            content = content_of(size, ord(name))
            body = await opened(cache, media_of(name, size))
            places = list(range(0, size, BLOCK))
            dice.shuffle(places)
            for at in places[: dice.randrange(len(places))]:
                body.put_nowait(at, content[at : at + BLOCK])
            if turn % 3:
                await body.wait_written()
            body.discard()
            if turn % 7 == 2:
                cache.forget({MediaId(name)})
            if turn % 7 == 3:
                await cache.evict({MediaId(name)})

trio.run(main)
"""


async def test_a_process_that_is_killed_while_it_fills_leaves_right_bytes_or_none(tmp_path: Path) -> None:
    dice, found = random.Random(3), 0
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
        assert blocks(tmp_path) <= 6 * MIB
        size = 2 * MIB + 1000
        contents = {media_of(name, size): content_of(size, ord(name)) for name in "abcdef"}
        found += await held_after(tmp_path, contents) > 0
    assert found > 6


# --- against plain bytes ---------------------------------------------------------------------------------

SIZES = (1, BLOCK, 3 * BLOCK + 5, 12 * BLOCK + 77)
names = st.sampled_from("ab")
versions = st.integers(1, 2)
places = st.integers(0, SIZES[-1])
lengths = st.one_of(st.integers(0, 3 * BLOCK), st.just(PIECE), st.just(SIZES[-1]))
which = st.integers(0, 5)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), names, versions, st.sampled_from(SIZES)),
        st.tuples(st.just("put"), which, places, lengths),
        st.tuples(st.just("put"), which, places, lengths),
        st.tuples(st.just("get"), which, places, lengths),
        st.tuples(st.just("written"), which, st.just(0), st.just(0)),
        st.tuples(st.just("discard"), which, st.just(0), st.just(0)),
        st.tuples(st.just("forget"), names, st.just(0), st.just(0)),
        st.tuples(st.just("evict"), names, st.just(0), st.just(0)),
        st.tuples(st.just("pin"), names, st.integers(0, 1), st.just(0)),
        st.tuples(st.just("purge"), st.just(0), st.just(0), st.just(0)),
        st.tuples(st.just("damage"), st.just(0), places, st.just(0)),
        st.tuples(st.just("remount"), st.just(0), st.just(0), st.just(0)),
        st.tuples(st.just("crash"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=30,
)


class Model:
    """What was put, as plain bytes, beside the cache."""

    def __init__(self, folder: Path, cap: int) -> None:
        self.folders = folder
        self.cap = cap
        self.lives = 0
        self.folder = folder / "0"
        self.cache = new_cache(self.folder, cap)
        self.readers: list[tuple[PartialBody, Media, bytes]] = []
        self.put: dict[str, set[int]] = {}
        """Blocks that may be held, of each version."""
        self.pinned: set[str] = set()

    def known(self, media: Media) -> set[int]:
        return self.put.setdefault(f"{media.id} {media.etag}", set())

    def check(self) -> None:
        assert blocks(self.folder) <= max(self.cap, 0)
        assert self.cache.statistics().bytes <= max(self.cap, 0)
        for body, media, _ in self.readers:
            for start, stop in runs(body):
                held = set(range(start // BLOCK, -(-stop // BLOCK)))
                assert held <= self.known(media)
                assert stop % BLOCK == 0 or stop == media.size

    async def do(self, action: str, first: Any, second: int, third: int) -> None:
        if action == "open":
            media = media_of(first, third, etag=f"{second}-{third}")
            body = await self.cache.open_partial(media, version_of(media), third, None, None)
            assert (body is None) == (self.cap == 0)
            if body is not None:
                self.readers.append((body, media, content_of(third, ord(first) * 10 + second)))
        elif action in ("put", "get", "written", "discard") and self.readers:
            await self.use(action, self.readers[first % len(self.readers)], second, third)
        elif action in ("forget", "evict"):
            for key in [key for key in self.put if key.startswith(first)]:
                self.put[key] = set()
            if action == "forget":
                self.cache.forget({MediaId(first)})
                assert name_of("here", MediaId(first)) not in listed(self.folder)
            else:
                await self.cache.evict({MediaId(first)})
            self.pinned.discard(first)
        elif action == "pin":
            await (self.cache.pin if second else self.cache.unpin)(MediaId(first))
            (self.pinned.add if second else self.pinned.discard)(first)
        elif action == "purge":
            await self.cache.purge()
            self.put.clear()
            self.pinned.clear()
        elif action == "damage":
            for name in listed(self.folder)[:1]:
                with (self.folder / name).open("r+b") as file:
                    file.seek(second)
                    if file.read(1):
                        file.seek(second)
                        file.write(b"\xa5")
        elif action == "remount":
            while self.readers:
                self.readers.pop()[0].discard()
            await self.cache.aclose()
            await self.start()
        elif action == "crash":
            old, old_readers, before = self.cache, self.readers, self.folder
            self.lives += 1
            self.folder = self.folders / str(self.lives)
            if before.exists():
                shutil.copytree(before, self.folder, ignore=lambda at, names: gone(at, names))
            self.readers = []
            for body, _, _ in old_readers:
                body.discard()
            await old.aclose()
            await self.start()

    async def start(self) -> None:
        self.cache = new_cache(self.folder, self.cap)
        await self.cache.scan()
        there = {each for each in self.cache.pinned()}
        assert there <= self.pinned

    async def use(self, action: str, reader: tuple[PartialBody, Media, bytes], at: int, length: int) -> None:
        body, media, content = reader
        at %= len(content)
        if action == "put":
            data = content[at : at + length]
            if body.put_nowait(at, data) or not self.plenty:
                last = len(content) if at + len(data) == len(content) else at + len(data) - BLOCK + 1
                self.known(media).update(
                    number // BLOCK for number in range(-(-at // BLOCK) * BLOCK, last, BLOCK)
                )
        elif action == "get":
            stop = min(body.held_until(at), at + length)
            if stop > at:
                try:
                    assert await body.get(at, stop - at) == content[at:stop]
                except Unavailable:
                    assert body.held_until(at) < stop, "what cannot be had is not held any more"
        elif action == "written":
            await body.wait_written()
        else:
            self.readers.remove(reader)
            body.discard()

    @property
    def plenty(self) -> bool:
        return self.cap > 100 * MIB


def gone(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not os.path.exists(os.path.join(folder, name))]


@settings(max_examples=200, deadline=None)
@given(script=steps, cap=st.sampled_from([0, 300 * KIB, 1 * MIB, 200 * MIB]))
def test_whatever_is_done_what_is_got_is_what_was_put(
    script: list[tuple[str, Any, int, int]], cap: int
) -> None:
    """A media's content is a function of its name, version and size. Readers, versions, evictions, deletions,
    damage, remounts, crashes: only that content is ever got, only what was put is held, and the blocks stay
    under the cap."""

    async def main(folder: Path) -> None:
        model = Model(folder, cap)
        await model.start()
        for step in script:
            await model.do(*step)
            model.check()
        for body, _, content in model.readers:
            await body.wait_written()
            await check(body, content)
            body.discard()
        await model.cache.aclose()
        model.check()
        assert blocks(model.folder) <= model.cache.statistics().bytes

    logging.disable(logging.WARNING)  # of what was damaged
    try:
        with tempfile.TemporaryDirectory() as folder:
            trio.run(main, Path(folder))
    finally:
        logging.disable(logging.NOTSET)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(places, lengths), max_size=12), st.sampled_from(SIZES))
def test_with_room_every_whole_block_that_was_put_is_held(puts: list[tuple[int, int]], size: int) -> None:
    content, media = content_of(size), media_of("a", size)

    async def main(folder: Path) -> None:
        plain = set[int]()
        async with cache_in(folder) as cache:
            body = await opened(cache, media)
            for at, length in puts:
                at %= size
                stop = min(at + length, size)
                new = {
                    number
                    for number in range(-(-size // BLOCK))
                    if at <= number * BLOCK and min((number + 1) * BLOCK, size) <= stop
                }
                assert body.put_nowait(at, content[at:stop]) == bool(new)
                plain |= new
            await body.wait_written()
            held = {
                number for start, stop in runs(body) for number in range(start // BLOCK, -(-stop // BLOCK))
            }
            assert held == plain
            body.discard()
        async with cache_in(folder) as cache:
            body = await opened(cache, media)
            assert {
                number for start, stop in runs(body) for number in range(start // BLOCK, -(-stop // BLOCK))
            } == plain
            assert await check(body, content) == body.bytes_held == cache.held(version_of(media))
            body.discard()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder))
