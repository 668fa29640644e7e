"""The Veriff twin, as somebody meets it who knows the vendor's pages and nothing of mediafs."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import pytest

from mediafs.sandbox import World
from mediafs.sandbox.media import read_all
from mediafs.sandbox.veriff import Veriff
from mediafs.sandbox.veriff_options import SECRET, VeriffOptions
from mediafs.sandbox.veriff_sessions import media_uuid, session_uuid
from mediafs.sandbox.wire import Request, Response

KEY = VeriffOptions().api_key
NOBODY = "0a1b2c3d-0000-4000-8000-000000000003"


def twin(**options: Any) -> Veriff:
    world = World()
    for number, kind in enumerate(("image", "video", "image", "image", "audio", "image"), 1):
        wanted: Literal["image", "video", "audio"] = kind  # type: ignore[assignment]
        world.add(conversation="77", media_type=wanted, size=1000 + number)
    world.add(conversation="78", size=50)
    world.add(conversation="79", size=60, status="in_progress")
    made = Veriff(world, VeriffOptions(**options), signing_key=b"k")
    made.origin, made.storage = "http://api.test", "http://storage.test"
    return made


def test_what_is_called_json_is_json() -> None:
    world = World.generate(60)
    added = world.add(media_type="audio")
    service = Veriff(world, VeriffOptions(attempts=1), signing_key=b"k")
    listed = [
        record
        for session in service.sessions.all()
        for record in value(ask(service, f"sessions/{session}/media")).get("nfcDocuments", ())
    ]
    assert media_uuid(added.id) in [record["id"] for record in listed]
    assert len(listed) > 5
    for record in listed:
        assert record["mimetype"] == "application/json"
        response = ask(service, f"media/{record['id']}")
        assert response.header("Content-Type") == "application/json"
        assert len(response) == record["size"]
        assert value(response)["dataGroups"]


def sign(text: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def ask(
    service: Veriff,
    path: str,
    *,
    method: str = "GET",
    signed: str | None = None,
    headers: Mapping[str, str | None] = MappingProxyType({}),
) -> Response:
    """One request, signed with the second part of its path unless told otherwise."""
    given = {"x-auth-client": KEY, "x-hmac-signature": sign(path.split("/")[1] if signed is None else signed)}
    sent = {name: value for name, value in (given | dict(headers)).items() if value is not None}
    return service.handle(Request(method=method, target=f"/v1/{path}", headers=sent))


def value(response: Response) -> Any:
    return json.loads(b"".join(response.chunks()))


def error(response: Response) -> tuple[int, str]:
    said = value(response)
    assert said["status"] == "fail"
    assert said["message"]
    return response.status, said["code"]


SESSION = session_uuid("77")


def attempts(service: Veriff) -> list[str]:
    listed = value(ask(service, f"sessions/{SESSION}/attempts"))["verifications"]
    return list(dict.fromkeys(row["id"] for row in listed))


def ids(listed: dict[str, Any]) -> set[str]:
    return {record["id"] for kind in ("images", "videos", "nfcDocuments") for record in listed.get(kind, [])}


# --- signatures


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-auth-client": None}, "1801"),
        ({"x-auth-client": "not-a-uuid"}, "1802"),
        ({"x-auth-client": NOBODY}, "1803"),
        ({"x-hmac-signature": None}, "1812"),
        ({"x-hmac-signature": ""}, "1812"),
        ({"x-hmac-signature": sign(SESSION).upper()}, "1812"),
        ({"x-hmac-signature": sign(SESSION)[:-1]}, "1812"),
        ({"x-hmac-signature": sign(NOBODY)}, "1818"),
        ({"x-hmac-signature": sign(SESSION + "\n")}, "1818"),
        ({"x-hmac-signature": sign(SESSION, "another secret")}, "1818"),
    ],
)
def test_a_signature_is_checked_exactly(headers: dict[str, str | None], code: str) -> None:
    assert error(ask(twin(), f"sessions/{SESSION}/attempts", headers=headers)) == (401, code)


def test_every_active_secret_opens() -> None:
    service = twin(shared_secrets=("new-one", SECRET))
    for secret in ("new-one", SECRET):
        signature = sign(SESSION, secret)
        assert (
            ask(service, f"sessions/{SESSION}/media", headers={"x-hmac-signature": signature}).status == 200
        )


@pytest.mark.parametrize(
    ("signed_by", "media", "session"), [("media", 200, 401), ("session", 401, 200), ("either", 200, 200)]
)
def test_a_download_is_signed_by_the_id_that_the_option_names(
    signed_by: str, media: int, session: int
) -> None:
    service, id = twin(media_signed_by=signed_by), media_uuid(1)
    assert ask(service, f"media/{id}", signed=id).status == media
    assert ask(service, f"media/{id}", signed=SESSION).status == session


def test_replies_are_signed_too() -> None:
    response = ask(twin(), f"sessions/{SESSION}/media")
    assert isinstance(response.payload, bytes)
    assert response.header("x-hmac-signature") == sign(response.payload.decode())
    assert ask(twin(signed_replies=False), f"sessions/{SESSION}/media").header("x-hmac-signature") is None


# --- listings


def test_a_session_shows_its_latest_attempt_only() -> None:
    service = twin()
    newest = attempts(service)[0]
    latest = ids(value(ask(service, f"sessions/{SESSION}/media")))
    assert latest == ids(value(ask(service, f"attempts/{newest}/media")))
    assert len(latest) == 2


def test_all_attempts_together_hold_every_finished_media_once() -> None:
    service = twin()
    shown = [ids(value(ask(service, f"attempts/{attempt}/media"))) for attempt in attempts(service)]
    assert sorted(id for some in shown for id in some) == sorted(media_uuid(n) for n in range(1, 7))


def test_attempts_come_newest_first_one_of_them_twice_and_one_without_a_time() -> None:
    rows = value(ask(twin(), f"sessions/{SESSION}/attempts"))["verifications"]
    times = [row.get("createdTime") for row in rows]
    assert len(rows) == 4
    assert rows[0] == rows[3]
    assert times.count(None) == 1
    dated = [time for time in times[:3] if time]
    assert dated == sorted(dated, reverse=True)
    assert dated[0].endswith(".000Z")
    none = value(ask(twin(undated="all"), f"sessions/{SESSION}/attempts"))["verifications"]
    assert not any("createdTime" in row for row in none)


def test_records_are_as_the_page_shows_them() -> None:
    service = twin(attempts=1)
    listed = value(ask(service, f"sessions/{SESSION}/media"))
    assert listed["status"] == "success"
    first = listed["images"][0]
    expected = {"id", "name", "context", "timestamp", "size", "mimetype", "url", "sessionId"}
    assert set(first) == expected
    assert (first["timestamp"], first["sessionId"], first["name"]) == (None, SESSION, first["context"])
    assert first["url"] == f"http://api.test/v1/media/{first['id']}"
    assert set(listed["videos"][0]) == expected | {"duration"}
    assert set(listed["nfcDocuments"][0]) == {"id", "context", "size", "mimetype", "url"}


def test_records_can_lack_what_they_are_not_sure_to_have() -> None:
    service = twin(attempts=1, sizes=False, mimetypes=False, urls="none", videos=False)
    listed = value(ask(service, f"sessions/{SESSION}/media"))
    assert listed["videos"] == []
    assert set(listed["images"][0]) == {"id", "name", "context", "timestamp", "sessionId"}
    other = value(ask(twin(urls="other"), f"sessions/{SESSION}/media"))
    assert other["images"][0]["url"].startswith("http://storage.test/v1/media/")


def test_what_is_not_there_is_simply_not_found() -> None:
    service = twin()
    for path in (
        f"sessions/{NOBODY}/media",
        f"sessions/{NOBODY}/attempts",
        f"sessions/{session_uuid('79')}/attempts",
        f"attempts/{NOBODY}/media",
        f"media/{NOBODY}",
        f"media/{media_uuid(8)}",
        f"media/{media_uuid(99)}",
    ):
        assert error(ask(service, path)) == (404, "1101")
    assert error(ask(service, "sessions/77/attempts")) == (400, "1001")
    assert ask(twin(bare_404=True), f"sessions/{SESSION}/media").payload == b"<h1>404</h1>"


@pytest.mark.parametrize("status", [404, 405])
def test_an_older_integration_has_no_attempts(status: int) -> None:
    service = twin(attempts_listing=str(status), attempt_media=str(status))
    newest = attempts(twin())[0]
    assert ask(service, f"sessions/{SESSION}/attempts").status == status
    assert ask(service, f"attempts/{newest}/media").status == status
    assert ask(service, f"sessions/{SESSION}/media").status == 200


# --- downloads, and what must never be asked for


def test_a_download_is_the_bytes_of_the_media_under_its_documented_type() -> None:
    service = twin()
    response = ask(service, f"media/{media_uuid(5)}")
    assert (response.status, response.header("content-type")) == (200, "application/json")
    assert response.header("content-disposition") is None
    assert b"".join(response.chunks()) == read_all(service.world[5].body)
    assert ask(service, f"media/{media_uuid(1)}").header("content-type") == "image/jpeg"
    part = ask(service, f"media/{media_uuid(1)}", headers={"range": "bytes=10-19"})
    assert (part.status, len(part)) == (206, 10)


def test_a_download_may_lead_to_the_storage_origin() -> None:
    response = ask(twin(redirect=True), f"media/{media_uuid(1)}")
    assert response.status == 302
    assert (response.header("location") or "").startswith("http://storage.test/stored/")


def test_a_session_is_deleted_whole_where_that_is_on_and_counted_where_it_is_not() -> None:
    service = twin()
    assert error(ask(service, f"sessions/{SESSION}", method="DELETE"))[0] == 403
    assert service.deletions == [SESSION]
    service = twin(deletion=True)
    assert ask(service, f"sessions/{SESSION}", method="DELETE").status == 200
    assert error(ask(service, f"sessions/{SESSION}/media"))[0] == 404
    assert ask(service, f"sessions/{session_uuid('78')}/media").status == 200
    assert ask(service, f"media/{media_uuid(7)}", method="DELETE").status == 405


def test_a_decision_is_personal_data_and_being_asked_for_is_counted() -> None:
    service = twin()
    assert "person" in value(ask(service, f"sessions/{SESSION}/decision"))["verification"]
    assert service.decisions == [SESSION]


def test_the_rate_is_limited_for_the_whole_integration() -> None:
    service = twin(rate_limit=2, rate_header="retry-seconds")
    paths = [f"sessions/{SESSION}/media", f"media/{media_uuid(1)}", f"sessions/{SESSION}/attempts"]
    last = [ask(service, path) for path in paths][-1]
    assert error(last) == (429, "1101")
    assert last.header("retry-after")


def test_the_same_world_has_the_same_ids_and_a_large_one_is_found_at_once() -> None:
    world = World.generate(3000, conversations=500)
    first, second = (Veriff(world, VeriffOptions(), signing_key=b"k") for _ in range(2))
    assert first.sessions.all() == second.sessions.all()
    assert first.credentials()["sessions"].split(",") == first.sessions.all()
    assert len(set(first.sessions.all())) == len(first.sessions.all()) > 400
