"""A vendor's module for an account of the configuration, with the account's secrets read now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .config import AccountConfig, Secret, Value
from .errors import ConfigError
from .vendors import VENDORS
from .vendors.account import Given, Kind
from .vendors.protocol import Vendor


def vendor_of(account: AccountConfig, conversations: Callable[[], Sequence[str]] = tuple) -> Vendor:
    """Blocks while secrets are read. `conversations` are those that are known as of now, for services that
    list none themselves.

    Raises ConfigError where a secret cannot be read or is of no use.
    """
    spec = VENDORS[account.vendor]
    given = Given(
        base_url=account.base_url,
        zone=account.time_zone,
        download_hosts=account.download_hosts,
        conversations=conversations,
        values={key: _read(spec.keys[key], value) for key, value in account.service.values.items()},
    )
    try:
        return spec.make(given)
    except ValueError as error:
        raise ConfigError([f"accounts.{account.name}: {error}"]) from None


def _read(kind: Kind, value: Value) -> object:
    if isinstance(value, Secret):
        return value.read(lines=kind is Kind.SECRET_LINES)
    if kind is Kind.SECRETS and isinstance(value, tuple):
        return tuple(one.read() for one in value if isinstance(one, Secret))
    return value
