"""The control socket: how a command talks to the daemon of a mounted account.

One request a line, `{"verb": .., "arguments": {..}}`, and one line back: `{"reply": {..}}`, or
`{"error": KIND, "message": ..}` where KIND is the name of a class in `errors.py`, or `Bug`. Only the
daemon's own user and root are answered. What the verbs mean is the caller's affair.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import stat
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import trio

from . import errors
from .errors import ConfigError, Late, MediafsError
from .model import AccountName

log = logging.getLogger(__name__)

Handle = Callable[[str, Mapping[str, object]], Awaitable[Mapping[str, object]]]

_LONGEST_PATH: Final = 107  # sun_path of unix(7) has 108 bytes, one of them the closing NUL
_LONGEST_REQUEST: Final = 64 * 1024
_LONGEST_REPLY: Final = 16 * 1024 * 1024
_CLIENTS: Final = 16
"""At once; one more is told that the daemon is busy."""
_REQUEST_S: Final = 10.0
"""For a client to send its request, and for it to take the reply."""
_HANDLE_S: Final = 900.0
"""For a verb: more than any of them needs; a stuck one must not hold its place for ever."""
_ANSWER_S: Final = 5.0
_PATIENCE_S: Final[Mapping[str, float]] = MappingProxyType({"refresh": 60.0})
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: `struct ucred` of unix(7)

_KINDS: Final[Mapping[str, type[MediafsError]]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, MediafsError) and kind is not ConfigError
    }
)
_NAMES: Final = frozenset(_KINDS) | {ConfigError.__name__}


class NoDaemon(MediafsError):
    """No daemon listens at this socket."""


class ControlFailed(MediafsError):
    """The daemon could not answer; `kind` is what it calls the failure."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def socket_path(runtime_dir: Path, account: AccountName, cache_dir: Path) -> Path:
    """Where the daemon of this account and cache folder listens.

    The same for every spelling of the cache folder, and short enough for a socket. Raises
    MediafsError when no name in `runtime_dir` can be.
    """
    place = os.fsencode(account) + b"\0" + os.fsencode(os.path.realpath(cache_dir))
    digest = hashlib.sha256(place).hexdigest()
    for name in (f"{account}.{digest[:12]}.sock", f"{digest[:20]}.sock"):
        path = runtime_dir / name
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            return path
    raise MediafsError(
        f"the path {runtime_dir} is too long for a socket: set XDG_RUNTIME_DIR to a shorter one"
    )


def find_sockets(runtime_dir: Path) -> list[Path]:
    """The control sockets there, in order of name. A daemon that was killed leaves its socket behind."""
    try:
        return sorted(path for path in runtime_dir.glob("*.sock") if path.is_socket())
    except OSError:
        return []


def call(
    path: Path, verb: str, /, *, timeout_s: float | None = None, **arguments: object
) -> dict[str, object]:
    """Asks the daemon at `path`; blocks up to `timeout_s` in all (5 s by default, more for `refresh`).

    Raises NoDaemon when none listens there, Late when it does not answer in time, the error of
    `errors.py` that the daemon answered with, and ControlFailed for anything else it says.
    """
    deadline = time.monotonic() + (_PATIENCE_S.get(verb, _ANSWER_S) if timeout_s is None else timeout_s)
    request = json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n"
    try:
        with _connected(path, deadline) as sock:
            sock.settimeout(_left(deadline))
            # A daemon that refuses says so and hangs up without reading: what it said is there to read.
            with contextlib.suppress(BrokenPipeError):
                sock.sendall(request)
            line = _received_line(sock, deadline)
    except TimeoutError:
        raise Late(f"the daemon at {path} did not answer {verb!r} in time") from None
    except (ConnectionError, FileNotFoundError) as error:
        raise NoDaemon(f"no daemon answers at {path}: {error.strerror or 'connection lost'}") from None
    except OSError as error:  # not ours to open, or longer than a socket's path may be
        raise MediafsError(f"cannot talk to the daemon at {path}: {error.strerror or error}") from None
    return _reply(line, path)


