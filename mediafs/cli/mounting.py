"""`mediafs mount`, `mediafs umount` and `mount.mediafs`."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

import trio

from ..config import AccountConfig, Delete
from ..errors import ConfigError, MediafsError
from ..model import AccountName
from ..mount import MountOptions, resolved, unmount, with_words
from .background import Readiness, start
from .common import Places, complain, load_account, say, set_up_logging, the_only
from .daemon import Job, run
from .exits import Exit, exit_for


def mount(given: argparse.Namespace) -> Exit:
    """Returns DONE when the mount serves; with --foreground, when it has ended."""
    words, ours = _own_words(",".join(given.options))
    given.config = ours.get("config", given.config)
    given.cache_dir = ours.get("cache_dir", given.cache_dir)
    places = Places.of(given)
    delete = ours.get("delete", given.delete)
    config, account = load_account(places, given.account)
    options = _mount_options(given, account, words)
    _keep_apart(places.cache / account.name, options.mountpoint)
    if not given.foreground:
        return _in_background(given, places, options, delete)
    readiness = Readiness(given.ready_fd)
    set_up_logging(given.verbose, dated=given.ready_fd is not None)
    job = Job(
        account=account,
        cache=config.cache,
        cache_dir=places.cache,
        options=options,
        delete=Delete(delete) if delete else None,
    )
    if given.ready_fd is not None:
        os.chdir("/")  # so that no folder is kept busy by a daemon
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal it was started from may close
    try:
        trio.run(run, job, readiness)
    except MediafsError as error:
        return _failed(error, readiness)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        return _failed(MediafsError(f"{what}{error.strerror or error}"), readiness)
    except BaseExceptionGroup as group:
        return _failed(the_only(group), readiness)
    untold = readiness.tell(Exit.FAILED, f"{options.mountpoint} was unmounted before it served")
    return Exit.FAILED if untold else Exit.DONE


def _failed(error: MediafsError, readiness: Readiness) -> Exit:
    """Told to the command that waits for the start, or else to whoever reads standard error."""
    if not readiness.tell(exit_for(error), _words(error)):
        complain(error)
    return exit_for(error)


def _in_background(
    given: argparse.Namespace, places: Places, options: MountOptions, delete: str | None
) -> Exit:
    arguments = ["mount", given.account, options.mountpoint, "--foreground"]
    arguments += ["--config", str(places.config), "--cache-dir", str(places.cache)]
    arguments += ["-o", ",".join(given.options)] if given.options else []
    arguments += ["--delete", delete] if delete else []
    arguments += ["--read-only"] if given.read_only else []
    arguments += ["--allow-other"] if given.allow_other else []
    arguments += ["--verbose"] if given.verbose else []
    started = start(arguments, places.cache / f"{given.account}.log")
    if started.exit is Exit.DONE:
        say(f"{given.account} is mounted at {options.mountpoint}")
    else:
        complain(MediafsError(started.message))
    return started.exit


def _mount_options(given: argparse.Namespace, account: AccountConfig, words: str) -> MountOptions:
    defaults = {key: value for key in ("uid", "gid", "umask") if (value := getattr(account, key)) is not None}
    options = MountOptions(
        mountpoint=resolved(given.mountpoint),
        account=AccountName(given.account),
        read_only=given.read_only,
        allow_other=given.allow_other,
        **defaults,
    )
    return with_words(options, words)


def _own_words(text: str) -> tuple[str, dict[str, str]]:
    """Those of `-o` that are ours alone: fstab has no other place for config=, cache_dir=, delete=.

    Raises ConfigError where one of them has no value that it could have.
    """
    others, ours, problems = [], {}, []
    policies = [policy.value for policy in Delete]
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = word.partition("=")
        if name not in ("config", "cache_dir", "delete"):
            others.append(word)
        elif name == "delete" and value not in policies:
            problems.append(f"mount option {word!r}: it is {', '.join(policies[:-1])} or {policies[-1]}")
        elif not value:
            problems.append(f"mount option {word!r}: the path is empty")
        else:
            ours[name] = value
    if problems:
        raise ConfigError(problems)
    return ",".join(others), ours


def _keep_apart(folder: Path, mountpoint: str) -> None:
    """Raises ConfigError where the mount would hide its own catalogue, or the catalogue fill MOUNTPOINT.

    Names are compared before links are followed: a mount that is there already may hang.
    """
    for name in (str(folder), resolved(folder)):
        inner, outer = sorted((f"{name}/", f"{mountpoint.rstrip('/')}/"), key=len, reverse=True)
        if inner.startswith(outer):
            both = f"the cache folder {folder} and the mount point {mountpoint}"
            raise ConfigError([f"{both} must not lie in each other: try another --cache-dir"])


def _words(error: MediafsError) -> str:
    return "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)


def umount(given: argparse.Namespace) -> Exit:
    """Returns DONE when the mount is gone."""
    unmount(given.mountpoint, lazy=given.lazy)
    return Exit.DONE
