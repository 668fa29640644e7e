"""The storage origin: signed links that need no credential, made and answered.

A credential that arrives here was sent where it must never go. The log keeps all that the origin was sent;
``carries`` looks through it.
"""

import hmac
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

from mediafs.sandbox.media import Body
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.records import Media
from mediafs.sandbox.transfer import send_body
from mediafs.sandbox.wire import Refusal, Request, Response
from mediafs.sandbox.world import World

_CREDENTIAL_HEADERS: Final = ("authorization", "proxy-authorization", "cookie")
_SHORTEST_SECRET: Final = 8


class Storage:
    """The files of *world* behind links that only the holder of *signing_key* can make."""

    def __init__(self, world: World, signing_key: bytes) -> None:
        self._world = world
        self._signing_key = signing_key

    def target(self, media: Media, expires_s: float) -> str:
        """The path and query of the link to *media* that is good until *expires_s*, seconds since 1970."""
        expires = f"{expires_s:.3f}"
        name = quote(media.filename, safe="", errors="replace") or "file"
        # Dots alone are a path segment that clients resolve away.
        name = name if name.strip(".") else "file"
        query = f"expires={expires}&signature={self._signature(str(media.id), expires)}"
        return f"/stored/{media.id}/{name}?{query}"

    def answer(
        self, request: Request, options: CommonOptions, reshape: Callable[[Body], Body] | None
    ) -> Response:
        """The file that *request* is a link to; 403 for a wrong or expired link, 404 for everything else."""
        given = dict(request.parameters)
        match request.segments:
            case ["stored", media_id, *_] if request.method == "GET":
                wanted = self._signature(media_id, given.get("expires", ""))
                if not hmac.compare_digest(wanted, given.get("signature", "")):
                    return storage_error(Refusal(403, "SignatureDoesNotMatch"))
                if float(given["expires"]) < request.at_s:
                    return storage_error(Refusal(403, "ExpiredToken"))
                media = self._world.get(int(media_id))
                if media is not None:
                    return send_body(request, options, media, reshape)
        return storage_error(Refusal(404, "NoSuchKey"))

    def media_of(self, request: Request) -> Media | None:
        """The media that *request* names as a link does, whether it is signed or not."""
        match request.segments:
            case ["stored", media_id, *_]:
                return self._world.named(media_id)
        return None

    def _signature(self, media_id: str, expires: str) -> str:
        return hmac.new(self._signing_key, f"{media_id}\n{expires}".encode(), sha256).hexdigest()


def storage_error(refusal: Refusal) -> Response:
    """*refusal* in the shape of an object store's errors."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refusal.text}</Code></Error>'
    headers = (("Content-Type", "application/xml"), *refusal.headers)
    return Response(status=refusal.status, headers=headers, payload=text.encode())


def carries(headers: Mapping[str, str], target: str, secrets: Iterable[str]) -> bool:
    """Whether a request brought a header made for credentials, or any of *secrets* in any header or in its
    *target*, the path and query.

    A secret of less than eight characters is not looked for: it would be found by chance.
    """
    if any(name in headers for name in _CREDENTIAL_HEADERS):
        return True
    text = "\n".join([*headers.values(), target, unquote(target), unquote_plus(target)])
    return any(secret in text for secret in secrets if len(secret) >= _SHORTEST_SECRET)
