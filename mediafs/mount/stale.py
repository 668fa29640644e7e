"""Mounts that outlive their program, and taking mounts away.

A mount whose program died answers ENOTCONN to everything until somebody unmounts it. Only such a
mount, and only one of ours, is ever cleaned unasked.

These functions block; the program that serves a mount never calls them about that mount.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ..model import AccountName
from .errors import UnmountFailed
from .mountinfo import MOUNTINFO, Mount, all_mounts, mount_at, resolved

log = logging.getLogger(__name__)

_PROBE_S: Final = 2.0
"""A dead mount answers at once; one that takes longer has a program behind it."""

_COMMAND_S: Final = 10.0
_POLL_S: Final = 0.05

_STACKED: Final = 16
"""Stale mounts at one place cleaned in one go: each `kill -9` and remount may have left one."""


def is_dead(mount: Mount, *, timeout_s: float = _PROBE_S) -> bool:
    """Whether the program behind a mount is gone; a mount that does not answer in time is not.

    Asks with statvfs: `stat` may be answered from the kernel's memory long after the program died.
    """
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask() -> None:
        try:
            os.statvfs(mount.mountpoint)
        except OSError as error:
            answers.put(error.errno == errno.ENOTCONN)
        else:
            answers.put(False)

    # A daemon thread: it cannot be interrupted where it waits for a program that hangs.
    threading.Thread(target=ask, name="mediafs-probe", daemon=True).start()
    try:
        return answers.get(timeout=timeout_s)
    except queue.Empty:
        return False


def clean_stale(
    mountpoint: str | os.PathLike[str], account: AccountName | None = None, *, mountinfo: Path = MOUNTINFO
) -> int:
    """Takes away stale mounts of ours at `mountpoint`; returns how many there were.

    `account` None: of any account. A live mount, or one that is not ours, is left alone.
    Raises UnmountFailed where a stale one cannot be taken away.
    """
    place = resolved(mountpoint, mountinfo)
    for cleaned in range(_STACKED):
        mount = mount_at(place, mountinfo)
        if mount is None or mount.account is None or (account is not None and mount.account != account):
            return cleaned
        if not is_dead(mount):
            return cleaned
        before = _count(place, mountinfo)
        said = _unmount_command(place, lazy=True)
        if _count(place, mountinfo) >= before:
            raise UnmountFailed(f"the stale mount at {place} could not be taken away: {said}")
        log.info("took away a stale mount of %s at %s", mount.account, place)
    return _STACKED


def unmount(
    mountpoint: str | os.PathLike[str],
    timeout_s: float = 20.0,
    *,
    lazy: bool = False,
    mountinfo: Path = MOUNTINFO,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Takes our mount at `mountpoint` away and returns when it is gone.

    Raises UnmountFailed: nothing is mounted there, it is not ours, or it is in use (nothing changed).
    `lazy` detaches a mount that is in use: it goes when its last user does.
    """
    place = resolved(mountpoint, mountinfo)
    mount = mount_at(place, mountinfo)
    if mount is None:
        raise UnmountFailed(f"nothing is mounted at {place}")
    if mount.account is None:
        raise UnmountFailed(f"the mount at {place} is not ours: {mount.fstype} of {mount.source}")
    before = _count(place, mountinfo)
    said = _unmount_command(place, lazy=lazy or is_dead(mount))
    if "busy" in said.lower():
        raise UnmountFailed(
            f"{place} is in use: close what has files or folders of it open, shells in it too"
        )
    until = clock() + timeout_s
    while _count(place, mountinfo) >= before:
        if said:
            raise UnmountFailed(f"{place} could not be unmounted: {said}")
        if clock() >= until:
            raise UnmountFailed(f"{place} is still mounted after {timeout_s:g} s")
        sleep(_POLL_S)


def detach(mountpoint: str, account: AccountName) -> bool:
    """Takes away what this process left at this resolved path, after it closed; True: nothing is left.

    Only a dead mount: another process may have mounted there since.
    """
    try:
        clean_stale(mountpoint, account)
    except UnmountFailed as error:
        log.info("%s", error)
        return False
    return True


def _count(mountpoint: str, mountinfo: Path) -> int:
    return sum(mount.mountpoint == mountpoint for mount in all_mounts(mountinfo))


def _unmount_command(mountpoint: str, *, lazy: bool) -> str:
    """Runs the system's unmount; returns what it had to say, empty when it succeeded."""
    environment: Mapping[str, str] = {**os.environ, "LC_ALL": "C"}  # "busy" is looked for in its words
    if fusermount := shutil.which("fusermount3"):
        command = [fusermount, "-uz" if lazy else "-u", mountpoint]
    elif umount := shutil.which("umount"):
        command = [umount, "-i", *(["-l"] if lazy else []), mountpoint]
    else:
        return "neither fusermount3 nor umount is installed"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=_COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{os.path.basename(command[0])} did not end within {_COMMAND_S:g} s"
    text = done.stdout.decode(errors="replace").strip()
    return (
        "" if done.returncode == 0 else text or f"{os.path.basename(command[0])} ended with {done.returncode}"
    )
