"""The listings of a drive over Verba: days, users, calls and the newest, as `sync` asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from mediafs.model import (
    AccountName,
    Conversation,
    ConversationId,
    Days,
    Everything,
    Recent,
    User,
    UserId,
)
from mediafs.remote import RemoteAccount
from mediafs.sandbox import Server, World, serve
from mediafs.sandbox.verba_options import VerbaOptions as TwinOptions
from mediafs.sandbox.verba_xml import call_id
from mediafs.vendors.verba import VerbaOptions
from tests.sync.house import NOW, House, day, house
from tests.verba_talk import Unpaced

READINGS: list[dict[str, Any]] = [
    {},
    {"page_base": 1, "page_cap": 40, "sorts": "no"},
    {"pages": False, "zone": "Europe/Paris"},
    {"max_window_days": 31, "nothing_code": -50},
]


@asynccontextmanager
async def home(
    world: World, folder: Path, *, vendor: dict[str, Any] | None = None, since: str | None = None, **twin: Any
) -> AsyncIterator[tuple[House, Server]]:
    box = TwinOptions(**twin)
    async with serve(world, box, vendor="verba") as server:
        given: dict[str, Any] = {
            "base_url": f"{server.url}/verba",
            "api_key": box.api_key,
            "username": box.username,
            "password": box.password,
            "search": True,
            "zone": ZoneInfo(box.zone),
        }
        made = Unpaced(VerbaOptions(**(given | (vendor or {}))))
        options: dict[str, Any] = {"since": date.fromisoformat(since) if since else None}
        async with (
            RemoteAccount(AccountName("sandbox-verba"), made, wall=lambda: NOW) as source,
            house(cast(Any, source), folder, **options) as kept,
        ):
            yield kept, server


def archive(count: int = 200) -> World:
    return World.generate(count, seed=6, first=date(2024, 9, 1), last=date(2024, 11, 30), users=5)


def on(world: World, when: date) -> set[str]:
    return {
        call_id(media.id)
        for media in world
        if media.completed and datetime.fromtimestamp(media.created_s, UTC).date() == when
    }


@pytest.mark.parametrize("twin", READINGS, ids=str)
async def test_every_day_shows_its_calls_and_walking_them_costs_little(
    twin: dict[str, Any], tmp_path: Path
) -> None:
    world = archive()
    async with home(world, tmp_path, **twin) as (kept, server):
        await kept.listings.look_for_the_oldest()
        first = date(2024, 8, 30)
        for step in range(95):
            when = first + timedelta(days=step)
            await kept.listings.ensure(Days(when, when))
            assert kept.ids(Days(when, when)) == on(world, when), when
        assert len(server.requests) < 45, "far from a request a day"
        await kept.listings.ensure(Recent())
        newest = [media for media in world if media.completed][-100:]
        assert kept.ids(Recent()) == {call_id(media.id) for media in newest}


async def test_a_day_of_a_sparse_archive_is_answered_although_nothing_follows(tmp_path: Path) -> None:
    world = World(seed=1)
    world.add(created=datetime(2024, 1, 10, tzinfo=UTC), size=5)
    async with home(world, tmp_path, since="2024-01-01") as (kept, server):
        await kept.listings.ensure(day("2024-01-11"))
        assert kept.ids(day("2024-01-11")) == set()
        await kept.listings.ensure(day("2024-01-10"))
        assert kept.ids(day("2024-01-10")) == {call_id(1)}
        assert len(server.requests) < 40


async def test_users_are_known_once_all_days_are_and_a_new_one_can_be_looked_up(tmp_path: Path) -> None:
    world = archive(60)
    async with home(world, tmp_path) as (kept, _):
        await kept.listings.look_for_the_oldest()
        assert await kept.listings.exists(User(UserId("1002")))
        await kept.listings.ensure(User(UserId("1002")))
        assert kept.ids(User(UserId("1002"))) == {
            call_id(media.id) for media in world if media.completed and media.owner.id == 1002
        }
        assert not await kept.listings.exists(User(UserId("4711")))
        assert kept.listings.refusal("user") is None


async def test_a_call_is_a_conversation_that_can_be_looked_up(tmp_path: Path) -> None:
    world = archive(20)
    async with home(world, tmp_path) as (kept, _):
        scope = Conversation(ConversationId(call_id(5)))
        assert await kept.listings.exists(scope)
        await kept.listings.ensure(scope)
        assert kept.ids(scope) == {call_id(5)}
        assert not await kept.listings.exists(Conversation(ConversationId(call_id(99))))


async def test_a_call_that_was_deleted_at_the_service_is_gone_with_the_next_listing(tmp_path: Path) -> None:
    world = archive(60)
    when = datetime.fromtimestamp(next(iter(world)).created_s, UTC).date()
    async with home(world, tmp_path) as (kept, _):
        await kept.listings.ensure(Days(when, when))
        world.remove(next(iter(world)).id)
        await kept.listings.refresh(Days(when, when))
        assert kept.ids(Days(when, when)) == on(world, when)


async def test_without_search_the_named_calls_are_all_there_is(tmp_path: Path) -> None:
    world = archive(20)
    named = [call_id(number) for number in (3, 8, 99)]
    vendor = {"search": False, "calls": lambda: named}
    async with home(world, tmp_path, vendor=vendor) as (kept, server):
        await kept.listings.ensure(Everything())
        when = datetime.fromtimestamp(world[3].created_s, UTC).date()
        assert kept.ids(Days(when, when)) == {call_id(3)}
        await kept.listings.ensure(Recent())
        assert kept.ids(Recent()) == {call_id(3), call_id(8)}
        assert kept.listings.whole_since() is None, "what is not named is not known"
        assert not [one for one in server.requests if "SearchCalls" in one.query]
