"""Listings that were interrupted, refused, overtaken, or asked of an account that sees only a part."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import trio

from mediafs.catalogue import ListingState
from mediafs.errors import (
    CredentialsRefused,
    Denied,
    FilterRefused,
    Incomplete,
    InvalidReply,
    LocalFailure,
    MediafsError,
    NotFound,
    Unavailable,
    ValueRefused,
)
from mediafs.model import (
    ChangeKind,
    Conversation,
    ConversationId,
    Days,
    MediaId,
    Owner,
    Question,
    Recent,
    User,
    UserId,
)
from tests.fakes import START, MemorySource, make_media

from .house import NOW, day, house

CONVERSATION = Conversation(ConversationId("77"))


def archive(count: int, hours: float = 1) -> MemorySource:
    return MemorySource(
        [make_media(n, created=START + timedelta(hours=hours * n)) for n in range(1, count + 1)]
    )


def burst(count: int) -> MemorySource:
    """All on one day."""
    return MemorySource(
        [make_media(n, created=START + timedelta(seconds=20 * n)) for n in range(1, count + 1)]
    )


async def test_a_crawl_left_half_done_for_long_is_begun_again(tmp_path: Path) -> None:
    source = archive(250)
    source.conversations["77"] = {m.id for m in source.archive}
    async with house(source, tmp_path) as here:
        assert await here.listings.exists(CONVERSATION)  # one page of three
        source.archive = [m for m in source.archive if m.id != "3"]
        here.clock[0] += 3600
        await here.listings.ensure(CONVERSATION)
        assert "3" not in here.ids(CONVERSATION)


async def test_a_refresh_begins_at_the_beginning(tmp_path: Path) -> None:
    source = archive(250)
    source.conversations["77"] = {m.id for m in source.archive}
    async with house(source, tmp_path) as here:
        assert await here.listings.exists(CONVERSATION)
        source.archive = [m for m in source.archive if m.id != "3"]
        await here.listings.refresh(CONVERSATION)
        assert "3" not in here.ids(CONVERSATION)


async def test_a_resumed_listing_is_as_old_as_its_beginning(tmp_path: Path) -> None:
    source = burst(500)
    source.fail = lambda question: Unavailable("gone") if source.asked["page"] == 3 else None
    async with house(source, tmp_path) as here:
        with pytest.raises(Unavailable):
            await here.listings.ensure(day("2024-01-01"))
        here.clock[0] += 300
        await here.listings.ensure(day("2024-01-01"))
        assert here.listings.state(day("2024-01-01")).listed == NOW
        assert len(here.names(day("2024-01-01"))) == 500


async def test_media_of_others_do_not_come_into_by_date_nor_end_there(tmp_path: Path) -> None:
    source = archive(10)
    source.archive += [make_media(n, owner="2000") for n in (20, 21)]
    source.conversations["77"] = {MediaId("1"), MediaId("20")}
    source.user = UserId("1000")
    async with house(source, tmp_path) as here:
        await here.listings.ensure(User(UserId("2000")))
        await here.listings.ensure(CONVERSATION)
        await here.listings.ensure(Recent())
        await here.listings.ensure(day("2024-01-01"))
        assert here.ids(CONVERSATION) == {"1", "20"}
        assert here.ids(User(UserId("2000"))) == {"20", "21"}
        assert here.ids(Recent()) == {str(n) for n in range(1, 11)}
        assert here.ids(day("2024-01-01")) == {str(n) for n in range(1, 11)}


async def test_a_user_is_not_derived_from_days_that_show_only_one(tmp_path: Path) -> None:
    source = archive(10)
    source.archive.append(make_media(20, owner="2000"))
    source.user = UserId("1000")
    async with house(source, tmp_path) as here:
        await here.listings.look_for_the_oldest()
        await here.listings.ensure(User(UserId("2000")))
        assert here.ids(User(UserId("2000"))) == {"20"}
        assert here.listings.users_since() is None


async def test_who_is_gone_from_a_user_is_not_shown_however_many_there_are(tmp_path: Path) -> None:
    source = archive(60)
    async with house(source, tmp_path) as here:
        user = User(UserId("1000"))
        await here.listings.ensure(user)
        source.archive = source.archive[50:]
        await here.listings.refresh(user)
        assert len(here.ids(user)) == 10
        assert source.asked["media"] <= 5


async def test_a_record_that_is_refused_does_not_fail_the_listing(tmp_path: Path) -> None:
    source = archive(10)

    class Strict(MemorySource):
        async def media(self, media, *, urgency):  # type: ignore[no-untyped-def]
            raise Denied("not for you")

    strict = Strict(source.archive)
    async with house(strict, tmp_path) as here:
        user = User(UserId("1000"))
        await here.listings.ensure(user)
        strict.archive = strict.archive[2:]
        await here.listings.refresh(user)
        assert len(here.ids(user)) == 8


async def test_an_empty_account_is_looked_at_again_soon(tmp_path: Path) -> None:
    source = MemorySource()
    async with house(source, tmp_path) as here:
        await here.listings.look_for_the_oldest()
        source.archive.append(make_media(1))
        here.clock[0] += 61
        await here.listings.look_for_the_oldest()
        assert here.ids(day("2024-01-01")) == {"1"}


async def test_a_known_beginning_is_never_waited_for(tmp_path: Path) -> None:
    source = archive(10)
    async with house(source, tmp_path) as here:
        await here.listings.look_for_the_oldest()
        here.clock[0] += 2 * 86400
        source.gate = trio.Event()
        with trio.fail_after(5):
            await here.listings.look_for_the_oldest()


async def test_a_service_that_is_away_is_waited_for_once(tmp_path: Path) -> None:
    source = archive(500)
    async with house(source, tmp_path) as here:
        for n in range(1, 9):
            await here.listings.ensure(day(f"2024-01-0{n}"))
        here.clock[0] += 6000
        before = here.pages
        source.fail = lambda question: Unavailable("nobody answers")
        for n in range(1, 9):
            await here.listings.ensure(day(f"2024-01-0{n}"))
        assert here.pages - before == 1


async def test_refused_credentials_are_refused_again(tmp_path: Path) -> None:
    source = archive(50)
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-02"))
        here.clock[0] += 6000
        source.fail = lambda question: CredentialsRefused("who are you")
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                await here.listings.ensure(day("2024-01-02"))


async def test_a_sign_in_page_is_not_asked_for_once_a_day(tmp_path: Path) -> None:
    source = archive(1000)
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(30)]
    async with house(source, tmp_path) as here:
        for one in days:
            await here.listings.ensure(Days(one, one))
        here.clock[0] += 120
        before = here.pages
        source.fail = lambda question: InvalidReply("HTML came")
        for one in days:
            await here.listings.ensure(Days(one, one))
        await trio.testing.wait_all_tasks_blocked()
        assert here.pages - before <= 2


async def test_what_is_gone_does_not_come_back_by_an_older_page(tmp_path: Path) -> None:
    source = archive(3)
    async with house(source, tmp_path) as here:
        await here.listings.ensure(day("2024-01-01"))
        asked = here.catalogue.database.tick()
        old_page = list(source.archive)
        source.archive = source.archive[1:]
        await here.listings.refresh(day("2024-01-01"))
        here.catalogue.contents.put(old_page, asked)
        assert here.ids(day("2024-01-01")) == {"2", "3"}
        here.catalogue.contents.put(old_page, here.catalogue.database.tick())
        assert here.ids(day("2024-01-01")) == {"1", "2", "3"}


async def test_a_conversation_id_that_is_refused_does_not_shrink_the_pages(tmp_path: Path) -> None:
    source = archive(300)

    def refuse(question: Question) -> ValueRefused | None:
        return ValueRefused("no number") if question.scope == Conversation(ConversationId("foo")) else None

    source.fail = refuse
    async with house(source, tmp_path) as here:
        assert not await here.listings.exists(Conversation(ConversationId("foo")))
        assert here.pages <= 2
        await here.listings.ensure(day("2024-01-05"))
        assert source.questions[-1][0].limit == 100


async def test_the_newest_that_move_between_two_pages_are_read_again(tmp_path: Path) -> None:
    source = archive(300)
    source.page_limit = 60

    def arrive(question: Question) -> None:
        if source.asked["page"] == 2:
            source.archive += [
                make_media(n, created=START + timedelta(days=60, hours=n)) for n in range(900, 905)
            ]

    source.before_page = arrive
    async with house(source, tmp_path) as here:
        await here.listings.ensure(Recent())
        assert len(here.ids(Recent())) == 100


async def test_media_of_the_future_can_go_again(tmp_path: Path) -> None:
    future = datetime(2025, 3, 1, tzinfo=UTC)
    source = MemorySource([make_media(1), make_media(2, created=future)])
    async with house(source, tmp_path) as here:
        await here.listings.look_for_the_oldest()
        assert here.ids(day("2025-03-01")) == {"2"}
        source.archive.pop()
        await here.listings.refresh(day("2025-03-01"))
        assert here.ids(day("2025-03-01")) == set()


async def test_the_newest_record_names_a_user_and_the_kernel_hears_of_it(tmp_path: Path) -> None:
    async with house(MemorySource(), tmp_path) as here:
        index, _ = here.catalogue.directories.get("view", "by-user")
        put = here.catalogue.contents.put
        person = [Owner(id=UserId("5"), name=name) for name in ("Anna", "Anna Smith")]
        june, january = (replace(make_media(n), owner=p) for n, p in ((800, person[1]), (1, person[0])))
        put([june], here.catalogue.database.tick())
        assert put([january], here.catalogue.database.tick())[0].kind is ChangeKind.ADDED
        assert here.catalogue.views.people() == [("5", "Anna Smith (5)")]
        later = replace(make_media(900), owner=Owner(id=UserId("5"), name="Anna Lee"))
        change = put([later], here.catalogue.database.tick())[0]
        assert change.inode == index
        assert {name for _, name in change.places} == {"Anna Smith (5)", "Anna Lee (5)"}


async def test_an_error_is_over_when_a_neighbours_page_covers_the_day(tmp_path: Path) -> None:
    source = archive(200)
    source.fail = lambda question: Unavailable("away") if source.asked["page"] == 1 else None
    async with house(source, tmp_path) as here:
        with pytest.raises(Unavailable):
            await here.listings.ensure(day("2024-01-02"))
        here.clock[0] += 1
        await here.listings.ensure(day("2024-01-01"))
        assert here.listings.state(day("2024-01-02")).error is None


async def test_a_disk_that_fails_fails_the_listing_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = archive(10)
    async with house(source, tmp_path) as here:

        def full(*arguments: object, **named: object) -> None:
            raise LocalFailure("the disk is gone")

        with monkeypatch.context() as broken:
            broken.setattr(here.catalogue.coverage, "failed", full)
            broken.setattr(here.catalogue.contents, "put", full)
            for _ in range(2):
                with pytest.raises((LocalFailure, InvalidReply)):
                    await here.listings.ensure(day("2024-01-01"))
            state = here.listings.state(day("2024-01-01"))
            assert state == ListingState(None, "the disk is gone", here.clock[0])
        here.clock[0] += 1
        await here.listings.ensure(day("2024-01-01"))
        assert here.listings.state(day("2024-01-01")) == ListingState(here.clock[0])
        assert len(here.ids(day("2024-01-01"))) == 10


async def test_equal_moments_in_no_order_are_no_whole_listing(tmp_path: Path) -> None:
    source = MemorySource([make_media(n, created=START) for n in range(1, 121)])
    source.archive += [make_media(n, created=START + timedelta(minutes=n)) for n in range(121, 320)]
    source.page_limit = 50

    class Shuffled(MemorySource):
        async def page(self, question, *, urgency):  # type: ignore[no-untyped-def]
            random.Random(self.asked["page"]).shuffle(self.archive)
            renumbered = {m.id: str(n) for n, m in enumerate(self.archive)}
            page = await super().page(question, urgency=urgency)
            found = sorted(
                (m for m in self.archive if self._matches(m, question)),
                key=lambda m: (m.created, renumbered[m.id]),
            )
            offset = int(question.cursor or 0)
            return replace(page, media=tuple(found[offset : offset + 50]))

    shuffled = Shuffled(source.archive, page_limit=50)
    async with house(shuffled, tmp_path) as here:
        try:
            await here.listings.ensure(day("2024-01-01"))
        except Incomplete:
            assert here.listings.state(day("2024-01-01")).listed is None
        else:
            assert len(here.ids(day("2024-01-01"))) == 319


@pytest.mark.parametrize("error", [NotFound("404"), ValueRefused("400")])
async def test_a_service_that_turns_to_nonsense_empties_no_known_folder(
    tmp_path: Path, error: MediafsError
) -> None:
    source = archive(20)
    source.conversations["77"] = {m.id for m in source.archive}
    async with house(source, tmp_path) as here:
        for scope in (CONVERSATION, User(UserId("1000"))):
            await here.listings.ensure(scope)
            source.fail = lambda question: error
            with pytest.raises((InvalidReply, NotFound)):
                await here.listings.refresh(scope)
            assert len(here.ids(scope)) == 20
            source.fail = lambda question: None


async def test_a_conversation_that_is_gone_is_empty_when_the_service_still_lists(tmp_path: Path) -> None:
    source = archive(20)
    source.conversations["77"] = {m.id for m in source.archive}
    async with house(source, tmp_path) as here:
        await here.listings.ensure(CONVERSATION)
        source.fail = lambda question: NotFound("404") if question.scope == CONVERSATION else None
        await here.listings.refresh(CONVERSATION)
        assert here.ids(CONVERSATION) == set()


async def test_a_conversation_is_not_shown_where_all_users_are_not_heeded(tmp_path: Path) -> None:
    source = archive(20)
    source.conversations["77"] = {m.id for m in source.archive}
    source.all_users = True

    class Deaf(MemorySource):
        async def prove_filter(self, scope, *, urgency):  # type: ignore[no-untyped-def]
            if isinstance(scope, User):
                raise FilterRefused("ignored")

    deaf = Deaf(source.archive, source.conversations, all_users=True)
    async with house(deaf, tmp_path) as here:
        with pytest.raises(FilterRefused):
            await here.listings.ensure(CONVERSATION)


@pytest.mark.parametrize("takes", [True, False])
async def test_a_probe_refused_for_its_value_is_told_by_a_true_id(tmp_path: Path, takes: bool) -> None:
    source = archive(20)
    source.conversations["77"] = {m.id for m in source.archive}
    if not takes:
        source.fail = lambda question: (
            ValueRefused("unknown parameter") if question.scope == CONVERSATION else None
        )

    class Picky(MemorySource):
        async def prove_filter(self, scope, *, urgency):  # type: ignore[no-untyped-def]
            raise FilterRefused("400", by_value=True)

    picky = Picky(source.archive, source.conversations, fail=source.fail)
    async with house(picky, tmp_path) as here:
        if takes:
            await here.listings.ensure(CONVERSATION)
            assert len(here.ids(CONVERSATION)) == 20
        else:
            with pytest.raises(FilterRefused):
                await here.listings.ensure(CONVERSATION)
