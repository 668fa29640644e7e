"""An account of Vonage over real sockets, against its twin."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

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
    AccountName,
    Conversation,
    ConversationId,
    Media,
    MediaId,
    Page,
    Question,
    Removal,
    Span,
    Urgency,
)
from mediafs.remote import RemoteAccount, RemoteOptions, RetryOptions, TransportOptions
from mediafs.sandbox import Fault, Kind, Server, World, serve
from mediafs.sandbox import Media as Stored
from mediafs.sandbox.media import read_all
from mediafs.sandbox.vonage import Vonage as Twin
from mediafs.sandbox.vonage_options import VonageOptions as TwinOptions
from mediafs.sync.crawl import Position, advance
from mediafs.vendors.protocol import Pace
from mediafs.vendors.vonage import Vonage, VonageOptions

PERSON = Urgency.PERSON
WHOLE = Span(0)
QUICK = RetryOptions(first_wait_s=0.01, longest_wait_s=0.02)
OLDEST = datetime(2018, 3, 1, 10, tzinfo=UTC)
MEDIA = "/v3/media"


class Hasty(Vonage):
    """Without the vendor's pace, which only one test is about."""

    @property
    def pace(self) -> Pace | None:
        return None


@dataclass
class House:
    """An account, its service, and what is stored there, oldest first."""

    source: RemoteAccount
    server: Server
    stored: list[Stored]

    @property
    def twin(self) -> Twin:
        assert isinstance(self.server.service, Twin)
        return self.server.service

    def id_of(self, stored: Stored) -> MediaId:
        return MediaId(self.twin.id_of(stored))

    @property
    def ids(self) -> list[str]:
        return [self.id_of(media) for media in self.stored]

    def set(self, **options: Any) -> None:
        self.server.options = replace(self.twin.options, **options)

    def fault(self, kind: Kind, path: str = MEDIA, **fields: Any) -> None:
        self.server.faults.add([Fault(kind=kind, path=path, **fields)])

    def asked(self, method: str = "*") -> list[str]:
        """The paths that were asked for."""
        return [one.path for one in self.server.requests if method in ("*", one.method)]

    async def page(self, **question: Any) -> Page:
        return await self.source.page(Question(**question), urgency=PERSON)

    async def media(self, number: int = 0) -> Media:
        listed = (await self.page()).media
        return next(media for media in listed if media.id == self.ids[number])

    async def read(self, media: Media, span: Span = WHOLE, if_range: str | None = None) -> bytes:
        async with self.source.body(media, span, if_range=if_range, urgency=PERSON) as body:
            return b"".join([piece async for piece in body.chunks])


@asynccontextmanager
async def house(
    length: int = 12,
    /,
    *,
    options: dict[str, Any] | None = None,
    made: type[Vonage] = Hasty,
    created: Callable[[int], datetime] = lambda n: OLDEST + timedelta(days=7 * n),
    wall: Callable[[], float] = time.time,
    **twin: Any,
) -> AsyncIterator[House]:
    world = World.generate(0, seed=1)
    stored = [
        world.add(created=created(n), size=1000 + n, filename="test.wav", title=f"title {n}")
        for n in range(length)
    ]
    async with serve(world, TwinOptions(**twin), vendor="vonage", clock=wall) as server:
        credentials = server.service.credentials()
        names = ("application_id", "private_key")
        given = {name: credentials[name] for name in names} | {"base_url": server.url} | (options or {})
        vendor = made(VonageOptions(**{name: value for name, value in given.items() if value is not None}))
        remote = RemoteOptions(transport=TransportOptions(environment=False, read_timeout_s=2), retry=QUICK)
        async with RemoteAccount(AccountName("house"), vendor, remote, wall=wall) as source:
            yield House(source, server, stored)


async def walked(house: House, **question: Any) -> list[str]:
    """The ids of all pages, one cursor after the other."""
    found: list[str] = []
    asked = Question(**question)
    while True:
        page = await house.source.page(asked, urgency=PERSON)
        found += [media.id for media in page.media]
        if page.next is None:
            return found
        asked = replace(asked, cursor=page.next)


