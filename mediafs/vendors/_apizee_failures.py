"""What a reply other than a success stands for, in our words and the service's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..errors import (
    CredentialsRefused,
    Denied,
    InvalidReply,
    MediafsError,
    NotFound,
    ValueRefused,
)
from ..model import Conversation, Everything, MediaId, Scope, User
from ._apizee_changes import REFUSALS
from ._failures import usual
from ._json import parse
from ._words import harmless
from .protocol import Call, Reply

NAME: Final = "apizee"


def said(reply: Reply, secrets: Iterable[str | None]) -> str:
    """The service's own words, made harmless: `: words`, or nothing.

    v3 answers `{"error": text}`; an older shape is `{"code", "message", "details"}`.
    """
    try:
        root = parse(NAME, "error", reply.body)
    except InvalidReply:
        return ""
    if not isinstance(root.value, dict):
        return ""
    for key in ("error", "message", "error_description"):
        value = root.value.get(key)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str) and value.strip():
            text = harmless(value, secrets)
            return f": {text}" if text else ""
    return ""


def failure(call: Call, reply: Reply, scope: Scope | MediaId | None, said: str) -> MediafsError:
    """The error for a reply other than 2xx; `said` is what `said` found in it."""
    what = f"{NAME}: {call.operation}{_named(scope)}"
    match reply.status:
        case status if status in REFUSALS and call.operation in ("update", "list"):
            return ValueRefused(f"{what}: the service refuses a value{said}")
        case 401:
            return CredentialsRefused(f"{what}: the service refuses the credentials{said}")
        case 403:
            return Denied(f"{what}: the service refuses this to the account{said}")
        case 404 | 410 if scope is not None and not isinstance(scope, Everything):
            return NotFound(f"{what}: there is no such thing{said}")
        case 404 | 405 | 410 | 501 if call.operation in ("list", "probe", "get", "download"):
            return InvalidReply(f"{what}: no Media API answers there ({reply.status}); check base_url{said}")
        case status:
            return usual(what, status, said)


def _named(scope: Scope | MediaId | None) -> str:
    match scope:
        case Conversation(id):
            return f" of conversation {harmless(id)}"
        case User(id):
            return f" of user {harmless(id)}"
        case str():
            return f" of media {harmless(scope)}"
        case _:
            return ""
