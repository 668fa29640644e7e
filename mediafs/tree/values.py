"""What the tree answers with: attributes, entries, and the absence of one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..model import Inode

ROOT: Inode = Inode(1)


class Kind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What `stat` shows of one inode; owner, group and umask are the mount's own affair."""

    inode: Inode
    kind: Kind
    size: int
    """Bytes."""
    links: int
    modified_s: int
    """Unix time, whole seconds."""
    writable: bool
    """Whether unlink or rename could ever succeed in this directory; files are always 0600."""
    entry_timeout_s: float
    attr_timeout_s: float


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such name, and the kernel may remember that for so long. 0: ask again."""

    known_for_s: float


@dataclass(frozen=True, slots=True)
class Space:
    """What `df` shows, in bytes and files."""

    used: int
    free: int
    files: int
