"""The keys that only accounts of one vendor have: one entry a vendor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from . import values
from .options import Delete
from .secrets import Secret
from .services import (
    ApizeeConfig,
    Auth,
    Filters,
    Listed,
    PasswordAuth,
    Service,
    TokenAuth,
    VerbaConfig,
    VeriffConfig,
    VonageConfig,
    ZoomConfig,
)
from .table import Table


class Reader(Protocol):
    """What reads what belongs to the document rather than to a value."""

    def secret(self, table: Table, key: str) -> Secret | None:
        """None where it is absent or (noted as a problem) wrong."""
        ...

    def path(self, value: object) -> Path: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorKeys:
    """What an account of one vendor says beside the common keys."""

    vendor: str
    base_url: str | None
    """Where the service is, unless the account says otherwise; None: the account must say."""
    example_url: str = ""
    keys: tuple[str, ...]
    deletes: tuple[Delete, ...]
    """What `delete` may be: what the service can do."""
    read: Callable[[Table, Reader], Service | None]
    """None when too much is wrong; what is wrong is noted in any case."""


def _apizee(table: Table, reader: Reader) -> ApizeeConfig | None:
    auth = _apizee_auth(table, reader)
    user = table.take("user", values.identifier, None)
    listed = _listed(table, reader, "conversations")
    filters = _filters(table, Filters())
    return ApizeeConfig(auth=auth, user=user, listed=listed, filters=filters) if auth else None


def _apizee_auth(table: Table, reader: Reader) -> Auth | None:
    token = reader.secret(table, "token")
    password = reader.secret(table, "password")
    username = table.take("username", values.text, None)
    given = [key for key in ("username", "password") if key in table]
    if "token" in table:
        if given:
            table.wrong(given[0], "give either token, or username and password")
        return TokenAuth(token=token) if token else None
    if not given:
        table.problems.add(table.where, "needs token, or username and password")
    elif len(given) == 1:
        missing = "password" if given == ["username"] else "username"
        table.wrong(given[0], f"needs {missing} beside it")
    return PasswordAuth(username=username, password=password) if username and password else None


def _filters(table: Table, default: Filters) -> Filters:
    inner = table.table("filters", '{ conversation = "conversation_id", user = "user_id" }')
    names = [each.name for each in fields(Filters)]
    inner.refuse_others(names)
    filters = Filters(**{name: inner.take(name, values.query_name, getattr(default, name)) for name in names})
    if len({getattr(filters, name) for name in names}) < len(names):
        table.wrong("filters", "each filter needs a name of its own")
    return filters


def _vonage(table: Table, reader: Reader) -> VonageConfig | None:
    application = table.take("application_id", values.text, None)
    key = reader.secret(table, "private_key")
    if "private_key_file" in table:
        if "private_key" in table:
            table.wrong("private_key_file", "give either private_key or private_key_file")
        key = reader.secret(_as_file(table, "private_key_file"), "private_key_file")
    api_key, api_secret = reader.secret(table, "api_key"), reader.secret(table, "api_secret")
    _need_together(table, "application_id", "private_key_file", instead="private_key")
    _need_together(table, "api_key", "api_secret")
    if "application_id" not in table and "api_key" not in table:
        table.problems.add(table.where, "needs application_id and private_key_file")
    if not (application and key) and not (api_key and api_secret):
        return None
    return VonageConfig(application_id=application, private_key=key, api_key=api_key, api_secret=api_secret)


def _zoom(table: Table, reader: Reader) -> ZoomConfig | None:
    key, secret = _needed(table, reader, "api_key"), _needed(table, reader, "api_secret")
    return ZoomConfig(api_key=key, api_secret=secret) if key and secret else None


def _veriff(table: Table, reader: Reader) -> VeriffConfig | None:
    key = _needed(table, reader, "api_key")
    secrets = _secrets(table, reader, "shared_secret")
    listed = _listed(table, reader, "sessions")
    return VeriffConfig(api_key=key, shared_secrets=secrets, listed=listed) if key and secrets else None


def _verba(table: Table, reader: Reader) -> VerbaConfig | None:
    key = _needed(table, reader, "api_key")
    username, password = table.take("username", values.text, None), reader.secret(table, "password")
    _need_together(table, "username", "password")
    account = VerbaConfig(
        api_key=key or Secret.plain(""),
        username=username,
        password=password,
        extensions=tuple(table.take("extensions", values.conversations, ())),
        listed=_listed(table, reader, "calls"),
        search=table.take("search", values.flag, False),
        metadata_fields=tuple(table.take("metadata_fields", values.metadata_fields, ())),
    )
    return account if key else None


def _listed(table: Table, reader: Reader, key: str) -> Listed:
    ids = table.take(key, values.conversations, ())
    return Listed(ids=tuple(ids), file=table.take(f"{key}_file", reader.path, None))


def _needed(table: Table, reader: Reader, key: str) -> Secret | None:
    if key not in table:
        table.problems.add(table.where, f"needs {key}")
    return reader.secret(table, key)


def _need_together(table: Table, first: str, second: str, *, instead: str | None = None) -> None:
    has = (first in table, second in table or (instead is not None and instead in table))
    if has[0] and not has[1]:
        table.wrong(first, f"needs {second} beside it")
    if has[1] and not has[0]:
        table.wrong(second if second in table else instead or second, f"needs {first} beside it")


def _secrets(table: Table, reader: Reader, key: str) -> tuple[Secret, ...]:
    """One secret, or a list of them."""
    if key not in table:
        table.problems.add(table.where, f"needs {key}")
    many = table.list(key)
    if many is None:
        one = reader.secret(table, key)
        return (one,) if one else ()
    found = [reader.secret(many, nth) for nth in many.keys]
    if not found:
        table.wrong(key, "must hold at least one secret")
    return tuple(one for one in found if one)


def _as_file(table: Table, key: str) -> Table:
    """The table as if the path at `key` were written `{ file = PATH }`."""
    return table.changed(key, lambda value: {"file": value})


def _keys(listed: str, *others: str) -> tuple[str, ...]:
    return (*others, listed, f"{listed}_file")


VENDORS: Final[Mapping[str, VendorKeys]] = MappingProxyType(
    {
        each.vendor: each
        for each in (
            VendorKeys(
                vendor="apizee",
                base_url="https://cloud.apizee.com",
                keys=_keys("conversations", "token", "username", "password", "user", "filters"),
                deletes=(Delete.PERMANENT, Delete.DENY),
                read=_apizee,
            ),
            VendorKeys(
                vendor="vonage",
                base_url="https://api.nexmo.com",
                keys=("application_id", "private_key", "private_key_file", "api_key", "api_secret"),
                deletes=(Delete.PERMANENT, Delete.DENY),
                read=_vonage,
            ),
            VendorKeys(
                vendor="zoom",
                base_url="https://api.zoom.us/v2",
                keys=("api_key", "api_secret"),
                deletes=(Delete.PERMANENT, Delete.TRASH, Delete.DENY),
                read=_zoom,
            ),
            VendorKeys(
                vendor="veriff",
                base_url="https://stationapi.veriff.com",
                keys=_keys("sessions", "api_key", "shared_secret"),
                deletes=(Delete.DENY,),
                read=_veriff,
            ),
            VendorKeys(
                vendor="verba",
                base_url=None,
                example_url="https://recorder.example/verba",
                keys=_keys(
                    "calls",
                    "api_key",
                    "username",
                    "password",
                    "extensions",
                    "search",
                    "metadata_fields",
                ),
                deletes=(Delete.PERMANENT, Delete.DENY),
                read=_verba,
            ),
        )
    }
)

EVERY_KEY: Final = tuple(dict.fromkeys(key for each in VENDORS.values() for key in each.keys))
"""Of an account whose vendor is not known, any vendor's keys are let pass."""
