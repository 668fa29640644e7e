"""One cap for all accounts of a cache directory: held by all together, and each gets its share."""

from __future__ import annotations

import fcntl
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from mediafs import instance
from mediafs.app import purge_bytes
from mediafs.model import AccountName
from mediafs.reading.disk import cache as cache_module
from mediafs.reading.disk.cache import DiskCache
from mediafs.reading.disk.room import Entry, Room
from mediafs.reading.options import CacheOptions

from .scripted import KIB, MIB, some_bytes, version_of
from .test_cache import blocks, got, keep, media_of

REPOSITORY = Path(__file__).parents[2]
CAP = 24 * MIB
NOTE = ".room"


def account(directory: Path, name: str, size: int = CAP) -> DiskCache:
    folder = directory / name / "bytes"
    folder.parent.mkdir(exist_ok=True)

    def idle(other: str) -> AbstractContextManager[bool]:
        return instance.idle(AccountName(other), directory)

    return DiskCache(CacheOptions(folder=folder, realm=name, size=size, hold_idle=idle))


@contextmanager
def mounted(directory: Path, name: str) -> Iterator[None]:
    """As far as other accounts can tell."""
    with instance.lock(AccountName(name), directory, None):
        yield


def note(directory: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = json.loads((directory / NOTE).read_text())
    return found


def total(directory: Path) -> int:
    """Bytes of disk that all bodies of all accounts take up: at one moment, and no more than they did then,
    though they change meanwhile (between two passes a file only grew, or only shrank, or is gone)."""
    paths = [each for folder in directory.glob("*/bytes") for each in folder.iterdir()]

    def sizes() -> list[int]:
        found = []
        for path in paths:
            try:
                found.append(os.lstat(path).st_blocks * 512)
            except FileNotFoundError:
                found.append(0)
        return found

    return sum(map(min, sizes(), sizes()))


@contextmanager
def watched(directory: Path) -> Iterator[list[int]]:
    """The totals, looked at all the time."""
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(total(directory))
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


async def fill(cache: DiskCache, name: str, count: int, size: int = MIB, *, once: bool = False) -> int:
    """Puts bodies; how many were kept."""
    number = 0
    for each in range(count):
        media = media_of(f"{name} {each}", size, once=once)
        number += await keep(cache, media, some_bytes(size, each % 7))
    return number


async def read_in_blocks(cache: DiskCache, name: str, size: int, seed: int) -> bool:
    """As streams put them; whether all was kept, and is right."""
    media, content = media_of(name, size), some_bytes(size, seed)
    body = await cache.open_partial(media, version_of(media), size, '"one"', None)
    assert body is not None
    for at in range(0, size, 256 * KIB):
        body.put_nowait(at, content[at : at + 256 * KIB])
        await trio.lowlevel.checkpoint()
    await body.wait_written()
    whole = body.bytes_held == size
    if whole:
        assert await body.get(0, size) == content
    body.discard()
    return whole


async def busy(cache: DiskCache, seed: int, turns: int) -> None:
    """Whole bodies and blocks, of many sizes, four at once."""
    dice = random.Random(seed)

    async def one(reader: int) -> None:
        for turn in range(turns):
            size = dice.randrange(1, 3 * MIB)
            if dice.random() < 0.5:
                await keep(cache, media_of(f"{reader} {turn}", size), some_bytes(size, turn))
            else:
                await read_in_blocks(cache, f"{reader} {turn} b", size, turn)

    async with trio.open_nursery() as nursery:
        for reader in range(4):
            nursery.start_soon(one, reader)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """They look at each other's wishes often."""
    monkeypatch.setattr(cache_module, "LOOK_S", 0.05)
    monkeypatch.setattr(cache_module, "PAUSE_S", 0.01)


# --- the cap -------------------------------------------------------------------------------------------


async def test_two_accounts_that_fill_at_once_stay_under_one_cap(tmp_path: Path, fast: None) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    with watched(tmp_path) as seen, mounted(tmp_path, "one"), mounted(tmp_path, "other"):
        async with trio.open_nursery() as nursery:
            for cache in (one, other):
                nursery.start_soon(cache.run)
                await cache.wait_scanned()
            async with trio.open_nursery() as fills:
                fills.start_soon(busy, one, 1, 8)
                fills.start_soon(busy, other, 2, 8)
            nursery.cancel_scope.cancel()
        for cache in (one, other):
            await cache.aclose()
    assert CAP // 2 < max(seen) <= CAP
    for name, cache in (("one", one), ("other", other)):
        # Of blocks it is counted what they may take up at most.
        said, there = note(tmp_path)[name][0], blocks(tmp_path / name / "bytes")
        assert there <= said == cache.statistics().bytes <= there * 1.01
    assert (tmp_path / NOTE).stat().st_mode & 0o777 == 0o600


PROCESS = """
import sys
from pathlib import Path
import trio
from mediafs.reading.disk import cache
from tests.reading.test_share import account, busy, mounted

async def main(directory, name, seed):
    cache.LOOK_S = 0.05
    mine = account(directory, name)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.run)
        await mine.wait_scanned()
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        await busy(mine, seed, 6)
        nursery.cancel_scope.cancel()
    if seed != 2:
        await mine.aclose()

with mounted(Path(sys.argv[1]), sys.argv[2]):
    trio.run(main, Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
"""


def test_three_processes_that_fill_at_once_stay_under_one_cap(tmp_path: Path) -> None:
    with ExitStack() as stack:
        seen = stack.enter_context(watched(tmp_path))
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROCESS, tmp_path, name, str(number)],
                    cwd=REPOSITORY,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number, name in enumerate(("one", "other", "third"))
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.communicate("go\n", timeout=100)
            assert process.returncode == 0
    assert CAP // 2 < max(seen) <= CAP
    assert all(blocks(tmp_path / name / "bytes") <= each[0] for name, each in note(tmp_path).items())
    assert min(each[0] for each in note(tmp_path).values()) > CAP // 8


