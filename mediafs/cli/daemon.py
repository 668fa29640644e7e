"""The daemon of one mount: lock, signals, control socket, systemd, and the mount itself."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import trio

from .. import instance
from ..app import App, running
from ..config import AccountConfig, CacheConfig, Delete
from ..control import Talk, serve_control, socket_path
from ..errors import ValueRefused
from ..mount import Deadlines, KernelCaches, MountOptions, mount_at, serve
from ..notify import notify_systemd, watchdog_period_s
from ..paths import private_cache_dir
from .background import Readiness
from .common import runtime_dir
from .exits import Exit
from .fetching import fetch_for, inodes_of
from .listing import day_of, sync_for
from .report import as_json, report

log = logging.getLogger(__name__)

KERNEL_S: Final = 2.0
"""How long `refresh` waits for the kernel to be told of what it found: a read may hold that up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One mount to serve."""

    account: AccountConfig
    cache: CacheConfig
    cache_dir: Path
    options: MountOptions
    delete: Delete | None


def _is_mounted(mountpoint: Path) -> bool:
    return mount_at(str(mountpoint)) is not None


async def run(job: Job, readiness: Readiness) -> None:
    """Serves until SIGTERM, SIGINT, or somebody unmounts. Raises why it could not."""
    cache_dir = private_cache_dir(job.cache_dir)
    kernel = KernelCaches()
    stop = trio.Event()
    started = time.time()

    def status(app: App) -> str:
        return as_json(report(app, kernel, job.options.mountpoint, started))

    with (
        instance.lock(job.account.name, cache_dir, Path(job.options.mountpoint), serves=_is_mounted),
        trio.open_signal_receiver(*_ends()) as signals,
    ):
        async with (
            running(
                job.account, job.cache, cache_dir, delete=job.delete, emit=kernel.tell, status=status
            ) as app,
            trio.open_nursery() as nursery,
        ):
            desk = _Desk(app, job, kernel, started)
            path = socket_path(runtime_dir(), job.account.name, cache_dir)
            await nursery.start(_control, path, desk)
            nursery.start_soon(_stop_on_signal, signals, stop)
            nursery.start_soon(_feed_watchdog)

            def ready() -> None:
                readiness.tell(Exit.DONE)
                notify_systemd(f"READY=1\nSTATUS=serving {job.options.mountpoint}", os.environ)

            await serve(
                app.tree,
                job.options,
                on_ready=ready,
                stop=stop,
                kernel=kernel,
                deadlines=Deadlines(list_s=job.account.list_deadline_s + 5),
            )
            nursery.cancel_scope.cancel()


def _ends() -> list[signal.Signals]:
    """What ends the mount in order. In the foreground also the end of its terminal, which would leave a
    stale mount behind; in the background that is ignored."""
    ends = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    return ends


async def _control(path: Path, desk: _Desk, task_status: trio.TaskStatus[None]) -> None:
    await serve_control(
        path,
        desk.answer,
        lock_is_ours=True,
        conversations={"warm": desk.warm, "sync": desk.sync},
        task_status=task_status,
    )


async def _stop_on_signal(signals: trio.abc.AsyncIterator[int], stop: trio.Event) -> None:  # type: ignore[name-defined]
    async for number in signals:
        log.info("%s: unmounting", signal.Signals(number).name)
        notify_systemd("STOPPING=1", os.environ)
        stop.set()


async def _feed_watchdog() -> None:
    period = watchdog_period_s(os.environ)
    while period is not None:
        notify_systemd("WATCHDOG=1", os.environ)
        await trio.sleep(period)


class _Desk:
    """Answers the commands that come in over the control socket."""

    def __init__(self, app: App, job: Job, kernel: KernelCaches, started: float) -> None:
        self._app = app
        self._job = job
        self._kernel = kernel
        self._started = started

    async def answer(self, verb: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        match verb:
            case "who":
                return {
                    "account": self._job.account.name,
                    "mountpoint": self._job.options.mountpoint,
                    "pid": os.getpid(),
                }
            case "status":
                return report(self._app, self._kernel, self._job.options.mountpoint, self._started)
            case "allow-deletes":
                return asdict(await self._app.deletions.allow(_count(arguments.get("count"))))
            case "cache-purge":
                cache = self._app.reading.cache
                return asdict(await cache.purge()) if cache is not None else {"bytes": 0, "files": 0}
            case "held":
                await self._app.tree.kept.wait_known()
                found = [self._app.tree.kept.holding(inode) for inode in inodes_of(arguments)]
                return {"files": [None if one is None else [one.size, one.held, one.pinned] for one in found]}
            case "evict":
                return asdict(await self._app.tree.kept.evict(inodes_of(arguments)))
            case "unpin":
                await self._app.tree.kept.unpin(inodes_of(arguments))
                return {}
            case "refresh":
                did = await self._app.tree.refresh(str(arguments.get("path", ".")))
                # What was found then holds for whoever looks next, whatever the kernel remembered.
                with trio.move_on_after(KERNEL_S):
                    await self._kernel.wait_told()
                return {"did": did}
        raise ValueRefused(f"this daemon knows no command {verb!r}; is it older than the command?")

    async def warm(self, talk: Talk, arguments: Mapping[str, object]) -> Mapping[str, object]:
        return await fetch_for(talk, self._app.tree.kept, pin=arguments.get("pin") is True)

    async def sync(self, talk: Talk, arguments: Mapping[str, object]) -> Mapping[str, object]:
        return await sync_for(talk, self._app, day_of(arguments.get("since")))


def _count(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1_000_000:
        return value
    raise ValueRefused("COUNT is a whole number from 1 to 1000000")
