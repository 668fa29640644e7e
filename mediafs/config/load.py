"""What the configuration file may say: its keys, their defaults, and what they must agree on."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ..errors import ConfigError
from ..model import AccountName, ConversationId
from ..vendors import VENDORS
from ..vendors.account import AccountSpec
from . import secrets, values
from .document import Document, dotted, read
from .files import read_file
from .options import AccountConfig, CacheConfig, ClientCert, Config, Delete
from .secrets import Secret
from .services import Service
from .table import Problems, Table
from .values import Wrong
from .vendor_keys import EVERY_KEY, deletes, read_service

COMMON_KEYS: Final = (
    "vendor",
    "base_url",
    "since",
    "delete",
    "delete_limit",
    "names",
    "time_zone",
    "fresh_for",
    "list_deadline",
    "poll",
    "requests_per_minute",
    "insecure",
    "ca_file",
    "client_cert",
    "download_hosts",
    "uid",
    "gid",
    "umask",
)
CACHE_KEYS: Final = ("size", "keep_free", "memory")
_ACCOUNT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def load(path: Path, env: Mapping[str, str], *, now: Callable[[], datetime] = _utc_now) -> Config:
    """The configuration in the TOML file `path`.

    Relative paths in it belong to its folder, `~/` is `HOME` of `env`. Secrets are not read here.
    `now` tells whether `since` lies in the future. Raises ConfigError with every problem there is.
    """
    document = read(path)
    problems = Problems(document)
    root = Table(document.data, (), problems)
    root.refuse_others(("accounts", "cache"))
    cache = _cache(root.table("cache", "[cache]"))
    reader = _AccountReader(document, env, now())
    accounts: dict[AccountName, AccountConfig] = {}
    tables = root.table("accounts", "[accounts.NAME]")
    for name in tables.keys:
        if not _ACCOUNT_NAME.fullmatch(name):
            tables.wrong(
                name,
                "is not a name for an account: letters, digits, '.', '_' and '-', "
                "at most 64, the first a letter or digit",
            )
        account = reader.account(AccountName(name), tables.table(name, f"[accounts.{name}]"))
        if account is not None:
            accounts[account.name] = account
    if not tables.keys:
        problems.add((), "holds no account: add [accounts.NAME]")
    _refuse_exposure(document, reader.plain, problems)
    if problems:
        raise problems.error()
    return Config(path=path, accounts=MappingProxyType(accounts), cache=cache)


def _refuse_exposure(document: Document, plain: list[str], problems: Problems) -> None:
    if plain and document.mode & secrets.READABLE_BY_OTHERS:
        problems.add(
            (),
            f"others can read this file, and it holds a secret ({', '.join(plain)}): "
            f"chmod 600 {document.path}",
        )
    # Who can write it can send the account's token to a host of his own, or have a command run.
    if document.mode & stat.S_IWOTH:
        problems.add((), f"others can write this file: chmod 600 {document.path}")


def _cache(table: Table) -> CacheConfig:
    table.refuse_others(CACHE_KEYS)
    base = CacheConfig()
    return CacheConfig(
        size=table.take("size", values.size, base.size),
        keep_free=table.take("keep_free", values.keep_free, base.keep_free),
        memory=table.take("memory", values.memory, base.memory),
    )


class _AccountReader:
    """Reads the accounts of one document; `plain` gathers the secrets that stand in it."""

    def __init__(self, document: Document, env: Mapping[str, str], now: datetime) -> None:
        self.plain: list[str] = []
        self._base = document.path.parent
        self._env = env
        self._home = env.get("HOME")
        self._now = now

    def account(self, name: AccountName, table: Table) -> AccountConfig | None:
        """None when too much is wrong to make one; what is wrong is noted in any case."""
        vendor = _vendor(table)
        keys = vendor or _likely_vendor(table)
        table.refuse_others(COMMON_KEYS + (keys.all_keys if vendor else EVERY_KEY))
        insecure = table.take("insecure", values.flag, False)
        base_url = table.take("base_url", partial(values.base_url, insecure=insecure), keys.base_url)
        if base_url is None and "base_url" not in table:
            table.problems.add(table.where, f'needs base_url, as in "{keys.example_url}"')
        service = read_service(keys, table, self)
        default = AccountConfig(
            name=name,
            vendor=keys.vendor,
            base_url=base_url or "",
            service=service or Service(),
        )
        time_zone = table.take("time_zone", values.time_zone, default.time_zone)
        today = self._now.astimezone(time_zone).date()
        account = replace(
            default,
            since=table.take("since", partial(_since, today=today), default.since),
            delete=table.take("delete", partial(_delete, keys=keys), default.delete),
            delete_limit=table.take("delete_limit", values.count, default.delete_limit),
            names=table.take("names", values.names, default.names),
            time_zone=time_zone,
            fresh_for_s=table.take("fresh_for", values.duration, default.fresh_for_s),
            list_deadline_s=table.take("list_deadline", values.deadline, default.list_deadline_s),
            poll_s=table.take("poll", values.period, default.poll_s),
            requests_per_minute=table.take("requests_per_minute", values.count, default.requests_per_minute),
            insecure=insecure,
            ca_file=table.take("ca_file", self._readable_file, default.ca_file),
            client_cert=self._client_cert(table),
            download_hosts=table.take("download_hosts", values.hosts, default.download_hosts),
            uid=table.take("uid", values.owner, default.uid),
            gid=table.take("gid", values.owner, default.gid),
            umask=table.take("umask", values.umask, default.umask),
        )
        return account if vendor and service and base_url else None

    def secret(self, table: Table, key: str) -> Secret | None:
        name = dotted((*table.where, key))

        def convert(value: object) -> Secret:
            if isinstance(value, str):
                self.plain.append(name)
            if isinstance(value, dict) and len(value) == 1 and not set(value) & set(secrets.ORIGIN_KEYS):
                (unknown,) = value
                hint = values.did_you_mean(unknown, list(secrets.ORIGIN_KEYS))
                raise Wrong(f"unknown key{hint or '; ' + secrets.HOW_TO_WRITE}", unknown)
            try:
                return Secret(name, secrets.origin(value, self._base, self._home), self._env)
            except ValueError as error:
                raise Wrong(str(error)) from None

        return table.take(key, convert, None)

    def _client_cert(self, table: Table) -> ClientCert | None:
        if "client_cert" not in table:
            return None
        inner = table.table("client_cert", '{ file = "client.pem" }')
        inner.refuse_others(("file", "key"))
        file = inner.take("file", self._readable_file, None)
        key = inner.take("key", self._readable_file, None)
        if "file" not in inner:
            table.wrong("client_cert", 'needs file, as in { file = "client.pem" }')
        return ClientCert(file=file, key=key) if file else None

    def path(self, value: object) -> Path:
        return secrets.located(values.text(value), self._base, self._home)

    def _readable_file(self, value: object) -> Path:
        path = self.path(value)
        try:
            readable = path.is_file() and os.access(path, os.R_OK)
        except OSError:  # a name that is too long
            readable = False
        if not readable:
            raise Wrong(f"{path} is not a file that can be read")
        return path


def _vendor(table: Table) -> AccountSpec | None:
    """What accounts of the vendor may say, where it is one."""

    def convert(value: object) -> AccountSpec:
        if not isinstance(value, str) or value not in VENDORS:
            hint = values.did_you_mean(value, list(VENDORS)) if isinstance(value, str) else ""
            raise Wrong("must be one of " + ", ".join(f'"{one}"' for one in VENDORS) + hint)
        return VENDORS[value]

    if "vendor" not in table:
        table.problems.add(table.where, f"needs vendor: one of {', '.join(VENDORS)}")
    return table.take("vendor", convert, None)


def _likely_vendor(table: Table) -> AccountSpec:
    """The vendor that is meant where another word stands: what else is wrong is to be told at once."""
    return max(VENDORS.values(), key=lambda keys: len(set(keys.all_keys).intersection(table.keys)))


def _delete(value: object, *, keys: AccountSpec) -> Delete:
    delete = values.delete(value)
    if delete not in deletes(keys):
        raise Wrong(delete.refusal(deletes(keys)))
    return delete


def _since(value: object, *, today: date) -> date:
    since = values.day(value)
    if since > today:
        raise Wrong(f"{since} lies in the future")
    return since


LONGEST_LIST_BYTES: Final = 16 * 1024 * 1024
"""Of a `conversations_file`: a million ids; what lies beyond is not read."""


def read_conversations(path: Path) -> tuple[ConversationId, ...]:
    """The ids in a `conversations_file`: one a line; blank lines and lines that begin with # are skipped.

    A file that is not there holds none. Raises ConfigError with every line that is no id.
    """
    try:
        # Not a device or a pipe: it is read again while the mount serves, where nothing may wait.
        text = read_file(path, LONGEST_LIST_BYTES)[1].decode("utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigError([f"{path}: cannot be read: {why}"]) from None
    found: dict[ConversationId, None] = {}
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        try:
            found[ConversationId(values.identifier(word))] = None
        except Wrong as wrong:
            problems.append(f"{path}:{number}: {wrong.message}")
    if problems:
        raise ConfigError(problems)
    return tuple(found)
