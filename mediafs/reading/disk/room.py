"""What each account takes up of a cache directory that several share: one small file there, changed under
`flock`.

It is only a note. What is damaged, or away, is made anew from what the folders take up; where it cannot be
opened, nobody is known of.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from .cachefolder import usage

NAME: Final = ".room"
"""No account's name begins with a dot."""

# A turn takes less than 0.1 ms; who holds it for longer was stopped in the middle of one.
_ATTEMPTS: Final = 200
_PAUSE_S: Final = 0.0005


class Entry(NamedTuple):
    bytes: int
    """The disk takes up for the account no more than these, now or soon."""
    wanted: int = 0
    """Bytes that it finds no room for, though it has less than its share..."""
    until: float = 0.0
    """... and until when that is believed, Unix time in s."""


class Room:
    def __init__(self, folder: Path) -> None:
        """`folder` is an account's, in a folder of its name in the cache directory; so are the others'."""
        self.account = folder.parent.name
        self._directory = folder.parent.parent
        self._path = self._directory / NAME
        self._folder = folder.name

    def folder(self, account: str) -> Path:
        return self._directory / account / self._folder

    @contextmanager
    def turn(self) -> Iterator[dict[str, Entry] | None]:
        """The entries of the accounts that are there; what is changed in them is written. Nobody else
        changes them meanwhile. None where somebody does for too long. Blocks shortly."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._path, flags, 0o600)
        except OSError:
            yield {}
            return
        try:
            if not _locked(descriptor):
                yield None
                return
            raw = _read(descriptor)
            before = _parsed(raw)
            entries = self._measured() if before is None else self._there(before)
            yield entries
            if entries != before:
                # Never shorter than what was there: one write, that a crash does not cut.
                text = json.dumps(entries).encode().ljust(len(raw))
                with suppress(OSError):
                    os.pwrite(descriptor, text, 0)
        finally:
            os.close(descriptor)

    def note(self, count: int) -> None:
        """The account takes up so much; no daemon of it runs."""
        with self.turn() as entries:
            if entries is not None:
                entries[self.account] = Entry(count)

    def _there(self, entries: dict[str, Entry]) -> dict[str, Entry]:
        directory = os.fspath(self._directory)
        return {name: each for name, each in entries.items() if os.path.isdir(f"{directory}/{name}")}

    def _measured(self) -> dict[str, Entry]:
        entries = {}
        with suppress(OSError):
            for name in os.listdir(self._directory):
                if (folder := self.folder(name)).is_dir():
                    entries[name] = Entry(usage(folder).bytes)
        return entries


def _locked(descriptor: int) -> bool:
    for _ in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        except OSError:
            return True  # no locks here: a note all the same
        else:
            return True
    return False


def _read(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, 64 * 1024, 0)
    except OSError:
        return b""


def _parsed(raw: bytes) -> dict[str, Entry] | None:
    try:
        return {name: _entry(name, *each) for name, each in json.loads(raw).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _entry(name: str, count: object, wanted: object, until: object) -> Entry:
    if type(count) is not int or type(wanted) is not int or type(until) not in (int, float):
        raise ValueError("no entry")
    if min(count, wanted) < 0 or "/" in name or "\0" in name or name.startswith("."):
        raise ValueError("no entry")
    return Entry(count, wanted, float(until))  # type: ignore[arg-type]
