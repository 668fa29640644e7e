"""`rm` and its kin on a real mount: what is deleted, what is not, and that it is gone everywhere."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, prepared, requests, wait_until
from .test_edits import attribute, errno_of

MIB = 1 << 20
PERMANENT = 'delete = "permanent"'
ID = "user.mediafs.id"
DAY = "by-date/2025/06/01"


@contextmanager
def erasable(
    *arguments: str, media: int = 60, lines: tuple[str, ...] = (), **options: Any
) -> Iterator[tuple[Box, Mount]]:
    """An account whose media can be deleted."""
    options.setdefault("last", "2024-12-31")
    with (
        sandbox_process(media=media, **options) as box,
        mounted(box.url, *arguments, lines=(PERMANENT, *lines)) as mount,
    ):
        yield box, mount


def add(box: Box, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """New media on a day of their own."""
    given: dict[str, Any] = {
        "created": "2025-06-01T10:00:00+00:00",
        "owner": 1000,
        "conversation": "5000",
    } | fields
    return [box.add(**given) for _ in range(count)]


def deletes(box: Box) -> list[str]:
    """The ids that the service was asked to delete, in order."""
    return [r["path"].rsplit("/", 1)[1] for r in requests(box) if r["method"] == "DELETE"]


def completed(box: Box) -> set[str]:
    return {str(m["id"]) for m in box.world() if m["completed"]}


def names_of(mount: Mount, name: str) -> list[Path]:
    """Where a media of the day is found."""
    user = mount.root / "by-user" / os.readlink(mount.root / "by-user/1000")
    folders = (mount.root / DAY, mount.root / "recent", user, mount.root / "by-conversation/5000")
    for folder in folders:
        os.listdir(folder)
    return [folder / name for folder in folders]


def journal(mount: Mount) -> list[dict[str, Any]]:
    path = mount.cache / mount.account / "deletions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# --- one rm ----------------------------------------------------------------------------------------


def test_rm_is_one_delete_and_every_name_is_gone_when_it_returns() -> None:
    with erasable() as (box, mount):
        (media,) = add(box, filename="one.png", title="a title")
        (name,) = os.listdir(mount.root / DAY)
        names = names_of(mount, name)
        assert len({path.stat().st_ino for path in names}) == 1
        assert names[0].stat().st_nlink == 3
        box.reset()
        done = mount.run("rm", str(names[0]))
        assert (done.returncode, done.stderr) == (0, "")
        assert [errno_of(path.stat) for path in names] == ["ENOENT"] * 4
        assert [name in os.listdir(path.parent) for path in names] == [False] * 4
        assert deletes(box) == [str(media["id"])]
        assert len(requests(box)) == 1
        assert str(media["id"]) not in completed(box)


def test_another_view_knows_it_at_once_every_time() -> None:
    with erasable() as (box, mount):
        add(box, 50, filename="x.png")
        names = os.listdir(mount.root / DAY)
        assert len(names) == 50
        paths = [names_of(mount, name) for name in names]
        for number, views in enumerate(paths):
            assert all(path.exists() for path in views)
            victim = views.pop(number % len(views))
            victim.unlink()
            assert [errno_of(path.stat) for path in (*views, victim)] == ["ENOENT"] * 4, number


def test_a_line_for_each_deletion_that_was_sent() -> None:
    with erasable() as (box, mount):
        good, bad = add(box, 2, filename="x.png")
        paths = {attribute(path, ID): path for path in (mount.root / DAY).iterdir()}
        box.set(forbidden_deletes=[bad["id"]])
        process = subprocess.Popen(["rm", str(paths[str(good["id"])])])
        assert process.wait(30) == 0
        done = mount.run("rm", str(paths[str(bad["id"])]))
        assert "Permission denied" in done.stderr
        assert paths[str(bad["id"])].exists()
        first, second = journal(mount)
        assert first == {
            "time": first["time"],
            "uid": os.geteuid(),
            "pid": process.pid,
            "program": "rm",
            "media": str(good["id"]),
            "name": paths[str(good["id"])].name,
            "removal": "permanent",
            "answer": "DELETE 200",
        }
        assert second["answer"].startswith("not carried out")
        path = mount.cache / mount.account / "deletions.jsonl"
        assert path.stat().st_mode & 0o777 == 0o600
        assert mount.status()["deletions"]["done"] == 1
        assert f"deletion of media {good['id']}" in mount.log


def test_what_is_gone_at_the_service_already_is_done() -> None:
    with erasable() as (box, mount):
        (media,) = add(box)
        (path,) = (mount.root / DAY).iterdir()
        box.remove(media["id"])
        assert mount.run("rm", str(path)).returncode == 0
        assert not path.exists()
        assert journal(mount)[0]["answer"] == "DELETE 404"
        assert mount.status()["deletions"]["done"] == 0


@pytest.mark.parametrize(("kind", "seconds"), [("lost", 0), ("late", 20)])
def test_a_delete_whose_answer_is_lost_ends_right(kind: str, seconds: int) -> None:
    with erasable() as (box, mount):
        (media,) = add(box)
        (path,) = (mount.root / DAY).iterdir()
        other = mount.root / "recent" / path.name
        assert other.exists()
        box.fault(kind, method="DELETE", seconds=seconds)
        assert mount.run("rm", str(path)).returncode == 0
        assert not path.exists()
        assert not other.exists()
        assert str(media["id"]) not in completed(box)
        assert mount.status()["deletions"]["done"] == 1, "else the brake never trips on a bad line"


def test_a_delete_of_which_no_answer_comes_is_found_out() -> None:
    with erasable() as (box, mount):
        (media,) = add(box)
        (path,) = (mount.root / DAY).iterdir()
        other = mount.root / "recent" / path.name
        assert other.exists()
        box.fault("lost", method="DELETE", times=None)
        assert "Input/output error" in mount.run("rm", str(path)).stderr
        box.clear_faults()
        wait_until(lambda: not other.exists() and not path.exists())
        wait_until(lambda: len(journal(mount)) == 1)
        assert journal(mount)[0]["answer"].endswith("found gone afterwards")
        assert str(media["id"]) not in completed(box)
        assert mount.status()["deletions"]["done"] == 1


def test_a_delete_that_the_service_never_saw_changes_nothing() -> None:
    with erasable() as (box, mount):
        (media,) = add(box)
        (path,) = (mount.root / DAY).iterdir()
        box.fault("status", method="DELETE", status=500, times=None)
        assert "Input/output error" in mount.run("rm", str(path)).stderr
        box.clear_faults()
        wait_until(lambda: len(journal(mount)) == 1)
        assert journal(mount)[0]["answer"].endswith("still there afterwards")
        assert path.read_bytes()
        assert str(media["id"]) in completed(box)
        assert mount.status()["deletions"]["done"] == 0


def test_unlink_in_recent() -> None:
    with erasable() as (box, mount):
        recent = mount.root / "recent"
        before = os.listdir(recent)
        victim = recent / before[-1]
        id_ = attribute(victim, ID)
        victim.unlink()
        assert deletes(box) == [id_]
        assert sorted(os.listdir(recent)) == sorted(before[:-1])


# --- policies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["by default", "in the configuration", "by --delete"])
def test_under_deny_nothing_is_sent(how: str) -> None:
    lines = {"by default": (), "in the configuration": ('delete = "deny"',), "by --delete": (PERMANENT,)}[how]
    arguments = ("--delete", "deny") if how == "by --delete" else ()
    with sandbox_process(media=20) as box, mounted(box.url, *arguments, lines=lines) as mount:
        before = box.world()
        file = next((mount.root / "recent").iterdir())
        refused = "EPERM" if os.geteuid() == 0 else "EACCES"
        assert file.parent.stat().st_mode == 0o040500
        assert errno_of(file.unlink) == refused
        assert errno_of(file.parent.rmdir) in ("EBUSY", "EACCES")
        assert mount.run("rm", "-rf", "recent", "by-date").returncode == 1
        assert mount.run("find", "by-date", "-type", "f", "-delete").returncode == 1
        assert box.world() == before
        assert deletes(box) == []
        assert journal(mount) == []
        assert mount.status()["deletions"]["policy"] == "deny"


@pytest.mark.parametrize("how", ["in the configuration", "by --delete"])
def test_a_trash_that_the_service_does_not_have_is_refused_at_the_start(how: str) -> None:
    lines = ('delete = "trash"',) if how == "in the configuration" else (PERMANENT,)
    arguments = () if how == "in the configuration" else ("--delete", "trash")
    with sandbox_process(media=5) as box, prepared(box.url, lines=lines) as mount:
        done = mount.mount(*arguments)
        assert done.returncode == 3
        assert "delete" in done.stderr
        assert 'the service has no trash; delete can be "permanent" or "deny"' in done.stderr
        assert not os.path.ismount(mount.root)


def test_a_read_only_mount_deletes_nothing() -> None:
    with erasable("--read-only") as (box, mount):
        file = next((mount.root / "recent").iterdir())
        day = mount.root / "by-date/2024/01/01"
        for action in (file.unlink, day.rmdir, file.parent.rmdir, (day / ".Trash-1000").mkdir):
            assert errno_of(action) == "EROFS"
        assert mount.run("rm", "-rf", "by-date").returncode == 1
        assert deletes(box) == []


def test_no_trash_of_a_desktop_is_made() -> None:
    """`gio trash` makes `.Trash-UID`; where it cannot, the file manager asks whether to delete for good."""
    with erasable() as (box, mount):
        folder = next((mount.root / "recent").iterdir()).parent
        for place, code in ((mount.root, "EACCES"), (folder, "EROFS")):
            expected = "EROFS" if os.geteuid() == 0 else code
            assert errno_of((place / ".Trash-1000").mkdir) == expected
            assert not (place / ".Trash-1000").exists()
        assert deletes(box) == []


# --- the brake -------------------------------------------------------------------------------------


def test_rm_rf_stops_at_a_hundred_and_stays_stopped() -> None:
    with erasable(media=0) as (box, mount):
        add(box, 150, filename="x.png")
        assert len(os.listdir(mount.root / DAY)) == 150
        done = mount.run("rm", "-rf", DAY)
        assert done.returncode == 1
        assert done.stderr.count("Operation not permitted") == 50
        assert len(deletes(box)) == len(completed(box)) + 50 == 100
        assert len(os.listdir(mount.root / DAY)) == 50
        assert mount.status()["deletions"]["latched"] is True
        shown = mount.mediafs("status", str(mount.root)).stdout
        assert "STOPPED" in shown
        assert f"mediafs allow-deletes {mount.root}" in shown
        assert "mediafs allow-deletes" in mount.log

        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        assert mount.run("rm", "-rf", DAY).returncode == 1
        mount.kill()
        assert mount.mount().returncode == 0
        assert mount.run("find", DAY, "-type", "f", "-delete").returncode == 1
        assert len(deletes(box)) == 100, "over a remount, and over a crash"

        assert "20 more media" in mount.mediafs("allow-deletes", str(mount.root), "20").stdout
        assert mount.run("rm", "-rf", DAY).returncode == 1
        assert len(deletes(box)) == 120
        assert "100 more media" in mount.mediafs("allow-deletes", str(mount.root / "recent")).stdout
        done = mount.run("rm", "-rf", DAY)
        assert (done.returncode, done.stderr) == (0, "")
        assert completed(box) == set()
        assert len(journal(mount)) == len(deletes(box)) == 150


@pytest.mark.parametrize("count", ["0", "-5", "x", "1.5", "99999999999"])
def test_allow_deletes_takes_a_number(count: str) -> None:
    with erasable(media=5) as (_, mount):
        done = mount.mediafs("allow-deletes", str(mount.root), "--", count)
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        assert done.stderr


def test_without_a_limit_all_goes() -> None:
    with erasable(media=0, lines=("delete_limit = 0",)) as (box, mount):
        add(box, 120)
        assert mount.run("rm", "-rf", DAY).returncode == 0
        assert completed(box) == set()
        assert "no limit" in mount.mediafs("allow-deletes", str(mount.root)).stdout


# --- whole directories -----------------------------------------------------------------------------


NO_LIMIT = ("delete_limit = 0",)


@pytest.mark.parametrize(
    "command",
    [
        ["rm", "-rf", DAY],
        ["rm", "-r", DAY, "--one-file-system"],
        ["find", DAY, "-delete"],
        ["find", DAY, "-depth", "-exec", "rm", "-d", "{}", ";"],
    ],
)
def test_a_day_goes(command: list[str]) -> None:
    with erasable() as (box, mount):
        gone = {str(m["id"]) for m in add(box, 7, filename="x.png")}
        before = completed(box)
        inode = (mount.root / DAY).stat().st_ino
        done = mount.run(*command)
        assert (done.returncode, done.stderr) == (0, "")
        assert completed(box) == before - gone
        assert sorted(deletes(box)) == sorted(gone)
        assert "01" not in (
            os.listdir(mount.root / "by-date/2025/06") if (mount.root / "by-date/2025/06").exists() else []
        )
        assert os.listdir(mount.root / DAY) == [], "looked up, it is an empty directory"
        assert (mount.root / DAY).stat().st_ino != inode


def test_rsync_takes_a_day_away_when_it_has_it(tmp_path: Path) -> None:
    with erasable() as (box, mount):
        gone = {str(m["id"]): m for m in add(box, 5)}
        truth = {m["sha256"] for m in box.world(digest=True) if str(m["id"]) in gone}
        target = mount.folder / "target"
        done = mount.run("rsync", "-a", "--remove-source-files", f"{DAY}/", str(target))
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(deletes(box)) == sorted(gone)
        assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in target.iterdir()} == truth
        assert os.listdir(mount.root / DAY) == []


def test_mv_to_another_disk_copies_and_then_deletes() -> None:
    with erasable() as (box, mount):
        (media,) = add(box, filename="x.png")
        (path,) = (mount.root / DAY).iterdir()
        content = path.read_bytes()
        assert mount.run("mv", str(path), str(mount.folder / "moved.png")).returncode == 0
        assert (mount.folder / "moved.png").read_bytes() == content
        assert deletes(box) == [str(media["id"])]


@pytest.mark.parametrize("named", [True, False])
def test_a_conversation_goes(named: bool) -> None:
    lines = (*NO_LIMIT, 'conversations = ["5000"]') if named else NO_LIMIT
    with erasable(lines=lines) as (box, mount):
        add(box, 3, filename="x.png")
        wanted = {str(m["id"]) for m in box.world() if m["conversation"] == "5000" and m["completed"]}
        folder = mount.root / "by-conversation/5000"
        assert len(os.listdir(folder)) == len(wanted)
        inode = folder.stat().st_ino
        done = mount.run("rm", "-rf", "by-conversation/5000")
        assert (done.returncode, done.stderr) == (0, "")
        assert set(deletes(box)) == wanted
        assert ("5000" in os.listdir(mount.root / "by-conversation")) is named
        if named:
            assert os.listdir(folder) == []
            assert folder.stat().st_ino != inode
        else:
            assert errno_of(folder.stat) == "ENOENT"


def test_a_user_goes() -> None:
    with erasable(lines=NO_LIMIT) as (box, mount):
        add(box, 3, filename="x.png")
        wanted = {str(m["id"]) for m in box.world() if m["owner"]["id"] == 1000 and m["completed"]}
        name = os.readlink(mount.root / "by-user/1000")
        done = mount.run("rm", "-rf", f"by-user/{name}")
        assert (done.returncode, done.stderr) == (0, "")
        assert set(deletes(box)) == wanted
        assert name not in os.listdir(mount.root / "by-user")
        wait_until(lambda: errno_of((mount.root / "by-user" / name).stat) == "ENOENT")


def test_the_root_does_not_go() -> None:
    """All media go, as far as the brake lets them; what the tree is made of stays."""
    with erasable(media=130) as (box, mount):
        total = len(completed(box))
        done = mount.run("sh", "-c", "rm -rf *")
        assert done.returncode == 1
        assert len(deletes(box)) == 100
        assert len(completed(box)) == total - 100
        mount.mediafs("allow-deletes", str(mount.root))
        done = mount.run("sh", "-c", "rm -rf *")
        said = "Device or resource busy" if os.geteuid() == 0 else "Permission denied"  # the root's mode
        for view in ("by-date", "by-conversation", "by-user", "recent"):
            assert f"cannot remove '{view}': {said}" in done.stderr
        assert len(done.stderr.splitlines()) == 4
        assert completed(box) == set()
        assert sorted(os.listdir(mount.root)) == ["by-conversation", "by-date", "by-user", "recent"]


def test_what_holds_media_or_is_the_tree_itself_stays() -> None:
    with erasable() as (box, mount):
        add(box)
        name = os.readlink(mount.root / "by-user/1000")
        for path in (DAY, "by-date/2025/06", "by-date/2025", f"by-user/{name}", "by-conversation/5000"):
            assert errno_of((mount.root / path).rmdir) == "ENOTEMPTY", path
        assert "rmdir of month 2025-06: it is not empty" in mount.log
        busy = "EBUSY" if os.geteuid() == 0 else "EACCES"  # the root's mode comes first
        for path in ("by-date", "by-user", "by-conversation", "recent"):
            assert errno_of((mount.root / path).rmdir) == busy, path
        assert errno_of((mount.root / "by-user/1000").unlink) == "EPERM"
        assert errno_of((mount.root / DAY).unlink) in ("EISDIR", "EPERM")
        assert errno_of(next((mount.root / DAY).iterdir()).rmdir) == "ENOTDIR"
        assert deletes(box) == []


def test_a_day_that_was_never_looked_at_is_listed_before_it_goes() -> None:
    with erasable() as (box, mount):
        days = {m["created"][:10] for m in box.world()}
        empty = next(d for n in range(1, 300) if (d := str(date.fromordinal(738890 + n))) not in days)
        folder = mount.root / "by-date" / empty.replace("-", "/")
        inode = folder.stat().st_ino
        assert requests(box) == []
        folder.rmdir()
        assert len(requests(box)) == 1
        assert folder.stat().st_ino != inode, "it can be looked up again, as another directory"
        box.fault("status", path="/api/v3/medias", status=500, times=None)
        time.sleep(0.1)
        other = mount.root / "by-date/2023/05/05"
        assert errno_of(other.rmdir) in ("EIO", "ENOENT", "success")


def test_a_directory_removed_while_it_is_open_and_filled_again_is_listed_and_readable() -> None:
    with erasable() as (box, mount):
        add(box, 3)
        day = mount.root / DAY
        holder = subprocess.Popen(
            [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"],
            cwd=day,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        descriptor = os.open(day, os.O_RDONLY | os.O_DIRECTORY)
        try:
            inode = day.stat().st_ino
            assert mount.run("rm", "-rf", DAY).returncode == 0
            (media,) = add(box, filename="new.png")
            assert mount.mediafs("refresh", DAY.replace(DAY, str(mount.root / DAY))).returncode == 0
            (new,) = day.iterdir()
            assert attribute(new, ID) == str(media["id"])
            assert new.read_bytes() == box.call("GET", f"/api/v3/medias/{media['id']}/download").body
            assert day.stat().st_ino != inode
            assert mount.run("ls", DAY).stdout.split() == [new.name]
            assert mount.run("find", DAY, "-type", "f").stdout.split() == [f"{DAY}/{new.name}"]
            # Who held the old one holds an empty directory, and no way back into the new one's listing.
            assert errno_of(os.listdir, descriptor) in ("ENOENT", "success")
            assert mount.run("rm", "-rf", DAY).returncode == 0
        finally:
            os.close(descriptor)
            holder.stdin.close()
            holder.wait(10)
            holder.stdout.close()


# --- who is in the middle of something -------------------------------------------------------------


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of getdents64 is that of x86_64")
def test_who_is_in_the_middle_of_a_long_listing_meets_nobody_who_is_gone() -> None:
    everything: dict[str, Any] = {
        "media": 3100,
        "first": "2024-05-17",
        "last": "2024-05-17",
        "lines": NO_LIMIT,
    }
    with erasable(**everything) as (_, mount):
        day = mount.root / "by-date/2024/05/17"
        total = len(os.listdir(day))
        assert total > 2950
        with entries(day, 8192) as reader:
            seen = [name for _ in range(35) for name in next(reader)]
            assert 1000 < len(seen) < 2500
            unseen = sorted(set(os.listdir(day)) - set(seen))
            removed = {*seen[::30], *unseen[::10]}
            for name in removed:
                (day / name).unlink()
            rest = [name for some in reader for name in some]
        # The kernel may have fetched one more answer of ours than it has handed on.
        assert len(removed & set(rest)) <= 10
        assert len({*seen, *rest}) == len(seen) + len(rest), "none comes twice"
        assert {*seen, *rest} >= set(os.listdir(day)), "and none is left out"
        assert [name for name in removed if (day / name).exists()] == [], "none was brought back"
        assert len(mount.files("by-date/2024/05/17")) == total - len(removed)


@contextmanager
def entries(folder: Path, size: int) -> Iterator[Iterator[list[str]]]:
    """The names in a folder as the kernel gives them, so many bytes at a time: a C library reads ahead."""
    libc, buffer = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(size)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def read() -> Iterator[list[str]]:
        while (got := libc.syscall(217, descriptor, buffer, size)) > 0:
            names, at = [], 0
            while at < got:
                length = int.from_bytes(buffer.raw[at + 16 : at + 18], "little")
                names.append(buffer.raw[at + 19 : at + length].split(b"\0")[0].decode())
                at += length
            yield [name for name in names if name not in (".", "..")]
        assert got == 0, os.strerror(ctypes.get_errno())

    try:
        yield read()
    finally:
        os.close(descriptor)


def test_an_open_file_reads_what_is_held_and_nothing_else() -> None:
    with erasable() as (box, mount):
        (media,) = add(box, size=30 * MIB, media_type="video", filename="x.mp4")
        truth = box.call("GET", f"/api/v3/medias/{media['id']}/download").body
        (path,) = (mount.root / DAY).iterdir()
        names = names_of(mount, path.name)
        with names[0].open("rb", buffering=0) as file, names[1].open("rb", buffering=0) as other:
            assert file.read(4096) == truth[:4096]
            names[2].unlink()
            box.reset()
            for each in (file, other):
                stat = os.fstat(each.fileno())
                assert (stat.st_nlink, stat.st_size) == (0, 30 * MIB)
            assert os.pread(file.fileno(), 4096, 0) == truth[:4096]
            assert errno_of(os.pread, file.fileno(), 4096, 29 * MIB) == "ESTALE"
            assert errno_of(os.getxattr, file.fileno(), ID) == "ENOENT"
            assert requests(box) == [], "nothing is fetched any more"
        wait_until(lambda: mount.status()["reading"]["memory"] == 0)


def test_a_small_file_that_is_open_is_read_to_its_end() -> None:
    with erasable() as (box, mount):
        (media,) = add(box, filename="x.png")
        truth = box.call("GET", f"/api/v3/medias/{media['id']}/download").body
        (path,) = (mount.root / DAY).iterdir()
        with path.open("rb", buffering=0) as file:
            file.read(10)
            path.unlink()
            assert os.pread(file.fileno(), len(truth) + 10, 0) == truth


def test_a_copy_under_way_fails_and_does_not_end_short() -> None:
    with erasable(bytes_per_s=4 * MIB) as (box, mount):
        add(box, size=40 * MIB, filename="x.png")
        (path,) = (mount.root / DAY).iterdir()
        copy = subprocess.Popen(
            ["cp", str(path), str(mount.folder / "copy")], stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: (mount.folder / "copy").exists() and (mount.folder / "copy").stat().st_size > MIB)
        path.unlink()
        _, said = copy.communicate(timeout=60)
        assert copy.returncode == 1
        assert "Stale file handle" in said


def test_two_who_empty_the_same_media_from_two_views_both_end() -> None:
    with erasable(media=0, users=1, lines=NO_LIMIT) as (box, mount):
        add(box, 80, filename="x.png")
        user = os.readlink(mount.root / "by-user/1000")
        folders = (DAY, f"by-user/{user}", "by-conversation/5000")
        for folder in folders:
            assert len(os.listdir(mount.root / folder)) == 80
        with ThreadPoolExecutor(3) as pool:
            done = list(pool.map(lambda folder: mount.run("rm", "-rf", folder), folders))
        assert [each.stderr for each in done] == ["", "", ""]
        assert [each.returncode for each in done] == [0, 0, 0]
        assert completed(box) == set()
        assert len(deletes(box)) == len(set(deletes(box))) == 80, "one request each"
        assert mount.status()["deletions"]["done"] == 80


def test_under_a_limit_of_ten_requests_a_minute_rm_is_slow_and_works() -> None:
    with erasable(media=0, rate_limit=10) as (box, mount):
        add(box, 9, filename="x.png")
        began = time.monotonic()
        done = mount.run("rm", "-r", DAY, timeout=150)
        assert (done.returncode, done.stderr) == (0, "")
        assert time.monotonic() - began > 50
        assert len(deletes(box)) == 9
        assert not [r for r in requests(box) if r["status"] == 429]


def test_a_limit_that_outlasts_the_deadline_is_said_at_once() -> None:
    with erasable(media=0) as (box, mount):
        add(box, 12, filename="x.png")
        assert len(os.listdir(mount.root / DAY)) == 12
        box.fault("status", method="DELETE", status=429, wait_s=300, skip=4, times=None)
        began = time.monotonic()
        done = mount.run("rm", "-r", DAY)
        assert time.monotonic() - began < 10
        assert done.returncode == 1
        assert done.stderr.count("Connection timed out") == 8
        assert len(deletes(box)) == 5, "after the first refusal nothing is asked"
        assert len(completed(box)) == 8
        assert len(os.listdir(mount.root / DAY)) == 8
        assert mount.status()["deletions"]["done"] == 4


# --- traces ----------------------------------------------------------------------------------------


def test_no_text_of_what_was_deleted_is_left_but_in_the_log_of_deletions() -> None:
    texts = ("a secret title", "a secret word", "Jane Secret", "secretname")
    with erasable() as (box, mount):
        box.add_owner(4711, texts[2])
        (media,) = add(
            box, owner=4711, title=texts[0], description=texts[1] * 300, filename=f"{texts[3]}.png"
        )
        (path,) = (mount.root / DAY).iterdir()
        content = path.read_bytes()
        assert f"{texts[2]} (4711)" in os.listdir(mount.root / "by-user")
        assert all(text in traces(mount) for text in texts)
        path.unlink()
        left = traces(mount)
        assert [text for text in texts if text in left.pop_log()] == [texts[3]], "its name is in the log"
        assert [text for text in texts if text in left] == []
        assert "4711" not in "".join(os.listdir(mount.root / "by-user"))
        assert mount.umount().returncode == 0
        assert [text for text in texts if text in traces(mount, log=False)] == []
        assert media["title"] == texts[0]
        assert content


class Traces(str):
    """All that is in the files of an account, as text; `log`: the log of deletions."""

    log: str

    def pop_log(self) -> str:
        return self.log


def traces(mount: Mount, *, log: bool = True) -> Traces:
    parts, deletions = [mount.log], ""
    for path in sorted((mount.cache / mount.account).rglob("*")):
        if not path.is_file():
            continue
        text = path.read_bytes().decode("latin-1")
        if path.name == "deletions.jsonl":
            deletions = text
        else:
            parts.append(text)
    found = Traces("\n".join(parts))
    found.log = deletions
    return found


def test_bytes_of_what_was_deleted_are_in_no_memory_and_no_file() -> None:
    # Half of the memory is too little for the body, and nothing is kept on disk: it needs a spool.
    with erasable(ranges=False, lines=("[cache]", 'memory = "8MiB"', 'size = "0"')) as (box, mount):
        add(box, size=6 * MIB, filename="x.png")
        (path,) = (mount.root / DAY).iterdir()
        descriptors = Path(f"/proc/{mount.pids[-1]}/fd")
        with path.open("rb", buffering=0) as file:
            assert len(file.read(4096)) == 4096
            wait_until(lambda: mount.status()["reading"]["spools"] == 1)
            assert any("spool" in os.readlink(each) for each in descriptors.iterdir())
            path.unlink()
            assert mount.status()["reading"]["spools"] == 0
            spooled = [each for each in descriptors.iterdir() if "spool" in os.readlink(each)]
            assert spooled == [], "the nameless file has gone although the media is open"
        wait_until(lambda: mount.status()["reading"]["memory"] == 0)


def test_a_media_that_comes_back_is_shown_from_the_service() -> None:
    """What the service lists after a deletion is there: nothing here hides it."""
    with erasable() as (box, mount):
        (media,) = add(box, filename="x.png")
        (path,) = (mount.root / DAY).iterdir()
        path.read_bytes()
        path.unlink()
        add(box, filename="y.png")
        assert mount.mediafs("refresh", str(path.parent)).returncode == 0
        (new,) = path.parent.iterdir()
        assert attribute(new, ID) != str(media["id"])
        assert new.stat().st_ino > 0
        shutil.copy(new, mount.folder / "copy")
