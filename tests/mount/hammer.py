"""Everything changes under everybody: eight processes that walk, read and look up without a pause, while the
archive is changed many times a second and one crawl after the other finds out.

    python -m tests.mount.hammer [SECONDS [SEED]]

No fault is made: so every error has to be explained by a change, and every operation ends within its
deadline. In `storm.py` there are faults, too.
"""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, prepared, wait_until
from .soaks import main, memory_kib

WORKERS: Final = ("walk", "walk", "walk", "read", "read", "read", "stat", "stat")
MEDIA: Final = 2500
"""So many that a sync reads several ranges of days at once."""
HOT: Final = tuple(f"2025/06/{day:02}" for day in range(1, 7))
"""Days whose media have bodies of one byte's value, so that two versions in one reading are seen."""
LINES: Final = ('fresh_for = "1s"', 'names = "title"', "[cache]", 'memory = "16MiB"')
GONE: Final = frozenset({errno.ENOENT})
"""It was removed, or renamed."""
REPLACED: Final = frozenset({errno.ENOENT, errno.ESTALE, errno.EIO})
"""Or its content was replaced while it was read; or before, and its record still tells another size."""
UNSETTLED: Final = frozenset({errno.EIO})
"""What the service found changed from page to page, and was not whole."""
LISTED_WITHIN_S: Final = 25.0
"""The deadline of a listing, and what eight processes on two cores add to it."""
READ_WITHIN_S: Final = 30.0
"""The service answers at once: of its 65 s a read needs nothing."""
MORE_MEMORY_KIB: Final = 64 << 10


@dataclass
class Diary:
    """What a process did; `failures` are what nothing explains."""

    kind: str
    done: int = 0
    slowest_s: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass
class Worker:
    root: Path
    dice: random.Random
    diary: Diary
    paths: list[str] = field(default_factory=list)
    """Those that were seen last."""

    def run(self, until: float) -> None:
        act = {"walk": self.walk, "read": self.read, "stat": self.stat}[self.diary.kind]
        while time.time() < until:
            act()

    @contextmanager
    def timed(
        self, what: str, within_s: float = LISTED_WITHIN_S, *, explained: Set[int] = GONE
    ) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except OSError as error:
            number = error.errno or 0
            self.diary.errors[errno.errorcode.get(number, str(number))] += 1
            if number not in explained:
                self.diary.failures.append(f"{what}: {error}")
        took = time.monotonic() - began
        self.diary.done += 1
        self.diary.slowest_s = max(self.diary.slowest_s, took)
        if took > within_s:
            self.diary.failures.append(f"{what} took {took:.1f} s")

    def listed(self, folder: str) -> list[os.DirEntry[str]]:
        found: list[os.DirEntry[str]] = []
        with (
            self.timed(f"listing {folder}", explained=_explained(folder)),
            os.scandir(self.root / folder) as entries,
        ):
            found = list(entries)
        if len({entry.name for entry in found}) < len(found):
            self.diary.failures.append(f"{folder}: a name twice")
        return found

    def walk(self) -> None:
        folders = [self.dice.choice((*HOT, "2025")), "recent", "by-user", "search/hot"]
        waiting = [f"by-date/{each}" if each[:2] == "20" else each for each in folders]
        while waiting:
            folder = waiting.pop()
            for entry in self.listed(folder):
                with self.timed(f"stat of {entry.path}", explained=_explained(folder)):
                    entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(os.path.relpath(entry.path, self.root))

    def some_path(self) -> str | None:
        if not self.paths or self.dice.random() < 0.02:
            entries = self.listed(f"by-date/{self.dice.choice(HOT)}")
            self.paths = [entry.path for entry in entries if entry.name.startswith("hot ")]
        return self.dice.choice(self.paths) if self.paths else None

    def read(self) -> None:
        path = self.some_path()
        if path is None:
            return
        reading = self.timed(f"reading {path}", READ_WITHIN_S, explained=REPLACED)
        with reading, open(path, "rb", buffering=0) as file:
            if self.dice.random() < 0.5:
                file.seek(self.dice.randrange(200_000))
            data = b"".join(iter(lambda: file.read(65_536), b""))
            if len(set(data)) > 1:
                self.diary.failures.append(f"{path}: two versions in one reading")

    def stat(self) -> None:
        path = self.some_path()
        if path is None:
            return
        if self.dice.random() < 0.3:
            path += "~nothing"
        with self.timed(f"stat of {path}"):
            os.stat(path)


def _explained(folder: str) -> Set[int]:
    return GONE | UNSETTLED if folder.startswith("search") else GONE


