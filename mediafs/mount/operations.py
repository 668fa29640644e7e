"""The kernel's requests, translated to the tree and back; what they mean is decided in `tree/`.

Every handler of pyfuse3 is overridden: its defaults answer ENOSYS, which the kernel takes as "never
ask again" for the whole mount, and for `open` as "needs no opening", which ends the mount.

Inodes come from the catalogue and are never used twice, so lookup counts are not kept.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import stat
from collections.abc import Sequence
from typing import Final, NoReturn, cast

import pyfuse3
import trio
from pyfuse3 import (
    EntryAttributes,
    FileHandleT,
    FileInfo,
    FileNameT,
    FlagT,
    FUSEError,
    InodeT,
    ModeT,
    ReaddirToken,
    RequestContext,
    SetattrFields,
    StatvfsData,
    XAttrNameT,
)

from ..errors import InvalidReply, ReadOnly, Unsupported
from ..model import Inode
from ..tree.values import Absent, Attributes
from .callers import Callers, requester_of
from .entries import Dress, absent_entry, statvfs_of
from .errnos import FailureLog
from .guard import Deadlines, Running, Wait, guarded
from .handles import CLOSE_S, Listing, OpenFiles
from .kernel import KernelCaches
from .protocol import Tree

log = logging.getLogger(__name__)

_FOREIGN: Final = ("security.", "system.", "trusted.")
"""Attribute name spaces that are not ours: EOPNOTSUPP, which the kernel and `ls -l` remember better
than ENODATA."""

_DOT: Final = 1
_DOT_DOT: Final = 2
"""Offsets after `.` and `..`; the tree's own entries follow, so its index is the offset less this."""

_UNKNOWN_INODE: Final = 0xFFFFFFFF
"""d_ino of `..`, as libfuse gives it where the parent is not known; the kernel resolves `..` itself."""

_TOLD_S: Final = 0.2
"""A call into the kernel takes some 20 us, unless a directory is locked."""


