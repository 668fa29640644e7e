"""The tree in process: what stands in it, without FUSE and without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from mediafs.errors import NoAttribute, NotFound, Unsupported
from mediafs.model import AccountName, Inode, MediaId, Owner, UserId
from mediafs.reading import ReadingOptions, reading
from mediafs.tree import ROOT, Absent, Attributes, Kind, Tree, TreeOptions
from mediafs.writing import Journal, Policy, deleting, editing
from tests.fakes import START, MemorySource, content_of, make_media
from tests.sync.house import House, house


@dataclass
class Here:
    tree: Tree
    house: House

    async def find(self, path: str) -> Attributes:
        inode = ROOT
        found = self.tree.attributes(ROOT)
        for part in path.split("/"):
            step = await self.tree.lookup(inode, part)
            if isinstance(step, Absent):
                raise NotFound(path)
            found, inode = step, step.inode
        return found

    async def list(self, path: str) -> list[str]:
        inode: Inode = (await self.find(path)).inode if path else ROOT
        directory = await self.tree.open_directory(inode)
        return [entry.name for _, entry in directory.entries(0)]


@asynccontextmanager
async def tree_of(
    source: MemorySource, folder: Path, tree_options: Mapping[str, object] | None = None, **options: object
) -> AsyncIterator[Here]:
    async with (
        house(source, folder, **options) as rooms,
        reading(source, ReadingOptions(spool_directory=folder)) as bytes_,
        deleting(
            source,
            rooms.catalogue,
            Journal(folder),
            policy=Policy.PERMANENT,
            limit=100,
            emit=rooms.changes.extend,
            wall_clock=lambda: rooms.clock[0],
        ) as deletions,
        editing(source, rooms.catalogue, emit=rooms.changes.extend) as edits,
    ):
        tree = Tree(
            rooms.catalogue,
            rooms.listings,
            bytes_,
            source,
            deletions,
            edits,
            source.traits,
            TreeOptions(account=AccountName("test"), vendor="memory", zone=UTC, **(tree_options or {})),  # type: ignore[arg-type]
            wall_clock=lambda: rooms.clock[0],
            room=lambda: 1 << 30,
            emit=rooms.changes.extend,
        )
        yield Here(tree, rooms)


def archive(count: int = 100) -> MemorySource:
    source = MemorySource([make_media(n, created=START + timedelta(hours=6 * n)) for n in range(count)])
    source.conversations["77"] = {MediaId("3"), MediaId("4")}
    return source


async def test_the_views_stand_at_the_root(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        assert await here.list("") == ["by-date", "by-conversation", "by-user", "recent"]
        assert here.house.pages == 0


async def test_looking_up_a_day_costs_nothing(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        await here.find("by-date/2024/01/05")
        assert here.house.pages == 0


@pytest.mark.parametrize("path", ["by-date/24", "by-date/2024/13", "by-date/2024/02/30", "by-date/2031", "x"])
async def test_what_is_no_day_is_not_there(tmp_path: Path, path: str) -> None:
    async with tree_of(archive(), tmp_path) as here:
        with pytest.raises(NotFound):
            await here.find(path)
        assert here.house.pages == 0


async def test_days_that_are_known_to_be_empty_are_not_listed_but_can_be_looked_up(tmp_path: Path) -> None:
    async with tree_of(archive(8), tmp_path) as here:
        assert await here.list("by-date") == ["2024"]
        assert await here.list("by-date/2024") == ["01"]
        assert await here.list("by-date/2024/01") == ["01", "02"]
        assert await here.list("by-date/2024/03/17") == []
        assert here.house.pages == 1


async def test_a_name_that_is_no_text_is_not_there(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        for folder in ("by-user", "by-conversation", "by-date/2024/01/05"):
            inode = (await here.find(folder)).inode
            assert isinstance(await here.tree.lookup(inode, "\udcff1"), Absent)


async def test_a_month_says_whether_it_is_complete(tmp_path: Path) -> None:
    async with tree_of(archive(8), tmp_path) as here:
        await here.list("by-date")
        for folder in ("by-date", "by-date/2024", "by-date/2024/01"):
            inode = (await here.find(folder)).inode
            assert here.tree.xattr(inode, "user.mediafs.complete") == b"true"


async def test_a_bare_id_of_a_user_is_a_link_to_the_human_name(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        link = await here.find("by-user/1000")
        folder = await here.find("by-user/Owner 1000 (1000)")
        assert link.kind is Kind.SYMLINK
        assert here.tree.link_target(link.inode) == "Owner 1000 (1000)"
        assert link.inode != folder.inode
        assert await here.list("by-user") == ["Owner 1000 (1000)"]


async def test_users_are_not_an_empty_folder_before_anything_was_looked_at(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        assert await here.list("by-user") == ["Owner 1000 (1000)"]
        assert here.house.pages == 1
        await here.list("by-user")
        assert here.house.pages == 1


async def test_a_folder_name_of_an_unknown_user_is_asked_for_by_its_id(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        assert (await here.find("by-user/Owner 1000 (1000)")).kind is Kind.DIRECTORY
        with pytest.raises(NotFound):
            await here.find("by-user/Somebody Else (1000)")


async def test_an_owner_without_a_name_is_a_folder_of_his_id(tmp_path: Path) -> None:
    source = archive(0)
    source.archive = [make_media(1, owner=None), replace_owner(2, None), replace_owner(3, "Ann")]
    async with tree_of(source, tmp_path) as here:
        await here.list("by-date")
        assert sorted(await here.list("by-user")) == ["43", "Ann (44)"]


def replace_owner(number: int, name: str | None):  # type: ignore[no-untyped-def]
    return replace(make_media(number), owner=Owner(id=UserId(str(41 + number)), name=name))


async def test_any_conversation_can_be_looked_up(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        assert await here.list("by-conversation") == []
        assert len(await here.list("by-conversation/77")) == 2
        assert await here.list("by-conversation") == ["77"]
        with pytest.raises(NotFound):
            await here.find("by-conversation/78")


@pytest.mark.parametrize(
    "folder", ["", "by-date", "by-user", "by-conversation", "recent", "by-conversation/77"]
)
async def test_what_desktops_probe_for_costs_nothing(tmp_path: Path, folder: str) -> None:
    async with tree_of(archive(), tmp_path) as here:
        inode = (await here.find(folder)).inode if folder else ROOT
        before = here.house.source.asked.total()
        for name in (".hidden", ".Trash", ".Trash-1000", "autorun.inf", "desktop.ini", "folder.jpg", "a.xmp"):
            found = await here.tree.lookup(inode, name)
            assert isinstance(found, Absent)
            assert found.known_for_s > 0
        assert here.house.source.asked.total() == before


async def test_a_media_is_one_inode_under_every_name(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        await here.list("by-conversation/77")
        (name,) = [n for n in await here.list("by-conversation/77") if "3-" in n]
        paths = ("by-date/2024/01/01", "by-conversation/77", "by-user/Owner 1000 (1000)")
        found = [await here.find(f"{path}/{name}") for path in paths]
        assert len({f.inode for f in found}) == 1
        assert {f.links for f in found[1:]} == {3}


async def test_attributes_cost_no_request(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        (name, *_) = await here.list("by-date/2024/01/01")
        file = await here.find(f"by-date/2024/01/01/{name}")
        before = here.house.source.asked.total()
        for attribute in here.tree.xattr_names(file.inode):
            here.tree.xattr(file.inode, attribute)
        assert here.tree.xattr(file.inode, "user.xdg.comment") == b"description 0"
        assert here.tree.xattr(file.inode, "user.mime_type") == b"image/png"
        with pytest.raises(NoAttribute):
            here.tree.xattr(file.inode, "user.nothing")
        with pytest.raises(NoAttribute):
            here.tree.xattr(file.inode, "user.mediafs.etag")
        with pytest.raises(Unsupported):
            here.tree.xattr(file.inode, "security.selinux")
        here.tree.attributes(file.inode)
        here.tree.space()
        assert here.house.source.asked.total() == before


async def test_a_long_description_is_readable_but_not_listed(tmp_path: Path) -> None:
    source = MemorySource([make_media(1, description="é" * 1400)])
    async with tree_of(source, tmp_path) as here:
        (name,) = await here.list("recent")
        inode = (await here.find(f"recent/{name}")).inode
        names = here.tree.xattr_names(inode)
        assert "user.mediafs.description" in names
        source.archive[0] = make_media(1, description="é" * 1600)
        await here.tree.refresh("recent")
        names = here.tree.xattr_names(inode)
        assert "user.mediafs.description" not in names
        assert "user.mediafs.title" in names
        assert len(here.tree.xattr(inode, "user.mediafs.description")) == 3200


async def test_a_folder_says_whether_it_is_complete(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        day = (await here.find("by-date/2024/01/05")).inode
        assert here.tree.xattr(day, "user.mediafs.complete") == b"false"
        await here.tree.open_directory(day)
        assert here.tree.xattr(day, "user.mediafs.complete") == b"true"
        assert here.tree.xattr(day, "user.mediafs.listed") == b"2025-01-15T12:00:00Z"
        index = (await here.find("by-conversation")).inode
        assert here.tree.xattr(index, "user.mediafs.complete") == b"false"


async def test_the_kernel_keeps_pages_only_of_what_it_was_shown(tmp_path: Path) -> None:
    source = MemorySource([make_media(1, size=5000)])
    async with tree_of(source, tmp_path) as here:
        (name,) = await here.list("recent")
        inode = (await here.find(f"recent/{name}")).inode
        keeps = []
        for size in (5000, 5000, 6000, 6000):
            source.archive[0] = make_media(1, size=size)
            await here.tree.refresh("recent")
            file = await here.tree.open(inode)
            assert await file.read(0, size) == content_of(source.archive[0])
            keeps.append(file.keep_cache)
            await file.close()
        assert keeps == [False, True, False, True]


async def test_a_size_that_no_record_tells_is_settled_by_opening(tmp_path: Path) -> None:
    source = MemorySource([make_media(1, size=None)])
    async with tree_of(source, tmp_path) as here:
        (name,) = await here.list("recent")
        shown = await here.find(f"recent/{name}")
        assert shown.size > 1 << 20
        assert shown.attr_timeout_s == 0
        file = await here.tree.open(shown.inode)
        assert file.attributes().size == 777
        assert len(await file.read(0, 4096)) == 777
        await file.close()
        await here.tree.refresh("recent")
        assert here.tree.attributes(shown.inode).size == 777


async def test_only_attributes_that_have_a_value_are_listed(tmp_path: Path) -> None:
    bare = make_media(1, title=None, description=None, owner=None)
    async with tree_of(MemorySource([bare]), tmp_path) as here:
        await here.list("recent")
        (name,) = await here.list("recent")
        inode = (await here.find(f"recent/{name}")).inode
        for listed in here.tree.xattr_names(inode):
            assert here.tree.xattr(inode, listed)
        assert "user.mediafs.title" not in here.tree.xattr_names(inode)
