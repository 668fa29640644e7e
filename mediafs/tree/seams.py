"""What the tree needs of the room that lists; owned here, so that the tree knows no source."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from ..catalogue import ListingState
from ..model import Conversation, Edits, Inode, Media, Removal, Requester, Scope, Search, User, UserId


class Listings(Protocol):
    """Brings scopes up to date; raises only errors of `errors.py`."""

    async def ensure(self, scope: Scope) -> None:
        """Returns when the catalogue may be shown for `scope`."""
        ...

    async def ensure_known(self, scope: Scope) -> None:
        """As `ensure`, but an older listing will do: for a name that it does not hold."""
        ...

    async def ensure_fresh(self, scope: Scope) -> None:
        """Returns when `scope` was listed whole less than `fresh_for` ago. Raises why that failed."""
        ...

    async def exists(self, scope: Conversation | User) -> bool:
        """Whether the service has any media of it."""
        ...

    async def look_for_the_oldest(self) -> None:
        """Sees to it that where by-date begins is known."""
        ...

    async def refresh(self, scope: Scope) -> None:
        """Lists again, whatever the age. Raises why that failed."""
        ...

    def expire(self, first: date, last: date) -> None:
        """The next look at each of these days lists it again; until then it is shown as it was."""
        ...

    def state(self, scope: Scope) -> ListingState: ...

    def whole_since(self) -> float | None:
        """Since when every day is known, in Unix seconds; None: some day is not."""
        ...

    def users_since(self) -> float | None:
        """Since when every user is known, in Unix seconds; None: some may not be."""
        ...

    def conversations_since(self) -> float | None:
        """Since when every conversation is known, in Unix seconds; None: some may not be."""
        ...

    def finds_all(self, scope: Search) -> bool:
        """Whether a search that was made has found all there is."""
        ...

    def refusal(self, kind: str) -> str | None:
        """Why the filter of a view ("conversation", "user") is refused; None: it is not."""
        ...

    def conversation_ids(self) -> list[str]:
        """What `by-conversation/` lists."""
        ...

    def is_named(self, conversation: str) -> bool:
        """Whether the configuration names this conversation."""
        ...


class Ids(Protocol):
    """What could be an id of this vendor at all: other names are answered without a request."""

    def is_conversation_id(self, text: str) -> bool: ...

    def is_user_id(self, text: str) -> bool: ...

    def live(self, user: UserId) -> tuple[tuple[str, Media], ...]:
        """Names in a user's directory behind which another media may be at any time. No request."""
        ...


class Deletions(Protocol):
    """Takes media away, at the service and here."""

    async def erase(
        self,
        inode: Inode,
        requester: Requester,
        *,
        typed: tuple[Inode, str] | None = None,
        removal: Removal | None = None,
    ) -> None:
        """Returns when the service has confirmed. `typed` is the name by which it was asked for; `removal`
        None is what the account's policy says."""
        ...

    async def recover(self, inode: Inode) -> None:
        """Takes it out of the trash. Returns when the service has confirmed."""
        ...


class Editing(Protocol):
    """Changes what is said of media."""

    async def edit(self, inode: Inode, edits: Edits) -> None:
        """Returns when the service has confirmed. Raises ValueRefused, Unsupported and their kin."""
        ...
