"""What the catalogue keeps: names, inodes, links, coverage, over restarts and damage."""

from __future__ import annotations

import itertools
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafs import catalogue
from mediafs.catalogue import Catalogue, Database
from mediafs.errors import LocalFailure, NoRoom
from mediafs.model import (
    ChangeKind,
    Conversation,
    ConversationId,
    Everything,
    Inode,
    Media,
    MediaId,
    Owner,
    Recent,
    User,
    UserId,
)
from mediafs.tree.names import file_name, folder_name
from tests.fakes import START, make_media


@contextmanager
def opened(folder: Path, identity: str = "one", zone: timezone = UTC) -> Iterator[Catalogue]:
    with catalogue.opened(
        folder / "catalogue.sqlite3",
        identity=identity,
        zone=zone,
        name_of=file_name,
        folder_of=folder_name,
        wall_clock=lambda: 1e9,
    ) as here:
        yield here


def names(here: Catalogue) -> dict[str, str]:
    found = {}
    for stat in here.views.children(Everything()):
        media = here.views.media(stat.inode)
        assert media is not None
        found[str(media.id)] = stat.name
    return found


def take(here: Catalogue, *media: Media, conversation: str | None = None) -> int:
    clock = here.database.tick()
    scope = Conversation(ConversationId(conversation)) if conversation else None
    here.contents.put(media, clock, conversation=scope)
    return clock


def test_a_media_keeps_its_inode_and_name_over_restarts(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, make_media(1), make_media(2))
        before = {s.inode: s.name for s in here.views.children(Everything())}
    with opened(tmp_path) as here:
        take(here, make_media(2, title="edited"), make_media(3))
        after = {s.inode: s.name for s in here.views.children(Everything())}
    assert before.items() <= after.items()


def test_an_inode_is_never_used_again(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, make_media(1))
        (first,) = here.views.children(Everything())
        here.contents.remove(MediaId("1"))
        take(here, make_media(2))
        (second,) = here.views.children(Everything())
        assert second.inode != first.inode
        take(here, make_media(1))
        assert here.views.stat(first.inode) is not None


def test_what_is_removed_leaves_no_text_behind(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, make_media(1, title="a secret title", description="a secret description"))
        here.contents.remove(MediaId("1"))
        here.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"a secret" not in kept


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_names_that_meet_give_way_alike_in_any_order_of_arrival(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    same = "media-3npGq6km5jx2s4ct-1538745137.png"
    media = [make_media(n, filename=same, filename_is_unique=True) for n in range(3)]
    with opened(tmp_path) as here:
        for n in order:
            take(here, media[n])
        found = names(here)
    assert len(set(found.values())) == 3
    assert found == {str(n): file_name(media[n], 1) for n in range(3)}


def test_the_end_of_one_does_not_rename_another(tmp_path: Path) -> None:
    same = "media-3npGq6km5jx2s4ct-1538745137.png"
    media = [make_media(n, filename=same, filename_is_unique=True) for n in range(2)]
    with opened(tmp_path) as here:
        take(here, *media)
        before = names(here)["1"]
        here.contents.remove(MediaId("0"))
        take(here, media[1])
        assert names(here) == {"1": before}


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(["a.png", "A.png", "é", "", "media-abcdefgh-1.png"])),
        max_size=30,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_names_are_unique_whatever_comes(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[int, str]]
) -> None:
    with opened(tmp_path_factory.mktemp("names")) as here:
        for number, filename in arrivals:
            unique = filename.startswith("media-")
            take(here, make_media(number, filename=filename, filename_is_unique=unique))
        found = list(names(here).values())
        assert len(found) == len(set(found)) == len({number for number, _ in arrivals})


def test_links_count_the_names_a_media_has(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, make_media(1), make_media(2, owner=None))
        take(here, make_media(1), conversation="5")
        take(here, make_media(1), conversation="6")
        links = {s.name: s.links for s in here.views.children(Everything())}
        assert sorted(links.values()) == [1, 4]
        here.contents.leave_conversation(Conversation(ConversationId("5")), here.database.tick())
        assert sorted(s.links for s in here.views.children(Everything())) == [1, 3]


