"""The Zoom twin by itself: what it answers, asked without a client of ours."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from mediafs.sandbox import SERVICES, Media, World
from mediafs.sandbox.media import read_all
from mediafs.sandbox.wire import Request, Response
from mediafs.sandbox.zoom import Zoom
from mediafs.sandbox.zoom_options import ZoomOptions
from mediafs.sandbox.zoom_records import file_id, session_id

NOW = datetime(2024, 5, 17, 10, tzinfo=UTC)
NOW_S = NOW.timestamp()
DAY = timedelta(days=1)


def base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def token(options: ZoomOptions, **changes: object) -> str:
    """A JWT as the vendor's page on API requests describes it."""
    header = {"alg": changes.pop("alg", "HS256"), "typ": "JWT"}
    secret = str(changes.pop("secret", options.api_secret))
    claims = {"iss": options.api_key, "iat": int(NOW_S), "exp": int(NOW_S) + 3600} | changes
    signed = f"{base64(json.dumps(header).encode())}.{base64(json.dumps(claims).encode())}"
    return f"{signed}.{base64(hmac.new(secret.encode(), signed.encode(), sha256).digest())}"


@dataclass
class Desk:
    """The twin, and whoever asks it with a good token."""

    twin: Zoom
    world: World

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        at_s: float = NOW_S,
        bearer: str | None = "",
        body: bytes = b"",
        **query: object,
    ) -> Response:
        if bearer == "":
            bearer = token(self.twin.options, iat=int(at_s), exp=int(at_s) + 3600)
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        words = urlencode({name.removesuffix("_"): value for name, value in query.items()})
        target = f"{path}?{words}" if words else path
        request = Request(method=method, target=target, headers=headers, body=body, at_s=at_s)
        return self.twin.handle(request)

    def list(self, **query: Any) -> Any:
        response = self.ask("/v2/videosdk/recordings", **query)
        assert response.status == 200, response
        return answer(response)

    def path(self, media: Media, *rest: str) -> str:
        session = quote(session_id(media), safe="")
        return "/".join(["/v2/videosdk/sessions", session, "recordings", *rest])


def answer(response: Response) -> Any:
    return json.loads(b"".join(response.chunks()))


def desk(**options: Any) -> Desk:
    world = World.generate(0, seed=1)
    for number in range(5):
        world.add(
            created=NOW - 10 * DAY + number * DAY, conversation="room", size=100 + number, media_type="video"
        )
    return Desk(Zoom(world, ZoomOptions(**options), signing_key=b"key"), world)


def files(listing: Any) -> list[str]:
    return [file["id"] for session in listing["sessions"] for file in session["recording_files"]]


def test_it_is_one_of_the_services() -> None:
    assert SERVICES["zoom"] is Zoom
    assert desk().twin.credentials().keys() == {"api_key", "api_secret"}


# --- tokens


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "another"},
        {"alg": "none"},
        {"alg": "HS512"},
        {"iss": "somebody"},
        {"iat": NOW_S + 600},
        {"exp": NOW_S - 1},
        {"exp": NOW_S + 10**6},
        {"exp": None},
    ],
)
def test_a_token_that_is_not_good_is_401_with_code_124(changes: dict[str, object]) -> None:
    at = desk()
    response = at.ask("/v2/videosdk/recordings", bearer=token(at.twin.options, **changes))
    assert (response.status, answer(response)["code"]) == (401, 124)


def test_no_token_and_nonsense_are_401() -> None:
    for bearer in (None, "a.b", "a.b.c", "x"):
        assert desk().ask("/v2/videosdk/recordings", bearer=bearer).status == 401


def test_tokens_that_were_given_out_can_be_made_worthless() -> None:
    at = desk()
    good = token(at.twin.options)
    assert at.ask("/v2/videosdk/recordings", bearer=good).status == 200
    at.twin.expire()
    assert at.ask("/v2/videosdk/recordings", bearer=good).status == 401


