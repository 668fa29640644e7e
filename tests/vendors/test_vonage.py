"""What is asked of Vonage and how its answers are read, against the vendor's own samples."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
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
    ValueRefused,
)
from mediafs.model import (
    EARLIEST,
    LATEST,
    Conversation,
    ConversationId,
    Cursor,
    Edited,
    Edits,
    Erased,
    Media,
    MediaId,
    Only,
    Page,
    Question,
    Removal,
    Scope,
    Trash,
    User,
    UserId,
)
from mediafs.vendors import VENDORS
from mediafs.vendors._vonage_changes import multipart
from mediafs.vendors.protocol import Call, Credential, Reply, Vendor
from mediafs.vendors.vonage import DOUBT, Vonage, VonageOptions

HERE = Path(__file__).parent / "vonage"
NOW = datetime(2024, 5, 17, 10, 0, 0, 250000, tzinfo=UTC)
APPLICATION = "5a0e7c1e-9d3b-4f6a-8c2d-1b7e6f3a9d40"
ID = MediaId("aaaaaaaa-bbbb-cccc-dddd-0123456789ab")
SECRET = "s3cr3t-of-the-account"

T = TypeVar("T")


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem(key: Any = None, lock: KeySerializationEncryption | None = None) -> str:
    made: bytes = (key or rsa_key()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock or NoEncryption())
    return made.decode("ascii")


def vonage(**options: Any) -> Vonage:
    return Vonage(made(**options))


@cache
def made(**options: Any) -> VonageOptions:
    """Options; looking a key over takes a while."""
    given = {"application_id": APPLICATION, "private_key": pem()} | options
    return VonageOptions(**{name: value for name, value in given.items() if value is not None})


def by_key(**options: Any) -> Vonage:
    none = {"application_id": None, "private_key": None}
    return vonage(**none, api_key="abcd1234", api_secret=SECRET, **options)


def reply(value: object, status: int = 200) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(status=status, headers={}, body=body)


def sample(name: str, status: int = 200) -> Reply:
    return reply((HERE / name).read_bytes(), status)


NOT_FOUND = sample("problem.json", 404)
BARE_404 = reply(b"", 404)
DONE = reply(b"", 204)


def record(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((HERE / "media.json").read_text())
    return {key: value for key, value in (made | changes).items() if value is not ...}


def media(**changes: Any) -> Media:
    return vonage().parse_media(reply(record(**changes)))


def page_of(length: int, /, **members: Any) -> dict[str, Any]:
    items = [
        record(id=f"m{number}", time_created=f"2024-01-01T00:{number // 60:02}:{number % 60:02}.000Z")
        for number in range(length)
    ]
    return {"_embedded": {"media": items}} | members


def run(flow: Generator[Call, Reply, T], *replies: Reply) -> tuple[list[Call], T | MediafsError]:
    """What is sent, and how it ends; the last reply comes again to whatever else is asked."""
    calls: list[Call] = []
    try:
        calls.append(next(flow))
        for number in range(9):
            calls.append(flow.send(replies[min(number, len(replies) - 1)]))
    except StopIteration as stop:
        outcome: T = stop.value
        return calls, outcome
    except MediafsError as exc:
        return calls, exc
    raise AssertionError("the flow wants more")


def listed(vendor: Vonage, *replies: Reply, now: datetime = NOW, **question: Any) -> Page | MediafsError:
    return run(vendor.page(Question(**question), now), *replies)[1]


# --- options


def test_vonage_is_a_vendor_and_is_registered() -> None:
    vendor: Vendor = vonage()
    assert VENDORS["vonage"].vendor == "vonage"
    assert (vendor.name, vendor.traits.page_limit, vendor.default_requests_per_minute) == (
        "vonage",
        100,
        None,
    )
    assert vendor.pace is not None
    assert (vendor.pace.per_second, vendor.pace.parallel) == (5, 4)


def test_there_are_neither_conversations_nor_users_nor_a_trash() -> None:
    traits = vonage().traits
    assert (traits.conversations, traits.users, traits.trash, traits.deletable) == (False, False, False, True)
    assert not vonage().is_conversation_id("12345")
    assert not vonage().is_user_id("1000")


def test_all_seven_fields_can_be_changed_and_two_are_kept_here() -> None:
    assert vonage().traits.editable == {
        "title",
        "description",
        "metadata_primary",
        "metadata_secondary",
        "mime_type",
        "public",
        "max_downloads_allowed",
    }
    assert vonage().traits.kept_here == {"title", "description"}


def bad_keys() -> dict[str, str]:
    public = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    whole = pem()
    return {
        "no RSA key": "a secret that is no key",
        "no RSA key ": whole[:300] + whole[-40:],
        "no RSA key  ": pem(ec.generate_private_key(ec.SECP256R1())),
        "public key": public.decode("ascii"),
        "passphrase": pem(lock=BestAvailableEncryption(b"x")),
        "1024 bits": pem(rsa_key(1024)),
    }


@pytest.mark.parametrize("why", bad_keys())
def test_a_key_that_cannot_sign_is_refused_without_the_key_in_the_message(why: str) -> None:
    key = bad_keys()[why]
    with pytest.raises(ValueError, match=f"private_key: .*{why.strip()}") as caught:
        vonage(private_key=key)
    told = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert not any(line in told for line in key.splitlines() if len(line) > 8 and "BEGIN" not in line)


@pytest.mark.parametrize(
    "options",
    [
        {"application_id": None},
        {"private_key": None},
        {"application_id": None, "private_key": None},
        {"application_id": "with a blank"},
        {"api_key": "abcd1234", "api_secret": SECRET},
        {"application_id": None, "private_key": None, "api_key": "abcd1234"},
        {"application_id": None, "private_key": None, "api_key": "a", "api_secret": f"{SECRET}\n"},
        {"key_in": "header"},
        {"base_url": "api.nexmo.com"},
        {"base_url": "https://me@api.nexmo.com"},
        {"base_url": "https://api.nexmo.com?x=1"},
    ],
)
def test_options_that_cannot_work_are_refused_without_their_secrets(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        vonage(**options)
    assert SECRET not in str(caught.value)


def test_a_key_whose_lines_were_joined_by_an_environment_variable_is_mended() -> None:
    joined = pem().replace("\n", "\\n")
    assert vonage(private_key=joined)._options.pem == pem().strip()


def test_no_secret_is_in_any_repr() -> None:
    for vendor in (vonage(), by_key()):
        credential = run(vendor.login(NOW))[1]
        call = vendor.authorized(vendor.list_page(Question()), credential)  # type: ignore[arg-type]
        told = f"{vendor!r} {vendor._options!r} {credential!r} {call!r}"
        assert SECRET not in told
        assert "PRIVATE" not in told
        assert "eyJ" not in told


# --- credentials


def test_a_token_is_signed_with_the_applications_key_and_holds_the_four_claims() -> None:
    calls, gained = run(vonage().login(NOW))
    assert calls == []
    assert isinstance(gained, Credential)
    assert gained.renew_after_s == 720
    assert jwt.get_unverified_header(gained.secret) == {"alg": "RS256", "typ": "JWT"}
    claims = jwt.decode(
        gained.secret, rsa_key().public_key(), algorithms=["RS256"], options={"verify_exp": False}
    )
    assert claims["application_id"] == APPLICATION
    assert (claims["iat"], claims["exp"]) == (int(NOW.timestamp()), int(NOW.timestamp()) + 900)
    assert str(UUID(claims["jti"])) == claims["jti"]
    assert len(claims) == 4


def test_the_same_moment_mints_the_same_token_and_another_moment_another() -> None:
    later = NOW + timedelta(microseconds=1)
    assert run(vonage().login(NOW)) == run(vonage().login(NOW))
    assert run(vonage().login(NOW)) != run(vonage().login(later)), "jti differs within one second"


def test_a_token_travels_as_a_bearer() -> None:
    call = vonage().authorized(vonage().get(ID), Credential(secret="t", renew_after_s=None))
    assert call.headers == (("Authorization", "Bearer t"),)
    assert call.query == ()


def test_key_and_secret_travel_where_the_options_want_them() -> None:
    gained = run(by_key().login(NOW))[1]
    assert gained == Credential(secret=SECRET, renew_after_s=None)
    call = by_key().list_page(Question())
    in_query = by_key().authorized(call, gained)
    assert in_query.query == (*call.query, ("api_key", "abcd1234"), ("api_secret", SECRET))
    assert in_query.headers == ()
    basic = by_key(key_in="basic").authorized(call, gained)
    assert basic.query == call.query
    assert basic.headers == (("Authorization", "Basic YWJjZDEyMzQ6czNjcjN0LW9mLXRoZS1hY2NvdW50"),)


# --- asking


def test_a_listing_is_asked_for_with_the_documented_names_and_always_with_a_start() -> None:
    call = vonage().list_page(Question())
    assert (call.method, call.url) == ("GET", "https://api.nexmo.com/v3/media")
    assert call.query == (
        ("order", "ascending"),
        ("page_index", "0"),
        ("page_size", "100"),
        ("start_time", "2009-12-31T23:59:59.000Z"),
    )
    assert (call.headers, call.body) == ((), None)


def test_the_newest_first_is_descending_and_no_page_is_larger_than_is_worth_asking_for() -> None:
    query = dict(vonage().list_page(Question(newest_first=True, limit=5000)).query)
    assert (query["order"], query["page_size"]) == ("descending", "100")
    assert dict(vonage().list_page(Question(limit=7)).query)["page_size"] == "7"


def test_bounds_go_out_a_second_wider_in_the_documented_format() -> None:
    since = datetime(2020, 1, 1, 16, 0, 0, 900999, tzinfo=timezone(timedelta(hours=1)))
    until = datetime(2020, 1, 1, 15, 0, 1, tzinfo=UTC)
    query = dict(vonage().list_page(Question(since=since, until=until)).query)
    assert query["start_time"] == "2020-01-01T14:59:59.900Z"
    assert query["end_time"] == "2020-01-01T15:00:02.000Z"


@given(st.datetimes(timezones=st.timezones()))
def test_any_bound_can_be_sent(moment: datetime) -> None:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return
    query = dict(vonage().list_page(Question(since=moment, until=moment)).query)
    assert {len(query["start_time"]), len(query["end_time"])} == {len("2020-01-01T14:00:00.000Z")}


def test_days_before_there_was_a_media_api_cost_no_request() -> None:
    before = datetime(1999, 1, 1, tzinfo=UTC)
    assert run(vonage().page(Question(until=before), NOW), DONE) == ([], Page(media=(), total=0, next=None))


@pytest.mark.parametrize(
    "question",
    [
        {"scope": Conversation(ConversationId("1"))},
        {"scope": User(UserId("1"))},
        {"scope": Trash()},
        {"only": Only(search="x")},
        {"only": Only(media_type="audio")},
    ],
)
def test_a_listing_by_anything_but_dates_is_refused_without_a_request(question: dict[str, Any]) -> None:
    calls, outcome = run(vonage().page(Question(**question), NOW), sample("list.json"))
    assert calls == []
    assert isinstance(outcome, Unsupported)


def test_a_filter_that_there_is_not_cannot_be_proved() -> None:
    assert isinstance(run(vonage().prove(User(UserId("1"))), DONE)[1], Unsupported)


def test_record_and_bytes_lie_at_the_documented_paths() -> None:
    vendor = vonage(base_url="http://127.0.0.1:8080/vonage/")
    root = f"http://127.0.0.1:8080/vonage/v3/media/{ID}"
    assert (vendor.get(ID).method, vendor.get(ID).url) == ("GET", f"{root}/info")
    assert (vendor.download(media()).method, vendor.download(media()).url) == ("GET", root)


@pytest.mark.parametrize("hostile", ["..", "1/../2", "1?x=1", "", "é", "a b", "x.y", "-x", "x" * 200])
def test_an_id_that_would_change_the_path_is_not_sent_and_is_no_id(hostile: str) -> None:
    assert not vonage().is_media_id(hostile)
    with pytest.raises(NotFound):
        vonage().get(MediaId(hostile))


def test_the_documented_id_is_one() -> None:
    assert vonage().is_media_id(ID)


# --- records


def test_the_documented_record_is_read_whole() -> None:
    found = vonage().parse_media(sample("media.json"))
    assert (found.id, found.size, found.filename, found.mime_type) == (
        ID,
        1234567,
        "test.wav",
        "audio/vnd.wave",
    )
    assert found.created == datetime(2020, 1, 1, 14, tzinfo=UTC)
    assert not found.filename_is_unique, "two uploads may both be called test.wav"
    assert found.etag == found.validator == "aaaaaaaabbbbccccdddd0123456789ab"
    assert dict(found.extra) == {
        "metadata_primary": "foo,bar",
        "metadata_secondary": "123",
        "public": "false",
        "max_downloads_allowed": "0",
        "times_downloaded": "1",
    }
    assert (found.title, found.description, found.download_once) == (None, None, False)
    assert json.loads(found.record) == record()


def test_the_older_form_of_the_record_says_the_same() -> None:
    found = vonage().parse_media(sample("media-old.json"))
    assert (found.id, found.size, found.filename) == (
        "aaaaaaaa-0000-aaaa-0000-aaaaaaaaaaaa",
        1024,
        "test.wav",
    )
    assert found.created == datetime(2017, 8, 15, 17, 33, 12, 405000, tzinfo=UTC)
    assert (found.mime_type, found.etag) == ("audio/wav", "6f5902ac237024bdd0c176cb93063dc4")
    assert dict(found.extra) == {"public": "false", "max_downloads_allowed": "0", "times_downloaded": "0"}


def test_what_the_vendor_may_leave_out_is_none_and_not_a_stand_in() -> None:
    page = listed(vonage(), sample("strange.json"))
    assert isinstance(page, Page)
    first, second, third, fourth = page.media
    assert first.created == datetime(2024, 3, 1, 4, 30, 0, 123456, tzinfo=UTC)
    assert (first.filename, first.mime_type, first.size, first.etag) == ("", None, None, None)
    assert (first.extra, first.download_once, first.title) == ((), False, None)
    assert second.created == datetime(2024, 3, 1, 4, tzinfo=UTC)
    assert (second.size, second.etag, second.filename) == (12, "abc", "half \N{REPLACEMENT CHARACTER}.wav")
    assert (second.title, second.description) == ("A title", "And more")
    assert third.created == datetime(2024, 3, 2, 4, tzinfo=UTC)
    assert (third.mime_type, third.filename, third.download_once) == ("audio/mpeg", "old.mp3", False)
    assert dict(third.extra)["public"] == "true"
    assert "elsewhere" not in third.record
    assert fourth.created == LATEST
    assert media(time_created=0).created == EARLIEST
    "".join(m.filename + m.record for m in page.media).encode()


def test_a_limit_on_downloads_makes_a_media_be_fetched_once_and_tells_what_is_left() -> None:
    found = media(max_downloads_allowed=3, times_downloaded=1)
    assert found.download_once
    assert dict(found.extra)["downloads_left"] == "2"
    assert dict(media(max_downloads_allowed=3, times_downloaded=9).extra)["downloads_left"] == "0"
    assert dict(media(max_downloads_allowed=3, times_downloaded=...).extra)["downloads_left"] == "3"
    assert "downloads_left" not in dict(media(max_downloads_allowed=0).extra)
    assert "downloads_left" not in dict(media(max_downloads_allowed=...).extra)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ...},
        {"id": None},
        {"id": 5},
        {"id": "../1"},
        {"time_created": ...},
        {"time_created": None},
        {"time_created": "yesterday"},
        {"time_created": "2020-02-30T00:00:00.000Z"},
        {"time_created": True},
        {"time_created": 1e15},
        {"original_file_name": 5},
        {"media_size": -1},
        {"media_size": "12 KB"},
        {"media_size": 2**63},
        {"mime_type": []},
        {"etag": 5},
        {"public": 1},
        {"public": "yes"},
        {"max_downloads_allowed": "many"},
        {"times_downloaded": 1.5},
        {"metadata_primary": {}},
        {"title": 5},
    ],
)
def test_a_record_with_a_wrong_type_is_refused_saying_where(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidReply, match=r"^vonage: get: \$\."):
        media(**changes)


def test_one_bad_record_refuses_the_page() -> None:
    page = page_of(2, count=2)
    page["_embedded"]["media"][1]["time_created"] = None
    outcome = listed(vonage(), reply(page))
    assert isinstance(outcome, InvalidReply)
    assert "vonage: list: $._embedded.media[1].time_created" in str(outcome)


BOMBS = [
    b"[" * 100_000,
    b'{"_embedded":' * 50_000,
    b'{"count": ' + b"9" * 10_000 + b', "_embedded": {"media": []}}',
    b'{"count": NaN, "_embedded": {"media": []}}',
    b"<!doctype html><html>",
    b"",
    b"\xff\xfe\x00",
    b'{"error": "something went wrong"}',
    b'{"_embedded": {}}',
    b'{"_embedded": {"media": null}}',
    b'{"_embedded": {"media": {}}, "count": 0}',
    b'{"_links": [], "count": 2, "_embedded": {"media": [{"id": "1", "time_created": 1}]}}',
    json.dumps(page_of(1, _links={"next": "/v3/media?page_index=1"})).encode(),
    json.dumps({"_embedded": {"media": [record(x=json.loads("[" * 200 + "]" * 200))]}}).encode(),
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_and_nonsense_are_invalid_replies(bomb: bytes) -> None:
    vendor = vonage()
    assert isinstance(listed(vendor, reply(bomb)), InvalidReply)
    with pytest.raises(InvalidReply):
        vendor.parse_media(reply(bomb))


KEYS = [
    *record(),
    *("title", "description", "publicItem", "timeCreated", "mediaSize", "maxDownloadsAllowed"),
    *("_embedded", "media", "_links", "next", "last", "href", "count", "page_size", "page_index"),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["1", "2020-01-01T00:00:00Z", "https://[x/?page_index=1", "\ud800", "/?page_index=9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=12,
)
RECORDS = st.fixed_dictionaries({}, optional={key: JSON for key in KEYS}).map(lambda c: record() | c)


@given(
    st.one_of(
        JSON,
        RECORDS,
        st.builds(
            lambda items, rest: {"_embedded": {"media": items}} | rest,
            st.lists(st.just(record()) | RECORDS, max_size=3),
            st.fixed_dictionaries(
                {}, optional={key: JSON for key in ("_links", "count", "page_size", "page_index")}
            ),
        ),
    ),
    st.sampled_from([200, 201, 204, 302, 400, 403, 404, 410, 415, 418, 500]),
)
def test_any_json_is_a_value_or_an_error_of_ours(value: object, status: int) -> None:
    vendor, answer, known = vonage(), reply(value, status), media()
    for outcome in (
        listed(vendor, answer),
        listed(vendor, answer, since=NOW, cursor=Cursor(f"1/100/{ID}")),
        run(vendor.record(known), answer)[1],
        run(vendor.update(known, {"public": "true"}), answer)[1],
        run(vendor.erase(known, Removal.PERMANENT), answer)[1],
    ):
        repr(outcome).encode()
    assert "://" not in str(vendor.failure(vendor.get(ID), answer))


# --- pages


def test_the_documented_page_is_the_only_one_where_nothing_says_that_more_follows() -> None:
    page = listed(vonage(), sample("list.json"))
    assert isinstance(page, Page)
    assert ([m.id for m in page.media], page.total, page.next) == ([ID], 1, None)


def test_the_next_link_leads_on() -> None:
    page = listed(vonage(), sample("list-with-next.json"))
    assert isinstance(page, Page)
    assert page.total == 2
    assert page.next is not None
    query = dict(vonage().list_page(Question(cursor=page.next, limit=100)).query)
    assert (query["page_index"], query["page_size"]) == ("1", "20"), "the link's own size goes with its index"


def links(next_: str | None = None, last: str | None = None) -> dict[str, Any]:
    named = {"next": next_, "last": last, "self": "/v3/media?page_size=9"}
    return {"_links": {name: {"href": href} for name, href in named.items() if href is not None}}


@pytest.mark.parametrize(
    ("asked", "reply_of", "follows"),
    [
        # Links first.
        (3, page_of(3) | links(next_="https://api.nexmo.com/v3/media?page_index=4&x=1"), "4/3/m0"),
        (3, page_of(2) | links(next_="/v3/media?order=ascending"), "1/3/m0"),
        (3, page_of(0, count=0) | links(next_="/v3/media?page_index=1"), None),
        (3, page_of(3) | links(last="/v3/media?page_index=0"), None),
        (3, page_of(3) | links(last="/v3/media?page_index=2"), "1/3/m0"),
        (3, page_of(3) | links(last="/v3/media?page_size=3"), "1/3/m0"),
        # Then a count that counts all of it.
        (3, page_of(3, count=4), "1/3/m0"),
        (3, page_of(2, count=4), "1/2/m0"),
        # Then whether the page is full; a count may be that of the page.
        (3, page_of(3, count=3), "1/3/m0"),
        (3, page_of(3), "1/3/m0"),
        (3, page_of(2, count=2), None),
        (3, page_of(2), None),
        # A service that makes pages smaller than was asked for, and says so, or says what came.
        (100, page_of(20, page_size=20), "1/20/m0"),
        (100, page_of(19, page_size=20), None),
        (100, page_of(19, page_size=19), "1/19/m0"),
        (100, page_of(19, page_size=0, count=0), None),
    ],
)
def test_there_is_a_next_page_until_it_is_certain_that_there_is_none(
    asked: int, reply_of: dict[str, Any], follows: str | None
) -> None:
    page = listed(vonage(), reply(reply_of), limit=asked)
    assert isinstance(page, Page)
    assert page.next == follows


def test_a_count_is_a_total_only_where_it_cannot_be_the_pages() -> None:
    def total(value: object, **question: Any) -> int | None:
        page = listed(vonage(), reply(value), **question)
        assert isinstance(page, Page)
        return page.total

    assert total(page_of(3, count=250), limit=3) == 250
    assert total(page_of(3, count=3), limit=3) is None
    assert total(page_of(2, count=2), limit=3) == 2
    assert total(page_of(2, count=2), limit=3, cursor=Cursor("4/3/x")) is None


def test_pages_of_a_total_end_where_it_is_reached() -> None:
    page = listed(vonage(), reply(page_of(2, count=8)), cursor=Cursor("2/3/x"))
    assert isinstance(page, Page)
    assert (page.next, page.total) == (None, 8)


@pytest.mark.parametrize("index", [4, 5])
def test_a_link_that_leads_back_is_not_followed(index: int) -> None:
    back = links(next_=f"/v3/media?page_index={index}")
    short = listed(vonage(), reply(page_of(2) | back), cursor=Cursor("5/3/x"))
    full = listed(vonage(), reply(page_of(3) | back), cursor=Cursor("5/3/x"))
    assert isinstance(short, Page)
    assert isinstance(full, Page)
    assert (short.next, full.next) == (None, "6/3/m0")


@pytest.mark.parametrize("nonsense", ["", "1", "1/2", "-1/3/x", "1/3/../x", "x/3/y"])
def test_a_cursor_of_another_vendor_is_a_bug(nonsense: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        vonage().list_page(Question(cursor=Cursor(nonsense)))


def test_a_page_that_comes_again_ends_the_listing_where_nothing_is_behind_it() -> None:
    again = reply(page_of(3))
    end = reply(page_of(3, count=3) | links(last="/v3/media?page_index=0"))
    calls, outcome = run(vonage().page(Question(cursor=Cursor("1/3/m0")), NOW), again, end)
    assert outcome == Page(media=(), total=None, next=None)
    assert dict(calls[1].query)["start_time"] == "2024-01-01T00:00:01.000Z", "a second before its last media"


def test_a_service_that_does_not_turn_pages_is_found_out() -> None:
    again, more = reply(page_of(3)), reply(page_of(4))
    outcome = listed(vonage(), again, more, cursor=Cursor("1/3/m0"))
    assert isinstance(outcome, InvalidReply)
    assert "same page" in str(outcome)
    newest = listed(vonage(), again, more, cursor=Cursor("1/3/m0"), newest_first=True)
    assert isinstance(newest, InvalidReply)


# --- 404 of a listing


def test_404_on_an_empty_list_is_an_empty_directory_where_the_service_answers_at_all() -> None:
    calls, outcome = run(vonage().page(Question(since=NOW), NOW), BARE_404, sample("list.json"))
    assert outcome == Page(media=(), total=0, next=None)
    assert len(calls) == 2
    query = dict(calls[1].query)
    assert (query["page_size"], query["start_time"]) == ("1", "2009-12-31T23:59:59.000Z")
    assert "end_time" not in query


@pytest.mark.parametrize("answer", [NOT_FOUND, BARE_404], ids=["problem", "bare"])
def test_an_account_that_never_showed_media_is_empty_when_it_says_404(answer: Reply) -> None:
    assert listed(vonage(), answer) == Page(media=(), total=0, next=None)
    assert listed(vonage(), answer, since=NOW) == Page(media=(), total=0, next=None)


@pytest.mark.parametrize(
    "body", [b"<html><title>404 Not Found", b'{"message":"no Route matched"}', b"404 page not found", b"[]"]
)
def test_a_gateways_404_is_never_an_empty_archive(body: bytes) -> None:
    for question in ({}, {"since": NOW}, {"cursor": Cursor("1/100/x")}):
        outcome = listed(vonage(), reply(body, 404), **question)
        assert isinstance(outcome, InvalidReply)
        assert "base_url" in str(outcome)


def test_an_account_that_showed_media_is_believed_empty_only_after_a_day() -> None:
    vendor = vonage()
    assert isinstance(listed(vendor, sample("list.json")), Page)
    for hours in (0, 1, 23):
        outcome = listed(vendor, NOT_FOUND, now=NOW + timedelta(hours=hours))
        assert isinstance(outcome, InvalidReply)
    json.dumps(vendor.learnt)
    assert listed(vendor, NOT_FOUND, now=NOW + DOUBT) == Page(media=(), total=0, next=None)
    assert listed(vendor, NOT_FOUND, now=NOW + DOUBT) == Page(media=(), total=0, next=None)


def test_the_day_begins_again_when_the_service_has_answered_meanwhile() -> None:
    vendor = vonage()
    listed(vendor, sample("list.json"))
    listed(vendor, BARE_404)
    listed(vendor, BARE_404, sample("list.json"), since=NOW)
    assert isinstance(listed(vendor, BARE_404, now=NOW + DOUBT), InvalidReply)


def test_an_account_emptied_from_here_is_empty_at_once() -> None:
    vendor = vonage()
    listed(vendor, sample("list.json"))
    assert run(vendor.erase(media(), Removal.PERMANENT), DONE)[1] == Erased(answer="DELETE 204")
    assert listed(vendor, NOT_FOUND) == Page(media=(), total=0, next=None)


@pytest.mark.parametrize("nonsense", [5, "soon", "2024-01-01T00:00:00", "2999-01-01T00:00:00+00:00", None])
def test_what_was_learnt_is_checked_like_any_input(nonsense: object) -> None:
    vendor = vonage()
    vendor.learnt = {"shown": "m1", "nothing_since": nonsense, "update": nonsense}
    assert isinstance(listed(vendor, NOT_FOUND), InvalidReply)
    assert run(vendor.update(media(), {"public": "true"}), NOT_FOUND)[0][0].url.endswith("/info")


def test_a_listing_may_come_with_the_status_404() -> None:
    page = listed(vonage(), sample("list.json", 404))
    assert isinstance(page, Page)
    assert [m.id for m in page.media] == [ID]
    none = listed(vonage(), BARE_404, sample("list.json", 404), since=NOW)
    assert none == Page(media=(), total=0, next=None)


# --- edits


def info(**changes: Any) -> Reply:
    return reply(record(**changes))


def edited(
    edits: Edits, *replies: Reply, vendor: Vonage | None = None, **before: Any
) -> tuple[list[Call], Edited | MediafsError]:
    return run((vendor or vonage()).update(media(**before), edits), *replies)


def fields_of(call: Call) -> dict[str, str]:
    """What a form says, by the standard library's parser."""
    head = f"Content-Type: {dict(call.headers)['Content-Type']}\r\n\r\n".encode()
    message = message_from_bytes(head + (call.body or b""))
    assert not message.defects
    found = {}
    for part in list(message.walk())[1:]:
        assert part.get_filename() is None
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes)
        found[str(part.get_param("name", header="content-disposition"))] = value.decode(
            part.get_content_charset("ascii")
        )
    return found


