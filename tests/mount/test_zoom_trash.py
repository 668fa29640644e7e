"""Zoom's trash as a folder: what goes into it, out of it and out of existence, on a real mount."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, wait_until
from .quotations import quotations, unfounded
from .vendor_accounts import mounted_vendor
from .zoom_service import LIST, Console, changes, id_of

TODAY = datetime.now(UTC).date()
DAYS = [TODAY - timedelta(days=n) for n in range(45, 0, -1)]
"""Zoom lists a month at most, so an account of few days costs few requests."""
SIZE = 5 << 20
"""Of a file: too large to be fetched whole by one read, so that something is left to fetch."""
VIEWS = ("by-date", "by-conversation", "recent")


def errno_of(action: Callable[[], object]) -> str:
    """The name of the errno that an action fails with, or `success`."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "success"


@dataclass
class Archive:
    """An account of which each test takes a session of its own, on a day of its own."""

    box: Box
    mount: Mount
    console: Console
    days: Iterator[date] = field(default_factory=lambda: iter(DAYS))

    @property
    def root(self) -> Path:
        return self.mount.root

    @property
    def trash(self) -> Path:
        return self.root / "trash"

    def session(self) -> Session:
        """The next one, which the mount has seen in all its views."""
        day = next(self.days)
        folder = self.root / f"by-date/{day:%Y/%m/%d}"
        index = self.root / "by-conversation"
        (conversation,) = (path for path in index.iterdir() if path.name.startswith(f"call of {day} ("))
        found = Session(self, folder, conversation, sorted(path.name for path in folder.iterdir()))
        assert sorted(os.listdir(conversation)) == found.names
        self.box.reset()
        return found

    def refresh(self, path: Path) -> None:
        done = self.mount.mediafs("refresh", str(path))
        assert done.returncode == 0, done.stderr

    def mv(self, old: Path, new: Path) -> subprocess.CompletedProcess[str]:
        return self.mount.run("mv", "-n", str(old), str(new))


@dataclass
class Session:
    archive: Archive
    day: Path
    conversation: Path
    names: list[str]

    @property
    def name(self) -> str:
        return self.names[0]

    def places(self) -> list[Path]:
        """Where its first file has a name, trash included."""
        folders = (self.day, self.conversation, self.archive.root / "recent", self.archive.trash)
        return [folder / self.name for folder in folders]

    def shown(self) -> list[bool]:
        """Whether it is looked up, and listed, in by-date, by-conversation, recent and trash."""
        found = []
        for path in self.places():
            there = path.exists()
            listed = os.listdir(path.parent) if path.parent.exists() else []
            assert (self.name in listed) == there, path
            found.append(there)
        return found


HERE = [True, True, True, False]
TRASHED = [False, False, False, True]
GONE = [False, False, False, False]


@contextmanager
def archive_with(*lines: str, sessions: int = 1, files: int = 2, **options: Any) -> Iterator[Archive]:
    """An account with that many sessions of so many files, of which the mount has listed all."""
    with sandbox_process("zoom", media=0, **options) as box:
        for day in DAYS[:sessions]:
            for number in range(files):
                created = f"{day}T10:00:{number:02}+00:00"
                box.add(created=created, conversation=f"call of {day}", media_type="video", size=SIZE)
        with mounted_vendor(box, lines=[f'since = "{DAYS[0]}"', *lines]) as mount:
            for view in ("by-date", "recent", "trash"):
                mount.files(view)
            yield Archive(box, mount, Console(box))


