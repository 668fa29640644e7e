"""What is mounted, from the kernel's own list: nothing here ever touches a mount.

A `stat` of a mount point asks the program behind it, which may be dead or hung; the list does not.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..model import AccountName

MOUNTINFO: Final = Path("/proc/self/mountinfo")

SUBTYPE: Final = "mediafs"
FSTYPE: Final = f"fuse.{SUBTYPE}"
_SOURCE: Final = f"{SUBTYPE}:"

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")

_LINKS: Final = 40
"""Symbolic links followed before giving up, as the kernel does."""


def fsname(account: AccountName) -> str:
    """What stands as the source of an account's mount."""
    return _SOURCE + account


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of mountinfo."""

    mountpoint: str
    fstype: str
    source: str
    connection: int
    """Number of the FUSE connection, as fusectl names it: the minor of the mount's device."""

    @property
    def account(self) -> AccountName | None:
        """Whose mount of ours this is; None: not ours."""
        if self.fstype != FSTYPE or not self.source.startswith(_SOURCE):
            return None
        return AccountName(self.source.removeprefix(_SOURCE))


def _decoded(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field))


def parse(text: bytes) -> list[Mount]:
    """All mounts, in the order of mounting: of several at one place the last is the visible one.

    Lines that are not understood are left out.
    """
    found: list[Mount] = []
    for line in text.splitlines():
        # 36 35 98:0 /root /mountpoint options [optional fields...] - fstype source super-options
        left, separator, right = line.partition(b" - ")
        before, after = left.split(b" "), right.split(b" ")
        if not separator or len(before) < 6 or len(after) < 2:
            continue
        _, _, minor = before[2].partition(b":")
        if not minor.isdigit():
            continue
        found.append(
            Mount(
                mountpoint=_decoded(before[4]),
                fstype=_decoded(after[0]),
                source=_decoded(after[1]),
                connection=int(minor),
            )
        )
    return found


def all_mounts(mountinfo: Path = MOUNTINFO) -> list[Mount]:
    """Everything that is mounted for this process."""
    return parse(mountinfo.read_bytes())


def mounts(mountinfo: Path = MOUNTINFO) -> list[Mount]:
    """Our own mounts, alive or stale."""
    return [mount for mount in all_mounts(mountinfo) if mount.account is not None]


def mount_at(mountpoint: str, mountinfo: Path = MOUNTINFO) -> Mount | None:
    """The visible mount at exactly this resolved path, of whatever kind."""
    at = [mount for mount in all_mounts(mountinfo) if mount.mountpoint == mountpoint]
    return at[-1] if at else None


def resolved(path: str | os.PathLike[str], mountinfo: Path = MOUNTINFO) -> str:
    """`path` absolute and free of symbolic links, without touching a mount that it may end at.

    `os.path.realpath` asks the file system mounted there, which may never answer.
    """
    mounted = {mount.mountpoint for mount in all_mounts(mountinfo)}
    name = os.path.abspath(path)
    for _ in range(_LINKS):
        folder, last = os.path.split(name)
        name = os.path.join(os.path.realpath(folder), last)
        if name in mounted:
            return name
        try:
            name = os.path.normpath(os.path.join(os.path.dirname(name), os.readlink(name)))
        except OSError:
            return name
    return name
