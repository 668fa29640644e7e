"""What is asked of Zoom, and whether its listings are whole."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafs.errors import (
    Incomplete,
    InvalidReply,
    Unsupported,
    ValueRefused,
)
from mediafs.model import (
    Cursor,
    Only,
    Page,
    Question,
    User,
    UserId,
)
from mediafs.vendors import VENDORS
from mediafs.vendors.protocol import Call, Reply, Vendor
from tests.vendors.zooming import (
    DAY,
    KEY,
    MARCH,
    NOW,
    SECRET,
    Answer,
    Archive,
    days,
    driven,
    envelope,
    history,
    media,
    on,
    recording,
    reply,
    sample,
    session,
    whole_history,
    zoom,
)

# --- the vendor


def test_zoom_is_a_vendor_and_is_registered() -> None:
    vendor: Vendor = zoom()
    traits = vendor.traits
    assert VENDORS["zoom"].vendor == "zoom"
    assert (vendor.name, traits.conversations, traits.users, traits.trash) == ("zoom", True, False, True)
    assert (traits.deletable, traits.records_tell_conversation, traits.editable) == (True, True, frozenset())
    assert vendor.pace is not None
    assert (vendor.pace.per_second, vendor.pace.parallel) == (20, 8)


def test_the_token_is_a_jwt_with_what_zoom_requires_and_nothing_else() -> None:
    credential, calls = driven(zoom().login(NOW), [])
    assert not calls
    assert jwt.get_unverified_header(credential.secret) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(
        credential.secret, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False}
    )
    now = NOW.timestamp()
    assert claims == {"iss": KEY, "iat": now - 30, "exp": now + 3600}
    assert credential.renew_after_s is not None
    assert 3000 <= credential.renew_after_s < 3600


def test_a_short_secret_signs_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert driven(zoom(api_secret="short").login(NOW), [])[0].secret.count(".") == 2


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "api.zoom.us"},
        {"base_url": "https://api.zoom.us/v2?a=b"},
        {"base_url": "https://me:pass@api.zoom.us/v2"},
        {"api_key": ""},
        {"api_secret": ""},
        {"api_secret": "two words"},
        {"download_hosts": ("us",)},
        {"download_hosts": ("https://zoom.us",)},
        {"download_hosts": ("Zoom.us",)},
        {"download_hosts": ("",)},
    ],
)
def test_options_that_cannot_work_are_refused_without_the_value(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))) as caught:
        zoom(**options)
    assert "pass" not in str(caught.value)
    assert "two words" not in str(caught.value)


# --- history in windows


def test_the_first_question_is_the_documented_one() -> None:
    page, calls = driven(zoom().page(Question(since=MARCH), NOW), Archive(on("2022-03-10")))
    assert len(page.media) == 1
    assert (calls[0].method, calls[0].url) == ("GET", "https://api.zoom.us/v2/videosdk/recordings")
    assert dict(calls[0].query) == {
        "page_size": "300",
        "from": "2022-02-26",
        "to": "2022-03-25",
        "trash": "false",
    }


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_windows_of_a_walk_hold_every_day_and_are_never_longer_than_a_month(newest_first: bool) -> None:
    archive = Archive()
    pages = list(whole_history(archive, newest_first=newest_first))
    asked = [days(call) for call in archive.calls]
    if newest_first:
        asked.reverse()
    assert all(last - first <= 27 * DAY for first, last in asked)
    # A month later at most, and February has 28 days: `from` + 27 is within a month of any day.
    assert asked[0][0] <= date(2020, 1, 1)
    assert asked[-1][1] == NOW.date() + DAY
    assert all(after[0] <= before[1] - DAY for before, after in pairwise(asked))
    assert not any(page.media for page in pages)


@pytest.mark.parametrize("newest_first", [False, True])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moments=st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2022, 5, 18)), max_size=12),
    lead=st.sampled_from([0, 1, 2, 9, 30]),
    since=st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2022, 5, 18)),
    until=st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2022, 5, 18)),
)
def test_all_pages_hold_every_recording_of_the_question_once_and_in_order(
    moments: list[datetime], lead: int, since: datetime | None, until: datetime | None, newest_first: bool
) -> None:
    """Also where every session began `lead` days before its recording, once that was seen."""
    sessions = []
    for number, moment in enumerate(moments):
        start = moment.replace(microsecond=0)
        file = recording(id=f"f{number}", recording_start=f"{start.isoformat()}Z", recording_end="")
        began = f"{(start - lead * DAY).isoformat()}Z"
        sessions.append(session(file, session_id=f"session-{number:04}==", start_time=began))
    vendor = zoom()
    vendor.learnt["reach"] = [lead, 1]
    since = since.replace(tzinfo=UTC) if since else None
    until = until.replace(tzinfo=UTC) if until else None
    pages = whole_history(Archive(*sessions), vendor, newest_first=newest_first, since=since, until=until)
    found = [each for page in pages for each in page.media]
    wanted = [
        number
        for number, moment in enumerate(moments)
        if (since is None or moment.replace(microsecond=0, tzinfo=UTC) >= since)
        and (until is None or moment.replace(microsecond=0, tzinfo=UTC) <= until)
    ]
    ids = [each.id for each in found]
    assert len(set(ids)) == len(ids)
    assert {f":f{number}:" for number in wanted} <= {":" + id_.split(":")[1] + ":" for id_ in ids}
    created = [each.created for each in found]
    assert created == sorted(created, reverse=newest_first)
    if since is not None:  # at most a little more than was asked for
        assert all(each >= since - 2 * timedelta(seconds=1) for each in created)


def test_a_question_about_no_time_costs_no_request() -> None:
    for until in (datetime(1999, 1, 1, tzinfo=UTC), datetime(2019, 12, 1, tzinfo=UTC)):
        page, calls = driven(zoom().page(Question(until=until), NOW), [])
        assert (page, calls) == (Page(media=(), total=0, next=None), [])
    page, calls = driven(zoom().page(Question(since=NOW + 30 * DAY), NOW), [])
    assert (page, calls) == (Page(media=(), total=0, next=None), [])


def test_empty_windows_are_walked_over_up_to_a_number_and_then_the_walk_goes_on_by_a_cursor() -> None:
    for question in (Question(since=NOW - 600 * DAY), Question(newest_first=True)):
        page, calls = driven(zoom().page(question, NOW), Archive(on("2021-05-01")))
        assert len(calls) == 6
        assert page.media == ()
        assert page.next is not None
    pages = list(whole_history(Archive(on("2022-05-01")), since=NOW - 600 * DAY))
    assert [len(page.media) for page in pages] == [0, 0, 0, 1, 0]


def test_the_oldest_page_goes_on_until_it_has_something_to_tell_where_the_archive_begins() -> None:
    page, calls = driven(zoom().page(Question(), NOW), Archive(on("2022-05-01")))
    assert len(page.media) == 1
    assert len(calls) == 35
    page, _ = driven(zoom().page(Question(), NOW), Archive())
    assert (page.media, page.total, page.next) == ((), 0, None)


def test_a_question_for_one_media_is_one_request() -> None:
    assert len(driven(zoom().page(Question(limit=1), NOW), Archive())[1]) == 1


def test_what_began_a_little_in_the_future_is_listed() -> None:
    """The clock here may be behind the service's."""
    page = list(whole_history(Archive(on("2022-05-18")), since=NOW - DAY))[-1]
    assert len(page.media) == 1


