"""Open files of one inode with different contents: which of them may have pages in the kernel."""

from __future__ import annotations

import trio

from mediafs.model import Data, Inode
from mediafs.mount.handles import OpenFiles
from mediafs.mount.pages import Holder, KernelPages
from mediafs.tree.values import Attributes, Kind

ONE = Inode(1)


class File:
    grows = False
    keep_cache = True

    def __init__(self, content: object) -> None:
        self.content = content
        self.pages: Holder | None = None
        self.left_no_pages = False

    def put_into(self, pages: Holder) -> None:
        self.pages = pages

    def leave_no_pages(self) -> None:
        self.left_no_pages = True

    async def read(self, offset: int, length: int) -> Data:
        raise AssertionError("not read here")

    def attributes(self) -> Attributes:
        return Attributes(ONE, Kind.FILE, 1, 1, 0, False, 1.0, 1.0)

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_newer_content_beside_an_older_one_gets_no_pages_and_the_older_none_any_more() -> None:
    put: list[int] = []
    files = OpenFiles(KernelPages(lambda inode, offset, data: put.append(offset)))
    older, newer, newest = File("a"), File("b"), File("b")
    first, paged = await files.add(older)
    assert paged
    assert older.pages is not None
    assert await older.pages.store([(0, b"x")], lambda: 0)
    second, paged = await files.add(newer)
    assert not paged
    assert newer.left_no_pages
    # The kernel drops its pages at that open: none of the older content may come after that.
    assert not await older.pages.store([(4096, b"x")], lambda: 0)
    assert put == [0]
    await files.close(first)
    _, paged = await files.add(newest)
    assert paged
    assert newest.pages is not None
    assert await newest.pages.store([(8192, b"x")], lambda: 0)
    await files.close(second)
    assert await newest.pages.store([(12288, b"x")], lambda: 0)
