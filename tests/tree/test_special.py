"""What the mount says about itself: found by name, listed nowhere, as it is when it is opened."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from mediafs.catalogue.changelog import ChangeLog
from mediafs.errors import Busy, Changed, Forbidden, NoAttribute, NotFound, Unsupported
from mediafs.model import Requester
from mediafs.tree import ROOT, Absent, Attributes, Kind
from mediafs.tree.names import folder_name
from mediafs.tree.special import SpecialFile
from tests.fakes import START, MemorySource, make_media

from .test_tree import Here, archive, tree_of

STATUS = ".mediafs/status.json"
CHANGES = ".mediafs/changes.jsonl"
WHO = Requester(uid=1000, pid=42, program="rm")
LATER = timedelta(days=3650)
"""After the catalogue was begun."""


async def opened(here: Here, path: str) -> SpecialFile:
    file = await here.tree.open((await here.find(path)).inode)
    assert isinstance(file, SpecialFile)
    return file


def change(here: Here, *numbers: int) -> None:
    media = [make_media(number, created=START + LATER) for number in numbers]
    catalogue = here.house.catalogue
    catalogue.changes.note(catalogue.contents.put(media, catalogue.database.tick()))


async def test_it_is_found_by_name_and_listed_nowhere(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        assert ".mediafs" not in await here.list("")
        folder = await here.find(".mediafs")
        assert folder.kind is Kind.DIRECTORY
        assert not folder.writable
        assert await here.list(".mediafs") == []
        for name in ("other", ".hidden", "autorun.inf"):
            assert isinstance(await here.tree.lookup(folder.inode, name), Absent)
        with pytest.raises(NotFound):
            await here.find("by-date/.mediafs")
        assert here.house.pages == 0


async def test_the_status_is_a_snapshot_at_open_with_its_true_size(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        found = await here.find(STATUS)
        assert (found.kind, found.entry_timeout_s, found.attr_timeout_s) == (Kind.FILE, 0, 0)
        first = await opened(here, STATUS)
        here.house.clock[0] *= 1e6
        second = await opened(here, STATUS)
        texts = [await file.read(0, 1 << 20) for file in (first, second)]
        assert texts[0] != texts[1]
        for file, text in zip((first, second), texts, strict=True):
            json.loads(text)
            assert file.attributes().size == len(text)
            assert await file.read(3, 4) == text[3:7]
            assert await file.read(len(text), 10) == b""
            assert file.grows, "or the kernel's one size an inode would cut the longer one"
            await file.close()


async def test_changes_grow_under_who_has_them_open(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        file = await opened(here, CHANGES)
        assert (file.attributes().size, await file.read(0, 100)) == (0, b"")
        change(here, 1)
        first = await file.read(0, 1 << 20)
        change(here, 2)
        second = await file.read(len(first), 1 << 20)
        assert [json.loads(line)["id"] for line in (first, second)] == ["1", "2"]
        assert file.attributes().size == len(first) + len(second)
        assert (await here.find(CHANGES)).size == len(first) + len(second)
        assert file.attributes().modified_s == int(here.house.clock[0])


async def test_who_has_them_open_reads_on_when_the_older_half_goes(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        change(here, 1)
        before, file = await here.find(CHANGES), await opened(here, CHANGES)
        read = len(await file.read(0, 1 << 20))
        known = here.house.catalogue
        small = ChangeLog(known.database, folder_name, lambda: 1.0, kept_bytes=1500)
        for number in range(2, 30):
            media = make_media(number, created=START + LATER)
            small.note(known.contents.put([media], known.database.tick()))
            line = json.loads(await file.read(read, 1 << 20))
            assert line["id"] == str(number)
            read = file.attributes().size
        after = await here.find(CHANGES)
        assert after.inode != before.inode
        assert after.size <= 1500 < read
        with pytest.raises(Changed):
            await file.read(0, 100)
        assert (
            json.loads((await (await opened(here, CHANGES)).read(0, 1 << 20)).splitlines()[-1])["id"] == "29"
        )


async def test_nothing_of_it_can_be_changed(tmp_path: Path) -> None:
    async with tree_of(archive(), tmp_path) as here:
        folder, file = await here.find(".mediafs"), await here.find(STATUS)
        with pytest.raises(Forbidden):
            await here.tree.unlink(folder.inode, "status.json", WHO)
        with pytest.raises(Forbidden):
            await here.tree.rename((folder.inode, "status.json"), (folder.inode, "x"), WHO)
        with pytest.raises(Busy):
            await here.tree.rmdir(ROOT, ".mediafs")
        with pytest.raises(Unsupported):
            await here.tree.set_xattr(file.inode, "user.mediafs.title", b"x")
        for each in (folder, file):
            assert here.tree.xattr_names(each.inode) == ()
            with pytest.raises(NoAttribute):
                here.tree.xattr(each.inode, "user.mediafs.complete")
        assert "as it is now" in await here.tree.refresh(STATUS)


async def test_its_inodes_are_known_by_number_alone(tmp_path: Path) -> None:
    async with tree_of(MemorySource(), tmp_path) as here:
        found: list[Attributes] = [await here.find(path) for path in (".mediafs", STATUS, CHANGES)]
        assert [here.tree.attributes(each.inode).kind for each in found] == [each.kind for each in found]
