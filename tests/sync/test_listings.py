"""When listings are read, how many requests that costs, and what a failure leaves behind."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mediafs.errors import CredentialsRefused, FilterRefused, Incomplete, Late, Unavailable, ValueRefused
from mediafs.model import Conversation, ConversationId, Days, MediaId, Recent, Urgency, User, UserId
from tests.fakes import START, MemorySource, make_media

from .house import day, house

pytestmark = pytest.mark.usefixtures("tmp_path")


def archive(count: int, hours: float = 1) -> MemorySource:
    return MemorySource(
        [make_media(n, created=START + timedelta(hours=hours * n)) for n in range(1, count + 1)]
    )


async def test_a_day_costs_its_own_pages(tmp_path: Path) -> None:
    async with house(archive(2000), tmp_path) as here:
        await here.listings.ensure(day("2024-01-05"))
        assert here.pages == 1
        assert len(here.names(day("2024-01-05"))) == 24


async def test_a_page_brings_the_days_that_follow(tmp_path: Path) -> None:
    async with house(archive(2000), tmp_path) as here:
        await here.listings.ensure(day("2024-01-05"))
        for following in ("2024-01-06", "2024-01-07"):
            await here.listings.ensure(day(following))
        assert here.pages == 1


async def test_walking_two_years_costs_about_one_whole_listing(tmp_path: Path) -> None:
    source = archive(10_000, hours=1.7)
    async with house(source, tmp_path) as here:
        await here.listings.look_for_the_oldest()
        first = date.fromordinal((here.catalogue.views.day_range() or (0, 0))[0])
        found: set[str] = set()
        for n in range(730):
            one = first + timedelta(days=n)
            if one > date(2025, 1, 15):
                break
            await here.listings.ensure(Days(one, one))
            found |= here.ids(Days(one, one))
        shown = {m.id for m in source.archive if m.created.date() <= date(2025, 1, 15)}
        assert found == shown
        assert here.pages <= 1.2 * 100 + 10


async def test_walking_backwards_does_not_ask_for_each_day(tmp_path: Path) -> None:
    async with house(archive(2000, hours=4), tmp_path) as here:  # six a day
        for n in range(60):
            one = date(2024, 6, 30) - timedelta(days=n)
            await here.listings.ensure(Days(one, one))
        assert here.pages <= 10


async def test_a_day_of_many_pages_is_read_to_its_end(tmp_path: Path) -> None:
    source = MemorySource([make_media(n, created=START + timedelta(seconds=20 * n)) for n in range(1, 1001)])
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-01"))
        assert len(here.names(day("2024-01-01"))) == 1000
        assert here.pages == 10 + 1  # neighbours of a second are listed twice, which may cost a page


async def test_more_media_in_one_second_than_fit_a_page_are_all_found(tmp_path: Path) -> None:
    source = MemorySource([make_media(n, created=START) for n in range(1, 351)])
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-01"))
        assert len(here.names(day("2024-01-01"))) == 350


async def test_a_second_look_while_fresh_asks_nothing(tmp_path: Path) -> None:
    async with house(archive(50), tmp_path) as here:
        await here.listings.ensure(day("2024-01-02"))
        here.clock[0] += 59
        await here.listings.ensure(day("2024-01-02"))
        assert here.pages == 1


async def test_an_older_listing_is_shown_at_once_and_refreshed_behind(tmp_path: Path) -> None:
    source = archive(50)
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-02"))
        here.clock[0] += 120
        source.archive.append(make_media(900, created=datetime(2024, 1, 2, 5, tzinfo=UTC)))
        await here.listings.ensure(day("2024-01-02"))
        assert len(here.names(day("2024-01-02"))) == 24
        await trio.testing.wait_all_tasks_blocked()
        assert len(here.names(day("2024-01-02"))) == 25
        assert source.questions[-1][1] is Urgency.BACKGROUND


async def test_a_walk_over_stale_days_refreshes_them_together(tmp_path: Path) -> None:
    source = archive(1000)
    async with house(source, tmp_path) as here:
        days = [date(2024, 1, 1) + timedelta(days=n) for n in range(40)]
        for one in days:
            await here.listings.ensure(Days(one, one))
        walked = here.pages
        here.clock[0] += 120
        for one in days:
            await here.listings.ensure(Days(one, one))
        await trio.testing.wait_all_tasks_blocked()
        assert here.pages <= 2 * walked + 1


async def test_an_old_listing_is_refreshed_first(tmp_path: Path) -> None:
    source = archive(50)
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-02"))
        here.clock[0] += 601
        gone = source.archive.pop(30)
        await here.listings.ensure(day("2024-01-02"))
        assert gone.id not in here.ids(day("2024-01-02"))


async def test_two_who_ask_at_once_share_one_crawl(tmp_path: Path) -> None:
    source = archive(500)
    source.gate = trio.Event()
    async with house(source, tmp_path) as here, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(here.listings.ensure, day("2024-01-03"))
        await trio.testing.wait_all_tasks_blocked()
        source.gate.set()
    assert source.asked["page"] == 1


async def test_a_service_that_is_away_shows_the_last_whole_listing(tmp_path: Path) -> None:
    source = archive(500)
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-02"))
        here.clock[0] += 6000
        source.fail = lambda question: Unavailable("nobody answers")
        await here.listings.ensure(day("2024-01-02"))
        assert len(here.names(day("2024-01-02"))) == 24
        assert here.listings.state(day("2024-01-02")).error == "nobody answers"
        with pytest.raises(Unavailable):
            await here.listings.ensure(day("2024-01-12"))


async def test_refused_credentials_are_never_an_empty_folder(tmp_path: Path) -> None:
    source = archive(500)
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-02"))
        source.fail = lambda question: CredentialsRefused("who are you")
        here.clock[0] += 300
        await here.listings.ensure(day("2024-01-02"))
        await trio.testing.wait_all_tasks_blocked()
        here.clock[0] += 600
        with pytest.raises(CredentialsRefused):
            await here.listings.ensure(day("2024-01-02"))
        with pytest.raises(CredentialsRefused):
            await here.listings.ensure(day("2024-01-12"))


async def test_the_deadline_ends_the_wait_and_the_crawl_goes_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    source = archive(50)
    source.gate = trio.Event()
    async with house(source, tmp_path, list_deadline_s=5) as here:
        before = trio.current_time()
        with pytest.raises(Late):
            await here.listings.ensure(day("2024-01-02"))
        assert trio.current_time() - before <= 6
        source.gate.set()
        await here.listings.ensure(day("2024-01-02"))
        assert here.pages == 1


async def test_a_wait_that_outlasts_the_deadline_fails_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    source = archive(50)
    source.gate, source.wait = trio.Event(), 60
    async with house(source, tmp_path, list_deadline_s=20) as here:
        before = trio.current_time()
        with pytest.raises(Late, match="60 s") as caught:
            await here.listings.ensure(day("2024-01-02"))
        assert trio.current_time() - before < 1
        assert caught.value.wait_s == 60


async def test_an_interrupted_crawl_goes_on_after_a_restart(tmp_path: Path) -> None:
    source = MemorySource([make_media(n, created=START + timedelta(seconds=20 * n)) for n in range(1, 1001)])
    failing = lambda question: Unavailable("gone") if source.asked["page"] > 5 else None  # noqa: E731
    source.fail = failing
    async with house(source, tmp_path) as here:
        with pytest.raises(Unavailable):
            await here.listings.ensure(day("2024-01-01"))
        assert here.listings.state(day("2024-01-01")).listed is None
    source.fail = lambda question: None
    async with house(source, tmp_path) as here:
        before = here.pages
        await here.listings.ensure(day("2024-01-01"))
        assert len(here.names(day("2024-01-01"))) == 1000
        assert here.pages - before <= 6


async def test_a_total_that_is_not_reached_is_no_listing(tmp_path: Path) -> None:
    class Liar(MemorySource):
        async def page(self, question, *, urgency):  # type: ignore[no-untyped-def]
            page = await super().page(question, urgency=urgency)
            return type(page)(media=page.media, total=(page.total or 0) + 7, next=None)

    async with house(Liar(archive(50).archive), tmp_path) as here:
        with pytest.raises(Incomplete):
            await here.listings.ensure(day("2024-01-02"))
        assert here.listings.state(day("2024-01-02")).listed is None


async def test_a_service_that_ignores_the_order_is_read_by_offset(tmp_path: Path) -> None:
    source = archive(450)
    source.in_order = False
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-05"))
        assert len(here.names(day("2024-01-05"))) == 24
        await here.listings.ensure(day("2024-01-15"))
        assert here.pages == 1 + 5


async def test_a_service_that_refuses_large_pages_is_asked_for_smaller_ones(tmp_path: Path) -> None:
    source = archive(300)
    source.fail = lambda question: ValueRefused("limit") if question.limit > 30 else None
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-05"))
        assert len(here.names(day("2024-01-05"))) == 24
        assert [q.limit for q, _ in source.questions] == [100, 50, 10, 10, 10]
        await here.listings.ensure(day("2024-01-10"))
        assert source.questions[-1][0].limit == 10


async def test_media_that_come_and_go_under_a_crawl_cost_no_other_its_place(tmp_path: Path) -> None:
    source = MemorySource([make_media(n, created=START + timedelta(seconds=20 * n)) for n in range(1, 1001)])
    throughout = {m.id for m in source.archive if int(m.id) % 10}

    def meddle(question: object) -> None:
        n = source.asked["page"]
        source.archive = [m for m in source.archive if int(m.id) % 10 or int(m.id) > 100 * n]
        source.archive.append(make_media(5000 + n, created=START + timedelta(seconds=n)))

    source.before_page = meddle
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-01"))
        names = here.names(day("2024-01-01"))
        assert len(names) == len(set(names))
        assert throughout <= here.ids(day("2024-01-01"))


# --- filtered scopes ---------------------------------------------------------------------------------


async def test_a_conversation_is_listed_and_its_members_learn_it(tmp_path: Path) -> None:
    source = archive(300)
    source.conversations["77"] = {MediaId(str(n)) for n in range(1, 301, 2)}
    async with house(source, tmp_path) as here:
        scope = Conversation(ConversationId("77"))
        assert await here.listings.exists(scope)
        assert here.pages == 1
        await here.listings.ensure(scope)
        assert here.ids(scope) == source.conversations["77"]
        assert here.pages <= 3
        assert here.listings.conversation_ids() == ["77"]


async def test_a_conversation_without_media_is_remembered_as_absent(tmp_path: Path) -> None:
    async with house(archive(10), tmp_path) as here:
        scope = Conversation(ConversationId("78"))
        assert not await here.listings.exists(scope)
        assert not await here.listings.exists(scope)
        assert here.pages == 1


async def test_a_filter_that_is_ignored_refuses_the_view(tmp_path: Path) -> None:
    source = archive(10)
    source.filters_work = False
    async with house(source, tmp_path) as here:
        scope = Conversation(ConversationId("77"))
        for _ in range(2):
            with pytest.raises(FilterRefused):
                await here.listings.ensure(scope)
        assert here.names(scope) == []
        assert source.asked["probe"] == 1
        assert here.pages == 0
        assert here.listings.refusal("conversation")


async def test_a_user_filter_that_is_ignored_is_seen_in_the_records(tmp_path: Path) -> None:
    source = archive(10)
    source.filters_work = False
    async with house(source, tmp_path) as here:
        with pytest.raises(FilterRefused, match="user"):
            await here.listings.ensure(User(UserId("4")))
        assert here.names(User(UserId("4"))) == []


async def test_a_user_is_known_when_all_days_are(tmp_path: Path) -> None:
    source = archive(150)
    source.all_users = True
    async with house(source, tmp_path) as here:
        await here.listings.look_for_the_oldest()
        pages = here.pages
        await here.listings.ensure(User(UserId("1000")))
        assert len(here.names(User(UserId("1000")))) == 150
        assert here.pages == pages == 2


async def test_a_listing_of_all_users_is_believed_when_it_shows_several(tmp_path: Path) -> None:
    source = archive(10)
    source.all_users = True
    source.archive.append(make_media(11, owner="7"))
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-01"))
        assert source.asked["probe"] == 0


async def test_a_listing_of_all_users_that_shows_one_is_proven_first(tmp_path: Path) -> None:
    source = archive(10)
    source.all_users, source.filters_work = True, False
    async with house(source, tmp_path) as here:
        with pytest.raises(FilterRefused):
            await here.listings.ensure(day("2024-01-01"))
        assert source.asked["probe"] == 1


async def test_who_left_a_conversation_is_gone_only_when_its_record_says_so(tmp_path: Path) -> None:
    source = archive(20)
    source.conversations["77"] = {MediaId("3"), MediaId("4"), MediaId("5")}
    async with house(source, tmp_path) as here:
        scope = Conversation(ConversationId("77"))
        await here.listings.ensure(day("2024-01-01"))
        await here.listings.ensure(scope)
        source.conversations["77"].remove(MediaId("3"))
        source.archive = [m for m in source.archive if m.id != "4"]
        here.clock[0] += 6000
        await here.listings.ensure(scope)
        assert here.ids(scope) == {"5"}
        everywhere = here.ids(day("2024-01-01"))
        assert "3" in everywhere
        assert "4" not in everywhere


# --- the newest --------------------------------------------------------------------------------------


async def test_the_newest_hundred_cost_one_request(tmp_path: Path) -> None:
    async with house(archive(500), tmp_path) as here:
        await here.listings.ensure(Recent())
        assert here.ids(Recent()) == {str(n) for n in range(401, 501)}
        assert here.pages == 1


async def test_the_newest_of_a_service_with_small_pages_are_all_there(tmp_path: Path) -> None:
    source = archive(500)
    source.page_limit = 30
    async with house(source, tmp_path) as here:
        await here.listings.ensure(Recent())
        assert here.ids(Recent()) == {str(n) for n in range(401, 501)}


async def test_what_is_no_longer_among_the_newest_is_gone(tmp_path: Path) -> None:
    source = archive(500)
    async with house(source, tmp_path) as here:
        await here.listings.ensure(Recent())
        source.archive = [m for m in source.archive if m.id != "450"]
        here.clock[0] += 6000
        await here.listings.ensure(Recent())
        assert here.ids(Recent()) == {str(n) for n in range(400, 501)} - {"450"}