def _connected(path: Path, deadline: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        while True:
            sock.settimeout(_left(deadline))
            try:
                sock.connect(os.fspath(path))
            except BlockingIOError:  # its queue is full: for this family connect does not wait
                time.sleep(0.02)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _received_line(sock: socket.socket, deadline: float) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n") and len(data) <= _LONGEST_REPLY:
        sock.settimeout(_left(deadline))
        chunk = sock.recv(64 * 1024)
        if not chunk:
            raise ConnectionResetError(0, "it closed the connection without an answer")
        data += chunk
    return bytes(data)


def _reply(line: bytes, path: Path) -> dict[str, object]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        if isinstance(said.get("reply"), dict):
            return dict(said["reply"])
        kind, message = said.get("error"), said.get("message")
        if isinstance(kind, str) and isinstance(message, str):
            raise _failure(kind, message)
    raise ControlFailed("InvalidReply", f"the daemon at {path} answered something that cannot be read")


def _failure(kind: str, message: str) -> MediafsError:
    if kind == ConfigError.__name__:
        return ConfigError(message.split("\n"))
    return _KINDS[kind](message) if kind in _KINDS else ControlFailed(kind, message)


# --- the daemon's side -----------------------------------------------------------------------------


async def serve_control(
    path: Path,
    handle: Handle,
    *,
    lock_is_ours: bool,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answers at `path` until it is cancelled; started once clients can connect.

    A socket that is there already is replaced only with `lock_is_ours`: the caller holds
    `instance.lock` for the same account and cache folder, so no other daemon can be behind it.
    What `handle` raises goes to its client alone. Raises MediafsError when it cannot listen.
    """
    with _listening(path, lock_is_ours=lock_is_ours) as sock:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        server = _Server(handle)
        task_status.started()
        await trio.serve_listeners(server.serve, [listener])


@contextmanager
def _listening(path: Path, *, lock_is_ours: bool) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            _make_way(path, lock_is_ours=lock_is_ours)
            # Before bind, so that there is no moment at which others could connect (unix(7): Linux
            # gives the file the mode of the socket, less the umask).
            os.fchmod(sock.fileno(), 0o600)
            sock.bind(os.fspath(path))
            made = path.lstat()
            sock.listen(_CLIENTS)
        except OSError as error:
            raise MediafsError(f"cannot listen at {path}: {error.strerror or error}") from error
        sock.setblocking(False)
        try:
            yield sock
        finally:
            with contextlib.suppress(OSError):
                if os.path.samestat(path.lstat(), made):  # not the socket of one who came after us
                    path.unlink()


def _make_way(path: Path, *, lock_is_ours: bool) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise MediafsError(f"{path} is in the way, and it is not a socket: remove it")
    if not lock_is_ours:
        raise MediafsError(f"{path} may belong to another daemon")
    path.unlink()


class _BadRequest(Exception):
    """A request that cannot be read; nothing that follows it can be trusted either."""


class _Server:
    """Answers clients, each in a task of its own; whatever one does ends with that client."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._clients = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self._clients += 1
        try:
            async with stream:
                uid = _peer_uid(stream)
                if uid not in (os.geteuid(), 0):
                    log.info("control: refused a client of uid %d", uid)
                    await _send(stream, _error("Denied", "this daemon belongs to another user"))
                elif self._clients > _CLIENTS:
                    await _send(stream, _error("Late", "the daemon is busy with other commands"))
                else:
                    await self._converse(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError) as error:
            log.debug("control: a client went away: %r", error)
        finally:
            self._clients -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        waiting = bytearray()
        while True:
            try:
                line = await _line(stream, waiting)
                if line is None:
                    return
                verb, arguments = _parsed(line)
            except _BadRequest as error:
                await _send(stream, _error("BadRequest", str(error)))
                return
            await _send(stream, await self._answer(verb, arguments))

    async def _answer(self, verb: str, arguments: Mapping[str, object]) -> bytes:
        try:
            with trio.fail_after(_HANDLE_S):
                reply = await self._handle(verb, arguments)
            return json.dumps({"reply": dict(reply)}).encode()
        except MediafsError as error:
            kind = next(one.__name__ for one in type(error).__mro__ if one.__name__ in _NAMES)
            return _error(kind, str(error))
        except trio.TooSlowError:
            return _error("Late", f"{verb[:64]!r} took longer than {_HANDLE_S:.0f} s")
        except Exception:
            log.exception("control: %r failed", verb[:64])
            return _error("Bug", "an internal error, explained in the daemon's log")


async def _line(stream: trio.SocketStream, waiting: bytearray) -> bytes | None:
    """The next line; what follows it stays in `waiting`. None: the client has no more to say."""
    with trio.fail_after(_REQUEST_S):
        while (end := waiting.find(b"\n")) < 0:
            if len(waiting) > _LONGEST_REQUEST:
                raise _BadRequest(f"a request has at most {_LONGEST_REQUEST} bytes")
            chunk = await stream.receive_some(16 * 1024)
            if not chunk:
                return None
            waiting += chunk
    line = bytes(waiting[:end])
    del waiting[: end + 1]
    return line


def _parsed(line: bytes) -> tuple[str, Mapping[str, object]]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise _BadRequest("a request is one line of JSON") from None
    verb = said.get("verb") if isinstance(said, dict) else None
    arguments = said.get("arguments", {}) if isinstance(said, dict) else None
    if not isinstance(verb, str) or not isinstance(arguments, dict):
        raise _BadRequest('a request is {"verb": "..", "arguments": {..}}')
    return verb, arguments


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"error": kind, "message": message}).encode()


async def _send(stream: trio.SocketStream, line: bytes) -> None:
    with trio.fail_after(_REQUEST_S):
        await stream.send_all(line + b"\n")


def _peer_uid(stream: trio.SocketStream) -> int:
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid
