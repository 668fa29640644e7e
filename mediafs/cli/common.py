"""What several commands need: where things are, which account, how to say what went wrong."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import paths
from ..config import AccountConfig, Config, load
from ..control import NoDaemon, call, find_sockets
from ..errors import ConfigError, MediafsError
from ..mount import mounts, resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Absolute, so that a daemon which leaves its folder still finds them."""

    config: Path
    cache: Path

    @classmethod
    def of(cls, given: argparse.Namespace) -> Places:
        config = Path(given.config) if given.config else paths.config_file(os.environ)
        cache = Path(given.cache_dir) if given.cache_dir else paths.cache_dir(os.environ)
        return cls(config=config.expanduser().absolute(), cache=cache.expanduser().absolute())


def number(text: str) -> int:
    """How argparse reads a number: `int` would also take `1_0` and the digits of other scripts."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def path(text: str) -> str:
    """How argparse reads a path: an empty one, of a variable that is not set, would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return text


def add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=path,
        metavar="FILE",
        help="configuration (default ~/.config/mediafs/config.toml)",
    )
    parser.add_argument(
        "--cache-dir", type=path, metavar="DIR", help="catalogue and bytes (default ~/.cache/mediafs)"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")


def load_account(places: Places, name: str) -> tuple[Config, AccountConfig]:
    """Raises ConfigError."""
    config = load(places.config, os.environ)
    return config, config.account(name)


def runtime_dir() -> Path:
    return paths.runtime_dir(os.environ)


def say(text: str) -> None:
    """One line for a person who watches; where nobody can read it any more, nothing is lost."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def complain(error: MediafsError) -> None:
    lines = error.problems if isinstance(error, ConfigError) else (str(error),)
    for line in lines:
        print(f"mediafs: {line}", file=sys.stderr)


def set_up_logging(verbose: bool, *, dated: bool = False) -> None:
    """To standard error, where systemd and the log file of a background mount pick it up."""
    shape = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format=f"%(asctime)s {shape}" if dated else shape,
        stream=sys.stderr,
        force=True,
    )


def the_only(group: BaseExceptionGroup[BaseException]) -> MediafsError:
    """The one explained failure in a group; anything else is a bug and goes on."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    if isinstance(found, MediafsError):
        return found
    raise group


@dataclass(frozen=True, slots=True)
class Daemon:
    """A mount that answers."""

    socket: Path
    account: str
    mountpoint: str
    pid: int

    def ask(self, verb: str, **arguments: object) -> dict[str, object]:
        return call(self.socket, verb, timeout_s=None, **arguments)


def daemons() -> list[Daemon]:
    """All daemons of this user that answer."""
    found = []
    for socket in find_sockets(runtime_dir()):
        try:
            said = call(socket, "who")
        except MediafsError:
            continue
        found.append(Daemon(socket, str(said["account"]), str(said["mountpoint"]), int(str(said["pid"]))))
    return found


def daemon_at(path: str) -> tuple[Daemon, str]:
    """The daemon whose mount `path` lies in, and the path inside it. Raises NoDaemon.

    The mount itself is never touched to find out: it may be the one that hangs.
    """
    return among(daemons(), path)


def among(running: Sequence[Daemon], path: str) -> tuple[Daemon, str]:
    """`daemon_at`, for who looks for many."""
    absolute = os.path.abspath(os.path.expanduser(path))
    for candidate in (absolute, resolved(absolute)):
        for daemon in running:
            place = daemon.mountpoint
            if candidate == place or candidate.startswith(place.rstrip("/") + "/"):
                return daemon, os.path.relpath(candidate, place)
    here = ", ".join(daemon.mountpoint for daemon in running)
    stale = [mount.mountpoint for mount in mounts() if f"{absolute}/".startswith(f"{mount.mountpoint}/")]
    if stale:
        raise NoDaemon(f"no daemon answers for the mount at {stale[0]}: mediafs umount {stale[0]}")
    raise NoDaemon(f"{path} lies in no mount of yours" + (f"; there is {here}" if here else ""))