async def crawled(house: House) -> list[str]:
    """The ids of everything, read as `sync` reads it."""
    found: dict[str, None] = {}
    position: Position | None = Position(since=None)
    while position is not None:
        page = await house.page(since=position.since, cursor=position.cursor, limit=5)
        found |= dict.fromkeys(media.id for media in page.media)
        position = advance(position, page)
    return list(found)


# --- listing

TRAPS: list[dict[str, Any]] = [
    {},
    {"max_page_size": 3},
    {"max_page_size": 3, "links": "none"},
    {"max_page_size": 3, "links": "bare", "count": "page"},
    {"max_page_size": 3, "links": "none", "count": "page", "reply_page_size": "returned"},
    {"links": "none", "count": "page", "empty": "list"},
    {"links": "bare", "past_the_end": "repeat"},
    {"absolute_links": True, "reply_page_size": "returned"},
    {"inclusive_dates": False},
    {"spelling": "camel", "times": "epoch-ms"},
    {"strict_parameters": True},
    {"errors": "empty"},
]
trapped = pytest.mark.parametrize("twin", TRAPS, ids=[str(trap) for trap in TRAPS])


@trapped
@pytest.mark.parametrize("newest_first", [False, True])
async def test_every_media_is_listed_once_whatever_the_service_leaves_open(
    twin: dict[str, Any], newest_first: bool
) -> None:
    async with house(**twin) as home:
        wanted = home.ids[::-1] if newest_first else home.ids
        assert await walked(home, newest_first=newest_first, limit=4) == wanted


@trapped
async def test_a_crawl_reads_everything_and_ends(twin: dict[str, Any]) -> None:
    async with house(**twin) as home:
        assert await crawled(home) == home.ids


