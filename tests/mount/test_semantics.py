"""docs/SEMANTICS.md holds on a real mount: each docstring here is a quotation from it."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import mmap
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mediafs.config import AccountConfig, Service
from mediafs.model import AccountName
from mediafs.mount import Deadlines, FuseUnavailable, check_fuse
from mediafs.reading import ReadingOptions
from mediafs.remote.window import LAPSE_S, LONGEST_LAPSE_S
from mediafs.sandbox.testing import Box, sandbox_process
from mediafs.writing.brake import HOUR_S, QUIET_S
from mediafs.writing.deletions import LOOK_AFTER_S

from .mounting import Mount, mounted, prepared, requests, wait_until
from .quotations import DOCUMENT, quotations, unfounded

MIB = 1 << 20
BIG = 20 * MIB
SPARE = 6 * MIB
LONG = "ü" * 900
VIEWS = ("by-date", "by-user", "by-conversation", "recent")

DEFAULTS = AccountConfig(
    name=AccountName("x"),
    vendor="apizee",
    base_url="",
    service=Service(),
)


# --- the document --------------------------------------------------------------------------------------


def rows_of(heading: str) -> dict[str, str]:
    """First cell -> second cell of the table under a heading."""
    section = DOCUMENT.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {row[0].strip(): row[1].strip() for row in rows[2:]}


REFUSED = rows_of("Operations that are refused")
FAILURES = rows_of("Errors")


def stated(cell: str) -> str:
    """The errno that a cell of a table states for the user who runs this; `success` where it has none."""
    names: list[str] = re.findall(r"\bE[A-Z]{2,}\b", cell)
    if not names:
        return "success"
    return names[1] if "anyone else" in cell and os.geteuid() != 0 else names[0]


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    tests = {name for name in globals() if name.startswith("test_") and "document" not in name}
    assert len(tests) > 40
    assert tests - quotations(globals()).keys() == set(), "they quote nothing"
    assert unfounded(globals()) == []


# --- mounts --------------------------------------------------------------------------------------------


@dataclass
class Shared:
    """A mount that no test changes, and the truth about its account: the completed media, by id."""

    box: Box
    mount: Mount
    world: dict[str, dict[str, Any]]
    big: dict[str, Any]

    @property
    def root(self) -> Path:
        return self.mount.root

    def path_of(self, media: dict[str, Any]) -> Path:
        return path_of(self.mount, media)

    def plain(self) -> Path:
        """A file with an ordinary name."""
        return next(p for p in sorted((self.root / "recent").iterdir()) if p.name.startswith("media-"))


def path_of(mount: Mount, media: dict[str, Any]) -> Path:
    day = mount.root / "by-date" / str(media["created"])[:10].replace("-", "/")
    for path in day.iterdir():
        if os.getxattr(path, "user.mediafs.id") == str(media["id"]).encode():
            return path
    raise AssertionError(f"{media['filename']} is not in {day}")


def bytes_of(box: Box, media: dict[str, Any]) -> bytes:
    return box.call("GET", f"/api/v3/medias/{media['id']}/download").body


def errno_of(action: Callable[[], object]) -> str:
    """The name of the errno that an action fails with, or `success`."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0].replace("ENOTSUP", "EOPNOTSUPP")  # one number, two names
    return "success"


def xattr(path: Path, name: str) -> str | None:
    """`user.mediafs.NAME`; None: ENODATA."""
    try:
        return os.getxattr(path, f"user.mediafs.{name}").decode()
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with sandbox_process(media=300, hostile=True) as box:
        big = box.add(size=BIG, media_type="video", filename="big.mp4", created="2025-06-01T10:00:00+00:00")
        box.add(filename="long.png", title=LONG, description=LONG, created="2025-06-01T11:00:00+00:00")
        box.add(filename="two\u2028lines.png", created="2025-06-01T12:00:00+00:00")
        with mounted(box.url, lines=['fresh_for = "1h"', 'conversations = ["5999", "5000"]']) as mount:
            world = {str(m["id"]): m for m in box.world() if m["completed"]}
            found = Shared(box, mount, world, big)
            for view in VIEWS:
                mount.files(view)
            yield found


@pytest.fixture
def archive(shared: Shared | None) -> Shared:
    assert shared is not None
    return shared


@dataclass
class Living:
    """An archive that changes: each test adds what it needs, on days of its own."""

    box: Box
    mount: Mount
    spare: list[Path]
    """Files of 6 MiB, for tests that have something go wrong with one."""

    @property
    def root(self) -> Path:
        return self.mount.root

    def add(self, day: str, **fields: Any) -> tuple[dict[str, Any], Path]:
        """A new media on a day of its own, and where it is."""
        media = self.box.add(created=f"{day}T10:00:00+00:00", **fields)
        self.refresh(self.folder(day))
        return media, path_of(self.mount, media)

    def folder(self, day: str) -> Path:
        return self.root / "by-date" / day.replace("-", "/")

    def refresh(self, path: Path) -> None:
        assert self.mount.mediafs("refresh", str(path)).returncode == 0


