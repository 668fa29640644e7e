"""How the id of a session stands in an address.

It is Base64 as a rule and may hold `/`, `+` and `=`. Encoded once, or twice where it begins with `/` or holds
`//` (a third party's restatement of the vendor's pages; another one says twice for any `/`, and the vendor's
own JavaScript library encodes every id twice). Where one form is answered with 404 the other is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from ..errors import NotFound
from ._zoom_record import NAME, SESSION_ID
from ._zoom_replies import status_of
from .protocol import Call, Flow, Reply

GONE: Final = frozenset({404, 410})


def forms(session: str, learnt: dict[str, object]) -> list[str]:
    """The ways to write an id, the likeliest first. Raises NotFound for what can be no id."""
    if not SESSION_ID.fullmatch(session):
        raise NotFound(f"{NAME}: that cannot be the id of a session")
    once = quote(session, safe="")
    twice = quote(once, safe="")
    if once == twice:
        return [once]
    ways = {"once": once, "twice": twice}
    known = _known(learnt, _kind(session))
    first = known or ("twice" if session.startswith("/") or "//" in session else "once")
    if known and "/" not in session:
        return [ways[known]]  # seen to work: a 404 is the service's word
    return [ways.pop(first), *ways.values()]


def exchanged(
    session: str, learnt: dict[str, object], call: Callable[[str], Call]
) -> Flow[tuple[Call, Reply]]:
    """The call for `session` and its answer: the first that is not 404, else the last one.

    It is marked as repeated where one of those before it was.
    """
    repeated = False
    for form in forms(session, learnt):
        made = call(form)
        reply = yield made
        repeated = repeated or reply.repeated
        if status_of(made, reply) in GONE:
            continue
        if 200 <= status_of(made, reply) < 300 and quote(session, safe="") != session:
            encodings = learnt.get("encoding")
            known = encodings if isinstance(encodings, dict) else {}
            way = "once" if form == quote(session, safe="") else "twice"
            learnt["encoding"] = {**known, _kind(session): way}
        break
    return made, replace(reply, repeated=repeated)


def _kind(session: str) -> str:
    if session.startswith("/") or "//" in session:
        return "double"
    return "slash" if "/" in session else "plain"


def _known(learnt: dict[str, object], kind: str) -> str | None:
    encodings = learnt.get("encoding")
    way = encodings.get(kind) if isinstance(encodings, dict) else None
    return way if way in ("once", "twice") else None
