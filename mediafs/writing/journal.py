"""The record of what was deleted, kept so that neither a crash nor a power cut loses a line.

`deletions.jsonl` has one line for each deletion that was sent to the service. `deletions.state`
holds the brake, and the deletions under way: one that a crash interrupts gets its line at the next
start. Both outlive the catalogue, which may be set aside and listed anew.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import LocalFailure, NoRoom

log = logging.getLogger(__name__)

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Journal:
    """Two files in `folder`. Every call blocks until the disk has it; raises NoRoom or LocalFailure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines = folder / "deletions.jsonl"
        self._state = folder / "deletions.state"

    def state(self) -> dict[str, object]:
        """What was kept last; nothing where there is none. A file that cannot be read is set aside."""
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
        log.warning("%s is damaged; the count of deletions starts anew", self._state)
        return {}

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
        """Appends one line."""
        with _explained(self._lines):
            made = not self._lines.exists()
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self._lines, flags, 0o600)
            try:
                # One write: a line is there whole, or not at all.
                os.write(descriptor, json.dumps(line, ensure_ascii=True).encode() + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if made:
                self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoom(f"no room on disk for {path}: nothing is deleted that cannot be recorded") from error
        raise LocalFailure(f"{path} cannot be written: {error.strerror}") from error
