"""What Zoom's answers stand for: bytes, pages in their place, refusals and deletions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafs.errors import (
    CredentialsRefused,
    Denied,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    Unavailable,
    Unsupported,
)
from mediafs.model import (
    MediaId,
    Removal,
)
from mediafs.vendors.protocol import RENEW, Call, Credential, Reply
from mediafs.vendors.zoom import Zoom
from tests.vendors.zooming import (
    FILE,
    HERE,
    KEY,
    SECRET,
    SESSION,
    Answer,
    driven,
    envelope,
    history,
    media,
    recording,
    reply,
    session,
    zoom,
)

# --- bytes


def at(address: object, **options: Any) -> Call:
    return zoom(**options).download(media(download_url=address))


@pytest.mark.parametrize(
    "address",
    [
        "https://zoom.us/rec/download/x",
        "https://us02web.zoom.us/rec/download/x?type=cc",
        "https://API.zoom.us:443/x",
        "https://zoom.us./x",
    ],
)
def test_a_download_goes_to_zoom(address: str) -> None:
    call = at(address)
    assert call.method == "GET"
    assert call.headers == ()
    assert "?" not in call.url


@pytest.mark.parametrize(
    "address",
    [
        "https://example/download_url",
        "https://evil.example/rec/download/x",
        "https://notzoom.us/x",
        "https://zoom.us.evil.example/x",
        "https://zoom.us@evil.example/x",
        "https://zoom.us:pass@zoom.us/x",
        "https://evil.example\\@zoom.us/x",
        "https://evil.example/\\zoom.us",
        "http://zoom.us/x",
        "ftp://zoom.us/x",
        "//zoom.us/x",
        "/rec/download/x",
        "javascript:alert(1)",
        "https://zoom.us:x/",
        "https:///x",
        "https://[::1/x",
        "https://zoom.us/a b",
        "https://zöom.us/x",
        "https://zoom.us/x?a=%FF",
        "x" * 9000,
    ],
)
def test_a_download_goes_nowhere_else(address: str) -> None:
    with pytest.raises(InvalidReply, match="download_url") as caught:
        at(address)
    assert "pass" not in str(caught.value)
    assert address not in str(caught.value)


def test_more_hosts_are_a_matter_of_configuration() -> None:
    assert at("https://eu.gateway.example/x", download_hosts=("gateway.example",)).url.endswith("/x")
    with pytest.raises(InvalidReply, match=r"zoom\.us, where"):
        at("https://zoom.us/x", download_hosts=())
    assert at("https://gate.example:8443/x", base_url="https://gate.example:8443/v2", download_hosts=())
    with pytest.raises(InvalidReply):
        at("https://gate.example/x", base_url="https://gate.example:8443/v2", download_hosts=())
    # A sandbox on loopback.
    assert at("http://127.0.0.1:81/x", base_url="http://127.0.0.1:81/v2")
    with pytest.raises(InvalidReply):
        at("http://127.0.0.1:82/x", base_url="http://127.0.0.1:81/v2")


def test_a_recording_without_an_address_is_not_readable() -> None:
    for address in ("", None, ...):
        with pytest.raises(Unsupported, match="storage of your own"):
            at(address)


def test_the_token_goes_into_the_header_and_by_option_into_the_query_of_downloads_alone() -> None:
    held = Credential(secret="t0ken", renew_after_s=None)
    call = at("https://zoom.us/x?type=cc")
    assert zoom().authorized(call, held).headers == (("Authorization", "Bearer t0ken"),)
    assert zoom().authorized(call, held).query == (("type", "cc"),)
    both = zoom(token_in_query=True)
    assert both.authorized(call, held).query == (("type", "cc"), ("access_token", "t0ken"))
    listing = Call(method="GET", url="https://api.zoom.us/v2/videosdk/recordings", operation="list")
    assert both.authorized(listing, held).query == ()
    for shown in (repr(both), repr(both._options), repr(both.authorized(call, held)), repr(held)):
        for secret in ("t0ken", KEY, SECRET, "type=cc"):
            assert secret not in shown


def message(kind: str, start: bytes, *, extension: str = "MP4", span: str = "") -> bool:
    call = zoom().download(media(file_extension=extension, download_url="https://zoom.us/x"))
    headers = {"content-type": kind} | ({"content-range": span} if span else {})
    return zoom().is_message(call, headers, start)


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "text/html; charset=utf-8",
        "Text/HTML",
        "application/xhtml+xml",
        "application/xml",
        "text/xml",
    ],
)
@pytest.mark.parametrize("extension", ["MP4", "TXT", "JSON"])
def test_a_page_is_never_a_recording(kind: str, extension: str) -> None:
    assert message(kind, b"", extension=extension)


@pytest.mark.parametrize("kind", ["application/octet-stream", "video/mp4", "", "text/plain"])
@pytest.mark.parametrize(
    "start",
    [
        b"<!DOCTYPE html>",
        b"\n <html lang=en>",
        b"\xef\xbb\xbf<!doctype html>",
        b"<?xml version='1.0'?>",
        b'{"code": 124, "message": "x"}',
        b'{"message":"x","code":1}',
    ],
)
def test_a_page_or_an_error_is_known_by_its_beginning_whatever_it_calls_itself(
    kind: str, start: bytes
) -> None:
    assert message(kind, start)


def test_a_recording_that_is_json_is_told_from_an_error() -> None:
    assert not message("application/json", b'{"timeline": [{"code": 5}]}', extension="JSON")
    assert message("application/json", b'{"code":300,"message":"no"}', extension="JSON")
    assert message("application/json", b'{"timeline": []}', extension="MP4")
    assert not message("application/json;charset=utf-8", b'[{"ts": "00:00:01"}]', extension="TXT")


def test_bytes_in_the_middle_of_a_recording_may_look_like_anything() -> None:
    assert not message("text/plain", b"<html>", extension="TXT", span="bytes 5-10/100")
    assert message("text/plain", b"<html>", extension="TXT", span="bytes 0-10/100")
    assert not message("video/mp4", b"\0\0\0\x18ftypmp42")


def test_only_a_download_can_bring_a_message() -> None:
    listing = Call(method="GET", url="https://api.zoom.us/", operation="list")
    assert not zoom().is_message(listing, {"content-type": "text/html"}, b"<html>")


# --- what answers stand for


def meaning(operation: str, body: object, status: int = 200) -> int:
    call = Call(method="GET", url="https://api.zoom.us/", operation=operation)
    return zoom().status(call, reply(body, status))


@pytest.mark.parametrize(
    ("operation", "body", "status", "wanted"),
    [
        ("list", {"sessions": []}, 200, 200),
        ("list", {"code": 429, "message": "slow"}, 200, 429),
        ("list", {"code": 124, "message": "token"}, 200, 401),
        ("list", {"code": 124, "message": "token"}, 400, 401),
        ("list", {"code": 200, "message": "no permission"}, 200, 403),
        ("list", {"code": "200", "message": "no permission"}, 200, 403),
        ("list", {"code": 4711, "message": "scope"}, 400, 403),
        ("list", {"code": 1010, "message": "user"}, 400, 403),
        ("list", {"code": 3301, "message": "none"}, 200, 404),
        ("list", {"code": 300, "message": "bad"}, 400, 400),
        ("list", {"code": 7, "message": "?"}, 200, 400),
        ("list", {"code": 500, "message": "?"}, 200, 500),
        ("list", {"code": 498, "message": "?"}, 200, 400),
        ("list", {"code": 200, "message": "?"}, 503, 503),
        ("list", {"code": 200, "sessions": []}, 200, 200),
        ("list", b"<html>", 200, 200),
        ("delete", {"code": 200, "message": "no permission"}, 200, 403),
        ("delete", b"", 204, 204),
        ("download", b"<html>sign in</html>", 200, RENEW),
        ("download", b"<html>sign in</html>", 206, RENEW),
        ("download", {"code": 124, "message": "token"}, 200, 401),
        ("download", {"code": 200, "message": "no"}, 200, 403),
        ("download", b"", 204, 204),
        ("download", b"<html>", 404, 404),
        ("download", b"", 416, 416),
    ],
)
def test_what_a_reply_amounts_to(operation: str, body: object, status: int, wanted: int) -> None:
    assert meaning(operation, body, status) == wanted


@pytest.mark.parametrize(
    ("operation", "status", "body", "kind"),
    [
        ("download", 200, b"<html>sign in</html>", Denied),
        ("download", 403, b"", Denied),
        ("download", 404, b"", NotFound),
        ("download", 401, b"", Denied),
        ("list", 200, {"code": 200, "message": "no"}, Denied),
        ("list", 403, {"code": 200, "message": "no"}, Denied),
        ("list", 429, b"", Late),
        ("list", 500, b"", Unavailable),
        ("list", 503, b"<html>", Unavailable),
        ("list", 405, b"", InvalidReply),
        ("list", 418, b"", InvalidReply),
        ("delete", 200, b"", InvalidReply),
        ("delete", 200, {"code": 200, "message": "no"}, Denied),
        ("delete", 202, b"", InvalidReply),
        ("delete", 400, {"code": 300, "message": "bad"}, InvalidReply),
        ("delete", 405, b"", Unsupported),
        ("recover", 501, b"", Unsupported),
    ],
)
def test_what_kind_of_error_a_reply_is(
    operation: str, status: int, body: object, kind: type[MediafsError]
) -> None:
    call = Call(method="GET", url="https://api.zoom.us/x", operation=operation)
    error = zoom().failure(call, reply(body, status), MediaId("m:f:x:y"))
    assert type(error) is kind
    assert str(error).startswith(f"zoom: {operation}")


def test_an_account_without_the_api_is_told_to_look_at_base_url() -> None:
    with pytest.raises(InvalidReply, match="base_url"):
        history([reply(b"", 404)])


def test_the_services_own_words_are_shown_without_secrets_and_links() -> None:
    text = f"No {SECRET} at https://zoom.us/rec?x=1 for {KEY}"
    call = Call(method="GET", url="https://api.zoom.us/x", operation="list")
    error = str(zoom().failure(call, reply({"code": 1010, "message": text}, 400)))
    assert "(code 1010)" in error
    for secret in (SECRET, KEY, "rec?x"):
        assert secret not in error
    assert "User does not exist" in str(zoom().failure(call, reply((HERE / "error.json").read_bytes(), 400)))
    assert meaning("list", (HERE / "error-rate.json").read_bytes(), 429) == 429


# --- taking away


def erased(
    answer: Answer | list[Reply], removal: Removal = Removal.TRASH, vendor: Zoom | None = None
) -> tuple[Any, list[Call]]:
    return driven((vendor or zoom()).erase(media(), removal), answer)


@pytest.mark.parametrize(("removal", "action"), [(Removal.TRASH, "trash"), (Removal.PERMANENT, "delete")])
def test_a_deletion_always_says_what_it_is(removal: Removal, action: str) -> None:
    outcome, (call,) = erased([reply(b"", 204)], removal)
    assert (call.method, call.query) == ("DELETE", (("action", action),))
    assert call.url == f"https://api.zoom.us/v2/videosdk/sessions/{quote(SESSION, safe='')}/recordings/{FILE}"
    assert (outcome.answer, outcome.carried_out) == (f"DELETE action={action} 204", True)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply({"code": 200, "message": "no permission"}), Denied),
        (reply(b""), InvalidReply),
        (reply([]), InvalidReply),
        (reply({"code": 124, "message": "x"}), CredentialsRefused),
        (reply(b"", 202), InvalidReply),
        (reply(b"", 403), Denied),
        (reply(b"", 500), Unavailable),
        (reply(b"", 405), Unsupported),
    ],
)
def test_nothing_but_204_is_a_success(answer: Reply, kind: type[MediafsError]) -> None:
    with pytest.raises(kind):
        erased([answer])
    with pytest.raises(kind):
        driven(zoom().recover(media()), [answer])


GONE = reply({"code": 3301, "message": "There is no recording."}, 404)


def test_what_was_gone_already_is_believed_when_no_listing_shows_it() -> None:
    def none_left(call: Call) -> Reply:
        return (
            GONE
            if call.method == "DELETE" or (call.url.endswith("/recordings") and "/sessions/" in call.url)
            else envelope()
        )

    outcome, calls = erased(none_left)
    assert outcome.carried_out is False
    assert [call.method for call in calls] == ["DELETE", "DELETE", "GET", "GET", "GET"]
    outcome, calls = erased(none_left, Removal.PERMANENT)
    assert [call.method for call in calls] == ["DELETE", "DELETE", *["GET"] * 5]


@pytest.mark.parametrize("removal", list(Removal))
def test_a_404_for_what_is_listed_all_the_same_is_no_success(removal: Removal) -> None:
    def still_there(call: Call) -> Reply:
        return GONE if call.method == "DELETE" else envelope(session(recording()))

    with pytest.raises(InvalidReply, match="lists it all the same"):
        erased(still_there, removal)


def test_a_404_for_what_lies_in_the_trash_is_no_success_of_a_deletion_for_good() -> None:
    def in_the_trash(call: Call) -> Reply:
        if "trash" not in dict(call.query):
            return GONE
        return envelope(session(recording())) if dict(call.query)["trash"] == "true" else envelope()

    assert erased(in_the_trash)[0].carried_out is False
    with pytest.raises(InvalidReply):
        erased(in_the_trash, Removal.PERMANENT)


def test_a_file_id_that_stands_for_several_recordings_is_never_deleted_by() -> None:
    vendor = zoom()
    both = session(recording(), recording(recording_type="audio_only"))
    found = history([envelope(both)], vendor).media
    # What was learnt is handed on as JSON.
    later = zoom()
    later.learnt = json.loads(json.dumps(vendor.learnt))
    for each in found:
        for flow in (later.erase(each, Removal.PERMANENT), later.recover(each)):
            with pytest.raises(Unsupported, match="same id"):
                driven(flow, [])
    later.learnt["shared"] = "all"
    with pytest.raises(Unsupported):
        driven(later.erase(media(id="some-other"), Removal.TRASH), [])


def test_a_file_without_an_id_is_never_deleted() -> None:
    """Without a file's id the address would be that of the whole session."""
    with pytest.raises(Unsupported, match="no id"):
        driven(zoom().erase(media(id=...), Removal.PERMANENT), [])


