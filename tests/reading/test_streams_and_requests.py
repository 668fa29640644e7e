"""How many requests reading costs, and which."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from mediafs.errors import Changed, LocalFailure, Unavailable
from mediafs.model import Media, MediaId, Span, Urgency
from mediafs.reading import ReadingOptions, reading
from mediafs.reading.reader import Reader
from mediafs.reading.service import Reading
from mediafs.source import Body

from .scripted import KIB, MIB, Fault, ScriptedSource, a_media, some_bytes, version_of

READ = 128 * KIB
BIG = some_bytes(8 * MIB)
OPTIONS = ReadingOptions(memory=64 * MIB, window=1 * MIB, gap=512 * KIB, whole_below=1 * MIB)


def opened(service: Reading, content: bytes = BIG) -> Reader:
    media = a_media(len(content))
    return service.open(media, version_of(media))


async def test_opening_costs_no_request() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        await trio.testing.wait_all_tasks_blocked()
        assert source.asked == []
        await reader.close()


async def test_cat_of_a_large_file_is_one_get() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        got = [await reader.read(at, READ) for at in range(0, len(BIG), READ)]
        assert b"".join(got) == BIG
        assert await reader.read(len(BIG), READ) == b""
        await reader.close()
    assert source.spans == [Span(0)]
    assert source.sent == len(BIG)


async def test_read_ahead_out_of_order_is_one_get() -> None:
    """The kernel sends reads in parallel: the one at 0 need not be the first to arrive."""
    source = ScriptedSource(BIG)
    got: dict[int, bytes] = {}
    async with reading(source, OPTIONS) as service, trio.open_nursery() as nursery:
        reader = opened(service)

        async def fetch(at: int) -> None:
            got[at] = bytes(await reader.read(at, READ))

        for at in (READ, 3 * READ, 0, 2 * READ):
            nursery.start_soon(fetch, at)
    assert b"".join(got[at] for at in sorted(got)) == BIG[: 4 * READ]
    assert source.spans == [Span(0)]


async def test_a_small_file_in_any_order_is_one_get() -> None:
    content = BIG[: 700 * KIB]
    source = ScriptedSource(content)
    async with reading(source, OPTIONS) as service:
        reader = opened(service, content)
        for at in (600 * KIB, 0, 300 * KIB, 699 * KIB, 128 * KIB):
            assert await reader.read(at, READ) == content[at : at + READ]
        await reader.close()
    assert source.spans == [Span(0)]


async def test_a_small_file_fits_one_get_also_when_its_reads_are_concurrent() -> None:
    content = BIG[: 700 * KIB]
    source = ScriptedSource(content, chunk=10_000)
    async with reading(source, OPTIONS) as service, trio.open_nursery() as nursery:
        reader = opened(service, content)

        async def fetch(at: int, after: int) -> None:
            for _ in range(after):
                await trio.lowlevel.checkpoint()
            assert await reader.read(at, READ) == content[at : at + READ]

        for after in range(0, 90, 3):
            nursery.start_soon(fetch, (after * 7919 * KIB) % len(content), after)
    assert source.spans == [Span(0)]


async def test_an_idle_reader_holds_a_stream_back_at_its_window() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        await reader.read(0, READ)
        await trio.testing.wait_all_tasks_blocked()
        assert READ + 1 * MIB <= source.sent <= READ + 1 * MIB + source.chunk
        assert service.statistics().memory <= READ + 1 * MIB + source.chunk
        await reader.close()


async def test_reading_what_is_held_moves_the_window_on() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        for at in (0, READ, 2 * READ):
            await reader.read(at, READ)
            await trio.testing.wait_all_tasks_blocked()
            assert at + READ + 1 * MIB <= source.sent <= at + READ + 1 * MIB + source.chunk
        await reader.close()


async def test_a_seek_inside_what_is_held_costs_no_request() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        for at in range(0, 2 * MIB, READ):
            await reader.read(at, READ)
        for at in (0, 1 * MIB, 12345, 2 * MIB + 900 * KIB):
            assert await reader.read(at, 4 * KIB) == BIG[at : at + 4 * KIB]
        await reader.close()
    assert source.spans == [Span(0)]


async def test_a_small_forward_gap_is_read_through() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        await reader.read(0, READ)
        await trio.testing.wait_all_tasks_blocked()
        at = source.sent + 400 * KIB
        assert await reader.read(at, READ) == BIG[at : at + READ]
        await reader.close()
    assert source.spans == [Span(0)]


async def test_a_seek_beyond_the_window_is_one_exact_range_and_the_next_read_a_stream() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        await reader.read(0, READ)
        at = 6 * MIB + 4096
        for step in range(4):
            assert await reader.read(at + step * READ, READ) == BIG[at + step * READ :][:READ]
        await reader.close()
    assert source.spans == [Span(0), Span(at, at + READ), Span(at + READ)]


async def test_the_stream_left_behind_is_taken_up_again() -> None:
    """A player reads the index at the end, and goes back to the start."""
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        await reader.read(0, READ)
        await reader.read(len(BIG) - 50_000, 50_000)
        for at in range(READ, 5 * MIB, READ):
            assert await reader.read(at, READ) == BIG[at : at + READ]
        await reader.close()
    assert source.spans == [Span(0), Span(len(BIG) - 50_000, len(BIG))]


async def test_a_third_place_takes_the_stream_used_longest_ago() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        for start in (0, 3 * MIB, 6 * MIB):
            await reader.read(start, READ)
            await reader.read(start + READ, READ)
            await trio.testing.wait_all_tasks_blocked()
        assert service.statistics().streams == 2
        await reader.close()
        assert service.statistics().streams == 0


async def test_readers_of_one_version_share_stream_and_blocks() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        first, second = opened(service), opened(service)
        for at in range(0, len(BIG), READ):
            assert await first.read(at, READ) == await second.read(at, READ) == BIG[at : at + READ]
        await first.close()
        await second.close()
    assert source.spans == [Span(0)]


async def test_closing_ends_the_stream_that_no_other_reader_needs() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        first, second = opened(service), opened(service)
        await first.read(0, READ)
        await second.read(5 * MIB, READ)
        await second.read(5 * MIB + READ, READ)
        await trio.testing.wait_all_tasks_blocked()
        assert source.open_bodies == 2
        await first.close()
        assert source.open_bodies == 1
        assert await second.read(5 * MIB + 2 * READ, READ) == BIG[5 * MIB + 2 * READ :][:READ]
        await second.close()
        await second.close()
        assert source.open_bodies == 0


async def test_closing_leaves_a_shared_stream_to_the_other_reader() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        first, second = opened(service), opened(service)
        await first.read(0, READ)
        await second.read(READ, READ)
        await first.close()
        for at in range(2 * READ, len(BIG), READ):
            assert await second.read(at, READ) == BIG[at : at + READ]
        await second.close()
    assert source.spans == [Span(0)]


async def test_blocks_outlive_the_last_close() -> None:
    content = BIG[: 700 * KIB]
    source = ScriptedSource(content)
    async with reading(source, OPTIONS) as service:
        for _ in range(3):
            reader = opened(service, content)
            assert await reader.read(0, len(content)) == content
            await reader.close()
    assert len(source.asked) == 1


async def test_forgetting_a_version_drops_what_is_held_of_it() -> None:
    """A deleted media is gone from the memory too, at the last release at the latest."""
    content = BIG[: 700 * KIB]
    source = ScriptedSource(content)
    async with reading(source, OPTIONS) as service:
        reader = opened(service, content)
        await reader.read(0, READ)
        await trio.testing.wait_all_tasks_blocked()
        service.forget({a_media(len(content)).id})
        assert await reader.read(READ, READ) == content[READ : 2 * READ]
        await reader.close()
        assert service.statistics().memory == 0
        source.content = BIG
        large = opened(service)
        await large.read(0, READ)
        service.forget({a_media(len(BIG)).id})
        with pytest.raises(Changed):
            await large.read(6 * MIB, READ)
        assert len(source.asked) == 2
        await large.close()


async def test_a_cancelled_read_leaves_the_bytes_to_the_next(autojump_clock: trio.abc.Clock) -> None:
    source = ScriptedSource(BIG, pace_s=1.0)
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        with trio.move_on_after(1.5) as scope:
            await reader.read(0, READ)
        assert scope.cancelled_caught
        assert await reader.read(0, READ) == BIG[:READ]
        await reader.close()
    assert source.spans == [Span(0)]


async def test_the_urgency_of_a_request_is_its_readers() -> None:
    source = ScriptedSource(BIG)
    media = a_media(len(BIG))
    async with reading(source, OPTIONS) as service:
        reader = service.open(media, version_of(media), urgency=Urgency.PREFETCH)
        await reader.read(0, 1)
        await reader.close()
    assert [each.urgency for each in source.asked] == [Urgency.PREFETCH]


@pytest.mark.parametrize("memory", [0, 1000, 300 * KIB])
async def test_a_budget_smaller_than_a_window_still_makes_progress(memory: int) -> None:
    options = ReadingOptions(memory=memory, window=1 * MIB, whole_below=1 * MIB, block=256 * KIB)
    source = ScriptedSource(BIG)
    async with reading(source, options) as service:
        readers = [opened(service) for _ in range(3)]
        got: list[list[bytes]] = [[], [], []]

        async def cat(which: int) -> None:
            for at in range(0, len(BIG), READ):
                got[which].append(bytes(await readers[which].read(at, READ)))
                assert service.statistics().memory <= memory

        async with trio.open_nursery() as nursery:
            for which in range(3):
                nursery.start_soon(cat, which)
    assert all(b"".join(parts) == BIG for parts in got)


async def test_many_readers_share_the_budget_and_hardly_need_more_than_one_get_each() -> None:
    """Windows shrink with the number of streams, so that unread blocks are not evicted; only those that
    the first streams fetched while they were alone may be."""
    options = ReadingOptions(memory=8 * MIB, window=4 * MIB, whole_below=0, block=64 * KIB)
    contents = [some_bytes(2 * MIB, seed) for seed in range(12)]
    source = ScriptedSource(contents[0])
    async with reading(source, options) as service, trio.open_nursery() as nursery:

        async def cat(which: int) -> None:
            media = a_media(2 * MIB)
            version = version_of(media)
            reader = service.open(media, type(version)(version.account, version.media, str(which)))
            for at in range(0, 2 * MIB, READ):
                assert await reader.read(at, READ) == contents[0][at : at + READ]
                for _ in range(which % 3):
                    await trio.lowlevel.checkpoint()
            await reader.close()

        for which in range(12):
            nursery.start_soon(cat, which)
    assert 12 <= len(source.asked) <= 15


async def test_a_failed_fetch_belongs_to_the_reader_that_waits_and_the_next_read_tries_anew() -> None:
    source = ScriptedSource(BIG, [Fault(refuse=Unavailable("down"))])
    async with reading(source, OPTIONS) as service:
        reader = opened(service)
        with pytest.raises(Unavailable):
            await reader.read(0, READ)
        assert await reader.read(0, READ) == BIG[:READ]
        await reader.close()


async def test_a_bug_in_a_stream_is_the_failure_of_a_read_and_not_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = ScriptedSource(BIG, [Fault(bug=KeyError("ours"))])
    async with reading(source, OPTIONS) as service:
        with pytest.raises(LocalFailure, match="see the log"):
            await opened(service).read(0, READ)
        assert "KeyError: 'ours'" in caplog.text
        assert await opened(service).read(0, READ) == BIG[:READ]


async def test_an_error_of_the_user_leaves_the_room_as_it_is() -> None:
    async def use() -> None:
        async with reading(ScriptedSource(BIG), OPTIONS) as service:
            await opened(service).read(0, READ)
            raise LookupError

    with pytest.raises(LookupError):
        await use()


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (len(BIG), 10), (len(BIG) + 5, 10)])
async def test_reads_of_nothing_cost_no_request(offset: int, length: int) -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        assert await opened(service).read(offset, length) == b""
    assert source.asked == []


async def test_reading_a_closed_reader_is_a_bug() -> None:
    async with reading(ScriptedSource(BIG), OPTIONS) as service:
        reader = opened(service)
        await reader.close()
        with pytest.raises(trio.ClosedResourceError):
            await reader.read(0, 1)


@pytest.mark.parametrize("wrong", [{"memory": -1}, {"block": 0}, {"progress_s": 0.0}, {"window": 0}])
def test_senseless_options_are_refused(wrong: dict[str, int]) -> None:
    make: Callable[..., ReadingOptions] = ReadingOptions
    with pytest.raises(ValueError, match="must be"):
        make(**wrong)


async def test_of_many_streams_the_one_left_alone_for_longest_gives_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Each that is parked keeps a connection, and there are only so many."""
    source = ScriptedSource(BIG)
    options = replace(OPTIONS, parked=3)
    async with reading(source, options) as service:
        readers = []
        for number in range(5):
            media = replace(a_media(len(BIG)), id=MediaId(f"m{number}"))
            readers.append(service.open(media, version_of(media)))
            assert await readers[-1].read(0, READ) == BIG[:READ]
            await trio.sleep(1)
        assert source.open_bodies == 3
        assert len(source.asked) == 5
        # What was held of it is read without a request, and what was not with one.
        at = len(BIG) - READ
        assert await readers[0].read(0, READ) == BIG[:READ]
        assert len(source.asked) == 5
        assert await readers[0].read(at, READ) == BIG[at:]
        assert len(source.asked) == 6
        for reader in readers:
            await reader.close()
    assert source.open_bodies == 0