@trapped
async def test_a_burst_of_one_second_that_fits_no_page_is_listed_whole(twin: dict[str, Any]) -> None:
    async with house(created=lambda n: OLDEST + timedelta(seconds=n // 11), **twin) as home:
        assert sorted(await crawled(home)) == sorted(home.ids)


async def test_exactly_one_full_page_is_everything_where_the_last_page_repeats() -> None:
    async with house(4, links="none", count="page", past_the_end="repeat") as home:
        assert await walked(home, limit=4) == home.ids


async def test_a_service_that_does_not_turn_pages_is_found_out() -> None:
    async with house(9, links="none", count="page", ignores_page_index=True) as home:
        with pytest.raises(InvalidReply, match="same page"):
            await walked(home, limit=4)


async def test_media_older_than_a_week_are_listed_although_the_service_would_hide_them() -> None:
    async with house() as home:
        assert (await home.media()).created == OLDEST
        assert all("start_time=" in one.query for one in home.server.requests)


async def test_bounds_are_included_although_the_service_may_exclude_them() -> None:
    async with house(inclusive_dates=False) as home:
        moment = OLDEST + timedelta(days=21)
        assert await walked(home, since=moment, until=moment) == [home.ids[3]]


@pytest.mark.parametrize("empty", ["404", "list"])
async def test_days_without_media_are_empty(empty: str) -> None:
    async with house(empty=empty) as home:
        page = await home.page(since=OLDEST + timedelta(days=1), until=OLDEST + timedelta(days=2))
        assert page == Page(media=(), total=0, next=None)
    async with house(0, empty=empty) as home:
        assert await home.page() == Page(media=(), total=0, next=None)


async def test_a_404_for_all_is_no_empty_archive_after_media_were_seen() -> None:
    now = [1_700_000_000.0]
    async with house(wall=lambda: now[0]) as home:
        await home.page()
        home.fault(Kind.STATUS, status=404, times=None)
        for question in ({}, {"since": OLDEST}):
            with pytest.raises(InvalidReply, match="no media at all"):
                await home.page(**question)
        now[0] += 86400
        assert (await home.page()).media == ()
        home.server.faults.clear()
        assert len((await home.page()).media) == 12


async def test_another_path_is_no_empty_archive() -> None:
    async with house() as home:
        vendor = Vonage(replace(home.source._vendor._options, base_url=f"{home.server.url}/v2"))  # type: ignore[attr-defined]
        async with RemoteAccount(AccountName("house"), vendor) as source:
            with pytest.raises(InvalidReply, match="base_url"):
                await source.page(Question(), urgency=PERSON)


async def test_a_question_that_only_other_services_know_costs_no_request() -> None:
    async with house() as home:
        scope = Conversation(ConversationId("1"))
        with pytest.raises(Unsupported):
            await home.page(scope=scope)
        with pytest.raises(Unsupported):
            await home.source.prove_filter(scope, urgency=PERSON)
        assert home.asked() == []


async def test_a_page_size_that_is_refused_is_a_value_refused() -> None:
    async with house(max_page_size=50, over_max="refused") as home:
        with pytest.raises(ValueRefused):
            await home.page(limit=100)
        assert len((await home.page(limit=50)).media) == 12


# --- credentials


async def test_a_token_is_minted_here_and_renewed_before_it_ends() -> None:
    async with house() as home:
        await home.page()
        assert home.asked() == [MEDIA], "no request is spent on a login"


async def test_a_token_is_renewed_at_four_fifths_of_its_life_and_no_401_is_seen(
    mock_clock: MockClock,
) -> None:
    now = [1_700_000_000.0]
    async with house(wall=lambda: now[0]) as home:
        await home.page()
        for passed_s in (700, 850):
            mock_clock.jump(1_700_000_000 + passed_s - now[0])
            now[0] = 1_700_000_000.0 + passed_s
            await home.page()
        now[0] += 100  # the first token has ended, the second has not
        await home.page()
        assert [one.status for one in home.server.requests] == [200] * 4
        now[0] += 900  # a clock that was set: the token has ended unforeseen
        await home.page()
        assert [one.status for one in home.server.requests][4:] == [401, 200]


async def test_a_401_is_answered_with_a_new_token_once() -> None:
    async with house() as home:
        await home.page()
        home.server.service.expire()
        await home.page()
        assert [one.status for one in home.server.requests] == [200, 401, 200]


async def test_a_key_that_the_service_does_not_know_is_a_lasting_state() -> None:
    async with house(options={"application_id": "another"}) as home:
        for _ in range(2):
            with pytest.raises(CredentialsRefused):
                await home.page()
        assert [one.status for one in home.server.requests] == [401, 401]


@pytest.mark.parametrize("key_in", ["query", "basic"])
async def test_key_and_secret_open_a_service_that_still_takes_them(key_in: str) -> None:
    pair = {"api_key": "abcd1234", "api_secret": "sandbox-api-secret", "key_in": key_in}
    none = {"application_id": None, "private_key": None}
    async with house(key_secret=key_in, redirect=True, options=pair | none) as home:
        assert await home.read(await home.media()) == read_all(home.stored[0].body)
        assert home.server.leaks() == []
    async with house(options=pair | none) as home:
        with pytest.raises(CredentialsRefused):
            await home.page()


# --- bytes


@pytest.mark.parametrize("redirect", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_bytes_are_the_services(redirect: bool, chunked: bool) -> None:
    async with house(redirect=redirect, chunked=chunked) as home:
        media, truth = await home.media(3), read_all(home.stored[3].body)
        assert media.size == len(truth)
        assert await home.read(media) == truth
        assert await home.read(media, Span(10, 300)) == truth[10:300]
        assert await home.read(media, Span(900)) == truth[900:]


async def test_storage_gets_the_range_and_neither_token_nor_key() -> None:
    async with house(redirect=True) as home:
        await home.read(await home.media(), Span(5, 9))
        (stored,) = [one for one in home.server.requests if one.origin == "storage"]
        assert stored.range == "bytes=5-8"
        assert "authorization" not in stored.headers
        assert "eyJ" not in json.dumps(stored.as_json())
        assert home.server.leaks() == []


async def test_a_link_that_has_expired_is_asked_for_again() -> None:
    async with house(redirect=True) as home:
        media = await home.media()
        home.fault(Kind.STATUS, path="/stored/", status=403)
        assert await home.read(media) == read_all(home.stored[0].body)


async def test_the_validator_is_the_etag_and_if_range_goes_with_it() -> None:
    async with house() as home:
        media = await home.media()
        assert media.validator == home.stored[0].body.etag
        tag = f'"{media.validator}"'
        assert len(await home.read(media, Span(100), if_range=tag)) == media.size - 100  # type: ignore[operator]
        home.fault(Kind.CHANGE, path=f"{MEDIA}/{media.id}", after_bytes=50)
        async with home.source.body(media, Span(100), if_range=tag, urgency=PERSON) as body:
            assert (body.partial, body.start, body.total) == (False, 0, 50), "the content changed"
        changed = await home.source.media(media, urgency=PERSON)
        assert changed.validator != media.validator


async def test_a_media_with_a_limit_is_told_and_one_get_brings_it_whole() -> None:
    async with house(limits_all=True) as home:
        home.twin.facts(home.stored[0]).max_downloads_allowed = 1
        limited, free = await home.media(0), await home.media(1)
        assert (limited.download_once, free.download_once) == (True, False)
        assert dict(limited.extra)["downloads_left"] == "1"
        assert await home.read(limited) == read_all(home.stored[0].body)
        with pytest.raises(Denied):
            await home.read(limited)
        again = await home.source.media(limited, urgency=PERSON)
        assert dict(again.extra)["downloads_left"] == "0"
        assert dict(again.extra)["times_downloaded"] == "1"


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.WRONG_RANGE, Kind.REDIRECT_LOOP])
async def test_a_spoilt_download_is_never_the_end_of_the_file(kind: Kind) -> None:
    async with house() as home:
        media = await home.media()
        home.fault(kind, path=f"{MEDIA}/{media.id}", after_bytes=100)
        with pytest.raises((InvalidReply, Unavailable)):
            await home.read(media)
        assert await home.read(media) == read_all(home.stored[0].body)


# --- edits


@pytest.mark.parametrize(
    "twin",
    [
        {},
        {"update": "json-info"},
        {"update": "json"},
        {"update": "json-info", "update_refusal": 400},
        {"update": "json-info", "update_refusal": 204},
        {"spelling": "camel", "times": "epoch-ms", "form_charset": "latin-1"},
        {"shows_title": True},
    ],
    ids=str,
)
async def test_all_seven_fields_are_changed_in_each_form_of_the_edit(twin: dict[str, Any]) -> None:
    async with house(**twin) as home:
        edits = {
            "title": "Été, “très” important\r\nsecond line",
            "description": "--boundary\r\n",
            "metadata_primary": '{"case": "ü"}',
            "metadata_secondary": "123",
            "mime_type": "audio/vnd.wave",
            "public": "true",
            "max_downloads_allowed": "7",
        }
        outcome = await home.source.update(await home.media(), edits, urgency=PERSON)
        assert outcome.refused is None
        facts = home.twin.facts(home.stored[0])
        assert {name: getattr(facts, name) for name in edits} == edits | {
            "public": True,
            "max_downloads_allowed": 7,
        }
        assert outcome.media is not None
        assert dict(outcome.media.extra)["metadata_primary"] == '{"case": "ü"}'
        assert outcome.media.mime_type == "audio/vnd.wave"
        assert outcome.media.download_once
        assert outcome.media.title == (edits["title"] if "shows_title" in twin else None)
        home.server.requests.clear()
        await home.source.update(outcome.media, {"metadata_primary": None}, urgency=PERSON)
        assert home.twin.facts(home.stored[0]).metadata_primary == ""
        assert len(home.asked("PUT")) == 1, "the way that worked is known"


async def test_a_value_that_the_service_refuses_is_a_value_refused_in_its_own_words() -> None:
    async with house() as home:
        media = await home.media()
        with pytest.raises(ValueRefused, match="metadata_primary is not valid"):
            await home.source.update(media, {"metadata_primary": "x" * 5000}, urgency=PERSON)
        with pytest.raises(ValueRefused, match="true or false"):
            await home.source.update(media, {"public": "perhaps"}, urgency=PERSON)
        assert home.asked("PUT")[0].endswith("/info")


async def test_what_an_application_may_not_do_is_denied() -> None:
    async with house() as home:
        only = frozenset({home.stored[0].id})
        home.set(forbidden_downloads=only, forbidden_updates=only, forbidden_deletes=only)
        media = await home.media()
        with pytest.raises(Denied):
            await home.read(media)
        with pytest.raises(Denied):
            await home.source.update(media, {"title": "x"}, urgency=PERSON)
        with pytest.raises(Denied):
            await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)
        assert home.stored[0].id in {stored.id for stored in home.server.world}


