"""How Zoom's records are read, against the samples of its documentation."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediafs.errors import (
    Changed,
    Incomplete,
    InvalidReply,
    MediafsError,
    NotFound,
)
from mediafs.model import (
    Conversation,
    ConversationId,
    Everything,
    Page,
    Question,
    Removal,
    Trash,
)
from mediafs.vendors.protocol import Call, Flow, Reply
from mediafs.vendors.zoom import Zoom
from tests.vendors.zooming import (
    DAY,
    FILE,
    MARCH,
    NOW,
    SECRET,
    SESSION,
    Answer,
    driven,
    envelope,
    history,
    media,
    on,
    recording,
    reply,
    sample,
    session,
    zoom,
)

# --- both shapes of a reply, and the records in them


def test_the_bare_session_of_the_seed_is_read_and_its_repeated_file_is_one_media() -> None:
    found = history([reply(sample("seed-session.json"))])
    (one,) = found.media
    assert one.id == f"{SESSION}:{FILE}:20220311T123042Z:audio_only.mp4"
    assert one.created == datetime(2022, 3, 11, 12, 30, 42, tzinfo=UTC)
    assert (one.conversation, one.conversation_name) == (SESSION, "session name")
    assert (one.size, one.duration_s, one.locator) == (12125, 240.0, "https://example/download_url")
    assert (one.filename_is_unique, one.mime_type, one.status) == (True, "video/mp4", "completed")


def test_a_bare_session_and_one_in_an_envelope_are_the_same() -> None:
    bare = history([reply(session(recording()))]).media
    assert bare == history([envelope(session(recording()))]).media
    assert len(bare) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "neither sessions"),
        ({"page_size": 30}, "neither sessions"),
        ([], "an object"),
        ({"sessions": {}}, r"\$\.sessions"),
        ({"sessions": [5]}, r"\$\.sessions\[0\]"),
        ({"sessions": [{"recording_files": [recording()]}]}, r"sessions\[0\]\.session_id"),
        (
            {"sessions": [session(recording(recording_start="soon"))]},
            r"recording_files\[0\]\.recording_start",
        ),
        ({"sessions": [session(recording(recording_start=...), start_time="")]}, "recording_start"),
        ({"sessions": [session(recording(file_size=-1))]}, r"recording_files\[0\]\.file_size"),
        ({"sessions": [session(recording(id=["a"]))]}, r"recording_files\[0\]\.id"),
        ({"sessions": [session(recording(id="../../x"))]}, "cannot be the id of a file"),
        ({"sessions": [session(recording(id=".."))]}, "cannot be the id of a file"),
        ({"sessions": [session(recording(), session_id="..")]}, "cannot be the id of a session"),
        ({"sessions": [session(recording(), session_id="a:b")]}, "cannot be the id of a session"),
        ({"sessions": [session(recording(session_id="another"))]}, "another session"),
        ({"sessions": [session(recording(status=7))]}, r"recording_files\[0\]\.status"),
        (b"<html>sign in</html>", "HTML"),
        (b"[" * 100_000, "nested"),
        (b"\xff", "not JSON"),
    ],
)
def test_a_record_that_cannot_be_read_refuses_the_page_and_says_where(body: object, why: str) -> None:
    with pytest.raises(InvalidReply, match=why) as caught:
        history([reply(body)])
    assert str(caught.value).startswith("zoom: list: ")


def test_an_empty_listing_has_to_say_that_it_is_one() -> None:
    empty: tuple[dict[str, object], ...] = ({"sessions": []}, {"sessions": None}, {"total_records": 0})
    for body in empty:
        assert history([reply(body)]).media == ()


def test_one_file_id_with_other_types_or_starts_is_several_media_with_names_of_their_own() -> None:
    one = session(
        recording(recording_type="audio_only"),
        recording(recording_type="active_speaker"),
        recording(recording_type="audio_only", recording_start="2022-03-10T02:28:00Z"),
    )
    found = history([envelope(one)]).media
    assert len({each.id for each in found}) == len({each.filename for each in found}) == 3


def test_a_file_that_is_not_finished_is_left_out_unread() -> None:
    one = session(recording(), {"status": "processing", "recording_start": 5, "id": ["?"]})
    assert len(history([envelope(one)]).media) == 1


def test_files_of_types_without_id_status_and_size_are_read() -> None:
    """The sister API for meetings documents that CC and TIMELINE files have none."""
    bare = {
        "file_type": "TIMELINE",
        "recording_start": "2022-03-10T02:27:30Z",
        "download_url": "https://zoom.us/t",
    }
    (one,) = history([envelope(session(bare))]).media
    assert one.id == f"{SESSION}:-:20220310T022730Z:timeline"
    assert (one.size, one.mime_type) == (None, "application/json")


@pytest.mark.parametrize(
    ("changes", "extension", "mime_type"),
    [
        ({"file_type": "MP4", "file_extension": "MP4"}, "mp4", "video/mp4"),
        ({"file_type": "MP4", "file_extension": ...}, "mp4", "video/mp4"),
        ({"file_type": "M4A", "file_extension": None}, "m4a", "audio/mp4"),
        ({"file_type": "CHAT", "file_extension": ""}, "txt", "text/plain"),
        ({"file_type": "CHAT_MESSAGE", "file_extension": ...}, "txt", "text/plain"),
        ({"file_type": "TRANSCRIPT", "file_extension": ...}, "vtt", "text/vtt"),
        ({"file_type": "CC", "file_extension": ...}, "vtt", "text/vtt"),
        ({"file_type": "CSV", "file_extension": ...}, "csv", "text/csv"),
        ({"file_type": "TIMELINE", "file_extension": ...}, "json", "application/json"),
        ({"file_type": "SUMMARY", "file_extension": ...}, "json", "application/json"),
        ({"file_type": "TB", "file_extension": ...}, "jpg", "image/jpeg"),
        ({"file_type": "NEW", "file_extension": ...}, "new", None),
        ({"file_type": "/../x", "file_extension": "../y"}, "bin", None),
        ({"file_type": ..., "file_extension": ".Vtt"}, "vtt", "text/vtt"),
    ],
)
def test_the_extension_is_the_records_own_or_that_of_its_type(
    changes: dict[str, object], extension: str, mime_type: str | None
) -> None:
    one = media(**changes)
    assert (one.filename.rpartition(".")[2], one.mime_type) == (extension, mime_type)


def test_a_file_name_is_start_type_and_something_short_of_the_id() -> None:
    one = media(recording_type="shared_screen_with_speaker_view(CC)")
    assert re.fullmatch(
        r"2022-03-10_02-27-30_shared_screen_with_speaker_view\(cc\)_[0-9a-f]{8}\.mp4", one.filename
    )
    assert "/" not in media(recording_type="a/../b\0").filename


def test_a_size_of_0_is_not_known() -> None:
    assert (media(file_size=0).size, media(file_size=...).size, media(file_size="7").size) == (None, None, 7)


def test_a_start_that_is_none_is_the_sessions() -> None:
    for start in ("0001-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "", None, ...):
        assert media(recording_start=start).created == datetime(2022, 3, 10, 2, 27, 24, tzinfo=UTC)


def test_a_record_shows_no_link_and_no_token() -> None:
    one = media(
        download_url="https://zoom.us/rec/download/opaque?x=1",
        play_url="https://zoom.us/rec/play/opaque",
        password="pass-word",
    )
    for shown in (one.record, repr(one)):
        assert "opaque" not in shown
        assert "pass-word" not in shown
        assert "https" not in shown
    assert json.loads(one.record)["recording_type"] == "shared_screen_with_speaker_view"


def test_what_only_zoom_tells_is_an_attribute() -> None:
    assert dict(media(deleted_time="2022-03-28T07:22:22Z").extra) == {
        "recording_type": "shared_screen_with_speaker_view",
        "session_key": "ABC36jaBI145",
        "deleted": "2022-03-28T07:22:22Z",
    }


# --- sessions


def in_session(
    answer: Answer | list[Reply], vendor: Zoom | None = None, id_: str = SESSION
) -> tuple[Page, list[Call]]:
    question = Question(scope=Conversation(ConversationId(id_)))
    return driven((vendor or zoom()).page(question, NOW), answer)


def test_a_session_holds_the_files_of_participants_too() -> None:
    page, calls = in_session([reply(sample("session.json"))])
    assert calls[0].url == f"https://api.zoom.us/v2/videosdk/sessions/{quote(SESSION, safe='')}/recordings"
    assert calls[0].query == ()
    assert sorted((each.source_type, each.title) for each in page.media) == [
        ("audio_only_each_participant", "test.m4a"),
        ("individual_user", "test.mp4"),
        ("shared_screen_with_speaker_view", None),
    ]
    assert page.total == 3
    assert dict(page.media[0].extra)["participant"] == "user_key1"
    assert not any("abJhbGci" in each.record for each in page.media)


def test_a_participants_file_that_stands_among_the_others_too_is_one_media() -> None:
    file = recording(recording_type="audio_only_each_participant")
    body = session(file) | {"participant_audio_files": [recording(recording_type=...)]}
    assert len(in_session([reply(body)])[0].media) == 1


def test_the_record_of_another_session_is_refused() -> None:
    with pytest.raises(InvalidReply, match="another session"):
        in_session([reply(session(recording(), session_id="another-session-id=="))])


def test_the_pages_of_a_session_are_followed() -> None:
    pages = [
        reply(session(recording(id=f"f{n}")) | {"next_page_token": f"t{n}" if n < 2 else ""})
        for n in range(3)
    ]
    page, calls = in_session(pages)
    assert len(page.media) == 3
    assert dict(calls[2].query)["next_page_token"] == "t1"
    with pytest.raises(Incomplete):
        in_session([pages[0], pages[0]])


ONCE, TWICE = "once", "twice"


@pytest.mark.parametrize(
    ("id_", "form"),
    [
        ("KkMHZ4y8QhSUWAHi5sWvfg==", "KkMHZ4y8QhSUWAHi5sWvfg%3D%3D"),
        ("sfk/aOFJSJSYhGwk1hnxgw==", "sfk%2FaOFJSJSYhGwk1hnxgw%3D%3D"),
        ("a+b/c+d==", "a%2Bb%2Fc%2Bd%3D%3D"),
        ("/abc//x==", "%252Fabc%252F%252Fx%253D%253D"),
        ("/abcx==", "%252Fabcx%253D%253D"),
        ("abc//x==", "abc%252F%252Fx%253D%253D"),
        ("plain", "plain"),
    ],
)
def test_the_id_of_a_session_is_encoded_once_or_twice(id_: str, form: str) -> None:
    _, calls = in_session([reply(session(recording(), session_id=id_))], id_=id_)
    assert calls[0].url.split("/")[-2] == form


@pytest.mark.parametrize("id_", [SESSION, "sfk/aOFJSJSYhGwk1hnxgw==", "/abc//x=="])
def test_on_404_the_other_form_is_tried_and_what_works_is_remembered(id_: str) -> None:
    vendor = zoom()
    _, calls = in_session(
        [reply({"code": 1001, "message": "no"}, 404), reply(session(recording(), session_id=id_))],
        vendor,
        id_,
    )
    once = quote(id_, safe="")
    assert {call.url.split("/")[-2] for call in calls} == {once, quote(once, safe="")}
    _, again = in_session([reply(session(recording(), session_id=id_))], vendor, id_)
    assert again[0].url == calls[1].url


def test_a_session_that_is_not_there_in_either_form_is_not_found() -> None:
    with pytest.raises(NotFound):
        in_session(lambda call: reply({"code": 3301, "message": "no recording"}, 404))
    with pytest.raises(NotFound):
        in_session([], id_="..")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (SESSION, True),
        ("sfk/aOFJSJSYhGwk1hnxgw==", True),
        ("a+b/c+dEFGHIJKLMNOP", True),
        *(
            (probe, False)
            for probe in (".Trash", "Thumbs.db", "autorun.inf", "lost+found", "AACS", "VIDEO_TS")
        ),
        *(
            (probe, False)
            for probe in ("folder.jpg", "AlbumArtSmall.jpg", "System Volume Information", "", "..")
        ),
    ],
)
def test_what_can_be_the_id_of_a_session(text: str, wanted: bool) -> None:
    assert zoom().is_conversation_id(text) is wanted
    assert not zoom().is_user_id(text)


# --- the trash


def in_trash(call: Call) -> Reply:
    query = dict(call.query)
    assert not {"from", "to"} & query.keys()
    if query["trash_type"] == "recording_file":
        return envelope(on("2022-03-10", 1), on("2021-01-10", 2))
    return envelope(on("2021-01-10", 2), on("2020-05-05", 3))


def test_the_trash_is_both_of_its_listings_without_dates() -> None:
    page, calls = driven(zoom().page(Question(scope=Trash()), NOW), in_trash)
    assert [dict(call.query) for call in calls] == [
        {"page_size": "300", "trash": "true", "trash_type": kind}
        for kind in ("recording_file", "session_recordings")
    ]
    assert [each.created.year for each in page.media] == [2020, 2021, 2022]
    assert {each.status for each in page.media} == {"trashed"}
    assert page.total == 3


def test_a_trash_that_lists_files_alone_is_read() -> None:
    files = [recording(session_id=SESSION, deleted_time="2022-03-28T07:22:22Z")]
    page, _ = driven(zoom().page(Question(scope=Trash()), NOW), [envelope(*files), reply({"sessions": []})])
    assert [each.conversation for each in page.media] == [SESSION]


# --- one record


def test_a_record_comes_from_its_session() -> None:
    one = media()
    found, calls = driven(zoom().record(one), [reply(session(recording()))])
    assert found == one
    assert "/sessions/" in calls[0].url


def test_a_record_that_is_neither_in_its_session_nor_in_the_trash_is_not_found() -> None:
    def without(call: Call) -> Reply:
        return envelope() if "trash" in dict(call.query) else reply(session(recording(id="another")))

    with pytest.raises(NotFound):
        driven(zoom().record(media()), without)

    def no_session(call: Call) -> Reply:
        return envelope() if "trash" in dict(call.query) else reply(b"", 404)

    with pytest.raises(NotFound):
        driven(zoom().record(media()), no_session)


def test_a_record_that_moved_into_the_trash_or_out_of_it_is_neither_there_nor_gone() -> None:
    def moved(call: Call) -> Reply:
        if "trash" in dict(call.query):
            return envelope(session(recording()))
        return reply({"code": 3301, "message": "There is no recording."}, 404)

    with pytest.raises(Changed, match="into the trash"):
        driven(zoom().record(media()), moved)

    def back(call: Call) -> Reply:
        return envelope() if "trash" in dict(call.query) else reply(session(recording()))

    with pytest.raises(Changed, match="out of the trash"):
        driven(zoom().record(replace(media(), status="trashed")), back)


def test_a_record_that_was_seen_in_the_trash_comes_from_there() -> None:
    page, _ = driven(zoom().page(Question(scope=Trash()), NOW), in_trash)
    found, _ = driven(zoom().record(page.media[0]), in_trash)
    assert found == page.media[0]


def test_a_file_that_shows_another_type_now_is_not_taken_for_gone() -> None:
    with pytest.raises(InvalidReply, match="another one now"):
        driven(zoom().record(media()), [reply(session(recording(recording_type="gallery_view")))])


# --- any reply at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = sorted(
    {
        *sample("list.json"),
        *sample("session.json"),
        *recording(),
        *sample("session.json")["participant_audio_files"][0],
    }
)


def outcome(flow: Flow[Any], body: object) -> None:
    said = "zoom: "
    try:
        driven(flow, lambda call: reply(body))
    except MediafsError as error:
        said = str(error)
    assert said.startswith("zoom: ")
    assert SECRET not in said


@settings(max_examples=150, deadline=None)
@given(JSON | st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_json_is_a_value_or_an_explained_error(body: object) -> None:
    everything = Question(scope=Everything(), since=MARCH, until=MARCH + 5 * DAY)
    for question in (
        everything,
        Question(scope=Conversation(ConversationId(SESSION))),
        Question(scope=Trash()),
    ):
        outcome(zoom().page(question, NOW), body)
    for flow in (zoom().record(media()), zoom().erase(media(), Removal.TRASH), zoom().recover(media())):
        outcome(flow, body)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(NAMES),
    JSON | st.sampled_from(["", "x" * 5000, -1, 10**30, "2022-03-10T02:27:30Z"]),
    st.integers(0, 2),
)
def test_any_field_may_be_anything(name: str, value: object, depth: int) -> None:
    body = sample("session.json")
    holder = [body, body["recording_files"][0], body["participant_audio_files"][0]][depth]
    holder[name] = value
    for question in (
        Question(since=MARCH, until=MARCH + 20 * DAY),
        Question(scope=Conversation(ConversationId(SESSION))),
    ):
        outcome(zoom().page(question, NOW), body)
