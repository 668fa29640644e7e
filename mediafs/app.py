"""Composes the rooms into one account that is served. Nothing is decided here."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import trio

from . import catalogue
from .catalogue import Catalogue
from .config import AccountConfig, CacheConfig, Delete, PasswordAuth, TokenAuth, read_conversations
from .errors import ConfigError, MediafsError
from .model import Change, ConversationId
from .paths import private_cache_dir
from .reading import Reading, ReadingOptions, reading
from .remote import RemoteAccount, RemoteOptions, TransportOptions
from .sync import Listings, SyncOptions, syncing
from .tree import Names, Tree, TreeOptions, file_name, folder_name
from .vendors import VENDORS
from .vendors.apizee import ApizeeFilters, ApizeeOptions
from .vendors.protocol import Vendor

log = logging.getLogger(__name__)

LIMITS = "limiter"
"""Where the catalogue keeps what was learnt of the service's rate limit."""

KEEP_LIMITS_S = 5.0
"""How often it is kept: within a window of a minute, a crash forgets a few requests at most."""


@dataclass(frozen=True, slots=True)
class App:
    """One account, ready to be mounted or asked."""

    account: AccountConfig
    source: RemoteAccount
    catalogue: Catalogue
    listings: Listings
    reading: Reading
    tree: Tree


def make_vendor(account: AccountConfig) -> Vendor:
    """The vendor's module with this account's secrets, read now.

    Raises ConfigError where a secret cannot be read or is of no use.
    """
    match account.auth:
        case TokenAuth(token=token):
            secrets = {"token": token.read()}
        case PasswordAuth(username=username, password=password):
            secrets = {"username": username, "password": password.read()}
    try:
        options = ApizeeOptions(
            base_url=account.base_url,
            user=account.user,
            filters=ApizeeFilters(**asdict(account.filters)),
            **secrets,
        )
    except ValueError as error:
        raise ConfigError([f"accounts.{account.name}: {error}"]) from None
    return VENDORS[account.vendor](options)


@asynccontextmanager
async def remote_account(
    account: AccountConfig, limits: dict[str, object] | None = None
) -> AsyncIterator[RemoteAccount]:
    """The account over the network. `limits` is what an earlier process learnt of its rate."""

    async def reread() -> Vendor:
        return await trio.to_thread.run_sync(make_vendor, account)

    cert = account.client_cert
    transport = TransportOptions(
        ca_file=account.ca_file,
        client_cert=cert.file if cert else None,
        client_key=cert.key if cert else None,
    )
    options = RemoteOptions(requests_per_minute=account.requests_per_minute, transport=transport)
    vendor = await trio.to_thread.run_sync(make_vendor, account)
    async with RemoteAccount(account.name, vendor, options, limits=limits, reread=reread) as source:
        yield source


@asynccontextmanager
async def running(
    account: AccountConfig,
    cache: CacheConfig,
    cache_dir: Path,
    *,
    delete: Delete | None = None,
    emit: Callable[[Sequence[Change]], None] = lambda changes: None,
) -> AsyncIterator[App]:
    """The account with its catalogue in `cache_dir`, for as long as the context lasts.

    `emit` hears of every change that a listing finds and must not block. Raises ConfigError for a
    secret that cannot be read, MediafsError where the cache folder is of no use.
    """
    folder = private_cache_dir(cache_dir / account.name)
    names = Names(account.names.value)
    filters = ",".join(asdict(account.filters).values())
    identity = "|".join(
        (account.vendor, account.base_url, account.user or "", names.value, account.time_zone.key)
    )
    with catalogue.opened(
        folder / "catalogue.sqlite3",
        identity=identity,
        zone=account.time_zone,
        name_of=partial(file_name, names=names),
        folder_of=folder_name,
    ) as opened:
        async with (
            remote_account(account, opened.database.remembered(LIMITS)) as source,
            syncing(source, opened, _sync_options(account, filters), emit=emit) as listings,
            reading(source, _reading_options(cache, folder)) as bytes_,
        ):
            tree = Tree(
                opened,
                listings,
                bytes_,
                source,
                source.traits,
                TreeOptions(
                    account=account.name,
                    vendor=account.vendor,
                    zone=account.time_zone,
                    since=account.since,
                    fresh_for_s=account.fresh_for_s,
                    deletable=(delete or account.delete or Delete.DENY) is not Delete.DENY,
                ),
                wall_clock=time.time,
                room=lambda: shutil.disk_usage(folder).free,
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_keep_limits, source, opened)
                yield App(account, source, opened, listings, bytes_, tree)
                nursery.cancel_scope.cancel()


async def _keep_limits(source: RemoteAccount, opened: Catalogue) -> None:
    """What is known of the service's rate outlives a crash: a new daemon must not spend it twice."""
    kept = opened.database.remembered(LIMITS)
    try:
        while True:
            await trio.sleep(KEEP_LIMITS_S)
            kept = _keep(opened, kept, source.export_limits())
    finally:
        _keep(opened, kept, source.export_limits())


def _keep(opened: Catalogue, kept: object, limits: object) -> object:
    try:
        if limits != kept:
            opened.database.remember(LIMITS, limits)
    except MediafsError as error:
        log.warning("the service's rate limit cannot be remembered: %s", error)
    return limits


def _sync_options(account: AccountConfig, filters: str) -> SyncOptions:
    return SyncOptions(
        zone=account.time_zone,
        since=account.since,
        conversations=_Conversations(account),
        fresh_for_s=account.fresh_for_s,
        list_deadline_s=account.list_deadline_s,
        filter_names=filters,
    )


def _reading_options(cache: CacheConfig, folder: Path) -> ReadingOptions:
    spool = folder / "spool"
    spool.mkdir(mode=0o700, exist_ok=True)
    return ReadingOptions(memory=cache.memory, spool_directory=spool)


class _Conversations:
    """What the configuration names; its file is read again when it has changed."""

    def __init__(self, account: AccountConfig) -> None:
        self._named = account.conversations
        self._file = account.conversations_file
        self._read: tuple[ConversationId, ...] = ()
        self._state: tuple[int, ...] | None = None

    def __call__(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._named, *self._from_file())))

    def _from_file(self) -> tuple[ConversationId, ...]:
        if self._file is None:
            return ()
        try:
            found = os.stat(self._file)
            state = (found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size)
            if state != self._state:
                self._state = state  # also of one that is of no use: it is told once
                self._read = read_conversations(self._file)
        except OSError:
            # A file that is being replaced is away for a moment: what it said last still holds.
            pass
        except ConfigError as error:
            log.warning("by-conversation/ goes on as before: %s", "; ".join(error.problems[:3]))
        return self._read
