"""The Verba HTTP API over a world: one request in, one response out, no socket.

GetMedia follows the vendor's page of that name; the other actions follow the vendor's public pages on
them. Where those are silent, VerbaOptions decides.
"""

import secrets
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from mediafs.sandbox.media import Body
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.records import COMPLETED, Media
from mediafs.sandbox.service import Reshape
from mediafs.sandbox.transfer import send_body
from mediafs.sandbox.twin import Twin
from mediafs.sandbox.verba_options import VerbaOptions
from mediafs.sandbox.verba_xml import (
    call_id,
    done,
    failure,
    is_ongoing,
    listing,
    number_of,
    parties,
    record,
    worded,
    xml,
)
from mediafs.sandbox.wire import Delivery, Headers, Refusal, Request, Response, Slice, only
from mediafs.sandbox.world import Selection, World

INVALID_PARAMETERS: Final = -20
INVALID_ACTION: Final = -30
CALL_NOT_FOUND: Final = -50
MEDIA_NOT_FOUND: Final = -70
NEXT_S: Final = 60.0
"""How long `status=next` waits for a call."""
_FORMATS: Final = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f")
_STATUSES: Final = ("ongoing", "next", "last")


class Verba(Twin[VerbaOptions]):
    """The service, at ``/verba/api``."""

    name = "verba"
    options_type: ClassVar[type[CommonOptions]] = VerbaOptions

    def __init__(self, world: World, options: VerbaOptions, *, signing_key: bytes) -> None:
        super().__init__(world, options, signing_key=signing_key)
        self._tokens: dict[str, float] = {}
        self._metadata: dict[tuple[int, str], str] = {}
        self._grown: Counter[int] = Counter()
        self.carried_out: Counter[str] = Counter()
        """Actions that changed something, by name."""

    def credentials(self) -> dict[str, str]:
        return {name: getattr(self.options, name) for name in ("api_key", "username", "password")}

    def account(self) -> dict[str, str | bool | list[str]]:
        extensions = [str(number) for number in list(self.world.owners)[:2]]
        return {
            "base_url": f"{self.origin}/verba",
            **self.credentials(),
            "extensions": extensions,
            "search": True,
            "delete": "permanent",
        }

    def expire(self) -> None:
        """Makes every token that was given out worthless, as the service does when an hour has passed."""
        self._tokens.clear()

    def media_of(self, request: Request) -> Media | None:
        if request.path == "/verba/api":
            given = _parameters(request)
            found = number_of(given.get("callID") or given.get("ccdr_id") or "")
            return None if found is None else self.world.get(found)
        return super().media_of(request)

    def error(self, refusal: Refusal) -> Response:
        return failure(refusal, self.options)

    def handle(self, request: Request, reshape: Reshape | None = None) -> Response:
        extra: Headers = ()
        try:
            if request.path != "/verba/api":
                return Response(
                    status=404, headers=(("Content-Type", "text/html"),), payload=b"<html>404</html>"
                )
            only(request, "GET", "POST")
            given = _parameters(request)
            if given.get("apiKey") != self.options.api_key:
                raise Refusal(200, "Invalid API key.", code=-41)
            extra = self.limits.count(given["apiKey"], request.at_s, self.options)
            response = self._answer(request, given, reshape)
        except Refusal as refusal:
            response = self.error(refusal)
        return response.adding(extra)

    def _answer(self, request: Request, given: Mapping[str, str], reshape: Reshape | None) -> Response:
        action = given.get("action", "")
        if action == "RequestToken":
            return self._login(request, given)
        if self.options.auth_required or "token" in given:
            if "token" not in given:
                raise Refusal(200, "Login required.", code=-42)
            if self._tokens.get(given["token"], 0.0) <= request.at_s:
                raise Refusal(200, "Token expired.", code=-43)
        zone: tzinfo = ZoneInfo(self.options.zone) if "token" in given else UTC
        match action:
            case "SearchCalls":
                return self._search(given, zone)
            case "GetCallInformation":
                found = self._selected(given, self.options.information_id_parameter)
                form = self.options.information_time_form
                return listing(action, [self._record(m, given, zone, form) for m in found], self.options)
            case "GetMedia":
                return self._media(request, given, reshape)
            case "DeleteCall":
                return self._delete(given)
            case self.options.attach_action:
                return self._attach(given)
        raise Refusal(200, "Invalid action.", code=INVALID_ACTION)

    # --- login

    def _login(self, request: Request, given: Mapping[str, str]) -> Response:
        options = self.options
        who: tuple[str, str] | None = None
        scheme, _, coded = request.headers.get("authorization", "").partition(" ")
        if options.basic_login and scheme.lower() == "basic":
            name, _, password = b64decode(coded).decode().partition(":")
            who = (name, password)
        elif options.parameter_login and "userName" in given:
            who = (given["userName"], given.get("password", ""))
        if who != (options.username, options.password):
            raise Refusal(200, "Invalid credentials.", code=-40)
        token, session = secrets.token_hex(16), secrets.token_hex(16).upper()
        self._tokens[token] = request.at_s + options.expires_in_s
        body = (
            f'<VerbaApi><Response code="0" type="RequestToken" token="{token}"/>'
            f"<SessionId>{session}</SessionId><SessionParameterName>jsessionid</SessionParameterName>"
            "<SessionCookieName>JSESSIONID</SessionCookieName><Remote>false</Remote></VerbaApi>"
        )
        headers = (("Set-Cookie", f"JSESSIONID={session}; Path=/verba"),) if options.cookie else ()
        return xml(body, *headers)

    # --- search

    def _search(self, given: Mapping[str, str], zone: tzinfo) -> Response:
        options = self.options
        since_s, until_s = self._bound(given, "start", zone), self._bound(given, "end", zone)
        if options.max_window_days is not None and until_s - since_s > options.max_window_days * 86400:
            if not options.silent_window:
                raise _bad("The time range is too long.")
            until_s = since_s + options.max_window_days * 86400
        statuses = (COMPLETED,) if given.get("status", "recorded") == "recorded" else ("in_progress",)
        end_s = int(until_s) + options.inclusive_end
        selection = Selection(since_s=int(since_s), until_s=max(end_s, int(since_s)), statuses=statuses)
        backwards = given.get("order", "asc") == "desc"
        start = int(given.get("pagefirst", options.page_base)) - options.page_base if options.pages else 0
        if start < 0:
            raise _bad("pagefirst")
        length = min(int(given.get("pagelen", "20")), options.page_cap)
        plain = not {"anynum", "anyname"} & given.keys() and options.sorts == "time"
        if plain:
            _, found = self.world.select(selection, offset=start, limit=length, newest_first=backwards)
        else:
            _, every = self.world.select(selection, offset=0, limit=10**6, newest_first=backwards)
            every = [media for media in every if _matches(media, given)]
            if options.sorts == "text":
                every.sort(key=lambda media: worded(media.created_s, zone, "seconds"), reverse=backwards)
            elif options.sorts == "no":
                every.sort(key=lambda media: call_id(media.id))
            found = every[start : start + length]
        if not found and options.nothing_code:
            raise Refusal(200, "Call not found.", code=options.nothing_code)
        records = [self._record(media, given, zone, options.time_form) for media in found]
        return listing("SearchCalls", records, options)

    def _bound(self, given: Mapping[str, str], name: str, zone: tzinfo) -> float:
        for form in _FORMATS:
            try:
                local = datetime.strptime(given.get(name, ""), form)
            except ValueError:
                continue
            if self.options.whole_minutes:
                local = local.replace(second=0, microsecond=0)
            return local.replace(tzinfo=zone, fold=self.options.later_fold).timestamp()
        raise _bad(name)

    def _record(self, media: Media, given: Mapping[str, str], zone: tzinfo, form: str) -> str:
        metadata: dict[str, str] | None = None
        if given.get("returnMetadata") == "1":
            metadata = {name: self._value(media, name) for name in self.options.metadata_fields}
        return record(media, self.options, zone, form, metadata)

    def _value(self, media: Media, name: str) -> str:
        first = media.title if name == self.options.metadata_fields[0] else ""
        return self._metadata.get((media.id, name), first)

    # --- one call

    def _selected(self, given: Mapping[str, str], parameter: str) -> list[Media]:
        """The calls that a request names; at least one. Raises Refusal."""
        found: list[Media] = []
        if parameter in given:
            number = number_of(given[parameter])
            media = None if number is None else self.world.get(number)
            found = [media] if media is not None else []
        elif "meetingID" in given:
            found = [media for media in self.world if media.conversation == given["meetingID"]]
        elif "extension" in given:
            found = self._by_extension(given)
        else:
            raise _bad(parameter)
        if not found:
            raise Refusal(200, "Call not found.", code=CALL_NOT_FOUND)
        return found

    def _by_extension(self, given: Mapping[str, str]) -> list[Media]:
        wanted = [status.strip() for status in given.get("status", "").split(",")]
        if not wanted or any(status not in _STATUSES for status in wanted):
            raise _bad("status")
        mine = [m for m in self.world if given["extension"] in {p.number for p in parties(m)[:2]}]
        for status in wanted:
            if status == "last":
                found = [media for media in mine if media.completed]
            else:
                found = [media for media in mine if is_ongoing(media)] if status == "ongoing" else []
            if found:
                return found[-1:]
        return []

    def _media(self, request: Request, given: Mapping[str, str], reshape: Reshape | None) -> Response:
        if "next" in given.get("status", ""):
            # Nobody calls in a sandbox: the minute is waited for in vain.
            answer = self.error(Refusal(200, "Call not found.", code=CALL_NOT_FOUND))
            return replace(answer, delivery=Delivery(delay_s=NEXT_S))
        (media, *others) = self._selected(given, self.options.id_parameter)
        if others:
            raise _bad("more than one call")
        if media.id in self.options.forbidden_downloads:
            raise Refusal(200, "Not allowed.", code=self.options.refusal_code)
        if is_ongoing(media):
            if "extension" not in given:
                raise Refusal(200, "Media not found.", code=MEDIA_NOT_FOUND)
            return self._so_far(media)
        if not media.completed:
            raise Refusal(200, "Media not found.", code=MEDIA_NOT_FOUND)
        if self.options.redirect:
            return Response(status=302, headers=(("Location", self.link(media, request)),))
        response = send_body(request, self.options, media, reshape)
        kept = tuple(pair for pair in response.headers if pair[0] != "Content-Disposition")
        return replace(response, headers=kept)

    def _so_far(self, media: Media) -> Response:
        """A call that goes on is longer every time, and how long it will be is not known."""
        self._grown[media.id] += 1
        body: Body = media.body
        stop = min(body.size, self._grown[media.id] * self.options.ongoing_bytes)
        return Response(
            status=200,
            headers=(("Content-Type", body.content_type),),
            payload=Slice(body=body, start=0, stop=stop),
            chunked=True,
            delivery=Delivery(bytes_per_s=self.options.bytes_per_s),
        )

    # --- changes

    def _attach(self, given: Mapping[str, str]) -> Response:
        (media, *_) = self._selected(given, "callID")
        if media.id in self.options.forbidden_updates:
            raise Refusal(200, "Not allowed.", code=self.options.refusal_code)
        fields = given.keys() - {"action", "apiKey", "token", "responseType", "callID"}
        if not fields or fields - set(self.options.metadata_fields):
            raise _bad("no such metadata field")
        self.carried_out["attach"] += 1
        if self.options.keeps_metadata:
            self._metadata |= {(media.id, name): given[name] for name in fields}
        return done(self.options.attach_action)

    def _delete(self, given: Mapping[str, str]) -> Response:
        (media, *_) = self._selected(given, "callID")
        if media.id in self.options.forbidden_deletes:
            raise Refusal(200, "The call is under legal hold.", code=self.options.refusal_code)
        self.world.remove(media.id)
        self.carried_out["delete"] += 1
        return done("DeleteCall")


def _parameters(request: Request) -> dict[str, str]:
    """Those of the query and of a form, which a servlet does not tell apart."""
    return {**dict(request.parameters), **(request.form if request.method == "POST" else {})}


def _matches(media: Media, given: Mapping[str, str]) -> bool:
    caller, called, _ = parties(media)
    number, name = given.get("anynum", ""), given.get("anyname", "").casefold()
    return any(number in party.number for party in (caller, called)) and any(
        name in party.name.casefold() for party in (caller, called)
    )


def _bad(what: str) -> Refusal:
    return Refusal(200, f"Invalid parameters: {what}", code=INVALID_PARAMETERS)
