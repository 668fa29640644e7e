"""Exit codes, one for each thing that an operator does about a failure. Documented, and tested."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..errors import ConfigError, CredentialsRefused, Late, MediafsError, Unavailable
from ..mount import FuseUnavailable


class Exit(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    CREDENTIALS = 4
    FUSE = 5
    SERVICE = 6


_CODES: Final[tuple[tuple[type[MediafsError], Exit], ...]] = (
    (ConfigError, Exit.CONFIGURATION),
    (CredentialsRefused, Exit.CREDENTIALS),
    (FuseUnavailable, Exit.FUSE),
    (Unavailable, Exit.SERVICE),
    (Late, Exit.SERVICE),
)


def exit_for(error: MediafsError) -> Exit:
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return Exit.FAILED
