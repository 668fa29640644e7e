"""One daemon for an account and a cache folder: a lock file that the kernel lets go of.

The lock is `flock`, so it ends with the process that holds it, however that ends; what stands in the
file is only for the message to whoever comes second.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import MediafsError
from .model import AccountName

# The holder takes the lock first and writes its name a moment later: that long a reader waits for it.
_READ_ATTEMPTS: Final = 10
_READ_PAUSE_S: Final = 0.02
# So many times that long a holder is waited for that writes none: see `idle`.
_PATIENCE: Final = 10
# What a daemon may take to end once its mount is gone: it writes what was fetched to its disk cache.
_ENDING_S: Final = 10.0


class AlreadyMounted(MediafsError):
    """Another process serves this account from this cache folder.

    `pid` and `mountpoint` are what it wrote; None where it wrote nothing (yet).
    """

    def __init__(self, pid: int | None, mountpoint: Path | None) -> None:
        self.pid = pid
        self.mountpoint = mountpoint
        where = f" at {mountpoint}" if mountpoint else ""
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"already in use{where} by {who}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock, as it wrote itself."""

    pid: int
    mountpoint: Path | None
    """None: it works on the account without a mount."""


@contextmanager
def lock(
    account: AccountName,
    cache_dir: Path,
    mountpoint: Path | None,
    *,
    serves: Callable[[Path], bool] = lambda mountpoint: True,
) -> Iterator[Path]:
    """Holds the account in this cache folder; yields the lock file's path.

    Take it in the process that serves: its id is what others are told. `cache_dir` must exist. Waits for an
    `idle`, and for one of which `serves` says that its mount is gone: it is about to end.
    Raises AlreadyMounted when another process holds it, MediafsError when there can be no lock here.
    """
    path = cache_dir / f"{account}.lock"
    handle = _open(path)
    try:
        _take_from_ending(handle, path, serves)
        _write(handle, mountpoint)
        try:
            yield path
        finally:
            # Emptied, never removed: whoever opened the file meanwhile would lock a file without a name.
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(account: AccountName, cache_dir: Path) -> Holder | None:
    """Who holds the account in this cache folder; None: no one, or it cannot be told."""
    try:
        handle = os.open(cache_dir / f"{account}.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(handle)
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(handle)


@contextmanager
def idle(account: AccountName, cache_dir: Path) -> Iterator[bool]:
    """Keeps daemons of an account waiting, for a moment; False where one runs, or it cannot be told."""
    try:
        handle = _open(cache_dir / f"{account}.lock")
    except MediafsError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)  # what a killed one left would be taken for our name
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise MediafsError(f"cannot open the lock file {path}: {error.strerror}") from error


def _take_from_ending(handle: int, path: Path, serves: Callable[[Path], bool]) -> None:
    until = time.monotonic() + _ENDING_S
    while True:
        try:
            return _take(handle, path)
        except AlreadyMounted as error:
            if error.mountpoint is None or serves(error.mountpoint) or time.monotonic() > until:
                raise
        time.sleep(_READ_PAUSE_S)


def _take(handle: int, path: Path) -> None:
    for _ in range(_PATIENCE):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if (found := _read(handle)) is not None:
                raise AlreadyMounted(found.pid, found.mountpoint) from None
        except OSError as error:
            raise MediafsError(
                f"cannot lock {path}: {error.strerror}; give a folder on a local disk with --cache-dir"
            ) from error
        else:
            return
    raise AlreadyMounted(None, None)


def _write(handle: int, mountpoint: Path | None) -> None:
    text = json.dumps({"pid": os.getpid(), "mountpoint": None if mountpoint is None else str(mountpoint)})
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode(), 0)
    except OSError:
        # A full disk: the lock holds all the same, only the message to the second is poorer.
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)


def _read(handle: int) -> Holder | None:
    """What the holder wrote. What an earlier one left behind (its process is gone) is not believed
    at first, for the present one may be about to write; nor for ever, for it may live in another
    namespace of processes."""
    found = None
    for attempt in range(_READ_ATTEMPTS):
        if attempt:
            time.sleep(_READ_PAUSE_S)
        found = _parsed(os.pread(handle, 64 * 1024, 0))
        if found is not None and Path(f"/proc/{found.pid}").exists():
            break
    return found


def _parsed(raw: bytes) -> Holder | None:
    try:
        said = json.loads(raw)
        pid, mountpoint = said["pid"], said["mountpoint"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if type(pid) is not int or pid <= 0 or not (mountpoint is None or isinstance(mountpoint, str)):
        return None
    return Holder(pid=pid, mountpoint=None if mountpoint is None else Path(mountpoint))
