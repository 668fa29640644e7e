"""The daemon's side of the control socket."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import trio

from ..errors import MediafsError, ValueRefused
from .kinds import NAMES

log = logging.getLogger(__name__)

Handle = Callable[[str, Mapping[str, object]], Awaitable[Mapping[str, object]]]
Converse = Callable[["Talk", Mapping[str, object]], Awaitable[Mapping[str, object]]]
"""What a verb does that begins a conversation: its reply."""

_LONGEST_REQUEST: Final = 64 * 1024
_CLIENTS: Final = 16
"""At once; one more is told that the daemon is busy."""
_REQUEST_S: Final = 10.0
"""For a client to send its request, and for it to take the reply."""
_HANDLE_S: Final = 900.0
"""For a verb: more than any of them needs; a stuck one must not hold its place for ever."""
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: `struct ucred` of unix(7)


async def serve_control(
    path: Path,
    handle: Handle,
    *,
    lock_is_ours: bool,
    conversations: Mapping[str, Converse] = MappingProxyType({}),
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answers at `path` until it is cancelled; started once clients can connect.

    `conversations` are begun by these verbs, all others are `handle`'s.

    A socket that is there already is replaced only with `lock_is_ours`: the caller holds
    `instance.lock` for the same account and cache folder, so no other daemon can be behind it.
    What `handle` raises goes to its client alone. Raises MediafsError when it cannot listen.
    """
    with _listening(path, lock_is_ours=lock_is_ours) as sock:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        server = _Server(handle, conversations)
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


class Talk:
    """The daemon's side of a conversation."""

    def __init__(self, stream: trio.SocketStream, waiting: bytearray) -> None:
        """`waiting` is what came already behind the request."""
        self._stream = stream
        self._waiting = waiting

    async def hear(self) -> Mapping[str, object] | None:
        """What the client says next, however long that takes; None: it has gone. Raises ValueRefused."""
        try:
            line = await _line(self._stream, self._waiting, math.inf)
            said = json.loads(line) if line is not None else None
        except (_BadRequest, ValueError, RecursionError):
            raise ValueRefused("what is said in a conversation is one object of JSON a line") from None
        except (trio.BrokenResourceError, OSError):
            return None
        if line is not None and not isinstance(said, dict):
            raise ValueRefused("what is said in a conversation is one object of JSON a line")
        return said

    async def tell(self, news: Mapping[str, object]) -> bool:
        """False where nobody hears it any more."""
        try:
            await _send(self._stream, json.dumps({"news": dict(news)}).encode())
        except (trio.BrokenResourceError, trio.TooSlowError, OSError):
            return False
        return True


class _Server:
    """Answers clients, each in a task of its own; whatever one does ends with that client."""

    def __init__(self, handle: Handle, conversations: Mapping[str, Converse]) -> None:
        self._handle = handle
        self._conversations = conversations
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
            begun = self._conversations.get(verb)
            if begun is None:
                answering = self._handle(verb, arguments)
            else:
                answering = begun(Talk(stream, waiting), arguments)
            await _send(stream, await self._answer(verb, answering, _HANDLE_S if begun is None else math.inf))

    async def _answer(self, verb: str, answering: Awaitable[Mapping[str, object]], within_s: float) -> bytes:
        try:
            with trio.fail_after(within_s):
                reply = await answering
            return json.dumps({"reply": dict(reply)}).encode()
        except MediafsError as error:
            kind = next(one.__name__ for one in type(error).__mro__ if one.__name__ in NAMES)
            return _error(kind, str(error))
        except trio.TooSlowError:
            return _error("Late", f"{verb[:64]!r} took longer than {_HANDLE_S:.0f} s")
        except Exception:
            log.exception("control: %r failed", verb[:64])
            return _error("Bug", "an internal error, explained in the daemon's log")


async def _line(stream: trio.SocketStream, waiting: bytearray, within_s: float | None = None) -> bytes | None:
    """The next line; what follows it stays in `waiting`. None: the client has no more to say."""
    with trio.fail_after(_REQUEST_S if within_s is None else within_s):
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
