"""The files below paths of a mount, as they are listed. It reads the mount: never in the daemon's process."""

from __future__ import annotations

import errno
import os
import queue
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

PATIENCE_S: Final = 600.0
"""For one folder: a listing that takes longer than `ls` may, for the service's rate limit perhaps, goes on
behind."""
PAUSE_S: Final = 2.0
AHEAD: Final = 100_000
"""Files that are found before they are taken: some tens of megabytes."""


@dataclass(frozen=True, slots=True)
class File:
    path: str
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Unlisted:
    """What is below a path is not known, or not all of it."""

    path: str
    why: str


def walk(paths: Sequence[str], device: int) -> Iterator[File | Unlisted]:
    """Each file once, also where it has several names. `device` is the mount's: nothing else is entered."""
    seen: set[int] = set()
    for path in paths:
        for found in _below(path, device):
            if isinstance(found, Unlisted) or found.inode not in seen:
                yield found
            if isinstance(found, File):
                seen.add(found.inode)


def _below(path: str, device: int) -> Iterator[File | Unlisted]:
    try:
        top = os.stat(path)
    except OSError as error:
        yield Unlisted(path, error.strerror or str(error))
        return
    if top.st_dev != device:
        yield Unlisted(path, "it is not in the mount")
    elif not stat.S_ISDIR(top.st_mode):
        yield File(path, top.st_ino, top.st_size)
    else:
        yield from _in(path, device)


def _in(folder: str, device: int) -> Iterator[File | Unlisted]:
    try:
        entries = _listed(folder)
    except OSError as error:
        yield Unlisted(folder, error.strerror or str(error))
        return
    for entry in entries:
        try:
            there = entry.stat(follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENOENT:  # deleted since
                yield Unlisted(entry.path, error.strerror or str(error))
            continue
        if there.st_dev != device:
            yield Unlisted(entry.path, "it is not in the mount")
        elif stat.S_ISDIR(there.st_mode):
            yield from _in(entry.path, device)
        elif stat.S_ISREG(there.st_mode):
            yield File(entry.path, there.st_ino, there.st_size)


def _listed(folder: str) -> list[os.DirEntry[str]]:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except TimeoutError:
            if time.monotonic() > end:
                raise
            time.sleep(PAUSE_S)


class Walk:
    """A walk that goes on while what it finds is used."""

    def __init__(self, paths: Sequence[str], device: int) -> None:
        self.files = 0
        """Found so far..."""
        self.bytes = 0
        """... and what their sizes add up to."""
        self._found: queue.Queue[File | Unlisted | None] = queue.Queue(AHEAD)
        self._over = False
        # Not waited for at the end: it may be in a listing that takes long.
        threading.Thread(target=self._walk, args=(paths, device), daemon=True).start()

    def _walk(self, paths: Sequence[str], device: int) -> None:
        try:
            for found in walk(paths, device):
                if isinstance(found, File):
                    self.files += 1
                    self.bytes += found.size
                self._found.put(found)
        finally:
            self._over = True
            self._found.put(None)

    @property
    def is_counted(self) -> bool:
        """All that there is was found."""
        return self._over

    def take(self, most: int) -> list[File | Unlisted] | None:
        """What was found and not taken yet, up to so many; None once that was all."""
        taken: list[File | Unlisted] = []
        while len(taken) < most:
            try:
                found = self._found.get_nowait()
            except queue.Empty:
                break
            if found is None:
                self._found.put(None)  # for the next who asks
                return taken or None
            taken.append(found)
        return taken
