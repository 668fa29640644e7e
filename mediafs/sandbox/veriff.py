"""Veriff's session media over a world: one request in, one response out, no socket.

Documented behaviour follows the vendor's pages on /v1/sessions/{id}/media, /v1/sessions/{id}/attempts,
/v1/attempts/{id}/media, /v1/media/{id} and on signatures; where they are silent or contradict each other,
VeriffOptions decides.
"""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import ClassVar, Final

from mediafs.sandbox.media import Body
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.records import Media
from mediafs.sandbox.service import Reshape
from mediafs.sandbox.transfer import send_body
from mediafs.sandbox.twin import Twin
from mediafs.sandbox.veriff_options import VeriffOptions
from mediafs.sandbox.veriff_sessions import Sessions, content_type, media_list, session_uuid, verification
from mediafs.sandbox.wire import Headers, Refusal, Request, Response, json_response, only
from mediafs.sandbox.world import World

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_GENERAL: Final = "1101"
"""The code of every error in the vendor's samples."""


@dataclass(frozen=True, slots=True)
class _Typed:
    """Another body under another content type."""

    body: Body
    content_type: str

    @property
    def size(self) -> int:
        return self.body.size

    @property
    def etag(self) -> str:
        return self.body.etag

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        return self.body.chunks(start, stop)


