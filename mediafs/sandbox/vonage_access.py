"""Who is asking the Vonage twin: tokens of an application, or the account's key and secret."""

import json
from base64 import b64decode, urlsafe_b64decode
from binascii import Error as NotBase64
from functools import lru_cache
from hmac import compare_digest

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mediafs.sandbox.vonage_options import VonageOptions
from mediafs.sandbox.wire import Refusal, Request

LONGEST_S = 24 * 3600
"""A token is never honoured later than this after iat."""
WITHOUT_EXP_S = 15 * 60
SKEW_S = 60
"""How far ahead the client's clock may be."""


class Tokens:
    """The tokens that were seen, to be able to make them worthless."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._worthless: set[str] = set()

    def expire(self) -> None:
        """Makes every token seen so far worthless."""
        self._worthless |= self._seen

    def admit(self, request: Request, options: VonageOptions) -> None:
        """Raises Refusal 401 for a request without good credentials."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        query = dict(request.parameters)
        if scheme.lower() == "bearer" and value:
            self._admit_token(value, request.at_s, options)
        elif scheme.lower() == "basic" and options.key_secret in ("basic", "either"):
            _check_pair(_decoded(value), options)
        elif "api_key" in query and options.key_secret in ("query", "either"):
            _check_pair(f"{query['api_key']}:{query.get('api_secret', '')}", options)
        else:
            raise Refusal(401, "Unauthorized")

    def _admit_token(self, token: str, now_s: float, options: VonageOptions) -> None:
        claims = _claims(token, options)
        jti, issued, ends = claims.get("jti"), claims.get("iat"), claims.get("exp")
        if not isinstance(jti, str) or claims.get("application_id") != options.application_id:
            raise Refusal(401, "Unauthorized")
        if not isinstance(issued, int) or issued > now_s + SKEW_S:
            raise Refusal(401, "Unauthorized")
        if not isinstance(ends, int):
            ends = issued + WITHOUT_EXP_S
        if now_s >= min(ends, issued + LONGEST_S):
            raise Refusal(401, "Token expired")
        acl = claims.get("acl")
        if acl is not None and not (isinstance(acl, dict) and "/*/media/**" in acl.get("paths", {})):
            raise Refusal(403, "Forbidden")
        self._seen.add(token)
        if token in self._worthless:
            raise Refusal(401, "Token revoked")


def _claims(token: str, options: VonageOptions) -> dict[str, object]:
    """What a token signed with RS256 by the application's key claims. Raises Refusal 401."""
    try:
        head, body, signature = token.split(".")
        if json.loads(_bytes(head)) != {"alg": "RS256", "typ": "JWT"}:
            raise Refusal(401, "Unauthorized")
        _public_key(options.private_key).verify(
            _bytes(signature), f"{head}.{body}".encode(), PKCS1v15(), SHA256()
        )
        claims = json.loads(_bytes(body))
    except (ValueError, InvalidSignature) as error:
        raise Refusal(401, "Unauthorized") from error
    return claims if isinstance(claims, dict) else {}


@lru_cache(maxsize=4)
def _public_key(pem: str) -> RSAPublicKey:
    """Reading a key takes longer than anything else that a request needs."""
    key = load_pem_private_key(pem.encode("ascii"), None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("the application's key is no RSA key")
    return key.public_key()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _decoded(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode()
    except (NotBase64, ValueError):
        return ""


def _check_pair(given: str, options: VonageOptions) -> None:
    wanted = f"{options.api_key}:{options.api_secret}"
    if not compare_digest(given.encode("utf-8", "replace"), wanted.encode()):
        raise Refusal(401, "Unauthorized")
