"""The commands beside a running mount, typed as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest

from mediafs.cli import main
from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.mount.mountinfo import all_mounts
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, environment, mounted, prepared, requests, wait_until

DEAD_SERVICE = "http://127.0.0.1:9"
CONVERSATION = "5000"
USER = "1000"


@pytest.fixture(scope="module")
def archive() -> Iterator[Box]:
    with sandbox_process(media=60) as running:
        yield running


@pytest.fixture(scope="module")
def shared(archive: Box) -> Iterator[Mount | None]:
    """One mount for all tests that only ask. None without FUSE: then `fuse` says what that means."""
    try:
        check_fuse()
    except FuseUnavailable:
        yield None
        return
    with mounted(archive.url, lines=[f'conversations = ["{CONVERSATION}"]']) as mount:
        yield mount


@pytest.fixture
def mount(shared: Mount | None, archive: Box) -> Mount:
    assert shared is not None
    archive.clear_faults()
    return shared


def is_mounted(place: Path) -> bool:
    return any(line.mountpoint == str(place) for line in all_mounts())


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def typed(mount: Mount, *arguments: str | Path) -> Said:
    """A command to the running daemon, without an interpreter of its own: that is most of its time."""
    out, err = StringIO(), StringIO()
    with patch.dict(os.environ, mount.env, clear=True), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Said(code, out.getvalue(), err.getvalue())


def days(box: Box) -> list[str]:
    """The by-date paths of days that have media, oldest first."""
    created = {str(m["created"])[:10] for m in box.world() if m["completed"]}
    return ["by-date/" + day.replace("-", "/") for day in sorted(created)]


# --- status --------------------------------------------------------------------------------------------


def test_status_of_one_mount_says_what_is_mounted_and_what_it_cost(mount: Mount, archive: Box) -> None:
    assert mount.run("ls", "recent").stdout
    done = mount.mediafs("status", str(mount.root))
    assert done.returncode == 0, done.stderr
    for words in (
        f"clinic at {mount.root}",
        archive.url,
        f"PID {mount.pids[0]}",
        "credentials  good",
        "media",
    ):
        assert words in done.stdout
    assert "problem" not in done.stdout, "nothing is wrong"
    inside = typed(mount, "status", str(mount.root / "by-date" / "2024"))
    assert f"clinic at {mount.root}" in inside.stdout, "any path in the mount will do"


def test_status_as_json_is_one_object_for_one_mount_and_a_list_for_all(mount: Mount) -> None:
    one = json.loads(typed(mount, "status", "--json", str(mount.root)).stdout)
    assert (one["account"], one["mountpoint"]) == ("clinic", str(mount.root))
    assert one["pid"] == mount.pids[0]
    assert {"catalogue", "credentials", "problems", "requests", "service"} <= one.keys()
    every = json.loads(typed(mount, "status", "--json").stdout)
    assert [facts["mountpoint"] for facts in every] == [str(mount.root)]


def test_status_costs_the_service_nothing(mount: Mount, archive: Box) -> None:
    archive.reset()
    assert typed(mount, "status", str(mount.root)).returncode == 0
    assert requests(archive) == []


def test_status_says_what_is_wrong_and_what_to_do_about_it(mount: Mount, archive: Box) -> None:
    archive.fault("status", path="/api/v3/medias", status=403, times=None)
    assert mount.run("ls", "by-conversation/5005").returncode != 0
    done = typed(mount, "status", str(mount.root))
    assert done.returncode == 0
    problem = next(line for line in done.stdout.splitlines() if "problem" in line)
    assert "refuses this" in problem
    advice = done.stdout.splitlines()[done.stdout.splitlines().index(problem) + 1]
    assert advice.strip().startswith("->")
    assert "administrator" in advice


def test_status_where_nothing_is_mounted_says_so() -> None:
    with prepared(DEAD_SERVICE) as mount:
        done = typed(mount, "status", "--json")
        assert (done.returncode, json.loads(done.stdout)) == (0, [])
        # Other mounts of this machine are listed without a daemon of ours: only ours is looked for.
        assert str(mount.root) not in typed(mount, "status").stdout
        one = typed(mount, "status", str(mount.root))
        assert one.returncode == 1
        assert "lies in no mount of yours" in one.stderr


def test_a_mount_whose_daemon_hangs_or_died_is_shown_and_umount_takes_it_away(archive: Box) -> None:
    with mounted(archive.url) as mount:
        os.kill(mount.pids[0], signal.SIGSTOP)
        try:
            began = time.monotonic()
            every = typed(mount, "status")
            assert time.monotonic() - began < 15, "a daemon that hangs does not hang the commands"
            assert every.returncode == 0
            assert f"clinic at {mount.root}: no daemon of yours answers" in every.stdout
        finally:
            os.kill(mount.pids[0], signal.SIGCONT)
        assert typed(mount, "status", str(mount.root)).returncode == 0
        mount.kill()
        every = typed(mount, "status")
        assert every.returncode == 0
        assert f"clinic at {mount.root}: no daemon of yours answers" in every.stdout
        assert f"mediafs umount {mount.root}" in every.stdout
        one = typed(mount, "status", str(mount.root))
        assert one.returncode == 1
        assert f"mediafs umount {mount.root}" in one.stderr
        assert typed(mount, "refresh", str(mount.root / "recent")).returncode == 1
        done = typed(mount, "umount", mount.root)
        assert done.returncode == 0, done.stderr
        assert not is_mounted(mount.root)


# --- refresh -------------------------------------------------------------------------------------------


def test_refresh_of_a_day_lists_it_again_and_shows_what_is_new() -> None:
    with sandbox_process(media=40) as box, mounted(box.url) as mount:
        day = days(box)[3]
        before = os.listdir(mount.root / day)
        made = box.add(created=day.removeprefix("by-date/").replace("/", "-") + "T12:00:00+00:00", size=10)
        box.reset()
        assert os.listdir(mount.root / day) == before, "it is fresh"
        done = typed(mount, "refresh", str(mount.root / day))
        assert done.returncode == 0, done.stderr
        assert f"{len(before) + 1} media" in done.stdout
        asked = len(requests(box))
        assert asked >= 1
        shown = {os.getxattr(p, "user.mediafs.id").decode() for p in (mount.root / day).iterdir()}
        assert str(made["id"]) in shown
        assert len(requests(box)) == asked, "what was just listed is not listed again"
        link = mount.folder / "shortcut"
        link.symlink_to(mount.root)
        gone = typed(mount, "umount", f"{link}/")
        assert gone.returncode == 0, gone.stderr
        assert not is_mounted(mount.root), "whatever its path is written like"


@pytest.mark.parametrize(
    "path", ["recent", f"by-user/{USER}", f"by-conversation/{CONVERSATION}", "a file", "the folder of a user"]
)
def test_refresh_asks_the_service_for_whatever_lies_there(mount: Mount, archive: Box, path: str) -> None:
    if path == "a file":
        path = str(next((mount.root / "recent").iterdir()).relative_to(mount.root))
    elif path == "the folder of a user":
        path = "by-user/" + os.readlink(mount.root / "by-user" / USER)
        assert USER in path
    mount.run("ls", path)
    archive.reset()
    done = typed(mount, "refresh", str(mount.root / path))
    assert done.returncode == 0, done.stderr
    assert "listed again" in done.stdout
    assert len(requests(archive, "/api/v3/medias")) >= 1


@pytest.mark.parametrize("path", ["", "by-date", "{year}", "{month}"])
def test_refresh_of_a_range_of_days_lists_each_when_it_is_next_looked_at(
    mount: Mount, archive: Box, path: str
) -> None:
    day = days(archive)[-1]
    path = path.format(year=day[:12], month=day[:15])
    assert mount.run("ls", day).stdout
    archive.reset()
    done = typed(mount, "refresh", str(mount.root / path))
    assert done.returncode == 0, done.stderr
    assert "will be listed again" in done.stdout
    assert requests(archive) == [], "the budget of an hour is not spent at once"
    assert mount.run("ls", day).stdout, "shown as it was"
    wait_until(lambda: requests(archive, "/api/v3/medias"))


def test_refresh_finds_the_mount_from_within_and_through_a_link(mount: Mount) -> None:
    link = mount.folder / "shortcut"
    link.symlink_to(mount.root)
    try:
        for where, path in (
            (mount.root, "recent"),
            (mount.folder, "shortcut/recent"),
            (mount.folder, "mnt/"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "mediafs", "refresh", path],
                cwd=where,
                env=mount.env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    finally:
        link.unlink()


@pytest.mark.parametrize("path", ["by-date/2024/13", "recent/nothing.png", "by-user/abc", "nowhere/at/all"])
def test_refresh_of_what_is_not_there_fails_in_words(mount: Mount, path: str) -> None:
    done = typed(mount, "refresh", str(mount.root / path))
    assert done.returncode == 1
    assert "no such file or folder" in done.stderr
    assert path in done.stderr


def test_refresh_outside_any_mount_fails_and_says_where_there_is_one(mount: Mount) -> None:
    done = typed(mount, "refresh", str(mount.folder / "config"))
    assert done.returncode == 1
    assert "lies in no mount of yours" in done.stderr
    assert str(mount.root) in done.stderr


def test_a_neighbour_whose_name_begins_alike_is_not_taken_for_the_mount(mount: Mount) -> None:
    neighbour = Path(f"{mount.root}-elsewhere")
    neighbour.mkdir(exist_ok=True)
    for command in ("refresh", "status"):
        done = typed(mount, command, str(neighbour))
        assert done.returncode == 1
        assert "lies in no mount of yours" in done.stderr, "a healthy mount is not to be unmounted"


def test_refresh_tells_by_its_exit_code_what_stood_in_the_way(mount: Mount, archive: Box) -> None:
    archive.fault("status", path="/api/v3/medias", status=503, times=3)
    done = typed(mount, "refresh", str(mount.root / "recent"))
    assert done.returncode == 6, done.stderr
    assert "503" in done.stderr
    archive.clear_faults()
    archive.fault("status", path="/api/v3/medias", status=403, times=1)
    assert typed(mount, "refresh", str(mount.root / "recent")).returncode == 1


# --- umount --------------------------------------------------------------------------------------------


def test_umount_of_what_is_not_mounted_or_not_ours_fails_in_words() -> None:
    with prepared(DEAD_SERVICE) as mount:
        for place, words in ((mount.root, "nothing is mounted"), (Path("/proc"), "not ours")):
            done = typed(mount, "umount", str(place))
            assert done.returncode == 1
            assert words in done.stderr
            assert str(place) in done.stderr


def test_umount_of_a_mount_in_use_fails_and_lazily_it_goes_with_its_last_user(archive: Box) -> None:
    with mounted(archive.url) as mount:
        path = next((mount.root / "recent").iterdir())
        size = path.stat().st_size
        with path.open("rb") as held:
            busy = typed(mount, "umount", mount.root)
            assert busy.returncode == 1
            assert "in use" in busy.stderr
            assert is_mounted(mount.root)
            lazy = typed(mount, "umount", "--lazy", str(mount.root))
            assert lazy.returncode == 0, lazy.stderr
            assert not is_mounted(mount.root)
            assert len(held.read()) == size, "who has a file open reads it to its end"
        wait_until(lambda: not Path(f"/proc/{mount.pids[0]}").exists())


# --- without a terminal --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "closed",
    [
        ">&-",
        "<&- >&-",
    ],
)
def test_a_mount_is_started_also_where_standard_streams_are_closed(archive: Box, closed: str) -> None:
    with prepared(archive.url) as mount:
        line = f'exec "{sys.executable}" -m mediafs mount clinic "{mount.root}" {closed}'
        process = subprocess.Popen(["bash", "-c", line], env=mount.env)
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            mount.pids += [facts["pid"] for facts in json.loads(mount.mediafs("status", "--json").stdout)]
            assert process.returncode == 0, "it waits for a daemon that serves already"
            assert os.listdir(mount.root / "recent")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


# --- demo ----------------------------------------------------------------------------------------------


def marked(mark: str) -> dict[int, str]:
    """The processes that carry a variable in their environment, with their command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


