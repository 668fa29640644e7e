"""An account of Verba over sockets, against its twin: bytes, traps, credentials, changes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import trio

from mediafs.errors import (
    CredentialsRefused,
    Denied,
    Forbidden,
    InvalidReply,
    MediafsError,
    NotFound,
    Unavailable,
    Unsupported,
    ValueRefused,
)
from mediafs.model import (
    AccountName,
    Conversation,
    ConversationId,
    Media,
    MediaId,
    Question,
    Removal,
    Span,
    Urgency,
    User,
    UserId,
)
from mediafs.remote import CredentialState, RemoteAccount, RemoteOptions
from mediafs.remote.retry import RetryOptions
from mediafs.sandbox import Fault, Kind, Server, World, serve
from mediafs.sandbox.media import read_all
from mediafs.sandbox.verba import Verba as Twin
from mediafs.sandbox.verba_options import VerbaOptions as TwinOptions
from mediafs.sandbox.verba_xml import call_id
from mediafs.sandbox.wire import WaitForm
from mediafs.vendors.verba import Verba, VerbaOptions
from tests.verba_talk import Unpaced

PERSON = Urgency.PERSON
START = datetime(2024, 5, 17, 10, tzinfo=UTC)
KEY, PASSWORD = TwinOptions().api_key, TwinOptions().password
QUICK = RetryOptions(tries=2, throttled_tries=3, first_wait_s=0.01, longest_wait_s=0.02)


@dataclass
class House:
    server: Server
    source: RemoteAccount
    world: World

    @property
    def twin(self) -> Twin:
        twin = self.server.service
        assert isinstance(twin, Twin)
        return twin

    def fault(self, kind: Kind, **fields: Any) -> None:
        self.server.faults.add([Fault(kind=kind, **({"path": "/verba/api"} | fields))])

    def asked(self, action: str, method: str = "") -> int:
        """How many requests of this action came."""
        return sum(
            f"action={action}&" in f"{request.query}&" and method in ("", request.method)
            for request in self.server.requests
        )

    async def media(self) -> list[Media]:
        found: list[Media] = []
        question = Question(since=START - timedelta(days=1))
        while True:
            page = await self.source.page(question, urgency=PERSON)
            found += page.media
            if page.next is None:
                return found
            question = Question(since=question.since, cursor=page.next)

    async def read(self, media: Media, span: Span | None = None) -> bytes:
        async with self.source.body(media, span or Span(0), urgency=PERSON) as body:
            self.last = body
            return b"".join([chunk async for chunk in body.chunks])


@asynccontextmanager
async def house(
    count: int = 3,
    *,
    options: dict[str, Any] | None = None,
    world: World | None = None,
    kind: type[Verba] = Unpaced,
    **twin: Any,
) -> AsyncIterator[House]:
    world = world or World(seed=1)
    for n in range(count):
        world.add(created=START + timedelta(minutes=n), size=1000 + n, media_type="audio", title=f"Title {n}")
    box = TwinOptions(**twin)
    async with serve(world, box, vendor="verba") as server:
        given: dict[str, Any] = {
            "base_url": f"{server.url}/verba",
            "api_key": box.api_key,
            "username": box.username,
            "password": box.password,
            "search": True,
            "zone": ZoneInfo(box.zone),
            "metadata_fields": ("subject", "ticket"),
        }
        vendor = kind(VerbaOptions(**(given | (options or {}))))
        async with RemoteAccount(AccountName("sandbox-verba"), vendor, RemoteOptions(retry=QUICK)) as source:
            yield House(server, source, world)


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    for secret in (KEY, PASSWORD, "token=", "apiKey"):
        assert secret not in caplog.text


# --- listings and bytes


async def test_everything_is_listed_once_and_read() -> None:
    async with house(0, world=World.generate(250, seed=2)) as home:
        found: list[Media] = []
        question = Question(since=datetime(2023, 12, 1, tzinfo=UTC))
        while True:
            page = await home.source.page(question, urgency=PERSON)
            found += page.media
            if page.next is None:
                break
            question = Question(since=question.since, cursor=page.next)
        assert sorted(m.id for m in found) == sorted(call_id(m.id) for m in home.world if m.completed)
        for media in found[:5]:
            number = int(media.id[-12:], 16)
            assert await home.read(media) == read_all(home.world[number].body)
        assert home.asked("RequestToken") == 1


@pytest.mark.parametrize("span", [Span(0), Span(0, 10), Span(100, 300), Span(900)])
async def test_without_ranges_the_whole_comes_and_says_so(span: Span) -> None:
    async with house(1) as home:
        (media,) = await home.media()
        assert await home.read(media, span) == read_all(home.world[1].body)
        assert (home.last.partial, home.last.start, home.last.total) == (False, 0, 1000)


@pytest.mark.parametrize("span", [Span(0), Span(0, 10), Span(100, 300), Span(900)])
async def test_ranges_are_used_where_the_service_has_them(span: Span) -> None:
    async with house(1, ranges=True) as home:
        (media,) = await home.media()
        assert await home.read(media, span) == read_all(home.world[1].body)[span.start : span.stop]
        assert home.last.partial


async def test_a_body_without_a_length_is_read_to_its_end() -> None:
    async with house(1, chunked=True) as home:
        (media,) = await home.media()
        assert await home.read(media) == read_all(home.world[1].body)
        assert home.last.length is None


async def test_the_newer_name_of_the_parameter_costs_one_more_request_once() -> None:
    async with house(2, id_parameter="ccdr_id", information_id_parameter="ccdr_id") as home:
        first, second = await home.media()
        assert await home.read(first) == read_all(home.world[1].body)
        assert home.asked("GetMedia") == 2
        assert await home.read(second) == read_all(home.world[2].body)
        assert home.asked("GetMedia") == 3
        assert (await home.source.media(first, urgency=PERSON)) == first


async def test_a_refusal_that_no_other_name_helps_ends_after_two_requests() -> None:
    async with house(1) as home:
        (media,) = await home.media()
        body = '<VerbaApi><Response code="-20"/></VerbaApi>'
        home.fault(Kind.STATUS, status=200, body=body, headers={"Content-Type": "text/xml"}, times=None)
        with pytest.raises(InvalidReply):
            await home.read(media)
        assert home.asked("GetMedia") == 2


@pytest.mark.parametrize("kind", ["text/xml", "application/octet-stream", "none"])
@pytest.mark.parametrize("span", [Span(0), Span(0, 10)])
async def test_a_failure_as_200_and_xml_never_becomes_a_file(kind: str, span: Span) -> None:
    async with house(1, error_type=kind) as home:
        (media,) = await home.media()
        home.world.remove(1)
        with pytest.raises(NotFound):
            await home.read(media, span)


@pytest.mark.parametrize(
    "page",
    [
        "<html>Sign in</html>",
        "\ufeff  <!DOCTYPE html><p>",
        "<?xml version='1.0'?><other/>",
        "<VerbaApi/>",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["audio/wav", "text/html"])
async def test_a_page_in_place_of_a_recording_is_an_error(page: str, kind: str) -> None:
    async with house(1) as home:
        (media,) = await home.media()
        home.fault(Kind.STATUS, status=200, body=page, headers={"Content-Type": kind})
        with pytest.raises(InvalidReply):
            await home.read(media)


async def test_a_recording_that_may_not_be_had_says_why() -> None:
    async with house(1, forbidden_downloads=frozenset({1}), refusal_code=-10) as home:
        (media,) = await home.media()
        with pytest.raises(Denied, match="code -10"):
            await home.read(media)


async def test_live_names_give_the_last_call_and_the_one_that_goes_on_which_grows() -> None:
    async with house(3, ongoing_bytes=10) as home:
        live = dict(home.source.live(UserId("1000")))
        assert await home.read(live["last.bin"]) == read_all(home.world[3].body)
        with pytest.raises(NotFound):
            await home.read(live["ongoing.bin"])
        going = home.world.add(status="in_progress", size=100, media_type="audio")
        whole = read_all(going.body)
        assert await home.read(live["ongoing.bin"]) == whole[:10]
        assert home.last.length is None
        assert await home.read(live["ongoing.bin"]) == whole[:20]
        newer = home.world.add(size=7, media_type="audio", created=datetime(2025, 1, 1, tzinfo=UTC))
        assert await home.read(live["last.bin"]) == read_all(newer.body)
        found = await home.source.media(live["last.bin"], urgency=PERSON)
        assert (found.conversation, found.filename, found.fleeting) == (call_id(newer.id), "last.wav", True)
        assert all("next" not in request.query for request in home.server.requests)


# --- listings by call and by user


async def test_a_conversation_is_a_call_or_a_meeting() -> None:
    async with house(3) as home:
        home.world.update(2, conversation="WHBFM6DD")
        for scope, number in ((call_id(1), 1), ("WHBFM6DD", 2)):
            question = Question(scope=Conversation(ConversationId(scope)))
            page = await home.source.page(question, urgency=PERSON)
            assert [m.id for m in page.media] == [call_id(number)]
        with pytest.raises(NotFound):
            await home.source.page(Question(scope=Conversation(ConversationId(call_id(99)))), urgency=PERSON)


async def test_a_users_calls_are_those_of_his_extension() -> None:
    async with house(3) as home:
        home.world.add(owner=10000, size=5, created=START, media_type="audio")
        page = await home.source.page(Question(scope=User(UserId("1000"))), urgency=PERSON)
        assert {m.id for m in page.media} == {call_id(n) for n in (1, 2, 3)}
        await home.source.prove_filter(User(UserId("1000")), urgency=PERSON)


async def test_a_record_is_the_one_that_was_listed() -> None:
    async with house(3) as home:
        for media in await home.media():
            assert await home.source.media(media, urgency=PERSON) == media
        missing = Media(id=MediaId(call_id(99)), created=START, filename="", size=None)
        with pytest.raises(NotFound):
            await home.source.media(missing, urgency=PERSON)


async def test_a_page_from_a_gateway_does_not_make_a_record_missing() -> None:
    async with house(1) as home:
        (media,) = await home.media()
        home.fault(
            Kind.STATUS, status=404, body="<html>not here</html>", headers={"Content-Type": "text/html"}
        )
        with pytest.raises(InvalidReply, match="base_url"):
            await home.source.media(media, urgency=PERSON)


# --- credentials


async def test_a_token_that_expired_is_renewed_once_for_a_listing_and_for_bytes() -> None:
    async with house(2) as home:
        media = (await home.media())[0]
        home.server.service.expire()
        assert len(await home.media()) == 2
        assert home.asked("RequestToken") == 2
        home.server.service.expire()
        assert await home.read(media) == read_all(home.world[1].body)
        assert home.asked("RequestToken") == 3


async def test_a_token_is_renewed_before_its_hour_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(1) as home:
        await home.media()
        now = trio.current_time()
        held = home.source._exchanges.credentials._held
        assert held is not None
        assert held.credential.renew_after_s == 3300
        monkeypatch.setattr(trio, "current_time", lambda: now + 3301)
        await home.media()
        monkeypatch.undo()
        assert home.asked("RequestToken") == 2


async def test_credentials_that_stay_refused_are_a_state_without_requests() -> None:
    async with house(1, expires_in_s=-1) as home:
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                await home.media()
        assert home.asked("SearchCalls") == 2
        assert home.source.statistics().credentials is CredentialState.REFUSED


@pytest.mark.parametrize(
    ("options", "twin"),
    [
        ({"password": "wrong-password"}, {}),
        ({"api_key": "wrong-key"}, {}),
        ({"username": None, "password": None}, {}),
    ],
    ids=["password", "key", "no login where one is needed"],
)
async def test_wrong_credentials_are_refused_without_being_shown(
    options: dict[str, Any], twin: dict[str, Any]
) -> None:
    async with house(1, options=options, **twin) as home:
        with pytest.raises(CredentialsRefused) as caught:
            await home.media()
        assert "wrong" not in str(caught.value)


async def test_a_login_by_form_keeps_the_password_out_of_the_address() -> None:
    async with house(1, basic_login=False) as home:
        assert len(await home.media()) == 1
        assert home.asked("RequestToken", "POST") == 1
        assert all(PASSWORD not in request.query for request in home.server.requests)
        home.server.service.expire()
        await home.media()
        assert home.asked("RequestToken", "GET") == 1, "the way that worked is kept"


async def test_a_key_that_needs_no_login_asks_for_none() -> None:
    options = {"username": None, "password": None}
    async with house(2, options=options, auth_required=False) as home:
        assert len(await home.media()) == 2
        assert home.asked("RequestToken") == 0
        assert all("token" not in request.query for request in home.server.requests)


async def test_no_cookie_is_needed_or_sent() -> None:
    async with house(1) as home:
        media = (await home.media())[0]
        await home.read(media)
        assert home.twin.options.cookie


# --- redirects


async def test_key_and_token_never_reach_another_origin() -> None:
    async with house(2, redirect=True, ranges=True) as home:
        media = (await home.media())[0]
        assert await home.read(media, Span(5, 9)) == read_all(home.world[1].body)[5:9]
        stored = [request for request in home.server.requests if request.origin == "storage"]
        assert len(stored) == 1
        assert home.server.leaks(*home.twin._tokens) == []
        assert "apiKey" not in stored[0].query
        assert not {"authorization", "cookie"} & stored[0].headers.keys()


async def test_a_listing_that_is_redirected_takes_no_key_along() -> None:
    async with house(1) as home:
        await home.media()
        home.fault(Kind.REDIRECT)
        with pytest.raises(MediafsError) as caught:
            await home.media()
        assert KEY not in str(caught.value)
        stored = [request for request in home.server.requests if request.origin == "storage"]
        assert len(stored) == 1
        assert stored[0].query == ""
        assert home.server.leaks(*home.twin._tokens) == []


async def test_a_change_is_never_redirected() -> None:
    async with house(1) as home:
        (media,) = await home.media()
        home.fault(Kind.REDIRECT, method="POST")
        with pytest.raises(InvalidReply):
            await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)
        assert home.world.get(1) is not None
        assert not [request for request in home.server.requests if request.origin == "storage"]


# --- trouble


@pytest.mark.parametrize("form", ["reset-seconds", "reset-unix", "retry-seconds", "retry-date", "retry-iso"])
async def test_a_429_is_waited_out_in_every_form(form: WaitForm) -> None:
    async with house(1) as home:
        await home.media()
        home.fault(Kind.STATUS, status=429, wait_s=0.2, wait_form=form)
        with trio.fail_after(10):
            assert len(await home.media()) == 1


async def test_a_failing_service_is_asked_again_and_then_unavailable() -> None:
    async with house(1) as home:
        (media,) = await home.media()
        home.fault(Kind.STATUS, status=503)
        assert len(await home.media()) == 1
        body = '<VerbaApi><Response code="-1"/><ErrorMessage>Unexpected</ErrorMessage></VerbaApi>'
        home.fault(Kind.STATUS, status=200, body=body, headers={"Content-Type": "text/xml"})
        assert await home.read(media) == read_all(home.world[1].body), "-1 may pass"
        home.fault(Kind.STATUS, status=503, times=None)
        with pytest.raises(Unavailable):
            await home.media()


async def test_a_403_of_a_gateway_is_denied() -> None:
    async with house(1) as home:
        await home.media()
        home.fault(Kind.STATUS, status=403, body="", times=None)
        with pytest.raises(Denied):
            await home.media()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html><body>Sign in</body></html>",
        "<verbacdrlist><verbacdr>",
        '<!DOCTYPE a [<!ENTITY b "&#97;">]><verbacdrlist>&b;</verbacdrlist>',
        "<verbacdrlist><verbacdr/></verbacdrlist>",
        '{"total": 0, "data": []}',
    ],
)
async def test_a_hostile_listing_is_an_invalid_reply(body: str) -> None:
    async with house(1) as home:
        await home.media()
        home.fault(Kind.STATUS, status=200, body=body, headers={"Content-Type": "text/xml"}, times=None)
        with pytest.raises(InvalidReply, match=r"^verba: list"):
            await home.media()


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.HUGE_JSON])
async def test_a_listing_that_breaks_off_or_never_ends_is_refused(kind: Kind) -> None:
    async with house(1) as home:
        await home.media()
        home.fault(kind, after_bytes=33 * 2**20 if kind is Kind.HUGE_JSON else 50, times=None)
        with pytest.raises((InvalidReply, Unavailable)):
            await home.media()


async def test_a_recording_that_breaks_off_is_not_taken_for_the_whole() -> None:
    async with house(1) as home:
        (media,) = await home.media()
        home.fault(Kind.CUT, after_bytes=50)
        with pytest.raises(Unavailable):
            await home.read(media)


async def test_at_most_two_requests_are_under_way() -> None:
    async with house(2, kind=Verba, latency_s=0.05) as home:
        question = Question(since=START, until=START + timedelta(hours=1))

        async def look() -> None:
            await home.source.page(question, urgency=PERSON)

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(look)
        assert home.server.peak_in_flight == 2


# --- changes


@pytest.mark.parametrize(
    "twin", [{}, {"metadata_as": "fields"}, {"attach_action": "AttachMetadata"}], ids=str
)
async def test_a_metadata_field_is_set_and_read_back(twin: dict[str, Any]) -> None:
    async with house(1, **twin) as home:
        (media,) = await home.media()
        assert dict(media.extra)["subject"] == "Title 0"
        value = "T-7 & <ü> 李\nx"
        edited = await home.source.update(media, {"ticket": value}, urgency=PERSON)
        assert edited.refused is None
        assert edited.media is not None
        assert dict(edited.media.extra)["ticket"] == value
        assert edited.media.filename == media.filename
        assert (await home.media())[0] == edited.media
        assert home.twin.carried_out["attach"] == 1
        assert all("T-7" not in request.query for request in home.server.requests)
        edited = await home.source.update(media, {"ticket": None}, urgency=PERSON)
        assert edited.refused is None


async def test_a_value_that_the_service_does_not_keep_is_said_to_be_refused() -> None:
    async with house(1, keeps_metadata=False) as home:
        (media,) = await home.media()
        edited = await home.source.update(media, {"ticket": "7"}, urgency=PERSON)
        assert edited.refused


async def test_edits_that_are_refused_have_their_error() -> None:
    options = {"metadata_fields": ("unknown", "ticket")}
    async with house(2, options=options, forbidden_updates=frozenset({2}), refusal_code=-10) as home:
        first, second = await home.media()
        with pytest.raises(ValueRefused):
            await home.source.update(first, {"unknown": "7"}, urgency=PERSON)
        with pytest.raises(Denied):
            await home.source.update(second, {"ticket": "7"}, urgency=PERSON)
        with pytest.raises(Unsupported):
            await home.source.update(first, {"title": "7"}, urgency=PERSON)
        home.world.remove(1)
        with pytest.raises(NotFound):
            await home.source.update(first, {"ticket": "7"}, urgency=PERSON)
    assert home.twin.carried_out["attach"] == 0


async def test_a_call_is_deleted_by_one_post() -> None:
    async with house(2) as home:
        media = (await home.media())[0]
        erased = await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)
        assert erased.carried_out
        assert (home.asked("DeleteCall", "POST"), home.asked("DeleteCall")) == (1, 1)
        assert [m.id for m in await home.media()] == [call_id(2)]
        again = await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)
        assert not again.carried_out
        with pytest.raises(Unsupported):
            await home.source.recover(media, urgency=PERSON)


async def test_a_call_under_legal_hold_is_refused_by_policy() -> None:
    async with house(1, forbidden_deletes=frozenset({1})) as home:
        (media,) = await home.media()
        with pytest.raises(Forbidden, match="legal hold"):
            await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)
        assert home.world.get(1) is not None


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.REFUSE, Kind.RESET, Kind.EMPTY, Kind.HTML])
async def test_a_deletion_whose_answer_is_lost_is_not_sent_again(kind: Kind) -> None:
    async with house(1) as home:
        (media,) = await home.media()
        home.fault(kind, method="POST")
        with pytest.raises((Unavailable, InvalidReply)):
            await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)
        assert home.asked("DeleteCall") == 1


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_deletion_that_the_service_fails_at_is_not_sent_again(status: int) -> None:
    async with house(1) as home:
        (media,) = await home.media()
        home.fault(Kind.STATUS, status=status, method="POST")
        with pytest.raises(MediafsError):
            await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)
        assert home.asked("DeleteCall") == 1
        assert home.world.get(1) is not None


async def test_a_deletion_refused_for_an_old_token_was_not_carried_out_and_goes_on_with_a_new_one() -> None:
    async with house(1) as home:
        (media,) = await home.media()
        home.server.service.expire()
        assert (await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)).carried_out
        assert home.twin.carried_out["delete"] == 1


async def test_reading_and_listing_delete_nothing() -> None:
    async with house(2) as home:
        for media in await home.media():
            await home.read(media)
        assert home.asked("DeleteCall") == 0
        assert all(request.method == "GET" for request in home.server.requests)
