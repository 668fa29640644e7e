"""Whatever would write fails at once, with the errno that tools understand, and changes nothing.

As root and as an ordinary user: where the mode of a directory already forbids it, the latter hears
EACCES from the kernel, and the mount hears nothing.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, requests

ROOT: Final = os.geteuid() == 0
AT_ONCE_S: Final = 2.0
"""Far above what a refusal takes, far below any deadline."""

IN_FOLDER: Final = errno.EROFS if ROOT else errno.EACCES
"""Making a name: an ordinary user is stopped by the folder's mode, 0500."""
OF_NAME: Final = errno.EPERM if ROOT else errno.EACCES
"""Taking a name away, or moving it."""

ACL: Final = bytes.fromhex("02000000 01000600 ffffffff 04000000 ffffffff 20000000 ffffffff")
"""u::rw, g::-, o::-, as system.posix_acl_access holds it."""


@dataclass(frozen=True)
class Scene:
    mount: Mount
    box: Box
    file: Path
    folder: Path
    other: Path
    """A file and a folder of one view, and the same media in another."""
    before: dict[str, Any]

    @property
    def new(self) -> Path:
        return self.folder / "new"


def look(mount: Mount) -> dict[str, Any]:
    """All that a refused operation could have changed."""
    return {
        path: (tuple(stat), {n: os.getxattr(mount.root / path, n) for n in os.listxattr(mount.root / path)})
        for path, stat in mount.files(".").items()
    }