def test_a_cursor_that_is_none_of_ours_is_a_bug() -> None:
    with pytest.raises(ValueError, match="isoformat"):
        driven(zoom().page(Question(cursor=Cursor("nonsense")), NOW), Archive())


def test_a_session_that_began_days_before_its_recording_is_found_on_the_recordings_day() -> None:
    late = on("2022-03-10", start_time="2022-03-01T09:00:00Z")
    other = on("2022-03-03", 2)
    vendor = zoom()
    found = history(Archive(late, other), vendor, until=None)
    assert [each.created.day for each in found.media] == [3, 10]
    assert vendor.learnt["reach"] == [9, 1]
    # From then on the session is found where only its recording's day is asked for.
    alone = history(Archive(late), vendor, since=datetime(2022, 3, 10, tzinfo=UTC), until=None)
    assert len(alone.media) == 1


def test_how_far_recordings_lie_is_found_out_within_the_window_that_needs_it() -> None:
    """The first session shows the lag; the second one began before what was asked for at first."""
    shows = on("2022-03-12", 1, start_time="2022-03-02T09:00:00Z")
    hidden = on("2022-03-01", 2, start_time="2022-02-20T09:00:00Z")
    found = history(Archive(shows, hidden))
    assert [each.created.day for each in found.media] == [1, 12]


