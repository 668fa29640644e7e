"""What is done with archives, and what is noted: times, requests, memory, and whether all was shown."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from .archive import ACCOUNT, Archive, size
from .measure import Daemon
from .metadata_peers import (
    FOLDER,
    LARGE,
    SILENT,
    Ground,
    configured,
    home_with_catalogue,
    listening,
    mediafs_mount,
    serving,
)
from .rig import Failure, end, environment, peak_rss_mib, python, run, spent, watched
from .work import Sample, Subject

CLIENTS: Final = 8
_STATS: Final = 5000
"""By each client."""
FIRST: Final = Archive(100_000, per_day=100)
DELAY_MS: Final = 30
SIZES: Final = (10_000, 100_000, 300_000, 1_000_000)
_CRAWL_S: Final = 1800.0


def _lasted(*command: str) -> tuple[str, float]:
    """What a command said, and its seconds."""
    start = time.monotonic()
    said, _ = run(*command)
    return said, time.monotonic() - start


def _find(folder: Path) -> float:
    """Seconds of a `find` that shows size, time and path of everything. Raises Failure unless it did."""
    said, took = _lasted("find", str(folder), "-type", "f", "-printf", "%s %T@ %p\n")
    shown = [int(line.split(" ", 1)[0]) for line in said.splitlines()]
    if len(shown) != LARGE.per_day or sum(shown) != sum(map(size, range(1, LARGE.per_day + 1))):
        raise Failure(f"WRONG: {len(shown)} files of {LARGE.per_day}")
    return took


def finding(ground: Ground, subject: Subject, seed: int) -> Sample:
    assert subject.root is not None
    daemon = Daemon(subject)
    first, again = _find(subject.root), _find(subject.root)
    return {"first_s": first, "again_s": again, **daemon.costs(1)}


@contextmanager
def home(ground: Ground) -> Iterator[Path]:
    """A folder with a catalogue that nobody has opened yet."""
    yield home_with_catalogue(ground)


def remounting(ground: Ground, subject: Path, seed: int) -> Sample:
    """From the start of the program to the end of an `ls` of the days."""
    with listening() as silent:
        start = time.monotonic()
        with mediafs_mount(subject, SILENT) as (root, process):
            said, _ = run("ls", str(root / FOLDER).rpartition("/")[0])
            took = time.monotonic() - start
            if len(said.split()) != LARGE.count // LARGE.per_day:
                raise Failure(f"WRONG: the days are {said.split()}")
            directory = _find(root / FOLDER)
            peak = peak_rss_mib(process.pid)
            requests = 0
            try:
                while True:
                    silent.accept()[0].close()
                    requests += 1
            except BlockingIOError:
                pass
    return {"seconds": took, "first_s": directory, "peak_mib": peak, "requests": requests}


def asking(ground: Ground, subject: Subject, seed: int) -> Sample:
    """The attributes of names that the kernel does not know, each once, by several programs."""
    assert subject.root is not None
    (subject.root / LARGE.name(LARGE.per_day)).stat()  # rclone reads the whole directory for the first
    with ExitStack() as stack:
        programs = [stack.enter_context(_stater(ground, subject.root, at)) for at in range(CLIENTS)]
        daemon = Daemon(subject)
        for program in programs:
            assert program.stdin is not None
            program.stdin.write("\n")
            program.stdin.flush()
        told = [_told(program) for program in programs]
        costs = daemon.costs(1)
    count = sum(one["count"] for one in told)
    if sum(one["bytes"] for one in told) != sum(map(size, range(1, count + 1))):
        raise Failure("WRONG SIZES")
    took = max(one["end"] for one in told) - min(one["start"] for one in told)
    return {"per_s": count / took, **costs}


@contextmanager
def _stater(ground: Ground, folder: Path, at: int) -> Iterator[subprocess.Popen[str]]:
    names = ground.scratch / f"names-{at}"
    names.write_text("\n".join(LARGE.name(1 + at + CLIENTS * number) for number in range(_STATS)))
    script = str(Path(__file__).with_name("stater.py"))
    program = subprocess.Popen(
        [sys.executable, "-I", "-S", script, str(folder), str(names)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
        start_new_session=True,
    )
    try:
        _told(program)
        yield program
    finally:
        end(program)


def _told(program: subprocess.Popen[str]) -> Any:
    assert program.stdout is not None
    with watched(program):
        line = program.stdout.readline()
    if not line:
        raise Failure("a program that asks for attributes ended")
    return json.loads(line)


def sync_words(home: Path, url: str) -> list[str]:
    """The command that lists everything."""
    words = ["sync", ACCOUNT, "--config", str(configured(home, url)), "--cache-dir", str(home / "cache")]
    return python("mediafs", *words)


def _listed(said: str) -> int:
    """How many media `mediafs sync` says, at its end, that it was shown."""
    found = re.search(r"^bench: (\d+) media on", said, re.MULTILINE)
    if found is None:
        raise Failure(f"WRONG: {said[-200:]}")
    return int(found[1])


@contextmanager
def by_mediafs(ground: Ground) -> Iterator[bool]:
    yield True


@contextmanager
def by_bare_client(ground: Ground) -> Iterator[bool]:
    yield False


def first_listing(ground: Ground, ours: bool, seed: int) -> Sample:
    """Whole programs, from their start to their end; ours has all in its catalogue then."""
    home = ground.scratch / "home"
    home.mkdir(mode=0o700)
    with serving(FIRST, DELAY_MS, ground.scratch) as url:
        command = sync_words(home, url) if ours else python("bench.bare_client", url)
        start = time.monotonic()
        said, cpu = run(*command, env=environment(home))
        took = time.monotonic() - start
        count = _listed(said) if ours else json.loads(said)["count"]
        if count != FIRST.count:
            raise Failure(f"WRONG: {said}")
        sample: dict[str, float] = {"seconds": took, "cpu_s": cpu}
        if ours:
            with mediafs_mount(_empty(ground.scratch / "other"), url) as (root, _):
                shown, sample["directory_s"] = _lasted("ls", str(root / FIRST.folder(1)))
            if len(shown.split()) != FIRST.per_day:
                raise Failure(f"WRONG: {len(shown.split())} files of {FIRST.per_day}")
    return sample


def _empty(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def _of(count: int) -> Any:
    @contextmanager
    def peer(ground: Ground) -> Iterator[Archive]:
        yield Archive(count, per_day=1000)

    return peer


ARCHIVES: Final[Mapping[str, Any]] = {f"{count:,} media": _of(count) for count in SIZES}


def crawling(ground: Ground, archive: Archive, seed: int) -> Sample:
    """`mediafs sync` of a service that answers at once."""
    home = _empty(ground.scratch / "home")
    with serving(archive, 0, ground.scratch) as url:
        start = time.monotonic()
        done = spent(*sync_words(home, url), patience_s=_CRAWL_S, env=environment(home))
        took = time.monotonic() - start
    if _listed(done.said) != archive.count:
        raise Failure(f"WRONG: {done.said}")
    return {
        "us_per_media": 1e6 * took / archive.count,
        "seconds": took,
        "cpu_s": done.cpu_s,
        "peak_mib": done.peak_mib,
        "count": archive.count,
    }


def adding(ground: Ground, ours: bool, seed: int) -> Sample:
    """From the end of the refresh that finds a new media to the end of the `ls` that shows it."""
    archive, home = Archive(950, per_day=100), _empty(ground.scratch / "home")
    new = archive.count + 1
    with serving(archive, 0, ground.scratch) as url, mediafs_mount(home, url) as (root, _):
        folder, name = archive.folder(new), archive.name(new)
        before, _ = run("ls", str(root / folder))
        if name in before or (root / folder / name).exists():  # and the kernel knows that it is not there
            raise Failure("WRONG: it is shown before it is there")
        urllib.request.urlopen(f"{url}/add", data=b"").close()
        words = ["refresh", str(root / folder), "--config", str(home / "config.toml")]
        run(*python("mediafs", *words, "--cache-dir", str(home / "cache")), env=environment(home))
        start = time.monotonic()
        (root / folder / name).stat()
        shown, _ = run("ls", str(root / folder))
        took = time.monotonic() - start
        if name not in shown:
            raise Failure("WRONG: it is not shown after the refresh")
    return {"ms": 1e3 * took}
