"""Whether this machine and this mount point can be mounted on, said before libfuse has to.

libfuse prints its reasons to stderr, where nobody who waits for an exit code reads them.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from .errors import FuseUnavailable
from .mountinfo import MOUNTINFO, mount_at

DEVICE: Final = Path("/dev/fuse")
CONFIGURATION: Final = Path("/etc/fuse.conf")


def check_fuse(
    *,
    allow_other: bool = False,
    device: Path = DEVICE,
    configuration: Path = CONFIGURATION,
    path: str | None = None,
    root: bool | None = None,
) -> None:
    """Raises FuseUnavailable where this user cannot mount, with what to do about it.

    `path` is where programs are looked for (default: PATH); `root` whether we are (default: as is).
    """
    am_root = os.geteuid() == 0 if root is None else root
    if not device.exists():
        raise FuseUnavailable(
            f"{device} does not exist: load the kernel module (modprobe fuse), or give it to the container"
        )
    if am_root:
        return
    if not os.access(device, os.R_OK | os.W_OK):
        # libfuse opens it itself and does not fall back on fusermount3 when that is refused.
        raise FuseUnavailable(f"{device} is not open to you: as root, chmod 0666 {device}")
    if shutil.which("fusermount3", path=path) is None:
        raise FuseUnavailable("fusermount3 is not installed: apt-get install fuse3")
    if allow_other and not _others_allowed(configuration):
        raise FuseUnavailable(f"allow_other needs the line user_allow_other in {configuration}")


def _others_allowed(configuration: Path) -> bool:
    try:
        lines = configuration.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)


def check_mountpoint(mountpoint: str, *, mountinfo: Path = MOUNTINFO, root: bool | None = None) -> None:
    """Raises FuseUnavailable where nothing can be mounted at this resolved path.

    Asks the kernel's list first: `stat` of somebody's hung mount would not return.
    """
    am_root = os.geteuid() == 0 if root is None else root
    there = mount_at(mountpoint, mountinfo)
    if there is not None:
        whose = f"{there.fstype} of {there.source}"
        raise FuseUnavailable(f"{mountpoint} is already mounted ({whose}): unmount it first")
    try:
        found = os.stat(mountpoint)
        names = os.listdir(mountpoint) if stat.S_ISDIR(found.st_mode) else []
    except FileNotFoundError:
        raise FuseUnavailable(f"{mountpoint} does not exist: make the folder first") from None
    except OSError as error:
        raise FuseUnavailable(f"{mountpoint}: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise FuseUnavailable(f"{mountpoint} is not a folder")
    if names:
        raise FuseUnavailable(f"{mountpoint} is not empty: the mount would hide what is in it")
    if am_root:
        return
    if not os.access(mountpoint, os.W_OK):
        raise FuseUnavailable(f"{mountpoint} is not writable for you: mount on a folder of your own")
    if found.st_mode & stat.S_ISVTX and found.st_uid != os.getuid():
        raise FuseUnavailable(f"{mountpoint} is not yours: mount on a folder of your own")
