"""What ordinary programs see, on a real mount."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from .conftest import NOBODY, Mounted, Mounter, errno_of
from .fake_tree import MANY, WHEN_S, pattern

pytestmark = pytest.mark.mount


def test_a_file_is_its_owners_own_and_has_whole_second_times(mounted: Mounted) -> None:
    found = (mounted.place / "big.bin").stat()

    assert stat.filemode(found.st_mode) == "-rw-------"
    assert (found.st_size, found.st_blocks, found.st_blksize, found.st_nlink) == (3 << 20, 6144, 4096, 2)
    assert {found.st_mtime_ns, found.st_ctime_ns, found.st_atime_ns} == {WHEN_S * 10**9}
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())


def test_a_directory_counts_one_link_and_asks_for_large_buffers(mounted: Mounted) -> None:
    found = (mounted.place / "sub").stat()

    assert stat.filemode(found.st_mode) == "drwx------"
    assert (found.st_nlink, found.st_blksize) == (1, 1 << 20)
    assert stat.filemode((mounted.place / "locked").stat().st_mode) == "dr-x------"
    assert stat.filemode((mounted.place / "link").lstat().st_mode) == "lrwxrwxrwx"


def test_copies_are_the_bytes(mounted: Mounted, tmp_path: Path) -> None:
    copied = mounted.run("cp", "-r", "big.bin", "hello.txt", "empty.bin", "sub", "link", str(tmp_path))

    assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "big.bin").read_bytes() == pattern(3 << 20)
    assert (tmp_path / "hello.txt").read_text() == "hello, world\n"
    assert (tmp_path / "empty.bin").read_bytes() == b""
    assert (tmp_path / "sub" / "na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve (1).txt").read_text() == "x"
    assert os.readlink(tmp_path / "link") == "hello.txt"


def test_cat_follows_a_symlink(mounted: Mounted) -> None:
    assert mounted.run("cat", "link").stdout == "hello, world\n"


def test_a_second_read_is_the_kernels_own(mounted: Mounted) -> None:
    mounted.run("sh", "-c", "cat big.bin >/dev/null")
    before = mounted.counts()["read"]

    assert len((mounted.place / "big.bin").read_bytes()) == 3 << 20
    assert mounted.counts()["read"] == before


def test_ls_shows_dot_and_dot_dot_and_every_name(mounted: Mounted) -> None:
    names = mounted.run("ls", "-a", "sub").stdout.splitlines()

    assert names == [".", "..", "inner.txt", "na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve (1).txt"]


def test_find_and_du_walk_all_of_it(mounted: Mounted) -> None:
    found = mounted.run("find", "many", "-type", "f")
    used = mounted.run("du", "-s", "--apparent-size", "-B1", "many")

    assert len(found.stdout.splitlines()) == MANY
    assert int(used.stdout.split()[0]) == 3 * MANY


def test_a_listing_of_many_needs_few_questions_and_no_lookup(mounted: Mounted) -> None:
    mounted.run("ls", "-l", "many")
    counts = mounted.counts()

    assert counts["opendir"] == 1
    assert counts["readdir"] <= 3
    assert [name for name in counts if name.startswith("lookup media-")] == []


def test_a_directory_read_again_from_the_start_is_a_new_snapshot(mounted: Mounted) -> None:
    descriptor = os.open(mounted.place / "sub", os.O_RDONLY | os.O_DIRECTORY)
    try:
        first = set(os.listdir(descriptor))
        mounted.ask("counts")
        assert set(os.listdir(descriptor)) == first
    finally:
        os.close(descriptor)

    assert mounted.counts()["rewind"] == 1


def test_a_name_known_to_be_absent_is_asked_once(mounted: Mounted) -> None:
    for _ in range(5):
        assert not (mounted.place / "never.xmp").exists()

    assert mounted.counts()["lookup never.xmp"] == 1


def test_an_absence_that_may_end_is_asked_again(mounted: Mounted) -> None:
    for _ in range(3):
        assert not (mounted.place / "perhaps").exists()

    assert mounted.counts()["lookup perhaps"] == 3


def test_getfattr_shows_the_attributes_of_the_tree(mounted: Mounted) -> None:
    path = mounted.place / "hello.txt"

    assert os.listxattr(path) == ["user.mediafs.id", "user.mediafs.title"]
    assert os.getxattr(path, "user.mediafs.title").decode() == "Überblick"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("user.unknown", errno.ENODATA),
        ("security.selinux", errno.EOPNOTSUPP),
        ("system.posix_acl_access", errno.EOPNOTSUPP),
        ("trusted.x", errno.EOPNOTSUPP),
        ("user.bug", errno.EIO),
    ],
)
def test_an_attribute_that_is_not_there_has_its_errno(mounted: Mounted, name: str, code: int) -> None:
    assert errno_of(lambda: os.getxattr(mounted.place / "hello.txt", name)) == code


def test_df_is_answered_with_room_left(mounted: Mounted) -> None:
    space = os.statvfs(mounted.place)

    assert space.f_namemax == 255
    assert space.f_bavail >= 1
    assert (space.f_blocks - space.f_bfree) * space.f_frsize >= 10_000_000
    assert mounted.run("df", ".").returncode == 0


def test_content_that_comes_in_small_pieces_is_whole(mounted: Mounted) -> None:
    assert (mounted.place / "dribble.bin").read_bytes() == pattern(10_000)


def test_content_that_ends_early_is_an_error_and_never_the_end(mounted: Mounted) -> None:
    assert errno_of(lambda: (mounted.place / "short.bin").read_bytes()) == errno.EIO


def test_changed_content_is_stale(mounted: Mounted) -> None:
    assert errno_of(lambda: (mounted.place / "changed.bin").read_bytes()) == errno.ESTALE


def _as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    """Root passes every permission check; only an ordinary user meets them."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    return subprocess.run(
        command,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_others_are_not_let_in_unless_it_is_allowed(mounted: Mounted) -> None:
    assert "Permission denied" in _as_nobody("cat", f"{mounted.place}/hello.txt").stderr


def test_with_allow_other_the_kernel_judges_by_owner_and_mode(mounter: Mounter) -> None:
    private = mounter(allow_other=True)
    given = mounter(allow_other=True, uid=NOBODY, gid=NOBODY)
    shared = mounter(allow_other=True, umask=0o022)

    assert "Permission denied" in _as_nobody("cat", f"{private.place}/hello.txt").stderr
    assert _as_nobody("cat", f"{given.place}/hello.txt").stdout == "hello, world\n"
    assert _as_nobody("cat", f"{shared.place}/hello.txt").stdout == "hello, world\n"
    assert stat.filemode((shared.place / "hello.txt").stat().st_mode) == "-rw-r--r--"
    # Where no name can ever go, the kernel says so itself, and file managers offer no Delete.
    assert "Permission denied" in _as_nobody("rm", "-f", f"{given.place}/locked/kept.txt").stderr
    assert "not permitted" in _as_nobody("rm", "-f", f"{given.place}/hello.txt").stderr