# --- deleting


@pytest.mark.parametrize("errors", ["problem", "empty"])
async def test_a_deletion_is_gone_at_the_service_and_again_is_a_success(errors: str) -> None:
    async with house(errors=errors) as home:
        media = await home.media()
        assert (await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)).carried_out
        assert home.server.world.get(home.stored[0].id) is None
        assert not (await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)).carried_out
        for ask in (home.source.media(media, urgency=PERSON), home.read(media)):
            with pytest.raises(NotFound):
                await ask


async def test_a_deletion_whose_answer_got_lost_counts_as_carried_out() -> None:
    async with house() as home:
        media = await home.media()
        home.fault(Kind.LOST, "/v3/media/", method="DELETE")
        outcome = await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)
        assert (outcome.answer, outcome.carried_out) == ("DELETE 404 after a try without an answer", True)


async def test_a_sign_in_page_in_place_of_a_deletion_deletes_nothing() -> None:
    async with house() as home:
        media = await home.media()
        home.fault(Kind.HTML, method="DELETE")
        with pytest.raises(InvalidReply, match="still there"):
            await home.source.erase(media, Removal.PERMANENT, urgency=PERSON)


async def test_there_is_no_trash_to_put_anything_into_or_take_it_out_of() -> None:
    async with house() as home:
        media = await home.media()
        with pytest.raises(Unsupported):
            await home.source.erase(media, Removal.TRASH, urgency=PERSON)
        with pytest.raises(Unsupported):
            await home.source.recover(media, urgency=PERSON)
        assert home.asked("DELETE") == []


