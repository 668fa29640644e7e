"""What changes at the service changes in the mount, through all that the kernel remembers."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import threading
import time
from collections.abc import Callable

import pytest
import trio
import trio.testing

from mediafs.model import Change, ChangeKind, Data, Inode, MediaId
from mediafs.mount.kernel import KernelCaches

from .conftest import Mounted, errno_of
from .fake_tree import MANY


@pytest.mark.mount
def test_a_removed_name_is_gone_at_once(mounted: Mounted) -> None:
    assert (mounted.place / "hello.txt").exists()
    mounted.ask("remove", "hello.txt")
    mounted.settle()

    assert not (mounted.place / "hello.txt").exists()
    assert "hello.txt" not in os.listdir(mounted.place)


@pytest.mark.mount
def test_a_name_that_comes_ends_its_remembered_absence(mounted: Mounted) -> None:
    assert not (mounted.place / "never.txt").exists()
    mounted.ask("add", "never.txt", "now")
    mounted.settle()

    # The tree still calls it absent; the law is that it was asked again.
    assert not (mounted.place / "never.txt").exists()
    assert mounted.counts()["lookup never.txt"] == 2


@pytest.mark.mount
def test_changed_content_is_not_read_from_old_pages(mounted: Mounted) -> None:
    path = mounted.place / "hello.txt"
    assert path.read_text() == "hello, world\n"
    mounted.ask("rewrite", "hello.txt", "other words, longer")
    mounted.settle()

    assert path.read_text() == "other words, longer"


@pytest.mark.mount
def test_a_file_whose_media_went_while_it_was_open_has_no_link_left(mounted: Mounted) -> None:
    with (mounted.place / "hello.txt").open() as file:
        mounted.ask("remove", "hello.txt")
        mounted.settle()

        found = os.fstat(file.fileno())
        assert (found.st_nlink, found.st_size) == (0, 13)


@pytest.mark.mount
def test_a_file_whose_content_changed_while_it_was_open_is_stale_and_not_cut(mounted: Mounted) -> None:
    with (mounted.place / "big.bin").open("rb") as file:
        assert len(file.read(4096)) == 4096
        mounted.ask("rewrite", "big.bin", "short now")
        mounted.settle()
        file.seek(0)

        assert errno_of(file.read) == errno.ESTALE


@pytest.mark.mount
def test_an_invalidation_behind_a_stalled_read_blocks_nobody(mounted: Mounted) -> None:
    reading = threading.Thread(target=lambda: errno_of((mounted.place / "stall.bin").read_bytes))
    reading.start()
    while not mounted.counts().get("read"):
        time.sleep(0.01)
    mounted.ask("rewrite", "stall.bin", "new")
    time.sleep(0.1)

    assert (mounted.place / "hello.txt").read_text() == "hello, world\n"
    mounted.process.terminate()
    assert mounted.process.wait(timeout=15) == 0
    reading.join(10)


@pytest.mark.mount
def test_an_invalidation_behind_a_slow_lookup_blocks_nobody(mounted: Mounted) -> None:
    looking = threading.Thread(target=lambda: errno_of((mounted.place / "slow").stat))
    looking.start()
    while not mounted.counts().get("lookup slow"):
        time.sleep(0.01)
    mounted.ask("remove", "hello.txt")

    assert mounted.ask("counts")
    mounted.process.terminate()
    assert mounted.process.wait(timeout=15) == 0
    looking.join(10)


@pytest.mark.mount
def test_a_listing_is_whole_and_without_doubles_while_names_are_removed(mounted: Mounted) -> None:
    # A small buffer makes many reads of the directory, with removals between them.
    program = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd, buffer = os.open('many', os.O_RDONLY | os.O_DIRECTORY), ctypes.create_string_buffer(8192)
while (got := libc.syscall(217, fd, buffer, 8192)) > 0:
    at, raw = 0, buffer.raw
    while at < got:
        length = int.from_bytes(raw[at + 16:at + 18], 'little')
        print(raw[at + 19:at + length].split(b'\\0')[0].decode())
        at += length
    print(flush=True); sys.stdin.readline()
"""
    if os.uname().machine != "x86_64":
        pytest.skip("the number of getdents64 is that of x86_64")
    all_names = sorted(os.listdir(mounted.place / "many"))
    removed: set[str] = set()
    seen: list[str] = []
    reader = subprocess.Popen(
        ["python3", "-c", program],
        cwd=mounted.place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    victims = iter(all_names[::7])
    try:
        with reader.stdin, reader.stdout:
            for line in reader.stdout:
                if line.strip():
                    seen.append(line.strip())
                    continue
                gone = list(itertools.islice(victims, 15))
                if gone:
                    mounted.ask("remove-many", *gone)
                    removed.update(gone)
                reader.stdin.write("\n")
                reader.stdin.flush()
    finally:
        reader.kill()
        reader.wait(timeout=10)
    mounted.settle()

    assert len(seen) == len(set(seen))
    assert set(all_names) - removed <= set(seen)
    assert len(removed) > 100
    assert len(seen) < MANY + 2
    assert set(os.listdir(mounted.place / "many")) == set(all_names) - removed
    # Not even a name that the reader saw comes back from what the listing put in the kernel's memory.
    assert [name for name in removed if (mounted.place / "many" / name).exists()] == []


class FakeCalls:
    """Says what is called, and from which thread; calls about content can be held."""

    def __init__(self) -> None:
        self.made: list[tuple[str, int, object, bool]] = []
        self.hold = threading.Event()
        self.hold.set()
        self._main = threading.get_ident()

    def _note(self, what: str, inode: int, more: object) -> None:
        self.made.append((what, inode, more, threading.get_ident() == self._main))

    def invalidate_entry(self, parent: int, name: bytes) -> None:
        self._note("entry", parent, name)
        if name == b"unknown":
            raise FileNotFoundError
        if name == b"gone":
            raise OSError(107, "not connected")

    def invalidate_inode(self, inode: int, *, attr_only: bool) -> None:
        if not attr_only:
            self.hold.wait(5)
        self._note("attributes" if attr_only else "content", inode, None)

    def notify_store(self, inode: int, offset: int, data: Data) -> None:
        self._note("store", inode, (offset, len(data)))


def _change(kind: ChangeKind, inode: int, *places: tuple[int, str], content: bool = False) -> Change:
    return Change(
        kind=kind,
        inode=Inode(inode),
        media=MediaId("m"),
        places=tuple((Inode(directory), name) for directory, name in places),
        content=content,
    )


async def _until(condition: Callable[[], bool]) -> None:
    """Waits for what a thread does: there is no event of its own to wait for."""
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.001)


