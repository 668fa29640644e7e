"""One opened directory: a snapshot, shown without what has gone since it was taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..model import Inode
from .values import Entry

_CHUNK: Final = 256
"""Entries checked against the catalogue at once, when something has changed since the snapshot."""


class Directory:
    """Offsets are indices into the snapshot, so an entry is never shown twice, nor skipped."""

    def __init__(
        self,
        take: Callable[[], list[Entry]],
        again: Callable[[Sequence[Inode]], dict[Inode, Entry]] | None = None,
        edition: Callable[[], int] = lambda: 0,
    ) -> None:
        self._take = take
        self._again = again
        self._edition = edition
        self._entries: list[Entry] | None = None
        self._taken_at = 0

    def rewind(self) -> None:
        """The next entry is the first of a new snapshot."""
        self._entries = None

    def entries(self, start: int) -> Iterator[tuple[int, Entry]]:
        """Entries from offset `start` on, each with the offset after it.

        What was deleted or renamed since the snapshot is left out: shown once more, it would come
        back to life in the kernel for the whole entry timeout (measured).
        """
        if self._entries is None:
            self._entries, self._taken_at = self._take(), self._edition()
        for at in range(start, len(self._entries), _CHUNK):
            some = self._entries[at : at + _CHUNK]
            now = self._now(some)
            for index, entry in enumerate(some, at + 1):
                current = now.get(entry.attributes.inode) if now is not None else entry
                if current is not None and current.name == entry.name:
                    yield index, current

    def _now(self, some: Sequence[Entry]) -> dict[Inode, Entry] | None:
        if self._again is None or self._edition() == self._taken_at:
            return None
        return self._again([entry.attributes.inode for entry in some])

    def close(self) -> None:
        """The snapshot is given back."""
        self._entries = None
