"""Finding out how large a media is of which no record tells: at once, or behind for who asks next.

A service that states no length shows the size with the last byte only. Whoever opens such a media cannot
wait for that without end; so the body goes on being fetched, and is kept for a while once it is whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

import trio

from ..errors import Late, MediafsError

log = logging.getLogger(__name__)

KEPT_S: Final = 300.0
"""For how long a whole body waits for who was told to try again."""

MOST: Final = 4
"""Bodies that are fetched or kept for nobody: each may fill a disk."""


class Settled(Protocol):
    """What is needed of a `Reader`."""

    @property
    def spools(self) -> bool: ...

    async def settle(self) -> int: ...

    async def close(self) -> None: ...


class Settling:
    """Owns the readers that go on for nobody. Invariant: at most MOST of them."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._kept: dict[Settled, trio.CancelScope | None] = {}
        """None: its body is still being fetched."""

    async def settle(self, reader: Settled, known: Callable[[int], None]) -> None:
        """Returns when `known` was told the size in bytes; what it raises is raised here.

        Raises what `Reader.settle` raises, and then the reader is not the caller's any more: it is closed, or
        where its body is on its way, goes on behind, and `known` is told when that has come.
        """
        try:
            known(await reader.settle())
        except (Late, trio.Cancelled):
            if reader.spools and self._has_room():
                self._kept[reader] = None
                self._nursery.start_soon(self._go_on, reader, known)
            else:
                await reader.close()
            raise
        except BaseException:
            await reader.close()
            raise

    def _has_room(self) -> bool:
        """Makes room for one more, where one of those that are kept has come whole."""
        if len(self._kept) < MOST:
            return True
        for reader, scope in self._kept.items():
            if scope is not None:
                scope.cancel()
                del self._kept[reader]
                return True
        return False

    async def _go_on(self, reader: Settled, known: Callable[[int], None]) -> None:
        try:
            known(await self._whole(reader))
            with trio.move_on_after(KEPT_S) as scope:
                self._kept[reader] = scope
                await trio.sleep_forever()
        except MediafsError as error:
            log.info("a body that was fetched behind did not come: %s", error)
        finally:
            self._kept.pop(reader, None)
            await reader.close()

    async def _whole(self, reader: Settled) -> int:
        while True:
            try:
                return await reader.settle()
            except Late:
                if not reader.spools:  # it was not the time that was too short: nothing comes any more
                    raise
