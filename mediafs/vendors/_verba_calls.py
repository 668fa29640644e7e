"""How Verba is asked, and what its codes stand for, in HTTP's words and in ours.

Codes are those that a public client quotes from the vendor's API documentation. Older pages show
positive ones too (`2`, a call that cannot be found): anything but 0 is a failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

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
from ..model import Conversation, Everything, MediaId, Scope, User
from ._verba_xml import NAME, Answer, code_of, parse
from ._words import harmless
from .protocol import Call, Pairs, Reply

SUCCESS: Final = 0
INVALID_PARAMETERS: Final = -20
INVALID_ACTION: Final = -30
INVALID_KEY: Final = -41
CALL_NOT_FOUND: Final = -50

_FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
_STATUS: Final[Mapping[int, int]] = MappingProxyType(
    {
        -1: 500,  # unexpected
        -10: 403,  # the evaluation has expired
        INVALID_PARAMETERS: 400,
        INVALID_ACTION: 501,
        -40: 401,  # credentials
        INVALID_KEY: 401,
        -42: 401,  # login required
        -43: 401,  # the token has expired
        CALL_NOT_FOUND: 404,
        -60: 400,  # business id
        -70: 404,  # media
        -71: 404,  # video
        -80: 400,  # property: of a field that the service does not know
    }
)
_OTHER: Final = 409
"""A failure that is not known: asking again is no use."""
_QUESTIONS: Final = frozenset(("login", "list", "get", "download"))


def asked(root: str, action: str, parameters: Pairs, *, operation: str) -> Call:
    """A GET. The key and the token go into the query, as the vendor has it: `authorized` puts them there."""
    return Call(method="GET", url=root, query=(("action", action), *parameters), operation=operation)


def told(root: str, action: str, parameters: Pairs, *, operation: str) -> Call:
    """A POST of what changes something, with its values in the body, where no proxy logs them.

    It is sent once: whether an answer that did not arrive would have been a success is not known.
    """
    return Call(
        method="POST",
        url=root,
        query=(("action", action),),
        headers=(_FORM,),
        body=urlencode(parameters).encode("ascii"),
        idempotent=False,
        operation=operation,
    )


def with_keys(call: Call, keys: Pairs) -> Call:
    """The call with key and token: in the form where there is one, else in the query."""
    if call.body is not None:
        return replace(call, body=call.body + b"&" + urlencode(keys).encode("ascii"))
    return replace(call, query=(*call.query, *keys))


def status(reply: Reply) -> int:
    """What a reply amounts to: failures come as 200 and XML."""
    if not 200 <= reply.status < 300:
        return reply.status
    code = code_of(reply.body)
    return reply.status if code in (None, SUCCESS) else _STATUS.get(code, _OTHER)


def read(call: Call, reply: Reply, scope: Scope | MediaId | None, secrets: Iterable[str | None]) -> Answer:
    """The answer of a reply that is a success. Raises what any other stands for."""
    if not 200 <= reply.status < 300:
        raise failure(call, reply, scope, secrets)
    answer = parse(call.operation, reply.body)
    if answer.code not in (None, SUCCESS):
        raise failure(call, reply, scope, secrets)
    return answer


def code(reply: Reply) -> int | None:
    """The service's code of a reply with 2xx; None where it words none."""
    return code_of(reply.body) if 200 <= reply.status < 300 else None


def failure(
    call: Call, reply: Reply, scope: Scope | MediaId | None, secrets: Iterable[str | None]
) -> MediafsError:
    """The error that a reply stands for which is no success."""
    what = f"{NAME}: {call.operation}{_named(scope)}"
    number = code(reply)
    said = f" (code {number})" if number is not None else ""
    said += _said(reply, secrets)
    match status(reply):
        case 400 if call.operation == "update":
            return ValueRefused(f"{what}: the service refuses a value, or does not know the field{said}")
        case 401:
            return CredentialsRefused(f"{what}: the service refuses the credentials{said}")
        case 403:
            return Denied(f"{what}: the service refuses this to the account{said}")
        case 404 | 410 if scope is not None and not isinstance(scope, Everything | User):
            if number is None and call.operation != "download":
                # The API words what it lacks as a code: this is a web server that has no such API.
                return InvalidReply(f"{what}: no recording API answers there; check base_url{said}")
            return NotFound(f"{what}: there is no such thing{said}")
        case 404 | 405 | 410 | 501 as which if call.operation in _QUESTIONS:
            why = "the service has no such action" if number is not None else "check base_url"
            return InvalidReply(f"{what}: no answer of the recording API ({which}); {why}{said}")
        case 405 | 501:
            return Unsupported(f"{what}: the service has no such operation{said}")
        case 404 | 410:
            return NotFound(f"{what}: there is no such thing{said}")
        case 429:
            return Late(f"{what}: the service asks to wait{said}")
        case 408 | 500 | 502 | 503 | 504 as which:
            return Unavailable(f"{what}: the service fails ({which}){said}")
        case which:
            if 200 <= which < 300:
                return InvalidReply(f"{what}: the service answers something else than was asked for{said}")
            return InvalidReply(f"{what}: the service answers {which}{said}")


def _said(reply: Reply, secrets: Iterable[str | None]) -> str:
    try:
        words = parse("error", reply.body).words
    except InvalidReply:
        return ""
    text = harmless(words, secrets)
    return f": {text}" if text else ""


def _named(scope: Scope | MediaId | None) -> str:
    match scope:
        case Conversation(id):
            return f" of call {harmless(id)}"
        case User(id):
            return f" of user {harmless(id)}"
        case str():
            return f" of call {harmless(scope)}"
        case _:
            return ""