async def _told(calls: FakeCalls, *changes: Change) -> None:
    kernel, stop = KernelCaches(calls), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kernel.run, stop)
        await trio.testing.wait_all_tasks_blocked()
        kernel.tell(changes)
        await _until(lambda: not kernel.pending)
        stop.set()


async def test_names_and_content_go_by_a_thread_and_attributes_by_the_loop() -> None:
    calls = FakeCalls()
    await _told(
        calls,
        _change(ChangeKind.REMOVED, 50, (2, "a"), (3, "a")),
        _change(ChangeKind.CHANGED, 51),
        _change(ChangeKind.CHANGED, 52, content=True),
        _change(ChangeKind.ADDED, 53, (2, "b")),
    )

    assert {what: main for what, _, _, main in calls.made} == {
        "entry": False,
        "attributes": True,
        "content": False,
    }
    assert {(inode, name) for what, inode, name, _ in calls.made if what == "entry"} == {
        (2, b"a"),
        (3, b"a"),
        (2, b"b"),
    }
    assert {inode for what, inode, _, _ in calls.made if what == "attributes"} == {2, 3, 50, 51, 52}
    assert {inode for what, inode, _, _ in calls.made if what == "content"} == {50, 52}


async def test_the_same_change_told_twice_is_one_call() -> None:
    calls = FakeCalls()
    await _told(calls, *[_change(ChangeKind.REMOVED, 50, (2, "a"))] * 10)

    assert [what for what, _, _, _ in calls.made].count("entry") == 1
    assert [what for what, _, _, _ in calls.made].count("content") == 1


async def test_what_the_kernel_does_not_hold_or_no_longer_takes_is_no_failure() -> None:
    calls = FakeCalls()
    await _told(calls, _change(ChangeKind.REMOVED, 50, (2, "unknown"), (2, "gone"), (2, "last")))

    assert (2, b"last") in {(inode, name) for _, inode, name, _ in calls.made}


