"""`search/` on a real mount: each docstring here is a quotation from docs/SEMANTICS.md."""

from __future__ import annotations

import os
from functools import partial

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import mounted, requests, wait_until
from .quotations import unfounded
from .test_semantics import errno_of, xattr
from .vendor_accounts import mounted_vendor


def test_each_docstring_here_is_a_quotation() -> None:
    assert unfounded({name: each for name, each in globals().items() if "quotation" not in name}) == []


def test_the_service_is_asked(box: Box) -> None:
    """`search/<words>/` is there for whoever looks it up, as in `ls "search/roof north"`; neither it nor
    `search/` is listed, so no copy takes it along. Looking it up costs nothing; opening it searches. It
    holds the newest media that the words find, newest first, under the names and numbers that they have
    everywhere;

    Apizee is asked itself, for its newest 300,

    That it does search is proven first, by words that nobody writes: one request, remembered for a day.

    `st_nlink` does not count its names.
    """
    for number in range(3):
        box.add(title="Roof north", created=f"2025-06-01T10:00:0{number}+00:00")
    with mounted(box.url) as mount:
        recent = {name: stat for name, stat in mount.files("by-date/2025/06/01").items()}
        box.reset()
        assert (mount.root / "search/Roof north").is_dir()
        assert requests(box) == []
        found = mount.run("ls", "-U", "search/Roof north").stdout.split()
        assert len(requests(box)) == 2
        assert len(found) == 3
        stats = [(mount.root / "search/Roof north" / name).stat() for name in found]
        assert [stat.st_mtime for stat in stats] == sorted((s.st_mtime for s in stats), reverse=True)
        for name, stat in zip(found, stats, strict=True):
            same = recent[f"by-date/2025/06/01/{name}"]
            assert (stat.st_ino, stat.st_nlink, stat.st_size) == (same.st_ino, same.st_nlink, same.st_size)
        assert xattr(mount.root / "search/Roof north", "complete") == "true"
        assert os.listdir(mount.root / "search/nothing of the kind") == []
        assert len(requests(box)) == 3
        os.listdir(mount.root / "search/Roof north")
        for name in (".hidden", "autorun.inf", ".Trash-1000"):
            assert errno_of(partial(os.stat, mount.root / "search" / name)) == "ENOENT"
        assert len(requests(box)) == 3
        assert "search" not in os.listdir(mount.root)
        assert os.listdir(mount.root / "search") == []
        assert mount.run("find", "search").stdout.split() == ["search"]


def test_rm_in_a_search_is_rm() -> None:
    """In it `rm` and `mv` do what they do everywhere;"""
    with sandbox_process(media=20) as box:
        media = box.add(title="Xyzzy north", created="2025-06-01T10:00:00+00:00")
        kept = box.add(title="Xyzzy south", created="2025-06-01T11:00:00+00:00")
        with mounted(box.url) as mount:
            (path,) = (mount.root / "search/Xyzzy north").iterdir()
            assert errno_of(path.unlink) in ("EPERM", "EACCES")
            assert mount.umount().returncode == 0
        with mounted(box.url, lines=['delete = "permanent"']) as mount:
            day = mount.root / "by-date/2025/06/01"
            assert len(list(day.iterdir())) == 2
            (path,) = (mount.root / "search/Xyzzy north").iterdir()
            (other,) = [each for each in (mount.root / "search/Xyzzy").iterdir() if each.name == path.name]
            path.unlink()
            assert errno_of(other.stat) == errno_of((day / path.name).stat) == errno_of(path.stat) == "ENOENT"
            assert [xattr(each, "id") for each in day.iterdir()] == [str(kept["id"])]
            assert str(media["id"]) not in {str(m["id"]) for m in box.world()}
            assert mount.run("rmdir", "search/Xyzzy north").returncode == 0
            assert mount.run("rm", "-r", "search/Xyzzy").returncode == 0
            assert list(day.iterdir()) == []
            assert len(box.world()) == 20


def test_what_is_known_is_searched_where_the_service_does_not_search() -> None:
    """and at Vonage, Zoom, Veriff and Verba, which have no such question, what this machine knows of the
    archive is searched, and no request is made, but for a first look where nothing is known yet:

    also as a part of a word, in any case, with or without accents.

    `user.mediafs.complete` on it is `true` where nothing else can be found: Apizee has told all, or every
    day is known here, and there are fewer than 1000.

    What was searched for is remembered nowhere once the mount has ended.
    """
    with sandbox_process("vonage", media=60) as box:
        box.add(filename="Dachstühle Süd.wav", created="2025-06-01T10:00:00+00:00")
        with mounted_vendor(box) as mount:
            assert os.listdir(mount.root / "search/nothing") == []
            mount.files("by-date")
            box.reset()
            (found,) = os.listdir(mount.root / "search/dachstuhle sud")
            assert found.startswith("Dachstühle")
            assert os.listdir(mount.root / "search/SÜD WAV") == [found]
            assert xattr(mount.root / "search/SÜD WAV", "complete") == "true"
            assert requests(box) == []
            assert mount.umount().returncode == 0
            wait_until(lambda: not os.path.ismount(mount.root))
            text = b"".join(path.read_bytes() for path in (mount.cache / "clinic").glob("catalogue*"))
            assert "SÜD WAV".encode() not in text
