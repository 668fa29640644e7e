"""An account of Zoom's over sockets, against the twin."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import trio

from mediafs.errors import (
    Changed,
    CredentialsRefused,
    Denied,
    Incomplete,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    Unavailable,
    Unsupported,
)
from mediafs.model import (
    AccountName,
    Conversation,
    ConversationId,
    Media,
    Question,
    Removal,
    Span,
    Trash,
    Urgency,
)
from mediafs.reading.checks import accept
from mediafs.remote import CredentialState, RemoteAccount, RemoteOptions
from mediafs.remote.retry import RetryOptions
from mediafs.sandbox import Fault, Kind, Server, World, serve
from mediafs.sandbox import Media as Truth
from mediafs.sandbox.media import BytesBody, read_all
from mediafs.sandbox.wire import WaitForm
from mediafs.sandbox.zoom_options import ZoomOptions as TwinOptions
from mediafs.sandbox.zoom_records import file_id, session_id
from mediafs.sync.crawl import Position, advance
from mediafs.vendors.protocol import Pace
from mediafs.vendors.zoom import Zoom, ZoomOptions

PERSON = Urgency.PERSON
NOW = datetime(2024, 5, 17, 10, tzinfo=UTC)
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
LIST = "/v2/videosdk/recordings"


class Unhurried(Zoom):
    """At the vendor's own pace these tests would take a minute."""

    @property
    def pace(self) -> Pace | None:
        return Pace(per_second=1000, parallel=8)


@dataclass
class Account:
    source: RemoteAccount
    server: Server
    twin: TwinOptions

    def set(self, **changes: object) -> None:
        self.server.options = self.server.options.patched(changes)
        assert isinstance(self.server.options, TwinOptions)
        self.twin = self.server.options

    def fault(self, kind: Kind, path: str, **more: Any) -> None:
        self.server.faults.add([Fault(kind=kind, path=path, **more)])

    def id_of(self, truth: Truth) -> str:
        """What the ids of this one media of the world begin with."""
        return f"{session_id(truth)}:{file_id(truth, self.twin)}:"

    async def media(self, truth: Truth) -> Media:
        """The record of a media of the world, out of its session."""
        scope = Conversation(ConversationId(session_id(truth)))
        page = await self.source.page(Question(scope=scope), urgency=PERSON)
        (found,) = [each for each in page.media if each.id.startswith(self.id_of(truth))]
        return found

    async def everything(self, **question: Any) -> list[Media]:
        asked = Question(**({"since": SINCE} | question))
        found: list[Media] = []
        while True:
            page = await self.source.page(asked, urgency=PERSON)
            found += page.media
            if page.next is None:
                return found
            asked = replace(asked, cursor=page.next)

    async def trash(self) -> list[Media]:
        return list((await self.source.page(Question(scope=Trash()), urgency=PERSON)).media)

    async def read(self, media: Media, span: Span | None = None) -> bytes:
        async with self.source.body(media, span or Span(0), urgency=PERSON) as body:
            return b"".join([chunk async for chunk in body.chunks])

    def asked(self, path: str = "", method: str = "GET") -> list[Any]:
        return [each for each in self.server.requests if path in each.path and each.method == method]


@asynccontextmanager
async def account(
    world: World, *, vendor: dict[str, Any] | None = None, today: bool = False, **options: Any
) -> AsyncIterator[Account]:
    """An account whose clock, and the service's, began at NOW when the test did; or is the true one."""
    behind_s = 0.0 if today else time.time() - NOW.timestamp()

    def clock() -> float:
        return time.time() - behind_s

    twin = TwinOptions(**options)
    async with serve(world, twin, vendor="zoom", clock=clock) as server:
        made = Unhurried(
            ZoomOptions(
                base_url=f"{server.url}/v2",
                **({"api_key": twin.api_key, "api_secret": twin.api_secret} | (vendor or {})),
            )
        )
        remote = RemoteOptions(retry=RetryOptions(first_wait_s=0.01, longest_wait_s=0.05))
        async with RemoteAccount(AccountName("zoom"), made, remote, wall=clock, jitter=lambda: 0.5) as source:
            yield Account(source, server, twin)


