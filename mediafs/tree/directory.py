"""One opened directory: a snapshot, shown without what has gone since it was taken.

Offsets are indices into the snapshot, so an entry is never shown twice, nor skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..catalogue import Stat
from ..model import Inode
from .values import Attributes, Entry

_CHUNK: Final = 256
"""Entries checked against the catalogue at once, when something has changed since the snapshot."""


class Directory:
    """One of directories: what it holds does not go."""

    def __init__(self, take: Callable[[], Sequence[Entry]]) -> None:
        self._take = take
        self._entries: Sequence[Entry] | None = None

    def rewind(self) -> None:
        """The next entry is the first of a new snapshot."""
        self._entries = None

    def entries(self, start: int) -> Iterator[tuple[int, Entry]]:
        """Entries from offset `start` on, each with the offset after it."""
        if self._entries is None:
            self._entries = self._take()
        return enumerate(self._entries[start:], start + 1)

    def close(self) -> None:
        """The snapshot is given back."""
        self._entries = None


class MediaDirectory:
    """One of media. The snapshot is of rows, and entries are made as they are shown: those of 100,000 media
    would take 20 MiB more for as long as it is open."""

    def __init__(
        self,
        take: Callable[[], Sequence[Stat]],
        again: Callable[[Sequence[Inode]], dict[Inode, Stat]],
        edition: Callable[[], int],
        shape: Callable[[Stat], Attributes],
        first: Sequence[Entry] = (),
    ) -> None:
        """`again`: those of a snapshot that are still there, as they are now; `edition`: another one whenever
        that may have changed. `first`: what is shown before the media, and does not go."""
        self._take = take
        self._again = again
        self._edition = edition
        self._shape = shape
        self._first = first
        self._media: Sequence[Stat] | None = None
        self._taken_at = 0

    def rewind(self) -> None:
        """The next entry is the first of a new snapshot."""
        self._media = None

    def entries(self, start: int) -> Iterator[tuple[int, Entry]]:
        """Entries from offset `start` on, each with the offset after it.

        What was deleted or renamed since the snapshot is left out: shown once more, it would come
        back to life in the kernel for the whole entry timeout (measured).
        """
        if self._media is None:
            self._media, self._taken_at = self._take(), self._edition()
        yield from enumerate(self._first[start:], start + 1)
        above, shape = len(self._first), self._shape
        for at in range(max(0, start - above), len(self._media), _CHUNK):
            some = self._media[at : at + _CHUNK]
            now = None if self._edition() == self._taken_at else self._again([stat.inode for stat in some])
            for index, stat in enumerate(some, above + at + 1):
                current = stat if now is None else now.get(stat.inode)
                if current is not None and current.name == stat.name:
                    yield index, Entry(stat.name, shape(current))

    def close(self) -> None:
        """The snapshot is given back."""
        self._media = None
