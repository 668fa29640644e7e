"""The log of what listings found: added, removed, renamed, retitled, other content.

A line never changes its place or length, so that who reads on from where they were reads on rightly.
What names a media that is gone is taken out of its earlier lines by a trigger of the database, in the
transaction that makes it gone; blanks take its place.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Final

from ..errors import NoRoom
from ..model import Change, ChangeKind, Inode
from .database import Database
from .humans import FolderOf

KEPT_BYTES: Final = 10 << 20
"""The log is never longer; beyond it the older half goes."""

_AT_ONCE: Final = 500
"""Media asked about in one query."""


class ChangeLog:
    """Positions count the bytes of all lines that were ever written here: `first` is where what is still
    kept begins, `end` where the next line will."""

    def __init__(
        self,
        database: Database,
        folder_of: FolderOf,
        wall_clock: Callable[[], float],
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._db = database
        self._folder_of = folder_of
        self._now = wall_clock
        self._kept_bytes = kept_bytes
        born = database.remembered("born")
        if born is None:
            born = wall_clock()
            with contextlib.suppress(NoRoom):
                database.remember("born", born)
        self._born = float(born)
        """Since when changes are looked for."""

    @property
    def first(self) -> int:
        return int(self._db.execute("SELECT COALESCE(MIN(start), 0) FROM change").fetchone()[0])

    @property
    def end(self) -> int:
        row = self._db.execute("SELECT start + length FROM change ORDER BY start DESC LIMIT 1").fetchone()
        return 0 if row is None else int(row[0])

    @property
    def changed(self) -> float:
        """When its last line was written, in Unix seconds; of an empty one, when it was begun."""
        row = self._db.execute("SELECT time FROM change ORDER BY start DESC LIMIT 1").fetchone()
        return self._born if row is None else float(row[0])

    def read(self, position: int, length: int) -> bytes:
        """Up to `length` bytes from `position` on; what is not kept any more is left out."""
        rows = self._db.execute(
            "SELECT length, time, kind, media, name, was, views, start FROM change"
            " WHERE start >= COALESCE((SELECT MAX(start) FROM change WHERE start <= ?), 0) AND start < ?"
            " ORDER BY start",
            (position, position + length),
        ).fetchall()
        if not rows:
            return b""
        skipped = max(0, position - rows[0][-1])
        return b"".join(_line(*row[:-1]) for row in rows)[skipped : skipped + length]

    def note(self, changes: Sequence[Change]) -> None:
        """Writes a line for each change that is one to a person. Raises LocalFailure, NoRoom.

        What a first listing shows is none: only what was created since changes are looked for, or is on
        a day that had been listed whole without it.
        """
        added = self._really_added([each.inode for each in changes if each.kind is ChangeKind.ADDED])
        told = [
            each
            for each in changes
            if each.kind is ChangeKind.REMOVED or each.aspect is not None or each.inode in added
        ]
        if not told:
            return
        with self._db.transaction():
            start, now = self.end, self._now()
            for change in told:
                start += self._write(start, now, change)
            if start - self.first > self._kept_bytes:
                self._db.execute("DELETE FROM change WHERE start < ?", (start - self._kept_bytes // 2,))

    def _really_added(self, inodes: Sequence[Inode]) -> set[Inode]:
        found: set[Inode] = set()
        for i in range(0, len(inodes), _AT_ONCE):
            some = inodes[i : i + _AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(
                f"SELECT inode FROM media WHERE inode IN ({marks}) AND (created >= ?"
                " OR (dated AND EXISTS (SELECT 1 FROM day WHERE day.day = media.day)))",
                (*some, self._born),
            )
            found.update(Inode(inode) for (inode,) in rows)
        return found

    def _write(self, start: int, now: float, change: Change) -> int:
        """Returns how long the line is."""
        kind = change.aspect.value if change.aspect is not None else change.kind.value
        name, was, views = None, None, None
        row = self._db.execute(
            "SELECT name, dated, day, owner, trashed FROM media WHERE live AND inode = ?", (change.inode,)
        ).fetchone()
        if row is not None and change.kind is not ChangeKind.REMOVED:
            name, was, views = row[0], change.was, json.dumps(self._views(change.inode, *row[1:]))
        length = len(_line(0, now, kind, change.media, name, was, views))
        self._db.execute(
            "INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (start, length, now, kind, change.media, name, was, views),
        )
        return length

    def _views(self, inode: Inode, dated: int, day: int, owner: str | None, trashed: int) -> list[str]:
        """The directories that it is in, as paths."""
        if trashed:
            return ["trash"]
        views = [f"by-date/{date.fromordinal(day):%Y/%m/%d}"] if dated else []
        of = self._db.execute("SELECT conversation FROM member WHERE inode = ? ORDER BY 1", (inode,))
        views += [f"by-conversation/{self._folder_of(conversation, None)}" for (conversation,) in of]
        return views + ([f"by-user/{self._folder_of(owner, None)}"] if owner is not None else [])


def _line(
    width: int, time: float, kind: str, media: str, name: str | None, was: str | None, views: str | None
) -> bytes:
    """One line of JSON in ASCII, with blanks before its end up to `width` bytes."""
    moment = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    said: dict[str, object] = {"time": moment, "kind": kind, "id": media, "name": name}
    if was is not None:
        said["was"] = was
    said["views"] = json.loads(views) if views is not None else []
    return json.dumps(said).ljust(width - 1).encode() + b"\n"
