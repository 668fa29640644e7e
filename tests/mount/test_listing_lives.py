"""A directory that changes while it is listed, on real mounts.

Whoever reads a directory slowly sees each name that existed throughout exactly once, whatever other
processes' listings find meanwhile; what they found to be gone is gone for everybody.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, wait_until

DAY = "2025-06-01"
PLACES = ["by-date/2025/06/01", "by-conversation/5000", "by-user/1000"]
BUFFER = 4096
"""Some 20 names: the kernel asks the program behind the mount again for every few of them."""

_HEAD = struct.Struct("=QqHB")
"""d_ino, d_off, d_reclen and d_type of `struct linux_dirent64`; the name follows, ended by a zero."""

_libc = ctypes.CDLL(None, use_errno=True)


class Slowly:
    """A directory read a few names at a time: what `readdir` of the C library hides in one large buffer."""

    def __init__(self, path: Path) -> None:
        self.names: list[str] = []
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._buffer = ctypes.create_string_buffer(BUFFER)

    def close(self) -> None:
        os.close(self._fd)

    def step(self) -> list[str]:
        """The next few names; none at the end."""
        length = _libc.getdents64(self._fd, self._buffer, BUFFER)
        if length < 0:
            raise OSError(ctypes.get_errno(), "getdents64")
        found, at, raw = [], 0, self._buffer.raw
        while at < length:
            _, _, size, _ = _HEAD.unpack_from(raw, at)
            found.append(os.fsdecode(raw[at + _HEAD.size : at + size].split(b"\0", 1)[0]))
            at += size
        self.names += (name for name in found if name not in (".", ".."))
        return found

    def steps(self, count: int) -> None:
        for _ in range(count):
            assert self.step(), "the directory ended too early for this test"

    def finish(self) -> list[str]:
        while self.step():
            pass
        return self.names

    def rewind(self) -> None:
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.names = []


@contextmanager
def slowly(path: Path) -> Iterator[Slowly]:
    reader = Slowly(path)
    try:
        yield reader
    finally:
        reader.close()


@pytest.fixture
def crowd() -> Iterator[Box]:
    """One user's 3,000 media of one day and one conversation."""
    with sandbox_process(media=3150, first=DAY, last=DAY, users=1, conversations=1) as running:
        yield running


def alive(box: Box) -> dict[str, int]:
    """File name -> id."""
    return {m["filename"]: m["id"] for m in box.world() if m["completed"]}


def crowded(box: Box, fresh_for: str) -> Any:
    return mounted(box.url, lines=['conversations = ["5000"]', f'fresh_for = "{fresh_for}"'])


def folder_of(mount: Mount, place: str) -> Path:
    """The folder itself: a bare id of a user is a link to it."""
    return (mount.root / place).resolve()


