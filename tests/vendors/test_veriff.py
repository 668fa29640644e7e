"""What is asked of Veriff, how it is signed, and how its answers are read, against the vendor's samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafs.errors import (
    ConfigError,
    CredentialsRefused,
    Denied,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    Unavailable,
    Unsupported,
    ValueRefused,
)
from mediafs.model import (
    EARLIEST,
    Conversation,
    ConversationId,
    Cursor,
    Everything,
    Media,
    MediaId,
    Only,
    Page,
    Question,
    Removal,
    Trash,
    User,
    UserId,
)
from mediafs.vendors import VENDORS
from mediafs.vendors.protocol import Call, Credential, Flow, Reply, Vendor
from mediafs.vendors.veriff import Veriff, VeriffOptions
from mediafs.vendors.veriff_options import session_id

T = TypeVar("T")

HERE = Path(__file__).parent / "veriff"
NOW = datetime(2024, 5, 17, 10, tzinfo=UTC)
KEY = "5a4dbc4f-0e6b-4f0e-9d5a-0d5a5a0dbc4f"
SECRET = "abcdef12-abcd-abcd-abcd-abcdef012345"
SESSION = ConversationId("fd5c1563-1d23-4b1a-ae46-7ba429927ed8")
OTHER = ConversationId("f04bdb47-d3be-4b28-b028-a652feb060b5")
THIRD = ConversationId("0a1b2c3d-0000-4000-8000-000000000003")
LATEST = "a1c68aea-7f4d-478d-80ab-ca9356074f69"
OLDEST = "f2270684-8c51-4d03-88eb-dafd43e8b486"
FRONT = MediaId("d69a07cf-4434-4d36-be6c-d22af7dc01fb")
ROOT = "https://stationapi.veriff.com/v1"

Service = Callable[[Call], Reply]


def veriff(*sessions: str, **changes: Any) -> Veriff:
    options: dict[str, Any] = {"api_key": KEY, "shared_secrets": (SECRET,), "sessions": lambda: sessions}
    return Veriff(VeriffOptions(**(options | changes)))


def reply(value: object, status: int = 200) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(status=status, headers={}, body=body)


def sample(name: str, status: int = 200) -> Reply:
    return reply((HERE / name).read_bytes(), status)


GONE = sample("error-404.json", 404)
NOTHING = reply({"status": "success", "images": [], "videos": []})


def run(flow: Flow[T], service: Service | Mapping[str, Reply]) -> tuple[list[str], T]:
    """The paths that a flow asks for, and its outcome. A mapping answers by the path behind `/v1`."""
    asked: list[str] = []
    try:
        call = next(flow)
        while True:
            path = call.url.removeprefix(f"{ROOT}/")
            assert (call.method, call.query, call.body) == ("GET", (), None)
            asked.append(path)
            answer = service.get(path, GONE) if isinstance(service, Mapping) else service(call)
            call = flow.send(answer)
    except StopIteration as stop:
        return asked, stop.value


def attempt(id: str, created: object = ...) -> dict[str, object]:
    return {"id": id} if created is ... else {"id": id, "createdTime": created}


def attempts(*rows: dict[str, object]) -> Reply:
    return reply({"status": "success", "verifications": rows})


def image(id: str = FRONT, **changes: object) -> dict[str, object]:
    made: dict[str, object] = {"id": id, "context": "face", "size": 5, "mimetype": "image/jpeg"} | changes
    return {key: value for key, value in made.items() if value is not ...}


def images(*records: dict[str, object]) -> Reply:
    return reply({"status": "success", "images": records})


def of_session(
    service: Service | Mapping[str, Reply], vendor: Veriff | None = None, **question: Any
) -> tuple[list[str], tuple[Media, ...]]:
    asking = Question(scope=Conversation(SESSION), **question)
    asked, page = run((vendor or veriff()).page(asking, NOW), service)
    assert (page.total, page.next) == (None, None)
    return asked, page.media


def one_attempt(media: Reply) -> dict[str, Reply]:
    """A session with one attempt, and the list of its media."""
    rows = attempts(attempt(LATEST, "2023-09-18T08:33:30.047Z"))
    return {f"sessions/{SESSION}/attempts": rows, f"attempts/{LATEST}/media": media}


def read(record: dict[str, object]) -> Media:
    _, (media,) = of_session(one_attempt(images(record)))
    return media


def everything(vendor: Veriff, service: Service | Mapping[str, Reply]) -> list[tuple[list[str], Page]]:
    """Every page of everything, with what each has asked."""
    pages = []
    cursor: Cursor | None = None
    while True:
        asked, page = run(vendor.page(Question(cursor=cursor), NOW), service)
        pages.append((asked, page))
        cursor = page.next
        if cursor is None:
            return pages


# --- signatures


def test_veriff_is_a_vendor_and_is_registered() -> None:
    vendor: Vendor = veriff()
    assert VENDORS["veriff"].vendor == "veriff"
    assert vendor.name == "veriff"
    assert (vendor.pace and (vendor.pace.per_second, vendor.pace.parallel)) == (5, 4)
    traits = vendor.traits
    assert (traits.conversations, traits.users, traits.in_date_order) == (True, False, False)
    assert traits.records_tell_conversation
    assert (traits.editable, traits.deletable, traits.trash) == (frozenset(), False, False)


def gained(vendor: Veriff) -> Credential:
    _, credential = run(vendor.login(NOW), {})
    return credential


def signed(vendor: Veriff, call: Call) -> dict[str, str]:
    return dict(vendor.authorized(call, gained(vendor)).headers)


def test_a_download_is_signed_with_the_lower_case_hex_hmac_of_the_media_id() -> None:
    # Computed with openssl: printf %s ID | openssl dgst -sha256 -hmac SECRET
    media = replace(read(image()), id=MediaId("aea9ba6d-1b47-47fc-a4fc-f72b6d3584a7"))
    headers = signed(veriff(), veriff().download(media))
    assert headers == {
        "Content-Type": "application/json",
        "X-AUTH-CLIENT": KEY,
        "X-HMAC-SIGNATURE": "895cb3fd31139d89aeb7b263682e15479ab57651e70591256ad2c14fde4950dd",
    }


def test_each_listing_is_signed_with_the_id_in_its_path() -> None:
    subjects: list[tuple[str, str]] = []

    def service(call: Call) -> Reply:
        subjects.append((call.url.removeprefix(f"{ROOT}/"), call.subject))
        if call.url.endswith("/attempts"):
            return attempts(attempt(LATEST))
        return GONE if "/attempts/" in call.url else NOTHING

    of_session(service)
    assert subjects == [
        (f"sessions/{SESSION}/attempts", SESSION),
        (f"attempts/{LATEST}/media", LATEST),
        (f"sessions/{SESSION}/media", SESSION),
    ]


def test_what_has_no_id_is_not_signed() -> None:
    with pytest.raises(ValueError, match="no id"):
        signed(veriff(), Call(method="GET", url=ROOT, operation="list"))


def test_a_login_costs_no_request_and_never_ends() -> None:
    asked, credential = run(veriff().login(NOW), {})
    assert (asked, credential) == ([], Credential(secret=SECRET, renew_after_s=None))


def test_a_refused_secret_is_followed_by_the_next_one_and_the_last_by_the_first() -> None:
    vendor = veriff(shared_secrets=("newest", "older", "oldest"))
    seen = []
    for _ in range(4):
        credential = gained(vendor)
        seen.append(credential.secret)
        vendor.refused(credential)
    assert seen == ["newest", "older", "oldest", "newest"]
    assert vendor.renewals == 2


def test_a_late_refusal_of_an_older_secret_moves_nothing() -> None:
    vendor = veriff(shared_secrets=("newest", "older", "oldest"))
    first = gained(vendor)
    vendor.refused(first)
    vendor.refused(first)
    assert gained(vendor).secret == "older"


def test_one_secret_is_asked_again_once() -> None:
    vendor = veriff()
    vendor.refused(gained(vendor))
    assert (gained(vendor).secret, vendor.renewals) == (SECRET, 1)


def test_the_secret_in_use_is_handed_on_with_what_was_learnt() -> None:
    before, after = (veriff(shared_secrets=("newest", "older")) for _ in range(2))
    before.refused(gained(before))
    after.learnt = json.loads(json.dumps(before.learnt))
    assert gained(after).secret == "older"


@pytest.mark.parametrize("learnt", [2, -1, True, "1", None, 1.0, [1], {}])
def test_nonsense_that_was_learnt_means_the_newest_secret(learnt: object) -> None:
    vendor = veriff(shared_secrets=("newest", "older"))
    vendor.learnt = {"secret": learnt, "media_signed_by": learnt, "attempts": learnt}
    assert gained(vendor).secret == "newest"
    assert vendor.download(read(image())).subject == FRONT


def test_a_signature_for_a_wrong_id_is_made_anew_with_the_sessions_id_and_remembered() -> None:
    vendor = veriff()
    media = read(image())
    call = vendor.download(media)
    assert call.subject == FRONT
    again = vendor.otherwise(call, sample("error-1818.json", 401))
    assert again is not None
    assert (again.url, again.subject) == (call.url, SESSION)
    assert vendor.otherwise(again, sample("error-1818.json", 401)) is None
    later = vendor.download(media)
    assert later.subject == SESSION
    back = vendor.otherwise(later, sample("error-1818.json", 401))
    assert back is not None
    assert back.subject == FRONT
    assert vendor.download(media).subject == FRONT


@pytest.mark.parametrize(
    "answer",
    [
        sample("error-401.json", 401),
        reply(b"", 401),
        reply({"code": True}, 401),
        reply({"code": "1812"}, 401),
    ],
)
def test_other_refusals_of_a_download_are_about_the_credentials(answer: Reply) -> None:
    vendor = veriff()
    assert vendor.otherwise(vendor.download(read(image())), answer) is None


def test_a_listing_has_only_one_id_to_sign() -> None:
    vendor = veriff()
    flow = vendor.page(Question(scope=Conversation(SESSION)), NOW)
    assert vendor.otherwise(next(flow), sample("error-1818.json", 401)) is None


def test_the_number_1818_counts_as_the_code_too() -> None:
    vendor = veriff()
    assert vendor.otherwise(vendor.download(read(image())), reply({"code": 1818}, 401)) is not None


# --- a session


def test_a_session_is_listed_attempt_by_attempt_from_the_oldest_on() -> None:
    service = {
        f"sessions/{SESSION}/attempts": sample("attempts.json"),
        f"attempts/{OLDEST}/media": images(image("img_1")),
        f"attempts/{LATEST}/media": sample("media.json"),
    }
    asked, media = of_session(service)
    assert asked == [f"sessions/{SESSION}/attempts", f"attempts/{OLDEST}/media", f"attempts/{LATEST}/media"]
    assert media[0].id == "img_1"
    assert len(media) == 5
    assert {one.conversation for one in media} == {SESSION}


def test_the_documented_records_are_read_whole() -> None:
    _, (front, face, video, nfc) = of_session(one_attempt(sample("media.json")))
    moment = datetime(2023, 9, 18, 8, 33, 30, 47000, tzinfo=UTC)
    assert {one.created for one in (front, face, video, nfc)} == {moment}
    assert (front.id, front.size, front.mime_type, front.media_type) == (FRONT, 12345, "image/jpeg", "image")
    assert front.extra == (("attempt", LATEST), ("context", "document-front"), ("dated_by", "attempt"))
    assert (face.mime_type, face.filename) == ("image/jpeg", "face-pre-2b3b3a9f-d73d.jpg")
    assert (video.duration_s, video.media_type, video.size) == (12.5, "video", 987654)
    assert (nfc.media_type, nfc.mime_type, nfc.size, nfc.duration_s) == (
        "nfc",
        "application/json",
        2345,
        None,
    )
    assert [one.filename for one in (video, nfc)] == [
        "document-and-face-05cfc122-15d8.webm",
        "nfc-aea9ba6d-1b47.json",
    ]
    assert all(one.filename_is_unique for one in (front, face, video, nfc))
    assert {one.title for one in (front, face, video, nfc)} == {None}


def test_what_the_vendor_may_leave_out_is_none_and_names_are_plain() -> None:
    _, (first, second, third) = of_session(one_attempt(sample("strange.json")))
    assert (first.size, first.mime_type) == (17, "image/png")
    assert first.filename == "rger-d69a07cf-4434.png"
    assert (second.size, second.mime_type) == (None, None)
    assert second.filename == f"face-{hashlib.sha256(b'img_1').hexdigest()[:12]}.jpg"
    assert (third.size, third.filename.rpartition(".")[2]) == (None, "bin")
    assert third.filename.startswith("image-")
    "".join(one.filename + one.record for one in (first, second, third)).encode()


def test_names_are_told_apart_by_the_id_alone() -> None:
    ids = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(50)] + [f"m-{n}" for n in range(50)]
    _, media = of_session(one_attempt(images(*(image(id) for id in ids))))
    assert len({one.filename for one in media}) == 100


@pytest.mark.parametrize(
    ("mime_type", "extension"),
    [
        ("image/jpeg", "jpg"),
        ("image/jpg", "jpg"),
        ("image/png", "png"),
        ("video/mp4", "mp4"),
        ("video/quicktime", "mov"),
        ("application/octet-stream", "bin"),
        ("/", "bin"),
        ("", "jpg"),
    ],
)
def test_the_extension_comes_from_the_type(mime_type: str, extension: str) -> None:
    assert read(image(mimetype=mime_type)).filename.rpartition(".")[2] == extension


def test_the_kept_record_has_no_link_and_no_secret() -> None:
    _, (front, *_) = of_session(one_attempt(sample("media.json")))
    shown = json.loads(front.record)
    assert "url" not in shown
    assert shown["context"] == "document-front"
    _, (_, second, _) = of_session(one_attempt(sample("strange.json")))
    assert "t0p-secret" not in second.record


def test_nothing_of_an_attempts_own_data_is_kept() -> None:
    service = {
        f"sessions/{SESSION}/attempts": sample("attempts.json"),
        f"attempts/{LATEST}/media": images(image()),
    }
    _, (one,) = of_session(service)
    assert "velocity" not in repr(one) + one.record


@pytest.mark.parametrize(
    ("rows", "days"),
    [
        # The day of each as listed, the newest first; then of each, oldest first, and where it is from.
        ([3, None, 1], [(1, "attempt"), (1, "another-attempt"), (3, "attempt")]),
        ([3, None, None], [(3, "another-attempt"), (3, "another-attempt"), (3, "attempt")]),
        ([None, 2, None], [(2, "another-attempt"), (2, "attempt"), (2, "another-attempt")]),
        ([None, None], [(None, "nothing"), (None, "nothing")]),
    ],
)
def test_an_attempt_without_a_time_takes_its_older_neighbours(
    rows: list[int | None], days: list[tuple[int | None, str]]
) -> None:
    listed = [attempt(f"a-{n}", f"2024-01-{day:02}T10:00:00Z" if day else None) for n, day in enumerate(rows)]
    service = {f"sessions/{SESSION}/attempts": attempts(*listed)}
    service |= {f"attempts/a-{n}/media": images(image(f"m-{n}")) for n in range(len(rows))}
    _, media = of_session(service)
    assert [one.id for one in media] == [f"m-{n}" for n in reversed(range(len(rows)))]
    expected = [(datetime(2024, 1, day, 10, tzinfo=UTC) if day else EARLIEST, by) for day, by in days]
    assert [(one.created, dict(one.extra)["dated_by"]) for one in media] == expected


def test_the_time_of_an_attempt_does_not_change_when_another_one_follows() -> None:
    before = [attempt("b"), attempt("a", "2024-01-01T10:00:00Z")]
    service = {f"attempts/{id}/media": images(image(f"m-{id}")) for id in "abc"}
    _, earlier = of_session(service | {f"sessions/{SESSION}/attempts": attempts(*before)})
    after = [attempt("c", "2024-02-01T10:00:00Z"), *before]
    _, later = of_session(service | {f"sessions/{SESSION}/attempts": attempts(*after)})
    assert later[:2] == earlier


def test_a_row_that_comes_twice_is_one_attempt_with_the_time_that_one_of_them_tells() -> None:
    rows = attempts(attempt("b"), attempt("a", "2024-01-01T10:00:00Z"), attempt("b", "2024-01-03T10:00:00Z"))
    twice = attempts(
        *(attempt(id, f"2024-01-0{day}T10:00:00Z") for id, day in (("b", 3), ("a", 1))), attempt("b")
    )
    service = {f"attempts/{id}/media": images(image(f"m-{id}")) for id in "ab"}
    for listed in (rows, twice):
        asked, media = of_session(service | {f"sessions/{SESSION}/attempts": listed})
        assert asked[1:] == ["attempts/a/media", "attempts/b/media"]
        assert [(one.id, one.created.day) for one in media] == [("m-a", 1), ("m-b", 3)]


def test_a_null_date_is_moved_to_the_first_day() -> None:
    service = {
        f"sessions/{SESSION}/attempts": attempts(attempt(LATEST, "0001-01-01T00:00:00Z")),
        f"attempts/{LATEST}/media": images(image()),
    }
    assert of_session(service)[1][0].created == EARLIEST


def test_a_media_that_two_attempts_show_comes_once() -> None:
    service = {
        f"sessions/{SESSION}/attempts": sample("attempts.json"),
        f"attempts/{OLDEST}/media": images(image()),
        f"attempts/{LATEST}/media": images(image(), image("img_2")),
    }
    _, media = of_session(service)
    assert [(one.id, dict(one.extra)["attempt"]) for one in media] == [(FRONT, OLDEST), ("img_2", LATEST)]


def test_a_session_that_nobody_has_begun_is_empty() -> None:
    asked, media = of_session({f"sessions/{SESSION}/attempts": attempts()})
    assert (len(asked), media) == (1, ())


def test_an_attempt_whose_media_are_gone_leaves_the_others() -> None:
    service = {
        f"sessions/{SESSION}/attempts": sample("attempts.json"),
        f"attempts/{LATEST}/media": images(image()),
    }
    asked, media = of_session(service)
    assert (len(asked), [one.id for one in media]) == (3, [FRONT])


def test_a_session_whose_media_have_all_expired_is_empty() -> None:
    asked, media = of_session({f"sessions/{SESSION}/attempts": sample("attempts.json")})
    assert (len(asked), media) == (4, ())


def test_a_session_that_is_gone_is_not_found() -> None:
    with pytest.raises(NotFound, match=SESSION):
        of_session({})


# --- older integrations


@pytest.mark.parametrize("status", [404, 405, 501])
def test_without_a_list_of_attempts_the_latest_one_is_what_there_is(status: int) -> None:
    service = {
        f"sessions/{SESSION}/attempts": reply(b"Cannot GET", status),
        f"sessions/{SESSION}/media": sample("media.json"),
    }
    asked, media = of_session(service)
    assert asked == [f"sessions/{SESSION}/attempts", f"sessions/{SESSION}/media"]
    assert {dict(one.extra)["dated_by"] for one in media} == {"nothing"}
    assert all("attempt" not in dict(one.extra) for one in media)
    assert len(media) == 4


@pytest.mark.parametrize("status", [404, 405, 501])
def test_without_media_of_attempts_those_of_the_session_are_the_latest_attempts(status: int) -> None:
    service = {
        f"sessions/{SESSION}/attempts": sample("attempts.json"),
        f"attempts/{OLDEST}/media": reply({"status": "fail"}, status),
        f"attempts/{LATEST}/media": reply({"status": "fail"}, status),
        f"sessions/{SESSION}/media": sample("media.json"),
    }
    _, media = of_session(service)
    assert {dict(one.extra)["attempt"] for one in media} == {LATEST}


def test_a_list_of_attempts_that_was_there_before_cannot_be_missing() -> None:
    vendor = veriff()
    of_session(one_attempt(images(image())), vendor)
    service = {f"sessions/{SESSION}/media": sample("media.json")}
    with pytest.raises(InvalidReply, match="attempts are not found"):
        of_session(service, vendor)
    service |= {f"sessions/{SESSION}/attempts": sample("attempts.json")}
    with pytest.raises(InvalidReply, match="attempts are not found"):
        of_session(service, vendor)


def test_an_attempt_that_cannot_be_listed_beside_others_refuses_the_session() -> None:
    service = {
        f"sessions/{SESSION}/attempts": sample("attempts.json"),
        f"attempts/{OLDEST}/media": images(image()),
        f"attempts/{LATEST}/media": reply(b"", 405),
    }
    with pytest.raises(InvalidReply):
        of_session(service)


@pytest.mark.parametrize("body", [b"<h1>404</h1>", b"", b"[]", b"{}", b'"fail"'])
def test_a_404_without_the_services_own_words_is_no_empty_session(body: bytes) -> None:
    bare = reply(body, 404)
    with pytest.raises(InvalidReply, match="base_url"):
        of_session(lambda call: bare)
    service = {f"sessions/{SESSION}/attempts": sample("attempts.json"), f"attempts/{OLDEST}/media": bare}
    with pytest.raises(InvalidReply, match="base_url"):
        of_session(service)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, ValueRefused), (403, Denied), (500, Unavailable), (503, Unavailable), (302, InvalidReply)],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_session_that_cannot_be_asked_is_never_half_a_session(
    status: int, error: type[MediafsError], place: int
) -> None:
    asked = 0

    def service(call: Call) -> Reply:
        nonlocal asked
        asked += 1
        if asked > place:
            return reply({"status": "fail"}, status)
        return sample("attempts.json") if call.url.endswith("/attempts") else images(image())

    with pytest.raises(error):
        of_session(service)


# --- everything


def test_everything_is_one_session_a_page_in_the_order_they_are_known() -> None:
    ids = {SESSION: "m-1", OTHER: "m-2", THIRD: "m-3"}
    service: dict[str, Reply] = {}
    for session, media in ids.items():
        service[f"sessions/{session}/attempts"] = attempts(attempt(f"a-{media}", "2024-01-01T00:00:00Z"))
        service[f"attempts/a-{media}/media"] = images(image(media))
    pages = everything(veriff(THIRD, SESSION.upper(), f" {OTHER}\n", THIRD), service)
    assert [[one.id for one in page.media] for _, page in pages] == [["m-3"], ["m-1"], ["m-2"]]
    assert [len(asked) for asked, _ in pages] == [2, 2, 2]
    assert {page.total for _, page in pages} == {None}


def test_no_sessions_cost_no_request() -> None:
    assert everything(veriff(), {}) == [([], Page(media=(), total=None, next=None))]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_session_that_is_gone_does_not_fail_the_others(place: int) -> None:
    sessions = [SESSION, OTHER]
    sessions.insert(place, THIRD)
    service = {
        f"sessions/{SESSION}/attempts": attempts(attempt("a-1")),
        "attempts/a-1/media": images(image("m-1")),
        f"sessions/{OTHER}/attempts": attempts(attempt("a-2")),
        "attempts/a-2/media": images(image("m-2")),
    }
    pages = everything(veriff(*sessions), service)
    assert [one.id for _, page in pages for one in page.media] == ["m-1", "m-2"]
    assert pages[place][1].media == ()


@pytest.mark.parametrize("status", [400, 403, 405, 408, 500])
def test_any_other_failure_of_one_session_fails_everything(status: int) -> None:
    def service(call: Call) -> Reply:
        return NOTHING if SESSION in call.url and "/media" in call.url else reply({"status": "fail"}, status)

    vendor = veriff(OTHER)
    with pytest.raises(MediafsError) as caught:
        everything(vendor, service)
    assert not isinstance(caught.value, NotFound | ValueRefused)
    assert OTHER in str(caught.value)


@pytest.mark.parametrize("text", ["", "12345", "../" + SESSION, SESSION + "0", SESSION[:-1] + "g", "é"])
def test_what_is_no_session_fails_everything_and_is_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="number 2") as caught:
        everything(veriff(SESSION, text), {})
    assert not text or text not in str(caught.value)
    assert session_id(text) is None


def walk(listed: list[list[str]]) -> list[str]:
    """What sessions are asked for, when there are others at every page."""
    known: list[str] = []
    vendor = veriff(sessions=lambda: known)
    asked: list[str] = []
    cursor: Cursor | None = None
    for known in (*listed, *[listed[-1]] * 20):  # noqa: B007
        flow = vendor.page(Question(cursor=cursor), NOW)
        paths, page = run(flow, lambda call: GONE)
        asked += sorted({path.split("/")[1][-1] for path in paths})
        cursor = page.next
        if cursor is None:
            return asked
    raise AssertionError("it never ends")


def sessions(letters: str) -> list[str]:
    return [f"0a1b2c3d-0000-4000-8000-00000000000{letter}" for letter in letters]


@pytest.mark.parametrize(
    ("listed", "asked"),
    [
        (["abc"], "abc"),
        (["abc", "abcd"], "abcd"),
        (["abc", "abcd", "abcde"], "abcde"),
        (["abc", "bca"], "abca"),
        (["abc", "abc", "bc"], "abbc"),
        (["abc", "dabc"], "adabc"),
        (["ab", ""], "a"),
    ],
)
def test_no_session_is_passed_over_when_the_list_changes_meanwhile(listed: list[str], asked: str) -> None:
    assert "".join(walk([sessions(letters) for letters in listed])) == asked


@given(st.lists(st.permutations("abcdef").map(lambda p: "".join(p)), min_size=1, max_size=4))
def test_whoever_is_always_listed_is_always_asked_for(listed: list[str]) -> None:
    assert set("abcdef") <= set(walk([sessions(letters) for letters in listed]))


@pytest.mark.parametrize("cursor", ["", "x", "1", "-1:0123456789abcdef", "1:0123456789ABCDEF"])
def test_a_cursor_of_somebody_else_is_a_bug(cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        run(veriff(SESSION).page(Question(cursor=Cursor(cursor)), NOW), {})


def test_bounds_are_included_and_others_left_out() -> None:
    listed = [attempt(f"a-{day}", f"2024-01-{day:02}T10:00:00Z") for day in (3, 2, 1)]
    service = {f"sessions/{SESSION}/attempts": attempts(*listed)}
    service |= {f"attempts/a-{day}/media": images(image(f"m-{day}")) for day in (1, 2, 3)}
    middle = datetime(2024, 1, 2, 10, tzinfo=UTC)
    assert [one.id for one in of_session(service, since=middle, until=middle)[1]] == ["m-2"]
    assert [one.id for one in of_session(service, newest_first=True)[1]] == ["m-3", "m-2", "m-1"]
    for bound in (datetime.min, datetime.max):
        of_session(service, since=bound.replace(tzinfo=UTC), until=bound.replace(tzinfo=UTC))


def test_of_everything_no_session_is_cut_by_bounds() -> None:
    service = one_attempt(images(image()))
    late = datetime(2050, 1, 1, tzinfo=UTC)
    _, page = run(veriff(SESSION).page(Question(since=late, until=late), NOW), service)
    assert [one.id for one in page.media] == [FRONT]


@pytest.mark.parametrize(
    "question",
    [
        Question(scope=User(UserId("1"))),
        Question(scope=Trash()),
        Question(only=Only(search="x")),
        Question(only=Only(statuses=("approved",)), scope=Conversation(SESSION)),
    ],
)
def test_what_the_service_cannot_filter_by_is_not_asked(question: Question) -> None:
    with pytest.raises(Unsupported):
        run(veriff(SESSION).page(question, NOW), {})


# --- replies that cannot be right


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ...},
        {"id": None},
        {"id": 5},
        {"id": "../x"},
        {"id": ""},
        {"context": 5},
        {"name": {}},
        {"size": -1},
        {"size": "12 KB"},
        {"size": 1.5},
        {"mimetype": 7},
        {"duration": "long"},
        {"url": 5},
    ],
)
def test_a_record_with_a_wrong_type_refuses_the_session_saying_where(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidReply, match=r"^veriff: list: \$\.images\[1\]\."):
        of_session(one_attempt(images(image("ok"), image(**changes))))


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"status": "success"},
        {"images": None},
        {"images": {}},
        {"images": [5]},
        {"status": "fail", "images": []},
        {"videos": "none"},
    ],
)
def test_a_list_of_media_that_is_none_refuses_the_session(value: object) -> None:
    with pytest.raises(InvalidReply, match=r"^veriff: list: \$"):
        of_session(one_attempt(reply(value)))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"verifications": None},
        {"verifications": {}},
        {"verifications": [None]},
        {"verifications": [{}]},
        {"verifications": [{"id": "a/b"}]},
        {"verifications": [{"id": "a", "createdTime": 5}]},
        {"verifications": [{"id": "a", "createdTime": "yesterday"}]},
        {"status": "fail", "verifications": []},
    ],
)
def test_a_list_of_attempts_that_is_none_refuses_the_session(value: object) -> None:
    with pytest.raises(InvalidReply, match=r"^veriff: attempts: \$"):
        of_session({f"sessions/{SESSION}/attempts": reply(value)})


BOMBS = [
    b"[" * 100_000,
    b'{"images":' * 50_000,
    b'{"images": [{"id": "a", "size": ' + b"9" * 10_000 + b"}]}",
    b'{"images": [{"id": "a", "size": 1e999}]}',
    b'{"images": NaN}',
    b"<!doctype html><html>",
    b"",
    b"\xff\xfe\x00",
    ('{"images":[{"id":"a","x":' + "[" * 500 + "]" * 500 + "}]}").encode(),
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_and_nonsense_are_invalid_replies(bomb: bytes) -> None:
    with pytest.raises(InvalidReply):
        of_session(one_attempt(reply(bomb)))
    with pytest.raises(InvalidReply):
        of_session({f"sessions/{SESSION}/attempts": reply(bomb)})


KEYS = [
    *("status", "verifications", "images", "videos", "nfcDocuments", "id", "createdTime", "code", "message"),
    *("name", "context", "size", "mimetype", "url", "duration", "sessionId"),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["success", "1818", "2020-01-01T00:00:00Z", "https://x/", "\ud800", "a-1", SESSION]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=12,
)
LISTS = st.fixed_dictionaries({}, optional={key: st.lists(JSON, max_size=3) for key in KEYS[1:5]})


@given(
    st.lists(
        st.tuples(
            st.one_of(JSON, LISTS), st.sampled_from([200, 200, 200, 204, 302, 400, 403, 404, 405, 500])
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([Question(scope=Conversation(SESSION)), Question()]),
)
def test_any_json_is_a_value_or_an_error_of_ours(
    answers: list[tuple[object, int]], question: Question
) -> None:
    vendor = veriff(SESSION)
    number = 0

    def service(call: Call) -> Reply:
        nonlocal number
        value, status = answers[number % len(answers)]
        number += 1
        vendor.otherwise(replace(call, other_subject="x"), reply(value, status))
        return reply(value, status)

    found: tuple[Media, ...] = ()
    said = ""
    try:
        found = run(vendor.page(question, NOW), service)[1].media
    except MediafsError as exc:
        said = str(exc)
    said.encode()
    assert SECRET not in said
    assert "://" not in said
    for media in found:
        (repr(media) + media.record + media.filename).encode()
        assert "/" not in media.filename
        assert vendor.download(media).url.startswith(ROOT)


# --- one media


def test_a_download_is_a_plain_get_of_the_documented_path() -> None:
    call = veriff(base_url="http://127.0.0.1:8080/veriff/").download(read(image()))
    assert (call.method, call.url) == ("GET", f"http://127.0.0.1:8080/veriff/v1/media/{FRONT}")
    assert (call.query, call.body, call.operation) == ((), None, "download")


@pytest.mark.parametrize(
    "url",
    [
        f"https://evil.example/v1/media/{FRONT}",
        f"http://stationapi.veriff.com/v1/media/{FRONT}",
        f"https://stationapi.veriff.com:8443/v1/media/{FRONT}",
        f"https://stationapi.veriff.com.evil.example/v1/media/{FRONT}",
        f"https://stationapi.veriff.com@evil.example/v1/media/{FRONT}",
        f"https://key:secret@stationapi.veriff.com/v1/media/{FRONT}",
        f"https://stationapi.veriff.com/v1/media/{FRONT}?token=1",
        f"https://stationapi.veriff.com/v1/media/{FRONT}#x",
        f"https://stationapi.veriff.com/v1/../x/{FRONT}",
        "https://stationapi.veriff.com/v1/media/another-one",
        "https://stationapi.veriff.com",
        f"//evil.example/v1/media/{FRONT}",
        f"https://[oops/v1/media/{FRONT}",
        f"https://stationapi.veriff.com:port/v1/media/{FRONT}",
        f"/v1/media/{FRONT}",
        "",
        "\ud800",
    ],
)
def test_a_link_that_is_not_the_accounts_is_rebuilt_from_the_id(url: str) -> None:
    media = read(image(url=url))
    assert media.locator is None
    assert veriff().download(media).url == f"{ROOT}/media/{FRONT}"
    # What an older configuration has left in the catalogue is judged again.
    assert veriff().download(replace(media, locator=url)).url == f"{ROOT}/media/{FRONT}"


@pytest.mark.parametrize(
    "url",
    [
        f"https://stationapi.veriff.com/v2/media/{FRONT}",
        f"https://STATIONAPI.veriff.com/v1/media/{FRONT}",
        f"https://stationapi.veriff.com:443/v1/media/{FRONT}",
        f"{ROOT}/media/{FRONT}",
    ],
)
def test_a_link_to_the_accounts_own_host_is_used(url: str) -> None:
    media = read(image(url=url))
    assert veriff().download(media).url == url
    # The usual address needs no keeping.
    assert media.locator == (None if url == f"{ROOT}/media/{FRONT}" else url)
    assert url not in repr(media) + media.record


@pytest.mark.parametrize("hostile", ["..", "1/../2", "1?x=1", "é", "a b"])
def test_an_id_that_would_change_the_path_is_not_sent(hostile: str) -> None:
    with pytest.raises(NotFound):
        veriff().download(replace(read(image()), id=MediaId(hostile)))
    with pytest.raises(NotFound):
        run(veriff().page(Question(scope=Conversation(ConversationId(hostile))), NOW), lambda call: NOTHING)


def test_a_record_is_found_in_its_session() -> None:
    _, media = of_session(one_attempt(sample("media.json")))
    stale = replace(media[2], size=1, filename="other")
    assert run(veriff().record(stale), one_attempt(sample("media.json")))[1] == media[2]
    with pytest.raises(NotFound):
        run(veriff().record(stale), one_attempt(images(image())))
    with pytest.raises(NotFound):
        run(veriff().record(stale), {})
    with pytest.raises(Unsupported):
        run(veriff().record(replace(stale, conversation=None)), {})


def test_nothing_can_be_changed_deleted_or_recovered() -> None:
    media = read(image())
    for flow in (
        veriff().update(media, {"title": "x"}),
        veriff().erase(media, Removal.PERMANENT),
        veriff().erase(media, Removal.TRASH),
        veriff().recover(media),
    ):
        with pytest.raises(Unsupported):
            run(flow, {})


# --- failures, ids, options


@pytest.mark.parametrize(
    ("status", "scope", "error"),
    [
        (400, Conversation(SESSION), ValueRefused),
        (400, FRONT, InvalidReply),
        (401, None, CredentialsRefused),
        (403, FRONT, Denied),
        (404, FRONT, NotFound),
        (410, FRONT, NotFound),
        (404, Conversation(SESSION), NotFound),
        (404, Everything(), InvalidReply),
        (404, None, InvalidReply),
        (405, FRONT, InvalidReply),
        (408, FRONT, Unavailable),
        (429, None, Late),
        (500, FRONT, Unavailable),
        (304, None, InvalidReply),
    ],
)
def test_each_status_stands_for_one_error(status: int, scope: Any, error: type[MediafsError]) -> None:
    vendor = veriff()
    call = vendor.download(read(image()))
    failure = vendor.failure(call, reply({"status": "fail", "code": "1101"}, status), scope)
    assert type(failure) is error
    assert "(1101)" in str(failure)


def test_a_download_that_a_gateway_does_not_find_is_not_gone() -> None:
    vendor = veriff()
    call = vendor.download(read(image()))
    assert type(vendor.failure(call, reply(b"<html>", 404), FRONT)) is InvalidReply


def test_a_failure_repeats_the_services_words_without_links_and_secrets() -> None:
    vendor = veriff()
    call = vendor.download(read(image()))
    assert "Mandatory X-AUTH-CLIENT header" in str(vendor.failure(call, sample("error-401.json", 401)))
    words = f"no: {SECRET} {KEY} at https://h/x?sig=1\n\x1b[31m " + "long " * 100
    said = str(vendor.failure(call, reply({"status": "fail", "message": words}, 500), FRONT))
    assert not [part for part in (SECRET, KEY, "sig", "\n", "\x1b") if part in said]
    assert FRONT in said
    assert len(said) < 300


@pytest.mark.parametrize(
    "name", [".hidden", "Thumbs.db", "desktop.ini", "a/b", "", "é", "5000", SESSION.upper(), SESSION + "\n"]
)
def test_what_desktops_probe_for_is_no_id(name: str) -> None:
    vendor = veriff()
    assert not vendor.is_media_id(name)
    assert not vendor.is_conversation_id(name)
    assert not vendor.is_user_id(name)


def test_documented_ids_are_ids() -> None:
    assert veriff().is_conversation_id(SESSION)
    assert veriff().is_media_id(FRONT)
    assert not veriff().is_user_id(SESSION)


def test_no_repr_shows_a_secret() -> None:
    options = VeriffOptions(api_key=KEY, shared_secrets=(SECRET,))
    vendor = Veriff(options)
    call = vendor.authorized(vendor.download(read(image())), gained(vendor))
    shown = repr(options) + repr(vendor) + repr(call) + repr(gained(vendor))
    assert SECRET not in shown
    assert KEY not in shown
    assert dict(call.headers)["X-HMAC-SIGNATURE"] not in shown


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": ""},
        {"api_key": "secret\nvalue"},
        {"shared_secrets": ()},
        {"shared_secrets": "secret"},
        {"shared_secrets": ("secret", "")},
        {"shared_secrets": ("secret\n",)},
        {"shared_secrets": ("secret\ud800",)},
        {"base_url": "stationapi.veriff.com"},
        {"base_url": "https://u:secret@stationapi.veriff.com"},
        {"base_url": "https://stationapi.veriff.com/?secret"},
    ],
)
def test_options_that_cannot_work_are_refused_without_their_value(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r":") as caught:
        VeriffOptions(**({"api_key": KEY, "shared_secrets": (SECRET,)} | options))
    assert "secret" not in str(caught.value).replace("shared_secret", "")