ALL_SEVEN = {
    "title": "Very important recording",
    "description": "This is a very important recording. Do not delete.",
    "metadata_primary": "foo,bär",
    "metadata_secondary": "",
    "mime_type": "audio/vnd.wave",
    "public": "true",
    "max_downloads_allowed": "100",
}
AFTER = info(
    metadata_primary="foo,bär", metadata_secondary=None, public=True, max_downloads_allowed=100, title=...
)


def test_an_edit_is_a_form_without_a_file_and_the_record_is_read_back() -> None:
    vendor = vonage()
    calls, outcome = edited(ALL_SEVEN, DONE, AFTER, vendor=vendor)
    put, back = calls
    assert (put.method, put.url) == ("PUT", f"https://api.nexmo.com/v3/media/{ID}/info")
    assert fields_of(put) == ALL_SEVEN
    assert put.idempotent
    assert (back.method, back.url) == ("GET", put.url)
    assert isinstance(outcome, Edited)
    assert outcome.refused is None
    assert outcome.media is not None
    assert dict(outcome.media.extra)["max_downloads_allowed"] == "100"
    assert outcome.media.download_once
    assert vendor.learnt["update"] == "multipart"


def test_only_changed_fields_are_sent_and_a_value_is_taken_away_by_an_empty_one() -> None:
    calls, _ = edited({"metadata_primary": None}, DONE, info(metadata_primary=None))
    assert fields_of(calls[0]) == {"metadata_primary": ""}
    calls, _ = edited({"max_downloads_allowed": None}, DONE, info())
    assert fields_of(calls[0]) == {"max_downloads_allowed": "0"}


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"public": "yes"}, ValueRefused),
        ({"public": "True"}, ValueRefused),
        ({"public": None}, ValueRefused),
        ({"max_downloads_allowed": "-1"}, ValueRefused),
        ({"max_downloads_allowed": "1.5"}, ValueRefused),
        ({"max_downloads_allowed": "٣"}, ValueRefused),
        ({"max_downloads_allowed": str(2**31)}, ValueRefused),
        ({"max_downloads_allowed": ""}, ValueRefused),
        ({"mime_type": None}, ValueRefused),
        ({"mime_type": "wave"}, ValueRefused),
        ({"mime_type": "audio/wave\r\nX: 1"}, ValueRefused),
        ({"latitude": "1"}, Unsupported),
        ({"title": "x", "id": "1"}, Unsupported),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_with_nothing_sent(
    edits: Edits, error: type[MediafsError]
) -> None:
    calls, outcome = edited(edits, DONE, info())
    assert calls == []
    assert type(outcome) is error


