"""Of which version the kernel may hold pages, from the last time a media was opened."""

from __future__ import annotations

from typing import Final

from cachetools import LRUCache

from ..model import Inode, Version
from ..reading import Reading

INODES: Final = 100_000
"""Inodes remembered; of one that is forgotten the next open drops the pages."""


class Paged:
    """Pages are kept over an open only while a change of content would be noticed: else those of two
    contents could meet in one file."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._versions: LRUCache[Inode, Version] = LRUCache(INODES)

    def may_stay(self, inode: Inode, version: Version) -> bool:
        """Whether pages that the kernel holds may be shown to who opens that version now."""
        return self._versions.get(inode) == version and self._reading.remembers(version)

    def opened(self, inode: Inode, version: Version) -> None:
        """The kernel is given pages of that version from now on."""
        self._versions[inode] = version

    def fetched(self, inode: Inode, version: Version) -> None:
        """It is about to be fetched while nobody opens it: held against nothing that was read before, unless
        the version is remembered."""
        if not self._reading.remembers(version):
            self.drop(inode)

    def drop(self, inode: Inode) -> None:
        """The next open drops what pages there are."""
        self._versions.pop(inode, None)
