"""The tree in process: what stands in it, without FUSE and without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from mediafs.errors import (
    Busy,
    Changed,
    Denied,
    Forbidden,
    NoAttribute,
    NotEmpty,
    NotFound,
    Unavailable,
    Unsupported,
    ValueRefused,
)
from mediafs.model import AccountName, Data, Inode, MediaId, Owner, Requester, UserId
from mediafs.reading import ReadingOptions, reading
from mediafs.source import Body
from mediafs.tree import ROOT, Absent, Attributes, Kind, Tree, TreeOptions
from mediafs.tree.names import Names
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
    source: MemorySource,
    folder: Path,
    tree_options: Mapping[str, object] | None = None,
    reading_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Here]:
    async with (
        house(source, folder, **options) as rooms,
        reading(source, ReadingOptions(spool_directory=folder, **(reading_options or {}))) as bytes_,
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
            status=lambda: f'{{"up": {rooms.clock[0]}}}\n',
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


class NoPages:
    async def store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        return False

    def end(self) -> None:
        pass


async def test_the_kernel_keeps_pages_only_of_what_it_was_shown(tmp_path: Path) -> None:
    source = MemorySource([make_media(1, size=5000)])
    async with tree_of(source, tmp_path) as here:
        (name,) = await here.list("recent")
        inode = (await here.find(f"recent/{name}")).inode
        keeps = []
        for size, paged in (
            (5000, True),
            (5000, True),
            (6000, True),
            (6000, False),
            (6000, True),
            (6000, True),
        ):
            source.archive[0] = make_media(1, size=size)
            await here.tree.refresh("recent")
            file = await here.tree.open(inode)
            if paged:
                file.put_into(NoPages())
            else:
                file.leave_no_pages()
            assert await file.read(0, size) == content_of(source.archive[0])
            keeps.append(file.keep_cache)
            await file.close()
        # What was opened without pages leaves none that are known to be its own.
        assert keeps == [False, True, False, True, False, True]


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


async def test_a_size_is_not_taken_for_that_of_a_record_that_came_meanwhile(tmp_path: Path) -> None:
    source = MemorySource([make_media(1, size=None)])
    async with tree_of(source, tmp_path) as here:
        (name,) = await here.list("recent")
        inode = (await here.find(f"recent/{name}")).inode
        body = source.body

        @asynccontextmanager
        async def slow(*given: Any, **more: Any) -> AsyncIterator[Body]:
            async with body(*given, **more) as found:
                source.archive[0] = make_media(1, size=None, created=START + timedelta(days=3))
                await here.tree.refresh("recent")
                yield found

        source.body = slow  # type: ignore[method-assign]
        with pytest.raises(Changed):
            await here.tree.open(inode)
        assert here.tree.attributes(inode).size == 1 << 30
        source.body = body  # type: ignore[method-assign]
        await (await here.tree.open(inode)).close()
        assert here.tree.attributes(inode).size == 777


async def test_only_attributes_that_have_a_value_are_listed(tmp_path: Path) -> None:
    bare = make_media(1, title=None, description=None, owner=None)
    async with tree_of(MemorySource([bare]), tmp_path) as here:
        await here.list("recent")
        (name,) = await here.list("recent")
        inode = (await here.find(f"recent/{name}")).inode
        for listed in here.tree.xattr_names(inode):
            assert here.tree.xattr(inode, listed)
        assert "user.mediafs.title" not in here.tree.xattr_names(inode)


# --- what goes and changes ---------------------------------------------------------------------------

WHO = Requester(uid=1000, pid=42, program="rm")


async def erase(here: Here, folder: str, name: str) -> None:
    await here.tree.unlink((await here.find(folder)).inode, name, WHO)


async def rmdir(here: Here, path: str) -> None:
    above, _, name = path.rpartition("/")
    await here.tree.rmdir((await here.find(above)).inode if above else ROOT, name)


async def test_a_media_goes_from_all_views_by_any_of_its_names(tmp_path: Path) -> None:
    async with tree_of(archive(8), tmp_path) as here:
        for n, folder in enumerate(("by-date/2024/01/01", "by-user/Owner 1000 (1000)", "recent")):
            name = (await here.list(folder))[0]
            inode = (await here.find(f"{folder}/{name}")).inode
            await erase(here, folder, name)
            assert len(await here.list("recent")) == 7 - n
            for view in ("by-date/2024/01/01", "by-user/Owner 1000 (1000)", "recent"):
                assert name not in await here.list(view)
            with pytest.raises(NotFound):
                here.tree.attributes(inode)


async def test_what_is_no_media_cannot_be_unlinked(tmp_path: Path) -> None:
    async with tree_of(archive(8), tmp_path) as here:
        await here.list("by-user")
        for folder, name in (("by-user", "1000"), ("by-date", "2024"), ("by-user", "Owner 1000 (1000)")):
            with pytest.raises(Forbidden):
                await erase(here, folder, name)
        for name in ("nothing.png", "\udcff"):
            with pytest.raises(NotFound):
                await erase(here, "recent", name)
        assert here.house.source.asked["erase"] == 0


@pytest.mark.parametrize("path", ["by-date", "by-user", "by-conversation", "recent", "by-user/1000"])
async def test_what_the_tree_is_made_of_stays(tmp_path: Path, path: str) -> None:
    async with tree_of(archive(8), tmp_path) as here:
        with pytest.raises(Busy):
            await rmdir(here, path)


@pytest.mark.parametrize(
    "path",
    [
        "by-date/2024/01/01",
        "by-date/2024/01",
        "by-date/2024",
        "by-user/Owner 1000 (1000)",
        "by-conversation/77",
    ],
)
async def test_a_directory_with_media_stays(tmp_path: Path, path: str) -> None:
    async with tree_of(archive(8), tmp_path) as here:
        with pytest.raises(NotEmpty):
            await rmdir(here, path)


async def test_a_day_that_was_never_listed_is_listed_first(tmp_path: Path) -> None:
    async with tree_of(archive(8), tmp_path) as here:
        inode = (await here.find("by-date/2024/03/17")).inode
        assert here.house.pages == 0
        await rmdir(here, "by-date/2024/03/17")
        assert here.house.pages == 1
        assert (await here.find("by-date/2024/03/17")).inode > inode


async def test_a_directory_of_which_it_cannot_be_found_out_stays(tmp_path: Path) -> None:
    source = archive(8)
    async with tree_of(source, tmp_path) as here:
        day = "by-date/2024/03/17"
        inode = (await here.find(day)).inode
        source.fail = lambda question: Unavailable("away")
        with pytest.raises(Unavailable):
            await rmdir(here, day)
        assert (await here.find(day)).inode == inode


async def test_a_listing_that_is_not_fresh_is_no_proof_of_emptiness(tmp_path: Path) -> None:
    source = archive(8)
    async with tree_of(source, tmp_path) as here:
        assert await here.list("by-date/2024/03/17") == []
        source.archive.append(make_media(500, created=START + timedelta(days=76)))
        here.house.clock[0] += 61
        with pytest.raises(NotEmpty):
            await rmdir(here, "by-date/2024/03/17")


async def test_a_month_and_a_year_go_when_no_day_has_media(tmp_path: Path) -> None:
    async with tree_of(archive(8), tmp_path) as here:
        for path in ("by-date/2024/05", "by-date/2025"):
            inode = (await here.find(path)).inode
            await rmdir(here, path)
            assert (await here.find(path)).inode > inode
        assert here.house.pages <= 2, "an open-ended page proves all days after it empty"


async def test_the_inode_of_a_directory_that_was_removed_stands_for_nothing(tmp_path: Path) -> None:
    async with tree_of(archive(8), tmp_path) as here:
        inode = (await here.find("by-date/2024/05")).inode
        await here.list("by-date/2024/05")
        await rmdir(here, "by-date/2024/05")
        with pytest.raises(NotFound):
            here.tree.attributes(inode)
        with pytest.raises(NotFound):
            here.tree.known(inode, "17")


async def test_a_media_that_is_known_is_told_without_waiting(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        folder = (await here.find("by-date/2024/01/05")).inode
        name = "media-0000000000000016-1538745137.png"
        assert here.tree.known(folder, name) is None
        assert name in await here.list("by-date/2024/01/05")
        pages = here.house.pages
        assert here.tree.known(folder, name) == await here.find(f"by-date/2024/01/05/{name}")
        for other in ("nothing.png", "lone \udcff.png", ".hidden"):
            assert here.tree.known(folder, other) is None
        assert here.tree.known(ROOT, "by-date") is None
        assert here.house.pages == pages


async def test_a_listing_goes_on_where_it_was_while_media_come_and_go(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        directory = await here.tree.open_directory((await here.find("by-date/2024/01/05")).inode)
        names = [entry.name for _, entry in directory.entries(0)]
        assert len(names) == 4
        here.house.catalogue.contents.remove(MediaId("17"))
        assert [entry.name for _, entry in directory.entries(1)] == names[2:]
        directory.rewind()
        assert [entry.name for _, entry in directory.entries(0)] == [names[0], *names[2:]]


async def test_a_user_is_gone_with_the_last_media_but_for_who_takes_the_directory_away(
    tmp_path: Path,
) -> None:
    source = archive(0)
    source.archive = [make_media(1), make_media(2, owner="2000")]
    async with tree_of(source, tmp_path) as here:
        folder = "by-user/Owner 2000 (2000)"
        await here.list("by-date/2024/01/01")
        inode = (await here.find(folder)).inode
        (name,) = await here.list(folder)
        await erase(here, folder, name)
        assert await here.list("by-user") == ["Owner 1000 (1000)"]
        assert (await here.find(folder)).inode == inode, "rm -r takes it away last"
        await rmdir(here, folder)
        with pytest.raises(NotFound):
            await here.find(folder)
        source.archive.append(make_media(3, owner="2000"))
        here.house.clock[0] += 1000
        assert (await here.find(folder)).inode > inode
        assert len(await here.list(folder)) == 1


async def test_a_refused_deletion_does_not_make_a_folder_appear(tmp_path: Path) -> None:
    source = archive(0)
    source.archive = [make_media(1), make_media(2, owner="2000")]
    async with tree_of(source, tmp_path, fresh_for_s=1) as here:
        folder = "by-user/Owner 2000 (2000)"
        await here.list("by-date/2024/01/01")
        (name,) = await here.list(folder)
        source.refuse = lambda operation, media: Denied("no")
        with pytest.raises(Denied):
            await erase(here, folder, name)
        del source.archive[1]
        here.house.clock[0] += 100
        await here.tree.refresh("by-date/2024/01/01")
        with pytest.raises(NotFound):
            await here.find(folder)


TITLES = {"titles": True, "editable": frozenset({"title"})}


@asynccontextmanager
async def titled(folder: Path) -> AsyncIterator[tuple[Here, Inode, str]]:
    """A tree of names from titles, one of its days, and the first name in it."""
    source = archive(8)
    async with tree_of(source, folder, TITLES, names=Names.TITLE) as here:
        day = (await here.find("by-date/2024/01/01")).inode
        yield here, day, (await here.list("by-date/2024/01/01"))[0]


@pytest.mark.parametrize("typed", ["Roof.png", "Roof~{}.png", "Roof", "Roof.PNG"])
async def test_a_new_name_is_a_new_title(tmp_path: Path, typed: str) -> None:
    async with titled(tmp_path) as (here, day, name):
        digits = name.rsplit("~", 1)[1].removesuffix(".png")
        await here.tree.rename((day, name), (day, typed.format(digits)), WHO)
        assert here.house.source.archive[0].title == "Roof"
        assert (await here.list("by-date/2024/01/01"))[0] == f"Roof~{digits}.png"
        told = {place for change in here.house.changes for place in change.places}
        assert {(day, name), (day, f"Roof~{digits}.png")} <= told
        if typed.format(digits) != f"Roof~{digits}.png":
            assert (day, typed) in told, "the kernel has a ghost by that name"


async def test_a_name_that_means_the_same_title_sends_nothing(tmp_path: Path) -> None:
    async with titled(tmp_path) as (here, day, name):
        await here.tree.rename((day, name), (day, "title 0.png"), WHO)
        assert here.house.source.asked["update"] == 0
        assert (day, "title 0.png") in {place for change in here.house.changes for place in change.places}


async def test_a_name_without_a_title_is_refused(tmp_path: Path) -> None:
    async with titled(tmp_path) as (here, day, name):
        for typed in (".png", " .png"):
            with pytest.raises(ValueRefused):
                await here.tree.rename((day, name), (day, typed), WHO)
        assert here.house.source.asked["update"] == 0


async def test_another_medias_name_is_not_taken(tmp_path: Path) -> None:
    async with titled(tmp_path) as (here, day, name):
        other = (await here.list("by-date/2024/01/01"))[1]
        with pytest.raises(Forbidden):
            await here.tree.rename((day, name), (day, other), WHO)
        assert here.house.source.asked["update"] == here.house.source.asked["erase"] == 0


async def test_nothing_moves(tmp_path: Path) -> None:
    async with titled(tmp_path) as (here, day, name):
        recent = (await here.find("recent")).inode
        by_date = (await here.find("by-date")).inode
        for old, new in (
            ((day, name), (recent, name)),
            ((day, name), (Inode(day + 1), name)),
            ((by_date, "2024"), (by_date, "2025")),
            ((ROOT, "recent"), (ROOT, "newest")),
        ):
            with pytest.raises(Forbidden):
                await here.tree.rename(old, new, WHO)
    async with tree_of(archive(8), tmp_path / "other") as here:  # names are the vendor's
        day = (await here.find("by-date/2024/01/01")).inode
        (name, *_) = await here.list("by-date/2024/01/01")
        with pytest.raises(Forbidden, match="title"):
            await here.tree.rename((day, name), (day, "x.png"), WHO)
        assert here.house.source.asked["update"] == 0


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("user.mediafs.title", b"\xff\xfe", ValueRefused),
        ("user.mediafs.title", b"a\0b", ValueRefused),
        ("user.mediafs.latitude", b"90.1", ValueRefused),
        ("user.mediafs.latitude", b"1e1", ValueRefused),
        ("user.mediafs.latitude", b"nan", ValueRefused),
        ("user.mediafs.longitude", b"-180.5", ValueRefused),
        ("user.mediafs.longitude", b"", ValueRefused),
        ("user.mediafs.id", b"7", Forbidden),
        ("user.dublincore.creator", b"me", Forbidden),
        ("user.else", b"x", Forbidden),
        ("user.mediafs.nonsense", b"x", Forbidden),
        ("user.mediafs.mime_type", b"x", Unsupported),
        ("user.mime_type", b"x", Unsupported),
        ("user.mediafs.metadata_primary", b"x", Unsupported),
        ("trusted.x", b"x", Unsupported),
    ],
)
async def test_what_cannot_be_set_sends_nothing(
    tmp_path: Path, name: str, value: bytes, error: type[Exception]
) -> None:
    async with tree_of(archive(8), tmp_path, EDITABLE) as here:
        inode = (await here.find(f"recent/{(await here.list('recent'))[0]}")).inode
        with pytest.raises(error):
            await here.tree.set_xattr(inode, name, value)
        assert here.house.source.asked["update"] == 0


EDITABLE = {"editable": frozenset({"title", "description", "latitude", "longitude"})}


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("user.mediafs.title", "title"),
        ("user.dublincore.title", "title"),
        ("user.mediafs.description", "description"),
        ("user.xdg.comment", "description"),
        ("user.dublincore.description", "description"),
    ],
)
async def test_a_text_is_set_by_every_name_it_has(tmp_path: Path, name: str, field: str) -> None:
    async with tree_of(archive(8), tmp_path, EDITABLE) as here:
        inode = (await here.find(f"recent/{(await here.list('recent'))[0]}")).inode
        await here.tree.set_xattr(inode, name, "zwölf\n\U0001f600".encode())
        assert getattr(here.house.source.archive[0], field) == "zwölf\n\U0001f600"
        assert here.tree.xattr(inode, name).decode() == "zwölf\n\U0001f600"
        await here.tree.remove_xattr(inode, name)
        assert not getattr(here.house.source.archive[0], field)
        with pytest.raises(NoAttribute):
            await here.tree.remove_xattr(inode, name)


async def test_half_a_place_is_none(tmp_path: Path) -> None:
    async with tree_of(archive(8), tmp_path, EDITABLE) as here:
        inode = (await here.find(f"recent/{(await here.list('recent'))[0]}")).inode
        await here.tree.set_xattr(inode, "user.mediafs.latitude", b" 48.5 ")
        await here.tree.set_xattr(inode, "user.mediafs.longitude", b"-1")
        assert here.tree.xattr(inode, "user.mediafs.latitude") == b"48.5"
        await here.tree.remove_xattr(inode, "user.mediafs.longitude")
        for name in ("latitude", "longitude"):
            with pytest.raises(NoAttribute):
                here.tree.xattr(inode, f"user.mediafs.{name}")


async def test_a_directory_has_no_attributes_of_its_own(tmp_path: Path) -> None:
    async with tree_of(archive(8), tmp_path, EDITABLE) as here:
        day = (await here.find("by-date/2024/01/01")).inode
        with pytest.raises(Forbidden):
            await here.tree.set_xattr(day, "user.mediafs.title", b"x")