class Changer:
    """Changes the hot days, and lets crawls find out, until it is ended."""

    def __init__(self, box: Box, mount: Mount, dice: random.Random) -> None:
        self._box, self._mount, self._dice = box, mount, dice
        self._stop = threading.Event()
        self._known: list[int] = []
        self.changes: Counter[str] = Counter()
        self.crawls: Counter[str] = Counter()
        self.failures: list[str] = []

    def add(self) -> None:
        day = self._dice.choice(HOT).replace("/", "-")
        second = self._dice.randrange(86_400)
        created = f"{day}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}+00:00"
        title = f"hot {self._dice.randrange(40)}"
        added = self._box.add(body=self._body(), created=created, title=title)
        self._known.append(int(added["id"]))

    def _body(self) -> bytes:
        return bytes([self._dice.randrange(256)]) * self._dice.randrange(100_000, 250_000)

    def _remove(self) -> None:
        self._box.remove(self._known.pop(self._dice.randrange(len(self._known))))

    def _replace(self) -> None:
        self._box.update(self._dice.choice(self._known), body=self._body())

    def _retitle(self) -> None:
        self._box.update(self._dice.choice(self._known), title=f"hot {self._dice.randrange(40)}")

    def _change(self) -> None:
        acts: Sequence[Callable[[], None]] = (self.add, self._remove, self._replace, self._retitle)
        while not self._stop.wait(0.01):
            act = self._dice.choice(acts)
            if len(self._known) < 100:
                act = self.add
            act()
            self.changes[act.__name__.strip("_")] += 1

    def _crawl(self) -> None:
        by_date = self._mount.root / "by-date"
        commands = [
            ["sync", self._mount.account],
            ["refresh", str(by_date / HOT[0])],
            ["refresh", str(by_date)],
        ]
        while not self._stop.is_set():
            command = self._dice.choice(commands)
            done = self._mount.mediafs(*command)
            self.crawls[command[0]] += 1
            if done.returncode:
                self.failures.append(f"mediafs {' '.join(command)}: {done.stderr}")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        def guarded(do: Callable[[], None]) -> None:
            try:
                do()
            except Exception as error:
                self.failures.append(f"{do.__name__}: {error!r}")

        threads = [threading.Thread(target=guarded, args=(do,)) for do in (self._change, self._crawl)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()


@dataclass
class Report:
    """How it went. `failures` is empty where all was explained."""

    diaries: list[Diary]
    changes: Counter[str]
    crawls: Counter[str]
    memory_kib: tuple[int, int]
    failures: list[str]

    def lines(self) -> Iterator[str]:
        for diary in self.diaries:
            errors = (
                ", ".join(f"{name} {count}" for name, count in sorted(diary.errors.items())) or "no errors"
            )
            yield f"{diary.kind:5} {diary.done:7} times, the slowest {diary.slowest_s:.2f} s: {errors}"
        yield f"changes: {dict(self.changes)}; crawls: {dict(self.crawls)}"
        yield f"memory: {self.memory_kib[0]} KiB before, {self.memory_kib[1]} after"
        yield from (f"FAILURE: {failure}" for failure in self.failures)


def hammer(seconds: float, seed: int = 1) -> Report:
    """From a fresh sandbox to the end; the mount is taken away again."""
    dice = random.Random(seed)
    sandbox = sandbox_process(media=MEDIA, users=4, rate_limit=None)
    with sandbox as box, prepared(box.url, lines=LINES) as mount:
        changer = Changer(box, mount, dice)
        for _ in range(200):
            changer.add()
        assert mount.mount().returncode == 0, mount.log
        try:
            mount.files("by-date")
            return _hammer(seconds, mount, changer, dice)
        finally:
            mount.umount()


def _hammer(seconds: float, mount: Mount, changer: Changer, dice: random.Random) -> Report:
    before = memory_kib(mount)
    until = time.time() + seconds
    words = [sys.executable, "-m", __spec__.name, "worker"]
    processes = [
        subprocess.Popen(
            [*words, kind, str(mount.root), str(until), str(dice.random())],
            env=mount.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in WORKERS
    ]
    diaries, failures = [], []
    with changer.at_work():
        for process in processes:
            try:
                said, _ = process.communicate(timeout=max(1.0, until - time.time()) + 2 * READ_WITHIN_S)
                diaries.append(Diary(**json.loads(said)))
            except (subprocess.TimeoutExpired, ValueError) as error:
                failures.append(f"a process is stuck, or broke: {error}")
                process.kill()
    failures += changer.failures
    failures += [f"{diary.kind}: {failure}" for diary in diaries for failure in diary.failures]
    failures += _aftermath(mount)
    return Report(diaries, changer.changes, changer.crawls, (before, memory_kib(mount)), failures)


def _aftermath(mount: Mount) -> Iterator[str]:
    """What must be true once all is quiet: what is listed is what there is."""
    time.sleep(1.5)
    for command in (["sync", mount.account], ["refresh", str(mount.root / "by-date" / HOT[0])]):
        done = mount.mediafs(*command)
        if done.returncode:
            yield f"in the end, mediafs {command[0]}: {done.stderr}"
    for path in mount.files("by-date"):
        if not (mount.root / path).exists():
            yield f"{path} is listed and not there"
    wait_until(lambda: not mount.status()["reading"]["streams"])
    wait_until(lambda: not mount.status()["kernel"]["pending"])
    if mount.status()["reading"]["open"]:
        yield "the daemon has files open"
    yield from (line for line in mount.log.splitlines() if "Traceback" in line or " ERROR " in line)


def _work(arguments: Sequence[str]) -> None:
    kind, root, until, seed = arguments
    worker = Worker(Path(root), random.Random(seed), Diary(kind))
    worker.run(float(until))
    print(json.dumps(vars(worker.diary)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "hammering for", hammer, _work))
