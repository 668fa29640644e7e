"""Zoom Video SDK cloud recordings over a world: one request in, one response out, no socket.

What is documented follows the vendor's request collection (the account's listing), its reference and its
page on rate limits; where they are silent or contradict each other, ZoomOptions decides.
"""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar, Final
from urllib.parse import unquote

from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.records import Media
from mediafs.sandbox.service import Reshape
from mediafs.sandbox.transfer import send_body
from mediafs.sandbox.twin import Twin
from mediafs.sandbox.wire import NO_CONTENT, Headers, Refusal, Request, Response, json_response, only
from mediafs.sandbox.world import World
from mediafs.sandbox.zoom_access import Tokens
from mediafs.sandbox.zoom_options import ZoomOptions
from mediafs.sandbox.zoom_records import (
    DAY_S,
    Session,
    Sessions,
    file_id,
    is_participants,
    media_of_download,
    session_id,
    session_record,
)

DEFAULT_PAGE_SIZE: Final = 30
_CODES: Final = {400: 300, 401: 124, 403: 200, 404: 3301}
_SIGN_IN: Final = (
    "<!DOCTYPE html><html><title>Sign in - Zoom</title><p>Sign in to see this recording.</p></html>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    """What a page token stands for."""

    query: tuple[tuple[str, str], ...]
    offset: int
    expires_s: float


@dataclass(slots=True, kw_only=True)
class _Trashed:
    at_s: float
    with_session: bool


class Zoom(Twin[ZoomOptions]):
    """The service. Its base address is ``origin`` + /v2."""

    name = "zoom"
    options_type: ClassVar[type[CommonOptions]] = ZoomOptions

    def __init__(self, world: World, options: ZoomOptions, *, signing_key: bytes) -> None:
        super().__init__(world, options, signing_key=signing_key)
        self._tokens = Tokens()
        self._sessions = Sessions(world)
        self._cursors: dict[str, _Cursor] = {}
        self._trash: dict[int, _Trashed] = {}

    def credentials(self) -> dict[str, str]:
        """What a client signs its tokens with."""
        return {"api_key": self.options.api_key, "api_secret": self.options.api_secret}

    def account(self) -> dict[str, str | bool | list[str]]:
        return {"base_url": f"{self.origin}/v2", **self.credentials()}

    def expire(self) -> None:
        """Makes every token that was seen worthless."""
        self._tokens.expire()

    def in_trash(self) -> list[int]:
        """The world's ids of the media in the trash."""
        return sorted(self._trash)

    def media_of(self, request: Request) -> Media | None:
        """The media that a request of either origin is about."""
        match request.segments:
            case ["rec", "download", name]:
                return media_of_download(self.world, name)
        return super().media_of(request)

    def handle(self, request: Request, reshape: Reshape | None = None) -> Response:
        """The answer of the API origin; *reshape* swaps the bytes of a download for others."""
        extra: Headers = (("x-zm-trackingid", secrets.token_hex(8)),)
        try:
            # Not decoded here: how often a session's id is encoded matters.
            match request.path.strip("/").split("/"):
                case ["rec", "download", _]:
                    return self._download(request, reshape)
                case ["v2", "videosdk", *rest]:
                    self._tokens.check(request, self.options)
                    extra += self._count(request, "Medium" if rest == ["recordings"] else "Light")
                    response = self._answer(request, rest)
                case _:
                    raise Refusal(404, "Not found", code=404)
        except Refusal as refusal:
            response = self.error(refusal)
        return response.adding(extra)

    def error(self, refusal: Refusal) -> Response:
        """*refusal* as ``{"code", "message"}``."""
        code = refusal.code if refusal.code is not None else _CODES.get(refusal.status, refusal.status)
        return json_response(refusal.status, {"code": code, "message": refusal.text}, *refusal.headers)

    def _count(self, request: Request, category: str) -> Headers:
        options = self.options
        told: Headers = (("X-RateLimit-Category", category), ("X-RateLimit-Type", options.rate_type))
        if options.rate_limit is not None:
            told += (("X-RateLimit-Limit", str(options.rate_limit)),)
        told = () if options.rate_header == "none" else told
        try:
            return (*told, *self.limits.count(category, request.at_s, options))
        except Refusal as refusal:
            period = "per-second" if options.rate_type == "QPS" else "daily"
            text = f"You have reached the maximum {period} rate limit for this API. Try again later."
            raise Refusal(429, text, *refusal.headers, *told) from None

    def _answer(self, request: Request, rest: list[str]) -> Response:
        match rest:
            case ["recordings"]:
                only(request, "GET")
                return self._list(request)
            case ["sessions", text, "recordings"]:
                only(request, "GET", "DELETE")
                session = self._session(text)
                if request.method == "DELETE":
                    return self._delete(request, self._shown(session), with_session=True)
                return self._show(session)
            case ["sessions", text, "recordings", "status"]:
                only(request, "PUT")
                return self._recover(request, list(self._session(text).media))
            case ["sessions", text, "recordings", file]:
                only(request, "DELETE")
                files = self._files(self._session(text), file)
                return self._delete(request, files, with_session=False)
            case ["sessions", text, "recordings", file, "status"]:
                only(request, "PUT")
                return self._recover(request, self._files(self._session(text), file))
        raise Refusal(404, "Not found", code=404)

    # --- the account's listing

    def _list(self, request: Request) -> Response:
        given = dict(request.parameters)
        size = self._page_size(given)
        query = tuple(sorted((n, v) for n, v in given.items() if n not in ("next_page_token", "page_size")))
        offset = self._offset(given.get("next_page_token", ""), query, request.at_s)
        head: dict[str, object] = {}
        if given.get("trash", "false") == "true":
            records = self._trash_records(given)
        else:
            first, last = self._dates(given, request.at_s)
            if self.options.echo:
                head = {"from": first.isoformat(), "to": last.isoformat()}
            records = self._records(first, last)
        if not self.options.envelope:
            size = 1
        token = ""
        if offset + size < len(records):
            token = secrets.token_urlsafe(24)
            expires_s = request.at_s + self.options.token_ttl_s
            self._cursors[token] = _Cursor(query=query, offset=offset + size, expires_s=expires_s)
        page = records[offset : offset + size]
        if not self.options.envelope and page:
            return json_response(200, page[0] | head | {"next_page_token": token})
        head |= {"page_size": size, "total_records": max(0, len(records) + self.options.total_off_by)}
        head["next_page_token"] = token
        if self.options.envelope:
            head["sessions"] = page
        return json_response(200, head)

    def _records(self, first: date, last: date) -> list[dict[str, object]]:
        stop = last + timedelta(days=1 if self.options.to_included else 0)
        found = []
        for session in self._sessions.between(_seconds(first), _seconds(stop), self.options):
            files = [m for m in self._shown(session) if not is_participants(m, self.options)]
            if files:
                found.append(session_record(session, files, self.options, self.origin, {}))
        return found

    def _trash_records(self, given: dict[str, str]) -> list[dict[str, object]]:
        if "from" in given or "to" in given:
            raise Refusal(400, "The trash cannot be filtered by date.")
        kind = given.get("trash_type", "session_recordings")
        if kind not in ("session_recordings", "recording_file"):
            raise Refusal(400, "Invalid trash_type.")
        whole = kind == "session_recordings"
        deleted = {number: gone.at_s for number, gone in self._trash.items() if gone.with_session is whole}
        conversations = {self.world[number].conversation for number in deleted if self.world.get(number)}
        found: dict[str, dict[str, object]] = {}
        for media in [media for media in self.world if media.conversation in conversations]:
            session = self._sessions.get(session_id(media), self.options) if media.id in deleted else None
            if session is not None and session.id not in found:
                files = [each for each in session.media if each.id in deleted]
                found[session.id] = session_record(session, files, self.options, self.origin, deleted)
        return list(found.values())

    def _page_size(self, given: dict[str, str]) -> int:
        text = given.get("page_size", str(DEFAULT_PAGE_SIZE))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) < 100_000:
            raise Refusal(400, "Invalid page_size.")
        if int(text) > self.options.max_page_size and self.options.over_size == "refuse":
            raise Refusal(400, "Invalid page_size.")
        return min(int(text), self.options.max_page_size)

    def _offset(self, token: str, query: tuple[tuple[str, str], ...], now_s: float) -> int:
        if not token:
            return 0
        cursor = self._cursors.get(token)
        if cursor is None or cursor.query != query or cursor.expires_s <= now_s:
            raise Refusal(400, "The next page token is invalid or expired.")
        return cursor.offset

    def _dates(self, given: dict[str, str], now_s: float) -> tuple[date, date]:
        """The days that are really listed: today alone where none is named, at most a month."""
        today = datetime.fromtimestamp(now_s, UTC).date()
        try:
            first = date.fromisoformat(given.get("from", today.isoformat()))
            last = date.fromisoformat(given["to"]) if "to" in given else max(first, today)
        except ValueError as error:
            raise Refusal(400, "Dates are written yyyy-mm-dd.") from error
        if last < first:
            raise Refusal(400, "from must not be after to.")
        month = _month_after(first)
        if last > month:
            if self.options.over_long == "refuse":
                raise Refusal(400, "The date range is longer than a month.")
            last = month
        return first, last

    # --- one session

    def _session(self, text: str) -> Session:
        """The session whose id is written *text* in a path. Raises Refusal 404."""
        once = unquote(text)
        twice = unquote(once)
        match self.options.encoding:
            case "once":
                wanted = once
            case "twice":
                wanted = twice if once != twice or twice == text else ""
            case _:
                doubled = twice.startswith("/") or "//" in twice
                wanted = (twice if once != twice else "") if doubled else once
        session = self._sessions.get(wanted, self.options)
        if session is None:
            raise Refusal(404, "There is no such session.", code=1001)
        return session

    def _shown(self, session: Session) -> list[Media]:
        return [media for media in session.media if media.id not in self._trash]

    def _show(self, session: Session) -> Response:
        shown = self._shown(session)
        if not shown:
            raise Refusal(404, "There is no recording for this session.")
        own = [media for media in shown if is_participants(media, self.options)]
        files = [media for media in shown if media not in own]
        record = session_record(session, files, self.options, self.origin, {})
        if own:
            audio = session_record(session, own, self.options, self.origin, {})
            record["participant_audio_files"] = audio["recording_files"]
        return json_response(200, record)

    def _files(self, session: Session, text: str) -> list[Media]:
        wanted = unquote(text)
        found = [media for media in session.media if file_id(media, self.options) == wanted]
        if not found:
            raise Refusal(404, "There is no such recording.")
        return found

    # --- changes

    def _delete(self, request: Request, files: list[Media], *, with_session: bool) -> Response:
        action = dict(request.parameters).get("action", "trash")
        if action not in ("trash", "delete"):
            raise Refusal(400, "Invalid action.")
        if action == "trash":
            files = [media for media in files if media.id not in self._trash]
        if not files:
            raise Refusal(404, "There is no such recording.")
        self._check_allowed(files, self.options.forbidden_deletes)
        for media in files:
            if action == "trash" and self.options.trash:
                self._trash[media.id] = _Trashed(at_s=request.at_s, with_session=with_session)
            else:
                self._trash.pop(media.id, None)
                self.world.remove(media.id)
        return Response(status=NO_CONTENT)

    def _recover(self, request: Request, files: list[Media]) -> Response:
        try:
            wanted = json.loads(request.body)
        except ValueError:
            wanted = None
        if wanted != {"action": "recover"}:
            raise Refusal(400, "Invalid action.")
        files = [media for media in files if media.id in self._trash]
        if not files:
            raise Refusal(404, "There is no such recording in the trash.")
        self._check_allowed(files, self.options.forbidden_updates)
        for media in files:
            del self._trash[media.id]
        return Response(status=NO_CONTENT)

    def _check_allowed(self, files: list[Media], forbidden: frozenset[int]) -> None:
        if any(media.id in forbidden for media in files):
            raise Refusal(int(self.options.refusal), "No permission to change the recordings.", code=200)

    # --- bytes

    def _download(self, request: Request, reshape: Reshape | None) -> Response:
        only(request, "GET")
        media = self.media_of(request)
        if media is None:
            raise Refusal(404, "This recording does not exist.")
        try:
            self._tokens.check(request, self.options, self.options.download_token)
            if media.id in self.options.forbidden_downloads:
                raise Refusal(401, "Downloads are off for this recording.")
        except Refusal:
            if self.options.failed_auth == "401":
                raise
            headers = (("Content-Type", "text/html;charset=utf-8"),)
            return Response(status=200, headers=headers, payload=_SIGN_IN.encode())
        if self.options.redirect:
            return Response(status=302, headers=(("Location", self.link(media, request)),))
        return send_body(request, self.options, media, reshape)


def _seconds(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_S


def _month_after(day: date) -> date:
    """The same day of the next month, or its last day."""
    following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = (following + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return following.replace(day=min(day.day, last.day))
