"""The archive of a Verba account on a real mount. Docstrings are quotations from docs/SEMANTICS.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount
from .quotations import unfounded
from .vendor_accounts import mounted_vendor
from .vendor_checks import COPIES, attribute, by_id, copied, digest, errno_of, inodes, refused, shell
from .verba_service import FIELDS, actions, lines_of, truth

GIB = 1 << 30
NAME = re.compile(r"\d{4}-\d\d-\d\d \d\d\.\d\d [0-9+]+-[0-9+]+ [0-9a-f]{8}\.(wav|bin)")


def test_docstrings_here_are_quotations() -> None:
    assert unfounded(globals()) == []


@dataclass
class Shared:
    """A mount that no test changes, but for the sizes that are found out."""

    box: Box
    mount: Mount
    world: dict[str, dict[str, Any]]
    first_walk: Counter[str]
    """What was asked when all of by-date was walked for the first time."""

    @property
    def root(self) -> Path:
        return self.mount.root

    def owner(self, media: str) -> str:
        return str(self.world[media]["owner"]["id"])


@pytest.fixture(scope="module")
def shared_mount() -> Iterator[Shared | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with (
        sandbox_process("verba", media=300, hostile=True) as box,
        mounted_vendor(box, lines=lines_of('fresh_for = "1h"')) as mount,
    ):
        mount.files("by-date")
        walk = actions(box)
        mount.files("recent")
        yield Shared(box, mount, truth(box, digest=True), walk)


@pytest.fixture
def archive(shared_mount: Shared | None) -> Shared:
    assert shared_mount is not None
    return shared_mount


# --- what is there -------------------------------------------------------------------------------------


def test_every_call_is_under_by_date_once_on_the_day_it_began(archive: Shared) -> None:
    """With `search = true` all recorded calls that the API user may see are under `by-date/`, each once."""
    found = by_id(archive.mount, "by-date")
    assert found.keys() == archive.world.keys()
    assert len(found) > 290
    for media, path in found.items():
        moment = datetime.fromisoformat(archive.world[media]["created"])
        assert path.parent == archive.root / f"by-date/{moment:%Y/%m/%d}"
        assert path.stat().st_mtime == moment.timestamp()
        assert NAME.fullmatch(path.name), path.name
        assert path.name.startswith(f"{moment:%Y-%m-%d %H.%M} ")
        assert path.stem.endswith(f" {media[:8]}")
    assert len({path.name for path in found.values()}) == len(found)


def test_the_first_walk_costs_about_the_pages_of_one_listing(archive: Shared) -> None:
    """Walking all of `by-date/` costs about the pages of one whole listing."""
    assert archive.first_walk["RequestToken"] == 1
    assert archive.first_walk["SearchCalls"] <= 8, "there are three pages"
    assert archive.first_walk.total() == archive.first_walk["SearchCalls"] + 1
    archive.box.reset()
    archive.mount.files("by-date")
    for path in by_id(archive.mount, "recent").values():
        assert attribute(path, "direction")
    shell(archive.mount, "find by-date by-user recent -type f | wc -l; df .")
    assert actions(archive.box) == Counter()


def test_a_file_is_called_after_start_numbers_and_id(archive: Shared) -> None:
    """A file is called after its start in UTC, the two numbers and the beginning of the call's id, as in
    `2024-05-17 10.15 8856-+36155500001 a8343631.wav`; `.wav` where the codec is that of a WAV file, `.bin`
    where it does not tell."""
    for path in by_id(archive.mount, "by-date").values():
        numbers, ending = path.name.split(" ")[2], path.suffix
        assert numbers == f"{attribute(path, 'source')}-{attribute(path, 'destination')}"
        codec = json.loads(attribute(path, "record") or "")["audio_codec"]
        video = json.loads(attribute(path, "record") or "")["video_codec"]
        assert ending == (".wav" if codec == "G.711" and not video else ".bin")


def test_by_user_has_a_folder_for_each_extension_with_the_calls_of_its_owner(archive: Shared) -> None:
    """`by-user/` has a folder for each extension, with the calls whose recorded side it was: each call has
    one owner."""
    seen: dict[str, set[str]] = {}
    for folder in (archive.root / "by-user").iterdir():
        for media, path in by_id(archive.mount, f"by-user/{folder.name}").items():
            assert media not in seen.get(media, set())
            seen.setdefault(attribute(path, "owner_id") or "", set()).add(media)
            assert folder.name.endswith(
                (f"({attribute(path, 'owner_id')})", str(attribute(path, "owner_id")))
            )
    assert seen == {
        owner: {media for media in archive.world if archive.owner(media) == owner}
        for owner in {archive.owner(media) for media in archive.world}
    }
    assert attribute(archive.root / "by-user", "complete") == "true"


def test_a_call_and_a_meeting_are_looked_up_by_their_ids(archive: Shared) -> None:
    """`by-conversation/` has a folder a call, called by its id, which holds that call; the id of a meeting,
    looked up, holds the meeting's calls."""
    everything = by_id(archive.mount, "by-date")
    media, truth = next(iter(archive.world.items()))
    (path,) = (archive.root / "by-conversation" / media).iterdir()
    assert path.stat().st_ino == everything[media].stat().st_ino
    assert path.stat().st_nlink == 3
    meeting = str(truth["conversation"])
    held = by_id(archive.mount, f"by-conversation/{meeting}")
    assert held.keys() == {id for id, one in archive.world.items() if str(one["conversation"]) == meeting}
    assert attribute(everything[media], "meeting") == meeting
    archive.box.reset()
    for name in ("Thumbs.db", ".hidden", "no call", "x" * 200):
        assert errno_of((archive.root / "by-conversation" / name).stat) == "ENOENT"
    assert actions(archive.box) == Counter()


