"""A size that only the last byte tells: who opens waits for a while, and the body comes all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing

from mediafs.errors import Changed, InvalidReply, Late
from mediafs.model import MediaId, Version
from mediafs.reading import Reading, ReadingOptions, Store, reading
from mediafs.reading.settling import KEPT_S, MOST

from .scripted import KIB, Fault, MemoryStore, ScriptedSource, a_media, some_bytes, version_of

BIG = some_bytes(300 * KIB)
DEADLINE_S = 15.0


async def in_memory(version: Version, size: int | None) -> Store:
    return MemoryStore()


def slow(*faults: Fault | None, pace_s: float = 10.0) -> ScriptedSource:
    """A minute for the whole, and no word of how much that is."""
    return ScriptedSource(BIG, faults, ranges=False, tells_size=False, chunk=50 * KIB, pace_s=pace_s)


class Opening:
    """Opens one media as a mount does: with a deadline, and a size that is remembered."""

    def __init__(self, service: Reading, name: str = "m1") -> None:
        self.service = service
        self.media = replace(a_media(None), id=MediaId(name))

    def known(self, size: int) -> Version:
        self.media = replace(self.media, size=size)
        return version_of(self.media)

    async def read(self) -> bytes | None:
        """The whole, or None where the deadline came first."""
        reader = self.service.open(self.media, version_of(self.media))
        with trio.move_on_after(DEADLINE_S):
            if self.media.size is None:
                await self.service.settle(reader, self.known)
            assert self.media.size is not None
            data = await reader.read(0, self.media.size)
            await reader.close()
            return data
        return None


async def test_who_comes_again_finds_the_body_that_came_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = slow()
    async with reading(source, ReadingOptions(), make_store=in_memory) as service:
        opening = Opening(service)
        assert await opening.read() is None
        assert service.statistics().readers == 1
        assert await opening.read() is None, "half a minute is not enough"
        await trio.sleep(40)
        assert opening.media.size == len(BIG)
        assert await opening.read() == BIG
        assert len(source.asked) == 1
        await trio.sleep(KEPT_S)
        held = service.statistics()
        assert (held.readers, held.spools, held.streams, source.open_bodies) == (0, 0, 0, 0)


async def test_who_waits_while_it_comes_is_served_by_the_same_body(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = slow()
    async with reading(source, ReadingOptions(), make_store=in_memory) as service:
        opening = Opening(service)
        assert await opening.read() is None
        await trio.sleep(35)
        assert await opening.read() == BIG
    assert len(source.asked) == 1


async def test_a_body_that_nobody_asks_for_again_is_given_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stores: list[MemoryStore] = []

    async def make(version: Version, size: int | None) -> Store:
        stores.append(MemoryStore())
        return stores[-1]

    async with reading(slow(), ReadingOptions(), make_store=make) as service:
        assert await Opening(service).read() is None
        await trio.sleep(60)
        assert [store.discarded for store in stores] == [False]
        await trio.sleep(KEPT_S)
        assert [store.discarded for store in stores] == [True]


async def test_only_so_many_go_on_for_nobody(autojump_clock: trio.testing.MockClock) -> None:
    source = slow()
    async with reading(source, ReadingOptions(), make_store=in_memory) as service:
        openings = [Opening(service, f"m{n}") for n in range(MOST + 2)]
        async with trio.open_nursery() as nursery:
            for opening in openings:
                nursery.start_soon(opening.read)
        assert source.open_bodies == MOST
        await trio.sleep(60)
        assert [opening.media.size for opening in openings].count(len(BIG)) == MOST
        # One that has come whole makes room for the next.
        late = next(opening for opening in openings if opening.media.size is None)
        assert await late.read() is None
        await trio.sleep(60)
        assert late.media.size == len(BIG)
        assert service.statistics().readers == MOST


async def test_what_comes_to_nothing_behind_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    source = slow(*[Fault(stall_after=50 * KIB)] * 10)
    async with reading(source, ReadingOptions(), make_store=in_memory) as service:
        opening = Opening(service)
        assert await opening.read() is None
        await trio.sleep(600)
        assert service.statistics().readers == 0
        assert source.open_bodies == 0
        assert len(source.asked) == 4, "the resumptions of any read"
        source.faults.clear()
        assert opening.media.size is None


async def test_no_answer_is_nothing_to_go_on_with(autojump_clock: trio.testing.MockClock) -> None:
    source = slow(Fault(hang=True))
    async with reading(source, ReadingOptions(), make_store=in_memory) as service:
        assert await Opening(service).read() is None
        await trio.testing.wait_all_tasks_blocked()
        assert service.statistics().readers == 0


async def test_a_deleted_media_is_fetched_for_nobody(autojump_clock: trio.testing.MockClock) -> None:
    source = slow()
    async with reading(source, ReadingOptions(), make_store=in_memory) as service:
        opening = Opening(service)
        assert await opening.read() is None
        service.forget({opening.media.id})
        await trio.sleep(1)
        assert (service.statistics().readers, source.open_bodies) == (0, 0)


async def test_what_is_said_of_the_size_may_be_refused(autojump_clock: trio.testing.MockClock) -> None:
    def refuse(size: int) -> Version:
        raise Changed("another record by now")

    source = slow(pace_s=0.1)
    async with reading(source, ReadingOptions(), make_store=in_memory) as service:
        media = a_media(None)
        with pytest.raises(Changed):
            await service.settle(service.open(media, version_of(media)), refuse)
        assert service.statistics().readers == 0


async def test_a_refusal_closes_the_reader(autojump_clock: trio.testing.MockClock) -> None:
    source = slow(Fault(content_type="text/html"))
    async with reading(source, ReadingOptions(), make_store=in_memory) as service:
        opening = Opening(service)
        with pytest.raises(InvalidReply):
            await opening.read()
        assert service.statistics().readers == 0


@pytest.mark.parametrize("ranges", [True, False])
async def test_the_bytes_that_came_while_the_size_was_found_out_are_read_again_without_a_request(
    autojump_clock: trio.testing.MockClock, ranges: bool
) -> None:
    source = ScriptedSource(BIG, ranges=ranges)
    async with reading(source, ReadingOptions(), make_store=in_memory) as service:
        opening = Opening(service)
        assert await opening.read() == BIG
        held = service.open(opening.media, version_of(opening.media))
        assert await held.read(0, len(BIG)) == BIG
        await held.close()
        if ranges:
            assert len(source.asked) == 1


async def test_a_late_that_is_raised_is_treated_like_a_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = slow(pace_s=12.0)
    async with reading(source, ReadingOptions(total_s=20.0), make_store=in_memory) as service:
        opening = Opening(service)
        media = opening.media
        with pytest.raises(Late):
            await service.settle(service.open(media, version_of(media)), opening.known)
        await trio.sleep(80)
        assert await opening.read() == BIG
    assert len(source.asked) == 1
