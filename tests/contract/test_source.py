"""What every `Source` promises, of the one in memory and of each vendor through its sandbox.

The fake that other rooms are tested with is held to the same law as the real thing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
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
from mediafs.sandbox.media import read_all
from mediafs.source import Source
from mediafs.vendors.apizee import Apizee, ApizeeOptions
from tests.fakes import MemorySource, content_of, make_media

COUNT = 250
TODAY = datetime(2024, 5, 17, 10, tzinfo=UTC)
PERSON = Urgency.PERSON


@dataclass
class Account:
    """A source over COUNT media, and what is true of them."""

    source: Source
    ids: set[str]
    members: set[str]
    """Ids in conversation 77."""
    owned: set[str]
    """Ids of user 1000."""
    content: Callable[[str], bytes]


@asynccontextmanager
async def memory(*, filters_work: bool = True) -> AsyncIterator[Account]:
    media = [make_media(n, owner="1000" if n % 3 else "1001") for n in range(1, COUNT + 1)]
    source = MemorySource(media, filters_work=filters_work)
    source.conversations["77"] = {m.id for m in media if int(m.id) % 5 == 0}
    yield Account(
        source,
        {m.id for m in media},
        {str(i) for i in source.conversations["77"]},
        {m.id for m in media if m.owner and m.owner.id == "1000"},
        lambda id_: content_of(next(m for m in media if m.id == id_)),
    )


@asynccontextmanager
async def apizee(*, filters_work: bool = True) -> AsyncIterator[Account]:
    world = World.generate(0, seed=1)
    made = [
        world.add(
            conversation="77" if n % 5 == 0 else None,
            size=1000 + n,
            created=datetime(2024, 2, 1 + n % 28, 10, tzinfo=UTC),
        )
        for n in range(COUNT)
    ]
    options = Options() if filters_work else Options(conversation_parameter="other", user_parameter="who")
    vendor_options = {} if filters_work else {"user": None}
    async with serve(world, options) as server:
        vendor = Apizee(
            ApizeeOptions(base_url=server.url, token=options.token, **{"user": "all", **vendor_options})  # type: ignore[arg-type]
        )
        async with RemoteAccount(AccountName("sandbox-contract"), vendor) as source:
            yield Account(
                source,
                {str(m.id) for m in made},
                {str(m.id) for m in made if m.conversation == "77"},
                {str(m.id) for m in made if m.owner and str(m.owner.id) == "1000"},
                lambda id_: read_all(world[int(id_)].body),
            )


MakeAccount = Callable[..., AbstractAsyncContextManager[Account]]
every_source = pytest.mark.parametrize("make", [memory, apizee], ids=["memory", "apizee"])


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


@every_source
async def test_all_pages_together_hold_every_media_once(make: MakeAccount) -> None:
    async with make() as account:
        found = await all_pages(account.source, Question())
        assert sorted(m.id for m in found) == sorted(account.ids)


@every_source
@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_come_in_the_order_asked_for(make: MakeAccount, newest_first: bool) -> None:
    async with make() as account:
        found = await all_pages(account.source, Question(newest_first=newest_first))
        created = [m.created for m in found]
        assert created == sorted(created, reverse=newest_first)


@every_source
async def test_the_total_counts_the_whole_question(make: MakeAccount) -> None:
    async with make() as account:
        page = await account.source.page(Question(limit=7), urgency=PERSON)
        assert page.total == COUNT
        assert len(page.media) == 7


@every_source
async def test_bounds_are_included(make: MakeAccount) -> None:
    async with make() as account:
        everything = await all_pages(account.source, Question())
        middle = everything[COUNT // 2].created
        found = await all_pages(account.source, Question(since=middle, until=middle))
        assert {m.id for m in everything if m.created == middle} <= {m.id for m in found}


@every_source
async def test_a_question_about_another_century_is_answered_with_nothing(make: MakeAccount) -> None:
    async with make() as account:
        page = await account.source.page(Question(until=datetime(1999, 1, 1, tzinfo=UTC)), urgency=PERSON)
        assert page == Page(media=(), total=0, next=None)


@every_source
async def test_filters_filter(make: MakeAccount) -> None:
    async with make() as account:
        scope = Conversation(ConversationId("77"))
        assert {m.id for m in await all_pages(account.source, Question(scope=scope))} == account.members
        owned = await all_pages(account.source, Question(scope=User(UserId("1000"))))
        assert {m.id for m in owned} == account.owned
        await account.source.prove_filter(scope, urgency=PERSON)
        await account.source.prove_filter(User(UserId("")), urgency=PERSON)


@every_source
async def test_a_filter_that_is_ignored_is_found_out(make: MakeAccount) -> None:
    async with make(filters_work=False) as account:
        for scope in (Conversation(ConversationId("77")), User(UserId("1000"))):
            with pytest.raises(FilterRefused):
                await account.source.prove_filter(scope, urgency=PERSON)


@every_source
async def test_a_record_is_the_one_that_was_listed(make: MakeAccount) -> None:
    async with make() as account:
        page = await account.source.page(Question(limit=1), urgency=PERSON)
        assert await account.source.media(page.media[0], urgency=PERSON) == page.media[0]


@every_source
async def test_what_is_not_there_is_not_found(make: MakeAccount) -> None:
    async with make() as account:
        with pytest.raises(NotFound):
            await account.source.media(make_media(987654), urgency=PERSON)
        with pytest.raises(NotFound):
            async with account.source.body(make_media(987654), Span(0), urgency=PERSON):
                pass


@every_source
@pytest.mark.parametrize("span", [Span(0), Span(100), Span(10, 300)])
async def test_a_body_is_the_span_asked_for(make: MakeAccount, span: Span) -> None:
    async with make() as account:
        page = await account.source.page(Question(limit=1), urgency=PERSON)
        media = page.media[0]
        async with account.source.body(media, span, urgency=PERSON) as body:
            content = b"".join([chunk async for chunk in body.chunks])
        assert body.start == span.start
        assert body.total in (media.size, None)
        assert content == account.content(media.id)[span.start : span.stop]


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