async def test_after_an_upgrade_all_that_is_there_counts(tmp_path: Path) -> None:
    """Who comes first goes down to its share, and takes no more before the others have, too."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        alone = DiskCache(CacheOptions(folder=tmp_path / name / "bytes", realm=name, size=CAP))
        await alone.scan()
        await fill(alone, name, 18)
        await alone.aclose()
    one = account(tmp_path, "one")
    await one.scan()
    used = one.statistics()
    assert CAP // 2 - 2 * MIB < used.bytes <= CAP // 2
    assert 18 * MIB <= used.others == blocks(tmp_path / "other" / "bytes")
    with mounted(tmp_path, "other"):
        assert not await keep(one, media_of("new", 8 * MIB), some_bytes(8 * MIB))
        other = account(tmp_path, "other")
        await other.scan()
        assert other.statistics().bytes <= CAP - one.statistics().bytes
        assert await keep(one, media_of("new", MIB), some_bytes(MIB))
    assert total(tmp_path) <= CAP


async def test_what_was_killed_counts_as_it_said_until_it_starts_again(tmp_path: Path) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    await one.scan()
    await fill(one, "a", 6)
    said = note(tmp_path)["one"][0]
    # Killed: it does not tell that it has given up two.
    names = [path.name for path in (tmp_path / "one" / "bytes").iterdir()]
    for name in names[:2]:
        (tmp_path / "one" / "bytes" / name).unlink()
    await other.scan()
    assert other.statistics().others == said
    again = account(tmp_path, "one")
    await again.scan()
    assert note(tmp_path)["one"][0] == blocks(tmp_path / "one" / "bytes") < said


async def test_an_account_whose_folder_is_gone_counts_no_more(tmp_path: Path) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    await one.scan()
    await fill(one, "a", 20)
    await one.aclose()
    (tmp_path / "one").rename(tmp_path.parent / f"{tmp_path.name}-gone")
    await other.scan()
    assert await fill(other, "b", 20) == 20
    assert other.statistics().files == 20
    assert set(note(tmp_path)) == {"other"}


async def test_what_is_purged_without_a_daemon_is_told(tmp_path: Path) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    await one.scan()
    await fill(one, "a", 20)
    await one.aclose()
    assert purge_bytes(tmp_path, "one").files == 20
    await other.scan()
    assert (other.statistics().others, other.room()) == (0, CAP)


async def test_what_is_given_up_is_others_only_once_it_is_off_the_disk(tmp_path: Path) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    for cache in (one, other):
        await cache.scan()
    await fill(one, "a", 22)
    media = media_of("b", 4 * MIB)
    assert not await keep(other, media, some_bytes(4 * MIB))
    going = one._ledger.shrink(for_others=True)
    assert len(going) >= 2
    other._ledger.try_again()
    assert not await keep(other, media, some_bytes(4 * MIB)), "its files are still there"
    await one._writer.unlinked(going)
    await one._lower()
    other._ledger.try_again()
    assert await keep(other, media, some_bytes(4 * MIB))


# --- the note ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"\xff\0" * 3000,
        b"[]",
        b"null",
        b"7",
        b'{"one": 5}',
        b'{"one": [-5, 0, 0]}',
        b'{"one": ["5", 0, 0]}',
        b'{"one": [5]}',
        b'{"../one": [5, 0, 0]}',
        b'{"one": [5, 0, 0]} and more',
        b"[" * 50_000,
    ],
    ids=lambda raw: repr(raw[:12]),
)
async def test_a_damaged_note_is_made_anew_from_what_is_there(tmp_path: Path, damaged: bytes) -> None:
    one, other = (account(tmp_path, name, 3 * MIB) for name in ("one", "other"))
    for cache in (one, other):
        await cache.scan()
    await fill(one, "a", 2)
    (tmp_path / NOTE).write_bytes(damaged)
    assert not await fill(other, "b", 1)
    assert await fill(other, "c", 2, 300 * KIB)
    assert total(tmp_path) <= 3 * MIB
    assert other.statistics().others == blocks(tmp_path / "one" / "bytes")
    note(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
async def test_where_there_can_be_no_note_each_is_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / NOTE
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(path)
    one = account(tmp_path, "one")
    await one.scan()
    assert await fill(one, "a", 3) == 3
    await one.aclose()
    assert not (tmp_path / "elsewhere").exists()


async def test_a_turn_that_does_not_end_holds_nobody_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody was stopped in the middle of one: nothing is kept meanwhile."""
    one = account(tmp_path, "one")
    await one.scan()
    descriptor = os.open(tmp_path / NOTE, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert not await keep(one, media_of("a", MIB), some_bytes(MIB))
    assert not await read_in_blocks(one, "b", MIB, 0)
    os.close(descriptor)
    await one.purge()  # something was given up: it is asked again
    one._ledger.try_again()
    assert await keep(one, media_of("a", MIB), some_bytes(MIB))
    assert "leave no room" in caplog.text
    caplog.clear()


# --- fair shares ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_blocks", [False, True])
async def test_a_newcomer_gets_its_share_of_what_another_has_filled(
    tmp_path: Path, fast: None, in_blocks: bool
) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    with watched(tmp_path) as seen, mounted(tmp_path, "one"), mounted(tmp_path, "other"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run)
            await one.wait_scanned()
            await fill(one, "old", 22)
            await one.pin(media_of("old 5", MIB).id)
            before = one.statistics().files
            assert before >= 21
            nursery.start_soon(other.run)
            await other.wait_scanned()
            assert other.room() == CAP // 2
            with trio.fail_after(30):
                number = 0
                while other.statistics().bytes < CAP // 2 - 2 * MIB:
                    number += 1
                    if in_blocks:
                        await read_in_blocks(other, f"new {number}", MIB, number)
                    else:
                        await keep(other, media_of(f"new {number}", MIB), some_bytes(MIB))
                    other._ledger.try_again()
                    await trio.sleep(0.01)
            # What was used last is still there, and what was pinned.
            used = one.statistics().bytes
            assert used > CAP // 2 - 4 * MIB
            for name in ("old 21", "old 20", "old 5"):
                assert await got(one, media_of(name, MIB)) is not None
            assert await got(one, media_of("old 0", MIB)) is None
            # Both go on: neither takes the other's share.
            async with trio.open_nursery() as fills:
                fills.start_soon(fill, one, "more", 20)
                fills.start_soon(fill, other, "more", 20)
            assert min(one.statistics().bytes, other.statistics().bytes) > CAP // 2 - 4 * MIB
            nursery.cancel_scope.cancel()
    assert max(seen) <= CAP


async def test_one_that_is_not_mounted_gives_its_share_under_its_lock(tmp_path: Path, fast: None) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    await one.scan()
    await fill(one, "pinned", 2)
    await one.pin(media_of("pinned 1", MIB).id)
    await fill(one, "limited", 2, once=True)
    await fill(one, "old", 17)
    await one.aclose()
    first = note(tmp_path)["one"][0]
    with watched(tmp_path) as seen, mounted(tmp_path, "other"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.run)
            await other.wait_scanned()
            with mounted(tmp_path, "one"):  # a daemon that does not answer
                for number in range(20):
                    await keep(other, media_of(f"kept {number}", MIB), some_bytes(MIB))
                    await trio.sleep(0.01)
                assert note(tmp_path)["one"][0] == first
            with trio.fail_after(30):
                number = 0
                while other.statistics().bytes < CAP // 2 - 2 * MIB:
                    number += 1
                    await keep(other, media_of(f"new {number}", MIB), some_bytes(MIB))
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert max(seen) <= CAP
    left = blocks(tmp_path / "one" / "bytes")
    assert CAP // 2 - 2 * MIB < left == note(tmp_path)["one"][0] <= CAP - other.statistics().bytes
    again = account(tmp_path, "one")
    await again.scan()
    names = ("pinned 1", "limited 0", "limited 1", "old 16", "old 15")
    for name in names:
        media = replace(media_of(name, MIB), download_once=name.startswith("limited"))
        assert await got(again, media) is not None, name
    for name in ("pinned 0", "old 0", "old 1"):
        assert await got(again, media_of(name, MIB)) is None


async def test_pinned_and_limited_bodies_never_make_room_for_others(tmp_path: Path, fast: None) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    with mounted(tmp_path, "other"):
        await one.scan()
        await fill(one, "limited", 20, once=True)
        await one.aclose()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.run)
            await other.wait_scanned()
            for number in range(10):
                await keep(other, media_of(f"new {number}", MIB), some_bytes(MIB))
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
    again = account(tmp_path, "one")
    await again.scan()
    assert again.statistics().files == 20
    assert 0 < other.statistics().bytes <= CAP - blocks(tmp_path / "one" / "bytes")


