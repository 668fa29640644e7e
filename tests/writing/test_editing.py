"""Edits over a source in memory: confirmed first, then shown; and what becomes of one without an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mediafs.errors import Denied, LocalFailure, MediafsError, NotFound, Unavailable, ValueRefused
from mediafs.model import Edited, Edits, Inode, Media, Urgency
from mediafs.writing import Editing, editing
from mediafs.writing.edits import LOOK_AFTER_S
from tests.fakes import MemorySource, make_media
from tests.sync.house import House, house


@dataclass
class Room:
    editing: Editing
    house: House

    def inode(self, number: int) -> Inode:
        (inode,) = self.house.catalogue.database.execute(
            "SELECT inode FROM media WHERE id = ?", (str(number),)
        ).fetchone()
        return Inode(inode)

    def title(self, number: int) -> str | None:
        media = self.house.catalogue.views.media(self.inode(number))
        return media.title if media else None

    async def edit(self, number: int, **edits: str | None) -> None:
        await self.editing.edit(self.inode(number), edits)


@asynccontextmanager
async def room(folder: Path, source: MemorySource | None = None) -> AsyncIterator[Room]:
    source = source or service()
    async with (
        house(source, folder) as rooms,
        editing(source, rooms.catalogue, emit=rooms.changes.extend) as edits,
    ):
        rooms.catalogue.contents.put(source.archive, rooms.catalogue.database.tick())
        yield Room(edits, rooms)


def service(**options: object) -> MemorySource:
    return MemorySource([make_media(n) for n in range(1, 4)], **options)  # type: ignore[arg-type]


async def test_catalogue_and_kernel_hear_of_it_when_it_returns(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.edit(2, title="new")
        assert here.title(2) == "new"
        assert [change.media for change in here.house.changes] == ["2"]
        assert here.house.source.asked["update"] == 1
        await here.edit(2, latitude="1.5", longitude=None)
        media = here.house.catalogue.views.media(here.inode(2))
        assert media is not None
        assert (media.latitude, media.longitude) == (1.5, None)


@pytest.mark.parametrize("error", [Denied("no"), ValueRefused("no"), Unavailable("away"), NotFound("gone")])
async def test_a_refused_edit_changes_nothing_and_asks_nothing(
    tmp_path: Path, autojump_clock: MockClock, error: MediafsError
) -> None:
    async with room(tmp_path, service(refuse=lambda operation, media: error)) as here:
        with pytest.raises(type(error)):
            await here.edit(2, title="new")
        await trio.sleep(100)
        assert here.title(2) == "title 2"
        assert here.house.changes == []
        assert here.house.source.asked["media"] == 0


async def test_a_value_that_the_service_made_another_of_is_refused_and_shown(tmp_path: Path) -> None:
    class Cutting(MemorySource):
        async def update(self, media: Media, edits: Edits, *, urgency: Urgency) -> Edited:
            done = await super().update(media, {"title": "abc"}, urgency=urgency)
            return replace(done, refused="it keeps another value")

    async with room(tmp_path, Cutting([make_media(2)])) as here:
        with pytest.raises(ValueRefused):
            await here.edit(2, title="abcdef")
        assert here.title(2) == "abc"


async def test_what_is_gone_cannot_be_edited(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        inode = here.inode(2)
        here.house.catalogue.contents.remove(make_media(2).id)
        with pytest.raises(NotFound):
            await here.editing.edit(inode, {"title": "x"})
        assert here.house.source.asked["update"] == 0


class Slow(MemorySource):
    """Does as it is told, and answers when it is let."""

    def __init__(self) -> None:
        super().__init__([make_media(2)])
        self.answers: dict[str, trio.Event] = {}

    async def update(self, media: Media, edits: Edits, *, urgency: Urgency) -> Edited:
        done = await super().update(media, edits, urgency=urgency)
        await self.answers.setdefault(str(edits["title"]), trio.Event()).wait()
        return done


async def test_edits_of_one_media_go_one_after_the_other(tmp_path: Path) -> None:
    """Else the answer that comes last is shown, and not the one that was given last."""
    source = Slow()
    async with room(tmp_path, source) as here:
        async with trio.open_nursery() as nursery:
            for title in ("first", "second"):
                nursery.start_soon(partial(here.edit, 2, title=title))
                await trio.testing.wait_all_tasks_blocked()
            source.answers.setdefault("second", trio.Event()).set()
            await trio.testing.wait_all_tasks_blocked()
            source.answers["first"].set()
        assert here.title(2) == source.archive[0].title == "second"
        assert here.editing._locks == {}


async def test_a_page_that_was_asked_for_before_does_not_undo_it(tmp_path: Path) -> None:
    source = Slow()
    async with room(tmp_path, source) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(here.edit, 2, title="new"))
            await trio.testing.wait_all_tasks_blocked()
            clock = here.house.catalogue.database.tick()  # a page is asked for, and shows the old title
            source.answers["new"].set()
        here.house.catalogue.contents.put([make_media(2)], clock)
        assert here.title(2) == "new"
        here.house.catalogue.contents.put(
            [make_media(2, title="later")], here.house.catalogue.database.tick()
        )
        assert here.title(2) == "later", "the later writer wins"


async def test_an_answer_that_comes_after_the_deletion_does_not_bring_it_back(tmp_path: Path) -> None:
    source = Slow()
    failed = []

    async def edit(here: Room) -> None:
        with pytest.raises(NotFound):
            await here.edit(2, title="new")
        failed.append(1)

    async with room(tmp_path, source) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edit, here)
            await trio.testing.wait_all_tasks_blocked()
            here.house.catalogue.contents.remove(make_media(2).id)
            source.answers["new"].set()
        assert failed == [1]
        assert here.title(2) is None


# --- without an answer -----------------------------------------------------------------------------


async def test_a_deadline_ends_it_and_what_became_of_it_is_found_out(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    source = Slow()
    async with room(tmp_path, source) as here:
        with trio.move_on_after(15) as scope:
            await here.edit(2, title="new")
        assert scope.cancelled_caught
        assert here.title(2) == "title 2"
        await trio.sleep(LOOK_AFTER_S[0] + 1)
        assert here.title(2) == "new"
        assert source.asked["update"] == 1, "nothing is sent again"


async def test_nothing_is_sent_later(tmp_path: Path, autojump_clock: MockClock) -> None:
    def refuse(operation: str, media: Media) -> MediafsError:
        error = Unavailable("cut")
        error.undecided = True
        return error

    async with room(tmp_path, service(refuse=refuse)) as here:
        with pytest.raises(Unavailable):
            await here.edit(2, title="new")
        await trio.sleep(1000)
        assert here.house.source.asked["update"] == 1
        assert here.house.source.asked["media"] == 1
        assert here.title(2) == "title 2"


@pytest.mark.parametrize("broken", ["service", "database"])
async def test_finding_out_goes_on_for_a_while_and_never_ends_the_mount(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    source = Slow()
    asked = []

    async def away(media: Media, *, urgency: Urgency) -> Media:
        asked.append(trio.current_time())
        raise Unavailable("away")

    def fails(*args: object) -> int:
        asked.append(trio.current_time())
        raise LocalFailure("the disk is broken")

    async with room(tmp_path, source) as here:
        if broken == "service":
            monkeypatch.setattr(source, "media", away)
        else:
            monkeypatch.setattr(type(here.house.catalogue.database), "tick", fails)
        with trio.move_on_after(1):
            await here.edit(2, title="new")
        await trio.sleep(sum(LOOK_AFTER_S) + 1)
        assert len(asked) == len(LOOK_AFTER_S)
        assert here.title(2) == "title 2"


async def test_one_that_was_deleted_meanwhile_is_found_gone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    source = Slow()
    async with room(tmp_path, source) as here:
        with trio.move_on_after(1):
            await here.edit(2, title="new")
        source.archive.clear()
        await trio.sleep(LOOK_AFTER_S[0] + 1)
        assert here.title(2) is None
