"""Small media that are going to be read are fetched before: each once, within bounds, at nobody's cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from mediafs.errors import MediafsError, NotFound, NotReady, Unavailable
from mediafs.model import Inode, Media, MediaId, Span, Urgency, Version
from mediafs.reading import MakeStore, Reading, ReadingOptions, reading
from mediafs.reading.prefetch import HELD, HELD_S, LIMITED, PASSED_S, PAUSE_S, STALE_S
from mediafs.source import Body
from tests.reading.scripted import (
    KIB,
    Fault,
    MemoryStore,
    ScriptedSource,
    a_media,
    some_bytes,
    version_of,
)

SIZE = 120 * KIB
CONTENT = some_bytes(SIZE)
OPTIONS = ReadingOptions()


class Shelf(ScriptedSource):
    """Any number of media of one content; remembers which were asked for, and how many at once."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.asked_for: Counter[Inode] = Counter()
        self.at_once: Counter[Urgency] = Counter()
        self.most_at_once: Counter[Urgency] = Counter()

    def body(
        self, media: Media, span: Span, *, if_range: str | None = None, urgency: Urgency
    ) -> AbstractAsyncContextManager[Body]:
        self.asked_for[Inode(int(media.id))] += 1
        return self._counted(super().body(media, span, if_range=if_range, urgency=urgency), urgency)

    @asynccontextmanager
    async def _counted(
        self, body: AbstractAsyncContextManager[Body], urgency: Urgency
    ) -> AsyncIterator[Body]:
        self.at_once[urgency] += 1
        self.most_at_once |= self.at_once
        try:
            async with body as opened:
                yield opened
        finally:
            self.at_once[urgency] -= 1


def media_of(inode: Inode) -> Media:
    return replace(a_media(SIZE), id=MediaId(str(inode)))


def find(inode: Inode) -> tuple[Media, Version] | None:
    media = media_of(inode)
    return media, version_of(media)


def inodes(first: int, count: int) -> list[Inode]:
    return [Inode(number) for number in range(first, first + count)]


async def read(service: Reading, inode: Inode, size: int = SIZE) -> bytes:
    """As `cp` does."""
    reader = service.open(media_of(inode), version_of(media_of(inode)))
    try:
        return b"".join([await reader.read(at, 128 * KIB) for at in range(0, size, 128 * KIB)])
    finally:
        service.prefetcher.read(inode)
        await reader.close()


async def walk(service: Reading, some: list[Inode], ahead: int = 16) -> None:
    for at, inode in enumerate(some):
        if at > 0:
            service.prefetcher.want(some[at + 1 : at + 1 + ahead], find)
        assert await read(service, inode) == CONTENT


@pytest.fixture(params=["ranges", "no ranges"])
def make_store(request: pytest.FixtureRequest) -> MakeStore | None:
    async def make(version: Version, size: int | None) -> MemoryStore:
        return MemoryStore()

    return None if request.param == "ranges" else make


async def test_media_read_in_order_are_one_get_each_sixteen_at_once(
    make_store: MakeStore | None, autojump_clock: trio.abc.Clock
) -> None:
    source = Shelf(CONTENT, ranges=make_store is None, pace_s=0.03)
    async with reading(source, OPTIONS, make_store=make_store) as service:
        await walk(service, inodes(1, 500))
        await wait_all_tasks_blocked()
        assert service.statistics().readers == service.prefetcher.held == 0
    assert source.asked_for == Counter(inodes(1, 500))
    assert source.most_at_once[Urgency.PREFETCH] == OPTIONS.prefetch == 16
    assert source.most_at_once[Urgency.PERSON] == 1
    # One after the other would be 2 chunks each of 30 ms.
    assert trio.current_time() < 500 * 0.06 / 11


@pytest.mark.parametrize(
    "other",
    [
        {"download_once": True},
        {"fleeting": True},
        {"size": None},
        {"size": 0},
        {"size": OPTIONS.whole_below},
    ],
    ids=str,
)
async def test_what_is_limited_large_or_of_unknown_size_is_never_fetched_ahead(other: dict[str, Any]) -> None:
    source = Shelf(CONTENT)
    async with reading(source, OPTIONS) as service:

        def found(inode: Inode) -> tuple[Media, Version] | None:
            media = replace(media_of(inode), **other)
            return media, version_of(media)

        service.prefetcher.want(inodes(1, 16), found)
        service.prefetcher.want(inodes(1, 16), lambda inode: None)
        await wait_all_tasks_blocked()
        assert service.statistics().gets == 0
        assert service.prefetcher.held == 0


