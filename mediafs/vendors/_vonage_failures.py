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
from ..model import MediaId, Scope
from ._failures import usual
from ._json import parse
from ._words import harmless
from .protocol import Call, Reply

NAME: Final = "vonage"
_VALUE: Final = frozenset({400, 413, 415, 422, 431})
_WORDS: Final = ("detail", "title", "error_title", "message", "error_description", "error")


def members(reply: Reply) -> dict[str, object]:
    """The JSON object that a reply holds; empty for anything else."""
    try:
        root = parse(NAME, "error", reply.body).value
    except InvalidReply:
        return {}
    return root if isinstance(root, dict) else {}


def is_problem(reply: Reply) -> bool:
    """Whether it is an error as the vendor's APIs word it (RFC 7807) and gateways do not."""
    return any(isinstance(members(reply).get(key), str) for key in ("type", "title"))


def said(reply: Reply, secrets: Iterable[str | None]) -> str:
    """The service's own words, made harmless: `: words`, or nothing; older errors have no body."""
    found = members(reply)
    for key in _WORDS:
        value = found.get(key)
        if isinstance(value, str) and value.strip():
            text = harmless(value, secrets)
            return f": {text}" if text else ""
    return ""


def failure(call: Call, reply: Reply, scope: Scope | MediaId | None, said: str) -> MediafsError:
    """The error for a reply other than 2xx; `said` is what `said` found in it."""
    what = f"{NAME}: {call.operation}"
    if isinstance(scope, str):
        what += f" of media {harmless(scope)}"
    match reply.status:
        case status if status in _VALUE and call.operation in ("update", "list"):
            return ValueRefused(f"{what}: the service refuses a value{said}")
        case 401:
            return CredentialsRefused(f"{what}: the service refuses the credentials{said}")
        case 403:
            return Denied(f"{what}: the service refuses this to the application{said}")
        case 404 | 410 if isinstance(scope, str):
            return NotFound(f"{what}: there is no such media{said}")
        case 404 | 405 | 410 | 501 if call.operation in ("list", "get", "download"):
            return InvalidReply(f"{what}: no Media API answers there ({reply.status}); check base_url{said}")
        case status:
            return usual(what, status, said)
