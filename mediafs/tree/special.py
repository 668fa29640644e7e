"""What the mount says about itself: `.mediafs/status.json` and `.mediafs/changes.jsonl`.

Looked up and never listed, so that no copy takes them along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from ..catalogue import Catalogue
from ..errors import Changed, NotFound
from ..reading import Pages
from .nodes import Special, stored
from .values import Attributes, Kind

STATUS: Final = "status.json"
CHANGES: Final = "changes.jsonl"


@dataclass(frozen=True, slots=True)
class SpecialFile:
    """One opened file. The kernel has no pages of it: two that are open may hold different bytes, and what
    grows is read on behind the end that it had."""

    content: object
    read_at: Callable[[int, int], bytes]
    shape: Callable[[], Attributes]
    keep_cache = False
    grows = True

    def put_into(self, pages: Pages) -> None:
        """There are none."""

    def leave_no_pages(self) -> None:
        """There are none."""

    async def read(self, offset: int, length: int) -> bytes:
        return self.read_at(offset, length)

    def attributes(self) -> Attributes:
        return self.shape()

    async def close(self) -> None:
        """Nothing is held."""


class SpecialFiles:
    def __init__(
        self, catalogue: Catalogue, status: Callable[[], str] | None, wall_clock: Callable[[], float]
    ) -> None:
        """`status` None: there is no status.json."""
        self._catalogue = catalogue
        self._log = catalogue.changes
        self._status = status
        self._now = wall_clock

    def find(self, name: str) -> Attributes | None:
        if name == CHANGES:
            # Where its beginning was cut off it is another file, as after any log's rotation: who has the
            # older one open reads on in it.
            return self.attributes(Special(CHANGES, self._log.first))
        return self.attributes(Special(STATUS)) if name == STATUS and self._status is not None else None

    def attributes(self, node: Special) -> Attributes:
        """Raises NotFound."""
        if node.name == CHANGES:
            return self._shape(node, self._log.end - self._log.first, self._log.changed)
        return self._shape(node, len(self._snapshot()), self._now())

    def open(self, node: Special) -> SpecialFile:
        """Raises NotFound."""
        if node.name == STATUS:
            snapshot = self._snapshot()
            shape = self._shape(node, len(snapshot), self._now())
            return SpecialFile(
                snapshot, lambda offset, length: snapshot[offset : offset + length], lambda: shape
            )
        first = self._log.first
        return SpecialFile(self._log, partial(self._read_log, first), partial(self._log_shape, node, first))

    def _snapshot(self) -> bytes:
        if self._status is None:
            raise NotFound("nothing is said of this mount")
        return self._status().encode()

    def _read_log(self, first: int, offset: int, length: int) -> bytes:
        if offset < self._log.first - first:
            raise Changed("what stood there is not kept any more")
        return self._log.read(first + offset, length)

    def _log_shape(self, node: Special, first: int) -> Attributes:
        return self._shape(node, self._log.end - first, self._log.changed)

    def _shape(self, node: Special, size: int, modified_s: float) -> Attributes:
        inode, _ = self._catalogue.directories.get(*stored(node))
        return Attributes(
            inode=inode,
            kind=Kind.FILE,
            size=size,
            links=1,
            modified_s=int(modified_s),
            writable=False,
            entry_timeout_s=0,
            attr_timeout_s=0,
        )
