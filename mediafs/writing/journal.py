"""The record of what was deleted, kept so that neither a crash nor a power cut loses a line.

`deletions.jsonl` has one line for each deletion that was sent to the service. `deletions.state`
holds the brake, and the deletions whose line is still to be written: one that a crash interrupts gets
its line at the next start. Both outlive the catalogue, which may be set aside and listed anew.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import LocalFailure, NoRoom

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TAIL: Final = 1 << 20
"""Bytes of the last lines: some thousands of them."""
_IDENTITY: Final = ("time", "media", "pid")
"""What tells one deletion from another."""


class Journal:
    """Two files in `folder`. Every call blocks until the disk has it; raises NoRoom or LocalFailure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines = folder / "deletions.jsonl"
        self._state = folder / "deletions.state"

    def state(self) -> dict[str, object] | None:
        """What was kept last, and nothing where there is none; None where it cannot be made out."""
        try:
            kept = json.loads(self._state.read_bytes())
            if isinstance(kept, dict):
                return kept
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError):
            pass
        except OSError as error:
            raise LocalFailure(f"{self._state} cannot be read: {error.strerror}") from error
        return None

    def keep(self, state: Mapping[str, object]) -> None:
        """Replaces the state as a whole."""
        with _explained(self._state):
            aside = self._state.with_suffix(".state-new")
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(state).encode())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._state)
            self._sync_folder()

    def write(self, line: Mapping[str, object]) -> None:
        """Appends one line, whole or not at all."""
        with _explained(self._lines):
            made = not self._lines.exists()
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self._lines, flags, 0o600)
            try:
                _append(descriptor, json.dumps(line, ensure_ascii=True).encode() + b"\n")
            finally:
                os.close(descriptor)
            if made:
                self._sync_folder()

    def has(self, line: Mapping[str, object]) -> bool:
        """Whether one of the last lines is of this same deletion: a crash may come after its line was
        written, and before the state said so."""
        try:
            with self._lines.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                last = file.read().splitlines()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise LocalFailure(f"{self._lines} cannot be read: {error.strerror}") from error
        return any(_same(each, line) for each in last)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _append(descriptor: int, data: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        # A power cut in the middle of a line: what follows must not be lost in it.
        data = b"\n" + data
    try:
        written = os.write(descriptor, data)
        if written < len(data):
            # A disk that fills up takes what fits, and only the next write says why.
            written += os.write(descriptor, data[written:])
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(descriptor, size)
        raise
    os.fsync(descriptor)


def _same(text: bytes, line: Mapping[str, object]) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and all(found.get(key) == line.get(key) for key in _IDENTITY)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoom(f"no room on disk for {path}: nothing is deleted that cannot be recorded") from error
        raise LocalFailure(f"{path} cannot be written: {error.strerror}") from error
