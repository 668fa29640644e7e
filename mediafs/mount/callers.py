"""Who asks, and what can be told from that about what is wanted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from cachetools import TTLCache
from pyfuse3 import FlagT, RequestContext

from ..errors import Forbidden, ReadOnly
from ..model import Requester

_WRITES: Final = os.O_TRUNC | os.O_APPEND | os.O_CREAT

_OVERWRITES: Final = frozenset({"cp", "install", "ginstall", "ln", "unzip", "git", "patch"})
"""Programs that take a name away only to put another file in its place."""
_MOVES: Final = frozenset({"mv", "tar", "bsdtar", "cpio"})
"""Programs that do so too, and that take away what they have read: `mv` to elsewhere, `--remove-files`."""
_RETRY_S: Final = 5.0
_READ_S: Final = 86400.0


class Callers:
    """Tells a deletion from half of an overwriting.

    Content cannot be written here, but many a program takes the old file away first: `cp -f` when it may
    not write, `mv` from elsewhere and `tar x` always. The media would be deleted at the service, and
    nothing put in its place. The kernel does not say what comes next, so it is told by what the process
    did before, and by its name. Trio thread only.
    """

    def __init__(self) -> None:
        self._wrote: TTLCache[int, None] = TTLCache(10_000, _RETRY_S, time.monotonic)
        """Processes that wanted to write: some then take the name away and try again."""
        self._read: TTLCache[int, None] = TTLCache(100_000, _READ_S, time.monotonic)

    def opens(self, ctx: RequestContext, flags: FlagT) -> None:
        """That process opens a file. Raises ReadOnly where it is to be written."""
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & _WRITES:
            self._wrote[ctx.pid] = None
            raise ReadOnly("content cannot be written")
        self._read[ctx.pid] = None

    def deletes(self, ctx: RequestContext) -> Requester:
        """Who wants to delete. Raises Forbidden where another file is to take the place."""
        who = requester_of(ctx)
        moves_in = who.program in _MOVES and who.pid not in self._read
        if who.pid in self._wrote or who.program in _OVERWRITES or moves_in:
            raise Forbidden("a media is not deleted for a file to take its place: content cannot be written")
        return who


def requester_of(ctx: RequestContext) -> Requester:
    """The process as it is now; it waits for the answer, so it is still there, or was killed."""
    try:
        # `comm` and not `cmdline`: the latter waits for a lock of the process, which waits for us.
        program = Path(f"/proc/{ctx.pid}/comm").read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        program = ""
    return Requester(uid=ctx.uid, pid=ctx.pid, program=program)
