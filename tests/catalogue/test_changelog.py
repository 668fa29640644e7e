"""The log of changes: a line for each, in order, in its place, and without words about what is gone."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mediafs.catalogue import Catalogue
from mediafs.catalogue.changelog import ChangeLog
from mediafs.model import Conversation, ConversationId, Media, MediaId
from mediafs.tree.names import folder_name
from tests.catalogue.test_catalogue import on_disk, opened
from tests.fakes import make_media

OLD = datetime(2000, 1, 1, tzinfo=UTC)
NEW = datetime(2030, 1, 1, tzinfo=UTC)
"""Later than the catalogue was begun."""


def put(here: Catalogue, *media: Media, **how: Any) -> None:
    here.changes.note(here.contents.put(media, here.database.tick(), **how))


def lines(here: Catalogue) -> list[dict[str, Any]]:
    text = here.changes.read(0, 1 << 30).decode()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def kinds(here: Catalogue) -> list[tuple[str, str]]:
    return [(line["kind"], line["id"]) for line in lines(here)]


def made(number: int, **rest: Any) -> Media:
    return make_media(number, created=NEW + timedelta(hours=number), **rest)


def test_a_line_tells_when_what_and_where(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        put(here, made(1))
        (line,) = lines(here)
        media = made(1)
        assert line == {
            "time": "2001-09-09T01:46:40.000Z",
            "kind": "added",
            "id": "1",
            "name": media.filename,
            "views": ["by-date/2030/01/01", "by-user/1000"],
        }


def test_what_a_first_listing_shows_is_no_change(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        old = [replace(make_media(n), created=OLD) for n in range(1200)]
        put(here, *old)
        assert lines(here) == []
        day = OLD.toordinal()
        here.contents.cover_days(day, day, here.database.tick(), 1.0)
        put(here, replace(make_media(2000), created=OLD))  # completed late
        put(here, replace(make_media(2001), created=OLD - timedelta(days=1)))
        put(here, replace(make_media(2002), created=OLD), dated=False)  # somebody else's
        assert kinds(here) == [("added", "2000")]


def test_each_kind_of_change_has_its_word(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        first = replace(made(1), filename_is_unique=False, filename="a.png")
        put(here, first)
        put(here, replace(first, description="other"))
        put(here, replace(first, title="other"))
        put(here, replace(first, filename="b.png"))
        put(here, replace(first, filename="b.png", size=7))
        put(here, replace(first, filename="b.png", size=7))  # nothing new
        here.changes.note(here.contents.trash(MediaId("1")))
        here.changes.note(here.contents.recover(replace(first, filename="b.png", size=7)))
        put(here, replace(first, filename="b.png", size=7), trashed=True)
        assert [kind for kind, _ in kinds(here)] == [
            "added",
            "changed",
            "retitled",
            "renamed",
            "content",
            "trashed",
            "recovered",
            "trashed",
        ]
        renamed, trashed = lines(here)[3], lines(here)[5]
        assert renamed["was"].startswith("a~")
        assert renamed["name"].startswith("b~")
        assert trashed["views"] == ["trash"]


def test_a_name_that_gave_way_is_renamed(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        put(here, replace(made(1), filename="media-00000001-1.png"))
        put(here, replace(made(2), filename="media-00000001-1.png"))
        assert kinds(here) == [("added", "1"), ("renamed", "1"), ("added", "2")]
        assert lines(here)[1]["was"] == "media-00000001-1.png"


def test_a_listing_of_a_conversation_changes_nothing_to_tell(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        put(here, replace(make_media(1), created=OLD), dated=False)
        put(here, replace(make_media(1), created=OLD), conversation=Conversation(ConversationId("77")))
        put(here, replace(make_media(1), created=OLD))
        assert lines(here) == []


def test_what_is_gone_is_named_in_no_line_and_no_line_moves(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        put(here, made(1, filename="secretname-12345678.png"), made(2))
        put(here, made(1, filename="othersecret.png"))
        before = here.changes.read(0, 1 << 20)
        assert b"secretname" in on_disk(tmp_path)
        changes = here.contents.remove(MediaId("1"))
        here.scrub()
        assert b"secret" not in on_disk(tmp_path), "before anybody is told"
        here.changes.note(changes)
        after = here.changes.read(0, 1 << 20)
        assert list(map(len, after.splitlines()))[:3] == list(map(len, before.splitlines()))
        assert after.splitlines()[1] == before.splitlines()[1]
        gone = [line for line in lines(here) if line["id"] == "1"]
        assert [line["kind"] for line in gone] == ["added", "renamed", "removed"]
        assert all(line["name"] is None and line["views"] == [] and "was" not in line for line in gone)


def test_it_is_read_from_anywhere(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        for number in range(50):
            put(here, made(number))
        whole = here.changes.read(0, 1 << 20)
        assert len(whole) == here.changes.end
        for position in range(0, len(whole) + 3, 7):
            for length in (1, 100, 1000):
                assert here.changes.read(position, length) == whole[position : position + length]


def small(here: Catalogue) -> ChangeLog:
    return ChangeLog(here.database, folder_name, lambda: 5.0, kept_bytes=2000)


def test_the_older_half_goes_and_positions_stay(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        log = small(here)
        whole = b""
        for number in range(100):
            before = log.end
            log.note(here.contents.put([made(number)], here.database.tick()))
            whole += log.read(before, 1 << 20)
            assert log.end == len(whole)
            assert log.end - log.first <= 2000
            assert log.read(log.first, 1 << 20) == whole[log.first :]
        assert log.first > 0
        assert whole[log.first - 1 : log.first] == b"\n"


def test_it_is_kept_over_restarts(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        put(here, made(1))
    with opened(tmp_path) as here:
        put(here, made(2))
        assert kinds(here) == [("added", "1"), ("added", "2")]


@pytest.mark.parametrize("restarted", [True, False])
def test_the_first_of_what_changed_since_the_catalogue_was_begun_is_told(
    tmp_path: Path, restarted: bool
) -> None:
    at = datetime.fromtimestamp(1e9, UTC)  # when it is begun
    context: AbstractContextManager[Catalogue] = opened(tmp_path)
    with context as here:
        put(here, replace(make_media(1), created=at - timedelta(seconds=1)))
        if not restarted:
            put(here, replace(make_media(2), created=at))
            assert kinds(here) == [("added", "2")]
    with opened(tmp_path) as here:
        put(here, replace(make_media(3), created=at))
        assert kinds(here)[-1] == ("added", "3")
