"""Every media, under every view, byte for byte, once."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted


def world_of(box: Box) -> dict[str, dict[str, object]]:
    """The completed media of the account, by id."""
    return {str(m["id"]): m for m in box.world(digest=True) if m["completed"]}


def by_id(mount: Mount, view: str) -> dict[str, str]:
    """Media id -> path, of every file in a view; two paths for one id fail."""
    found: dict[str, str] = {}
    for path in mount.files(view):
        media = os.getxattr(mount.root / path, "user.mediafs.id").decode()
        assert media not in found, f"{media} is there twice: {found[media]} and {path}"
        found[media] = path
    return found


def test_every_media_is_under_by_date_once_byte_for_byte(hostile_box: Box) -> None:
    world = world_of(hostile_box)
    with mounted(hostile_box.url) as mount:
        paths = by_id(mount, "by-date")
        assert set(paths) == set(world)
        for media, path in paths.items():
            content = (mount.root / path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == world[media]["sha256"]
            assert str(world[media]["created"])[:10].replace("-", "/") == path[8:18]


def test_a_media_is_one_inode_and_one_name_in_every_view(hostile_box: Box) -> None:
    world = world_of(hostile_box)
    conversations = {str(m["conversation"]) for m in world.values() if m["conversation"] is not None}
    quoted = ", ".join(f'"{c}"' for c in conversations if "?" not in c)
    with mounted(hostile_box.url, lines=[f"conversations = [{quoted}]"]) as mount:
        dates = mount.files("by-date")
        inodes = {os.path.basename(path): stat.st_ino for path, stat in dates.items()}
        assert len(inodes) == len(world)
        for view in ("by-conversation", "by-user", "recent"):
            files = mount.files(view)
            assert files
            for path, stat in files.items():
                assert inodes[os.path.basename(path)] == stat.st_ino
        names = Counter(
            stat.st_ino
            for view in ("by-date", "by-conversation", "by-user")
            for stat in mount.files(view).values()
        )
        for path in mount.files("by-date"):
            stat = (mount.root / path).lstat()
            assert stat.st_nlink == names[stat.st_ino], path


def test_hostile_names_are_legal_distinct_and_the_same_in_a_fresh_catalogue(hostile_box: Box) -> None:
    with mounted(hostile_box.url) as mount:
        first = by_id(mount, "by-date")
    with mounted(hostile_box.url) as mount:
        (mount.root / "recent").iterdir()
        by_id(mount, "recent")  # another order of arrival
        again = by_id(mount, "by-date")
    assert first == again
    for path in first.values():
        name = Path(path).name
        assert 0 < len(name.encode()) <= 255
        assert name[0] not in "-. "
        assert not any(ord(c) < 32 or c in "\u202e\u2066/" for c in name)


@pytest.mark.parametrize("last_next_offset", ["null", "absent", "total", "same"])
@pytest.mark.parametrize("inclusive_dates", [True, False])
def test_a_stricter_service_lists_the_same(last_next_offset: str, inclusive_dates: bool) -> None:
    with (
        sandbox_process(
            media=260,
            last_next_offset=last_next_offset,
            inclusive_dates=inclusive_dates,
            strict_parameters=True,
            max_limit=37,
        ) as box,
        mounted(box.url) as mount,
    ):
        assert set(by_id(mount, "by-date")) == set(world_of(box))