def test_a_whole_listing_of_a_day_ends_what_it_no_longer_shows(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        day = START.toordinal()
        take(here, make_media(1), make_media(2), make_media(40))
        clock = take(here, make_media(2))
        changes = here.contents.cover_days(day, day, clock, 5.0)
        assert [(c.kind, c.media) for c in changes] == [(ChangeKind.REMOVED, "1")]
        assert set(names(here)) == {"2", "40"}
        assert here.coverage.covered_days(day, day + 3) == {day}


def test_what_another_listing_showed_meanwhile_is_not_ended(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        began = here.database.tick()
        take(here, make_media(1))
        here.contents.cover_days(START.toordinal(), START.toordinal(), began, 5.0)
        assert set(names(here)) == {"1"}


def test_a_day_is_that_of_the_accounts_time_zone(tmp_path: Path) -> None:
    late = datetime(2024, 5, 16, 23, 30, tzinfo=UTC)
    with opened(tmp_path, zone=timezone(timedelta(hours=2))) as here:
        take(here, make_media(1, created=late))
        assert here.views.media_days(1, 10**6) == {datetime(2024, 5, 17, tzinfo=UTC).toordinal()}


def test_recent_is_the_newest_hundred(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, *(make_media(n) for n in range(150)))
        found = here.views.children(Recent())
        assert len(found) == 100
        assert min(s.created for s in found) == make_media(50).created.timestamp()


def test_an_owner_without_a_name_keeps_the_name_it_had(tmp_path: Path) -> None:
    from mediafs.model import Owner

    with opened(tmp_path) as here:
        take(here, make_media(1))
        take(here, make_media(2, owner=None))
        nameless = make_media(3)
        nameless = Media(
            id=MediaId("3"),
            created=nameless.created,
            filename="x",
            size=1,
            owner=Owner(id=UserId("1000"), name=None),
        )
        take(here, nameless)
        assert here.views.people() == [("1000", "Owner 1000 (1000)")]
        assert len(here.views.children(User(UserId("1000")))) == 2


@pytest.mark.parametrize("damage", ["garbage", "truncated", "identity", "version"])
def test_a_catalogue_that_cannot_be_trusted_is_set_aside(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "catalogue.sqlite3"
    with opened(tmp_path) as here:
        take(here, *(make_media(n) for n in range(500)))
        if damage == "version":
            here.database.execute("PRAGMA user_version = 99")
        here.database.remember("closed", False)
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    if damage == "truncated":
        # As after a crash: not closed in order.
        connection = sqlite3.connect(path)
        connection.execute("UPDATE meta SET value = 'false' WHERE key = 'closed'")
        connection.commit()
        connection.close()
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    with (
        caplog.at_level(logging.WARNING),
        opened(tmp_path, identity="two" if damage == "identity" else "one") as here,
    ):
        assert names(here) == {}
        take(here, make_media(1))
    assert "set aside" in caplog.text
    assert len(list(tmp_path.glob("*.set-aside-*"))) >= 1


def damage(path: Path) -> None:
    """The middle of a file that was closed in order is overwritten: nothing asks for a check."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 3 // 4096 * 4096)
        file.write(b"\xa5" * (size // 3))


def test_damage_that_is_found_later_sets_the_catalogue_aside_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as here:
        take(here, *(make_media(n) for n in range(500)))
    damage(tmp_path / "catalogue.sqlite3")
    with opened(tmp_path) as here, pytest.raises(LocalFailure, match="mount again"):
        names(here)
    with caplog.at_level(logging.WARNING), opened(tmp_path) as here:
        assert names(here) == {}
        trouble = here.database.trouble
        assert trouble is not None
        assert "set aside as catalogue.sqlite3.set-aside-" in str(trouble.error)
        take(here, make_media(1))
    assert "listed anew" in caplog.text
    with opened(tmp_path) as here:
        assert set(names(here)) == {"1"}
        assert here.database.trouble is None


def test_a_full_disk_does_not_set_a_good_catalogue_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as here:
        take(here, make_media(1))

    def full(self: Database, key: str, value: object) -> None:
        raise NoRoom("no room")

    monkeypatch.setattr(Database, "remember", full)
    with caplog.at_level(logging.WARNING), opened(tmp_path) as here:
        assert set(names(here)) == {"1"}
    assert not list(tmp_path.glob("*.set-aside-*"))


def test_a_catalogue_that_somebody_else_has_open_is_not_set_aside(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, make_media(1))
    other = sqlite3.connect(tmp_path / "catalogue.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OSError, match="locked"), opened(tmp_path):
        pass
    other.execute("ROLLBACK")
    other.close()
    assert not list(tmp_path.glob("*.set-aside-*"))
    with opened(tmp_path) as here:
        assert set(names(here)) == {"1"}


def test_the_catalogue_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    with opened(folder) as here:
        take(here, make_media(1))
        for path in folder.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path
    assert folder.stat().st_mode & 0o077 == 0


def test_places_are_named_only_where_somebody_has_looked(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        (change,) = here.contents.put([make_media(1)], here.database.tick())
        assert change.places == ()
        day, _ = here.directories.get("day", str(START.toordinal()))
        recent, _ = here.directories.get("view", "recent")
        (change,) = here.contents.put([make_media(2)], here.database.tick())
        assert {place for place, _ in change.places} == {day, recent}


# --- edits and deletions -----------------------------------------------------------------------------


def shown(here: Catalogue, id_: str) -> Media:
    (inode,) = here.database.execute("SELECT inode FROM media WHERE id = ?", (id_,)).fetchone()
    media = here.views.media(Inode(inode))
    assert media is not None
    return media


def test_a_page_asked_before_an_edit_does_not_overwrite_it(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, make_media(1), make_media(2))
        asked = here.database.tick()
        here.contents.put([make_media(1, title="edited")], here.database.tick(), dated=False)
        (change,) = here.contents.put([make_media(1), make_media(2, title="news")], asked)
        assert change.media == "2", "of which nothing newer is known"
        assert shown(here, "1").title == "edited"
        take(here, make_media(1, title="later"))
        assert shown(here, "1").title == "later"


def test_an_older_page_that_is_the_first_to_date_a_media_does_not_undo_its_edit(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        clock = here.database.tick()
        here.contents.put([make_media(1)], clock, dated=False, conversation=Conversation(ConversationId("7")))
        asked = here.database.tick()
        here.contents.put([make_media(1, title="edited")], here.database.tick(), dated=False)
        here.contents.put([make_media(1)], asked, dated=True)
        assert shown(here, "1").title == "edited"
        assert len(here.views.children(Recent())) == 1, "that it belongs into by-date is true all the same"
        assert here.views.children(Everything())[0].links == 3


def test_a_page_asked_before_a_deletion_does_not_bring_it_back(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        take(here, make_media(1))
        asked = here.database.tick()
        here.contents.remove(MediaId("1"))
        assert here.contents.put([make_media(1)], asked) == []
        here.contents.put([make_media(1)], asked, conversation=Conversation(ConversationId("7")))
        assert names(here) == {}
        assert here.views.conversations() == []
        (change,) = here.contents.put([make_media(1)], here.database.tick())
        assert change.kind is ChangeKind.ADDED


@pytest.mark.parametrize("left_first", [False, True])
def test_the_name_of_a_person_goes_with_the_last_media(tmp_path: Path, left_first: bool) -> None:
    with opened(tmp_path) as here:
        take(here, make_media(1), make_media(2), make_media(3, owner="2000"))
        here.contents.remove(MediaId("1"))
        assert here.views.human_folder(User(UserId("1000"))) == "Owner 1000 (1000)"
        if left_first:
            here.contents.leave_user(User(UserId("1000")), here.database.tick())
        here.contents.remove(MediaId("2"))
        assert here.views.human_folder(User(UserId("1000"))) is None
        assert here.views.human_folder(User(UserId("2000"))) is not None


def test_a_clash_is_forgotten_with_the_last_that_wanted_the_name(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        twins = [make_media(n, filename="media-secretsecret-1.png", filename_is_unique=True) for n in (1, 2)]
        take(here, *twins)
        (renamed,) = {name for id_, name in names(here).items() if id_ == "2"}
        here.contents.remove(MediaId("1"))
        assert names(here) == {"2": renamed}, "the end of one renames no other"
        here.contents.remove(MediaId("2"))
        assert here.database.execute("SELECT COUNT(*) FROM clash").fetchone() == (0,)


SECRETS = ("a secret title", "a secret word", "Jane Secret", "secret.png", "secretrecord")


def secret(number: int) -> Media:
    return make_media(
        number,
        title=SECRETS[0],
        description=SECRETS[1] * 300,  # larger than a page of the database
        owner=None,
        filename=SECRETS[3],
        record='{"secretrecord": 1}',
        latitude=48.117266,
    )


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("catalogue.sqlite3*"))


def test_nothing_on_disk_holds_the_text_of_what_was_deleted(tmp_path: Path) -> None:
    owner = Owner(id=UserId("77"), name=SECRETS[2])
    with opened(tmp_path, identity="another") as here:
        take(here, secret(1))
    with opened(tmp_path) as here:  # the other one is set aside
        take(here, *(make_media(n) for n in range(10, 400)))
        media = replace(secret(1), owner=owner)
        take(here, media, replace(secret(2), owner=owner), conversation="7")
        take(here, replace(media, title=f"{SECRETS[0]}, changed"), conversation="7")
        before = on_disk(tmp_path)
        assert all(text.encode() in before for text in SECRETS)
        for id_ in ("1", "2"):
            here.contents.remove(MediaId(id_))
        here.scrub()
        after = on_disk(tmp_path)
        assert [text for text in SECRETS if text.encode() in after] == []
        assert b"48.117266" not in after
        assert list(tmp_path.glob("*set-aside*")) == []
        assert len(names(here)) == 390
        row = here.database.execute("SELECT * FROM media WHERE id = '1'").fetchone()
        assert [value for value in row if value not in (0, "", None, "{}")] == [row[0], "1", row[-2]], (
            "its inode, its id, and the clock"
        )
    assert [text for text in SECRETS if text.encode() in on_disk(tmp_path)] == []


def test_a_directory_that_was_removed_comes_back_under_another_inode(tmp_path: Path) -> None:
    with opened(tmp_path) as here:
        first, _ = here.directories.get("day", "7")
        here.directories.retire("day", "7")
        assert here.directories.known("day", "7") is None
        assert here.directories.by_inode(first) is None
        second, _ = here.directories.get("day", "7")
        assert second > first
