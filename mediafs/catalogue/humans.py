"""What people call users and conversations, and the directory names made of that."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from ..model import Change, ChangeKind, Inode, MediaId
from .database import Database
from .directories import Directories

FolderOf = Callable[[str, str | None], str]


class Named(Enum):
    """What has a directory with a human name. The value is its table."""

    PERSON = "person"
    CONVERSATION = "conversation"


_VIEW: Final = {Named.PERSON: "by-user", Named.CONVERSATION: "by-conversation"}
_MEDIA_OF: Final = {
    Named.PERSON: "SELECT 1 FROM media WHERE live AND owner = person.id",
    Named.CONVERSATION: "SELECT 1 FROM member WHERE conversation = conversation.id",
}


class Humans:
    """The newest record that has a name gives it. Every method runs within its caller's transaction."""

    def __init__(self, database: Database, directories: Directories, folder_of: FolderOf) -> None:
        self._db = database
        self._directories = directories
        self._folder_of = folder_of

    def know(self, kind: Named, id_: str, name: str | None, created: float, media: MediaId) -> list[Change]:
        """A record of that moment names it so. Returns what changed in the view that lists it."""
        table = kind.value
        row = self._db.execute(f"SELECT name, folder, named FROM {table} WHERE id = ?", (id_,)).fetchone()
        if row is not None and (name is None or row[0] == name or created < row[2]):
            return []
        folder = self._folder_of(id_, name)
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", (id_, name, folder, created))
        index = self._directories.known("view", _VIEW[kind])
        if index is None:
            return []
        self._directories.touch([index])
        return [_moved(index, [folder] if row is None else [row[1], folder], media)]

    def forget_unused(self, kind: Named, id_: str | None) -> None:
        """Names of people are personal data: they go with the last media that has them."""
        self._db.execute(f"DELETE FROM {kind.value} WHERE id = ? AND NOT EXISTS ({_MEDIA_OF[kind]})", (id_,))


def _moved(index: Inode, folders: list[str], media: MediaId) -> Change:
    places = tuple((index, folder) for folder in folders)
    return Change(kind=ChangeKind.CHANGED, inode=index, media=media, places=places)
