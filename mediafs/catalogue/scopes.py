"""Scopes as SQL: keys of tables and conditions on media."""

from __future__ import annotations

from typing import Final

from ..model import Conversation, Days, Everything, Recent, Scope, Search, Trash, User

RECENT_COUNT: Final = 100
"""How many media `recent/` shows."""


def scope_key(scope: Scope) -> str:
    """A scope as a database key."""
    match scope:
        case Days(first, last):
            return f"days:{first.isoformat()}:{last.isoformat() if last else ''}"
        case Conversation(id_):
            return f"conversation:{id_}"
        case User(id_):
            return f"user:{id_}"
        case Recent():
            return "recent"
        case Everything():
            return "everything"
        case Trash():
            return "trash"
        case Search(typed):
            return f"search:{typed}"


def where(scope: Scope) -> tuple[str, tuple[object, ...]]:
    match scope:
        case Days(first, last):
            if last is None:
                return "dated AND day >= ?", (first.toordinal(),)
            if first == last:  # an equality: the index is in the order of a listing then
                return "dated AND day = ?", (first.toordinal(),)
            return "dated AND day BETWEEN ? AND ?", (first.toordinal(), last.toordinal())
        case Conversation(id_):
            return "NOT trashed AND inode IN (SELECT inode FROM member WHERE conversation = ?)", (id_,)
        case User(id_):
            return "NOT trashed AND owner = ?", (id_,)
        case Recent():
            newest = "SELECT inode FROM media WHERE live AND dated ORDER BY created DESC, id DESC LIMIT ?"
            return f"inode IN ({newest})", (RECENT_COUNT,)
        case Everything():
            return "1", ()
        case Trash():
            return "trashed", ()
        case Search(typed):
            return "NOT trashed AND inode IN (SELECT inode FROM found WHERE typed = ?)", (typed,)
