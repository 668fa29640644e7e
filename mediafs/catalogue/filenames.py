"""File names among themselves: all that meet give way alike.

If the first to come kept its plain name, names would depend on the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable

from ..model import Inode, Media, MediaId
from .database import Database
from .records import load_media

NameOf = Callable[[Media, int], str]
"""The name of a media that has met another's so often."""

Renamed = tuple[Inode, MediaId, str]
"""A media that had to give way, and the name it had before."""


class FileNames:
    """Every method runs within its caller's transaction."""

    def __init__(self, database: Database, name_of: NameOf) -> None:
        self._db = database
        self._name_of = name_of

    def place(self, media: Media) -> tuple[str, str, list[Renamed]]:
        """The name of a media, the name it would have if no other clashed, and what else was renamed."""
        renamed: list[Renamed] = []
        base = self._name_of(media, 0)
        level = self._clash_level(base)
        while True:
            name = self._name_of(media, level) if level else base
            other = self._db.execute(
                "SELECT base FROM media WHERE live AND name = ? AND id != ?", (name, media.id)
            ).fetchone()
            if other is None:
                return name, base, renamed
            level += 1
            for met in {base, other[0]}:
                self._db.execute("INSERT OR REPLACE INTO clash VALUES (?, ?)", (met, level))
            renamed += self._rename_all(other[0], level, besides=media.id)

    def _clash_level(self, base: str) -> int:
        row = self._db.execute("SELECT level FROM clash WHERE base = ?", (base,)).fetchone()
        return 0 if row is None else int(row[0])

    def _rename_all(self, base: str, level: int, besides: MediaId) -> list[Renamed]:
        renamed: list[Renamed] = []
        columns = "inode, name, id, created, size, fields"
        for inode, before, id_, created, size, fields in self._db.execute(
            f"SELECT {columns} FROM media WHERE live AND name = :base AND base = :base AND id != :besides"
            f" UNION ALL SELECT {columns} FROM media"
            " WHERE live AND name IS NOT base AND base = :base AND id != :besides",
            {"base": base, "besides": besides},
        ).fetchall():
            name = self._name_of(load_media(id_, created, size, fields), level)
            self._db.execute("UPDATE media SET name = ? WHERE inode = ?", (name, inode))
            renamed.append((Inode(inode), MediaId(id_), before))
        return renamed

    def forget_unused(self, base: str) -> None:
        """The last media of that base is gone: a name may have been made of a title."""
        self._db.execute(
            "DELETE FROM clash WHERE base = :base"
            " AND NOT EXISTS (SELECT 1 FROM media WHERE live AND name = :base AND base = :base)"
            " AND NOT EXISTS (SELECT 1 FROM media WHERE live AND name IS NOT base AND base = :base)",
            {"base": base},
        )
