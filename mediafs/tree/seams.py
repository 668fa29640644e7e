"""What the tree needs of the room that lists; owned here, so that the tree knows no source."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from ..catalogue import ListingState
from ..model import Conversation, Scope, User


class Listings(Protocol):
    """Brings scopes up to date; raises only errors of `errors.py`."""

    async def ensure(self, scope: Scope) -> None:
        """Returns when the catalogue may be shown for `scope`."""
        ...

    async def ensure_known(self, scope: Scope) -> None:
        """As `ensure`, but an older listing will do: for a name that it does not hold."""
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