def test_a_title_stands_although_no_record_shows_it() -> None:
    vendor = vonage()
    _, outcome = edited({"title": "A title"}, DONE, info(), vendor=vendor)
    assert isinstance(outcome, Edited)
    assert outcome.refused is None
    assert outcome.media is not None
    assert outcome.media.title is None
    assert "update" not in vendor.learnt, "nothing has shown that it was understood"


@pytest.mark.parametrize("name", ["title", "description"])
def test_a_title_that_the_record_has_a_place_for_and_never_fills_stands(name: str) -> None:
    _, outcome = edited({name: "words"}, DONE, info(**{name: None}))
    assert isinstance(outcome, Edited)
    assert outcome.refused is None


@pytest.mark.parametrize("name", ["metadata_primary", "metadata_secondary", "mime_type"])
def test_a_documented_field_that_stays_empty_does_not_stand(name: str) -> None:
    _, outcome = edited({name: "a/b"}, *(DONE, info(**{name: None})) * 3, **{name: None})
    assert isinstance(outcome, Edited)
    assert outcome.refused is not None


def test_a_title_that_the_record_shows_is_read_back() -> None:
    _, outcome = edited({"title": "A title"}, DONE, info(title="A title"))
    assert isinstance(outcome, Edited)
    assert outcome.media is not None
    assert outcome.media.title == "A title"
    _, other = edited({"title": "A title"}, DONE, info(title="Another"), title="Before")
    assert isinstance(other, Edited)
    assert other.refused is not None