class Changes:
    """Some removals spread over the whole directory, and some additions of names that are known before."""

    def __init__(self, box: Box, removed: int = 60, added: int = 40) -> None:
        self.before = alive(box)
        in_order = sorted(self.before)
        self.removed = in_order[:: len(in_order) // removed][:removed]
        self.added = [f"media-Added{number:011}-1748779200.png" for number in range(added)]
        self.stayed = set(self.before) - set(self.removed)
        self._box = box

    def make(self) -> None:
        for name in self.removed:
            self._box.remove(self.before[name])
        for name in self.added:
            self._box.add(filename=name, created=f"{DAY}T12:00:00+00:00", conversation="5000", owner=1000)


def present(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if os.path.lexists(folder / name)]


def check_slow_listing(names: list[str], early: set[str], changes: Changes) -> None:
    """`early` was read before the changes were known."""
    counts = Counter(names)
    assert [name for name, count in counts.items() if count > 1] == []
    assert changes.stayed - set(names) == set()
    assert (set(changes.removed) & set(names)) - early == set()
    assert set(names) - set(changes.before) - set(changes.added) == set()


@pytest.mark.parametrize("place", PLACES)
def test_a_slow_listing_misses_nothing_and_repeats_nothing_while_a_refresh_finds_changes(
    crowd: Box, place: str
) -> None:
    with crowded(crowd, "1h") as mount:
        folder = folder_of(mount, place)
        changes = Changes(crowd)
        assert sorted(os.listdir(folder)) == sorted(changes.before)
        assert len(changes.before) >= 3000
        # The kernel now holds what is there, and that the rest is not.
        assert present(folder, changes.removed) == changes.removed
        assert present(folder, changes.added) == []
        with slowly(folder) as reader:
            reader.steps(20)
            early = set(reader.names)
            changes.make()
            assert present(folder, changes.added) == []
            refreshed = mount.mediafs("refresh", str(folder))
            assert refreshed.returncode == 0, refreshed.stderr
            gone, new = present(folder, changes.removed), present(folder, changes.added)
            assert (gone, new) == ([], changes.added)
            check_slow_listing(reader.finish(), early, changes)
            assert present(folder, changes.removed) == []
            assert sorted(os.listdir(folder)) == sorted([*changes.stayed, *changes.added])
            reader.rewind()
            assert sorted(reader.finish()) == sorted([*changes.stayed, *changes.added])
        assert present(folder, changes.removed) == []


@pytest.mark.parametrize("place", PLACES[:2])
def test_a_slow_listing_misses_nothing_and_repeats_nothing_while_another_process_lists(
    crowd: Box, place: str
) -> None:
    """The other's `ls` of a listing that is no longer fresh is what finds the changes, behind."""
    with crowded(crowd, "1s") as mount:
        folder = folder_of(mount, place)
        changes = Changes(crowd)
        assert sorted(os.listdir(folder)) == sorted(changes.before)
        assert present(folder, changes.added) == []
        with slowly(folder) as reader:
            reader.steps(20)
            early = set(reader.names)
            changes.make()
            after = sorted([*changes.stayed, *changes.added])
            halfway = 0

            def others_have_found_them() -> bool:
                nonlocal halfway
                if halfway < 40:  # the slow one goes on while the listing behind is under way
                    reader.step()
                    halfway += 1
                if not present(folder, changes.removed):
                    return True
                early.update(reader.names)
                time.sleep(0.05)
                return sorted(mount.run("ls", str(folder)).stdout.split()) == after

            wait_until(others_have_found_them, timeout=30)
            check_slow_listing(reader.finish(), early, changes)
        wait_until(lambda: sorted(os.listdir(folder)) == after)
        assert present(folder, changes.removed) == []
        assert present(folder, changes.added) == changes.added


def test_what_one_view_finds_is_true_in_every_view(crowd: Box) -> None:
    """A refresh of the day: its additions and removals are seen under the user too, and in recent."""
    with crowded(crowd, "1h") as mount:
        day, conversation, person = (folder_of(mount, place) for place in PLACES)
        changes = Changes(crowd)
        for folder in (day, conversation, person):
            assert sorted(os.listdir(folder)) == sorted(changes.before)
            assert present(folder, changes.added) == []
        recent = set(os.listdir(mount.root / "recent"))
        changes.make()
        with slowly(person) as reader:
            reader.steps(20)
            early = set(reader.names)
            assert mount.mediafs("refresh", str(day)).returncode == 0
            check_slow_listing(reader.finish(), early, changes)
        for folder in (day, person):
            assert present(folder, changes.removed) == []
            assert present(folder, changes.added) == changes.added
            assert sorted(os.listdir(folder)) == sorted([*changes.stayed, *changes.added])
        # A record does not tell its conversation: additions are learnt there, removals hold at once.
        assert present(conversation, changes.removed) == []
        assert sorted(os.listdir(conversation)) == sorted(changes.stayed)
        assert not set(os.listdir(mount.root / "recent")) & recent & set(changes.removed)


def test_a_name_that_was_removed_and_comes_back_is_the_new_media() -> None:
    """Not the old one, and not the memory of its absence."""
    with sandbox_process(media=20, first=DAY, last=DAY, users=1, conversations=1) as box:
        name, old = next((m["filename"], m["id"]) for m in box.world() if m["completed"])
        with crowded(box, "1h") as mount:
            folders = [folder_of(mount, place) for place in PLACES]
            for folder in folders:
                os.listdir(folder)
            inodes = {os.lstat(folder / name).st_ino for folder in folders}
            box.remove(old)
            assert mount.mediafs("refresh", str(folders[0])).returncode == 0
            assert [folder for folder in folders if present(folder, [name])] == []
            new = box.add(filename=name, created=f"{DAY}T12:00:00+00:00", conversation="5000", owner=1000)
            for folder in folders[:2]:  # the user's folder is shown from what the days told
                assert mount.mediafs("refresh", str(folder)).returncode == 0
            for folder in folders:
                assert os.getxattr(folder / name, "user.mediafs.id").decode() == str(new["id"])
                assert os.lstat(folder / name).st_ino not in inodes
                assert os.listdir(folder).count(name) == 1


def test_every_listing_is_whole_while_media_come_and_go(crowd: Box) -> None:
    """Two readers list again and again; a third process refreshes after every round of changes."""
    with crowded(crowd, "1s") as mount:
        folder = folder_of(mount, PLACES[0])
        before = alive(crowd)
        doomed = sorted(before)[::100]
        stayed = set(before) - set(doomed)
        os.listdir(folder)
        gone: list[str] = []
        """Names that were stated to be gone; only ever appended to."""
        wrong: list[str] = []
        over = threading.Event()
        rounds = Counter[str]()

        def read(kind: str) -> None:
            while not over.is_set() and not wrong:
                known_gone = set(gone)
                if kind == "slow":
                    with slowly(folder) as reader:
                        names = reader.finish()
                else:
                    names = os.listdir(folder)
                twice = [name for name, count in Counter(names).items() if count > 1]
                missing, back = stayed - set(names), known_gone & set(names)
                if twice or missing or back:
                    wrong.append(
                        f"{kind}: twice {twice[:3]}, missing {list(missing)[:3]}, back {list(back)[:3]}"
                    )
                rounds[kind] += 1

        readers = [threading.Thread(target=read, args=(kind,)) for kind in ("slow", "fast")]
        for reader_thread in readers:
            reader_thread.start()
        try:
            for number in range(2):
                some = doomed[number::2]
                for name in some:
                    crowd.remove(before[name])
                    crowd.add(created=f"{DAY}T{12 + number}:00:00+00:00", conversation="5000", owner=1000)
                assert mount.mediafs("refresh", str(folder)).returncode == 0
                assert present(folder, some) == []
                gone.extend(some)
        finally:
            over.set()
            for reader_thread in readers:
                reader_thread.join(30)
        assert wrong == []
        assert min(rounds["slow"], rounds["fast"]) >= 2, rounds
        assert sorted(os.listdir(folder)) == sorted(alive(crowd))


def test_an_older_content_that_is_open_is_not_gone_on_with_by_the_newer_ones_bytes() -> None:
    size = 8_000_000
    with sandbox_process(media=0, users=2) as box, mounted(box.url, lines=['fresh_for = "1s"']) as mount:
        media = box.add(filename="k.mp4", media_type="video", body=b"1" * size)
        (path,) = (mount.root / "recent").iterdir()
        held = os.open(path, os.O_RDONLY)
        try:
            assert os.pread(held, 4096, 0) == b"1" * 4096
            box.update(media["id"], body=b"2" * (size + 1))
            assert mount.mediafs("refresh", str(mount.root / "recent")).returncode == 0
            assert set(path.read_bytes()) == {ord("2")}
            for offset in (0, size // 2, size - 4096):
                try:
                    found = set(os.pread(held, 4096, offset))
                except OSError as error:
                    found = {error.errno or 0}
                assert found in ({ord("1")}, {errno.ESTALE}), offset
        finally:
            os.close(held)
