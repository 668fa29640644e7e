"""The competitors: each a fresh process with empty caches, mounted and listed before any clock starts."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .media import Library
from .rig import BIN, environment, mounted, python, run
from .server import Origin
from .work import Subject


@dataclass(frozen=True)
class Stage:
    """What a competitor is given: the server, the files, which group of them is read, an empty folder."""

    origin: Origin
    library: Library
    group: str
    scratch: Path


Peer = Callable[[Stage], AbstractContextManager[Subject]]


def _mediafs(*cache: str) -> Peer:
    @contextmanager
    def peer(stage: Stage) -> Iterator[Subject]:
        home, root = stage.scratch / "home", stage.scratch / "mnt"
        home.mkdir(mode=0o700)
        config = home / "config.toml"
        lines = ["[accounts.bench]", 'vendor = "apizee"', f'base_url = "{stage.origin.url}"']
        lines += ['token = "sandbox-admin-token"', "insecure = true"]
        if stage.origin.ca_file is not None:
            lines.append(f'ca_file = "{stage.origin.ca_file}"')
        config.write_text("\n".join([*lines, *(["[cache]"] if cache else []), *cache]) + "\n")
        config.chmod(0o600)
        words = ["mount", "bench", str(root), "--foreground", "--config", str(config)]
        command = python("mediafs", *words, "--cache-dir", str(home / "cache"))
        with mounted(command, root, stage.scratch / "log", environment(home)) as process:
            day = stage.library.group(stage.group)[0].day
            folder = root / "by-date" / f"{day:%Y/%m/%d}"
            run("ls", "-l", str(folder))
            yield Subject(folder, process.pid)

    return peer


def _rclone(*options: str) -> Peer:
    @contextmanager
    def peer(stage: Stage) -> Iterator[Subject]:
        trust = ["--ca-cert", str(stage.origin.ca_file)] if stage.origin.ca_file is not None else []
        url = f"{stage.origin.url}/media/"
        with rclone_mount(stage.scratch, ":http:", "--http-url", url, *trust, *options) as subject:
            assert subject.root is not None
            root = subject.root / stage.group
            run("ls", "-l", str(root))
            yield Subject(root, subject.pid)

    return peer


@contextmanager
def rclone_mount(scratch: Path, remote: str, *options: str) -> Iterator[Subject]:
    """A fresh rclone that serves *remote*, from an empty cache."""
    home, root = scratch / "home", scratch / "mnt"
    home.mkdir(mode=0o700)
    (home / "rclone.conf").touch()
    command = [str(BIN / "rclone"), "mount", remote, str(root), "--config", str(home / "rclone.conf")]
    command += ["--cache-dir", str(home / "cache"), *options]
    with mounted(command, root, scratch / "log", environment(home)) as process:
        yield Subject(root, process.pid)


@contextmanager
def _memoryfs(stage: Stage) -> Iterator[Subject]:
    root = stage.scratch / "mnt"
    (file,) = stage.library.group(stage.group)
    command = python("bench.memoryfs", str(root), str(file.path))
    with mounted(command, root, stage.scratch / "log", environment()) as process:
        run("ls", "-l", str(root))
        yield Subject(root, process.pid)


@contextmanager
def _curl(stage: Stage) -> Iterator[Subject]:
    yield Subject(None)


@contextmanager
def _local(stage: Stage) -> Iterator[Subject]:
    folder = stage.scratch / "local"
    folder.mkdir()
    for file in stage.library.group(stage.group):
        copy = shutil.copy(file.path, folder)
        with open(copy, "rb") as written:
            os.fsync(written.fileno())  # else it is being written while it is read
    yield Subject(folder)


@contextmanager
def _tmpfs(stage: Stage) -> Iterator[Subject]:
    yield Subject(stage.library.media / stage.group)


_CHUNKS: Final = ("--vfs-read-chunk-streams", "4", "--vfs-read-chunk-size", "16M")

MEDIAFS: Final = "mediafs"
MEDIAFS_UNCACHED: Final = "mediafs, disk cache off"
RCLONE: Final = "rclone"
RCLONE_FULL: Final = "rclone full"
RCLONE_TUNED: Final = "rclone tuned"
RCLONE_FULL_TUNED: Final = "rclone full, 4 streams"
CURL: Final = "curl"
MEMORYFS: Final = "in-memory pyfuse3"
LOCAL: Final = "local file"
TMPFS: Final = "local file, tmpfs"

PEERS: Final[dict[str, Peer]] = {
    MEDIAFS: _mediafs(),
    MEDIAFS_UNCACHED: _mediafs('size = "0"'),
    RCLONE: _rclone(),
    RCLONE_FULL: _rclone("--vfs-cache-mode", "full"),
    RCLONE_TUNED: _rclone(*_CHUNKS, "--buffer-size", "64M"),
    RCLONE_FULL_TUNED: _rclone("--vfs-cache-mode", "full", *_CHUNKS),
    CURL: _curl,
    MEMORYFS: _memoryfs,
    LOCAL: _local,
    TMPFS: _tmpfs,
}


def versions() -> dict[str, str]:
    """Of every competitor and of the server, in their own words."""
    import pyfuse3

    import mediafs

    return {
        "mediafs": mediafs.__version__,
        "rclone": run(str(BIN / "rclone"), "version")[0].split()[1].lstrip("v"),
        "curl": run("curl", "--version")[0].split()[1],
        "Python": sys.version.split()[0],
        "pyfuse3": pyfuse3.__version__,
        "ffmpeg": run("ffmpeg", "-version")[0].split()[2],
        "nginx": _nginx_version(),
    }


def _nginx_version() -> str:
    return run("sh", "-c", "nginx -v 2>&1")[0].strip().rpartition("/")[2]
