"""What is asked of Apizee and how its answers are read, against the vendor's own samples."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafs.errors import (
    CredentialsRefused,
    Denied,
    FilterRefused,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    Unavailable,
    ValueRefused,
)
from mediafs.model import (
    Conversation,
    ConversationId,
    Cursor,
    Everything,
    Media,
    MediaId,
    Question,
    User,
    UserId,
)
from mediafs.vendors import VENDORS
from mediafs.vendors.apizee import Apizee, ApizeeFilters, ApizeeOptions
from mediafs.vendors.protocol import Call, Credential, Reply, Vendor
from tests.fakes import make_media

HERE = Path(__file__).parent / "apizee"
CASE = Conversation(ConversationId("12345"))
ANYONE = User(UserId("1000"))


def apizee(**options: Any) -> Apizee:
    return Apizee(ApizeeOptions(**({"token": "tok-123"} | options)))


def reply(value: object, status: int = 200) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(status=status, headers={}, body=body)


def sample(name: str, status: int = 200) -> Reply:
    return reply((HERE / name).read_bytes(), status)


def record(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((HERE / "media.json").read_text())
    return {key: value for key, value in (made | changes).items() if value is not ...}


def media(**changes: Any) -> Media:
    return apizee().parse_media(reply(record(**changes)))


def page_of(count: int, **members: Any) -> dict[str, Any]:
    return {"data": [record(id=number + 1) for number in range(count)]} | members


# --- asking


def test_apizee_is_a_vendor_and_is_registered() -> None:
    vendor: Vendor = apizee()
    assert VENDORS["apizee"].vendor == "apizee"
    assert (vendor.name, vendor.traits.page_limit, vendor.default_requests_per_minute) == ("apizee", 100, 10)


def test_a_listing_is_asked_for_with_the_documented_names_and_nothing_else() -> None:
    call = apizee().list_page(Question())
    assert (call.method, call.url) == ("GET", "https://cloud.apizee.com/api/v3/medias")
    assert dict(call.query) == {"orderby": "date", "order": "asc", "limit": "100"}
    assert (call.headers, call.body) == ((), None)


def test_the_newest_first_is_descending() -> None:
    assert dict(apizee().list_page(Question(newest_first=True)).query)["order"] == "desc"


def test_offset_is_sent_only_behind_the_first_page() -> None:
    assert dict(apizee().list_page(Question(cursor=Cursor("30"))).query)["offset"] == "30"
    assert "offset" not in dict(apizee().list_page(Question(cursor=Cursor("0"))).query)


def test_bounds_go_out_a_second_wider_in_the_documented_format() -> None:
    since = datetime(2020, 1, 1, 16, 0, 0, 900000, tzinfo=timezone(timedelta(hours=1)))
    until = datetime(2020, 1, 1, 15, 0, 0, 1, tzinfo=UTC)
    query = dict(apizee().list_page(Question(since=since, until=until)).query)
    assert (query["since"], query["until"]) == ("2020-01-01T14:59:59Z", "2020-01-01T15:00:02Z")
    exact = dict(apizee().list_page(Question(until=until.replace(microsecond=0))).query)
    assert exact["until"] == "2020-01-01T15:00:01Z"


@given(st.datetimes(timezones=st.timezones()))
def test_any_bound_can_be_sent_without_a_fraction(moment: datetime) -> None:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return
    query = dict(apizee().list_page(Question(since=moment, until=moment)).query)
    assert {len(query["since"]), len(query["until"])} == {len("2020-01-01T15:00:00Z")}


def test_the_page_size_stays_within_what_is_worth_asking_for() -> None:
    assert dict(apizee().list_page(Question(limit=1)).query)["limit"] == "1"
    assert dict(apizee().list_page(Question(limit=5000)).query)["limit"] == "100"


def test_filters_carry_the_configured_names() -> None:
    vendor = apizee(user="all", filters=ApizeeFilters(conversation="conv", user="owner"))
    assert (
        dict(vendor.list_page(Question(scope=CASE)).query).items()
        >= {"conv": "12345", "owner": "all"}.items()
    )


def test_a_user_scope_replaces_the_configured_user() -> None:
    query = apizee(user="all").list_page(Question(scope=ANYONE)).query
    assert [value for name, value in query if name == "user_id"] == ["1000"]


def test_without_a_configured_user_no_user_filter_is_sent() -> None:
    assert "user_id" not in dict(apizee().list_page(Question(scope=CASE)).query)
    assert not apizee().traits.narrowed_by_user
    assert apizee(user="all").traits.narrowed_by_user


def test_a_download_is_a_plain_get_of_the_documented_path() -> None:
    call = apizee(base_url="http://127.0.0.1:8080/apizee/").download(make_media(17))
    assert (call.method, call.url) == ("GET", "http://127.0.0.1:8080/apizee/api/v3/medias/17/download")


@pytest.mark.parametrize("hostile", ["..", "1/../2", "1?x=1", "", "é", "a b"])
def test_an_id_that_would_change_the_path_is_not_sent(hostile: str) -> None:
    with pytest.raises(NotFound):
        apizee().get(MediaId(hostile))


# --- records


def test_the_documented_record_is_read_whole() -> None:
    found = apizee().parse_media(sample("media.json"))
    assert (found.id, found.size, found.filename_is_unique) == ("1", 122619, True)
    assert found.created == datetime(2020, 1, 1, tzinfo=UTC)
    assert found.owner is not None
    assert (found.owner.id, found.owner.name) == ("1000", "John Doe")
    assert (found.latitude, found.longitude) == (-17.494911, -149.493584)
    assert (found.status, found.media_type, found.source_type) == ("completed", "image", "unknown")
    assert (found.conversation, found.mime_type, found.etag) == (None, None, None)


def test_the_kept_record_has_no_capability_link_and_no_secret() -> None:
    secret = "effd54e0-4dbb-11ea-884d-5df05d0af01"
    shown = media(
        preview="HTTPS://elsewhere.example/x",
        nested={
            "access_token": "t",
            "relative": f"/media/showVideo/1/hash/{secret}",
            "kept": [1, "//host/x"],
        },
    ).record
    assert secret not in shown
    assert "http" not in shown.lower()
    assert json.loads(shown)["nested"] == {"kept": [1]}
    assert json.loads(shown)["title"] == "media-3npGq6km5jx2s4ct-1538745137"


def test_what_the_vendor_may_leave_out_is_none_and_not_a_stand_in() -> None:
    first, second, third = apizee().parse_page(Question(), sample("strange.json")).media
    assert first.created == datetime(2024, 3, 1, 4, 30, 0, 123456, tzinfo=UTC)
    assert (first.id, first.size, first.latitude, first.title) == ("7", 12, None, None)
    assert first.owner is not None
    assert (first.owner.id, first.owner.name) == ("1001", None)
    assert first.filename == "snapshot \N{REPLACEMENT CHARACTER}.png"
    assert (second.owner, second.filename, second.size, second.status) == (None, "", None, None)
    assert third.owner is not None
    assert (third.owner.name, third.media_type) == (None, "")
    "".join(m.filename + m.record for m in (first, second, third)).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ...},
        {"id": None},
        {"id": True},
        {"id": 1.5},
        {"id": "../1"},
        {"id": -1},
        {"created": ...},
        {"created": "yesterday"},
        {"created": "2020-02-30T00:00:00Z"},
        {"created": "0001-01-01T00:00:00+10:00"},
        {"created": 1577836800},
        {"filename": 5},
        {"filesize": -1},
        {"filesize": "12 KB"},
        {"filesize": 2**63},
        {"filesize": 1.5},
        {"owner": "John"},
        {"owner": {"id": {}}},
        {"title": []},
        {"geoloc": "here"},
        {"geoloc": {"lat": "north"}},
        {"geoloc": {"lat": 1e300}},
        {"status": 1},
    ],
)
def test_a_record_with_a_wrong_type_is_refused_saying_where(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidReply, match=r"^apizee: get: \$\."):
        media(**changes)


def test_one_bad_record_refuses_the_page() -> None:
    page = page_of(2, total=2)
    page["data"][1]["created"] = None
    with pytest.raises(InvalidReply, match=r"apizee: list: \$\.data\[1\]\.created"):
        apizee().parse_page(Question(), reply(page))


@pytest.mark.parametrize(
    ("name", "unique"),
    [
        ("media-3npGq6km5jx2s4ct-1538745137.png", True),
        ("media-abcdefgh-1", True),
        ("media-abcdefg-1.png", False),
        ("media-abcdefgh-1.png.exe", False),
        ("media-abcdefgh-١.png", False),
        ("media-abcdefgh-1.\n", False),
        ("snapshot.png", False),
        ("xmedia-abcdefgh-1.png", False),
    ],
)
def test_a_file_name_counts_as_unique_only_when_it_holds_the_token(name: str, unique: bool) -> None:
    assert media(filename=name).filename_is_unique is unique


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 100_000,
        b'{"data":' * 50_000,
        b'{"total": ' + b"9" * 10_000 + b', "data": []}',
        b'{"total": 1e999, "data": []}',
        b'{"total": NaN, "data": []}',
        b"<!doctype html><html>",
        b"",
        b"\xff\xfe\x00",
        json.dumps({"total": 1, "data": [{"x": [[[[]]]] * 5}]}).encode(),
        (
            '{"total":1,"data":[{"id":1,"created":"2020-01-01T00:00:00Z","x":' + "[" * 500 + "]" * 500 + "}]}"
        ).encode(),
    ],
)
def test_bombs_and_nonsense_are_invalid_replies(bomb: bytes) -> None:
    with pytest.raises(InvalidReply):
        apizee().parse_page(Question(), reply(bomb))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["1", "2020-01-01T00:00:00Z", "https://x/", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*list(record()), "lat", "lng", "name", "total", "data"]), inner, max_size=8
        )
    ),
    max_leaves=12,
)


@given(
    st.one_of(
        JSON,
        st.fixed_dictionaries({}, optional={key: JSON for key in record()}).map(lambda c: record() | c),
        st.builds(
            lambda total, after, items: {"total": total, "next_offset": after, "data": items},
            JSON,
            JSON,
            st.lists(JSON),
        ),
    ),
    st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 410, 418, 500]),
)
def test_any_json_is_a_value_or_an_error_of_ours(value: object, status: int) -> None:
    vendor, answer = apizee(), reply(value, status)
    for parse in (
        lambda: vendor.parse_page(Question(), answer),
        lambda: vendor.parse_media(answer),
        lambda: vendor.parse_probe(CASE, answer),
    ):
        try:
            found: object = parse()
        except MediafsError as exc:
            str(exc).encode()
        else:
            repr(found).encode()
    login(apizee(token=None, username="u", password="p"), answer, answer)
    assert "://" not in str(vendor.failure(vendor.list_page(Question()), answer))


# --- pages


def test_the_documented_page_leads_on_by_what_it_held_and_not_by_what_was_asked() -> None:
    page = apizee().parse_page(Question(limit=100), sample("list.json"))
    assert (len(page.media), page.total, page.next) == (1, 200, "1")


@pytest.mark.parametrize(
    ("cursor", "page", "follows"),
    [
        (None, page_of(2, total=2, next_offset=10), None),
        (None, page_of(2, total=3, next_offset=None), "2"),
        ("2", page_of(1, total=3), None),
        ("2", page_of(1, total=4), "3"),
        (None, page_of(0, total=5, next_offset=10), None),
        (None, page_of(2, next_offset=10), "2"),
        ("10", page_of(2, next_offset=10), None),
        (None, page_of(2, next_offset=None), None),
        (None, page_of(0), None),
    ],
)
def test_there_is_a_next_page_while_data_come_and_the_total_is_not_reached(
    cursor: str | None, page: dict[str, Any], follows: str | None
) -> None:
    question = Question(cursor=Cursor(cursor) if cursor else None)
    assert apizee().parse_page(question, reply(page)).next == follows


@pytest.mark.parametrize(
    ("cursor", "page", "again"),
    [
        (None, page_of(2, total=3), "1"),
        ("7", page_of(3, total=99), "9"),
        (None, page_of(2, total=2), None),
        ("7", page_of(1, total=99), None),  # it would lead nowhere
        (None, page_of(0), None),
    ],
)
def test_the_next_page_can_be_begun_with_the_last_media_of_this_one(
    cursor: str | None, page: dict[str, Any], again: str | None
) -> None:
    question = Question(cursor=Cursor(cursor) if cursor else None)
    assert apizee().parse_page(question, reply(page)).again == again


def test_a_page_that_cannot_say_whether_more_follows_is_asked_on_until_one_is_empty() -> None:
    assert apizee().parse_page(Question(), reply(page_of(1))).next == "1"
    assert apizee().parse_page(Question(), reply(page_of(0))).next is None


# --- login


def login(vendor: Apizee, *replies: Reply) -> tuple[list[Call], Credential | MediafsError]:
    """What is sent and gained; the last reply comes again to whatever else is tried."""
    flow, calls = vendor.login(datetime(2024, 5, 17, tzinfo=UTC)), []
    try:
        calls.append(next(flow))
        for number in range(9):
            calls.append(flow.send(replies[min(number, len(replies) - 1)]))
    except StopIteration as stop:
        gained: Credential = stop.value
        return calls, gained
    except MediafsError as exc:
        return calls, exc
    raise AssertionError("the flow wants more")


def by_password(**options: Any) -> Apizee:
    return apizee(token=None, username="me@x.fr", password="p w&d", **options)


def test_a_static_token_costs_no_request_and_is_never_renewed() -> None:
    calls, gained = login(apizee())
    assert calls == []
    assert gained == Credential(secret="tok-123", renew_after_s=None)


def test_a_password_goes_in_a_form_and_the_token_is_renewed_at_nine_tenths_of_its_life() -> None:
    calls, gained = login(by_password(), sample("token.json"))
    (call,) = calls
    assert (call.method, call.url) == ("POST", "https://cloud.apizee.com/api/v3/token")
    assert call.query == (("grant_type", "password"),)
    assert call.headers == (("Content-Type", "application/x-www-form-urlencoded"),)
    assert call.body == b"username=me%40x.fr&password=p+w%26d"
    assert gained == Credential(secret="eyJhbGciOiJub25lIn0.e30.made-up", renew_after_s=77760)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_form_that_is_refused_is_followed_by_the_other_ways(status: int) -> None:
    vendor = by_password()
    calls, gained = login(vendor, reply({}, status), reply({}, status), reply({"access_token": "t"}))
    assert (calls[1].query, calls[1].body) == ((), b"grant_type=password&username=me%40x.fr&password=p+w%26d")
    assert calls[2].query == (("grant_type", "password"), ("username", "me@x.fr"), ("password", "p w&d"))
    assert (calls[2].body, calls[2].headers) == (None, ())
    assert gained == Credential(secret="t", renew_after_s=77760)
    again, _ = login(vendor, reply({"access_token": "t2"}))
    assert again == [calls[2]], "the way that worked is kept"


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([reply({}, 401)], CredentialsRefused),
        ([reply(b"", 403)], CredentialsRefused),
        ([reply({"error": "no such user me@x.fr / p w&d"}, 404)], CredentialsRefused),
        ([reply(b"<html>not found", 404)], InvalidReply),
        ([reply({}, 400), reply({"error": "bad"}, 400)], CredentialsRefused),
        ([reply({}, 400), reply(b"", 400)], InvalidReply),
        ([reply({}, 400), reply({}, 401)], CredentialsRefused),
        ([reply(b"", 503)], Unavailable),
        ([reply({"access_token": None})], InvalidReply),
        ([reply({"access_token": "a\r\nb"})], InvalidReply),
        ([reply({"access_token": "a", "expires_in": 0})], InvalidReply),
        ([reply([])], InvalidReply),
    ],
)
def test_a_refused_login_is_told_from_a_nonsensical_one(
    replies: list[Reply], error: type[MediafsError]
) -> None:
    _, outcome = login(by_password(), *replies)
    assert type(outcome) is error
    assert "p w&d" not in str(outcome)
    assert "me@x.fr" not in str(outcome)


def test_a_credential_travels_as_a_bearer() -> None:
    call = apizee().authorized(apizee().get(MediaId("1")), Credential(secret="s3cret", renew_after_s=None))
    assert call.headers == (("Authorization", "Bearer s3cret"),)
    assert "s3cret" not in repr(call)


def test_no_repr_shows_a_secret() -> None:
    options = ApizeeOptions(username="me@x.fr", password="p-w-d")
    assert "p-w-d" not in repr(options) + repr(Apizee(options)) + repr(by_password())
    assert "tok-123" not in repr(ApizeeOptions(token="tok-123"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"token": "t", "username": "u", "password": "p"},
        {"username": "u"},
        {"token": "secret\nvalue"},
        {"token": ""},
        {"token": "t", "base_url": "cloud.apizee.com"},
        {"token": "t", "base_url": "https://u:secret@cloud.apizee.com"},
        {"token": "t", "base_url": "https://cloud.apizee.com/?secret"},
        {"token": "t", "user": " "},
    ],
)
def test_options_that_cannot_work_are_refused_without_their_value(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        ApizeeOptions(**options)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("names", [("offset", "u"), ("a&b", "u"), ("same", "same"), ("", "u")])
def test_filter_names_that_cannot_work_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="filters"):
        ApizeeFilters(conversation=names[0], user=names[1])


# --- filters


def test_a_probe_asks_for_one_item_of_an_id_that_no_one_has() -> None:
    query = dict(apizee(user="all").probe(CASE).query)
    assert (query["limit"], query["conversation_id"], query["user_id"]) == ("1", "2147483647", "all")
    assert dict(apizee(user="all").probe(ANYONE).query)["user_id"] == "2147483647"


@pytest.mark.parametrize("answer", [reply({"total": 0, "data": []}), reply({}, 404), reply({"data": []})])
def test_a_filter_that_finds_nothing_filters(answer: Reply) -> None:
    apizee().parse_probe(CASE, answer)


@pytest.mark.parametrize(
    "answer",
    [reply({"total": 9, "data": []}), reply({"total": 0, "data": [{}]}), reply({"error": "what?"}, 400)],
)
@pytest.mark.parametrize(("scope", "kind"), [(CASE, "conversation"), (ANYONE, "user")])
def test_a_filter_that_does_not_filter_is_refused_with_what_to_do(
    answer: Reply, scope: Conversation | User, kind: str
) -> None:
    with pytest.raises(FilterRefused) as caught:
        apizee().parse_probe(scope, answer)
    assert f"'{kind}_id'" in str(caught.value)
    assert f'set filters = {{ {kind} = "..." }}' in str(caught.value)


@pytest.mark.parametrize(("status", "error"), [(403, Denied), (500, Unavailable), (302, InvalidReply)])
def test_a_probe_that_is_not_answered_proves_nothing(status: int, error: type[MediafsError]) -> None:
    with pytest.raises(error):
        apizee().parse_probe(CASE, reply({}, status))


# --- failures and ids


@pytest.mark.parametrize(
    ("status", "scope", "error"),
    [
        (400, None, ValueRefused),
        (401, None, CredentialsRefused),
        (403, None, Denied),
        (404, CASE, NotFound),
        (404, MediaId("1"), NotFound),
        (410, MediaId("1"), NotFound),
        (404, Everything(), InvalidReply),
        (405, None, InvalidReply),
        (429, None, Late),
        (500, None, Unavailable),
        (304, None, InvalidReply),
    ],
)
def test_each_status_stands_for_one_error(status: int, scope: Any, error: type[MediafsError]) -> None:
    vendor = apizee()
    assert type(vendor.failure(vendor.list_page(Question()), reply(b"", status), scope)) is error


def test_a_refused_value_is_told_from_a_refused_question() -> None:
    update = Call(method="PUT", url="https://x/", operation="update")
    assert type(apizee().failure(update, reply({}, 400))) is ValueRefused


def test_a_failure_repeats_the_services_words_without_links_and_secrets() -> None:
    vendor = apizee()
    call = vendor.list_page(Question())
    assert "Rate limit exceeded" in str(vendor.failure(call, sample("error.json", 429)))
    assert "Not allowed" in str(vendor.failure(call, sample("error-v2.json", 403)))
    words = "no: tok-123 at https://h/x?sig=1\n\x1b[31m and /x?sig=2 " + "long " * 100
    said = str(vendor.failure(call, reply({"error": words}, 500)))
    assert not {"tok-123", "sig", "\n", "\x1b"} & {
        part for part in ("tok-123", "sig", "\n", "\x1b") if part in said
    }
    assert len(said) < 260


def test_a_404_of_a_whole_listing_is_never_an_empty_archive() -> None:
    with pytest.raises(InvalidReply, match="base_url"):
        apizee().parse_page(Question(), reply({}, 404))


@pytest.mark.parametrize(
    "name", [".hidden", "Thumbs.db", "desktop.ini", "a/b", "a b", "", "-x", "é", "x" * 200]
)
def test_what_desktops_probe_for_is_no_id(name: str) -> None:
    vendor = apizee()
    assert not (vendor.is_media_id(name))
    assert not (vendor.is_conversation_id(name))
    assert not (vendor.is_user_id(name))


def test_documented_ids_are_ids() -> None:
    vendor = apizee()
    assert vendor.is_media_id("1")
    assert vendor.is_user_id("1000")
    assert vendor.is_conversation_id("12345")
    assert vendor.is_conversation_id("room-4_a")
