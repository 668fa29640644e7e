"""`mediafs sync`: everything an account has is listed, by its daemon where it is mounted, or else here."""

from __future__ import annotations

import argparse
import logging
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import trio

from .. import instance
from ..app import running
from ..config import AccountConfig, CacheConfig
from ..control import NoDaemon, call, conversation, socket_path
from ..errors import Late, MediafsError
from ..paths import private_cache_dir
from .common import Places, complain, load_account, runtime_dir, say, set_up_logging, the_only
from .exits import Exit
from .listing import follow
from .progress import Meter, drawn
from .report import span

SILENT_S: Final = 60.0
"""A daemon that has nothing to tell says so twice a second."""
LATELY_S: Final = 120.0
"""A rate limit lets a minute's requests go at once."""


def day(text: str) -> date:
    """How argparse reads a day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2024-05-17") from None


def sync(given: argparse.Namespace) -> Exit:
    """FAILED where the days are listed, and something else could not be."""
    places = Places.of(given)
    config, account = load_account(places, given.account)
    cache_dir = private_cache_dir(places.cache)
    shown = _Shown(account.name)
    socket = socket_path(runtime_dir(), account.name, cache_dir)
    try:
        try:
            call(socket, "who")
        except NoDaemon:
            if given.verbose:
                set_up_logging(verbose=True)
            else:
                logging.getLogger("mediafs").setLevel(logging.ERROR)  # what went wrong is said at the end
            try:
                trio.run(_alone, account, config.cache, cache_dir, given.since, shown)
            except BaseExceptionGroup as group:
                raise the_only(group) from None
        else:
            since = given.since.isoformat() if given.since else None
            with conversation(socket, "sync", since=since) as talk:
                heard = time.monotonic()
                while talk.reply is None:
                    news = talk.hear(1.0)
                    if news is not None:
                        heard = time.monotonic()
                        shown.show(news)
                    elif time.monotonic() - heard > SILENT_S:
                        raise Late(f"the daemon of {account.name} has said nothing for {SILENT_S:.0f} s")
            shown.end = talk.reply
    except KeyboardInterrupt:
        shown.stopped("interrupted")
        raise
    except MediafsError:
        shown.stopped("given up")
        raise
    if shown.end is None:
        shown.stopped("interrupted")
        raise KeyboardInterrupt
    return shown.ended(given.since)


async def _alone(
    account: AccountConfig, cache: CacheConfig, cache_dir: Path, since: date | None, shown: _Shown
) -> None:
    async def tell(news: Mapping[str, object]) -> bool:
        shown.show(news)
        return True

    with (
        instance.lock(account.name, cache_dir, None),
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        failure: MediafsError | None = None
        async with running(account, cache, cache_dir) as app, trio.open_nursery() as nursery:

            async def stop() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop)
            try:
                shown.end = await follow(app, since, tell, shown.note)
            except MediafsError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


class _Shown:
    """What the command says."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._meter = Meter(lately_s=LATELY_S)
        self._news: Mapping[str, Any] | None = None
        self.end: Mapping[str, Any] | None = None
        """The last news, once everything is listed."""

    def note(self, news: Mapping[str, Any]) -> None:
        self._news = news

    def show(self, news: Mapping[str, Any]) -> None:
        self.note(news)
        self._meter.show(Listed.of(news))

    def stopped(self, how: str) -> None:
        self._meter.clear()
        if self._news is not None and self._news["pages"]:
            news = self._news
            say(f"{how}: {news['items']} media on {news['pages']} pages; a second run goes on from there")

    def ended(self, since: date | None) -> Exit:
        self._meter.clear()
        assert self.end is not None
        news = self.end
        known = "every day is listed" if news["whole"] else f"{news['media']} media are known"
        if since is not None:
            known = f"every day from {since} on is listed"
        done = f"{news['items']} media on {news['pages']} pages" if news["pages"] else "nothing to ask for"
        say(f"{self._account}: {done}; {known}")
        for what, why in news["failed"]:
            complain(MediafsError(f"{what}: {why}"))
        return Exit.FAILED if news["failed"] else Exit.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """How far a listing of everything is."""

    items: int
    pages: int
    total: int | None
    share: float | None
    """0 to 1."""
    day: str | None
    days: bool
    left: int | None
    """Requests that may go now; None: no limit is known."""
    reset_in_s: float | None
    waits: bool
    troubled: str | None

    @classmethod
    def of(cls, news: Mapping[str, Any]) -> Listed:
        return cls(**{name: news[name] for name in cls.__slots__})

    @property
    def measure(self) -> float:
        return self.pages

    def words(self, speed: float, *, bar: bool = False) -> str:
        """`speed` is in pages a second."""
        words = [f"{self.items} of {self.total} media" if self.total is not None else f"{self.items} media"]
        if not self.days:
            return ", ".join([*words, "the days are listed, now the rest"])
        if self.share is not None:
            words.append(drawn(self.share) if bar else f"{100 * self.share:.0f} %")
        words.append(f"{self.pages} pages")
        if self.troubled is not None:
            return ", ".join([*words, f"tries again soon: {self.troubled}"])
        if speed > 0:
            words.append(f"{60 * speed:.1f} a minute")
        if self.share and speed > 0:
            words.append(f"{span(self.pages * (1 - self.share) / self.share / speed)} left")
        if self.left is not None:
            again = f", more in {self.reset_in_s:.0f} s" if self.reset_in_s else ""
            words.append(f"budget {self.left} requests{again}")
        if self.waits:
            words.append("waits for it")
        return ", ".join(words)
