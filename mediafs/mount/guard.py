"""What stands around every handler: a deadline, and the translation of errors.

pyfuse3 ends the whole mount when a handler raises anything but FUSEError, and a process that waits
in a handler cannot be killed: so no handler is without this guard.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import pyfuse3
import trio

from ..errors import Late
from .errnos import FailureLog

P = ParamSpec("P")
R = TypeVar("R")


class Wait(Enum):
    """What kind of waiting an operation is."""

    NONE = "none"
    """It never waits. Such a one is spared the deadline: 5 us, of the 70 that a lookup takes in all."""
    QUICK = "quick"
    LIST = "list"
    READ = "read"
    CHANGE = "change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long a process may have to wait for one operation, in seconds."""

    quick_s: float = 15.0
    """lookup, getattr, open, attributes."""
    list_s: float = 25.0
    """opendir, readdir: the tree's own `list_deadline` of 20 s, and a margin, so that it is the tree
    that says how far the listing has come."""
    read_s: float = 70.0
    """One read, with all its resumptions."""

    change_s: float = 70.0
    """unlink, rmdir, rename. As with a read, a limit of so many requests a minute can be waited out:
    `rm -r` is then slow instead of failing."""

    def of(self, wait: Wait) -> float:
        match wait:
            case Wait.QUICK | Wait.NONE:
                return self.quick_s
            case Wait.LIST:
                return self.list_s
            case Wait.READ:
                return self.read_s
            case Wait.CHANGE:
                return self.change_s


class Running:
    """The operations that processes wait for at this moment.

    Trio thread only. Each is answered even when the mount goes away: an operation cancelled without
    an answer keeps its process, and whatever waits for the kernel's lock on that directory, stuck.
    """

    def __init__(self) -> None:
        self._scopes: set[trio.CancelScope] = set()
        self._none = trio.Event()
        self.refused = False
        """All operations are answered with ENOTCONN from now on."""

    def __len__(self) -> int:
        return len(self._scopes)

    def enter(self, scope: trio.CancelScope) -> None:
        self._scopes.add(scope)
        if self.refused:
            scope.cancel()

    def leave(self, scope: trio.CancelScope) -> None:
        self._scopes.discard(scope)
        if not self._scopes:
            self._none.set()

    async def wait_none(self) -> None:
        """Returns when nothing runs."""
        while self._scopes:
            self._none = trio.Event()
            await self._none.wait()

    def refuse(self) -> None:
        """Answers what runs, and all that comes, with ENOTCONN: the mount is going away."""
        self.refused = True
        for scope in self._scopes:
            scope.cancel()


class Guarded(Protocol):
    """What the guard needs of the object whose handlers it guards."""

    deadlines: Deadlines
    failures: FailureLog
    running: Running


G = TypeVar("G", bound=Guarded)


def guarded(
    wait: Wait,
) -> Callable[
    [Callable[Concatenate[G, P], Coroutine[Any, Any, R]]], Callable[Concatenate[G, P], Coroutine[Any, Any, R]]
]:
    """A handler that ends in time, and raises nothing but FUSEError and outer cancellation."""

    def decorate(
        handler: Callable[Concatenate[G, P], Coroutine[Any, Any, R]],
    ) -> Callable[Concatenate[G, P], Coroutine[Any, Any, R]]:
        operation = handler.__name__

        @functools.wraps(handler)
        async def unwaiting(self: G, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if self.running.refused:
                raise pyfuse3.FUSEError(errno.ENOTCONN)
            try:
                return await handler(self, *args, **kwargs)
            except Exception as error:
                raise pyfuse3.FUSEError(self.failures.errno_of(operation, error)) from None

        @functools.wraps(handler)
        async def guard(self: G, /, *args: P.args, **kwargs: P.kwargs) -> R:
            limit_s = self.deadlines.of(wait)
            scope = trio.CancelScope(deadline=trio.current_time() + limit_s)
            self.running.enter(scope)
            try:
                with scope:
                    return await handler(self, *args, **kwargs)
            except Exception as error:
                raise pyfuse3.FUSEError(self.failures.errno_of(operation, error)) from None
            finally:
                self.running.leave(scope)
            # Only the scope's own cancellation gets here.
            if self.running.refused:
                raise pyfuse3.FUSEError(errno.ENOTCONN)
            late = Late(f"not done within {limit_s:g} s")
            raise pyfuse3.FUSEError(self.failures.errno_of(operation, late))

        return unwaiting if wait is Wait.NONE else guard

    return decorate
