"""A listing of everything, told how far it is: in the daemon for `mediafs sync`, or in the command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Final

import trio

from ..app import App
from ..control import Talk
from ..errors import MediafsError, ValueRefused

TICK_S: Final = 0.5

Tell = Callable[[Mapping[str, object]], Awaitable[bool]]
"""False where nobody hears it any more."""


async def sync_for(talk: Talk, app: App, since: date | None) -> Mapping[str, object]:
    """Ends with the client; what was listed by then stays. Raises what `follow` raises."""
    reply: Mapping[str, object] = {}
    failure: MediafsError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_hear, talk, nursery.cancel_scope)
        try:
            reply = await follow(app, since, talk.tell)
        except MediafsError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return reply


async def _hear(talk: Talk, scope: trio.CancelScope) -> None:
    try:
        while await talk.hear() is not None:
            pass
    except MediafsError:
        pass  # nothing is to be said here
    scope.cancel()


async def follow(
    app: App, since: date | None, tell: Tell, left: Callable[[Mapping[str, object]], None] = lambda news: None
) -> Mapping[str, object]:
    """Returns the last news once everything is listed; `left` is told how far it came in any case.

    Raises Busy where another is under way that begins on another day, and why listing failed.
    """
    with app.listings.runs.follow(since) as run:
        try:
            while not run.done.is_set() and await tell({**run.news(), **_budget(app, run.task)}):
                with trio.move_on_after(TICK_S):
                    await run.done.wait()
        finally:
            left({**run.news(), **_budget(app, None)})
        if run.error is not None:
            raise run.error
        whole = app.listings.whole_since() is not None
        return {**run.news(), **_budget(app, None), "media": app.catalogue.views.totals()[0], "whole": whole}


def _budget(app: App, task: trio.lowlevel.Task | None) -> dict[str, object]:
    limits = app.source.statistics().limits
    return {
        "left": limits.left,
        "reset_in_s": limits.reset_in_s,
        "waits": task is not None and app.source.wait_s(task) > 0,
    }


def day_of(value: object) -> date | None:
    """Raises ValueRefused."""
    if value is None:
        return None
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueRefused("since is a day such as 2024-05-17") from None
