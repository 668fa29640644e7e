"""Files whose size nobody tells: whoever reads them, with whatever tool, gets all of their bytes.

Docstrings are quotations from docs/SEMANTICS.md.
"""

from __future__ import annotations

import mmap
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, wait_until
from .quotations import unfounded
from .vendor_accounts import mounted_vendor
from .vendor_checks import attribute, by_id, digest, errno_of, shell
from .verba_service import actions, lines_of, truth

GIB: Final = 1 << 30

READERS: Final = {
    "cat": "cat FILE > TO",
    "cp": "cp FILE TO",
    "cp reflink": "cp --reflink=auto FILE TO",
    "cp sparse": "cp --sparse=always FILE TO",
    "rsync": "rsync -a FILE TO",
    "tar": "tar -c FILE | tar -x -O > TO",
    "dd": "dd if=FILE of=TO bs=7777 status=none",
    "tail": "tail -c +1 FILE > TO",
    "head": "head -c 1G FILE > TO",
    "install": "install -m 600 FILE TO",
}
"""Tools that read a whole file, each in its own way."""


def test_docstrings_here_are_quotations() -> None:
    assert unfounded(globals()) == []


@dataclass
class Unknown:
    """A day of calls that nobody has opened: each test takes some of its own."""

    box: Box
    mount: Mount
    fresh: list[Path]
    world: dict[str, dict[str, Any]]

    def take(self) -> Path:
        path = self.fresh.pop()
        assert path.stat().st_size == GIB
        return path

    def digest_of(self, path: Path) -> str:
        return str(self.world[attribute(path, "id") or ""]["sha256"])

    def size_of(self, path: Path) -> int:
        return int(self.world[attribute(path, "id") or ""]["size"])


@contextmanager
def calls(count: int, *lines: str, **options: Any) -> Iterator[Unknown]:
    with sandbox_process("verba", media=0, **options) as box:
        for n in range(count):
            box.add(media_type="audio", created=f"2025-06-01T10:00:{n:02}+00:00")
        with mounted_vendor(box, lines=lines_of(*lines)) as mount:
            found = by_id(mount, "by-date")
            yield Unknown(box, mount, sorted(found.values()), truth(box, digest=True))


