"""`mediafs status`, `refresh` and `allow-deletes`: what is said to a running daemon."""

from __future__ import annotations

import argparse
import time

from ..errors import MediafsError
from ..mount import mounts
from .common import complain, daemon_at, daemons, say
from .exits import Exit
from .report import as_json, words


def status(given: argparse.Namespace) -> Exit:
    """Of one mount, or of all. FAILED where the mount that was asked for does not answer."""
    found = [daemon_at(given.mountpoint)[0]] if given.mountpoint else daemons()
    reports = []
    for daemon in found:
        try:
            reports.append(daemon.ask("status"))
        except MediafsError as error:
            if given.mountpoint:
                raise
            complain(error)  # one that hangs is no reason to say nothing of the others
    if given.json:
        say(as_json(reports if not given.mountpoint else reports[0]).rstrip())
        return Exit.DONE
    for facts in reports:
        for line in words(facts, time.time()):
            say(line)
    alive = {daemon.mountpoint for daemon in found}
    if not given.mountpoint:
        for mount in mounts():
            if mount.mountpoint not in alive:
                say(f"{mount.account} at {mount.mountpoint}: no daemon of yours answers")
                say(f"               -> if it is stale: mediafs umount {mount.mountpoint}")
        if not found and not mounts():
            say("nothing is mounted")
    return Exit.DONE


def refresh(given: argparse.Namespace) -> Exit:
    """Lists what lies at a path again."""
    daemon, inside = daemon_at(given.path)
    say(str(daemon.ask("refresh", path=inside)["did"]))
    return Exit.DONE


def allow_deletes(given: argparse.Namespace) -> Exit:
    """Releases the brake on deletions."""
    daemon, _ = daemon_at(given.mountpoint)
    more = {} if given.count is None else {"count": given.count}
    state = daemon.ask("allow-deletes", **more)
    if not state["limit"]:
        say("this account has no limit on deletions (delete_limit = 0)")
    else:
        say(f"{state['left']} more media may be deleted within the next hour")
    return Exit.DONE
