"""Media that are read in order: which are fetched ahead, and that no content is mixed by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from mediafs.model import Data, Inode, Media, MediaId, Span, Urgency
from mediafs.reading.prefetch import HELD_S
from mediafs.source import Body
from mediafs.tree.opened import OpenFile
from tests.fakes import START, MemorySource, content_of, make_media
from tests.tree.test_tree import Here, tree_of

DAY = "by-date/2024/01/01"


@dataclass
class Watched(MemorySource):
    """Remembers whose body was asked for, and by whom; a media may be of a later content."""

    bodies: list[tuple[MediaId, Urgency]] = field(default_factory=list)
    etags: dict[MediaId, str] = field(default_factory=dict)

    @asynccontextmanager
    async def body(
        self, media: Media, span: Span, *, if_range: str | None = None, urgency: Urgency
    ) -> AsyncIterator[Body]:
        self.bodies.append((media.id, urgency))
        async with super().body(media, span, if_range=if_range, urgency=urgency) as body:
            yield replace(body, etag=self.etags.get(media.id, '"1"'))

    @property
    def asked_for(self) -> Counter[MediaId]:
        return Counter(id_ for id_, _ in self.bodies)


def a_day(count: int = 40, *, download_once: bool = False) -> Watched:
    minute = timedelta(minutes=1)
    media = [make_media(n, created=START + n * minute, download_once=download_once) for n in range(count)]
    return Watched(media)


async def listed(here: Here, path: str) -> list[Inode]:
    directory = await here.tree.open_directory((await here.find(path)).inode)
    return [entry.attributes.inode for _, entry in directory.entries(0)]


async def read(here: Here, inode: Inode) -> Data:
    """As `cp` does; the kernel's pages answer nothing."""
    file = await here.tree.open(inode)
    try:
        return await file.read(0, 1 << 20)
    finally:
        await file.close()
        await wait_all_tasks_blocked()


async def test_a_day_read_in_order_is_one_request_a_media_and_the_first_two_alone_are_asked_for(
    tmp_path: Path,
) -> None:
    source = a_day()
    async with tree_of(source, tmp_path) as here:
        inodes = await listed(here, DAY)
        contents = [await read(here, inode) for inode in inodes]
    assert contents == [content_of(media) for media in source.archive]
    assert source.asked_for == Counter(media.id for media in source.archive)
    assert Counter(urgency for _, urgency in source.bodies)[Urgency.PERSON] == 2


async def test_media_that_are_opened_and_not_read_are_no_reason_to_fetch_any(tmp_path: Path) -> None:
    """As where the kernel has all their pages."""
    source = a_day()
    async with tree_of(source, tmp_path) as here:
        for inode in await listed(here, DAY):
            await (await here.tree.open(inode)).close()
        await wait_all_tasks_blocked()
    assert source.bodies == []


async def test_media_of_which_each_download_counts_are_not_fetched_ahead(tmp_path: Path) -> None:
    source = a_day(download_once=True)
    async with tree_of(source, tmp_path) as here:
        for inode in (await listed(here, DAY))[:4]:
            await read(here, inode)
    assert source.bodies == [(media.id, Urgency.PERSON) for media in source.archive[:4]]


async def test_two_neighbours_read_cost_at_most_four_more(tmp_path: Path) -> None:
    source = a_day()
    async with tree_of(source, tmp_path) as here:
        for inode in (await listed(here, DAY))[:2]:
            await read(here, inode)
    assert source.asked_for == Counter(media.id for media in source.archive[:6])


async def test_nothing_is_fetched_ahead_for_who_reads_here_and_there(tmp_path: Path) -> None:
    source = a_day()
    async with tree_of(source, tmp_path) as here:
        inodes = await listed(here, DAY)
        for at in (0, 7, 20, 13, 33, 26, 2, 39, 18):
            await read(here, inodes[at])
    assert {urgency for _, urgency in source.bodies} == {Urgency.PERSON}


async def test_where_the_limit_leaves_nothing_nothing_is_fetched_ahead(tmp_path: Path) -> None:
    source = a_day()
    source.to_spare = 0
    async with tree_of(source, tmp_path) as here:
        for inode in await listed(here, DAY):
            await read(here, inode)
    assert source.bodies == [(media.id, Urgency.PERSON) for media in source.archive]


async def test_pages_of_an_older_content_are_not_kept_beside_what_was_fetched_ahead(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """The kernel may hold pages of what a media was when it was last read. What is fetched ahead must not
    make a later open forget that they are of another content."""
    source = a_day(8)
    async with tree_of(source, tmp_path, reading_options={"memory": 4200}) as here:
        inodes = await listed(here, DAY)
        third = source.archive[2].id
        await read(here, inodes[2])
        source.etags[third] = '"2"'
        for inode in inodes[4:]:
            await read(here, inode)  # what was held of it is pushed out of the memory
        for _ in range(2):  # what is fetched ahead first meets the other content, and then holds it
            await read(here, inodes[0])
            await read(here, inodes[1])
            await trio.sleep(HELD_S + 1)
        assert (third, Urgency.PREFETCH) in source.bodies
        file = await here.tree.open(inodes[2])
        assert isinstance(file, OpenFile)
        assert not file.keep_cache
        await file.close()