@pytest.fixture(scope="module")
def mounted_scene() -> Iterator[Scene | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with sandbox_process(media=12, last="2024-12-31") as box:
        media = box.add(
            filename="x.png", title="title", description="words", created="2025-06-01T10:00:00+00:00"
        )
        world = box.world(digest=True)
        with mounted(box.url) as mount:
            folder = mount.root / "by-date/2025/06/01"
            (file,) = folder.iterdir()
            other = mount.root / "recent" / file.name
            content = file.read_bytes()
            before = look(mount)
            box.reset()
            yield Scene(mount, box, file, folder, other, before)
            assert look(mount) == before
            assert file.read_bytes() == content
            assert box.world(digest=True) == world
            assert {r["method"] for r in requests(box)} <= {"GET"}
            assert media["id"]


@pytest.fixture
def scene(mounted_scene: Scene | None) -> Scene:
    assert mounted_scene is not None
    return mounted_scene


def refused(action: Callable[[], object]) -> str:
    """The errno of what must fail at once."""
    began = time.monotonic()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - which error it is, is the point
        action()
    assert time.monotonic() - began < AT_ONCE_S
    return errno.errorcode[caught.value.errno or 0]


def opened(path: Path, flags: int) -> None:
    os.close(os.open(path, flags, 0o600))


Act = Callable[[Scene], object]

OPENING: Final[dict[str, int]] = {
    "to write": os.O_WRONLY,
    "to read and write": os.O_RDWR,
    "to append": os.O_WRONLY | os.O_APPEND,
    "to read and cut": os.O_RDONLY | os.O_TRUNC,
    "to write and cut": os.O_WRONLY | os.O_TRUNC,
    "to write or make": os.O_WRONLY | os.O_CREAT,
    "to write past the cache": os.O_WRONLY | os.O_DIRECT,
}

REFUSED: Final[dict[str, tuple[Act, int]]] = {
    "create": (lambda s: opened(s.new, os.O_CREAT | os.O_EXCL | os.O_WRONLY), IN_FOLDER),
    "create to read": (lambda s: opened(s.new, os.O_CREAT | os.O_RDONLY), IN_FOLDER),
    "make a file without a name": (lambda s: opened(s.folder, os.O_TMPFILE | os.O_RDWR), -1),
    "mkdir": (lambda s: s.new.mkdir(), IN_FOLDER),
    "mkdir at the top": (lambda s: (s.mount.root / "new").mkdir(), IN_FOLDER),
    "mkdir of a day": (lambda s: (s.folder.parent / "32").mkdir(), IN_FOLDER),
    "mknod": (lambda s: os.mknod(s.new), IN_FOLDER),
    "mkfifo": (lambda s: os.mkfifo(s.new), IN_FOLDER),
    "symlink": (lambda s: s.new.symlink_to("x"), IN_FOLDER),
    "link": (lambda s: os.link(s.file, s.new), IN_FOLDER),
    "truncate": (lambda s: os.truncate(s.file, 0), errno.EROFS),
    "truncate to more": (lambda s: os.truncate(s.file, 1 << 30), errno.EROFS),
    "unlink": (lambda s: s.file.unlink(), OF_NAME),
    "unlink in recent": (lambda s: s.other.unlink(), OF_NAME),
    "rmdir of a day": (lambda s: s.folder.rmdir(), errno.ENOTEMPTY if ROOT else errno.EACCES),
    "rmdir of a view": (lambda s: (s.mount.root / "recent").rmdir(), errno.EBUSY if ROOT else errno.EACCES),
    "rename": (lambda s: s.file.rename(s.new), OF_NAME),
    "rename into another view": (lambda s: s.file.rename(s.other.with_name("new")), OF_NAME),
    "rename over another": (lambda s: s.file.rename(_another(s)), OF_NAME),
    "rename a folder": (lambda s: s.folder.rename(s.folder.with_name("02")), OF_NAME),
    "chmod": (lambda s: s.file.chmod(0o644), errno.EPERM),
    "chmod of a folder": (lambda s: s.folder.chmod(0o777), errno.EPERM),
    "chown": (lambda s: os.chown(s.file, os.geteuid() + 1, -1), errno.EPERM),
    "chgrp": (lambda s: os.chown(s.file, -1, os.getegid() + 1), errno.EPERM),
    "utimens": (lambda s: os.utime(s.file, (1, 1)), errno.EPERM),
    "touch": (lambda s: os.utime(s.file), errno.EPERM),
    "touch of a folder": (lambda s: os.utime(s.folder), errno.EPERM),
}


def _another(scene: Scene) -> Path:
    return next(path for path in scene.other.parent.iterdir() if path.name != scene.file.name)


@pytest.mark.parametrize("how", OPENING)
def test_opening_is_refused_unless_it_is_to_read(scene: Scene, how: str) -> None:
    assert refused(lambda: opened(scene.file, OPENING[how])) == "EROFS"
    opened(scene.file, os.O_RDONLY)


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_change_the_tree_is_refused(scene: Scene, what: str) -> None:
    action, code = REFUSED[what]
    found = refused(lambda: action(scene))
    if code < 0:
        # FUSE has no such operation in every kernel: either answer is one.
        assert found in ("EROFS", "EACCES", "EOPNOTSUPP", "ENOTSUP")
    else:
        assert found == errno.errorcode[code]
    assert not scene.new.exists()


@pytest.mark.parametrize("of", ["file", "folder"])
def test_changing_attributes_to_what_they_are_succeeds(scene: Scene, of: str) -> None:
    path = scene.file if of == "file" else scene.folder
    now = path.stat()
    path.chmod(stat.S_IMODE(now.st_mode))
    os.chown(path, now.st_uid, now.st_gid)
    os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns))


XATTRS: Final[dict[str, int]] = {
    **{f"user.mediafs.{name}": errno.EPERM for name in ("id", "owner", "created", "record", "nonsense")},
    "user.dublincore.creator": errno.EPERM,
    "user.mediafs.mime_type": errno.EOPNOTSUPP,
    "user.mime_type": errno.EOPNOTSUPP,
    "user.mediafs.public": errno.EOPNOTSUPP,
    "user.other": errno.EPERM,
    "user.baloo.rating": errno.EPERM,
}
"""What some service can change, and this one cannot, is not supported; the rest nobody can."""


@pytest.mark.parametrize("name", XATTRS)
def test_attributes_are_neither_set_nor_removed(scene: Scene, name: str) -> None:
    code = errno.errorcode[XATTRS[name]]
    assert refused(lambda: os.setxattr(scene.file, name, b"1")) == code
    assert refused(lambda: os.removexattr(scene.file, name)) == code
    code = "EPERM" if ROOT else "EACCES"  # the folder's mode
    assert refused(lambda: os.setxattr(scene.folder, "user.other", b"1")) == code


