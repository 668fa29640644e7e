"""A large catalogue: what is answered without reading all of it, and that the answers are right."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafs.catalogue import Catalogue, Database
from mediafs.model import (
    Conversation,
    ConversationId,
    Days,
    Everything,
    Inode,
    MediaId,
    User,
    UserId,
)
from tests.catalogue.test_catalogue import opened, take
from tests.fakes import START, make_media

DAY = Days(START.date(), START.date())


def plans(here: Catalogue, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]) -> str:
    """How SQLite answers what `ask` asks."""
    found: list[str] = []
    real = Database.execute

    def explained(
        self: Database, sql: str, values: Sequence[object] | Mapping[str, object] = ()
    ) -> sqlite3.Cursor:
        found.extend(row[3] for row in real(self, f"EXPLAIN QUERY PLAN {sql}", values))
        return real(self, sql, values)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "execute", explained)
        ask()
    assert found
    return "\n".join(found)


def test_a_listing_is_read_out_of_an_index_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as here:
        views = here.views
        day = plans(here, monkeypatch, lambda: views.children(DAY))
        assert day == "SEARCH media USING COVERING INDEX media_by_day (day=?)"
        user = plans(here, monkeypatch, lambda: views.children(User(UserId("1"))))
        assert user == "SEARCH media USING COVERING INDEX media_by_owner (owner=?)"


def test_a_few_of_a_large_directory_are_looked_at_without_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as here:
        some = [Inode(2), Inode(3)]
        for scope in (DAY, User(UserId("1")), Conversation(ConversationId("7")), Everything()):
            again = plans(here, monkeypatch, partial(here.views.again, some, scope))
            assert again.startswith("SEARCH media USING INTEGER PRIMARY KEY")
            find = plans(here, monkeypatch, partial(here.views.find, scope, "a.png"))
            assert find.startswith("SEARCH media USING INDEX media_name")


def test_days_and_conversations_are_found_without_reading_their_media(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as here:
        days = plans(here, monkeypatch, lambda: here.views.media_days(1, 1_000_000))
        assert "SCAN media" not in days
        conversations = plans(here, monkeypatch, lambda: here.views.conversations())
        assert "SCAN member" not in conversations
        assert "media" not in plans(here, monkeypatch, lambda: here.views.totals()).replace("total", "")


DAYS_LATER = st.lists(st.integers(0, 12), max_size=12)


@given(DAYS_LATER, st.integers(-2, 14), st.integers(-2, 14))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_the_days_of_a_range_are_those_of_its_media(
    tmp_path_factory: pytest.TempPathFactory, later: list[int], first: int, last: int
) -> None:
    with opened(tmp_path_factory.mktemp("days")) as here:
        take(here, *(make_media(n, created=START + timedelta(days=day)) for n, day in enumerate(later)))
        start = START.date().toordinal()
        filled = {start + day for day in later if first <= day <= last}
        assert here.views.media_days(start + first, start + last) == filled


def test_conversations_are_those_with_media_that_are_in_no_trash(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        assert here.views.conversations() == []
        for number, name in enumerate(["b", "a", "b", "c"], 1):
            take(here, make_media(number), conversation=name)
        here.contents.trash(MediaId("2"))
        here.contents.trash(MediaId("3"))
        assert here.views.conversations() == ["b", "c"]


def counted(here: Catalogue) -> tuple[int, int]:
    stats = here.views.children(Everything())
    return len(stats), sum(stat.size or 0 for stat in stats)


def test_totals_are_those_of_what_is_there_whatever_happens_to_it(tmp_path: Path) -> None:
    sized, unknown = make_media(1, size=100), make_media(2, size=None)
    acts: Iterable[Callable[[Catalogue], object]] = (
        lambda here: take(here, sized, unknown),
        lambda here: take(here, replace(sized, size=300)),
        lambda here: here.contents.settle(here.views.children(Everything())[1].inode, 50),
        lambda here: here.contents.trash(MediaId("1")),
        lambda here: here.contents.remove(MediaId("2")),
        lambda here: take(here, unknown, make_media(3, size=7)),
        lambda here: here.contents.cover_newest(float("-inf"), here.database.tick()),
    )
    with opened(tmp_path) as here:
        for act in acts:
            act(here)
            assert here.views.totals() == counted(here)
    with opened(tmp_path) as here:
        assert here.views.totals() == counted(here)


def test_a_new_medias_links_are_its_names(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        here.contents.put([make_media(1)], here.database.tick())
        here.contents.put([make_media(2, owner=None)], here.database.tick(), dated=False)
        here.contents.put(
            [make_media(3)], here.database.tick(), conversation=Conversation(ConversationId("7"))
        )
        here.contents.put([make_media(4)], here.database.tick(), dated=False, trashed=True)
        links = {stat.inode: stat.links for stat in here.views.children(Everything())}
        assert list(links.values()) == [2, 0, 3, 1]
