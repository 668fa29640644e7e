"""`mediafs demo`: the sandbox, mounted; Ctrl-C ends both."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import MediafsError
from ..mount import UnmountFailed, unmount
from .background import start
from .common import complain, say
from .exits import Exit

ACCOUNT: Final = "sandbox-apizee"
"""The demo mounts nothing that is called otherwise, and nothing beyond loopback: its `rm` is real."""

_CONFIG: Final = """\
[accounts.{account}]
vendor = "apizee"
base_url = "{url}"
token = {{ env = "MEDIAFS_DEMO_TOKEN" }}
user = "all"
conversations = [{conversations}]
delete = "permanent"
"""


def demo(given: argparse.Namespace) -> Exit:
    """Returns when Ctrl-C (or SIGTERM) has ended the mount and the sandbox."""
    default = Path("~/mediafs-demo").expanduser()
    mountpoint = Path(given.mountpoint).expanduser().absolute() if given.mountpoint else default
    made = not mountpoint.exists()
    # From here on Ctrl-C is ours: it reaches the children's group only through us.
    ended = _Ended()
    mountpoint.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="mediafs-demo-"))
    try:
        with _sandbox(given.media) as facts:
            return _mounted(facts, folder, mountpoint, ended)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made:
            with suppress(OSError):
                mountpoint.rmdir()  # only the empty folder that we made: it takes nothing else


def _mounted(facts: dict[str, Any], folder: Path, mountpoint: Path, ended: _Ended) -> Exit:
    if urlsplit(facts["url"]).hostname not in ("127.0.0.1", "::1"):
        raise MediafsError("the sandbox is not on loopback: the demo goes no further")
    config = folder / "config.toml"
    conversations = ", ".join(f'"{number}"' for number in (5000, 5001))
    config.write_text(_CONFIG.format(account=ACCOUNT, url=facts["url"], conversations=conversations))
    config.chmod(0o600)
    os.environ["MEDIAFS_DEMO_TOKEN"] = facts["token"]
    cache = folder / "cache"
    arguments = ["mount", ACCOUNT, str(mountpoint), "--foreground", "--config", str(config)]
    started = start([*arguments, "--cache-dir", str(cache)], folder / "mount.log")
    if started.exit is not Exit.DONE:
        complain(MediafsError(started.message))
        return started.exit
    try:
        say(_what_to_try(mountpoint, facts, config, cache))
        ended.wait(started.process)
    finally:
        started.process.send_signal(signal.SIGTERM)
        try:
            started.process.wait(20)
        except subprocess.TimeoutExpired:
            started.process.kill()
        with suppress(UnmountFailed):
            unmount(mountpoint, lazy=True)  # gone already, as it should be
    say("the demo is over; nothing is mounted any more")
    return Exit.DONE


class _Ended:
    """Whether somebody asked for the end."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Returns then, or when the mount ended by itself (it was unmounted from outside)."""
        while not self._asked:
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            say("the mount has ended by itself")
            return


@contextmanager
def _sandbox(media: int) -> Iterator[dict[str, Any]]:
    """The sandbox in a process of its own; it ends with its standard input, so also with us."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mediafs.sandbox",
            "--json",
            "--until-eof",
            "--media",
            str(media),
            "--hostile",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise MediafsError("the sandbox did not start")
        yield json.loads(line)
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def _what_to_try(mountpoint: Path, facts: dict[str, Any], config: Path, cache: Path) -> str:
    m = mountpoint
    mediafs = "mediafs" if shutil.which("mediafs") else f"{sys.executable} -m mediafs"
    return f"""
{facts["media"]} sample media of a make-believe account are mounted at

    {m}

In another terminal:

    ls {m}/recent
    ls -R {m}/by-date/2024
    ls {m}/by-user {m}/by-conversation/5000
    cp -a {m}/by-date/2024 /tmp/copy
    rsync -aX {m}/by-user/ /tmp/users/
    find {m}/by-date -newermt 2025-06-01 -name '*.mp4'
    du -sh {m}/by-date ; df -h {m}
    getfattr -d {m}/recent/*
    file=$(ls -d {m}/recent/media-* | head -n 1)
    setfattr -n user.mediafs.title -v 'A new title' "$file" ; getfattr -n user.mediafs.title "$file"
    rm "$file"                         # for good, at the make-believe service
    rm -r {m}/by-conversation/5001
    {mediafs} allow-deletes {m}        # after a hundred within an hour
    {mediafs} status {m}

The service is {facts["url"]}, its files are in memory and end with the demo.
Configuration {config}, cache {cache} (as --config and --cache-dir of other commands).

Ctrl-C ends the mount and the service."""