@pytest.mark.parametrize("status", [400, 404, 405, 415])
def test_a_form_that_is_refused_is_followed_by_json_at_info_and_json_at_the_media(status: int) -> None:
    vendor, no = vonage(), reply(b"", status)
    after = info(public=True, max_downloads_allowed=2)
    calls, outcome = edited(
        {"public": "true", "max_downloads_allowed": "2"}, no, no, DONE, after, vendor=vendor
    )
    _, old, new, _ = calls
    assert (old.method, old.url) == ("PUT", f"https://api.nexmo.com/v3/media/{ID}/info")
    assert json.loads(old.body or b"") == {"publicItem": True, "maxDownloadsAllowed": 2}
    assert old.headers == new.headers == (("Content-Type", "application/json"),)
    assert new.url == f"https://api.nexmo.com/v3/media/{ID}"
    assert json.loads(new.body or b"") == {"public": True, "max_downloads_allowed": 2}
    assert isinstance(outcome, Edited)
    assert outcome.refused is None
    assert vendor.learnt["update"] == "json"
    again, _ = edited({"public": "true"}, DONE, after, vendor=vendor)
    assert again[0].url == new.url, "the way that worked comes first"


def test_the_first_refusal_is_raised_when_every_way_is_refused() -> None:
    calls, outcome = edited({"title": "x"}, reply(b"", 400), BARE_404, reply(b"", 405))
    assert len(calls) == 3
    assert type(outcome) is ValueRefused
    _, gone = edited({"title": "x"}, NOT_FOUND, reply(b"", 405), NOT_FOUND)
    assert type(gone) is NotFound