def test_a_recording_that_cannot_be_found_by_its_day_refuses_the_listing() -> None:
    """A service that ignores the dates, for one, and does not echo them."""
    far = reply(sample("seed-session.json"))
    with pytest.raises(Incomplete, match="2022-03-11"):
        history([far], since=MARCH - 400 * DAY, until=MARCH - 390 * DAY)


def test_learnt_nonsense_is_ignored() -> None:
    vendor = zoom()
    vendor.learnt.update(reach=["x", None], page_size="many", encoding=7, shared={"a": 1})
    assert history(Archive(on("2022-03-10")), vendor).media
    vendor.learnt.update(reach=[-5, 10**9])
    assert history(Archive(on("2022-03-10")), vendor).media


# --- what the service says of its own answer


def test_a_range_that_was_clamped_is_gone_on_from_where_it_really_ended() -> None:
    archive = Archive(on("2022-03-03", 1), on("2022-03-19", 2))
    asked: list[tuple[date, date]] = []

    def clamping(call: Call) -> Reply:
        first, last = days(call)
        asked.append((first, last))
        last = min(last, first + 7 * DAY)
        return archive(replace(call, query=(("from", str(first)), ("to", str(last)))))

    assert [each.created.day for each in history(clamping).media] == [3, 19]
    assert [first for first, _ in asked] == [date(2022, 2, 27) - DAY + 7 * n * DAY for n in range(4)]


def test_a_range_whose_beginning_was_moved_is_asked_for_again() -> None:
    archive = Archive(on("2022-03-03", 1), on("2022-03-19", 2))

    def clamping(call: Call) -> Reply:
        first, last = days(call)
        return archive(replace(call, query=(("from", str(max(first, last - 7 * DAY))), ("to", str(last)))))

    assert [each.created.day for each in history(clamping).media] == [3, 19]


@pytest.mark.parametrize(
    "echo", [("2022-05-17", "2022-05-17"), ("2022-01-01", "2022-01-31"), ("2022-02-27", "2022-02-27")]
)
def test_a_service_that_lists_other_days_than_it_was_asked_for_is_refused(echo: tuple[str, str]) -> None:
    with pytest.raises(Incomplete):
        history(lambda call: envelope(**{"from": echo[0], "to": echo[1]}))


def test_days_to_come_may_be_cut_off() -> None:
    def today_at_most(call: Call) -> Reply:
        first, last = days(call)
        return envelope(**{"from": str(first), "to": str(min(last, NOW.date()))})

    page, calls = driven(zoom().page(Question(since=NOW - 3 * DAY), NOW), today_at_most)
    assert (page.media, page.next, len(calls)) == ((), None, 1)

    def yesterday_at_most(call: Call) -> Reply:
        first, last = days(call)
        return envelope(**{"from": str(first), "to": str(min(last, NOW.date() - DAY))})

    page, calls = driven(zoom().page(Question(since=NOW - 3 * DAY), NOW), yesterday_at_most)
    assert (page.next, len(calls)) == (None, 2)


