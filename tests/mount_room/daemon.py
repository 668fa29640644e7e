"""Serves the fake tree: `python -m tests.mount_room.daemon '{"mountpoint": ...}'`.

Says `ready` on stdout once it serves; takes one command a line on stdin and answers each with one
line of JSON. SIGTERM ends it.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from typing import Any

import trio

from mediafs.model import AccountName
from mediafs.mount.errors import FuseUnavailable
from mediafs.mount.guard import Deadlines
from mediafs.mount.kernel import KernelCaches
from mediafs.mount.options import MountOptions
from mediafs.mount.session import serve
from mediafs.tree.values import ROOT

from .fake_tree import MANY_DIR, FakeTree


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def _do(tree: FakeTree, kernel: KernelCaches, words: list[str]) -> object:
    match words:
        case ["counts"]:
            return tree.counts
        case ["pending"]:
            return kernel.pending
        case ["remove", name]:
            kernel.tell([tree.remove(ROOT, name)])
        case ["remove-many", *names]:
            kernel.tell([tree.remove(MANY_DIR, name) for name in names])
        case ["add", name, text]:
            kernel.tell([tree.arrived(ROOT, name, text.encode())])
        case ["rewrite", name, text]:
            kernel.tell([tree.rewrite(ROOT, name, text.encode())])
    return "ok"


async def _commands(tree: FakeTree, kernel: KernelCaches) -> None:
    stdin = trio.lowlevel.FdStream(sys.stdin.fileno())
    text = b""
    async for some in stdin:
        text += some
        *lines, text = text.split(b"\n")
        for line in lines:
            _say(_do(tree, kernel, line.decode().split("\t")))


async def _hogging(hold_s: float) -> None:
    """Holds the loop again and again, as a long query would: requests then lie unread for a while."""
    while True:
        time.sleep(hold_s)  # noqa: ASYNC251
        await trio.lowlevel.checkpoint()


async def _main(settings: dict[str, Any]) -> int:
    stop = trio.Event()
    tree = FakeTree()
    kernel = KernelCaches()
    options = MountOptions(
        mountpoint=settings["mountpoint"],
        account=AccountName(settings.get("account", "test")),
        read_only=settings.get("read_only", False),
        allow_other=settings.get("allow_other", False),
        umask=settings.get("umask", 0o077),
        **{key: settings[key] for key in ("uid", "gid") if key in settings},
    )
    deadlines = Deadlines(**settings.get("deadlines", {}))

    async def ended_by_signal() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                stop.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended_by_signal)
        nursery.start_soon(_commands, tree, kernel)
        if hold_s := settings.get("hold_s"):
            nursery.start_soon(_hogging, hold_s)
        await serve(
            tree,
            options,
            on_ready=lambda: _say("ready"),
            stop=stop,
            kernel=kernel,
            deadlines=deadlines,
        )
        nursery.cancel_scope.cancel()
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    code = 0
    try:
        code = trio.run(_main, json.loads(sys.argv[1]))
    except* FuseUnavailable as error:
        print(error.exceptions[0], file=sys.stderr)
        code = 5
    sys.exit(code)
