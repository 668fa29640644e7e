"""`search/<words>/`: made by looking it up, with the media's own names and numbers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mediafs.errors import Busy, CredentialsRefused, Forbidden, NotEmpty, NotFound
from mediafs.model import Requester
from mediafs.tree import ROOT, Absent, Kind
from mediafs.tree.names import Names
from tests.fakes import START, MemorySource, make_media

from .test_tree import Here, tree_of

WHO = Requester(uid=1000, pid=42, program="rm")


def archive(*, searches: bool = False) -> MemorySource:
    media = [
        make_media(n, created=START + timedelta(hours=6 * n), title="red" if n % 3 == 0 else "blue")
        for n in range(30)
    ]
    return MemorySource(media, searches=searches)


def complete(here: Here, inode: int) -> str:
    return here.tree.xattr(inode, "user.mediafs.complete").decode()  # type: ignore[arg-type]


async def test_it_is_looked_up_and_never_listed(tmp_path: Path) -> None:
    async with tree_of(archive(searches=True), tmp_path) as here:
        assert "search" not in await here.list("")
        view = await here.find("search")
        assert view.kind is Kind.DIRECTORY
        assert await here.list("search") == []
        red = await here.find("search/red")
        assert (await here.find("search/red")).inode == red.inode
        assert (await here.find("search/%72ed")).inode != red.inode, "two names for one confuse pwd"
        assert await here.list("search") == []
        assert complete(here, view.inode) == "false"
        assert here.house.pages == 0
        with pytest.raises(Busy):
            await here.tree.rmdir(ROOT, "search")


@pytest.mark.parametrize(
    "name",
    [".hidden", ".Trash-1000", "autorun.inf", "Thumbs.db", "folder.jpg", "x.xmp", " ", "%20", "\udcff"],
)
async def test_what_programs_try_everywhere_is_no_search(tmp_path: Path, name: str) -> None:
    async with tree_of(archive(searches=True), tmp_path) as here:
        view = await here.find("search")
        assert isinstance(await here.tree.lookup(view.inode, name), Absent)
        found = await here.find("search/red")
        assert isinstance(await here.tree.lookup(found.inode, ".hidden"), Absent)
        assert here.house.pages == 0


@pytest.mark.parametrize("searches", [True, False])
async def test_it_holds_the_medias_own_names_and_numbers(tmp_path: Path, searches: bool) -> None:
    async with tree_of(archive(searches=searches), tmp_path) as here:
        await here.list("by-date")
        listed = await here.list("search/RED red" if not searches else "search/red")
        red = [m for m in here.house.source.archive if m.title == "red"]
        assert listed == [m.filename for m in reversed(red)], "newest first"
        path = "search/RED red" if not searches else "search/red"
        one = red[3]
        found = await here.find(f"{path}/{one.filename}")
        other = await here.find(f"by-date/{one.created:%Y/%m/%d}/{one.filename}")
        assert found._replace(entry_timeout_s=other.entry_timeout_s) == other
        assert found.entry_timeout_s == 0, "nobody tells the kernel when it leaves a search"
        assert complete(here, (await here.find(path)).inode) == "true"
        pages = here.house.pages
        view = (await here.find(path)).inode
        assert await here.tree.lookup(view, "other.png") == Absent(0)
        assert here.house.pages == pages


async def test_finding_nothing_is_not_said_of_an_archive_that_nobody_has_looked_at(tmp_path: Path) -> None:
    source = archive()
    async with tree_of(source, tmp_path) as here:
        assert len(await here.list("search/red")) == 10
        source.fail = lambda question: CredentialsRefused("no")
        assert len(await here.list("search/blue")) == 20
    source = archive()
    source.fail = lambda question: CredentialsRefused("no")
    (tmp_path / "other").mkdir()
    async with tree_of(source, tmp_path / "other") as here:
        with pytest.raises(CredentialsRefused):
            await here.list("search/red")


async def test_it_is_complete_only_where_the_archive_is_known(tmp_path: Path) -> None:
    source = MemorySource([make_media(n, created=START + timedelta(hours=n)) for n in range(500)])
    async with tree_of(source, tmp_path) as here:
        assert len(await here.list("search/title")) == 100, "the first look"
        assert complete(here, (await here.find("search/title")).inode) == "false"


@pytest.mark.parametrize("searches", [True, False])
async def test_deleting_there_is_deleting(tmp_path: Path, searches: bool) -> None:
    source = archive(searches=searches)
    async with tree_of(source, tmp_path) as here:
        await here.list("by-date")
        names = await here.list("search/red")
        folder = (await here.find("search/red")).inode
        before = await here.find(f"search/red/{names[0]}")
        assert before.links == 2
        for name in names:
            with pytest.raises(NotEmpty):
                await here.tree.rmdir((await here.find("search")).inode, "red")
            await here.tree.unlink(folder, name, WHO)
            with pytest.raises(NotFound):
                await here.find(f"search/red/{name}")
        assert not [m for m in source.archive if m.title == "red"]
        assert await here.list("search/red") == []
        await here.tree.rmdir((await here.find("search")).inode, "red")
        assert (await here.find("search/red")).inode != folder
        with pytest.raises(Forbidden):
            await here.tree.unlink((await here.find("search")).inode, "red", WHO)


async def test_what_is_deleted_elsewhere_is_gone_there(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        await here.list("by-date")
        names = await here.list("search/red")
        directory = await here.tree.open_directory((await here.find("search/red")).inode)
        entries = directory.entries(0)
        next(entries)
        media = next(m for m in here.house.source.archive if m.filename == names[0])
        day = await here.find(f"by-date/{media.created:%Y/%m/%d}")
        await here.tree.unlink(day.inode, names[0], WHO)
        assert names[0] not in [entry.name for _, entry in directory.entries(0)], "of an old snapshot neither"
        with pytest.raises(NotFound):
            await here.find(f"search/red/{names[0]}")


async def test_a_new_name_there_is_a_new_title(tmp_path: Path) -> None:
    source = archive()
    async with tree_of(
        source, tmp_path, {"titles": True, "editable": frozenset({"title"})}, names=Names.TITLE
    ) as here:
        await here.list("by-date")
        (name, *_) = await here.list("search/red")
        folder = (await here.find("search/red")).inode
        await here.tree.rename((folder, name), (folder, name.replace("red", "green")), WHO)
        assert sum(m.title == "green" for m in source.archive) == 1
        assert name.replace("red", "green") in await here.list("search/green")


async def test_it_is_listed_again_on_demand(tmp_path: Path) -> None:
    source = archive()
    async with tree_of(source, tmp_path) as here:
        await here.list("by-date")
        assert len(await here.list("search/green")) == 0
        day = source.archive[0].created
        source.archive.append(make_media(99, created=day, title="green"))
        await here.tree.refresh(f"by-date/{day:%Y/%m/%d}")
        assert await here.list("search/green") == [], "younger than fresh_for"
        assert "1 media" in await here.tree.refresh("search/green")
        assert "index" in await here.tree.refresh("search")
        assert len(await here.list("search/green")) == 1
