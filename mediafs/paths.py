"""Where mediafs keeps its configuration, its cache and its sockets: the XDG folders, checked.

The environment is an argument. Relative XDG variables are ignored, as their specification asks.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .errors import MediafsError

_RUN_USER: Final = Path("/run/user")
_TEMPORARY: Final = Path("/tmp")
# A socket's path has at most 107 bytes; the shortest name, `/<20 hex digits>.sock`, takes 26 of them.
_LONGEST_RUNTIME_DIR: Final = 107 - 26


class UnsafeFolder(MediafsError):
    """A folder that must be ours alone is not."""


def config_file(env: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/mediafs/config.toml`; it need not exist."""
    return _xdg(env, "XDG_CONFIG_HOME", ".config") / "mediafs" / "config.toml"


def cache_dir(env: Mapping[str, str]) -> Path:
    """`$XDG_CACHE_HOME/mediafs`; it need not exist: see `private_cache_dir`."""
    return _xdg(env, "XDG_CACHE_HOME", ".cache") / "mediafs"


def private_cache_dir(path: Path) -> Path:
    """`path`, made with mode 0700 where it is missing.

    Raises UnsafeFolder when it is there but another's, or others can write it: what they put there
    would be shown as the archive's. Raises MediafsError when it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.mkdir(mode=0o700, exist_ok=True)
        # Followed on purpose: a link to a larger disk is a sensible thing to have here.
        seen = path.stat()
    except OSError as error:
        raise MediafsError(f"cannot make the cache folder {path}: {error.strerror}") from error
    if seen.st_uid not in (os.geteuid(), 0):
        raise UnsafeFolder(f"the cache folder {path} belongs to another user (uid {seen.st_uid})")
    if seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeFolder(f"others can write the cache folder {path}: chmod 700 {path}")
    return path


def runtime_dir(env: Mapping[str, str], *, run_user: Path = _RUN_USER, temporary: Path = _TEMPORARY) -> Path:
    """The folder of control sockets, made with mode 0700 where it is missing.

    In `$XDG_RUNTIME_DIR`, else in `/run/user/UID`, else in `$TMPDIR` or `temporary`. One that
    is not there, not ours (`sudo` keeps the variable) or too long for a socket's path is passed over.
    Raises UnsafeFolder when the folder is there but is a link, another's, or open to others.
    """
    uid = os.geteuid()
    homes = [Path(env.get("XDG_RUNTIME_DIR", "")), run_user / str(uid)]
    for home in homes:
        folder = home / "mediafs"
        if home.is_absolute() and _is_ours(home, uid) and len(os.fsencode(folder)) <= _LONGEST_RUNTIME_DIR:
            return _ours_alone(folder, uid)
    name = f"mediafs-{uid}"
    wanted = Path(env.get("TMPDIR", ""))
    if wanted.is_absolute() and len(os.fsencode(wanted / name)) <= _LONGEST_RUNTIME_DIR:
        temporary = wanted
    return _ours_alone(temporary / name, uid)


def _is_ours(home: Path, uid: int) -> bool:
    try:
        seen = home.stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == uid and not seen.st_mode & stat.S_IWOTH


def _ours_alone(folder: Path, uid: int) -> Path:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        seen = folder.lstat()
    except FileExistsError:
        raise UnsafeFolder(f"{folder} is not a folder: remove it") from None
    except OSError as error:
        raise MediafsError(f"cannot make the folder {folder}: {error.strerror}") from error
    # Once it is ours and closed, no one else can swap it: its parent is ours, or has the sticky bit.
    if stat.S_ISLNK(seen.st_mode):
        raise UnsafeFolder(f"{folder} is a link: remove it")
    if seen.st_uid != uid:
        raise UnsafeFolder(f"{folder} belongs to another user (uid {seen.st_uid})")
    if stat.S_IMODE(seen.st_mode) & 0o077:
        raise UnsafeFolder(f"others can enter {folder}: chmod 700 {folder}")
    return folder


def _xdg(env: Mapping[str, str], variable: str, fallback: str) -> Path:
    given = Path(env.get(variable, ""))
    if given.is_absolute():
        return given
    home = Path(env.get("HOME", ""))
    if not home.is_absolute():  # fstab's mount helper has no HOME
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    return home / fallback
