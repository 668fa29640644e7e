"""Questions to what is known: media, days, people, conversations. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ..model import Conversation, ConversationId, Inode, Media, MediaId, Scope, Search, User, UserId
from .database import Database
from .records import load_media
from .scopes import where


class Stat(NamedTuple):
    """What a listing shows of one media."""

    inode: Inode
    name: str
    size: int | None
    created: float
    links: int


_STAT: Final = "inode, name, size, created, links"


class Views:
    def __init__(self, database: Database) -> None:
        self._db = database

    def media(self, inode: Inode) -> Media | None:
        """The record behind an inode; None where it is gone or never was."""
        row = self._db.execute(
            "SELECT id, created, size, fields FROM media WHERE live AND inode = ?", (inode,)
        ).fetchone()
        return None if row is None else load_media(*row)

    def removed(self, media: Iterable[MediaId]) -> set[MediaId]:
        """Those that were here and are gone; not those that never were."""
        return {
            id_
            for id_ in media
            if self._db.execute("SELECT 1 FROM media WHERE NOT live AND id = ?", (id_,)).fetchone()
        }

    def stat(self, inode: Inode) -> Stat | None:
        row = self._db.execute(f"SELECT {_STAT} FROM media WHERE live AND inode = ?", (inode,)).fetchone()
        return None if row is None else Stat(*row)

    def find(self, scope: Scope, name: str) -> Stat | None:
        """The media of that name in a scope, as far as it is known."""
        condition, arguments = where(scope)
        row = self._db.execute(
            f"SELECT {_STAT} FROM media WHERE live AND name = ? AND {condition}", (name, *arguments)
        ).fetchone()
        return None if row is None else Stat(*row)

    def children(self, scope: Scope) -> list[Stat]:
        """The media of a scope, oldest first, as far as they are known; of a search, newest first."""
        condition, arguments = where(scope)
        order = "created DESC, id DESC" if isinstance(scope, Search) else "created, id"
        rows = self._db.execute(
            f"SELECT {_STAT} FROM media WHERE live AND {condition} ORDER BY {order}", arguments
        )
        return list(map(Stat._make, rows))

    def count(self, scope: Scope) -> int:
        condition, arguments = where(scope)
        row = self._db.execute(f"SELECT COUNT(*) FROM media WHERE live AND {condition}", arguments).fetchone()
        return int(row[0])

    def again(self, inodes: Sequence[Inode], scope: Scope) -> dict[Inode, Stat]:
        """Those that are still in the scope, as they are now."""
        condition, arguments = where(scope)
        found: dict[Inode, Stat] = {}
        for i in range(0, len(inodes), 500):
            some = inodes[i : i + 500]
            marks = ",".join("?" * len(some))
            # NOT INDEXED: else an index that holds all of the scope is read from end to end for these few.
            rows = self._db.execute(
                f"SELECT {_STAT} FROM media NOT INDEXED WHERE inode IN ({marks}) AND live AND {condition}",
                (*some, *arguments),
            )
            found.update((row[0], Stat(*row)) for row in rows)
        return found

    def media_days(self, first: int, last: int) -> set[int]:
        """The days in the range that have media, as far as they are known."""
        # From one day to the next in the index: DISTINCT would read every media of the range.
        rows = self._db.execute(
            "WITH RECURSIVE filled(day) AS ("
            " SELECT (SELECT MIN(day) FROM media WHERE live AND dated AND day >= :first)"
            " UNION ALL"
            " SELECT (SELECT MIN(day) FROM media WHERE live AND dated AND day > filled.day) FROM filled"
            " WHERE filled.day < :last)"
            " SELECT day FROM filled WHERE day <= :last",
            {"first": first, "last": last},
        )
        return {day for (day,) in rows}

    def day_range(self) -> tuple[int, int] | None:
        """The first and last day of the known media."""
        row = self._db.execute(
            # Two questions in one: only a lone MIN or MAX is answered from the end of an index.
            "SELECT (SELECT MIN(day) FROM media WHERE live AND dated),"
            " (SELECT MAX(day) FROM media WHERE live AND dated)"
        ).fetchone()
        return None if row[0] is None else (int(row[0]), int(row[1]))

    def newest(self) -> float | None:
        """When the newest known media was created, in Unix seconds."""
        row = self._db.execute("SELECT MAX(created) FROM media WHERE live AND dated").fetchone()
        return None if row[0] is None else float(row[0])

    def people(self) -> list[tuple[UserId, str]]:
        """Users who have media, with their directory names."""
        return [
            (UserId(id_), folder)
            for id_, folder in self._db.execute(
                "SELECT id, folder FROM person"
                " WHERE EXISTS (SELECT 1 FROM media WHERE live AND NOT trashed AND owner = person.id)"
                " ORDER BY folder"
            )
        ]

    def person_by_folder(self, folder: str) -> UserId | None:
        row = self._db.execute("SELECT id FROM person WHERE folder = ?", (folder,)).fetchone()
        return None if row is None else UserId(row[0])

    def conversation_by_folder(self, folder: str) -> ConversationId | None:
        row = self._db.execute("SELECT id FROM conversation WHERE folder = ?", (folder,)).fetchone()
        return None if row is None else ConversationId(row[0])

    def human_folder(self, scope: User | Conversation) -> str | None:
        """The directory name of a user, or of a conversation that has a name of its own."""
        table = "person" if isinstance(scope, User) else "conversation"
        row = self._db.execute(f"SELECT folder FROM {table} WHERE id = ?", (scope.id,)).fetchone()
        return None if row is None else str(row[0])

    def conversations(self) -> list[str]:
        """Ids of the conversations that are known to have media."""
        # As `media_days`; most conversations are in no trash, so their first member tells.
        rows = self._db.execute(
            "WITH RECURSIVE known(id) AS ("
            " SELECT (SELECT MIN(conversation) FROM member)"
            " UNION ALL"
            " SELECT (SELECT MIN(conversation) FROM member WHERE conversation > known.id) FROM known"
            " WHERE known.id IS NOT NULL)"
            " SELECT id FROM known WHERE EXISTS ("
            "SELECT 1 FROM member JOIN media USING (inode) WHERE conversation = known.id AND NOT trashed)"
        )
        return [id_ for (id_,) in rows]

    def conversations_of(self, inode: Inode) -> list[str]:
        return [
            id_
            for (id_,) in self._db.execute(
                "SELECT conversation FROM member WHERE inode = ? ORDER BY conversation", (inode,)
            )
        ]

    def is_populated(self, scope: Scope) -> bool:
        condition, arguments = where(scope)
        return bool(
            self._db.execute(f"SELECT 1 FROM media WHERE live AND {condition} LIMIT 1", arguments).fetchone()
        )

    def totals(self) -> tuple[int, int]:
        """How many media are known, and the sum of their known sizes in bytes."""
        media, size = self._db.execute("SELECT media, bytes FROM total").fetchone()
        return int(media), int(size)
