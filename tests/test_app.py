"""What one account keeps of what it learnt of its service."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
import trio
import trio.testing

from mediafs.app import KEEP_LEARNT_S, LEARNT, LIMITS, _keep_learnt
from mediafs.catalogue import Database
from mediafs.errors import NoRoom
from mediafs.remote import RemoteAccount


class Learning:
    """As much of an account as is needed."""

    def __init__(self) -> None:
        self.limits: dict[str, object] = {"left": 10}
        self.learnt = {"edit": "json"}

    def export_limits(self) -> dict[str, object]:
        return dict(self.limits)


class Disk:
    """Full while `full`."""

    def __init__(self) -> None:
        self.full: set[str] = set()
        self.kept: dict[str, Any] = {}
        self.written: list[str] = []

    def remember(self, key: str, value: object) -> None:
        if key in self.full:
            raise NoRoom("no room on disk for the catalogue")
        self.kept[key] = value
        self.written.append(key)


async def test_what_the_disk_refused_is_written_once_it_has_room(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    source, disk = Learning(), Disk()
    disk.full = {LEARNT}
    with caplog.at_level(logging.WARNING):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_learnt, cast(RemoteAccount, source), cast(Database, disk))
            await trio.sleep(3.5 * KEEP_LEARNT_S)
            assert disk.kept == {LIMITS: {"left": 10}}
            assert len(caplog.records) == 1, "it is told once"
            caplog.clear()
            disk.full = set()
            await trio.sleep(2 * KEEP_LEARNT_S)
            assert disk.kept == {LIMITS: {"left": 10}, LEARNT: {"edit": "json"}}
            assert disk.written == [LIMITS, LEARNT], "and what has not changed is not written again"
            source.limits["left"] = 9
            nursery.cancel_scope.cancel()
    assert disk.kept[LIMITS] == {"left": 9}
    assert disk.written == [LIMITS, LEARNT, LIMITS]
