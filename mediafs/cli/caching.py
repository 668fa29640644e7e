"""`mediafs cache`: what is kept on disk of each account, and the end of it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .. import instance
from ..app import kept_bytes, purge_bytes
from ..config import Config, load
from ..control import NoDaemon, call, socket_path
from ..errors import ConfigError, MediafsError
from ..model import AccountName
from .common import Places, complain, runtime_dir, say
from .exits import Exit, exit_for
from .report import size


def cache(given: argparse.Namespace) -> Exit:
    """Shows what is kept, or removes it; FAILED where that could not be done for all."""
    places = Places.of(given)
    config = _config(places, needed=given.account is not None and not given.purge)
    found = _accounts(places.cache, config)
    if given.account is not None:
        if given.account not in found:
            load(places.config, os.environ).account(given.account)  # says which there are
        found = [given.account]
    exit_ = Exit.DONE
    for account in found:
        try:
            say(_purged(places.cache, account) if given.purge else _shown(places.cache, account, config))
        except MediafsError as error:
            complain(MediafsError(f"{account}: {error}"))
            exit_ = exit_for(error)
        except OSError as error:
            complain(MediafsError(f"{account}: {error.filename}: {error.strerror}"))
            exit_ = Exit.FAILED
    if not found:
        say("nothing is kept")
    return exit_


def _config(places: Places, *, needed: bool) -> Config | None:
    """A configuration that is away or wrong is no reason to leave bytes where they are."""
    try:
        return load(places.config, os.environ)
    except ConfigError:
        if needed:
            raise
        return None


def _accounts(cache_dir: Path, config: Config | None) -> list[str]:
    """Those that are configured, and those that were."""
    try:
        left = sorted(each.name for each in cache_dir.iterdir() if (each / "bytes").is_dir())
    except OSError:
        left = []
    return list(dict.fromkeys([*(config.accounts if config else ()), *left]))


def _shown(cache_dir: Path, account: str, config: Config | None) -> str:
    kept = kept_bytes(cache_dir, account)
    cap = ""
    if config is not None and account in config.accounts:
        cap = f", of {size(config.cache.size)}" if config.cache.size else '; size = "0": nothing new is kept'
    return f"{account}: {size(kept.bytes)} in {kept.files} files{cap}"


def _purged(cache_dir: Path, account: str) -> str:
    try:
        said = call(socket_path(runtime_dir(), AccountName(account), cache_dir), "cache-purge", timeout_s=60)
        count, files = int(str(said["bytes"])), int(str(said["files"]))
    except NoDaemon:
        if not (cache_dir / account).is_dir():
            return f"{account}: nothing is kept"
        with instance.lock(AccountName(account), cache_dir, None):
            kept = purge_bytes(cache_dir, account)
        count, files = kept.bytes, kept.files
    return f"{account}: removed {size(count)} in {files} files"
