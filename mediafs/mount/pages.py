"""Pages that the kernel is given before it asks for them, and when it may be given no more.

All files of an inode share its pages. So at most one content of an inode may put any there, and none is
put there once the kernel was told to drop what it has: who drops pages first takes the right to put more, and
then waits for a call under way. The call itself waits for locks of pages that are being read: it is made in
threads of its own, and the loop waits for none of them but where a content takes the place of another.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, Protocol

import trio

from ..model import Data, Inode

log = logging.getLogger(__name__)

_THREADS: Final = 8
"""A stalled read may hold one for as long as it stalls; pages are then put ahead of seven other readers."""


class StoreCall(Protocol):
    """Puts bytes into the pages of an inode. Raises OSError."""

    def __call__(self, inode: int, offset: int, data: Data) -> None: ...


class KernelPages:
    """Of all files of a mount. Trio thread only, but for `quiet`."""

    def __init__(self, store: StoreCall) -> None:
        self._store = store
        self._holders: dict[Inode, Holder] = {}
        self._limiter = trio.CapacityLimiter(_THREADS)

    async def of(self, inode: Inode, content: object) -> Holder:
        """Who may put pages of this content there, from now on as the only one of the inode.

        Returns when no page of another content will come any more.
        """
        holder = self._holders.get(inode)
        if holder is None or holder.content is not content or not holder.allowed:
            if holder is not None:
                holder.end()
            holder = self._holders[inode] = Holder(self._store, self._limiter, inode, content, holder)
        await holder.wait_alone()
        return holder

    def revoke(self, inode: Inode) -> None:
        """What comes next for it is another content, or none."""
        holder = self._holders.get(inode)
        if holder is not None:
            holder.end()

    def closed(self, inode: Inode) -> None:
        """Nobody has it open."""
        holder = self._holders.get(inode)
        if holder is not None:
            holder.end()
            if holder.is_quiet():
                del self._holders[inode]
            # Else whoever opens it next has to wait for it.

    @contextmanager
    def quiet(self, inode: Inode) -> Iterator[None]:
        """No page is put there within. For the threads that have the kernel drop pages."""
        with ExitStack() as stack:
            holder = self._holders.get(inode)
            while holder is not None:
                stack.enter_context(holder.lock)
                holder = holder.before
            yield

    async def end(self) -> None:
        """Returns when no call is under way, and none will be."""
        holders, self._holders = self._holders, {}
        for holder in holders.values():
            holder.end()
        for holder in holders.values():
            await holder.wait_alone()
            await holder.wait_quiet()


class Holder:
    """The one content of an inode whose pages may be put there."""

    def __init__(
        self,
        store: StoreCall,
        limiter: trio.CapacityLimiter,
        inode: Inode,
        content: object,
        before: Holder | None,
    ) -> None:
        self.content: object | None = content
        """None once no more of it is to be put there."""
        self.allowed = True
        self.lock = threading.Lock()
        """Held during a call."""
        self._call = store
        self._limiter = limiter
        self._inode = inode
        self.before = before
        """The one in whose place it is, as long as a call of that may be under way."""

    def end(self) -> None:
        """See `reading.Pages`."""
        self.allowed = False
        self.content = None

    async def store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        """See `reading.Pages`. What begins before `from_` the kernel has asked for by then."""
        if not self.allowed:
            return False
        # Abandoned on cancellation: whoever needs to know that it is over waits for the lock.
        return await trio.to_thread.run_sync(
            self._store, pieces, from_, limiter=self._limiter, abandon_on_cancel=True
        )

    def _store(self, pieces: Sequence[tuple[int, Data]], from_: Callable[[], int]) -> bool:
        with self.lock:
            for offset, data in pieces:
                if not self.allowed:
                    return False
                if offset < from_() or not data:
                    continue
                try:
                    self._call(self._inode, offset, data)
                except OSError as error:
                    # ENOENT: the kernel has forgotten the inode; ENOTCONN: the mount is going away.
                    log.debug("no pages can be put ahead: %s", error)
                    self.allowed = False
                    return False
        return self.allowed

    async def wait_alone(self) -> None:
        """Until no call of an earlier content is under way."""
        if self.before is not None:
            await self.before.wait_alone()
            await self.before.wait_quiet()
            self.before = None

    def is_quiet(self) -> bool:
        """Whether no call is under way."""
        return not self.lock.locked() and (self.before is None or self.before.is_quiet())

    async def wait_quiet(self) -> None:
        if self.lock.locked():
            await trio.to_thread.run_sync(self._pass, abandon_on_cancel=True)

    def _pass(self) -> None:
        with self.lock:
            pass