@pytest.mark.parametrize("options", [{}, {"chunked": True}, {"ranges": True}], ids=str)
def test_every_tool_copies_all_of_a_file_of_unknown_size(tmp_path: Path, options: dict[str, Any]) -> None:
    """`cp`, `rsync`, `tar`, `dd`, `tail`, `file`, players and `mmap` are right the first time, also where the
    service states no length."""
    with calls(len(READERS) + 6, **options) as unknown:
        for number, (name, command) in enumerate(READERS.items()):
            path, target = unknown.take(), tmp_path / f"copy-{number}"
            shell(
                unknown.mount,
                command.replace("FILE", shlex.quote(path.name)).replace("TO", shlex.quote(str(target))),
                path.parent,
            )
            assert digest(target) == unknown.digest_of(path), name
            assert path.stat().st_size == target.stat().st_size == unknown.size_of(path), name
        path = unknown.take()
        assert "WAVE audio" in shell(unknown.mount, f"file -b {shlex.quote(str(path))}")
        path = unknown.take()
        assert "codec_type=audio" in shell(
            unknown.mount, f"ffprobe -v error -show_streams {shlex.quote(str(path))}"
        )
        path = unknown.take()
        last = shell(unknown.mount, f"tail -c 1000 {shlex.quote(str(path))} | sha256sum")
        whole = path.read_bytes()
        assert last == shell(unknown.mount, f"tail -c 1000 {shlex.quote(str(path))} | sha256sum")
        assert len(whole) == unknown.size_of(path)
        path = unknown.take()
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert len(mapped) == unknown.size_of(path)
            assert mapped[-4000:] == path.read_bytes()[-4000:]
        path = unknown.take()
        with path.open("rb") as seeking:
            size = unknown.size_of(path)
            assert seeking.seek(0, os.SEEK_END) == size
            assert seeking.seek(size // 2) == size // 2
            assert len(seeking.read(size)) + size // 2 == size
        assert actions(unknown.box)["GetMedia"] <= len(READERS) + 6, "one download each"


def test_a_size_is_kept_over_a_remount_and_a_new_listing() -> None:
    with calls(3, 'fresh_for = "1s"') as unknown:
        path, other = unknown.take(), unknown.take()
        size = len(path.read_bytes())
        assert unknown.mount.umount().returncode == 0
        assert unknown.mount.mount().returncode == 0
        assert (path.stat().st_size, other.stat().st_size) == (size, GIB)
        unknown.box.add(media_type="audio", created="2025-06-01T11:00:00+00:00")
        assert unknown.mount.mediafs("refresh", str(path.parent)).returncode == 0
        assert len(os.listdir(path.parent)) == 4
        assert path.stat().st_size == size


def test_a_body_that_takes_longer_than_the_deadline_is_there_at_the_next_try() -> None:
    """Where the service states no length, opening waits for the whole body, 15 seconds at most: then it fails
    with ETIMEDOUT, the body goes on to come, and a later try finds it."""
    with calls(1, chunked=True) as unknown:
        path = unknown.take()
        unknown.box.set(bytes_per_s=int(unknown.size_of(path) / 20))
        began = time.monotonic()
        assert errno_of(path.read_bytes) == "ETIMEDOUT"
        assert 14 < time.monotonic() - began < 18
        assert path.stat().st_size == GIB
        wait_until(lambda: unknown.mount.status()["reading"]["streams"] == 0, 30)
        assert digest(path) == unknown.digest_of(path)
        assert path.stat().st_size == unknown.size_of(path)
        assert actions(unknown.box)["GetMedia"] == 1


def test_a_body_of_stated_length_is_not_waited_for() -> None:
    with calls(1) as unknown:
        unknown.box.add(size=4 << 20, media_type="audio", created="2025-06-02T10:00:00+00:00")
        unknown.box.set(bytes_per_s=(4 << 20) // 12)
        assert unknown.mount.mediafs("refresh", str(unknown.mount.root / "recent")).returncode == 0
        (path,) = (path for path in (unknown.mount.root / "recent").iterdir() if "06-02" in path.name)
        began = time.monotonic()
        with path.open("rb", buffering=0) as file:
            assert os.fstat(file.fileno()).st_size == 4 << 20
            assert file.read(100)
            assert time.monotonic() - began < 8
        assert path.stat().st_size == 4 << 20


TROUBLE: list[dict[str, Any]] = [
    {"kind": "html"},
    {"kind": "empty"},
    {"kind": "cut", "after_bytes": 1000},
    {"kind": "json"},
    {"kind": "status", "status": 500},
]


@pytest.mark.parametrize("chunked", [True, False])
def test_what_is_no_whole_recording_leaves_no_size_and_no_byte(chunked: bool) -> None:
    with calls(len(TROUBLE), chunked=chunked) as unknown:
        for fault in TROUBLE:
            path = unknown.take()
            unknown.box.fault(path="/verba/api", times=None, **fault)
            assert errno_of(path.read_bytes) == "EIO", fault
            unknown.box.clear_faults()
            assert digest(path) == unknown.digest_of(path), fault


def test_no_room_to_keep_a_body_is_no_partial_file() -> None:
    """With `size = "0"` it is never kept; the file is right all the same, if it comes in time."""
    with calls(2, "[cache]", 'size = "0"', 'memory = "1MiB"', chunked=True) as unknown:
        path = unknown.take()
        assert digest(path) == unknown.digest_of(path)
        assert path.stat().st_size == unknown.size_of(path)
        assert digest(path) == unknown.digest_of(path)
