"""The life of a mount: init, main, terminate, close, in that order, always.

One mount per process, as pyfuse3 has one session. Never fork after `serve` began: a child holds the
connection to the kernel open, and what waits for it then waits for good.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pyfuse3
import trio

from .available import check_fuse, check_mountpoint
from .entries import Dress
from .errnos import FailureLog, ungrouped
from .errors import FuseUnavailable
from .fusectl import raise_connection_limits
from .guard import Deadlines
from .kernel import KernelCaches
from .mountinfo import mount_at, resolved
from .operations import MountedTree
from .options import MountOptions
from .protocol import Tree
from .stale import clean_stale, detach

log = logging.getLogger(__name__)

_TASKS: Final = 1024
"""Requests answered at once; pyfuse3's 99 are used up by one gallery on a slow service, and then a
`stat` waits too. Each costs address space of 1 MiB, of which it touches what it uses."""

_READY_S: Final = 15.0
"""The kernel's INIT and one statfs take milliseconds."""

_GRACE_S: Final = 2.0
"""What operations under way get to end by themselves once the mount is to go away."""

_END_S: Final = 5.0
"""What each further step of the end may take before it is forced."""

_NUDGE_S: Final = 2.0


async def serve(
    tree: Tree,
    options: MountOptions,
    *,
    on_ready: Callable[[], None],
    stop: trio.Event,
    kernel: KernelCaches | None = None,
    deadlines: Deadlines | None = None,
) -> None:
    """Mounts `tree` and serves it until `stop` is set, or somebody unmounts it.

    A stale mount of the same account at the mount point is taken away first. `on_ready` is called
    when the mount answers. On return, also by an error or cancellation, nothing is mounted, and every
    operation that a process waited for has had its answer. `kernel` is run while the mount stands.

    Raises FuseUnavailable, before anything is mounted, and UnmountFailed for a stale mount that stays.
    """
    mountpoint = await trio.to_thread.run_sync(_prepared, options)
    kernel = kernel or KernelCaches()
    operations = MountedTree(
        tree,
        dress=Dress(uid=options.uid, gid=options.gid, umask=options.umask),
        read_only=options.read_only,
        deadlines=deadlines or Deadlines(),
        failures=FailureLog(trio.current_time),
        kernel=kernel,
    )
    _init(operations, mountpoint, options)
    try:
        with _nudged():
            await _Session(operations, mountpoint, kernel).run(on_ready, stop)
    finally:
        await operations.close_all()
        # libfuse closes its descriptor before it unmounts, so whatever a process still waits for
        # fails with ENOTCONN instead of keeping the unmount waiting; it unmounts lazily, so open
        # files do not keep the mount either.
        pyfuse3.close(unmount=True)
        if not detach(mountpoint, options.account):
            log.error("%s could not be unmounted: fusermount3 -uz %s", mountpoint, mountpoint)
        else:
            log.info("%s is unmounted", mountpoint)


def _prepared(options: MountOptions) -> str:
    check_fuse(allow_other=options.allow_other)
    mountpoint = resolved(options.mountpoint)
    clean_stale(mountpoint, options.account)
    check_mountpoint(mountpoint)
    return mountpoint


def _init(operations: MountedTree, mountpoint: str, options: MountOptions) -> None:
    with _stderr_kept() as said:
        try:
            pyfuse3.init(operations, mountpoint, options.fuse_words())
        except RuntimeError as error:
            reason = "; ".join(said().split("\n")) or str(error)
            raise FuseUnavailable(f"cannot mount on {mountpoint}: {reason}") from None


@contextmanager
def _stderr_kept() -> Iterator[Callable[[], str]]:
    """Keeps what libfuse and fusermount3 write to stderr: it is the only place where they say why."""
    with tempfile.TemporaryFile() as kept:

        def said() -> str:
            kept.seek(0)
            return kept.read().decode(errors="replace").strip()

        real = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(real, 2)
            os.close(real)
            if words := said():
                log.info("libfuse: %s", words)


