"""What is done with files, by name and by descriptor. All of it blocks."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from ..model import Data


def make(path: Path) -> int:
    """A descriptor of a new file, for its owner only; the folder is made if need be. Raises OSError."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def read_all(descriptor: int, offset: int, length: int) -> bytes:
    """Fewer bytes only where the file ends. Raises OSError."""
    parts: list[bytes] = []
    at = offset
    while at < offset + length and (part := os.pread(descriptor, offset + length - at, at)):
        parts.append(part)
        at += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def write_all(descriptor: int, data: Data, offset: int) -> None:
    """Raises OSError; some of it may be written then."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def allocated(descriptor: int) -> int:
    """Bytes that the disk takes up for it. Raises OSError."""
    return os.fstat(descriptor).st_blocks * 512


def used_now(descriptor: int) -> None:
    """Notes for the next process when it was last used, where the disk can be written to."""
    with suppress(OSError):
        now = time.time_ns()
        os.utime(descriptor, ns=(now, now))


def sync_folder(folder: Path) -> None:
    """What was named and unnamed in it outlives a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unlink_quietly(path: Path) -> None:
    """Also where there is none, or the disk refuses."""
    with suppress(OSError):
        path.unlink()


def unlink_all(paths: list[Path]) -> None:
    """As far as the disk lets it."""
    for path in paths:
        unlink_quietly(path)


def unlink_same(path: Path, descriptor: int) -> None:
    """Takes that name from the open file, where it is still its own and the disk lets it."""
    with suppress(OSError):
        if os.path.samestat(path.lstat(), os.fstat(descriptor)):
            path.unlink()


def unlinked(path: Path) -> int | None:
    """Takes the name away, at once; a descriptor of what had it. Closing that takes as long as it takes to
    give its blocks back: not for the loop."""
    descriptor = None
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    unlink_quietly(path)
    return descriptor
