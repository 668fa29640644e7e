"""What a reply other than a success stands for, in our words and the service's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from ..errors import (
    CredentialsRefused,
    Denied,
    InvalidReply,
    MediafsError,
    NotFound,
    ValueRefused,
)
from ..model import Conversation, MediaId, Scope
from ._failures import usual
from ._json import parse
from ._words import harmless
from .protocol import Call, Reply
from .veriff_options import SESSION_ID

NAME: Final = "veriff"
WRONG_SIGNATURE: Final = "1818"
"""The signature is not the HMAC of the id that was asked for (the vendor's table of codes)."""
_CODE: Final = re.compile(r"\d{1,6}", re.ASCII)


def own_words(reply: Reply) -> Mapping[str, object] | None:
    """The error object of the service, `{"status": "fail", "code", "message"}`; None where something
    else answered in its place. Errors of deletions have a number as `status`."""
    try:
        value = parse(NAME, "error", reply.body).value
    except InvalidReply:
        return None
    return value if isinstance(value, dict) and ("code" in value or "status" in value) else None


def code(reply: Reply) -> str | None:
    """The service's code for an error, such as `1818`. The samples say 1101 for everything, so that only
    the HTTP status decides what happened; but the codes that matter are told apart by its tables."""
    value = (own_words(reply) or {}).get("code")
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _CODE.fullmatch(text) else None


def said(reply: Reply, secrets: Iterable[str | None]) -> str:
    """The service's own words and code, made harmless: `: words (code)`, or nothing."""
    message = (own_words(reply) or {}).get("message")
    text = harmless(message, secrets) if isinstance(message, str) else ""
    number = code(reply)
    text = " ".join(filter(None, (text, f"({number})" if number else "")))
    return f": {text}" if text else ""


def is_gone(reply: Reply) -> bool:
    """Whether the service itself says that there is no such thing. What is deleted or expired is simply
    not found; a gateway that finds nothing speaks otherwise, and must empty no archive."""
    return reply.status in (404, 410) and own_words(reply) is not None


def failure(call: Call, reply: Reply, scope: Scope | MediaId | None, said: str) -> MediafsError:
    """The error for a reply other than 2xx; `said` is what `said` found in it."""
    what = f"{NAME}: {call.operation}{_named(scope)}"
    asked_for = isinstance(scope, Conversation | str)
    match reply.status:
        case 400 if isinstance(scope, Conversation):
            return ValueRefused(f"{what}: the service refuses the id{said}")
        case 401:
            return CredentialsRefused(f"{what}: the service refuses the credentials{said}")
        case 403:
            return Denied(f"{what}: the service refuses this to the account{said}")
        case 404 | 410 if asked_for and is_gone(reply):
            return NotFound(f"{what}: there is no such thing{said}")
        case 404 | 405 | 410 | 501 if call.method == "GET":
            return InvalidReply(f"{what}: no Veriff API answers there ({reply.status}); check base_url{said}")
        case status:
            return usual(what, status, said)


def _named(scope: Scope | MediaId | None) -> str:
    """Ids whole, where they are such: whoever reads it has to find the session."""
    match scope:
        case Conversation(id):
            return f" of session {_shown(id)}"
        case str():
            return f" of media {_shown(scope)}"
        case _:
            return ""


def _shown(id: str) -> str:
    return id if SESSION_ID.fullmatch(id) else harmless(id)