# --- the listing


def test_without_dates_it_lists_today_alone() -> None:
    at = desk()
    assert at.list() | {"sessions": []} == {
        "from": "2024-05-17",
        "to": "2024-05-17",
        "page_size": 30,
        "total_records": 0,
        "next_page_token": "",
        "sessions": [],
    }


def test_a_range_of_more_than_a_month_is_cut_without_a_word_and_echoed() -> None:
    listing = desk().list(from_="2024-01-31", to="2024-05-17")
    assert (listing["from"], listing["to"], listing["sessions"]) == ("2024-01-31", "2024-02-29", [])
    assert "from" not in desk(echo=False).list(from_="2024-01-31", to="2024-05-17")
    refused = desk(over_long="refuse").ask("/v2/videosdk/recordings", from_="2024-01-31", to="2024-05-17")
    assert (refused.status, answer(refused)["code"]) == (400, 300)


def test_days_are_bounds_of_sessions_newest_first() -> None:
    at = desk()
    listing = at.list(from_="2024-05-08", to="2024-05-10")
    assert [session["start_time"][:10] for session in listing["sessions"]] == [
        "2024-05-10",
        "2024-05-09",
        "2024-05-08",
    ]
    assert listing["total_records"] == 3
    assert len(desk(to_included=False).list(from_="2024-05-08", to="2024-05-10")["sessions"]) == 2


def test_a_session_may_begin_before_its_recordings() -> None:
    at = desk(session_lead_days=2)
    (session,) = at.list(from_="2024-05-05", to="2024-05-05")["sessions"]
    assert session["recording_files"][0]["recording_start"].startswith("2024-05-07")
    by_recording = desk(session_lead_days=2, filter_by="recording")
    (session,) = by_recording.list(from_="2024-05-07", to="2024-05-07")["sessions"]
    assert session["start_time"].startswith("2024-05-05")


def test_pages_have_tokens_that_are_good_for_one_question_and_a_quarter_of_an_hour() -> None:
    at = desk()
    query: dict[str, Any] = {"from_": "2024-05-01", "to": "2024-05-17", "page_size": 2}
    first = at.list(**query)
    second = at.list(**query, next_page_token=first["next_page_token"])
    third = at.list(**query, next_page_token=second["next_page_token"], at_s=NOW_S + 899)
    assert len({*files(first), *files(second), *files(third)}) == 5
    assert third["next_page_token"] == ""
    path, text = "/v2/videosdk/recordings", first["next_page_token"]
    for changed in ({"at_s": NOW_S + 901}, {"from_": "2024-05-02"}):
        response = at.ask(path, **(query | {"next_page_token": text} | changed))
        assert (response.status, answer(response)["code"]) == (400, 300)
    assert at.ask(path, **query, next_page_token="made-up").status == 400


def test_the_page_size_has_a_most() -> None:
    assert len(desk(max_page_size=2).list(from_="2024-05-01", page_size=300)["sessions"]) == 2
    strict = desk(max_page_size=2, over_size="refuse")
    assert strict.ask("/v2/videosdk/recordings", page_size=300).status == 400
    for size in ("0", "-1", "x"):
        assert desk().ask("/v2/videosdk/recordings", page_size=size).status == 400


def test_a_reply_may_be_one_bare_session_as_in_the_collections_sample() -> None:
    at = desk(envelope=False)
    reply = at.list(from_="2024-05-01")
    assert "sessions" not in reply
    assert reply["session_id"] == session_id(list(at.world)[-1])
    seen = 1
    while reply["next_page_token"]:
        reply = at.list(from_="2024-05-01", next_page_token=reply["next_page_token"])
        seen += 1
    assert seen == 5
    assert at.list(from_="2020-01-01", to="2020-01-02")["total_records"] == 0


