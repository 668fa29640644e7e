"""What is new is asked for by the cheapest question; a service that fails is left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from mediafs.errors import Late, Unavailable, Unsupported
from mediafs.model import ChangeKind, Days, Everything, Media, Page, Question, Urgency
from tests.fakes import MemorySource, make_media

from .house import House, day, house

TODAY = datetime(2025, 1, 15, tzinfo=UTC)


def archive(a_day: int, days: int = 5, **options: Any) -> MemorySource:
    """The last days before now, at noon of which the tests begin."""
    media: list[Media] = []
    for back in range(days, 0, -1):
        for n in range(a_day):
            created = TODAY - timedelta(days=back) + timedelta(seconds=n)
            media.append(make_media(1 + len(media), created=created))
    return MemorySource(media, all_users=True, **options)


class NoTotals(MemorySource):
    async def page(self, question: Question, *, urgency: Urgency) -> Page:
        return replace(await super().page(question, urgency=urgency), total=None)


@asynccontextmanager
async def known(source: MemorySource, folder: Path, **options: Any) -> AsyncIterator[House]:
    """All that there is was listed, some time ago."""
    async with house(source, folder, **options) as here:
        with here.listings.runs.follow() as run:
            await run.done.wait()
        here.clock[0] += 3600
        here.changes.clear()
        source.asked.clear()
        yield here


def add(source: MemorySource, number: int, created: datetime) -> str:
    source.archive.append(make_media(number, created=created))
    return str(number)


async def test_what_is_new_costs_one_request(tmp_path: Path) -> None:
    source = archive(10)
    async with known(source, tmp_path) as here:
        new = add(source, 900, TODAY + timedelta(hours=12))
        await here.listings.poll.once()
        assert here.pages == 1
        assert [(change.kind, change.media) for change in here.changes] == [(ChangeKind.ADDED, new)]
        assert here.ids(day("2025-01-15")) == {new}
        assert source.questions[-1][1] is Urgency.BACKGROUND


async def test_the_days_that_were_asked_for_are_fresh_then(tmp_path: Path) -> None:
    source = archive(10)
    async with known(source, tmp_path) as here:
        await here.listings.poll.once()
        for text in ("2025-01-12", "2025-01-13", "2025-01-14", "2025-01-15"):
            await here.listings.ensure(day(text))
        await trio.testing.wait_all_tasks_blocked()
        assert here.pages == 1


@pytest.mark.parametrize("a_day", [10, 400])
async def test_recordings_that_complete_late_are_found_for_two_days(a_day: int, tmp_path: Path) -> None:
    source = archive(a_day)
    async with known(source, tmp_path) as here:
        new = add(source, 9000, TODAY - timedelta(hours=40))
        await here.listings.poll.once()
        assert new in here.ids(Everything())


@pytest.mark.parametrize("a_day", [10, 400])
async def test_what_was_deleted_within_the_overlap_is_gone(a_day: int, tmp_path: Path) -> None:
    source = archive(a_day)
    async with known(source, tmp_path) as here:
        gone = source.archive.pop(-a_day)
        await here.listings.poll.once()
        assert gone.id not in here.ids(Everything())
        assert [change.kind for change in here.changes] == [ChangeKind.REMOVED]


async def test_where_much_is_made_nothing_new_costs_one_request(tmp_path: Path) -> None:
    source = archive(400)
    async with known(source, tmp_path) as here:
        for _ in range(5):
            await here.listings.poll.once()
        assert here.pages == 5
        assert all(question.newest_first for question, _ in source.questions[-5:])


async def test_without_totals_the_overlap_is_read_once_an_hour(tmp_path: Path) -> None:
    source = NoTotals(archive(400).archive, all_users=True)
    async with known(source, tmp_path) as here:
        await here.listings.poll.once()
        overlap = here.pages - 1
        assert overlap >= 8
        for minutes in range(5, 60, 5):
            here.clock[0] += 300
            new = add(source, 9000 + minutes, datetime.fromtimestamp(here.clock[0], UTC))
            await here.listings.poll.once()
            assert new in here.ids(Everything())
        assert here.pages == 1 + overlap + 11
        here.clock[0] += 3600
        await here.listings.poll.once()
        assert here.pages > 2 * overlap


async def test_without_totals_more_new_media_than_a_page_are_all_found(tmp_path: Path) -> None:
    source = NoTotals(archive(400).archive, all_users=True)
    async with known(source, tmp_path) as here:
        await here.listings.poll.once()
        here.clock[0] += 300
        for n in range(250):
            add(source, 9000 + n, TODAY + timedelta(hours=12, seconds=n))
        await here.listings.poll.once()
        assert here.ids(Everything()) == {media.id for media in source.archive}


async def test_after_a_long_time_all_that_was_missed_is_found(tmp_path: Path) -> None:
    source = archive(10)
    async with known(source, tmp_path) as here:
        here.clock[0] += 30 * 86400
        for n in range(600):
            add(source, 900 + n, TODAY + timedelta(hours=n))
        await here.listings.poll.once()
        assert here.ids(Everything()) == {media.id for media in source.archive}
        assert here.listings.state(Days(date(2025, 1, 13), date(2025, 2, 14))).listed is not None


async def test_of_an_account_that_nobody_has_looked_at_the_newest_are_asked_for(tmp_path: Path) -> None:
    source = archive(400)
    async with house(source, tmp_path) as here:
        await here.listings.poll.once()
        assert here.pages == 1
        assert len(here.ids(Everything())) == 100


async def test_a_media_from_the_future_hides_nothing(tmp_path: Path) -> None:
    source = archive(10)
    add(source, 800, datetime(2099, 1, 1, tzinfo=UTC))
    async with known(source, tmp_path) as here:
        new = add(source, 900, TODAY + timedelta(hours=12))
        await here.listings.poll.once()
        assert new in here.ids(Everything())


async def test_it_is_asked_at_its_time_and_not_at_all_by_default(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    source = archive(10)
    async with known(source, tmp_path) as here:
        await trio.sleep(86400)
        assert here.pages == 0
    async with house(source, tmp_path, poll_s=300) as here:
        await trio.sleep(299)
        assert source.asked["page"] == 0, "a start costs nothing"
        await trio.sleep(3600)
        assert source.asked["page"] == 12
        assert here.listings.poll.done == here.clock[0]


async def test_a_service_that_fails_is_asked_ever_more_seldom(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    source = archive(10)
    source.fail = lambda question: Unavailable("away")
    async with house(source, tmp_path, poll_s=300) as here:
        await trio.sleep(86400)
        assert 24 <= source.asked["page"] <= 30
        assert here.listings.poll.error == "away"
        warned = [record for record in caplog.records if record.levelname == "WARNING"]
        assert len(warned) == 1, "a service that stays away is no news"
        caplog.clear()
        source.fail = lambda question: None
        await trio.sleep(3100)
        before = source.asked["page"]
        assert here.listings.poll.error is None
        await trio.sleep(3000)
        assert source.asked["page"] == before + 10


async def test_a_bug_does_not_end_it(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    source = archive(10)

    def fail(question: Question) -> Late:
        raise ZeroDivisionError

    source.fail = fail
    async with house(source, tmp_path, poll_s=300) as here:
        await trio.sleep(400)
        assert "bug" in str(here.listings.poll.error)
        caplog.clear()
        source.fail = lambda question: None
        await trio.sleep(1000)
        assert here.listings.poll.error is None


async def test_a_service_that_is_only_listed_whole_is_not_polled(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    class Unordered(MemorySource):
        @property
        def traits(self) -> Any:
            return replace(super().traits, in_date_order=False)

    source = Unordered(archive(10).archive)
    async with house(source, tmp_path, poll_s=300) as here:
        await trio.sleep(3600)
        assert source.asked["page"] == 0
        with pytest.raises(Unsupported):
            await here.listings.poll.once()
