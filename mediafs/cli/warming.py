"""`mediafs warm`: files of a mount in its disk cache, so that reading them needs no service."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from ..control import Conversation, call, conversation
from ..errors import Late, MediafsError
from .common import Daemon, among, complain, daemons, say
from .exits import Exit
from .progress import Meter, State
from .report import size
from .walking import File, Unlisted, Walk, walk

BATCH: Final = 256
"""Files named to the daemon at once."""
SILENT_S: Final = 60.0
"""A daemon that has nothing to tell says so twice a second."""
LOOK_S: Final = 60.0
"""For an answer about one batch: the cache's folder may still be looked through."""
TOLD: Final = 50
"""Failures that are told one by one."""


def warm(given: argparse.Namespace) -> Exit:
    """FAILED where not all was done; with `--check`, where not all is held."""
    running = daemons()
    by_mount: dict[Daemon, list[str]] = {}
    for path in given.path:
        by_mount.setdefault(among(running, path)[0], []).append(os.path.expanduser(path))
    worst = Exit.DONE
    for daemon, paths in by_mount.items():
        if given.check:
            ended = [_check(daemon, path) for path in paths]
        elif given.evict:
            ended = [_evict(daemon, paths)]
        elif given.unpin:
            ended = [_unpin(daemon, paths)]
        else:
            ended = [_Fetching(daemon, paths, pin=given.pin).run()]
        worst = max(worst, *ended)
    return worst


def _device(daemon: Daemon) -> int:
    return os.stat(daemon.mountpoint).st_dev


# --- what takes no time ------------------------------------------------------------------------------------


def _check(daemon: Daemon, path: str) -> Exit:
    failures, files, held, pinned, held_bytes, all_bytes = _Failures(), 0, 0, 0, 0, 0
    for batch in _batches(failures, walk([path], _device(daemon))):
        reply: Any = call(daemon.socket, "held", timeout_s=LOOK_S, inodes=[file.inode for file in batch])
        for file, found in zip(batch, reply["files"], strict=True):
            if found is None:
                continue  # there is nothing to keep: a live name, or gone meanwhile
            known, kept, is_pinned = found
            files += 1
            held += known is not None and kept >= known
            pinned += is_pinned
            held_bytes += kept
            all_bytes += file.size if known is None else known
    also = f", {pinned} pinned" if pinned else ""
    say(f"{path}: {held} of {files} files held, {size(held_bytes)} of {size(all_bytes)}{also}")
    failures.tell()
    return Exit.DONE if held == files and not failures.count else Exit.FAILED


def _evict(daemon: Daemon, paths: Sequence[str]) -> Exit:
    failures, freed, spared = _Failures(), 0, 0
    for batch in _batches(failures, walk(paths, _device(daemon))):
        reply: Any = call(daemon.socket, "evict", timeout_s=LOOK_S, inodes=[file.inode for file in batch])
        freed += reply["bytes"]
        spared += reply["spared"]
    say(f"evicted: {size(freed)} freed")
    if spared:
        say(f"{spared} files stay: each download of them counts at the service (mediafs cache --purge)")
    failures.tell()
    return Exit.FAILED if failures.count else Exit.DONE


def _unpin(daemon: Daemon, paths: Sequence[str]) -> Exit:
    failures, files = _Failures(), 0
    for batch in _batches(failures, walk(paths, _device(daemon))):
        call(daemon.socket, "unpin", timeout_s=LOOK_S, inodes=[file.inode for file in batch])
        files += len(batch)
    say(f"unpinned: {files} files")
    failures.tell()
    return Exit.FAILED if failures.count else Exit.DONE


def _batches(failures: _Failures, found: Iterable[File | Unlisted]) -> Iterator[list[File]]:
    def files() -> Iterator[File]:
        for each in found:
            if isinstance(each, File):
                yield each
            else:
                failures.add(each.path, each.why)

    known = files()
    while batch := list(islice(known, BATCH)):
        yield batch