@pytest.mark.parametrize(("status", "error"), [(400, ValueRefused), (404, NotFound)])
def test_the_way_that_is_known_to_work_is_not_doubted_for_a_value_or_a_media(
    status: int, error: type[MediafsError]
) -> None:
    vendor = vonage()
    vendor.learnt["update"] = "json at info"
    calls, outcome = edited({"title": "x"}, reply(b"", status), vendor=vendor)
    assert len(calls) == 1
    assert type(outcome) is error


@pytest.mark.parametrize(
    ("status", "error"), [(403, Denied), (500, Unavailable), (501, Unsupported), (413, ValueRefused)]
)
def test_any_other_refusal_of_an_edit_ends_it(status: int, error: type[MediafsError]) -> None:
    calls, outcome = edited({"title": "x"}, reply(b"", status))
    assert len(calls) == 1
    assert type(outcome) is error


def test_a_form_that_is_ignored_without_a_word_is_followed_by_the_next() -> None:
    vendor = vonage()
    calls, outcome = edited(
        {"metadata_primary": "new"}, DONE, info(), DONE, info(metadata_primary="new"), vendor=vendor
    )
    assert [call.method for call in calls] == ["PUT", "GET", "PUT", "GET"]
    assert isinstance(outcome, Edited)
    assert outcome.refused is None
    assert vendor.learnt["update"] == "json at info"