def small_world() -> World:
    """Recordings of three months, several in a session, one of them not finished."""
    world = World.generate(0, seed=1)
    for number in range(24):
        world.add(
            created=datetime(2024, 3, 1, 10, tzinfo=UTC) + number * 3 * DAY + number % 3 * SECOND,
            conversation=f"room {number % 4}",
            media_type="video",
            size=3000 + number,
        )
    world.add(created=datetime(2024, 4, 1, tzinfo=UTC), status="in_progress", size=5, media_type="video")
    return world


@pytest.fixture
def world() -> World:
    return small_world()


def finished(world: World) -> list[Truth]:
    return [each for each in world if each.completed]


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level("DEBUG")
    yield
    for secret in (TwinOptions().api_secret, "Bearer ey", "access_token", "signature="):
        assert secret not in caplog.text


# --- listings


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"envelope": False},
        {"echo": False},
        {"to_included": False},
        {"filter_by": "recording"},
        {"filter_by": "recording", "to_included": False},
        {"session_lead_days": 2},
        {"session_lead_days": 1, "to_included": False},
        {"max_page_size": 2},
        {"max_page_size": 30, "over_size": "refuse"},
        {"over_long": "refuse"},
        {"repeated_entries": True},
        {"extensions": False},
        {"redirect": False, "rate_limit": 1000},
    ],
)
async def test_everything_is_listed_once_and_in_order(
    world: World, options: dict[str, Any], newest_first: bool
) -> None:
    async with account(world, **options) as zoom:
        found = await zoom.everything(newest_first=newest_first)
        assert len({each.id for each in found}) == len(found) == len({each.filename for each in found})
        assert sorted(each.id.rsplit(":", 2)[0] + ":" for each in found) == sorted(
            zoom.id_of(each) for each in finished(world)
        )
        created = [each.created for each in found]
        assert created == sorted(created, reverse=newest_first)


async def test_the_whole_history_is_walked_when_no_beginning_is_known(world: World) -> None:
    world.add(created=datetime(2020, 1, 1, tzinfo=UTC), size=7, media_type="video")
    async with account(world) as zoom:
        found = await zoom.everything(since=None)
        assert len(found) == len(finished(world))
        asked = [parse_qs(each.query) for each in zoom.asked(LIST)]
        assert all(_days(each) <= 28 for each in asked)


def _days(query: dict[str, list[str]]) -> int:
    first, last = (datetime.fromisoformat(query[name][0]) for name in ("from", "to"))
    return (last - first).days + 1


