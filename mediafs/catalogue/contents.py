"""Taking in what a service tells, and drawing the consequences: names, links, who is gone.

Invariants, true between any two calls:
- among live media, `name` is unique, and a pure function of the record and its clash level;
- `links` is 1 + (has an owner) + the number of its conversations;
- what a whole listing no longer showed is not live (or not a member) any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, tzinfo

from ..model import Change, ChangeKind, Conversation, Inode, Media, MediaId, Scope, User, UserId
from .database import Database
from .directories import Directories
from .records import dump_fields, load_media

NameOf = Callable[[Media, int], str]
FolderOf = Callable[[str, str | None], str]


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

    def put(self, media: Iterable[Media], clock: int, scope: Scope | None = None) -> list[Change]:
        """Takes in the records of one page, asked for at `clock`, listed under `scope`.

        Returns what changed. One transaction.
        """
        changes: list[Change] = []
        with self._db.transaction():
            for one in media:
                changes.extend(self._put_one(one, clock))
                if isinstance(scope, Conversation):
                    changes.extend(self._join(scope, one.id, clock))
                if one.conversation is not None:
                    changes.extend(self._join(Conversation(one.conversation), one.id, clock))
        self.edition += bool(changes)
        return changes

    def _put_one(self, media: Media, clock: int) -> list[Change]:
        old = self._db.execute(
            "SELECT inode, live, name, size, created, day, owner, fields FROM media WHERE id = ?", (media.id,)
        ).fetchone()
        owner = media.owner.id if media.owner else None
        if media.size is None and old is not None and old[1] and old[3] is not None:
            # A size that was settled by reading holds as long as the record stays what it was.
            settled = replace(media, size=old[3])
            if dump_fields(settled) == old[7] and old[4] == media.created.timestamp():
                media = settled
        if media.owner:
            self._know_person(media.owner.id, media.owner.name)
        fields, day = dump_fields(media), self._day_of(media.created)
        created = media.created.timestamp()
        if (
            old is not None
            and old[1]
            and (old[3], old[4], old[6], old[7]) == (media.size, created, owner, fields)
        ):
            self._db.execute("UPDATE media SET seen = MAX(seen, ?) WHERE inode = ?", (clock, old[0]))
            return []
        before = self._places(old[0]) if old is not None and old[1] else ()
        name, base, renamed = self._place(media)
        if old is None:
            inode = self._db.execute(
                "INSERT INTO media(id, name, base, created, day, size, owner, links, seen, fields)"
                " VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    media.id,
                    name,
                    base,
                    created,
                    day,
                    media.size,
                    owner,
                    1 + (owner is not None),
                    clock,
                    fields,
                ),
            ).lastrowid
            assert inode is not None
        else:
            inode = old[0]
            self._db.execute(
                "UPDATE media SET live = 1, name = ?, base = ?, created = ?, day = ?, size = ?, owner = ?,"
                " seen = MAX(seen, ?), fields = ?,"
                " links = 1 + (? IS NOT NULL)"
                " + (SELECT COUNT(*) FROM member WHERE member.inode = media.inode)"
                " WHERE inode = ?",
                (name, base, created, day, media.size, owner, clock, fields, owner, inode),
            )
        ino = Inode(inode)
        after = self._places(ino)
        moved = tuple(sorted(set(before) ^ set(after)))
        self._directories.touch(place for place, _ in moved)
        if old is not None and old[1]:
            was = load_media(media.id, old[4], old[3], old[7])
            change = Change(
                kind=ChangeKind.CHANGED,
                inode=ino,
                media=media.id,
                places=moved,
                content=was.validator != media.validator,
            )
        else:
            change = Change(kind=ChangeKind.ADDED, inode=ino, media=media.id, places=moved)
        return [*renamed, change]

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

    def _know_person(self, id_: UserId, name: str | None) -> None:
        row = self._db.execute("SELECT name FROM person WHERE id = ?", (id_,)).fetchone()
        if row is not None and (row[0] == name or name is None):
            return  # a record without a name does not take a known one away
        self._db.execute(
            "INSERT OR REPLACE INTO person(id, name, folder) VALUES (?, ?, ?)",
            (id_, name, self._folder_of(id_, name)),
        )
        self._directories.touch_view("by-user")

    def _join(self, scope: Conversation, id_: MediaId, clock: int) -> list[Change]:
        (inode,) = self._db.execute("SELECT inode FROM media WHERE id = ?", (id_,)).fetchone()
        known = self._db.execute(
            "UPDATE member SET seen = MAX(seen, ?) WHERE conversation = ? AND inode = ?",
            (clock, scope.id, inode),
        ).rowcount
        if known:
            return []
        first = not self._db.execute(
            "SELECT 1 FROM member WHERE conversation = ? LIMIT 1", (scope.id,)
        ).fetchone()
        self._db.execute("INSERT INTO member VALUES (?, ?, ?)", (scope.id, inode, clock))
        self._db.execute("UPDATE media SET links = links + 1 WHERE inode = ?", (inode,))
        if first:
            self._directories.touch_view("by-conversation")
        return self._moved_in("conversation", scope.id, inode, id_, ChangeKind.ADDED)

    def _moved_in(self, kind: str, key: str, inode: int, id_: MediaId, change: ChangeKind) -> list[Change]:
        folder = self._directories.known(kind, key)
        (name,) = self._db.execute("SELECT name FROM media WHERE inode = ?", (inode,)).fetchone()
        places = ((folder, name),) if folder is not None else ()
        self._directories.touch(place for place, _ in places)
        kind_ = change if change is not ChangeKind.REMOVED else ChangeKind.CHANGED
        return [Change(kind=kind_, inode=Inode(inode), media=id_, places=places)]

    def cover_days(self, first: int, last: int, clock: int, now: float) -> list[Change]:
        """A crawl begun at `clock` has read the days `first` to `last` whole.

        What it did not show is gone.
        """
        with self._db.transaction():
            gone = self._db.execute(
                "SELECT inode, id FROM media WHERE live AND day BETWEEN ? AND ? AND seen < ?",
                (first, last, clock),
            ).fetchall()
            changes = [self._remove(inode, id_) for inode, id_ in gone]
            self.edition += bool(changes)
            self._db.executemany(
                "INSERT OR REPLACE INTO day VALUES (?, ?)", ((day, now) for day in range(first, last + 1))
            )
        return changes

    def cover_newest(self, since: float, clock: int) -> list[Change]:
        """A listing asked at `clock` showed all media created after `since`: what it did not show is gone."""
        with self._db.transaction():
            gone = self._db.execute(
                "SELECT inode, id FROM media WHERE live AND created > ? AND seen < ?", (since, clock)
            ).fetchall()
            self.edition += bool(gone)
            return [self._remove(inode, id_) for inode, id_ in gone]

    def cover_conversation(self, scope: Conversation, clock: int) -> tuple[list[Change], list[MediaId]]:
        """A crawl begun at `clock` has read the conversation whole. Returns changes and who has left it.

        Who left a conversation need not be gone from the service.
        """
        changes: list[Change] = []
        with self._db.transaction():
            left = self._db.execute(
                "SELECT member.inode, media.id FROM member JOIN media USING (inode)"
                " WHERE conversation = ? AND member.seen < ?",
                (scope.id, clock),
            ).fetchall()
            for inode, id_ in left:
                changes += self._moved_in("conversation", scope.id, inode, id_, ChangeKind.REMOVED)
                self._db.execute("DELETE FROM member WHERE conversation = ? AND inode = ?", (scope.id, inode))
                self._db.execute("UPDATE media SET links = links - 1 WHERE inode = ?", (inode,))
        self.edition += bool(left)
        return changes, [MediaId(id_) for _, id_ in left]

    def absent_from_user(self, scope: User, clock: int) -> list[MediaId]:
        """Live media of a user that a crawl begun at `clock` did not show."""
        rows = self._db.execute(
            "SELECT id FROM media WHERE live AND owner = ? AND seen < ?", (scope.id, clock)
        )
        return [MediaId(id_) for (id_,) in rows]

    def settle(self, inode: Inode, size: int) -> None:
        """The true size, in bytes, of a media whose record does not tell it."""
        self._db.execute("UPDATE media SET size = ? WHERE inode = ? AND size IS NULL", (size, inode))

    def remove(self, id_: MediaId) -> list[Change]:
        """The service says that this media is gone."""
        row = self._db.execute("SELECT inode FROM media WHERE live AND id = ?", (id_,)).fetchone()
        if row is None:
            return []
        self.edition += 1
        with self._db.transaction():
            return [self._remove(row[0], id_)]

    def _remove(self, inode: int, id_: str) -> Change:
        places = self._places(inode)
        self._directories.touch(place for place, _ in places)
        self._db.execute("DELETE FROM member WHERE inode = ?", (inode,))
        self._db.execute(
            "UPDATE media SET live = 0, name = '', base = '', owner = NULL, links = 0, fields = '{}'"
            " WHERE inode = ?",
            (inode,),
        )
        return Change(kind=ChangeKind.REMOVED, inode=Inode(inode), media=MediaId(id_), places=places)

    def _places(self, inode: int) -> tuple[tuple[Inode, str], ...]:
        """The directories that were ever looked at in which a media has its name now."""
        name, day, owner = self._db.execute(
            "SELECT name, day, owner FROM media WHERE inode = ?", (inode,)
        ).fetchone()
        keys = [("day", str(day)), ("view", "recent")]
        if owner is not None:
            keys.append(("user", owner))
        of = self._db.execute("SELECT conversation FROM member WHERE inode = ?", (inode,))
        keys += [("conversation", conversation) for (conversation,) in of]
        known = (self._directories.known(kind, key) for kind, key in keys)
        return tuple((folder, name) for folder in known if folder is not None)

    def _day_of(self, moment: datetime) -> int:
        return moment.astimezone(self._zone).date().toordinal()
