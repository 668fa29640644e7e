"""Searches: asked of a service that has one and heeds it, made here of what is known elsewhere."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import trio

from mediafs.errors import CredentialsRefused, Incomplete, Late, MediafsError, NotFound, ValueRefused
from mediafs.model import Days, Only, Question, Search
from mediafs.sync.searches import ASKED_LIMIT, IMPOSSIBLE
from tests.fakes import START, MemorySource, make_media

from .house import house

RED = Search("red")


def archive(count: int = 60, *, searches: bool = True) -> MemorySource:
    """Each third is red."""
    media = [
        make_media(n, created=START + timedelta(hours=n), title="red" if n % 3 == 0 else "blue")
        for n in range(count)
    ]
    return MemorySource(media, searches=searches)


def words_asked(source: MemorySource) -> list[str | None]:
    return [question.only.search for question, _ in source.questions]


async def test_the_service_is_asked_once_it_has_shown_that_it_heeds(tmp_path: Path) -> None:
    source = archive()
    async with house(source, tmp_path) as here:
        await here.listings.ensure(RED)
        assert words_asked(source) == [IMPOSSIBLE, "red"]
        assert len(here.names(RED)) == 20
        assert here.listings.finds_all(RED)
        await here.listings.ensure(RED)
        await here.listings.ensure(Search("blue"))
        assert words_asked(source)[2:] == [IMPOSSIBLE, "blue"], (
            "of an account that had shown none it was no proof"
        )
        await here.listings.ensure(Search("green"))
        assert words_asked(source)[4:] == ["green"]
        assert here.names(Search("green")) == []


async def test_percent_encoded_words_are_decoded(tmp_path: Path) -> None:
    source = archive()
    async with house(source, tmp_path) as here:
        await here.listings.ensure(Search("a%2Fb 100%"))
        assert words_asked(source)[-1] == "a/b 100%"


async def test_no_more_than_the_newest_are_asked_for(tmp_path: Path) -> None:
    source = archive(1200)
    async with house(source, tmp_path) as here:
        await here.listings.ensure(RED)
        assert words_asked(source).count("red") == 3
        newest = [m for m in source.archive if m.title == "red"][-ASKED_LIMIT:]
        assert here.ids(RED) == {m.id for m in newest}
        assert not here.listings.finds_all(RED)


async def test_a_search_that_is_ignored_is_made_here(tmp_path: Path) -> None:
    source = archive()
    source.searches_work = False
    async with house(source, tmp_path) as here:
        await here.listings.ensure(Days(START.date(), START.date()))
        await here.listings.ensure(RED)
        assert words_asked(source)[-1] == IMPOSSIBLE
        assert {here.source.archive[int(id_)].title for id_ in here.ids(RED)} == {"red"}
        asked = here.pages
        await here.listings.ensure(Search("blue"))
        assert here.pages == asked, "nor is it asked again for a day"


@pytest.mark.parametrize(("error", "asked"), [(ValueRefused("no"), False), (NotFound("no"), True)])
async def test_a_service_that_refuses_the_impossible(
    tmp_path: Path, error: MediafsError, asked: bool
) -> None:
    source = archive()
    source.fail = lambda question: error if question.only.search == IMPOSSIBLE else None
    async with house(source, tmp_path) as here:
        await here.listings.ensure(RED)
        assert ("red" in words_asked(source)) is asked


async def test_where_there_is_no_search_what_is_known_is_searched(tmp_path: Path) -> None:
    source = archive(searches=False)
    async with house(source, tmp_path) as here:
        await here.listings.ensure(RED)
        assert (here.names(RED), here.pages) == ([], 0)
        assert not here.listings.finds_all(RED)
        await here.listings.look_for_the_oldest()
        await here.listings.refresh(RED)
        pages = here.pages
        assert len(here.names(RED)) == 20
        assert here.listings.finds_all(RED)
        here.clock[0] += 3600
        await here.listings.ensure(RED)
        assert here.pages == pages


async def test_a_service_that_cannot_be_reached_is_an_error(tmp_path: Path) -> None:
    source = archive()
    source.fail = lambda question: CredentialsRefused("no")
    async with house(source, tmp_path) as here:
        with pytest.raises(CredentialsRefused):
            await here.listings.ensure(RED)
        assert here.listings.state(RED).error == "no"
        assert here.listings.state(RED).listed is None


async def test_what_moves_between_two_pages_is_asked_again(tmp_path: Path) -> None:
    source = archive(700)
    source.page_limit = 50
    more = iter(range(1000, 1003))

    def add(question: Question) -> None:
        if question.only == Only(search="red") and question.cursor and (number := next(more, None)):
            source.archive.append(make_media(number, created=START + timedelta(days=90), title="red"))

    source.before_page = add
    async with house(source, tmp_path) as here:
        await here.listings.ensure(RED)
        assert len(here.names(RED)) == len([m for m in source.archive if m.title == "red"])


async def test_none_is_missed_where_one_goes_between_two_pages_of_many(tmp_path: Path) -> None:
    source = archive(1200)
    gone = [source.archive[-3]]

    def remove(question: Question) -> None:
        if question.only == Only(search="red") and question.cursor and gone:
            source.archive.remove(gone.pop())

    source.before_page = remove
    async with house(source, tmp_path) as here:
        await here.listings.ensure(RED)
        newest = [m for m in source.archive if m.title == "red"][-ASKED_LIMIT:]
        assert here.ids(RED) - {"1197"} == {m.id for m in newest}


async def test_what_never_adds_up_is_an_error(tmp_path: Path) -> None:
    source = archive(700)
    number = 1000

    def add(question: Question) -> None:
        nonlocal number
        number += 1
        source.archive.append(make_media(number, created=START + timedelta(days=90), title="red"))

    source.before_page = add
    async with house(source, tmp_path) as here:
        with pytest.raises(Incomplete):
            await here.listings.ensure(RED)


async def test_who_waits_too_long_finds_it_the_next_time(tmp_path: Path, autojump_clock: object) -> None:
    source = archive()
    source.gate = trio.Event()
    async with house(source, tmp_path) as here:
        with pytest.raises(Late):
            await here.listings.ensure(RED)
        source.gate.set()
        await trio.sleep(1)
        await here.listings.ensure(RED)
        assert len(here.names(RED)) == 20
