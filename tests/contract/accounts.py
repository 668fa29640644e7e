"""Accounts that the contract is held to: the source in memory, and each vendor through its sandbox."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from mediafs.model import AccountName
from mediafs.remote import RemoteAccount
from mediafs.sandbox import Media as Truth
from mediafs.sandbox import Options, World, serve
from mediafs.sandbox.media import read_all
from mediafs.sandbox.verba_options import VerbaOptions as VerbaTwinOptions
from mediafs.sandbox.verba_xml import call_id
from mediafs.sandbox.veriff_options import VeriffOptions as VeriffTwinOptions
from mediafs.sandbox.veriff_sessions import media_uuid, session_uuid
from mediafs.sandbox.vonage import Vonage as VonageTwin
from mediafs.sandbox.zoom_options import ZoomOptions as ZoomTwinOptions
from mediafs.sandbox.zoom_records import file_id, session_id
from mediafs.source import Source
from mediafs.vendors.apizee import Apizee, ApizeeOptions
from mediafs.vendors.verba import VerbaOptions
from mediafs.vendors.veriff import Veriff, VeriffOptions
from mediafs.vendors.vonage import Vonage, VonageOptions
from mediafs.vendors.zoom import Zoom, ZoomOptions
from tests.fakes import MemorySource, content_of, make_media
from tests.verba_talk import Unpaced

COUNT = 250
TODAY = datetime(2024, 5, 17, 10, tzinfo=UTC)


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
    conversation: str = "77"
    """The id of that conversation at the service."""


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


@asynccontextmanager
async def veriff() -> AsyncIterator[Account]:
    world = World.generate(0, seed=1)
    made = [
        world.add(
            conversation="77" if n % 5 == 0 else None,
            size=1000 + n,
            created=datetime(2024, 2, 1 + n % 28, 10, tzinfo=UTC),
        )
        for n in range(COUNT)
    ]
    async with serve(world, VeriffTwinOptions(attempts=1), vendor="veriff") as server:
        given = server.service.credentials()
        vendor = Veriff(
            VeriffOptions(
                base_url=server.url,
                api_key=given["api_key"],
                shared_secrets=(given["shared_secret"],),
                sessions=lambda: given["sessions"].split(","),
            )
        )
        async with RemoteAccount(AccountName("sandbox-contract"), vendor) as source:
            yield Account(
                source,
                {media_uuid(m.id) for m in made},
                {media_uuid(m.id) for m in made if m.conversation == "77"},
                set(),
                lambda id_: read_all(world[int(id_[-12:], 16)].body),
                conversation=session_uuid("77"),
            )


@asynccontextmanager
async def vonage() -> AsyncIterator[Account]:
    """No conversations, no users, no other filters: the laws about those do not apply."""
    world = World.generate(0, seed=1)
    for n in range(COUNT):
        world.add(size=1000 + n, created=datetime(2024, 2, 1 + n % 28, 10, tzinfo=UTC), filename="test.wav")
    async with serve(world, vendor="vonage") as server:
        twin = server.service
        assert isinstance(twin, VonageTwin)
        held = {twin.id_of(media): media for media in world}
        options = VonageOptions(
            base_url=server.url,
            application_id=twin.options.application_id,
            private_key=twin.options.private_key,
        )
        async with RemoteAccount(AccountName("sandbox-contract"), Vonage(options)) as source:
            yield Account(source, set(held), set(), set(), lambda id_: read_all(held[id_].body))


@asynccontextmanager
async def zoom() -> AsyncIterator[Account]:
    world = World.generate(0, seed=1)
    session = "KkMHZ4y8QhSUWAHi5sWvfg=="
    made = [
        world.add(
            conversation=session if n % 5 == 0 else f"room {n % 3}",
            size=1000 + n,
            created=datetime(2020, 1, 1 + n % 25, 10, tzinfo=UTC),
            media_type="video",
        )
        for n in range(COUNT)
    ]
    options = ZoomTwinOptions()

    def id_of(truth: Truth) -> str:
        start = datetime.fromtimestamp(truth.created_s, UTC)
        what = "shared_screen_with_speaker_view.mp4"
        return f"{session_id(truth)}:{file_id(truth, options)}:{start:%Y%m%dT%H%M%SZ}:{what}"

    # Zoom lists windows of days: not all of the years since there is a Video SDK.
    behind_s = time.time() - datetime(2020, 5, 17, tzinfo=UTC).timestamp()

    def early() -> float:
        return time.time() - behind_s

    async with serve(world, options, vendor="zoom", clock=early) as server:
        vendor = Zoom(
            ZoomOptions(base_url=f"{server.url}/v2", api_key=options.api_key, api_secret=options.api_secret)
        )
        async with RemoteAccount(AccountName("sandbox-contract"), vendor, wall=early) as source:
            yield Account(
                source,
                {id_of(m) for m in made},
                {id_of(m) for m in made if m.conversation == session},
                set(),
                lambda id_: read_all(next(m for m in made if id_of(m) == id_).body),
                conversation=session,
            )


@asynccontextmanager
async def verba() -> AsyncIterator[Account]:
    """No totals, and no filter that could be ignored: what it finds by user is looked at again."""
    world = World.generate(0, seed=1)
    made = [
        world.add(
            conversation="77" if n % 5 == 0 else None,
            size=1000 + n,
            created=datetime(2024, 2, 1 + n % 28, 10, tzinfo=UTC),
        )
        for n in range(COUNT)
    ]
    async with serve(world, VerbaTwinOptions(ranges=True), vendor="verba") as server:
        given = server.service.credentials()
        options = VerbaOptions(
            base_url=f"{server.url}/verba",
            api_key=given["api_key"],
            username=given["username"],
            password=given["password"],
            search=True,
        )
        async with RemoteAccount(AccountName("sandbox-contract"), Unpaced(options)) as source:
            yield Account(
                source,
                {call_id(m.id) for m in made},
                {call_id(m.id) for m in made if m.conversation == "77"},
                {call_id(m.id) for m in made if m.owner.id == 1000},
                lambda id_: read_all(world[int(id_[-12:], 16)].body),
            )


MakeAccount = Callable[..., AbstractAsyncContextManager[Account]]


def of(*makes: MakeAccount) -> pytest.MarkDecorator:
    """A law that holds for these."""
    return pytest.mark.parametrize("make", makes, ids=[make.__name__ for make in makes])


every_archive = of(memory, apizee, vonage, veriff, zoom, verba)
in_date_order = of(memory, apizee, vonage, zoom, verba)
"""Those whose listings can be had by date; others are listed whole only."""
with_totals = of(memory, apizee, vonage)
"""Those that list by date and say of how many media: Zoom says it of sessions, and of a month at most."""
with_conversations = of(memory, apizee, veriff, zoom, verba)
with_users = of(memory, apizee, verba)
with_filters = of(memory, apizee)
"""Those whose listings are narrowed by a filter that a service might ignore."""
