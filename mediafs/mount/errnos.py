"""The errno of every error: one table, here and only here; and the log line of a failure.

Deadlines and limits are `guard.py`'s affair.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import pyfuse3
import trio

from .. import errors

log = logging.getLogger(__name__)

ERRNO: Final[Mapping[type[BaseException], int]] = MappingProxyType(
    {
        errors.NotFound: errno.ENOENT,
        errors.NoAttribute: errno.ENODATA,
        errors.Denied: errno.EACCES,
        errors.CredentialsRefused: errno.EACCES,
        errors.Forbidden: errno.EPERM,
        errors.Busy: errno.EBUSY,
        errors.NotEmpty: errno.ENOTEMPTY,
        errors.ReadOnly: errno.EROFS,
        # Not EAGAIN for throttling: tools take that for a non-blocking descriptor and spin.
        errors.Late: errno.ETIMEDOUT,
        trio.TooSlowError: errno.ETIMEDOUT,
        errors.Unavailable: errno.EIO,
        errors.InvalidReply: errno.EIO,
        errors.FilterRefused: errno.EIO,
        errors.Incomplete: errno.EIO,
        errors.NotReady: errno.EIO,
        errors.Changed: errno.ESTALE,
        errors.ValueRefused: errno.EINVAL,
        # Not ENOSYS: the kernel would stop asking for the whole mount.
        errors.Unsupported: errno.EOPNOTSUPP,
        errors.NoRoom: errno.ENOSPC,
        errors.LocalFailure: errno.EIO,
        errors.ConfigError: errno.EIO,
    }
)
"""Nearest ancestor wins. Whatever has no ancestor here is a bug: EIO and a traceback."""

_ORDINARY: Final = (
    errors.NotFound,
    errors.NoAttribute,
    errors.ReadOnly,
    errors.Unsupported,
    errors.ValueRefused,
)
"""Answers rather than failures: a file manager causes dozens of them per folder."""

_QUIET_S: Final = 30.0
"""Failures of one kind are one line in so many seconds: a dead network fails every read of `cp -r`
with the same words, and a journal that scrolls hides the first of them, which matters."""

_KINDS_HELD: Final = 256
"""Kinds of failure remembered for that; a kind is an operation and a class, so some dozens exist."""


def explained_errno(error: BaseException) -> int | None:
    """The errno of an explained error, by its nearest ancestor; None: nobody explains it, a bug."""
    if isinstance(error, pyfuse3.FUSEError):
        return error.errno
    for kind in type(error).__mro__:
        if kind in ERRNO:
            return ERRNO[kind]
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def ungrouped(error: BaseException) -> BaseException:
    """The one error that a group stands for: a bug in it before anything that is explained."""
    leaves = list(_leaves(error))
    for leaf in leaves:
        if explained_errno(leaf) is None:
            return leaf
    return leaves[0]


@dataclass(slots=True)
class _Seen:
    at_s: float
    unsaid: int = 0


class FailureLog:
    """Turns the error of an operation into its errno, and tells people of it without a flood.

    Ordinary answers are DEBUG, explained failures INFO, bugs ERROR with their traceback.
    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, type[BaseException]], _Seen] = {}

    def errno_of(self, operation: str, error: BaseException) -> int:
        """The errno for `error`. Never raises."""
        error = ungrouped(error)
        code = explained_errno(error)
        if code is not None and isinstance(error, (pyfuse3.FUSEError, *_ORDINARY)):
            log.debug("%s: %s", operation, error)
            return code
        unsaid = self._unsaid(operation, type(error))
        if unsaid is None:
            return errno.EIO if code is None else code
        more = f" (and {unsaid} more like it before)" if unsaid else ""
        if code is None:
            log.error("%s: unexpected %r%s", operation, error, more, exc_info=error)
            return errno.EIO
        log.info("%s: %s%s", operation, str(error) or type(error).__name__, more)
        return code

    def _unsaid(self, operation: str, kind: type[BaseException]) -> int | None:
        """How many like it went unsaid since the last line; None: this one goes unsaid too."""
        now = self._clock()
        seen = self._seen.get((operation, kind))
        if seen is not None and now - seen.at_s < _QUIET_S:
            seen.unsaid += 1
            return None
        if len(self._seen) >= _KINDS_HELD:
            self._seen.clear()
        self._seen[operation, kind] = _Seen(now)
        return seen.unsaid if seen is not None else 0
