"""Who is asking the Apizee twin."""

import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from json import dumps
from typing import Final

from mediafs.sandbox.apizee_options import ApizeeOptions
from mediafs.sandbox.wire import Refusal, Request

PASSWORD_GRANT: Final = "password"
JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token allows; ``expires_s`` is in seconds since 1970, None for ever."""

    user: int
    admin: bool
    expires_s: float | None = None


class Access:
    """Tokens given out."""

    def __init__(self) -> None:
        self._issued: dict[str, Grant] = {}
        self._revoked: set[str] = set()

    def grant(self, request: Request, options: ApizeeOptions) -> Grant:
        """The grant of the bearer token. Raises Refusal 401."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Refusal(401, "Missing bearer token", ("WWW-Authenticate", "Bearer"))
        if token in self._revoked:
            raise Refusal(401, "Token revoked")
        if token in (options.token, options.user_token):
            return Grant(user=options.user, admin=token == options.token)
        grant = self._issued.get(token)
        if grant is None:
            raise Refusal(401, "Invalid token")
        if grant.expires_s is not None and grant.expires_s <= request.at_s:
            raise Refusal(401, "Token expired")
        return grant

    def login(self, request: Request, options: ApizeeOptions) -> dict[str, object]:
        """A new token as the service replies it. Raises Refusal 400 or 401."""
        query = dict(request.parameters)
        form = request.form
        grant_type = query.get("grant_type")
        if grant_type is None and options.grant_type_in == "either":
            grant_type = form.get("grant_type")
        if grant_type is None:
            raise Refusal(400, "grant_type is required")
        fields = {"form": form, "query": query, "either": query | form}[options.login_in]
        if grant_type == PASSWORD_GRANT:
            self._check_password(fields, options)
        elif grant_type == JWT_GRANT:
            if not fields.get("assertion"):
                raise Refusal(400, "assertion is required")
            if fields["assertion"] != options.assertion:
                raise Refusal(401, "Invalid assertion")
        else:
            raise Refusal(400, "Unsupported grant_type")
        expires_s = request.at_s + options.expires_in_s
        token = _jwt_like(options.user, expires_s)
        self._issued[token] = Grant(user=options.user, admin=options.login_admin, expires_s=expires_s)
        created = datetime.fromtimestamp(request.at_s, UTC).isoformat(timespec="seconds")
        return {"access_token": token, "created_at": created, "expires_in": options.expires_in_s}

    def _check_password(self, fields: dict[str, str], options: ApizeeOptions) -> None:
        if not fields.get("username") or not fields.get("password"):
            raise Refusal(400, "username and password are required")
        if (fields["username"], fields["password"]) != (options.username, options.password):
            raise Refusal(401, "Invalid credentials")

    def revoke(self, request: Request) -> None:
        """Makes the request's own token worthless, a configured one too."""
        self._revoked.add(request.headers["authorization"].partition(" ")[2].strip())

    def expire_all(self) -> None:
        """Forgets every token given out, as the service does when a day has passed."""
        self._issued.clear()


def _jwt_like(user: int, expires_s: float) -> str:
    """Three base64 parts, as long as a real one; nobody may look inside."""
    parts = (
        dumps({"typ": "JWT", "alg": "RS256"}).encode(),
        dumps({"sub": user, "exp": int(expires_s), "jti": secrets.token_hex(8)}).encode(),
        secrets.token_bytes(256),
    )
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
