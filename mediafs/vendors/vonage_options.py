"""What a Vonage account is configured with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import RSAAlgorithm

KeyIn = Literal["query", "basic"]
"""Where key and secret go: both were published once, neither is documented now."""

SHORTEST_KEY_BITS: Final = 2048
"""RFC 7518, section 3.3: no RS256 with less. The vendor's own keys have as many."""
_WORD: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class VonageOptions:
    """One application of an account: its id and private key; or an account's key and secret.

    Raises ValueError, without the value, for what cannot work.
    """

    base_url: str = "https://api.nexmo.com"
    application_id: str | None = None
    private_key: str | None = field(default=None, repr=False)
    """PEM text, as the vendor's dashboard hands it out once."""
    api_key: str | None = field(default=None, repr=False)
    """For media that belong to no application; the vendor calls this unsupported."""
    api_secret: str | None = field(default=None, repr=False)
    key_in: KeyIn = "query"

    def __post_init__(self) -> None:
        split = urlsplit(self.base_url)
        if split.scheme not in ("http", "https") or not split.hostname:
            raise ValueError("base_url: an address such as https://api.nexmo.com is needed")
        if split.query or split.fragment or split.username is not None:
            raise ValueError("base_url: neither query, fragment nor credentials belong in it")
        if self.key_in not in get_args(KeyIn):
            raise ValueError("key_in: query or basic")
        application = (self.application_id, self.private_key)
        account = (self.api_key, self.api_secret)
        if application == (None, None) and account == (None, None):
            raise ValueError("application_id and private_key are needed")
        if application != (None, None) and account != (None, None):
            raise ValueError("either application_id and private_key, or api_key and api_secret: not both")
        if account != (None, None):
            self._check_account()
        else:
            self._check_application()

    def _check_account(self) -> None:
        if not self.api_key or not self.api_secret:
            raise ValueError("api_key and api_secret belong together")
        for name in ("api_key", "api_secret"):
            if not _WORD.fullmatch(getattr(self, name)):
                raise ValueError(f"{name}: it holds a character that no request can carry")

    def _check_application(self) -> None:
        if not self.application_id or not self.private_key:
            raise ValueError("application_id and private_key belong together")
        if not _WORD.fullmatch(self.application_id):
            raise ValueError("application_id: the id that the vendor's dashboard shows, without blanks")
        why = _unusable(self.pem)
        if why:
            raise ValueError(f"private_key: {why}")

    @property
    def pem(self) -> str:
        """The private key, its lines apart: what goes through an environment variable often has `\\n`
        in place of them. Empty where key and secret are used."""
        key = (self.private_key or "").strip()
        return key if "\n" in key else key.replace("\\r", "").replace("\\n", "\n").strip()


def _unusable(pem: str) -> str | None:
    """Why no token can be signed with `pem`, in words that hold nothing of it; None: it can."""
    try:
        key: object = RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(pem)
    except TypeError:
        return "it is locked with a passphrase; a key without one is needed"
    except Exception:
        # Whatever the library stumbles over, its words may quote the text: they go no further.
        key = None
    if key is None:
        return "this is no RSA key in PEM form (-----BEGIN PRIVATE KEY-----)"
    if not isinstance(key, RSAPrivateKey):
        return "this is a public key; the private one is needed"
    if key.key_size < SHORTEST_KEY_BITS:
        return f"it has {key.key_size} bits, RS256 needs {SHORTEST_KEY_BITS}"
    return None
