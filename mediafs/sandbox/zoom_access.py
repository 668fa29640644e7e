"""Who is asking the Zoom twin: JWTs, signed by the client with HS256 (RFC 7515, 7519)."""

import hmac
import json
from base64 import urlsafe_b64decode
from hashlib import sha256

from mediafs.sandbox.wire import Refusal, Request
from mediafs.sandbox.zoom_options import ZoomOptions

SKEW_S = 5
"""How far in the future a token may have been signed."""


class Tokens:
    """Tokens seen, so that they can be made worthless."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._worthless: set[str] = set()

    def expire(self) -> None:
        """Every token seen is refused once: one that is signed anew within the same second is the same."""
        self._worthless |= self._seen
        self._seen.clear()

    def check(self, request: Request, options: ZoomOptions, where: str = "header") -> None:
        """Raises Refusal 401 where the request's token is not good; *where* is header, query or either."""
        tokens = []
        if where in ("header", "either"):
            scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
            tokens += [bearer.strip()] if scheme.lower() == "bearer" else []
        if where in ("query", "either"):
            tokens += [value for name, value in request.parameters if name == "access_token"]
        if not tokens:
            raise Refusal(401, "Invalid access token, there is none.")
        for token in tokens:
            self._check(token, request.at_s, options)

    def _check(self, token: str, now_s: float, options: ZoomOptions) -> None:
        try:
            head, claims, signature = token.split(".")
            signed = hmac.new(options.api_secret.encode(), f"{head}.{claims}".encode(), sha256).digest()
            right = hmac.compare_digest(signed, _decoded(signature))
            header, facts = json.loads(_decoded(head)), json.loads(_decoded(claims))
            right = right and header == {"alg": "HS256", "typ": "JWT"}
            issued, expires = int(facts["iat"]), int(facts["exp"])
            right = right and facts["iss"] == options.api_key
        except (KeyError, TypeError, ValueError) as error:
            raise Refusal(401, "Invalid access token.") from error
        if not right:
            raise Refusal(401, "Invalid access token.")
        if issued > now_s + SKEW_S or expires - issued > options.longest_life_s:
            raise Refusal(401, "Invalid access token, its times are wrong.")
        if token in self._worthless:
            self._worthless.discard(token)
            raise Refusal(401, "Invalid access token.")
        if expires <= now_s:
            raise Refusal(401, "Access token is expired.")
        self._seen.add(token)


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