@pytest.mark.parametrize(
    "id_",
    [
        "",
        "x",
        "a:b",
        f"{SESSION}:..:20220310T022730Z:x",
        f"{SESSION}::20220310T022730Z:x",
        f"..:{FILE}:20220310T022730Z:x",
        f"{SESSION}:{FILE}/../..:20220310T022730Z:x",
    ],
)
def test_what_is_no_id_of_zooms_is_not_asked_about(id_: str) -> None:
    assert not zoom().is_media_id(id_) or id_.startswith("..")
    one = replace(media(), id=MediaId(id_ or "x"))
    for flow in (zoom().erase(one, Removal.PERMANENT), zoom().record(one), zoom().recover(one)):
        with pytest.raises(NotFound):
            driven(flow, [])


def test_a_media_is_recovered_out_of_the_trash() -> None:
    _, (call,) = driven(zoom().recover(media()), [reply(b"", 204)])
    assert call.method == "PUT"
    assert call.url.endswith(f"/recordings/{FILE}/status")
    assert (call.body, call.headers) == (b'{"action":"recover"}', (("Content-Type", "application/json"),))
    with pytest.raises(NotFound):
        driven(zoom().recover(media()), lambda call: GONE)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_status(body: bytes) -> None:
    for operation in ("list", "download", "delete"):
        assert 100 <= meaning(operation, body) < 600
        assert isinstance(message("x/y", body), bool)
