"""Right bytes or an error: replies that lie, break off, stall or change."""

from __future__ import annotations

import pytest
import trio

from mediafs.errors import (
    Changed,
    Denied,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    NotReady,
    Unavailable,
)
from mediafs.model import Span, Urgency, Version
from mediafs.reading import ReadingOptions, Store, reading
from mediafs.reading.blocks import Blocks, Edition, Piece
from mediafs.reading.content import Content
from mediafs.reading.options import Tally
from mediafs.reading.reader import Reader
from mediafs.reading.service import Reading
from mediafs.reading.stream import Stream

from .scripted import KIB, MIB, Fault, MemoryStore, ScriptedSource, a_media, some_bytes, version_of

READ = 128 * KIB
SMALL = some_bytes(300 * KIB)
BIG = some_bytes(4 * MIB)
OPTIONS = ReadingOptions(
    memory=64 * MIB, window=512 * KIB, gap=256 * KIB, whole_below=1 * MIB, block=64 * KIB, total_s=60
)


async def memory_store(version: Version, size: int | None) -> Store:
    return MemoryStore()


def opened(service: Reading, content: bytes) -> Reader:
    media = a_media(len(content))
    return service.open(media, version_of(media))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(content_type="text/html"),
        Fault(content_type="application/json"),
        Fault(content_type="text/xml"),
        Fault(content_type="application/xml"),
        Fault(total=1),
        Fault(shift=1),
        Fault(extra=b"more"),
    ],
    ids=["html", "json", "xml", "xml too", "another total", "another start", "longer"],
)
@pytest.mark.parametrize("ranges", [True, False])
async def test_a_body_that_cannot_be_right_is_an_error_and_the_next_read_tries_anew(
    fault: Fault, ranges: bool
) -> None:
    if fault.shift:
        ranges = True  # A whole body has no start to be wrong.
    source = ScriptedSource(SMALL, [fault], ranges=ranges)
    async with reading(source, OPTIONS, make_store=memory_store) as service:
        reader = opened(service, SMALL)
        with pytest.raises(InvalidReply):
            await reader.read(0, len(SMALL))
        assert service.statistics().memory == 0
        assert await reader.read(0, len(SMALL)) == SMALL
        await reader.close()
    assert len(source.asked) == 2


async def test_another_start_is_an_error_for_a_range_too() -> None:
    source = ScriptedSource(BIG, [Fault(shift=-5)])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        with pytest.raises(InvalidReply, match="asked for byte"):
            await reader.read(2 * MIB, READ)
        await reader.close()


@pytest.mark.parametrize(
    ("content_type", "filename", "mime_type"),
    [
        ("text/html", "report.html", None),
        ("application/json", "events.json", None),
        ("text/xml", "talk.XML", None),
        ("application/xml", "note.txt", None),
        ("application/json", "events", "application/json; charset=utf-8"),
    ],
)
async def test_a_record_that_names_the_type_itself_is_believed(
    content_type: str, filename: str, mime_type: str | None
) -> None:
    source = ScriptedSource(SMALL, [Fault(content_type=content_type)])
    media = a_media(len(SMALL), filename=filename, mime_type=mime_type)
    async with reading(source, OPTIONS) as service:
        reader = service.open(media, version_of(media))
        assert await reader.read(0, 100) == SMALL[:100]
        await reader.close()


async def test_the_last_block_waits_for_the_end_of_the_body(autojump_clock: trio.testing.MockClock) -> None:
    """A body that goes on past the size was not the media: its last bytes are delivered to nobody."""
    source = ScriptedSource(SMALL, [Fault(extra=b"x", stall_after=len(SMALL))], chunk=10_000)
    last_block = len(SMALL) // OPTIONS.block * OPTIONS.block
    async with reading(source, OPTIONS) as service:
        reader = opened(service, SMALL)
        assert await reader.read(0, last_block) == SMALL[:last_block]
        with trio.move_on_after(1) as scope:
            await reader.read(last_block, 1)
        assert scope.cancelled_caught
        await reader.close()


async def test_a_longer_body_delivers_nothing_of_its_last_block() -> None:
    source = ScriptedSource(BIG, [Fault(extra=b"x")])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        last_read = len(BIG) - READ
        for at in range(0, last_read, READ):
            assert await reader.read(at, READ) == BIG[at : at + READ]
        with pytest.raises(InvalidReply, match="goes on past"):
            await reader.read(last_read, READ)
        await reader.close()


@pytest.mark.parametrize("where", [0, 1, 100 * KIB, 299 * KIB])
async def test_a_cut_body_is_resumed_from_where_it_stopped(where: int) -> None:
    source = ScriptedSource(SMALL, [Fault(cut_after=where), Fault(cut_after=10)])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, SMALL)
        assert await reader.read(0, len(SMALL)) == SMALL
        await reader.close()
    assert source.spans == [Span(0), Span(where), Span(where + 10)]
    assert [each.if_range for each in source.asked][1:] == ['"one"' if where else None, '"one"']