@pytest.mark.parametrize("name", ["security.x", "security.capability", "trusted.x"])
def test_name_spaces_that_are_not_ours_are_not_supported(scene: Scene, name: str) -> None:
    # Without privilege the kernel itself refuses to write there.
    assert refused(lambda: os.setxattr(scene.file, name, b"1")) in (
        ("ENOTSUP",) if ROOT and name != "security.capability" else ("ENOTSUP", "EPERM", "EINVAL")
    )
    assert refused(lambda: os.getxattr(scene.file, name)) in ("ENOTSUP", "ENODATA")


@pytest.mark.parametrize("name", ["system.posix_acl_access", "system.posix_acl_default"])
def test_acls_are_not_supported_so_that_cp_p_goes_on_without(scene: Scene, name: str) -> None:
    # EPERM would make `cp -a` and `cp -p` fail.
    path = scene.file if name.endswith("access") else scene.folder
    assert refused(lambda: os.setxattr(path, name, ACL)) == "ENOTSUP"
    assert refused(lambda: os.removexattr(path, name)) == "ENOTSUP"
    assert refused(lambda: os.getxattr(path, name)) == "ENOTSUP"


COMMANDS: Final[dict[str, str]] = {
    "cp into": "cp {here} {folder}/new",
    "cp over": "cp {here} {file}",
    "cp -r into": "cp -r {here_folder} {folder}/",
    "mv into": "mv {here} {folder}/",
    "mv out": "mv {file} {here_folder}/",
    "touch": "touch {file}",
    "touch of a new name": "touch {folder}/new",
    "rsync into": "rsync -a {here} {folder}/",
    "rsync --inplace into": "rsync -a --inplace {here} {file}",
    "rsync --delete into": "rsync -a --delete {here_folder}/ {folder}/",
    "append": "echo x >> {file}",
    "rm": "rm -f {file}",
    "rm -rf": "rm -rf {folder}",
    "rmdir": "rmdir {folder}",
    "ln -s": "ln -s x {folder}/new",
    "sed -i": "sed -i s/a/b/ {file}",
    "tee": "echo x | tee {file} > /dev/null",
    "dd": "dd if=/dev/zero of={file} count=1",
    "truncate": "truncate -s 0 {file}",
    "tar -x into": "tar -c -C {here_folder} . | tar -x -C {folder}",
    "chmod": "chmod 777 {file}",
    "setfattr": "setfattr -n user.mediafs.title -v x {folder}",
    "setfacl": "setfacl -m u:root:r {file}",
    "gio trash": "gio trash {file}",
    "find -delete": "find {folder} -type f -delete",
    "shred": "shred -n 1 {file}",
}
_SAY: Final = (
    "Read-only file system",
    "Operation not permitted",
    "Permission denied",
    "Operation not supported",
    "trash directory",
    "Directory not empty",
)


@pytest.mark.parametrize("what", COMMANDS)
def test_commands_that_write_fail_at_once_with_a_reason(scene: Scene, what: str, tmp_path: Path) -> None:
    command = COMMANDS[what]
    program = command.split("| ")[-1].split()[0]
    if program in ("gio", "setfacl") and not shutil.which(program):
        return  # not on every machine, and its system calls are tried above
    (tmp_path / "here").mkdir()
    here = tmp_path / "here" / "file"
    here.write_text("here")
    places = {"here": here, "here_folder": here.parent, "file": scene.file, "folder": scene.folder}
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.format(**{k: f"'{v}'" for k, v in places.items()})],
        env={**scene.mount.env, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert time.monotonic() - began < 5
    assert done.returncode != 0
    assert any(words in done.stderr for words in _SAY), done.stderr
    assert here.read_text() == "here", "what was to be moved is still there"
    assert os.listdir(scene.folder) == [scene.file.name], "and no leftover"


def test_with_delete_permanent_nothing_but_deleting_is_added() -> None:
    with sandbox_process(media=5) as box, mounted(box.url, lines=['delete = "permanent"']) as mount:
        file = next((mount.root / "recent").iterdir())
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert refused(partial(file.rename, file.with_name("new"))) == "EPERM"
        assert refused(lambda: file.with_name("new").touch()) == "EROFS"
        assert refused(lambda: os.truncate(file, 0)) == "EROFS"
        day = next((mount.root / "by-date").glob("*/*/*"))
        assert refused(day.rmdir) == "ENOTEMPTY"
        assert {r["method"] for r in requests(box)} == {"GET"}
