"""What lists and shows archives: each peer is made ready from an empty folder, as the ones of `peers.py`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from subprocess import Popen
from typing import Final

from .archive import ACCOUNT, TOKEN, Archive, size
from .peers import MEDIAFS, RCLONE, TMPFS, rclone_mount
from .rig import environment, first_line, mounted, python, run, running
from .work import Subject

LARGE: Final = Archive(1_000_000, per_day=100_000)
FOLDER: Final = LARGE.folder(1)
"""The directory of 100,000 that is looked at."""

_PORT: Final = 18081
SILENT: Final = f"http://127.0.0.1:{_PORT}"
"""The service of an archive that is known: its catalogue holds this address."""
_MAKING_S: Final = 1200.0


class Archives:
    """What is made once a run, when it is first needed: a catalogue on a real disk, files in memory."""

    def __init__(self, disk: Path, memory: Path) -> None:
        self._disk = disk
        self._memory = memory

    @cached_property
    def catalogue(self) -> Path:
        """The cache folder of an account that knows all of LARGE."""
        print(f"making a catalogue of {LARGE.count} media", flush=True)
        folder = self._disk / "catalogue"
        folder.mkdir(mode=0o700)
        config = configured(folder, SILENT)
        words = [str(config), str(folder / "cache"), str(LARGE.count), str(LARGE.per_day)]
        run(*python("bench.archive", *words), patience_s=_MAKING_S, env=environment(folder))
        return folder / "cache"

    @cached_property
    def tree(self) -> Path:
        """Files of the same names, sizes and times as those of FOLDER, without content."""
        print(f"making {LARGE.per_day} files", flush=True)
        root = self._memory / "tree"
        folder = root / FOLDER
        folder.mkdir(parents=True)
        for number in range(1, LARGE.per_day + 1):
            path = folder / LARGE.name(number)
            with path.open("wb") as file:
                file.truncate(size(number))
            created = LARGE.created(number).timestamp()
            os.utime(path, (created, created))
        return root


@dataclass(frozen=True)
class Ground:
    """What a competitor is given: the archives, and an empty folder."""

    archives: Archives
    scratch: Path


Peer = Callable[[Ground], AbstractContextManager[Subject]]


def configured(home: Path, url: str) -> Path:
    """The configuration of an account at *url*, without a rate limit, whose listings stay fresh."""
    config = home / "config.toml"
    lines = [f"[accounts.{ACCOUNT}]", 'vendor = "apizee"', f'base_url = "{url}"', f'token = "{TOKEN}"']
    lines += ['user = "all"', "insecure = true", 'fresh_for = "1d"', "requests_per_minute = 1000000"]
    config.write_text("\n".join(lines) + "\n")
    config.chmod(0o600)
    return config


@contextmanager
def mediafs_mount(home: Path, url: str) -> Iterator[tuple[Path, Popen[str]]]:
    """A daemon, with what lies in `cache` below *home*; its mount point."""
    config, root = configured(home, url), home / "mnt"
    words = ["mount", ACCOUNT, str(root), "--foreground", "--config", str(config)]
    command = python("mediafs", *words, "--cache-dir", str(home / "cache"))
    with mounted(command, root, home / "log", environment(home)) as process:
        yield root, process


def home_with_catalogue(ground: Ground) -> Path:
    """A home whose account knows LARGE."""
    home = ground.scratch / "home"
    home.mkdir(mode=0o700)
    run("cp", "-r", "--reflink=auto", str(ground.archives.catalogue), str(home / "cache"))
    run("sync", "-f", str(home))  # else it is being written while it is read
    return home


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A service at SILENT that answers nobody; who was not asked has nobody to accept."""
    with socket.create_server(("127.0.0.1", _PORT)) as silent:
        silent.setblocking(False)
        yield silent


@contextmanager
def serving(archive: Archive, delay_ms: int, scratch: Path) -> Iterator[str]:
    """The address of a service that lists *archive*."""
    words = (str(archive.count), str(archive.per_day), str(delay_ms))
    log = scratch / "service.log"
    with running(python("bench.listing_server", *words), log) as process:
        yield f"http://127.0.0.1:{int(first_line(process, log))}"


@contextmanager
def _mediafs(ground: Ground) -> Iterator[Subject]:
    with mediafs_mount(home_with_catalogue(ground), SILENT) as (root, process):
        yield Subject(root / FOLDER, process.pid)


@contextmanager
def _rclone(ground: Ground) -> Iterator[Subject]:
    options = ("--dir-cache-time", "1h", "--attr-timeout", "300s", "--read-only")
    with rclone_mount(ground.scratch, str(ground.archives.tree), *options) as subject:
        assert subject.root is not None
        yield Subject(subject.root / FOLDER, subject.pid)


@contextmanager
def _local(ground: Ground) -> Iterator[Subject]:
    yield Subject(ground.archives.tree / FOLDER)


MOUNTS: Final[Mapping[str, Peer]] = {MEDIAFS: _mediafs, RCLONE: _rclone, TMPFS: _local}
