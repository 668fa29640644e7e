"""A listing of everything, of each vendor through its sandbox: what it finds, and what a crash costs."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mediafs import catalogue
from mediafs.model import Everything, Page, Question, Urgency
from mediafs.source import Source
from mediafs.sync import SyncOptions, syncing
from mediafs.tree.names import Names, file_name, folder_name
from tests.contract.accounts import MakeAccount, every_archive


class Killed(BaseException):
    pass


class Watched:
    """A source whose pages are counted; the one after `survives` kills."""

    def __init__(self, source: Source, survives: int | None = None) -> None:
        self._source = source
        self._survives = survives
        self.asked: Counter[tuple[object, ...]] = Counter()

    async def page(self, question: Question, *, urgency: Urgency) -> Page:
        assert urgency is Urgency.BACKGROUND
        self.asked[question.scope, question.since, question.cursor] += 1
        if self.asked.total() == self._survives:
            raise Killed
        return await self._source.page(question, urgency=urgency)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


async def listed(source: Any, folder: Path, now: float) -> set[str]:
    """The ids that a listing of everything leaves in the catalogue."""
    with catalogue.opened(
        folder / "catalogue.sqlite3",
        identity="test",
        zone=UTC,
        name_of=partial(file_name, names=Names.FILENAME),
        folder_of=folder_name,
    ) as opened:
        async with syncing(
            source, opened, SyncOptions(zone=UTC), emit=lambda changes: None, wall_clock=lambda: now
        ) as listings:
            with listings.runs.follow() as run:
                await run.done.wait()
            if run.error is not None:
                raise run.error
            assert run.complete
            assert run.failed == []
            known = [opened.views.media(stat.inode) for stat in opened.views.children(Everything())]
            assert run.progress.items >= len(known)
            if source.traits.enumerable:
                assert listings.whole_since() is not None
            if source.traits.records_tell_conversation and source.traits.enumerable:
                assert listings.conversations_since() is not None
            return {media.id for media in known if media}


def now_of(make: MakeAccount) -> float:
    """Within the years that the account's service has anything of."""
    return datetime(2020, 5, 17, tzinfo=UTC).timestamp() if make.__name__ == "zoom" else time.time()


@every_archive
async def test_everything_is_found(make: MakeAccount, tmp_path: Path) -> None:
    async with make() as account:
        assert await listed(Watched(account.source), tmp_path, now_of(make)) == account.ids


@every_archive
@pytest.mark.parametrize("survives", [1, 2, 3])
async def test_after_a_crash_it_goes_on_and_asks_for_one_page_again(
    make: MakeAccount, survives: int, tmp_path: Path
) -> None:
    async with make() as account:
        for name in ("first", "whole"):  # with the first one a vendor's module learns how to ask
            (tmp_path / name).mkdir()
            whole = Watched(account.source)
            await listed(whole, tmp_path / name, now_of(make))
        first = Watched(account.source, survives)
        try:
            await listed(first, tmp_path, now_of(make))
        except BaseExceptionGroup as group:
            crashed = group.subgroup(Killed)
        else:
            pytest.skip("it has fewer pages than that")
        assert crashed is not None
        second = Watched(account.source)
        assert await listed(second, tmp_path, now_of(make)) == account.ids
        again = (first.asked & second.asked).total()
        assert again <= 1
        assert first.asked.total() + second.asked.total() <= whole.asked.total() + 1
