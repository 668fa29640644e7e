"""How a mount begins and ends; it never stays behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mediafs.model import AccountName
from mediafs.mount.errors import UnmountFailed
from mediafs.mount.mountinfo import mount_at, mounts
from mediafs.mount.stale import clean_stale, is_dead, unmount

from .conftest import Mounted, Mounter, errno_of, is_mounted

pytestmark = pytest.mark.mount


def _ended(mounted: Mounted, timeout_s: float = 15.0) -> int:
    return mounted.process.wait(timeout=timeout_s)


def test_it_is_shown_as_a_mount_of_the_account(mounted: Mounted) -> None:
    mount = mount_at(str(mounted.place))

    assert mount is not None
    assert (mount.fstype, mount.source, mount.account) == ("fuse.mediafs", "mediafs:test", "test")
    assert mount in mounts()


def test_once_it_says_ready_it_answers(mounted: Mounted) -> None:
    # No waiting: `ready` was said, so this is answered.
    assert (mounted.place / "hello.txt").read_text() == "hello, world\n"


def test_sigterm_unmounts(mounted: Mounted) -> None:
    mounted.process.send_signal(signal.SIGTERM)

    assert _ended(mounted) == 0
    assert not is_mounted(mounted.place)
    assert os.listdir(mounted.place) == []


def test_sigterm_unmounts_also_with_an_open_file_and_a_shell_inside(mounted: Mounted) -> None:
    inside = subprocess.Popen(["sleep", "60"], cwd=mounted.place / "sub")
    descriptor = os.open(mounted.place / "hello.txt", os.O_RDONLY)
    try:
        mounted.process.send_signal(signal.SIGTERM)
        assert _ended(mounted) == 0
        assert not is_mounted(mounted.place)
        assert errno_of(lambda: os.read(descriptor, 10)) == errno.ENOTCONN
    finally:
        errno_of(lambda: os.close(descriptor))  # closing says that the mount is gone, too
        inside.kill()
        inside.wait()


def test_sigterm_answers_whoever_waits(mounted: Mounted) -> None:
    codes: list[int] = []
    waiting = threading.Thread(
        target=lambda: codes.append(errno_of((mounted.place / "stall.bin").read_bytes))
    )
    waiting.start()
    while not mounted.counts().get("read"):
        time.sleep(0.01)
    mounted.process.send_signal(signal.SIGTERM)

    assert _ended(mounted) == 0
    waiting.join(10)
    assert codes == [errno.ENOTCONN]
    assert not is_mounted(mounted.place)


def test_sigterm_ends_it_also_while_an_invalidation_waits_for_a_lookup(mounted: Mounted) -> None:
    # The call into the kernel holds out for the lookup; ending without answering that one would
    # leave the program unkillable.
    waiting = threading.Thread(target=lambda: errno_of((mounted.place / "slow").stat))
    waiting.start()
    while not mounted.counts().get("lookup slow"):
        time.sleep(0.01)
    mounted.ask("remove", "hello.txt")
    time.sleep(0.2)
    mounted.process.send_signal(signal.SIGTERM)

    assert _ended(mounted) == 0
    waiting.join(10)
    assert not waiting.is_alive()
    assert not is_mounted(mounted.place)


def test_unmounted_from_outside_it_ends(mounted: Mounted) -> None:
    subprocess.run(["fusermount3", "-u", str(mounted.place)], check=True, timeout=20)

    assert _ended(mounted) == 0
    assert not is_mounted(mounted.place)


def test_unmount_waits_until_it_is_gone(mounted: Mounted) -> None:
    unmount(mounted.place)

    assert not is_mounted(mounted.place)
    assert _ended(mounted) == 0


def test_unmounting_what_is_in_use_fails_and_changes_nothing(mounted: Mounted) -> None:
    with (mounted.place / "hello.txt").open(), pytest.raises(UnmountFailed, match="in use"):
        unmount(mounted.place)

    assert (mounted.place / "hello.txt").exists()


def test_unmounting_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnmountFailed, match="nothing is mounted"):
        unmount(tmp_path)


def test_unmounting_what_is_not_ours_says_so() -> None:
    with pytest.raises(UnmountFailed, match="not ours"):
        unmount("/proc")


def _killed(mounted: Mounted) -> Path:
    assert (mounted.place / "hello.txt").exists()  # the kernel now remembers attributes for long
    mounted.process.kill()
    mounted.process.wait(timeout=10)
    return mounted.place


def test_a_killed_program_leaves_a_stale_mount_that_is_cleaned(mounted: Mounted) -> None:
    place = _killed(mounted)
    mount = mount_at(str(place))
    assert mount is not None
    assert is_dead(mount)

    assert clean_stale(place, AccountName("test")) == 1
    assert not is_mounted(place)
    assert os.listdir(place) == []


def test_a_stale_mount_of_another_account_is_left_alone(mounted: Mounted) -> None:
    place = _killed(mounted)

    assert clean_stale(place, AccountName("other")) == 0
    assert is_mounted(place)


def test_a_live_mount_is_never_cleaned(mounted: Mounted) -> None:
    assert clean_stale(mounted.place, AccountName("test")) == 0
    assert (mounted.place / "hello.txt").exists()


def test_a_mount_that_does_not_answer_is_not_a_dead_one(mounted: Mounted) -> None:
    mount = mount_at(str(mounted.place))
    assert mount is not None
    mounted.process.send_signal(signal.SIGSTOP)
    try:
        assert not is_dead(mount, timeout_s=0.3)
        assert clean_stale(mounted.place) == 0
    finally:
        mounted.process.send_signal(signal.SIGCONT)


def test_mounting_again_after_a_kill_cleans_and_serves(mounted: Mounted, mounter: Mounter) -> None:
    place = _killed(mounted)
    again = mounter(mountpoint=str(place))

    assert again.process.poll() is None
    assert (place / "hello.txt").read_text() == "hello, world\n"
    again.process.send_signal(signal.SIGTERM)
    assert _ended(again) == 0
    assert not is_mounted(place)


def test_mounting_on_a_live_mount_is_refused(mounted: Mounted, mounter: Mounter) -> None:
    second = mounter(mountpoint=str(mounted.place), ready=False)

    assert _ended(second) == 5
    assert "already mounted (fuse.mediafs of mediafs:test)" in second.log
    assert (mounted.place / "hello.txt").exists()


def test_slow_reads_by_the_hundred_do_not_hold_up_a_lookup(mounted: Mounted) -> None:
    with ThreadPoolExecutor(200) as pool:
        reads = [
            pool.submit(errno_of, (mounted.place / f"stall-{number}").read_bytes) for number in range(200)
        ]
        while mounted.counts().get("open", 0) < 200:
            time.sleep(0.02)
        assert (mounted.place / "probe").stat().st_size == 1 << 20
        assert not any(read.done() for read in reads)
        mounted.process.send_signal(signal.SIGTERM)
        assert {read.result(timeout=20) for read in reads} <= {errno.ENOTCONN, errno.ECONNABORTED}
    assert _ended(mounted) == 0


def test_a_process_killed_while_its_request_lies_unread_does_not_stop_the_others(mounter: Mounter) -> None:
    mounted = mounter(hold_s=0.05)
    for attempt in range(40):
        killed = subprocess.Popen(
            ["stat", str(mounted.place / f"missing-{attempt}")], stderr=subprocess.DEVNULL
        )
        time.sleep(0.01 + attempt % 8 * 0.01)
        killed.kill()
        killed.wait(timeout=10)
        # Nobody asks the mount for anything now: only its own clock can bring it back.
        began = time.monotonic()
        mounted.ask("counts")
        if time.monotonic() - began > 0.5:
            return  # it was stuck in its read, and came back
