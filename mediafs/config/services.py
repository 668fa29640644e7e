"""What an account says that only accounts of its vendor say; which keys those are is the vendor's affair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from ..model import ConversationId
from .secrets import Secret

Value = str | bool | tuple[str, ...] | Mapping[str, str] | Secret | tuple[Secret, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Conversations that the configuration names: they are listed before anything is known of them."""

    ids: tuple[ConversationId, ...] = ()
    file: Path | None = None
    """Read with `read_conversations`; it need not exist yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Values by key, as far as they were given; secrets are not read yet."""

    values: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    listed: Listed = field(default_factory=Listed)
