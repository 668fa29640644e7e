"""Live names in the tree: there for who asks, never remembered, and never two calls under one inode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from mediafs.errors import Changed, Forbidden, NotFound
from mediafs.model import Media, Owner, Requester, Traits, User, UserId
from mediafs.tree import Absent, Attributes
from mediafs.tree.live import CONTENTION_S, LiveFile
from mediafs.tree.nodes import Live, loaded, stored
from tests.fakes import MemorySource, content_of, make_media

from .test_tree import Here, tree_of

LINE = UserId("8856")
FOLDER = "by-user/8856"
WHO = Requester(uid=1000, pid=42, program="rm")


@dataclass
class Recorder(MemorySource):
    """Its calls can be searched, or only asked for."""

    searched: bool = False

    @property
    def traits(self) -> Traits:
        return replace(super().traits, enumerable=self.searched, in_date_order=self.searched)


def recorder(*, searched: bool = False) -> Recorder:
    # Without a name: the number itself is then the folder, and no link to it.
    nameless = Owner(id=LINE, name=None)
    source = Recorder([replace(make_media(n), owner=nameless) for n in (1, 2)], searched=searched)
    source.live_names[LINE] = tuple((f"{each}.bin", behind(source, each)) for each in ("last", "ongoing"))
    return source


def behind(source: MemorySource, name: str, size: int = 5000) -> Media:
    """What `name` stands for, and its bytes."""
    media = replace(
        make_media(len(source.archive) + 10, size=size), filename=f"{name}.bin", size=None, fleeting=True
    )
    source.archive.append(replace(media, size=size, owner=None))
    return media


@asynccontextmanager
async def tree(source: MemorySource, folder: Path) -> AsyncIterator[Here]:
    async with tree_of(source, folder, {"users": (LINE,), "editable": frozenset({"title"})}) as here:
        yield here


async def opened(here: Here, inode: Attributes) -> LiveFile:
    file = await here.tree.open(inode.inode)
    assert isinstance(file, LiveFile)
    return file


@pytest.mark.parametrize("searched", [True, False])
async def test_they_are_listed_only_where_calls_are_not(tmp_path: Path, searched: bool) -> None:
    async with tree(recorder(searched=searched), tmp_path) as here:
        listed = await here.list(FOLDER)
        assert [name for name in listed if name.endswith(".bin")] == (
            [] if searched else ["last.bin", "ongoing.bin"]
        )
        for name in ("last.bin", "ongoing.bin"):
            found = await here.find(f"{FOLDER}/{name}")
            assert (found.entry_timeout_s, found.attr_timeout_s, found.links) == (0, 0, 1)
            assert found.size == 1 << 30
        with pytest.raises(NotFound):
            await here.find(f"{FOLDER}/next.bin")


async def test_of_a_user_whom_nobody_named_they_are_not_listed(tmp_path: Path) -> None:
    async with tree_of(recorder(), tmp_path) as here:
        assert [name for name in await here.list(FOLDER) if name.endswith(".bin")] == []
        assert (await here.find(f"{FOLDER}/last.bin")).size == 1 << 30


async def test_looking_costs_nothing(tmp_path: Path) -> None:
    source = recorder()
    async with tree(source, tmp_path) as here:
        folder = (await here.find(FOLDER)).inode
        before = source.asked.total()
        for _ in range(5):
            found = await here.tree.lookup(folder, "last.bin")
            assert isinstance(found, Attributes)
            assert here.tree.attributes(found.inode).inode == found.inode
        assert source.asked.total() == before


async def test_an_open_reads_what_is_behind_it_then(tmp_path: Path) -> None:
    source = recorder()
    async with tree(source, tmp_path) as here:
        found = await here.find(f"{FOLDER}/last.bin")
        media = dict(source.live_names[LINE])["last.bin"]
        file = await opened(here, found)
        assert (file.keep_cache, file.grows) == (False, False)
        assert file.attributes().size == len(content_of(source._found(media)))
        assert await file.read(0, 10_000) == content_of(source._found(media))
        await file.close()
        assert (await here.find(f"{FOLDER}/last.bin")).inode == found.inode
        assert here.tree.attributes(found.inode).size == 1 << 30, "nothing of it is remembered"


async def test_while_one_is_open_the_name_stands_for_another_inode(tmp_path: Path) -> None:
    source = recorder()
    async with tree(source, tmp_path) as here:
        first = await here.find(f"{FOLDER}/last.bin")
        one = await opened(here, first)
        second = await here.find(f"{FOLDER}/last.bin")
        assert second.inode != first.inode
        assert (await here.find(f"{FOLDER}/last.bin")).inode == second.inode, (
            "the same one to who looks twice"
        )
        source.live_names[LINE] = (("last.bin", behind(source, "last", size=70)),)
        two = await opened(here, second)
        assert (one.attributes().size, two.attributes().size) == (5000, 70)
        assert (one.attributes().inode, two.attributes().inode) == (first.inode, second.inode)
        assert one.content is not two.content
        third = (await here.find(f"{FOLDER}/last.bin")).inode
        assert third not in (first.inode, second.inode)
        await one.close()
        assert (await here.find(f"{FOLDER}/last.bin")).inode == first.inode
        await two.close()
        assert (await here.find(f"{FOLDER}/last.bin")).inode == first.inode


async def test_two_who_met_on_one_inode_are_sent_to_look_again(tmp_path: Path) -> None:
    async with tree(recorder(), tmp_path) as here:
        found = await here.find(f"{FOLDER}/last.bin")
        one = await opened(here, found)
        with pytest.raises(Changed):
            await here.tree.open(found.inode)
        # All who are sent away come at once: each is to get another one.
        again = [(await here.find(f"{FOLDER}/last.bin")).inode for _ in range(5)]
        assert len({found.inode, *again}) == 6
        for inode in again:
            await (await here.tree.open(inode)).close()
        await trio.sleep(CONTENTION_S + 0.05)
        calm = [(await here.find(f"{FOLDER}/last.bin")).inode for _ in range(3)]
        assert len(set(calm)) == 1
        await one.close()


async def test_a_failed_open_leaves_the_inode_free(tmp_path: Path) -> None:
    source = recorder()
    async with tree(source, tmp_path) as here:
        found = await here.find(f"{FOLDER}/ongoing.bin")
        gone = dict(source.live_names[LINE])["ongoing.bin"]
        source.archive = [media for media in source.archive if media.id != gone.id]
        for _ in range(2):
            with pytest.raises(NotFound):
                await here.tree.open(found.inode)
        assert (await here.find(f"{FOLDER}/ongoing.bin")).inode == found.inode


async def test_a_name_that_the_vendor_does_not_offer_any_more_cannot_be_opened(tmp_path: Path) -> None:
    source = recorder()
    async with tree(source, tmp_path) as here:
        found = await here.find(f"{FOLDER}/ongoing.bin")
        source.live_names.clear()
        with pytest.raises(NotFound):
            await here.tree.open(found.inode)
        assert isinstance(await here.tree.lookup((await here.find(FOLDER)).inode, "ongoing.bin"), Absent)


async def test_they_can_neither_be_deleted_nor_moved_nor_edited(tmp_path: Path) -> None:
    source = recorder()
    async with tree(source, tmp_path) as here:
        folder = (await here.find(FOLDER)).inode
        recent = (await here.find("recent")).inode
        with pytest.raises(Forbidden):
            await here.tree.unlink(folder, "last.bin", WHO)
        with pytest.raises(Forbidden):
            await here.tree.rename((folder, "last.bin"), (folder, "mine.bin"), WHO)
        (name, *_) = [name for name in await here.list(FOLDER) if not name.endswith(".bin")]
        with pytest.raises(Forbidden):
            await here.tree.rename((folder, name), (folder, "last.bin"), WHO)
        with pytest.raises(Forbidden):
            await here.tree.rename((folder, "last.bin"), (recent, "last.bin"), WHO)
        inode = (await here.find(f"{FOLDER}/last.bin")).inode
        with pytest.raises(Forbidden):
            await here.tree.set_xattr(inode, "user.mediafs.title", b"x")
        assert here.tree.xattr_names(inode) == ()
        assert source.asked["erase"] == source.asked["update"] == 0


async def test_an_inode_is_the_same_after_a_restart(tmp_path: Path) -> None:
    source, inodes = recorder(), []
    for _ in range(2):
        async with tree(source, tmp_path) as here:
            found = await here.find(f"{FOLDER}/last.bin")
            file = await opened(here, found)
            inodes.append((found.inode, (await here.find(f"{FOLDER}/last.bin")).inode))
            await file.close()
    assert inodes[0] == inodes[1]


@pytest.mark.parametrize("user", ["8856", "+36 1/55", "alice@example.org"])
@pytest.mark.parametrize("turn", [0, 1, 12])
def test_what_an_inode_stands_for_is_kept(user: str, turn: int) -> None:
    node = Live(User(UserId(user)), "last.bin", turn)
    assert loaded(*stored(node)) == node
