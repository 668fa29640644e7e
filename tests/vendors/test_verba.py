"""What is asked of Verba and how its answers are read, against the samples of its documentation."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafs.errors import (
    ConfigError,
    CredentialsRefused,
    Denied,
    Forbidden,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    Unavailable,
    Unsupported,
    ValueRefused,
)
from mediafs.model import (
    Conversation,
    ConversationId,
    Cursor,
    Edited,
    Erased,
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
from mediafs.tree.names import Names, file_name
from mediafs.vendors import VENDORS
from mediafs.vendors._verba_record import extension_of
from mediafs.vendors._verba_xml import looks_like_message, parse
from mediafs.vendors.protocol import Call, Credential, Reply, Vendor
from mediafs.vendors.verba import Verba, VerbaOptions
from tests.verba_talk import BASE, KEY, NOW, drive, failed, verba, xml

HERE = Path(__file__).parent / "verba"
ID = "a8343631-9f35-4a3a-83f0-9e81592339fb"
TOKEN = Credential(secret="t0ken-secret", renew_after_s=3300)


def sample(name: str) -> Reply:
    return Reply(status=200, headers={"content-type": "text/xml"}, body=(HERE / name).read_bytes())


def listed(vendor: Verba, *replies: Reply, question: Question | None = None) -> Page:
    since = datetime(2024, 5, 17, tzinfo=UTC)
    question = question or Question(since=since, until=since.replace(day=18))
    _, page = drive(vendor.page(question, NOW), *replies)
    if isinstance(page, MediafsError):
        raise page
    return page


def one(vendor: Verba | None = None, /, **tags: str) -> Media:
    """A call with these tags, as a record is read."""
    members = {"ccdr_id": ID, "start_time": "2024-05-17 10:15:30"} | tags
    body = "".join(f"<{tag}>{value}</{tag}>" for tag, value in members.items() if value)
    (media,) = listed(
        vendor or verba(), xml(f"<verbacdrlist><verbacdr>{body}</verbacdr></verbacdrlist>")
    ).media
    return media


def call_media(id_: str = ID) -> Media:
    return Media(
        id=MediaId(id_), created=datetime(2024, 5, 17, 10, 15, 30, tzinfo=UTC), filename="x", size=None
    )


def form(call: Call) -> dict[str, str]:
    return {
        name: values[0]
        for name, values in parse_qs((call.body or b"").decode(), keep_blank_values=True).items()
    }


# --- asking


def test_verba_is_a_vendor_and_is_registered() -> None:
    vendor: Vendor = verba()
    assert VENDORS["verba"].vendor == "verba"
    assert (vendor.name, vendor.peeks, vendor.default_requests_per_minute) == ("verba", True, None)
    assert vendor.pace is not None
    assert (vendor.pace.parallel, vendor.pace.per_second) == (2, 10)


def test_traits_are_those_of_the_configuration() -> None:
    traits = verba(metadata_fields=("ticket",)).traits
    assert (traits.conversations, traits.users, traits.all_users) == (True, True, True)
    assert (traits.records_tell_conversation, traits.deletable, traits.trash) == (True, True, False)
    assert traits.editable == {"ticket"}
    assert (traits.in_date_order, traits.enumerable) == (True, True)
    named_only = verba(search=False).traits
    assert (named_only.in_date_order, named_only.enumerable) == (False, False)


def test_a_download_is_the_documented_request() -> None:
    call = verba().download(call_media())
    assert (call.method, call.url) == ("GET", f"{BASE}/api")
    assert call.query == (("action", "GetMedia"), ("callID", ID))
    signed = verba(base_url=BASE + "/").authorized(call, TOKEN)
    assert signed.query[2:] == (("apiKey", KEY), ("token", "t0ken-secret"))
    assert signed.url == f"{BASE}/api"


def test_a_key_without_a_login_sends_no_token() -> None:
    vendor = verba()
    asked, credential = drive(vendor.login(NOW))
    assert asked == []
    assert credential == Credential(secret="", renew_after_s=None)
    assert isinstance(credential, Credential)
    call = vendor.authorized(vendor.download(call_media()), credential)
    assert "token" not in dict(call.query)


@pytest.mark.parametrize("status", ["last", "ongoing"])
def test_a_live_name_is_downloaded_by_extension_and_status(status: str) -> None:
    call = verba().download(call_media(f"live:8856:{status}"))
    assert call.query == (("action", "GetMedia"), ("extension", "8856"), ("status", status))


def test_live_names_are_last_and_ongoing_and_never_next() -> None:
    live = verba().live(UserId("8856"))
    assert [name for name, _ in live] == ["last.bin", "ongoing.bin"]
    assert [media.id for _, media in live] == ["live:8856:last", "live:8856:ongoing"]
    assert all(media.fleeting and media.size is None for _, media in live)
    assert verba().live(UserId("alice@example.org"))
    assert verba().live(UserId("Alice Example")) == ()
    with pytest.raises(NotFound):
        verba().download(call_media("live:8856:next"))


@pytest.mark.parametrize(
    "hostile", ["..", "a b", "a/b", "a&status=next", "", "é", "live:1 2:last", "live::last"]
)
def test_an_id_that_is_none_is_not_sent(hostile: str) -> None:
    media = call_media("x")
    object.__setattr__(media, "id", hostile)
    with pytest.raises(NotFound):
        verba().download(media)


def test_a_download_refused_for_its_parameter_is_asked_for_by_the_newer_name_which_is_remembered() -> None:
    vendor = verba()
    first = vendor.download(call_media())
    second = vendor.another_download(first, failed(-20))
    assert second is not None
    assert second.query == (("action", "GetMedia"), ("ccdr_id", ID))
    assert vendor.download(call_media()).query == second.query
    third = vendor.another_download(second, failed(-20))
    assert third is not None
    assert third.query == first.query, "should it not have been the name"
    assert vendor.another_download(first, failed(-50)) is None
    assert vendor.another_download(vendor.download(call_media("live:1:last")), failed(-20)) is None


def test_other_narrowings_and_the_trash_are_not_had() -> None:
    for question in (Question(only=Only(search="x")), Question(scope=Trash())):
        _, outcome = drive(verba().page(question, NOW))
        assert isinstance(outcome, Unsupported)


# --- login


def with_login(**options: Any) -> Verba:
    return verba(**({"username": "api", "password": "pass-secret"} | options))


def test_a_token_is_asked_for_with_basic_authorization_and_renewed_before_its_hour_is_over() -> None:
    vendor = with_login()
    asked, credential = drive(vendor.login(NOW), sample("token.xml"))
    (call,) = asked
    assert dict(call.query) == {"action": "RequestToken", "responseType": "XML", "apiKey": KEY}
    assert dict(call.headers) == {"Authorization": "Basic YXBpOnBhc3Mtc2VjcmV0"}
    cookie = "JSESSIONID=00000000000000000000000000000000"
    assert credential == Credential(secret=f"MadeUp0123456789abcdefMADEUP {cookie}", renew_after_s=3300)
    call = vendor.authorized(call, credential)
    assert dict(call.query)["token"] == "MadeUp0123456789abcdefMADEUP"
    assert dict(call.headers)["Cookie"] == cookie, "the session that the token belongs to"


@pytest.mark.parametrize("refusal", [failed(-40), failed(-42), failed(-20), xml("", 401), xml("<html>", 403)])
def test_where_the_header_is_refused_name_and_password_go_in_a_form_which_is_remembered(
    refusal: Reply,
) -> None:
    vendor = with_login()
    asked, credential = drive(vendor.login(NOW), refusal, sample("token.xml"))
    assert [call.method for call in asked] == ["GET", "POST"]
    assert form(asked[1]) == {
        "responseType": "XML",
        "userName": "api",
        "password": "pass-secret",
        "apiKey": KEY,
    }
    assert asked[1].query == (("action", "RequestToken"),)
    assert isinstance(credential, Credential)
    again, _ = drive(vendor.login(NOW), sample("token.xml"))
    assert [call.method for call in again] == ["POST"]


def test_a_password_that_was_right_once_is_not_guessed_with_again() -> None:
    vendor = with_login()
    vendor.learnt["login"] = "header"
    asked, outcome = drive(vendor.login(NOW), failed(-40))
    assert len(asked) == 1
    assert type(outcome) is CredentialsRefused


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([failed(-40, "no such user api with pass-secret")], CredentialsRefused),
        ([failed(-41)], CredentialsRefused),
        ([failed(-20)], CredentialsRefused),
        ([xml("", 401)], CredentialsRefused),
        ([failed(-10)], CredentialsRefused),
        ([failed(-1)], Unavailable),
        ([failed(-30)], InvalidReply),
        ([xml("", 503)], Unavailable),
        ([xml("<html>not here</html>", 404)], InvalidReply),
        ([xml("<html>a sign-in page</html>")], InvalidReply),
        ([xml('<VerbaApi><Response code="0"/></VerbaApi>')], InvalidReply),
        ([xml('<VerbaApi><Response code="0" token="a b"/></VerbaApi>')], InvalidReply),
        ([xml('<VerbaApi><Response code="0" token="">')], InvalidReply),
    ],
)
def test_a_refused_login_is_told_from_a_nonsensical_one(
    replies: list[Reply], error: type[MediafsError]
) -> None:
    asked, outcome = drive(with_login().login(NOW), *replies)
    assert type(outcome) is error
    assert len(asked) <= 2
    assert "pass-secret" not in str(outcome)
    assert KEY not in str(outcome)


# --- options


def test_no_repr_shows_a_secret() -> None:
    vendor = with_login()
    call = vendor.authorized(vendor.download(call_media()), TOKEN)
    asked, _ = drive(vendor.login(NOW), failed(-40))
    changed, _ = drive(
        with_login(metadata_fields=("ticket",)).update(call_media(), {"ticket": "v4lue"}), failed(-1)
    )
    shown = repr((vendor, vendor._options, call, asked, changed, TOKEN))
    for secret in (KEY, "pass-secret", "t0ken-secret", "v4lue", "YXBp"):
        assert secret not in shown


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "recorder.example"},
        {"base_url": "https://u:secret@recorder.example"},
        {"base_url": "https://recorder.example/verba?secret"},
        {"api_key": ""},
        {"api_key": "secret\nkey"},
        {"username": "u"},
        {"password": "secret"},
        {"username": "u", "password": ""},
        {"username": "a:b", "password": "secret"},
        {"extensions": ("8856", "a b")},
        {"calls": ("a/b",)},
        {"metadata_fields": ("ab",)},
        {"metadata_fields": ("a b c",)},
        {"metadata_fields": ("x" * 129,)},
        {"metadata_fields": ("title",)},
        {"metadata_fields": ("apiKey",)},
        {"metadata_fields": ("callID",)},
        {"metadata_fields": ("ticket", "ticket")},
    ],
)
def test_options_that_cannot_work_are_refused_without_their_value(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))) as caught:
        VerbaOptions(**({"base_url": BASE, "api_key": "k"} | options))
    assert "secret" not in str(caught.value)


# --- records


def test_the_documented_listing_is_read_whole() -> None:
    first, second = listed(verba(), sample("search.xml")).media
    assert (first.id, first.size, first.mime_type, first.conversation) == (ID, None, None, ID)
    assert first.created == datetime(2024, 5, 17, 10, 15, 30, tzinfo=UTC)
    assert first.duration_s == 330
    assert first.owner is not None
    assert (first.owner.id, first.owner.name) == ("8856", "Alice Example")
    assert first.filename == "2024-05-17 10.15 8856-+36155500001 a8343631.wav"
    assert (first.filename_is_unique, first.media_type, first.status) == (True, "audio", "recorded")
    assert dict(first.extra) == {
        "direction": "outbound",
        "source": "8856",
        "destination": "+36155500001",
        "meeting": "WHBFM6DD",
    }
    assert second.created == datetime(2024, 5, 17, 11, 0, tzinfo=UTC)
    assert second.owner is not None
    assert (second.owner.id, second.owner.name) == ("8857", "Bob Example")
    assert (second.filename[-4:], second.media_type) == (".bin", "")


def test_the_shape_of_a_real_server_is_read_too() -> None:
    since = datetime(2024, 6, 10, tzinfo=UTC)
    (found,) = listed(
        verba(), sample("search-real.xml"), question=Question(since=since, until=since.replace(day=11))
    ).media
    assert found.created == datetime(2024, 6, 10, 8, 0, 1, 123000, tzinfo=UTC)
    assert found.owner is not None
    assert found.owner.id == "bob@example.org"
    assert found.filename == "2024-06-10 08.00 alice@example.org-bob@example.org 5cf8ad14.bin"


def test_the_kept_record_has_neither_link_nor_secret() -> None:
    record = one(url="https://recorder.example/x?t=1", api_token="s3cret-s3cret", location="HQ").record
    assert json.loads(record) == {"ccdr_id": ID, "start_time": "2024-05-17 10:15:30", "location": "HQ"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-17 10:15", (10, 15, 0, 0)),
        ("2024-05-17 10:15:30", (10, 15, 30, 0)),
        ("2024-05-17T10:15:30.5", (10, 15, 30, 500000)),
        (" 2024-05-17 10:15:30,123456789 ", (10, 15, 30, 123456)),
        ("2024-05-17 10:15:30Z", (10, 15, 30, 0)),
        ("2024-05-17 12:15:30+02:00", (10, 15, 30, 0)),
    ],
)
@pytest.mark.parametrize("tag", ["start_time", "starttime", "startdate", "START_TIME"])
def test_a_start_is_read_in_every_spelling(text: str, moment: tuple[int, int, int, int], tag: str) -> None:
    found = one(start_time="", **{tag: text}) if tag != "start_time" else one(start_time=text)
    assert found.created == datetime(2024, 5, 17, *moment, tzinfo=UTC)


def test_a_start_is_of_the_api_users_zone() -> None:
    vendor = with_login(zone=ZoneInfo("America/New_York"))
    assert one(vendor).created == datetime(2024, 5, 17, 14, 15, 30, tzinfo=UTC)
    assert one(verba(zone=ZoneInfo("America/New_York"))).created == datetime(
        2024, 5, 17, 10, 15, 30, tzinfo=UTC
    )


def test_a_name_does_not_hang_on_seconds_that_some_replies_leave_out() -> None:
    assert one(start_time="2024-05-17 10:15").filename == one().filename


def test_a_record_without_seconds_does_not_contradict_one_with_them() -> None:
    media = one()
    reply = xml(
        f"<a><verbacdr><ccdr_id>{ID}</ccdr_id><start_time>2024-05-17 10:15</start_time></verbacdr></a>"
    )
    reply = Reply(
        status=200,
        headers={},
        body=reply.body.replace(b"<a>", b"<verbacdrlist>").replace(b"</a>", b"</verbacdrlist>"),
    )
    _, found = drive(verba().record(media), reply)
    assert isinstance(found, Media)
    assert found.created == media.created


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:05:30", 330),
        ("1:00:00", 3600),
        ("1.00:00:01", 86401),
        ("00:00:01.5", 1.5),
        ("soon", None),
        ("", None),
    ],
)
def test_a_duration_is_read_where_it_is_one(text: str, seconds: float | None) -> None:
    assert one(duration=text).duration_s == seconds


@pytest.mark.parametrize(
    ("codec", "extension"),
    [
        ("G.711", ".wav"),
        ("g711 A-law", ".wav"),
        ("PCMU", ".wav"),
        ("LPCM 16", ".wav"),
        ("WAV", ".wav"),
        ("MP3", ".mp3"),
        ("G.729", ".bin"),
        ("SILK", ".bin"),
        ("Opus", ".bin"),
        ("", ".bin"),
    ],
)
def test_an_extension_says_only_what_the_codec_says(codec: str, extension: str) -> None:
    assert extension_of(codec) == extension
    media = one(audio_codec=codec)
    assert file_name(media, 0, Names.FILENAME) == media.filename
    assert media.filename.endswith(extension)
    assert one(audio_codec=codec, video_codec="H.264").filename.endswith(".bin")


@pytest.mark.parametrize(
    ("tags", "extensions", "owner"),
    [
        (
            {"source_caller_id": "1001", "destination_caller_id": "8856", "userdirection": "inbound"},
            (),
            "8856",
        ),
        (
            {"source_caller_id": "1001", "destination_caller_id": "8856", "userdirection": "outbound"},
            (),
            "1001",
        ),
        ({"source_caller_id": "1001", "destination_caller_id": "8856"}, ("8856",), "8856"),
        (
            {"source_caller_id": "1001", "destination_caller_id": "8856", "userdirection": "internal"},
            (),
            "1001",
        ),
        (
            {
                "source_caller_id": "1001",
                "destination_caller_id": "8856",
                "destination_name": "Bob",
                "verba_user_name": "BOB",
            },
            (),
            "8856",
        ),
        ({"source_caller_id": "+3615550001", "destination_caller_id": "8856"}, (), "8856"),
        ({"source_caller_id": "+3615550001", "destination_caller_id": "+3615550002"}, (), "+3615550001"),
        ({"destination_caller_id": "+3615550002"}, (), "+3615550002"),
        ({"verba_user_name": "Bob"}, (), "Bob"),
        ({}, (), None),
    ],
)
def test_the_owner_is_the_recorded_side_by_its_number(
    tags: dict[str, str], extensions: tuple[str, ...], owner: str | None
) -> None:
    found = one(verba(extensions=extensions), **tags).owner
    assert (found.id if found else None) == owner


def test_hostile_numbers_make_legal_names() -> None:
    media = one(source_caller_id="../../etc &amp; x", destination_caller_id="y" * 300)
    assert "/" not in media.filename
    assert len(media.filename) < 255
    assert file_name(media, 0, Names.FILENAME) == media.filename


def test_two_calls_of_one_minute_between_the_same_two_have_two_names() -> None:
    assert one(ccdr_id="call-001").filename != one(ccdr_id="call-002").filename


@pytest.mark.parametrize(
    "body",
    [
        "<metadata><field id='customer_id'>C-4711</field></metadata>",
        "<metadata><field name='customer_id' value='C-4711'/></metadata>",
        "<Metadata><customer_id>C-4711</customer_id></Metadata>",
        "<customer_id>C-4711</customer_id>",
    ],
)
def test_a_metadata_field_is_found_wherever_it_stands(body: str) -> None:
    vendor = verba(metadata_fields=("customer_id", "ticket"))
    reply = xml(
        f"<verbacdrlist><verbacdr><ccdr_id>{ID}</ccdr_id><start_time>2024-05-17 10:15:30</start_time>"
        f"{body}</verbacdr></verbacdrlist>"
    )
    (media,) = listed(vendor, reply).media
    assert dict(media.extra) == {"customer_id": "C-4711"}


@pytest.mark.parametrize(
    "tags",
    [
        {"ccdr_id": ""},
        {"ccdr_id": "../1"},
        {"ccdr_id": "live:1:last"},
        {"start_time": ""},
        {"start_time": "yesterday"},
        {"start_time": "2024-02-30 00:00:00"},
        {"start_time": "2024-05-17 25:00:00"},
    ],
)
def test_a_call_that_cannot_be_read_refuses_the_page_saying_where(tags: dict[str, str]) -> None:
    with pytest.raises(InvalidReply, match=r"^verba: list: verbacdr\[0\]\."):
        one(**tags)


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"\xff\xfe\x00",
        b"{}",
        b"<verbacdrlist>",
        b"<verbacdrlist><verbacdr></verbacdrlist>",
        (BOMB + "<verbacdrlist>&b;</verbacdrlist>").encode(),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><verbacdrlist/>',
        b"<!doctype html><html><body>Sign in</body></html>",
        b"<verbacdrlist><verbacdr>" + b"<x>" * 5000 + b"</x>" * 5000 + b"</verbacdr></verbacdrlist>",
        b'<?xml version="1.0" encoding="nonsense"?><verbacdrlist/>',
        b"<VerbaApi><Response code='zero'/></VerbaApi>",
        b"<VerbaApi><Response/></VerbaApi>",
        b"<VerbaApi/>",
        b"<verbacdrlist>\x00</verbacdrlist>",
        b"<verbacdrlist>&#xD800;</verbacdrlist>",
    ],
)
def test_bombs_and_nonsense_are_invalid_replies(body: bytes) -> None:
    with pytest.raises(InvalidReply, match=r"^verba: list"):
        listed(verba(), xml(body))


def test_a_huge_reply_is_not_read() -> None:
    with pytest.raises(InvalidReply, match="larger"):
        parse("list", b"<a>" + b" " * (16 * 2**20) + b"</a>")


TAGS = [
    "ccdr_id",
    "start_time",
    "starttime",
    "verbacdr",
    "verbacdrlist",
    "Response",
    "ErrorMessage",
    "a:b",
    "x",
]
TEXTS = st.sampled_from(
    [ID, "2024-05-17 10:15:30", "8856", "", "inbound", "&lt;&amp;", "\u202e", "https://x/?t=1"]
)
ELEMENT = st.recursive(
    TEXTS,
    lambda inner: st.builds(
        lambda tag, attribute, children: f"<{tag}{attribute}>{''.join(children)}</{tag}>",
        st.sampled_from(TAGS),
        st.sampled_from(["", ' code="0"', ' code="-43"', ' code="x"', ' state="ongoing"', ' id="ticket"']),
        st.lists(inner, max_size=4),
    ),
    max_leaves=20,
)


@given(
    st.one_of(
        ELEMENT.map(lambda text: f'<verbacdrlist xmlns:a="urn:a">{text}</verbacdrlist>'.encode()),
        ELEMENT.map(str.encode),
        st.binary(max_size=60),
    ),
    st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 410, 418, 500]),
)
def test_any_xml_is_a_value_or_an_error_of_ours(body: bytes, status: int) -> None:
    vendor = with_login(metadata_fields=("ticket",), calls=(ID,))
    answer = xml(body, status)
    flows: list[Callable[[], Any]] = [
        lambda: vendor.page(Question(since=datetime(2024, 5, 17, tzinfo=UTC)), NOW),
        lambda: vendor.page(Question(scope=Conversation(ConversationId(ID))), NOW),
        lambda: verba(search=False, calls=(ID,)).page(Question(), NOW),
        lambda: vendor.record(call_media()),
        lambda: vendor.record(call_media("live:1:last")),
        lambda: vendor.update(call_media(), {"ticket": "1"}),
        lambda: vendor.erase(call_media(), Removal.PERMANENT),
        lambda: vendor.login(NOW),
    ]
    for flow in flows:
        _, outcome = drive(flow(), answer)
        (str(outcome) if isinstance(outcome, MediafsError) else repr(outcome)).encode()
    call = vendor.download(call_media())
    assert 100 <= vendor.status(call, answer) < 600
    assert "://" not in str(vendor.failure(call, answer, MediaId(ID)))
    vendor.another_download(call, answer)
    vendor.is_message(call, {}, body)


# --- one call, a meeting, configured calls


def test_a_record_is_asked_for_with_its_metadata() -> None:
    vendor = verba(metadata_fields=("customer_id",))
    asked, found = drive(vendor.record(call_media()), sample("call.xml"))
    assert dict(asked[0].query) == {
        "action": "GetCallInformation",
        "callID": ID,
        "returnMetadata": "1",
        "responseType": "XML",
    }
    assert isinstance(found, Media)
    assert dict(found.extra)["customer_id"] == "C-4711"


def test_a_record_is_asked_for_by_the_newer_name_where_the_older_is_refused() -> None:
    asked, found = drive(verba().record(call_media()), failed(-20), sample("call.xml"))
    assert dict(asked[1].query)["ccdr_id"] == ID
    assert isinstance(found, Media)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (sample("missing.xml"), NotFound),
        (sample("old-failure.xml"), InvalidReply),
        (sample("done.xml"), NotFound),
        (xml("<VerbaApi/>"), InvalidReply),
        (xml("<html/>", 404), InvalidReply),
        (failed(-20), InvalidReply),
        (failed(-10), Denied),
        (failed(-1), Unavailable),
        (failed(-999), InvalidReply),
        (xml("", 503), Unavailable),
        (xml("", 429), Late),
        (
            xml(f"<verbacdrlist><verbacdr state='ongoing'><ccdr_id>{ID}</ccdr_id></verbacdr></verbacdrlist>"),
            InvalidReply,
        ),
        (
            xml(
                "<verbacdrlist><verbacdr><ccdr_id>other</ccdr_id><start_time>2024-05-17 10:15:30</start_time>"
                "</verbacdr></verbacdrlist>"
            ),
            InvalidReply,
        ),
    ],
)
def test_a_record_that_is_not_had_says_why(reply: Reply, error: type[MediafsError]) -> None:
    _, outcome = drive(verba().record(call_media()), reply)
    assert type(outcome) is error


def test_the_record_of_a_live_name_is_that_of_the_call_behind_it() -> None:
    asked, found = drive(verba().record(call_media("live:8856:last")), sample("search.xml"))
    assert dict(asked[0].query) | {"extension": "8856", "status": "last"} == dict(asked[0].query)
    assert isinstance(found, Media)
    assert (found.id, found.conversation, found.filename) == ("live:8856:last", ID, "last.wav")
    assert found.fleeting


def test_a_conversation_is_a_call() -> None:
    scope = Conversation(ConversationId(ID))
    asked, page = drive(verba().page(Question(scope=scope), NOW), sample("call.xml"))
    assert isinstance(page, Page)
    assert [media.id for media in page.media] == [ID]
    assert page.next is None
    assert len(asked) == 1


def test_a_conversation_that_is_no_call_may_be_a_meeting() -> None:
    scope = Conversation(ConversationId("WHBFM6DD"))
    asked, page = drive(verba().page(Question(scope=scope), NOW), sample("missing.xml"), sample("search.xml"))
    assert [dict(call.query).get("meetingID") for call in asked] == [None, "WHBFM6DD"]
    assert isinstance(page, Page)
    assert [media.id for media in page.media] == [ID, "call-002"], "without the one that goes on"


@pytest.mark.parametrize(("id_", "requests"), [(ID, 1), ("WHBFM6DD", 2)])
def test_a_conversation_of_nothing_is_not_found(id_: str, requests: int) -> None:
    scope = Conversation(ConversationId(id_))
    asked, outcome = drive(verba().page(Question(scope=scope), NOW), sample("missing.xml"))
    assert type(outcome) is NotFound
    assert len(asked) == requests


def information(id_: str, start: str = "2024-05-17 10:15:30", source: str = "8856") -> Reply:
    return xml(
        f'<VerbaApi><Response code="0"/><verbacdr><ccdr_id>{id_}</ccdr_id><start_time>{start}</start_time>'
        f"<source_caller_id>{source}</source_caller_id></verbacdr></VerbaApi>"
    )


def test_without_search_the_configured_calls_are_listed() -> None:
    gone = ID.replace("a8", "b8")
    vendor = verba(search=False, calls=("call-1", gone, "call-3"))
    replies = [information("call-1", "2024-05-18 10:00"), failed(-50), information("call-3", source="1001")]
    asked, page = drive(vendor.page(Question(), NOW), *replies)
    assert [dict(call.query)["callID"] for call in asked] == ["call-1", gone, "call-3"]
    assert {dict(call.query)["action"] for call in asked} == {"GetCallInformation"}
    assert isinstance(page, Page)
    assert [media.id for media in page.media] == ["call-3", "call-1"]
    assert (page.total, page.next) == (None, None)
    _, page = drive(vendor.page(Question(scope=User(UserId("1001"))), NOW), *replies)
    assert isinstance(page, Page)
    assert [media.id for media in page.media] == ["call-3"]
    _, page = drive(
        vendor.page(Question(newest_first=True, until=datetime(2024, 5, 18, tzinfo=UTC)), NOW), *replies
    )
    assert isinstance(page, Page)
    assert [media.id for media in page.media] == ["call-3"]


def test_many_configured_calls_come_in_pages() -> None:
    vendor = verba(search=False, calls=lambda: [f"{n:08x}{ID[8:]}" for n in range(120)])
    cursor: Cursor | None = None
    asked: list[Call] = []
    for _ in range(3):
        more, page = drive(vendor.page(Question(cursor=cursor), NOW), failed(-50))
        asked += more
        assert isinstance(page, Page)
        cursor = page.next
    assert cursor is None
    assert len({dict(call.query)["callID"] for call in asked}) == len(asked) == 120
    asked, _ = drive(vendor.page(Question(cursor=Cursor("not named any more")), NOW), failed(-50))
    assert dict(asked[0].query)["callID"] == f"{0:08x}{ID[8:]}", "all are walked again"


def test_a_configured_meeting_is_all_its_calls() -> None:
    vendor = verba(search=False, calls=("WHBFM6DD",))
    asked, page = drive(vendor.page(Question(), NOW), sample("missing.xml"), sample("search.xml"))
    assert dict(asked[1].query)["meetingID"] == "WHBFM6DD"
    assert isinstance(page, Page)
    assert {media.id for media in page.media} == {ID, "call-002"}


def test_a_line_that_is_no_id_fails_the_listing_of_calls() -> None:
    _, outcome = drive(verba(search=False, calls=lambda: ["call-1", "a/b"]).page(Question(), NOW))
    assert type(outcome) is ConfigError


def test_without_search_nothing_is_searched() -> None:
    for scope in (Everything(), User(UserId("8856"))):
        asked, page = drive(verba(search=False).page(Question(scope=scope), NOW))
        assert asked == []
        assert page == Page(media=(), total=None, next=None)


# --- changes


def test_metadata_are_attached_by_a_form_and_read_back() -> None:
    vendor = verba(metadata_fields=("customer_id",))
    asked, edited = drive(
        vendor.update(call_media(), {"customer_id": "C-4711"}), sample("done.xml"), sample("call.xml")
    )
    assert (asked[0].method, asked[0].query, asked[0].idempotent) == (
        "POST",
        (("action", "AttachMetaData"),),
        False,
    )
    assert form(vendor.authorized(asked[0], TOKEN)) == {
        "responseType": "XML",
        "callID": ID,
        "customer_id": "C-4711",
        "apiKey": KEY,
        "token": "t0ken-secret",
    }
    assert isinstance(edited, Edited)
    assert edited.refused is None
    assert edited.media is not None
    assert dict(edited.media.extra)["customer_id"] == "C-4711"


def test_a_value_that_does_not_stand_is_refused() -> None:
    vendor = verba(metadata_fields=("customer_id", "ticket"))
    for edits in ({"customer_id": "C-1"}, {"customer_id": None}, {"ticket": "7"}):
        _, edited = drive(vendor.update(call_media(), edits), sample("done.xml"), sample("call.xml"))
        assert isinstance(edited, Edited)
        assert edited.refused
    _, edited = drive(vendor.update(call_media(), {"ticket": None}), sample("done.xml"), sample("call.xml"))
    assert isinstance(edited, Edited)
    assert edited.refused is None, "what is not shown is gone"


def test_the_action_is_spelled_the_other_way_where_it_is_not_known_which_is_remembered() -> None:
    vendor = verba(metadata_fields=("customer_id",))
    edits = {"customer_id": "C-4711"}
    asked, edited = drive(
        vendor.update(call_media(), edits), failed(-30), sample("done.xml"), sample("call.xml")
    )
    assert [dict(call.query)["action"] for call in asked[:2]] == ["AttachMetaData", "AttachMetadata"]
    assert isinstance(edited, Edited)
    asked, _ = drive(vendor.update(call_media(), edits), sample("done.xml"), sample("call.xml"))
    assert dict(asked[0].query)["action"] == "AttachMetadata"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (failed(-20), ValueRefused),
        (failed(-80), ValueRefused),
        (failed(-30), Unsupported),
        (failed(-50), NotFound),
        (failed(-10), Denied),
        (failed(-1), Unavailable),
        (failed(-999), InvalidReply),
        (xml("<html/>"), InvalidReply),
        (xml("<VerbaApi/>"), InvalidReply),
        (xml('<VerbaApi><Response code="0" type="GetMedia"/></VerbaApi>'), InvalidReply),
    ],
)
def test_an_edit_that_is_not_confirmed_is_an_error(reply: Reply, error: type[MediafsError]) -> None:
    _, outcome = drive(verba(metadata_fields=("ticket",)).update(call_media(), {"ticket": "1"}), reply)
    assert type(outcome) is error


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"title": "x"}, Unsupported),
        ({"ticket": "x", "other": "y"}, Unsupported),
        ({"ticket": "a\0b"}, ValueRefused),
    ],
)
def test_what_cannot_be_set_is_refused_with_nothing_sent(
    edits: dict[str, str], error: type[MediafsError]
) -> None:
    asked, outcome = drive(verba(metadata_fields=("ticket",)).update(call_media(), edits))
    assert asked == []
    assert type(outcome) is error


def test_a_deletion_is_one_post_that_is_never_repeated() -> None:
    vendor = verba()
    asked, erased = drive(vendor.erase(call_media(), Removal.PERMANENT), sample("done.xml"))
    (call,) = asked
    assert (call.method, call.query, call.idempotent) == ("POST", (("action", "DeleteCall"),), False)
    assert form(vendor.authorized(call, TOKEN)) == {
        "responseType": "XML",
        "callID": ID,
        "apiKey": KEY,
        "token": "t0ken-secret",
    }
    assert erased == Erased(answer="DeleteCall 0")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (failed(-20), Forbidden),
        (failed(-60, "under legal hold"), Forbidden),
        (failed(-1), Forbidden),
        (failed(-999), Forbidden),
        (failed(-43), CredentialsRefused),
        (sample("old-failure.xml"), InvalidReply),
        (xml(""), InvalidReply),
        (xml("<html>Sign in</html>"), InvalidReply),
        (xml("<VerbaApi/>"), InvalidReply),
        (xml("<verbacdrlist/>"), InvalidReply),
        (xml('<VerbaApi><Response code="0" type="KeepCall"/></VerbaApi>'), InvalidReply),
        (xml("", 503), Unavailable),
        (xml("", 403), Denied),
        (xml("<html/>", 404), InvalidReply),
    ],
)
def test_a_deletion_that_is_not_confirmed_is_an_error_after_one_request(
    reply: Reply, error: type[MediafsError]
) -> None:
    asked, outcome = drive(verba().erase(call_media(), Removal.PERMANENT), reply)
    assert type(outcome) is error
    assert len(asked) == 1


def test_a_call_that_is_gone_already_is_no_failure() -> None:
    _, erased = drive(verba().erase(call_media(), Removal.PERMANENT), sample("missing.xml"))
    assert erased == Erased(answer="DeleteCall -50", carried_out=False)


def test_there_is_no_trash_and_a_live_name_is_never_deleted() -> None:
    for media, removal, error in (
        (call_media(), Removal.TRASH, Unsupported),
        (call_media("live:8856:last"), Removal.PERMANENT, Forbidden),
    ):
        asked, outcome = drive(verba().erase(media, removal))
        assert asked == []
        assert type(outcome) is error
    _, outcome_of_recovery = drive(verba().recover(call_media()))
    assert type(outcome_of_recovery) is Unsupported


# --- what replies are


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0, 200),
        (-1, 500),
        (-10, 403),
        (-20, 400),
        (-30, 501),
        (-40, 401),
        (-41, 401),
        (-42, 401),
        (-43, 401),
        (-50, 404),
        (-70, 404),
        (-71, 404),
        (-80, 400),
        (-999, 409),
        (2, 409),
    ],
)
def test_a_code_in_a_200_is_a_status(code: int, status: int) -> None:
    vendor = verba()
    call = vendor.download(call_media())
    assert vendor.status(call, failed(code)) == status


def test_a_status_that_is_none_of_a_code_stays() -> None:
    vendor = verba()
    call = vendor.download(call_media())
    assert vendor.status(call, sample("expired.xml")) == 401
    assert vendor.status(call, xml((HERE / "expired.xml").read_bytes(), 503)) == 503
    assert vendor.status(call, xml("<html>")) == 200
    assert vendor.status(call, xml("<Response  type='x'\n code = '-43' />")) == 401


@pytest.mark.parametrize(
    ("headers", "start", "message"),
    [
        ({"content-type": "text/xml;charset=UTF-8"}, b"RIFF", True),
        ({"content-type": "TEXT/HTML"}, b"RIFF", True),
        ({"content-type": "application/xml"}, b"", True),
        ({"content-type": "application/soap+xml"}, b"", True),
        ({"content-type": "audio/wav"}, b"<?xml version='1.0'?>", True),
        ({}, b"\xef\xbb\xbf\r\n <?xml", True),
        ({"content-type": "audio/x-wav"}, b'<Response code="-70"/>', True),
        ({}, b"<VerbaApi>", True),
        ({}, b"<verbaapi>", True),
        ({}, b"<!DOCTYPE html>", True),
        ({}, b"<HTML>", True),
        ({}, b"\xff\xfe<\0?\0x\0m\0l\0", True),
        ({}, b"<?x", True),
        ({}, b"", True),
        ({"content-type": "audio/wav"}, b"RIFF\x00\x00", False),
        ({"content-type": "application/octet-stream"}, b"\0\0\0\0", False),
        ({"content-type": "application/octet-stream"}, b"   ", False),
        ({"content-range": "bytes 0-9/10"}, b"<?xml", True),
        ({"content-range": "bytes 5-9/10"}, b"<?xml", False),
    ],
)
def test_a_message_is_told_from_a_recording(headers: dict[str, str], start: bytes, message: bool) -> None:
    vendor = verba()
    assert vendor.is_message(vendor.download(call_media()), headers, start) is message


@given(st.binary(min_size=1, max_size=40))
def test_what_begins_with_no_angle_bracket_is_no_message(start: bytes) -> None:
    if looks_like_message(start):
        assert b"<" in start


def test_a_failure_repeats_the_services_words_without_secrets() -> None:
    vendor = with_login()
    call = vendor.download(call_media())
    words = f"no: {KEY} pass-secret at https://h/x?sig=1"
    said = str(vendor.failure(call, failed(-70, words), MediaId(ID)))
    assert said.startswith("verba: download of call")
    assert "(code -70)" in said
    assert not [secret for secret in (KEY, "pass-secret", "sig") if secret in said]


@pytest.mark.parametrize("name", [".hidden", "Thumbs.db", "folder.jpg", "a/b", "", "-x", "x" * 200, "a\nb"])
def test_what_desktops_probe_for_is_no_id(name: str) -> None:
    vendor = verba()
    assert not vendor.is_conversation_id(name)
    assert not vendor.is_user_id(name)


def test_ids_are_ids() -> None:
    vendor = verba()
    assert vendor.is_media_id(ID)
    assert vendor.is_conversation_id(ID)
    assert vendor.is_conversation_id("WHBFM6DD")
    for user in (
        "8856",
        "+36155500001",
        "*72",
        "alice@example.org",
        "Alice Example",
        "Zoë O'Neill",
        "李 小龙",
    ):
        assert vendor.is_user_id(user)
