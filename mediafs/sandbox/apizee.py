"""The Apizee Media API v3 over a world: one request in, one response out, no socket.

Documented behaviour follows the vendor's page "Snapshots and recordings"; where it is silent,
ApizeeOptions decides.
"""

import hmac
import json
from dataclasses import replace
from typing import ClassVar, Final

from mediafs.sandbox.access import Access, Grant
from mediafs.sandbox.apizee_options import ApizeeOptions
from mediafs.sandbox.formats import thumbnail
from mediafs.sandbox.listing import read_listing
from mediafs.sandbox.media import BytesBody
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.records import Media
from mediafs.sandbox.service import Reshape
from mediafs.sandbox.transfer import send_body
from mediafs.sandbox.twin import Twin
from mediafs.sandbox.wire import NO_CONTENT, Headers, Refusal, Request, Response, json_response, only
from mediafs.sandbox.world import World

MAX_TITLE: Final = 255
_GEO_LIMITS: Final = (90.0, 180.0)


class Apizee(Twin[ApizeeOptions]):
    """The service."""

    name = "apizee"
    options_type: ClassVar[type[CommonOptions]] = ApizeeOptions

    def __init__(self, world: World, options: ApizeeOptions, *, signing_key: bytes) -> None:
        super().__init__(world, options, signing_key=signing_key)
        self.access = Access()

    def credentials(self) -> dict[str, str]:
        """The two tokens and the login, which is for POST /api/v3/token."""
        names = ("token", "user_token", "username", "password")
        return {name: getattr(self.options, name) for name in names}

    def account(self) -> dict[str, str | bool | list[str]]:
        conversations = list(self.world.conversations[:2])
        return {
            "base_url": self.origin,
            "token": self.options.token,
            "user": "all",
            "conversations": conversations,
            "delete": "permanent",
        }

    def expire(self) -> None:
        """Makes every token that was given out worthless, as the service does when a day has passed."""
        self.access.expire_all()

    def media_of(self, request: Request) -> Media | None:
        """The media that a request of either origin is about."""
        match request.segments:
            case ["api", "v3", "medias", media_id, *_] | ["media", "showVideo", media_id, *_]:
                return self.world.named(media_id)
        return super().media_of(request)

    def handle(self, request: Request, reshape: Reshape | None = None) -> Response:
        """The answer of the API origin; *reshape* swaps the bytes of a download for others."""
        extra: Headers = ()
        try:
            match request.segments:
                case ["media", "showVideo", media_id, "hash", secret]:
                    return self._show(request, media_id, secret)
                case ["api", "v3", "token"]:
                    only(request, "POST")
                    extra = self.limits.count(self.options.user, request.at_s, self.options)
                    response = json_response(200, self.access.login(request, self.options))
                case ["api", "v3", *rest]:
                    grant = self.access.grant(request, self.options)
                    extra = self.limits.count(grant.user, request.at_s, self.options)
                    response = self._answer(request, rest, grant, reshape)
                case _:
                    raise Refusal(404, "Not found")
        except Refusal as refusal:
            response = self.error(refusal)
        return response.adding(extra)

    def error(self, refusal: Refusal) -> Response:
        """*refusal* as JSON, in the shape of version 3 or 2."""
        shape: dict[str, object] = {"error": refusal.text}
        if self.options.error_shape == "code":
            shape = {"code": refusal.status, "message": refusal.text, "details": ""}
        return json_response(refusal.status, shape, *refusal.headers)

    def _answer(self, request: Request, rest: list[str], grant: Grant, reshape: Reshape | None) -> Response:
        match rest:
            case ["token", "revoke"]:
                only(request, "POST")
                self.access.revoke(request)
                return json_response(200, [])
            case ["medias"]:
                only(request, "GET")
                return self._list(request, grant)
            case ["medias", media_id]:
                only(request, "GET", "PUT", "DELETE")
                media = self._media(media_id, grant)
                if request.method == "PUT":
                    return self._update(request, media)
                if request.method == "DELETE":
                    return self._delete(media)
                return json_response(200, media.record(self.origin))
            case ["medias", media_id, "download"]:
                only(request, "GET")
                return self._download(request, self._media(media_id, grant), reshape)
        raise Refusal(404, "Not found")

    def _media(self, text: str, grant: Grant) -> Media:
        media = self.world.named(text)
        if media is None:
            raise Refusal(404, "Media not found")
        if media.owner.id != grant.user and not grant.admin:
            raise Refusal(403, "Not allowed")
        return media

    def _list(self, request: Request, grant: Grant) -> Response:
        listing = read_listing(request, self.options, grant)
        total, page = self.world.select(
            listing.selection, offset=listing.offset, limit=listing.limit, newest_first=listing.newest_first
        )
        reply: dict[str, object] = {"total": total}
        after = listing.offset + len(page)
        if after < total and page:
            reply["next_offset"] = after
        elif self.options.last_next_offset != "absent":
            last = {"null": None, "total": total, "same": listing.offset}
            reply["next_offset"] = last[self.options.last_next_offset]
        reply["data"] = [media.record(self.origin) for media in page]
        return json_response(200, reply)

    def _download(self, request: Request, media: Media, reshape: Reshape | None) -> Response:
        if media.id in self.options.forbidden_downloads:
            raise Refusal(403, "Not allowed to download this media")
        if not media.completed:
            return Response(status=NO_CONTENT)
        if self.options.redirect:
            return Response(status=302, headers=(("Location", self.link(media, request)),))
        return send_body(request, self.options, media, reshape)

    def _show(self, request: Request, media_id: str, secret: str) -> Response:
        """The capability links: whoever knows the hash needs no token, which is what makes the hash a
        secret.
        """
        only(request, "GET")
        media = self.world.named(media_id)
        if media is None or not hmac.compare_digest(media.hash.encode(), secret.encode("utf-8", "replace")):
            raise Refusal(404, "Not found")
        if dict(request.parameters).get("thumbnail"):
            picture = BytesBody(data=thumbnail(media.hash), content_type="image/png")
            return send_body(
                request, self.options, replace(media, body=picture, filename="thumbnail.png"), None
            )
        if not media.completed:
            return Response(status=NO_CONTENT)
        return send_body(request, self.options, media, None)

    def _update(self, request: Request, media: Media) -> Response:
        if media.id in self.options.forbidden_updates:
            raise Refusal(403, "Not allowed to change this media")
        fields = self._fields(request)
        changes: dict[str, object] = {}
        for name in ("title", "description"):
            if name in fields:
                if not isinstance(fields[name], str):
                    raise Refusal(400, f"{name} must be a string")
                changes[name] = fields[name]
        if len(str(changes.get("title", ""))) > MAX_TITLE:
            raise Refusal(400, f"title is longer than {MAX_TITLE} characters")
        names = (self.options.latitude_parameter, self.options.longitude_parameter)
        if any(name in fields for name in names):
            place = list(media.geoloc or (0.0, 0.0))
            for axis, name in enumerate(names):
                if name in fields:
                    place[axis] = _degrees(name, fields[name], _GEO_LIMITS[axis])
            changes["geoloc"] = (place[0], place[1])
        changed = self.world.update(media.id, **changes) if changes else media
        return json_response(200, changed.record(self.origin))

    def _fields(self, request: Request) -> dict[str, object]:
        """The fields in the one encoding that is read; nothing, and no error, when they came in another."""
        match self.options.update_encoding:
            case "query":
                return dict(request.parameters)
            case "form":
                return dict(request.form)
        if not request.headers.get("content-type", "").startswith("application/json"):
            return {}
        try:
            value = json.loads(request.body)
        except ValueError as error:
            raise Refusal(400, "The body is not JSON") from error
        if not isinstance(value, dict):
            raise Refusal(400, "The body is not a JSON object")
        return value

    def _delete(self, media: Media) -> Response:
        if media.id in self.options.forbidden_deletes:
            raise Refusal(403, "Not allowed to delete this media")
        self.world.remove(media.id)
        return json_response(200, [])


def _degrees(name: str, value: object, limit: float) -> float:
    try:
        degrees = float(str(value))
    except ValueError as error:
        raise Refusal(400, f"{name} must be a number") from error
    if not -limit <= degrees <= limit:
        raise Refusal(400, f"{name} is out of range")
    return degrees
