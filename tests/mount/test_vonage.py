"""An account of Vonage's on a real mount: all of it, in whatever form it comes, and its troubles."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, wait_until
from .quotations import quotations, unfounded
from .vendor_accounts import mounted_vendor, prepared_vendor
from .vonage_service import (
    LIST,
    OLD,
    OLD_AFTER_S,
    OWN,
    errno_of,
    hash_of,
    number_of,
    one_media,
    truth_of,
    value,
)

# --- the whole account -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Whole:
    """An account of 300 media, and some with hostile names, that no test changes."""

    box: Box
    mount: Mount
    truth: dict[str, dict[str, Any]]
    walk: int
    """Requests of the first walk through by-date."""

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.mount.root,
            env={**self.mount.env, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=180,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        return done.stdout


@pytest.fixture(scope="module")
def whole_account() -> Iterator[Whole | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with (
        sandbox_process("vonage", media=300, hostile=True) as box,
        mounted_vendor(box, lines=['fresh_for = "1h"']) as mount,
    ):
        mount.files("by-date")
        walk = len(box.requests())
        yield Whole(box, mount, truth_of(box), walk)


@pytest.fixture
def whole(whole_account: Whole | None) -> Whole:
    assert whole_account is not None
    return whole_account


def test_a_walk_costs_the_pages_of_one_listing(whole: Whole) -> None:
    """Vonage lists by date only: there are `by-date/` and `recent/`, and nothing else."""
    assert whole.walk <= len(whole.truth) // 100 + 3
    whole.box.reset()
    whole.run("find . | head -2000; ls -laR by-date; du -s by-date; df .; getfattr -d -R by-date/2025/12")
    assert len(whole.box.requests()) <= 1, "recent/, which was never looked at"
    assert "by-conversation" not in os.listdir(whole.mount.root)


def test_every_media_is_there_once_under_its_day_and_its_name(whole: Whole) -> None:
    """Everything is there, and not only the last week, which is what Vonage shows by itself.

    A file has the name that it was uploaded under, with the hash, as in `test~9f86d081.wav`.
    """
    by_number = {media["id"]: media for media in whole.truth.values()}
    found = whole.mount.files("by-date")
    assert sorted(number_of(whole.mount.root / path) for path in found) == sorted(by_number)
    names = [Path(path).name for path in found]
    assert len(set(names)) == len(names)
    for path, stat in found.items():
        media = by_number[number_of(whole.mount.root / path)]
        assert path[8:18].replace("/", "-") == media["created"][:10]
        assert (stat.st_size, stat.st_nlink) == (media["size"], 1)
        digits = hashlib.sha256(os.getxattr(whole.mount.root / path, f"{OWN}id")).hexdigest()[:8]
        assert f"~{digits}." in Path(path).name
        assert len(Path(path).name.encode()) <= 255
    asked = whole.box.requests(path=LIST)
    assert all(parse_qs(request["query"])["start_time"] for request in asked)


def test_names_and_inodes_outlive_a_remount_and_names_a_new_catalogue(whole: Whole) -> None:
    first = whole.mount.files("by-date").keys()
    with mounted_vendor(whole.box) as mount:
        mount.files("recent")  # another order of arrival
        again = {path: stat.st_ino for path, stat in mount.files("by-date").items()}
        assert again.keys() == first
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        whole.box.reset()
        assert {path: stat.st_ino for path, stat in mount.files("by-date").items()} == again
        assert len(whole.box.requests()) <= 1, "what was listed is kept"


@pytest.mark.parametrize("tool", ["cp -a", "rsync -aX", "tar"])
def test_tools_copy_a_day_of_hostile_names(whole: Whole, tmp_path: Path, tool: str) -> None:
    day, target = "by-date/2025/12/31", shlex.quote(str(tmp_path))
    command = {
        "cp -a": f"cp -a {day}/. {target}",
        "rsync -aX": f"rsync -aX {day}/ {target}",
        "tar": f"tar -C {day} -c . | tar -C {target} -x",
    }[tool]
    whole.run(command)
    here = Counter(hash_of(path) for path in tmp_path.iterdir())
    assert here == Counter(
        digest for digest, media in whole.truth.items() if media["created"].startswith("2025-12-31")
    )
    for copy in tmp_path.iterdir():
        path = whole.mount.root / day / copy.name
        assert copy.stat().st_mtime_ns == path.stat().st_mtime_ns
    if tool == "rsync -aX":
        assert value(copy, "id") == value(path, "id")
        whole.box.reset()
        assert whole.run(f"rsync -aX --itemize-changes {day}/ {target}") == ""
        assert whole.box.requests() == []
    assert "PNG image data" in whole.run(f"cd {day} && file -- *.png")


# --- byte for byte, in every form of a listing -------------------------------------------------------------

FORMS: list[dict[str, Any]] = [
    {"links": "next", "absolute_links": True, "max_page_size": 37},
    {"links": "bare", "count": "page", "max_page_size": 40, "past_the_end": "repeat"},
    {"links": "none", "count": "page", "reply_page_size": "returned", "empty": "list"},
    {"spelling": "camel", "times": "epoch-ms", "inclusive_dates": False, "strict_parameters": True},
]


@pytest.mark.parametrize("options", FORMS, ids=lambda options: ",".join(options))
def test_all_is_there_in_whatever_form_it_comes(options: dict[str, Any]) -> None:
    with sandbox_process("vonage", media=110, **options) as box:
        # ... also where more were made in one second than a page holds.
        for number in range(60):
            box.add(created="2025-03-04T10:00:00+00:00", filename="test.wav", size=100 + number)
        with mounted_vendor(box) as mount:
            by_number = {media["id"]: media for media in box.world() if media["completed"]}
            found = mount.files("by-date")
            assert sorted(number_of(mount.root / path) for path in found) == sorted(by_number)
            for path, stat in found.items():
                media = by_number[number_of(mount.root / path)]
                assert (path[8:18].replace("/", "-"), stat.st_size) == (media["created"][:10], media["size"])
            newest = sorted(by_number.values(), key=lambda media: (media["created"], media["id"]))[-100:]
            recent = mount.files("recent")
            assert (
                sorted(stat.st_mtime for stat in recent.values())[0]
                >= datetime.fromisoformat(newest[0]["created"]).timestamp()
            )
            assert len(recent) == 100


def test_an_account_without_media_is_empty_and_not_broken() -> None:
    """Vonage answers 404 where there is nothing to list: that is an empty directory."""
    with sandbox_process("vonage", media=0) as box, mounted_vendor(box, lines=OLD) as mount:
        assert [r["status"] for r in box.requests()] == []
        for view in ("by-date", "recent"):
            assert os.listdir(mount.root / view) == []
        assert {r["status"] for r in box.requests()} == {404}
        # And when something comes, it is there.
        box.add(filename="first.wav", size=100)
        time.sleep(OLD_AFTER_S)
        assert len(mount.files("recent")) == len(mount.files("by-date")) == 1


def test_a_day_without_media_is_an_empty_directory(whole: Whole) -> None:
    assert os.listdir(whole.mount.root / "by-date/2025/12/31")
    taken = {media["created"][:10] for media in whole.truth.values()}
    empty = next(day for day in (f"2025-06-{n:02}" for n in range(1, 31)) if day not in taken)
    assert os.listdir(whole.mount.root / "by-date" / empty.replace("-", "/")) == []


def test_nothing_is_older_than_since() -> None:
    """Where `since` is set, nothing older is in it."""
    with sandbox_process("vonage", media=0) as box:
        for month in range(1, 13):
            box.add(created=f"2025-{month:02}-05T10:00:00+00:00", filename="a.wav", size=10)
        with mounted_vendor(box, lines=['since = "2025-06-01"']) as mount:
            for view in ("recent", "by-date"):
                assert len(mount.files(view)) == 7


def test_a_404_for_everything_is_no_empty_archive() -> None:
    """Of an account that has shown media, a 404 to everything is EIO until it has been said for 24 hours,
    unless its last media were deleted from here.
    """
    with sandbox_process("vonage", media=20) as box, mounted_vendor(box, lines=OLD) as mount:
        before = mount.files("by-date").keys()
        box.fault("status", path=LIST, status=404, times=None)
        time.sleep(OLD_AFTER_S)
        assert errno_of(partial(os.listdir, mount.root / "recent")) == "EIO"
        day = mount.root / next(iter(before))
        assert errno_of(partial(os.listdir, day.parent)) in ("EIO", "success")
        assert day.exists(), "it is not taken for deleted"
        box.clear_faults()
        wait_until(lambda: errno_of(partial(os.listdir, mount.root / "recent")) == "success")
        assert mount.files("by-date").keys() == before


# --- credentials, limits and trouble -----------------------------------------------------------------------


def test_a_token_is_minted_anew_where_it_is_refused_and_no_more_than_that() -> None:
    with one_media(*OLD) as (box, mount, _):
        time.sleep(OLD_AFTER_S)
        box.expire_tokens()
        assert len(os.listdir(mount.root / "recent")) == 1
        assert [r["status"] for r in box.requests(path=LIST)].count(401) == 1


def test_a_key_that_the_service_does_not_know_is_told_once_and_for_all() -> None:
    with sandbox_process("vonage", media=3) as box:
        box.credentials["application_id"] = "00000000-0000-0000-0000-000000000000"
        with mounted_vendor(box) as mount:
            for _ in range(5):
                for view in ("recent", "by-date"):
                    mount.run("ls", view)
            assert errno_of(partial(os.listdir, mount.root / "recent")) == "EACCES"
            assert {r["status"] for r in box.requests()} == {401}
            assert len(box.requests()) <= 4, "and it is not tried again and again"
            assert mount.mediafs("check").returncode == 4
            assert "private_key" in mount.mediafs("status", str(mount.root)).stdout


HOSTILE: list[dict[str, Any]] = [
    *({"kind": kind} for kind in ("html", "json", "bad-json", "deep-json", "empty", "redirect-loop", "cut")),
    {"kind": "huge-json", "after_bytes": 33 << 20},
    {"kind": "json", "body": '{"_embedded": {"media": [{"id": "../x", "time_created": "2025-01-01"}]}}'},
    {"kind": "json", "body": '{"_embedded": {"media": [{"id": "a", "time_created": "yesterday"}]}}'},
    {"kind": "json", "body": '{"count": 5, "page_size": 100, "_embedded": {"media": []}}'},
    {"kind": "status", "status": 503},
]


def test_hostile_replies_are_explained_errors_and_leave_nothing_behind() -> None:
    with sandbox_process("vonage", media=10) as box, mounted_vendor(box) as mount:
        for fault in HOSTILE:
            box.fault(path=LIST, times=None, **fault)
            assert errno_of(partial(os.listdir, mount.root / "recent")) in ("EIO", "ETIMEDOUT"), fault
            assert os.getxattr(mount.root / "recent", f"{OWN}error"), fault
            box.clear_faults()
        assert len(mount.files("recent")) == len(truth_of(box))
        assert "Traceback" not in mount.log
        assert box.leaks() == []
        box.fault("status", path=LIST, times=None, status=429, wait_s=3600)
        began = time.monotonic()
        assert errno_of(partial(os.listdir, mount.root / "by-date")) == "ETIMEDOUT"
        assert time.monotonic() - began < 5


def test_while_the_service_is_away_what_is_known_is_shown() -> None:
    with one_media(*OLD) as (box, _, path):
        content = path.read_bytes()
        time.sleep(OLD_AFTER_S)
        box.fault("refuse", times=None)
        assert os.listdir(path.parent) == [path.name]
        assert os.getxattr(path.parent, f"{OWN}error")
        assert errno_of(partial(os.setxattr, path, f"{OWN}public", b"true")) == "EIO"
        assert value(path, "public") == "false"
        assert path.read_bytes() == content


def test_no_more_than_5_requests_a_second() -> None:
    """At most five are sent in a second."""
    with sandbox_process("vonage", media=0) as box:
        for number in range(15):
            box.add(created=f"2025-06-{number + 1:02}T10:00:00+00:00", filename="a.wav", size=5 << 20)
        with mounted_vendor(box) as mount:
            for path in mount.files("by-date"):
                with (mount.root / path).open("rb", buffering=0) as file:
                    file.read(10)
        moments = sorted(r["at_s"] for r in box.requests())
        assert max(sum(at <= other < at + 1 for other in moments) for at in moments) <= 6


def test_no_secret_is_seen_anywhere() -> None:
    with sandbox_process("vonage", media=5, redirect=True) as box, prepared_vendor(box) as mount:
        done = mount.mount("--verbose", "--delete", "permanent")
        assert done.returncode == 0, done.stderr
        first, *_ = sorted(mount.files("by-date"))
        (mount.root / first).read_bytes()
        os.setxattr(mount.root / first, f"{OWN}public", b"true")
        (mount.root / first).unlink()
        said = [mount.log, done.stdout, done.stderr]
        assert mount.mediafs("check").returncode == 0
        for command in (("status", "--json", "--verbose"), ("check", "--verbose")):
            each = mount.mediafs(*command)
            said += [each.stdout, each.stderr]
        ps = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True)
        mine = [line for line in ps.stdout.splitlines() if str(mount.root) in line]
        assert mine
        kept = [p.read_bytes() for p in mount.cache.rglob("*") if p.is_file()]
        text = "\n".join([*said, *mine]) + b"".join(kept).decode("latin-1")
        assert "DEBUG" in text, "verbose is verbose"
        pem = box.credentials["private_key"].splitlines()[1]
        for secret in (pem, box.credentials["api_secret"], "Bearer ", "eyJ", "signature="):
            assert secret not in text, secret
        assert box.leaks() == []


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert len(quotations(globals())) >= 5
    assert unfounded(globals()) == []