# --- trouble


@pytest.mark.parametrize("form", ["reset-seconds", "reset-unix", "retry-seconds", "retry-date", "retry-iso"])
async def test_a_429_is_waited_for_in_every_form_of_its_header(form: Any) -> None:
    async with house() as home:
        home.fault(Kind.STATUS, status=429, wait_s=0.1, wait_form=form)
        started = time.monotonic()
        await home.page()
        assert time.monotonic() - started >= 0.1
        assert [one.status for one in home.server.requests] == [429, 200]


async def test_a_429_whose_wait_ends_after_the_deadline_is_late_at_once() -> None:
    async with house() as home:
        home.fault(Kind.STATUS, status=429, wait_s=60, wait_form="retry-seconds")
        with trio.fail_after(5), pytest.raises(Late):
            await home.page()


@pytest.mark.parametrize(
    "kind", [Kind.BAD_JSON, Kind.DEEP_JSON, Kind.HUGE_JSON, Kind.HTML, Kind.JSON, Kind.EMPTY]
)
async def test_an_answer_that_cannot_be_right_is_refused(kind: Kind) -> None:
    async with house() as home:
        media = await home.media()
        for ask in (home.page, lambda: home.source.media(media, urgency=PERSON)):
            home.fault(kind)
            with pytest.raises(InvalidReply):
                await ask()


@pytest.mark.parametrize(("status", "error"), [(500, Unavailable), (501, InvalidReply), (403, Denied)])
async def test_a_service_that_fails_says_nothing_about_the_archive(
    status: int, error: type[MediafsError]
) -> None:
    async with house() as home:
        home.fault(Kind.STATUS, status=status, times=3)
        with pytest.raises(error):
            await home.page()


async def test_no_more_than_four_requests_are_under_way() -> None:
    async with house(made=Vonage, latency_s=0.2) as home:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(home.page)
        assert home.server.peak_in_flight == 4
