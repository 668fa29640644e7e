"""An account over a network that is scripted: one function answers every request."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from mediafs.errors import (
    ConfigError,
    CredentialsRefused,
    Denied,
    FilterRefused,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    NotReady,
    Unavailable,
)
from mediafs.model import AccountName, Conversation, ConversationId, MediaId, Question, Removal, Span, Urgency
from mediafs.remote import CredentialState, RemoteAccount, RemoteOptions, TransportOptions
from mediafs.source import Source
from mediafs.vendors.apizee import Apizee, ApizeeOptions
from mediafs.vendors.protocol import RENEW, Call, Reply, Vendor
from tests.fakes import make_media

API = "https://api.example"
STORAGE = "https://storage.example/file?signature=s1gned"
TOKEN = "t0ken-secret"
EPOCH = 1_700_000_000.0
PERSON = Urgency.PERSON
ONE = MediaId("1")

Answer = httpx.Response | Exception
Script = Callable[[httpx.Request, int], Answer]


class Network(httpx.AsyncBaseTransport):
    """Answers by a script, which gets the request and how many came before; remembers them all."""

    def __init__(self, script: Script | list[Answer]) -> None:
        self._script = script
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        await request.aread()
        number = len(self.requests)
        self.requests.append(request)
        answer = self._script[number] if isinstance(self._script, list) else self._script(request, number)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer.stream, httpx.ByteStream):  # anew: an answer is consumed by being made
            return httpx.Response(
                answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content)
            )
        return answer

    def tokens(self) -> list[str | None]:
        return [request.headers.get("authorization") for request in self.requests]


class Broken(httpx.AsyncByteStream):
    """Some bytes, and then a failure or the end."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await trio.lowlevel.checkpoint()
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        self.closed = True


def page(**headers: str) -> httpx.Response:
    return httpx.Response(200, headers=headers, json={"total": 0, "next_offset": None, "data": []})


def account(
    network: Network, options: RemoteOptions | None = None, vendor: Vendor | None = None, **more: Any
) -> RemoteAccount:
    vendor = vendor or Apizee(ApizeeOptions(base_url=API, token=TOKEN))
    return RemoteAccount(
        AccountName("clinic"),
        vendor,
        options,
        wall=lambda: EPOCH + trio.current_time(),
        jitter=lambda: 1.0,
        http=network,
        **more,
    )


def by_password() -> Apizee:
    return Apizee(ApizeeOptions(base_url=API, username="me", password="pass-secret"))


async def listed(source: RemoteAccount) -> None:
    await source.page(Question(), urgency=PERSON)


async def read(source: RemoteAccount, span: Span, **more: Any) -> tuple[Any, bytes]:
    async with source.body(make_media(1), span, urgency=PERSON, **more) as body:
        return body, b"".join([piece async for piece in body.chunks])