async def test_an_over_long_range_that_is_cut_without_a_word_is_found_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked for that is longer; were it, the echo would show where the answer really ended."""
    monkeypatch.setattr("mediafs.vendors._zoom_windows.LONGEST", 90)
    async with account(world) as zoom:
        assert len(await zoom.everything()) == len(finished(world))
    async with account(world, echo=False) as zoom:  # this is what the echo is looked at for
        assert len(await zoom.everything()) < len(finished(world))


async def test_page_tokens_that_expire_restart_their_window(world: World) -> None:
    async with account(world, max_page_size=2) as zoom:
        # The third page of the first window that has any comes too late, once.
        body = '{"code":300,"message":"The next page token is invalid or expired."}'
        zoom.fault(Kind.STATUS, LIST, status=400, body=body, skip=4)
        found = await zoom.everything(since=datetime(2024, 3, 1, tzinfo=UTC))
        assert len(found) == len(finished(world))
    async with account(world, max_page_size=2, token_ttl_s=-1) as zoom:
        with pytest.raises(Incomplete):
            await zoom.everything(since=datetime(2024, 3, 1, tzinfo=UTC))


async def test_a_total_that_is_not_reached_is_an_incomplete_listing(world: World) -> None:
    async with account(world, total_off_by=50) as zoom:
        with pytest.raises(Incomplete, match="add up"):
            await zoom.everything()


async def test_empty_months_are_pages_without_media_and_not_a_request_each_for_the_caller() -> None:
    world = World.generate(0, seed=1)
    world.add(created=NOW - DAY, size=9, media_type="video")
    async with account(world) as zoom:
        page = await zoom.source.page(Question(since=NOW - 700 * DAY), urgency=PERSON)
        assert (page.media, page.next is not None, len(zoom.asked(LIST))) == ((), True, 6)
        assert len(await zoom.everything(since=NOW - 700 * DAY)) == 1


# --- the crawl of sync


async def crawled(zoom: Account, since: datetime | None) -> list[Media]:
    """What `sync` finds, page after page, by its own rule of how to go on."""
    position: Position | None = Position(since=since)
    found: dict[str, Media] = {}
    for _ in range(200):
        assert position is not None
        question = Question(since=position.since, cursor=position.cursor)
        page = await zoom.source.page(question, urgency=PERSON)
        found.update((each.id, each) for each in page.media)
        position = advance(position, page)
        if position is None:
            return list(found.values())
    raise AssertionError("the crawl does not end")


@pytest.mark.parametrize(
    "options", [{}, {"max_page_size": 3}, {"session_lead_days": 2}, {"filter_by": "recording"}]
)
async def test_the_crawl_of_sync_makes_progress_ends_and_finds_everything(options: dict[str, Any]) -> None:
    world = World.generate(0, seed=1)
    at = datetime(2022, 11, 5, 9, tzinfo=UTC)
    for number in range(40):  # many in one second, and again at the end of the window after
        world.add(created=at, conversation=f"a{number}", size=10 + number, media_type="video")
        world.add(created=at + 24 * DAY, conversation=f"b{number}", size=10 + number, media_type="video")
    for number in range(10):  # after empty months
        world.add(created=at + 400 * DAY + number * DAY, size=90 + number, media_type="video")
    world.add(created=NOW, size=5, media_type="video")
    async with account(world, **options) as zoom:
        found = await crawled(zoom, at - 100 * DAY)
        assert len(found) == len(world) == 91
        assert len(zoom.asked(LIST)) < 200
        # From the second in which many began.
        assert len(await crawled(zoom, at)) == 91
        # And from the last one there is.
        assert len(await crawled(zoom, NOW)) == 1


async def test_the_crawl_of_sync_finds_recordings_of_sessions_that_began_days_before() -> None:
    world = World.generate(0, seed=1)
    for number in range(30):
        world.add(
            created=NOW - 100 * DAY + number * 3 * DAY, size=9, media_type="video", conversation=f"c{number}"
        )
    async with account(world, session_lead_days=8) as zoom:
        found = await crawled(zoom, NOW - 130 * DAY)
        assert len(found) == 30
        assert zoom.source.learnt["reach"] == [8, 1]


# --- sessions


@pytest.mark.parametrize("encoding", ["documented", "once", "twice"])
@pytest.mark.parametrize(
    "id_",
    [
        "KkMHZ4y8QhSUWAHi5sWvfg==",
        "sfk/aOFJSJSYhGwk1hnxgw==",
        "a+b/cdEFGHijklMNOPqr==",
        "/abcdEFGHijklMNOPqrst==",
        "/abcdEFGH//ijklMNOPqrstu==",
    ],
)
async def test_a_session_is_found_however_its_id_is_to_be_encoded(encoding: str, id_: str) -> None:
    world = World.generate(0, seed=1)
    truth = world.add(created=NOW - DAY, conversation=id_, size=100, media_type="video")
    async with account(world, encoding=encoding) as zoom:
        (listed,) = await zoom.everything()
        assert listed.conversation == id_
        assert await zoom.source.media(listed, urgency=PERSON) == listed
        assert await zoom.media(truth) == listed
        assert (await zoom.source.erase(listed, Removal.TRASH, urgency=PERSON)).carried_out
        assert await zoom.everything() == []
        (trashed,) = await zoom.trash()
        await zoom.source.recover(trashed, urgency=PERSON)
        assert await zoom.everything() == [listed]


async def test_participants_files_are_in_their_session_only(world: World) -> None:
    at = NOW - DAY
    world.add(created=at, conversation="call", media_type="video", size=10)
    own = world.add(created=at, conversation="call", media_type="audio", source_type="recording", size=11)
    async with account(world, participant_files=True) as zoom:
        scope = Conversation(ConversationId(session_id(own)))
        page = await zoom.source.page(Question(scope=scope), urgency=PERSON)
        assert sorted(each.size or 0 for each in page.media) == [10, 11]
        assert len(await zoom.everything(since=at - DAY)) == 1
        listed = await zoom.media(own)
        assert listed.title == f"Audio only - {own.owner.name}"
        assert await zoom.read(listed) == read_all(own.body)
        assert (await zoom.source.erase(listed, Removal.PERMANENT, urgency=PERSON)).carried_out


async def test_a_session_that_is_not_there_is_not_found(world: World) -> None:
    async with account(world) as zoom:
        scope = Conversation(ConversationId("abcdEFGHijklMNOPqrstu1=="))
        with pytest.raises(NotFound):
            await zoom.source.page(Question(scope=scope), urgency=PERSON)


# --- bytes


@pytest.mark.parametrize("redirect", [True, False])
@pytest.mark.parametrize("span", [Span(0), Span(100), Span(10, 300)])
async def test_a_recording_is_read_and_its_storage_gets_no_credential(
    world: World, span: Span, redirect: bool
) -> None:
    truth = finished(world)[3]
    async with account(world, redirect=redirect) as zoom:
        media = await zoom.media(truth)
        assert await zoom.read(media, span) == read_all(truth.body)[span.start : span.stop]
        storage = [each for each in zoom.server.requests if each.origin == "storage"]
        assert len(storage) == (1 if redirect else 0)
        assert zoom.server.leaks() == []
        assert all("authorization" not in each.headers for each in storage)
        assert all("access_token" not in each.query for each in zoom.server.requests)


async def test_the_token_may_also_travel_in_the_query_of_the_first_hop(world: World) -> None:
    async with account(world, vendor={"token_in_query": True}, download_token="query") as zoom:
        truth = finished(world)[0]
        assert await zoom.read(await zoom.media(truth)) == read_all(truth.body)
        (first,) = zoom.asked("/rec/download/")
        assert "access_token=ey" in first.query
        assert zoom.server.leaks(parse_qs(first.query)["access_token"][0]) == []
        assert all("access_token" not in each.query for each in zoom.asked("videosdk"))


async def test_a_page_in_place_of_a_recording_renews_the_token_once_and_condemns_only_this_recording(
    world: World,
) -> None:
    first, second = finished(world)[:2]
    async with account(world, forbidden_downloads=frozenset({first.id})) as zoom:
        media, other = await zoom.media(first), await zoom.media(second)
        with pytest.raises(Denied, match="web page") as caught:
            await zoom.read(media)
        assert not isinstance(caught.value, CredentialsRefused)
        assert len(zoom.asked("/rec/download/")) == 2
        assert zoom.source.statistics().credentials is CredentialState.GOOD
        assert await zoom.read(other) == read_all(second.body)


@pytest.mark.parametrize("failed_auth", ["page", "401"])
async def test_a_token_that_ran_out_is_renewed_by_a_download(world: World, failed_auth: str) -> None:
    truth = finished(world)[0]
    async with account(world, failed_auth=failed_auth) as zoom:
        media = await zoom.media(truth)
        zoom.server.service.expire()
        assert await zoom.read(media) == read_all(truth.body)
        assert [each.status for each in zoom.asked("/rec/download/")][1] == 302


@pytest.mark.parametrize("kind", [Kind.HTML, Kind.JSON])
async def test_a_page_of_the_storage_is_never_a_recording(world: World, kind: Kind) -> None:
    async with account(world) as zoom:
        media = await zoom.media(finished(world)[0])
        zoom.fault(kind, "/stored/*", times=None)
        with pytest.raises((Denied, InvalidReply)):
            await zoom.read(media)
        assert zoom.source.statistics().credentials is CredentialState.GOOD


@pytest.mark.parametrize("status", [401, 403, 410])
async def test_a_signed_link_that_expired_is_resolved_again(world: World, status: int) -> None:
    truth = finished(world)[0]
    async with account(world) as zoom:
        media = await zoom.media(truth)
        zoom.fault(Kind.STATUS, "/stored/*", status=status)
        assert await zoom.read(media, Span(5)) == read_all(truth.body)[5:]
        assert len(zoom.asked("/rec/download/")) == 2
        assert zoom.server.leaks() == []


async def test_every_read_resolves_the_address_anew_so_that_no_link_grows_old(world: World) -> None:
    truth = finished(world)[0]
    async with account(world, redirect_ttl_s=0.2) as zoom:
        media = await zoom.media(truth)
        await zoom.read(media, Span(0, 10))
        await trio.sleep(0.3)
        assert await zoom.read(media, Span(10)) == read_all(truth.body)[10:]


async def test_a_recording_of_another_host_is_not_asked_for(world: World) -> None:
    async with account(world) as zoom:
        media = replace(await zoom.media(finished(world)[0]), locator=f"{zoom.server.storage_url}/stored/1/x")
        zoom.server.reset_counts()
        with pytest.raises(InvalidReply, match="download_hosts"):
            await zoom.read(media)
        assert not zoom.server.requests


async def test_a_recording_that_is_json_is_read_and_an_error_in_its_place_is_not(world: World) -> None:
    timeline = b'{"timeline": [{"ts": "00:00:01", "users": []}]}'
    body = BytesBody(data=timeline, content_type="application/json")
    truth = world.add(created=NOW - DAY, filename="timeline.json", body=body)
    async with account(world) as zoom:
        media = await zoom.media(truth)
        assert await zoom.read(media) == timeline
        zoom.fault(Kind.JSON, "/rec/download/*", body='{"code": 300, "message": "no"}')
        with pytest.raises(InvalidReply, match="code 300"):
            await zoom.read(media)
        zoom.fault(Kind.JSON, "/rec/download/*", body='{"code": 200, "message": "no permission"}')
        with pytest.raises(Denied, match="no permission"):
            await zoom.read(media)


@pytest.mark.parametrize("kind", [Kind.SHORT, Kind.LONG])
async def test_a_body_of_another_length_than_the_record_says_is_told_by_its_head(
    world: World, kind: Kind
) -> None:
    async with account(world) as zoom:
        media = await zoom.media(finished(world)[0])
        zoom.fault(kind, "/stored/*")
        async with zoom.source.body(media, Span(0), urgency=PERSON) as body:
            with pytest.raises(InvalidReply, match="where the record says"):
                accept(body, Span(0), media=media, size=media.size, known=None, if_range=None)


# --- credentials, permissions, limits


async def test_a_token_that_ran_out_costs_one_more_request(world: World) -> None:
    async with account(world) as zoom:
        await zoom.everything()
        zoom.server.service.expire()
        before = len(zoom.asked(LIST))
        page = await zoom.source.page(Question(limit=1), urgency=PERSON)
        assert page.next is not None
        assert [each.status for each in zoom.asked(LIST)][before:] == [401, 200]


async def test_a_wrong_secret_is_refused_once_and_for_all(world: World) -> None:
    async with account(world, vendor={"api_secret": "not-the-secret-of-this-account-at-all"}) as zoom:
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                await zoom.everything()
        assert len(zoom.server.requests) == 2
        assert zoom.source.statistics().credentials is CredentialState.REFUSED


async def test_a_token_that_is_refused_with_200_or_400_is_renewed_as_well(world: World) -> None:
    text = '{"code":124,"message":"Invalid access token."}'
    async with account(world) as zoom:
        for status in (200, 400):
            zoom.fault(Kind.STATUS, LIST, status=status, body=text)
            assert len(await zoom.everything()) == len(finished(world))


@pytest.mark.parametrize("status", [403, 200, 400])
async def test_no_permission_is_denied_however_it_is_worded(world: World, status: int) -> None:
    async with account(world) as zoom:
        text = '{"code":200,"message":"No permission."}'
        zoom.fault(Kind.STATUS, LIST, status=status, body=text, times=None)
        with pytest.raises(Denied, match="No permission"):
            await zoom.everything()
        assert zoom.source.statistics().credentials is CredentialState.GOOD


@pytest.mark.parametrize(
    "form", ["reset-seconds", "retry-seconds", "retry-date", "retry-iso", "reset-unix", "none"]
)
async def test_a_429_is_waited_for_in_every_form(world: World, form: WaitForm) -> None:
    async with account(world, today=True) as zoom:
        headers = {"X-RateLimit-Type": "QPS"} if form == "none" else {}
        zoom.fault(Kind.STATUS, LIST, status=429, wait_s=0.2, wait_form=form, headers=headers)
        started = trio.current_time()
        await zoom.source.page(Question(limit=1), urgency=PERSON)
        assert [each.status for each in zoom.asked(LIST)] == [429, 200]
        assert 0.1 < trio.current_time() - started < 4


async def test_a_429_in_a_code_is_waited_for(world: World) -> None:
    async with account(world) as zoom:
        zoom.fault(Kind.JSON, LIST, body='{"code":429,"message":"slow down"}', times=2)
        await zoom.source.page(Question(limit=1), urgency=PERSON)
        assert len(zoom.asked(LIST)) == 3
        zoom.fault(Kind.JSON, LIST, body='{"code":429,"message":"slow down"}', times=None)
        with pytest.raises(Late):
            await zoom.source.page(Question(limit=1), urgency=PERSON)


async def test_a_daily_limit_is_told_at_once(world: World) -> None:
    async with account(world, today=True) as zoom:
        day = {"wait_s": 7200, "wait_form": "retry-iso", "headers": {"X-RateLimit-Type": "Daily-limit"}}
        zoom.fault(Kind.STATUS, LIST, status=429, times=None, **day)
        with trio.fail_after(15), pytest.raises(Late):
            await zoom.source.page(Question(limit=1), urgency=PERSON)
        assert len(zoom.asked(LIST)) == 1


async def test_the_counts_of_a_second_do_not_slow_anything_down(world: World) -> None:
    async with account(world, rate_limit=40) as zoom:
        with trio.fail_after(8):
            for _ in range(3):
                await zoom.everything()
        assert {each.status for each in zoom.asked(LIST)} == {200}


# --- taking away and back


@pytest.mark.parametrize("refusal", ["200", "403"])
async def test_a_deletion_that_is_not_permitted_is_denied_and_nothing_is_gone(
    world: World, refusal: str
) -> None:
    truth = finished(world)[0]
    async with account(world, forbidden_deletes=frozenset({truth.id}), refusal=refusal) as zoom:
        media = await zoom.media(truth)
        for removal in Removal:
            with pytest.raises(Denied, match="No permission"):
                await zoom.source.erase(media, removal, urgency=PERSON)
        assert await zoom.media(truth) == media


async def test_to_the_trash_and_back(world: World) -> None:
    truth = finished(world)[2]
    async with account(world) as zoom:
        media = await zoom.media(truth)
        outcome = await zoom.source.erase(media, Removal.TRASH, urgency=PERSON)
        assert (outcome.answer, outcome.carried_out) == ("DELETE action=trash 204", True)
        assert truth.id in [each.id for each in world]
        (trashed,) = await zoom.trash()
        assert (trashed.id, trashed.filename, trashed.status) == (media.id, media.filename, "trashed")
        assert dict(trashed.extra)["deleted"].startswith("2024-05-17")
        with pytest.raises(Changed):
            await zoom.source.media(media, urgency=PERSON)
        assert await zoom.source.media(trashed, urgency=PERSON) == trashed
        again = await zoom.source.erase(media, Removal.TRASH, urgency=PERSON)
        assert again.carried_out is False
        assert await zoom.source.recover(trashed, urgency=PERSON) == media
        assert await zoom.trash() == []
        assert await zoom.media(truth) == media
        assert await zoom.source.recover(trashed, urgency=PERSON) == media, "it is out of it already"
        await zoom.source.erase(media, Removal.PERMANENT, urgency=PERSON)
        with pytest.raises(NotFound):
            await zoom.source.recover(trashed, urgency=PERSON)


async def test_a_deletion_whose_answer_got_lost_counts_as_carried_out(world: World) -> None:
    async with account(world) as zoom:
        for truth, removal in zip(finished(world)[2:4], Removal, strict=True):
            media = await zoom.media(truth)
            zoom.fault(Kind.LOST, "/v2/videosdk/sessions", method="DELETE")
            outcome = await zoom.source.erase(media, removal, urgency=PERSON)
            assert outcome.carried_out, outcome
            assert "404 after a try without an answer" in outcome.answer


async def test_what_is_deleted_in_the_trash_is_gone_for_good(world: World) -> None:
    truth = finished(world)[2]
    async with account(world) as zoom:
        media = await zoom.media(truth)
        await zoom.source.erase(media, Removal.TRASH, urgency=PERSON)
        (trashed,) = await zoom.trash()
        outcome = await zoom.source.erase(trashed, Removal.PERMANENT, urgency=PERSON)
        assert (outcome.answer, outcome.carried_out) == ("DELETE action=delete 204", True)
        assert await zoom.trash() == []
        assert world.get(truth.id) is None
        again = await zoom.source.erase(trashed, Removal.PERMANENT, urgency=PERSON)
        assert again.carried_out is False
        for gone in (media, trashed):
            with pytest.raises(NotFound):
                await zoom.source.media(gone, urgency=PERSON)


async def test_a_gateway_that_says_404_to_deletions_is_not_believed(world: World) -> None:
    truth = finished(world)[0]
    async with account(world) as zoom:
        media = await zoom.media(truth)
        zoom.fault(Kind.STATUS, "/v2/videosdk/sessions/*", method="DELETE", status=404, times=None)
        for removal in Removal:
            with pytest.raises(InvalidReply, match="lists it all the same"):
                await zoom.source.erase(media, removal, urgency=PERSON)


async def test_recordings_that_share_an_id_are_told_apart_and_never_deleted() -> None:
    world = World.generate(0, seed=1)
    for seconds in range(3):
        world.add(
            created=NOW - DAY + seconds * SECOND, conversation="one", size=10 + seconds, media_type="video"
        )
    async with account(world, shared_ids=True) as zoom:
        found = await zoom.everything()
        assert [each.size for each in found] == [10, 11, 12]
        assert [await zoom.read(each) for each in found] == [read_all(each.body) for each in world]
        for media in found:
            with pytest.raises(Unsupported):
                await zoom.source.erase(media, Removal.TRASH, urgency=PERSON)
        assert len(await zoom.everything()) == 3
        assert not zoom.asked(method="DELETE")


async def test_an_edit_is_not_supported_and_sends_nothing(world: World) -> None:
    async with account(world) as zoom:
        media = await zoom.media(finished(world)[0])
        zoom.server.reset_counts()
        with pytest.raises(Unsupported):
            await zoom.source.update(media, {"title": "x"}, urgency=PERSON)
        assert not zoom.server.requests


# --- trouble


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.HTML, InvalidReply),
        (Kind.BAD_JSON, InvalidReply),
        (Kind.DEEP_JSON, InvalidReply),
        (Kind.EMPTY, InvalidReply),
        (Kind.HUGE_JSON, InvalidReply),
        (Kind.STATUS, Unavailable),
        (Kind.REFUSE, Unavailable),
        (Kind.CUT, Unavailable),
        (Kind.REDIRECT_LOOP, InvalidReply),
    ],
)
async def test_a_hostile_reply_is_an_explained_error(
    world: World, kind: Kind, error: type[MediafsError]
) -> None:
    async with account(world) as zoom:
        media = await zoom.media(finished(world)[0])
        zoom.fault(
            kind, "/v2/videosdk/*", times=None, after_bytes=20_000_000 if kind is Kind.HUGE_JSON else None
        )
        with pytest.raises(error) as caught:
            await zoom.everything()
        assert "from=" not in str(caught.value)
        with pytest.raises(MediafsError):
            await zoom.source.media(media, urgency=PERSON)
        zoom.server.faults.clear()
        assert len(await zoom.everything()) == len(finished(world))


async def test_a_listing_that_is_sent_elsewhere_takes_no_credential_along(world: World) -> None:
    async with account(world) as zoom:
        zoom.fault(Kind.REDIRECT, LIST, times=None)
        with pytest.raises(MediafsError):
            await zoom.everything()
        assert zoom.server.leaks() == []


async def test_no_repr_shows_a_secret(world: World) -> None:
    async with account(world) as zoom:
        media = await zoom.media(finished(world)[0])
        shown = repr(zoom.source) + repr(vars(zoom.source)) + repr(media) + repr(zoom.source.statistics())
        for secret in (zoom.twin.api_secret, zoom.twin.api_key, "/rec/download/"):
            assert secret not in shown + media.record