def test_an_edit_that_no_way_makes_stand_does_not_stand() -> None:
    calls, outcome = edited({"metadata_primary": "new"}, *(DONE, info()) * 3)
    assert len(calls) == 6
    assert isinstance(outcome, Edited)
    assert outcome.refused == "vonage: the service keeps another value"
    assert outcome.media is not None


def test_a_value_that_the_service_makes_another_of_is_not_sent_again() -> None:
    calls, outcome = edited({"metadata_primary": "new"}, DONE, info(metadata_primary="NEW"))
    assert len(calls) == 2
    assert isinstance(outcome, Edited)
    assert outcome.refused is not None


def test_what_a_service_tidies_up_stands() -> None:
    _, outcome = edited({"description": " a\r\nb "}, DONE, info(description="a\nb"))
    assert isinstance(outcome, Edited)
    assert outcome.refused is None


def test_a_record_of_another_media_proves_no_edit() -> None:
    _, outcome = edited({"title": "x"}, DONE, info(id="other"))
    assert isinstance(outcome, InvalidReply)


@given(
    st.dictionaries(st.sampled_from(["title", "description", "metadata_primary"]), st.text(), min_size=1),
)
def test_no_value_can_leave_its_part_of_the_form(values: dict[str, str]) -> None:
    fields = [(name, value.encode()) for name, value in values.items()]
    boundary, body = multipart(fields)
    assert (boundary, body) == multipart(fields), "the same values make the same form"
    pieces = body.split(f"--{boundary}".encode())
    assert len(pieces) == len(fields) + 2
    for (name, value), piece in zip(fields, pieces[1:-1], strict=True):
        assert f'name="{name}"\r\n'.encode() in piece
        assert piece.endswith(b"\r\n\r\n" + value + b"\r\n")


