"""The Vonage Media API v3 over a world: one request in, one response out, no socket.

Documented behaviour follows the vendor's OpenAPI document (media, 1.0.2) and, for downloads and logging in,
its older reference; where they are silent or contradict each other, VonageOptions decides. It knows no
status: a media that is not complete is not there yet.
"""

import json
from dataclasses import replace
from email import message_from_bytes
from typing import ClassVar

from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.records import Media
from mediafs.sandbox.service import Reshape
from mediafs.sandbox.transfer import send_body
from mediafs.sandbox.twin import Twin
from mediafs.sandbox.vonage_access import Tokens
from mediafs.sandbox.vonage_facts import OLD_NAMES, Facts, change, facts_of, number_in, record, uuid_of
from mediafs.sandbox.vonage_listing import envelope, read_listing
from mediafs.sandbox.vonage_options import VonageOptions
from mediafs.sandbox.wire import NO_CONTENT, Headers, Refusal, Request, Response, json_response, only
from mediafs.sandbox.world import World

_TITLES = {400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found"}


class Vonage(Twin[VonageOptions]):
    """The service."""

    name = "vonage"
    options_type: ClassVar[type[CommonOptions]] = VonageOptions

    def __init__(self, world: World, options: VonageOptions, *, signing_key: bytes) -> None:
        super().__init__(world, options, signing_key=signing_key)
        self.tokens = Tokens()
        self._facts: dict[int, Facts] = {}

    def credentials(self) -> dict[str, str]:
        """The application's id and key for tokens, and the account's key and secret."""
        names = ("application_id", "private_key", "api_key", "api_secret")
        return {name: getattr(self.options, name) for name in names}

    def account(self) -> dict[str, str | bool | list[str]]:
        keys = {name: self.credentials()[name] for name in ("application_id", "private_key")}
        return {"base_url": self.origin, **keys, "delete": "permanent"}

    def expire(self) -> None:
        """Makes every token that was used so far worthless."""
        self.tokens.expire()

    def id_of(self, media: Media) -> str:
        """The id under which this API shows *media*."""
        return uuid_of(media.id, self.world.seed)

    def facts(self, media: Media) -> Facts:
        """What this API knows of *media* beside the world's record; changes to it hold."""
        return self._facts.setdefault(media.id, facts_of(media))

    def record(self, media: Media) -> dict[str, object]:
        """The record of *media* as this API shows it."""
        facts = self._facts.get(media.id) or facts_of(media)
        return record(media, facts, self.world.seed, self.options)

    def media_of(self, request: Request) -> Media | None:
        """The media that a request of either origin is about."""
        match request.segments:
            case ["v3", "media", media_id, *_]:
                return self._named(media_id)
        return super().media_of(request)

    def handle(self, request: Request, reshape: Reshape | None = None) -> Response:
        """The answer of the API origin; *reshape* swaps the bytes of a download for others."""
        extra: Headers = ()
        try:
            match request.segments:
                case ["v3", "media", *rest]:
                    known = self._admitted(request, rest)
                    extra = self.limits.count(
                        "application" if known else "public", request.at_s, self.options
                    )
                    response = self._answer(request, rest, known, reshape)
                case _:
                    page = b"<html><head><title>404 Not Found</title></head></html>"
                    return Response(status=404, headers=(("Content-Type", "text/html"),), payload=page)
        except Refusal as refusal:
            response = self.error(refusal)
        return response.adding(extra)

    def error(self, refusal: Refusal) -> Response:
        """*refusal* as a problem of RFC 7807, or without a body."""
        if self.options.errors == "empty":
            return Response(status=refusal.status, headers=refusal.headers)
        problem = {
            "type": "https://developer.vonage.com/api-errors",
            "title": _TITLES.get(refusal.status, "Error"),
            "detail": refusal.text,
            "instance": "797a8f199c45014ab7b08bfe9cc1c12c",
        }
        response = json_response(refusal.status, problem, *refusal.headers)
        return replace(
            response, headers=(("Content-Type", "application/problem+json"), *response.headers[1:])
        )

    def _named(self, text: str) -> Media | None:
        number = number_in(text, self.world.seed)
        media = None if number is None else self.world.get(number)
        return media if media is not None and media.completed else None

    def _admitted(self, request: Request, rest: list[str]) -> bool:
        """True for good credentials, False for a public media without any. Raises Refusal 401 and 403."""
        if len(rest) == 1 and request.method == "GET" and "authorization" not in request.headers:
            media = self._named(rest[0])
            if media is not None and self.facts(media).public:
                return False
        self.tokens.admit(request, self.options)
        return True

    def _answer(self, request: Request, rest: list[str], known: bool, reshape: Reshape | None) -> Response:
        match rest:
            case []:
                only(request, "GET")
                return self._list(request)
            case [media_id]:
                only(request, "GET", "DELETE", *(("PUT",) if self.options.update == "json" else ()))
                media = self._media(media_id)
                if request.method == "GET":
                    return self._download(request, media, known, reshape)
                if request.method == "DELETE":
                    return self._delete(media)
                return self._update(request, media)
            case [media_id, "info"]:
                only(request, "GET", *(("PUT",) if self.options.update != "json" else ()))
                media = self._media(media_id)
                if request.method == "PUT":
                    return self._update(request, media)
                return json_response(200, self.record(media))
        raise Refusal(404, "Not found")

    def _media(self, text: str) -> Media:
        media = self._named(text)
        if media is None:
            raise Refusal(404, "No such item")
        return media

    def _list(self, request: Request) -> Response:
        listing = read_listing(request, self.options)
        total, page = self.world.select(
            listing.selection,
            offset=listing.index * listing.size,
            limit=listing.size,
            newest_first=listing.newest_first,
        )
        if not page and total and self.options.past_the_end == "repeat":
            last = (total - 1) // listing.size
            _, page = self.world.select(
                listing.selection,
                offset=last * listing.size,
                limit=listing.size,
                newest_first=listing.newest_first,
            )
        if not page and self.options.empty == "404":
            raise Refusal(404, "No such item")
        records = [self.record(media) for media in page]
        return json_response(200, envelope(listing, total, records, self.options, self.origin))

    def _download(self, request: Request, media: Media, known: bool, reshape: Reshape | None) -> Response:
        if media.id in self.options.forbidden_downloads:
            raise Refusal(403, "Authorisation denied")
        facts = self.facts(media)
        limit = facts.max_downloads_allowed
        if limit and facts.times_downloaded >= limit and (self.options.limits_all or not known):
            raise Refusal(403, "Too many downloads")
        facts.times_downloaded += 1
        if self.options.redirect:
            return Response(status=302, headers=(("Location", self.link(media, request)),))
        response = send_body(request, self.options, media, reshape)
        headers = [pair for pair in response.headers if pair[0] != "Content-Type"]
        return replace(response, headers=(("Content-Type", facts.mime_type), *headers))

    def _update(self, request: Request, media: Media) -> Response:
        if media.id in self.options.forbidden_updates:
            raise Refusal(403, "Authorisation denied")
        given = self._fields(request)
        if given is None:
            if self.options.update_refusal != NO_CONTENT:
                raise Refusal(self.options.update_refusal, "Not in this form")
        else:
            change(self.facts(media), given, request.at_s)
        # The older reference says 200; neither brings a body.
        return Response(status=200 if self.options.update == "json-info" else NO_CONTENT)

    def _fields(self, request: Request) -> dict[str, object] | None:
        """The fields in the one form that is understood, by the newer names; None for any other form."""
        content_type = request.headers.get("content-type", "")
        if self.options.update == "multipart":
            if not content_type.startswith("multipart/form-data"):
                return None
            return self._form(content_type, request.body)
        if not content_type.startswith("application/json"):
            return None
        try:
            value = json.loads(request.body)
        except ValueError as error:
            raise Refusal(400, "The body is not JSON") from error
        if not isinstance(value, dict):
            raise Refusal(400, "The body is not a JSON object")
        if self.options.update == "json":
            return value
        return {name: value[old] for name, old in OLD_NAMES.items() if old in value}

    def _form(self, content_type: str, body: bytes) -> dict[str, object]:
        message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode("latin-1") + body)
        if not message.is_multipart() or message.defects:
            raise Refusal(400, "The form cannot be read")
        fields: dict[str, object] = {}
        for part in message.walk():
            if part is message:
                continue
            name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
            if not isinstance(name, str) or not isinstance(value, bytes) or part.get_filename() is not None:
                raise Refusal(400, "A part has no name, or is a file")
            fields[name] = value.decode(part.get_content_charset(self.options.form_charset), "replace")
        return fields

    def _delete(self, media: Media) -> Response:
        if media.id in self.options.forbidden_deletes:
            raise Refusal(403, "Authorisation denied")
        self.world.remove(media.id)
        self._facts.pop(media.id, None)
        return Response(status=NO_CONTENT)
