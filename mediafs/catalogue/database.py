"""One SQLite file: opening it safely, transactions, and small memories with a key of their own."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import LocalFailure, MediafsError, NoRoom
from .migrations import SCHEMA_VERSION, migrate

log = logging.getLogger(__name__)

FIRST_DIRECTORY: Final = 1 << 40
"""Inodes from here on are directories and symlinks; below it media."""


_PASSING: Final = frozenset(
    (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
    )
)
"""Failures that come of the disk's state, or of somebody else: a file that was fine stays where it is."""

_JOURNAL_PAGES: Final = 8192
"""The journal is written into the file when it is 32 MiB long: a crawl changes the same pages of the indexes
again and again, and with SQLite's own 4 MiB most of its time went into writing each of them each time."""

_DAMAGED: Final = "damaged"
"""Kept instead of `closed`: the file was closed in order, and is not to be trusted all the same."""


class Untrusted(Exception):
    """The file is of no use; the text says why. `damaged`: not only because it is another archive's."""

    def __init__(self, why: str, *, damaged: bool) -> None:
        super().__init__(why)
        self.damaged = damaged


class Trouble(NamedTuple):
    """A failure of the catalogue's file, for `status`."""

    error: MediafsError
    at: float
    """Unix time."""


class Database:
    """A connection whose transactions nest. Not safe for use from several threads.

    Every failure of SQLite is told as LocalFailure, or NoRoom.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.trouble: Trouble | None = None
        """The last failure, whatever it was that failed."""
        self._damaged = False

    def execute(self, sql: str, values: Sequence[object] | Mapping[str, object] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def executemany(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        try:
            self._connection.executemany(sql, values)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> MediafsError:
        failure = _failure(error)
        self._damaged |= _is_damage(error)
        self.trouble = Trouble(failure, time.time())
        return failure

    @contextmanager
    def transaction(self) -> Iterator[None]:
        # One transaction at a time, nested calls join the outer one.
        if self._connection.in_transaction:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite ends some by itself, a full disk's for one
                self.execute("ROLLBACK")
            raise

    def remembered(self, key: str) -> Any:
        """The JSON value kept under `key`, or None."""
        row = self.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def remember(self, key: str, value: Any) -> None:
        with self.transaction():
            self._remember(key, value)

    def _remember(self, key: str, value: Any) -> None:
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def tick(self) -> int:
        """A new reading of the catalogue's own clock, which no wall clock can turn back.

        Taken before a page is asked for: what was seen at a later reading than another page was
        asked for cannot be missing from that page because it is gone.
        """
        with self.transaction():
            now = self.clock() + 1
            self._remember("clock", now)
        return now

    def clock(self) -> int:
        """The clock as it stands."""
        return int(self.remembered("clock") or 0)

    def scrub(self) -> None:
        """Writes the journal into the file and empties it: it still holds what was overwritten."""
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Closes the file and notes that it was closed in order, unless it has shown that it is damaged."""
        try:
            self.remember("closed", _DAMAGED if self._damaged else True)
        except MediafsError as error:
            log.warning("the catalogue could not be closed in order: %s", error)
        finally:
            self._connection.close()


def connect(path: Path, identity: str) -> Database:
    """The file at `path`, made where there is none.

    Raises Untrusted, and OSError for what says nothing about the file: somebody else has it open, or there
    is no room for a new one.
    """
    if not path.exists():
        path.touch(mode=0o600)
    # isolation_level None: transactions are ours, not guessed from the statements.
    # The timeout is for whoever else has the file open: nobody should, and the whole loop waits.
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.5)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL: a power cut may lose the last commits, never the file's consistency; a lost listing
        # is listed again.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_JOURNAL_PAGES}")
        _check(connection, identity)
        database = Database(connection)
        _note_open(database)
    except (sqlite3.DatabaseError, LocalFailure, ValueError) as error:
        connection.close()
        if _is_passing(error):
            raise OSError(f"the catalogue {path} cannot be used: {error}") from error
        raise Untrusted(f"cannot be read ({error})", damaged=True) from error
    except Untrusted:
        connection.close()
        raise
    return database


def _note_open(database: Database) -> None:
    """From now on it is not closed in order. On a full disk that cannot be noted, and what is known can be
    shown all the same."""
    try:
        database.remember("closed", False)
    except NoRoom as error:
        log.warning("the catalogue can be read only: %s", error)


def _check(connection: sqlite3.Connection, identity: str) -> None:
    """Raises Untrusted; an empty file gets its tables first."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        schema = files(__package__).joinpath("schema.sql").read_text("utf-8")
        connection.executescript(
            f"BEGIN; {schema}"
            f"INSERT INTO sqlite_sequence VALUES ('media', 1), ('directory', {FIRST_DIRECTORY});"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
        connection.execute("INSERT INTO meta VALUES ('identity', ?)", (json.dumps(identity),))
        return
    if not 1 <= version <= SCHEMA_VERSION:
        raise Untrusted(f"was written by another version of mediafs (schema {version})", damaged=False)
    kept = dict(
        connection.execute("SELECT key, value FROM meta WHERE key IN ('identity', 'closed')").fetchall()
    )
    if json.loads(kept.get("identity", "null")) != identity:
        raise Untrusted("holds another archive, time zone or naming", damaged=False)
    # The check reads the whole file, so only a crash asks for it.
    closed = json.loads(kept.get("closed", "false"))
    if closed == _DAMAGED or (not closed and connection.execute("PRAGMA quick_check").fetchone()[0] != "ok"):
        raise Untrusted("is damaged", damaged=True)
    if version < SCHEMA_VERSION:
        migrate(connection, version)
        log.info("the catalogue of an earlier version was taken over (schema %d)", version)


def _failure(error: sqlite3.Error) -> MediafsError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return NoRoom("no room on disk for the catalogue")
    if _is_damage(error):
        return LocalFailure("the catalogue is damaged: mount again, and it is set aside and made anew")
    return LocalFailure(f"the catalogue cannot be used: {error}")


def _is_damage(error: sqlite3.Error) -> bool:
    # The lowest byte says what it is, those above it say where.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_passing(error: Exception) -> bool:
    """Whether the failure is none of the file's."""
    cause = error.__cause__ if isinstance(error, MediafsError) else error
    code = getattr(cause, "sqlite_errorcode", 0)
    return code & 0xFF in _PASSING or code in _PASSING