def test_a_value_that_holds_the_boundary_gets_another_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    real = hashlib.sha256

    class Tame:
        """A hash that is foreseen."""

        def __init__(self, data: bytes) -> None:
            self.rounds = 0

        def update(self, data: bytes) -> None:
            self.rounds += 1

        def hexdigest(self) -> str:
            return real(b"%d" % self.rounds).hexdigest()

    monkeypatch.setattr(hashlib, "sha256", Tame)
    first = real(b"0").hexdigest()
    boundary, body = multipart([("title", f"\r\n--{first}--\r\n".encode())])
    assert boundary == real(b"1").hexdigest()
    assert body.count(boundary.encode()) == 2


# --- deleting


def erased(*replies: Reply, removal: Removal = Removal.PERMANENT) -> tuple[list[Call], Erased | MediafsError]:
    return run(vonage().erase(media(), removal), *replies)


def test_a_deletion_is_one_request_and_done_with_204() -> None:
    calls, outcome = erased(DONE)
    (call,) = calls
    assert (call.method, call.url, call.body) == ("DELETE", f"https://api.nexmo.com/v3/media/{ID}", None)
    assert outcome == Erased(answer="DELETE 204")


def test_what_is_gone_already_is_a_success_that_was_not_carried_out() -> None:
    calls, outcome = erased(NOT_FOUND)
    assert len(calls) == 1
    assert outcome == Erased(answer="DELETE 404", carried_out=False)
    calls, outcome = erased(BARE_404, BARE_404, sample("list.json"))
    assert len(calls) == 3, "a gateway says 404 too: the service has to show that it answers"
    assert outcome == Erased(answer="DELETE 404", carried_out=False)
    assert erased(BARE_404, NOT_FOUND)[1] == Erased(answer="DELETE 404", carried_out=False)