@contextmanager
def living_archive(
    media: int, spare: int, lines: Sequence[str] = (), **options: Any
) -> Iterator[Living | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None
        return
    # Nothing of its own in 2025, where the tests are.
    with sandbox_process(media=media, last="2024-12-31", **options) as box:
        made = [box.add(size=SPARE, created=f"2025-07-01T10:00:{n:02}+00:00") for n in range(spare)]
        with mounted(box.url, lines=lines) as mount:
            paths = {xattr(path, "id"): path for path in (mount.root / "by-date/2025/07/01").iterdir()}
            yield Living(box, mount, [paths[str(m["id"])] for m in made])


@pytest.fixture(scope="module")
def living_mount() -> Iterator[Living | None]:
    with living_archive(120, 20) as found:
        yield found


@pytest.fixture(scope="module")
def mount_without_ranges() -> Iterator[Living | None]:
    # Half of this has room for 4 MiB, and not for what is spare.
    with living_archive(5, 2, lines=["[cache]", 'memory = "8MiB"', 'size = "0"'], ranges=False) as found:
        yield found


@pytest.fixture
def living(living_mount: Living | None) -> Living:
    assert living_mount is not None
    return living_mount


@pytest.fixture
def without_ranges(mount_without_ranges: Living | None) -> Living:
    """Of a service that ignores ranges."""
    assert mount_without_ranges is not None
    return mount_without_ranges


# --- this version --------------------------------------------------------------------------------------


def test_nothing_is_deleted_by_default() -> None:
    """Nothing is deleted for good by default. `rm` deletes at the service, for good, where the account's
    configuration says `delete = "permanent"`, and fails everywhere else, but for the one service with a trash
    (Zoom): there it moves into that. To the service mediafs sends GET requests, a PUT for an edit, a DELETE
    for a deletion, the one POST that a login with username and password takes, and nothing else.
    """
    with sandbox_process(media=30) as box:
        login = [f'username = "{box.username}"', f'password = "{box.password}"']
        before = box.world(digest=True)
        with mounted(box.url, token=None, lines=login) as mount:
            file = next((mount.root / "recent").iterdir())
            content = file.read_bytes()
            for do in (
                file.unlink,
                file.parent.rmdir,
                lambda: file.rename(file.with_name("x.png")),
                lambda: file.write_bytes(b"x"),
                lambda: os.truncate(file, 0),
                lambda: (file.parent / "new").touch(),
            ):
                assert errno_of(do) in ("EPERM", "EACCES", "EROFS", "EBUSY")
            assert mount.run("rm", "-rf", "recent", "by-date").returncode == 1
            assert file.read_bytes() == content
            assert box.world(digest=True) == before
            methods = [(r["method"], r["path"]) for r in requests(box)]
            assert methods.count(("POST", "/api/v3/token")) == 1
            assert {method for method, path in methods if path != "/api/v3/token"} == {"GET"}
            os.setxattr(file, "user.mediafs.title", b"new")
            assert [r["method"] for r in requests(box)[len(methods) :]] == ["PUT"]
        with mounted(box.url, lines=['delete = "permanent"']) as mount:
            file = next((mount.root / "recent").iterdir())
            box.reset()
            file.unlink()
            assert [r["method"] for r in requests(box)] == ["DELETE"]
            assert len(box.world()) == 29


# --- the tree ------------------------------------------------------------------------------------------


def test_by_date_has_every_media_once(archive: Shared) -> None:
    """Every media of the account is under `by-date/` once, under the day on which it was created."""
    found = [
        (xattr(archive.root / path, "id"), path[8:18].replace("/", "-"))
        for path in archive.mount.files("by-date")
    ]
    assert len(found) == len(archive.world)
    assert dict(found) == {id_: media["created"][:10] for id_, media in archive.world.items()}


def test_what_the_configuration_says_of_days_names_and_owners() -> None:
    """Days are those of the account's `time_zone`, which is UTC unless the configuration says otherwise.

    or from `since` where that is set

    With `names = "title"` the name is made from the title, and always carries the hash.

    or to the `uid` and `gid` that the configuration names

    unless `umask` says otherwise.
    """
    assert DEFAULTS.time_zone.key == "UTC"
    with sandbox_process(media=30) as box:
        media = box.add(title="Boiler plate 7", created="2025-06-01T20:30:00+00:00")
        lines = ['time_zone = "Asia/Tokyo"', 'since = "2025-03-05"', 'names = "title"']
        lines += ["uid = 4321", "gid = 1234", 'umask = "022"']
        with mounted(box.url, lines=lines) as mount:
            digits = hashlib.sha256(str(media["id"]).encode()).hexdigest()[:8]
            assert f"Boiler plate 7~{digits}.png" in os.listdir(mount.root / "by-date/2025/06/02")
            there = [
                datetime.fromisoformat(m["created"]) + timedelta(hours=9)
                for m in box.world()
                if m["completed"]
            ]
            found = mount.files("by-date")
            assert sorted(path[8:18] for path in found) == sorted(
                f"{moment:%Y/%m/%d}" for moment in there if moment.date() >= date(2025, 3, 5)
            )
            assert errno_of(lambda: os.listdir(mount.root / "by-date/2025/03/04")) == "ENOENT"
            stat = next(iter(found.values()))
            assert (stat.st_uid, stat.st_gid, stat.st_mode & 0o777) == (4321, 1234, 0o644)


def test_days_run_from_the_oldest_media_to_today(archive: Shared) -> None:
    """The days run from the oldest media, or from `since` where that is set, to today."""
    first = min(date.fromisoformat(m["created"][:10]) for m in archive.world.values())
    before = archive.root / f"by-date/{first - timedelta(1):%Y/%m/%d}"
    assert errno_of(lambda: os.listdir(before)) == "ENOENT"
    today = datetime.now(UTC).date()
    assert os.listdir(archive.root / f"by-date/{today:%Y/%m/%d}") == []
    after = archive.root / f"by-date/{today + timedelta(2):%Y/%m/%d}"
    assert errno_of(lambda: os.listdir(after)) == "ENOENT"


def test_empty_days_are_not_listed(archive: Shared) -> None:
    """A day that is known to be empty is not listed, nor a month or year of such days; looked up by name,
    such a day is an empty directory.
    """
    by_date = archive.root / "by-date"
    days = {m["created"][:10].replace("-", "/") for m in archive.world.values()}
    assert {str(p.relative_to(by_date)) for p in by_date.glob("*/*/*")} == days
    assert sorted(os.listdir(by_date)) == ["2024", "2025"], "not this year, of which all days are empty"
    empty = next(d for n in range(365) if (d := f"{date(2024, 1, 5) + timedelta(n):%Y/%m/%d}") not in days)
    assert os.listdir(by_date / empty) == []


def test_what_is_not_completed_is_not_shown(archive: Shared) -> None:
    """Media that the service does not call completed are not shown."""
    others = {str(m["id"]) for m in archive.box.world() if not m["completed"]}
    assert others
    for view in VIEWS:
        shown = {xattr(archive.root / path, "id") for path in archive.mount.files(view)}
        assert shown
        assert not shown & others


def test_recent_holds_the_newest_100(archive: Shared) -> None:
    """`recent/` holds the newest 100 media."""
    newest = sorted(archive.world.values(), key=lambda m: (m["created"], m["id"]))[-100:]
    found = {xattr(path, "id") for path in (archive.root / "recent").iterdir()}
    assert found == {str(m["id"]) for m in newest}


def test_conversations_are_an_index_and_their_filter_is_proven_once() -> None:
    """`by-conversation/` lists the conversations that the configuration names and those that were looked
    at before. Any other id can be looked up there: the service is asked, and an id of which it has no
    media is ENOENT. Records do not tell their conversation, so `by-conversation/` is never known to be
    complete, and its `user.mediafs.complete` is always `false`.

    The conversation filter is therefore proven when it is first needed, not at start: one request,
    remembered for a day.
    """
    with sandbox_process(media=60) as box, mounted(box.url, lines=['conversations = ["5000"]']) as mount:
        index = mount.root / "by-conversation"
        assert requests(box) == [], "not at start"
        assert os.listdir(index) == ["5000"]
        mount.files("by-date")
        conversations = {str(m["conversation"]) for m in box.world() if m["completed"]}
        box.reset()
        for name in sorted(conversations - {"5000"})[:3]:
            wanted = {str(m["id"]) for m in box.world() if m["conversation"] == name and m["completed"]}
            assert {xattr(path, "id") for path in (index / name).iterdir()} == wanted
        assert len(requests(box)) == 4, "one proof, and a page each"
        assert sorted(os.listdir(index)) == sorted({"5000", *sorted(conversations - {"5000"})[:3]})
        assert errno_of(lambda: os.listdir(index / "987654")) == "ENOENT"
        assert xattr(index, "complete") == "false"
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        box.reset()
        os.listdir(index / sorted(conversations - {"5000"})[3])
        assert len(requests(box)) == 1, "remembered over restarts"


def test_a_conversations_file_holds_until_it_says_something_else() -> None:
    """What a `conversations_file` said last goes on to hold where the file is away or cannot be read;
    `mediafs check` says why.
    """
    lines = ['conversations_file = "list"']
    with sandbox_process(media=5) as box, prepared(box.url, lines=lines) as mount:
        file = mount.config.parent / "list"
        file.write_text("5001\n")
        assert mount.mount().returncode == 0, mount.log
        index = mount.root / "by-conversation"
        assert os.listdir(index) == ["5001"]
        file.unlink()
        assert os.listdir(index) == ["5001"]
        file.mkdir()
        assert os.listdir(index) == ["5001"]
        assert f"{file}: cannot be read: it is not a file" in mount.mediafs("check").stdout
        file.rmdir()
        file.write_text("5002\n")
        assert os.listdir(index) == ["5002"]


def test_by_user_says_when_it_is_complete(archive: Shared) -> None:
    """Once all days have been listed, `by-user/` is complete and says so. A user's directory is called
    `Human name (id)`, or by the id alone where the service gives no name.
    """
    assert xattr(archive.root / "by-user", "complete") == "true"
    owners = {m["owner"]["id"]: m["owner"].get("name") for m in archive.world.values()}
    names = set(os.listdir(archive.root / "by-user"))
    assert len(names) == len(owners)
    assert {"John Doe (1000)", "Alex Martin (2001)", "Alex Martin (2002)", "2003", "2004"} <= names
    for folder in (archive.root / "by-user").iterdir():
        id_ = re.sub(r".* \((\d+)\)$", r"\1", folder.name)
        wanted = {i for i, m in archive.world.items() if str(m["owner"]["id"]) == id_}
        assert {xattr(path, "id") for path in folder.iterdir()} == wanted


def test_a_bare_user_id_is_a_link(archive: Shared) -> None:
    """The bare id, looked up, is a symbolic link to that directory, so that `pwd -P` and
    `ls by-user/1000/` agree on where they are.
    """
    assert os.readlink(archive.root / "by-user/1000") == "John Doe (1000)"
    assert "1000" not in os.listdir(archive.root / "by-user")
    done = archive.mount.run("sh", "-c", "cd by-user/1000 && pwd -P && ls")
    where, *names = done.stdout.splitlines()
    assert where == str(archive.root / "by-user/John Doe (1000)")
    assert sorted(names) == sorted(os.listdir(archive.root / "by-user/1000"))


def test_a_listing_of_one_owner_alone_has_to_be_proven() -> None:
    """A listing of all users is believed without such a request when it shows several owners."""
    # That several owners need no proof: test_a_walk_costs_the_pages_of_one_listing.
    with sandbox_process(media=50, users=1) as box, mounted(box.url) as mount:
        os.listdir(mount.root / "recent")
        assert len(requests(box)) == 2


def test_a_filter_that_is_ignored_fails_its_directories() -> None:
    """A filter that turns out to be ignored fails the directories that need it with EIO, and
    `user.mediafs.error` on them says which setting to correct.
    """
    with (
        sandbox_process(media=20, conversation_parameter="talk") as box,
        mounted(box.url, lines=['conversations = ["5000"]']) as mount,
    ):
        folder = mount.root / "by-conversation/5000"
        assert errno_of(lambda: os.listdir(folder)) == "EIO"
        assert "filters = { conversation" in str(xattr(folder, "error"))
        assert os.listdir(mount.root / "by-date")


# --- names ---------------------------------------------------------------------------------------------


def names_by_id(mount: Mount, view: str) -> dict[str | None, str]:
    return {xattr(mount.root / path, "id"): os.path.basename(path) for path in mount.files(view)}


def test_a_name_is_the_same_everywhere(archive: Shared) -> None:
    """A file has the same name in every view, after every remount, and on every machine."""
    names = names_by_id(archive.mount, "by-date")
    for view in VIEWS:
        assert names_by_id(archive.mount, view).items() <= names.items()
    # Another machine, and the newest first: another order of arrival. Remounts are in
    # test_inodes_and_listings_survive_a_remount_without_the_service.
    with mounted(archive.box.url) as elsewhere:
        os.listdir(elsewhere.root / "recent")
        assert names_by_id(elsewhere, "by-date") == names


def test_what_is_not_unique_carries_a_hash(archive: Shared) -> None:
    """The vendor's own name is kept where the vendor makes it unique, as in
    `media-3npGq6km5jx2s4ct-1538745137.png`. Any other name carries `~` and eight hex digits of a hash of
    the media's id before its extension.
    """
    names = names_by_id(archive.mount, "by-date")
    twins = [n for n in names.values() if n.startswith("media-3npGq6km5jx2s4ct-1538745137")]
    assert len(twins) == len(set(twins)) == 2
    for id_, media in archive.world.items():
        name, filename = names[id_], str(media["filename"])
        digits = hashlib.sha256(id_.encode()).hexdigest()[:8]
        if re.fullmatch(r"media-[A-Za-z0-9]{16}-\d+\.\w+", filename) and name not in twins:
            assert name == filename
        else:
            assert re.search(rf"~{digits}\.\w+$", name), name


def test_two_that_want_one_name_both_give_way(living: Living) -> None:
    """Where two records want one vendor name after all, both get the hash: the one that was there is
    renamed when the other arrives, so that names do not depend on the order of arrival.
    """
    twin = "media-AAAAbbbbCCCCdddd-1538745137.png"
    _, plain_name = living.add("2025-06-01", filename=twin)
    assert plain_name.name == twin
    living.add("2025-06-01", filename=twin)
    names = sorted(os.listdir(plain_name.parent))
    assert len(names) == 2
    assert all(re.fullmatch(r"media-AAAAbbbbCCCCdddd-1538745137~[0-9a-f]{8}\.png", n) for n in names)
    assert all(plain_name.with_name(name).read_bytes() for name in names)
    wait_until(lambda: not plain_name.exists())


def test_names_are_legal(archive: Shared) -> None:
    """Names are legal and harmless: at most 255 bytes with the extension kept, normalised (NFC), without
    control characters, line breaks, `/` or characters that change the direction of text, and they begin
    with no dash, dot or space. A name whose extension does not fit the type of the media gets one that
    does.
    """
    for path in archive.mount.files("by-date"):
        name = os.path.basename(path)
        assert 0 < len(name.encode()) <= 255
        assert name[0] not in "-. "
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029\u202e/" for c in name)
        endings = {"image": "png", "video": "mp4", "audio": "wav"}
        assert name.lower().endswith("." + endings[str(xattr(archive.root / path, "media_type"))]), name
    assert any(
        re.fullmatch(r"really-a-video\.png~\w{8}\.mp4", os.path.basename(p))
        for p in archive.mount.files("by-date")
    )


# --- files ---------------------------------------------------------------------------------------------


def test_one_media_is_one_inode(archive: Shared) -> None:
    """One media is one inode with several names, whichever view it is found in.

    `st_nlink` counts its names in `by-date/`, `by-user/` and `by-conversation/` as far as they are known,
    and not the one in `recent/`.
    """
    places: dict[str | None, set[int]] = {}
    counted: dict[int, int] = {}
    for view in VIEWS:
        for path, stat in archive.mount.files(view).items():
            places.setdefault(xattr(archive.root / path, "id"), set()).add(stat.st_ino)
            counted[stat.st_ino] = counted.get(stat.st_ino, 0) + (view != "recent")
    assert all(len(inodes) == 1 for inodes in places.values())
    links = {s.st_ino: s.st_nlink for s in archive.mount.files("by-date").values()}
    assert links == counted
    assert set(links.values()) == {2, 3}


def test_sizes_and_times_are_those_of_the_record(archive: Shared) -> None:
    """`st_size` is the file size of the service's record.

    All three times of a file are the moment when the media was created, in whole seconds.
    """
    for path, stat in archive.mount.files("by-date").items():
        media = archive.world[str(xattr(archive.root / path, "id"))]
        assert stat.st_size == media["filesize"]
        moment = int(datetime.fromisoformat(media["created"]).timestamp()) * 10**9
        assert (stat.st_mtime_ns, stat.st_atime_ns, stat.st_ctime_ns) == (moment,) * 3


def test_an_unknown_size_is_settled_by_opening(living: Living) -> None:
    """Where the record has none, 1 GiB is shown until the file is opened, and the true size from then on."""
    media, path = living.add("2025-06-02", size=300_000)
    living.box.update(media["id"], filesize=None)
    living.refresh(path.parent)
    wait_until(lambda: path.stat().st_size == 1 << 30)
    with path.open("rb") as file:
        assert os.fstat(file.fileno()).st_size == 300_000
        assert file.read() == bytes_of(living.box, media)
    assert path.stat().st_size == 300_000


def test_owner_and_modes(archive: Shared) -> None:
    """Files belong to whoever mounted

    files have mode 0600 and directories 0500
    """
    file, folder = archive.plain().stat(), (archive.root / "recent").stat()
    assert (file.st_uid, file.st_gid, file.st_mode) == (os.geteuid(), os.getegid(), 0o100600)
    assert (folder.st_uid, folder.st_gid, folder.st_mode) == (os.geteuid(), os.getegid(), 0o040500)


def test_du_and_df(archive: Shared) -> None:
    """`du` adds up the sizes; `df` shows the sum of the known sizes as used, and the room of the disk cache
    as free, what it would evict included.
    """
    total = sum(m["filesize"] for m in archive.world.values())
    done = archive.mount.run("du", "-s", "--apparent-size", "--block-size=1", "by-date")
    assert int(done.stdout.split()[0]) == total
    space = os.statvfs(archive.root)
    assert (space.f_blocks - space.f_bfree) * space.f_frsize == -(-total // 4096) * 4096
    disk = os.statvfs(archive.mount.cache)
    room = min(10 << 30, disk.f_bavail * disk.f_frsize - disk.f_blocks * disk.f_frsize // 20)
    assert space.f_bavail * space.f_frsize == pytest.approx(max(room, MIB), rel=0.2)


def test_inodes_and_listings_survive_a_remount_without_the_service() -> None:
    """Its number stays the same over remounts, and is never given to another media.

    While the service cannot be reached, the last whole listing is shown, and `user.mediafs.error` on the
    directory says why

    What was listed is kept over restarts: a remount shows it, also without the service.
    """
    with ExitStack() as service:
        box = service.enter_context(sandbox_process(media=20))
        gone = box.add(filename="gone.png", created="2025-06-01T10:00:00+00:00")
        port = urlsplit(box.url).port
        assert port
        with mounted(box.url, lines=['fresh_for = "100ms"']) as mount:
            recent = mount.root / "recent"
            inodes = {xattr(path, "id"): path.stat().st_ino for path in recent.iterdir()}
            names = sorted(os.listdir(recent))
            service.close()
            time.sleep(1.1)  # ten times `fresh_for`: the listing is to be refreshed first
            assert {xattr(path, "id"): path.stat().st_ino for path in recent.iterdir()} == inodes
            assert "reach" in str(xattr(recent, "error")) or "connect" in str(xattr(recent, "error"))
            assert mount.umount().returncode == 0
            assert mount.mount().returncode == 0
            assert {xattr(path, "id"): path.stat().st_ino for path in recent.iterdir()} == inodes
            assert sorted(os.listdir(recent)) == names
            with sandbox_process(media=20, port=port) as other:
                other.add(filename="new.png", created="2025-06-01T11:00:00+00:00")
                new = other.add(filename="newer.png", created="2025-06-01T12:00:00+00:00")
                other.remove(gone["id"])
                assert mount.mediafs("refresh", str(recent)).returncode == 0
                after = {xattr(path, "id"): path.stat().st_ino for path in recent.iterdir()}
                assert str(gone["id"]) not in after
                assert after[str(new["id"])] not in inodes.values()
                assert inodes.items() & after.items() == {(i, n) for i, n in inodes.items() if i in after}


# --- reading -------------------------------------------------------------------------------------------


def test_a_file_is_one_download_and_then_none(archive: Shared) -> None:
    """Opening a file sends no request; reading does. A file that is read from beginning to end is one
    download, whatever the size of the reads.

    What was read is read again without a request, also by another program.
    """
    path, truth = archive.path_of(archive.big), bytes_of(archive.box, archive.big)
    archive.box.reset()
    with path.open("rb", buffering=0) as file:
        assert requests(archive.box) == []
        sizes = iter([1, 4095, 4097, 100_001, 3, 65_536])
        parts = []
        while part := file.read(next(sizes, 300_007)):
            parts.append(part)
    assert b"".join(parts) == truth
    assert len(requests(archive.box)) == 1
    digest = archive.mount.run("sha256sum", str(path)).stdout[:64]
    assert digest == hashlib.sha256(truth).hexdigest()
    assert len(requests(archive.box)) == 1


def test_a_small_file_is_fetched_whole(archive: Shared) -> None:
    """A file of less than 4 MiB is fetched whole, in one request, wherever the first read is."""
    path = next(p for p in (archive.root / "recent").iterdir() if MIB < p.stat().st_size < 4 * MIB)
    archive.box.reset()
    with path.open("rb") as file:
        file.seek(-1000, os.SEEK_END)
        tail = file.read()
        file.seek(0)
        assert file.read()[-1000:] == tail
    assert len(requests(archive.box)) == 1


def test_every_way_of_reading_gives_the_same_bytes(archive: Shared) -> None:
    """`mmap`, `dd` with odd block sizes, `tail -c` and random reads give the same bytes as `cat`."""
    path = str(archive.path_of(archive.big))
    mapped = (
        "import mmap, sys; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"
    )
    random = "r = random.Random(1); order = r.sample(range(160), 160); p = {n: 0 for n in order}"
    commands: list[list[str]] = [
        ["cat", path],
        ["dd", "status=none", "bs=77777", f"if={path}"],
        ["tail", "-c", str(BIG), path],
        [sys.executable, "-c", f"{mapped}; sys.stdout.buffer.write(m)", path],
        [
            sys.executable,
            "-c",
            f"import os, random, sys; {random}; f = open(sys.argv[1], 'rb')\n"
            "for n in order: p[n] = os.pread(f.fileno(), 131072, n * 131072)\n"
            "sys.stdout.buffer.write(b''.join(p[n] for n in sorted(p)))",
            path,
        ],
    ]
    truth = hashlib.sha256(bytes_of(archive.box, archive.big)).hexdigest()
    for command in commands:
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        assert hashlib.sha256(done.stdout).hexdigest() == truth, command


def fault(box: Box, path: Path, kind: str, **fields: Any) -> str:
    """Spoils the downloads of one file; returns its true hash."""
    target = f"/api/v3/medias/{xattr(path, 'id')}/download"
    truth = hashlib.sha256(box.call("GET", target).body).hexdigest()
    box.fault(kind, path=target, **fields)
    return truth


def test_a_download_that_breaks_off_is_taken_up(living: Living) -> None:
    """A download that breaks off is taken up where it broke off, and the reader notices nothing but the
    time.
    """
    path = living.spare.pop()
    truth = fault(living.box, path, "cut", after_bytes=2_500_000)
    living.box.reset()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == truth
    sent = requests(living.box, "download")
    assert len(sent) == 2
    assert sum(r["bytes_sent"] for r in sent) < SPARE + MIB


@pytest.mark.parametrize("kind", ["long", "short", "wrong-range", "html", "json"])
def test_a_wrong_body_never_reaches_a_reader(living: Living, kind: str) -> None:
    """A body that is not what was asked for (of another length than the record states, of another range, a
    web page, a JSON message) never reaches a reader: the read is EIO.
    """
    path = living.spare.pop()
    truth = fault(living.box, path, kind, times=None)
    assert errno_of(path.read_bytes) == "EIO"
    living.box.clear_faults()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == truth


def test_without_a_disk_cache_a_service_without_ranges_is_fetched_whole(without_ranges: Living) -> None:
    """Where that has no room, it is fetched once while the file is open: into memory while half of
    `[cache] memory` has room for it, else into a file without a name in the cache folder; its room is then
    given back when the file is closed.
    """
    # That it may ignore them from some moment on is tested in test_right_bytes.py.
    box, mount = without_ranges.box, without_ranges.mount
    spool, pid = mount.cache / mount.account / "spool", mount.pids[-1]
    for day, size in (("2025-06-01", BIG), ("2025-06-02", 3 * MIB)):
        media, path = without_ranges.add(day, size=size)
        truth = bytes_of(box, media)
        box.reset()
        with path.open("rb") as file:
            for offset in (size // 2, 3, size - 5000, size // 3 + 1):
                file.seek(offset)
                assert file.read(5000) == truth[offset : offset + 5000]
            reading = mount.status()["reading"]
            assert (reading["spools"], reading["memory"]) == (1, 0 if size == BIG else size)
            assert list(spool.iterdir()) == []
            opened = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
            assert sum(each.startswith(str(spool)) for each in opened) == (1 if size == BIG else 0)
        assert len(requests(box)) == 1
        wait_until(lambda: mount.status()["reading"]["spools"] == 0)
        assert mount.status()["reading"]["memory"] == 0


def test_redirects_get_no_credentials_and_expired_links_are_renewed() -> None:
    """A redirect to another host is followed without the account's credentials, and an expired link is
    asked for anew.
    """
    with sandbox_process(media=5, redirect=True, redirect_ttl_s=0.5) as box:
        media = box.add(size=BIG, created="2025-06-01T10:00:00+00:00")
        with mounted(box.url) as mount:
            path, truth = path_of(mount, media), bytes_of_storage(box, media)
            box.reset()
            with path.open("rb", buffering=0) as file:
                assert file.read(1000) == truth[:1000]
                time.sleep(0.6)
                for offset in (18 * MIB, 9 * MIB):
                    assert os.pread(file.fileno(), 1000, offset) == truth[offset : offset + 1000]
            stored = box.requests(origin="storage")
            assert len(stored) >= 3
            assert all(r["headers"] for r in stored)
            assert not any("authorization" in {name.lower() for name in r["headers"]} for r in stored)
            assert len(box.requests(origin="api", path="/download")) >= 2


def bytes_of_storage(box: Box, media: dict[str, Any]) -> bytes:
    location = box.call("GET", f"/api/v3/medias/{media['id']}/download").headers["location"]
    return box.call("GET", location, token=None).body


def test_two_versions_are_never_mixed(living: Living) -> None:
    """When the content changes under an open file, reads of it fail with ESTALE, so two versions are never
    mixed; opened anew, it shows the new content.
    """
    media, path = living.add("2025-06-03", size=BIG)
    with path.open("rb", buffering=0) as file:
        assert len(file.read(4096)) == 4096
        living.box.update(media["id"], size=BIG, seed=77)
        assert errno_of(partial(os.pread, file.fileno(), 4096, 15 * MIB)) == "ESTALE"
    assert path.read_bytes() == bytes_of(living.box, media)


def test_beside_an_older_content_the_newer_one_is_mapped_privately(living: Living) -> None:
    """While the older content is open somewhere, the newer one can be mapped with `MAP_PRIVATE` only:
    `MAP_SHARED` is ENODEV.
    """
    media, path = living.add("2025-06-04", size=BIG)

    def mapped(how: int) -> bytes:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=how, prot=mmap.PROT_READ) as pages:
            return pages[9 * MIB : 9 * MIB + 5000]

    with path.open("rb", buffering=0) as older:
        assert len(older.read(4096)) == 4096
        living.box.update(media["id"], size=BIG, seed=76)
        assert errno_of(partial(os.pread, older.fileno(), 4096, 15 * MIB)) == "ESTALE"
        assert errno_of(partial(mapped, mmap.MAP_SHARED)) == "ENODEV"
        truth = bytes_of(living.box, media)[9 * MIB : 9 * MIB + 5000]
        assert mapped(mmap.MAP_PRIVATE) == truth
    assert mapped(mmap.MAP_SHARED) == truth


def test_content_is_taken_to_be_the_same_until_it_is_seen_not_to_be(living: Living) -> None:
    """Between two openings the content is taken to be the same as long as creation time and size in the
    record are: what is held of it is shown, and the first read that fetches another `ETag` is ESTALE.
    """
    media, path = living.add("2025-06-05", size=BIG)
    with path.open("rb", buffering=0) as file:
        held = file.read(4096)
    living.box.update(media["id"], size=BIG, seed=78)
    living.box.reset()
    with path.open("rb", buffering=0) as file:
        assert file.read(4096) == held
        assert requests(living.box) == []
        assert errno_of(partial(os.pread, file.fileno(), 4096, 15 * MIB)) == "ESTALE"
    assert path.read_bytes() == bytes_of(living.box, media)


# --- listings ------------------------------------------------------------------------------------------


def test_a_directory_is_shown_whole_or_fails(living: Living) -> None:
    """A directory is shown from a whole listing of what it holds; while there is none, it fails, and never
    shows a part.
    """
    # The day's page has brought some media of each conversation and user already.
    os.listdir(living.root / "recent")
    folder = living.root / "by-conversation/5004"
    living.box.fault("status", path="/api/v3/medias", status=500, times=None)
    assert errno_of(lambda: os.listdir(folder)) == "EIO"
    living.box.clear_faults()
    wanted = [m for m in living.box.world() if m["conversation"] == "5004" and m["completed"]]
    assert wanted
    assert {xattr(path, "id") for path in folder.iterdir()} == {str(m["id"]) for m in wanted}


def test_how_old_a_listing_may_be(living: Living) -> None:
    """A listing younger than `fresh_for`, 60 seconds by default, is shown without a request. Up to ten times
    that age it is shown at once and refreshed behind, so that the next `ls` shows what has changed. An older
    one is refreshed first. `mediafs refresh PATH` lists a directory again at once, and returns when
    the mount shows it.
    """

    def shows(root: Path, media: dict[str, Any]) -> bool:
        return str(media["id"]) in {xattr(path, "id") for path in (root / "recent").iterdir()}

    assert DEFAULTS.fresh_for_s == 60
    living.refresh(living.root / "recent")
    media = living.box.add()
    living.box.reset()
    assert not shows(living.root, media)
    assert requests(living.box) == []
    recent, names = living.root / "recent", set(os.listdir(living.root / "recent"))
    living.refresh(recent)
    assert shows(living.root, media)
    (name,) = set(os.listdir(recent)) - names
    living.box.remove(media["id"])
    living.refresh(recent)
    assert not (recent / name).exists(), "nor does the kernel remember it"

    with sandbox_process(media=20) as box, mounted(box.url, lines=['fresh_for = "200ms"']) as mount:
        os.listdir(mount.root / "recent")
        media = box.add()
        box.set(latency_s=0.7)  # the refresh behind shall not overtake the look
        time.sleep(0.3)
        assert not shows(mount.root, media), "it is shown as it was, and refreshed behind"
        wait_until(lambda: shows(mount.root, media))
        media = box.add()
        time.sleep(2.1)
        assert shows(mount.root, media), "too old: it is refreshed first"


def test_users_are_there_at_the_first_look() -> None:
    """Where no user is known yet, opening `by-user/` asks for the oldest media first, so that it is not empty
    where the account is not.
    """
    with sandbox_process(media=300) as box, mounted(box.url) as mount:
        box.reset()
        assert os.listdir(mount.root / "by-user")
        assert len(requests(box)) == 1
        assert os.listdir(mount.root / "by-user")
        assert len(requests(box)) == 1


def test_a_walk_costs_the_pages_of_one_listing() -> None:
    """The listing of a day is one open-ended page, oldest media first, which also brings the days after it.
    A walk through all of `by-date/` therefore costs the pages of one whole listing, and the next day costs
    nothing after the first.
    """
    with sandbox_process(media=600) as box, mounted(box.url) as mount:
        completed = [m for m in box.world() if m["completed"]]
        days = sorted({m["created"][:10].replace("-", "/") for m in completed})
        first, second = (mount.root / "by-date" / day for day in days[100:102])
        assert os.listdir(first)
        (sent,) = requests(box)
        assert "order=asc" in sent["query"]
        assert "since=" in sent["query"]
        assert "until=" not in sent["query"]
        assert os.listdir(second)
        assert len(requests(box)) == 1
        assert len(mount.files("by-date")) == len(completed)
        # One that says where the archive begins, and the page that the look at one day has cut in two.
        assert len(requests(box)) <= -(-len(completed) // 100) + 2


def test_a_slow_listing_goes_on_behind() -> None:
    """Where a listing takes longer than `list_deadline`, 20 seconds by default, `ls` fails with ETIMEDOUT;
    the listing goes on behind, and a later `ls` succeeds.
    """
    assert DEFAULTS.list_deadline_s == 20
    with sandbox_process(media=300) as box, mounted(box.url, lines=['list_deadline = "600ms"']) as mount:
        box.set(latency_s=1.2)
        recent = mount.root / "recent"
        assert errno_of(lambda: os.listdir(recent)) == "ETIMEDOUT"
        wait_until(lambda: errno_of(lambda: os.listdir(recent)) == "success")
        assert len(os.listdir(recent)) == 100
        assert len(requests(box)) == 1


def test_refused_credentials_fail_an_old_directory() -> None:
    """refused credentials, answers that cannot be right, and a full disk fail it as soon as its listing is
    ten times `fresh_for` old.
    """
    with sandbox_process(media=20) as box, mounted(box.url, lines=['fresh_for = "100ms"']) as mount:
        recent, user = mount.root / "recent", mount.root / "by-user/1000"
        assert os.listdir(recent)
        assert os.listdir(user)
        time.sleep(1.1)
        box.fault("html", path="/api/v3/medias")
        assert errno_of(lambda: os.listdir(recent)) == "EIO"
        box.fault("status", path="/api/v3/medias", status=401, times=None)
        assert errno_of(lambda: os.listdir(user)) == "EACCES"


def test_who_is_gone_loses_all_names(living: Living) -> None:
    """The refresh that finds it gone takes away its names in all views.

    reading what is not held already is ENOENT.
    """
    media, path = living.add("2025-06-04", filename="x.png", size=300_000)
    living.refresh(living.root / "recent")
    user = living.root / "by-user" / os.readlink(living.root / "by-user/1000")
    names = [path, living.root / "recent" / path.name, user / path.name]
    assert len({name.stat().st_ino for name in names}) == 1
    living.box.remove(media["id"])
    assert all(name.exists() for name in names)
    assert errno_of(path.read_bytes) == "ENOENT"
    living.refresh(path.parent)
    wait_until(lambda: not any(name.exists() for name in names))


# --- attributes ----------------------------------------------------------------------------------------


def test_attributes_are_there_for_free(archive: Shared) -> None:
    """`getfattr` shows what the service knows of a media, under `user.mediafs.`: `title`, `description`,
    `latitude`, `longitude`, `id`, `vendor`, `account`, `conversation`, `owner`, `owner_id`, `created`,
    `status`, `media_type`, `mime_type`, `source_type`, `etag`, `duration`, `cached` and `record` (the
    service's JSON). No attribute costs a request, and one that has no value is ENODATA.
    """
    quoted = re.findall(r"`([a-z_]+)`", str(test_attributes_are_there_for_free.__doc__))
    assert len(quoted) == 20
    names = quoted[1:]  # the first is `getfattr`
    files = [archive.root / path for path in archive.mount.files("by-date/2025/12/31")]
    archive.box.reset()
    with_value = {name for name in names for path in files if xattr(path, name) is not None}
    assert with_value == set(names) - {"etag", "duration"}, "which Apizee's records do not tell"
    assert requests(archive.box) == []
    for path in files:
        media = archive.world[str(xattr(path, "id"))]
        assert xattr(path, "source_type") == media["source_type"]
        assert xattr(path, "owner_id") == str(media["owner"]["id"])
        assert errno_of(partial(os.getxattr, path, "user.mediafs.nonsense")) == "ENODATA"


def test_copies_take_eight_attributes_along(archive: Shared) -> None:
    """`listxattr` names eight of them, so that copies take them along: title, description, id, vendor,
    conversation, owner, created and media_type. A title or description that is too long for a disk's
    attribute room (together over about 3,000 bytes) is readable by name but not listed.
    """
    eight = {"title", "description", "id", "vendor", "conversation", "owner", "created", "media_type"}
    listed = set(os.listxattr(archive.path_of(archive.big)))
    assert listed <= {f"user.mediafs.{name}" for name in eight}
    found = set().union(*(os.listxattr(p) for p in (archive.root / "by-conversation/5999").iterdir()))
    assert found == {f"user.mediafs.{name}" for name in eight}
    (long,) = (archive.root / "by-date/2025/06/01").glob("long*")
    texts = {"user.mediafs.title", "user.mediafs.description"}
    assert len(texts & set(os.listxattr(long))) == 1, "1,800 bytes each: one fits"
    assert xattr(long, "title") == xattr(long, "description") == LONG
    values = sum(len(name) + len(os.getxattr(long, name)) for name in os.listxattr(long))
    assert values <= 3000


def test_attributes_have_the_names_that_desktops_know(archive: Shared) -> None:
    """The names that desktops know are aliases: `user.xdg.comment`, `user.mime_type` and
    `user.dublincore.title`, `.description`, `.creator`, `.date` and `.identifier`.
    """
    path = next(p for p in (archive.root / "recent").iterdir() if xattr(p, "description"))
    for alias, name in {
        "user.xdg.comment": "description",
        "user.mime_type": "mime_type",
        "user.dublincore.title": "title",
        "user.dublincore.description": "description",
        "user.dublincore.creator": "owner",
        "user.dublincore.date": "created",
        "user.dublincore.identifier": "id",
    }.items():
        assert os.getxattr(path, alias).decode() == xattr(path, name), alias


def test_no_attribute_opens_a_media_without_a_login(archive: Shared) -> None:
    """Links and hashes that open a media without a login are in no attribute, not in `record` either."""
    secrets = [m["hash"] for m in archive.world.values()]
    assert all(secrets)
    for path in archive.mount.files("recent"):
        told = " ".join(
            str(xattr(archive.root / path, n)) for n in ("record", "title", "description", "etag")
        )
        assert "showVideo" not in told
        assert archive.world[str(xattr(archive.root / path, "id"))]["hash"] not in told


def test_directories_tell_how_they_were_listed(archive: Shared) -> None:
    """Directories have `user.mediafs.complete`, `user.mediafs.listed` and, after a failure,
    `user.mediafs.error`.
    """
    for folder in ("by-date", "by-date/2025", "by-date/2025/12/31", "by-user", "recent"):
        assert xattr(archive.root / folder, "complete") == "true"
        listed = datetime.fromisoformat(str(xattr(archive.root / folder, "listed")))
        assert abs((datetime.now(UTC) - listed).total_seconds()) < 600
        assert xattr(archive.root / folder, "error") is None


# --- editing -------------------------------------------------------------------------------------------


def test_an_edit_is_answered_when_the_service_shows_it(living: Living) -> None:
    """`setfattr` and `setfattr -x` change the title, the description, the latitude and the longitude at the
    service, also under the names that desktops know: `user.xdg.comment` is the description. An edit is
    answered when the service has shown the new value; from then on every view and every program sees it.
    """
    media, path = living.add("2025-06-06", filename="x.png")
    recent = living.root / "recent" / path.name
    living.refresh(recent.parent)
    values = {
        "user.mediafs.title": "Dach",
        "user.xdg.comment": "zwei\nZeilen",
        "user.mediafs.latitude": "48.25",
        "user.mediafs.longitude": "-1.5",
    }
    for name, value in values.items():
        assert living.mount.run("setfattr", "-n", name, "-v", value, str(path)).returncode == 0
        assert os.getxattr(recent, name).decode() == value
    (there,) = [m for m in living.box.world() if m["id"] == media["id"]]
    assert (there["title"], there["description"]) == ("Dach", "zwei\nZeilen")
    assert there["geoloc"] == {"lat": 48.25, "lng": -1.5}
    assert living.mount.run("setfattr", "-x", "user.xdg.comment", str(path)).returncode == 0
    assert not next(m for m in living.box.world() if m["id"] == media["id"])["description"]


def test_an_edit_that_fails_is_not_made_later(living: Living) -> None:
    """After a failure the old value is shown. Nothing is kept to be sent later: where no answer came, it is
    only asked what became of the edit, and what the service says is shown.
    """
    media, path = living.add("2025-06-07", filename="x.png", title="old")
    living.box.fault("lost", method="PUT", times=None)
    living.box.reset()
    assert errno_of(lambda: os.setxattr(path, "user.mediafs.title", b"new")) == "EIO"
    living.box.clear_faults()
    tries = len([r for r in requests(living.box) if r["method"] == "PUT"])
    wait_until(lambda: xattr(path, "title") == "new")  # for the service had done it
    living.box.fault("refuse", method="PUT", times=None)
    assert errno_of(lambda: os.setxattr(path, "user.mediafs.title", b"newer")) == "EIO"
    living.box.clear_faults()
    assert xattr(path, "title") == "new"
    time.sleep(2.5)
    assert len([r for r in requests(living.box) if r["method"] == "PUT"]) == 2 * tries
    assert next(m for m in living.box.world() if m["id"] == media["id"])["title"] == "new"


def test_the_way_to_edit_is_found_and_remembered() -> None:
    """Until an edit has been seen to stand, up to three ways are tried (JSON, form, query), and for a place
    the other names of its coordinates too; the way that works is remembered, over restarts too, and an edit
    is then one request.
    """
    with (
        sandbox_process(media=5, update_encoding="query", latitude_parameter="latitude") as box,
        mounted(box.url) as mount,
    ):
        path = next((mount.root / "recent").iterdir())
        counts = []
        for name, value in (("title", b"1"), ("title", b"2"), ("latitude", b"3"), ("title", b"4")):
            box.reset()
            os.setxattr(path, f"user.mediafs.{name}", value)
            counts.append(len(requests(box)))
        assert counts[:2] == [3, 1]
        assert 1 < counts[2] <= 6
        assert counts[3] == 1
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        box.reset()
        os.setxattr(path, "user.mediafs.title", b"5")
        assert len(requests(box)) == 1


def test_values_that_cannot_be(living: Living) -> None:
    """A text is UTF-8 without NUL characters; a latitude is a number of degrees from -90 to 90, a longitude
    one from -180 to 180, without an exponent. Any other value is EINVAL, and nothing is sent. A value that
    the service refuses is EINVAL and changes nothing.

    A text that was removed reads as empty, for the service keeps no absence of a text
    """
    media, path = living.add("2025-06-08", filename="x.png", title="old", geoloc=[1.0, 2.0])
    living.box.reset()
    for name, value in (
        ("title", b"\xff"),
        ("description", b"a\0b"),
        ("latitude", b"90.5"),
        ("longitude", b"-181"),
        ("longitude", b"1e1"),
        ("latitude", b""),
    ):
        assert errno_of(partial(os.setxattr, path, f"user.mediafs.{name}", value)) == "EINVAL"
    assert requests(living.box) == []
    assert errno_of(lambda: os.setxattr(path, "user.mediafs.title", b"x" * 256)) == "EINVAL"
    assert next(m for m in living.box.world() if m["id"] == media["id"]) == media
    assert xattr(path, "title") == "old"
    os.removexattr(path, "user.mediafs.title")
    assert xattr(path, "title") == ""


def test_a_value_that_is_cut_is_shown_as_it_is_kept() -> None:
    """A value of which the service keeps another (it cuts a long title) is EINVAL too, and what it keeps is
    shown.
    """
    with _changing() as (box, path):
        kept = box.call("GET", f"/api/v3/medias/{xattr(path, 'id')}").json | {"title": "a lon"}
        box.fault("json", method="PUT", body=json.dumps(kept))
        assert errno_of(lambda: os.setxattr(path, "user.mediafs.title", b"a long title")) == "EINVAL"
        assert xattr(path, "title") == "a lon"


def test_the_later_of_two_wins() -> None:
    """Of two who edit one media, the later wins; who mounted it elsewhere sees it when a directory that holds
    it is next listed.
    """
    with sandbox_process(media=5) as box, mounted(box.url) as mount, mounted(box.url) as elsewhere:
        path = next((mount.root / "recent").iterdir())
        other = elsewhere.root / "recent" / path.name
        os.setxattr(path, "user.mediafs.title", b"first")
        os.setxattr(other, "user.mediafs.title", b"second")
        assert mount.mediafs("refresh", str(path.parent)).returncode == 0
        assert xattr(path, "title") == xattr(other, "title") == "second"


def test_mv_gives_a_new_title_and_moves_nothing() -> None:
    """With `names = "title"`, `mv` within a directory gives a new title: `mv "Roof~1a2b3c4d.png" "Cable
    tray.png"`. The file is then called `Cable tray~1a2b3c4d.png` in all views, with or without the hash in
    what was typed. A name that means the title it has sends nothing. Everything else that `mv` can be asked
    for within the mount is EPERM, so that `mv` neither copies nor deletes: another directory or view, another
    media's name, directories, and any new name where names are not made from titles. To exchange two names is
    EINVAL.
    """
    # Where names are not made from titles: test_nothing_moves_... of test_edits.py.
    with sandbox_process(media=5) as box:
        box.add(title="Roof", created="2025-06-01T10:00:00+00:00")
        with mounted(box.url, lines=['names = "title"', 'delete = "permanent"']) as mount:
            (path,) = (mount.root / "by-date/2025/06/01").iterdir()
            digits = path.name.removeprefix("Roof~")
            recent = mount.root / "recent"
            others = [p for p in recent.iterdir() if p.name != path.name]
            assert mount.run("mv", str(path), str(path.with_name("Cable tray.png"))).returncode == 0
            path = path.with_name(f"Cable tray~{digits}")
            assert os.listdir(path.parent) == [path.name]
            assert path.name in os.listdir(recent)
            box.reset()
            assert mount.run("mv", str(path), str(path.with_name("Cable tray.png"))).returncode == 0
            for old, new in (
                (path, path.parent.with_name("02") / path.name),
                (path, recent / "x.png"),
                (others[0], others[1]),
                (path.parent, path.parent.with_name("02")),
            ):
                assert "Operation not permitted" in mount.run("mv", "-f", str(old), str(new)).stderr
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.renameat2(-100, os.fsencode(others[0]), -100, os.fsencode(others[1]), 2) == -1
            assert ctypes.get_errno() == errno.EINVAL
            assert {r["method"] for r in requests(box)} <= {"GET"}
            assert len(box.world()) == 6


# --- deleting ------------------------------------------------------------------------------------------


@contextmanager
def erasable(
    *lines: str, media: int = 0, count: int = 0, **options: Any
) -> Iterator[tuple[Box, Mount, Path]]:
    """A mount in which `rm` deletes, and the folder of a day with so many media of one user."""
    with sandbox_process(media=media, last="2024-12-31", **options) as box:
        for _ in range(count):
            box.add(created="2025-06-01T10:00:00+00:00", owner=1000, conversation="5000", filename="x.png")
        with mounted(box.url, lines=['delete = "permanent"', *lines]) as mount:
            yield box, mount, mount.root / "by-date/2025/06/01"


def sent_deletes(box: Box) -> int:
    return sum(r["method"] == "DELETE" for r in requests(box))


def test_what_rm_does_is_the_accounts_policy() -> None:
    """What `rm` does is the account's `delete`. `"permanent"` deletes the media at the service for good, with
    one request, and `rm` is answered when the service has said that it is gone. `"deny"`, the default for
    this service, is EPERM, or EACCES by the mode of the directories for anyone but root, and nothing is sent.
    `"trash"` needs a service with a trash; this one has none, and such a configuration is refused at the
    start, with exit status 3. `mediafs mount --delete` overrides the configuration.
    """
    with sandbox_process(media=10) as box:
        with prepared(box.url, lines=['delete = "trash"']) as mount:
            assert mount.mount().returncode == 3
        for lines, arguments in (([], []), (['delete = "permanent"'], ["--delete", "deny"])):
            with mounted(box.url, *arguments, lines=lines) as mount:
                file = next((mount.root / "recent").iterdir())
                assert errno_of(file.unlink) == ("EPERM" if os.geteuid() == 0 else "EACCES")
        assert sent_deletes(box) == 0
        for lines, arguments in (([], ["--delete", "permanent"]), (['delete = "permanent"'], [])):
            with mounted(box.url, *arguments, lines=lines) as mount:
                box.reset()
                file = next((mount.root / "recent").iterdir())
                id_ = xattr(file, "id")
                file.unlink()
                assert sent_deletes(box) == 1
                assert id_ not in {str(m["id"]) for m in box.world()}


def test_what_is_deleted_is_gone_everywhere() -> None:
    """When `rm` returns, the media is gone under all of its names, in every view and for every program, also
    for one in the middle of listing a directory. What the service says it does not have is gone: `rm`
    succeeds. A file that is open meanwhile has `st_nlink` 0; it reads on what is held of it in memory until
    it is closed, and all else is ESTALE: nothing of it is fetched any more.
    """
    # In the middle of listing: test_who_is_in_the_middle_of_a_long_listing_... of test_erase.py.
    with erasable(count=3) as (box, mount, day):
        big = box.add(created="2025-06-01T11:00:00+00:00", size=BIG, owner=1000, filename="big.mp4")
        path = path_of(mount, big)
        user = mount.root / "by-user" / os.readlink(mount.root / "by-user/1000")
        names = [path, mount.root / "recent" / path.name, user / path.name]
        assert all(name.exists() for name in names)
        with path.open("rb", buffering=0) as file:
            held = file.read(4096)
            assert mount.run("rm", str(names[2])).returncode == 0
            assert not any(name.exists() for name in names)
            assert not any(path.name in os.listdir(name.parent) for name in names)
            box.reset()
            assert os.fstat(file.fileno()).st_nlink == 0
            assert os.pread(file.fileno(), 4096, 0) == held
            assert errno_of(partial(os.pread, file.fileno(), 4096, BIG - 4096)) == "ESTALE"
            assert requests(box) == []
        gone = next(day.iterdir())
        box.remove(int(str(xattr(gone, "id"))))
        gone.unlink()
        assert len(os.listdir(day)) == 2


def test_overwriting_is_no_deletion(tmp_path: Path) -> None:
    """Overwriting is no deletion. Programs that put a file in the place of another often take the old one
    away first. Since content cannot be written, that would delete the media and put nothing in its place, so
    it is EPERM: for `cp`, `install`, `ln`, `unzip`, `git` and `patch`, for `mv` and `tar` unless they have
    read something here, and for any process within five seconds of an attempt to write.
    """
    with sandbox_process(media=5) as box, mounted(box.url, lines=['delete = "permanent"']) as mount:
        file = next((mount.root / "recent").iterdir())
        local = tmp_path / file.name
        local.write_bytes(b"another content")
        subprocess.run(["tar", "cf", "x.tar", file.name], cwd=tmp_path, check=True)
        commands: list[list[str | Path]] = [
            ["cp", "-f", local, file],
            ["cp", "--remove-destination", local, file],
            ["mv", local, file],
            ["install", local, file],
            ["tar", "xf", tmp_path / "x.tar", "-C", file.parent],
        ]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode != 0
            assert re.search("not permitted|File exists", done.stderr), command
        with pytest.raises(OSError, match="Read-only"):
            file.open("wb")
        assert errno_of(file.unlink) == "EPERM"
        assert {each["method"] for each in requests(box)} == {"GET"}
        assert len(box.world()) == 5
        moved = subprocess.run(["mv", file, tmp_path / "moved"], timeout=60, check=False)
        assert moved.returncode == 0, "what was read may go"
        assert len(box.world()) == 4


def test_the_brake() -> None:
    """At most `delete_limit` media, 100 by default, are deleted within an hour. The next `rm` is EPERM, and
    so is every one after it, until `mediafs allow-deletes MOUNTPOINT` says that more are meant, or until
    nobody has tried for ten minutes and the hour has room again. The brake is kept over restarts and crashes.
    What the service carried out counts, and what may have been carried out; what it refused, or did not have,
    does not. `allow-deletes` lets as many more go as the limit says, or as many as `COUNT`, within the next
    hour. `delete_limit = 0` is no brake.
    """
    assert DEFAULTS.delete_limit == 100
    assert (HOUR_S, QUIET_S) == (3600, 600)  # time is made up in tests/writing/test_brake.py
    with erasable("delete_limit = 2", count=12) as (box, mount, day):

        def rm() -> str:
            return errno_of(next(day.iterdir()).unlink)

        box.remove(int(str(xattr(next(day.iterdir()), "id"))))
        assert rm() == "success", "it was not there"
        refused = int(str(xattr(next(day.iterdir()), "id")))
        box.set(forbidden_deletes=[refused])
        assert rm() == "EACCES"
        box.set(forbidden_deletes=[])
        assert [rm() for _ in range(4)] == ["success", "success", "EPERM", "EPERM"]
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        assert rm() == "EPERM"
        mount.kill()
        assert mount.mount().returncode == 0
        assert rm() == "EPERM"
        assert mount.mediafs("allow-deletes", str(mount.root)).returncode == 0
        assert [rm() for _ in range(3)] == ["success", "success", "EPERM"]
        assert mount.mediafs("allow-deletes", str(mount.root), "1").returncode == 0
        assert [rm() for _ in range(2)] == ["success", "EPERM"]
        config = mount.config.read_text().replace("delete_limit = 2", "delete_limit = 0")
        mount.config.write_text(config)
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        assert mount.run("rm", "-rf", str(day)).returncode == 0


def test_a_deletion_without_an_answer_is_found_out() -> None:
    """When no answer comes the service is asked whether it carried the deletion out, until it says so, for
    some six minutes. Until then the media is shown, and counts for the brake. No other request to delete it
    is sent.
    """
    assert sum(LOOK_AFTER_S) == pytest.approx(360, abs=30)
    with erasable("delete_limit = 1", count=2) as (box, mount, day):
        first, second = day.iterdir()
        box.fault("lost", method="DELETE", times=None)
        assert errno_of(first.unlink) == "EIO"
        tries = sent_deletes(box)
        assert first.exists()
        assert errno_of(second.unlink) == "EPERM"
        box.clear_faults()
        wait_until(lambda: not first.exists())
        assert sent_deletes(box) == tries
        assert mount.status()["deletions"]["done"] == 1


def test_each_deletion_is_on_record() -> None:
    """Each deletion that was sent is one line in `deletions.jsonl` in the account's folder in the cache
    folder (`~/.cache/mediafs/ACCOUNT/`), readable by its owner only: time, uid, pid and program of who asked,
    id of the media, file name, removal, and the service's answer. What is about to be sent is on disk before
    it is sent: without room for that, nothing is deleted and `rm` is ENOSPC. A deletion that a crash
    interrupts gets its line at the next start.
    """
    with erasable(count=3) as (box, mount, day):
        first, second, third = day.iterdir()
        id_ = xattr(first, "id")
        assert mount.run("rm", str(first)).returncode == 0
        log = mount.cache / mount.account / "deletions.jsonl"
        assert log.stat().st_mode & 0o777 == 0o600
        line = json.loads(log.read_text())
        assert abs((datetime.now(UTC) - datetime.fromisoformat(line.pop("time"))).total_seconds()) < 60
        assert line.pop("pid") > 1
        assert line == {
            "uid": os.geteuid(),
            "program": "rm",
            "media": id_,
            "name": first.name,
            "removal": "permanent",
            "answer": "DELETE 200",
        }
        pid, sent = mount.pids[-1], sent_deletes(box)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (16, resource.RLIM_INFINITY))
        assert errno_of(second.unlink) == "ENOSPC"
        assert sent_deletes(box) == sent
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        box.fault("late", method="DELETE", seconds=30)
        rm = subprocess.Popen(["rm", str(third)], stderr=subprocess.DEVNULL)
        wait_until(lambda: sent_deletes(box) == sent + 1)
        mount.kill()
        rm.wait(30)
        assert mount.mount().returncode == 0
        last = json.loads(log.read_text().splitlines()[-1])
        assert (last["name"], last["answer"]) == (
            third.name,
            "not known: the program ended before the answer",
        )


def test_what_is_left_of_a_deleted_media() -> None:
    """Title, description, place, owner and all other words of its record are gone from the catalogue's file,
    its journal and any older catalogue that was set aside, and with the last media of a user that user's
    name; its bytes are gone from the memory (of a file that is open: when it is closed), from the spool and
    from the kernel's page cache.
    """
    # Bytes: test_bytes_of_what_was_deleted_are_in_no_memory_and_no_file of test_erase.py; catalogues that
    # were set aside: test_nothing_on_disk_holds_the_text_of_what_was_deleted of tests/catalogue.
    words = [b"a secret title", b"a secret description", b"Jane Secret", b"secretname"]
    with erasable(media=20) as (box, mount, day):
        box.add_owner(4711, "Jane Secret")
        box.add(
            created="2025-06-01T10:00:00+00:00",
            owner=4711,
            title="a secret title",
            description="a secret description",
            filename="secretname.png",
        )
        (path,) = day.iterdir()
        assert path.read_bytes()
        assert "Jane Secret (4711)" in os.listdir(mount.root / "by-user")

        def held() -> list[bytes]:
            files = (mount.cache / mount.account).glob("catalogue*")
            text = b"".join(file.read_bytes() for file in files) + mount.log.encode()
            return [word for word in words if word in text]

        assert held() == words
        path.unlink()
        assert held() == []
        assert mount.status()["reading"]["memory"] == 0


def test_rmdir_takes_away_what_is_known_to_be_empty() -> None:
    """`rmdir` succeeds where a day, month, year, conversation or user is known to hold no media, from a
    listing younger than `fresh_for`; what is not known so is listed first. A directory that holds media is
    ENOTEMPTY, with a line in the log; a view is EBUSY, or EACCES for anyone but root. No media are ever
    deleted by it. Looked up again, a day, month or year is there, empty, as another directory with a number
    of its own; a conversation or a user comes back with its next media, and a conversation that the
    configuration names stays listed.
    """
    with erasable('conversations = ["5000"]', 'fresh_for = "300ms"', count=2) as (box, mount, day):
        assert (
            errno_of(day.rmdir) == errno_of(day.parent.rmdir) == errno_of(day.parents[1].rmdir) == "ENOTEMPTY"
        )
        assert "is not empty" in mount.log
        assert errno_of((mount.root / "recent").rmdir) == ("EBUSY" if os.geteuid() == 0 else "EACCES")
        user = mount.root / "by-user" / os.readlink(mount.root / "by-user/1000")
        conversation = mount.root / "by-conversation/5000"
        folders = (day, day.parent, day.parents[1])
        os.listdir(conversation)
        inodes = [folder.stat().st_ino for folder in folders]
        for path in list(day.iterdir()):
            path.unlink()
        time.sleep(0.4)
        box.reset()
        for folder in (*folders, conversation):
            folder.rmdir()
        assert requests(box), "it was listed first"
        assert sent_deletes(box) == 0
        assert [os.listdir(folder) for folder in folders] == [[], [], []]
        assert all(folder.stat().st_ino not in inodes for folder in folders)
        assert os.listdir(mount.root / "by-conversation") == ["5000"]
        assert not user.exists()
        box.add(created="2025-06-01T10:00:00+00:00", owner=1000, conversation="5000")
        time.sleep(3.1)
        assert len(os.listdir(day)) == len(os.listdir(conversation)) == 1
        assert os.listdir(mount.root / "by-user") == [user.name]


def test_rm_r_of_each_view() -> None:
    """`rm -r` of a day, a month, a year, a conversation or a user deletes the media in it and then the
    directory. Of a view, or of everything in the mount, it deletes the media, as far as the brake lets it,
    and then each view is refused. `find -delete` and `rsync --remove-source-files` work alike. `rm` of the
    link `by-user/ID` is EPERM: it is no media.
    """
    with erasable("delete_limit = 0", media=100, count=1) as (box, mount, _):
        assert errno_of((mount.root / "by-user/1000").unlink) == "EPERM"
        user = f"by-user/{os.readlink(mount.root / 'by-user/1001')}"
        year, month = "by-date/2024", "by-date/2024/03"
        created = sorted(m["created"] for m in box.world() if m["completed"] and m["created"] > "2024-05")
        day = "by-date/" + str(created[0])[:10].replace("-", "/")
        for what in (day, month, "by-conversation/5003", user):
            assert mount.files(what)
            done = mount.run("rm", "-r", what)
            assert (done.returncode, done.stderr) == (0, ""), what
        assert mount.run("find", "by-date/2024/06", "-delete").returncode == 0
        done = mount.run(
            "rsync", "-a", "--remove-source-files", "by-date/2024/07", str(mount.folder / "copy")
        )
        assert done.returncode == 0
        assert mount.files("by-date/2024/07") == {}
        assert mount.run("rm", "-r", year).returncode == 0
        done = mount.run("sh", "-c", "rm -r *")
        said = "Device or resource busy" if os.geteuid() == 0 else "Permission denied"
        assert done.stderr.count(said) == len(done.stderr.splitlines()) == 4
        assert not any(m["completed"] for m in box.world())


def test_a_wait_that_is_too_long_is_said_at_once() -> None:
    """One that is known to wait for longer is ETIMEDOUT at once."""
    with erasable(count=2) as (box, _, day):
        first, second = day.iterdir()
        box.fault("status", method="DELETE", status=429, wait_s=300)
        began = time.monotonic()
        assert [errno_of(first.unlink), errno_of(second.unlink)] == ["ETIMEDOUT"] * 2
        assert time.monotonic() - began < 5
        assert sent_deletes(box) == 1


# --- what is refused -----------------------------------------------------------------------------------


def opened(path: Path, flags: int) -> None:
    os.close(os.open(path, flags, 0o600))


ACL = bytes.fromhex("02000000 01000600 ffffffff 04000000 ffffffff 20000000 ffffffff")


def attempts(file: Path, folder: Path) -> dict[str, list[Callable[[], object]]]:
    """Row of the table -> what it speaks of."""
    stat, new, name = file.stat(), folder / "new", "user.mediafs."
    return {
        "open for writing, to append, or with `O_TRUNC`; `truncate`": [
            lambda: opened(file, os.O_WRONLY),
            lambda: opened(file, os.O_RDWR),
            lambda: opened(file, os.O_WRONLY | os.O_APPEND),
            lambda: opened(file, os.O_RDONLY | os.O_TRUNC),
            lambda: os.truncate(file, 0),
        ],
        "create, `mkdir`, `mknod`, `ln`, `ln -s`": [
            lambda: opened(new, os.O_CREAT | os.O_WRONLY),
            new.mkdir,
            lambda: os.mknod(new),
            lambda: os.link(file, new),
            lambda: new.symlink_to("x"),
        ],
        "`rm`, `mv`": [
            file.unlink,
            lambda: file.rename(new),
            lambda: file.rename(folder.parent / "recent" / "x.png"),
        ],
        "`rmdir` of a directory with media": [day_of(file).rmdir, day_of(file).parent.rmdir],
        "`rmdir` of a view": [folder.rmdir, (folder.parent / "by-date").rmdir],
        "`chmod`, `chown`, `touch`": [
            lambda: file.chmod(0o640),
            # Without privilege the kernel itself says EPERM to a change of owner.
            lambda: os.chown(file, os.geteuid() + 1, -1),
            lambda: os.utime(file),
            lambda: os.utime(folder, (1, 1)),
        ],
        "`chmod`, `chown`, `touch -d` to what it already is": [
            lambda: file.chmod(0o600),
            lambda: os.chown(file, stat.st_uid, stat.st_gid),
            lambda: os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns)),
        ],
        "set or remove an attribute that only other services can change (`user.mime_type`)": [
            action
            for each in ("user.mime_type", f"{name}mime_type", f"{name}metadata_primary", f"{name}public")
            for action in (
                lambda each=each: os.setxattr(file, each, b"1"),
                lambda each=each: os.removexattr(file, each),
            )
        ],
        "set or remove any other `user.` attribute of a media": [
            action
            for each in (f"{name}id", f"{name}owner", "user.other", "user.dublincore.creator")
            for action in (
                lambda each=each: os.setxattr(file, each, b"1"),
                lambda each=each: os.removexattr(file, each),
            )
        ],
        "set or remove any attribute of a directory": [
            lambda: os.setxattr(folder, f"{name}title", b"1"),
            lambda: os.setxattr(folder, "user.other", b"1"),
            lambda: os.removexattr(folder, f"{name}complete"),
        ],
        "set or remove `security.` attributes, set an ACL": [
            lambda: os.setxattr(file, "security.x", b"1") if os.geteuid() == 0 else no_acl(file),
            lambda: os.setxattr(file, "system.posix_acl_access", ACL),
            lambda: os.removexattr(file, "system.posix_acl_access"),
        ],
    }


def day_of(file: Path) -> Path:
    """The directory of its day."""
    return file.parents[1] / "by-date" / f"{datetime.fromtimestamp(file.stat().st_mtime, UTC):%Y/%m/%d}"


def no_acl(file: Path) -> None:
    """Only root gets as far as the mount with an attribute in `security.`."""
    os.setxattr(file, "system.posix_acl_access", ACL)


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_refused_and_how(archive: Shared, row: str) -> None:
    """| you try | you get |"""
    file = archive.plain()
    made = attempts(file, file.parent)
    assert set(made) == set(REFUSED), "every row of the table is tried"
    for action in made[row]:
        assert errno_of(action) == stated(REFUSED[row])


def test_a_read_only_mount_refuses_everything_alike(archive: Shared) -> None:
    """With `mediafs mount --read-only` all of it is EROFS, and so is every edit and every deletion."""
    lines = ['delete = "permanent"']
    with mounted(archive.box.url, "--read-only", lines=lines) as mount:
        file = next((mount.root / "recent").iterdir())
        rows: dict[str, list[Callable[[], object]]] = {
            **attempts(file, file.parent),
            "edits": [
                lambda: os.setxattr(file, "user.mediafs.title", b"x"),
                lambda: os.removexattr(file, "user.xdg.comment"),
            ],
        }
        for row, actions in rows.items():
            for action in actions:
                # Where the mode already forbids it, an ordinary user hears of that.
                allowed = {"EROFS"} if os.geteuid() == 0 else {"EROFS", stated(REFUSED.get(row, ""))}
                assert errno_of(action) in allowed, row


def test_where_deleting_is_permitted_the_mode_forbids_nothing() -> None:
    """Where deleting is permitted, the directories' mode forbids nothing, and making a name is EROFS for
    everyone.

    Where `rm` or `mv` can ever succeed, directories have mode 0700, but for the mount point itself.
    """
    with sandbox_process(media=5) as box:
        for lines in (['delete = "permanent"'], ['names = "title"']):
            with mounted(box.url, lines=lines) as mount:
                folder = mount.root / "recent"
                assert folder.stat().st_mode == 0o040700
                assert mount.root.stat().st_mode == 0o040500
                for make in ((folder / "x").mkdir, (folder / "x").touch, partial(os.mknod, folder / "x")):
                    assert errno_of(make) == "EROFS"


# --- errors --------------------------------------------------------------------------------------------


@dataclass
class Scene:
    living: Living
    without_ranges: Living


def _missing(scene: Scene) -> list[str]:
    root = scene.living.root
    return [errno_of((root / f"{view}/424242").stat) for view in ("recent", "by-user", "by-conversation")]


def _refused(scene: Scene) -> list[str]:
    path = scene.living.spare.pop()
    fault(scene.living.box, path, "status", status=403, times=None)
    # The account's credentials are in test_refused_credentials_fail_an_old_directory.
    return [errno_of(path.read_bytes)]


def _throttled(scene: Scene) -> list[str]:
    with sandbox_process(media=5) as box, mounted(box.url) as mount:
        path = next((mount.root / "recent").iterdir())
        box.fault("status", path=f"/api/v3/medias/{xattr(path, 'id')}", status=429, wait_s=300)
        began = time.monotonic()
        found = [errno_of(path.read_bytes), errno_of(lambda: os.listdir(mount.root / "by-conversation/5001"))]
        assert time.monotonic() - began < 5, "at once"
        return found


def _late(scene: Scene) -> list[str]:
    # That a read ends within its deadline too is tested where time is not real: it is a minute.
    with sandbox_process(media=5) as box, mounted(box.url, lines=['list_deadline = "300ms"']) as mount:
        box.fault("delay", path="/api/v3/medias", seconds=2)
        return [errno_of(lambda: os.listdir(mount.root / "recent"))]


def _failing(scene: Scene) -> list[str]:
    paths = [scene.living.spare.pop() for _ in range(2)]
    fault(scene.living.box, paths[0], "status", status=500, times=None)
    fault(scene.living.box, paths[1], "refuse", times=None)
    with ThreadPoolExecutor(2) as pool:  # each takes its three tries
        found = list(pool.map(errno_of, [path.read_bytes for path in paths]))
    scene.living.box.clear_faults()
    assert all(len(path.read_bytes()) == SPARE for path in paths), "the next try starts anew"
    return found


def _nonsense(scene: Scene) -> list[str]:
    paths = [scene.living.spare.pop() for _ in range(2)]
    fault(scene.living.box, paths[0], "status", status=204, times=None)
    fault(scene.living.box, paths[1], "empty", times=None)
    return [errno_of(path.read_bytes) for path in paths]


def _changed(scene: Scene) -> list[str]:
    box, found = scene.living.box, []
    changes: list[Callable[[int], object]] = [box.remove, partial(box.update, size=SPARE, seed=9)]
    for change in changes:
        path = scene.living.spare.pop()
        with path.open("rb", buffering=0) as file:
            file.read(4096)
            change(int(str(xattr(path, "id"))))
            found.append(errno_of(partial(os.pread, file.fileno(), 4096, SPARE - 4096)))
    return found


def _no_room(scene: Scene) -> list[str]:
    path, pid = scene.without_ranges.spare.pop(), scene.without_ranges.mount.pids[-1]
    media, small = scene.without_ranges.add("2025-06-03", size=2 * MIB)
    # No file of the daemon may be larger: to it that is a full disk.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (MIB, resource.RLIM_INFINITY))
    found = errno_of(path.read_bytes)
    assert small.read_bytes() == bytes_of(scene.without_ranges.box, media), "it fits into memory"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert len(path.read_bytes()) == SPARE
    return [found]


@contextmanager
def small_disk(mount: Mount) -> Iterator[None]:
    """The cache folder on a disk of 1 MiB; the disk is full."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount.cache.mkdir(mode=0o700)
    disk = str(mount.cache)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M,mode=700", "small", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def fill(folder: Path) -> Path:
    """Takes all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        while errno_of(partial(file.write, bytes(4096))) == "success":
            pass
    return filler


def _no_room_for_listings(scene: Scene) -> list[str]:
    lines = ['fresh_for = "100ms"']
    with sandbox_process(media=300) as box, prepared(box.url, lines=lines) as mount, small_disk(mount):
        assert mount.mount().returncode == 0, mount.log
        recent, by_user = mount.root / "recent", mount.root / "by-user"
        assert len(os.listdir(recent)) == 100
        filler = fill(mount.cache)
        time.sleep(1.1)
        found = [errno_of(lambda: os.listdir(recent)), errno_of(lambda: os.listdir(by_user))]
        assert "no room on disk" in str(xattr(recent, "error"))
        problem = mount.status()["problems"][0]
        assert "no room on disk" in problem["message"]
        assert "make room" in problem["advice"]
        filler.unlink()
        assert len(os.listdir(recent)) == 100
        assert xattr(recent, "error") is None
        assert os.listdir(by_user)
        return found


@contextmanager
def _changing() -> Iterator[tuple[Box, Path]]:
    """A file of an account in which anything may be changed, and that has no use for it afterwards."""
    with sandbox_process(media=5) as box, mounted(box.url, lines=['delete = "permanent"']) as mount:
        yield box, next((mount.root / "recent").iterdir())


def _change_refused(scene: Scene) -> list[str]:
    with _changing() as (box, path):
        id_ = int(str(xattr(path, "id")))
        box.set(forbidden_deletes=[id_], forbidden_updates=[id_])
        return [errno_of(path.unlink), errno_of(lambda: os.setxattr(path, "user.mediafs.title", b"x"))]


def _value_refused(scene: Scene) -> list[str]:
    with _changing() as (box, path):
        found = [errno_of(lambda: os.setxattr(path, "user.mediafs.title", b"x" * 300))]
        other = box.call("GET", f"/api/v3/medias/{xattr(path, 'id')}").json | {"title": "x"}
        box.fault("json", method="PUT", body=json.dumps(other))
        return [*found, errno_of(lambda: os.setxattr(path, "user.mediafs.title", b"xyz"))]


def _change_late(scene: Scene) -> list[str]:
    with _changing() as (box, path):
        box.fault("late", method="PUT", seconds=60)
        box.fault("status", method="DELETE", status=429, wait_s=300)
        return [errno_of(path.unlink), errno_of(lambda: os.setxattr(path, "user.mediafs.title", b"x"))]


def _forbidden(scene: Scene) -> list[str]:
    lines = ['delete = "permanent"', "delete_limit = 1", 'names = "title"']
    with sandbox_process(media=5) as box, mounted(box.url, lines=lines) as mount:
        first, second = list((mount.root / "recent").iterdir())[:2]
        first.unlink()
        found = [errno_of(second.unlink)]
        assert mount.umount().returncode == 0
        assert mount.mount("--delete", "deny").returncode == 0
        return [*found, errno_of(second.unlink)]


HAPPENINGS: dict[str, Callable[[Scene], list[str]]] = {
    "there is no such media, conversation or user": _missing,
    "the service refuses the media (403), or the account's credentials (401)": _refused,
    "the service asks to wait for longer than the deadline (429)": _throttled,
    "a listing, or a read, is not done within its deadline": _late,
    "the service cannot be reached, or fails (5xx) three times": _failing,
    "its answer is not what it should be, or not ready yet (204)": _nonsense,
    "the content changed, or went, under an open file": _changed,
    "there is no room, in memory or on disk, for a body that has to be fetched whole": _no_room,
    "there is no room on disk to keep a listing, or a directory that is looked at for the first time": (
        _no_room_for_listings
    ),
    "the service refuses an edit or a deletion (403)": _change_refused,
    "the service refuses a value (400), or keeps another": _value_refused,
    "an edit or a deletion is not answered within its deadline": _change_late,
    "policy or brake forbid a deletion": _forbidden,
}


@pytest.mark.parametrize("row", FAILURES)
def test_what_happened_and_its_errno(living: Living, without_ranges: Living, row: str) -> None:
    """| what happened | you get |

    A failure concerns the operation that met it: other files go on, and the next try starts anew. A full disk
    under a listing is told like any other failure of it, by `user.mediafs.error` on the directory and by
    `mediafs status`.
    """
    assert set(HAPPENINGS) == set(FAILURES), "every row of the table happens"
    assert set(HAPPENINGS[row](Scene(living, without_ranges))) == {stated(FAILURES[row])}
    assert len(living.spare[0].read_bytes()) == SPARE, "other files go on"
    living.box.clear_faults()


def test_deadlines() -> None:
    """Deadlines are 15 seconds for names and attributes, `list_deadline` for directories, 65 seconds for one
    read, and 70 for a deletion or a new name: a little more than a minute, so that a copy or an `rm -r` under
    a limit of so many requests a minute is slow instead of failing. Within them, a download that brings
    nothing for 15 seconds is cut and taken up again.

    Under a limit of ten requests a minute `rm -r` of more than ten media is slow: each waits up to 70 seconds
    for its turn.
    """
    # How they work on a mount: test_a_slow_listing_goes_on_behind, the stalls of test_right_bytes.py, and
    # test_under_a_limit_of_ten_requests_a_minute_rm_is_slow_and_works of test_erase.py.
    assert (Deadlines().quick_s, ReadingOptions().total_s, ReadingOptions().progress_s) == (15, 65, 15)
    assert Deadlines().change_s == 70
    assert Deadlines().read_s > ReadingOptions().total_s
    assert Deadlines().list_s > DEFAULTS.list_deadline_s


def test_one_large_read_is_several() -> None:
    """One `read(2)` of 1 MiB reaches the mount as several reads, each with a deadline of its own: the kernel
    asks for at most 128 KiB at a time here.
    """
    with sandbox_process(media=3) as box:
        media = box.add(size=3 * MIB, created="2025-06-01T10:00:00+00:00")
        with mounted(box.url, "-o", "debug") as mount, path_of(mount, media).open("rb", buffering=0) as file:
            before = len(mount.log)
            assert len(file.read(MIB)) == MIB
            said = mount.log[before:]
    # libfuse tells each request, and the size of each answer with its head of 16 bytes.
    asked = re.findall(r"unique: (\d+), opcode: READ ", said)
    assert len(asked) >= 8
    sizes = [
        int(n) - 16 for one in asked for n in re.findall(rf"unique: {one}, success, outsize: (\d+)", said)
    ]
    assert len(sizes) >= 8, "what is read ahead may still be under way"
    assert max(sizes) <= 128 * 1024


def test_a_limit_that_showed_once_is_not_kept_to_for_ever() -> None:
    """A 429 that does not say where the limit stands (nor do the answers after it) makes mediafs keep to the
    ten requests a minute that the service documents. That ends when ten minutes have shown no limit; a 429
    after that brings it back for twice as long, and so on up to a day.
    """
    # How it goes is in tests/remote/test_limits.py, where time is not real.
    assert (LAPSE_S, LONGEST_LAPSE_S) == (600, 86400)
    with sandbox_process(media=30) as box, mounted(box.url) as mount:
        assert mount.status()["requests"]["left"] is None
        box.fault("status", path="/api/v3/medias", status=429, wait_s=1)
        assert errno_of(lambda: os.listdir(mount.root / "recent")) == "success"
        assert 0 < mount.status()["requests"]["left"] <= 10
