"""An account of Zoom's on a real mount: all of its history, in whatever words, and its sessions."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount
from .quotations import quotations, unfounded
from .vendor_accounts import mounted_vendor
from .zoom_service import LIST, id_of

TODAY = datetime.now(UTC).date()
LATELY = TODAY - timedelta(days=45)
"""Small accounts are of these days: Zoom lists a month at most, so each month costs a request."""
SINCE = f'since = "{LATELY}"'
NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[a-z_()-]+_[0-9a-f]{8}\.[a-z0-9]{3,4}")


def errno_of(action: Callable[[], object]) -> str:
    """The name of the errno that an action fails with, or `success`."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0].replace("ENOTSUP", "EOPNOTSUPP")  # one number, two names
    return "success"


def truth_of(box: Box) -> dict[str, dict[str, Any]]:
    """The finished recordings, by the hash of their bytes, which no two have in common."""
    found = {media["sha256"]: media for media in box.world(digest=True) if media["completed"]}
    assert len(found) == sum(media["completed"] for media in box.world())
    return found


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def windows(first: date) -> int:
    """Months of 28 days, overlapping by three, from a day until today."""
    return -(-((TODAY - first).days + 2) // 25)


@contextmanager
def small_account(
    *arguments: str, lines: Sequence[str] = (), recordings: int = 12, **options: Any
) -> Iterator[tuple[Box, Mount]]:
    """Recordings of the last weeks, four to a session, of all kinds."""
    with sandbox_process("zoom", media=0, **options) as box:
        for number in range(recordings):
            day = LATELY + timedelta(days=3 + number // 4 * 10)
            created = f"{day}T10:{number % 4:02}:00+00:00"
            kind = ("video", "audio", "image")[number % 3]
            extension = {"video": "mp4", "audio": "wav", "image": "png"}[kind]
            box.add(
                created=created,
                conversation=f"Weekly call {number // 4}",
                media_type=kind,
                filename=f"{number}.{extension}",
            )
        with mounted_vendor(box, *arguments, lines=[SINCE, *lines]) as mount:
            yield box, mount


# --- the whole account -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Whole:
    """An account of 300 recordings, and some with hostile sessions, that no test changes."""

    box: Box
    mount: Mount
    truth: dict[str, dict[str, Any]]
    walk: int
    """Requests of the first walk through by-date."""

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.mount.root,
            env={**self.mount.env, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        return done.stdout


@pytest.fixture(scope="module")
def whole_account() -> Iterator[Whole | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with sandbox_process("zoom", media=300, hostile=True) as box:
        lines = ['since = "2024-01-01"', 'fresh_for = "1h"']
        with mounted_vendor(box, lines=lines) as mount:
            mount.files("by-date")
            walk = len(box.requests())
            yield Whole(box, mount, truth_of(box), walk)


@pytest.fixture
def whole(whole_account: Whole | None) -> Whole:
    assert whole_account is not None
    return whole_account


def test_a_walk_costs_the_pages_of_one_listing(whole: Whole) -> None:
    """A walk through `by-date/` costs about a request for each 25 days since `since`, and the folder of a
    session one request.
    """
    assert whole.walk <= windows(date(2024, 1, 1)) * 1.25 + 2
    whole.box.reset()
    whole.mount.files("by-date")
    whole.run("find by-date -type f | head -500; du -s by-date; df .; getfattr -d -R by-date/2025/12")
    assert whole.box.requests() == []


def test_every_recording_is_copied_once_and_byte_for_byte(whole: Whole, tmp_path: Path) -> None:
    """A file is named after its start in UTC, its kind and eight digits, as in
    `2024-05-17_10-30-00_audio_only_9f86d081.m4a`
    """
    copy = shlex.quote(str(tmp_path))
    # ... with the attributes that a copy takes along.
    whole.run(f"rsync -aX by-date/ {copy}")
    found = {path: hash_of(path) for path in tmp_path.rglob("*") if path.is_file()}
    assert Counter(found.values()) == Counter(whole.truth.keys())
    for path, digest in found.items():
        created = str(whole.truth[digest]["created"])
        assert path.parent == tmp_path / created[:10].replace("-", "/")
        assert path.name.startswith(f"{created[:10]}_{created[11:19].replace(':', '-')}_")
        assert NAME.fullmatch(path.name)
        assert os.getxattr(path, "user.mediafs.id")
    whole.box.reset()
    assert whole.run(f"rsync -aX --itemize-changes by-date/ {copy}") == ""
    assert whole.box.requests() == []
    assert whole.box.leaks() == []


@pytest.mark.parametrize("tool", ["cp -a . DEST", "tar -c . | tar -x -C DEST", "cp -r . DEST"])
def test_tools_copy_a_day_of_hostile_sessions(whole: Whole, tmp_path: Path, tool: str) -> None:
    day, target = "by-date/2025/12/31", shlex.quote(str(tmp_path))
    whole.run(f"cd {day}; {tool.replace('DEST', target)}")
    whole.run(f"diff -r {day} {target}")
    assert "PNG image data" in whole.run(f"cd {day}; file *.png")


def test_conversations_are_sessions_with_their_name_and_id(whole: Whole) -> None:
    """A conversation is a session: its folder is called `NAME (SESSION)`, and any other session can be
    looked up by its id.
    """
    index = whole.mount.root / "by-conversation"
    folders = sorted(os.listdir(index))
    there = {(media["conversation"], media["created"][:10]) for media in whole.truth.values()}
    assert len(folders) == len(there)
    names = [folder.rpartition(" (")[0] for folder in folders]
    assert Counter(names) == Counter(conversation.replace("../up?", "_up?") for conversation, _ in there)
    assert os.getxattr(index, "user.mediafs.complete") == b"false", "since is set: there may be older ones"
    folder = next(folder for folder in folders if folder.startswith("5999 ("))
    of_session = [m for m in whole.truth.values() if m["conversation"] == "5999"]
    whole.box.reset()
    assert len(os.listdir(index / folder)) == len(of_session) > 20
    assert len(whole.box.requests()) <= 1, "a session is one request"
    day = whole.mount.root / "by-date/2025/12/31"
    for path in (index / folder).iterdir():
        assert path.stat().st_ino == (day / path.name).stat().st_ino
        assert path.stat().st_nlink == 2
    # The bare id is a link to it.
    bare = folder.rpartition(" (")[2].removesuffix(")")
    assert os.readlink(index / bare) == folder
    assert bare not in os.listdir(index)


def test_names_and_inodes_outlive_a_remount_and_names_a_new_catalogue(whole: Whole) -> None:
    first = {path: stat.st_ino for path, stat in whole.mount.files("by-date").items()}
    with mounted_vendor(whole.box, lines=['since = "2024-01-01"']) as mount:
        mount.files("recent")  # another order of arrival
        again = {path: stat.st_ino for path, stat in mount.files("by-date").items()}
        assert again.keys() == first.keys()
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        whole.box.reset()
        assert {path: stat.st_ino for path, stat in mount.files("by-date").items()} == again
        assert len(whole.box.requests()) <= 2, "what was listed is kept"


def test_recent_holds_the_newest_100_in_every_clock(whole: Whole) -> None:
    newest = sorted(whole.truth.values(), key=lambda media: media["created"])[-100:]
    oldest = datetime.fromisoformat(newest[0]["created"]).timestamp()
    found = whole.mount.files("recent")
    assert len(found) == 100
    assert all(stat.st_mtime >= oldest for stat in found.values())


def test_attributes_tell_what_zoom_tells(whole: Whole) -> None:
    path = next((whole.mount.root / "by-date/2025/12/31").glob("*_thumbnail_*.png"))
    told = {
        name: os.getxattr(path, f"user.mediafs.{name}").decode()
        for name in (
            "id",
            "conversation",
            "recording_type",
            "media_type",
            "mime_type",
            "status",
            "duration",
            "vendor",
        )
    }
    session = told["conversation"]
    assert told["id"].startswith(f"{session}:")
    assert (told["recording_type"], told["media_type"], told["mime_type"]) == (
        "thumbnail",
        "image",
        "image/png",
    )
    assert (told["status"], told["duration"], told["vendor"]) == ("completed", "60.0", "zoom")
    record = os.getxattr(path, "user.mediafs.record").decode()
    assert "recording_type" in record
    assert "download" not in record


# --- what nobody can do ----------------------------------------------------------------------------------


def test_nothing_can_be_edited(whole: Whole) -> None:
    """Zoom has nothing to change a recording with: writing an attribute that another service could change is
    EOPNOTSUPP, and nothing is sent.
    """
    path = next((whole.mount.root / "by-date/2025/12/31").iterdir())
    whole.box.reset()
    for name in ("title", "description", "metadata_primary", "public", "latitude", "mime_type"):
        assert errno_of(partial(os.setxattr, path, f"user.mediafs.{name}", b"1")) == "EOPNOTSUPP"
        assert (
            "not supported"
            in whole.mount.run("setfattr", "-n", f"user.mediafs.{name}", "-v", "x", str(path)).stderr
        )
    assert errno_of(lambda: os.setxattr(path, "user.xdg.comment", b"x")) == "EOPNOTSUPP"
    assert errno_of(lambda: os.setxattr(path, "user.mediafs.id", b"x")) == "EPERM"
    assert errno_of(lambda: path.rename(path.with_name("x.png"))) == "EPERM"
    assert errno_of(lambda: path.rename(path.parent.with_name("30") / path.name)) in ("EPERM", "ENOENT")
    assert whole.box.requests() == []


def test_names_that_are_no_session_cost_no_request(whole: Whole) -> None:
    """There is no `by-user/`."""
    whole.box.reset()
    index = whole.mount.root / "by-conversation"
    for name in (".directory", "Thumbs.db", "x", "5999", "a b", "../up", "no such session (x)"):
        assert not (index / name).exists(), name
    assert not (whole.mount.root / "by-user").exists()
    assert whole.box.requests() == []


# --- how Zoom may word a listing -------------------------------------------------------------------------


WORDINGS: list[dict[str, Any]] = [
    {"envelope": False},
    {"echo": False, "to_included": False, "filter_by": "recording", "extensions": False},
    {"session_lead_days": 2, "max_page_size": 30, "over_size": "refuse", "repeated_entries": True},
]


@pytest.mark.parametrize("options", WORDINGS, ids=lambda options: next(iter(options)))
def test_all_is_there_however_zoom_words_it(options: dict[str, Any]) -> None:
    """where the record has no extension, the type tells it."""
    with small_account(**options) as (box, mount):
        found = mount.files("by-date")
        truth = truth_of(box)
        assert Counter(hash_of(mount.root / path) for path in found) == Counter(truth.keys())
        assert all(NAME.fullmatch(Path(path).name) for path in found)
        extensions = Counter(Path(path).suffix for path in found)
        # Without an extension in the record the type tells it, and a thumbnail is a JPEG.
        picture = ".jpg" if "extensions" in options else ".png"
        assert extensions == {".mp4": 4, ".m4a": 4, picture: 4}


def test_history_is_asked_for_in_windows_of_at_most_a_month() -> None:
    """History is asked for in windows of at most four weeks.

    Records tell their session, so `by-conversation/` is complete once all days have been listed and no
    `since` leaves some out.
    """
    with sandbox_process("zoom", media=0) as box:
        for day in ("2021-03-05", "2021-03-28", "2023-11-30"):
            box.add(created=f"{day}T23:59:59+00:00", conversation="c", media_type="video", size=100)
        with mounted_vendor(box) as mount:
            assert len(mount.files("by-date")) == 3
            assert os.getxattr(mount.root / "by-conversation", "user.mediafs.complete") == b"true"
            asked = [parse_qs(r["query"]) for r in box.requests(path=LIST)]
    assert asked
    for query in asked:
        assert query["trash"] == ["false"]
        first, last = (date.fromisoformat(query[name][0]) for name in ("from", "to"))
        assert timedelta(0) <= last - first <= timedelta(days=28)
    assert min(query["from"][0] for query in asked) <= "2020-01-01", "from where there can be any"
    assert len(asked) <= windows(date(2020, 1, 1)) * 1.25 + 4


def test_a_page_token_that_runs_out_begins_its_window_again() -> None:
    """A token that runs out once begins its window again."""
    with small_account(max_page_size=1) as (box, mount):
        # The third page of a window is refused, as where a quarter of an hour went by.
        box.fault("status", path=LIST, status=400, skip=2)
        assert len(mount.files("by-date")) == 12
        assert box.pending_faults() == 0
        asked = [parse_qs(r["query"]) for r in box.requests(path=LIST)]
        refused = next(n for n, r in enumerate(box.requests(path=LIST)) if r["status"] == 400)
        assert "next_page_token" in asked[refused]
        assert "next_page_token" not in asked[refused + 1]
        assert asked[refused + 1]["from"] == asked[refused]["from"]


def test_what_is_not_whole_is_no_listing() -> None:
    """What Zoom says that it listed is held against what was asked: other days, fewer records than it
    states, or page tokens that run out again and again fail the listing.
    """
    other_days = '{"from": "2019-01-01", "to": "2019-01-31", "total_records": 0, "sessions": []}'
    ways: list[tuple[dict[str, Any], str | None]] = [
        ({"token_ttl_s": 0.0}, None),
        ({"token_ttl_s": 900.0, "total_off_by": 1}, None),
        ({"total_off_by": 0}, other_days),
        ({}, "{}"),
    ]
    with small_account(max_page_size=1) as (box, mount):
        for options, body in ways:
            box.set(**options)
            if body is not None:
                box.fault("json", path=LIST, body=body, times=None)
            for folder in ("recent", f"by-date/{LATELY + timedelta(days=3):%Y/%m/%d}"):
                assert errno_of(partial(os.listdir, mount.root / folder)) == "EIO", (folder, options, body)
                assert os.getxattr(mount.root / folder, "user.mediafs.complete") == b"false"
                assert os.getxattr(mount.root / folder, "user.mediafs.error")
        box.clear_faults()
        assert len(mount.files("recent")) == 12


# --- sessions by their id --------------------------------------------------------------------------------

IDS = ("abcdefghijklmn==", "abc/defghijklm+==", "/abcdefghijklm==", "abc//defghijkl==")


@pytest.mark.parametrize("encoding", ["documented", "once", "twice"])
def test_a_session_is_opened_and_changed_whatever_is_in_its_id(encoding: str) -> None:
    with sandbox_process("zoom", media=0, encoding=encoding) as box:
        for number, session in enumerate(IDS):
            created = f"{LATELY}T10:00:{number:02}+00:00"
            box.add(created=created, conversation=session, media_type="video", size=3000 + number)
            box.add(created=created, conversation=session, media_type="audio", size=4000 + number)
        with mounted_vendor(box, lines=[SINCE]) as mount:
            index = mount.root / "by-conversation"
            for number, session in enumerate(IDS):
                bare = index / quote(session, safe="@+=:,-_")
                audio, video = sorted(bare.iterdir())
                assert (audio.stat().st_size, video.stat().st_size) == (4000 + number, 3000 + number)
                assert os.readlink(bare) == f"{session.replace('/', '_')} ({bare.name})"
                assert id_of(audio).startswith(f"{session}:")
                audio.unlink()
                assert os.listdir(bare) == [video.name]
                assert mount.run("mv", f"trash/{audio.name}", "recent").returncode == 0
                assert len(os.listdir(bare)) == 2
            assert errno_of(lambda: os.listdir(index / "abcdefghijklmo==")) == "ENOENT"


def test_files_of_single_participants_are_in_their_session_only() -> None:
    """Files of single participants are shown by their session only, and so they are not in `by-date/`."""
    with sandbox_process("zoom", media=0, participant_files=True) as box:
        fields: dict[str, Any] = {"conversation": "call", "created": f"{TODAY}T00:00:01+00:00"}
        box.add(media_type="video", source_type="recording", size=10, **fields)
        box.add(media_type="audio", source_type="recording", size=20, **fields)
        with mounted_vendor(box, lines=[SINCE]) as mount:
            assert [stat.st_size for stat in mount.files("by-date").values()] == [10]
            by_session = mount.files("by-conversation")
            assert sorted(stat.st_size for stat in by_session.values()) == [10, 20]
            (own,) = (path for path, stat in by_session.items() if stat.st_size == 20)
            assert os.getxattr(mount.root / own, "user.mediafs.participant").startswith(b"key-")
            assert len(mount.files("by-date")) == 1, "and stays so when its session is known"


def test_two_recordings_with_one_id_are_read_and_never_deleted() -> None:
    """Those are listed and read, and to delete one is EPERM, for Zoom would take others with it."""
    with small_account(shared_ids=True) as (box, mount):
        found = mount.files("by-date")
        assert Counter(hash_of(mount.root / path) for path in found) == Counter(truth_of(box).keys())
        path = next(iter(found))
        box.reset()
        assert "not permitted" in mount.run("rm", path).stderr
        assert errno_of(lambda: os.rename(mount.root / path, mount.root / "trash" / "x")) == "EPERM"
        assert {request["method"] for request in box.requests()} <= {"GET"}


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert len(quotations(globals())) >= 11
    assert unfounded(globals()) == []
