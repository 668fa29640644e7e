"""What is said of media and directories in extended attributes; never a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ..catalogue import Catalogue
from ..errors import NoAttribute, NotFound
from ..model import Days, Everything, Inode, Media, Recent, Search, Trash, Version
from . import xattrs
from .days import Dates
from .nodes import Folder, Month, Node, Root, View, Year
from .options import TreeOptions
from .seams import Listings


class Said:
    """`dates` is the range of by-date, `cached` how many bytes of a version are held on disk, `views` those
    at the root."""

    def __init__(
        self,
        catalogue: Catalogue,
        listings: Listings,
        dates: Callable[[], Dates],
        options: TreeOptions,
        cached: Callable[[Version], int],
        views: Sequence[str],
    ) -> None:
        self._catalogue = catalogue
        self._listings = listings
        self._dates = dates
        self._options = options
        self._cached = cached
        self._views = views

    def names(self, inode: Inode, node: Callable[[Inode], Node]) -> tuple[str, ...]:
        """What a copy takes along: small and stable attributes. `node` raises NotFound."""
        media = self._catalogue.views.media(inode)
        if media is None:
            node(inode)
            return ()
        return xattrs.listed_names(self._of_file(inode, media))

    def value(self, inode: Inode, name: str, node: Callable[[Inode], Node]) -> bytes:
        """Raises NotFound, NoAttribute, and Unsupported outside `user.`."""
        own = xattrs.own_name(name)
        media = self._catalogue.views.media(inode)
        if media is not None:
            make = self._of_file(inode, media).get(own)
            value = make() if make else None
        else:
            value = self._of_directory(node(inode)).get(own)
        if value is None:
            raise NoAttribute(f"no attribute {name}")
        return value.encode("utf-8", "replace")

    def has(self, inode: Inode, own: str) -> bool:
        """Whether a media has a value for the attribute. Raises NotFound."""
        media = self._catalogue.views.media(inode)
        if media is None:
            raise NotFound(f"inode {inode} is gone")
        make = self._of_file(inode, media).get(own)
        return make is not None and bool(make())

    def _of_file(self, inode: Inode, media: Media) -> dict[str, Callable[[], str | None]]:
        conversations = self._catalogue.views.conversations_of(inode)
        account = self._options.account
        cached = partial(self._cached, Version.of(media, account))
        return xattrs.file_values(media, account, self._options.vendor, conversations, cached)

    def _of_directory(self, node: Node) -> dict[str, str | None]:
        match node:
            case Root():
                return self._of_root()
            case Folder(Search() as scope):
                state = self._listings.state(scope)
                complete = state.listed is not None and self._listings.finds_all(scope)
                return xattrs.directory_values(complete, state.listed, state.error)
            case Folder(scope):
                state = self._listings.state(scope)
                return xattrs.directory_values(state.listed is not None, state.listed, state.error)
            case View("by-conversation"):
                # Where records do not tell their conversation, the index is never known to be complete.
                listed = self._listings.conversations_since()
                error = self._listings.refusal("conversation")
                return xattrs.directory_values(listed is not None, listed, error)
            case View("by-user"):
                listed = self._listings.users_since()
                error = self._listings.refusal("user") or self._listings.state(Everything()).error
                return xattrs.directory_values(listed is not None, listed, error)
            case View("search"):
                return xattrs.directory_values(False, None, None)
            case View():
                listed = self._listings.whole_since()
                error = self._listings.state(Everything()).error
                return xattrs.directory_values(listed is not None, listed, error)
            case Year() | Month():
                within = node.dates.overlap(self._dates()) or node.dates
                listed = self._listings.state(Days(within.first, within.last)).listed
                error = self._listings.state(Everything()).error
                return xattrs.directory_values(listed is not None, listed, error)
        return {}

    def _of_root(self) -> dict[str, str | None]:
        """As complete as the least complete view, as old as the oldest, and the first that failed."""
        views: list[Node] = [View(name) for name in self._views]
        views.append(Folder(Recent()))
        if self._options.trash:
            views.append(Folder(Trash()))
        said = [self._of_directory(view) for view in views]
        complete = all(each["complete"] == "true" for each in said)
        # All in one form, so that the least text is the earliest moment.
        listed = min((each["listed"] or "" for each in said), default="") if complete else ""
        error = next((each["error"] for each in said if each["error"] is not None), None)
        return {"complete": "true" if complete else "false", "listed": listed or None, "error": error}
