"""The token of a Video SDK account, which is signed here: there is no login and nothing to refresh."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta
from typing import Final

import jwt

from .protocol import Credential
from .zoom_options import ZoomOptions

LIFE: Final = timedelta(hours=1)
"""What the vendor advises at most (its page on API requests)."""
EARLIER: Final = timedelta(seconds=30)
"""`iat` lies in the past by this much: the service's clock may be behind ours."""
RENEW_BEFORE: Final = timedelta(minutes=5)


def signed(options: ZoomOptions, now: datetime) -> Credential:
    """A token that is good from a little before `now` for an hour after it."""
    claims = {
        "iss": options.api_key,
        "iat": int((now - EARLIER).timestamp()),
        "exp": int((now + LIFE).timestamp()),
    }
    with warnings.catch_warnings():
        # How long the secret is was the vendor's choice; nobody here can heed the advice.
        warnings.simplefilter("ignore")
        token = jwt.encode(claims, options.api_secret, algorithm="HS256", headers={"typ": "JWT"})
    return Credential(secret=token, renew_after_s=(LIFE - RENEW_BEFORE).total_seconds())