class Veriff(Twin[VeriffOptions]):
    """The service. ``deletions`` and ``decisions`` hold the sessions that were asked for in these ways."""

    name = "veriff"
    options_type: ClassVar[type[CommonOptions]] = VeriffOptions

    def __init__(self, world: World, options: VeriffOptions, *, signing_key: bytes) -> None:
        super().__init__(world, options, signing_key=signing_key)
        world.serve_as("audio", "document")
        self.sessions = Sessions(world)
        self.deletions: list[str] = []
        self.decisions: list[str] = []

    def credentials(self) -> dict[str, str]:
        """The key, the newest secret, and what no service lists: the sessions, with commas between."""
        return {
            "api_key": self.options.api_key,
            "shared_secret": self.options.shared_secrets[0],
            "sessions": ",".join(self.sessions.all()),
        }

    def account(self) -> dict[str, str | bool | list[str]]:
        keys = {name: self.credentials()[name] for name in ("api_key", "shared_secret")}
        return {"base_url": self.origin, **keys, "sessions": self.sessions.all()}

    def expire(self) -> None:
        """Signatures never expire."""

    def media_of(self, request: Request) -> Media | None:
        """The media that a request of either origin is about."""
        match request.segments:
            case ["v1", "media", id]:
                return self.sessions.named(id)
        return super().media_of(request)

    def handle(self, request: Request, reshape: Reshape | None = None) -> Response:
        """The answer of the API origin; *reshape* swaps the bytes of a download for others."""
        extra: Headers = ()
        try:
            if self.options.bare_404:
                return Response(status=404, headers=(("Content-Type", "text/html"),), payload=b"<h1>404</h1>")
            match request.segments:
                case ["v1", "sessions" | "attempts" | "media", id, *_] if id:
                    self._authenticate(request)
                    extra = self.limits.count(self.options.api_key, request.at_s, self.options)
                    response = self._answer(request, reshape)
                case _:
                    raise Refusal(404, "Resource not found")
        except Refusal as refusal:
            response = self.error(refusal)
        return self._countersigned(response).adding(extra)

    def error(self, refusal: Refusal) -> Response:
        """*refusal* in the one shape that every page shows."""
        value = {"status": "fail", "code": str(refusal.code or _GENERAL), "message": refusal.text}
        return json_response(refusal.status, value, *refusal.headers)

    # Signatures.

    def _authenticate(self, request: Request) -> None:
        """Raises Refusal 401 unless the key is the integration's and the signature looks like one."""
        key = request.headers.get("x-auth-client")
        if not key:
            text = "Mandatory X-AUTH-CLIENT header containing the API key is missing from the request."
            raise Refusal(401, text, code=1801)
        if not _UUID.fullmatch(key):
            raise Refusal(401, "The API key is not a UUID", code=1802)
        if key != self.options.api_key:
            raise Refusal(401, "No integration has this API key", code=1803)
        if not _SIGNATURE.fullmatch(request.headers.get("x-hmac-signature", "")):
            raise Refusal(401, "The signature is not a SHA256 hash", code=1812)

    def _check(self, request: Request, *ids: str) -> None:
        """Raises Refusal 401 unless the signature is of one of *ids*."""
        given = request.headers["x-hmac-signature"]
        for secret in self.options.shared_secrets:
            for id in ids:
                if hmac.compare_digest(_signature(secret, id.encode()), given):
                    return
        raise Refusal(401, "The signature is not the HMAC of the id in the query", code=1818)

    def _countersigned(self, response: Response) -> Response:
        if not self.options.signed_replies or not isinstance(response.payload, bytes):
            return response
        signature = _signature(self.options.shared_secrets[0], response.payload)
        return response.adding((("x-hmac-signature", signature), ("x-auth-client", self.options.api_key)))

    # Answers.

    def _answer(self, request: Request, reshape: Reshape | None) -> Response:
        match request.segments[1:]:
            case ["sessions", session, "media"]:
                only(request, "GET")
                self._check(request, session)
                latest = self.sessions.attempts(self._conversation(session), self.options.attempts)[0]
                return json_response(200, media_list(latest, session, self._links(), self.options))
            case ["sessions", session, "attempts"]:
                self._offered(self.options.attempts_listing)
                only(request, "GET")
                self._check(request, session)
                return json_response(200, self._attempts(session))
            case ["sessions", session, "decision"]:
                only(request, "GET")
                self._check(request, session)
                self._conversation(session)
                self.decisions.append(session)
                return json_response(200, {"status": "success", "verification": _decision(session)})
            case ["sessions", session]:
                only(request, "DELETE")
                self._check(request, session)
                return self._delete(session)
            case ["attempts", id, "media"]:
                self._offered(self.options.attempt_media)
                only(request, "GET")
                self._check(request, id)
                found = self.sessions.attempt(id, self.options.attempts)
                if found is None:
                    raise Refusal(404, "Resource not found")
                listed = media_list(found[1], session_uuid(found[0]), self._links(), self.options)
                return json_response(200, listed)
            case ["media", id]:
                only(request, "GET")
                return self._download(request, id, reshape)
        raise Refusal(404, "Resource not found")

    def _offered(self, how: str) -> None:
        if how != "yes":
            raise Refusal(int(how), "Resource not found" if how == "404" else "Method not allowed")

    def _conversation(self, session: str) -> str:
        if not _UUID.fullmatch(session):
            raise Refusal(400, "Validation failed", code=1001)
        conversation = self.sessions.conversation(session)
        if conversation is None:
            raise Refusal(404, "Resource not found")
        return conversation

    def _attempts(self, session: str) -> dict[str, object]:
        attempts = self.sessions.attempts(self._conversation(session), self.options.attempts)
        rows = [verification(attempt, self.options) for attempt in attempts]
        if self.options.twice:
            rows.append(rows[0])
        return {"status": "success", "verifications": rows}

    def _links(self) -> str | None:
        return {"own": self.origin, "other": self.storage, "none": None}[self.options.urls]

    def _download(self, request: Request, id: str, reshape: Reshape | None) -> Response:
        media = self.sessions.named(id)
        session = session_uuid(media.conversation) if media is not None else id
        signed = {"media": (id,), "session": (session,), "either": (id, session)}
        self._check(request, *signed[self.options.media_signed_by])
        if media is None:
            raise Refusal(404, "Resource not found")
        if media.id in self.options.forbidden_downloads:
            raise Refusal(403, "Forbidden")
        if self.options.redirect:
            return Response(status=302, headers=(("Location", self.link(media, request)),))
        typed = replace(media, body=_Typed(media.body, content_type(media)))
        # The documentation shows no Content-Disposition, so none is sent.
        sent = send_body(request, self.options, typed, reshape)
        headers = tuple(pair for pair in sent.headers if pair[0] != "Content-Disposition")
        return replace(sent, headers=headers)

    def _delete(self, session: str) -> Response:
        """The whole verification goes, with everything that was ever uploaded in it."""
        self.deletions.append(session)
        conversation = self._conversation(session)
        if not self.options.deletion:
            raise Refusal(403, "Deletion is not enabled for this integration")
        for media in self.sessions.media(conversation):
            self.world.remove(media.id)
        return json_response(200, {"status": "success", "verification": {"id": session}})


def _signature(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, sha256).hexdigest()


def _decision(session: str) -> dict[str, object]:
    """What nobody should have without need: the person."""
    return {
        "id": session,
        "code": 9001,
        "status": "approved",
        "person": {"firstName": "Sandbox-Personal-Data", "idNumber": "19001010000"},
    }
