"""Conversations over the control socket: news before the reply, and no end but that of one of the two."""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from mediafs.control import Conversation, NoDaemon, Talk, call, conversation, serve_control
from mediafs.errors import NoRoom, ValueRefused


class Counter:
    """Tells the sum of what it hears, until it hears nothing or 0; then replies. At -1 it fails."""

    def __init__(self) -> None:
        self.left = trio.Event()
        """A client has gone without a 0."""
        self.deaf = trio.Event()
        """Nobody hears any more."""

    async def count(self, talk: Talk, arguments: Mapping[str, object]) -> Mapping[str, object]:
        total = 0
        await talk.tell({"said": arguments})
        while (said := await talk.hear()) is not None:
            number = said["number"]
            assert isinstance(number, int)
            if number == 0:
                return {"total": total}
            if number < 0:
                raise NoRoom("it is full")
            total += number
            await talk.tell({"so far": total})
        self.left.set()
        while await talk.tell({"still": "here"}):
            await trio.lowlevel.checkpoint()
        self.deaf.set()
        return {}

    async def handle(self, verb: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        return {"verb": verb}


@asynccontextmanager
async def serving(path: Path, counter: Counter) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        serve = functools.partial(
            serve_control,
            path,
            counter.handle,
            lock_is_ours=True,
            conversations={"count": counter.count},
        )
        await nursery.start(serve)
        yield
        nursery.cancel_scope.cancel()


def heard(talk: Conversation) -> dict[str, object]:
    news = talk.hear(10)
    assert news is not None
    return news


async def test_both_say_more_than_once_before_the_reply(tmp_path: Path) -> None:
    def counted() -> object:
        with conversation(tmp_path / "s.sock", "count", pin=True) as talk:
            assert heard(talk) == {"said": {"pin": True}}
            assert talk.hear(0.01) is None
            for number, total in ((1, 1), (2, 3), (40, 43)):
                talk.say({"number": number})
                assert heard(talk) == {"so far": total}
            assert talk.reply is None
            talk.say({"number": 0})
            assert talk.hear(10) is None
            return talk.reply

    async with serving(tmp_path / "s.sock", Counter()):
        assert await trio.to_thread.run_sync(counted) == {"total": 43}
        other = await trio.to_thread.run_sync(functools.partial(call, tmp_path / "s.sock", "echo"))
        assert other == {"verb": "echo"}, "other verbs are as ever"


async def test_a_failure_ends_it_with_its_kind(tmp_path: Path) -> None:
    def fail() -> None:
        with conversation(tmp_path / "s.sock", "count") as talk:
            heard(talk)
            talk.say({"number": -1})
            talk.hear(10)

    async with serving(tmp_path / "s.sock", Counter()):
        with pytest.raises(NoRoom, match="it is full"):
            await trio.to_thread.run_sync(fail)


async def test_what_is_no_object_is_refused(tmp_path: Path) -> None:
    for nonsense in (b"[1]\n", b"{\n", b"x" * 70_000):
        async with serving(tmp_path / "s.sock", Counter()):
            stream = await trio.open_unix_socket(tmp_path / "s.sock")
            await stream.send_all(b'{"verb": "count"}\n' + nonsense)
            data = b""
            while data.count(b"\n") < 2:
                data += await stream.receive_some()
            assert json.loads(data.splitlines()[1])["error"] == ValueRefused.__name__
            await stream.aclose()


async def test_who_hangs_up_is_missed(tmp_path: Path) -> None:
    def leave() -> None:
        with conversation(tmp_path / "s.sock", "count") as talk:
            heard(talk)

    counter = Counter()
    async with serving(tmp_path / "s.sock", counter):
        await trio.to_thread.run_sync(leave)
        with trio.fail_after(10):
            await counter.left.wait()
            await counter.deaf.wait()


async def test_a_conversation_may_take_longer_than_a_request(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(tmp_path / "s.sock", Counter()):
        stream = await trio.open_unix_socket(tmp_path / "s.sock")
        await stream.send_all(b'{"verb": "count"}\n')
        assert b"said" in await stream.receive_some()
        await trio.sleep(3600)
        await stream.send_all(b'{"number": 0}\n')
        assert json.loads(await stream.receive_some()) == {"reply": {"total": 0}}
        await stream.aclose()


def test_no_daemon_is_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon), conversation(tmp_path / "s.sock", "count"):
        pass


async def test_a_daemon_that_ends_is_told(tmp_path: Path) -> None:
    opened = trio.Event()

    def wait() -> None:
        with conversation(tmp_path / "s.sock", "count") as talk:
            heard(talk)
            trio.from_thread.run_sync(opened.set)
            talk.hear(10)

    async with trio.open_nursery() as nursery:
        outcome: list[BaseException] = []

        async def client() -> None:
            try:
                await trio.to_thread.run_sync(wait)
            except NoDaemon as error:
                outcome.append(error)

        async with serving(tmp_path / "s.sock", Counter()):
            nursery.start_soon(client)
            await opened.wait()
    assert len(outcome) == 1
