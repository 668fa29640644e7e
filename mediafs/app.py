"""Composes the rooms into one account that is served. Nothing is decided here."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from . import catalogue, instance
from .catalogue import Catalogue, Database
from .config import AccountConfig, CacheConfig, Delete, Listed, read_conversations
from .errors import ConfigError, MediafsError
from .model import AccountName, Change, ChangeKind, ConversationId, Traits
from .paths import private_cache_dir
from .reading import CacheOptions, Reading, ReadingOptions, Room, Usage, purge_folder, reading, usage
from .remote import RemoteAccount, RemoteOptions, TransportOptions
from .sync import Listings, SyncOptions, syncing
from .tree import Names, Tree, TreeOptions, file_name, folder_name
from .vendor_of import vendor_of
from .vendors import VENDORS
from .vendors.protocol import Vendor
from .writing import Deletions, Journal, Policy, deleting, editing

log = logging.getLogger(__name__)

LIMITS = "limiter"
"""Where the catalogue keeps what was learnt of the service's rate limit."""

LEARNT = "learnt"
"""And where what the vendor's module found out about it."""

_BYTES = "bytes"
"""The folder of an account's disk cache, in its cache folder."""

KEEP_LEARNT_S = 5.0
"""How often they are kept: within a window of a minute, a crash forgets a few requests at most."""


@dataclass(frozen=True, slots=True)
class App:
    """One account, ready to be mounted or asked."""

    account: AccountConfig
    source: RemoteAccount
    catalogue: Catalogue
    listings: Listings
    reading: Reading
    deletions: Deletions
    tree: Tree


@asynccontextmanager
async def remote_account(
    account: AccountConfig,
    database: Database | None = None,
    conversations: Callable[[], Sequence[str]] | None = None,
) -> AsyncIterator[RemoteAccount]:
    """The account over the network. `database` holds what an earlier process learnt of the service;
    `conversations` are those that are known, where the configuration's are not all."""
    known = conversations or Conversations(account.service.listed)

    async def reread() -> Vendor:
        return await trio.to_thread.run_sync(vendor_of, account, known)

    cert = account.client_cert
    transport = TransportOptions(
        ca_file=account.ca_file,
        client_cert=cert.file if cert else None,
        client_key=cert.key if cert else None,
    )
    options = RemoteOptions(requests_per_minute=account.requests_per_minute, transport=transport)
    vendor = await reread()
    limits = database.remembered(LIMITS) if database else None
    learnt = database.remembered(LEARNT) if database else None
    if isinstance(learnt, dict):
        vendor.learnt = learnt
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
    status: Callable[[App], str] | None = None,
) -> AsyncIterator[App]:
    """The account with its catalogue in `cache_dir`, for as long as the context lasts.

    `emit` hears of every change that a listing finds and must not block; `status` says what status.json of
    the tree holds. Raises ConfigError for a
    secret that cannot be read, MediafsError where the cache folder is of no use.
    """
    folder = private_cache_dir(cache_dir / account.name)
    names = Names(account.names.value)
    named = Conversations(account.service.listed)
    realm = _realm(account)
    with catalogue.opened(
        folder / "catalogue.sqlite3",
        identity="|".join((realm, names.value, account.time_zone.key)),
        zone=account.time_zone,
        name_of=partial(file_name, names=names),
        folder_of=folder_name,
    ) as opened:
        async with (
            remote_account(
                account, opened.database, lambda: (*named(), *opened.views.conversations())
            ) as source,
            reading(source, _reading_options(cache, folder, realm)) as bytes_,
        ):
            policy = policy_of(delete or account.delete, source.traits)

            def changed(changes: Sequence[Change]) -> None:
                bytes_.forget({change.media for change in changes if change.kind is ChangeKind.REMOVED})
                _log(opened, changes)
                emit(changes)

            async with (
                syncing(
                    source, opened, _sync_options(account, source.traits, named), emit=changed
                ) as listings,
                deleting(
                    source,
                    opened,
                    Journal(folder),
                    policy=policy,
                    limit=account.delete_limit,
                    emit=changed,
                    wall_clock=time.time,
                ) as deletions,
                editing(source, opened, emit=changed) as edits,
            ):
                app: App

                tree = Tree(
                    opened,
                    listings,
                    bytes_,
                    source,
                    deletions,
                    edits,
                    source.traits,
                    TreeOptions(
                        account=account.name,
                        vendor=account.vendor,
                        zone=account.time_zone,
                        since=account.since,
                        fresh_for_s=account.fresh_for_s,
                        deletable=policy is not Policy.DENY,
                        users=source.traits.named_users,
                        trash=source.traits.trash,
                        titles=names is Names.TITLE,
                        editable=source.traits.editable,
                    ),
                    wall_clock=time.time,
                    room=lambda: _room(bytes_, cache, folder),
                    emit=changed,
                    status=(lambda: status(app)) if status is not None else None,
                )
                app = App(account, source, opened, listings, bytes_, deletions, tree)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_keep_learnt, source, opened.database)
                    nursery.start_soon(_forget_removed, bytes_, opened)
                    yield app
                    nursery.cancel_scope.cancel()


