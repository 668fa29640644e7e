"""The record of deletions on a disk that fails: whole lines, whole states, or an error that says so."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mediafs.errors import LocalFailure, NoRoom
from mediafs.writing import Journal

LINE = {"time": "2025-01-01T00:00:00.000+00:00", "media": "7", "pid": 12, "answer": "DELETE 200"}


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "deletions.jsonl").read_text().splitlines()]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """To a program that writes, that is a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_state_is_read_as_it_was_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.state() == {}
    journal.keep({"latched": True, "done": [1.5]})
    assert Journal(tmp_path).state() == {"latched": True, "done": [1.5]}
    assert (tmp_path / "deletions.state").stat().st_mode & 0o777 == 0o600


def test_a_line_for_each_deletion_readable_by_its_owner_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(LINE)
    journal.write({**LINE, "name": "zwei\nZeilen \u2028 \udcff.png"})
    assert len(lines(tmp_path)) == 2
    assert (tmp_path / "deletions.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_state_is_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "deletions.state").write_bytes(damage)
    assert Journal(tmp_path).state() is None


def test_a_state_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "deletions.state").mkdir()
    with pytest.raises(LocalFailure):
        Journal(tmp_path).state()


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "gone")
    with pytest.raises(LocalFailure):
        journal.keep({})
    with pytest.raises(LocalFailure):
        journal.write(LINE)


@pytest.mark.parametrize("left", [0, 1, 30])
def test_a_full_disk_takes_no_half_line(tmp_path: Path, left: int) -> None:
    journal = Journal(tmp_path)
    journal.write(LINE)
    size = (tmp_path / "deletions.jsonl").stat().st_size
    with files_no_larger_than(size + left), pytest.raises(NoRoom):
        journal.write({**LINE, "media": "8"})
    assert (tmp_path / "deletions.jsonl").stat().st_size == size
    journal.write({**LINE, "media": "9"})
    assert [line["media"] for line in lines(tmp_path)] == ["7", "9"]


def test_a_full_disk_leaves_the_old_state(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.keep({"done": [1.0]})
    with files_no_larger_than(8), pytest.raises(NoRoom):
        journal.keep({"done": [float(n) for n in range(100)]})
    assert journal.state() == {"done": [1.0]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full")
def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("no tmpfs here")
    try:
        journal = Journal(disk)
        journal.write(LINE)
        (disk / "filler").write_bytes(b"x" * 8192)
        with pytest.raises(NoRoom):
            journal.keep({"done": [float(n) for n in range(2000)]})
        (disk / "filler").unlink()
        journal.keep({"done": []})
        assert lines(disk) == [LINE]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_line_that_a_power_cut_tore_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "deletions.jsonl"
    path.write_bytes(b'{"time": "2025-01-01T0')
    Journal(tmp_path).write(LINE)
    assert json.loads(path.read_text().splitlines()[-1]) == LINE


def test_it_knows_whether_a_line_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert not journal.has(LINE)
    (tmp_path / "deletions.jsonl").write_bytes(b"nonsense\n[]\n\xff\n")
    assert not journal.has(LINE)
    journal.write(LINE)
    assert journal.has({**LINE, "answer": None}), "the answer may be another"
    assert not journal.has({**LINE, "media": "8"})
