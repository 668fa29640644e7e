"""The make-believe accounts of the demo: one of each vendor, with what its sandbox says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import MediafsError

BEGINNING: Final = "2024-01-01"
"""The day of the sandbox's oldest media: what cannot be asked for it need not look before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAccount:
    """One account: its table of a configuration, and the environment that holds its secrets."""

    vendor: str
    lines: tuple[str, ...]
    secrets: Mapping[str, str]

    @property
    def name(self) -> str:
        """The demo mounts nothing that is called otherwise: its `rm` is real."""
        return f"sandbox-{self.vendor}"

    @property
    def table(self) -> str:
        return "\n".join([f"[accounts.{self.name}]", f'vendor = "{self.vendor}"', *self.lines, ""])


def _apizee(secret: Callable[[str], str], given: Mapping[str, str]) -> list[str]:
    return [f"token = {secret('token')}", 'user = "all"', 'conversations = ["5000", "5001"]']


def _vonage(secret: Callable[[str], str], given: Mapping[str, str]) -> list[str]:
    return [f'application_id = "{given["application_id"]}"', f"private_key = {secret('private_key')}"]


def _zoom(secret: Callable[[str], str], given: Mapping[str, str]) -> list[str]:
    return [f"api_key = {secret('api_key')}", f"api_secret = {secret('api_secret')}"]


def _veriff(secret: Callable[[str], str], given: Mapping[str, str]) -> list[str]:
    sessions = ", ".join(f'"{session}"' for session in given["sessions"].split(","))
    keys = [f"api_key = {secret('api_key')}", f"shared_secret = {secret('shared_secret')}"]
    return [*keys, f"sessions = [{sessions}]"]


def _verba(secret: Callable[[str], str], given: Mapping[str, str]) -> list[str]:
    login = [f'username = "{given["username"]}"', f"password = {secret('password')}"]
    return [f"api_key = {secret('api_key')}", *login, 'extensions = ["1000", "1001"]', "search = true"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    keys: Callable[[Callable[[str], str], Mapping[str, str]], list[str]]
    path: str = ""
    """Of base_url, behind the sandbox's origin."""
    more: tuple[str, ...] = ()


_SINCE: Final = f'since = "{BEGINNING}"'
_FOR_GOOD: Final = 'delete = "permanent"'

KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "apizee": _Kind(keys=_apizee, more=(_FOR_GOOD,)),
        "vonage": _Kind(keys=_vonage, more=(_FOR_GOOD,)),
        "zoom": _Kind(keys=_zoom, path="/v2", more=(_SINCE,)),
        "veriff": _Kind(keys=_veriff),
        "verba": _Kind(keys=_verba, path="/verba", more=(_SINCE, _FOR_GOOD)),
    }
)


def demo_account(vendor: str, facts: Mapping[str, Any]) -> DemoAccount:
    """The account of a sandbox that announced these facts. Raises MediafsError for one beyond loopback."""
    if urlsplit(facts["url"]).hostname not in ("127.0.0.1", "::1"):
        raise MediafsError("the sandbox is not on loopback: the demo goes no further")
    kind, given = KINDS[vendor], facts["credentials"]
    secrets: dict[str, str] = {}

    def secret(key: str) -> str:
        variable = f"MEDIAFS_DEMO_{vendor}_{key}".upper()
        secrets[variable] = given[key]
        return f'{{ env = "{variable}" }}'

    lines = [f'base_url = "{facts["url"]}{kind.path}"', *kind.keys(secret, given), *kind.more]
    return DemoAccount(vendor=vendor, lines=tuple(lines), secrets=secrets)
