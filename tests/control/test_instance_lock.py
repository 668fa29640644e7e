"""One daemon for an account and a cache folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mediafs.errors import MediafsError
from mediafs.instance import AlreadyMounted, Holder, holder, idle, lock
from mediafs.model import AccountName

CLINIC = AccountName("clinic")
HOLD = """
import sys
from pathlib import Path
from mediafs.instance import lock
with lock(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(cache: Path, mountpoint: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its input ends."""
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, CLINIC, cache, mountpoint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_mount_is_refused_with_pid_and_mount_point_of_the_first(tmp_path: Path) -> None:
    with another_process(tmp_path, Path("/home/n/Recördings")) as first:
        with pytest.raises(AlreadyMounted) as caught, lock(CLINIC, tmp_path, Path("/elsewhere")):
            pass

        assert (caught.value.pid, caught.value.mountpoint) == (first.pid, Path("/home/n/Recördings"))
        assert str(caught.value) == f"already in use at /home/n/Recördings by process {first.pid}"
        assert holder(CLINIC, tmp_path) == Holder(pid=first.pid, mountpoint=Path("/home/n/Recördings"))


def test_one_whose_mount_is_gone_is_waited_for(tmp_path: Path) -> None:
    asked: list[Path] = []
    with another_process(tmp_path, Path("/m")) as first:

        def serves(mountpoint: Path) -> bool:
            asked.append(mountpoint)
            if len(asked) == 3:
                first.kill()
                first.wait(5)
            return False

        with lock(CLINIC, tmp_path, Path("/elsewhere"), serves=serves):
            assert asked == [Path("/m")] * 3


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    with another_process(tmp_path, Path("/m")) as first:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()

        assert holder(CLINIC, tmp_path) is None
        with lock(CLINIC, tmp_path, Path("/n")):
            assert holder(CLINIC, tmp_path) == Holder(pid=os.getpid(), mountpoint=Path("/n"))


def test_a_lock_is_free_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lock(CLINIC, tmp_path, None):
            raise ZeroDivisionError
        assert holder(CLINIC, tmp_path) is None


def test_accounts_and_cache_folders_do_not_disturb_each_other(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        lock(CLINIC, tmp_path, None),
        lock(AccountName("ward"), tmp_path, None),
        lock(CLINIC, tmp_path / "other", None),
    ):
        assert holder(AccountName("ward"), tmp_path) == Holder(pid=os.getpid(), mountpoint=None)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"pid": "x"}', '{"pid": true, "mountpoint": null}'])
def test_a_holder_that_wrote_nothing_readable_holds_all_the_same(tmp_path: Path, text: str) -> None:
    with lock(CLINIC, tmp_path, Path("/m")) as path:
        path.write_text(text)

        with pytest.raises(AlreadyMounted, match="by another process"), lock(CLINIC, tmp_path, None):
            pass


def test_what_was_left_by_a_killed_holder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "clinic.lock").write_text('{"pid": 99999999, "mountpoint": "/' + "x" * 300 + '"}')

    with lock(CLINIC, tmp_path, Path("/m")) as path:
        assert path.read_text() == f'{{"pid": {os.getpid()}, "mountpoint": "/m"}}'


def test_an_idle_account_is_held_for_a_moment_and_a_mount_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / f"{CLINIC}.lock"
    path.write_text(f'{{"pid": {os.getpid()}, "mountpoint": "/left/by/one/that/was/killed"}}')
    with ExitStack() as stack:
        assert stack.enter_context(idle(CLINIC, tmp_path))
        assert holder(CLINIC, tmp_path) is None
        with idle(CLINIC, tmp_path) as again:
            assert not again
        timer = threading.Timer(0.3, stack.pop_all().close)
        timer.start()
        with lock(CLINIC, tmp_path, Path("/m")), idle(CLINIC, tmp_path) as mine:
            assert not mine
            assert holder(CLINIC, tmp_path) == Holder(pid=os.getpid(), mountpoint=Path("/m"))
        timer.join()
    with idle(CLINIC, tmp_path) as mine:
        assert mine
    with idle(CLINIC, tmp_path / "nowhere") as mine:
        assert not mine


def test_where_there_can_be_no_lock_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "clinic.lock").symlink_to(tmp_path / "elsewhere")

    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(MediafsError, match="cannot open the lock file"), lock(CLINIC, folder, None):
            pass
    assert not (tmp_path / "elsewhere").exists()
