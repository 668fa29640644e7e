"""What the mount looks like: here and only here. Knows nothing of FUSE.

Every answer comes from the catalogue; what it does not hold yet, or not freshly enough, is asked
of `Listings` first. Attributes and extended attributes never cost a request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

from ..catalogue import Catalogue, Stat
from ..errors import Forbidden, NotFound
from ..model import (
    Change,
    Inode,
    Media,
    Requester,
    Search,
    Traits,
    Trash,
    User,
    Version,
)
from ..reading import Reading
from .ahead import Ahead
from .changing import Changing
from .directory import Directory, MediaDirectory
from .finding import Finding, is_text
from .folders import Folders
from .kept import Kept, settle
from .live import LiveFile, LiveNames
from .nodes import (
    BY_CONVERSATION,
    BY_DATE,
    BY_USER,
    Folder,
    Hidden,
    Link,
    Live,
    Month,
    Node,
    Root,
    Special,
    View,
    Year,
    date_below,
    loaded,
)
from .opened import OpenFile
from .options import TreeOptions
from .paged import Paged
from .said import Said
from .seams import Deletions, Editing, Ids, Listings
from .shapes import Shapes
from .special import SpecialFile, SpecialFiles
from .values import ROOT, Absent, Attributes, Kind, Space

_NODES: Final = 10_000
"""Inodes of directories whose meaning is remembered: a lookup needs that of the one it is made in."""


class Tree:
    def __init__(
        self,
        catalogue: Catalogue,
        listings: Listings,
        reading: Reading,
        ids: Ids,
        deletions: Deletions,
        editing: Editing,
        traits: Traits,
        options: TreeOptions,
        *,
        wall_clock: Callable[[], float],
        room: Callable[[], int],
        emit: Callable[[Sequence[Change]], None],
        status: Callable[[], str] | None = None,
    ) -> None:
        """`status` is what status.json holds."""
        self._catalogue = catalogue
        self._listings = listings
        self._reading = reading
        self._ids = ids
        self._traits = traits
        self._options = options
        self._room = room
        self._views = [BY_DATE]
        if traits.conversations:
            self._views.append(BY_CONVERSATION)
        if traits.users:
            self._views.append(BY_USER)
        self._shapes = Shapes(catalogue, options)
        self._folders = Folders(catalogue, listings, self._shapes, self._views, options, wall_clock)
        self._changing = Changing(
            catalogue, listings, deletions, editing, options, dates=self._folders.dates, emit=emit
        )
        self._said = Said(catalogue, listings, self._folders.dates, options, reading.cached, self._views)
        self._live = LiveNames(catalogue, reading, ids)
        self._special = SpecialFiles(catalogue, status, wall_clock)
        self._finding = Finding(
            catalogue,
            listings,
            ids,
            options,
            self._views,
            self._shapes,
            self._folders,
            self._live,
            self._special,
            was_emptied=self._changing.was_emptied,
        )
        self._nodes: dict[Inode, Node] = {}
        """What inodes stand for. They stand for nothing else ever, but for nothing once they are removed."""
        self._forget_nodes()
        self._paged = Paged(reading)
        self._ahead = Ahead(catalogue, reading, options.account, self._paged)
        self.kept = Kept(catalogue, reading, options.account, self._paged)

    # --- names -------------------------------------------------------------------------------------

    def known(self, parent: Inode, name: str) -> Attributes | None:
        """A media that is known to be in a directory; None: `lookup` tells. Never a request.

        Raises NotFound where there is no such directory.
        """
        node = self._node(parent)
        return self._finding.known(node, name) if isinstance(node, Folder) else None

    async def lookup(self, parent: Inode, name: str) -> Attributes | Absent:
        """What `name` is in a directory. Lists only a scope that was never listed whole.

        Raises NotFound where there is no such directory, and what listing raises.
        """
        return await self._finding.lookup(self._node(parent), name)

    # --- attributes --------------------------------------------------------------------------------

    def attributes(self, inode: Inode) -> Attributes:
        """Raises NotFound."""
        if (stat := self._catalogue.views.stat(inode)) is not None:
            return self._shapes.file(stat)
        match node := self._node(inode):
            case Link():
                return self._shapes.link(node)
            case Live():
                return self._live.attributes(node)
            case Special():
                return self._special.attributes(node)
        return self._shapes.folder(node)

    def link_target(self, inode: Inode) -> str:
        """Raises NotFound."""
        match self._node(inode):
            case Link(scope) if (folder := self._catalogue.views.human_folder(scope)) is not None:
                return folder
        raise NotFound("this link leads nowhere any more")

    def space(self) -> Space:
        """Never the network: what is known, and the room that the cache has."""
        files, used = self._catalogue.views.totals()
        return Space(used=used, free=max(self._room(), 1 << 20), files=files)

    def _node(self, inode: Inode) -> Node:
        node = self._nodes.get(inode)
        if node is None:
            row = self._catalogue.directories.by_inode(inode)
            if row is None:
                raise NotFound(f"inode {inode} is gone")
            if len(self._nodes) >= _NODES:
                self._forget_nodes()
            node = self._nodes[inode] = loaded(row[0], row[1])
        return node

    def _forget_nodes(self) -> None:
        self._nodes = {ROOT: Root()}

    # --- directories -------------------------------------------------------------------------------

    async def open_directory(self, inode: Inode) -> Directory | MediaDirectory:
        """Lists or refreshes what the directory shows. Raises NotFound, and why listing failed."""
        node = self._node(inode)
        match node:
            case Folder(scope):
                if isinstance(scope, Search) and not self._traits.searches:
                    await self._know_something()
                await self._listings.ensure(scope)
                live = self._live.of(scope) if isinstance(scope, User) and self._lists_live(scope) else []
                views = self._catalogue.views

                def take() -> list[Stat]:
                    media = views.children(scope)
                    if not isinstance(scope, Trash):
                        self._ahead.shown(inode, media)
                    return media

                return MediaDirectory(
                    take,
                    lambda inodes: views.again(inodes, scope),
                    lambda: self._catalogue.contents.edition,
                    self._shapes.found if isinstance(scope, Search) else self._shapes.file,
                    live,
                )
            case View("by-date") if self._options.since is None:
                await self._listings.look_for_the_oldest()
            case View("by-conversation") if self._is_empty_index:
                await self._listings.look_for_the_oldest()
            case View("by-user") if not self._catalogue.views.people():
                # Nothing has been looked at yet: an empty index would be taken for an empty account.
                await self._listings.look_for_the_oldest()
        return Directory(lambda: list(self._folders.below(node)))

    async def _know_something(self) -> None:
        """Where nothing has been looked at yet, finding nothing would be taken for an empty account."""
        if self._catalogue.views.day_range() is None:
            await self._listings.look_for_the_oldest()

    def _lists_live(self, user: User) -> bool:
        """Where all calls are listed, a copy is not to take along what is no call of its own."""
        return user.id in self._options.users and not self._traits.enumerable

    @property
    def _is_empty_index(self) -> bool:
        """No conversation is known, although records would tell."""
        return self._traits.records_tell_conversation and not self._listings.conversation_ids()

    async def refresh(self, path: str) -> str:
        """Lists again what lies at `path`, relative to the mount; returns what was done, in words.

        A range of days is listed again when it is next looked at: listing it now could cost the
        service's budget of an hour. Raises NotFound, and why listing failed.
        """
        inode = ROOT
        for part in filter(lambda part: part not in ("", "."), path.split("/")):
            found = await self.lookup(inode, part)
            if isinstance(found, Absent):
                raise NotFound(f"{path}: there is no such file or folder")
            if found.kind is Kind.FILE:
                break  # a media is refreshed with its folder
            inode = found.inode
            if found.kind is Kind.SYMLINK:
                link = self._node(inode)
                if isinstance(link, Link):
                    inode = self._shapes.folder(Folder(link.scope)).inode
        node = self._node(inode)
        match node:
            case Folder(scope):
                await self._listings.refresh(scope)
                count = len(self._catalogue.views.children(scope))
                return f"{path}: listed again, {count} media"
            case Year() | Month():
                self._listings.expire(node.dates.first, node.dates.last)
            case Hidden() | Special():
                return f"{path}: always as it is now"
            case View("by-conversation" | "by-user" | "search"):
                return f"{path}: an index of what is known; refresh a folder in it"
            case _:
                self._listings.expire(date.min, date.max)
        return f"{path}: its days will be listed again when they are looked at"

    # --- bytes -------------------------------------------------------------------------------------

    async def open(self, inode: Inode) -> OpenFile | LiveFile | SpecialFile:
        """No request, unless the size is not known yet. Raises NotFound, and why `settle` failed."""
        if self._catalogue.views.stat(inode) is None:
            match node := self._node(inode):
                case Live():
                    return await self._live.open(node)
                case Special():
                    return self._special.open(node)
        media = self._media(inode)
        version = Version.of(media, self._options.account)
        keep = self._paged.may_stay(inode, version)
        reader = self._reading.open(media, version)
        try:
            await reader.hold()
            if media.size is None:
                settle(self._catalogue, inode, media, await reader.settle())
                version = reader.version
        except BaseException:
            await reader.close()
            raise
        return OpenFile(
            reader,
            keep_cache=keep,
            paged=lambda: self._paged.opened(inode, version),
            unpaged=lambda: self._paged.drop(inode),
            attributes=lambda: self.attributes(inode),
            began=lambda: self._ahead.began(inode),
            closed=lambda: self._ahead.closed(inode),
        )

    # --- extended attributes -----------------------------------------------------------------------

    def xattr_names(self, inode: Inode) -> tuple[str, ...]:
        """What a copy takes along: small and stable attributes. Raises NotFound."""
        return self._said.names(inode, self._node)

    def xattr(self, inode: Inode, name: str) -> bytes:
        """Raises NotFound, NoAttribute, and Unsupported outside `user.`."""
        return self._said.value(inode, name, self._node)

    async def set_xattr(self, inode: Inode, name: str, value: bytes) -> None:
        """Returns when the service has confirmed. Raises what `Changing.set_xattr` raises."""
        await self._changing.set_xattr(inode, name, value)

    async def remove_xattr(self, inode: Inode, name: str) -> None:
        """As `set_xattr`; NoAttribute where there is nothing to take away."""
        await self._changing.remove_xattr(inode, name, lambda own: self._said.has(inode, own))

    # --- names that go and change ------------------------------------------------------------------

    async def unlink(self, parent: Inode, name: str, requester: Requester) -> None:
        """Returns when the service has confirmed that the media is gone. Raises NotFound, Forbidden, and
        why the service did not delete it."""
        self._refuse_live(self._node(parent), name)
        await self._changing.unlink(parent, self._node(parent), _text(name), requester)

    def _refuse_live(self, node: Node, name: str) -> None:
        """By the time that a call under a live name could be deleted, another may be behind it."""
        scope = node.scope if isinstance(node, Folder) else None
        if isinstance(scope, User) and self._live.find(scope, name) is not None:
            raise Forbidden(f"{name}: another call may be behind it by now")

    async def rmdir(self, parent: Inode, name: str) -> None:
        """Raises NotFound, Busy, NotEmpty, and why what it holds could not be found out."""
        above = self._node(parent)
        try:
            if isinstance(above, View | Year | Month) and (day := date_below(above, name)) is not None:
                # Also of a day that is in no range any more, because its media were the oldest.
                await self._changing.rmdir(day)
                return
            found = await self.lookup(parent, name)
            if isinstance(found, Absent):
                raise NotFound(f"{name}: there is no such directory")
            await self._changing.rmdir(self._node(found.inode))
        finally:
            self._forget_nodes()

    async def rename(self, old: tuple[Inode, str], new: tuple[Inode, str], requester: Requester) -> None:
        """From one directory and name to another. Raises what `Changing.rename` raises."""
        names = (old[0], _text(old[1])), (new[0], _text(new[1]))
        self._refuse_live(self._node(old[0]), old[1])
        await self._changing.rename(*names, (self._node(old[0]), self._node(new[0])), requester)

    def _media(self, inode: Inode) -> Media:
        media = self._catalogue.views.media(inode)
        if media is None:
            raise NotFound(f"inode {inode} is gone")
        return media


def _text(name: str) -> str:
    """Raises NotFound for a name that none of ours can be."""
    if not is_text(name):
        raise NotFound("a name that is not UTF-8")
    return name
