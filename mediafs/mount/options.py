"""How a tree is mounted: the options, and what of `-o` is understood. No pyfuse3 here."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
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

_MAX_READ: Final = "the kernel chooses how much it reads at once"
"""libfuse takes max_read= for its own and then refuses to mount: it wants to be told in two places."""

_HIGHEST_ID: Final = 2**32 - 2
"""Of users and groups; the number after it means no one to chown and the kernel."""

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
    """Further options of the kernel's: noatime, noexec..."""

    def __post_init__(self) -> None:
        problems = [f"mount option {word!r} is not known" for word in self.extra if word not in _FLAGS]
        if not _ACCOUNT.fullmatch(self.account) or set(self.account) & set(",\\"):
            problems.append(f"account {self.account!r}: a name is ASCII, without comma and backslash")
        if not 0 <= self.umask <= 0o777:
            problems.append(f"umask {self.umask:o} is not between 0 and 777")
        for name, value in (("uid", self.uid), ("gid", self.gid)):
            if not 0 <= value <= _HIGHEST_ID:
                problems.append(f"{name} {value} is not between 0 and {_HIGHEST_ID}")
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


@dataclass(frozen=True, slots=True)
class _Number:
    """How a number is written: digits alone, where `int` would take `1_0` and other scripts' too."""

    digits: str
    base: int
    most: int
    words: str

    def read(self, text: str) -> int | None:
        """None: it is not written so, or too large."""
        if not text or len(text) > 20 or not set(text) <= set(self.digits):
            return None
        number = int(text, self.base)
        return number if number <= self.most else None


_ID: Final = _Number("0123456789", 10, _HIGHEST_ID, f"a number from 0 to {_HIGHEST_ID}")
_VALUES: Final[Mapping[str, _Number]] = MappingProxyType(
    {"uid": _ID, "gid": _ID, "umask": _Number("01234567", 8, 0o777, "an octal number from 0 to 777")}
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
            number = _VALUES[name].read(value)
            if number is None:
                problems.append(f"mount option {word!r}: {name} is {_VALUES[name].words}")
            else:
                changed[name] = number
        elif word in _FLAGS:
            extra.append(word)
        elif name == "max_read":
            problems.append(f"mount option {word!r} is not supported: {_MAX_READ}")
        else:
            known = [*_SWITCHES, *_VALUES, *_FLAGS]
            near = difflib.get_close_matches(name, known, n=1)
            problems.append(f"mount option {word!r} is not known" + (f": {near[0]}?" if near else ""))
    if problems:
        raise ConfigError(problems)
    return replace(options, **changed, extra=tuple(dict.fromkeys(extra)))  # type: ignore[arg-type]
