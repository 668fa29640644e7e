"""Which node a name stands for: the lookups of the tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import unquote

from ..catalogue import Catalogue, terms_of
from ..model import Conversation, ConversationId, Recent, Search, Trash, User, UserId
from .folders import Folders
from .live import LiveNames
from .names import id_in_folder_name, legal_id
from .nodes import (
    HIDDEN,
    RECENT,
    SEARCH,
    TRASH,
    Folder,
    Hidden,
    Link,
    Month,
    Node,
    Root,
    View,
    Year,
    date_below,
    dates_of,
)
from .options import TreeOptions
from .probes import is_probe
from .seams import Ids, Listings
from .shapes import TIMEOUT_S, Shapes
from .special import SpecialFiles
from .values import Absent, Attributes


class Finding:
    """`was_emptied` tells whether a folder is to be found although nothing is in it any more."""

    def __init__(
        self,
        catalogue: Catalogue,
        listings: Listings,
        ids: Ids,
        options: TreeOptions,
        views: Sequence[str],
        shapes: Shapes,
        folders: Folders,
        live: LiveNames,
        special: SpecialFiles,
        *,
        was_emptied: Callable[[User | Conversation, str], bool],
    ) -> None:
        self._catalogue = catalogue
        self._listings = listings
        self._ids = ids
        self._options = options
        self._views = views
        self._shapes = shapes
        self._folders = folders
        self._live = live
        self._special = special
        self._was_emptied = was_emptied

    def known(self, node: Folder, name: str) -> Attributes | None:
        """A media that is known to be in a directory. No request."""
        if not is_text(name):
            return None
        if isinstance(node.scope, User) and (live := self._live.find(node.scope, name)) is not None:
            return live
        found = self._catalogue.views.find(node.scope, name)
        if found is None:
            return None
        # The kernel is told of no name that comes into a search, or leaves it.
        return self._shapes.found(found) if isinstance(node.scope, Search) else self._shapes.file(found)

    async def lookup(self, node: Node, name: str) -> Attributes | Absent:
        """What `name` is in the directory `node`. Raises what listing raises."""
        if not is_text(name):
            return Absent(TIMEOUT_S)  # a name of ours is always text
        if name == HIDDEN and isinstance(node, Root):
            return self._shapes.folder(Hidden())
        if isinstance(node, Folder) and (known := self.known(node, name)) is not None:
            return known
        if is_probe(name):
            return Absent(TIMEOUT_S)
        match node:
            case Root():
                found = self._in_root(name)
            case View("by-date") | Year() | Month():
                found = self._in_dates(node, name)
            case View("search"):
                found = Folder(Search(name)) if terms_of(Search(name).words) else None
            case View("by-conversation"):
                return await self._in_conversations(name)
            case View():
                return await self._in_users(name)
            case Folder():
                return await self._in_folder(node, name)
            case Hidden():
                return self._special.find(name) or Absent(TIMEOUT_S)
            case _:
                found = None
        return self._shapes.folder(found) if found else Absent(self._options.fresh_for_s)

    def _in_root(self, name: str) -> Node | None:
        if name == RECENT:
            return Folder(Recent())
        if name == TRASH and self._options.trash:
            return Folder(Trash())
        if name == SEARCH:
            return View(SEARCH)
        return View(name) if name in self._views else None

    def _in_dates(self, node: View | Year | Month, name: str) -> Node | None:
        found = date_below(node, name)
        return found if found is not None and self._folders.dates().overlap(dates_of(found)) else None

    async def _in_conversations(self, name: str) -> Attributes | Absent:
        views = self._catalogue.views
        id_ = views.conversation_by_folder(name) or ConversationId(unquote(id_in_folder_name(name) or name))
        return await self._among_humans(Conversation(id_), name, self._listings.is_named(id_))

    async def _in_users(self, name: str) -> Attributes | Absent:
        id_ = self._catalogue.views.person_by_folder(name) or UserId(unquote(id_in_folder_name(name) or name))
        return await self._among_humans(User(id_), name, id_ in self._options.users)

    async def _among_humans(self, scope: User | Conversation, name: str, named: bool) -> Attributes | Absent:
        """`named`: the configuration names it, so that it is there without a question."""
        is_id = self._ids.is_user_id if isinstance(scope, User) else self._ids.is_conversation_id
        bare = name == legal_id(scope.id)
        if not named and (not is_id(scope.id) or not (bare or id_in_folder_name(name))):
            return Absent(TIMEOUT_S)
        if self._was_emptied(scope, name):
            return self._shapes.folder(Folder(scope))
        if not named and not await self._listings.exists(scope):
            return Absent(self._options.fresh_for_s)
        folder = self._catalogue.views.human_folder(scope)
        if name == (folder or legal_id(scope.id)):
            return self._shapes.folder(Folder(scope))
        # A second name for one directory inode would confuse `pwd`.
        return self._shapes.link(Link(scope)) if bare else Absent(self._options.fresh_for_s)

    async def _in_folder(self, node: Folder, name: str) -> Attributes | Absent:
        """What is not known yet."""
        await self._listings.ensure_known(node.scope)
        absent = Absent(0 if isinstance(node.scope, Search) else self._options.fresh_for_s)
        return self.known(node, name) or absent


def is_text(name: str) -> bool:
    """Bytes that are not UTF-8 arrive as lone surrogates."""
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)
