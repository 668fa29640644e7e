"""A mount from its first moment to its last: every way in, every way out, and nothing left behind."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from mediafs.mount.mountinfo import Mount as MountLine
from mediafs.mount.mountinfo import all_mounts
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, prepared, requests, wait_until

NOBODY = 65534
GROUP = 4321 if os.geteuid() == 0 else os.getgid()
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this to others")
DEAD_SERVICE = "http://127.0.0.1:9"
"""The discard port: nobody listens there."""


@pytest.fixture(scope="module")
def archive() -> Iterator[Box]:
    """An account of 60 media that no test changes."""
    with sandbox_process(media=60) as running:
        yield running


def line_of(place: Path) -> MountLine | None:
    """The kernel's line for a mount point; unlike `os.path.ismount` it never touches the mount."""
    found = [line for line in all_mounts() if line.mountpoint == str(place)]
    return found[-1] if found else None


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def some_file(mount: Mount) -> Path:
    return next((mount.root / "recent").iterdir())


def some_day(box: Box) -> str:
    """The by-date path of a day that has media."""
    created = str(next(m for m in box.world() if m["completed"])["created"])
    return "by-date/" + created[:10].replace("-", "/")


@contextmanager
def held_open(path: Path) -> Iterator[int]:
    """A descriptor whose closing may fail: its mount may be gone by then."""
    held = os.open(path, os.O_RDONLY)
    try:
        yield held
    finally:
        with suppress(OSError):
            os.close(held)


def said(mount: Mount) -> str:
    """What the daemon in the foreground said."""
    return (mount.folder / "said").read_text()


