"""Everything listed by several at once: what it costs, that nothing is missed, and when it is not done."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafs.errors import Late, Unavailable
from mediafs.model import Days, Everything, Media, Page, Question, Urgency
from mediafs.sync.runs import PLENTY
from tests.fakes import START, MemorySource, make_media

from .house import house
from .test_whole import Killed, days_of_all, ids, killed, listed, shaken

LANES = 4
PAGES = 67
"""Of 600 media, ten a page of which the first is the last one's."""


@dataclass
class Busy(MemorySource):
    """Answers after some turns of the loop, so that questions meet."""

    in_flight: int = 0
    most: int = 0
    turns: random.Random = field(default_factory=lambda: random.Random(3))

    async def page(self, question: Question, *, urgency: Urgency) -> Page:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            for _ in range(self.turns.randrange(1, 6)):
                await trio.lowlevel.checkpoint()
            return await super().page(question, urgency=urgency)
        finally:
            self.in_flight -= 1


def archive(moments: list[datetime], page_limit: int = 10) -> Busy:
    media = [make_media(n, created=at, owner=str(1000 + n % 3)) for n, at in enumerate(moments, 1)]
    return Busy(media, all_users=True, page_limit=page_limit)


def evenly(count: int, hours: float = 7) -> list[datetime]:
    return [START + timedelta(hours=hours * n) for n in range(count)]


SHAPES = {
    "even": evenly(600),
    "dense at the end": evenly(60, 24) + [START + timedelta(days=61, minutes=n) for n in range(540)],
    "dense at the start": [START + timedelta(minutes=n) for n in range(540)] + evenly(60, 72),
    "three days": [START + timedelta(days=n % 3, minutes=n) for n in range(600)],
    "one day": [START + timedelta(minutes=n) for n in range(600)],
    "with holes": [START + timedelta(days=40 * (n // 100), minutes=n) for n in range(600)],
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_it_costs_its_pages_and_a_few(shape: str, tmp_path: Path) -> None:
    source = archive(SHAPES[shape])
    async with house(source, tmp_path, lanes=LANES) as here:
        run = await listed(here)
        assert here.ids(Everything()) == ids(source)
        assert here.listings.whole_since() is not None
        assert (run.progress.items, run.progress.total, run.progress.share) == (600, 600, 1.0)
    # Each range begins on a page of its own, and ends on one that is not full.
    assert source.asked["page"] <= PAGES + 3 * LANES
    if shape in ("even", "with holes", "dense at the end"):
        assert source.most == LANES
    assert {urgency for _, urgency in source.questions} == {Urgency.BACKGROUND}


async def test_where_a_limit_is_known_it_is_one_after_the_other(tmp_path: Path) -> None:
    source = archive(SHAPES["even"])
    source.to_spare = PLENTY - 1
    async with house(source, tmp_path, lanes=LANES) as here:
        await listed(here)
    assert source.most == 1
    assert source.asked["page"] <= PAGES


async def test_a_limit_far_above_what_it_needs_is_none(tmp_path: Path) -> None:
    source = archive(SHAPES["even"])
    source.to_spare = PLENTY
    async with house(source, tmp_path, lanes=LANES) as here:
        await listed(here)
    assert source.most == LANES


async def test_a_limit_that_is_learnt_on_the_way_ends_it(tmp_path: Path) -> None:
    source = archive(SHAPES["even"])

    def learn(question: Question) -> None:
        if source.asked["page"] == 20:
            source.to_spare = 50
            source.most = 0

    source.before_page = learn
    async with house(source, tmp_path, lanes=LANES) as here:
        await listed(here)
        assert here.ids(Everything()) == ids(source)
    assert source.most <= LANES
    assert source.asked["page"] <= PAGES + 3 * LANES


async def test_a_small_archive_is_one_after_the_other(tmp_path: Path) -> None:
    source = archive(evenly(75))
    async with house(source, tmp_path, lanes=LANES) as here:
        await listed(here)
    assert (source.most, source.asked["page"]) == (1, 9)


async def test_days_that_were_listed_meanwhile_are_left_out(tmp_path: Path) -> None:
    source = archive(evenly(600, 24), page_limit=10)
    async with house(source, tmp_path, lanes=LANES) as here:
        for number in range(200, 300, 10):
            day = (START + timedelta(days=number)).date()
            await here.listings.ensure(Days(day, day))
        before = source.asked["page"]
        await listed(here)
        assert here.ids(Everything()) == ids(source)
        # Ten pages' worth is known, in ten pieces of which each cuts a page.
        assert source.asked["page"] - before <= PAGES + 3 * LANES


@pytest.mark.parametrize("page", [2, 3, 9, 20, 33, 47, 60])
async def test_after_a_crash_it_goes_on_and_no_day_is_shown_in_part(page: int, tmp_path: Path) -> None:
    source = archive(SHAPES["even"])

    def before_page(question: Question) -> None:
        if source.asked["page"] == page:
            raise Killed

    source.before_page = before_page
    with killed():
        async with house(source, tmp_path, lanes=LANES) as here:
            await listed(here)
    source.before_page = lambda question: None
    async with house(source, tmp_path, lanes=LANES) as here:
        for one in days_of_all(here) if page > 1 else []:
            if here.listings.state(Days(one, one)).listed is not None:
                shown = {m.id for m in source.archive if m.created.date() == one}
                assert here.ids(Days(one, one)) == shown
        await listed(here)
        assert here.ids(Everything()) == ids(source)
    # Of each that was under way, the page that was lost, and the one with the day that it had begun.
    assert source.asked["page"] <= PAGES + 5 * LANES


@pytest.mark.parametrize("error", [Unavailable("gone"), Late("429", wait_s=40)])
async def test_a_failure_amid_them_is_waited_for(
    error: Unavailable | Late, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    source = archive(SHAPES["even"])
    source.fail = lambda question: error if 30 <= source.asked["page"] < 34 else None
    began = trio.current_time()
    async with house(source, tmp_path, lanes=LANES) as here:
        run = await listed(here)
        assert here.ids(Everything()) == ids(source)
        assert run.troubled is None
    assert trio.current_time() - began >= 5
    assert source.asked["page"] <= PAGES + 8 * LANES


async def test_a_service_that_heeds_no_upper_bound_is_read_all_the_same(tmp_path: Path) -> None:
    class Boundless(Busy):
        def _matches(self, media: Media, question: Question) -> bool:
            return super()._matches(media, replace(question, until=None))

    source = Boundless(archive(SHAPES["even"]).archive, all_users=True, page_limit=10)
    async with house(source, tmp_path, lanes=LANES) as here:
        await listed(here)
        assert here.ids(Everything()) == ids(source)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9), apart=st.sampled_from([1, 3600, 30000, 90000]), resumed=st.booleans())
def test_what_existed_throughout_is_shown_once_whatever_came_and_went(
    seed: int, apart: int, resumed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Media are added and deleted before any page of any lane, also while nothing runs."""
    base = [make_media(n, created=START + timedelta(seconds=apart * (n // 3))) for n in range(1, 120)]
    source = Busy(base, page_limit=7, all_users=True, turns=random.Random(seed + 1))
    folder = tmp_path_factory.mktemp("lanes")
    stop = 18 * resumed
    trio.run(partial(shaken, source, random.Random(seed), folder, shakes=20, stop_before=stop, lanes=3))
