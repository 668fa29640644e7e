"""The daemon's side of `mediafs warm`: hears which files, tells how far they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import trio

from ..control import Talk
from ..errors import MediafsError, ValueRefused
from ..model import Inode
from ..tree import Kept, Run

TICK_S: Final = 0.5
"""How often it is told how far they are, where nothing else is to be told."""


async def fetch_for(talk: Talk, kept: Kept, *, pin: bool) -> Mapping[str, object]:
    """Ends with the client. Raises why the rest was left."""
    with kept.run(pin=pin) as run:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hear, talk, run)
            nursery.start_soon(_tell, talk, run)
            await run.work()
            nursery.cancel_scope.cancel()
        await talk.tell(asdict(run.news()))
        if run.stopped is not None:
            raise run.stopped
    return {}


async def _hear(talk: Talk, run: Run) -> None:
    try:
        while (said := await talk.hear()) is not None:
            if said.get("end") is True:
                run.no_more()
            else:
                run.add(inodes_of(said))
    except MediafsError as error:
        run.stop(error)
    else:
        run.stop(None)  # the client has gone


async def _tell(talk: Talk, run: Run) -> None:
    while await talk.tell(asdict(run.news())):
        with trio.move_on_after(TICK_S):
            await run.wait_news()
    run.stop(None)


def inodes_of(said: Mapping[str, object]) -> list[Inode]:
    """Raises ValueRefused."""
    inodes = said.get("inodes")
    if not isinstance(inodes, list) or not all(type(each) is int and each > 0 for each in inodes):
        raise ValueRefused('{"inodes": [..]} is a list of numbers')
    return [Inode(each) for each in inodes]
