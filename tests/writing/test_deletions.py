"""Deletions over a source in memory: what is sent, what counts, what is kept, and in which order."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mediafs.errors import (
    Denied,
    Forbidden,
    Late,
    LocalFailure,
    MediafsError,
    NoRoom,
    NotFound,
    Unavailable,
    Unsupported,
)
from mediafs.model import (
    Change,
    ChangeKind,
    Conversation,
    ConversationId,
    Erased,
    Inode,
    Media,
    Removal,
    Requester,
    Urgency,
)
from mediafs.writing import Deletions, Journal, Policy, deleting
from mediafs.writing.deletions import KEEP_ATTEMPTS_S, LOOK_AFTER_S
from tests.fakes import MemorySource, make_media
from tests.sync.house import House, house

WHO = Requester(uid=1000, pid=4711, program="rm")


@dataclass
class Service(MemorySource):
    """Answers deletions as late, or as badly, as a test wants."""

    before_erase: Callable[[], object] = lambda: None
    answers: trio.Event | None = None
    """Deletions are carried out at once, and answered when this is set."""
    reached: trio.Event = field(default_factory=trio.Event)

    async def erase(self, media: Media, removal: Removal, *, urgency: Urgency) -> Erased:
        self.before_erase()
        self.reached.set()
        erased = await super().erase(media, removal, urgency=urgency)
        if self.answers is not None:
            await self.answers.wait()
        return erased


@dataclass
class Room:
    deletions: Deletions
    house: House
    folder: Path
    changes: list[Change] = field(default_factory=list)

    def inode(self, number: int) -> Inode:
        (inode,) = self.house.catalogue.database.execute(
            "SELECT inode FROM media WHERE id = ?", (str(number),)
        ).fetchone()
        return Inode(inode)

    def knows(self, number: int) -> bool:
        return self.house.catalogue.views.media(self.inode(number)) is not None

    async def erase(self, number: int, **more: object) -> None:
        await self.deletions.erase(self.inode(number), WHO, **more)  # type: ignore[arg-type]

    def lines(self) -> list[dict[str, object]]:
        path = self.folder / "deletions.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def answers(self) -> list[object]:
        return [line["answer"] for line in self.lines()]

    def state(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / "deletions.state").read_text())
        return found


@pytest.fixture
def patient_clock() -> MockClock:
    """Time that jumps when nothing is left to do; a thread that writes is something to do."""
    return MockClock(autojump_threshold=0.1)


@asynccontextmanager
async def room(
    folder: Path,
    source: MemorySource | None = None,
    *,
    policy: Policy = Policy.PERMANENT,
    limit: int = 100,
    journal: Journal | None = None,
    emit: Callable[[Sequence[Change]], None] = lambda changes: None,
    at: float | None = None,
) -> AsyncIterator[Room]:
    source = source or service(9)
    async with house(source, folder) as rooms:
        rooms.clock[0] = at or rooms.clock[0]
        changes: list[Change] = []

        def emitted(news: Sequence[Change]) -> None:
            changes.extend(news)
            emit(news)

        async with deleting(
            source,
            rooms.catalogue,
            journal or Journal(folder),
            policy=policy,
            limit=limit,
            emit=emitted,
            wall_clock=lambda: rooms.clock[0],
        ) as deletions:
            clock = rooms.catalogue.database.tick()
            rooms.catalogue.contents.put(source.archive, clock)
            yield Room(deletions, rooms, folder, changes)


def service(count: int, **options: object) -> Service:
    return Service([make_media(n) for n in range(1, count + 1)], **options)  # type: ignore[arg-type]


def undecided(error: MediafsError) -> MediafsError:
    error.undecided = True
    return error


@contextmanager
def crash() -> Iterator[None]:
    """The program ends here, with nothing done any more."""
    with pytest.raises(BaseExceptionGroup) as caught:
        yield
    assert caught.group_contains(SystemExit, depth=None)


# --- what is sent ----------------------------------------------------------------------------------


async def test_the_service_is_asked_once_and_then_it_is_gone(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.erase(3)
        assert here.house.source.asked["erase"] == 1
        assert "3" not in {m.id for m in here.house.source.archive}
        assert not here.knows(3)
        assert here.knows(4)
        (change,) = here.changes
        assert (change.kind, change.media) == (ChangeKind.REMOVED, "3")


async def test_under_deny_nothing_is_sent(tmp_path: Path) -> None:
    async with room(tmp_path, policy=Policy.DENY) as here:
        with pytest.raises(Forbidden, match="deny"):
            await here.erase(3)
        assert here.house.source.asked["erase"] == 0
        assert here.knows(3)
        assert not (tmp_path / "deletions.jsonl").exists()
        assert not (tmp_path / "deletions.state").exists()


async def test_under_trash_the_trash_is_meant(tmp_path: Path) -> None:
    removals = []

    class Bin(Service):
        async def erase(self, media: Media, removal: Removal, *, urgency: Urgency) -> Erased:
            removals.append(removal)
            return Erased(answer="moved")

    async with room(tmp_path, Bin([make_media(3)]), policy=Policy.TRASH) as here:
        await here.erase(3)
        assert removals == [Removal.TRASH]
        assert here.lines()[0]["policy"] == "trash"


async def test_what_is_gone_cannot_be_deleted_again(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        inode = here.inode(3)
        await here.erase(3)
        with pytest.raises(NotFound):
            await here.deletions.erase(inode, WHO)
        assert here.house.source.asked["erase"] == 1


async def test_two_who_delete_one_media_send_one_request(tmp_path: Path) -> None:
    source = service(3, answers=trio.Event())
    async with room(tmp_path, source) as here:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(here.erase, 2)
            await source.reached.wait()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert source.answers is not None
            source.answers.set()
        assert source.asked["erase"] == 1
        assert len(here.lines()) == 1
        assert here.deletions.state().done == 1


async def test_two_who_delete_one_media_share_a_refusal(tmp_path: Path) -> None:
    source = service(3, refuse=lambda operation, media: Denied("no"))
    refused = []

    async def try_it(here: Room) -> None:
        with pytest.raises(Denied):
            await here.erase(2)
        refused.append(1)

    async with room(tmp_path, source) as here, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(try_it, here)
    assert len(refused) == 2
    assert source.asked["erase"] == 1


# --- what counts -----------------------------------------------------------------------------------


async def test_the_brake_stops_it_and_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with room(tmp_path, limit=2) as here:
        for number in (1, 2):
            await here.erase(number)
        for number in (3, 4):
            with pytest.raises(Forbidden, match="allow-deletes"):
                await here.erase(number)
        assert here.house.source.asked["erase"] == 2
        assert [r.levelname for r in caplog.records].count("WARNING") == 1, "said once, not for each file"
        state = here.deletions.state()
        assert (state.limit, state.done, state.left, state.latched) == (2, 2, 0, True)
        await here.deletions.allow(1)
        await here.erase(3)
        with pytest.raises(Forbidden):
            await here.erase(4)
        assert (await here.deletions.allow(None)).left == 2


async def test_what_was_gone_already_is_done_and_does_not_count(tmp_path: Path) -> None:
    source = service(5)
    async with room(tmp_path, source, limit=1) as here:
        for number in (1, 2, 3):
            source.archive = [m for m in source.archive if m.id != str(number)]
            await here.erase(number)
            assert not here.knows(number)
        assert here.deletions.state().done == 0
        assert here.answers() == ["not there"] * 3


@pytest.mark.parametrize("error", [Denied("no"), Late("wait"), Unavailable("not sent"), NotFound("?")])
async def test_what_the_service_refused_does_not_count(tmp_path: Path, error: MediafsError) -> None:
    source = service(5, refuse=lambda operation, media: error)
    async with room(tmp_path, source, limit=1) as here:
        for number in (1, 2, 3):
            with pytest.raises(type(error)):
                await here.erase(number)
            assert here.knows(number)
        assert here.deletions.state().done == 0
        assert all(str(answer).startswith("not carried out") for answer in here.answers())
        assert here.state()["under_way"] == []


async def test_a_service_that_cannot_delete_is_our_policys_refusal(tmp_path: Path) -> None:
    async with room(tmp_path, service(5, refuse=lambda operation, media: Unsupported("no way"))) as here:
        with pytest.raises(Forbidden):
            await here.erase(1)


async def test_the_brake_is_kept_over_a_restart(tmp_path: Path) -> None:
    source = service(9)
    async with room(tmp_path, source, limit=2) as here:
        for number in (1, 2):
            await here.erase(number)
        with pytest.raises(Forbidden):
            await here.erase(3)
    async with room(tmp_path, source, limit=2) as here:
        assert here.deletions.state().latched
        with pytest.raises(Forbidden):
            await here.erase(3)


async def test_somebody_who_goes_on_trying_is_not_taken_for_quiet_by_the_next_process(tmp_path: Path) -> None:
    """An `rm -rf` at work for hours, and a daemon that is killed: the brake must not open."""
    source = service(9)
    try_every_s = KEEP_ATTEMPTS_S / 2
    with crash():
        async with room(tmp_path, source, limit=1) as here:
            await here.erase(1)
            for _ in range(int(4000 / try_every_s)):
                here.house.clock[0] += try_every_s
                with pytest.raises(Forbidden):
                    await here.erase(2)
            ended = here.house.clock[0]
            raise SystemExit
    async with room(tmp_path, source, limit=1, at=ended + 60) as here:
        assert here.deletions.state().latched
        with pytest.raises(Forbidden):
            await here.erase(2)


# --- the order of things ---------------------------------------------------------------------------


async def test_the_disk_knows_of_it_before_the_service_does(tmp_path: Path) -> None:
    seen: list[object] = []
    source = service(
        3, before_erase=lambda: seen.append(json.loads((tmp_path / "deletions.state").read_text()))
    )
    async with room(tmp_path, source) as here:
        await here.erase(2)
        (state,) = seen
        assert isinstance(state, dict)
        (line,) = state["under_way"]
        assert (line["media"], line["program"], line["answer"]) == ("2", "rm", None)
        assert here.state()["under_way"] == []


async def test_catalogue_memory_and_kernel_forget_only_after_the_service_has_confirmed(
    tmp_path: Path,
) -> None:
    source = service(3, answers=trio.Event())
    async with room(tmp_path, source) as here, trio.open_nursery() as nursery:
        nursery.start_soon(here.erase, 2)
        await source.reached.wait()
        assert here.knows(2)
        assert here.changes == []
        assert source.answers is not None
        source.answers.set()


async def test_when_it_returns_the_text_is_gone_and_the_line_is_written(tmp_path: Path) -> None:
    found: list[bool] = []

    def look(changes: Sequence[Change]) -> None:
        on_disk = b"".join(path.read_bytes() for path in tmp_path.glob("catalogue.sqlite3*"))
        found.append(b"a secret title" in on_disk)

    source = Service([make_media(1, title="a secret title"), make_media(2)])
    async with room(tmp_path, source, emit=look) as here:
        look([])
        await here.erase(1)
        assert found == [True, False], "gone from file and journal before the kernel hears of it"
        assert len(here.lines()) == 1


async def test_the_typed_name_is_left_to_the_kernel(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        directories = here.house.catalogue.directories
        recent, _ = directories.get("view", "recent")
        day, _ = directories.get("day", str(make_media(3).created.date().toordinal()))
        name = make_media(3).filename
        await here.erase(3, typed=(recent, name))
        (change,) = here.changes
        assert change.places == ((day, name),)


async def test_a_line_says_who_what_and_how(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.erase(3, typed=(Inode(5), "a name.png"))
        assert here.lines() == [
            {
                "time": "2025-01-15T12:00:00.000+00:00",
                "uid": 1000,
                "pid": 4711,
                "program": "rm",
                "media": "3",
                "name": "a name.png",
                "policy": "permanent",
                "answer": "done",
            }
        ]


# --- when no answer comes --------------------------------------------------------------------------


async def test_a_deletion_without_an_answer_is_looked_into(tmp_path: Path, patient_clock: MockClock) -> None:
    source = service(3, answers=trio.Event())  # it does it, and never says so
    async with room(tmp_path, source) as here:
        with trio.move_on_after(70) as scope:
            await here.erase(2)
        assert scope.cancelled_caught
        assert here.knows(2), "not known yet"
        assert here.deletions.state().left == 99, "it is counted until it is known"
        await trio.sleep(LOOK_AFTER_S[0] + 1)
        assert not here.knows(2)
        assert here.answers() == ["not known: no answer within the deadline; found gone afterwards"]
        assert here.deletions.state().done == 1
        assert [c.kind for c in here.changes] == [ChangeKind.REMOVED]
        assert source.asked["erase"] == 1, "nothing is sent again"


@pytest.mark.parametrize("done", [True, False])
async def test_an_undecided_failure_is_looked_into(
    tmp_path: Path, patient_clock: MockClock, done: bool
) -> None:
    source = service(3)

    def refuse(operation: str, media: Media) -> MediafsError:
        if done:
            source.archive = [m for m in source.archive if m.id != media.id]
        return undecided(Unavailable("the connection broke"))

    source.refuse = refuse
    async with room(tmp_path, source) as here:
        with pytest.raises(Unavailable):
            await here.erase(2)
        await trio.sleep(LOOK_AFTER_S[0] + 1)
        assert here.knows(2) is not done
        assert here.deletions.state().done == done
        (answer,) = here.answers()
        assert str(answer).endswith("found gone afterwards" if done else "still there afterwards")


async def test_where_the_service_stays_away_it_counts_as_carried_out(
    tmp_path: Path, patient_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = service(3, refuse=lambda operation, media: undecided(Unavailable("cut")))

    async def away(media: Media, *, urgency: Urgency) -> Media:
        source.asked["media"] += 1
        raise Unavailable("away")

    monkeypatch.setattr(source, "media", away)
    async with room(tmp_path, source) as here:
        with pytest.raises(Unavailable):
            await here.erase(2)
        await trio.sleep(sum(LOOK_AFTER_S) + 1)
        assert source.asked["media"] == len(LOOK_AFTER_S)
        assert here.deletions.state().done == 1
        assert here.answers() == ["not known: cut"]
        assert here.state()["under_way"] == []


async def test_a_second_try_while_the_first_is_unknown_ends_right(
    tmp_path: Path, patient_clock: MockClock
) -> None:
    source = service(3, answers=trio.Event())
    async with room(tmp_path, source) as here:
        with trio.move_on_after(1):
            await here.erase(2)
        source.answers = None
        await here.erase(2)
        await trio.sleep(LOOK_AFTER_S[0] + 1)
        assert not here.knows(2)
        assert here.deletions.state().done == 1
        assert len(here.lines()) == 2


async def test_who_waits_for_anothers_deletion_hears_that_it_is_not_known(
    tmp_path: Path, patient_clock: MockClock
) -> None:
    source = service(3, answers=trio.Event())
    heard = []

    async def second(here: Room) -> None:
        await trio.sleep(0.5)
        with pytest.raises(Late, match="not known"):
            await here.erase(2)
        heard.append(1)

    async with room(tmp_path, source) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(second, here)
            with trio.move_on_after(1):
                await here.erase(2)
        assert heard == [1]


# --- when something of ours fails ------------------------------------------------------------------


class Disk(Journal):
    """A journal on a disk that is full at times."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.full: set[str] = set()

    def keep(self, state: object) -> None:
        if "keep" in self.full:
            raise NoRoom("no room")
        super().keep(state)  # type: ignore[arg-type]

    def write(self, line: object) -> None:
        if "write" in self.full:
            raise NoRoom("no room")
        super().write(line)  # type: ignore[arg-type]


