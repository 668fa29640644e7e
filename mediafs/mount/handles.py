"""What the kernel holds open: files and directories, with what was true when they were opened."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Changed, NotFound
from ..model import Inode
from ..tree.values import Attributes
from .protocol import Directory, OpenFile


class Opened:
    """An opened file, and what was true when it was opened."""

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        self._then = file.attributes()
        self.inode = self._then.inode

    def attributes(self) -> Attributes:
        """As they are now; of a media that is gone, as they were, without a link."""
        try:
            return self.file.attributes()
        except NotFound:
            return replace(self._then, links=0, attr_timeout_s=0.0)

    def size(self) -> int:
        """Bytes of the version that is read. Raises Changed where the kernel has another size by now:
        it would cut the old bytes at the new end."""
        if self.attributes().size != self._then.size:
            raise Changed("content changed while the file was open")
        return self._then.size


class Listing:
    """An opened directory, and whether it was read before."""

    def __init__(self, directory: Directory, inode: Inode) -> None:
        self.directory = directory
        self.inode = inode
        self._read = False

    def begin(self) -> None:
        """A read at offset 0: the first is of the snapshot that opendir took, others want a new one."""
        if self._read:
            self.directory.rewind()
        self._read = True