async def test_none_is_fetched_ahead_where_it_is_switched_off() -> None:
    source = Shelf(CONTENT)
    async with reading(source, replace(OPTIONS, prefetch=0)) as service:
        await walk(service, inodes(1, 10))
    assert {each.urgency for each in source.asked} == {Urgency.PERSON}


@pytest.mark.parametrize(("spare", "at_once"), [(0, 0), (1, 1), (3, 3), (4, LIMITED), (1000, LIMITED)])
async def test_where_the_service_shows_a_limit_only_what_it_spares_is_fetched(
    spare: int, at_once: int
) -> None:
    source = Shelf(CONTENT)
    source.to_spare = spare
    async with reading(source, OPTIONS) as service:
        service.prefetcher.want(inodes(1, 16), find)
        await wait_all_tasks_blocked()
        assert source.asked_for == Counter(inodes(1, at_once))
        source.to_spare = 0
        service.prefetcher.want(inodes(5, 16), find)
        await wait_all_tasks_blocked()
        assert source.asked_for == Counter(inodes(1, at_once))
        source.to_spare = spare
        await walk(service, inodes(1, 50))
    assert source.asked_for == Counter(inodes(1, 50))
    assert source.most_at_once[Urgency.PREFETCH] == at_once


async def test_what_is_held_ahead_is_at_most_a_quarter_of_the_memory() -> None:
    source = Shelf(CONTENT)
    memory = 16 * SIZE
    async with reading(source, replace(OPTIONS, memory=memory)) as service:
        service.prefetcher.want(inodes(1, 16), find)
        await wait_all_tasks_blocked()
        assert source.asked_for == Counter(inodes(1, 4))
        assert service.statistics().memory == 4 * SIZE <= memory // 4
        await walk(service, inodes(1, 100))
    assert source.asked_for == Counter(inodes(1, 100))


async def test_who_reads_what_is_being_fetched_shares_the_get(
    make_store: MakeStore | None, autojump_clock: trio.abc.Clock
) -> None:
    source = Shelf(CONTENT, ranges=make_store is None, pace_s=1.0)
    async with reading(source, OPTIONS, make_store=make_store) as service:
        service.prefetcher.want(inodes(1, 2), find)
        await trio.sleep(0.1)
        assert source.at_once == Counter({Urgency.PREFETCH: 2})
        assert await read(service, Inode(1)) == CONTENT
        assert await read(service, Inode(2)) == CONTENT
    assert source.asked_for == Counter(inodes(1, 2))
    assert {each.urgency for each in source.asked} == {Urgency.PREFETCH}


async def test_a_failure_is_told_to_nobody_and_who_reads_asks_anew(
    make_store: MakeStore | None, autojump_clock: trio.abc.Clock, caplog: pytest.LogCaptureFixture
) -> None:
    away = Fault(refuse=Unavailable("away"))
    source = Shelf(CONTENT, [away, away, Fault(hang=True)], ranges=make_store is None)
    async with reading(source, OPTIONS, make_store=make_store) as service:
        service.prefetcher.want(inodes(1, 1), find)
        await wait_all_tasks_blocked()
        assert service.prefetcher.held == 0
        # The failure of the person's own request is the person's.
        with pytest.raises(Unavailable):
            await read(service, Inode(1))
        await trio.sleep(HELD_S)
        service.prefetcher.want(inodes(1, 1), find)
        await trio.sleep(OPTIONS.total_s / 2)
        assert await read(service, Inode(1)) == CONTENT  # waited for what failed, and asked anew
    assert source.asked_for == Counter({Inode(1): 4})
    assert [each.urgency for each in source.asked[2:]] == [Urgency.PREFETCH, Urgency.PERSON]
    assert not [each for each in caplog.records if each.levelname not in ("DEBUG", "INFO")]


@pytest.mark.parametrize("error", [Unavailable("away"), NotReady("not yet"), NotFound("gone")], ids=repr)
async def test_after_a_failure_of_the_service_nothing_is_fetched_ahead_for_a_while(
    error: MediafsError, autojump_clock: trio.abc.Clock
) -> None:
    source = Shelf(CONTENT, [Fault(refuse=error)])
    async with reading(source, OPTIONS) as service:
        service.prefetcher.want(inodes(1, 1), find)
        await wait_all_tasks_blocked()
        service.prefetcher.want(inodes(1, 2), find)
        await wait_all_tasks_blocked()
        paused = isinstance(error, Unavailable)
        assert source.asked_for == Counter(inodes(1, 1 if paused else 2))
        await trio.sleep(PAUSE_S)
        service.prefetcher.want(inodes(1, 2), find)
        await wait_all_tasks_blocked()
        assert source.asked_for == Counter(inodes(1, 2))


