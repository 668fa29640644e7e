"""What `mediafs warm` walks through, and what it says of how far it is; an ordinary folder will do."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from mediafs.cli import walking
from mediafs.cli.progress import Meter, State, line
from mediafs.cli.walking import File, Unlisted, Walk, walk

from .conftest import Type


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("a/1", "a/2", "b/3", "4"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * int(path.name))
    os.link(root / "a/1", root / "b/other name")
    os.symlink(root / "a", root / "link")
    return root


def found(tree: Path, *names: str) -> list[File | Unlisted]:
    return list(walk([str(tree / name) for name in names], tree.stat().st_dev))


def test_each_file_is_found_once_in_the_order_of_the_listing(tree: Path) -> None:
    files = found(tree, ".")
    listed = [name for name in os.listdir(tree) if name != "link"]
    tops = list(dict.fromkeys(Path(each.path).relative_to(tree).parts[0] for each in files))
    assert tops == [name for name in listed if name in tops]
    sizes = {each.inode: each.size for each in files if isinstance(each, File)}
    assert len(files) == len(sizes) == 4
    assert sorted(sizes.values()) == [1, 2, 3, 4]


def test_a_link_is_followed_where_it_was_typed_only(tree: Path) -> None:
    assert len(found(tree, "link")) == 2
    assert not any(each.path.startswith(f"{tree}/link") for each in found(tree, "."))


def test_what_cannot_be_listed_is_said_and_the_rest_goes_on(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("/a"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    there = found(tree, ".", "nothing")
    assert [each for each in there if isinstance(each, Unlisted)] == [
        Unlisted(f"{tree}/a", "Input/output error"),
        Unlisted(str(tree / "nothing"), "No such file or directory"),
    ]
    assert len([each for each in there if isinstance(each, File)]) == 3


def test_a_listing_that_takes_long_is_waited_for(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = os.scandir, [0]

    def scandir(path: str) -> object:
        tries[0] += 1
        if tries[0] <= 2:
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(walking, "PAUSE_S", 0.0)
    assert len(found(tree, "a")) == 2
    tries[0] = 0
    monkeypatch.setattr(walking, "PATIENCE_S", -1.0)
    assert found(tree, "a") == [Unlisted(str(tree / "a"), "Connection timed out")]


def test_what_is_on_another_device_is_not_entered(tree: Path) -> None:
    (only,) = walk([str(tree)], tree.stat().st_dev + 1)
    assert only == Unlisted(str(tree), "it is not in the mount")


def test_a_walk_counts_what_it_finds_before_it_is_taken(tree: Path) -> None:
    going = Walk([str(tree)], tree.stat().st_dev)
    taken: list[File | Unlisted] = []
    while (some := going.take(3)) is not None:
        assert len(some) <= 3
        taken += some
    assert len(taken) == going.files == 4
    assert going.bytes == 10
    assert going.is_counted
    assert going.take(3) is None


# --- what is said ----------------------------------------------------------------------------------------

MIB = 1 << 20


def state(*, counted: bool = True, waits: bool = False) -> State:
    return State(
        files=3,
        all_files=12,
        bytes=30 * MIB,
        all_bytes=120 * MIB,
        fetched=20 * MIB,
        is_counted=counted,
        waits=waits,
    )


def test_a_line_says_files_bytes_speed_and_the_time_that_is_left() -> None:
    assert line(state(), 2_000_000.0) == ("3/12 files, 30.0 MiB of 120.0 MiB, 2.0 MB/s, 47 s left")
    assert line(state(), 0.0) == "3/12 files, 30.0 MiB of 120.0 MiB"
    assert line(state(), 2e6, bar=True).startswith("3/12 files, [#####...............] 25 %, 30.0 MiB")


def test_what_is_not_known_yet_is_not_said() -> None:
    """While the folders are still looked through, there is no share and no time left."""
    assert line(state(counted=False), 2e6, bar=True) == "3/12+ files, 30.0 MiB of 120.0 MiB+, 2.0 MB/s"
    assert line(state(waits=True), 2e6).endswith("waits for the service's rate limit")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_has_one_line_that_is_written_over_and_taken_away() -> None:
    out, clock = Terminal(), Clock()
    meter = Meter(out, clock, columns=30)
    for _ in range(10):
        clock.now += 0.1
        meter.show(state())
    meter.clear()
    text = out.getvalue()
    assert "\n" not in text
    shown = text.split("\r\x1b[K")
    assert 3 <= len(shown) - 2 <= 5
    assert max(map(len, shown)) <= 29
    assert shown[-1] == ""


def test_elsewhere_a_line_is_written_now_and_then() -> None:
    out, clock = io.StringIO(), Clock()
    meter = Meter(out, clock)
    for _ in range(300):
        clock.now += 0.1
        meter.show(state())
    meter.clear()
    assert 2 <= len(out.getvalue().splitlines()) <= 3
    assert "\x1b" not in out.getvalue()


def test_who_closed_the_output_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    clock = Clock()
    meter = Meter(Closed(), clock)
    clock.now += 1
    meter.show(state())
    meter.clear()


# --- what is typed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [(), ("--check", "--evict", "x"), ("--pin", "--check", "x"), ("--pin", "--unpin", "x"), ("",)],
)
def test_what_makes_no_sense_is_a_usage_error(typed: Type, arguments: tuple[str, ...]) -> None:
    assert typed("warm", *arguments).code == 2


def test_a_path_without_a_daemon_is_said(typed: Type, tmp_path: Path) -> None:
    said = typed("warm", tmp_path)
    assert said.code == 1
    assert "lies in no mount of yours" in said.err