class MountedTree(pyfuse3.Operations):
    """A tree as pyfuse3 wants it. One per mount; trio thread only."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self,
        tree: Tree,
        *,
        dress: Dress,
        read_only: bool,
        deadlines: Deadlines,
        failures: FailureLog,
        kernel: KernelCaches,
    ) -> None:
        super().__init__()
        self.deadlines = deadlines
        self.failures = failures
        self.running = Running()
        self.started = trio.Event()
        """The kernel has said INIT."""
        self.asked_for_space = 0
        """How often statfs was asked: proof that the kernel reaches this program."""
        self._tree = tree
        self._dress = dress
        self._kernel = kernel
        self._refusal = errno.EROFS if read_only else errno.EPERM
        self._callers = Callers()
        self._handles = itertools.count(1)
        self._files = OpenFiles(kernel.pages)
        self._directories: dict[FileHandleT, Listing] = {}

    # The kernel's own: neither may raise, nobody waits for an answer.

    def init(self) -> None:
        self.started.set()

    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        pass

    # Names and attributes.

    @guarded(Wait.NONE)
    async def lookup(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> EntryAttributes:
        known = self._tree.known(Inode(parent_inode), os.fsdecode(name))
        if known is None:
            return await self._find(parent_inode, name)
        return self._dress.lent_entry(self._files.covering(known))

    @guarded(Wait.QUICK)
    async def _find(self, parent_inode: InodeT, name: FileNameT) -> EntryAttributes:
        found = await self._tree.lookup(Inode(parent_inode), os.fsdecode(name))
        if not isinstance(found, Absent):
            return self._dress.lent_entry(self._files.covering(found))
        if found.known_for_s > 0:
            return absent_entry(found.known_for_s)
        raise FUSEError(errno.ENOENT)

    @guarded(Wait.NONE)
    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        return self._dress.lent_entry(self._attributes(Inode(inode)))

    @guarded(Wait.QUICK)
    async def setattr(
        self,
        inode: InodeT,
        attr: EntryAttributes,
        fields: SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> EntryAttributes:
        if fields.update_size:
            raise ReadOnly("content cannot be written")
        now = self._dress.entry(self._attributes(Inode(inode)))
        if (
            (fields.update_mode and stat.S_IMODE(attr.st_mode) != stat.S_IMODE(now.st_mode))
            or (fields.update_uid and attr.st_uid != now.st_uid)
            or (fields.update_gid and attr.st_gid != now.st_gid)
            or (fields.update_mtime and attr.st_mtime_ns != now.st_mtime_ns)
            or (fields.update_atime and attr.st_atime_ns != now.st_atime_ns)
        ):
            raise FUSEError(self._refusal)
        return now

    @guarded(Wait.QUICK)
    async def readlink(self, inode: InodeT, ctx: RequestContext) -> FileNameT:
        return os.fsencode(self._tree.link_target(Inode(inode)))

    @guarded(Wait.QUICK)
    async def access(self, inode: InodeT, mode: ModeT, ctx: RequestContext) -> bool:
        # The kernel decides by the mode (`default_permissions`) and does not ask.
        return True

    @guarded(Wait.QUICK)
    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        self.asked_for_space += 1
        return statvfs_of(self._tree.space())

    def _attributes(self, inode: Inode) -> Attributes:
        # pyfuse3 does not say which handle fstat came by: the latest opened has the newest truth,
        # and it answers for a file whose names are gone too.
        opened = self._files.latest(inode)
        return self._files.covering(opened.attributes() if opened else self._tree.attributes(inode))

    # Directories.

    @guarded(Wait.LIST)
    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        directory = await self._tree.open_directory(Inode(inode))
        handle = FileHandleT(next(self._handles))
        self._directories[handle] = Listing(directory, Inode(inode))
        return handle

    @guarded(Wait.LIST)
    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        listing = self._directories.get(fh)
        if listing is None:
            raise FUSEError(errno.EBADF)
        if start_id == 0:
            listing.begin()
            if not self._reply_dots(listing.inode, token):
                return
        elif start_id == _DOT and not self._reply_dot_dot(token):
            return
        lent, fsencode, reply = self._dress.lent_entry, os.fsencode, pyfuse3.readdir_reply
        covering = self._files.covering
        for following, entry in listing.directory.entries(max(0, start_id - _DOT_DOT)):
            if not reply(token, fsencode(entry.name), lent(covering(entry.attributes)), following + _DOT_DOT):
                return

    def _reply_dots(self, inode: Inode, token: ReaddirToken) -> bool:
        here = self._dress.lent_entry(self._tree.attributes(inode))
        return pyfuse3.readdir_reply(token, b".", here, _DOT) and self._reply_dot_dot(token)

    def _reply_dot_dot(self, token: ReaddirToken) -> bool:
        parent = EntryAttributes()
        parent.st_ino = InodeT(_UNKNOWN_INODE)
        parent.st_mode = ModeT(stat.S_IFDIR)
        return pyfuse3.readdir_reply(token, b"..", parent, _DOT_DOT)

    @guarded(Wait.QUICK)
    async def releasedir(self, fh: FileHandleT) -> None:
        listing = self._directories.pop(fh, None)
        if listing is not None:
            listing.directory.close()

    @guarded(Wait.QUICK)
    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        pass

    # Files.

    @guarded(Wait.QUICK)
    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        self._callers.opens(ctx, flags)
        file = await self._tree.open(Inode(inode))
        handle, paged = await self._files.add(file)
        return FileInfo(fh=FileHandleT(handle), keep_cache=file.keep_cache and paged, direct_io=not paged)

    @guarded(Wait.READ)
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        opened = self._files.get(fh)
        if opened is None:
            raise FUSEError(errno.EBADF)
        if opened.file.grows:
            return cast(bytes, await opened.file.read(off, size))
        # The kernel takes a short answer for the end of the file and shortens the file by it, or
        # fills with zeros: so an answer is short at the true end only.
        end = min(off + size, opened.size())
        parts: list[bytes] = []
        while off < end:
            # Any buffer will do for pyfuse3.
            data = cast(bytes, await opened.file.read(off, end - off))
            if not data:
                raise InvalidReply(f"content ended at byte {off}, before its stated size")
            if len(data) > end - off:
                raise AssertionError(f"{len(data)} bytes for a read of {end - off}")
            if not parts and len(data) == end - off:
                return data
            parts.append(data)
            off += len(data)
        return b"".join(parts)

    @guarded(Wait.QUICK)
    async def release(self, fh: FileHandleT) -> None:
        await self._files.close(fh)

    @guarded(Wait.QUICK)
    async def flush(self, fh: FileHandleT) -> None:
        # The kernel then asks no more, for the whole mount: one request less for each file that is closed.
        raise FUSEError(errno.ENOSYS)

    @guarded(Wait.QUICK)
    async def fsync(self, fh: FileHandleT, datasync: bool) -> None:
        pass

    @guarded(Wait.QUICK)
    async def poll(
        self,
        inode: InodeT,
        fh: FileHandleT,
        poll_handle: pyfuse3.PollHandle | None,
        ctx: RequestContext,
    ) -> int:
        # As for `flush`: the kernel answers "always ready" itself from then on.
        raise FUSEError(errno.ENOSYS)

    # Extended attributes.

    @guarded(Wait.QUICK)
    async def listxattr(self, inode: InodeT, ctx: RequestContext) -> Sequence[XAttrNameT]:
        return [XAttrNameT(os.fsencode(name)) for name in self._tree.xattr_names(Inode(inode))]

    @guarded(Wait.QUICK)
    async def getxattr(self, inode: InodeT, name: XAttrNameT, ctx: RequestContext) -> bytes:
        return bytes(self._tree.xattr(Inode(inode), _ours(name)))

    @guarded(Wait.QUICK)
    async def setxattr(self, inode: InodeT, name: XAttrNameT, value: bytes, ctx: RequestContext) -> None:
        await self._tree.set_xattr(Inode(inode), _ours(name), value)

    @guarded(Wait.QUICK)
    async def removexattr(self, inode: InodeT, name: XAttrNameT, ctx: RequestContext) -> None:
        await self._tree.remove_xattr(Inode(inode), _ours(name))

    # What would make content: it comes from the service only.

    @guarded(Wait.QUICK)
    async def create(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, flags: FlagT, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        _content_is_read_only()

    @guarded(Wait.QUICK)
    async def mknod(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        _content_is_read_only()

    @guarded(Wait.QUICK)
    async def mkdir(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, ctx: RequestContext
    ) -> EntryAttributes:
        _content_is_read_only()

    @guarded(Wait.QUICK)
    async def symlink(
        self, parent_inode: InodeT, name: FileNameT, target: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        _content_is_read_only()

    @guarded(Wait.QUICK)
    async def link(
        self, inode: InodeT, new_parent_inode: InodeT, new_name: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        _content_is_read_only()

    @guarded(Wait.QUICK)
    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        _content_is_read_only()

    # What would take names away or move them.

    @guarded(Wait.CHANGE)
    async def unlink(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        parent = Inode(parent_inode)
        await self._tree.unlink(parent, os.fsdecode(name), self._callers.deletes(ctx))
        await self._told(parent)

    @guarded(Wait.CHANGE)
    async def rmdir(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        await self._tree.rmdir(Inode(parent_inode), os.fsdecode(name))

    @guarded(Wait.CHANGE)
    async def rename(
        self,
        parent_inode_old: InodeT,
        name_old: FileNameT,
        parent_inode_new: InodeT,
        name_new: FileNameT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        if flags not in (0, pyfuse3.RENAME_NOREPLACE):
            raise FUSEError(errno.EINVAL)
        old = Inode(parent_inode_old), os.fsdecode(name_old)
        new = Inode(parent_inode_new), os.fsdecode(name_new)
        await self._tree.rename(old, new, requester_of(ctx))
        await self._told(old[0], new[0])

    async def _told(self, *locked: Inode) -> None:
        """Lets the names in other views, and the pages, be gone when `rm` or `mv` returns; the kernel itself
        holds `locked` until then.

        Not at any price: the call that takes a name away waits for whoever works in that directory, and two
        `rm` in two views would wait for each other.
        """
        with trio.move_on_after(_TOLD_S):
            await self._kernel.wait_told(locked=locked)

    # The end.

    async def close_all(self) -> None:
        """Closes what processes left open, in bounded time. Nothing reads any more."""
        with trio.move_on_after(CLOSE_S, shield=True):
            for handle in self._files.handles():
                try:
                    await self._files.close(handle)
                except Exception as error:
                    self.failures.errno_of("close", error)
        for listing in self._directories.values():
            listing.directory.close()
        self._directories.clear()


def _content_is_read_only() -> NoReturn:
    raise ReadOnly("content cannot be written")


def _ours(name: bytes) -> str:
    text = os.fsdecode(name)
    if text.startswith(_FOREIGN):
        raise Unsupported(f"no attributes in the name space of {text.partition('.')[0]}")
    return text
