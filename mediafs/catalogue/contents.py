"""Taking in what a service tells, and drawing the consequences: names, links, who is gone.

Invariants, true between any two calls:
- among live media, `name` is unique, and a pure function of the record and its clash level;
- `links` is the number of names a media has: by-date, by-user, and one for each conversation;
- what a whole listing no longer showed is not live (or not in that scope) any more;
- what is gone does not come back by a page that was asked for before it was found to be gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import tzinfo

from ..model import Aspect, Change, ChangeKind, Conversation, Edits, Inode, Media, MediaId, User
from .database import Database
from .directories import Directories
from .filenames import FileNames, NameOf
from .humans import FolderOf, Humans, Named
from .records import aspect_of, dump_fields, load_media, with_kept, with_settled
from .rows import OUTSIDE, ROW, Row, trashed_of


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
        self._names = FileNames(database, name_of)
        self._humans = Humans(database, directories, folder_of)
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
        trashed: bool | None = None,
    ) -> list[Change]:
        """Takes in the records of one page, asked for at `clock`. Returns what changed.

        `dated`: they are among what the account's own listing shows, and so in by-date. Not so what
        only a listing of somebody else's media, or of a conversation with others, has shown.
        `trashed`: they are in the vendor's trash, or are not; None: the page does not tell.
        """
        changes: list[Change] = []
        with self._db.transaction():
            for one in media:
                changes += self._put_one(one, clock, dated, trashed)
                scopes = [conversation] if conversation else []
                scopes += [Conversation(one.conversation)] if one.conversation is not None else []
                for scope in scopes:
                    changes += self._join(scope, one.id, clock)
        self.edition += bool(changes)
        return changes

    def _put_one(self, media: Media, clock: int, dated: bool, trashed: bool | None) -> list[Change]:
        found = self._db.execute(f"SELECT {ROW} FROM media WHERE id = ?", (media.id,)).fetchone()
        old = Row(*found) if found else None
        if old is not None and clock < old.seen + (not old.live):
            if not old.live or old.dated or old.trashed or not dated:
                return []
            # Newer words about it are known; that the account's own listing shows it is news all the same.
            media = load_media(media.id, old.created, old.size, old.fields)
        if old is not None and old.live and media.size is None:
            media = with_settled(media, old.size, old.created, old.fields)
        if old is not None:
            media = with_kept(media, old.kept)
        changes = self._know_humans(media)
        fields = dump_fields(media)
        if old is not None and old.is_already(media, fields, dated, trashed):
            self._db.execute("UPDATE media SET seen = MAX(seen, ?) WHERE inode = ?", (clock, old.inode))
            return changes
        name, base, renamed = self._names.place(media)
        changes += [self._renamed(*one) for one in renamed]
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
            "trashed": trashed_of(old, trashed),
        }
        inode = self._insert(values) if old is None else self._update(old.inode, values)
        return [*changes, self._difference(old, inode, media, values, before)]

    def _renamed(self, inode: Inode, media: MediaId, before: str) -> Change:
        now = self._places(inode)
        places = (*((folder, before) for folder, _ in now), *now)
        return Change(
            kind=ChangeKind.CHANGED,
            inode=inode,
            media=media,
            places=places,
            aspect=Aspect.RENAMED,
            was=before,
        )

    def _insert(self, values: dict[str, object]) -> Inode:
        # Nothing has listed it in a conversation yet: its links are counted without a look.
        inode = self._db.execute(
            "INSERT INTO media(id, dated, name, base, created, day, size, owner, seen, fields, trashed,"
            " links)"
            " VALUES (:id, :dated, :name, :base, :created, :day, :size, :owner, :seen, :fields, :trashed,"
            " CASE WHEN :trashed THEN 1 ELSE :dated + (:owner IS NOT NULL) END)",
            values,
        ).lastrowid
        assert inode is not None
        return Inode(inode)

    def _update(self, inode: Inode, values: dict[str, object]) -> Inode:
        self._db.execute(
            "UPDATE media SET live = 1, dated = MAX(dated, :dated) AND NOT :trashed, trashed = :trashed,"
            " name = :name, base = :base, created = :created, day = :day, size = :size, owner = :owner,"
            " seen = MAX(seen, :seen), fields = :fields WHERE inode = :inode",
            {**values, "inode": inode},
        )
        self._count_links(inode)
        return inode

    def _difference(
        self,
        old: Row | None,
        inode: Inode,
        media: Media,
        values: dict[str, object],
        before: tuple[tuple[Inode, str], ...],
    ) -> Change:
        if old is None:  # nothing has listed it in a conversation yet
            kept = ("name", "dated", "day", "owner", "trashed")
            now = self._places_of(*map(values.__getitem__, kept))  # type: ignore[arg-type]
        else:
            now = self._places(inode)
        places = tuple(sorted(set(before) ^ set(now)))
        self._directories.touch(place for place, _ in places)
        if old is None or not old.live:
            return Change(kind=ChangeKind.ADDED, inode=inode, media=media.id, places=places)
        was = load_media(media.id, old.created, old.size, old.fields)
        renamed = old.name != values["name"]
        aspect = aspect_of((was, old.trashed), (media, values["trashed"]), renamed=renamed)
        return Change(
            kind=ChangeKind.CHANGED,
            inode=inode,
            media=media.id,
            places=places,
            content=aspect is Aspect.CONTENT,
            aspect=aspect,
            was=old.name if renamed else None,
        )

    def _know_humans(self, media: Media) -> list[Change]:
        changes: list[Change] = []
        created = media.created.timestamp()
        if media.owner:
            changes += self._humans.know(Named.PERSON, media.owner.id, media.owner.name, created, media.id)
        if media.conversation is not None and media.conversation_name:
            name = media.conversation_name
            changes += self._humans.know(Named.CONVERSATION, media.conversation, name, created, media.id)
        return changes

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

    def trash(self, id_: MediaId) -> list[Change]:
        """The media was put into the vendor's trash. Pages that were asked for before say nothing about it
        any more."""
        with self._db.transaction():
            row = self._db.execute(f"SELECT {ROW} FROM media WHERE live AND id = ?", (id_,)).fetchone()
            if row is None:
                return []
            old = Row(*row)
            inode = old.inode
            before = self._places(inode)
            self._db.execute(
                "UPDATE media SET trashed = ?, dated = 0, seen = ? WHERE inode = ?",
                (trashed_of(old, True), self._db.tick(), inode),
            )
            self._count_links(inode)
            places = tuple(sorted(set(before) ^ set(self._places(inode))))
            self._directories.touch(place for place, _ in places)
        self.edition += 1
        trashed = Aspect.TRASHED
        return [Change(kind=ChangeKind.CHANGED, inode=inode, media=id_, places=places, aspect=trashed)]

    def recover(self, media: Media) -> list[Change]:
        """The media was taken out of the vendor's trash: it is where it was before, and pages that were
        asked for earlier say nothing about it any more."""
        with self._db.transaction():
            row = self._db.execute("SELECT trashed FROM media WHERE live AND id = ?", (media.id,)).fetchone()
            if row is None:
                return []
            return self.put([media], self._db.tick(), dated=row[0] != OUTSIDE, trashed=False)

    def keep(self, inode: Inode, edits: Edits) -> list[Change]:
        """Remembers what was written to fields that no record shows. Returns what changed."""
        with self._db.transaction():
            row = self._db.execute(
                "SELECT id, created, size, fields, kept FROM media WHERE live AND inode = ?", (inode,)
            ).fetchone()
            if row is None:
                return []
            kept = {**json.loads(row[4]), **edits}
            text = json.dumps({name: value for name, value in kept.items() if value is not None})
            self._db.execute("UPDATE media SET kept = ? WHERE inode = ?", (text, inode))
            media = replace(load_media(*row[:4]), **edits)  # type: ignore[arg-type]  # text fields only
            changes = self._put_one(media, self._db.clock(), dated=False, trashed=None)
        self.edition += bool(changes)
        return changes

    def settle(self, inode: Inode, size: int) -> None:
        """The true size, in bytes, of a media whose record does not tell it."""
        self._db.execute("UPDATE media SET size = ? WHERE inode = ? AND size IS NULL", (size, inode))
        self.edition += 1

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

    def cover_trash(self, clock: int) -> list[Change]:
        """A listing begun at `clock` has read the trash whole: what it did not show is not in it."""
        with self._db.transaction():
            return self._remove_unseen("trashed", (), clock)

    def leave_conversation(self, scope: Conversation, clock: int) -> tuple[list[Change], list[Media]]:
        """A crawl begun at `clock` has read the conversation whole. Returns changes, and who left it.

        Who left a conversation need not be gone from the service.
        """
        with self._db.transaction():
            left = self._loaded(
                "JOIN member USING (inode) WHERE NOT trashed AND conversation = ? AND member.seen < ?",
                (scope.id, clock),
            )
            for inode, _ in left:
                self._db.execute("DELETE FROM member WHERE conversation = ? AND inode = ?", (scope.id, inode))
            changes = [self._place_changed("conversation", scope.id, i, media.id) for i, media in left]
        return changes, [media for _, media in left]

    def leave_user(self, scope: User, clock: int) -> tuple[list[Change], list[Media]]:
        """As `leave_conversation`; the next record that names the user as owner undoes it."""
        with self._db.transaction():
            left = self._loaded(
                "WHERE live AND NOT trashed AND owner = ? AND media.seen < ?", (scope.id, clock)
            )
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
        conversations = self._conversations_of(inode)
        self._db.execute("DELETE FROM member WHERE inode = ?", (inode,))
        self._db.execute(
            "UPDATE media SET live = 0, dated = 0, trashed = 0, name = '', base = '', owner = NULL,"
            " links = 0, created = 0, day = 0, size = NULL, fields = '{}', kept = '{}', seen = ?"
            " WHERE inode = ?",
            (self._db.clock(), inode),
        )
        # Of a media that left its user's listing, only the record still tells the owner.
        for person in {owner, *(json.loads(fields).get("owner") or ())[:1]} - {None}:
            self._humans.forget_unused(Named.PERSON, person)
        for conversation in conversations:
            self._humans.forget_unused(Named.CONVERSATION, conversation)
        self._names.forget_unused(base)
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
            "UPDATE media SET links = CASE WHEN trashed THEN 1 ELSE dated + (owner IS NOT NULL)"
            " + (SELECT COUNT(*) FROM member WHERE member.inode = media.inode) END WHERE inode = ?",
            (inode,),
        )

    def _places(self, inode: int) -> tuple[tuple[Inode, str], ...]:
        """The directories that were ever looked at in which a media has its name now."""
        name, dated, day, owner, trashed = self._db.execute(
            "SELECT name, dated, day, owner, trashed FROM media WHERE inode = ?", (inode,)
        ).fetchone()
        return self._places_of(name, dated, day, owner, trashed, self._conversations_of(inode))

    def _places_of(
        self,
        name: str,
        dated: object,
        day: object,
        owner: str | None,
        trashed: object,
        conversations: Sequence[str] = (),
    ) -> tuple[tuple[Inode, str], ...]:
        if trashed:
            keys = [("view", "trash")]
        else:
            keys = [("day", str(day)), ("view", "recent")] if dated else []
            keys += [("user", owner)] if owner is not None else []
            keys += [("conversation", conversation) for conversation in conversations]
        known = (self._directories.known(kind, key) for kind, key in keys)
        return tuple((folder, name) for folder in known if folder is not None)

    def _conversations_of(self, inode: int) -> list[str]:
        of = self._db.execute("SELECT conversation FROM member WHERE inode = ?", (inode,))
        return [conversation for (conversation,) in of]
