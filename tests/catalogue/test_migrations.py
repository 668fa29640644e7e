"""A catalogue that an earlier version wrote is taken over, with all that it holds."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from mediafs.catalogue import Catalogue, records
from mediafs.catalogue.migrations import SCHEMA_VERSION, STEPS
from mediafs.model import Conversation, ConversationId, Days, Everything, MediaId, User, UserId
from tests.catalogue.test_catalogue import names, opened, take
from tests.fakes import START, make_media

FOLDER = Path(__file__).parent


def inodes(here: Catalogue) -> dict[str, int]:
    stats = here.views.children(Everything())
    return {str(media.id): stat.inode for stat in stats if (media := here.views.media(stat.inode))}


def shape_of(connection: sqlite3.Connection) -> dict[str, set[tuple[object, ...]]]:
    """The columns of every table, in whatever order, the indexes and the triggers."""
    master = connection.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall()
    shape: dict[str, set[tuple[object, ...]]] = {
        name: {row[1:] for row in connection.execute(f"PRAGMA table_info({name})")}
        for kind, name, _ in master
        if kind == "table"
    }
    return shape | {"indexes": {row for row in master if row[0] in ("index", "trigger")}}


def earlier(path: Path, version: int) -> sqlite3.Connection:
    """An empty catalogue as that version of the schema made it."""
    connection = sqlite3.connect(path, isolation_level=None)
    schema = (FOLDER / f"schema-{version}.sql").read_text()
    connection.executescript(
        f"BEGIN; {schema} INSERT INTO sqlite_sequence VALUES ('media', 1), ('directory', {1 << 40});"
        f"PRAGMA user_version = {version}; COMMIT;"
    )
    connection.execute("INSERT INTO meta VALUES ('identity', ?)", (json.dumps("one"),))
    return connection


def filled(path: Path, version: int) -> None:
    """With two media, a conversation, a user, a listed day and a directory."""
    connection = earlier(path, version)
    for number in (1, 2):
        media = make_media(number, created=START + timedelta(hours=number))
        connection.execute(
            "INSERT INTO media(id, dated, name, base, created, day, size, owner, links, seen, fields)"
            " VALUES (?, 1, ?, ?, ?, ?, ?, '1000', 2, 5, ?)",
            (
                media.id,
                media.filename,
                media.filename,
                media.created.timestamp(),
                media.created.astimezone(UTC).date().toordinal(),
                media.size,
                records.dump_fields(media),
            ),
        )
    connection.execute("INSERT INTO member VALUES ('77', 2, 5)")
    connection.execute("INSERT INTO person VALUES ('1000', 'Owner 1000', 'Owner 1000 (1000)', 1.0)")
    connection.execute("INSERT INTO day VALUES (?, 1000.0)", (START.date().toordinal(),))
    connection.execute("INSERT INTO directory(kind, key, changed) VALUES ('user', '1000', 1.0)")
    connection.execute("INSERT INTO meta VALUES ('clock', '5'), ('closed', 'true')")
    connection.close()


@pytest.mark.parametrize("version", sorted(STEPS))
def test_what_an_earlier_version_knew_is_known(tmp_path: Path, version: int) -> None:
    filled(tmp_path / "catalogue.sqlite3", version)
    with opened(tmp_path) as here:
        assert set(names(here)) == {"1", "2"}
        assert here.views.stat(here.views.children(Everything())[0].inode) is not None
        assert len(here.views.children(Conversation(ConversationId("77")))) == 1
        assert len(here.views.children(User(UserId("1000")))) == 2
        assert here.coverage.state(Days(START.date(), START.date())).listed == 1000.0
        inode = here.directories.known("user", "1000")
        assert inode is not None
        assert inode > 1 << 40
        before = inodes(here)
        take(here, make_media(1, created=START + timedelta(hours=1), title="another title"), make_media(3))
        assert before.items() <= inodes(here).items()
        assert here.contents.remove(MediaId("2"))
    assert not list(tmp_path.glob("*.set-aside-*"))
    with opened(tmp_path) as here:  # and it is a file of this version now
        assert set(names(here)) == {"1", "3"}


@pytest.mark.parametrize("version", sorted(STEPS))
def test_a_migrated_file_has_the_tables_of_a_new_one(tmp_path: Path, version: int) -> None:
    (tmp_path / "old").mkdir()
    earlier(tmp_path / "old" / "catalogue.sqlite3", version).close()
    shapes = []
    for folder in (tmp_path / "old", tmp_path / "new"):
        with opened(folder):
            pass
        connection = sqlite3.connect(folder / "catalogue.sqlite3")
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        shapes.append(shape_of(connection))
        connection.close()
    assert shapes[0] == shapes[1]


def test_a_step_that_fails_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "catalogue.sqlite3"
    filled(path, 1)
    broken = {1: STEPS[1] + "CREATE TABLE media (x);"}
    monkeypatch.setattr("mediafs.catalogue.migrations.STEPS", broken)
    with opened(tmp_path) as here:
        assert names(here) == {}
    (aside,) = (p for p in tmp_path.glob("*.set-aside-*") if not p.name.endswith(("-wal", "-shm")))
    connection = sqlite3.connect(aside)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT COUNT(*) FROM media").fetchone() == (2,)
    connection.close()
