"""The tree's attributes in the kernel's words: modes, owners, block counts, timeouts."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from typing import Final

import pyfuse3

from ..tree.values import Attributes, Kind, Space

_FILE_BLOCK: Final = 4096
"""st_blksize of files: programs size their buffers by it, and 128 KiB would make them read that much
where 4 KiB do."""

_DIRECTORY_BLOCK: Final = 1 << 20
"""st_blksize of directories: glibc sizes its getdents buffer by it, so 100,000 entries take 20
requests where 4096 take 590."""

_UNIT: Final = 512
"""What st_blocks counts in, whatever st_blksize says."""

_STATFS_BLOCK: Final = 4096

_FREE_INODES: Final = 1 << 30
"""Nothing is created here, but a monitor that sees no inode left raises an alarm."""

_NS: Final = 1_000_000_000


class Dress:
    """Owner, group and umask of the mount, put on what the tree answers.

    Modes are 0666 for files and 0777 for directories (0555 where no name can ever go), less the
    umask: with the umask 077 that is 0600, 0700 and 0500.
    """

    def __init__(self, *, uid: int, gid: int, umask: int) -> None:
        self._uid = uid
        self._gid = gid
        self._modes: Mapping[tuple[Kind, bool], int] = {
            (kind, writable): _TYPE[kind] | (_mode(kind, writable) & ~(0 if kind is Kind.SYMLINK else umask))
            for kind in Kind
            for writable in (True, False)
        }
        self._lent = pyfuse3.EntryAttributes()
        self._lent_as: tuple[object, ...] = ()
        """What the entries of a listing have in common, as `_lent` has it."""

    def mode(self, attributes: Attributes) -> int:
        """st_mode, file type included."""
        return self._modes[attributes.kind, attributes.writable]

    def entry(self, attributes: Attributes) -> pyfuse3.EntryAttributes:
        """A new entry, the caller's own."""
        entry = pyfuse3.EntryAttributes()
        entry.st_uid = self._uid
        entry.st_gid = self._gid
        entry.st_rdev = 0
        entry.generation = 0  # inodes are never reused
        is_directory = attributes.kind is Kind.DIRECTORY
        entry.st_blksize = _DIRECTORY_BLOCK if is_directory else _FILE_BLOCK
        # Directories keep 1: `find` then draws no conclusion about subdirectories from it.
        entry.st_nlink = 1 if is_directory else attributes.links
        entry.st_ino = attributes.inode
        entry.st_mode = self.mode(attributes)
        entry.st_size = attributes.size
        entry.st_blocks = -(-attributes.size // _UNIT)
        when_ns = attributes.modified_s * _NS
        entry.st_mtime_ns = when_ns
        entry.st_ctime_ns = when_ns
        entry.st_atime_ns = when_ns
        entry.entry_timeout = attributes.entry_timeout_s
        entry.attr_timeout = attributes.attr_timeout_s
        return entry

    def lent_entry(self, attributes: Attributes) -> pyfuse3.EntryAttributes:
        """An entry that the next call overwrites: four times as fast. It is for `readdir_reply`, and for a
        handler's answer, which pyfuse3 sends as soon as it has it: nothing may await in between."""
        inode, kind, size, links, modified_s, writable, entry_timeout_s, attr_timeout_s = attributes
        like = (kind, links, writable, entry_timeout_s, attr_timeout_s)
        if like != self._lent_as:
            self._lent, self._lent_as = self.entry(attributes), like
            return self._lent
        entry, when_ns = self._lent, modified_s * _NS
        entry.st_ino = inode
        entry.st_size = size
        entry.st_blocks = -(-size // _UNIT)
        entry.st_mtime_ns = when_ns
        entry.st_ctime_ns = when_ns
        entry.st_atime_ns = when_ns
        return entry


_TYPE: Final[Mapping[Kind, int]] = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
}


def _mode(kind: Kind, writable: bool) -> int:
    match kind:
        case Kind.FILE:
            return 0o666
        case Kind.SYMLINK:
            return 0o777
        case Kind.DIRECTORY:
            return 0o777 if writable else 0o555


def absent_entry(known_for_s: float) -> pyfuse3.EntryAttributes:
    """There is no such name, and the kernel need not ask again for so long."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = known_for_s
    return entry


def statvfs_of(space: Space) -> pyfuse3.StatvfsData:
    """What `df` shows; never without a free block, which file managers take for a full disk."""
    free = max(1, space.free // _STATFS_BLOCK)
    answer = pyfuse3.StatvfsData()
    answer.f_bsize = answer.f_frsize = _STATFS_BLOCK
    answer.f_blocks = -(-space.used // _STATFS_BLOCK) + free
    answer.f_bfree = answer.f_bavail = free
    answer.f_files = space.files + _FREE_INODES
    answer.f_ffree = answer.f_favail = _FREE_INODES
    answer.f_namemax = 255
    return answer