@contextmanager
def _nudged() -> Iterator[None]:
    """Interrupts the main thread every few seconds, in case pyfuse3 sits in a read.

    pyfuse3 waits until the kernel has a request and then reads it, with a blocking read and the
    interpreter's lock held. When the process behind that request is killed in between, the read
    blocks, and the whole program with it: every other process that waits for an answer keeps waiting,
    past every deadline, until somebody asks for something new. A signal ends the read with EINTR,
    upon which pyfuse3 goes on. No thread could do that: it would need the interpreter's lock.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's; a mount served from elsewhere does without
        return
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, _NUDGE_S, _NUDGE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _Session:
    """One mount between init and close."""

    def __init__(self, operations: MountedTree, mountpoint: str, kernel: KernelCaches) -> None:
        self._operations = operations
        self._mountpoint = mountpoint
        self._kernel = kernel
        self._kernel_stop = trio.Event()
        self._kernel_done = trio.Event()
        self._main_done = trio.Event()
        self._main_scope = trio.CancelScope(shield=True)
        self._kernel_scope = trio.CancelScope(shield=True)

    async def run(self, on_ready: Callable[[], None], stop: trio.Event) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._main, nursery)
                nursery.start_soon(self._run_kernel)
                nursery.start_soon(self._end_when, stop)
                nursery.start_soon(self._announce, on_ready)
        except ExceptionGroup as group:
            raise ungrouped(group) from group

    async def _main(self, nursery: trio.Nursery) -> None:
        # Shielded: cancelled handlers would leave their processes without an answer. `_end_when`
        # answers them and then ends the loop.
        try:
            with self._main_scope:
                await pyfuse3.main(max_tasks=_TASKS)
        finally:
            self._main_done.set()
            self._kernel_stop.set()
            # No thread of ours may be inside libfuse when the session is freed. With the connection
            # gone its call fails at once.
            with trio.move_on_after(_END_S, shield=True):
                await self._kernel_done.wait()
            self._kernel_scope.cancel()
            # Unmounted from outside, or ended by us: nothing here has anything left to do.
            nursery.cancel_scope.cancel()

    async def _run_kernel(self) -> None:
        # Shielded for the same reason: a call into the kernel under way ends only while main serves.
        try:
            with self._kernel_scope:
                await self._kernel.run(self._kernel_stop)
        finally:
            self._kernel_done.set()

    async def _end_when(self, stop: trio.Event) -> None:
        try:
            await stop.wait()
        finally:
            with trio.CancelScope(shield=True):
                await self._end()

    async def _end(self) -> None:
        """Ends the loop with every operation answered; bounded by the constants above."""
        self._kernel_stop.set()
        if self._main_done.is_set():
            return
        with trio.move_on_after(_GRACE_S):
            await self._operations.running.wait_none()
        self._operations.running.refuse()
        # A call into the kernel may wait for an operation that was just refused: it ends now, as
        # long as main still answers.
        with trio.move_on_after(_END_S):
            await self._kernel_done.wait()
        pyfuse3.terminate()
        with trio.move_on_after(_END_S):
            await self._main_done.wait()
        if not self._main_done.is_set():
            log.warning(
                "%d operations do not end; the mount goes away under them", len(self._operations.running)
            )
            self._main_scope.cancel()

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        """Calls `on_ready` once the kernel's INIT came and a statfs of the mount reached this program.

        The statfs is made in a thread: made here, it would wait for an answer that only this thread
        can give. The thread is abandoned at the end if need be: closing the connection fails its
        call, so it neither keeps the mount nor the program.
        """
        try:
            with trio.fail_after(_READY_S):
                await self._operations.started.wait()
                while not self._operations.asked_for_space:
                    await trio.to_thread.run_sync(_touch, self._mountpoint, abandon_on_cancel=True)
        except trio.TooSlowError:
            raise FuseUnavailable(f"the mount at {self._mountpoint} does not answer") from None
        limits = await trio.to_thread.run_sync(raise_connection_limits, self._mountpoint)
        mount = mount_at(self._mountpoint)
        log.info(
            "%s is mounted as %s, max_background %s",
            self._mountpoint,
            mount.source if mount else "?",
            limits.max_background or "not known",
        )
        on_ready()


def _touch(mountpoint: str) -> None:
    try:
        os.statvfs(mountpoint)
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            raise FuseUnavailable(f"{mountpoint} was unmounted before it served") from None
        # Any other error is an answer too: the tree's, through us.
