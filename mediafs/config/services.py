"""What an account says that only accounts of its vendor say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..model import ConversationId
from .secrets import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAuth:
    """A static token."""

    token: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordAuth:
    """A login; the service then hands out tokens."""

    username: str
    password: Secret


Auth = TokenAuth | PasswordAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The query names that filter a listing (Apizee: its public page lost them)."""

    conversation: str = "conversation_id"
    user: str = "user_id"
    group: str = "group_id"
    tag: str = "tag"
    source: str = "source_type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Conversations that the configuration names: they are listed before anything is known of them."""

    ids: tuple[ConversationId, ...] = ()
    file: Path | None = None
    """Read with `read_conversations`; it need not exist yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApizeeConfig:
    auth: Auth
    user: str | None = None
    """Whose media; `all`, or an id. None: the token's own user."""
    listed: Listed = field(default_factory=Listed)
    filters: Filters = field(default_factory=Filters)


@dataclass(frozen=True, slots=True, kw_only=True)
class VonageConfig:
    """An application with its private key; or an account's key and secret."""

    application_id: str | None = None
    private_key: Secret | None = None
    """PEM."""
    api_key: Secret | None = None
    api_secret: Secret | None = None
    listed: Listed = field(default_factory=Listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoomConfig:
    """The API key and secret of a Video SDK account."""

    api_key: Secret
    api_secret: Secret
    listed: Listed = field(default_factory=Listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class VeriffConfig:
    api_key: Secret
    shared_secrets: tuple[Secret, ...]
    """Newest first: while one is being rotated two are active."""
    listed: Listed = field(default_factory=Listed)
    """Its sessions: no service lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbaConfig:
    api_key: Secret
    username: str | None = None
    password: Secret | None = None
    extensions: tuple[str, ...] = ()
    """Each has live names in by-user/."""
    listed: Listed = field(default_factory=Listed)
    """Calls."""
    search: bool = False
    """The service may be searched, for by-date and by-user."""
    metadata_fields: tuple[str, ...] = ()


Service = ApizeeConfig | VonageConfig | ZoomConfig | VeriffConfig | VerbaConfig
