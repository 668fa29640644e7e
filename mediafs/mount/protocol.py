"""What the mount asks of a tree, and nothing more.

The mount owns this seam, as the consumer of it: `tree.Tree` fills it in the daemon, a tree in
memory fills it in the tests of this room, which then need no catalogue and no reader. Where the
real tree drifts from it, the type checker says so in `cli/daemon.py`.

All methods raise only errors of `mediafs.errors`. Names are `str` as `os.fsdecode` gives them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ..model import Data, Inode, Requester
from ..tree.values import Absent, Attributes, Entry, Space
from .pages import Holder


class Directory(Protocol):
    """One opened directory: a snapshot of its names."""

    def rewind(self) -> None:
        """Takes a new snapshot: the reader begins again."""
        ...

    def entries(self, start: int) -> Iterator[tuple[int, Entry]]:
        """(index of the next entry, entry) from index `start` on, without what was deleted since."""
        ...

    def close(self) -> None: ...


class OpenFile(Protocol):
    """One opened file: one version, whose size is known."""

    @property
    def keep_cache(self) -> bool:
        """Whether pages that the kernel holds are of this same version."""
        ...

    @property
    def content(self) -> object:
        """Files of one inode in which this is not the same object may hold different bytes."""
        ...

    @property
    def grows(self) -> bool:
        """Whether it has no size yet: bytes come as they are made, and its end is where they end."""
        ...

    def put_into(self, pages: Holder) -> None:
        """Where pages of its content may be put ahead of who reads it."""
        ...

    def leave_no_pages(self) -> None:
        """The kernel has dropped what it had of the inode, and is given none of this content to keep."""
        ...

    async def read(self, offset: int, length: int) -> Data:
        """At most `length` bytes; none only at the end of the file."""
        ...

    def attributes(self) -> Attributes:
        """As they are now. Raises NotFound when the media is gone."""
        ...

    async def close(self) -> None: ...


class Tree(Protocol):
    """What the mount looks like."""

    def known(self, parent: Inode, name: str) -> Attributes | None:
        """What can be told of a name at once; None: `lookup` tells. Never a request."""
        ...

    async def lookup(self, parent: Inode, name: str) -> Attributes | Absent: ...

    def attributes(self, inode: Inode) -> Attributes:
        """Raises NotFound. Never a request."""
        ...

    async def open_directory(self, inode: Inode) -> Directory: ...

    async def open(self, inode: Inode) -> OpenFile: ...

    def link_target(self, inode: Inode) -> str: ...

    def space(self) -> Space: ...

    def xattr_names(self, inode: Inode) -> tuple[str, ...]: ...

    def xattr(self, inode: Inode, name: str) -> bytes:
        """Raises NoAttribute, NotFound. Never a request."""
        ...

    async def set_xattr(self, inode: Inode, name: str, value: bytes) -> None: ...

    async def remove_xattr(self, inode: Inode, name: str) -> None: ...

    async def unlink(self, parent: Inode, name: str, requester: Requester) -> None: ...

    async def rmdir(self, parent: Inode, name: str) -> None: ...

    async def rename(self, old: tuple[Inode, str], new: tuple[Inode, str], requester: Requester) -> None:
        """From one directory and name to another."""
        ...
