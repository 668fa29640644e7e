"""The control socket, on real sockets: what a command hears, and that no client harms the daemon."""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import socket
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from mediafs.control import ControlFailed, NoDaemon, call, client, find_sockets, serve_control, socket_path
from mediafs.errors import ConfigError, Denied, Late, MediafsError, NotFound
from mediafs.instance import AlreadyMounted
from mediafs.model import AccountName

CLINIC = AccountName("clinic")


class Daemon:
    """Answers `echo`, fails as told on `fail`, and waits on `wait` until `gate` opens.

    `full` is set once it was asked for as much as it does at once.
    """

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.full = trio.Event()
        self.verbs: list[str] = []
        self.failure: Exception = NotFound("no such thing")

    async def handle(self, verb: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        self.verbs.append(verb)
        if len(self.verbs) == 16:
            self.full.set()
        if verb == "wait":
            await self.gate.wait()
        if verb == "fail":
            raise self.failure
        if verb == "unsayable":
            return {"it": object()}
        return {"verb": verb, "arguments": arguments}


@asynccontextmanager
async def serving(path: Path, daemon: Daemon, *, lock_is_ours: bool = True) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(functools.partial(serve_control, path, daemon.handle, lock_is_ours=lock_is_ours))
        yield
        nursery.cancel_scope.cancel()


async def called(socket_at: Path, verb: str, /, **arguments: str | int) -> object:
    return await trio.to_thread.run_sync(functools.partial(_called, socket_at, verb, arguments))


def _called(socket_at: Path, verb: str, arguments: Mapping[str, object]) -> object:
    return call(socket_at, verb, timeout_s=None, **arguments)


@asynccontextmanager
async def raw_client(path: Path) -> AsyncIterator[trio.SocketStream]:
    async with await trio.open_unix_socket(path) as stream:
        yield stream


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where other users may go, which a test's own folder is not."""
    folder = Path(f"/tmp/mediafs-control-test-{os.getpid()}")
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


async def said(stream: trio.abc.ReceiveStream) -> dict[str, object]:
    """The next line, of a client that has sent one request."""
    data = b""
    while not data.endswith(b"\n"):
        chunk = await stream.receive_some()
        assert chunk, "closed without a line"
        data += chunk
    answer = json.loads(data)
    assert isinstance(answer, dict)
    return answer


async def test_a_call_is_answered_with_what_the_daemon_says(tmp_path: Path) -> None:
    async with serving(tmp_path / "s.sock", Daemon()):
        answer = await called(tmp_path / "s.sock", "echo", path="ä\n", count=3)

    assert answer == {"verb": "echo", "arguments": {"path": "ä\n", "count": 3}}


@pytest.mark.parametrize(
    ("failure", "heard"),
    [
        (NotFound("no such thing"), NotFound),
        (Denied("not for you"), Denied),
        (ConfigError(["one", "two"]), ConfigError),
        (AlreadyMounted(7, Path("/m")), MediafsError),
    ],
)
async def test_a_failure_of_the_daemon_is_the_same_failure_for_the_command(
    tmp_path: Path, failure: Exception, heard: type[Exception]
) -> None:
    daemon = Daemon()
    daemon.failure = failure
    async with serving(tmp_path / "s.sock", daemon):
        with pytest.raises(MediafsError) as caught:
            await called(tmp_path / "s.sock", "fail")

    assert type(caught.value) is heard
    assert str(caught.value) == str(failure)


@pytest.mark.parametrize("verb", ["fail", "unsayable"])
async def test_a_bug_stays_in_the_log_and_the_daemon_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, verb: str
) -> None:
    daemon = Daemon()
    daemon.failure = KeyError("s3cret")
    async with serving(tmp_path / "s.sock", daemon):
        with pytest.raises(ControlFailed, match="daemon's log") as caught:
            await called(tmp_path / "s.sock", verb)
        assert await called(tmp_path / "s.sock", "echo")

    assert caught.value.kind == "Bug"
    assert "s3cret" not in str(caught.value)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_one_connection_may_ask_more_than_once(tmp_path: Path) -> None:
    async with serving(tmp_path / "s.sock", Daemon()), raw_client(tmp_path / "s.sock") as stream:
        for verb in ("one", "two"):
            await stream.send_all(json.dumps({"verb": verb}).encode() + b"\n")
            assert await said(stream) == {"reply": {"verb": verb, "arguments": {}}}