@pytest.mark.parametrize("echo", [5, "soon", "2022-13-45", ["2022-01-01"]])
def test_an_echo_that_is_no_date_is_refused(echo: object) -> None:
    with pytest.raises(InvalidReply, match=r"zoom: list: \$\.from"):
        history([envelope(**{"from": echo})])


def paged(*pages: list[dict[str, Any]], expires: int = 0, total: int | None = None) -> Answer:
    """The sessions in pages with tokens; the first `expires` tokens are refused."""
    left = [expires]

    def answer(call: Call) -> Reply:
        number = int(dict(call.query).get("next_page_token", "t0")[1:])
        if number and left[0] > 0:
            left[0] -= 1
            return reply({"code": 300, "message": "The next page token is invalid or expired."}, 400)
        token = f"t{number + 1}" if number + 1 < len(pages) else ""
        stated = sum(map(len, pages)) if total is None else total
        return envelope(*pages[number], next_page_token=token, total_records=stated)

    return answer


THREE_PAGES = ([on("2022-03-03", 1)], [on("2022-03-04", 2), on("2022-03-04", 3)], [on("2022-03-05", 4)])


def test_all_page_tokens_of_a_window_are_followed_with_the_same_question() -> None:
    page, calls = driven(zoom().page(Question(since=MARCH, until=MARCH + 20 * DAY), NOW), paged(*THREE_PAGES))
    assert len(page.media) == 4
    assert [dict(call.query).get("next_page_token") for call in calls] == [None, "t1", "t2"]
    assert len({days(call) for call in calls}) == 1


@pytest.mark.parametrize("expired", [1, 2, 3])
def test_a_page_token_that_expired_restarts_its_window(expired: int) -> None:
    found = history(paged(*THREE_PAGES, expires=expired)).media
    assert len(found) == 4


def test_page_tokens_that_always_expire_are_an_incomplete_listing() -> None:
    with pytest.raises(Incomplete, match="do not stay open"):
        history(paged(*THREE_PAGES, expires=99))


def test_a_page_token_that_is_repeated_is_an_incomplete_listing() -> None:
    with pytest.raises(Incomplete, match="repeats a page token"):
        history(lambda call: envelope(on("2022-03-03"), next_page_token="again"))


def test_a_listing_that_is_shorter_than_it_states_is_an_incomplete_one() -> None:
    with pytest.raises(Incomplete, match="add up"):
        history(paged([on("2022-03-03")], total=2))


def test_files_may_be_what_is_counted() -> None:
    two = session(recording(), recording(id="other", recording_type="audio_only"))
    assert len(history([envelope(two, total_records=2)]).media) == 2


def test_a_page_size_that_is_refused_is_made_the_documented_one_and_remembered() -> None:
    archive = Archive(on("2022-03-10"))

    def strict(call: Call) -> Reply:
        small = int(dict(call.query)["page_size"]) <= 100
        return archive(call) if small else reply({"code": 300, "message": "page_size"}, 400)

    vendor = zoom()
    assert len(history(strict, vendor).media) == 1
    assert vendor.learnt["page_size"] == 30
    archive.calls.clear()
    history(archive, vendor)
    assert {dict(call.query)["page_size"] for call in archive.calls} == {"30"}


def test_a_question_that_is_refused_for_another_reason_says_so() -> None:
    vendor = zoom()
    with pytest.raises(ValueRefused, match=r"Invalid field \(code 300\)"):
        history(lambda call: reply({"code": 300, "message": "Invalid field"}, 400), vendor)
    assert "page_size" not in vendor.learnt


# --- what the service cannot do


def test_recordings_cannot_be_listed_by_user_nor_searched_nor_edited() -> None:
    for question in (Question(scope=User(UserId("u"))), Question(only=Only(search="words"))):
        with pytest.raises(Unsupported):
            driven(zoom().page(question, NOW), [])
    with pytest.raises(Unsupported):
        driven(zoom().update(media(), {"title": "new"}), [])