@dataclass(slots=True)
class _Failures:
    """Told at the end, when they are in nobody's way."""

    count: int = 0
    _first: list[str] = field(default_factory=list)

    def add(self, path: str, why: str) -> None:
        self.count += 1
        if len(self._first) < TOLD:
            self._first.append(f"{path}: {why}")

    def tell(self) -> None:
        for each in self._first:
            complain(MediafsError(each))
        if self.count > len(self._first):
            complain(MediafsError(f"... and {self.count - len(self._first)} more"))


# --- what takes long ---------------------------------------------------------------------------------------


class _Fetching:
    """All that is below some paths of one mount."""

    def __init__(self, daemon: Daemon, paths: Sequence[str], *, pin: bool) -> None:
        self._daemon = daemon
        self._pin = pin
        self._walk = Walk(paths, _device(daemon))
        self._meter = Meter()
        self._failures = _Failures()
        self._named: dict[int, File] = {}
        """Those whose end was not told yet, by inode."""
        self._done = self._skipped = 0
        self._gone = 0
        """Bytes of those that were skipped."""
        self._news: Mapping[str, Any] = {"held": 0, "fetched": 0, "resized": 0, "waits": False}

    def run(self) -> Exit:
        try:
            with conversation(self._daemon.socket, "warm", pin=self._pin) as talk:
                self._converse(talk)
        except KeyboardInterrupt:
            self._sum_up("interrupted: ")
            raise
        except MediafsError as error:
            self._sum_up("given up: ")
            raise error from None
        self._sum_up("")
        return Exit.FAILED if self._failures.count else Exit.DONE

    def _converse(self, talk: Conversation) -> None:
        wants, heard = False, time.monotonic()
        while talk.reply is None:
            if wants:
                wants = not self._name_more(talk)
            news = talk.hear(0.1 if wants else 1.0)
            if news is not None:
                heard = time.monotonic()
                wants = self._take(news) or wants
            elif time.monotonic() - heard > SILENT_S:
                raise Late(f"the daemon of {self._daemon.mountpoint} has said nothing for {SILENT_S:.0f} s")
            self._meter.show(self._state())

    def _name_more(self, talk: Conversation) -> bool:
        """Whether the daemon was told of more, or that there are no more."""
        found = self._walk.take(BATCH)
        if found is None:
            talk.say({"end": True})
            return True
        for each in found:
            if isinstance(each, Unlisted):
                self._failures.add(each.path, each.why)
        files = [each for each in found if isinstance(each, File)]
        if files:
            self._named.update((file.inode, file) for file in files)
            talk.say({"inodes": [file.inode for file in files]})
        return bool(files)

    def _take(self, news: Mapping[str, Any]) -> bool:
        """Whether the daemon wants more."""
        self._news = news
        for inode in news["done"]:
            self._named.pop(inode, None)
            self._done += 1
        for inode in news["skipped"]:
            file = self._named.pop(inode, None)
            self._skipped += 1
            self._gone += file.size if file is not None else 0
        for inode, _, why in news["failed"]:
            file = self._named.pop(inode, None)
            self._failures.add(file.path if file is not None else f"inode {inode}", why)
        return bool(news["wants"])

    def _state(self) -> State:
        news, walked = self._news, self._walk
        return State(
            files=self._done,
            all_files=walked.files - self._skipped,
            bytes=news["held"],
            all_bytes=max(0, walked.bytes - self._gone + news["resized"]),
            fetched=news["fetched"],
            is_counted=walked.is_counted,
            waits=news["waits"],
        )

    def _sum_up(self, how: str) -> None:
        self._meter.clear()
        held, fetched = self._news["held"], self._news["fetched"]
        also = f", {self._failures.count} failed" if self._failures.count else ""
        if self._skipped:
            also += f", {self._skipped} left out (live names, and what is gone)"
        pinned = " and pinned" if self._pin else ""
        say(f"{how}{self._done} files held{pinned}, {size(held)}; {size(fetched)} of it fetched now{also}")
        self._failures.tell()