async def test_telling_never_waits_and_a_held_content_holds_no_name_back() -> None:
    calls, stop = FakeCalls(), trio.Event()
    kernel = KernelCaches(calls)
    calls.hold.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kernel.run, stop)
        await trio.testing.wait_all_tasks_blocked()
        kernel.tell([_change(ChangeKind.REMOVED, 50, (2, "a"))])
        await _until(lambda: "attributes" in {what for what, *_ in calls.made})
        kernel.tell([_change(ChangeKind.REMOVED, 51, (2, "b"))])
        await _until(lambda: (2, b"b") in {(inode, name) for _, inode, name, _ in calls.made})
        calls.hold.set()
        stop.set()


async def test_what_is_told_before_and_after_is_dropped() -> None:
    calls = FakeCalls()
    kernel, stop = KernelCaches(calls), trio.Event()
    kernel.tell([_change(ChangeKind.REMOVED, 50, (2, "a"))])
    assert kernel.pending == 0
    stop.set()
    await kernel.run(stop)
    kernel.tell([_change(ChangeKind.REMOVED, 50, (2, "a"))])

    assert kernel.pending == 0
    assert calls.made == []


async def test_all_who_wait_until_the_kernel_was_told_are_told_so() -> None:
    """Two deletions at once: the second to wait must not be the only one that hears."""
    calls, stop = FakeCalls(), trio.Event()
    kernel = KernelCaches(calls)
    calls.hold.clear()
    removed = Change(kind=ChangeKind.REMOVED, inode=Inode(7), media=MediaId("7"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kernel.run, stop)
        await trio.testing.wait_all_tasks_blocked()
        kernel.tell([removed])
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.fail_after(5):
            async with trio.open_nursery() as waiting:
                for _ in range(3):
                    waiting.start_soon(kernel.wait_told)
                    await trio.testing.wait_all_tasks_blocked()
                calls.hold.set()
        stop.set()


async def test_it_is_told_once_the_last_call_has_come_back() -> None:
    calls, stop, begun = FakeCalls(), trio.Event(), threading.Event()
    kernel = KernelCaches(calls)
    await kernel.wait_told()
    calls.hold.clear()
    real = calls.invalidate_inode

    def invalidate_inode(inode: int, *, attr_only: bool) -> None:
        if not attr_only:
            begun.set()
        real(inode, attr_only=attr_only)

    calls.invalidate_inode = invalidate_inode  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kernel.run, stop)
        await trio.testing.wait_all_tasks_blocked()
        await kernel.wait_told()
        kernel.tell([_change(ChangeKind.REMOVED, 50, (2, "a"), (3, "a"))])
        await trio.to_thread.run_sync(begun.wait)
        with trio.move_on_after(0.05) as waiting:
            await kernel.wait_told()
        assert waiting.cancelled_caught, "a call is under way"
        calls.hold.set()
        await kernel.wait_told()
        assert len([what for what, *_ in calls.made if what != "attributes"]) == 3
        stop.set()


async def test_what_the_kernel_holds_until_the_answer_is_not_waited_for() -> None:
    """Else every `mv` out of the trash would last as long as the patience of who answers it."""
    calls, stop, locked, begun = FakeCalls(), trio.Event(), threading.Event(), threading.Event()
    kernel = KernelCaches(calls)
    real = calls.invalidate_entry

    def invalidate_entry(parent: int, name: bytes) -> None:
        if parent == 2:
            begun.set()
            locked.wait(5)
        real(parent, name)

    calls.invalidate_entry = invalidate_entry  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kernel.run, stop)
        await trio.testing.wait_all_tasks_blocked()
        kernel.tell([_change(ChangeKind.CHANGED, 50, (2, "a"), (3, "a"))])
        await trio.to_thread.run_sync(begun.wait)
        kernel.tell([_change(ChangeKind.CHANGED, 50, (2, "b"), (3, "b"))])
        with trio.fail_after(2):
            await kernel.wait_told(locked=[Inode(2)])
        assert {name for what, at, name, _ in calls.made if what == "entry" and at == 3} == {b"a", b"b"}
        with trio.move_on_after(0.05) as waiting:
            await kernel.wait_told()
        assert waiting.cancelled_caught
        locked.set()
        await kernel.wait_told()
        stop.set()
