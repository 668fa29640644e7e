"""Taking in what a service tells, and drawing the consequences: names, links, who is gone.

Invariants, true between any two calls:
- among live media, `name` is unique, and a pure function of the record and its clash level;
- `links` is the number of names a media has: by-date, by-user, and one for each conversation;
- what a whole listing no longer showed is not live (or not in that scope) any more;
- what is gone does not come back by a page that was asked for before it was found to be gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import tzinfo
from typing import Final, NamedTuple

from ..model import Change, ChangeKind, Conversation, Inode, Media, MediaId, Owner, User
from .database import Database
from .directories import Directories
from .records import dump_fields, load_media

NameOf = Callable[[Media, int], str]
FolderOf = Callable[[str, str | None], str]


class _Row(NamedTuple):
    """A media as it is kept."""

    inode: Inode
    live: int
    dated: int
    seen: int
    created: float
    size: int | None
    owner: str | None
    fields: str

    def is_already(self, media: Media, fields: str, dated: bool) -> bool:
        """Whether there is nothing to change."""
        owner = media.owner.id if media.owner else None
        known = (self.created, self.size, self.owner, self.fields)
        same = known == (media.created.timestamp(), media.size, owner, fields)
        return bool(self.live) and same and bool(self.dated or not dated)


_ROW: Final = "inode, live, dated, seen, created, size, owner, fields"


class Contents:
    """The only writer of media, members and people. Every method is one transaction."""

    def __init__(
        self,
        database: Database,
        directories: Directories,
        *,
        zone: tzinfo,
        name_of: NameOf,
        folder_of: FolderOf,
    ) -> None:
        self._db = database
        self._directories = directories
        self._zone = zone
        self._name_of = name_of
        self._folder_of = folder_of
        self.edition = 0
        """Grows with everything that changes what a listing shows."""

    # --- taking in -----------------------------------------------------------------------------------

    def put(
        self,
        media: Iterable[Media],
        clock: int,
        *,
        dated: bool = True,
        conversation: Conversation | None = None,
    ) -> list[Change]:
        """Takes in the records of one page, asked for at `clock`. Returns what changed.

        `dated`: they are among what the account's own listing shows, and so in by-date. Not so what
        only a listing of somebody else's media, or of a conversation with others, has shown.
        """
        changes: list[Change] = []
        with self._db.transaction():
            for one in media:
                changes += self._put_one(one, clock, dated)
                scopes = [conversation] if conversation else []
                scopes += [Conversation(one.conversation)] if one.conversation is not None else []
                for scope in scopes:
                    changes += self._join(scope, one.id, clock)
        self.edition += bool(changes)
        return changes

    def _put_one(self, media: Media, clock: int, dated: bool) -> list[Change]:
        found = self._db.execute(f"SELECT {_ROW} FROM media WHERE id = ?", (media.id,)).fetchone()
        old = _Row(*found) if found else None
        if old is not None and clock < old.seen + (not old.live):
            if not old.live or old.dated or not dated:
                return []
            # Newer words about it are known; that the account's own listing shows it is news all the same.
            media = load_media(media.id, old.created, old.size, old.fields)
        if old is not None and media.size is None:
            media = _settled(media, old)
        changes = self._know_person(media.owner, media) if media.owner else []
        fields = dump_fields(media)
        if old is not None and old.is_already(media, fields, dated):
            self._db.execute("UPDATE media SET seen = MAX(seen, ?) WHERE inode = ?", (clock, old.inode))
            return changes
        name, base, renamed = self._place(media)
        changes += renamed
        before = self._places(old.inode) if old is not None and old.live else ()
        values = {
            "id": media.id,
            "dated": dated,
            "name": name,
            "base": base,
            "created": media.created.timestamp(),
            "day": media.created.astimezone(self._zone).date().toordinal(),
            "size": media.size,
            "owner": media.owner.id if media.owner else None,
            "seen": clock,
            "fields": fields,
        }
        inode = self._insert(values) if old is None else self._update(old.inode, values)
        return [*changes, self._difference(old, inode, media, before)]

    def _insert(self, values: dict[str, object]) -> Inode:
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        inode = self._db.execute(f"INSERT INTO media({names}) VALUES ({marks})", values).lastrowid
        assert inode is not None
        self._count_links(Inode(inode))
        return Inode(inode)

    def _update(self, inode: Inode, values: dict[str, object]) -> Inode:
        self._db.execute(
            "UPDATE media SET live = 1, dated = MAX(dated, :dated), name = :name, base = :base,"
            " created = :created, day = :day, size = :size, owner = :owner, seen = MAX(seen, :seen),"
            " fields = :fields WHERE inode = :inode",
            {**values, "inode": inode},
        )
        self._count_links(inode)
        return inode

    def _difference(
        self, old: _Row | None, inode: Inode, media: Media, before: tuple[tuple[Inode, str], ...]
    ) -> Change:
        places = tuple(sorted(set(before) ^ set(self._places(inode))))
        self._directories.touch(place for place, _ in places)
        if old is None or not old.live:
            return Change(kind=ChangeKind.ADDED, inode=inode, media=media.id, places=places)
        was = load_media(media.id, old.created, old.size, old.fields)
        content = was.validator != media.validator
        return Change(kind=ChangeKind.CHANGED, inode=inode, media=media.id, places=places, content=content)

    def _know_person(self, owner: Owner, media: Media) -> list[Change]:
        """The newest record that has a name gives a user his."""
        row = self._db.execute("SELECT name, folder, named FROM person WHERE id = ?", (owner.id,)).fetchone()
        created = media.created.timestamp()
        if row is not None and (owner.name is None or row[0] == owner.name or created < row[2]):
            return []
        folder = self._folder_of(owner.id, owner.name)
        self._db.execute(
            "INSERT OR REPLACE INTO person VALUES (?, ?, ?, ?)", (owner.id, owner.name, folder, created)
        )
        index = self._directories.known("view", "by-user")
        if index is None:
            return []
        self._directories.touch([index])
        names = [folder] if row is None else [row[1], folder]
        places = tuple((index, name) for name in names)
        return [Change(kind=ChangeKind.CHANGED, inode=index, media=media.id, places=places)]

    def _join(self, scope: Conversation, id_: MediaId, clock: int) -> list[Change]:
        (inode, live) = self._db.execute("SELECT inode, live FROM media WHERE id = ?", (id_,)).fetchone()
        known = self._db.execute(
            "UPDATE member SET seen = MAX(seen, ?) WHERE conversation = ? AND inode = ?",
            (clock, scope.id, inode),
        ).rowcount
        if known or not live:
            return []
        if not self._db.execute(
            "SELECT 1 FROM member WHERE conversation = ? LIMIT 1", (scope.id,)
        ).fetchone():
            self._directories.touch_view("by-conversation")
        self._db.execute("INSERT INTO member VALUES (?, ?, ?)", (scope.id, inode, clock))
        return [self._place_changed("conversation", scope.id, Inode(inode), id_)]

    def settle(self, inode: Inode, size: int) -> None:
        """The true size, in bytes, of a media whose record does not tell it."""
        self._db.execute("UPDATE media SET size = ? WHERE inode = ? AND size IS NULL", (size, inode))
        self.edition += 1

    # --- names ---------------------------------------------------------------------------------------

    def _place(self, media: Media) -> tuple[str, str, list[Change]]:
        """The name of a media and what else had to be renamed: all that meet give way alike.

        If the first to come kept its plain name, names would depend on the order of arrival.
        """
        renamed: list[Change] = []
        base = self._name_of(media, 0)
        level = self._clash_level(base)
        while True:
            name = self._name_of(media, level)
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

    def _rename_all(self, base: str, level: int, besides: MediaId) -> list[Change]:
        changes = []
        for inode, id_, created, size, fields in self._db.execute(
            "SELECT inode, id, created, size, fields FROM media WHERE live AND base = ? AND id != ?",
            (base, besides),
        ).fetchall():
            before = self._places(inode)
            name = self._name_of(load_media(id_, created, size, fields), level)
            self._db.execute("UPDATE media SET name = ? WHERE inode = ?", (name, inode))
            places = (*before, *self._places(inode))
            changes.append(Change(kind=ChangeKind.CHANGED, inode=Inode(inode), media=id_, places=places))
        return changes

    # --- what a whole listing proves -----------------------------------------------------------------

    def cover_days(self, first: int, last: int, clock: int, listed: float) -> list[Change]:
        """A crawl begun at `clock` has read the days `first` to `last` whole.

        What it did not show is gone. `listed` is the age the listing shall have.
        """
        with self._db.transaction():
            changes = self._remove_unseen("dated AND day BETWEEN ? AND ?", (first, last), clock)
            self._db.executemany(
                "INSERT OR REPLACE INTO day VALUES (?, ?)", ((day, listed) for day in range(first, last + 1))
            )
        return changes

    def cover_newest(self, since: float, clock: int) -> list[Change]:
        """A listing asked at `clock` showed all media created after `since`; others are gone."""
        with self._db.transaction():
            return self._remove_unseen("dated AND created > ?", (since,), clock)

    def leave_conversation(self, scope: Conversation, clock: int) -> tuple[list[Change], list[Media]]:
        """A crawl begun at `clock` has read the conversation whole. Returns changes, and who left it.

        Who left a conversation need not be gone from the service.
        """
        with self._db.transaction():
            left = self._loaded(
                "JOIN member USING (inode) WHERE conversation = ? AND member.seen < ?", (scope.id, clock)
            )
            for inode, _ in left:
                self._db.execute("DELETE FROM member WHERE conversation = ? AND inode = ?", (scope.id, inode))
            changes = [self._place_changed("conversation", scope.id, i, media.id) for i, media in left]
        return changes, [media for _, media in left]

    def leave_user(self, scope: User, clock: int) -> tuple[list[Change], list[Media]]:
        """As `leave_conversation`; the next record that names the user as owner undoes it."""
        with self._db.transaction():
            left = self._loaded("WHERE live AND owner = ? AND media.seen < ?", (scope.id, clock))
            for inode, _ in left:
                self._db.execute("UPDATE media SET owner = NULL WHERE inode = ?", (inode,))
            changes = [self._place_changed("user", scope.id, inode, media.id) for inode, media in left]
        return changes, [media for _, media in left]

    def _loaded(self, where: str, values: tuple[object, ...]) -> list[tuple[Inode, Media]]:
        rows = self._db.execute(f"SELECT inode, id, created, size, fields FROM media {where}", values)
        return [(Inode(inode), load_media(*rest)) for inode, *rest in rows.fetchall()]

    def remove(self, id_: MediaId) -> list[Change]:
        """The service says that this media is gone."""
        with self._db.transaction():
            row = self._db.execute("SELECT inode FROM media WHERE live AND id = ?", (id_,)).fetchone()
            return [] if row is None else [self._remove(row[0], id_)]

    def _remove_unseen(self, where: str, values: tuple[object, ...], clock: int) -> list[Change]:
        gone = self._db.execute(
            f"SELECT inode, id FROM media WHERE live AND seen < ? AND {where}", (clock, *values)
        ).fetchall()
        return [self._remove(inode, id_) for inode, id_ in gone]

    def _remove(self, inode: int, id_: str) -> Change:
        places = self._places(inode)
        self._directories.touch(place for place, _ in places)
        base, owner, fields = self._db.execute(
            "SELECT base, owner, fields FROM media WHERE inode = ?", (inode,)
        ).fetchone()
        self._db.execute("DELETE FROM member WHERE inode = ?", (inode,))
        self._db.execute(
            "UPDATE media SET live = 0, dated = 0, name = '', base = '', owner = NULL, links = 0,"
            " created = 0, day = 0, size = NULL, fields = '{}', seen = ? WHERE inode = ?",
            (self._db.clock(), inode),
        )
        # Names of people and of media are personal data: they go with the last media that has them. Of a
        # media that left its user's listing, only the record still tells the owner.
        for person in {owner, *(json.loads(fields).get("owner") or ())[:1]} - {None}:
            self._db.execute(
                "DELETE FROM person WHERE id = ?"
                " AND NOT EXISTS (SELECT 1 FROM media WHERE live AND owner = person.id)",
                (person,),
            )
        self._db.execute(
            "DELETE FROM clash WHERE base = ?"
            " AND NOT EXISTS (SELECT 1 FROM media WHERE live AND media.base = clash.base)",
            (base,),
        )
        self.edition += 1
        return Change(kind=ChangeKind.REMOVED, inode=Inode(inode), media=MediaId(id_), places=places)

    # --- places --------------------------------------------------------------------------------------

    def _place_changed(self, kind: str, key: str, inode: Inode, id_: MediaId) -> Change:
        """A media came into a directory, or left it, and lives on."""
        self._count_links(inode)
        self.edition += 1
        (name,) = self._db.execute("SELECT name FROM media WHERE inode = ?", (inode,)).fetchone()
        folder = self._directories.known(kind, key)
        places = ((folder, name),) if folder is not None else ()
        self._directories.touch(place for place, _ in places)
        return Change(kind=ChangeKind.CHANGED, inode=inode, media=id_, places=places)

    def _count_links(self, inode: Inode) -> None:
        self._db.execute(
            "UPDATE media SET links = dated + (owner IS NOT NULL)"
            " + (SELECT COUNT(*) FROM member WHERE member.inode = media.inode) WHERE inode = ?",
            (inode,),
        )

    def _places(self, inode: int) -> tuple[tuple[Inode, str], ...]:
        """The directories that were ever looked at in which a media has its name now."""
        name, dated, day, owner = self._db.execute(
            "SELECT name, dated, day, owner FROM media WHERE inode = ?", (inode,)
        ).fetchone()
        keys = [("day", str(day)), ("view", "recent")] if dated else []
        keys += [("user", owner)] if owner is not None else []
        of = self._db.execute("SELECT conversation FROM member WHERE inode = ?", (inode,))
        keys += [("conversation", conversation) for (conversation,) in of]
        known = (self._directories.known(kind, key) for kind, key in keys)
        return tuple((folder, name) for folder in known if folder is not None)


def _settled(media: Media, old: _Row) -> Media:
    """A size that was settled by reading holds as long as the record stays what it was."""
    settled = replace(media, size=old.size)
    same = old.live and dump_fields(settled) == old.fields and old.created == media.created.timestamp()
    return settled if same else media
