"""A Veriff account over sockets, against its twin."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
import trio

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
    AccountName,
    Conversation,
    ConversationId,
    Days,
    Media,
    Question,
    Removal,
    Span,
    Urgency,
)
from mediafs.remote import CredentialState, RemoteAccount, RemoteOptions, RetryOptions, TransportOptions
from mediafs.sandbox import Fault, Kind, Server, World, serve
from mediafs.sandbox.media import read_all
from mediafs.sandbox.veriff import Veriff as Twin
from mediafs.sandbox.veriff_options import SECRET
from mediafs.sandbox.veriff_options import VeriffOptions as TwinOptions
from mediafs.sandbox.veriff_sessions import media_uuid, session_uuid
from mediafs.vendors.protocol import Pace, Vendor
from mediafs.vendors.veriff import PACE, Veriff, VeriffOptions
from tests.sync import house as sync_house

PERSON = Urgency.PERSON
QUICK = RetryOptions(first_wait_s=0.01, longest_wait_s=0.02)
GONE = "0a1b2c3d-0000-4000-8000-000000000003"
ONE, TWO = ConversationId(session_uuid("77")), ConversationId(session_uuid("78"))


class Unhurried(Veriff):
    """Without the courtesy of five requests a second, which has a test of its own."""

    @property
    def pace(self) -> Pace | None:
        return None


@dataclass
class House:
    """A twin, an account at it, and what is true of the sessions that the account knows."""

    server: Server
    source: RemoteAccount
    sessions: list[str] = field(default_factory=list)

    @property
    def twin(self) -> Twin:
        assert isinstance(self.server.service, Twin)
        return self.server.service

    def set(self, **changes: object) -> None:
        self.server.options = self.server.options.patched(changes)

    def truth(self, *sessions: str) -> dict[str, int]:
        """The number in the world of every media, by its id at the service."""
        conversations = {self.twin.sessions.conversation(session) for session in sessions}
        found = [media for name in conversations if name for media in self.twin.sessions.media(name)]
        return {media_uuid(media.id): media.id for media in found}

    def content(self, media: Media) -> bytes:
        return read_all(self.server.world[int(media.id[24:], 16)].body)

    def asked(self, origin: str = "api") -> list[str]:
        return [f"{one.method} {one.path}" for one in self.server.requests if one.origin == origin]

    async def everything(self) -> list[Media]:
        found: list[Media] = []
        question = Question()
        while True:
            page = await self.source.page(question, urgency=PERSON)
            found += page.media
            if page.next is None:
                return found
            question = Question(cursor=page.next)

    async def session(self, id: str = ONE) -> tuple[Media, ...]:
        page = await self.source.page(Question(scope=Conversation(ConversationId(id))), urgency=PERSON)
        assert page.next is None
        return page.media

    async def read(self, media: Media, span: Span | None = None) -> bytes:
        async with self.source.body(media, span or Span(0), urgency=PERSON) as body:
            return b"".join([piece async for piece in body.chunks])


def world() -> World:
    made = World()
    for number in range(1, 19):
        kind: Literal["image", "video", "audio"] = "image"
        if number % 6 == 2:
            kind = "video"
        if number % 6 == 5:
            kind = "audio"
        made.add(
            conversation="77" if number <= 9 else "78",
            media_type=kind,
            size=2000 + number,
            created=datetime(2024, 5, number, 12, tzinfo=UTC),
        )
    made.add(conversation="79", size=10)
    return made


@asynccontextmanager
async def house(
    *,
    secrets: Sequence[str] = (SECRET,),
    sessions: Sequence[str] = (ONE, TWO),
    vendor: type[Veriff] = Unhurried,
    reread: Callable[[], tuple[str, ...]] | None = None,
    read_timeout_s: float = 5.0,
    **options: Any,
) -> AsyncIterator[House]:
    known = list(sessions)
    async with serve(world(), TwinOptions(**options), vendor="veriff") as server:

        def made(with_secrets: Sequence[str]) -> Veriff:
            return vendor(
                VeriffOptions(
                    base_url=server.url,
                    api_key=TwinOptions().api_key,
                    shared_secrets=tuple(with_secrets),
                    sessions=lambda: known,
                )
            )

        async def again() -> Vendor:
            await trio.lowlevel.checkpoint()
            return made(secrets if reread is None else reread())

        transport = TransportOptions(read_timeout_s=read_timeout_s, environment=False)
        remote = RemoteOptions(transport=transport, retry=QUICK)
        account = AccountName("sandbox-veriff")
        async with RemoteAccount(account, made(secrets), remote, reread=again) as source:
            yield House(server, source, known)


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """At the most talkative level, no test here may log a secret or a signature."""
    caplog.set_level(logging.DEBUG)
    yield
    assert SECRET not in caplog.text
    assert sign(ONE) not in caplog.text


def sign(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


# --- listing


async def test_everything_is_every_media_of_every_attempt_once() -> None:
    async with house() as at:
        found = await at.everything()
        assert sorted(one.id for one in found) == sorted(at.truth(ONE, TWO))
        assert {one.conversation for one in found} == {ONE, TWO}
        assert len({one.filename for one in found}) == len(found) == 18
        assert {dict(one.extra)["dated_by"] for one in found} == {"attempt", "another-attempt"}
        assert [one.size for one in found] == [
            at.server.world[int(one.id[24:], 16)].filesize for one in found
        ]


async def test_a_session_is_not_its_latest_attempt_alone() -> None:
    async with house() as at:
        found = await at.session()
        assert {one.id for one in found} == set(at.truth(ONE))
        assert len({dict(one.extra)["attempt"] for one in found}) == 3
        assert [one.created for one in found] == sorted(one.created for one in found)
        assert f"GET /v1/sessions/{ONE}/media" not in at.asked()


async def test_the_time_of_a_media_is_its_attempts() -> None:
    async with house(undated="none") as at:
        attempts = at.twin.sessions.attempts("77", 3)
        expected = {media_uuid(media.id): one.created_s for one in attempts for media in one.media}
        assert {one.id: one.created.timestamp() for one in await at.session()} == expected


async def test_sessions_without_any_time_are_listed_all_the_same() -> None:
    async with house(undated="all", sizes=False, mimetypes=False) as at:
        found = await at.everything()
        assert len(found) == 18
        assert {dict(one.extra)["dated_by"] for one in found} == {"nothing"}
        assert {one.size for one in found} == {None}
        assert {one.filename.rpartition(".")[2] for one in found} == {"jpg", "webm", "json"}


async def test_a_session_that_is_gone_does_not_fail_the_listing_of_the_others() -> None:
    async with house(sessions=(GONE, ONE, GONE[:-1] + "4", TWO)) as at:
        assert {one.id for one in await at.everything()} == set(at.truth(ONE, TWO))
        with pytest.raises(NotFound):
            await at.session(GONE)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": Kind.STATUS, "status": 500}, Unavailable),
        ({"kind": Kind.STATUS, "status": 403}, Denied),
        ({"kind": Kind.STATUS, "status": 404, "body": "<h1>no such page</h1>"}, InvalidReply),
        ({"kind": Kind.HTML}, InvalidReply),
        ({"kind": Kind.JSON}, InvalidReply),
        ({"kind": Kind.BAD_JSON}, InvalidReply),
        ({"kind": Kind.DEEP_JSON}, InvalidReply),
        ({"kind": Kind.EMPTY}, InvalidReply),
        ({"kind": Kind.REFUSE}, Unavailable),
        ({"kind": Kind.JSON, "body": '{"status": "success"}'}, InvalidReply),
        ({"kind": Kind.REDIRECT_LOOP}, InvalidReply),
    ],
)
@pytest.mark.parametrize("path", ["/v1/sessions/*/attempts", "/v1/attempts/*"])
async def test_whatever_else_one_session_answers_everything_fails_rather_than_lack_it(
    fault: dict[str, Any], error: type[MediafsError], path: str
) -> None:
    async with house() as at:
        at.server.faults.add([Fault(**fault, path=path, skip=1, times=None)])
        with pytest.raises(error):
            await at.everything()
        at.server.faults.clear()
        assert len(await at.everything()) == 18


async def test_a_service_that_finds_nothing_in_no_words_of_its_own_is_no_empty_archive() -> None:
    async with house(bare_404=True) as at:
        with pytest.raises(InvalidReply, match="base_url"):
            await at.everything()
        with pytest.raises(InvalidReply, match="base_url"):
            await at.session()


async def test_sessions_that_come_to_be_known_are_listed_and_those_that_go_are_not() -> None:
    async with house(sessions=()) as at:
        assert await at.everything() == []
        assert at.asked() == []
        at.sessions += [TWO]
        assert {one.id for one in await at.everything()} == set(at.truth(TWO))
        page = await at.source.page(Question(), urgency=PERSON)
        at.sessions += [ONE]
        assert page.next is None
        assert {one.id for one in await at.everything()} == set(at.truth(ONE, TWO))


@pytest.mark.parametrize("status", ["404", "405"])
async def test_an_older_integration_shows_the_latest_attempt(status: str) -> None:
    async with house(attempts_listing=status, attempt_media=status) as at:
        latest = {media_uuid(one.id) for one in at.twin.sessions.attempts("77", 3)[0].media}
        assert {one.id for one in await at.session()} == latest
        assert len(await at.everything()) == 6
        assert len(await at.read((await at.session())[0])) > 2000


async def test_a_list_of_attempts_that_vanishes_makes_no_smaller_session() -> None:
    async with house() as at:
        await at.everything()
        at.set(attempts_listing="404")
        with pytest.raises(InvalidReply, match="attempts are not found"):
            await at.session()
        at.set(attempts_listing="yes", attempt_media="404")
        with pytest.raises(InvalidReply, match="attempts are not found"):
            await at.session()


@pytest.mark.parametrize(
    "sessions", [(ONE, TWO), (TWO, ONE), (GONE, TWO, ONE), (TWO, GONE, ONE, GONE[:-1] + "4")]
)
async def test_whoever_lists_by_date_ends_with_every_media(sessions: tuple[str, ...], tmp_path: Path) -> None:
    async with house(sessions=sessions) as at, sync_house.house(at.source, tmp_path) as synced:  # type: ignore[arg-type]
        for day in (date(2024, 5, 1), date(2024, 5, 12)):
            await synced.listings.ensure(Days(day, day))
        numbers = {at.truth(ONE, TWO)[id] for id in synced.ids(Days(date(2024, 5, 1), date(2024, 5, 31)))}
        assert numbers == set(range(1, 19))
        await synced.listings.ensure(Conversation(TWO))
        assert synced.ids(Conversation(TWO)) == set(at.truth(TWO))
        # One is deleted at the service: the others stay.
        for media in at.twin.sessions.media("77"):
            at.server.world.remove(media.id)
        synced.clock[0] += 3600
        await synced.listings.refresh(Days(day, day))
        assert synced.ids(Days(date(2024, 5, 1), date(2024, 5, 31))) == set(at.truth(TWO))


async def test_a_record_is_the_one_that_was_listed_and_not_found_once_it_is_gone() -> None:
    async with house() as at:
        media = (await at.session())[3]
        assert await at.source.media(media, urgency=PERSON) == media
        at.server.world.remove(int(media.id[24:], 16))
        with pytest.raises(NotFound):
            await at.source.media(media, urgency=PERSON)
        with pytest.raises(NotFound):
            await at.read(media)


# --- bytes


@pytest.mark.parametrize(
    "options", [{}, {"ranges": False}, {"chunked": True}, {"etags": False}, {"redirect": True}]
)
async def test_the_bytes_are_the_services(options: dict[str, Any]) -> None:
    async with house(**options) as at:
        for media in await at.session():
            whole = await at.read(media)
            assert whole == at.content(media)
        async with at.source.body(media, Span(100, 300), urgency=PERSON) as body:
            part = b"".join([piece async for piece in body.chunks])
        stop = 300 if body.partial else None
        assert part == whole[body.start : stop]
        assert body.partial is options.get("ranges", True)


async def test_records_links_to_another_host_are_not_followed() -> None:
    async with house(urls="other") as at:
        media = (await at.session())[0]
        assert media.locator is None
        assert await at.read(media) == at.content(media)
        assert at.asked("storage") == []


async def test_neither_key_nor_signature_reaches_the_storage_origin() -> None:
    async with house(redirect=True) as at:
        for media in await at.session():
            assert await at.read(media) == at.content(media)
        stored = [one for one in at.server.requests if one.origin == "storage"]
        assert len(stored) == 9
        assert at.server.leaks(*(sign(media) for media in at.truth(ONE)), sign(ONE)) == []
        for one in stored:
            assert not {"x-auth-client", "x-hmac-signature", "content-type"} & one.headers.keys()


async def test_a_download_that_is_refused_is_no_question_of_credentials() -> None:
    async with house(forbidden_downloads=frozenset(range(1, 19))) as at:
        with pytest.raises(Denied) as caught:
            await at.read((await at.session())[0])
        assert not isinstance(caught.value, CredentialsRefused)
        assert at.source.statistics().credentials is CredentialState.GOOD


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": Kind.CUT, "after_bytes": 100}, Unavailable),
        ({"kind": Kind.STALL, "after_bytes": 100, "seconds": 30}, Late),
        ({"kind": Kind.WRONG_RANGE}, InvalidReply),
        ({"kind": Kind.STATUS, "status": 404, "body": ""}, InvalidReply),
    ],
)
async def test_a_spoilt_download_is_never_the_end_of_the_file(
    fault: dict[str, Any], error: type[MediafsError]
) -> None:
    async with house(read_timeout_s=0.2) as at:
        media = (await at.session())[0]
        at.server.faults.add([Fault(**fault, path="/v1/media/*")])
        with pytest.raises(error):
            await at.read(media, Span(5))
        assert await at.read(media) == at.content(media)


# --- credentials


@pytest.mark.parametrize("active", ["first", "second", "third", "fourth"])
async def test_whichever_secret_is_active_the_first_operation_finds_it(active: str) -> None:
    secrets = ("first", "second", "third", "fourth")
    async with house(secrets=secrets, shared_secrets=(active,)) as at:
        assert len(await at.session()) == 9
        refused = [one.status for one in at.server.requests].count(401)
        assert refused == secrets.index(active)
        assert at.source.statistics().credentials is CredentialState.GOOD
        at.server.reset_counts()
        await at.everything()
        assert {one.status for one in at.server.requests} == {200}


async def test_a_rotation_while_it_runs_costs_a_request_and_no_error() -> None:
    async with house(secrets=("new", "old"), shared_secrets=("old",)) as at:
        media = (await at.session())[0]
        at.set(shared_secrets=["new", "old"])
        await at.session()
        at.set(shared_secrets=["new"])
        at.server.reset_counts()
        assert await at.read(media) == at.content(media)
        # The signature with the session's id is tried before the next secret is.
        assert [one.status for one in at.server.requests] == [401, 401, 206]
        assert at.source.statistics().credentials is CredentialState.GOOD


async def test_many_at_once_find_the_active_secret_together() -> None:
    async with house(secrets=("a", "b", "c"), shared_secrets=("c",)) as at, trio.open_nursery() as nursery:
        for session in (ONE, TWO, ONE, TWO):
            nursery.start_soon(at.session, session)
    assert at.source.statistics().credentials is CredentialState.GOOD


async def test_a_new_secret_in_the_configuration_is_read_when_the_old_one_is_refused() -> None:
    async with house(secrets=("old",), reread=lambda: ("new", "old"), shared_secrets=("new",)) as at:
        assert len(await at.session()) == 9


@pytest.mark.parametrize("secrets", [("a",), ("a", "b"), ("a", "b", "c")])
async def test_when_every_secret_is_refused_nothing_more_is_sent(secrets: tuple[str, ...]) -> None:
    async with house(secrets=secrets, shared_secrets=("other",)) as at:
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                await at.session()
        assert len(at.server.requests) == max(2, len(secrets))
        assert at.source.statistics().credentials is CredentialState.REFUSED


async def test_a_wrong_key_is_refused_credentials_too() -> None:
    async with house() as at:
        at.set(api_key=GONE)
        with pytest.raises(CredentialsRefused):
            await at.session()


@pytest.mark.parametrize("signed_by", ["session", "either"])
async def test_a_service_that_wants_downloads_signed_by_the_session_gets_them(signed_by: str) -> None:
    async with house(media_signed_by=signed_by) as at:
        media = await at.session()
        at.server.reset_counts()
        for one in media[:3]:
            assert await at.read(one) == at.content(one)
        extra = [401] if signed_by == "session" else []
        assert [one.status for one in at.server.requests] == [*extra, 206, 206, 206]
        assert at.source.statistics().credentials is CredentialState.GOOD


async def test_a_wrong_guess_of_what_is_signed_heals_itself() -> None:
    async with house(media_signed_by="session") as at:
        media = (await at.session())[0]
        await at.read(media)
        at.set(media_signed_by="media")
        assert await at.read(media) == at.content(media)
        assert at.source.learnt["media_signed_by"] == "media"


# --- limits


@pytest.mark.parametrize("form", ["reset-seconds", "reset-unix", "retry-seconds", "retry-date", "retry-iso"])
async def test_a_429_is_waited_out_in_whatever_form_it_tells_the_wait(form: Any) -> None:
    async with house() as at:
        at.server.faults.add(
            [Fault(kind=Kind.STATUS, status=429, wait_s=0, wait_form=form, path="/v1/sessions")]
        )
        with trio.fail_after(8):
            assert len(await at.session()) == 9


async def test_a_wait_that_is_longer_than_anybody_waits_is_told_at_once() -> None:
    async with house() as at:
        at.server.faults.add(
            [Fault(kind=Kind.STATUS, status=429, wait_s=600, wait_form="retry-seconds", path="/v1/sessions")]
        )
        with pytest.raises(Late), trio.fail_after(5):
            await at.session()


async def test_no_more_than_five_requests_are_sent_in_a_second() -> None:
    async with house(vendor=Veriff, attempts=6) as at:
        assert (PACE.per_second, PACE.parallel) == (5, 4)
        await at.session()
        times = [one.at_s for one in at.server.requests]
        assert len(times) == 7
        assert times[5] - times[0] > 0.9


# --- what must never happen


async def test_no_session_is_ever_deleted_and_no_decision_fetched() -> None:
    async with house(deletion=True) as at:
        media = await at.everything()
        for one in media:
            for removal in Removal:
                with pytest.raises(Unsupported):
                    await at.source.erase(one, removal, urgency=PERSON)
            with pytest.raises(Unsupported):
                await at.source.recover(one, urgency=PERSON)
            with pytest.raises(Unsupported):
                await at.source.update(one, {"title": "x"}, urgency=PERSON)
        for one in media[:3]:
            await at.read(one)
            await at.source.media(one, urgency=PERSON)
        await at.source.reach()
        assert (at.twin.deletions, at.twin.decisions) == ([], [])
        assert {one.method for one in at.server.requests} == {"GET"}
        assert len(await at.everything()) == 18
        traits = at.source.traits
        assert (traits.deletable, traits.trash, traits.editable) == (False, False, frozenset())


async def test_no_error_shows_a_secret_a_signature_or_an_address() -> None:
    async with house() as at:
        media = (await at.session())[0]
        said = []
        faults: list[dict[str, Any]] = [
            {"kind": Kind.STATUS, "status": 403, "body": f'{{"code":"1","message":"{sign(ONE)} {SECRET}"}}'},
            {"kind": Kind.STATUS, "status": 401},
            {"kind": Kind.REFUSE},
            {"kind": Kind.REDIRECT_LOOP},
        ]
        for fault in faults:
            at.server.faults.clear()
            at.server.faults.add([Fault(**fault, times=None)])
            with pytest.raises(MediafsError) as caught:
                await at.session()
            said.append(str(caught.value))
            with pytest.raises(MediafsError) as caught:
                await at.read(media)
            said.append(str(caught.value))
        text = " ".join(said) + repr(at.source.statistics())
        for secret in (SECRET, sign(ONE), sign(media.id), "http://"):
            assert secret not in text
