"""What a configuration says, as typed values; how it is written stands in `load.py`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path
from zoneinfo import ZoneInfo

from ..errors import ConfigError
from ..model import AccountName
from .services import Service


class Delete(Enum):
    """What `rm` does on an account."""

    PERMANENT = "permanent"
    TRASH = "trash"
    DENY = "deny"

    def refusal(self, possible: Iterable[Delete]) -> str:
        """Why a service cannot do it, and what can be written instead."""
        why = "the service has no trash" if self is Delete.TRASH else "the service deletes nothing"
        return f"{why}; delete can be " + " or ".join(f'"{one.value}"' for one in possible)


class Names(Enum):
    """What a media's file name is made from."""

    FILENAME = "filename"
    TITLE = "title"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCert:
    """A certificate that shows the service who asks."""

    file: Path
    """PEM: the certificate, and the key too unless `key` is given."""
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfig:
    """One account; the defaults here are the documented ones."""

    name: AccountName
    vendor: str
    base_url: str
    """Absolute, canonical, without a trailing slash, query or credentials."""
    service: Service
    """What only an account of this vendor says."""
    since: date | None = None
    """Where by-date begins. None: with the oldest media."""
    delete: Delete | None = None
    """None: trash where the vendor has one, else deny."""
    delete_limit: int = 100
    """Deletions in a rolling hour before the brake latches; 0: no brake."""
    names: Names = Names.FILENAME
    time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    fresh_for_s: float = 60.0
    """A listing younger than this is shown as it is."""
    list_deadline_s: float = 20.0
    poll_s: float = 0.0
    """How often what is new is asked for while the account is mounted; 0: never."""
    requests_per_minute: int = 0
    """0: what the service's own headers allow."""
    insecure: bool = False
    """Plain http is allowed beyond loopback."""
    ca_file: Path | None = None
    """PEM, beside the system's trust store."""
    client_cert: ClientCert | None = None
    download_hosts: tuple[str, ...] = ()
    """Lower case; hosts beside base_url's that record URLs may point to."""
    uid: int | None = None
    """None: who mounted."""
    gid: int | None = None
    umask: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepFree:
    """The room that the disk cache leaves to others: a share of the disk, or bytes."""

    percent: float = 0.0
    bytes: int = 0

    def of(self, disk_bytes: int) -> int:
        """Bytes to keep free on a disk of `disk_bytes`."""
        return max(self.bytes, int(disk_bytes * self.percent / 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """Budgets of the whole mount, in bytes."""

    size: int = 10 << 30
    """Hard cap of the disk cache in real blocks; 0: no disk cache."""
    keep_free: KeepFree = field(default_factory=lambda: KeepFree(percent=5.0))
    memory: int = 256 << 20
    """One budget for all open files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration file."""

    path: Path
    accounts: Mapping[AccountName, AccountConfig]
    cache: CacheConfig = field(default_factory=CacheConfig)

    def account(self, name: str) -> AccountConfig:
        """The account of that name. Raises ConfigError with the nearest name there is."""
        found = self.accounts.get(AccountName(name))
        if found is not None:
            return found
        near = difflib.get_close_matches(name, self.accounts, n=1)
        known = ", ".join(self.accounts) or "none"
        hint = f'did you mean "{near[0]}"?' if near else f"accounts there: {known}"
        raise ConfigError([f"{self.path}: no account {name!r}; {hint}"])
