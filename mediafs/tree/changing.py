"""What it means to take away a name, to give one, and to write an attribute.

Nothing happens here: what an operation means is decided, and then a deletion or an edit is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

from cachetools import TTLCache

from ..catalogue import Catalogue
from ..errors import Busy, Forbidden, NoAttribute, NotEmpty, NotFound, ValueRefused
from ..model import (
    Change,
    ChangeKind,
    Conversation,
    Days,
    Inode,
    MediaId,
    Removal,
    Requester,
    Scope,
    Search,
    Trash,
    User,
)
from . import xattrs
from .days import Dates
from .names import legal_id, title_in
from .nodes import Folder, Month, Node, Root, Year, day_folder, stored
from .options import TreeOptions
from .seams import Deletions, Editing, Listings

log = logging.getLogger(__name__)

_EMPTIED_S: Final = 3600.0
"""For how long a folder that was emptied through this mount can still be looked up: whoever empties it
takes it away last, and under a limit of ten requests a minute that can take long."""


_WALKERS: Final = frozenset({"rm", "find", "rsync"})
"""Programs of which one process is one command: what it moves into the trash it does not mean to delete
there as well, when it comes by."""
_WALK_S: Final = 86400.0


class Changing:
    def __init__(
        self,
        catalogue: Catalogue,
        listings: Listings,
        deletions: Deletions,
        editing: Editing,
        options: TreeOptions,
        *,
        dates: Callable[[], Dates],
        emit: Callable[[Sequence[Change]], None],
    ) -> None:
        self._catalogue = catalogue
        self._listings = listings
        self._deletions = deletions
        self._editing = editing
        self._options = options
        self._dates = dates
        self._emit = emit
        self._emptied: TTLCache[User | Conversation, str] = TTLCache(1000, _EMPTIED_S)
        """Folders in which something was deleted, with their names."""
        self._trashed: TTLCache[tuple[int, Inode], None] = TTLCache(100_000, _WALK_S)
        """What which process has deleted outside of the trash, and so may have put there."""

    def was_emptied(self, scope: User | Conversation, name: str) -> bool:
        """Whether this folder is to be found although nothing is in it any more."""
        return self._emptied.get(scope) == name

    async def unlink(self, parent: Inode, node: Node, name: str, requester: Requester) -> None:
        """Raises NotFound, Forbidden, and what deleting raises."""
        scope, inode = self._media_in(node, name)
        emptied = scope if isinstance(scope, User | Conversation) else None
        folder = self._catalogue.views.human_folder(emptied) if emptied else None
        removal = Removal.PERMANENT if isinstance(scope, Trash) else None
        walk = requester.pid, inode
        if removal and walk in self._trashed:
            raise Forbidden(f"inode {inode}: this same {requester.program} has just put it into the trash")
        if not removal and requester.program in _WALKERS:
            # Also where no answer comes: it may be there all the same.
            self._trashed[walk] = None
        await self._deletions.erase(inode, requester, typed=(parent, name), removal=removal)
        if emptied:
            self._emptied[emptied] = folder or legal_id(emptied.id)

    def _media_in(self, node: Node, name: str) -> tuple[Scope, Inode]:
        if not isinstance(node, Folder):
            raise Forbidden("this is no media")
        found = self._catalogue.views.find(node.scope, name)
        if found is None:
            raise NotFound(f"{name}: there is no such media")
        return node.scope, found.inode

    # --- directories -------------------------------------------------------------------------------

    async def rmdir(self, node: Node) -> None:
        """Takes away a directory that is known to be empty. Raises Busy, NotEmpty, and why what it holds
        could not be found out."""
        match node:
            case Folder(Days() | Conversation() | User() as scope):
                await self._listings.ensure_fresh(scope)
                empty = not self._catalogue.views.is_populated(scope)
                if isinstance(scope, User | Conversation) and empty:
                    self._emptied.pop(scope, None)
            case Folder(Search() as scope):
                # What it shows are the newest: without them, there may be others.
                await self._listings.refresh(scope)
                empty = not self._catalogue.views.is_populated(scope)
            case Year() | Month():
                empty = await self._is_empty(node.dates)
            case _:
                raise Busy("this directory is part of the tree itself")
        kind, key = stored(node)
        if not empty:
            log.info("rmdir of %s %s: it is not empty", kind, key)
            raise NotEmpty(f"{kind} {key} holds media")
        self._catalogue.directories.retire(kind, key)

    async def _is_empty(self, dates: Dates) -> bool:
        """Whether no day in the range has media; lists the days of which that is not known freshly."""
        within = dates.overlap(self._dates())
        if within is None:
            return True
        whole = Days(within.first, within.last)
        for ordinal in range(within.first.toordinal(), within.last.toordinal() + 1):
            if self._catalogue.views.is_populated(whole):
                return False
            await self._listings.ensure_fresh(day_folder(date.fromordinal(ordinal)).scope)
        return not self._catalogue.views.is_populated(whole)

    # --- names -------------------------------------------------------------------------------------

    async def rename(
        self, old: tuple[Inode, str], new: tuple[Inode, str], nodes: tuple[Node, Node], requester: Requester
    ) -> None:
        """Out of the trash is recovered; into the trash is put there; a new name within one directory is a
        new title where names are made from titles.

        `nodes` are the two directories. Raises NotFound, Forbidden for any other rename, and what the
        change raises.
        """
        scope, inode = self._media_in(nodes[0], old[1])
        there = self._catalogue.views.find(nodes[1].scope, new[1]) if isinstance(nodes[1], Folder) else None
        if there is not None and there.inode != inode:
            raise Forbidden(f"inode {there.inode}: another media has that name")
        was, becomes = isinstance(scope, Trash), nodes[1] == Folder(Trash())
        if was and not becomes and not isinstance(nodes[1], Root):
            await self._deletions.recover(inode)
        elif becomes and not was:
            await self._deletions.erase(inode, requester, typed=old, removal=Removal.TRASH)
        elif old[0] == new[0] and self._options.retitling:
            await self._retitle(inode, old[1], new[1])
        else:
            raise Forbidden('media cannot be moved, and are renamed only with names = "title"')
        # The kernel now knows the media by the place that was typed; it is there only by chance.
        there = self._catalogue.views.find(nodes[1].scope, new[1]) if isinstance(nodes[1], Folder) else None
        if there is None or there.inode != inode:
            media = self._catalogue.views.media(inode)
            id_ = media.id if media else MediaId("")
            self._emit([Change(kind=ChangeKind.CHANGED, inode=inode, media=id_, places=(new,))])

    async def _retitle(self, inode: Inode, before: str, after: str) -> None:
        media = self._catalogue.views.media(inode)
        if media is None:
            raise NotFound(f"inode {inode} is gone")
        title = title_in(after, media)
        if not title.strip():
            raise ValueRefused("a title is needed before the extension")
        if title != title_in(before, media):
            await self._editing.edit(inode, {"title": title})

    # --- attributes --------------------------------------------------------------------------------

    async def set_xattr(self, inode: Inode, name: str, value: bytes) -> None:
        """Raises NotFound, Forbidden, Unsupported, ValueRefused, and what editing raises."""
        await self._editing.edit(inode, xattrs.edits_of(self._editable(inode, name), value))

    async def remove_xattr(self, inode: Inode, name: str, has_value: Callable[[str], bool]) -> None:
        """As `set_xattr`; NoAttribute where there is nothing to take away."""
        own = self._editable(inode, name)
        if not has_value(own):
            raise NoAttribute(f"no attribute {name}")
        await self._editing.edit(inode, xattrs.edits_of(own, None))

    def _editable(self, inode: Inode, name: str) -> str:
        own = xattrs.editable_name(name, self._options.editable)
        if self._catalogue.views.media(inode) is None:
            raise Forbidden(f"{name}: a directory has no attributes of its own")
        return own
