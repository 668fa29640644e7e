"""A Veriff account on a real mount. Docstrings are quotations from docs/SEMANTICS.md."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.testing import Box, sandbox_process
from mediafs.sandbox.veriff_sessions import session_uuid

from .mounting import Mount
from .quotations import unfounded
from .vendor_accounts import mounted_vendor, prepared_vendor
from .vendor_checks import (
    COPIES,
    attribute,
    by_id,
    copied,
    digest,
    errno_of,
    refused,
    shell,
)
from .veriff_service import NOBODY, asked, lines_of, sessions_of, truth

ATTEMPTS = 2
TIMES = {"attempt", "another-attempt", "nothing"}


def test_docstrings_here_are_quotations() -> None:
    assert unfounded(globals()) == []


@dataclass
class Shared:
    """A mount that no test changes."""

    box: Box
    mount: Mount
    world: dict[str, dict[str, Any]]
    first_walk: list[str]
    """What was asked when all of by-date was walked for the first time."""

    @property
    def root(self) -> Path:
        return self.mount.root


@pytest.fixture(scope="module")
def shared_mount() -> Iterator[Shared | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with (
        sandbox_process("veriff", media=300, conversations=6, attempts=ATTEMPTS, hostile=True) as box,
        mounted_vendor(box, lines=lines_of(*sessions_of(box))) as mount,
    ):
        mount.files("by-date")
        walk = asked(box)
        for view in ("by-conversation", "recent"):
            mount.files(view)
        yield Shared(box, mount, truth(box, digest=True), walk)


@pytest.fixture
def archive(shared_mount: Shared | None) -> Shared:
    assert shared_mount is not None
    return shared_mount


# --- what is there -------------------------------------------------------------------------------------


def test_every_media_of_every_attempt_is_under_by_date_once(archive: Shared) -> None:
    """`by-date/` and `recent/` hold the media of all known sessions, those of every attempt.

    There is no `by-user/`.
    """
    found = by_id(archive.mount, "by-date")
    assert found.keys() == archive.world.keys()
    assert len(found) > 290
    for media, path in found.items():
        assert path.stat().st_size == archive.world[media]["size"]
    assert {path.name for path in archive.root.iterdir()} == {"by-date", "by-conversation", "recent"}
    newest = by_id(archive.mount, "recent")
    assert len(newest) == 100
    assert newest.keys() < found.keys()


def test_the_first_walk_costs_one_request_a_session_and_one_an_attempt(archive: Shared) -> None:
    """Listing everything costs one request a session and one for each of its attempts.

    What is known is shown without a request.
    """
    kinds = Counter(line.split("/")[-1] for line in archive.first_walk)
    sessions = len(sessions_of(archive.box))
    assert kinds["attempts"] == sessions
    assert kinds["media"] == len({path for path in archive.first_walk if path.endswith("/media")})
    assert sessions <= kinds["media"] <= ATTEMPTS * sessions
    assert kinds.total() == kinds["attempts"] + kinds["media"]
    archive.mount.files(".")
    archive.box.reset()
    archive.mount.files("by-date")
    for path in by_id(archive.mount, "recent").values():
        assert attribute(path, "attempt")
    shell(archive.mount, "find . -type f -newermt 2024-06-01 | wc -l; du -s .; df .")
    assert asked(archive.box) == []


def test_names_are_made_of_context_id_and_type(archive: Shared) -> None:
    """A file is named after its context, the beginning of its id and its type, as in
    `document-front-d69a07cf-4434.jpg`; an item read from a chip begins with `nfc`."""
    names = set()
    for media, path in by_id(archive.mount, "by-date").items():
        context, kind = attribute(path, "context"), attribute(path, "mime_type")
        assert kind is not None
        endings = {"image/png": "png", "video/mp4": "mp4", "application/json": "json", "image/jpeg": "jpg",
                   "video/webm": "webm"}  # fmt: skip
        assert path.name == f"{context}-{media[:13]}.{endings[kind]}"
        names.add(path.name)
    assert len(names) == len(archive.world)


@pytest.mark.parametrize(
    ("ending", "said"), [("png", "PNG image"), ("mp4", "ISO Media"), ("json", "JSON text")]
)
def test_what_is_read_is_of_the_type_that_it_is_named_after(archive: Shared, ending: str, said: str) -> None:
    for path in sorted((archive.root / "by-date").rglob(f"*.{ending}"))[:2]:
        assert said in shell(archive.mount, f"file -b '{path}'")
        assert digest(path) == archive.world[attribute(path, "id") or ""]["sha256"]
    if ending == "mp4":
        assert "codec_type=video" in shell(archive.mount, f"ffprobe -v error -show_streams '{path}'")


def test_bytes_are_the_services(archive: Shared) -> None:
    found = sorted(by_id(archive.mount, "by-date").items())
    for media, path in found[::8]:
        assert digest(path) == archive.world[media]["sha256"]


def test_a_session_has_a_folder_with_all_its_attempts(archive: Shared) -> None:
    """`by-conversation/` has one folder a session."""
    everything = by_id(archive.mount, "by-date")
    attempts = set()
    folders = sorted((archive.root / "by-conversation").iterdir())
    assert [folder.name for folder in folders] == sorted(sessions_of(archive.box))
    for folder in folders:
        held = by_id(archive.mount, f"by-conversation/{folder.name}")
        assert held.keys() == {
            id
            for id, media in archive.world.items()
            if session_uuid(str(media["conversation"])) == folder.name
        }
        for media, path in held.items():
            assert path.stat().st_ino == everything[media].stat().st_ino
            assert path.stat().st_nlink == 2
            assert attribute(path, "conversation") == folder.name
            attempts.add((folder.name, attribute(path, "attempt")))
    assert max(Counter(session for session, _ in attempts).values()) == ATTEMPTS


def test_a_date_is_that_of_the_attempt_and_says_where_it_is_from(archive: Shared) -> None:
    """Media have no time of their own: they are dated by their attempt, and `user.mediafs.dated_by` says how:
    `attempt`; `another-attempt`, where theirs has no time, by the nearest that has one; `nothing`, where
    none has: those are under 1990."""
    seen, moments = set(), dict[str, set[str]]()
    for media, path in by_id(archive.mount, "by-date").items():
        how, created = attribute(path, "dated_by"), attribute(path, "created")
        assert how is not None
        assert created is not None
        moment = datetime.fromisoformat(created)
        assert path.parent == archive.root / f"by-date/{moment:%Y/%m/%d}"
        assert path.stat().st_mtime == moment.timestamp()
        moments.setdefault(attribute(path, "attempt") or "", set()).add(created)
        if how == "attempt":
            # The twin's attempts begin with their oldest media.
            assert moment <= datetime.fromisoformat(archive.world[media]["created"])
        if how == "nothing":
            assert moment == datetime(1990, 1, 1, tzinfo=UTC)
        seen.add(how)
    assert seen >= {"attempt", "another-attempt"}
    assert seen <= TIMES
    assert all(len(times) == 1 for times in moments.values()), "one attempt, one time"


@pytest.mark.parametrize("tool", COPIES)
def test_a_copy_is_equal(archive: Shared, tmp_path: Path, tool: str) -> None:
    folder = min(
        (folder for folder in (archive.root / "by-conversation").iterdir() if len(os.listdir(folder)) > 2),
        key=lambda folder: len(os.listdir(folder)),
    )
    for name, copy in copied(archive.mount, folder, tmp_path / "to", tool).items():
        assert digest(copy) == archive.world[attribute(folder / name, "id") or ""]["sha256"]


def test_df_counts_every_byte(archive: Shared) -> None:
    total = sum(int(media["size"]) for media in archive.world.values())
    assert int(shell(archive.mount, "df --output=used . | tail -1")) == -(-total // 4096) * 4


# --- what cannot be done -------------------------------------------------------------------------------


def test_nothing_is_deleted_and_no_session_ever(archive: Shared) -> None:
    """Nothing can be deleted: `rm`, `rmdir` and `mv` are EPERM as root and EACCES as anyone else, `delete`
    can only be `"deny"`, and the deletion of a session is never asked for."""
    before = archive.box.world()
    archive.box.set(deletion=True)
    session = archive.root / "by-conversation" / sessions_of(archive.box)[0]
    path = next(session.iterdir())
    assert errno_of(path.unlink) == refused()
    assert errno_of(path.rename, path.with_name("x.png")) == refused()
    assert errno_of(session.rmdir) in (refused(), "ENOTEMPTY")
    assert errno_of(session.rename, session.with_name(NOBODY)) == refused()
    assert archive.mount.run("rm", "-rf", str(session), str(archive.root / "by-date")).returncode == 1
    assert (session.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o500, 0o600)
    assert archive.box.world() == before
    assert {line.split()[0] for line in asked(archive.box)} <= {"GET"}


@pytest.mark.parametrize("value", ["permanent", "trash"])
def test_no_configuration_and_no_option_can_ask_for_deletions(archive: Shared, value: str) -> None:
    with prepared_vendor(archive.box, lines=[*lines_of(), f'delete = "{value}"']) as mount:
        done = mount.mount()
        assert done.returncode == 3
        assert "delete" in done.stderr
    with prepared_vendor(archive.box, lines=lines_of()) as mount:
        done = mount.mount("--delete", value)
        assert done.returncode == 3, done.stderr
        assert "delete" in done.stderr


def test_nothing_can_be_edited(archive: Shared) -> None:
    """No attribute can be set (EOPNOTSUPP)."""
    path = next((archive.root / "recent").iterdir())
    archive.box.reset()
    for name in ("title", "description", "latitude"):
        assert errno_of(os.setxattr, path, f"user.mediafs.{name}", b"x") == "EOPNOTSUPP"
    assert errno_of(os.setxattr, path, "user.mediafs.attempt", b"x") == "EPERM"
    assert asked(archive.box) == []


def test_the_decision_is_never_asked_for_and_no_person_is_on_the_drive(archive: Shared) -> None:
    """The decision on a session, which is the person's data, is never asked for."""
    archive.mount.files(".")
    for path in by_id(archive.mount, "by-date").values():
        record = json.loads(attribute(path, "record") or "")
        assert "url" not in record
        assert "person" not in json.dumps(record).lower()
    assert asked(archive.box, "decision") == []
    assert [line for line in archive.first_walk if "decision" in line] == []