class TakesTurns(ScriptedSource):
    """Answers for media `m2` after 300 turns of the loop."""

    sent_before: int | None = None
    """Of the other media meanwhile."""

    @asynccontextmanager
    async def body(
        self, media: Media, span: Span, *, if_range: str | None = None, urgency: Urgency
    ) -> AsyncIterator[Body]:
        before = self.sent
        if media.id == "m2":
            for _ in range(300):
                await trio.lowlevel.checkpoint()
            self.sent_before = self.sent - before
        async with super().body(media, span, if_range=if_range, urgency=urgency) as body:
            yield body


@pytest.mark.parametrize(
    ("urgency", "most"), [(Urgency.PERSON, 2 * MIB), (Urgency.PREFETCH, 64 * MIB)], ids=["person", "ahead"]
)
async def test_who_begins_to_read_has_turns_between_the_receipts_of_others(
    urgency: Urgency, most: int
) -> None:
    source = TakesTurns(bytes(32 * MIB), straight=True, chunk=MIB)
    options = replace(OPTIONS, memory=128 * MIB, window=64 * MIB)
    async with reading(source, options) as service, trio.open_nursery() as nursery:
        first = opened(service, source.content)
        await first.read(0, READ)
        await first.read(READ, READ)
        media = replace(a_media(32 * MIB), id=MediaId("m2"))
        second = service.open(media, version_of(media), urgency=urgency)
        nursery.start_soon(second.read, 0, READ)
        await trio.testing.wait_all_tasks_blocked()
        assert source.sent_before is not None
        assert 0 < source.sent_before <= most
        if urgency is not Urgency.PERSON:
            assert source.sent_before > 8 * MIB
        await first.close()
        await second.close()
