"""Everything listed: what it costs, what an interruption costs, and what is true when it has ended."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafs.errors import Busy, CredentialsRefused, Incomplete, Unavailable
from mediafs.model import (
    Conversation,
    ConversationId,
    Days,
    Everything,
    Page,
    Question,
    Recent,
    Urgency,
    User,
    UserId,
)
from mediafs.sync.runs import Run
from tests.fakes import START, MemorySource, make_media

from .house import House, day, house

SEVENTH = Conversation(ConversationId("7"))


class Killed(BaseException):
    """Nothing survives it but what was written."""


@contextmanager
def killed() -> Iterator[None]:
    with pytest.raises(BaseExceptionGroup) as caught:
        yield
    assert caught.value.subgroup(Killed), caught.value


def archive(count: int, hours: float = 7, **options: Any) -> MemorySource:
    media = [
        make_media(n, created=START + timedelta(hours=hours * n), owner=str(1000 + n % 3))
        for n in range(1, count + 1)
    ]
    return MemorySource(media, all_users=True, **options)


async def listed(here: House, since: date | None = None) -> Run:
    """Follows a listing of everything to its end."""
    with here.listings.runs.follow(since) as run:
        await run.done.wait()
    if run.error is not None:
        raise run.error
    assert run.complete
    return run


def days_of(source: MemorySource) -> list[date]:
    last = date(2025, 1, 15)
    first = min(media.created.date() for media in source.archive)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def ids(source: MemorySource) -> set[str]:
    return {media.id for media in source.archive}


async def look_at_everything(here: House) -> None:
    await here.listings.look_for_the_oldest()
    for one in days_of(here.source):
        await here.listings.ensure(Days(one, one))
    for user in ("1000", "1001", "1002"):
        await here.listings.ensure(User(UserId(user)))
    await here.listings.ensure(Recent())


# --- what it costs -------------------------------------------------------------------------------------


async def test_everything_costs_its_pages_and_then_nothing_is_asked_for(tmp_path: Path) -> None:
    source = archive(1000)
    async with house(source, tmp_path) as here:
        run = await listed(here)
        assert here.pages <= 11
        assert (run.progress.items, run.progress.total, run.progress.share) == (1000, 1000, 1.0)
        assert run.progress.pages == here.pages
        assert here.ids(Everything()) == ids(source)
        assert here.listings.whole_since() == here.listings.users_since() == here.clock[0]
        before = source.asked.copy()
        await look_at_everything(here)
        assert source.asked == before
        assert all(urgency.name == "BACKGROUND" for _, urgency in source.questions)


async def test_again_while_all_is_fresh_costs_nothing(tmp_path: Path) -> None:
    source = archive(1000)
    async with house(source, tmp_path) as here:
        await listed(here)
        before = here.pages
        here.clock[0] += 30
        await listed(here)
        assert here.pages == before
        here.clock[0] += 31
        await listed(here)
        assert here.pages == 2 * before


async def test_days_that_somebody_has_listed_meanwhile_are_not_asked_for_again(tmp_path: Path) -> None:
    source = archive(1000, hours=1)  # 24 a day, four days a page
    async with house(source, tmp_path) as here:
        source.gate = trio.Event()
        with here.listings.runs.follow() as run:
            await trio.testing.wait_all_tasks_blocked()
            gate, source.gate = source.gate, None
            assert gate is not None
            for n in range(10, 30):
                await here.listings.ensure(day(f"2024-01-{n}"))
            looked = here.pages
            gate.set()
            await run.done.wait()
        assert here.ids(Everything()) == ids(source)
        assert here.pages <= looked + 7, "of eleven pages, five were read by who looked at the days"


async def test_since_leaves_out_the_days_before(tmp_path: Path) -> None:
    source = archive(1000)
    async with house(source, tmp_path) as here:
        await listed(here, date(2024, 9, 1))
        late = {media.id for media in source.archive if media.created >= datetime(2024, 9, 1, tzinfo=UTC)}
        assert here.ids(Everything()) == late
        assert here.pages <= 2 + len(late) // 100
        assert here.listings.whole_since() is None
        assert here.listings.state(Days(date(2024, 9, 1), date(2025, 1, 15))).listed is not None


async def test_the_accounts_own_since_is_where_it_begins(tmp_path: Path) -> None:
    source = archive(1000)
    async with house(source, tmp_path, since=date(2024, 9, 1)) as here:
        await listed(here, date(2024, 1, 1))
        assert here.listings.whole_since() is not None
        assert len(here.ids(Everything())) < 1000


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101])
async def test_small_archives_are_known_whole(count: int, tmp_path: Path) -> None:
    source = archive(count)
    async with house(source, tmp_path) as here:
        await listed(here)
        assert here.ids(Everything()) == ids(source)
        assert here.pages <= 2
        if count:
            before = here.pages
            await look_at_everything(here)
            assert here.pages == before


async def test_what_was_deleted_since_the_last_one_is_gone(tmp_path: Path) -> None:
    source = archive(300)
    async with house(source, tmp_path) as here:
        await listed(here)
        here.clock[0] += 3600
        del source.archive[100:200]
        await listed(here)
        assert here.ids(Everything()) == ids(source)


async def test_named_conversations_are_listed_too_and_a_failure_of_one_stops_nothing(tmp_path: Path) -> None:
    source = archive(300)
    source.conversations = {"7": {source.archive[5].id}, "8": {source.archive[6].id}}

    def fail(question: Question) -> CredentialsRefused | None:
        return CredentialsRefused("not this one") if question.scope == SEVENTH else None

    source.fail = fail
    async with house(source, tmp_path, conversations=lambda: ("7", "8")) as here:
        run = await listed(here)
        assert run.failed == [("by-conversation/7", "not this one")]
        assert here.ids(Conversation(ConversationId("8"))) == {source.archive[6].id}
        assert here.listings.whole_since() is not None


# --- interrupted -----------------------------------------------------------------------------------------

Place = Callable[[MemorySource, House, int], None]


def _asked(source: MemorySource, here: House, page: int) -> None:
    """When the page was asked for, and not answered."""

    def before_page(question: Question) -> None:
        if source.asked["page"] == page:
            raise Killed

    source.before_page = before_page


def _taken(source: MemorySource, here: House, page: int) -> None:
    """When its media were taken in, and nothing else."""
    pages = here.listings.runs._crawlers.pages
    emit = pages._emit

    def kill(changes: Any) -> None:
        emit(changes)
        if source.asked["page"] == page:
            raise Killed

    pages._emit = kill


@pytest.mark.parametrize("place", [_asked, _taken])
@pytest.mark.parametrize("page", range(1, 14))
async def test_a_crash_at_any_page_costs_at_most_one_page(place: Place, page: int, tmp_path: Path) -> None:
    source = archive(120, page_limit=10)
    with killed():
        async with house(source, tmp_path) as here:
            place(source, here, page)
            await listed(here)
    questions = [(q.since, q.cursor) for q, _ in source.questions]
    source.before_page = lambda question: None
    async with house(source, tmp_path) as here:
        days = days_of(source)
        for one in days:
            if here.listings.state(Days(one, one)).listed is not None:
                shown = {m.id for m in source.archive if m.created.date() == one}
                assert here.ids(Days(one, one)) == shown, "a day is shown whole or not at all"
        run = await listed(here)
        assert here.ids(Everything()) == ids(source)
        assert here.listings.whole_since() is not None
        assert run.progress.items == 120
    asked = Counter((q.since, q.cursor) for q, _ in source.questions)
    assert sum(count - 1 for count in asked.values()) <= 1, "at most one page was asked for twice"
    assert source.asked["page"] <= len(questions) + 15 - page


@pytest.mark.parametrize("page", range(1, 8))
async def test_a_crash_among_media_of_one_second_costs_at_most_one_page(page: int, tmp_path: Path) -> None:
    source = MemorySource([make_media(n, created=START) for n in range(1, 61)], page_limit=10, all_users=True)
    source.archive += [make_media(n, created=START + timedelta(days=n)) for n in range(61, 70)]
    with killed():
        async with house(source, tmp_path) as here:
            _asked(source, here, page)
            await listed(here)
    source.before_page = lambda question: None
    async with house(source, tmp_path) as here:
        await listed(here)
        assert here.ids(Everything()) == ids(source)
    asked = Counter((q.since, q.cursor) for q, _ in source.questions)
    assert sum(count - 1 for count in asked.values()) <= 1


async def test_days_count_as_old_as_the_reading_of_their_own_beginning(tmp_path: Path) -> None:
    """Also those whose reading a crash has interrupted."""
    source = archive(120, page_limit=10)
    read: dict[date, float] = {}
    clock = [0.0]

    def an_hour_passes(question: Question) -> None:
        clock[0] += 3600
        if source.asked["page"] == 8:
            raise Killed

    def note(here: House) -> None:
        for one in days_of(source):
            listed_at = here.listings.state(Days(one, one)).listed
            if listed_at is not None:
                read.setdefault(one, listed_at)

    source.before_page = an_hour_passes
    with killed():
        async with house(source, tmp_path) as here:
            clock = here.clock
            began = clock[0]
            await listed(here)
    async with house(source, tmp_path) as here:
        clock = here.clock
        clock[0] = began + 24 * 3600
        note(here)
        days = sorted(read)
        assert [read[one] - began for one in days] == sorted(read[one] - began for one in days)
        assert read[days[0]] == began + 3600
        assert read[days[-1]] == began + 7 * 3600
        await listed(here)
        cut = days[-1] + timedelta(days=1)
        ages = {one: here.listings.state(Days(one, one)).listed for one in days_of(source)}
        assert ages[cut] == began + 6 * 3600, "its first media was on the page before the crash"
        assert ages[cut + timedelta(days=1)] == began + 25 * 3600
        assert {one: ages[one] for one in days} == read


async def test_after_a_day_it_begins_anew(tmp_path: Path) -> None:
    source = archive(120, page_limit=10)
    with killed():
        async with house(source, tmp_path) as here:
            _asked(source, here, 8)
            await listed(here)
    source.before_page = lambda question: None
    before = source.asked["page"]
    async with house(source, tmp_path) as here:
        here.clock[0] += 86401
        run = await listed(here)
        assert run.progress.pages == source.asked["page"] - before >= 12


# --- an archive that changes meanwhile -------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9), apart=st.sampled_from([0, 1, 3600, 30000]), resumed=st.booleans())
def test_what_existed_throughout_is_shown_once_whatever_came_and_went(
    seed: int, apart: int, resumed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Media are added and deleted before any page, also while nothing runs."""
    base = [make_media(n, created=START + timedelta(seconds=apart * (n // 3))) for n in range(1, 60)]
    source = MemorySource(list(base), page_limit=7, all_users=True)
    folder = tmp_path_factory.mktemp("whole")
    trio.run(partial(shaken, source, random.Random(seed), folder, shakes=12, stop_before=10 * resumed))


async def shaken(
    source: MemorySource,
    chance: random.Random,
    folder: Path,
    *,
    shakes: int,
    stop_before: int,
    lanes: int = 8,
) -> None:
    """Lists an archive that changes before any page, `shakes` times at most; what was there throughout has to
    be shown, and nothing twice. `stop_before`: after a crash before that page; 0: without one."""
    base = list(source.archive)
    numbers = iter(range(1000, 10_000))
    done = 0

    def shake(question: Question | None = None) -> None:
        nonlocal done
        if chance.random() < 0.4 and done < shakes:
            done += 1
            for _ in range(chance.randrange(1, 4)):
                if source.archive and chance.random() < 0.5:
                    source.archive.remove(chance.choice(source.archive))
                else:
                    at = chance.choice(base).created + timedelta(seconds=chance.choice([0, 0, 1, 40000]))
                    source.archive.append(make_media(next(numbers), created=at))

    if stop_before:
        stop = chance.randrange(1, stop_before)

        def shake_and_kill(question: Question) -> None:
            shake()
            if source.asked["page"] == stop:
                raise Killed

        source.before_page = shake_and_kill
        with suppress(BaseExceptionGroup):
            async with house(source, folder, lanes=lanes) as here:
                await listed(here)
        for _ in range(3):
            shake()
    source.before_page = shake
    async with house(source, folder, lanes=lanes) as here:
        while True:
            with suppress(Incomplete):  # it fails, rather than show a part
                await listed(here)
                break
        shown = [
            media.id
            for one in days_of_all(here)
            for stat in here.catalogue.views.children(Days(one, one))
            if (media := here.catalogue.views.media(stat.inode))
        ]
    assert len(shown) == len(set(shown))
    kept = {media.id for media in base} & ids(source)
    assert kept <= set(shown), sorted(kept - set(shown))


def days_of_all(here: House) -> list[date]:
    found = here.catalogue.views.day_range()
    assert found is not None
    return [date.fromordinal(n) for n in range(found[0], found[1] + 1)]


class NoTotals(MemorySource):
    async def page(self, question: Question, *, urgency: Urgency) -> Page:
        return replace(await super().page(question, urgency=urgency), total=None)


@pytest.mark.parametrize("kind", [MemorySource, NoTotals])
@pytest.mark.parametrize("in_order", [True, False])
async def test_what_is_added_does_not_make_up_for_what_is_deleted(
    in_order: bool, kind: type[MemorySource], tmp_path: Path
) -> None:
    """Among media of one second, and where a service keeps no order: the total stands still, and yet
    the pages have moved."""
    apart = timedelta(seconds=0 if in_order else 7)
    media = [make_media(n, created=START + n * apart) for n in range(1, 31)]
    source = kind(list(media), page_limit=10, all_users=True, in_order=in_order)

    def move(question: Question) -> None:
        """The first page is read: two of it go, and two others come behind all that are there."""
        if question.cursor is not None:
            source.before_page = lambda question: None
            for one in media[4:6] if in_order else media[24:26]:
                source.archive.remove(one)
            for n in (900, 901) if in_order else (-1, -2):
                source.archive.append(make_media(n, created=START + n * apart))

    source.before_page = move
    async with house(source, tmp_path) as here:
        await listed(here)
        assert ids(source) <= here.ids(Everything())


@pytest.mark.parametrize("far", [0, 3])
async def test_what_others_saw_during_a_crawl_and_is_gone_when_it_comes_there_is_gone(
    far: int, tmp_path: Path
) -> None:
    """Somebody lists a user, which says nothing of days."""
    source = archive(120, page_limit=10)
    async with house(source, tmp_path) as here:
        pages = here.listings.runs._crawlers.pages
        emit = pages._emit
        seen = source.archive[42]

        def look(changes: Any) -> None:
            emit(changes)
            if source.asked["page"] == 4 - far and seen in source.archive:
                here.catalogue.contents.put([seen], here.catalogue.database.tick())
                source.archive.remove(seen)

        pages._emit = look
        await listed(here)
        assert seen not in source.archive
        assert here.ids(Everything()) == ids(source)


# --- who follows it --------------------------------------------------------------------------------------


async def test_two_who_want_it_follow_one_and_it_ends_with_the_last(tmp_path: Path) -> None:
    source = archive(1000)
    source.gate = trio.Event()
    async with house(source, tmp_path) as here:
        runs = here.listings.runs
        with runs.follow() as first:
            with runs.follow() as second:
                assert first is second
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(Busy, match="another sync"), runs.follow(date(2024, 1, 1)):
                    pass
            await trio.testing.wait_all_tasks_blocked()
            assert not first.done.is_set()
        await first.done.wait()
        assert not first.complete
        assert runs.current is None
        source.gate.set()
        await listed(here)


async def test_a_service_that_is_away_for_a_moment_is_waited_for(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    source = archive(1000)
    failures = iter([None, None, *[Unavailable("away")] * 4])
    source.fail = lambda question: next(failures, None)
    async with house(source, tmp_path) as here:
        await listed(here)
        assert here.pages <= 11 + 4


async def test_a_service_that_stays_away_ends_it_and_it_goes_on_later(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    source = archive(1000)
    source.fail = lambda question: Unavailable("away") if source.asked["page"] > 5 else None
    async with house(source, tmp_path) as here:
        with pytest.raises(Unavailable):
            await listed(here)
        assert source.asked["page"] == 10
        source.fail = lambda question: None
        await listed(here)
        assert source.asked["page"] <= 10 + 6


async def test_a_service_that_never_answered_ends_it_at_once(tmp_path: Path) -> None:
    source = archive(10)
    source.fail = lambda question: Unavailable("away")
    async with house(source, tmp_path) as here:
        with pytest.raises(Unavailable):
            await listed(here)
        assert here.pages == 1


# --- services that keep no order -------------------------------------------------------------------------


class Unordered(MemorySource):
    """A service that is listed whole, in its own order, and states no totals."""

    @property
    def traits(self) -> Any:
        return replace(super().traits, in_date_order=False, enumerable=False)

    async def page(self, question: Question, *, urgency: Any) -> Page:
        page = await super().page(question, urgency=urgency)
        return Page(media=page.media, total=None, next=page.next)


@pytest.mark.parametrize("page", range(1, 13))
async def test_a_crash_costs_one_page_of_a_service_without_order_too(page: int, tmp_path: Path) -> None:
    source = Unordered(archive(120).archive, page_limit=10, in_order=False)
    with killed():
        async with house(source, tmp_path) as here:
            _asked(source, here, page)
            await listed(here)
    source.before_page = lambda question: None
    async with house(source, tmp_path) as here:
        here.clock[0] += 7200
        run = await listed(here)
        assert here.ids(Everything()) == ids(source)
        assert run.progress.items >= 120 - 10 * (page - 1)
        assert source.asked["page"] == 13


async def test_an_order_that_is_not_kept_is_noticed_and_all_pages_are_counted(tmp_path: Path) -> None:
    source = archive(120, page_limit=10, in_order=False)
    async with house(source, tmp_path) as here:
        run = await listed(here)
        assert here.ids(Everything()) == ids(source)
        assert run.progress.items == 120
        assert here.listings.whole_since() is not None
