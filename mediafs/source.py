"""The seam between an account's service and the rooms that list and read it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import trio

from .model import (
    Conversation,
    Edited,
    Edits,
    Erased,
    Media,
    Page,
    Question,
    Removal,
    Span,
    Traits,
    Urgency,
    User,
    UserId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The start of a download, as its headers tell it; nothing is checked against the record yet.

    `chunks` raises `Unavailable` when the connection breaks or ends before `length`, and `Late`
    when no byte came for the transport's read timeout.
    """

    start: int
    """Offset of the first byte: 0 for a whole body (200), what Content-Range says for a part (206)."""
    length: int | None
    """Bytes in this body, where the service says so and no content coding hides it."""
    total: int | None
    """Bytes of the whole media, where the service says so."""
    partial: bool
    """The service answered 206: it has ranges."""
    content_type: str | None
    """Lower case, without parameters."""
    etag: str | None
    """As sent, quotes and `W/` included."""
    last_modified: str | None
    chunks: AsyncIterator[bytes] = field(repr=False)
    receive_into: Callable[[memoryview], Awaitable[int]] | None = field(default=None, repr=False)
    """Another way to the same bytes, where there is one: puts the next of them into a buffer, and returns
    how many; 0 at the end. Raises what `chunks` raises. Who has begun one way does not change over."""


class Source(Protocol):
    """What an account can do. Every method raises only errors of `errors.py`."""

    @property
    def traits(self) -> Traits: ...

    async def page(self, question: Question, *, urgency: Urgency) -> Page:
        """One page of a listing.

        Raises Denied, Late, Unavailable, InvalidReply.
        """
        ...

    async def media(self, media: Media, *, urgency: Urgency) -> Media:
        """The record of a media as it is now. Raises NotFound and what `page` raises, and Unsupported
        where the service cannot be asked for a single record."""
        ...

    async def prove_filter(self, scope: Conversation | User, *, urgency: Urgency) -> None:
        """Asks the service whether the filter behind this kind of scope really filters.

        The id in `scope` does not matter. One small request. Raises FilterRefused where it does
        not filter, and what `page` raises.
        """
        ...

    def body(
        self, media: Media, span: Span, *, if_range: str | None = None, urgency: Urgency
    ) -> AbstractAsyncContextManager[Body]:
        """The bytes of a media. `if_range` is a strong ETag; a 200 with another one means that the content
        changed.

        The whole of a media of which each download counts is asked for without a range.

        Raises NotFound, Denied, NotReady (204), Late, Unavailable, InvalidReply on entering.
        """
        ...

    async def update(self, media: Media, edits: Edits, *, urgency: Urgency) -> Edited:
        """Changes attributes of a media, whose record was last seen as `media`.

        Returns once the service has confirmed. Raises ValueRefused, Unsupported, NotFound and what
        `page` raises; after Late and Unavailable the edit may have been carried out all the same.
        """
        ...

    async def erase(self, media: Media, removal: Removal, *, urgency: Urgency) -> Erased:
        """Takes a media away. Returns once the service has confirmed that it is gone.

        Raises Denied, Unsupported and what `page` raises; after Late, Unavailable and InvalidReply
        the media may be gone all the same.
        """
        ...

    async def recover(self, media: Media, *, urgency: Urgency) -> Media:
        """Takes a media out of the trash; returns its record as it is out of it.

        Raises NotFound, Unsupported and what `page` raises.
        """
        ...

    def wait_s(self, task: trio.lowlevel.Task) -> float:
        """How long the request that `task` makes must still wait for the rate limit, in seconds.

        0 when it is not in line: it was sent, or is not made yet.
        """
        ...

    def spare(self, urgency: Urgency) -> int | None:
        """How many requests of that urgency may go now without waiting, by what is known of the service's
        limit; None: no limit is known. No request."""
        ...

    def live(self, user: UserId) -> tuple[tuple[str, Media], ...]:
        """Names in a user's directory behind which another media may be at any time. No request."""
        ...

    def is_conversation_id(self, text: str) -> bool:
        """Whether `text` could be an id of a conversation (no request)."""
        ...

    def is_user_id(self, text: str) -> bool:
        """Whether `text` could be an id of a user (no request)."""
        ...
