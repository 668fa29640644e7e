"""The folder of the disk cache, as a whole: what is in it, and nothing in it any more. All of it blocks."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .bodyfile import BodyFile, Damaged, Record
from .cachefiles import sync_folder

PART: Final = ".part"
"""How temporary names end."""


@dataclass(frozen=True, slots=True)
class Found:
    """A whole body that an earlier process left."""

    path: Path
    record: Record
    blocks: int
    """Bytes that it takes up."""
    used: int
    """When it was last used, Unix time in ns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a cache folder holds."""

    bytes: int = 0
    """Real blocks."""
    files: int = 0


def looked_through(folder: Path) -> list[Found]:
    """The whole bodies there. What is of no use is removed: what is damaged, and what a process that is
    gone left under a temporary name; so nothing may be filled yet. Raises OSError."""
    found = []
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    for name in names:
        path = folder / name
        if name.endswith(PART):
            _unlink(path)
            continue
        try:
            body = _found(path)
        except FileNotFoundError:
            continue
        except (OSError, Damaged):
            _unlink(path)
        else:
            found.append(body)
    return found


def _found(path: Path) -> Found:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        seen = os.fstat(descriptor)
        return Found(path, BodyFile.at(descriptor).record, seen.st_blocks * 512, seen.st_mtime_ns)
    finally:
        os.close(descriptor)


def usage(folder: Path) -> Usage:
    """Of a folder that may not be there. Raises OSError."""
    total, files = 0, 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                total += entry.stat(follow_symlinks=False).st_blocks * 512
                files += 1
    return Usage(bytes=total, files=files)


def purge_folder(folder: Path) -> Usage:
    """Removes all that is in it; what there was. Raises OSError."""
    before = usage(folder)
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            with suppress(FileNotFoundError):
                (folder / name).unlink()
        sync_folder(folder)
    return before


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
