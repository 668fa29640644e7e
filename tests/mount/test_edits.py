"""Titles, descriptions and places are edited through attributes, and titles by `mv`, on a real mount."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, requests, wait_until

ENCODINGS = ("json", "form", "query")
OWN = "user.mediafs."


def errno_of(action: Callable[..., object], *arguments: object) -> str:
    """The name of the errno that a call fails with, or `success`."""
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0].replace("ENOTSUP", "EOPNOTSUPP")
    return "success"


def setfattr(path: Path, name: str, value: str | None) -> subprocess.CompletedProcess[str]:
    what = ["-x", name] if value is None else ["-n", name, "-v", value]
    return subprocess.run(
        ["setfattr", *what, str(path)], capture_output=True, text=True, check=False, timeout=60
    )


def attribute(path: Path, name: str) -> str:
    return os.getxattr(path, name).decode()


@contextmanager
def one_media(
    *arguments: str, lines: tuple[str, ...] = (), **options: Any
) -> Iterator[tuple[Box, Mount, Path]]:
    """A mount with a media on a day of its own; its number is in `user.mediafs.id`."""
    with sandbox_process(media=20, last="2024-12-31", **options) as box:
        media = box.add(
            created="2025-06-01T10:00:00+00:00",
            filename="media-AAAAbbbbCCCCdddd-1738545137.png",
            title="before",
            description="what it was",
            geoloc=[1.5, 2.5],
        )
        with mounted(box.url, *arguments, lines=lines) as mount:
            (path,) = (mount.root / "by-date/2025/06/01").iterdir()
            assert attribute(path, f"{OWN}id") == str(media["id"])
            box.reset()
            yield box, mount, path


def at_the_service(box: Box, path: Path) -> dict[str, Any]:
    return next(m for m in box.world() if str(m["id"]) == attribute(path, f"{OWN}id"))


def sent(box: Box, method: str = "PUT") -> int:
    return sum(request["method"] == method for request in requests(box))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_setfattr_changes_the_service_and_reads_back(encoding: str) -> None:
    with one_media(update_encoding=encoding) as (box, mount, path):
        for name, field in (
            (f"{OWN}title", "title"),
            ("user.dublincore.title", "title"),
            (f"{OWN}description", "description"),
            ("user.xdg.comment", "description"),
            ("user.dublincore.description", "description"),
        ):
            value = f"Straße & Dach = 100 %? by {name}\nsecond line"
            assert setfattr(path, name, value).returncode == 0, name
            assert at_the_service(box, path)[field] == value
            for shown in (path, mount.root / "recent" / path.name):
                assert attribute(shown, name) == attribute(shown, OWN + field) == value
        assert setfattr(path, f"{OWN}latitude", "48.117266").returncode == 0
        assert setfattr(path, f"{OWN}longitude", "-1.6777926").returncode == 0
        assert at_the_service(box, path)["geoloc"] == {"lat": 48.117266, "lng": -1.6777926}
        assert attribute(path, f"{OWN}latitude") == "48.117266"
        assert sent(box) == 7 + ENCODINGS.index(encoding), "the encoding is found once"
        assert sent(box, "GET") == 0, "the echo is the confirmation"
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        box.reset()
        assert setfattr(path, f"{OWN}title", "after a restart").returncode == 0
        assert sent(box) == 1, "and remembered"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_texts_of_all_kinds_have_a_defined_outcome(encoding: str) -> None:
    with one_media(update_encoding=encoding) as (box, _, path):
        for field, value in (
            ("description", "x" * 10_000),
            ("description", "zwei\nZeilen\r\n\tund ein Ende\n"),
            ("title", "\U0001f468‍\U0001f469‍\U0001f467 \U0001f600"),
            ("title", "x" * 255),
            ("title", "</script>' OR 1=1 --"),
            ("title", ""),
        ):
            os.setxattr(path, OWN + field, value.encode())
            assert at_the_service(box, path)[field] == value
            assert attribute(path, OWN + field) == value
        before, count = at_the_service(box, path), sent(box)
        for name, raw in (
            (f"{OWN}title", b"\xff\xfe\xfa"),
            ("user.xdg.comment", b"cut \xf0\x9f\x98"),
            (f"{OWN}title", b"a\0b"),
            (f"{OWN}latitude", b"north"),
            (f"{OWN}latitude", b"90.5"),
            (f"{OWN}longitude", b"1e2"),
        ):
            assert errno_of(os.setxattr, path, name, raw) == "EINVAL", raw
        assert sent(box) == count, "nothing is sent"
        assert at_the_service(box, path) == before


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_title_that_the_service_refuses_changes_nothing(encoding: str) -> None:
    with one_media(update_encoding=encoding) as (box, _, path):
        before = at_the_service(box, path)
        for title in ("x" * 256, "x" * 10_000):
            for _again in range(2):
                assert errno_of(os.setxattr, path, f"{OWN}title", title.encode()) == "EINVAL"
                assert at_the_service(box, path) == before
                assert attribute(path, f"{OWN}title") == "before"
            os.setxattr(path, f"{OWN}description", b"what it was")


def test_a_refused_edit_is_a_matter_of_permission() -> None:
    with one_media() as (box, _, path):
        box.set(forbidden_updates=[int(attribute(path, f"{OWN}id"))])
        done = setfattr(path, f"{OWN}title", "mine")
        assert "Permission denied" in done.stderr
        assert errno_of(os.setxattr, path, f"{OWN}latitude", b"1") == "EACCES"
        assert attribute(path, f"{OWN}title") == at_the_service(box, path)["title"] == "before"


def test_coordinates_are_found_under_their_other_names() -> None:
    names: dict[str, Any] = {"latitude_parameter": "latitude", "longitude_parameter": "longitude"}
    with one_media(**names) as (box, _, path):
        os.setxattr(path, f"{OWN}latitude", b"-12.25")
        assert at_the_service(box, path)["geoloc"]["lat"] == -12.25
        assert attribute(path, f"{OWN}latitude") == "-12.25"
        box.reset()
        os.setxattr(path, f"{OWN}longitude", b"100")
        assert sent(box) == 1


def test_removing_empties_a_text() -> None:
    with one_media() as (box, _, path):
        for name in (f"{OWN}title", "user.xdg.comment"):
            assert setfattr(path, name, None).returncode == 0
            assert attribute(path, name) == "", "the service keeps no absence of a text"
            assert errno_of(os.removexattr, path, name) == "ENODATA"
        assert (at_the_service(box, path)["title"], at_the_service(box, path)["description"]) == ("", "")


def test_create_and_replace_mean_what_they_say() -> None:
    with one_media() as (box, _, path):
        title = f"{OWN}title"
        assert errno_of(os.setxattr, path, title, b"x", os.XATTR_CREATE) == "EEXIST"
        box.update(int(attribute(path, f"{OWN}id")), description=None)
        os.setxattr(path, title, b"x", os.XATTR_REPLACE)  # which shows what the service has by now
        comment = "user.xdg.comment"
        assert errno_of(os.setxattr, path, comment, b"x", os.XATTR_REPLACE) == "ENODATA"
        os.setxattr(path, comment, b"y", os.XATTR_CREATE)
        assert at_the_service(box, path)["description"] == "y"


def test_what_nobody_can_set() -> None:
    with one_media() as (box, _, path):
        for name, code in {
            f"{OWN}id": "EPERM",
            f"{OWN}created": "EPERM",
            "user.dublincore.creator": "EPERM",
            "user.baloo.rating": "EPERM",
            f"{OWN}mime_type": "EOPNOTSUPP",
            "user.mime_type": "EOPNOTSUPP",
            f"{OWN}metadata_primary": "EOPNOTSUPP",
        }.items():
            assert errno_of(os.setxattr, path, name, b"x") == code, name
        refused = "EPERM" if os.geteuid() == 0 else "EACCES"  # the directory's mode
        assert errno_of(os.setxattr, path.parent, f"{OWN}title", b"x") == refused
        assert sent(box) == 0


def test_of_two_writers_the_later_wins_and_both_see_it() -> None:
    with one_media() as (box, mount, path), mounted(box.url) as elsewhere:
        (other,) = (elsewhere.root / "by-date/2025/06/01").iterdir()
        os.setxattr(path, f"{OWN}title", b"from here")
        os.setxattr(other, f"{OWN}title", b"from there")
        assert at_the_service(box, path)["title"] == "from there"
        assert attribute(other, f"{OWN}title") == "from there"
        assert mount.mediafs("refresh", str(path.parent)).returncode == 0
        assert attribute(path, f"{OWN}title") == "from there"
        # And many at once, through one mount and through two: what is shown is what is there.
        with ThreadPoolExecutor(8) as pool:
            for n in range(24):
                at = (path, other)[n % 2]
                pool.submit(os.setxattr, at, f"{OWN}title", f"writer {n}".encode())
        for shown, where in ((path, mount), (other, elsewhere)):
            assert where.mediafs("refresh", str(shown.parent)).returncode == 0
            assert attribute(shown, f"{OWN}title") == at_the_service(box, path)["title"]


def test_without_the_service_it_fails_and_is_not_made_later() -> None:
    with one_media() as (box, _, path):
        box.fault("refuse", method="PUT", times=None)
        began = time.monotonic()
        assert errno_of(os.setxattr, path, f"{OWN}title", b"new") == "EIO"
        assert time.monotonic() - began < 15
        tries = sent(box)
        assert attribute(path, f"{OWN}title") == "before"
        box.clear_faults()
        time.sleep(3)
        assert sent(box) == tries, "nothing waits to be sent"
        assert at_the_service(box, path)["title"] == attribute(path, f"{OWN}title") == "before"
        assert sent(box, "GET") == 1, "it is looked whether it was made all the same"


def test_an_edit_whose_answer_never_comes_ends_within_the_deadline_and_is_found_out() -> None:
    with one_media() as (box, _, path):
        box.fault("late", method="PUT", seconds=60, times=None)
        began = time.monotonic()
        assert errno_of(os.setxattr, path, f"{OWN}title", b"new") == "ETIMEDOUT"
        assert 14 < time.monotonic() - began < 18
        box.clear_faults()
        wait_until(lambda: attribute(path, f"{OWN}title") == "new")
        assert sent(box) == 1


def test_a_read_only_mount_edits_nothing() -> None:
    with one_media("--read-only", lines=('names = "title"',)) as (box, _, path):
        assert errno_of(os.setxattr, path, f"{OWN}title", b"x") == "EROFS"
        assert errno_of(os.removexattr, path, "user.xdg.comment") == "EROFS"
        assert errno_of(path.rename, path.with_name("x.png")) == "EROFS"
        assert sent(box) == 0


# --- names from titles -----------------------------------------------------------------------------


@contextmanager
def titled(**options: Any) -> Iterator[tuple[Box, Mount, Path]]:
    with one_media(lines=('names = "title"',), **options) as found:
        assert found[2].name.startswith("before~")
        yield found


def rename(old: Path, new: Path, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4


@pytest.mark.parametrize("flag", ["", "-n", "-T"])
def test_mv_is_a_new_title(flag: str) -> None:
    with titled() as (box, mount, path):
        digits = path.name.removeprefix("before~")
        inode = path.stat().st_ino
        (mount.root / "recent" / path.name).stat()
        done = mount.run("mv", *([flag] if flag else []), str(path), str(path.with_name("Dach, Nord.png")))
        assert (done.returncode, done.stderr) == (0, "")
        (after,) = path.parent.iterdir()
        assert after.name == f"Dach, Nord~{digits}"
        assert (after.stat().st_ino, attribute(after, f"{OWN}title")) == (inode, "Dach, Nord")
        assert at_the_service(box, after)["title"] == "Dach, Nord"
        # The name that was typed is a ghost in the kernel's memory until it is told.
        wait_until(lambda: not path.with_name("Dach, Nord.png").exists())
        for folder in (path.parent, mount.root / "recent"):
            wait_until(lambda folder=folder: not (folder / path.name).exists())
            assert (folder / after.name).read_bytes()
        assert mount.run("mv", str(after), str(path.with_name(f"Again~{digits}"))).returncode == 0
        assert os.listdir(path.parent) == [f"Again~{digits}"]
        assert sent(box) == 2
        # An attribute renames as well, in every view.
        os.setxattr(path.with_name(f"Again~{digits}"), "user.dublincore.title", b"Third/1")
        assert os.listdir(path.parent) == [f"Third_1~{digits}"]


def test_mv_that_means_the_same_title_sends_nothing() -> None:
    with titled() as (box, mount, path):
        assert mount.run("mv", str(path), str(path.with_name("before.png"))).returncode == 0
        assert sent(box) == 0
        wait_until(lambda: not path.with_name("before.png").exists())
        assert path.read_bytes()


def test_a_title_that_is_refused_leaves_the_name() -> None:
    with titled() as (box, mount, path):
        box.set(forbidden_updates=[int(attribute(path, f"{OWN}id"))])
        assert "Permission denied" in mount.run("mv", str(path), str(path.with_name("x.png"))).stderr
        assert errno_of(path.rename, path.with_name(".png")) == "EINVAL"
        assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("names", ["filename", "title"])
def test_nothing_moves_and_mv_copies_and_deletes_nothing(names: str) -> None:
    """EXDEV would make `mv` copy the file and then delete it at the service."""
    lines = (f'names = "{names}"', 'delete = "permanent"', 'conversations = ["5000", "5001"]')
    with one_media(lines=lines) as (box, mount, path):
        before = box.world(digest=True)
        other = next(p for p in (mount.root / "recent").iterdir() if p.name != path.name)
        day = mount.root / "by-date/2025/06/02"
        user = next((mount.root / "by-user").iterdir())
        for old, new in (
            (path, day / path.name),
            (path, mount.root / "recent/other.png"),
            (path, user / "x.png"),
            (path, mount.root / "by-conversation/5000/x.png"),
            (other, path),
            (mount.root / "by-conversation/5000", mount.root / "by-conversation/5001"),
            (day, day.with_name("03")),
            (user, user.with_name("Somebody (1)")),
        ):
            assert errno_of(old.rename, new) == "EPERM", (old, new)
            assert "Operation not permitted" in mount.run("mv", "-f", str(old), str(new)).stderr, (old, new)
        # Of two names of one file the kernel renames neither, and mv knows them for the same.
        twin = mount.root / "recent" / path.name
        assert errno_of(path.rename, twin) == "success"
        assert "are the same file" in mount.run("mv", "-f", str(path), str(twin)).stderr
        assert path.read_bytes() == twin.read_bytes()
        assert errno_of(rename, other, path, EXCHANGE) == "EINVAL"
        assert errno_of(rename, path, path.with_name("x.png"), WHITEOUT) in ("EINVAL", "EPERM")
        assert errno_of(rename, other, path, NOREPLACE) == "EEXIST"
        if names == "filename":
            assert errno_of(path.rename, path.with_name("x.png")) == "EPERM"
        assert sent(box) == sent(box, "DELETE") == 0
        assert box.world(digest=True) == before
