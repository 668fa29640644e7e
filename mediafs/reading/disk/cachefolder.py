"""The folder of the disk cache, as a whole: what is in it, and nothing in it any more. All of it blocks."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..files import sync_folder, unlink_quietly
from .blockfile import held_bytes, read_map, runs_of
from .bodyfile import BodyFile, Damaged, Record

PART: Final = ".part"
"""How temporary names end."""

PIN: Final = ".pin"
"""How the name of an empty file ends that says: the body of that name is not to be evicted."""


@dataclass(frozen=True, slots=True)
class Found:
    """A body that an earlier process left."""

    path: Path
    record: Record
    blocks: int
    """Bytes that it takes up."""
    used: int
    """When it was last used, Unix time in ns."""
    body: int
    """Bytes of the body that are held."""
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a cache folder holds."""

    bytes: int = 0
    """Real blocks."""
    files: int = 0


def looked_through(folder: Path) -> list[Found]:
    """The bodies there. What is of no use is removed: what is damaged, and what a process that is
    gone left under a temporary name; so nothing may be filled yet. Raises OSError."""
    found = []
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    for name in names:
        path = folder / name
        if name.endswith(PART):
            unlink_quietly(path)
            continue
        if name.endswith(PIN):
            continue
        try:
            body = _found(path)
        except FileNotFoundError:
            continue
        except (OSError, Damaged):
            unlink_quietly(path)
        else:
            found.append(body)
    return found


def _found(path: Path) -> Found:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        seen = os.fstat(descriptor)
        try:
            record, table = read_map(descriptor)
            body, whole = held_bytes(runs_of(table), record.size), False
        except Damaged:
            record = BodyFile.at(descriptor).record
            body, whole = record.size, True
        return Found(path, record, seen.st_blocks * 512, seen.st_mtime_ns, body, whole)
    finally:
        os.close(descriptor)


def pinned(folder: Path) -> set[str]:
    """Names of bodies that are not to be evicted. Raises OSError."""
    try:
        return {name.removesuffix(PIN) for name in os.listdir(folder) if name.endswith(PIN)}
    except FileNotFoundError:
        return set()


def pin(path: Path) -> None:
    """Raises OSError."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    os.close(os.open(path.with_name(path.name + PIN), flags, 0o600))


def unpin(path: Path) -> None:
    unlink_quietly(path.with_name(path.name + PIN))


def remove(paths: list[Path]) -> int:
    """Removes files, with what says that they are pinned; bytes that they took up."""
    freed = 0
    for path in paths:
        with suppress(OSError):
            there = path.lstat()
            path.unlink()
            freed += there.st_blocks * 512
        unpin(path)
    return freed


def usage(folder: Path) -> Usage:
    """Of a folder that may not be there. Raises OSError."""
    total, files = 0, 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                total += entry.stat(follow_symlinks=False).st_blocks * 512
                files += not entry.name.endswith(PIN)
    return Usage(bytes=total, files=files)


def thinned(folder: Path, down_to: int) -> int:
    """Removes what was used longest ago, nothing pinned and nothing of which each download counts, until
    no more than `down_to` bytes are taken up, or nothing is left; bytes that are. No daemon may use the
    folder. Raises OSError."""
    found = sorted(looked_through(folder), key=lambda each: each.used)
    keep, left = pinned(folder), usage(folder).bytes
    for each in found:
        if left <= down_to:
            break
        if each.path.name not in keep and not each.record.limited:
            left -= remove([each.path])
    return left


def purge_folder(folder: Path) -> Usage:
    """Removes all that is in it; what there was. Raises OSError."""
    before = usage(folder)
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            with suppress(FileNotFoundError):
                (folder / name).unlink()
        sync_folder(folder)
    return before
