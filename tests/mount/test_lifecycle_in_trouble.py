"""A mount that is killed, stopped, doubled, or finds an old or broken catalogue: nothing passes for empty."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest

from mediafs.sandbox.testing import Box
from tests.catalogue.test_migrations import earlier

from .mounting import Mount, mounted, prepared, wait_until
from .test_lifecycle import line_of, some_day

MIB = 1 << 20


def files_in(folder: Path) -> set[Path]:
    """Folders of days that turn out to be empty may go; no file may."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def identity_of(mount: Mount) -> str:
    connection = sqlite3.connect(mount.cache / "clinic/catalogue.sqlite3")
    (kept,) = connection.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
    connection.close()
    return str(kept)


def test_a_mirror_of_a_mount_whose_daemon_was_killed_keeps_what_it_has(box: Box, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    with mounted(box.url) as mount:
        command = ["rsync", "-a", "--delete", f"{mount.root}/by-date/", f"{mirror}/"]
        assert subprocess.run(command, check=False).returncode == 0
        held = files_in(mirror)
        assert len(held) > 250
        mount.kill()

        broken = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert broken.returncode != 0
        assert "not connected" in broken.stderr
        assert files_in(mirror) == held
        # It stays broken until somebody cleans it: an empty folder in its place would be a lie.
        assert line_of(mount.root) is not None
        assert mount.umount().returncode == 0
        assert line_of(mount.root) is None


def test_a_mirror_of_a_service_that_refuses_keeps_what_it_has(box: Box, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    with mounted(box.url, lines=['fresh_for = "1s"']) as mount:
        command = ["rsync", "-a", "--delete", f"{mount.root}/by-date/", f"{mirror}/"]
        assert subprocess.run(command, check=False).returncode == 0
        held = files_in(mirror)
        time.sleep(11)  # older than ten times fresh_for
        box.fault("status", path="/api/v3/medias", status=401, times=1000)

        refused = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        assert refused.returncode != 0
        assert files_in(mirror) == held


def test_two_daemons_never_share_a_mount_point(box: Box) -> None:
    with mounted(box.url) as first, prepared(box.url) as second:
        again = second.mediafs("mount", "clinic", str(first.root))
        assert again.returncode != 0
        assert "mount" in again.stderr
        assert os.listdir(first.root)
        assert (
            len(
                [
                    line
                    for line in Path("/proc/self/mountinfo").read_text().splitlines()
                    if str(first.root) in line
                ]
            )
            == 1
        )


def test_the_catalogue_of_an_earlier_version_is_shown_before_any_request(box: Box) -> None:
    with mounted(box.url) as mount:
        day = some_day(box)
        known = mount.files(day)
        assert known
        identity = identity_of(mount)
        assert mount.umount().returncode == 0
        # The same, as the first version of the schema kept it.
        folder = mount.cache / "clinic"
        new = folder / "catalogue.sqlite3"
        old = folder / "old.sqlite3"
        connection = earlier(old, 1)
        connection.execute("ATTACH ? AS new", (str(new),))
        for (table,) in connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table'"
        ).fetchall():
            if table == "sqlite_sequence":
                continue
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table}({columns}) SELECT {columns} FROM new.{table}")
        connection.close()
        old.replace(new)
        assert identity_of(mount) == identity
        box.reset()

        assert mount.mount().returncode == 0
        assert {path: stat.st_ino for path, stat in mount.files(day).items()} == {
            path: stat.st_ino for path, stat in known.items()
        }
        assert box.requests(path="/api") == []
        assert not list(folder.glob("*.set-aside-*"))


def test_a_damaged_catalogue_is_set_aside_with_a_message_and_listed_anew(box: Box) -> None:
    with mounted(box.url) as mount:
        day = some_day(box)
        names = set(mount.files(day))
        assert mount.umount().returncode == 0
        path = mount.cache / "clinic/catalogue.sqlite3"
        path.write_bytes(os.urandom(path.stat().st_size))

        assert mount.mount().returncode == 0
        assert "set aside" in mount.log
        assert set(mount.files(day)) == names
        assert len(list(path.parent.glob("*.set-aside-*"))) >= 1


def test_a_daemon_that_was_stopped_for_a_while_goes_on_where_it_was(box: Box) -> None:
    big = box.add(size=20 * MIB, filename="long.wav", media_type="audio")
    content = box.call("GET", f"/api/v3/medias/{big['id']}/download").body
    with mounted(box.url) as mount:
        box.set(bytes_per_s=8 * MIB)
        path = next(mount.root.glob("recent/long*"))
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
        reader.start()
        time.sleep(0.5)
        os.kill(mount.pids[-1], signal.SIGSTOP)
        time.sleep(4)
        os.kill(mount.pids[-1], signal.SIGCONT)
        reader.join(60)

        assert got == [content]
        assert os.listdir(mount.root / "by-date")


@pytest.mark.parametrize("jump_s", [-86400, 86400], ids=["back", "on"])
def test_a_clock_that_was_set_while_it_was_away_loses_nothing(box: Box, jump_s: int) -> None:
    """What was listed in the future counts as old, and what was deleted then as deleted now."""
    with mounted(box.url, lines=['delete = "permanent"', "delete_limit = 3"]) as mount:
        day = some_day(box)
        names = set(mount.files(day))
        for path in sorted(mount.files("recent"))[:3]:
            (mount.root / path).unlink()
        assert mount.umount().returncode == 0
        connection = sqlite3.connect(mount.cache / "clinic/catalogue.sqlite3")
        with connection:
            connection.execute("UPDATE day SET listed = listed + ?", (-jump_s,))
            connection.execute(
                "UPDATE scope SET listed = listed + ?, failed = failed + ?", (-jump_s, -jump_s)
            )
        connection.close()
        state = mount.cache / "clinic/deletions.state"
        shutil.copy(state, state.with_suffix(".before"))

        assert mount.mount().returncode == 0
        assert set(mount.files(day)) == names
        with pytest.raises(PermissionError):
            (mount.root / next(iter(mount.files("recent")))).unlink()


def test_unmounting_from_outside_while_somebody_deletes_leaves_no_doubt(box: Box) -> None:
    with mounted(box.url, lines=['delete = "permanent"']) as mount:
        path = mount.root / next(iter(mount.files("recent")))
        media = os.getxattr(path, "user.mediafs.id").decode()
        box.fault("late", method="DELETE", seconds=3)
        deleting = subprocess.Popen(["rm", str(path)], stderr=subprocess.DEVNULL)
        wait_until(lambda: any(r["method"] == "DELETE" for r in box.requests()))
        subprocess.run(["fusermount3", "-uz", str(mount.root)], check=True)
        deleting.wait(30)
        pid = mount.pids[-1]
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30)

        assert mount.mount().returncode == 0
        log = (mount.cache / "clinic/deletions.jsonl").read_text()
        assert f'"media": "{media}"' in log
        assert (
            not any(
                os.getxattr(mount.root / p, "user.mediafs.id").decode() == media
                for p in mount.files("recent")
            )
            or mount.mediafs("refresh", str(mount.root / "recent")).returncode == 0
        )