@contextmanager
def foreground(mount: Mount, *arguments: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """The daemon as a unit or a terminal runs it; what it says is at `mount.folder / "said"`."""
    command = [sys.executable, "-m", "mediafs", "mount", mount.account, str(mount.root), "--foreground"]
    with (mount.folder / "said").open("w") as output:
        process = subprocess.Popen(
            [*command, *arguments],
            env={**mount.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(15)


# --- it goes on after a crash ------------------------------------------------------------------------


def test_after_kill_9_a_mount_at_the_same_place_shows_the_tree_before_any_request(archive: Box) -> None:
    day = some_day(archive)
    with mounted(archive.url) as mount:
        known = {path: stat.st_ino for path, stat in mount.files(day).items()}
        assert known
        path = mount.root / next(iter(known))
        content = path.read_bytes()
        with held_open(path) as held:
            mount.kill()
            assert line_of(mount.root) is not None, "a killed daemon leaves its mount"
            with pytest.raises(OSError, match="endpoint is not connected"):
                os.listdir(mount.root / "by-user")
            archive.reset()

            again = mount.mount()
            assert again.returncode == 0, again.stderr
            assert requests(archive) == []
            assert {path: stat.st_ino for path, stat in mount.files(day).items()} == known
            assert requests(archive) == [], "what is known is shown from the catalogue"
            assert len([line for line in all_mounts() if line.mountpoint == str(mount.root)]) == 1
            assert path.read_bytes() == content
            with pytest.raises(OSError, match="endpoint is not connected"):
                os.fstatvfs(held)
        assert mount.umount().returncode == 0
        assert line_of(mount.root) is None


# --- the clean ends ------------------------------------------------------------------------------------


def test_a_signal_unmounts_also_with_an_open_file_and_a_shell_inside(archive: Box) -> None:
    with mounted(archive.url) as mount:
        for number in (signal.SIGTERM, signal.SIGINT):
            shell = subprocess.Popen(["sleep", "60"], cwd=mount.root / "by-date")
            try:
                with held_open(some_file(mount)) as held:
                    assert os.read(held, 10)
                    os.kill(mount.pids[-1], number)
                    wait_until(lambda: not is_running(mount.pids[-1]))
                    assert line_of(mount.root) is None
                    assert os.listdir(mount.root) == [], "the empty folder beneath is back"
                    assert shell.poll() is None, "whoever stood in it is not harmed"
            finally:
                shell.kill()
                shell.wait()
            again = mount.mount()
            assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_in_the_foreground_ctrl_c_and_a_lost_terminal_end_it_with_success(
    archive: Box, number: signal.Signals
) -> None:
    with prepared(archive.url) as mount, foreground(mount) as daemon:
        wait_until(lambda: "is mounted as" in said(mount))
        assert line_of(mount.root) is not None
        daemon.send_signal(number)
        assert daemon.wait(15) == 0, said(mount)
        assert line_of(mount.root) is None
        assert "Traceback" not in said(mount)


def test_fusermount3_from_outside_ends_the_daemon(archive: Box) -> None:
    with mounted(archive.url) as mount:
        assert list((mount.root / "recent").iterdir())
        done = subprocess.run(["fusermount3", "-u", str(mount.root)], check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: not is_running(mount.pids[-1]))
        assert mount.mediafs("status", "--json").stdout.strip() == "[]"
        assert not list((mount.folder / "run" / "mediafs").glob("*.sock")), "its socket goes with it"
        assert mount.mount().returncode == 0
        assert mount.umount().returncode == 0
        again = mount.mount()  # at once: what was unmounted has let go of its lock
        assert again.returncode == 0, again.stderr


# --- one daemon for an account -------------------------------------------------------------------------


def test_a_second_mount_of_an_account_is_refused_with_pid_and_place_of_the_first(archive: Box) -> None:
    with mounted(archive.url) as mount:
        other = mount.folder / "other"
        other.mkdir()
        try:
            for place in (other, mount.root):
                second = mount.mediafs("mount", "clinic", str(place))
                assert second.returncode == 1, second.stderr
                assert str(mount.pids[0]) in second.stderr
                assert str(mount.root) in second.stderr
                assert "Traceback" not in second.stderr
            assert line_of(other) is None
        finally:  # where it was not refused after all
            subprocess.run(["fusermount3", "-uzq", str(other)], check=False, capture_output=True)
        # Nor does another account take its place.
        with mount.config.open("a") as config:
            config.write(
                f'[accounts.other]\nvendor = "apizee"\nbase_url = "{DEAD_SERVICE}"\ntoken = "none"\n'
            )
        done = mount.mediafs("mount", "other", str(mount.root))
        assert done.returncode == 5, done.stderr
        assert "already mounted" in done.stderr
        assert list((mount.root / "recent").iterdir()), "the first is not disturbed"


def test_two_accounts_are_mounted_at_once_and_do_not_meet(archive: Box) -> None:
    with sandbox_process(media=20, seed=7) as second_box, mounted(archive.url) as mount:
        with mount.config.open("a") as config:
            config.write(
                f'[accounts.second]\nvendor = "apizee"\nbase_url = "{second_box.url}"\n'
                f'token = "{second_box.token}"\nuser = "all"\n'
            )
        place = mount.folder / "second place"  # a space, which the kernel's list writes as \040
        place.mkdir()
        second = replace(mount, root=place, account="second", pids=[])
        try:
            assert second.mount().returncode == 0, second.log
            worlds = [{str(m["id"]) for m in box.world() if m["completed"]} for box in (archive, second_box)]
            for where, world in zip((mount, second), worlds, strict=True):
                shown = {
                    os.getxattr(path, "user.mediafs.id").decode()
                    for path in (where.root / "recent").iterdir()
                }
                assert shown <= world
                assert shown
            both = mount.mediafs("status")
            assert str(mount.root) in both.stdout
            assert str(place) in both.stdout
            assert second.umount().returncode == 0
            assert line_of(mount.root) is not None
        finally:
            subprocess.run(["fusermount3", "-uz", str(place)], check=False, capture_output=True)


# --- whether it started is told by the exit code ---------------------------------------------------------


def test_the_command_returns_when_the_mount_serves_also_while_the_service_is_away() -> None:
    uid, gid = (1234, 4321) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    with prepared(DEAD_SERVICE) as mount:
        done = mount.mediafs("mount", "clinic", str(mount.root), "-o", f"uid={uid},gid={gid},umask=022")
        # Nothing in between: no polling, no second command.
        seen = (mount.root / "by-date").stat()
        names = os.listdir(mount.root) if os.geteuid() in (0, uid) else []
        assert done.returncode == 0, done.stderr
        assert sorted(names) == ["by-conversation", "by-date", "by-user", "recent"]
        assert (seen.st_uid, seen.st_gid, seen.st_mode & 0o777) == (uid, gid, 0o555)
        mount.pids.append(mount.status()["pid"])


@pytest.mark.parametrize(
    ("lines", "account", "code", "words"),
    [
        (["fresh_four = 3"], "clinic", 3, "fresh_for"),
        ([], "clinik", 3, "clinic"),
    ],
)
def test_a_configuration_that_is_wrong_is_3(lines: list[str], account: str, code: int, words: str) -> None:
    with prepared(DEAD_SERVICE, lines=lines) as mount:
        done = mount.mediafs("mount", account, str(mount.root))
        assert done.returncode == code
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert line_of(mount.root) is None


def test_a_secret_that_is_not_there_is_3_and_named() -> None:
    with prepared(DEAD_SERVICE, token=None, lines=['token = { env = "NO_SUCH_TOKEN" }']) as mount:
        done = mount.mediafs("mount", "clinic", str(mount.root))
        assert done.returncode == 3, done.stderr
        assert "NO_SUCH_TOKEN" in done.stderr
        assert "Traceback" not in done.stderr + mount.log
        assert line_of(mount.root) is None


def _missing(place: Path) -> None:
    place.rmdir()


def _a_file(place: Path) -> None:
    place.rmdir()
    place.write_text("not a folder")


def _not_empty(place: Path) -> None:
    (place / "homework.txt").write_text("would be hidden")


@pytest.mark.parametrize(
    ("make", "words"),
    [(_missing, "does not exist"), (_a_file, "not a folder"), (_not_empty, "not empty")],
)
def test_a_mount_point_that_is_of_no_use_is_5_in_clear_words(make: object, words: str) -> None:
    with prepared(DEAD_SERVICE) as mount:
        make(mount.root)  # type: ignore[operator]
        done = mount.mediafs("mount", "clinic", str(mount.root))
        assert done.returncode == 5, done.stderr
        assert words in done.stderr
        assert str(mount.root) in done.stderr
        assert "Traceback" not in done.stderr + mount.log


@AS_ROOT
def test_a_place_where_another_file_system_is_mounted_is_5_and_left_alone() -> None:
    with prepared(DEAD_SERVICE) as mount:
        subprocess.run(["mount", "-t", "tmpfs", "strangers", str(mount.root)], check=True)
        try:
            done = mount.mediafs("mount", "clinic", str(mount.root))
            assert done.returncode == 5, done.stderr
            assert "already mounted" in done.stderr
            assert "tmpfs" in done.stderr
            there = line_of(mount.root)
            assert there is not None
            assert there.fstype == "tmpfs"
        finally:
            subprocess.run(["umount", str(mount.root)], check=True)


# --- terminals -----------------------------------------------------------------------------------------


def test_closing_the_terminal_it_was_started_from_does_not_end_it(archive: Box) -> None:
    with prepared(archive.url) as mount:
        command = shlex.join([sys.executable, "-m", "mediafs", "mount", "clinic", str(mount.root)])
        shell = mount.folder / "shell.pid"
        # A terminal of its own with a shell in it, which hangs up as soon as the mount is there.
        code = (
            "import os, pty\n"
            "pid, terminal = pty.fork()\n"
            "if pid == 0:\n"
            f"    os.execvp('sh', ['sh', '-c', 'echo $$ > {shell}; {command}; sleep 60'])\n"
            "said = b''\n"
            "while b'is mounted at' not in said:\n"
            "    said += os.read(terminal, 4096)\n"
            "os.close(terminal)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], env=mount.env, timeout=30, check=False)
        assert done.returncode == 0
        mount.pids.append(mount.status()["pid"])
        wait_until(lambda: not is_running(int(shell.read_text())))
        os.kill(mount.pids[0], signal.SIGHUP)
        assert list((mount.root / "recent").iterdir())
        assert is_running(mount.pids[0])


# --- whose it is ---------------------------------------------------------------------------------------


def test_uid_gid_and_umask_of_the_configuration_hold_until_an_option_says_otherwise(archive: Box) -> None:
    lines = [f"uid = {os.getuid()}", f"gid = {GROUP}", 'umask = "022"']
    with mounted(archive.url, "-o", "umask=0077", lines=lines) as mount:
        seen = some_file(mount).stat()
        assert (seen.st_uid, seen.st_gid, seen.st_mode & 0o777) == (os.getuid(), GROUP, 0o600)
        assert stat.S_IMODE((mount.root / "by-user").stat().st_mode) == 0o500


def as_nobody(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A command as a user who has no rights here."""
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, cwd="/", timeout=30, check=False)


@AS_ROOT
def test_another_user_comes_in_with_allow_other_and_only_as_far_as_the_umask_lets_him(archive: Box) -> None:
    with mounted(archive.url, "--allow-other", "-o", f"uid={NOBODY},gid={NOBODY}") as mount:
        mount.folder.chmod(0o711)
        path = some_file(mount)
        assert as_nobody("ls", mount.root / "recent").stdout.split() == sorted(os.listdir(path.parent))
        assert as_nobody("cmp", path, path).returncode == 0
        assert mount.umount().returncode == 0

        assert mount.mount("--allow-other").returncode == 0  # root's own: by default nobody else's affair
        refused = as_nobody("ls", mount.root / "recent")
        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr
        assert mount.umount().returncode == 0

        assert mount.mount("-o", f"uid={NOBODY},gid={NOBODY}").returncode == 0
        assert as_nobody("ls", mount.root).returncode != 0, "without allow_other not even the owner it shows"


def test_read_only_is_read_only(archive: Box) -> None:
    with mounted(archive.url, "--read-only") as mount:
        path = some_file(mount)
        assert path.read_bytes()
        for attempt in (
            path.unlink,
            lambda: path.rename(path.with_name("x")),
            lambda: path.write_bytes(b"x"),
        ):
            with pytest.raises(OSError, match="Read-only file system"):
                attempt()
        line = next(x for x in Path("/proc/mounts").read_text().splitlines() if f" {mount.root} " in x)
        assert line.split()[3].split(",")[0] == "ro"


# --- how it is shown and started by the system -----------------------------------------------------------


def test_it_stands_in_proc_mounts_and_keeps_no_folder_and_no_terminal_busy(archive: Box) -> None:
    with mounted(archive.url) as mount:
        process = Path(f"/proc/{mount.pids[0]}")
        assert os.readlink(process / "cwd") == "/"
        # Its session is its own: the terminal's signals do not reach it.
        assert os.getsid(mount.pids[0]) == mount.pids[0]
        assert int(process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[4]) == 0, "no terminal"
        line = next(x for x in Path("/proc/mounts").read_text().splitlines() if f" {mount.root} " in x)
        source, _, kind, options, *_ = line.split()
        assert (source, kind) == ("mediafs:clinic", "fuse.mediafs")
        assert {"nosuid", "nodev", "default_permissions"} <= set(options.split(","))
        found = subprocess.run(
            ["findmnt", "-no", "SOURCE,FSTYPE", str(mount.root)], capture_output=True, text=True, check=False
        )
        assert found.stdout.split() == ["mediafs:clinic", "fuse.mediafs"]


def helper(mount: Mount, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`mount.mediafs`, by the function that its script calls."""
    code = "import sys; from mediafs.cli import mount_helper; sys.exit(mount_helper())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=mount.env, capture_output=True, text=True, timeout=60, check=False)


def test_the_helper_of_mount_takes_what_fstab_hands_it(archive: Box) -> None:
    with prepared(archive.url) as mount:
        elsewhere = mount.folder / "elsewhere.toml"
        shutil.move(mount.config, elsewhere)
        cache = mount.folder / "cache two"
        options = (
            f"rw,noauto,nofail,_netdev,x-systemd.automount,umask=027,config={elsewhere},cache_dir={cache}"
        )
        done = helper(mount, "mediafs:clinic", str(mount.root), "-s", "-o", options, "-o", "noatime")
        assert done.returncode == 0, done.stderr
        mount.pids.append(mount.status()["pid"])
        assert (mount.root / "by-date").stat().st_mode & 0o777 == 0o550
        assert (cache / "clinic" / "catalogue.sqlite3").exists()
        assert not mount.cache.exists()


def test_the_helper_of_mount_names_every_option_it_does_not_know() -> None:
    with prepared(DEAD_SERVICE) as mount:
        done = helper(mount, "clinic", str(mount.root), "-o", "alow_other,umask=9,delete=perhaps")
        assert done.returncode == 3, done.stderr
        assert "delete=perhaps" in done.stderr or {"alow_other", "umask=9"} <= set(done.stderr.split("'"))
        assert line_of(mount.root) is None
        assert helper(mount, "-f", "clinic", str(mount.root)).returncode == 0, "-f: nothing is mounted"
        assert line_of(mount.root) is None


# --- systemd -------------------------------------------------------------------------------------------


@contextmanager
def systemd(mount: Mount) -> Iterator[socket.socket]:
    """What listens at NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(mount.folder / "notify"))
        listener.settimeout(20)
        yield listener


def test_systemd_hears_ready_when_it_serves_and_stopping_at_the_end(archive: Box) -> None:
    with (
        prepared(archive.url) as mount,
        systemd(mount) as listener,
        foreground(mount, NOTIFY_SOCKET=str(mount.folder / "notify")) as daemon,
    ):
        first = listener.recv(4096).decode().splitlines()
        names = os.listdir(mount.root)  # at once: READY means that this works
        assert "READY=1" in first
        assert "by-date" in names
        assert line_of(mount.root) is not None
        daemon.terminate()
        assert "STOPPING=1" in listener.recv(4096).decode().splitlines()
        assert daemon.wait(15) == 0


def test_systemd_hears_nothing_of_a_mount_that_does_not_come_to_serve() -> None:
    with prepared(DEAD_SERVICE) as mount, systemd(mount) as listener:
        (mount.root / "in the way").touch()
        with foreground(mount, NOTIFY_SOCKET=str(mount.folder / "notify")) as daemon:
            assert daemon.wait(15) == 5
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(4096)


def test_the_watchdog_of_systemd_is_fed_while_it_serves(archive: Box) -> None:
    with (
        prepared(archive.url) as mount,
        systemd(mount) as listener,
        foreground(mount, NOTIFY_SOCKET=str(mount.folder / "notify"), WATCHDOG_USEC="400000") as daemon,
    ):
        heard = [listener.recv(4096).decode() for _ in range(4)]
        assert sum("WATCHDOG=1" in one for one in heard) >= 2
        daemon.terminate()
        assert daemon.wait(15) == 0
