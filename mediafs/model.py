"""The nouns of mediafs: what every room means by *media*, *scope*, *version* and *span*.

media
    One downloadable file in a vendor's archive: a snapshot, a screen capture, a recording.
scope
    What one listing covers: a run of days, a conversation, a user, the newest, everything, the trash, a
    search.
version
    One content of one media. The key of every cache of bytes: never a path.
span
    A run of bytes of a version.

Only values live here: frozen, checked when they are made, free of I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum, IntEnum
from typing import NewType
from urllib.parse import unquote

AccountName = NewType("AccountName", str)
MediaId = NewType("MediaId", str)
ConversationId = NewType("ConversationId", str)
UserId = NewType("UserId", str)
Inode = NewType("Inode", int)
Cursor = NewType("Cursor", str)
"""Where a service's next page begins; only the vendor's module knows what is in it."""
Data = bytes | memoryview
"""Bytes of a media, which nobody changes any more."""


EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""No media is older or younger: a service's null date (year 1, year 9999) is moved in between at the
door, for it would make by-date a walk through millennia."""


class Urgency(IntEnum):
    """Who waits for a request. The rate limiter serves smaller numbers first."""

    PERSON = 0
    PREFETCH = 1
    """Nobody yet: it is made only where it need not wait."""
    BACKGROUND = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose media it is. `name` is None where the service gives none."""

    id: UserId
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One record of a service, read at the door: inside mediafs there are no optional keys.

    What a service does not tell is None, never a stand-in such as 0.
    """

    id: MediaId
    created: datetime
    """UTC-aware."""
    filename: str
    """The vendor's file name, untouched and untrusted; empty where it gives none."""
    filename_is_unique: bool = False
    """True where the vendor builds the name from the id or a random token."""
    size: int | None
    """Bytes."""
    media_type: str = ""
    """The vendor's own word: `image`, `video`, `audio`..."""
    mime_type: str | None = None
    title: str | None = None
    description: str | None = None
    owner: Owner | None = None
    conversation: ConversationId | None = None
    status: str | None = None
    source_type: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    etag: str | None = None
    duration_s: float | None = None
    conversation_name: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    """Attributes that only this vendor has, by the name that `user.mediafs.` puts before them."""
    download_once: bool = False
    """Each download counts against a limit: the bytes are fetched once, whole, and kept."""
    fleeting: bool = False
    """Other bytes may be behind it at any time, and a call under way grows while it is read: nothing of it
    is kept, and where its body ends is its size for this once."""
    locator: str | None = field(default=None, repr=False)
    """Where the bytes are, in the vendor's own words; may be a capability, so it is never shown."""
    record: str = field(default="{}", repr=False)
    """The vendor's JSON, without secrets and capability links."""

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("a media needs an id")
        if self.created.tzinfo is None:
            raise ValueError("created must be aware of its time zone")
        if self.size is not None and self.size < 0:
            raise ValueError("size must not be negative")

    @property
    def validator(self) -> str:
        """Changes when the content changes, as far as the record can tell."""
        return self.etag or f"{self.created.timestamp():.0f}-{self.size}"


@dataclass(frozen=True, slots=True)
class Version:
    """One content of one media: the key of every cache of bytes."""

    account: AccountName
    media: MediaId
    validator: str

    @classmethod
    def of(cls, media: Media, account: AccountName) -> Version:
        return cls(account, media.id, media.validator)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to, not including, `stop`; `stop` None is the end of the media."""

    start: int
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop < self.start):
            raise ValueError(f"not a span: {self.start}..{self.stop}")


# --- scopes ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Days:
    """Media created from `first` to `last`, both included, in the account's time zone.

    `last` None runs to the newest media there is.
    """

    first: date
    last: date | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Media of one conversation."""

    id: ConversationId


@dataclass(frozen=True, slots=True)
class User:
    """Media of one user."""

    id: UserId


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest media."""


@dataclass(frozen=True, slots=True)
class Everything:
    """All media that the account may see."""


@dataclass(frozen=True, slots=True)
class Trash:
    """Media in the vendor's trash."""


@dataclass(frozen=True, slots=True)
class Search:
    """Media that some words find, the newest of them.

    Told apart by how the words were typed, for those are the names of directories.
    """

    typed: str
    """As in the name of a directory: what is not plain may be percent-encoded."""

    @property
    def words(self) -> str:
        return unquote(self.typed).strip()


