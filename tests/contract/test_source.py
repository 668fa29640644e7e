"""What every `Source` promises, of the one in memory and of each vendor through its sandbox.

The fake that other rooms are tested with is held to the same law as the real thing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mediafs.errors import FilterRefused, NotFound
from mediafs.model import (
    AccountName,
    Conversation,
    ConversationId,
    Media,
    Only,
    Page,
    Question,
    Span,
    Urgency,
    User,
    UserId,
)
from mediafs.remote import RemoteAccount
from mediafs.sandbox import Options, World, serve
from mediafs.source import Source
from mediafs.vendors.apizee import Apizee, ApizeeOptions
from tests.contract.accounts import (
    COUNT,
    TODAY,
    MakeAccount,
    every_archive,
    in_date_order,
    with_conversations,
    with_filters,
    with_totals,
    with_users,
)
from tests.fakes import make_media

PERSON = Urgency.PERSON


async def all_pages(source: Source, question: Question) -> list[Media]:
    found: list[Media] = []
    while True:
        page: Page = await source.page(question, urgency=PERSON)
        found += page.media
        if page.next is None:
            return found
        question = Question(
            scope=question.scope,
            since=question.since,
            until=question.until,
            newest_first=question.newest_first,
            cursor=page.next,
            limit=question.limit,
        )


@every_archive
async def test_all_pages_together_hold_every_media_once(make: MakeAccount) -> None:
    async with make() as account:
        found = await all_pages(account.source, Question())
        assert sorted(m.id for m in found) == sorted(account.ids)


@in_date_order
@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_come_in_the_order_asked_for(make: MakeAccount, newest_first: bool) -> None:
    async with make() as account:
        found = await all_pages(account.source, Question(newest_first=newest_first))
        created = [m.created for m in found]
        assert created == sorted(created, reverse=newest_first)


@with_totals
async def test_the_total_counts_the_whole_question(make: MakeAccount) -> None:
    async with make() as account:
        page = await account.source.page(Question(limit=7), urgency=PERSON)
        assert page.total == COUNT
        assert len(page.media) == 7


@every_archive
async def test_bounds_are_included(make: MakeAccount) -> None:
    async with make() as account:
        everything = await all_pages(account.source, Question())
        middle = everything[COUNT // 2].created
        found = await all_pages(account.source, Question(since=middle, until=middle))
        assert {m.id for m in everything if m.created == middle} <= {m.id for m in found}


@in_date_order
async def test_a_question_about_another_century_is_answered_with_nothing(make: MakeAccount) -> None:
    async with make() as account:
        page = await account.source.page(Question(until=datetime(1999, 1, 1, tzinfo=UTC)), urgency=PERSON)
        assert page in (Page(media=(), total=0, next=None), Page(media=(), total=None, next=None))


@with_conversations
async def test_a_conversation_holds_its_own_media(make: MakeAccount) -> None:
    async with make() as account:
        scope = Conversation(ConversationId(account.conversation))
        assert {m.id for m in await all_pages(account.source, Question(scope=scope))} == account.members
        await account.source.prove_filter(scope, urgency=PERSON)


@with_users
async def test_a_user_has_his_own_media(make: MakeAccount) -> None:
    async with make() as account:
        owned = await all_pages(account.source, Question(scope=User(UserId("1000"))))
        assert {m.id for m in owned} == account.owned


@with_filters
async def test_filters_filter(make: MakeAccount) -> None:
    async with make() as account:
        scope = Conversation(ConversationId("77"))
        assert {m.id for m in await all_pages(account.source, Question(scope=scope))} == account.members
        owned = await all_pages(account.source, Question(scope=User(UserId("1000"))))
        assert {m.id for m in owned} == account.owned
        await account.source.prove_filter(scope, urgency=PERSON)
        await account.source.prove_filter(User(UserId("")), urgency=PERSON)


@with_filters
async def test_a_filter_that_is_ignored_is_found_out(make: MakeAccount) -> None:
    async with make(filters_work=False) as account:
        for scope in (Conversation(ConversationId("77")), User(UserId("1000"))):
            with pytest.raises(FilterRefused):
                await account.source.prove_filter(scope, urgency=PERSON)


@every_archive
async def test_a_record_is_the_one_that_was_listed(make: MakeAccount) -> None:
    async with make() as account:
        page = await account.source.page(Question(limit=1), urgency=PERSON)
        assert await account.source.media(page.media[0], urgency=PERSON) == page.media[0]


@in_date_order
async def test_a_record_that_is_not_there_is_not_found(make: MakeAccount) -> None:
    async with make() as account:
        with pytest.raises(NotFound):
            await account.source.media(make_media(987654), urgency=PERSON)


@every_archive
async def test_a_body_that_is_not_there_is_not_found(make: MakeAccount) -> None:
    async with make() as account:
        with pytest.raises(NotFound):
            async with account.source.body(make_media(987654), Span(0), urgency=PERSON):
                pass


@every_archive
@pytest.mark.parametrize("span", [Span(0), Span(100), Span(10, 300)])
async def test_a_body_is_the_span_asked_for(make: MakeAccount, span: Span) -> None:
    async with make() as account:
        page = await account.source.page(Question(limit=1), urgency=PERSON)
        media = page.media[0]
        async with account.source.body(media, span, urgency=PERSON) as body:
            content = b"".join([chunk async for chunk in body.chunks])
        assert body.start == span.start
        assert media.size is None or body.total in (media.size, None)
        assert content == account.content(media.id)[span.start : span.stop]


@every_archive
async def test_what_a_service_has_to_spare_is_less_for_what_is_fetched_ahead(make: MakeAccount) -> None:
    """Or nothing is known of a limit."""
    async with make() as account:
        await account.source.page(Question(limit=1), urgency=PERSON)
        mine, ahead = account.source.spare(PERSON), account.source.spare(Urgency.PREFETCH)
        assert (mine is None) == (ahead is None)
        assert mine is None or ahead is None or 0 <= ahead < mine


async def test_every_filter_of_the_apizee_listing_narrows_it() -> None:
    world = World.generate(0, seed=1)
    world.add(media_type="image", source_type="unknown", title="a red door", tags=("north",), created=TODAY)
    world.add(media_type="video", source_type="screen", title="a blue door", created=TODAY)
    world.add(media_type="image", source_type="screen", title="a window", status="in_progress", created=TODAY)
    async with serve(world, Options()) as server:
        vendor = Apizee(
            ApizeeOptions(base_url=server.url, token=server.service.credentials()["token"], user="all")
        )
        async with RemoteAccount(AccountName("sandbox-contract"), vendor) as source:

            async def titles(**only: Any) -> list[str]:
                page = await source.page(Question(only=Only(**only)), urgency=PERSON)
                return sorted(m.title or "" for m in page.media)

            assert await titles() == ["a blue door", "a red door"]
            assert await titles(media_type="video") == ["a blue door"]
            assert await titles(source_type="unknown") == ["a red door"]
            assert await titles(search="blue") == ["a blue door"]
            assert await titles(tag="north") == ["a red door"]
            assert await titles(statuses=("in_progress",)) == ["a window"]
            assert len(await titles(statuses=("in_progress", "completed"))) == 3
            assert await titles(group="987") == []
