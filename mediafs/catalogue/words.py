"""What is said of media, to be searched: parts of words, in any case, with or without accents.

Kept as plain rows, not in an index of SQLite's full text search: that one keeps the words of what was
deleted until it merges its segments (seen with 3.40), and nothing of a deleted media may be left on disk.
Reading all rows takes some 0.2 s a million media, in a thread of its own.

The rows are written when somebody searches, a step at a time; whatever changes a media drops its row by a
trigger, in the same transaction.
"""

from __future__ import annotations

import contextlib
import sqlite3
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from ..errors import LocalFailure, MediafsError
from ..model import Inode, Media, MediaId, Search
from .database import Database
from .records import load_media
from .scopes import scope_key

STEP: Final = 200
"""Media whose rows are written at once: some 3 ms."""

KEPT_SEARCHES: Final = 100
"""Of how many searches it is remembered what they found."""


def plain(text: str) -> str:
    """As it is compared: without case, accents and forms of one letter."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))


def terms_of(words: str) -> tuple[str, ...]:
    """What all has to be found, each anywhere; none where there is nothing to look for."""
    return tuple(dict.fromkeys(plain(words).split()))


def text_of(media: Media, name: str) -> str:
    """What a media is found by, a line each: no term holds a line end."""
    said = (
        media.title,
        media.description,
        media.filename,
        name,
        media.owner.name if media.owner else None,
        media.owner.id if media.owner else None,
        media.conversation_name,
        media.conversation,
        media.id,
    )
    return plain("\n".join(dict.fromkeys(one for one in said if one)))


class Words:
    """Searches, and what they found: the latter in memory, by inode, until it is forgotten."""

    def __init__(self, database: Database, path: Path) -> None:
        self._db = database
        self._path = path
        self._kept: OrderedDict[Search, None] = OrderedDict()
        self._db.execute("PRAGMA temp_store = MEMORY")
        self._db.execute(
            "CREATE TEMP TABLE found (typed TEXT, inode INTEGER, PRIMARY KEY (typed, inode)) WITHOUT ROWID"
        )
        self.forget()

    def index(self, count: int = STEP) -> bool:
        """Writes up to `count` rows that are missing. Returns whether there may be more."""
        with self._db.transaction():
            some = "SELECT inode FROM unworded ORDER BY inode LIMIT ?"
            rows = self._rows(f"inode IN ({some})", count)
            more = self._db.execute(f"DELETE FROM unworded WHERE inode IN ({some})", (count,)).rowcount > 0
            if not more:
                highest = "SELECT COALESCE(MAX(inode), 0) FROM words"
                rows = self._rows(f"inode > ({highest}) ORDER BY inode LIMIT ?", count)
                more = bool(rows)
            self._db.executemany(
                "INSERT OR REPLACE INTO words VALUES (?, ?, ?)",
                ((inode, rest[1], text_of(load_media(*rest), name)) for inode, name, *rest in rows),
            )
        return more

    def _rows(self, which: str, count: int) -> list[tuple[Any, ...]]:
        return self._db.execute(
            f"SELECT inode, name, id, created, size, fields FROM media WHERE live AND {which}", (count,)
        ).fetchall()

    def search(self, words: str, limit: int) -> list[Inode]:
        """The newest of those whose text holds all the words. For a thread: it has a connection of its own,
        and nothing else of this class is used. Raises LocalFailure."""
        terms = terms_of(words)
        condition = " AND ".join(["instr(text, ?)"] * len(terms)) or "0"
        try:
            with contextlib.closing(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
            ) as connection:
                rows = connection.execute(
                    f"SELECT inode FROM words WHERE {condition} ORDER BY created DESC, inode DESC LIMIT ?",
                    (*terms, limit),
                ).fetchall()
        except sqlite3.Error as error:
            raise LocalFailure(f"the catalogue cannot be searched: {error}") from error
        return [Inode(inode) for (inode,) in rows]

    def keep(self, scope: Search, inodes: Sequence[Inode]) -> None:
        """That is what the search found."""
        self._kept.pop(scope, None)
        self._kept[scope] = None
        with self._db.transaction():
            self._db.execute("DELETE FROM found WHERE typed = ?", (scope.typed,))
            self._db.executemany(
                "INSERT OR IGNORE INTO found VALUES (?, ?)", ((scope.typed, inode) for inode in inodes)
            )
            while len(self._kept) > KEPT_SEARCHES:
                oldest, _ = self._kept.popitem(last=False)
                self._db.execute("DELETE FROM found WHERE typed = ?", (oldest.typed,))
                self._db.execute("DELETE FROM scope WHERE key = ?", (scope_key(oldest),))

    def inodes_of(self, media: Iterable[MediaId]) -> list[Inode]:
        """Of those that are known."""
        found = (
            self._db.execute("SELECT inode FROM media WHERE live AND id = ?", (id_,)).fetchone()
            for id_ in media
        )
        return [Inode(row[0]) for row in found if row is not None]

    def forget(self) -> None:
        """What was searched for, and what that found."""
        with contextlib.suppress(MediafsError), self._db.transaction():
            self._kept.clear()
            self._db.execute("DELETE FROM found")
            self._db.execute("DELETE FROM scope WHERE key >= 'search:' AND key < 'search;'")
            self._db.execute("DELETE FROM directory WHERE kind = 'search'")