async def test_two_requests_in_one_packet_are_two_requests(tmp_path: Path) -> None:
    daemon = Daemon()
    async with serving(tmp_path / "s.sock", daemon), raw_client(tmp_path / "s.sock") as stream:
        await stream.send_all(b'{"verb": "one"}\n{"verb": "two"}\n')
        await stream.send_eof()
        while await stream.receive_some():
            pass

    assert daemon.verbs == ["one", "two"]


@pytest.mark.parametrize(
    "request_line",
    [b"nonsense", b"\xff", b"[]", b"{}", b'{"verb": 1}', b'{"verb": "x", "arguments": []}', b"[" * 50_000],
)
async def test_a_request_that_cannot_be_read_is_refused(tmp_path: Path, request_line: bytes) -> None:
    daemon = Daemon()
    async with serving(tmp_path / "s.sock", daemon), raw_client(tmp_path / "s.sock") as stream:
        await stream.send_all(request_line + b"\n")
        assert (await said(stream))["error"] == "BadRequest"
        assert await stream.receive_some() == b""

    assert daemon.verbs == []


async def test_a_request_without_end_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path / "s.sock", Daemon()), raw_client(tmp_path / "s.sock") as stream:
        await stream.send_all(b"x" * (64 * 1024 + 1))
        assert (await said(stream))["error"] == "BadRequest"


async def test_a_client_that_hangs_up_harms_nobody(tmp_path: Path) -> None:
    daemon = Daemon()
    async with serving(tmp_path / "s.sock", daemon):
        async with raw_client(tmp_path / "s.sock") as stream:
            await stream.send_all(b'{"verb": "wait"}\n')
        async with raw_client(tmp_path / "s.sock") as stream:
            await stream.send_all(b'{"verb":')
        await trio.testing.wait_all_tasks_blocked()
        daemon.gate.set()
        assert await called(tmp_path / "s.sock", "echo")

    assert daemon.verbs == ["wait", "echo"]