@pytest.fixture(scope="module")
def shared() -> Iterator[Archive | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with archive_with("delete_limit = 0", sessions=len(DAYS)) as found:
        yield found


@pytest.fixture
def archive(shared: Archive | None) -> Archive:
    """Its `delete` is the default, which is the trash."""
    assert shared is not None
    return shared


# --- into the trash --------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_rm_puts_a_file_into_the_trash(archive: Archive, view: str) -> None:
    """With `delete = "trash"`, which is the default, `rm` puts a file there: its names vanish from all views
    at once, and it is in `trash/` at once, under the same name and number. It can be read there, and
    `st_nlink` is 1.
    """
    session = archive.session()
    assert session.shown() == HERE
    typed = session.places()[("by-date", "by-conversation", "recent").index(view)]
    before, media, content = typed.stat(), id_of(typed), typed.read_bytes()
    assert before.st_nlink == 2, "by-date and by-conversation"
    done = archive.mount.run("rm", str(typed))
    assert (done.returncode, done.stderr) == (0, "")
    assert session.shown() == TRASHED, "at once"
    assert changes(archive.box) == [("DELETE", "action=trash")]
    assert archive.console.has_trashed(media)
    trashed = archive.trash / session.name
    after = trashed.stat()
    assert (after.st_ino, after.st_nlink, after.st_size) == (before.st_ino, 1, before.st_size)
    assert trashed.read_bytes() == content
    assert session.day.joinpath(session.names[1]).exists(), "and the other stays"


def test_a_trashed_file_is_read_from_the_service(archive: Archive) -> None:
    session = archive.session()
    (session.day / session.name).unlink()
    archive.box.reset()
    trashed = archive.trash / session.name
    assert len(trashed.read_bytes()) == SIZE
    assert archive.box.requests(path="/rec/download")


def test_a_file_that_is_open_is_read_on_when_it_goes_into_the_trash(archive: Archive) -> None:
    session = archive.session()
    path = session.day / session.name
    with path.open("rb", buffering=0) as file:
        begin = file.read(1000)
        path.unlink()
        assert os.fstat(file.fileno()).st_nlink == 1, "its name in trash/"
        assert begin + file.read() == (archive.trash / session.name).read_bytes()


def test_mv_into_the_trash_is_rm(archive: Archive) -> None:
    """`mv` into `trash/` does the same, with whatever is permitted but `"deny"`."""
    session = archive.session()
    inode = (session.day / session.name).stat().st_ino
    assert archive.mv(session.day / session.name, archive.trash).returncode == 0
    assert session.shown() == TRASHED
    assert (archive.trash / session.name).stat().st_ino == inode
    assert changes(archive.box) == [("DELETE", "action=trash")]


def test_a_name_that_is_typed_into_the_trash_is_no_ghost(archive: Archive) -> None:
    session = archive.session()
    assert archive.mv(session.conversation / session.name, archive.trash / "old.mp4").returncode == 0
    wait_until(lambda: not (archive.trash / "old.mp4").exists())
    assert session.shown() == TRASHED
    assert os.listdir(archive.trash).count("old.mp4") == 0


def test_rm_of_a_day_trashes_its_files_and_takes_the_folder(archive: Archive) -> None:
    session = archive.session()
    done = archive.mount.run("rm", "-r", str(session.day))
    assert (done.returncode, done.stderr) == (0, "")
    assert changes(archive.box) == [("DELETE", "action=trash")] * 2
    assert set(session.names) <= set(os.listdir(archive.trash))
    assert session.day.name not in os.listdir(session.day.parent)
    assert os.listdir(session.day) == [], "looked up, it is an empty day"


def test_rm_of_a_conversation_trashes_its_files_and_takes_the_folder(archive: Archive) -> None:
    session = archive.session()
    conversation = session.conversation
    done = archive.mount.run("rm", "-r", str(conversation))
    assert (done.returncode, done.stderr) == (0, "")
    assert conversation.name not in os.listdir(conversation.parent)
    assert set(session.names) <= set(os.listdir(archive.trash))
    # Recovered, it is where it was.
    assert archive.mv(archive.trash / session.name, archive.root / "recent").returncode == 0
    assert os.listdir(session.conversation) == [session.name]


# --- out of the trash ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["its day", "another day", "recent", "its conversation", "the index"])
@pytest.mark.parametrize("typed", ["its name", "another name"])
def test_mv_out_of_the_trash_recovers(archive: Archive, where: str, typed: str) -> None:
    """`mv` out of `trash/`, into any view and under any name, recovers the file: it is back in its own
    places under its own name, and the name that was typed is none.
    """
    session = archive.session()
    path = session.day / session.name
    before, media, conversation = path.stat(), id_of(path), session.conversation
    path.unlink()
    archive.box.reset()
    folder = {
        "its day": session.day,
        "another day": archive.root / f"by-date/{TODAY:%Y/%m/%d}",
        "recent": archive.root / "recent",
        "its conversation": conversation,
        "the index": archive.root / "by-conversation",
    }[where]
    name = session.name if typed == "its name" else "saved.mp4"
    done = archive.mv(archive.trash / session.name, folder / name)
    assert (done.returncode, done.stderr) == (0, "")
    assert changes(archive.box) == [("PUT", "status")]
    assert not archive.console.has_trashed(media)
    own = typed == "its name" and where in ("its day", "recent", "its conversation")
    wait_until(lambda: (folder / name).exists() is own)
    assert (name in os.listdir(folder)) is own
    assert session.shown() == HERE
    after = path.stat()
    assert (after.st_ino, after.st_nlink, after.st_mtime) == (before.st_ino, 2, before.st_mtime)
    assert path.read_bytes()


def test_what_is_recovered_no_longer_says_that_it_is_trashed(archive: Archive) -> None:
    session = archive.session()
    path = session.day / session.name
    assert os.getxattr(path, "user.mediafs.status") == b"completed"
    path.unlink()
    archive.refresh(archive.trash)
    trashed = archive.trash / session.name
    assert os.getxattr(trashed, "user.mediafs.status") == b"trashed"
    assert os.getxattr(trashed, "user.mediafs.deleted")
    assert archive.mv(trashed, session.day).returncode == 0
    assert errno_of(lambda: os.getxattr(path, "user.mediafs.deleted")) == "ENODATA"
    assert os.getxattr(path, "user.mediafs.status") == b"completed"


def test_nothing_is_moved_onto_another_file(archive: Archive) -> None:
    """`mv` onto the name of another file is EPERM"""
    session = archive.session()
    (session.day / session.name).unlink()
    archive.box.reset()
    other = session.day / session.names[1]
    assert errno_of(lambda: os.rename(archive.trash / session.name, other)) == "EPERM"
    assert errno_of(lambda: os.rename(other, archive.trash / session.name)) == "EPERM"
    assert changes(archive.box) == []
    assert session.shown() == TRASHED
    assert other.read_bytes()


def test_within_the_trash_and_into_the_mounts_root_nothing_moves(archive: Archive) -> None:
    """and so is a new name within `trash/`."""
    session = archive.session()
    (session.day / session.name).unlink()
    archive.box.reset()
    for new in (archive.trash / "x.mp4", archive.root / session.name):
        refused = errno_of(partial(os.rename, archive.trash / session.name, new))
        assert refused in ("EPERM", "EACCES"), new
    assert changes(archive.box) == []
    assert session.shown() == TRASHED


# --- for good --------------------------------------------------------------------------------------------


def test_rm_in_the_trash_deletes_for_good(archive: Archive) -> None:
    """`rm` in `trash/` deletes for good"""
    session = archive.session()
    for name in session.names:
        (session.day / name).unlink()
    media = id_of(archive.trash / session.name)
    archive.box.reset()
    done = archive.mount.run("sh", "-c", 'rm trash/"$0"', session.name)
    assert (done.returncode, done.stderr) == (0, "")
    assert changes(archive.box) == [("DELETE", "action=delete")]
    assert session.shown()[3] is False
    assert (archive.trash / session.names[1]).exists()
    assert not archive.console.has_trashed(media)
    for folder in (archive.trash, session.day):
        archive.refresh(folder)
        assert session.name not in os.listdir(folder), "and nothing brings it back"


@pytest.mark.parametrize("command", ["find . -type f -delete", "rm -r by-date trash"])
def test_who_deletes_everything_finds_it_in_the_trash(command: str) -> None:
    """and so it is for the `rm`, `find` or `rsync` that has itself put the file there: `rm -r` of everything
    ends in the trash
    """
    with archive_with("delete_limit = 0", sessions=2) as archive:
        archive.box.reset()
        assert archive.mount.run(*command.split()).returncode == 1
        assert changes(archive.box) == [("DELETE", "action=trash")] * 4
        assert len(archive.mount.files("trash")) == 4


def test_the_trash_itself_cannot_be_taken_away(archive: Archive) -> None:
    """`trash/` itself cannot be removed."""
    why = "Permission denied" if os.geteuid() else "busy"
    assert why in archive.mount.run("rmdir", "trash").stderr


@pytest.mark.parametrize("policy", ["permanent", "deny"])
def test_the_policies_other_than_trash(policy: str) -> None:
    """Recovering is no deletion: it is possible with `delete = "deny"` too

    `rm` in `trash/` deletes for good; with `"deny"` it is EPERM
    """
    with archive_with(f'delete = "{policy}"', files=3) as archive:
        session = archive.session()
        console, path = archive.console, session.day / session.name
        if policy == "permanent":
            media = id_of(path)
            path.unlink()
            assert changes(archive.box) == [("DELETE", "action=delete")]
            assert not console.has_trashed(media)
            archive.refresh(session.day)
            assert archive.mv(session.day / session.names[1], archive.trash).returncode == 0
            archive.box.reset()
            (archive.trash / session.names[1]).unlink()
            assert changes(archive.box) == [("DELETE", "action=delete")]
            assert len(archive.box.world()) == 1
            return
        assert errno_of(path.unlink) == "EPERM"
        assert errno_of(lambda: os.rename(path, archive.trash / path.name)) == "EPERM"
        console.put_into_trash(id_of(path))
        for folder in (session.day, archive.trash):
            archive.refresh(folder)
        trashed = archive.trash / session.name
        assert errno_of(trashed.unlink) == "EPERM"
        assert archive.mv(trashed, session.day).returncode == 0, "to recover is not to delete"
        archive.refresh(archive.root / "recent")
        assert session.shown() == HERE
        assert len(archive.box.world()) == 3


def test_the_brake_counts_what_is_trashed_and_not_what_is_recovered() -> None:
    """and the brake does not count it.

    The brake counts what is put into the trash like what is deleted.
    """
    with archive_with("delete_limit = 3", files=5) as archive:
        session = archive.session()
        paths = [session.day / name for name in session.names]
        paths[0].unlink()
        assert archive.mv(archive.trash / session.name, session.day).returncode == 0
        paths[0].unlink()
        (archive.trash / session.name).unlink()
        assert errno_of(paths[1].unlink) == "EPERM"
        assert errno_of(lambda: os.rename(paths[1], archive.trash / paths[1].name)) == "EPERM"
        assert len(archive.box.world()) == 4
        assert archive.console.trash() == set()
        assert archive.mount.mediafs("allow-deletes", str(archive.root), "1").returncode == 0
        paths[1].unlink()
        assert errno_of(paths[2].unlink) == "EPERM"


# --- what others do --------------------------------------------------------------------------------------


def test_a_trash_that_the_console_emptied_is_empty(archive: Archive) -> None:
    session = archive.session()
    path = session.day / session.name
    media = id_of(path)
    path.unlink()
    archive.console.delete(media)
    archive.refresh(archive.trash)
    assert session.shown()[3] is False
    assert errno_of((archive.trash / session.name).read_bytes) == "ENOENT"


@pytest.mark.parametrize("first", ["trash", "day"])
def test_what_the_console_trashed_and_recovered_keeps_its_inode(archive: Archive, first: str) -> None:
    session = archive.session()
    path = session.day / session.name
    before, media = path.stat(), id_of(path)
    order = [archive.trash, session.day] if first == "trash" else [session.day, archive.trash]
    archive.console.put_into_trash(media)
    for folder in order:
        archive.refresh(folder)
    assert session.shown() == TRASHED
    assert (archive.trash / session.name).stat().st_ino == before.st_ino
    archive.console.recover(media)
    for folder in order:
        archive.refresh(folder)
    assert session.shown() == HERE
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_nlink == 2


def test_files_of_a_whole_session_in_the_trash_are_there_too(archive: Archive) -> None:
    """`trash/` lists what is in Zoom's trash, whoever put it there."""
    session = archive.session()
    archive.console.put_session_into_trash(id_of(session.day / session.name))
    archive.refresh(archive.trash)
    assert set(session.names) <= set(os.listdir(archive.trash))
    assert archive.mv(archive.trash / session.name, session.day).returncode == 0
    archive.refresh(session.day)
    assert os.listdir(session.day) == [session.name]


def test_a_file_that_is_gone_already_does_not_come_to_the_trash(archive: Archive) -> None:
    session = archive.session()
    path = session.day / session.name
    archive.console.delete(id_of(path))
    path.unlink()
    assert session.shown() == GONE


def test_a_file_that_only_its_session_shows_comes_back_there_and_not_into_a_day() -> None:
    with sandbox_process("zoom", media=0, participant_files=True) as box:
        fields: dict[str, Any] = {"conversation": "one call", "created": f"{DAYS[-1]}T10:00:00+00:00"}
        box.add(media_type="video", source_type="recording", size=10, **fields)
        box.add(media_type="audio", source_type="recording", size=10, **fields)
        with mounted_vendor(box, lines=[f'since = "{DAYS[-1]}"']) as mount:
            day = mount.root / f"by-date/{DAYS[-1]:%Y/%m/%d}"
            (shown,) = os.listdir(day)
            (conversation,) = (mount.root / "by-conversation").iterdir()
            (own,) = set(os.listdir(conversation)) - {shown}
            (conversation / own).unlink()
            assert os.listdir(mount.root / "trash") == [own]
            assert (mount.root / "trash" / own).stat().st_nlink == 1
            assert mount.run("mv", f"trash/{own}", "recent").returncode == 0
            wait_until(lambda: not (mount.root / "recent" / own).exists())
            assert os.listdir(day) == [shown]
            assert sorted(os.listdir(conversation)) == sorted([shown, own])
            assert (conversation / own).stat().st_nlink == 1


def test_a_file_that_the_console_trashed_already_is_there_after_rm(archive: Archive) -> None:
    session = archive.session()
    path = session.day / session.name
    archive.console.put_into_trash(id_of(path))
    path.unlink()
    archive.refresh(archive.trash)
    assert session.shown() == TRASHED


def test_what_is_not_in_the_trash_any_more_cannot_be_recovered(archive: Archive) -> None:
    session = archive.session()
    path = session.day / session.name
    media = id_of(path)
    path.unlink()
    archive.console.delete(media)
    assert errno_of(lambda: os.rename(archive.trash / session.name, path)) == "ENOENT"
    assert archive.mount.run("rm", str(archive.trash / session.name)).returncode == 0, "gone already"
    assert session.shown() == GONE


# --- trouble ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["200", "403"])
def test_a_refusal_in_whatever_words_changes_nothing(refusal: str) -> None:
    """Zoom words refusals as a success (200 with a `code`), and a download that it does not allow as a
    sign-in page: that is EACCES, changes nothing, and the other files go on.
    """
    with archive_with(refusal=refusal) as archive:
        session = archive.session()
        numbers = [media["id"] for media in archive.box.world()]
        path = session.day / session.name
        archive.box.set(forbidden_deletes=numbers, forbidden_updates=numbers)
        assert "Permission denied" in archive.mount.run("rm", str(path)).stderr
        assert session.shown() == HERE
        archive.box.set(forbidden_deletes=[])
        path.unlink()
        archive.box.set(forbidden_deletes=numbers)
        trashed = archive.trash / session.name
        assert errno_of(trashed.unlink) == "EACCES"
        assert errno_of(lambda: os.rename(trashed, path)) == "EACCES"
        assert session.shown() == TRASHED
        archive.refresh(archive.trash)
        assert session.shown() == TRASHED
        assert len(archive.box.world()) == 2


@pytest.mark.parametrize("then", ["trashed", "recovered"])
def test_a_listing_that_was_asked_for_before_does_not_undo_it(archive: Archive, then: str) -> None:
    session = archive.session()
    path, trashed = session.day / session.name, archive.trash / session.name
    looked_at = session.day
    if then == "recovered":
        path.unlink()
        looked_at = archive.trash
    box = archive.box
    # Carried out at once, and answered when the file is somewhere else.
    box.fault("late", path=LIST, seconds=2, times=2)
    command = [sys.executable, "-m", "mediafs", "refresh", str(looked_at)]
    with subprocess.Popen(command, env=archive.mount.env, stdout=subprocess.DEVNULL) as refresh:
        wait_until(lambda: any(request["path"] == LIST for request in box.requests()))
        if then == "trashed":
            path.unlink()
        else:
            trashed.rename(path)
        assert session.shown() == (TRASHED if then == "trashed" else HERE)
        assert refresh.wait(30) == 0
    box.clear_faults()
    assert session.shown() == (TRASHED if then == "trashed" else HERE)


def test_an_answer_that_got_lost_is_found_out_and_counted() -> None:
    with archive_with(files=3) as archive:
        session = archive.session()
        path, box = session.day / session.name, archive.box
        inode = path.stat().st_ino
        box.fault("lost", method="DELETE", path="/v2")
        path.unlink()
        assert changes(box) == [("DELETE", "action=trash")] * 2, "the second one finds it in the trash"
        assert session.shown() == TRASHED
        assert (archive.trash / session.name).stat().st_ino == inode
        assert archive.mount.status()["deletions"]["done"] == 1
        box.fault("lost", method="PUT", path="/v2")
        (archive.trash / session.name).rename(path)
        assert session.shown() == HERE


def test_the_trash_survives_a_remount() -> None:
    with archive_with() as archive:
        session = archive.session()
        inode = (session.day / session.name).stat().st_ino
        (session.day / session.name).unlink()
        assert archive.mount.umount().returncode == 0
        assert archive.mount.mount().returncode == 0
        assert session.shown() == TRASHED
        assert (archive.trash / session.name).stat().st_ino == inode


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert len(quotations(globals())) >= 11
    assert unfounded(globals()) == []