def test_a_404_of_a_media_that_is_there_all_the_same_deletes_nothing() -> None:
    calls, outcome = erased(BARE_404, sample("media.json"))
    assert [call.method for call in calls] == ["DELETE", "GET"]
    assert isinstance(outcome, InvalidReply)


@pytest.mark.parametrize("again", [BARE_404, reply(b"<html>", 404), reply(b"<html>")])
def test_a_404_of_what_may_be_no_media_api_deletes_nothing(again: Reply) -> None:
    assert isinstance(erased(BARE_404, again)[1], InvalidReply)


def test_an_answer_that_does_not_prove_a_deletion_is_looked_into() -> None:
    sign_in = reply(b"<html>Please sign in", 200)
    calls, outcome = erased(sign_in, info())
    assert isinstance(outcome, InvalidReply)
    assert calls[1].url.endswith("/info")
    assert erased(reply(b"", 202), info())[1].__class__ is InvalidReply
    assert erased(sign_in, NOT_FOUND)[1] == Erased(answer="DELETE 200")
    assert erased(reply(b"", 200))[1] == Erased(answer="DELETE 200")


@pytest.mark.parametrize(
    ("status", "error"), [(403, Denied), (405, Unsupported), (501, Unsupported), (500, Unavailable)]
)
def test_a_deletion_that_is_refused_says_why(status: int, error: type[MediafsError]) -> None:
    assert type(erased(reply(b"", status))[1]) is error


def test_there_is_no_trash() -> None:
    assert isinstance(erased(DONE, removal=Removal.TRASH)[1], Unsupported)
    assert isinstance(run(vonage().recover(media()), DONE)[1], Unsupported)


# --- failures


@pytest.mark.parametrize(
    ("operation", "status", "scope", "error"),
    [
        ("list", 400, None, ValueRefused),
        ("list", 401, None, CredentialsRefused),
        ("list", 403, None, Denied),
        ("list", 404, None, InvalidReply),
        ("list", 405, None, InvalidReply),
        ("get", 404, ID, NotFound),
        ("get", 410, ID, NotFound),
        ("get", 405, ID, InvalidReply),
        ("download", 404, ID, NotFound),
        ("download", 403, ID, Denied),
        ("update", 400, ID, ValueRefused),
        ("update", 405, ID, Unsupported),
        ("delete", 501, ID, Unsupported),
        ("list", 429, None, Late),
        ("list", 408, None, Unavailable),
        ("list", 502, None, Unavailable),
        ("get", 302, ID, InvalidReply),
        ("get", 418, ID, InvalidReply),
    ],
)
def test_a_status_stands_for_an_error(
    operation: str, status: int, scope: Scope | MediaId | None, error: type[MediafsError]
) -> None:
    call = Call(method="GET", url="https://x/", operation=operation)
    assert type(vonage().failure(call, reply({}, status), scope)) is error


def test_a_failure_repeats_the_services_words_without_links_and_secrets() -> None:
    vendor = by_key()
    call = vendor.get(ID)
    assert "No such item" in str(vendor.failure(call, NOT_FOUND, ID))
    words = f"no: {SECRET} at https://h/x?sig=1\n\x1b[31m and /x?sig=2 " + "long " * 100
    said = str(vendor.failure(call, reply({"title": "t", "detail": words}, 500), ID))
    for hidden in (SECRET, "sig", "\n", "\x1b", "https"):
        assert hidden not in said
    assert len(said) < 330


def test_a_record_that_cannot_be_found_or_is_anothers_is_not_taken() -> None:
    assert isinstance(run(vonage().record(media()), NOT_FOUND)[1], NotFound)
    assert isinstance(run(vonage().record(media()), info(id="other"))[1], InvalidReply)
    assert run(vonage().record(media()), info())[1] == media()
