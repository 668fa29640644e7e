"""Tokens of a Vonage application, and how a credential travels.

The claims are those of the vendor's own Node SDK (`packages/jwt`); the service honours no token
later than a day after `iat` (its support article on JWT). There is no refresh: a new one is minted.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import NAMESPACE_URL, uuid5

import jwt

from .protocol import Call, Credential
from .vonage_options import VonageOptions

TOKEN_LIFE_S: Final = 900
"""The SDK's own choice, and what the service assumes of a token without `exp`."""
RENEW_AT: Final = 0.8


def gained(options: VonageOptions, now: datetime) -> Credential:
    """A token signed here, of the moment `now`; or the account's secret, which never ends."""
    if options.api_secret is not None:
        return Credential(secret=options.api_secret, renew_after_s=None)
    issued = int(now.timestamp())
    claims = {
        "application_id": options.application_id,
        "iat": issued,
        "exp": issued + TOKEN_LIFE_S,
        # Unique as long as no two are minted within a microsecond; a token refused is never minted again.
        "jti": str(uuid5(NAMESPACE_URL, f"mediafs:{options.application_id}:{now.isoformat()}")),
    }
    token = jwt.encode(claims, options.pem, algorithm="RS256")
    return Credential(secret=token, renew_after_s=RENEW_AT * TOKEN_LIFE_S)


def authorized(options: VonageOptions, call: Call, credential: Credential) -> Call:
    """The call with the token in its header; or with key and secret, where the options want them."""
    if options.api_key is None:
        header = f"Bearer {credential.secret}"
    elif options.key_in == "basic":
        pair = f"{options.api_key}:{credential.secret}".encode()
        header = f"Basic {b64encode(pair).decode('ascii')}"
    else:
        pairs = (("api_key", options.api_key), ("api_secret", credential.secret))
        return replace(call, query=(*call.query, *pairs))
    return replace(call, headers=(*call.headers, ("Authorization", header)))