@pytest.mark.parametrize("vendors", [["apizee", "vonage", "zoom", "veriff", "verba"], ["zoom"]])
def test_ctrl_c_ends_a_demo_and_nothing_of_it_is_left(tmp_path: Path, vendors: list[str]) -> None:
    for name in ("tmp", "home", "run"):
        (tmp_path / name).mkdir(mode=0o700)
    mark = f"MEDIAFS_TEST_MARK={tmp_path}"
    given = len(vendors) > 1
    place = tmp_path / "place" if given else tmp_path / "home" / "mediafs-demo"
    places = [place / vendor for vendor in vendors] if given else [place]
    said_so = [str(place)] if given else ["--vendor", *vendors]
    process = subprocess.Popen(
        [sys.executable, "-m", "mediafs", "demo", *said_so, "--media", "30"],
        env=environment(tmp_path, TMPDIR=str(tmp_path / "tmp"), MEDIAFS_TEST_MARK=str(tmp_path)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                break
        text = "".join(said)
        assert "Ctrl-C" in text, text
        for mountpoint in places:
            assert str(mountpoint) in text
            assert is_mounted(mountpoint)
            assert len(os.listdir(mountpoint / "recent")) >= 25
        running = marked(mark)
        assert len(running) >= 1 + 2 * len(places), "the demo, its sandboxes and its mounts"
        assert not any("sandbox-admin-token" in command for command in running.values())
        if given:
            os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to all of the group at once
        else:
            process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        for mountpoint in places:
            subprocess.run(["fusermount3", "-uzq", str(mountpoint)], check=False, capture_output=True)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert not any(is_mounted(mountpoint) for mountpoint in places)
    assert not place.exists(), "it made the folder, so it takes it away"
    wait_until(lambda: not marked(mark), 5)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list((tmp_path / "run").rglob("*.sock")) == []


def test_a_demo_on_a_folder_with_something_in_it_fails_and_touches_nothing(tmp_path: Path) -> None:
    for name in ("tmp", "home", "run", "place"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "place" / "letter.txt").write_text("mine")
    done = subprocess.run(
        [sys.executable, "-m", "mediafs", "demo", str(tmp_path / "place"), "--media", "5"],
        env=environment(tmp_path, TMPDIR=str(tmp_path / "tmp"), MEDIAFS_TEST_MARK=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert "not empty" in done.stderr
    assert (tmp_path / "place" / "letter.txt").read_text() == "mine"
    assert list((tmp_path / "tmp").iterdir()) == []
    assert marked(f"MEDIAFS_TEST_MARK={tmp_path}") == {}


# --- a conversations_file that is none -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "nonsense"])
def test_a_conversations_file_that_is_none_is_told_by_check_and_passed_over_by_the_mount(
    archive: Box, kind: str
) -> None:
    """A device would be read without end, and a pipe waited for."""
    archive.clear_faults()
    lines = [f'conversations = ["{CONVERSATION}"]', 'conversations_file = "list"']
    with prepared(archive.url, lines=lines) as mount:
        file = mount.config.parent / "list"
        if kind == "device":
            file.symlink_to("/dev/zero")
        elif kind == "pipe":
            os.mkfifo(file)
        elif kind == "folder":
            file.mkdir()
        else:
            file.write_bytes(b"5001\n\xff\n")
        why = "is not UTF-8 text" if kind == "nonsense" else "it is not a file"

        said = mount.mediafs("check", timeout=20)
        assert said.returncode == 3, said.stdout + said.stderr
        assert f"FAIL  account clinic: conversations_file: {file}: cannot be read: {why}" in said.stdout

        assert mount.mediafs("mount", "clinic", str(mount.root), timeout=20).returncode == 0
        mount.pids.append(mount.status()["pid"])
        for _ in range(3):
            assert os.listdir(mount.root / "by-conversation") == [CONVERSATION]
        assert mount.log.count(f"{file}: cannot be read: {why}") == 1, "told once"

        file.rename(file.with_name("away"))
        file.write_text("5001\n")
        assert sorted(os.listdir(mount.root / "by-conversation")) == [CONVERSATION, "5001"]
        assert "conversations_file names 1 conversation" in mount.mediafs("check", timeout=20).stdout
