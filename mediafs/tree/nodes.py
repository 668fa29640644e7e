"""What a directory inode stands for: one value a kind, kept in the catalogue as (kind, key)."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date
from typing import Final
from urllib.parse import quote, unquote

from ..model import Conversation, ConversationId, Days, Recent, Search, Trash, User, UserId
from .days import Dates

BY_DATE: Final = "by-date"
BY_CONVERSATION: Final = "by-conversation"
BY_USER: Final = "by-user"
RECENT: Final = "recent"
TRASH: Final = "trash"
HIDDEN: Final = ".mediafs"
SEARCH: Final = "search"


@dataclass(frozen=True, slots=True)
class Root:
    """The mount point."""


@dataclass(frozen=True, slots=True)
class View:
    """by-date, by-conversation, by-user or search."""

    name: str


@dataclass(frozen=True, slots=True)
class Year:
    year: int

    @property
    def dates(self) -> Dates:
        return Dates(date(self.year, 1, 1), date(self.year, 12, 31))


@dataclass(frozen=True, slots=True)
class Month:
    year: int
    month: int

    @property
    def dates(self) -> Dates:
        last = calendar.monthrange(self.year, self.month)[1]
        return Dates(date(self.year, self.month, 1), date(self.year, self.month, last))


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory that holds media: those of one scope."""

    scope: Days | Conversation | User | Recent | Trash | Search


@dataclass(frozen=True, slots=True)
class Link:
    """A bare id that was looked up: a symlink to the directory with the human name."""

    scope: User | Conversation


@dataclass(frozen=True, slots=True)
class Live:
    """A file in a user's directory behind which another media may be at any time."""

    user: User
    name: str
    turn: int = 0
    """One name has as many inodes as calls were ever open under it at once."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """The directory of what the mount says about itself."""


@dataclass(frozen=True, slots=True)
class Special:
    """A file in it. One whose beginning was cut off is another file than before: `cut` tells them apart."""

    name: str
    cut: int = 0


Node = Root | View | Year | Month | Folder | Link | Live | Hidden | Special


def stored(node: Node) -> tuple[str, str]:
    """Kind and key, as the catalogue keeps them. It knows `day`, `user`, `conversation`, `view` too."""
    match node:
        case Root():
            return "root", ""
        case View(name):
            return "view", name
        case Year(year):
            return "year", f"{year:04}"
        case Month(year, month):
            return "month", f"{year:04}-{month:02}"
        case Folder(Days(first, _)):
            return "day", str(first.toordinal())
        case Folder(Conversation(id_)):
            return "conversation", id_
        case Folder(User(id_)):
            return "user", id_
        case Folder(Trash()):
            return "view", TRASH
        case Folder(Search(typed)):
            return "search", typed
        case Folder():
            return "view", RECENT
        case Live(User(id_), name, turn):
            return "live", f"{quote(id_, safe='')}/{name}" + (f"/{turn}" if turn else "")
        case Hidden():
            return "view", HIDDEN
        case Special(name, cut):
            return "special", f"{cut}/{name}"
        case Link(User(id_)):
            return "user-link", id_
        case Link(scope):
            return "conversation-link", scope.id


def loaded(kind: str, key: str) -> Node:
    match kind:
        case "view":
            known: dict[str, Node] = {RECENT: Folder(Recent()), TRASH: Folder(Trash()), HIDDEN: Hidden()}
            return known.get(key) or View(key)
        case "year":
            return Year(int(key))
        case "month":
            year, month = key.split("-")
            return Month(int(year), int(month))
        case "day":
            day = date.fromordinal(int(key))
            return Folder(Days(day, day))
        case "conversation":
            return Folder(Conversation(ConversationId(key)))
        case "user":
            return Folder(User(UserId(key)))
        case "live":
            id_, name, *turn = key.split("/")
            return Live(User(UserId(unquote(id_))), name, *map(int, turn))
        case "search":
            return Folder(Search(key))
        case "special":
            cut, name = key.split("/")
            return Special(name, int(cut))
        case "user-link":
            return Link(User(UserId(key)))
        case "conversation-link":
            return Link(Conversation(ConversationId(key)))
    return Root()


def day_folder(day: date) -> Folder:
    return Folder(Days(day, day))


def date_below(node: View | Year | Month, name: str) -> Year | Month | Folder | None:
    """The year, month or day that a name in by-date stands for, whether there is anything or not."""
    wanted = "[0-9]{4}" if isinstance(node, View) else "[0-9]{2}"
    if (isinstance(node, View) and node.name != BY_DATE) or not re.fullmatch(wanted, name):
        return None
    found: Year | Month | Folder
    number = int(name)
    try:
        match node:
            case Year(year):
                found = Month(year, number)
            case Month(year, month):
                found = day_folder(date(year, month, number))
            case _:
                found = Year(number)
        dates_of(found)
    except ValueError:  # the calendar has no such day
        return None
    return found


def dates_of(node: Year | Month | Folder) -> Dates:
    """The days that a directory of by-date spans."""
    match node:
        case Folder(Days(first, _)):
            return Dates(first, first)
        case Year() | Month():
            return node.dates
    raise ValueError(f"not a directory of by-date: {node}")
