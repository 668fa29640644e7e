"""Attributes of what is in the tree: inode, size, links, times, how long the kernel may keep them."""

from __future__ import annotations

from typing import Final

from ..catalogue import Catalogue, Stat
from .nodes import Hidden, Link, Node, Root, stored
from .options import TreeOptions
from .values import ROOT, Attributes, Kind

TIMEOUT_S: Final = 300.0
"""Names and attributes are invalidated when they change, so the kernel may keep them for long."""

FOLDER_TIMEOUT_S: Final = 10.0
"""Attributes of directories: their time of change is not worth an invalidation."""

UNKNOWN_SIZE: Final = 1 << 30
"""Shown for a media of unknown size until it is opened: high, since readers stop at an end that is
too near without a word, and never 0, which is an empty file to most of them (measured)."""


class Shapes:
    def __init__(self, catalogue: Catalogue, options: TreeOptions) -> None:
        self._catalogue = catalogue
        self._options = options

    def file(self, stat: Stat) -> Attributes:
        inode, _, size, created, links = stat
        if size is None:
            return Attributes(inode, Kind.FILE, UNKNOWN_SIZE, links, int(created), True, TIMEOUT_S, 0)
        return Attributes(inode, Kind.FILE, size, links, int(created), True, TIMEOUT_S, TIMEOUT_S)

    def found(self, stat: Stat) -> Attributes:
        """As `file`, by a name that the kernel is not told of when it goes."""
        return self.file(stat)._replace(entry_timeout_s=0)

    def folder(self, node: Node) -> Attributes:
        inode, changed = self._catalogue.directories.get(*stored(node))
        return Attributes(
            inode=ROOT if isinstance(node, Root) else inode,
            kind=Kind.DIRECTORY,
            size=0,
            links=1,
            modified_s=int(changed),
            writable=self._options.changeable and not isinstance(node, Root | Hidden),
            entry_timeout_s=TIMEOUT_S,
            attr_timeout_s=FOLDER_TIMEOUT_S,
        )

    def link(self, node: Link) -> Attributes:
        inode, changed = self._catalogue.directories.get(*stored(node))
        target = self._catalogue.views.human_folder(node.scope) or ""
        return Attributes(
            inode=inode,
            kind=Kind.SYMLINK,
            size=len(target.encode()),
            links=1,
            modified_s=int(changed),
            writable=False,
            entry_timeout_s=FOLDER_TIMEOUT_S,
            attr_timeout_s=FOLDER_TIMEOUT_S,
        )