async def test_what_nobody_reads_is_closed_after_a_while_and_still_in_memory(
    make_store: MakeStore | None, autojump_clock: trio.abc.Clock
) -> None:
    source = Shelf(CONTENT, ranges=make_store is None)
    async with reading(source, OPTIONS, make_store=make_store) as service:
        service.prefetcher.want(inodes(1, 16), find)
        await trio.sleep(HELD_S / 2)
        service.prefetcher.want(inodes(1, 4), find)
        await trio.sleep(HELD_S * 0.75)
        assert service.prefetcher.held == 4
        await trio.sleep(HELD_S)
        assert service.prefetcher.held == service.statistics().readers == service.statistics().spools == 0
        if make_store is None:
            service.prefetcher.want(inodes(1, 16), find)
            await walk(service, inodes(1, 16))
            assert source.asked_for == Counter(inodes(1, 16))


async def test_what_was_read_or_is_open_is_not_fetched_again() -> None:
    source = Shelf(CONTENT)
    async with reading(source, OPTIONS) as service:
        await read(service, Inode(1))
        opened = service.open(media_of(Inode(2)), version_of(media_of(Inode(2))))
        service.prefetcher.want(inodes(1, 2), find)
        await wait_all_tasks_blocked()
        await opened.close()
    assert source.asked_for == Counter(inodes(1, 1))


async def test_an_old_walk_gives_way_to_a_new_one(autojump_clock: trio.abc.Clock) -> None:
    source = Shelf(CONTENT)
    async with reading(source, OPTIONS) as service:
        for number in range(HELD + 1):
            service.prefetcher.want(inodes(100 * number, 16), find)
            await wait_all_tasks_blocked()
        assert service.prefetcher.held == HELD * 16
        assert source.asked_for.total() == HELD * 16
        await trio.sleep(max(STALE_S, PASSED_S) + 0.1)
        service.prefetcher.want(inodes(100, 16), find)
        service.prefetcher.want(inodes(1000, 16), find)
        await wait_all_tasks_blocked()
        assert service.prefetcher.held == HELD * 16
        assert set(inodes(1000, 16)) <= set(source.asked_for)
        await walk(service, inodes(100, 16))
    assert set(source.asked_for.values()) == {1}


async def test_nothing_is_left_of_a_deleted_media() -> None:
    source = Shelf(CONTENT)
    async with reading(source, OPTIONS) as service:
        service.prefetcher.want(inodes(1, 2), find)
        await wait_all_tasks_blocked()
        assert service.statistics().memory == 2 * SIZE
        service.forget({MediaId("1"), MediaId("2")})
        await wait_all_tasks_blocked()
        assert service.statistics().memory == service.prefetcher.held == 0
        assert service.statistics().readers == 0


@pytest.mark.parametrize("deleted", [True, False])
async def test_what_is_under_way_ends_with_its_media_and_with_the_mount(deleted: bool) -> None:
    source = Shelf(CONTENT, [Fault(stall_after=1000)] * 8 + [Fault(hang=True)] * 8)
    async with reading(source, OPTIONS) as service:
        service.prefetcher.want(inodes(1, 16), find)
        await wait_all_tasks_blocked()
        assert source.at_once[Urgency.PREFETCH] == 16
        if deleted:
            service.forget({MediaId(str(number)) for number in range(1, 17)})
            await wait_all_tasks_blocked()
            assert source.at_once.total() == source.open_bodies == 0
            assert service.statistics().streams == service.prefetcher.held == 0
    assert source.at_once.total() == source.open_bodies == 0


async def test_a_bug_in_a_body_does_not_end_the_mount(caplog: pytest.LogCaptureFixture) -> None:
    source = Shelf(CONTENT, [Fault(bug=ZeroDivisionError())])
    async with reading(source, OPTIONS) as service:
        service.prefetcher.want(inodes(1, 1), find)
        await wait_all_tasks_blocked()
        assert await read(service, Inode(1)) == CONTENT
    assert "Traceback" in caplog.text
    caplog.clear()
