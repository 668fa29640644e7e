"""Real mounts of the fake tree, always taken away again."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mediafs.mount.mountinfo import all_mounts

NOBODY = 65534
ANSWER_S = 10.0
HERE = Path(__file__).resolve().parent


def is_mounted(place: Path) -> bool:
    return any(mount.mountpoint == str(place) for mount in all_mounts())


def errno_of(action: Callable[[], object]) -> int:
    """The errno that an action fails with; 0: it succeeds."""
    try:
        action()
    except OSError as error:
        return error.errno or 0
    return 0


class Mounted:
    """A daemon in its own process, and the place it serves."""

    def __init__(self, place: Path, process: subprocess.Popen[str], log: Path) -> None:
        self.place = place
        self.process = process
        self._log = log

    def ask(self, *words: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\t".join(words) + "\n")
        self.process.stdin.flush()
        answered, _, _ = select.select([self.process.stdout], [], [], ANSWER_S)
        assert answered, "the daemon is stuck"
        return json.loads(self.process.stdout.readline())

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = self.ask("counts")
        return counts

    @property
    def log(self) -> str:
        return self._log.read_text()

    def run(self, *command: str, timeout_s: float = 20.0) -> subprocess.CompletedProcess[str]:
        """A program in the mount, under a time limit: nothing here may hang a test."""
        return subprocess.run(
            command,
            cwd=self.place,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            check=False,
        )

    def settle(self) -> None:
        """Waits until every invalidation was made: a queue that is empty, and a thread that is done."""
        deadline = time.monotonic() + 5
        while self.ask("pending"):
            assert time.monotonic() < deadline
        time.sleep(0.1)  # the last batch may still be under way in its thread


@contextmanager
def _mount(*, ready: bool = True, **settings: Any) -> Iterator[Mounted]:
    with tempfile.TemporaryDirectory(prefix="mediafs-mount-") as folder:
        os.chmod(folder, 0o755)
        place = Path(settings.pop("mountpoint", Path(folder) / "Recordings with space"))
        place.mkdir(exist_ok=True) if place.is_relative_to(folder) else None
        log = Path(folder) / "log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.mount_room.daemon",
                    json.dumps({"mountpoint": str(place), **settings}),
                ],
                cwd=HERE.parent.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        try:
            assert process.stdout is not None
            if ready:
                said = process.stdout.readline()
                assert said, f"the daemon ended: {log.read_text()}"
                assert json.loads(said) == "ready"
            yield Mounted(place, process, log)
        finally:
            for _ in range(4):
                if not is_mounted(place):
                    break
                subprocess.run(["fusermount3", "-uz", str(place)], timeout=20, check=False)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
            print(f"the daemon ended with {process.returncode} and this log:\n{log.read_text()}")
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


Mounter = Callable[..., Mounted]


@pytest.fixture
def mounter() -> Iterator[Mounter]:
    """Mounts the fake tree with these settings; all are taken away when the test ends."""
    if not Path("/dev/fuse").exists():
        pytest.skip("needs FUSE: /dev/fuse does not exist")
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_mount(**settings))


@pytest.fixture
def mounted(mounter: Mounter) -> Mounted:
    return mounter()