async def test_a_body_cut_before_its_end_was_proved_has_its_last_block_sent_again() -> None:
    source = ScriptedSource(SMALL, [Fault(cut_after=len(SMALL))])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, SMALL)
        assert await reader.read(0, len(SMALL)) == SMALL
        await reader.close()
    assert source.spans == [Span(0), Span(len(SMALL) // OPTIONS.block * OPTIONS.block)]


@pytest.mark.parametrize("etag", ['W/"one"', '"\xe9"', None])
async def test_without_a_strong_etag_a_resumption_has_no_if_range(etag: str | None) -> None:
    source = ScriptedSource(SMALL, [Fault(cut_after=100 * KIB)], etag=etag)
    async with reading(source, OPTIONS) as service:
        reader = opened(service, SMALL)
        assert await reader.read(0, len(SMALL)) == SMALL
        await reader.close()
    assert [each.if_range for each in source.asked] == [None, None]


async def test_a_short_body_without_a_stated_length_is_resumed_where_there_are_ranges() -> None:
    source = ScriptedSource(SMALL, [Fault(short_by=1000)])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, SMALL)
        assert await reader.read(0, len(SMALL)) == SMALL
        await reader.close()
    assert source.spans == [Span(0), Span(len(SMALL) - 1000)]


async def test_a_finished_body_that_is_too_short_is_an_error_where_there_are_no_ranges() -> None:
    source = ScriptedSource(SMALL, [Fault(short_by=1000)], ranges=False)
    async with reading(source, OPTIONS, make_store=memory_store) as service:
        reader = opened(service, SMALL)
        with pytest.raises(InvalidReply, match="ends at"):
            await reader.read(0, len(SMALL))
        await reader.close()
    assert len(source.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
async def test_resumptions_without_progress_are_bounded(ranges: bool) -> None:
    source = ScriptedSource(SMALL, [Fault(cut_after=0)] * 100, ranges=ranges)
    async with reading(source, OPTIONS, make_store=memory_store) as service:
        reader = opened(service, SMALL)
        with pytest.raises(Unavailable):
            await reader.read(0, len(SMALL))
        await reader.close()
    assert len(source.asked) == 4


async def test_a_cut_that_nobody_waits_for_costs_no_request_until_the_next_read() -> None:
    source = ScriptedSource(BIG, [Fault(cut_after=300 * KIB)])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        await reader.read(0, READ)
        await trio.testing.wait_all_tasks_blocked()
        assert source.spans == [Span(0)]
        for at in range(READ, len(BIG), READ):
            assert await reader.read(at, READ) == BIG[at : at + READ]
        await reader.close()
    assert source.spans == [Span(0), Span(300 * KIB)]


async def test_a_stalled_body_is_cut_and_resumed(autojump_clock: trio.testing.MockClock) -> None:
    source = ScriptedSource(SMALL, [Fault(stall_after=100 * KIB)])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, SMALL)
        began = trio.current_time()
        assert await reader.read(0, len(SMALL)) == SMALL
        assert trio.current_time() - began == pytest.approx(OPTIONS.progress_s)
        await reader.close()
    assert source.spans == [Span(0), Span(100 * KIB)]


async def test_a_parked_stream_does_not_count_as_stalled(autojump_clock: trio.testing.MockClock) -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        for at in range(0, len(BIG), READ):
            assert await reader.read(at, READ) == BIG[at : at + READ]
            await trio.sleep(3600)
        await reader.close()
    assert source.spans == [Span(0)]


@pytest.mark.parametrize("fault", [Fault(hang=True), Fault(stall_after=0)])
async def test_no_read_takes_longer_than_its_total(
    fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    source = ScriptedSource(SMALL, [fault] * 50)
    async with reading(source, OPTIONS) as service:
        reader = opened(service, SMALL)
        began = trio.current_time()
        with pytest.raises(Late):
            await reader.read(0, len(SMALL))
        assert trio.current_time() - began <= OPTIONS.total_s + 0.001  # the clock's rounding
        assert len(source.asked) <= 4
        source.faults.clear()
        await trio.sleep(OPTIONS.total_s)
        assert await reader.read(0, len(SMALL)) == SMALL
        await reader.close()


async def test_a_slow_body_is_late_and_goes_on_for_the_next_read(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = ScriptedSource(SMALL, pace_s=10.0, chunk=32 * KIB)
    async with reading(source, OPTIONS) as service:
        reader = opened(service, SMALL)
        with pytest.raises(Late):
            await reader.read(0, len(SMALL))
        await trio.sleep(1)
        assert await reader.read(0, len(SMALL)) == SMALL
        await reader.close()
    assert source.spans == [Span(0)]


async def test_what_failed_after_long_is_not_waited_for_again_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The kernel asks once more for what a failed read did not get: a process would wait twice as long."""
    source = ScriptedSource(BIG, [Fault(hang=True)] * 20)
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        with pytest.raises((Late, Unavailable)):
            await reader.read(0, 4096)
        failed_at, asked = trio.current_time(), len(source.asked)
        for _ in range(3):
            with pytest.raises((Late, Unavailable)):
                await reader.read(0, 4096)
        assert trio.current_time() == failed_at
        assert len(source.asked) == asked
        await reader.close()


@pytest.mark.parametrize("error", [NotFound("x"), Denied("x"), NotReady("x"), Late("x"), Unavailable("x")])
async def test_what_the_service_refuses_reaches_the_reader_as_it_is(error: MediafsError) -> None:
    source = ScriptedSource(BIG, [Fault(refuse=error)])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        with pytest.raises(type(error)):
            await reader.read(0, 10)
        await reader.close()
    assert len(source.asked) == 1


@pytest.mark.parametrize(
    "change", ["etag", "weak etag", "last modified", "total", "gone", "if-range", "etag lost"]
)
async def test_content_that_changed_fails_the_reader_for_good(change: str) -> None:
    source = ScriptedSource(
        BIG,
        etag={"weak etag": 'W/"one"', "last modified": None, "total": None}.get(change, '"one"'),
        last_modified="Mon, 01 Jan 2024 00:00:00 GMT" if "mod" in change or "lost" in change else None,
    )
    async with reading(source, OPTIONS) as service:
        reader, other = opened(service, BIG), opened(service, BIG)
        await reader.read(0, READ)
        await other.read(0, READ)
        await trio.testing.wait_all_tasks_blocked()
        if change in ("etag", "if-range"):
            source.etag = '"two"'
        elif change == "weak etag":
            source.etag = 'W/"two"'
        elif change in ("last modified", "etag lost"):
            source.etag, source.last_modified = None, "Tue, 02 Jan 2024 00:00:00 GMT"
        elif change == "total":
            source.content = BIG + b"more"
        else:
            source.gone = True
        asked = len(source.asked)
        with pytest.raises(Changed):
            await reader.read(3 * MIB, READ)
        for each in (reader, other):
            with pytest.raises(Changed):
                await each.read(0, 10)
        assert len(source.asked) == asked + 1
        assert service.statistics().memory == 0
        await reader.close()
        await other.close()
        if change != "gone" and change != "total":
            again = opened(service, BIG)
            assert await again.read(0, 10) == BIG[:10]
            await again.close()


async def test_the_same_content_with_a_weak_tag_is_the_same() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        await reader.read(0, READ)
        source.etag = 'W/"one"'
        source.faults.append(None)
        with pytest.raises(Changed):  # The fake compares If-Range strongly, as RFC 9110 wants.
            await reader.read(3 * MIB, READ)
        await reader.close()


async def test_a_service_that_no_longer_heeds_ranges_gives_the_same_content_whole() -> None:
    source = ScriptedSource(BIG, [None, Fault(ignore_range=True)])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        assert await reader.read(0, READ) == BIG[:READ]
        assert await reader.read(3 * MIB, READ) == BIG[3 * MIB : 3 * MIB + READ]
        await reader.close()
    assert source.asked[1].if_range == '"one"'


async def test_blocks_held_since_an_earlier_open_are_not_mixed_with_new_content() -> None:
    source = ScriptedSource(BIG)
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        await reader.read(0, READ)
        await reader.close()
        source.content, source.etag = bytes(reversed(BIG)), '"two"'
        reader = opened(service, BIG)
        assert await reader.read(0, READ) == BIG[:READ]
        with pytest.raises(Changed):
            await reader.read(3 * MIB, READ)
        await reader.close()
        reader = opened(service, BIG)
        assert await reader.read(0, READ) == source.content[:READ]
        await reader.close()


async def test_html_in_place_of_a_later_range_keeps_what_is_held() -> None:
    source = ScriptedSource(BIG, [None, Fault(content_type="text/html", ignore_range=True)])
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        await reader.read(0, READ)
        with pytest.raises(InvalidReply):
            await reader.read(3 * MIB, READ)
        assert await reader.read(0, READ) == BIG[:READ]
        await reader.close()
    assert len(source.asked) == 2


async def test_every_reply_is_held_against_the_first() -> None:
    """A reply that tells less in between does not loosen what is known."""
    source = ScriptedSource(BIG, etag='W/"one"', last_modified="Mon, 01 Jan 2024 00:00:00 GMT")
    async with reading(source, OPTIONS) as service:
        reader = opened(service, BIG)
        await reader.read(0, READ)
        source.etag = None
        await reader.read(2 * MIB, READ)
        source.etag = 'W/"two"'
        with pytest.raises(Changed):
            await reader.read(3 * MIB, READ)
        await reader.close()


async def test_bytes_that_arrive_after_a_media_was_forgotten_are_not_held() -> None:
    media, blocks = a_media(len(SMALL)), Blocks(OPTIONS.memory, OPTIONS.block)
    content = Content(
        media, version_of(media), Edition(media.size), options=OPTIONS, blocks=blocks, tally=Tally()
    )
    stream = Stream(Span(0), whole=True, urgency=Urgency.PERSON)
    content.begin(stream)
    content.forget()
    content.arrived(stream, [Piece(0, SMALL[: OPTIONS.block])])
    assert blocks.used == 0