def test_a_record_has_what_the_documentation_names() -> None:
    at = desk()
    (session,) = at.list(from_="2024-05-11", to="2024-05-11")["sessions"]
    (file,) = session["recording_files"]
    assert session.keys() == {
        "session_id",
        "session_name",
        "start_time",
        "duration",
        "total_size",
        "recording_count",
        "recording_files",
    }
    assert (file["file_type"], file["file_size"], file["status"]) == ("MP4", 104, "completed")
    assert (
        "file_extension"
        not in desk(extensions=False).list(from_="2024-05-11")["sessions"][0]["recording_files"][0]
    )
    assert len(desk(repeated_entries=True).list(from_="2024-05-11")["sessions"][0]["recording_files"]) == 2


# --- sessions


@pytest.mark.parametrize(
    ("encoding", "id_", "times"),
    [
        ("documented", "KkMHZ4y8QhSUWAHi5sWvfg==", 1),
        ("documented", "sfk/aOFJSJSYhGwk1hnxgw==", 1),
        ("documented", "/abcdEFGHijklMNOPqrst==", 2),
        ("documented", "abcd//EFGHijklMNOPqrst==", 2),
        ("once", "/abcdEFGHijklMNOPqrst==", 1),
        ("twice", "sfk/aOFJSJSYhGwk1hnxgw==", 2),
    ],
)
def test_how_often_the_id_of_a_session_is_encoded_matters(encoding: str, id_: str, times: int) -> None:
    at = desk(encoding=encoding)
    at.world.add(created=NOW, conversation=id_, size=5, media_type="video")
    once = quote(id_, safe="")
    forms = {1: once, 2: quote(once, safe="")}
    for number, form in forms.items():
        response = at.ask(f"/v2/videosdk/sessions/{form}/recordings")
        assert response.status == (200 if number == times else 404)
    assert answer(at.ask(f"/v2/videosdk/sessions/{forms[times]}/recordings"))["session_id"] == id_


def test_participants_files_are_on_the_sessions_own_page_alone() -> None:
    at = desk(participant_files=True)
    own = at.world.add(
        created=NOW - 6 * DAY, conversation="room", media_type="audio", source_type="recording", size=9
    )
    session = answer(at.ask(at.path(own)))
    assert [file["user_id"] for file in session["participant_audio_files"]] == [str(own.owner.id)]
    assert len(session["recording_files"]) == 1
    assert file_id(own, at.twin.options) not in files(at.list(from_="2024-05-01"))


# --- changes


def test_to_the_trash_and_back_and_away() -> None:
    at = desk()
    media = next(iter(at.world))
    path = at.path(media, file_id(media, at.twin.options))
    assert at.ask(path, method="DELETE", action="trash").status == 204
    assert at.ask(path, method="DELETE", action="trash").status == 404
    assert at.twin.in_trash() == [media.id]
    assert len(files(at.list(from_="2024-05-01"))) == 4
    assert files(at.list(trash="true", trash_type="session_recordings")) == []
    trash = at.list(trash="true", trash_type="recording_file")
    assert trash["sessions"][0]["recording_files"][0]["deleted_time"] == "2024-05-17T10:00:00Z"
    assert at.ask(f"{path}/status", method="PUT", body=b'{"action":"other"}').status == 400
    assert at.ask(f"{path}/status", method="PUT", body=b'{"action":"recover"}').status == 204
    assert at.ask(f"{path}/status", method="PUT", body=b'{"action":"recover"}').status == 404
    assert len(files(at.list(from_="2024-05-01"))) == 5
    assert at.ask(path, method="DELETE", action="delete").status == 204
    assert at.world.get(media.id) is None


def test_a_whole_session_goes_to_the_trash_and_comes_back() -> None:
    at = desk()
    media = next(iter(at.world))
    assert at.ask(at.path(media), method="DELETE").status == 204
    assert len(files(at.list(trash="true", trash_type="session_recordings"))) == 1
    assert files(at.list(trash="true", trash_type="recording_file")) == []
    assert at.ask(at.path(media)).status == 404
    assert at.ask(at.path(media, "status"), method="PUT", body=b'{"action":"recover"}').status == 204
    assert at.ask(at.path(media)).status == 200