def test_attributes_tell_the_call_and_cost_nothing(archive: Shared) -> None:
    """`user.mediafs.direction`, `.source`, `.destination`, `.meeting` and `.duration` tell of the call, and
    each configured metadata field has an attribute of its name."""
    archive.box.reset()
    for media, path in list(by_id(archive.mount, "by-date").items())[:50]:
        assert attribute(path, "direction") in ("inbound", "outbound")
        assert float(attribute(path, "duration") or 0) > 0
        title = archive.world[media]["title"].strip()
        if title.isascii() and title.isprintable():
            assert attribute(path, FIELDS[0]) == (title or None)
        assert "http" not in (attribute(path, "record") or "")
        for name in os.listxattr(path):
            assert os.getxattr(path, name)
    assert actions(archive.box) == Counter()


# --- sizes and bytes -----------------------------------------------------------------------------------


def test_a_size_is_an_estimate_until_the_file_was_opened(archive: Shared) -> None:
    """Verba tells no sizes: `st_size` is 1 GiB until a file is opened once, and true from then on, also after
    a remount; opening it then costs the one download that reading costs."""
    path = max((archive.root / "recent").iterdir(), key=lambda path: path.stat().st_size)
    assert path.stat().st_size == GIB
    archive.box.reset()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        assert size == len(file.read()) == archive.world[attribute(path, "id") or ""]["size"]
    assert path.stat().st_size == size
    assert digest(path) == archive.world[attribute(path, "id") or ""]["sha256"]
    assert actions(archive.box) == Counter({"GetMedia": 1})
    (asked,) = archive.box.requests(path="/verba/api")
    assert "next" not in asked["query"]


def test_bytes_are_the_services(archive: Shared) -> None:
    for media, path in sorted(by_id(archive.mount, "by-date").items())[::4]:
        assert digest(path) == archive.world[media]["sha256"]
        assert path.stat().st_size == archive.world[media]["size"]


@pytest.mark.parametrize("tool", COPIES)
def test_a_copy_is_equal(archive: Shared, tmp_path: Path, tool: str) -> None:
    fewest = sorted((archive.root / "by-user").iterdir(), key=lambda path: len(os.listdir(path)))
    folder = fewest[list(COPIES).index(tool)]
    names = sorted(os.listdir(folder))
    copies = copied(archive.mount, folder, tmp_path / "to", tool)
    assert sorted(copies) == names, "no live name is copied along"
    for name, copy in copies.items():
        assert digest(copy) == archive.world[attribute(folder / name, "id") or ""]["sha256"]


def test_what_the_codec_says_is_what_it_is(archive: Shared) -> None:
    paths = sorted((archive.root / "by-date").rglob("*.wav"))[:3]
    assert len(paths) == 3
    for path in paths:
        assert "WAVE audio" in shell(archive.mount, f"file -b '{path}'")
        assert "codec_type=audio" in shell(archive.mount, f"ffprobe -v error -show_streams '{path}'")


def test_df_counts_what_is_known(archive: Shared) -> None:
    path = next((archive.root / "recent").iterdir())
    path.read_bytes()
    known = sum(size for size in sizes(archive.mount) if size != GIB)
    assert known > 0
    assert int(shell(archive.mount, "df --output=used . | tail -1")) == -(-known // 4096) * 4


def sizes(mount: Mount) -> list[int]:
    return [stat.st_size for stat in mount.files("by-date").values()]


# --- what cannot be done -------------------------------------------------------------------------------


def test_nothing_is_deleted_unless_the_account_says_so(archive: Shared) -> None:
    """`DeleteCall` is sent only with `delete = "permanent"`; without it `rm` is EPERM as root and EACCES as
    anyone else."""
    archive.box.reset()
    path = next((archive.root / "recent").iterdir())
    assert errno_of(path.unlink) == refused()
    assert errno_of(path.rename, path.with_name("x.wav")) == refused()
    assert subprocess.run(["rm", "-rf", str(archive.root / "recent")], capture_output=True).returncode == 1
    assert actions(archive.box) == Counter()
    assert truth(archive.box).keys() == archive.world.keys()


def test_a_name_is_the_same_in_a_fresh_catalogue_and_an_inode_in_a_kept_one(archive: Shared) -> None:
    before = inodes(archive.mount, "by-date")
    assert archive.mount.umount().returncode == 0
    archive.box.reset()
    assert archive.mount.mount().returncode == 0
    assert inodes(archive.mount, "by-date") == before
    assert actions(archive.box) == Counter(), "what was listed an hour ago at most"
    with mounted_vendor(archive.box, lines=lines_of()) as fresh:
        by_id(fresh, "recent")  # another order of arrival
        assert inodes(fresh, "by-date").keys() == before.keys()
