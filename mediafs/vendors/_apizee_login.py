"""The password grant of an Apizee account."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from ..errors import CredentialsRefused, InvalidReply, MediafsError
from ._apizee_failures import NAME, failure, said
from ._json import parse
from .apizee_options import HEADER_SAFE, ApizeeOptions
from .protocol import Call, Credential, Flow, Pairs, Reply

TOKEN_LIFE_S: Final = 86400
"""`expires_in` of the documented sample, for a reply that leaves it out."""
RENEW_AT: Final = 0.9
"""There is no refresh token: a new login while a tenth of the old one's life is left."""


def password_grant(root: str, options: ApizeeOptions, learnt: dict[str, object]) -> Flow[Credential]:
    """A token for the account's user name and password; `learnt["login"]` is the way that has worked.

    The documentation shows all fields in the query, where proxies and logs keep them; a public
    client sends them all as a form. The forms are tried first. Raises CredentialsRefused, InvalidReply,
    Late, Unavailable.
    """
    grant = (("grant_type", "password"),)
    who = (("username", options.username or ""), ("password", options.password or ""))
    call = Call(method="POST", url=f"{root}/token", operation="login")
    ways = [
        _with_form(replace(call, query=grant), who),
        _with_form(call, grant + who),
        replace(call, query=grant + who),
    ]
    failures: list[MediafsError] = []
    known = learnt.get("login")
    for way in sorted(range(len(ways)), key=lambda way: way != known):
        reply = yield ways[way]
        if 200 <= reply.status < 300:
            break
        failures.append(_failure(call, reply, options))
        # Where the way is known to be right, the password is not: services lock who keeps guessing.
        certain = way == known and reply.status in (401, 403)
        if certain or reply.status not in (400, 401, 403, 404, 422):
            raise failures[-1]
    else:
        raise next((e for e in failures if isinstance(e, CredentialsRefused)), failures[-1])
    learnt["login"] = way
    answer = parse(NAME, "login", reply.body)
    token = answer["access_token"].text()
    if token is None or not HEADER_SAFE.fullmatch(token):
        answer["access_token"].refuse("there is no token that a header can carry")
    life_s = answer["expires_in"].number()
    if life_s is not None and life_s <= 0:
        answer["expires_in"].refuse("the token is expired from the start")
    return Credential(secret=token, renew_after_s=RENEW_AT * (TOKEN_LIFE_S if life_s is None else life_s))


def _failure(call: Call, reply: Reply, options: ApizeeOptions) -> MediafsError:
    words = said(reply, (options.password, options.username))
    # 400 and 404 are documented for the token endpoint beside 401 and 403; a web server that
    # has no such endpoint answers them too, but then not in the service's own words.
    if reply.status in (401, 403, 422) or (reply.status in (400, 404) and words):
        return CredentialsRefused(f"{NAME}: login: the service refuses username and password{words}")
    if reply.status in (400, 404):
        return InvalidReply(f"{NAME}: login: no answer of a token endpoint ({reply.status}); check base_url")
    return failure(call, reply, None, words)


def _with_form(call: Call, form: Pairs) -> Call:
    header = ("Content-Type", "application/x-www-form-urlencoded")
    return replace(call, headers=(header,), body=urlencode(form).encode("ascii"))