async def refused_body(answer: Answer, span: Span | None = None) -> MediafsError:
    network = Network(lambda request, number: answer)
    async with account(network) as source:
        with pytest.raises(MediafsError) as caught:
            await read(source, span or Span(0))
    return caught.value


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """At the most talkative level, no test here may log a secret or a query."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection", "mediafs"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    for secret in (TOKEN, "pass-secret", "s1gned", "orderby", "second-secret"):
        assert secret not in caplog.text


# --- what goes out


async def test_an_account_is_a_source() -> None:
    async with account(Network([])) as source:
        seam: Source = source
        assert seam.traits.page_limit == 100
        assert seam.is_conversation_id("12") and not seam.is_user_id("x")  # noqa: PT018
        assert seam.wait_s(trio.lowlevel.current_task()) == 0


async def test_a_listing_is_one_request_as_the_documentation_shows_it() -> None:
    network = Network([page()])
    async with account(network) as source:
        await listed(source)
    (request,) = network.requests
    assert str(request.url) == f"{API}/api/v3/medias?orderby=date&order=asc&limit=100"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert (request.headers["accept"], request.headers["accept-encoding"]) == ("*/*", "identity")


async def test_no_cookie_is_ever_sent_back() -> None:
    network = Network([page(**{"set-cookie": "session=1; Path=/"}), page()])
    async with account(network) as source:
        await listed(source)
        await listed(source)
    assert "cookie" not in network.requests[1].headers


async def test_a_record_of_another_media_is_refused() -> None:
    record = {"id": 2, "created": "2020-01-01T00:00:00Z"}
    async with account(Network([httpx.Response(200, json=record)])) as source:
        with pytest.raises(InvalidReply, match="another media came for 1"):
            await source.media(make_media(1), urgency=PERSON)


async def test_a_filter_is_proved_by_one_request() -> None:
    network = Network([httpx.Response(200, json={"total": 5, "data": []})])
    async with account(network) as source:
        with pytest.raises(FilterRefused):
            await source.prove_filter(Conversation(ConversationId("1")), urgency=PERSON)
    assert len(network.requests) == 1


# --- credentials


async def test_a_single_401_costs_one_more_request_and_no_error() -> None:
    network = Network([httpx.Response(401), page()])
    async with account(network) as source:
        await listed(source)
        assert source.statistics().credentials is CredentialState.GOOD


async def test_refused_credentials_are_a_state_without_requests(autojump_clock: MockClock) -> None:
    network = Network(lambda request, number: httpx.Response(401, json={"error": "expired"}))
    async with account(network) as source:
        for _ in range(5):
            with pytest.raises(CredentialsRefused):
                await listed(source)
        assert len(network.requests) == 2
        assert source.statistics().credentials is CredentialState.REFUSED


async def test_refused_credentials_are_tried_once_a_minute(autojump_clock: MockClock) -> None:
    network = Network(lambda request, number: httpx.Response(401) if number < 3 else page())
    async with account(network) as source:
        with pytest.raises(CredentialsRefused):
            await listed(source)
        await trio.sleep(61)
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                await listed(source)
        assert len(network.requests) == 3
        await trio.sleep(61)
        await listed(source)
        assert source.statistics().credentials is CredentialState.GOOD
        await listed(source)
    assert len(network.requests) == 5


async def test_a_secret_is_read_again_before_the_second_login() -> None:
    async def reread() -> Vendor:
        return Apizee(ApizeeOptions(base_url=API, token="second-secret"))

    def script(request: httpx.Request, number: int) -> Answer:
        return page() if "second-secret" in request.headers["authorization"] else httpx.Response(401)

    network = Network(script)
    async with account(network, reread=reread) as source:
        await listed(source)
    assert network.tokens() == [f"Bearer {TOKEN}", "Bearer second-secret"]


class Wording(Apizee):
    """A service that words failures as 200, in a header."""

    def status(self, call: Call, reply: Reply) -> int:
        return int(reply.headers.get("x-means", reply.status))

    def is_message(self, call: Call, headers: Mapping[str, str], start: bytes) -> bool:
        return "x-means" in headers


def wording() -> Wording:
    return Wording(ApizeeOptions(base_url=API, username="me", password="pass-secret"))


async def test_what_may_come_of_a_spent_credential_renews_it_once_and_condemns_only_the_media() -> None:
    def script(request: httpx.Request, number: int) -> Answer:
        if request.url.path.endswith("/download"):
            return httpx.Response(200, headers={"x-means": str(RENEW)}, content=b"sign in")
        return tokens_on_login(request, number)

    network = Network(script)
    async with account(network, vendor=wording()) as source:
        with pytest.raises(InvalidReply):
            await read(source, Span(0))
        assert [r.method for r in network.requests] == ["POST", "GET", "POST", "GET"]
        assert source.statistics().credentials is CredentialState.GOOD
        await listed(source)


async def test_a_credential_that_was_spent_is_renewed_for_a_download() -> None:
    def script(request: httpx.Request, number: int) -> Answer:
        if request.headers.get("authorization") == "Bearer t0ken-secret-0":
            return httpx.Response(200, headers={"x-means": str(RENEW)}, content=b"sign in")
        if request.url.path.endswith("/download"):
            return httpx.Response(200, content=b"012")
        return tokens_on_login(request, number)

    async with account(Network(script), vendor=wording()) as source:
        assert (await read(source, Span(0)))[1] == b"012"


async def test_a_429_that_is_worded_as_200_is_waited_for(autojump_clock: MockClock) -> None:
    def script(request: httpx.Request, number: int) -> Answer:
        return (
            httpx.Response(200, headers={"x-means": "429"})
            if number == 1
            else tokens_on_login(request, number)
        )

    async with account(Network(script), vendor=wording()) as source:
        await listed(source)
    assert trio.current_time() == pytest.approx(0.5)


def tokens_on_login(request: httpx.Request, number: int) -> Answer:
    if request.url.path.endswith("/token"):
        return httpx.Response(200, json={"access_token": f"t0ken-secret-{number}", "expires_in": 100})
    return page()


async def test_a_login_is_made_once_for_all_who_need_it() -> None:
    network = Network(tokens_on_login)
    async with account(network, vendor=by_password()) as source, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(listed, source)
    assert [r.method for r in network.requests] == ["POST"] + ["GET"] * 5


async def test_concurrent_401s_renew_once() -> None:
    def script(request: httpx.Request, number: int) -> Answer:
        if request.headers.get("authorization") == "Bearer t0ken-secret-0":
            return httpx.Response(401)
        return tokens_on_login(request, number)

    network = Network(script)
    async with account(network, vendor=by_password()) as source, trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(listed, source)
    assert [r.method for r in network.requests].count("POST") == 2


async def test_a_login_is_renewed_ahead_of_its_end(autojump_clock: MockClock) -> None:
    network = Network(tokens_on_login)
    async with account(network, vendor=by_password()) as source:
        await listed(source)
        await trio.sleep(89)
        await listed(source)
        await trio.sleep(2)
        await listed(source)
    assert [r.method for r in network.requests] == ["POST", "GET", "GET", "POST", "GET"]


async def test_a_renewal_that_fails_ahead_of_the_end_does_not_stop_the_account(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def script(request: httpx.Request, number: int) -> Answer:
        return (
            httpx.Response(403) if request.method == "POST" and number else tokens_on_login(request, number)
        )

    network = Network(script)
    async with account(network, vendor=by_password()) as source:
        await listed(source)
        await trio.sleep(91)
        await listed(source)
        await listed(source)
    assert [r.method for r in network.requests] == ["POST", "GET", "POST", "GET", "GET"]


async def test_a_refused_login_fails_all_who_wait_for_it_with_one_try_of_each_way() -> None:
    network = Network(lambda request, number: httpx.Response(401))
    errors: list[CredentialsRefused] = []

    async def one() -> None:
        with pytest.raises(CredentialsRefused) as caught:
            await listed(source)
        errors.append(caught.value)

    async with account(network, vendor=by_password()) as source, trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(one)
    assert (len(errors), len(network.requests)) == (4, 3)


async def test_403_is_denied_and_not_a_state() -> None:
    network = Network([httpx.Response(403), page()])
    async with account(network) as source:
        with pytest.raises(Denied):
            await listed(source)
        await listed(source)


# --- retry and rate


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(503),
        httpx.ConnectError("x?secret=s1gned"),
        httpx.ReadError("x"),
        httpx.RemoteProtocolError("Server disconnected"),
        httpx.ReadTimeout("x"),
        httpx.ConnectTimeout("x"),
    ],
)
async def test_a_passing_failure_is_not_seen(failure: Answer, autojump_clock: MockClock) -> None:
    network = Network([failure, failure, page()])
    async with account(network) as source:
        await listed(source)
    assert len(network.requests) == 3


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (httpx.Response(500, json={"error": "down"}), Unavailable),
        (httpx.ConnectError(f"{API}/?orderby={TOKEN}"), Unavailable),
        (httpx.ReadTimeout(TOKEN), Late),
    ],
)
async def test_a_lasting_failure_ends_after_three_tries_without_secrets(
    failure: Answer, error: type[MediafsError], autojump_clock: MockClock
) -> None:
    network = Network([failure] * 3)
    async with account(network) as source:
        with pytest.raises(error) as caught:
            await listed(source)
        problem = source.statistics().problems[0]
    assert (problem.kind, problem.operation, problem.message) == (error.__name__, "list", str(caught.value))
    seen: BaseException | None = caught.value
    while seen is not None:
        assert TOKEN not in str(seen)
        assert "orderby" not in str(seen)
        seen = seen.__cause__ or seen.__context__


async def test_501_is_not_asked_again() -> None:
    network = Network([httpx.Response(501)])
    async with account(network) as source:
        with pytest.raises(InvalidReply):
            await listed(source)


async def test_a_503_that_states_a_wait_beyond_the_deadline_fails_at_once(autojump_clock: MockClock) -> None:
    network = Network([httpx.Response(503, headers={"retry-after": "100"})])
    async with account(network) as source:
        with trio.fail_after(15), pytest.raises(Unavailable):
            await listed(source)
    assert trio.current_time() == 0


async def test_a_429_is_waited_for_and_then_forgotten(autojump_clock: MockClock) -> None:
    network = Network([httpx.Response(429, headers={"x-ratelimit-reset": "9"}), page()])
    async with account(network) as source:
        with trio.fail_after(15):
            await listed(source)
    assert trio.current_time() == 10


async def test_a_429_beyond_the_deadline_is_late_at_once_and_stops_the_next_request(
    autojump_clock: MockClock,
) -> None:
    network = Network([httpx.Response(429, headers={"x-ratelimit-reset": "30"})])
    async with account(network) as source:
        for _ in range(2):
            with trio.fail_after(15), pytest.raises(Late) as caught:
                await listed(source)
            assert caught.value.wait_s == 31
        tasks = [trio.lowlevel.current_task()]

        async def in_line() -> None:
            tasks.append(trio.lowlevel.current_task())
            await listed(source)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_line)
            await trio.testing.wait_all_tasks_blocked()
            assert [source.wait_s(task) for task in tasks] == [0, 31]
            nursery.cancel_scope.cancel()
    assert (len(network.requests), trio.current_time()) == (1, 0)


async def test_what_is_known_of_the_limit_is_handed_to_the_next_process(autojump_clock: MockClock) -> None:
    network = Network([httpx.Response(429, headers={"x-ratelimit-reset": "30"})])
    async with account(network) as before:
        with trio.fail_after(15), pytest.raises(Late):
            await listed(before)
        known = json.loads(json.dumps(before.export_limits()))
    async with account(network, limits=known) as after:
        with trio.fail_after(15), pytest.raises(Late):
            await listed(after)
    assert len(network.requests) == 1


async def test_429_for_ever_ends(autojump_clock: MockClock) -> None:
    network = Network(lambda request, number: httpx.Response(429, headers={"retry-after": "1"}))
    async with account(network) as source:
        with pytest.raises(Late):
            await listed(source)
    assert len(network.requests) == 5


# --- answers that cannot be right


async def test_an_answer_beyond_the_limit_is_refused() -> None:
    options = RemoteOptions(transport=TransportOptions(reply_limit_bytes=1000))
    network = Network([httpx.Response(200, content=b"[" + b" " * 2000 + b"]")])
    async with account(network, options) as source:
        with pytest.raises(InvalidReply, match="larger than 1000 bytes"):
            await listed(source)
    assert len(network.requests) == 1


async def test_an_answer_that_trickles_is_given_up(autojump_clock: MockClock) -> None:
    class Trickle(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await trio.sleep(10)
                yield b" "

    network = Network(lambda request, number: httpx.Response(200, stream=Trickle()))
    async with account(network) as source:
        with pytest.raises(Late):
            await listed(source)


async def test_a_sign_in_page_is_not_a_listing() -> None:
    network = Network([httpx.Response(200, html="<html>login")])
    async with account(network) as source:
        with pytest.raises(InvalidReply, match="HTML"):
            await listed(source)


# --- downloads


async def test_a_range_is_always_asked_for() -> None:
    part = httpx.Response(206, headers={"content-range": "bytes 5-7/10", "etag": '"e"'}, content=b"567")
    rest = httpx.Response(206, headers={"content-range": "bytes 0-2/*"}, content=b"012")
    network = Network([part, rest])
    async with account(network) as source:
        body, data = await read(source, Span(5, 8), if_range='"e"')
        assert (body.start, body.length, body.total, body.partial, body.etag) == (5, 3, 10, True, '"e"')
        assert data == b"567"
        assert (await read(source, Span(0)))[0].total is None
    first, second = network.requests
    assert (first.headers["range"], first.headers["if-range"]) == ("bytes=5-7", '"e"')
    assert second.headers["range"] == "bytes=0-"
    assert "if-range" not in second.headers


async def test_a_200_is_the_whole_whatever_was_asked() -> None:
    answer = httpx.Response(200, headers={"content-type": "Video/MP4; x=1"}, content=b"0123456789")
    async with account(Network([answer])) as source:
        body, data = await read(source, Span(5, 8))
    assert (body.start, body.length, body.total, body.partial) == (0, 10, 10, False)
    assert (body.content_type, data) == ("video/mp4", b"0123456789")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, NotReady),
        (404, NotFound),
        (403, Denied),
        (416, InvalidReply),
        (201, InvalidReply),
        (304, InvalidReply),
    ],
)
async def test_a_download_without_content_is_an_error_of_its_own(
    status: int, error: type[MediafsError]
) -> None:
    assert type(await refused_body(httpx.Response(status))) is error


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-range": "bytes 5-7"},
        {"content-range": "items 5-7/10"},
        {"content-range": "bytes 7-5/10"},
        {"content-range": "bytes 5-10/10"},
        {"content-range": "bytes 6-7/10"},
        {"content-range": "bytes 5-8/10"},
        {"content-range": "bytes 5-6/10"},
        {"content-range": "bytes 5-7/10", "content-encoding": "gzip"},
        {"content-range": "bytes 5-7/10", "content-length": "three"},
    ],
)
async def test_a_part_that_is_not_what_was_asked_is_refused_before_a_byte(headers: dict[str, str]) -> None:
    stream = Broken(b"567")
    length = {} if "content-length" in headers else {"content-length": "3"}
    answer = httpx.Response(206, headers=headers | length, stream=stream)
    assert type(await refused_body(answer, Span(5, 8))) is InvalidReply
    assert stream.closed


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((b"01", httpx.ReadError("s1gned")), Unavailable),
        ((b"01", httpx.RemoteProtocolError("incomplete chunked read")), Unavailable),
        ((b"01", httpx.ReadTimeout("x")), Late),
        ((b"01",), Unavailable),
        ((b"0123",), InvalidReply),
    ],
)
async def test_a_body_that_does_not_end_as_it_should_is_an_error(
    pieces: tuple[Any, ...], error: type[MediafsError]
) -> None:
    stream = Broken(*pieces)
    answer = httpx.Response(206, headers={"content-range": "bytes 0-2/3"}, stream=stream)
    network = Network([answer])
    async with account(network) as source:
        with pytest.raises(error):
            await read(source, Span(0))
        assert source.statistics().problems[0].kind == error.__name__
    assert stream.closed


async def test_a_body_that_is_left_early_is_closed() -> None:
    stream = Broken(b"0", b"1", b"2")
    answer = httpx.Response(200, headers={"content-length": "3"}, stream=stream)
    async with account(Network([answer])) as source:
        async with source.body(make_media(1), Span(0), urgency=PERSON) as body:
            assert await anext(body.chunks) == b"0"
        assert stream.closed


async def test_a_range_of_no_bytes_is_a_bug_of_the_caller() -> None:
    async with account(Network([])) as source:
        with pytest.raises(ValueError, match="no bytes"):
            await read(source, Span(3, 3))


# --- downloads elsewhere


def to_storage(*storage: httpx.Response) -> tuple[Network, list[str]]:
    answers, hosts = list(storage), []

    def script(request: httpx.Request, number: int) -> Answer:
        hosts.append(request.url.host)
        if request.url.host == "api.example":
            return httpx.Response(302, headers={"location": STORAGE})
        return answers.pop(0)

    return Network(script), hosts


async def test_storage_gets_the_range_and_no_credential() -> None:
    network, hosts = to_storage(httpx.Response(206, headers={"content-range": "bytes 0-2/3"}, content=b"012"))
    async with account(network) as source:
        assert (await read(source, Span(0, 3)))[1] == b"012"
        assert dict(source.statistics().limits.spent_by_operation) == {"download": 1}
    assert hosts == ["api.example", "storage.example"]
    assert network.tokens() == [f"Bearer {TOKEN}", None]
    assert str(network.requests[1].url) == STORAGE
    assert network.requests[1].headers["range"] == "bytes=0-2"


@pytest.mark.parametrize("status", [401, 403, 410])
async def test_an_expired_link_is_asked_for_again_once(status: int) -> None:
    network, hosts = to_storage(httpx.Response(status), httpx.Response(200, content=b"012"))
    async with account(network) as source:
        assert (await read(source, Span(0)))[1] == b"012"
        assert source.statistics().credentials is CredentialState.GOOD
    assert hosts == ["api.example", "storage.example"] * 2


async def test_a_link_that_is_refused_twice_says_nothing_about_the_account() -> None:
    network, hosts = to_storage(httpx.Response(403), httpx.Response(403))
    async with account(network) as source:
        with pytest.raises(InvalidReply, match=r"storage\.example refuses the link"):
            await read(source, Span(0))
    assert len(hosts) == 4


async def test_a_busy_storage_is_asked_again_without_stopping_the_api(autojump_clock: MockClock) -> None:
    busy = httpx.Response(429, headers={"retry-after": "3"})
    network, _ = to_storage(busy, httpx.Response(200, content=b"012"))
    async with account(network) as source:
        await read(source, Span(0))
        assert source.statistics().limits.throttled_until is None
    assert trio.current_time() == 4


async def test_a_redirect_loop_ends() -> None:
    network = Network(lambda request, number: httpx.Response(302, headers={"location": str(request.url)}))
    async with account(network) as source:
        with pytest.raises(InvalidReply, match="loop"):
            await read(source, Span(0))
    assert len(network.requests) == 1


# --- configuration


def test_certificates_that_cannot_be_read_are_all_reported(tmp_path: Any) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    options = RemoteOptions(transport=TransportOptions(ca_file=bad, client_cert=tmp_path / "absent.pem"))
    with pytest.raises(ConfigError) as caught:
        account(Network([]), options)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["ca_file", "client_cert"]


async def test_no_repr_shows_a_secret() -> None:
    async with account(Network([page()])) as source:
        await listed(source)
        assert TOKEN not in repr(source) + repr(source.statistics()) + repr(vars(source))


# --- changes


LOST = httpx.ReadError("cut")
GONE = httpx.Response(404, json={"error": "Media not found"})


@pytest.mark.parametrize(
    ("answers", "carried_out"),
    [
        ([httpx.Response(200, json=[])], True),
        ([GONE], False),
        ([LOST, GONE], True),
        ([httpx.ReadTimeout("late"), GONE], True),
        ([httpx.Response(502), GONE], True),
        ([httpx.ConnectError("no route"), GONE], False),
        ([httpx.Response(429), GONE], False),
    ],
)
async def test_a_deletion_that_a_lost_answer_has_carried_out_counts(
    answers: list[Answer], carried_out: bool, autojump_clock: MockClock
) -> None:
    """Else the brake would never trip on a bad line."""
    async with account(Network(answers)) as source:
        erased = await source.erase(make_media(1), Removal.PERMANENT, urgency=PERSON)
    assert erased.carried_out is carried_out


@pytest.mark.parametrize(
    ("answers", "undecided"),
    [
        ([LOST] * 3, True),
        ([httpx.ConnectError("no route")] * 3, False),
        ([httpx.Response(503)] * 3, True),
        ([httpx.Response(403, json={})], False),
        ([LOST, httpx.Response(403, json={})], False),
        # The service took it, and then would not say whether the media is still there.
        ([httpx.Response(200, json={"ok": True}), httpx.Response(403, json={})], True),
        ([httpx.Response(200, json={"ok": True}), httpx.Response(409, json={})], True),
    ],
)
async def test_it_is_known_whether_a_failed_deletion_may_have_been_carried_out(
    answers: list[Answer], undecided: bool, autojump_clock: MockClock
) -> None:
    async with account(Network(answers)) as source:
        with pytest.raises(MediafsError) as caught:
            await source.erase(make_media(1), Removal.PERMANENT, urgency=PERSON)
    assert caught.value.undecided is undecided


async def test_an_edit_that_was_taken_and_then_not_shown_is_looked_into() -> None:
    async with account(Network([httpx.Response(200), GONE])) as source:
        with pytest.raises(NotFound) as caught:
            await source.update(make_media(1), {"title": "new"}, urgency=PERSON)
    assert caught.value.undecided


# --- what is fetched ahead -----------------------------------------------------------------------------


async def fetched_ahead(source: RemoteAccount) -> bytes:
    async with source.body(make_media(1), Span(0), urgency=Urgency.PREFETCH) as body:
        return b"".join([piece async for piece in body.chunks])


async def test_a_failure_of_what_is_fetched_ahead_is_no_problem_of_the_account() -> None:
    async with account(Network(lambda request, number: httpx.Response(403))) as source:
        with pytest.raises(Denied):
            await fetched_ahead(source)
        assert source.statistics().problems == ()
        with pytest.raises(Denied):
            await read(source, Span(0))
        assert [problem.kind for problem in source.statistics().problems] == ["Denied"]


async def test_what_is_fetched_ahead_waits_for_no_limit_unless_it_was_begun(
    autojump_clock: MockClock,
) -> None:
    """A request that was sent is not sent in vain because the one that it leads to would have to wait."""
    paced = RemoteOptions(requests_per_minute=10)

    def script(request: httpx.Request, number: int) -> httpx.Response:
        if number < 6:
            return page()
        if request.url.path.endswith("/again"):
            return httpx.Response(206, headers={"content-range": "bytes 0-3/4"}, content=b"body")
        return httpx.Response(302, headers={"location": f"{API}/again"})

    async with account(Network(script), paced) as source:
        for _ in range(6):
            await listed(source)
        assert await fetched_ahead(source) == b"body"
        assert source.spare(Urgency.PREFETCH) == 0
        with pytest.raises(Late):
            await fetched_ahead(source)
        assert trio.current_time() == 0
