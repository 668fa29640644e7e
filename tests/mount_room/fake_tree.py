"""A tree in memory that can be told to fail, and counts what it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import trio

from mediafs.errors import Changed, Denied, Forbidden, Late, NoAttribute, NotFound, ReadOnly, Unavailable
from mediafs.model import Change, ChangeKind, Inode, MediaId, Requester
from mediafs.mount.pages import Holder
from mediafs.tree.values import ROOT, Absent, Attributes, Entry, Kind, Space

WHEN_S = 1_700_000_000
MANY = 5000
LONG_S = 300.0

SUB, LOCKED, MANY_DIR, BROKEN = (Inode(number) for number in (2, 3, 4, 5))


def pattern(length: int) -> bytes:
    return bytes(range(251)) * (length // 251) + bytes(range(length % 251))


class FakeFile:
    grows = False

    keep_cache = True
    content: object = None
    """One content, whoever opens it."""

    def __init__(self, tree: FakeTree, inode: Inode, name: str) -> None:
        self._tree = tree
        self._inode = inode
        self._name = name

    def put_into(self, pages: Holder) -> None:
        pass

    def leave_no_pages(self) -> None:
        self._tree.counts["leave no pages"] += 1

    async def read(self, offset: int, length: int) -> bytes:
        self._tree.counts["read"] += 1
        if self._name.startswith("stall"):
            await trio.sleep_forever()
        if self._name == "changed.bin":
            raise Changed("content changed")
        if self._name == "bug.bin":
            raise KeyError("a bug in read")
        if self._name == "short.bin":
            return self._tree.content[self._inode][:60][offset : offset + length]
        if self._name == "dribble.bin":
            length = min(length, 1000)
        return self._tree.content[self._inode][offset : offset + length]

    def attributes(self) -> Attributes:
        return self._tree.attributes(self._inode)

    async def close(self) -> None:
        self._tree.counts["close"] += 1


class FakeDirectory:
    def __init__(self, tree: FakeTree, inode: Inode) -> None:
        self._tree = tree
        self._inode = inode
        self._names = list(tree.directories[inode].items())

    def rewind(self) -> None:
        self._tree.counts["rewind"] += 1
        self._names = list(self._tree.directories[self._inode].items())

    def entries(self, start: int) -> Iterator[tuple[int, Entry]]:
        self._tree.counts["readdir"] += 1
        living = self._tree.directories[self._inode]
        for index in range(start, len(self._names)):
            name, inode = self._names[index]
            if name in living:
                yield index + 1, Entry(name, self._tree.attributes(inode))

    def close(self) -> None:
        self._tree.counts["closedir"] += 1


class FakeTree:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._next = 100
        self._attributes: dict[Inode, Attributes] = {}
        self.content: dict[Inode, bytes] = {}
        self.links: dict[Inode, str] = {}
        self.directories: dict[Inode, dict[str, Inode]] = {}
        for inode in (ROOT, SUB, MANY_DIR, BROKEN):
            self._directory(inode, writable=True)
        self._directory(LOCKED, writable=False)
        root = self.directories[ROOT]
        root.update({"sub": SUB, "locked": LOCKED, "many": MANY_DIR, "broken": BROKEN})
        self.add(ROOT, "hello.txt", b"hello, world\n")
        self.add(ROOT, "empty.bin", b"")
        self.add(ROOT, "big.bin", pattern(3 << 20))
        for name in ("bug.bin", "changed.bin", "short.bin", "dribble.bin"):
            self.add(ROOT, name, pattern(100 if name == "short.bin" else 10_000))
        self.add(SUB, "inner.txt", b"inner\n")
        self.add(SUB, "na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve (1).txt", b"x")
        self.add(LOCKED, "kept.txt", b"kept")
        for number in range(MANY):
            self.add(MANY_DIR, f"media-{number:06d}-a-name-of-usual-length.png", b"png")
        link = self.add(ROOT, "link", b"hello.txt", kind=Kind.SYMLINK)
        self.links[link] = "hello.txt"

    def _directory(self, inode: Inode, *, writable: bool) -> None:
        self.directories[inode] = {}
        self._attributes[inode] = Attributes(inode, Kind.DIRECTORY, 0, 5, WHEN_S, writable, LONG_S, LONG_S)

    def add(self, parent: Inode, name: str, content: bytes, *, kind: Kind = Kind.FILE) -> Inode:
        self._next += 1
        inode = Inode(self._next)
        self._attributes[inode] = Attributes(inode, kind, len(content), 2, WHEN_S, True, LONG_S, LONG_S)
        self.content[inode] = content
        self.directories[parent][name] = inode
        return inode

    def rewrite(self, parent: Inode, name: str, content: bytes) -> Change:
        inode = self.directories[parent][name]
        self.content[inode] = content
        self._attributes[inode] = Attributes(
            inode, Kind.FILE, len(content), 2, WHEN_S + 1, True, LONG_S, LONG_S
        )
        return Change(kind=ChangeKind.CHANGED, inode=inode, media=MediaId("m"), content=True)

    def remove(self, parent: Inode, name: str) -> Change:
        inode = self.directories[parent].pop(name)
        del self._attributes[inode]
        return Change(kind=ChangeKind.REMOVED, inode=inode, media=MediaId("m"), places=((parent, name),))

    def arrived(self, parent: Inode, name: str, content: bytes) -> Change:
        inode = self.add(parent, name, content)
        return Change(kind=ChangeKind.ADDED, inode=inode, media=MediaId("m"), places=((parent, name),))

    # What the mount asks.

    def known(self, parent: Inode, name: str) -> Attributes | None:
        if name == "known bug":
            raise KeyError("a bug in known")
        return None

    async def lookup(self, parent: Inode, name: str) -> Attributes | Absent:
        self.counts[f"lookup {name}"] += 1
        if name.startswith("slow"):
            await trio.sleep_forever()
        match name:
            case "bug":
                raise KeyError("a bug in lookup")
            case "group":
                raise ExceptionGroup("inner", [ExceptionGroup("more", [Denied("no")])])
            case "denied":
                raise Denied("no")
            case "late":
                raise Late("throttled", 9.0)
            case "unreachable":
                raise Unavailable("no route")
        if name.startswith("never"):
            return Absent(LONG_S)
        inode = self.directories.get(parent, {}).get(name)
        if inode is None:
            if name.startswith(("stall", "probe")):
                inode = self.add(parent, name, pattern(1 << 20))
            else:
                return Absent(0.0)
        return self.attributes(inode)

    def attributes(self, inode: Inode) -> Attributes:
        found = self._attributes.get(inode)
        if found is None:
            raise NotFound("no such inode")
        return found

    async def open_directory(self, inode: Inode) -> FakeDirectory:
        self.counts["opendir"] += 1
        if inode == BROKEN:
            raise Unavailable("no route")
        return FakeDirectory(self, inode)

    async def open(self, inode: Inode) -> FakeFile:
        self.counts["open"] += 1
        names = {number: name for names in self.directories.values() for name, number in names.items()}
        return FakeFile(self, inode, names[inode])

    def link_target(self, inode: Inode) -> str:
        return self.links[inode]

    def space(self) -> Space:
        self.counts["space"] += 1
        return Space(used=10_000_000, free=0, files=42)

    def xattr_names(self, inode: Inode) -> tuple[str, ...]:
        self.attributes(inode)
        return ("user.mediafs.id", "user.mediafs.title")

    def xattr(self, inode: Inode, name: str) -> bytes:
        if name == "user.bug":
            raise ZeroDivisionError
        if name == "user.mediafs.id":
            return str(inode).encode()
        if name == "user.mediafs.title":
            return "Überblick".encode()
        raise NoAttribute(name)

    async def set_xattr(self, inode: Inode, name: str, value: bytes) -> None:
        if name.startswith("user.mediafs."):
            raise Forbidden("cannot be set")
        raise ReadOnly("cannot be set")

    async def remove_xattr(self, inode: Inode, name: str) -> None:
        await self.set_xattr(inode, name, b"")

    async def unlink(self, parent: Inode, name: str, requester: Requester) -> None:
        self.counts[f"unlink {name} by {requester.program}"] += 1
        raise Forbidden("nothing is deleted here")

    async def rmdir(self, parent: Inode, name: str) -> None:
        raise Forbidden("nothing is deleted here")

    async def rename(self, old: tuple[Inode, str], new: tuple[Inode, str], requester: Requester) -> None:
        raise Forbidden("nothing is renamed here")
