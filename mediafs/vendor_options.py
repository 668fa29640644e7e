"""A vendor's module for an account of the configuration, with the account's secrets read now.

Adding a vendor adds one case here, which names each secret once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

from .config import (
    AccountConfig,
    ApizeeConfig,
    PasswordAuth,
    TokenAuth,
    VerbaConfig,
    VeriffConfig,
    VonageConfig,
    ZoomConfig,
)
from .errors import ConfigError
from .vendors import VENDORS
from .vendors.apizee import ApizeeFilters, ApizeeOptions
from .vendors.protocol import Vendor
from .vendors.verba_options import VerbaOptions
from .vendors.veriff_options import VeriffOptions
from .vendors.vonage_options import VonageOptions
from .vendors.zoom_options import ZoomOptions

ZOOM_HOSTS: Final = ("zoom.us",)
"""Where records of the service point to, unless the account says otherwise."""


def make_vendor(account: AccountConfig, conversations: Callable[[], Sequence[str]] = tuple) -> Vendor:
    """Blocks while secrets are read. `conversations` are those that are known as of now, for services that
    list none themselves.

    Raises ConfigError where a secret cannot be read or is of no use.
    """
    try:
        return VENDORS[account.vendor](_options(account, conversations))
    except ValueError as error:
        raise ConfigError([f"accounts.{account.name}: {error}"]) from None


def _options(account: AccountConfig, conversations: Callable[[], Sequence[str]]) -> object:
    match account.service:
        case ApizeeConfig(auth=auth, user=user, filters=filters):
            secrets: dict[str, str] = {}
            match auth:
                case TokenAuth(token=token):
                    secrets = {"token": token.read()}
                case PasswordAuth(username=username, password=password):
                    secrets = {"username": username, "password": password.read()}
            return ApizeeOptions(
                base_url=account.base_url,
                user=user,
                filters=ApizeeFilters(**asdict(filters)),
                **secrets,
            )
        case VeriffConfig(api_key=key, shared_secrets=keys):
            return VeriffOptions(
                base_url=account.base_url,
                api_key=key.read(),
                shared_secrets=tuple(one.read() for one in keys),
                sessions=conversations,
            )
        case ZoomConfig(api_key=key, api_secret=secret):
            return ZoomOptions(
                base_url=account.base_url,
                api_key=key.read(),
                api_secret=secret.read(),
                download_hosts=account.download_hosts or ZOOM_HOSTS,
            )
        case VerbaConfig():
            recorder = account.service
            return VerbaOptions(
                base_url=account.base_url,
                api_key=recorder.api_key.read(),
                username=recorder.username,
                password=recorder.password.read() if recorder.password else None,
                extensions=recorder.extensions,
                calls=conversations,
                search=recorder.search,
                metadata_fields=recorder.metadata_fields,
                zone=account.time_zone,
            )
        case VonageConfig():
            service = account.service
            return VonageOptions(
                base_url=account.base_url,
                application_id=service.application_id,
                private_key=service.private_key.read(lines=True) if service.private_key else None,
                api_key=service.api_key.read() if service.api_key else None,
                api_secret=service.api_secret.read() if service.api_secret else None,
            )
    raise AssertionError(f"no vendor for {account.service!r}")