def test_the_trash_takes_no_dates() -> None:
    assert desk().ask("/v2/videosdk/recordings", trash="true", from_="2024-05-01").status == 400


def test_without_a_trash_what_is_put_there_is_gone() -> None:
    at = desk(trash=False)
    media = next(iter(at.world))
    assert at.ask(at.path(media, file_id(media, at.twin.options)), method="DELETE").status == 204
    assert at.world.get(media.id) is None


@pytest.mark.parametrize(("refusal", "status"), [("200", 200), ("403", 403)])
def test_no_permission_may_be_a_200_with_code_200(refusal: str, status: int) -> None:
    at = desk(refusal=refusal)
    media = next(iter(at.world))
    at.twin.configure(at.twin.options.patched({"forbidden_deletes": [media.id]}))
    response = at.ask(at.path(media, file_id(media, at.twin.options)), method="DELETE", action="delete")
    assert (response.status, answer(response)["code"]) == (status, 200)
    assert at.world.get(media.id) is not None


# --- bytes


def test_a_download_is_a_redirect_to_a_signed_link_that_needs_no_token() -> None:
    at = desk()
    media = next(iter(at.world))
    (session,) = at.list(from_="2024-05-07", to="2024-05-07")["sessions"]
    path = session["recording_files"][0]["download_url"].removeprefix(at.twin.origin)
    response = at.ask(path)
    assert response.status == 302
    target = (response.header("Location") or "").removeprefix(at.twin.storage)
    stored = at.twin.handle_storage(Request(method="GET", target=target, at_s=NOW_S))
    assert b"".join(stored.chunks()) == read_all(media.body)
    late = at.twin.handle_storage(Request(method="GET", target=target, at_s=NOW_S + 301))
    assert late.status == 403
    assert at.ask(path, bearer=None, access_token=token(at.twin.options)).status == 302
    assert at.ask(f"{path}0").status == 404


@pytest.mark.parametrize(("failed_auth", "status"), [("page", 200), ("401", 401)])
def test_a_download_without_a_good_token_is_a_page(failed_auth: str, status: int) -> None:
    at = desk(failed_auth=failed_auth)
    (session,) = at.list(from_="2024-05-07", to="2024-05-07")["sessions"]
    path = session["recording_files"][0]["download_url"].removeprefix(at.twin.origin)
    for bearer in (None, "a.b.c"):
        response = at.ask(path, bearer=bearer)
        assert response.status == status
        assert ("html" in (response.header("Content-Type") or "")) is (failed_auth == "page")


# --- limits


def test_every_answer_tells_the_limit_of_its_category_as_a_second_s() -> None:
    at = desk(rate_limit=2)
    media = next(iter(at.world))
    listing = at.ask("/v2/videosdk/recordings")
    assert listing.header("X-RateLimit-Category") == "Medium"
    assert at.ask(at.path(media)).header("X-RateLimit-Category") == "Light"
    assert (listing.header("X-RateLimit-Type"), listing.header("X-RateLimit-Limit")) == ("QPS", "2")
    assert listing.header("X-RateLimit-Remaining") == "1"
    assert listing.header("x-zm-trackingid")
    at.ask("/v2/videosdk/recordings")
    refused = at.ask("/v2/videosdk/recordings")
    assert (refused.status, answer(refused)["code"]) == (429, 429)
    assert refused.header("X-RateLimit-Reset")
    assert at.ask("/v2/videosdk/recordings", at_s=NOW_S + 1).status == 200


def test_a_limit_may_go_unsaid() -> None:
    at = desk(rate_limit=1, rate_header="none")
    at.ask("/v2/videosdk/recordings")
    refused = at.ask("/v2/videosdk/recordings")
    assert refused.status == 429
    assert not [name for name, _ in refused.headers if "rate" in name.lower() or "retry" in name.lower()]
