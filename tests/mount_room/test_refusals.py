"""What cannot be done has the errno that tools understand, and nothing takes the mount down."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Mounted, Mounter, errno_of
from .fake_tree import WHEN_S

pytestmark = pytest.mark.mount


def _open(path: Path, flags: int) -> None:
    os.close(os.open(path, flags, 0o600))


WRITES: dict[str, tuple[Callable[[Path], object], int]] = {
    "create": (lambda at: _open(at / "new", os.O_CREAT | os.O_WRONLY), errno.EROFS),
    "mknod": (lambda at: os.mknod(at / "new"), errno.EROFS),
    "mkdir": (lambda at: (at / "new").mkdir(), errno.EROFS),
    "symlink": (lambda at: (at / "new").symlink_to("x"), errno.EROFS),
    "link": (lambda at: os.link(at / "hello.txt", at / "new"), errno.EROFS),
    "open for writing": (lambda at: _open(at / "hello.txt", os.O_WRONLY), errno.EROFS),
    "open for both": (lambda at: _open(at / "hello.txt", os.O_RDWR), errno.EROFS),
    "open to append": (lambda at: _open(at / "hello.txt", os.O_RDONLY | os.O_APPEND), errno.EROFS),
    "open to cut": (lambda at: _open(at / "hello.txt", os.O_RDONLY | os.O_TRUNC), errno.EROFS),
    "truncate": (lambda at: os.truncate(at / "hello.txt", 0), errno.EROFS),
    "unlink": (lambda at: (at / "hello.txt").unlink(), errno.EPERM),
    "rmdir": (lambda at: (at / "sub").rmdir(), errno.EPERM),
    "rename": (lambda at: (at / "hello.txt").rename(at / "new"), errno.EPERM),
    "chmod": (lambda at: (at / "hello.txt").chmod(0o644), errno.EPERM),
    "chown": (lambda at: os.chown(at / "hello.txt", 1234, -1), errno.EPERM),
    "utimens": (lambda at: os.utime(at / "hello.txt", (1, 1)), errno.EPERM),
    "touch": (lambda at: os.utime(at / "hello.txt"), errno.EPERM),
    "setxattr ours": (
        lambda at: os.setxattr(at / "hello.txt", "user.mediafs.title", b"x"),
        errno.EPERM,
    ),
    "setxattr other": (lambda at: os.setxattr(at / "hello.txt", "user.other", b"x"), errno.EROFS),
    "setxattr acl": (
        lambda at: os.setxattr(at / "hello.txt", "security.x", b"x"),
        errno.EOPNOTSUPP,
    ),
    "removexattr": (lambda at: os.removexattr(at / "hello.txt", "user.mediafs.title"), errno.EPERM),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_has_its_errno_and_changes_nothing(mounted: Mounted, write: str) -> None:
    action, code = WRITES[write]

    assert errno.errorcode.get(errno_of(lambda: action(mounted.place))) == errno.errorcode[code]
    assert (mounted.place / "hello.txt").read_text() == "hello, world\n"
    assert not (mounted.place / "new").exists()


@pytest.mark.parametrize(
    "write", ["create", "mkdir", "unlink", "rmdir", "rename", "chmod", "truncate", "open for writing"]
)
def test_a_read_only_mount_answers_read_only_to_every_write(mounter: Mounter, write: str) -> None:
    mounted = mounter(read_only=True)

    assert errno_of(lambda: WRITES[write][0](mounted.place)) == errno.EROFS


def test_changing_attributes_to_what_they_are_succeeds(mounted: Mounted) -> None:
    path = mounted.place / "hello.txt"

    path.chmod(0o600)
    os.chown(path, os.getuid(), os.getgid())
    os.utime(path, ns=(WHEN_S * 10**9, WHEN_S * 10**9))


def test_syncing_succeeds(mounted: Mounted) -> None:
    for name in ("hello.txt", "sub"):
        descriptor = os.open(mounted.place / name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("denied", errno.EACCES),
        ("group", errno.EACCES),
        ("late", errno.ETIMEDOUT),
        ("unreachable", errno.EIO),
        ("missing", errno.ENOENT),
    ],
)
def test_an_explained_failure_has_its_errno(mounted: Mounted, name: str, code: int) -> None:
    assert errno_of((mounted.place / name).stat) == code
    assert "Traceback" not in mounted.log


def test_a_listing_that_fails_is_an_error_and_not_an_empty_directory(mounted: Mounted) -> None:
    assert errno_of(lambda: os.listdir(mounted.place / "broken")) == errno.EIO


def test_a_bug_is_an_error_with_a_traceback_and_the_mount_lives_on(mounted: Mounted) -> None:
    assert errno_of((mounted.place / "bug").stat) == errno.EIO
    assert errno_of((mounted.place / "known bug").stat) == errno.EIO
    assert errno_of((mounted.place / "bug.bin").read_bytes) == errno.EIO

    assert (mounted.place / "hello.txt").read_text() == "hello, world\n"
    assert "KeyError: 'a bug in lookup'" in mounted.log
    assert "Traceback" in mounted.log


def test_a_lookup_that_does_not_end_is_timed_out_at_its_deadline(mounter: Mounter) -> None:
    mounted = mounter(deadlines={"quick_s": 0.3})
    began = time.monotonic()

    assert errno_of((mounted.place / "slow").stat) == errno.ETIMEDOUT
    assert time.monotonic() - began >= 0.3
    assert (mounted.place / "hello.txt").exists()


def test_a_read_that_does_not_end_is_timed_out_at_its_deadline(mounter: Mounter) -> None:
    mounted = mounter(deadlines={"read_s": 0.3})

    assert errno_of((mounted.place / "stall.bin").read_bytes) == errno.ETIMEDOUT
