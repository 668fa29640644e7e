"""Searching what is known: by parts of words, of what a media is now, and of no media that is gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafs.catalogue import Catalogue
from mediafs.catalogue.words import KEPT_SEARCHES, plain, terms_of, text_of
from mediafs.errors import LocalFailure
from mediafs.model import ConversationId, Media, MediaId, Owner, Search, UserId
from tests.catalogue.test_catalogue import SECRETS, on_disk, opened, secret, take
from tests.catalogue.test_migrations import earlier, filled
from tests.fakes import START, make_media


def found(here: Catalogue, words: str, limit: int = 1000) -> list[str]:
    """Ids, as `ls` would show them."""
    while here.words.index(7):
        pass
    here.words.keep(Search(words), here.words.search(words, limit))
    media = [here.views.media(stat.inode) for stat in here.views.children(Search(words))]
    return [one.id for one in media if one is not None]


def said(number: int, title: str, **rest: Any) -> Media:
    return make_media(number, **{"description": None, "title": title, **rest})


def test_each_of_what_names_a_media_finds_it(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        media = said(
            77,
            "Roof, north side",
            description="a crack in the tiles",
            filename="Dachstuhl.png",
            owner=None,
            conversation=ConversationId("conv-4711"),
            conversation_name="The Inspection",
        )
        media = replace(media, owner=Owner(id=UserId("u-99"), name="Jörg Müller"))
        take(here, media, said(2, "another"))
        for words in (
            *("roof", "NORTH", "side north", "crack tiles", "dachst", "jorg", "JÖRG müller", "u-99"),
            *("4711", "inspection", "oof", "roof crack jorg"),
        ):
            assert found(here, words) == ["77"], words
        assert found(here, "roof another") == []
        assert found(here, "image") == [], "words of the record, not of its keys"


def test_the_newest_come_first_and_no_more_than_the_limit(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, *(said(n, "word", created=START + timedelta(hours=n * 7 % 50)) for n in range(50)))
        newest = sorted(range(50), key=lambda n: n * 7 % 50, reverse=True)
        assert found(here, "word") == [str(n) for n in newest]
        assert found(here, "word", 10) == [str(n) for n in newest[:10]]


def test_what_changes_is_found_as_it_is_now(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, said(1, "before"), said(2, "before"), said(3, "before"))
        assert found(here, "before") == ["3", "2", "1"]
        take(here, said(2, "after"))
        here.contents.remove(MediaId("3"))
        assert found(here, "before") == ["1"]
        assert found(here, "after") == ["2"]
        take(here, said(3, "again"), said(4, "again"))
        assert found(here, "again") == ["4", "3"]
        here.contents.trash(MediaId("4"))
        assert found(here, "again") == ["3"]


def test_what_goes_is_gone_from_what_was_found(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, said(1, "word"), said(2, "word"))
        assert found(here, "word") == ["2", "1"]
        here.contents.remove(MediaId("2"))
        assert len(here.views.children(Search("word"))) == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(1, 6),
            st.sampled_from(["put", "remove", "index", "trash"]),
            st.text("abé", max_size=3),
        ),
        max_size=25,
    )
)
def test_it_finds_what_reading_every_record_would_find(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, str]]
) -> None:
    truth: dict[str, Media] = {}
    with opened(tmp_path_factory.mktemp("words")) as here:
        for number, step, title in steps:
            match step:
                case "put":
                    truth[str(number)] = media = said(number, title)
                    here.contents.put([media], here.database.tick(), trashed=False)
                case "remove":
                    truth.pop(str(number), None)
                    here.contents.remove(MediaId(str(number)))
                case "trash":
                    truth.pop(str(number), None)
                    here.contents.trash(MediaId(str(number)))
                case "index":
                    here.words.index(2)
        for words in ("a", "b", "e", "ab", "media a"):
            expected = {
                id_
                for id_, media in truth.items()
                if all(term in text_of(media, media.filename) for term in terms_of(words))
            }
            assert set(found(here, words)) == expected


def test_nothing_on_disk_holds_what_a_deleted_media_was_searched_by(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, secret(1), *(make_media(n) for n in range(10, 200)))
        assert found(here, "secret title") == ["1"]
        assert plain(SECRETS[0]).encode() in on_disk(tmp_path)
        here.contents.remove(MediaId("1"))
        here.scrub()
        assert [text for text in SECRETS if plain(text).encode() in on_disk(tmp_path)] == []


def test_what_was_searched_for_is_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, said(1, "word"))
        inode, _ = here.directories.get("search", "quitepersonal")
        assert found(here, "quitepersonal") == []
        here.coverage.listed(Search("quitepersonal"), 1.0)
        assert here.coverage.state(Search("quitepersonal")).listed == 1.0
    assert b"quitepersonal" not in on_disk(tmp_path)
    with opened(tmp_path) as here:
        assert here.directories.by_inode(inode) is None
        again, _ = here.directories.get("search", "quitepersonal")
        assert again > inode


def test_only_so_many_searches_are_remembered(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, said(1, "word"))
        inodes = here.words.search("word", 1) or here.words.inodes_of([MediaId("1")])
        for number in range(KEPT_SEARCHES + 5):
            here.words.keep(Search(f"{number}"), inodes)
            here.coverage.listed(Search(f"{number}"), 1.0)
        kept = [n for n in range(KEPT_SEARCHES + 5) if here.views.children(Search(f"{n}"))]
        assert kept == list(range(5, KEPT_SEARCHES + 5))
        assert here.coverage.state(Search("4")).listed is None


def test_a_catalogue_of_an_earlier_version_is_searched(tmp_path: Path) -> None:
    filled(tmp_path / "catalogue.sqlite3", 2)
    with opened(tmp_path) as here:
        assert here.database.execute("SELECT COUNT(*) FROM words").fetchone() == (0,), "not at the start"
        assert found(here, "title") == ["2", "1"]


def test_a_catalogue_of_an_earlier_version_with_nothing_in_it_is_searched(tmp_path: Path) -> None:
    earlier(tmp_path / "catalogue.sqlite3", 2).close()
    with opened(tmp_path) as here:
        assert found(here, "title") == []


def test_terms() -> None:
    assert terms_of("  Straße STRASSE\tx ") == ("strasse", "x")
    assert terms_of(" \u00a0 ") == ()
    assert plain("\u212b") == "a"


def test_what_is_no_database_any_more_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        here.words._path = tmp_path / "elsewhere"
        with pytest.raises(LocalFailure):
            here.words.search("x", 1)
