"""Listings of Verba against its twin, without a network: whole, once, in order, in few requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediafs.errors import Incomplete, InvalidReply, Unavailable
from mediafs.model import Cursor, Media, MediaId, Page, Question, User, UserId
from mediafs.sandbox import World
from mediafs.sandbox.verba_xml import call_id, parties
from mediafs.sync.crawl import Position, advance
from mediafs.vendors._verba_rows import Row, Rows, Step
from mediafs.vendors._verba_windows import DAY_S, Place, Window, bounds, next_width
from mediafs.vendors.protocol import Call, Reply
from tests.verba_talk import NOW, Talk, drive, failed, talk, verba, xml

PARIS = ZoneInfo("Europe/Paris")
START = datetime(2024, 1, 1, tzinfo=UTC)


def world_at(*moments: datetime, size: int = 10) -> World:
    world = World(seed=1)
    for moment in moments:
        world.add(created=moment, size=size, media_type="audio")
    return world


def spread(count: int, step: timedelta, first: datetime = START) -> World:
    return world_at(*(first + n * step for n in range(count)))


def ids(world: World) -> set[str]:
    return {call_id(media.id) for media in world if media.completed}


def crawl(talk: Talk, since: datetime | None) -> list[Media]:
    """As `sync` reads all days: on by the time of the last media seen, by the cursor within one second."""
    position: Position | None = Position(since=since)
    found: dict[str, Media] = {}
    for _ in range(1000):
        if position is None:
            return sorted(found.values(), key=lambda media: media.created)
        page = talk.page(Question(since=position.since, cursor=position.cursor))
        found |= {media.id: media for media in page.media}
        after = advance(position, page)
        assert after != position, "it goes round and round"
        position = after
    raise AssertionError("it does not end")


READINGS: list[dict[str, Any]] = [
    {},
    {"page_base": 1},
    {"page_cap": 50},
    {"page_cap": 10},
    {"pages": False},
    {"sorts": "no"},
    {"sorts": "text"},
    {"inclusive_end": False, "whole_minutes": True},
    {"max_window_days": 31},
    {"nothing_code": -50},
    {"root": "verbacdrlist"},
    {"root": "VerbaData", "time_tag": "starttime"},
    {"time_form": "minutes"},
    {"time_form": "fraction"},
    {"zone": "Europe/Paris"},
    {"zone": "Europe/Paris", "later_fold": True, "sorts": "text"},
    {"zone": "Australia/Lord_Howe", "page_base": 1},
]
every_reading = pytest.mark.parametrize("options", READINGS, ids=str)


def spoken(world: World, options: dict[str, Any]) -> Talk:
    return talk(world, {"zone": ZoneInfo(options.get("zone", "UTC"))}, **options)


@every_reading
@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_hold_every_recorded_call_once_and_in_order(
    options: dict[str, Any], newest_first: bool
) -> None:
    world = World.generate(400, seed=3)
    found = spoken(world, options).everything(Question(since=START, newest_first=newest_first))
    assert len(found) == len({media.id for media in found})
    assert {media.id for media in found} == ids(world)
    created = [media.created for media in found]
    assert created == sorted(created, reverse=newest_first)


@every_reading
def test_a_crawl_by_the_time_of_the_last_call_holds_every_call(options: dict[str, Any]) -> None:
    world = World.generate(400, seed=4)
    assert {media.id for media in crawl(spoken(world, options), START)} == ids(world)


def test_where_the_archive_begins_is_asked_of_the_service_by_one_request() -> None:
    said = talk(spread(50, timedelta(days=30), datetime(2001, 5, 1, tzinfo=UTC)))
    page = said.page(Question(limit=1))
    assert page.media[0].created == datetime(2001, 5, 1, tzinfo=UTC)
    asked = dict(said.calls[0].query)
    assert (asked["action"], asked["order"], asked["orderby"]) == ("SearchCalls", "asc", "start_time")
    assert asked["end"] == "2026-01-11 12:01:00", "up to a day from now"
    assert crawl(said, None)[-1].created == datetime(2001, 5, 1, tzinfo=UTC) + timedelta(days=30 * 49)


def test_where_all_time_is_refused_a_listing_begins_two_years_back() -> None:
    world = spread(40, timedelta(days=30), NOW - timedelta(days=1200))
    said = talk(world, max_window_days=31)
    found = said.everything(Question())
    assert {m.created for m in found} == {m for m in moments(world) if m > NOW - timedelta(days=731)}
    assert said.vendor.learnt["refused_s"]


def test_the_oldest_call_is_looked_for_until_there_is_one() -> None:
    world = spread(40, timedelta(days=1), NOW - timedelta(days=41))
    said = talk(world, max_window_days=8)
    page = said.page(Question(limit=1))
    assert page.media[0].created == NOW - timedelta(days=41), "an empty page would say that there is none"


def moments(world: World) -> list[datetime]:
    return [datetime.fromtimestamp(media.created_s, UTC) for media in world]


def test_a_limit_that_is_kept_without_a_word_is_not_taken_for_an_empty_archive() -> None:
    world = spread(30, timedelta(days=10), NOW - timedelta(days=400))
    said = talk(world, max_window_days=366, silent_window=True)
    assert {media.id for media in said.everything(Question())} == ids(world)


def test_a_search_of_all_time_that_is_not_answered_is_not_tried_again() -> None:
    said = talk(spread(3, timedelta(days=1), NOW - timedelta(days=5)))
    flow = said.vendor.page(Question(), NOW)
    first = dict(next(flow).query)
    flow.close()  # late, or unreachable
    assert first["start"] < "1990-01-02"
    said.page(Question())
    assert dict(said.calls[0].query)["start"] == "2024-01-10 11:59:00"


def test_two_years_of_little_do_not_cost_a_request_a_day() -> None:
    said = talk(spread(24, timedelta(days=30)))
    assert len(crawl(said, START)) == 24
    assert len(said.calls) < 35
    again = talk(spread(24, timedelta(days=30)))
    assert len(crawl(again, None)) == 24
    assert len(again.calls) < 10, "the service has shown that it answers for all time"


def test_two_years_of_much_cost_about_a_request_a_hundred_calls() -> None:
    said = talk(spread(5000, timedelta(hours=3, minutes=30)))
    assert len(crawl(said, START)) == 5000
    assert len(said.calls) < 70


def test_a_first_window_is_a_day_and_grows_while_it_comes_back_small() -> None:
    world = world_at(datetime(2010, 1, 1, tzinfo=UTC))
    said = talk(world)
    said.page(Question(since=START))
    first, probe, *others = [dict(call.query) for call in said.calls]
    assert (probe["pagelen"], probe["start"][:4]) == ("1", "1989")
    read = [datetime.fromisoformat(query["end"]) for query in (first, *others)]
    days = [(end - datetime(2024, 1, 1)) / timedelta(days=1) for end in read]
    assert [round(day) for day in days] == [1, 2, 10, 74, 586, 742], "and then the end"


def test_one_request_spares_who_begins_with_a_day_the_narrow_windows() -> None:
    world = spread(40, timedelta(days=15))
    said = talk(world)
    found = crawl(said, START)
    assert {media.id for media in found} == ids(world)
    assert len(said.calls) <= 8, "first window, probe, and windows that grow"
    assert said.vendor.learnt["open_ended"] is True
    said.calls.clear()
    crawl(said, START)
    assert not [call for call in said.calls if dict(call.query)["pagelen"] == "1"], "it is asked once"


@pytest.mark.parametrize("days", [2, 7, 20])
def test_a_shorter_limit_without_a_word_leaves_no_call_out(days: int) -> None:
    world = spread(60, timedelta(days=1), START)
    said = talk(world, max_window_days=days, silent_window=True)
    assert {media.id for media in crawl(said, START)} == ids(world)


@pytest.mark.parametrize(
    "options",
    [{"max_window_days": 40}, {"max_window_days": 40, "silent_window": True}],
    ids=["refused", "without a word"],
)
def test_a_search_of_all_time_that_shows_nothing_proves_nothing(options: dict[str, Any]) -> None:
    world = spread(40, timedelta(days=15))
    said = talk(world, **options)
    assert {media.id for media in crawl(said, START)} == ids(world)
    assert "open_ended" not in said.vendor.learnt
    assert sum(dict(call.query)["pagelen"] == "1" for call in said.calls) == 1


def test_a_probe_that_fails_fails_no_listing() -> None:
    world = spread(40, timedelta(days=15))
    said = talk(world)

    def spoil(call: Call, reply: Reply) -> Reply:
        return failed(-1) if dict(call.query)["pagelen"] == "1" else reply

    said.spoil = spoil
    assert {media.id for media in crawl(said, START)} == ids(world)
    assert "open_ended" not in said.vendor.learnt


def test_one_page_asks_a_bounded_number_of_requests_and_goes_on_by_its_cursor() -> None:
    said = talk(World(), max_window_days=8)
    page = said.page(Question(since=START))
    assert len(said.calls) <= 8
    assert page.media == ()
    assert page.next is not None
    assert page.total is None
    assert said.everything(Question(since=START)) == []


@pytest.mark.parametrize("options", [{}, {"page_base": 1}, {"page_cap": 40}], ids=str)
def test_many_calls_in_one_second_are_paged_through(options: dict[str, Any]) -> None:
    world = world_at(*([START] * 350), START + timedelta(seconds=1), *([START + timedelta(hours=1)] * 130))
    said = talk(world, **options)
    assert {media.id for media in crawl(said, START - timedelta(days=2))} == ids(world)
    assert said.vendor.learnt["page_base"] == options.get("page_base", 0)


def test_more_calls_in_one_second_than_can_be_shown_fail_the_listing() -> None:
    said = talk(world_at(*([START] * 150)), pages=False)
    with pytest.raises(Incomplete, match="one second"):
        said.everything(Question(since=START, until=START))


def test_the_page_base_is_found_by_the_overlap_and_remembered() -> None:
    for base in (0, 1):
        said = talk(world_at(*([START] * 250)), page_base=base)
        said.everything(Question(since=START, until=START))
        positions = [dict(call.query).get("pagefirst") for call in said.calls]
        assert positions[:2] == [None, "99"]
        assert said.vendor.learnt["page_base"] == base
        said.calls.clear()
        said.everything(Question(since=START, until=START))
        assert [dict(call.query).get("pagefirst") for call in said.calls][1] == str(99 + base)


@pytest.mark.parametrize(("learnt", "true"), [(1, 0), (0, 1)])
@pytest.mark.parametrize("count", [100, 101, 199, 250])
def test_a_page_base_that_changed_is_found_out(learnt: int, true: int, count: int) -> None:
    world = world_at(*([START] * count))
    said = talk(world, page_base=true)
    said.vendor.learnt["page_base"] = learnt
    assert {m.id for m in said.everything(Question(since=START, until=START))} == ids(world)


@pytest.mark.parametrize("nonsense", ["one", None, 7, [1], -1, True, {}])
def test_what_was_learnt_is_checked_like_any_input(nonsense: object) -> None:
    world = spread(150, timedelta(hours=1))
    said = talk(world)
    said.vendor.learnt |= dict.fromkeys(("page_base", "width_s", "refused_s", "open_ended"), nonsense)
    assert {m.id for m in said.everything(Question(since=START))} == ids(world)


def test_a_deletion_between_two_pages_leaves_no_call_out() -> None:
    world = world_at(*([START] * 250))
    said = talk(world)
    first = next(iter(world)).id

    def spoil(call: Call, reply: Reply) -> Reply:
        if len(said.calls) == 1:
            world.remove(first)
        return reply

    said.spoil = spoil
    found = {media.id for media in said.everything(Question(since=START, until=START))}
    assert found >= ids(world)


def test_a_page_cut_short_by_the_service_is_not_the_last() -> None:
    """A cap that is not documented: 37 rows, of a window of 40."""
    world = world_at(*([START] * 40))
    assert len(talk(world, page_cap=37).everything(Question(since=START, until=START))) == 40


def test_an_answer_of_another_kind_is_no_empty_archive() -> None:
    said = talk(spread(3, timedelta(days=1)))
    for body in ("<html><body>Sign in</body></html>", "<VerbaApi/>", "<other/>", ""):
        said.spoil = lambda call, reply, body=body: xml(body)  # type: ignore[misc]
        with pytest.raises(InvalidReply):
            said.page(Question(since=START))


def test_a_day_that_is_refused_fails_the_listing() -> None:
    said = talk(World())
    said.spoil = lambda call, reply: xml('<VerbaApi><Response code="-20"/></VerbaApi>')
    with pytest.raises(InvalidReply, match="a day"):
        said.page(Question(since=START))


def test_a_failing_service_is_unavailable_and_makes_the_next_attempt_modest() -> None:
    said = talk(World())
    said.vendor.learnt["width_s"] = 400 * DAY_S
    said.spoil = lambda call, reply: xml('<VerbaApi><Response code="-1"/></VerbaApi>')
    with pytest.raises(Unavailable):
        said.page(Question(since=START))
    assert "width_s" not in said.vendor.learnt


def test_a_call_that_goes_on_is_not_listed() -> None:
    world = spread(3, timedelta(days=1))
    world.add(created=START + timedelta(days=5), status="in_progress", size=10)
    said = talk(world)
    said.spoil = lambda call, reply: Reply(
        status=200, headers={}, body=reply.body.replace(b'state="recorded"', b'state="ongoing"', 1)
    )
    assert len(said.everything(Question(since=START, until=NOW))) < 3


# --- by user


def test_a_users_calls_are_those_of_his_number_and_of_none_that_holds_it() -> None:
    world = World(seed=1)
    for n in range(90):
        world.add(created=START + timedelta(hours=n), owner=(1000, 10001, 1001)[n % 3], size=5)
    said = talk(world)
    found = said.everything(Question(scope=User(UserId("1000"))))
    assert dict(said.calls[0].query)["anynum"] == "1000"
    everything = said.everything(Question(since=START))
    assert {m.id for m in found} == {m.id for m in everything if m.owner and m.owner.id == "1000"}
    assert len(found) == 30
    assert {m.owner.id for m in found if m.owner} == {"1000"}


def test_a_call_inside_the_company_belongs_to_one_user_however_it_is_listed() -> None:
    world = World(seed=1)
    media = [world.add(created=START + timedelta(hours=n), owner=1000, size=5) for n in range(8)]
    inside = media[6]
    assert {party.number for party in parties(inside)[:2]} == {"1000", "1001"}
    said = talk(world)
    assert call_id(inside.id) in {m.id for m in said.everything(Question(scope=User(UserId("1000"))))}
    assert said.everything(Question(scope=User(UserId("1001")))) == []


def test_a_user_without_a_number_is_looked_for_by_name() -> None:
    said = talk(World())
    said.page(Question(scope=User(UserId("Alice Example"))))
    assert dict(said.calls[0].query)["anyname"] == "Alice Example"


def test_a_user_of_few_calls_among_many_is_found_whole() -> None:
    world = World(seed=1)
    for n in range(1500):
        world.add(created=START + timedelta(minutes=n), owner=10001 if n % 500 else 1000, size=5)
    said = talk(world)
    said.vendor.learnt["open_ended"] = True
    assert len(said.everything(Question(scope=User(UserId("1000"))))) == 3


# --- the clock


AUTUMN = datetime(2024, 10, 27, 1, tzinfo=UTC)
"""Paris puts its clock back: 02:00 to 03:00 is there twice."""


@pytest.mark.parametrize("options", [{}, {"later_fold": True}, {"sorts": "text"}, {"page_cap": 20}], ids=str)
@pytest.mark.parametrize("step_s", [40, 301])
@pytest.mark.parametrize("newest_first", [False, True])
def test_no_call_is_lost_where_the_clock_is_put_back(
    options: dict[str, Any], step_s: int, newest_first: bool
) -> None:
    first = AUTUMN - timedelta(hours=3)
    world = spread(6 * 3600 // step_s, timedelta(seconds=step_s), first)
    said = talk(world, {"zone": PARIS}, zone="Europe/Paris", **options)
    since = first - timedelta(days=1)
    found = said.everything(Question(since=since, newest_first=newest_first))
    assert {media.id for media in found} == ids(world)
    assert len(found) == len(ids(world))
    assert {media.id for media in crawl(said, since)} == ids(world)


@given(
    offset=st.integers(-4 * 3600, 4 * 3600),
    width=st.integers(1, 6 * 3600),
    later=st.booleans(),
    text=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_whichever_window_meets_the_change_of_the_clock(
    offset: int, width: int, later: bool, text: bool
) -> None:
    world = spread(72, timedelta(minutes=7), AUTUMN - timedelta(hours=4))
    said = talk(
        world,
        {"zone": PARIS},
        zone="Europe/Paris",
        later_fold=later,
        sorts="text" if text else "time",
    )
    edge = AUTUMN + timedelta(seconds=offset)
    said.vendor.learnt["width_s"] = width
    before = said.everything(Question(since=AUTUMN - timedelta(days=1), until=edge - timedelta(seconds=1)))
    said.vendor.learnt["width_s"] = width
    after = said.everything(Question(since=edge))
    assert {m.id for m in before} | {m.id for m in after} == ids(world)
    assert not {m.id for m in before} & {m.id for m in after}


def test_in_spring_an_hour_is_missing_and_no_call() -> None:
    first = datetime(2024, 3, 31, 1, tzinfo=UTC) - timedelta(hours=2)
    world = spread(200, timedelta(minutes=1), first)
    said = talk(world, {"zone": PARIS}, zone="Europe/Paris")
    found = crawl(said, first)
    assert {media.id for media in found} == ids(world)
    assert [media.created for media in found] == moments(world)


def test_times_are_the_api_users_with_a_token() -> None:
    world = world_at(datetime(2024, 7, 1, 12, tzinfo=UTC))
    said = talk(world, {"zone": PARIS}, zone="Europe/Paris")
    (found,) = said.everything(Question(since=START))
    assert found.created == datetime(2024, 7, 1, 12, tzinfo=UTC)
    assert dict(said.calls[0].query)["start"] == "2024-01-01 00:59:00"


def test_times_are_in_gmt_without_a_token() -> None:
    vendor = verba(zone=PARIS)
    asked, page = drive(
        vendor.page(Question(since=START, until=START), NOW),
        xml(
            "<verbacdrlist><verbacdr><ccdr_id>a</ccdr_id><starttime>2024-01-01 00:00:00</starttime>"
            "</verbacdr></verbacdrlist>"
        ),
    )
    assert dict(asked[0].query)["start"] == "2023-12-31 23:59:00"
    assert isinstance(page, Page)
    assert page.media[0].created == START


# --- windows and rows by themselves


def every_reading_of(text: str) -> list[datetime]:
    naive = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    return [naive.replace(tzinfo=PARIS, fold=fold).astimezone(UTC) for fold in (0, 1)]


@given(st.integers(-5 * 86400, 5 * 86400), st.integers(1, 86400))
def test_bounds_hold_the_window_however_they_are_read(offset: int, width: int) -> None:
    start = AUTUMN + timedelta(seconds=offset)
    window = Window(start, start + timedelta(seconds=width))
    first, last = bounds(window, PARIS)
    assert all(read < window.start for read in every_reading_of(first))
    assert all(read > window.end for read in every_reading_of(last))


@given(st.integers(1, 10**10), st.integers(0, 10**6))
def test_a_window_never_vanishes_and_never_grows_without_bound(width: int, calls: int) -> None:
    assert 1 <= next_width(width, calls) <= 120 * 366 * DAY_S


@pytest.mark.parametrize("cursor", ["", "x", "1", "1/", "/1", "1/x", "9" * 40 + "/1", "١/1", "1/1\n"])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        Place.of(Cursor(cursor))


def test_a_place_survives_its_cursor() -> None:
    place = Place(START, 90)
    assert Place.of(place.cursor()) == place


def rows(*names: str) -> list[Row]:
    return [Row(name, None) for name in names]


def taken(pages: list[str], base: int = 0, most: int = 3) -> tuple[Rows, list[Step]]:
    made = Rows(UTC, backwards=False)
    return made, [made.take(rows(*page), base, most) for page in pages]


@pytest.mark.parametrize(
    ("pages", "steps"),
    [
        (["ab"], [Step.LAST]),
        ([""], [Step.LAST]),
        (["abc", "c"], [Step.ON, Step.LAST]),
        (["abc", "bc"], [Step.ON, Step.LAST]),
        (["abc", "cde", "efg"], [Step.ON, Step.ON, Step.ON]),
        (["abc", "cde", "e"], [Step.ON, Step.ON, Step.LAST]),
        (["abc", "def"], [Step.ON, Step.BROKEN]),
        (["abc", ""], [Step.ON, Step.BROKEN]),
        (["abc", "abc"], [Step.ON, Step.IGNORED]),
    ],
)
def test_a_page_has_to_continue_the_one_before(pages: list[str], steps: list[Step]) -> None:
    assert taken(pages)[1] == steps


def media_at(name: str, moment: datetime) -> Media:
    return Media(id=MediaId(name), created=moment, filename="x", size=None)


@pytest.mark.parametrize(
    ("seconds", "backwards", "known"),
    [
        ([1, 2, 9], False, (0, 9)),
        ([9, 2, 1], False, (0, 0)),
        ([1, 2, 99], False, (0, 60)),
        ([-5, -1], False, (0, 0)),
        ([59, 30, 10], True, (11, 60)),
        ([10, 30], True, (60, 60)),
        ([], False, (0, 0)),
    ],
)
def test_of_a_sorted_listing_all_before_the_last_second_is_known(
    seconds: list[int], backwards: bool, known: tuple[int, int]
) -> None:
    made = Rows(UTC, backwards=backwards)
    at: Callable[[int], datetime] = lambda second: START + timedelta(seconds=second)  # noqa: E731
    made.take([Row(str(n), media_at(str(n), at(second))) for n, second in enumerate(seconds)], 0, 1)
    assert made.whole(Window(at(0), at(60))) == Window(at(known[0]), at(known[1]))


def test_a_listing_that_goes_back_where_the_clock_does_is_sorted_all_the_same() -> None:
    made = Rows(PARIS, backwards=False)
    twice = [AUTUMN - timedelta(minutes=50), AUTUMN - timedelta(minutes=55), AUTUMN + timedelta(days=1)]
    made.take([Row(str(n), media_at(str(n), moment)) for n, moment in enumerate(twice)], 0, 1)
    window = Window(AUTUMN - timedelta(days=1), AUTUMN + timedelta(days=2))
    assert made.whole(window).end == twice[-1]


def test_days_of_the_calendar_are_what_a_person_asks_for() -> None:
    """A question of one day, as a directory makes it."""
    world = World.generate(300, seed=5, first=date(2024, 3, 1), last=date(2024, 3, 30))
    said = talk(world)
    since = datetime(2024, 3, 10, tzinfo=UTC)
    until = since + timedelta(days=1) - timedelta(seconds=1)
    found = said.everything(Question(since=since, until=until))
    assert {m.id for m in found} == {
        call_id(m.id) for m in world if m.completed and since.timestamp() <= m.created_s <= until.timestamp()
    }
