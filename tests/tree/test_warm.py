"""One run of `mediafs warm`, without bytes: how many at once, what is told, and when it gives up."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from mediafs.errors import CredentialsRefused, MediafsError, NotReady, Unavailable, ValueRefused
from mediafs.model import Inode
from mediafs.reading import Progress
from mediafs.tree import Holding, Run
from mediafs.tree.shapes import UNKNOWN_SIZE
from mediafs.tree.warm import AT_ONCE, IN_A_ROW, LARGE_AT_ONCE, QUEUED

LARGE_FROM = 1000


class Files:
    """Each has 10 bytes, but those named; a fetch waits for `gate`, and fails as told."""

    def __init__(self) -> None:
        self.sizes: dict[int, int | None] = {}
        self.held: set[int] = set()
        self.absent: set[int] = set()
        self.failures: dict[int, Exception] = {}
        self.always: MediafsError | None = None
        self.gate = trio.Event()
        self.gate.set()
        self.fetching = 0
        self.most = 0
        self.asked: list[int] = []

    def look(self, inode: Inode) -> Holding | None:
        if inode in self.absent:
            return None
        size = self.sizes.get(inode, 10)
        return Holding(size=size, held=(size or 0) if inode in self.held else 0, pinned=False)

    async def fetch(self, inode: Inode, progress: Progress) -> bool:
        self.asked.append(inode)
        self.fetching += 1
        self.most = max(self.most, self.fetching)
        try:
            await self.gate.wait()
        finally:
            self.fetching -= 1
        if (failure := self.failures.get(inode, self.always)) is not None:
            raise failure
        progress.size = progress.held = self.sizes.get(inode, 10) or 70
        return True


@asynccontextmanager
async def working(files: Files) -> AsyncIterator[Run]:
    """Ends when the work does."""
    run = Run(files.look, files.fetch, large_from=LARGE_FROM)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.work)
        yield run


def inodes(*numbers: int) -> list[Inode]:
    return [Inode(number) for number in numbers]


async def test_what_became_of_each_is_told_once() -> None:
    files = Files()
    files.absent, files.failures = {2}, {3: NotReady("media 3: not yet")}
    async with working(files) as run:
        run.add(inodes(1, 2, 3, 4))
        run.no_more()
    news = run.news()
    assert (sorted(news.done), list(news.skipped)) == ([1, 4], [2])
    assert list(news.failed) == [(3, "NotReady", "media 3: not yet")]
    assert (news.held, news.fetched, news.wants, news.waits) == (20, 20, False, False)
    again = run.news()
    assert (again.done, again.skipped, again.failed, again.held) == ((), (), (), 20)
    assert run.stopped is None


async def test_small_ones_are_fetched_many_at_once_and_large_ones_a_few() -> None:
    for size, most in ((10, AT_ONCE), (LARGE_FROM, LARGE_AT_ONCE), (None, LARGE_AT_ONCE)):
        files = Files()
        files.sizes = dict.fromkeys(range(100), size)
        files.gate = trio.Event()
        async with working(files) as run:
            run.add(inodes(*range(100)))
            run.no_more()
            await trio.testing.wait_all_tasks_blocked()
            files.gate.set()
        assert files.most == most
        assert len(run.news().done) == 100


async def test_a_size_that_was_not_known_corrects_what_was_shown() -> None:
    files = Files()
    files.sizes = {1: None, 2: 10}
    async with working(files) as run:
        run.add(inodes(1, 2))
        run.no_more()
    assert run.news().resized == 70 - UNKNOWN_SIZE


async def test_more_are_wanted_when_half_of_them_are_gone_and_not_twice() -> None:
    files = Files()
    files.gate = trio.Event()
    async with working(files) as run:
        assert run.news().wants
        assert not run.news().wants, "it was said"
        run.add(inodes(*range(1, QUEUED // 2 + AT_ONCE + 1)))
        await trio.testing.wait_all_tasks_blocked()
        assert run.news().wants
        run.add(inodes(*range(2000, 2000 + QUEUED // 2)))
        assert not run.news().wants
        with trio.move_on_after(0):
            await run.wait_news()
            raise AssertionError("nothing is wanted")
        files.gate.set()
        await run.wait_news()
        assert run.news().wants
        run.no_more()
        assert not run.news().wants


async def test_more_than_was_asked_for_is_refused() -> None:
    files = Files()
    run = Run(files.look, files.fetch, large_from=LARGE_FROM)
    with pytest.raises(ValueRefused):
        run.add(inodes(*range(QUEUED + 1)))
    run.no_more()
    with pytest.raises(ValueRefused):
        run.add(inodes(1))
    run.stop(None)
    await run.work()


async def test_a_service_that_is_gone_is_not_asked_for_everything() -> None:
    files = Files()
    files.always = Unavailable("away")
    async with working(files) as run:
        run.add(inodes(*range(1000)))
        run.no_more()
    assert run.stopped is files.always
    assert IN_A_ROW <= len(files.asked) < IN_A_ROW + AT_ONCE
    assert len(run.news().failed) >= IN_A_ROW


async def test_what_fails_for_itself_stops_nothing() -> None:
    files = Files()
    files.always = NotReady("not yet")
    async with working(files) as run:
        run.add(inodes(*range(200)))
        run.no_more()
    assert run.stopped is None
    assert len(run.news().failed) == 200


async def test_one_success_begins_the_count_anew() -> None:
    files = Files()
    files.failures = {number: Unavailable("away") for number in range(200) if number % 4}
    async with working(files) as run:
        run.add(inodes(*range(200)))
        run.no_more()
    assert run.stopped is None


async def test_refused_credentials_stop_it_at_once() -> None:
    files = Files()
    files.failures = {5: CredentialsRefused("who are you")}
    async with working(files) as run:
        run.add(inodes(*range(500)))
        run.no_more()
    assert isinstance(run.stopped, CredentialsRefused)
    assert len(files.asked) <= 2 * AT_ONCE


async def test_a_bug_is_one_files_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    files = Files()
    files.failures = {5: RuntimeError("a bug")}
    with caplog.at_level(logging.ERROR):
        async with working(files) as run:
            run.add(inodes(4, 5, 6))
            run.no_more()
    assert sorted(run.news().done) == [4, 6]
    assert "a bug" in caplog.text
    caplog.clear()


async def test_the_wait_for_the_limit_is_told_while_nothing_else_goes_on() -> None:
    files, waiting = Files(), list[Progress]()

    async def fetch(inode: Inode, progress: Progress) -> bool:
        progress.waits = True
        waiting.append(progress)
        await files.gate.wait()
        return True

    files.gate = trio.Event()
    run = Run(files.look, fetch, large_from=LARGE_FROM)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.work)
        run.add(inodes(1, 2))
        run.no_more()
        await trio.testing.wait_all_tasks_blocked()
        assert run.news().waits
        waiting[0].waits = False
        assert not run.news().waits
        files.gate.set()
