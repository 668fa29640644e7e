"""What a reply of Zoom's stands for: failures come as 200, and as 400 with many meanings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ..errors import (
    CredentialsRefused,
    Denied,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    Unavailable,
    Unsupported,
    ValueRefused,
)
from ..model import Conversation, Everything, MediaId, Scope, Trash, User
from ._json import At, parse
from ._words import harmless
from ._zoom_record import NAME
from .protocol import RENEW, Call, Reply

DOWNLOAD: Final = "download"
LIST: Final = "list"

_LARGEST: Final = 16384
"""Bytes of the longest body that is looked at as an error: a listing is parsed once, by who asked for it."""
_MEANING: Final = MappingProxyType(
    {
        124: 401,  # invalid access token; comes with 400 as well as 401
        200: 403,  # no permission; comes with 200 (a third party's restatement of the deletion's page)
        1010: 403,  # the user is not in this account
        4711: 403,  # the token lacks a scope
        1001: 404,
        3301: 404,  # there is no recording
    }
)
_CONTENT: Final = frozenset({"sessions", "session_id", "recording_files"})
"""What an error object has none of."""
_ERROR_START: Final = re.compile(
    rb"""\s*\{\s*("code"\s*:\s*\d+\s*,\s*"message"|"message"\s*:\s*"[^"]*"\s*,\s*"code")\s*:"""
)
_PAGE_START: Final = (b"<!doctype", b"<html", b"<head", b"<?xml")
_PAGES: Final = frozenset({"text/html", "application/xhtml+xml", "text/xml", "application/xml"})
_JSON_MEDIA: Final = frozenset({"json", "txt", "bin"})
"""Extensions of recordings that may come as JSON: timelines, summaries, and what is not known."""


def code_of(reply: Reply) -> int | None:
    """The `code` of an error object; None where the body is none."""
    error = _error(reply)
    if error is None:
        return None
    value = error["code"].value
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value, re.ASCII):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _error(reply: Reply) -> At | None:
    if len(reply.body) > _LARGEST or b'"code"' not in reply.body:
        return None
    try:
        root = parse(NAME, "error", reply.body)
    except InvalidReply:
        return None
    facts = root.value
    if not isinstance(facts, dict) or "code" not in facts or not _CONTENT.isdisjoint(facts):
        return None
    return root


def status_of(call: Call, reply: Reply) -> int:
    """What the reply amounts to.

    A download that is read whole brings a message in place of media: where that says no more than that, as a
    sign-in page does, it is RENEW.
    """
    if reply.status == 401 and call.operation == DOWNLOAD:
        return RENEW  # of this recording alone, if a fresh token is refused too
    if not (200 <= reply.status < 300 or reply.status == 400):
        return reply.status
    code = code_of(reply)
    if code is None:
        whole = call.operation == DOWNLOAD and reply.status in (200, 206)
        return RENEW if whole else reply.status
    meant = _MEANING.get(code, code)
    return meant if 400 <= meant < 600 and meant != RENEW else 400


def is_message(call: Call, headers: Mapping[str, str], start: bytes) -> bool:
    """Whether a download brings a page or an error; `call.subject` is the extension of what was asked for."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _PAGES or ("json" in kind and call.subject not in _JSON_MEDIA):
        return True
    span = headers.get("content-range", "").strip().lower()
    if span and not span.startswith("bytes 0-"):
        return False
    start = start.removeprefix(b"\xef\xbb\xbf")
    return start.lstrip()[:16].lower().startswith(_PAGE_START) or _ERROR_START.match(start) is not None


def said(reply: Reply, secrets: Iterable[str]) -> str:
    """The service's own words, made harmless: `: words (code N)`, or nothing."""
    error = _error(reply)
    if error is None:
        return ""
    message, code = error["message"].value, code_of(reply)
    words = harmless(message, secrets) if isinstance(message, str) else ""
    number = f" (code {code})" if code is not None else ""
    return f": {words}{number}" if words or number else ""


def failure(call: Call, reply: Reply, scope: Scope | MediaId | None, said: str) -> MediafsError:
    """The error for a reply that is no success; `said` is what `said` found in it."""
    what = f"{NAME}: {call.operation}{_named(scope)}"
    status = status_of(call, reply)
    reading = call.operation in (LIST, "get", DOWNLOAD)
    match status:
        case 401:
            return CredentialsRefused(f"{what}: the service refuses the credentials{said}")
        case status if status == RENEW:
            return Denied(
                f"{what}: a web page or a message came in place of the recording, as it does where the"
                " service does not take the account's token for a download, or does not allow it"
            )
        case 403:
            return Denied(f"{what}: the service refuses this to the account{said}")
        case 400 if call.operation == LIST:
            return ValueRefused(f"{what}: the service refuses the question{said}")
        case 404 | 410 if scope is not None and not isinstance(scope, Everything | Trash):
            return NotFound(f"{what}: there is no such thing{said}")
        case 404 | 405 | 410 | 501 if reading:
            return InvalidReply(f"{what}: no Video SDK API answers there ({status}); check base_url{said}")
        case 405 | 501:
            return Unsupported(f"{what}: the service has no such operation{said}")
        case 429:
            return Late(f"{what}: the service asks to wait{said}")
        case status if status >= 500 or status == 408:
            return Unavailable(f"{what}: the service fails ({status}){said}")
        case _:
            return InvalidReply(f"{what}: the service answers {reply.status}, which is no success here{said}")


def _named(scope: Scope | MediaId | None) -> str:
    match scope:
        case Conversation(id):
            return f" of session {harmless(id)}"
        case User(id):
            return f" of user {harmless(id)}"
        case Trash():
            return " of the trash"
        case str():
            return f" of media {harmless(scope)}"
        case _:
            return ""
