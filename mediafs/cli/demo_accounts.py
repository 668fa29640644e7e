"""The make-believe accounts of the demo, as their sandboxes say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import MediafsError
from ..vendors import VENDORS
from ..vendors.account import Kind

BEGINNING: Final = "2024-01-01"
"""The day of a sandbox's oldest media."""

_SECRETS: Final = frozenset({Kind.SECRET, Kind.SECRET_LINES, Kind.SECRETS})


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAccount:
    """One account: its table of a configuration, and the environment that holds its secrets."""

    name: str
    """The demo mounts nothing that is called otherwise: its `rm` is real."""
    table: str
    secrets: Mapping[str, str]


def demo_account(facts: Mapping[str, Any]) -> DemoAccount:
    """The account of a sandbox that announced these facts. Raises MediafsError for one beyond loopback."""
    if urlsplit(facts["url"]).hostname not in ("127.0.0.1", "::1"):
        raise MediafsError("the sandbox is not on loopback: the demo goes no further")
    vendor = facts["vendor"]
    kinds = VENDORS[vendor].keys
    name = f"sandbox-{vendor}"
    lines, secrets = [f"[accounts.{name}]", f'since = "{BEGINNING}"'], {}
    for key, value in facts["account"].items():
        if kinds.get(key) in _SECRETS:
            variable = f"MEDIAFS_DEMO_{vendor}_{key}".upper()
            secrets[variable] = value
            lines.append(f'{key} = {{ env = "{variable}" }}')
        else:
            lines.append(f"{key} = {json.dumps(value)}")  # JSON's strings, lists and flags are TOML's too
    return DemoAccount(name=name, table="\n".join([*lines, ""]), secrets=secrets)
