"""A sandbox, the relay before it, and a mount in whose daemon time goes faster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mediafs.sandbox.testing import Box, sandbox_process

from ..mounting import Mount, prepared, wait_until
from .faults import FACTOR
from .front import Front

LINES: Final = (
    'since = "2024-01-01"',  # so that a walk down to a day asks nothing
    'delete = "permanent"',
    "delete_limit = 0",
)
LISTED_FOR: Final = 'fresh_for = "1h"'
"""No listing is refreshed behind while requests are counted."""

SHOWN: Final = "by-date/2025/12/01"
"""The folder that is listed before anything goes wrong, and shown at once whatever does."""


@dataclass
class Stage:
    """Where the cells of one operation are run, one after the other."""

    box: Box
    front: Front
    mount: Mount
    daemon: subprocess.Popen[bytes]
    shown_at: str = SHOWN
    shown: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.mount.root

    def add(self, number: int, folder: str = SHOWN, *, size: int, **fields: Any) -> int:
        """A media whose bytes are noise of that number, in the folder of a day; returns its id."""
        day = folder.removeprefix("by-date/").replace("/", "-")
        created = f"{day}T{8 + number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}+00:00"
        added = self.box.add(size=size, seed=number, title=f"m{number}", created=created, **fields)
        return int(added["id"])

    def paths(self, folder: str = SHOWN) -> dict[int, Path]:
        """Id -> file in a folder; lists it."""
        return {int(os.getxattr(path, "user.mediafs.id")): path for path in (self.root / folder).iterdir()}

    def show(self, folder: str = SHOWN) -> None:
        """Lists the folder that is to be shown at once from now on."""
        self.shown_at = folder
        self.shown = sorted(os.listdir(self.root / folder))
        assert self.shown

    def check_shown(self, gone: Path | None = None) -> None:
        """The known folder is shown at once, whatever the service does."""
        began = time.monotonic()
        found = set(os.listdir(self.root / self.shown_at))
        assert time.monotonic() - began < 2
        missing = {gone.name} if gone is not None else set()
        assert set(self.shown) - missing <= found <= set(self.shown)
        self.shown = sorted(found)

    def check_alive(self) -> None:
        assert self.daemon.poll() is None, self.mount.log

    def record(self, media: int) -> dict[str, Any] | None:
        """What the service has of a media, by its own word; None: nothing."""
        answer = self.box.call("GET", f"/api/v3/medias/{media}")
        assert answer.status in (200, 404), answer
        return answer.json if answer.status == 200 else None


@contextmanager
def staged(lines: Sequence[str] = (LISTED_FOR,), *, media: int = 0) -> Iterator[Stage]:
    """A mount by the daemon that everybody runs, but for its clock. One that logged a bug fails the test."""
    with (
        # It shows a budget, and never a 429 of its own: so a 429 that is a fault slows down nothing else.
        sandbox_process(media=media, users=1, rate_limit=1_000_000) as box,
        Front(box.url) as front,
        prepared(front.url, user=None, lines=[*LINES, *lines]) as mount,
    ):
        daemon = _started(mount)
        mount.pids.append(daemon.pid)
        try:
            yield Stage(box, front, mount, daemon)
        finally:
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        log = mount.log
    assert "Traceback" not in log, log
    assert " ERROR " not in log, log


def _started(mount: Mount) -> subprocess.Popen[bytes]:
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "tests.mount.faults.hurried", str(FACTOR)]
    command += ["mount", mount.account, str(mount.root), "--foreground", "--ready-fd", str(write_end)]
    mount.cache.mkdir(parents=True, exist_ok=True)
    with (mount.cache / f"{mount.account}.log").open("ab") as log:
        daemon = subprocess.Popen(
            command, env=mount.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, pass_fds=(write_end,)
        )
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read()
    assert said, mount.log
    assert json.loads(said)["exit"] == 0, said
    return daemon


def eventually(what: str, holds: Callable[[], bool], within_s: float) -> None:
    try:
        wait_until(holds, within_s)
    except AssertionError:
        raise AssertionError(f"not within {within_s:g} s: {what}") from None
