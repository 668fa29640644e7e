"""How a tree is mounted: the options, and what of `-o` is understood. No pyfuse3 here."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from ..errors import ConfigError
from ..model import AccountName
from .mountinfo import SUBTYPE, fsname

_FLAGS: Final = frozenset(
    {"noatime", "nodiratime", "relatime", "nodev", "noexec", "exec", "nosuid", "sync", "async", "dirsync"}
)
"""Flags passed on to the kernel as they are. Not `dev`, `suid`: nobody needs them of a media archive."""

_FSTAB: Final = frozenset(
    {"defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev", "rw"}
)
"""What mount(8) and the boot read from fstab and hand down to us: dropped. `rw` is the default."""

_PASSED_VALUE: Final = re.compile(r"max_read=[0-9]+")

_ACCOUNT: Final = re.compile(r"[ -~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """How one account is mounted. Raises ConfigError on what cannot be."""

    mountpoint: str
    """Made absolute, and free of symbolic links, when it is mounted."""
    account: AccountName
    """Shown as the source of the mount: `mediafs:ACCOUNT`."""
    read_only: bool = False
    allow_other: bool = False
    """Other users may come in, as far as uid, gid and umask let them."""
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    umask: int = 0o077
    """Taken from 0666 and 0777. Recordings are personal data: by default only their owner sees them."""
    debug: bool = False
    """libfuse prints every request to stderr, file names included."""
    extra: tuple[str, ...] = ()
    """Further options of the kernel's: noatime, noexec, max_read=..."""

    def __post_init__(self) -> None:
        problems = [f"mount option {word!r} is not known" for word in self.extra if not _passed_on(word)]
        if not _ACCOUNT.fullmatch(self.account) or set(self.account) & set(",\\"):
            problems.append(f"account {self.account!r}: a name is ASCII, without comma and backslash")
        if not 0 <= self.umask <= 0o777:
            problems.append(f"umask {self.umask:o} is not between 0 and 777")
        if min(self.uid, self.gid) < 0:
            problems.append("uid and gid must not be negative")
        if problems:
            raise ConfigError(problems)

    def fuse_words(self) -> set[str]:
        """What libfuse is told. Permissions are always the kernel's to check."""
        words = {"default_permissions", f"fsname={fsname(self.account)}", f"subtype={SUBTYPE}", *self.extra}
        words |= {
            word
            for word, wanted in (
                ("ro", self.read_only),
                ("allow_other", self.allow_other),
                ("debug", self.debug),
            )
            if wanted
        }
        return words


def _passed_on(word: str) -> bool:
    return word in _FLAGS or _PASSED_VALUE.fullmatch(word) is not None


_VALUES: Final[Mapping[str, Callable[[str], int]]] = MappingProxyType(
    {"uid": int, "gid": int, "umask": lambda text: int(text, 8)}
)
_SWITCHES: Final[Mapping[str, str]] = MappingProxyType(
    {"ro": "read_only", "allow_other": "allow_other", "debug": "debug"}
)


def with_words(options: MountOptions, text: str) -> MountOptions:
    """The options with what `-o TEXT` adds: `ro,allow_other,uid=1000,noatime`.

    What only fstab is concerned with (`noauto`, `nofail`, `x-systemd.automount`...) is dropped. Raises
    ConfigError with every problem; whoever has options of their own takes them out first.
    """
    changed: dict[str, object] = {}
    extra = list(options.extra)
    problems: list[str] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = word.partition("=")
        if word in _FSTAB or word.startswith(("x-", "comment=")) or word == "default_permissions":
            continue
        if word in _SWITCHES:
            changed[_SWITCHES[word]] = True
        elif name in _VALUES:
            try:
                changed[name] = _VALUES[name](value)
            except ValueError:
                problems.append(f"mount option {word!r}: not a number")
        elif _passed_on(word):
            extra.append(word)
        else:
            known = [*_SWITCHES, *_VALUES, *_FLAGS, "max_read"]
            near = difflib.get_close_matches(name, known, n=1)
            problems.append(f"mount option {word!r} is not known" + (f": {near[0]}?" if near else ""))
    if problems:
        raise ConfigError(problems)
    return replace(options, **changed, extra=tuple(dict.fromkeys(extra)))  # type: ignore[arg-type]
