"""Inodes of what is not a media: views, years, months, days, conversations, users, symlinks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..model import Inode
from .database import Database


class Directories:
    """Kind and key to inode and back. `changed` is the last change found in a directory."""

    def __init__(self, database: Database, wall_clock: Callable[[], float]) -> None:
        self._db = database
        self._now = wall_clock

    def get(self, kind: str, key: str) -> tuple[Inode, float]:
        """The inode and last change of a directory; made when it is first asked for."""
        row = self._db.execute(
            "SELECT inode, changed FROM directory WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
        if row is None:
            with self._db.transaction():
                now = self._now()
                made = self._db.execute(
                    "INSERT INTO directory(kind, key, changed) VALUES (?, ?, ?)", (kind, key, now)
                ).lastrowid
            assert made is not None
            return Inode(made), now
        return Inode(row[0]), float(row[1])

    def by_inode(self, inode: Inode) -> tuple[str, str, float] | None:
        """Kind, key and last change of a directory or symlink."""
        row = self._db.execute(
            "SELECT kind, key, changed FROM directory WHERE inode = ?", (inode,)
        ).fetchone()
        return None if row is None else (str(row[0]), str(row[1]), float(row[2]))

    def known(self, kind: str, key: str) -> Inode | None:
        row = self._db.execute(
            "SELECT inode FROM directory WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
        return None if row is None else Inode(row[0])

    def retire(self, kind: str, key: str) -> None:
        """The directory was removed: should it come back, then under another inode."""
        self._db.execute("DELETE FROM directory WHERE kind = ? AND key = ?", (kind, key))

    def touch(self, folders: Iterable[Inode]) -> None:
        if some := set(folders):
            now = self._now()
            self._db.executemany("UPDATE directory SET changed = ? WHERE inode = ?", ((now, f) for f in some))

    def touch_view(self, view: str) -> None:
        folder = self.known("view", view)
        if folder is not None:
            self.touch([folder])
