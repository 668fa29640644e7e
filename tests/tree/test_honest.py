"""An empty directory is an empty archive: what is not known fails, and the directory says why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from mediafs.errors import CredentialsRefused, FilterRefused, InvalidReply, Late, MediafsError, NoAttribute
from mediafs.model import Question, Traits
from mediafs.tree import ROOT
from tests.fakes import START, MemorySource, make_media

from .test_tree import Here, archive, tree_of

DAY = "by-date/2024/01/05"
FOLDERS = (DAY, "recent", "by-conversation/77", "by-user/Owner 1000 (1000)")
REFUSED = CredentialsRefused("the account is refused")


async def said(here: Here, path: str) -> tuple[str | None, bool, str | None]:
    """`complete`, whether there is a `listed`, `error`."""
    inode = (await here.find(path)).inode if path else ROOT

    def value(name: str) -> str | None:
        try:
            return here.tree.xattr(inode, f"user.mediafs.{name}").decode()
        except NoAttribute:
            return None

    return value("complete"), value("listed") is not None, value("error")


def failing(source: MemorySource, error: MediafsError | None) -> None:
    source.fail = lambda question: error


async def test_what_was_never_listed_says_so(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        for path in ("", "by-date", "by-date/2024", DAY, "by-user", "by-conversation", "recent"):
            assert await said(here, path) == ("false", False, None)


@pytest.mark.parametrize("path", FOLDERS)
async def test_refused_credentials_are_an_error_on_the_directory(tmp_path: Path, path: str) -> None:
    source = archive()
    source.all_users = True
    async with tree_of(source, tmp_path) as here:
        if path.startswith("by-user"):
            await here.list("by-date")  # or there is no such name
        await here.find(path)
        here.house.clock[0] += 3600
        failing(source, REFUSED)
        with pytest.raises(CredentialsRefused):
            await here.list(path)
        complete, listed, error = await said(here, path)
        assert error == str(REFUSED)
        assert (complete == "true") == listed == path.startswith(("by-user", "by-conversation"))
        failing(source, None)
        here.house.clock[0] += 1
        assert await here.list(path)
        assert await said(here, path) == ("true", True, None)


@pytest.mark.parametrize("path", ["by-date", "by-user"])
async def test_an_index_of_nothing_known_fails_with_the_service(tmp_path: Path, path: str) -> None:
    source = archive()
    failing(source, REFUSED)
    async with tree_of(source, tmp_path) as here:
        with pytest.raises(CredentialsRefused):
            await here.list(path)
        assert await said(here, path) == ("false", False, str(REFUSED))
        assert await said(here, "") == ("false", False, str(REFUSED))


async def test_a_refused_filter_is_an_error_on_view_and_folder(tmp_path: Path) -> None:
    source = archive()
    source.filters_work = False
    async with tree_of(source, tmp_path, conversations=lambda: ("77",)) as here:
        with pytest.raises(FilterRefused):
            await here.list("by-conversation/77")
        for path in ("by-conversation", "by-conversation/77", ""):
            complete, listed, error = await said(here, path)
            assert (complete, listed) == ("false", False)
            assert error is not None
            assert "filter" in error


@pytest.mark.parametrize("path", ["by-conversation/77", "recent", DAY])
async def test_half_a_crawl_is_an_error_and_no_listing(tmp_path: Path, path: str) -> None:
    """A page fails in the middle; what came before it is known, and not shown as all there is."""
    source = MemorySource([make_media(n, created=START + timedelta(days=4, minutes=n)) for n in range(30)])
    source.conversations["77"] = {media.id for media in source.archive}
    source.page_limit = 10
    failure = InvalidReply("nonsense")

    def third_page(question: Question) -> MediafsError | None:
        return failure if source.asked["page"] > 2 else None

    async with tree_of(source, tmp_path) as here:
        await here.find(path)
        source.asked.clear()
        source.fail = third_page
        with pytest.raises(InvalidReply):
            await here.list(path)
        assert here.house.catalogue.views.totals()[0] > 0
        assert await said(here, path) == ("false", False, "nonsense")
        failing(source, None)
        here.house.clock[0] += 1
        assert len(await here.list(path)) == 30
        assert await said(here, path) == ("true", True, None)


async def test_a_crawl_that_outlasts_the_deadline_is_an_error(tmp_path: Path, autojump_clock: object) -> None:
    source = archive()
    source.gate = trio.Event()
    async with tree_of(source, tmp_path) as here:
        with pytest.raises(Late):
            await here.list(DAY)
        assert (await said(here, DAY))[:2] == ("false", False)
        source.gate.set()
        await trio.sleep(1)
        assert len(await here.list(DAY)) == 4


@dataclass
class Unordered(MemorySource):
    """Can only be listed whole."""

    @property
    def traits(self) -> Traits:
        return replace(super().traits, in_date_order=False)


@pytest.mark.parametrize("path", [DAY, "recent"])
async def test_what_can_only_be_listed_with_everything_says_why_that_failed(
    tmp_path: Path, path: str
) -> None:
    source = Unordered(archive().archive)
    async with tree_of(source, tmp_path) as here:
        assert await here.list(path)
        here.house.clock[0] += 3600
        failing(source, REFUSED)
        with pytest.raises(CredentialsRefused):
            await here.list(path)
        assert await said(here, path) == ("true", True, str(REFUSED))
        failing(source, None)
        here.house.clock[0] += 1
        assert await here.list(path)
        assert await said(here, path) == ("true", True, None)


async def test_the_root_is_as_complete_as_its_views(tmp_path: Path) -> None:
    source = MemorySource([make_media(n, created=START + timedelta(days=370)) for n in range(5)])
    source.all_users = True
    async with tree_of(source, tmp_path) as here:
        await here.list("by-date")
        await here.list("recent")
        assert await said(here, "by-date") == ("true", True, None)
        assert await said(here, "by-user") == ("true", True, None)
        assert await said(here, "") == ("false", False, None), "conversations are never known to be complete"
