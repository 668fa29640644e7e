"""The tools that people use on a drive end with success, with the right bytes, whatever the names are."""

from __future__ import annotations

import hashlib
import mmap
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, requests

DAY: Final = "by-date/2025/12/31"
"""Where all media with hostile names are."""

LONG_TEXTS: Final = {
    2: "ü" * 900,
    3: "漢" * 900,
    4: "🔥" * 900,
}
"""Bytes a character -> a title and description."""

COPIES: Final = {
    "cp -a": "cp -a . DEST",
    "cp -r": "cp -r . DEST",
    "rsync -a": "rsync -a ./ DEST",
    "rsync -aX": "rsync -aX ./ DEST",
    "rsync -aHAX": "rsync -aHAX ./ DEST",
    "tar": "tar --xattrs -c . | tar --xattrs -x -C DEST",
}
WITH_ATTRIBUTES: Final = {"cp -a", "rsync -aX", "rsync -aHAX", "tar"}


@dataclass(frozen=True)
class Account:
    mount: Mount
    box: Box
    world: dict[str, dict[str, Any]]
    """The completed media with their hashes, by id."""

    def of(self, path: Path) -> dict[str, Any]:
        """The truth about a file of the mount."""
        return self.world[os.getxattr(path, "user.mediafs.id").decode()]

    def run(self, command: str, cwd: str | Path = ".") -> str:
        """What a shell's command prints; it must end with success and complain of nothing."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.mount.root / cwd,
            env={**self.mount.env, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        return done.stdout

    def files(self, under: str = "by-date") -> list[Path]:
        return [self.mount.root / path for path in self.mount.files(under)]


@pytest.fixture(scope="module")
def mounted_account() -> Iterator[Account | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with sandbox_process(media=25, hostile=True) as box:
        for width, text in LONG_TEXTS.items():
            created = f"2025-06-01T10:00:{width:02}+00:00"
            box.add(filename=f"long-{width}.png", title=text, description=text, created=created)
        world = {str(m["id"]): m for m in box.world(digest=True) if m["completed"]}
        with mounted(box.url, lines=['conversations = ["5999"]']) as mount:
            mount.files(".")  # or a copy would learn of the conversation while it is under way
            yield Account(mount, box, world)


@pytest.fixture
def account(mounted_account: Account | None) -> Account:
    assert mounted_account is not None
    return mounted_account


# --- looking -------------------------------------------------------------------------------------------


def test_ls_shows_every_name_once(account: Account) -> None:
    names = sorted(path.name for path in account.files())
    assert len(names) == len(set(names)) == len(account.world)
    listed = account.run("ls -R --quoting-style=literal by-date").splitlines()
    assert sorted(line for line in listed if line in set(names)) == names
    there = account.run("ls -la --quoting-style=literal", DAY).splitlines()
    here = sorted(path.name for path in account.files(DAY))
    assert sorted(line for line in here if any(row.endswith(" " + line) for row in there)) == here
    assert len(there) == len(here) + 3, "the total, . and .."
    assert account.run("ls -laR .")


def test_find_finds_by_name_and_by_date(account: Account) -> None:
    found = account.run("find by-date -name 'snapshot~*' -print0").split("\0")[:-1]
    assert len(found) == 5
    newer = account.run("find by-date -type f -newermt 2025-12-31T05:00:00Z -print0").split("\0")[:-1]
    after = datetime(2025, 12, 31, 5, tzinfo=UTC)
    wanted = [m for m in account.world.values() if datetime.fromisoformat(m["created"]) > after]
    assert len(newer) == len(wanted) >= 10
    assert account.run("find . -links +1 -type f -print0").count("\0") >= len(account.world)


def test_du_and_df_add_up(account: Account) -> None:
    sizes = [int(m["filesize"]) for m in account.world.values()]
    # All views together: a media with several names counts once.
    assert int(account.run("du -s --apparent-size --block-size=1 .").split()[0]) == sum(sizes)
    blocks = sum(-(-size // 512) for size in sizes)
    assert int(account.run("du -s .").split()[0]) == -(-blocks // 2)
    source, kind, used = account.run("df --output=source,fstype,used .").splitlines()[1].split()
    assert (source, kind) == ("mediafs:clinic", "fuse.mediafs")
    assert int(used) == -(-sum(sizes) // 4096) * 4


def test_stat_and_getfattr_take_every_name(account: Account) -> None:
    for path in account.files(DAY):
        name = shlex.quote(f"./{path.name}")
        inode, size = account.run(f"stat -c '%i %s' {name}", DAY).split()
        assert (int(inode), int(size)) == (path.stat().st_ino, account.of(path)["size"])
    dumped = account.run("getfattr -d -R .", DAY)
    assert dumped.count("user.mediafs.id=") == len(account.files(DAY))
    (long,) = (account.mount.root / "by-date/2025/06/01").glob("long-4*")
    shown = account.run(
        f"getfattr --absolute-names --only-values -n user.mediafs.title {shlex.quote(str(long))}"
    )
    assert shown == LONG_TEXTS[4]


def test_pwd_in_a_linked_user_directory_is_where_it_leads(account: Account) -> None:
    assert account.run("pwd -P", "by-user/1000").strip() == str(
        account.mount.root / "by-user/John Doe (1000)"
    )
    assert account.run("cd by-user/1000 && cd .. && pwd -P").strip() == str(account.mount.root / "by-user")


def test_scandir_knows_kinds_and_inodes(account: Account) -> None:
    with os.scandir(account.mount.root / DAY) as entries:
        for entry in entries:
            assert entry.is_file(follow_symlinks=False)
            assert not entry.is_dir()
            stat = os.lstat(entry.path)
            assert (entry.inode(), entry.stat().st_size) == (stat.st_ino, stat.st_size)
    assert {entry.name for entry in os.scandir(account.mount.root) if entry.is_dir()} == {
        "by-date",
        "by-conversation",
        "by-user",
        "recent",
    }


def test_times_of_folders_stand_still_while_nothing_changes(account: Account) -> None:
    # Else `tar` says "file changed as we read it", and exits 1.
    show = "find . -maxdepth 4 -type d -print0 | xargs -0 stat --cached=never -c '%n %Y %Z'"
    before = account.run(show)
    time.sleep(1.1)
    assert account.run(show) == before


# --- reading -------------------------------------------------------------------------------------------


def test_sha256sum_of_everything_is_right(account: Account) -> None:
    printed = account.run("find by-date -type f -print0 | xargs -0 sha256sum -z").split("\0")[:-1]
    assert len(printed) == len(account.world)
    for line in printed:
        digest, path = line[:64], line[66:]
        assert digest == account.of(account.mount.root / path)["sha256"], path


def test_grep_finds_what_is_in_a_file(account: Account) -> None:
    (found,) = account.run("grep -rlF 'mediafs sandbox seed 1 media 7 ' by-date").splitlines()
    assert os.getxattr(account.mount.root / found, "user.mediafs.id") == b"7"


@pytest.mark.parametrize("kind", ["image", "video", "audio"])
def test_file_and_ffprobe_know_each_kind(account: Account, kind: str) -> None:
    said = {"image": "PNG image", "video": "ISO Media", "audio": "WAVE audio"}
    stream = {"image": "video", "video": "video", "audio": "audio"}
    paths = [path for path in account.files() if account.of(path)["media_type"] == kind]
    assert paths
    for path in paths[:4]:
        name = shlex.quote(str(path))
        assert said[kind] in account.run(f"file -b {name}")
        probe = f"ffprobe -v error -show_entries stream=codec_type -of default=nw=1:nk=1 {name}"
        assert account.run(probe).split()[0] == stream[kind]


def test_dd_tail_and_mmap_read_the_same(account: Account) -> None:
    path = max(account.files(), key=lambda path: path.stat().st_size)
    name, size = shlex.quote(str(path)), path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        truth = bytes(mapped)
        assert mapped[size // 2 : size // 2 + 100] == truth[size // 2 : size // 2 + 100]
    assert hashlib.sha256(truth).hexdigest() == account.of(path)["sha256"]
    for block in (777, 4095, 65_537, 1_000_003):
        done = subprocess.run(
            ["dd", "status=none", f"bs={block}", f"if={path}"], capture_output=True, check=True, timeout=60
        )
        assert done.stdout == truth
    part = account.run(f"dd status=none bs=333 skip=1001 count=7 if={name} | sha256sum")
    assert part[:64] == hashlib.sha256(truth[333 * 1001 :][: 333 * 7]).hexdigest()
    for length in (1, 4097, size):
        tail = account.run(f"tail -c {length} {name} | sha256sum")
        assert tail[:64] == hashlib.sha256(truth[-length:]).hexdigest()


# --- copying -------------------------------------------------------------------------------------------


def keeps_attributes(folder: Path) -> bool:
    """Whether the file system of a folder keeps attributes as ext4 does, with ext4's limits or wider ones."""
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.x", b"x" * 3000)
    except OSError:
        return False
    finally:
        probe.unlink()
    return True


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a disk as people have them: ext4 where that can be had, else one that keeps attributes."""
    folder = tmp_path_factory.mktemp("disk")
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True)
    if kind.stdout.strip() == "ext2/ext3" and keeps_attributes(folder):
        yield folder
    elif os.geteuid() == 0 and os.path.exists("/dev/loop-control"):
        image, at = folder / "image", folder / "at"
        at.mkdir()
        with image.open("wb") as file:
            file.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-b", "4096", image], check=True, timeout=60)
        subprocess.run(["mount", "-o", "loop", image, at], check=True, timeout=60)
        try:
            yield at
        finally:
            subprocess.run(["umount", at], check=True, timeout=60)
            image.unlink()
    elif keeps_attributes(folder):
        yield folder
    else:
        pytest.skip(f"{folder} keeps no attributes, and without root there is no loop device for an ext4")


@pytest.fixture
def target(disk: Path) -> Iterator[Path]:
    """An empty folder on that disk."""
    folder = disk / "copy"
    folder.mkdir()
    yield folder
    # Copies of directories are 0500, as the mount's are.
    subprocess.run(["chmod", "-R", "u+w", folder], check=True, timeout=60)
    subprocess.run(["rm", "-r", folder], check=True, timeout=60)


@pytest.mark.parametrize("tool", COPIES)
def test_a_copy_of_everything_is_equal(account: Account, target: Path, tool: str) -> None:
    account.run(COPIES[tool].replace("DEST", shlex.quote(str(target))))
    account.run(f"diff -r --no-dereference . {shlex.quote(str(target))}")
    for path in account.files():
        copy = target / path.relative_to(account.mount.root)
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == account.of(path)["sha256"]
        if tool != "cp -r":
            assert copy.stat().st_mtime_ns == path.stat().st_mtime_ns
        if tool in WITH_ATTRIBUTES:
            copied = {name: os.getxattr(copy, name) for name in os.listxattr(copy)}
            assert copied == {name: os.getxattr(path, name) for name in os.listxattr(path)}
            assert copied["user.mediafs.id"].decode() in account.world


def test_a_copy_keeps_the_names_of_one_media_together(account: Account, target: Path) -> None:
    account.run(f"cp -a . {shlex.quote(str(target))}")
    copied = int(account.run(f"du -s --apparent-size --block-size=1 {shlex.quote(str(target))}").split()[0])
    folders = sum(path.stat().st_size for path in [target, *target.rglob("*")] if path.is_dir())
    assert copied - folders == sum(int(m["filesize"]) for m in account.world.values())


def test_a_second_rsync_finds_nothing_to_do(account: Account, target: Path) -> None:
    command = f"rsync -aX --itemize-changes by-date/ {shlex.quote(str(target))}"
    assert account.run(command).count("\n") > len(account.world)
    account.box.reset()
    assert account.run(command) == ""
    assert requests(account.box, "download") == []


@pytest.mark.parametrize("width", LONG_TEXTS)
@pytest.mark.parametrize("tool", ["cp -a", "rsync -aX", "tar"])
def test_attributes_that_are_long_do_not_stop_a_copy(
    account: Account, target: Path, tool: str, width: int
) -> None:
    (path,) = (account.mount.root / "by-date/2025/06/01").glob(f"long-{width}*")
    text = LONG_TEXTS[width].encode()
    assert os.getxattr(path, "user.mediafs.title") == text
    assert os.getxattr(path, "user.mediafs.description") == text
    name, to = shlex.quote(path.name), shlex.quote(str(target))
    pipe = f"tar --xattrs -c {name} | tar --xattrs -x -C {to}"
    account.run(pipe if tool == "tar" else f"{tool} {name} {to}", "by-date/2025/06/01")
    copy = target / path.name
    assert set(os.listxattr(copy)) == set(os.listxattr(path))
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == account.of(path)["sha256"]


def test_python_copies_with_metadata(account: Account, target: Path) -> None:
    # shutil.copytree, which many scripts use, calls copystat: times, mode, attributes.
    script = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-c", script, str(account.mount.root / DAY), str(target / "copy")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((target / "copy").iterdir())) == len(account.files(DAY))
