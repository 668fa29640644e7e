"""What an account of a vendor is configured with, as data: the one place where its keys are named.

`config/` reads the keys as their kinds say, `vendor_of.py` reads the secrets, and `make` is given the
outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import Enum
from types import MappingProxyType

from .protocol import Vendor


class Kind(Enum):
    """How the value of a key is written."""

    TEXT = "text"
    ID = "id"
    """A text, or a number as it is written."""
    IDS = "ids"
    """A list of them."""
    WORDS = "words"
    """A list of words of letters, digits, `_` and `-`, of 3 to 128 characters."""
    FLAG = "flag"
    NAMES = "names"
    """A table: what the service calls something else than is thought. See `AccountSpec.names`."""
    SECRET = "secret"
    SECRET_LINES = "secret lines"
    """A secret of several lines, such as PEM; `KEY_file` names a file of it instead."""
    SECRETS = "secrets"
    """One secret, or a list of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What an account says, its secrets read. Accessors give None, () and the like for an absent key."""

    base_url: str
    zone: tzinfo
    download_hosts: tuple[str, ...]
    conversations: Callable[[], Sequence[str]]
    """Those that are named or known, as of now: for services that list none themselves."""
    values: Mapping[str, object] = field(repr=False)

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, ())
        return tuple(map(str, value)) if isinstance(value, tuple) else ()

    def flag(self, key: str) -> bool:
        return self.values.get(key) is True

    def names(self, key: str) -> Mapping[str, str]:
        value = self.values.get(key, {})
        return {str(name): str(said) for name, said in value.items()} if isinstance(value, Mapping) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSpec:
    """An account of one vendor. All of its keys stand in `keys`, save those that all vendors have."""

    vendor: str
    base_url: str | None
    """Where the service is, unless the account says otherwise; None: the account must say."""
    example_url: str = ""
    keys: Mapping[str, Kind]
    ways: tuple[tuple[str, ...], ...]
    """Sets of keys, of which one has to be given, whole."""
    together: tuple[tuple[str, ...], ...] = ()
    """Other sets that make sense only whole."""
    names: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """For each key of the kind NAMES: what has a name, and the one that is thought to be right."""
    listed: str | None = None
    """The key with ids of conversations that are listed before anything is known of them; `KEY_file` names
    a file with more."""
    archive_keys: tuple[str, ...] = ()
    """Keys whose values tell the archive from others at the same address; none of a secret."""
    permanent: bool = False
    """`delete` may be "permanent"."""
    trash: bool = False
    """`delete` may be "trash"."""
    make: Callable[[Given], Vendor]
    """Raises ValueError, without the value, for what cannot work."""

    @property
    def all_keys(self) -> tuple[str, ...]:
        """As they may stand in a configuration."""
        files = [f"{key}_file" for key, kind in self.keys.items() if kind is Kind.SECRET_LINES]
        listed = [self.listed, f"{self.listed}_file"] if self.listed else []
        return (*self.keys, *files, *listed)