async def test_a_wish_ends_with_who_had_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    for cache in (one, other):
        await cache.scan()
    await fill(one, "a", 22)
    assert not await keep(other, media_of("b", 3 * MIB), some_bytes(3 * MIB))
    assert 3 * MIB <= note(tmp_path)["other"][1] <= 3 * MIB + 128 * KIB
    # Killed. While the wish is believed, one takes nothing of what it asks for, and later all.
    now = time.time()
    await fill(one, "c", 3)
    assert one.statistics().bytes <= CAP - 3 * MIB
    monkeypatch.setattr(time, "time", lambda: now + 60)
    await fill(one, "d", 12)
    assert one.statistics().bytes > CAP - 2 * MIB


async def test_the_room_that_df_shows_is_what_one_could_get(tmp_path: Path) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    await one.scan()
    assert (one.room(), one.statistics().others) == (CAP, 0)
    await fill(one, "a", 4, once=True)
    await one._leave_to_others()
    await other.scan()
    held = one.statistics().bytes
    assert (other.room(), other.statistics().others) == (CAP - held, held)
    await fill(other, "b", 22)
    one._ledger.shrink(for_others=True)
    assert one.room() == CAP // 2 - held


async def test_small_files_seldom_take_a_turn_and_others_soon_have_what_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = account(tmp_path, "one"), account(tmp_path, "other")
    await one.scan()
    turns, turn = [], Room.turn

    def counted(room: Room) -> AbstractContextManager[dict[str, Entry] | None]:
        turns.append(room.account)
        return turn(room)

    monkeypatch.setattr(Room, "turn", counted)
    for number in range(100):
        assert await read_in_blocks(one, f"small {number}", 60 * KIB, number)
    assert len(turns) < 20
    assert note(tmp_path)["one"][0] > one.statistics().bytes
    await one._leave_to_others()
    await other.scan()
    assert other.statistics().others == one.statistics().bytes
