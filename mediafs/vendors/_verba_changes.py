"""What changes a call at the service: AttachMetaData and DeleteCall, each sent once."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from ..errors import CredentialsRefused, Forbidden, InvalidReply, Unsupported, ValueRefused
from ..model import Edits, Erased, Media, MediaId
from . import _verba_calls as calls
from ._verba_xml import NAME
from .protocol import Call, Flow, Pairs, Reply

_SPELLINGS: Final = ("AttachMetaData", "AttachMetadata")
"""The vendor's page, and a public client."""


def attached(edits: Edits, fields: tuple[str, ...]) -> Pairs:
    """What is to be sent. Raises Unsupported and ValueRefused, before anything is."""
    if edits.keys() - set(fields):
        raise Unsupported(f"{NAME}: update: no configured metadata field is called so")
    if any("\0" in (value or "") for value in edits.values()):
        raise ValueRefused(f"{NAME}: update: a value cannot hold a null character")
    return tuple((name, value or "") for name, value in edits.items())


def attach(
    root: str, id_: str, values: Pairs, learnt: dict[str, object], secrets: Iterable[str | None]
) -> Flow[None]:
    """Sends the fields; `learnt["attach"]` is the spelling of the action that the service knows.

    Raises ValueRefused, NotFound, Denied, Unsupported, InvalidReply.
    """
    parameters: Pairs = (("responseType", "XML"), ("callID", id_), *values)
    spellings = sorted(_SPELLINGS, key=lambda spelling: spelling != learnt.get("attach"))
    for number, action in enumerate(spellings, 1):
        call = calls.told(root, action, parameters, operation="update")
        reply = yield call
        if calls.code(reply) == calls.INVALID_ACTION and number < len(spellings):
            continue  # it does not know the word, so nothing was done
        _confirmed(call, reply, MediaId(id_), secrets)
        learnt["attach"] = action
        return


def stands(media: Media, values: Pairs) -> bool:
    """Whether the record shows every value."""
    has = dict(media.extra)
    return all(_plain(has.get(name, "")) == _plain(value) for name, value in values)


def delete(root: str, id_: str, secrets: Iterable[str | None]) -> Flow[Erased]:
    """DeleteCall, once: what comes of a request whose answer is lost is for the caller to look up.

    The service deletes the whole conversation of the call. Raises Forbidden where it refuses (a retention
    period, a legal hold), InvalidReply where it does not say that the call is gone.
    """
    parameters: Pairs = (("responseType", "XML"), ("callID", id_))
    call = calls.told(root, "DeleteCall", parameters, operation="delete")
    reply = yield call
    number = calls.code(reply)
    if number == calls.CALL_NOT_FOUND:
        return Erased(answer=f"DeleteCall {number}", carried_out=False)
    if number is not None and number < calls.SUCCESS:
        error = calls.failure(call, reply, MediaId(id_), secrets)
        if isinstance(error, CredentialsRefused):
            raise error
        raise Forbidden(f"{NAME}: delete: the service refuses to delete this call: {error}")
    _confirmed(call, reply, MediaId(id_), secrets)
    return Erased(answer=f"DeleteCall {number}")


def _confirmed(call: Call, reply: Reply, media: MediaId, secrets: Iterable[str | None]) -> None:
    """Raises what stands for a reply that does not say that just this was done."""
    answer = calls.read(call, reply, media, secrets)
    action = dict(call.query)["action"].lower()
    if answer.code != calls.SUCCESS or (answer.action or action).lower() != action:
        raise InvalidReply(f"{NAME}: {call.operation}: the answer does not say that it was done")


def _plain(text: str) -> str:
    """Without what services tidy up when they store a text."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()
