"""How a catalogue that an earlier version wrote becomes one of this version.

Each step is SQL that brings a file from its schema version to the next, together with what a test keeps
of that earlier schema. Steps are never changed once they were released; `schema.sql` is where all of
them lead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SCHEMA_VERSION: Final = 4

STEPS: Final[Mapping[int, str]] = MappingProxyType(
    {
        # Vendors with a trash, with named conversations, and with fields that no record shows.
        1: """
        ALTER TABLE media ADD COLUMN trashed INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE media ADD COLUMN kept TEXT NOT NULL DEFAULT '{}';
        CREATE INDEX media_trashed ON media(created, id) WHERE live AND trashed;
        CREATE TABLE conversation (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            folder TEXT NOT NULL UNIQUE,
            named REAL NOT NULL
        ) WITHOUT ROWID;
        """,
        # The log of changes, and what media are searched by.
        2: """
        CREATE TABLE change (
            start INTEGER PRIMARY KEY,
            length INTEGER NOT NULL,
            time REAL NOT NULL,
            kind TEXT NOT NULL,
            media TEXT NOT NULL,
            name TEXT,
            was TEXT,
            views TEXT
        );
        CREATE INDEX change_media ON change(media);
        CREATE TRIGGER media_gone AFTER UPDATE OF live ON media WHEN OLD.live AND NOT NEW.live
        BEGIN
            UPDATE change SET name = NULL, was = NULL, views = NULL WHERE media = NEW.id;
        END;
        CREATE TABLE words (
            inode INTEGER PRIMARY KEY,
            created REAL NOT NULL,
            text TEXT NOT NULL
        );
        CREATE TABLE unworded (
            inode INTEGER PRIMARY KEY
        );
        CREATE TRIGGER media_reworded AFTER UPDATE OF live, name, created, fields ON media
        WHEN OLD.live IS NOT NEW.live OR OLD.name IS NOT NEW.name
            OR OLD.created IS NOT NEW.created OR OLD.fields IS NOT NEW.fields
        BEGIN
            INSERT OR IGNORE INTO unworded
            SELECT NEW.inode WHERE NEW.live AND NEW.inode <= (SELECT MAX(inode) FROM words);
            DELETE FROM words WHERE inode = NEW.inode;
        END;
        """,
        # Archives of a million media: listings out of an index alone, totals without counting.
        3: """
        DROP INDEX media_day;
        DROP INDEX media_owner;
        DROP INDEX media_base;
        CREATE INDEX media_renamed ON media(base) WHERE live AND name IS NOT base;
        CREATE INDEX media_by_day ON media(day, created, id, name, size, links, live, dated)
            WHERE live AND dated;
        CREATE INDEX media_by_owner ON media(owner, created, id, name, size, links, live, trashed)
            WHERE live;
        CREATE TABLE total (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            media INTEGER NOT NULL,
            bytes INTEGER NOT NULL
        );
        INSERT INTO total SELECT 1, COUNT(*), COALESCE(SUM(size), 0) FROM media WHERE live;
        CREATE TRIGGER media_came AFTER INSERT ON media
        BEGIN
            UPDATE total SET media = media + NEW.live, bytes = bytes + NEW.live * COALESCE(NEW.size, 0);
        END;
        CREATE TRIGGER media_recounted AFTER UPDATE OF live, size ON media
        WHEN OLD.live IS NOT NEW.live OR OLD.size IS NOT NEW.size
        BEGIN
            UPDATE total SET media = media + NEW.live - OLD.live,
                bytes = bytes + NEW.live * COALESCE(NEW.size, 0) - OLD.live * COALESCE(OLD.size, 0);
        END;
        """,
    }
)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Brings the file from `version` to the current schema, or leaves it as it was.

    Raises sqlite3.Error.
    """
    for step in range(version, SCHEMA_VERSION):
        # Atomic, the version included: a crash in between leaves the step to the next start.
        connection.executescript(f"BEGIN IMMEDIATE; {STEPS[step]} PRAGMA user_version = {step + 1}; COMMIT;")
