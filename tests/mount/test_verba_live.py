"""Live names of a Verba account on a real mount. Docstrings are quotations from docs/SEMANTICS.md."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, wait_until
from .quotations import unfounded
from .vendor_accounts import mounted_vendor
from .vendor_checks import by_id, digest, errno_of, refused, shell
from .verba_service import actions, asked, lines_of, truth

GIB = 1 << 30
LINE = 8856
SLOW = 100_000
"""Bytes a second of a call that goes on."""


def test_docstrings_here_are_quotations() -> None:
    assert unfounded(globals()) == []


@dataclass
class Line:
    """An extension whose calls a test makes."""

    box: Box
    mount: Mount

    @property
    def folder(self) -> Path:
        return self.mount.root / f"by-user/{LINE}"

    @property
    def last(self) -> Path:
        return self.folder / "last.bin"

    @property
    def ongoing(self) -> Path:
        return self.folder / "ongoing.bin"

    def call(self, *, size: int, **fields: Any) -> dict[str, Any]:
        """Makes a call, the newest of the line."""
        return self.box.add(owner=LINE, media_type="audio", size=size, **fields)

    def digest_of(self, media: dict[str, Any]) -> str:
        return next(str(one["sha256"]) for one in self.box.world(digest=True) if one["id"] == media["id"])

    def spooled(self) -> int:
        """Files without a name that the daemon has open in the cache folder, and what is stored there."""
        pid, folder = self.mount.status()["pid"], str(self.mount.cache)
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        nameless = [link for link in links if link.startswith(folder) and link.endswith("(deleted)")]
        kept = [path for path in self.mount.cache.rglob("bytes/*") if path.is_file()]
        return len(nameless) + len(kept)

    def wait_quiet(self) -> None:
        """Until no download is under way, at the service and here."""
        wait_until(lambda: self.box.counts()["in_flight"] == 0)
        wait_until(lambda: self.mount.status()["reading"]["streams"] == 0)


@contextmanager
def line(*lines: str, search: bool = True, delete: str = "deny", **options: Any) -> Iterator[Line]:
    options = {"ongoing_bytes": 10_000_000, **options}
    extensions = (str(LINE), "8857")
    with sandbox_process("verba", media=0, **options) as box:
        box.add_owner(LINE, None)
        given = lines_of(f'delete = "{delete}"', *lines, search=search, extensions=extensions)
        with mounted_vendor(box, lines=given) as mount:
            yield Line(box, mount)


def test_a_configured_extension_has_live_names_that_are_looked_up() -> None:
    """Each extension has `last.bin` and `ongoing.bin` in its folder: the last call, and the one that goes on.
    Where calls are searched they are not listed, so that no copy takes a call along twice.

    To look at them costs no request; where there is no such call, opening is ENOENT.
    """
    with line() as here:
        old = here.call(size=5000, created="2025-06-01T10:00:00+00:00")
        assert os.listdir(here.folder) == [next(iter(by_id(here.mount, "by-date").values())).name]
        assert set(os.listdir(here.folder.parent)) == {str(LINE), "8857"}
        here.box.reset()
        for _ in range(3):
            for path in (here.last, here.ongoing, here.folder.parent / "8857/last.bin"):
                assert path.stat().st_size == GIB
                assert path.stat().st_nlink == 1
                assert os.listxattr(path) == []
        assert errno_of((here.folder / "next.bin").stat) == "ENOENT"
        assert actions(here.box) == Counter()
        assert errno_of(here.ongoing.read_bytes) == "ENOENT"
        assert errno_of((here.folder.parent / "8857/last.bin").read_bytes) == "ENOENT"
        assert digest(here.last) == here.digest_of(old)
        assert {question.get("status") for question in asked(here.box)} == {"ongoing", "last"}


def test_without_a_search_they_are_listed() -> None:
    """Without `search` they are listed in the folders of the extensions that `extensions` names."""
    with line(search=False) as here:
        here.call(size=5000)
        assert sorted(os.listdir(here.folder)) == ["last.bin", "ongoing.bin"]
        assert by_id(here.mount, "by-date") == {}
        assert len(here.last.read_bytes()) == 5000
        kept = shell(here.mount, "stat -c '%n %s' last.bin", f"by-user/{LINE}")
        assert kept == f"last.bin {GIB}\n", "nothing of it is remembered"


@pytest.mark.parametrize("delete", ["deny", "permanent"])
def test_they_can_neither_be_deleted_nor_moved(delete: str) -> None:
    """`rm` and `mv` of a live name are EPERM: by the time that it is deleted another call may be behind
    it."""
    expected = refused() if delete == "deny" else "EPERM"
    with line(delete=delete) as here:
        here.call(size=5000)
        before = here.box.world()
        path = next(iter(by_id(here.mount, "by-date").values()))
        assert errno_of(here.last.unlink) == expected
        assert errno_of(here.last.rename, here.folder / "mine.bin") == expected
        assert errno_of(here.last.rename, here.ongoing) == expected
        assert errno_of((here.folder / path.name).rename, here.last) == expected
        assert errno_of(os.setxattr, here.last, "user.mediafs.subject", b"x") == "EPERM"
        assert (
            "not permitted"
            in subprocess.run(
                ["setfattr", "-n", "user.mediafs.ticket", "-v", "x", str(here.last)],
                capture_output=True,
                text=True,
            ).stderr
        )
        assert here.box.world() == before
        assert set(actions(here.box)) <= {"RequestToken", "SearchCalls", "GetCallInformation"}


def test_two_openings_are_two_calls_and_never_mix() -> None:
    """Each opening is one download of what is behind the name then: who opens it later may read another call,
    and each reads its own to the end."""
    with line(bytes_per_s=300_000) as here, ThreadPoolExecutor(3) as pool:
        one = here.call(size=1_500_000)
        with here.last.open("rb", buffering=0) as first:
            stat = os.fstat(first.fileno())
            assert stat.st_size == 1_500_000
            beginning = first.read(70_000)
            # A shorter one, whose end must not be the end of the longer.
            two = here.call(size=200_000)
            second = pool.submit(digest, here.last)
            with here.last.open("rb") as third:
                assert os.fstat(third.fileno()).st_ino != stat.st_ino
                assert os.fstat(third.fileno()).st_size == 200_000
                assert sha256(third.read()).hexdigest() == here.digest_of(two)
            rest = b"".join(iter(lambda: first.read(1 << 16), b""))
            assert sha256(beginning + rest).hexdigest() == here.digest_of(one)
            assert second.result() == here.digest_of(two)
            assert os.fstat(first.fileno()).st_size == 1_500_000
        assert digest(here.last) == here.digest_of(two)
        here.wait_quiet()
        assert actions(here.box)["GetMedia"] == 4


def test_many_at_once_read_each_a_whole_call_or_fail() -> None:
    with line() as here, ThreadPoolExecutor(8) as pool:
        right = {here.digest_of(here.call(size=400_000 + n)) for n in range(3)}

        def attempt(number: int) -> str:
            if number % 8 == 4:
                here.call(size=50_000 + number)
            try:
                return digest(here.last)
            except OSError as error:
                return errno.errorcode[error.errno or 0]

        got = list(pool.map(attempt, range(40)))
        right |= {str(media["sha256"]) for media in here.box.world(digest=True)}
        # Three who meet on one inode: the kernel tries again once, and the third is told.
        assert set(got) - right <= {"ESTALE"}
        assert sum(each in right for each in got) >= 20
        here.wait_quiet()
        assert here.spooled() == 0


FOLLOWERS: Final = (
    "cp ongoing.bin /dev/stdout",
    "cat ongoing.bin",
    "dd if=ongoing.bin bs=7777 status=none",
    "tail -c +1 ongoing.bin",
)
TRUSTING: Final = ("tar -c ongoing.bin", "tail -c 100 ongoing.bin")


def test_a_call_that_goes_on_is_followed_to_its_end() -> None:
    """A call that goes on grows while it is read: `cat`, `cp`, `dd` and `tail -c +1` follow it to its end.

    Its size is shown as 1 GiB, so what trusts that is no tool for it: `tar` fills up with zeros and fails,
    `tail -c 100` shows nothing
    """
    with line(bytes_per_s=SLOW) as here, ThreadPoolExecutor(len(FOLLOWERS + TRUSTING)) as pool:

        def begun(command: str, number: int) -> Future[subprocess.CompletedProcess[str]]:
            # One after the other: `cp` looks twice, and must find nothing opened in between.
            script = f"set -o pipefail; cd by-user/{LINE}; {command}"
            ran = pool.submit(here.mount.run, "bash", "-c", script)
            wait_until(lambda: actions(here.box)["GetMedia"] == number)
            return ran

        media = here.call(size=8 * SLOW, status="in_progress")
        began = time.monotonic()
        following = [begun(f"{each} | sha256sum", n) for n, each in enumerate(FOLLOWERS, 1)]
        trusting = [begun(f"{each} | wc -c", n) for n, each in enumerate(TRUSTING, len(FOLLOWERS) + 1)]
        for command, each in zip(FOLLOWERS, following, strict=True):
            done = each.result()
            assert (done.returncode, done.stderr) == (0, ""), command
            assert done.stdout.split()[0] == here.digest_of(media), command
        assert time.monotonic() - began >= 7
        archived, tail = (each.result() for each in trusting)
        assert archived.returncode != 0
        assert "shrank" in archived.stderr
        assert tail.stdout.strip() == "0"
        here.wait_quiet()


def test_who_stops_to_read_ends_the_download_and_nothing_is_kept() -> None:
    """Who closes it ends the download, and nothing of it is kept, neither in memory nor on disk."""
    with line(bytes_per_s=SLOW) as here:
        here.call(size=600 * SLOW, status="in_progress")
        with here.ongoing.open("rb", buffering=0) as file:
            beginning = file.read(SLOW)
            assert len(beginning) > 0
            time.sleep(1)
            assert here.spooled() == 1
            assert file.read(1 << 17), "it has grown meanwhile"
            with mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
                assert mapped[:100] == beginning[:100]
        here.wait_quiet()
        sent = sum(request["bytes_sent"] for request in here.box.requests())
        assert sent < 60 * SLOW
        assert here.spooled() == 0
        held = here.mount.status()["reading"]
        assert (held["memory"], held["streams"], held["spools"]) == (0, 0, 0)
        done = here.mount.run("bash", "-c", f"head -c 1000 by-user/{LINE}/ongoing.bin | wc -c")
        assert done.stdout.strip() == "1000"
        here.wait_quiet()
        assert here.spooled() == 0


def test_a_call_that_ended_is_the_last_and_not_the_ongoing_one() -> None:
    with line() as here:
        media = here.call(size=20_000, status="in_progress")
        assert digest(here.ongoing) == here.digest_of(media)
        assert errno_of(here.last.read_bytes) == "ENOENT"
        here.box.update(media["id"], status="completed")
        assert errno_of(here.ongoing.read_bytes) == "ENOENT"
        assert digest(here.last) == here.digest_of(media)
        assert by_id(here.mount, "by-date").keys() == truth(here.box).keys()


TROUBLE: list[tuple[dict[str, Any], str, float]] = [
    ({"kind": "html"}, "EIO", 8),
    ({"kind": "status", "status": 500}, "EIO", 12),
    ({"kind": "status", "status": 403}, "EACCES", 8),
    ({"kind": "cut", "after_bytes": 2000}, "EIO", 8),
    ({"kind": "empty"}, "EIO", 8),
    ({"kind": "status", "status": 200, "body": "<VerbaApi><Response code='-70'/></VerbaApi>"}, "ENOENT", 8),
    ({"kind": "delay", "seconds": 30}, "ETIMEDOUT", 18),
    ({"kind": "status", "status": 429, "wait_s": 100, "wait_form": "retry-seconds"}, "ETIMEDOUT", 8),
]
"""Fault, errno, and how many seconds it may take."""


def test_what_is_no_recording_is_an_error() -> None:
    with line() as here:
        media = here.call(size=20_000)
        assert digest(here.last) == here.digest_of(media)
        for fault, code, within_s in TROUBLE:
            here.box.fault(path="/verba/api", times=None, **fault)
            began = time.monotonic()
            assert errno_of(here.last.read_bytes) == code, fault
            assert time.monotonic() - began < within_s, fault
            here.box.clear_faults()
