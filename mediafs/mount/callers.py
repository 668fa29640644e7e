"""Who is behind a request of the kernel."""

from __future__ import annotations

from pathlib import Path

from pyfuse3 import RequestContext

from ..model import Requester


def requester_of(ctx: RequestContext) -> Requester:
    """The process as it is now; it waits for the answer, so it is still there, or was killed."""
    try:
        # `comm` and not `cmdline`: the latter waits for a lock of the process, which waits for us.
        program = Path(f"/proc/{ctx.pid}/comm").read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        program = ""
    return Requester(uid=ctx.uid, pid=ctx.pid, program=program)
