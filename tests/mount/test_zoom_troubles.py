"""Zoom's links, credentials and troubles on a real mount: bytes are right or reads fail, no secret leaks."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.faults import Kind
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, wait_until
from .quotations import quotations, unfounded
from .vendor_accounts import mounted_vendor, prepared_vendor
from .zoom_service import LIST

LATELY = datetime.now(UTC).date() - timedelta(days=20)
SINCE = f'since = "{LATELY}"'
OLD = ('fresh_for = "100ms"', 'list_deadline = "5s"')
OLD_AFTER_S = 1.1
COUNT = 16
SIZE = 9 << 20


def errno_of(action: Callable[[], object]) -> str:
    """The name of the errno that an action fails with, or `success`."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "success"


def beginning_of(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return file.read(4096)


@dataclass
class Recordings:
    """An account of large recordings, each of which is for one test."""

    box: Box
    mount: Mount
    left: list[tuple[Path, dict[str, Any]]]
    """Where each is, and what is true of it."""

    def take(self) -> tuple[Path, dict[str, Any]]:
        self.box.clear_faults()
        self.box.reset()
        return self.left.pop()

    def is_right(self, path: Path, truth: dict[str, Any]) -> bool:
        return hashlib.sha256(path.read_bytes()).hexdigest() == str(truth["sha256"])


@contextmanager
def recordings(*lines: str, count: int = COUNT, size: int = SIZE, **options: Any) -> Iterator[Recordings]:
    with sandbox_process("zoom", media=0, **options) as box:
        for number in range(count):
            created = f"{LATELY}T10:{number:02}:00+00:00"
            box.add(created=created, conversation="a call", media_type="video", size=size + number)
        truth = {media["size"]: media for media in box.world(digest=True)}
        with mounted_vendor(box, lines=[SINCE, *lines]) as mount:
            left = [(mount.root / path, truth[s.st_size]) for path, s in mount.files("by-date").items()]
            assert len(left) == count
            yield Recordings(box, mount, left)


@pytest.fixture(scope="module")
def shared() -> Iterator[Recordings | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with recordings() as found:
        yield found


@pytest.fixture
def account(shared: Recordings | None) -> Recordings:
    assert shared is not None
    return shared


# --- replies that are none -------------------------------------------------------------------------------


HOSTILE: list[dict[str, Any]] = [
    {"kind": kind, "after_bytes": 33 << 20} if kind is Kind.HUGE_JSON else {"kind": kind}
    for kind in (
        *(Kind.HTML, Kind.JSON, Kind.BAD_JSON, Kind.DEEP_JSON, Kind.HUGE_JSON, Kind.EMPTY),
        *(Kind.REDIRECT_LOOP, Kind.REDIRECT, Kind.CUT, Kind.RESET),
    )
]
HOSTILE += [
    {"kind": "status", "status": status, "body": body}
    for status, body in (
        (200, '{"code": 200, "message": "No permission"}'),
        (200, '{"sessions": [{"session_id": "../..", "recording_files": [{"id": "../x"}]}]}'),
        (200, '{"sessions": null, "next_page_token": 7}'),
        (404, "<html>not here</html>"),
        (503, ""),
    )
]


@pytest.mark.parametrize("fault", HOSTILE, ids=lambda fault: fault.get("body", "")[:30] or fault["kind"])
def test_a_hostile_reply_is_an_explained_error(account: Recordings, fault: dict[str, Any]) -> None:
    # Of the trash nothing is known yet: it must not look empty.
    trash, box = account.mount.root / "trash", account.box
    box.clear_faults()
    box.fault(path=LIST, times=None, **fault)
    assert errno_of(partial(os.listdir, trash)) in ("EIO", "EACCES")
    assert os.getxattr(trash, "user.mediafs.error")
    assert box.leaks() == []


def test_the_hostile_replies_left_nothing_behind(account: Recordings) -> None:
    account.box.clear_faults()
    assert os.listdir(account.mount.root / "trash") == []
    assert len(account.mount.files("recent")) == COUNT
    assert "Traceback" not in account.mount.log


# --- bytes -----------------------------------------------------------------------------------------------


def test_the_token_goes_to_the_first_hop_only(account: Recordings) -> None:
    """The account's token goes to Zoom, and to no host that Zoom's answers lead to."""
    path, truth = account.take()
    box = account.box
    assert account.is_right(path, truth)
    (first,) = box.requests(path="/rec/download")
    assert (first["status"], first["query"]) == (302, ""), "one download, however it is read"
    (stored,) = box.requests(origin="storage")
    assert stored["status"] == 206
    assert "authorization" not in stored["headers"]
    assert box.leaks() == []
    assert "signature" not in account.mount.log


def test_a_sign_in_page_is_no_recording_and_the_others_go_on(account: Recordings) -> None:
    """and a download that it does not allow as a sign-in page: that is EACCES, changes nothing, and the
    other files go on.
    """
    (path, truth), (other, of_other) = account.take(), account.take()
    account.box.set(forbidden_downloads=[truth["id"]])
    assert errno_of(path.read_bytes) == "EACCES"
    assert [r["status"] for r in account.box.requests(path="/rec/download")] == [200, 200], "once more"
    assert account.is_right(other, of_other)
    account.box.set(forbidden_downloads=[])
    time.sleep(1.1)  # a refusal is given again for a second
    assert account.is_right(path, truth)


@pytest.mark.parametrize("how", ["a page of the storage", "an error of the API"])
def test_words_in_place_of_a_recording_are_an_error(account: Recordings, how: str) -> None:
    path, truth = account.take()
    if how == "an error of the API":
        body = '{"code": 3001, "message": "This recording does not exist."}'
        account.box.fault("json", path="/rec/download", body=body, times=2)
    else:
        account.box.fault("html", path="/stored", times=2)
    assert errno_of(partial(beginning_of, path)) in ("EIO", "EACCES")
    account.box.clear_faults()
    time.sleep(1.1)
    assert account.is_right(path, truth)


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_link_that_ran_out_is_resolved_again_in_the_middle_of_a_read(
    account: Recordings, status: int
) -> None:
    """A link that runs out in the middle of a read is asked for again, and the reader notices nothing."""
    path, truth = account.take()
    # The connection ends, and by then the link has expired.
    account.box.fault("cut", path="/stored", after_bytes=3 << 20)
    account.box.fault("status", path="/stored", status=status)
    assert account.is_right(path, truth)
    assert account.box.pending_faults() == 0
    assert len(account.box.requests(path="/rec/download")) >= 2
    assert account.box.leaks() == []


def test_links_are_short_lived_and_a_long_read_goes_on(account: Recordings) -> None:
    path, truth = account.take()
    account.box.set(redirect_ttl_s=0.5)
    whole = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for _ in range(3):
            whole.update(file.read(1 << 20))
            time.sleep(0.6)
        while part := file.read(1 << 20):
            whole.update(part)
    account.box.set(redirect_ttl_s=300.0)
    assert whole.hexdigest() == truth["sha256"]


@pytest.mark.parametrize("kind", ["short", "long", "wrong-range", "ignore-range", "change", "empty"])
def test_spoilt_bytes_are_right_or_an_error(account: Recordings, kind: str) -> None:
    path, truth = account.take()
    account.box.fault(kind, path="/stored", times=None, skip=1)
    with path.open("rb", buffering=0) as file:
        begin = file.read(4096)

        def rest() -> bytes:
            file.seek(5 << 20)
            file.read(1 << 20)
            file.seek(4096)
            return b"".join(iter(partial(file.read, 1 << 20), b""))

        outcome = errno_of(rest)
        assert outcome in ("success", "EIO", "ESTALE")
        if outcome == "success":
            assert hashlib.sha256(begin + rest()).hexdigest() == truth["sha256"]
    account.box.clear_faults()


# --- credentials, limits, and a service that is away -----------------------------------------------------


@pytest.fixture(scope="module")
def impatient_mount() -> Iterator[Recordings | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None
        return
    with recordings(*OLD, count=3, size=1000) as found:
        yield found


@pytest.fixture
def impatient(impatient_mount: Recordings | None) -> Recordings:
    """Its listings are old after a second."""
    assert impatient_mount is not None
    impatient_mount.box.clear_faults()
    impatient_mount.box.reset()
    time.sleep(OLD_AFTER_S)
    return impatient_mount


def test_a_token_that_is_refused_is_signed_anew_once(impatient: Recordings) -> None:
    impatient.box.expire_tokens()
    assert len(impatient.mount.files("recent")) == 3
    assert [r["status"] for r in impatient.box.requests(path=LIST)].count(401) == 1


def test_while_zoom_is_away_what_is_known_is_shown(impatient: Recordings) -> None:
    box, root = impatient.box, impatient.mount.root
    before = impatient.mount.files("by-date")
    first = root / next(iter(before))
    content = first.read_bytes()
    time.sleep(OLD_AFTER_S)
    box.fault("refuse", times=None)
    assert impatient.mount.files("by-date").keys() == before.keys()
    assert os.getxattr(first.parent, "user.mediafs.error")
    assert errno_of(partial(os.listdir, root / "trash")) == "EIO", "of that nothing is known"
    assert errno_of(first.unlink) == "EIO"
    assert first.read_bytes() == content
    box.clear_faults()
    wait_until(lambda: errno_of(partial(os.listdir, root / "trash")) == "success")


def test_a_429_is_waited_for_and_a_daily_limit_told_at_once(impatient: Recordings) -> None:
    box, root = impatient.box, impatient.mount.root
    box.fault("status", path=LIST, status=429, wait_s=1, wait_form="reset-unix")
    assert len(os.listdir(root / "recent")) == 3
    assert 429 in [request["status"] for request in box.requests()]
    box.fault("status", path=LIST, status=429, wait_s=40000, wait_form="retry-iso", times=None)
    time.sleep(OLD_AFTER_S)
    began = time.monotonic()
    assert len(os.listdir(root / "recent")) == 3, "what is known is shown"
    assert errno_of(partial(os.listdir, root / "by-conversation" / "abcdefghijklmn==")) == "ETIMEDOUT"
    assert time.monotonic() - began < 4, "at once"


def test_a_secret_that_is_wrong_is_told_once_and_for_all() -> None:
    with sandbox_process("zoom", media=3) as box:
        secret = box.credentials["api_secret"]
        box.credentials["api_secret"] = "not-the-secret-at-all-0123456789"
        with mounted_vendor(box, lines=[SINCE]) as mount:
            for _ in range(5):
                for view in ("recent", "by-date", "trash"):
                    mount.run("ls", view)
            assert errno_of(lambda: os.listdir(mount.root / "recent")) == "EACCES"
            assert {r["status"] for r in box.requests()} == {401}
            assert len(box.requests()) <= 4, "and it is not tried again and again"
            done = mount.mediafs("check")
            assert done.returncode == 4
            said = done.stdout + done.stderr + mount.log + mount.mediafs("status", str(mount.root)).stdout
            assert "api_secret" in said
            for word in (secret, "not-the-secret", "Bearer", "eyJ"):
                assert word not in said


def test_no_secret_is_seen_anywhere() -> None:
    with sandbox_process("zoom", media=0) as box:
        box.add(created=f"{LATELY}T10:00:00+00:00", conversation="c", media_type="video", size=100)
        with prepared_vendor(box, lines=[SINCE]) as mount:
            done = mount.mount("--verbose")
            assert done.returncode == 0, done.stderr
            assert mount.mediafs("check").returncode == 0
            (path,) = mount.files("by-date")
            (mount.root / path).read_bytes()
            (mount.root / path).unlink()
            said = [mount.log, done.stdout, done.stderr]
            for command in (("status", "--json", "--verbose"), ("check", "--verbose")):
                each = mount.mediafs(*command)
                said += [each.stdout, each.stderr]
            ps = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True)
            mine = [line for line in ps.stdout.splitlines() if str(mount.root) in line]
            assert mine
            kept = [p.read_bytes() for p in mount.cache.rglob("*") if p.is_file()]
            text = "\n".join([*said, *mine]) + b"".join(kept).decode("latin-1")
            assert "DEBUG" in text, "verbose is verbose"
            for secret in (*box.credentials.values(), "Bearer ", "eyJ", "signature=", "access_token"):
                assert secret not in text, secret
            assert box.leaks() == []


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert len(quotations(globals())) >= 3
    assert unfounded(globals()) == []
