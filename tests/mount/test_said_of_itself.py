"""`.mediafs/` on a real mount: each docstring here is a quotation from docs/SEMANTICS.md."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, requests, wait_until
from .quotations import unfounded
from .test_secrets import TOKEN, leaks, secrets_of
from .test_semantics import errno_of, xattr

DAY = "by-date/2025/06/01"


def test_each_docstring_here_is_a_quotation() -> None:
    assert unfounded({name: each for name, each in globals().items() if "quotation" not in name}) == []


def lines(mount: Mount) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (mount.root / ".mediafs/changes.jsonl").read_text().splitlines()]


def refresh(mount: Mount, path: str = DAY) -> None:
    done = mount.mediafs("refresh", str(mount.root / path))
    assert done.returncode == 0, done.stderr


def test_it_is_found_and_not_listed(box: Box) -> None:
    """`.mediafs/` in the mount point is found by its name and listed nowhere, and so are the files in it:
    no copy, `find` or `du` takes them along.

    and nothing about them can be changed.
    """
    with mounted(box.url, lines=['delete = "permanent"']) as mount:
        assert ".mediafs" not in os.listdir(mount.root)
        assert os.listdir(mount.root / ".mediafs") == []
        for command in (
            ("find", ".", "-maxdepth", "1"),
            ("du", "-d", "1", "recent"),
            ("ls", "-laR", ".mediafs"),
        ):
            done = mount.run(*command)
            assert done.returncode == 0, done.stderr
            assert "status.json" not in done.stdout
        assert mount.run("rm", "-f", ".mediafs/status.json").returncode != 0
        assert mount.run("rmdir", ".mediafs").returncode != 0
        assert mount.run("mv", ".mediafs/status.json", "recent/").returncode != 0
        assert mount.run("sh", "-c", "echo x > .mediafs/changes.jsonl").returncode != 0
        assert mount.run("touch", ".mediafs/new").returncode != 0
        assert mount.run("cat", ".mediafs/status.json").returncode == 0


def test_the_status_is_that_of_the_moment(box: Box) -> None:
    """**`.mediafs/status.json`** is what `mediafs status --json MOUNTPOINT` says, as it is at the moment
    of opening. Its size is that of the text which is read, and whoever has it open reads on in the same
    one.

    They cost no request,
    """
    with mounted(box.url) as mount:
        path = mount.root / ".mediafs/status.json"
        with path.open() as early:
            begun = early.read(1)
            assert json.loads(path.read_text())["catalogue"]["media"] == 0
            mount.files("recent")
            box.reset()
            told, typed = json.loads(path.read_text()), mount.status()
            assert told.keys() == typed.keys()
            for key in ("catalogue", "requests", "deletions", "pid", "mountpoint"):
                assert told[key] == typed[key]
            assert told["catalogue"]["media"] > 0
            assert json.loads(begun + early.read())["catalogue"]["media"] == 0
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            assert len(file.read()) == size
        copy = mount.folder / "copy.json"
        assert mount.run("cp", ".mediafs/status.json", str(copy)).returncode == 0
        assert json.loads(copy.read_text())["account"] == "clinic"
        assert requests(box) == []


def test_changes_are_told_in_the_order_in_which_they_are_found(box: Box) -> None:
    """**`.mediafs/changes.jsonl`** has a line of JSON for each change that was found, here or at the
    service, in the order in which it was found: `time`, `kind`, `id`, `name`, and in `views` the
    directories that the file is in, as paths.

    What a first listing shows is no change: a media counts as added where it was created after this
    machine's catalogue was begun, or where its day had been listed without it.

    What is deleted has its lines with its id only: its name and views are taken out of the lines before
    it, blanks standing in their place. The lines are kept over remounts, with the catalogue,
    """
    with mounted(box.url, lines=['delete = "permanent"']) as mount:
        box.add(created="2025-06-01T09:00:00+00:00")
        assert mount.files(DAY)
        assert lines(mount) == []
        late = box.add(created="2025-06-01T10:00:00+00:00", owner=1000, conversation="5000")
        refresh(mount)
        now = box.add(created=datetime.now(UTC).isoformat(timespec="seconds"))
        refresh(mount, "recent")
        box.update(late["id"], title="another")
        refresh(mount)
        assert [(line["kind"], line["id"]) for line in lines(mount)] == [
            ("added", str(late["id"])),
            ("added", str(now["id"])),
            ("retitled", str(late["id"])),
        ]
        first = lines(mount)[0]
        assert DAY in first["views"]
        for view in first["views"]:
            assert (mount.root / view / first["name"]).stat().st_size == late["size"]
        (mount.root / DAY / first["name"]).unlink()
        found = lines(mount)
        assert [line["kind"] for line in found] == ["added", "added", "retitled", "removed"]
        assert [line["name"] for line in found if line["id"] == str(late["id"])] == [None] * 3
        assert found[1]["name"] is not None
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        assert lines(mount) == found


def test_tail_follows_what_is_found(box: Box) -> None:
    """`tail -f` shows each as it is found."""
    with mounted(box.url) as mount:
        mount.files(DAY.rsplit("/", 1)[0])
        out = mount.folder / "tail"
        command = ["tail", "-n", "+1", "-s", "0.1", "-f", str(mount.root / ".mediafs/changes.jsonl")]
        with out.open("wb") as file, subprocess.Popen(command, stdout=file) as tail:
            try:
                for number in range(3):
                    media = box.add(created=f"2025-06-01T10:00:0{number}+00:00")
                    refresh(mount)
                    wait_until(lambda number=number: out.read_text().count("\n") > number)
                    assert json.loads(out.read_text().splitlines()[-1])["id"] == str(media["id"])
            finally:
                tail.kill()


def test_no_secret_is_in_it() -> None:
    """hold no secret and no link that opens a media without a login,"""
    with (
        sandbox_process(media=60, token=TOKEN) as box,
        mounted(box.url, token=TOKEN, lines=['fresh_for = "1s"']) as mount,
    ):
        mount.files("by-date")
        box.add(created=datetime.now(UTC).isoformat(timespec="seconds"))
        refresh(mount, "recent")
        box.fault("status", status=500, times=50)
        mount.mediafs("refresh", str(mount.root / "recent"))
        box.clear_faults()
        folder = mount.root / ".mediafs"
        text = "".join(Path(folder, name).read_text() for name in ("status.json", "changes.jsonl"))
        assert '"problems"' in text
        assert '"added"' in text
        assert leaks(text, secrets_of(box)) == []


def test_what_is_not_known_is_an_error_and_not_empty() -> None:
    """`complete` is `true` where a whole listing tells all that the directory holds, and `listed` is when
    that was; an expired login, a refused filter and half a listing are errors on the directory, and never
    an empty one. The mount point is as complete as the least complete of its views.
    """
    with sandbox_process(media=5) as box, mounted(box.url, lines=['conversations = ["5000"]']) as mount:
        for _ in range(250):
            box.add(created="2025-06-01T10:00:00+00:00", conversation="5000")
        conversation = mount.root / "by-conversation/5000"
        assert xattr(conversation, "complete") == "false"
        assert xattr(conversation, "listed") is None
        box.fault("status", status=500, path="/api/v3/medias", times=None, skip=3)
        assert errno_of(lambda: os.listdir(conversation)) == "EIO"
        assert xattr(conversation, "complete") == "false"
        assert xattr(conversation, "error") is not None
        assert mount.status()["catalogue"]["media"] > 0, "half of it was read"
        box.clear_faults()
        assert len(os.listdir(conversation)) == 250
        assert xattr(conversation, "complete") == "true"
        assert xattr(conversation, "listed") is not None
        assert xattr(conversation, "error") is None
        box.fault("status", status=401, times=None)
        for path in (mount.root / "recent", mount.root / "by-date"):
            assert errno_of(partial(os.listdir, path)) == "EACCES"
            assert xattr(path, "complete") == "false"
            assert xattr(path, "error") is not None
        assert xattr(mount.root, "complete") == "false"
        assert xattr(mount.root, "error") is not None


def test_a_damaged_catalogue_is_set_aside() -> None:
    """What is kept is never trusted where it is damaged: it is set aside, the log and `mediafs status`
    say so, and the archive is listed anew. Damage that shows only while it is read is EIO, and the next
    mount sets it aside.
    """
    with sandbox_process(media=1000) as box, mounted(box.url) as mount:
        names = set(mount.files("by-date"))
        assert mount.umount().returncode == 0
        path = mount.cache / "clinic/catalogue.sqlite3"
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(size // 3 // 4096 * 4096)
            file.write(b"\xa5" * (size // 3))
        assert mount.mount().returncode == 0
        assert mount.run("find", "by-date").returncode != 0
        assert "damaged" in mount.log
        assert "cannot be read" in mount.mediafs("status", str(mount.root)).stdout
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        assert "set aside" in mount.log
        assert any("set aside" in problem["message"] for problem in mount.status()["problems"])
        assert set(mount.files("by-date")) == names