async def test_nothing_is_deleted_that_cannot_be_recorded(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    async with room(tmp_path, journal=disk) as here:
        disk.full = {"keep"}
        with pytest.raises(NoRoom):
            await here.erase(2)
        assert here.house.source.asked["erase"] == 0
        disk.full = set()
        await here.erase(2)
        assert here.deletions.state().done == 1
        assert here.deletions.state().left == 99


async def test_a_line_that_finds_no_room_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(tmp_path)
    async with room(tmp_path, journal=disk) as here:
        disk.full = {"write"}
        await here.erase(2)
        assert not here.knows(2)
        assert "not recorded yet" in caplog.text
        assert here.lines() == []
        disk.full = set()
        await here.erase(3)
        assert [line["media"] for line in here.lines()] == ["2", "3"]
        assert here.state()["unwritten"] == []


async def test_a_line_that_finds_no_room_is_written_by_the_next_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, disk = service(5), Disk(tmp_path)
    async with room(tmp_path, source, journal=disk) as here:
        disk.full = {"write"}
        await here.erase(2)
    async with room(tmp_path, source, journal=disk) as here:
        assert here.lines() == [], "a full disk does not keep the mount from starting"
        disk.full = set()
        await here.erase(3)
        assert [(line["media"], line["answer"]) for line in here.lines()] == [("2", "done"), ("3", "done")]
        assert here.deletions.state().done == 2


async def test_a_catalogue_that_fails_does_not_hide_that_the_service_did_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, limit=1) as here:
        with monkeypatch.context() as patch:
            patch.setattr(type(here.house.catalogue.contents), "remove", _fails)
            with pytest.raises(LocalFailure):
                await here.erase(2)
        assert here.answers() == ["done"]
        assert here.deletions.state().done == 1
        assert here.state()["under_way"] == []


