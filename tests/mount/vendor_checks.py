"""What is looked at on the mount of any vendor's account."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from .mounting import Mount

COPIES: Final = {
    "cp -a": "cp -a FROM/. TO",
    "rsync -aX": "rsync -aX FROM/ TO",
    "tar": "tar --xattrs -C FROM -c . | tar --xattrs -C TO -x",
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def attribute(path: Path, name: str) -> str | None:
    """`user.mediafs.NAME`; None: ENODATA."""
    try:
        return os.getxattr(path, f"user.mediafs.{name}").decode()
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


def errno_of(action: Callable[..., object], *arguments: object) -> str:
    """The name of the errno that a call fails with, or `success`."""
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0].replace("ENOTSUP", "EOPNOTSUPP")  # one number, two names
    return "success"


def refused() -> str:
    """What a change of names is answered with where no name can ever go: the directory's mode says so to
    all but root."""
    return "EPERM" if os.geteuid() == 0 else "EACCES"


def by_id(mount: Mount, view: str) -> dict[str, Path]:
    """Media id -> path, of every file in a view; two paths for one id fail."""
    found: dict[str, Path] = {}
    for name in mount.files(view):
        media = attribute(mount.root / name, "id")
        assert media is not None, name
        assert media not in found, f"{media} is there twice: {found[media]} and {name}"
        found[media] = mount.root / name
    return found


def far_apart(files: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Some of these, given in order of their ids, that are neighbours neither in that order nor in that of
    their names: none is fetched ahead for who reads them one after the other."""
    by_name = sorted(path.name for _, path in files)
    chosen: list[tuple[int, int, tuple[str, Path]]] = []
    for at, file in enumerate(files):
        place = by_name.index(file[1].name)
        if not chosen or (at - chosen[-1][0] > 4 and abs(place - chosen[-1][1]) > 4):
            chosen.append((at, place, file))
    return [file for _, _, file in chosen]


def ids(mount: Mount, view: str) -> set[str]:
    """Of the media in a view, while some of them go."""
    found = set()
    for name in mount.files(view):
        with suppress(FileNotFoundError):
            found.add(attribute(mount.root / name, "id") or "")
    return found


def inodes(mount: Mount, view: str) -> dict[str, int]:
    return {name: stat.st_ino for name, stat in mount.files(view).items()}


def shell(mount: Mount, command: str, cwd: str | Path = ".") -> str:
    """What a shell's command prints; it must end with success and complain of nothing."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=mount.root / cwd,
        env={**mount.env, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


def copied(mount: Mount, folder: Path, target: Path, tool: str) -> dict[str, Path]:
    """Copies a folder of the mount with a tool of COPIES. Name -> copy of a file, of all that it holds; what
    belongs to a copy beside its bytes is compared here."""
    target.mkdir(parents=True)
    command = COPIES[tool].replace("FROM", shlex.quote(str(folder))).replace("TO", shlex.quote(str(target)))
    shell(mount, command)
    found = {}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        copy = found[path.name] = target / path.relative_to(folder)
        assert (copy.stat().st_size, copy.stat().st_mtime_ns) == (
            path.stat().st_size,
            path.stat().st_mtime_ns,
        )
        if keeps_attributes(target):
            kept = {name: os.getxattr(copy, name) for name in os.listxattr(copy)}
            assert kept == {name: os.getxattr(path, name) for name in os.listxattr(path)}
    subprocess.run(["chmod", "-R", "u+w", target], check=True, timeout=60)
    return found


def keeps_attributes(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.mediafs-test", b"x")
        os.removexattr(folder, "user.mediafs-test")
    except OSError:
        return False
    return True


def everything_said(mount: Mount) -> str:
    """All that a person, a log or `ps` gets to see of a mount."""
    said = [mount.log]
    for arguments in (
        ("status", str(mount.root)),
        ("status", "--json", "--verbose"),
        ("check", "--verbose"),
        ("refresh", "--verbose", str(mount.root / "recent")),
    ):
        done = mount.mediafs(*arguments)
        said += [done.stdout, done.stderr]
    said.append(subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True).stdout)
    return "\n".join(said)