def _log(known: Catalogue, changes: Sequence[Change]) -> None:
    """What was found holds, whether the log has room for it or not."""
    try:
        known.changes.note(changes)
    except MediafsError as error:
        log.warning("changes.jsonl lacks %d changes: %s", len(changes), error)


def policy_of(wanted: Delete | None, traits: Traits) -> Policy:
    """What `rm` does; nobody loses a recording by a default. Raises ConfigError for what the service cannot
    do."""
    can = {Delete.PERMANENT: traits.deletable, Delete.TRASH: traits.trash, Delete.DENY: True}
    if wanted is None:
        wanted = Delete.TRASH if traits.trash else Delete.DENY
    if not can[wanted]:
        possible = [each for each, whether in can.items() if whether]
        raise ConfigError([f'delete = "{wanted.value}": {wanted.refusal(possible)}'])
    return Policy(wanted.value)


async def _keep_learnt(source: RemoteAccount, database: Database) -> None:
    """What is known of the service outlives a crash: a new daemon must not spend its rate twice, nor
    find out anew what its documentation does not say."""
    kept: dict[str, object] = {}
    told = None
    try:
        while True:
            told = _keep(database, kept, source, told)
            await trio.sleep(KEEP_LEARNT_S)
    finally:
        _keep(database, kept, source, told)


def _keep(database: Database, kept: dict[str, object], source: RemoteAccount, told: str | None) -> str | None:
    """Writes what is not `kept` as it is now; why that failed, logged unless it was `told` before."""
    known: dict[str, object] = {LIMITS: source.export_limits(), LEARNT: dict(source.learnt)}
    try:
        for key, value in known.items():
            if value != kept.get(key):
                database.remember(key, value)
                kept[key] = value
    except MediafsError as error:
        if str(error) != told:
            log.warning("what was learnt of the service cannot be remembered: %s", error)
        return str(error)
    return None


def _realm(account: AccountConfig) -> str:
    """Which archive it is, whatever the account is called."""
    whose = [str(account.service.values.get(key, "")) for key in VENDORS[account.vendor].archive_keys] or [""]
    return "|".join((account.vendor, account.base_url, *whose))


def _sync_options(account: AccountConfig, traits: Traits, named: Conversations) -> SyncOptions:
    return SyncOptions(
        zone=account.time_zone,
        since=account.since,
        conversations=named,
        fresh_for_s=account.fresh_for_s,
        list_deadline_s=account.list_deadline_s,
        poll_s=account.poll_s,
        filter_names=traits.filter_names,
    )


def _reading_options(cache: CacheConfig, folder: Path, realm: str) -> ReadingOptions:
    spool = folder / "spool"
    with suppress(OSError):  # a disk that can only be read: what needs a spool says so
        spool.mkdir(mode=0o700, exist_ok=True)
    kept = CacheOptions(
        folder=folder / _BYTES,
        realm=realm,
        size=cache.size,
        keep_free=cache.keep_free.of,
        hold_idle=lambda other: instance.idle(AccountName(other), folder.parent),
    )
    return ReadingOptions(memory=cache.memory, spool_directory=spool, cache=kept)


def _room(bytes_: Reading, cache: CacheConfig, folder: Path) -> int:
    if bytes_.cache is not None and cache.size:
        return bytes_.cache.room()
    return shutil.disk_usage(folder).free


async def _forget_removed(bytes_: Reading, known: Catalogue) -> None:
    """A crash between a deletion and the end of its bytes leaves these: they go now."""
    if bytes_.cache is not None:
        await bytes_.cache.wait_scanned()
        try:
            bytes_.forget(known.views.removed(bytes_.cache.media()))
        except MediafsError as error:
            log.warning("whether bytes of deleted media are kept on disk cannot be told: %s", error)


def kept_bytes(cache_dir: Path, account: str) -> Usage:
    """What an account's disk cache takes up; its daemon may be running. Raises OSError."""
    return usage(cache_dir / account / _BYTES)


def purge_bytes(cache_dir: Path, account: str) -> Usage:
    """Empties an account's disk cache, whose daemon must not be running; what there was. Raises OSError."""
    folder = cache_dir / account / _BYTES
    before = purge_folder(folder)
    Room(folder).note(0)
    return before


class Conversations:
    """What the configuration names; its file is read again when it has changed."""

    def __init__(self, listed: Listed) -> None:
        self._named = listed.ids
        self._file = listed.file
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
