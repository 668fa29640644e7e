"""The token of an API user: `RequestToken`, which lives an hour."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from typing import Final

from ..errors import CredentialsRefused, InvalidReply, MediafsError
from ._verba_calls import (
    INVALID_KEY,
    SUCCESS,
    asked,
    code,
    failure,
    status,
    told,
    with_keys,
)
from ._verba_xml import NAME, parse
from .protocol import Call, Credential, Flow, Pairs
from .verba_options import VerbaOptions

TOKEN_LIFE_S: Final = 3600
"""The vendor's page on API authentication; whether from the login or from the last use is not written."""
RENEW_AFTER_S: Final = TOKEN_LIFE_S - 300
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}", re.ASCII)
_COOKIE: Final = re.compile(r"[\w.-]{1,64}=[\w.!~*+/=-]{1,256}", re.ASCII)
_GUESS_AGAIN: Final = frozenset((400, 401, 403))
"""It may be the way of asking that is refused."""


def request_token(root: str, options: VerbaOptions, learnt: dict[str, object]) -> Flow[Credential]:
    """A token; a key that needs no login has none, and costs no request.

    Name and password go in a header; where that is refused, in a form. `learnt["login"]` is the way that
    has worked. Raises CredentialsRefused, InvalidReply, Late, Unavailable.
    """
    if options.username is None or options.password is None:
        return Credential(secret="", renew_after_s=None)
    ways = _ways(root, options, options.username, options.password)
    known = learnt.get("login")
    secrets = (options.password, options.username, options.api_key)
    refused: MediafsError | None = None
    for name in sorted(ways, key=lambda name: name != known):
        call = ways[name]
        reply = yield call
        if 200 <= reply.status < 300 and code(reply) == SUCCESS:
            answer = parse("login", reply.body)
            if answer.token is None or not _TOKEN.fullmatch(answer.token):
                raise InvalidReply(
                    f"{NAME}: login: Response/@token: there is no token that a query can carry"
                )
            learnt["login"] = name
            # Neither holds a blank. Both public clients send the session's cookie back beside the token.
            cookie = answer.cookie if answer.cookie and _COOKIE.fullmatch(answer.cookie) else ""
            return Credential(secret=f"{answer.token} {cookie}".strip(), renew_after_s=RENEW_AFTER_S)
        error = failure(call, reply, None, secrets)
        if code(reply) == INVALID_KEY:
            raise CredentialsRefused(f"{NAME}: login: the service refuses the api_key")
        # Where the way is known to be right, the password is not: services lock who keeps guessing.
        if name == known or status(reply) not in _GUESS_AGAIN:
            raise error
        refused = refused or error
    if isinstance(refused, CredentialsRefused):
        raise refused
    raise CredentialsRefused(f"{NAME}: login: the service refuses username and password")


def _ways(root: str, options: VerbaOptions, username: str, password: str) -> dict[str, Call]:
    key: Pairs = (("apiKey", options.api_key),)
    basic = b64encode(f"{username}:{password}".encode()).decode("ascii")
    header = with_keys(asked(root, "RequestToken", (("responseType", "XML"),), operation="login"), key)
    form = told(
        root,
        "RequestToken",
        (("responseType", "XML"), ("userName", username), ("password", password)),
        operation="login",
    )
    return {
        "header": replace(header, headers=(("Authorization", f"Basic {basic}"),)),
        "form": replace(with_keys(form, key), idempotent=True),
    }