async def test_a_client_that_says_nothing_is_shown_the_door(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(tmp_path / "s.sock", Daemon()), raw_client(tmp_path / "s.sock") as stream:
        assert await stream.receive_some() == b""

    assert trio.current_time() >= 10


async def test_a_client_that_takes_no_reply_is_dropped(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    big = json.dumps({"verb": "x", "arguments": {"big": "y" * 60_000}}).encode() + b"\n"
    async with serving(tmp_path / "s.sock", Daemon()), raw_client(tmp_path / "s.sock") as stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(big * 100)


async def test_a_verb_that_never_ends_gives_its_place_back(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(tmp_path / "s.sock", Daemon()), raw_client(tmp_path / "s.sock") as stream:
        await stream.send_all(b'{"verb": "wait"}\n')
        assert (await said(stream))["error"] == "Late"


async def test_more_clients_than_places_are_told_that_the_daemon_is_busy(tmp_path: Path) -> None:
    daemon = Daemon()
    async with serving(tmp_path / "s.sock", daemon), trio.open_nursery() as nursery:
        for _ in range(16):
            nursery.start_soon(called, tmp_path / "s.sock", "wait")
        await daemon.full.wait()
        with pytest.raises(Late, match="busy"):
            await called(tmp_path / "s.sock", "echo")
        daemon.gate.set()

    assert len(daemon.verbs) == 16


async def test_only_the_owner_can_reach_the_socket_from_its_first_moment(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        async with serving(tmp_path / "s.sock", Daemon()):
            assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == 0o600
    finally:
        os.umask(previous)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
async def test_another_user_is_refused_even_where_the_file_lets_him_in(open_folder: Path) -> None:
    path = open_folder / "s.sock"
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "print(s.makefile().readline())"
    )
    python = shutil.which("python3", path="/usr/bin:/bin")  # that of the tests may lie out of his reach
    assert python
    daemon = Daemon()
    async with serving(path, daemon):
        await trio.Path(path).chmod(0o666)
        ended = await trio.run_process(
            [python, "-I", "-c", code, str(path)],
            user=65534,
            group=65534,
            extra_groups=[],
            capture_stdout=True,
            cwd="/",
        )

    assert json.loads(ended.stdout)["error"] == "Denied"
    assert daemon.verbs == []


async def test_the_socket_goes_when_the_daemon_does(tmp_path: Path) -> None:
    async with serving(tmp_path / "s.sock", Daemon()):
        assert find_sockets(tmp_path) == [tmp_path / "s.sock"]

    assert os.listdir(tmp_path) == []


async def test_a_daemon_leaves_the_socket_of_its_successor_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    async with serving(path, Daemon()):
        path.unlink()
        successor = socket.socket(socket.AF_UNIX)
        successor.bind(os.fspath(path))

    assert path.is_socket()
    successor.close()


def killed(path: Path) -> None:
    """Leaves what a daemon that was killed leaves."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.fspath(path))


async def test_a_stale_socket_is_replaced_by_who_holds_the_lock(tmp_path: Path) -> None:
    killed(tmp_path / "s.sock")

    async with serving(tmp_path / "s.sock", Daemon()):
        assert await called(tmp_path / "s.sock", "echo")


async def test_without_the_lock_a_socket_that_is_there_stays(tmp_path: Path) -> None:
    killed(tmp_path / "s.sock")

    with pytest.raises(MediafsError, match="another daemon"):
        await serve_control(tmp_path / "s.sock", Daemon().handle, lock_is_ours=False)

    assert (tmp_path / "s.sock").is_socket()


async def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "s.sock").write_text("precious")

    with pytest.raises(MediafsError, match="not a socket"):
        await serve_control(tmp_path / "s.sock", Daemon().handle, lock_is_ours=True)

    assert (tmp_path / "s.sock").read_text() == "precious"


async def test_a_path_too_long_for_a_socket_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(MediafsError, match="cannot listen"):
        await serve_control(tmp_path / ("x" * 120), Daemon().handle, lock_is_ours=True)


def test_a_command_without_a_daemon_is_told_so(tmp_path: Path) -> None:
    killed(tmp_path / "stale.sock")

    for name in ("stale.sock", "none.sock"):
        with pytest.raises(NoDaemon, match=f"no daemon answers at {tmp_path}/{name}"):
            call(tmp_path / name, "status")


def test_a_call_to_an_impossible_path_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(MediafsError, match="cannot talk to the daemon"):
        call(tmp_path / ("x" * 120), "status")


def test_a_daemon_that_says_nothing_makes_the_command_late(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(tmp_path / "s.sock"))
        silent.listen(1)

        with pytest.raises(Late, match="did not answer 'status' in time"):
            call(tmp_path / "s.sock", "status", timeout_s=0.05)


def test_a_daemon_that_takes_no_connections_makes_the_command_late(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as waiting:
        full.bind(os.fspath(tmp_path / "s.sock"))
        full.listen(0)
        waiting.connect(os.fspath(tmp_path / "s.sock"))

        with pytest.raises(Late):
            call(tmp_path / "s.sock", "status", timeout_s=0.1)


@pytest.mark.parametrize("answer", [b"", b"\n", b"[]\n", b'{"reply": 1}\n', b'{"error": "X"}\n', b"\xff\n"])
async def test_an_answer_that_cannot_be_read_is_a_failure(tmp_path: Path, answer: bytes) -> None:
    with trio.socket.socket(trio.socket.AF_UNIX) as listener:
        await listener.bind(os.fspath(tmp_path / "s.sock"))
        listener.listen(1)

        async def answer_wrongly() -> None:
            client, _ = await listener.accept()
            with client:
                await client.recv(1024)
                await client.send(answer)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_wrongly)
            with pytest.raises((ControlFailed, NoDaemon)):
                await called(tmp_path / "s.sock", "status")


def test_refresh_is_given_more_time_than_the_rest() -> None:
    assert client._PATIENCE_S["refresh"] > client._ANSWER_S == 5


def test_a_socket_has_one_path_for_an_account_and_a_cache_folder(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "link").symlink_to("cache")
    run = Path("/run/user/1000/mediafs")

    path = socket_path(run, CLINIC, tmp_path / "cache")

    assert path.parent == run
    assert path.name.startswith("clinic.")
    assert path == socket_path(run, CLINIC, tmp_path / "link")
    assert path == socket_path(run, CLINIC, tmp_path / "link" / ".." / "cache")
    assert path != socket_path(run, CLINIC, tmp_path)
    assert path != socket_path(run, AccountName("clinic2"), tmp_path / "cache")


@pytest.mark.parametrize("folder_length", range(20, 108, 3))
def test_a_socket_path_always_fits_or_is_refused(folder_length: int) -> None:
    run = Path("/" + "r" * (folder_length - 1))
    account = AccountName("a" * 64)

    if folder_length > 107 - 26:
        with pytest.raises(MediafsError, match="too long"):
            socket_path(run, account, Path("/c"))
    else:
        path = socket_path(run, account, Path("/c"))
        assert len(os.fsencode(path)) <= 107
        assert path != socket_path(run, account, Path("/d"))


def test_no_folder_means_no_sockets(tmp_path: Path) -> None:
    (tmp_path / "x.sock").write_text("not a socket")

    assert find_sockets(tmp_path / "none") == []
    assert find_sockets(tmp_path) == []
