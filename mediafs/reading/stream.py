"""One GET under way: where it is, how far it may run, and how it ended. No I/O here."""

from __future__ import annotations

from typing import Final

import trio

from ..errors import MediafsError
from ..model import Span, Urgency
from .blocks import Assembly
from .plan import Flow
from .push import Push

EXACT: Final = 4 * 1024 * 1024
"""More than any one read asks for."""


class Stream:
    """Invariants:
    - `position` only grows, save when a service without ranges starts the body again, or when the
      end of a body was not proved.
    - Whoever waits for a byte of it has extended `reach` past that byte first: it is never parked
      before a byte that is waited for.
    """

    def __init__(self, span: Span, *, whole: bool, urgency: Urgency) -> None:
        self.start = span.start
        self.stop = span.stop
        """The end that was asked for; None: the end of the media."""
        self.whole = whole
        """Runs to its end without being parked, for as long as anybody reads the media."""
        self.urgency = urgency
        self.reach = span.start
        """The furthest byte read from it or waited for."""
        self.used_at = 0.0
        """When a reader last read from it or waited for it, by trio's clock."""
        self.users: set[object] = set()
        """Readers that read from it."""
        self.answered = False
        self.assembly: Assembly | None = None
        """Made with the first reply."""
        self.push: Push | None = None
        """Where the kernel takes pages: what puts them there."""
        self.error: MediafsError | None = None
        self.ended = trio.Event()
        self.scope = trio.CancelScope()
        self._room = trio.Event()

    def __repr__(self) -> str:
        end = "" if self.stop is None else self.stop
        return f"<Stream {self.start}-{end} at {self.position}>"

    @property
    def position(self) -> int:
        """The next byte that it will bring."""
        return self.start if self.assembly is None else self.assembly.position

    @property
    def open_ended(self) -> bool:
        """It may run on for long, and is parked where its readers are left behind."""
        return not self.whole and (self.stop is None or self.stop - self.start > EXACT)

    def end(self, size: int) -> int:
        return size if self.stop is None else self.stop

    def flow(self, size: int, ahead: int) -> Flow:
        """How the planner sees it; `ahead` is how far it may run ahead of its readers."""
        end = self.end(size)
        target = min(end, self.reach + ahead) if self.open_ended else end
        due = self.start if self.assembly is None else self.assembly.due
        return Flow(position=due, end=end, target=target, answered=self.answered)

    def restart(self) -> None:
        """It is to be asked for from byte 0 to the end, whatever came of it before.

        Its readers say anew how far it is to run, once they know what the service answered.
        """
        self.start, self.stop, self.reach, self.whole = 0, None, 0, False
        self.assembly = None
        self.answered = False

    def extend(self, reach: int, user: object) -> None:
        """A reader has read up to `reach`, or waits for the bytes before it."""
        self.users.add(user)
        self.used_at = trio.current_time()
        if reach > self.reach:
            self.reach = reach
        self._room.set()

    async def wait_extended(self) -> None:
        self._room = trio.Event()
        await self._room.wait()
