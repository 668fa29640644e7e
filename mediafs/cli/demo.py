"""`mediafs demo`: the sandbox of one vendor, or of each, mounted; Ctrl-C ends all."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import MediafsError
from ..mount import FuseUnavailable, UnmountFailed, unmount
from ..vendors import VENDORS
from .background import Started, start
from .common import complain, say
from .demo_accounts import DemoAccount, demo_account
from .exits import Exit


def demo(given: argparse.Namespace) -> Exit:
    """Returns when Ctrl-C (or SIGTERM) has ended the mounts and the sandboxes."""
    default = Path("~/mediafs-demo").expanduser()
    place = Path(given.mountpoint).expanduser().absolute() if given.mountpoint else default
    places = {given.vendor: place} if given.vendor else {vendor: place / vendor for vendor in VENDORS}
    # From here on Ctrl-C is ours: it reaches the children's group only through us.
    ended = _Ended()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mediafs-demo-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _make_room(place, alone=given.vendor is not None)
        shown = []
        for vendor, mountpoint in places.items():
            for made in (place, mountpoint):
                stack.enter_context(_folder(made))
            facts = stack.enter_context(_sandbox(vendor, given.media))
            shown.append((vendor, mountpoint, facts))
        accounts = [demo_account(facts) for _, _, facts in shown]
        config = folder / "config.toml"
        config.write_text("\n".join(account.table for account in accounts))
        config.chmod(0o600)
        for account, (_, mountpoint, _) in zip(accounts, shown, strict=True):
            started = _mounted(account, mountpoint, folder)
            if started.exit is not Exit.DONE:
                complain(MediafsError(started.message))
                return started.exit
            stack.callback(_end, started.process, mountpoint)
            ended.watch(started.process)
        say(_what_to_try(shown, config, folder / "cache"))
        ended.wait()
    say("the demo is over; nothing is mounted any more")
    return Exit.DONE


def _make_room(place: Path, *, alone: bool) -> None:
    """Raises FuseUnavailable where the demo's folders would come to lie among somebody's files."""
    if not alone and place.exists() and any(place.iterdir()):
        raise FuseUnavailable(f"{place} is not empty: the demo makes its folders in an empty one")


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """There while it lasts; taken away again, if it was made here and nothing is in it."""
    made = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if made:
            with suppress(OSError):
                path.rmdir()


def _mounted(account: DemoAccount, mountpoint: Path, folder: Path) -> Started:
    os.environ.update(account.secrets)
    arguments = ["mount", account.name, str(mountpoint), "--foreground"]
    arguments += ["--config", str(folder / "config.toml"), "--cache-dir", str(folder / "cache")]
    return start(arguments, folder / f"{account.name}.log")


def _end(process: subprocess.Popen[bytes], mountpoint: Path) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
    with suppress(UnmountFailed):
        unmount(mountpoint, lazy=True)  # gone already, as it should be


class _Ended:
    """Whether somebody asked for the end."""

    def __init__(self) -> None:
        self._asked = False
        self._mounts: list[subprocess.Popen[bytes]] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        self._mounts.append(process)

    def wait(self) -> None:
        """Returns then, or when the last mount ended by itself (it was unmounted from outside)."""
        while not self._asked:
            if all(process.poll() is not None for process in self._mounts):
                say("the mount has ended by itself")
                return
            time.sleep(0.2)


@contextmanager
def _sandbox(vendor: str, media: int) -> Iterator[dict[str, Any]]:
    """The sandbox in a process of its own; it ends with its standard input, so also with us."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mediafs.sandbox",
            "--json",
            "--until-eof",
            "--vendor",
            vendor,
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


def _what_to_try(shown: Sequence[tuple[str, Path, dict[str, Any]]], config: Path, cache: Path) -> str:
    first = shown[0][1]
    mediafs = "mediafs" if shutil.which("mediafs") else f"{sys.executable} -m mediafs"
    where = "\n".join(f"    {mountpoint}   ({vendor}, {facts['url']})" for vendor, mountpoint, facts in shown)
    return f"""
Sample media of make-believe accounts are mounted at

{where}

In another terminal:

    ls {first}/recent
    ls -R {first}/by-date/2024
    cp -a {first}/by-date/2024 /tmp/copy
    rsync -aX {first}/recent/ /tmp/recent/
    find {first}/by-date -newermt 2025-06-01 -name '*.mp4'
    du -sh {first}/by-date ; df -h {first}
    getfattr -d {first}/recent/*
    {mediafs} status {first}
{_more(dict((vendor, mountpoint) for vendor, mountpoint, _ in shown))}
The files are in memory and end with the demo; rm deletes nothing else.
Configuration {config}, cache {cache} (as --config and --cache-dir of other commands).

Ctrl-C ends the mounts and the services."""


def _more(places: Mapping[str, Path]) -> str:
    """What only one vendor or another has."""
    lines = []
    if place := places.get("apizee"):
        lines += [
            f"    ls {place}/by-user {place}/by-conversation/5000",
            f"    f=$(ls {place}/recent/* | head -1)",
            '    setfattr -n user.mediafs.title -v "A new title" "$f" ; getfattr -d "$f" ; rm "$f"',
            f"    rm -r {place}/by-conversation/5001",
        ]
    if place := places.get("zoom"):
        lines += [f"    rm {place}/recent/*.m4a ; ls {place}/trash ; mv {place}/trash/* {place}/recent/"]
    if place := places.get("veriff"):
        lines += [f"    ls {place}/by-conversation/*"]
    if place := places.get("verba"):
        lines += [f"    cp {place}/by-user/1000/last.bin /tmp/"]
    return "\n".join(["", *lines, ""]) if lines else ""
