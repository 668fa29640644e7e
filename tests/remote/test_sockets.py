"""An account over real sockets, against the sandbox in a process of its own."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from mediafs.errors import InvalidReply, Late, MediafsError, Unavailable
from mediafs.model import AccountName, Conversation, ConversationId, MediaId, Question, Span, Urgency
from mediafs.remote import RemoteAccount, RemoteOptions, RetryOptions, TransportOptions
from mediafs.sandbox.testing import Box, sandbox_process
from mediafs.vendors.apizee import Apizee, ApizeeOptions
from tests.fakes import make_media

PERSON = Urgency.PERSON
QUICK = RetryOptions(first_wait_s=0.01, longest_wait_s=0.02)


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    with sandbox_process(media=40) as box:
        yield box


@pytest.fixture
def box(shared: Box) -> Box:
    shared.clear_faults()
    shared.set(redirect=False, chunked=False, rate_limit=None, strict_parameters=False)
    shared.reset()
    return shared


@asynccontextmanager
async def account(box: Box, read_timeout_s: float = 5.0, **options: Any) -> AsyncIterator[RemoteAccount]:
    made = ApizeeOptions(**({"base_url": box.url, "token": box.token, "user": "all"} | options))
    transport = TransportOptions(read_timeout_s=read_timeout_s, environment=False)
    remote = RemoteOptions(transport=transport, retry=QUICK)
    async with RemoteAccount(AccountName("box"), Apizee(made), remote) as source:
        yield source


async def read(source: RemoteAccount, media: MediaId, span: Span) -> bytes:
    async with source.body(make_media(int(media)), span, urgency=PERSON) as body:
        return b"".join([piece async for piece in body.chunks])


def truth(box: Box) -> dict[str, Any]:
    """A media of some size, with its digest."""
    return max(box.world(digest=True), key=lambda item: item["size"] if item["size"] < 2_000_000 else 0)


def id_of(item: dict[str, Any]) -> MediaId:
    return MediaId(str(item.get("record", item)["id"]))


async def test_a_strict_service_lists_everything_page_by_page(box: Box) -> None:
    box.set(strict_parameters=True)
    seen, cursor = [], None
    async with account(box) as source:
        while True:
            page = await source.page(Question(cursor=cursor, limit=15), urgency=PERSON)
            seen += [media.id for media in page.media]
            if (cursor := page.next) is None:
                break
    assert len(seen) == len(set(seen)) == page.total
    assert len(box.requests(path="/api/v3/medias")) == 3


async def test_a_password_opens_the_service_and_a_filter_proves_itself(box: Box) -> None:
    async with account(box, token=None, username=box.username, password=box.password) as source:
        await source.prove_filter(Conversation(ConversationId("1")), urgency=PERSON)
        box.expire_tokens()
        await source.page(Question(limit=1), urgency=PERSON)


@pytest.mark.parametrize("redirect", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_bytes_are_the_services(box: Box, redirect: bool, chunked: bool) -> None:
    box.set(redirect=redirect, chunked=chunked)
    item = truth(box)
    async with account(box) as source:
        whole = await read(source, id_of(item), Span(0))
        assert hashlib.sha256(whole).hexdigest() == item["sha256"]
        assert await read(source, id_of(item), Span(100, 1000)) == whole[100:1000]


async def test_storage_on_another_origin_gets_no_credential(box: Box) -> None:
    box.set(redirect=True)
    async with account(box) as source:
        await read(source, id_of(truth(box)), Span(0))
    asked = box.requests(origin="storage")
    assert len(asked) == 1
    assert "authorization" not in str(asked).lower()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "cut", "after_bytes": 100}, Unavailable),
        ({"kind": "stall", "after_bytes": 100, "seconds": 30}, Late),
        ({"kind": "wrong-range"}, InvalidReply),
        ({"kind": "redirect-loop"}, InvalidReply),
    ],
)
async def test_a_spoilt_download_is_never_the_end_of_the_file(
    box: Box, fault: dict[str, Any], error: type[MediafsError]
) -> None:
    item = truth(box)
    box.fault(**fault, path="/api/v3/medias/*/download")
    async with account(box, read_timeout_s=0.2) as source:
        with pytest.raises(error):
            await read(source, id_of(item), Span(0))
        assert len(await read(source, id_of(item), Span(0))) == item["size"]


@pytest.mark.parametrize("kind", ["refuse", "reset"])
async def test_a_connection_that_breaks_before_the_answer_is_not_seen(box: Box, kind: str) -> None:
    box.fault(kind, path="/api/v3/medias", times=2)
    async with account(box) as source:
        await source.page(Question(limit=1), urgency=PERSON)


@pytest.mark.parametrize("kind", ["bad-json", "deep-json", "html", "empty", "huge-json"])
async def test_an_answer_that_cannot_be_right_is_refused(box: Box, kind: str) -> None:
    box.fault(kind, path="/api/v3/medias")
    async with account(box) as source:
        with pytest.raises(InvalidReply):
            await source.page(Question(limit=1), urgency=PERSON)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_download_that_is_left_closes_its_connection(cancelled: bool) -> None:
    closed = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n0123456789")
        assert await stream.receive_some() == b""
        closed.set()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        port = listener.socket.getsockname()[1]
        options = ApizeeOptions(base_url=f"http://127.0.0.1:{port}", token="t0ken")
        remote = RemoteOptions(transport=TransportOptions(environment=False), retry=QUICK)
        async with RemoteAccount(AccountName("box"), Apizee(options), remote) as source:
            with trio.CancelScope() as scope:
                async with source.body(make_media(1), Span(0), urgency=PERSON) as body:
                    assert await anext(body.chunks) == b"0123456789"
                    if cancelled:
                        nursery.start_soon(cancel_soon, scope)
                        await anext(body.chunks)
            assert scope.cancelled_caught is cancelled
            with trio.fail_after(2):
                await closed.wait()
        nursery.cancel_scope.cancel()


async def cancel_soon(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)
    scope.cancel()


async def test_a_limit_that_the_service_counts_aloud_is_never_overrun(box: Box) -> None:
    box.set(rate_limit=10)
    done: list[int] = []
    async with account(box) as source:

        async def one() -> None:
            with trio.fail_after(5), pytest.raises(Late) if len(done) >= 10 else trio.CancelScope():
                await source.page(Question(limit=1), urgency=PERSON)
            done.append(1)

        for _ in range(14):
            await one()
    requests = box.requests(path="/api/v3/medias")
    assert len(requests) == 10


async def test_nothing_secret_is_logged_at_any_level(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("httpx", "httpcore", "mediafs")):
            caplog.set_level(logging.DEBUG, logger=name)
    box.set(redirect=True)
    box.fault("status", status=503, path="/api/v3/medias")
    async with account(box, token=None, username=box.username, password=box.password) as source:
        await source.page(Question(limit=1), urgency=PERSON)
        await read(source, id_of(truth(box)), Span(0))
    logged = caplog.text.lower()
    assert "again in" in logged  # it does log
    for secret in (box.password, "authorization", "bearer", "orderby", "http://", "expires="):
        assert secret not in logged
    assert not [record for record in caplog.records if record.name.startswith(("httpx", "httpcore"))]


async def test_nobody_listening_is_unavailable_with_a_reason() -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        options = ApizeeOptions(base_url=f"http://127.0.0.1:{port}", token="t0ken")
        remote = RemoteOptions(transport=TransportOptions(environment=False), retry=QUICK)
        async with RemoteAccount(AccountName("box"), Apizee(options), remote) as source:
            with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port} cannot be reached \(.+\)"):
                await source.page(Question(), urgency=PERSON)