async def test_the_kernel_hears_of_it_although_the_journal_of_the_database_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path) as here:
        monkeypatch.setattr(type(here.house.catalogue.database), "scrub", _fails)
        with pytest.raises(LocalFailure):
            await here.erase(2)
        assert [c.kind for c in here.changes] == [ChangeKind.REMOVED]


@pytest.mark.parametrize("broken", ["tick", "remove"])
async def test_looking_again_on_a_broken_database_does_not_end_the_mount(
    tmp_path: Path, patient_clock: MockClock, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    source = service(3, answers=trio.Event())
    async with room(tmp_path, source) as here:
        catalogue = here.house.catalogue
        owner = type(catalogue.database if broken == "tick" else catalogue.contents)
        monkeypatch.setattr(owner, broken, _fails)
        with trio.move_on_after(1):
            await here.erase(2)
        await trio.sleep(sum(LOOK_AFTER_S) + 1)
        assert here.answers() == ["not known: no answer within the deadline"]


def _fails(*args: object, **more: object) -> None:
    raise LocalFailure("the disk is broken")


async def test_a_bug_in_the_source_leaves_no_deletion_uncounted(
    tmp_path: Path, patient_clock: MockClock
) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    async with room(tmp_path, service(3, before_erase=bug)) as here:
        with pytest.raises(ZeroDivisionError):
            await here.erase(2)
        await trio.sleep(LOOK_AFTER_S[0] + 1)
        assert here.answers() == ["not known: ZeroDivisionError; still there afterwards"]
        assert here.deletions.state().left == 100


# --- crashes ---------------------------------------------------------------------------------------


async def test_a_crash_before_the_answer_leaves_a_line_and_counts(tmp_path: Path) -> None:
    source = service(5, before_erase=_crash)
    with crash():
        async with room(tmp_path, source) as here:
            await here.erase(2)
    async with room(tmp_path, service(5)) as here:
        (line,) = here.lines()
        assert (line["media"], line["program"]) == ("2", "rm")
        assert line["answer"] == "not known: the program ended before the answer"
        assert here.deletions.state().done == 1
        assert here.state()["under_way"] == []
    async with room(tmp_path, service(5)) as here:
        assert len(here.lines()) == 1, "once"
        assert here.deletions.state().done == 1


def _crash() -> None:
    raise SystemExit


async def test_a_crash_between_the_line_and_the_state_writes_no_second_line(tmp_path: Path) -> None:
    class Crashing(Journal):
        def write(self, line: object) -> None:
            super().write(line)  # type: ignore[arg-type]
            raise SystemExit

    with crash():
        async with room(tmp_path, journal=Crashing(tmp_path)) as here:
            await here.erase(2)
    async with room(tmp_path, service(5)) as here:
        assert here.answers() == ["done"]
        assert here.deletions.state().done == 1


async def test_what_is_looked_into_at_the_end_gets_its_line_at_the_next_start(tmp_path: Path) -> None:
    source = service(5, refuse=lambda operation, media: undecided(Unavailable("cut")))
    async with room(tmp_path, source) as here:
        with pytest.raises(Unavailable):
            await here.erase(2)
        assert here.lines() == []
    async with room(tmp_path, service(5)) as here:
        assert here.answers() == ["not known: cut"]
        assert here.deletions.state().done == 1


@pytest.mark.parametrize("damage", [b"{", b"[]"])
async def test_a_damaged_count_stops_deletions_until_they_are_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    (tmp_path / "deletions.state").write_bytes(damage)
    async with room(tmp_path) as here:
        assert "damaged" in caplog.text
        with pytest.raises(Forbidden):
            await here.erase(2)
        assert here.house.source.asked["erase"] == 0
        await here.deletions.allow(None)
        await here.erase(2)


@pytest.mark.parametrize("state", [{"under_way": "x"}, {"under_way": [1, None], "unwritten": {"a": 1}}])
async def test_a_strange_state_does_not_keep_the_mount_from_starting(tmp_path: Path, state: object) -> None:
    (tmp_path / "deletions.state").write_text(json.dumps(state))
    async with room(tmp_path) as here:
        await here.erase(2)


# --- with others -----------------------------------------------------------------------------------


async def test_a_listing_that_was_asked_for_before_does_not_bring_it_back(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        contents, database = here.house.catalogue.contents, here.house.catalogue.database
        clock = database.tick()
        page = list(here.house.source.archive)
        await here.erase(2)
        contents.put(page, clock)
        contents.put(page, clock, conversation=Conversation(ConversationId("7")))
        assert not here.knows(2)
        contents.put([replace(page[1], title="it is back")], database.tick())
        assert here.knows(2), "what the service lists afterwards is there"


async def test_logs_at_info_for_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with room(tmp_path) as here:
        await here.erase(2, typed=(Inode(9), "Jane Doe.png"))
    assert "deletion of media 2 by uid 1000, pid 4711 (rm): done" in caplog.text
    assert "Jane Doe" not in caplog.text, "the log keeps no names"
