"""What the tree answers with: attributes, entries, and the absence of one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..model import Inode

ROOT: Inode = Inode(1)


class Kind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


class Attributes(NamedTuple):
    """What `stat` shows of one inode; owner, group and umask are the mount's own affair.

    A tuple, as `Entry` is: a listing makes one of each for every file, and a frozen dataclass takes four
    times as long (measured).
    """

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


class Entry(NamedTuple):
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