Scope = Days | Conversation | User | Recent | Everything | Trash | Search


# --- asking a service ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """What else narrows a question down, where a service can; None and () leave it open."""

    statuses: tuple[str, ...] = ()
    """In the vendor's words; a service has its own default (Apizee: `completed`)."""
    search: str | None = None
    media_type: str | None = None
    source_type: str | None = None
    tag: str | None = None
    group: str | None = None
    """Media of the users of a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One page asked of a service.

    `since` and `until` bound `created`, both included; a vendor's module widens them where the
    service is vague about its own bounds, so a page may hold a little more than was asked for.
    """

    scope: Conversation | User | Everything | Trash = field(default_factory=Everything)
    since: datetime | None = None
    until: datetime | None = None
    only: Only = field(default_factory=Only)
    newest_first: bool = False
    cursor: Cursor | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page answered. `total` counts all media of the question, where the service says it."""

    media: tuple[Media, ...]
    total: int | None
    next: Cursor | None
    """None: the service says there is no more."""
    again: Cursor | None = None
    """Of a service that counts: the next page, begun with the last media of this one. Where it is still the
    first there, nothing before it has moved what comes after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a vendor's archive is like; the tree shows the views it can fill."""

    page_limit: int
    """The most items worth asking for in one page."""
    conversations: bool
    """There is a by-conversation view."""
    users: bool
    """There is a by-user view."""
    named_users: tuple[UserId, ...] = ()
    """Users whom the configuration names: they are there whether they have media or not."""
    filter_names: str = ""
    """What the service's filters are called here: a proof that they filter holds for these names only."""
    all_users: bool = False
    """The account's own listing shows every user's media, so that all days together hold all of them."""
    user: UserId | None = None
    """The one user whose media the account's own listing shows; None: all, or the token's own."""

    enumerable: bool = True
    """The service lists what it has; else only what is named or was looked up is known, and never all."""
    in_date_order: bool = True
    """A listing can be had by date, in either order; else only whole, in the service's own order."""
    records_tell_conversation: bool = False
    """A record names its conversation, so that all days together hold all conversations."""
    editable: frozenset[str] = frozenset()
    """Attributes that can be changed, by the name that `user.mediafs.` puts before them."""
    kept_here: frozenset[str] = frozenset()
    """Those of them that no record shows: the value last written is remembered here."""
    searches: bool = False
    """A listing can be narrowed by words."""
    deletable: bool = False
    """One media can be deleted for good."""
    trash: bool = False
    """One media can be put into the vendor's trash, and taken out again."""

    @property
    def narrowed_by_user(self) -> bool:
        """Every listing carries a user filter, so that a filter which is ignored makes all of them wrong."""
        return self.all_users or self.user is not None


# --- changing what a service holds -----------------------------------------------------------------

Edits = Mapping[str, str | None]
"""New values by attribute name (`title`, `latitude`...); None takes the value away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What a service did with an edit."""

    media: Media | None
    """The record as the service shows it now; None: it shows none, and has confirmed the edit."""
    refused: str | None = None
    """Why the edit does not stand, although the service answered: it kept another value."""


class Removal(Enum):
    """What it means to take a media away."""

    PERMANENT = "permanent"
    TRASH = "trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """A media is gone, or in the trash."""

    answer: str
    """How the service said so, such as `DELETE 200`; for the log of deletions."""
    carried_out: bool = True
    """False: it was gone already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """The process that asks for a change."""

    uid: int
    pid: int
    program: str
    """As the kernel calls it; empty where it has ended already."""


# --- what listings find ----------------------------------------------------------------------------


class ChangeKind(Enum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class Aspect(Enum):
    """What is new about a media that CHANGED; the value is the word for it in the log of changes. Where
    several apply, the first."""

    CONTENT = "content"
    RENAMED = "renamed"
    RETITLED = "retitled"
    TRASHED = "trashed"
    RECOVERED = "recovered"
    OTHER = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference that a listing found, as the kernel has to hear of it.

    `places` are the names (directory inode, file name) that came or went; for a CHANGED media
    they are empty unless its name changed too.
    """

    kind: ChangeKind
    inode: Inode
    media: MediaId
    places: tuple[tuple[Inode, str], ...] = ()
    content: bool = False
    """The bytes changed, not only what is said about them."""
    aspect: Aspect | None = None
    """None: it was added or removed, or came into another directory, or it is no media."""
    was: str | None = None
    """The file name that it had before, where it has another now."""
