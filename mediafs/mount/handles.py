"""What the kernel holds open: files and directories, with what was true when they were opened."""

from __future__ import annotations

import itertools
from typing import Final

import trio

from ..errors import Changed, NotFound
from ..model import Inode
from ..tree.values import Attributes
from .pages import KernelPages
from .protocol import Directory, OpenFile

CLOSE_S: Final = 5.0
"""What closing files may take once nobody waits for it."""


class Opened:
    """An opened file, and what was true when it was opened."""

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        self.then = file.attributes()
        self.inode = self.then.inode

    def attributes(self) -> Attributes:
        """As they are now; of a media that is gone, as they were, without a link."""
        try:
            return self.file.attributes()
        except NotFound:
            return self.then._replace(links=0, attr_timeout_s=0.0)

    def size(self) -> int:
        """Bytes of the version that is read. Raises Changed where the kernel has another size by now:
        it would cut the old bytes at the new end."""
        if self.attributes().size != self.then.size:
            raise Changed("content changed while the file was open")
        return self.then.size


class OpenFiles:
    """All of a mount."""

    def __init__(self, pages: KernelPages) -> None:
        self._pages = pages
        self._numbers = itertools.count(1)
        self._files: dict[int, Opened] = {}
        self._by_inode: dict[Inode, list[Opened]] = {}

    async def add(self, file: OpenFile) -> tuple[int, bool]:
        """Its handle, and whether the kernel may have pages of it; the file is closed where this fails."""
        handle = next(self._numbers)
        try:
            opened = Opened(file)
            # All files of an inode share the kernel's pages: beside an older content that is still open, the
            # new one must leave none, or a copy under way goes on with another content's bytes. (A private
            # mapping leaves some all the same, and nothing here learns of it.)
            others = self._by_inode.setdefault(opened.inode, [])
            paged = not file.grows and all(each.file.content is file.content for each in others)
            self._files[handle] = opened
            others.append(opened)
            if paged:
                file.put_into(await self._pages.of(opened.inode, file.content))
            else:
                self._pages.revoke(opened.inode)
                file.leave_no_pages()
        except BaseException:
            with trio.move_on_after(CLOSE_S, shield=True):
                await (self.close(handle) if handle in self._files else file.close())
            raise
        return handle, paged

    def get(self, handle: int) -> Opened | None:
        """None where there is no such handle."""
        return self._files.get(handle)

    def latest(self, inode: Inode) -> Opened | None:
        """The one that was opened last: it has the newest truth."""
        opened = self._by_inode.get(inode)
        return opened[-1] if opened else None

    def covering(self, attributes: Attributes) -> Attributes:
        """As the kernel is to know them: not smaller than an older content that is still open, for it ends
        reads at the size it knows without asking, and a copy of the older one would end there, as whole."""
        opened = self._by_inode.get(attributes.inode)
        if opened is None:  # as nearly all of a listing
            return attributes
        size = max((each.then.size for each in opened if not each.file.grows), default=0)
        return attributes if size <= attributes.size else attributes._replace(size=size, attr_timeout_s=0.0)

    def handles(self) -> tuple[int, ...]:
        return tuple(self._files)

    async def close(self, handle: int) -> None:
        """Does nothing where it was closed before."""
        opened = self._files.pop(handle, None)
        if opened is None:
            return
        others = self._by_inode[opened.inode]
        others.remove(opened)
        if not others:
            del self._by_inode[opened.inode]
            self._pages.closed(opened.inode)
        await opened.file.close()


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
