"""The command's side of the control socket. All of it blocks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ..errors import ConfigError, Late, MediafsError
from ..model import AccountName
from .kinds import KINDS

_LONGEST_PATH: Final = 107  # sun_path of unix(7) has 108 bytes, one of them the closing NUL
_LONGEST_REPLY: Final = 16 * 1024 * 1024
_ANSWER_S: Final = 5.0
_SILENT: Final = "does not answer"
_PATIENCE_S: Final[Mapping[str, float]] = MappingProxyType({"refresh": 60.0})


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
    with _talking(path, f"did not answer {verb!r} in time"), _connected(path, deadline) as sock:
        sock.settimeout(_left(deadline))
        _send(sock, {"verb": verb, "arguments": arguments})
        line = _received_line(sock, deadline)
    return _reply(line, path)


@contextmanager
def conversation(path: Path, verb: str, /, **arguments: object) -> Iterator[Conversation]:
    """Begins a conversation with the daemon at `path`, which ends with the context. Raises what
    `call` does."""
    with _talking(path, _SILENT):
        sock = _connected(path, time.monotonic() + _ANSWER_S)
    with sock:
        talk = Conversation(sock, path)
        talk.say({"verb": verb, "arguments": arguments})
        yield talk


class Conversation:
    """The client's side."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        self._sock = sock
        self._path = path
        self._waiting = bytearray()
        self.reply: dict[str, object] | None = None
        """Once the daemon has given it: the conversation is over."""

    def say(self, what: Mapping[str, object]) -> None:
        """One object, when the daemon waits for it. Blocks for a few seconds at most. Raises Late, and where
        the daemon has gone nothing: why is what `hear` tells."""
        with _talking(self._path, _SILENT):
            self._sock.settimeout(_ANSWER_S)
            _send(self._sock, what)

    def hear(self, patience_s: float) -> dict[str, object] | None:
        """The next news; None where there is none within that time, or the reply came. Raises what `call`
        raises."""
        deadline = time.monotonic() + patience_s
        while (end := self._waiting.find(b"\n")) < 0:
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            with _talking(self._path, _SILENT):
                try:
                    self._waiting += _received(self._sock)
                except TimeoutError:
                    return None
        line = bytes(self._waiting[:end])
        del self._waiting[: end + 1]
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(line)
            if isinstance(said, dict) and isinstance(said.get("news"), dict):
                return dict(said["news"])
        self.reply = _reply(line, self._path)
        return None


@contextmanager
def _talking(path: Path, late: str) -> Iterator[None]:
    """What goes wrong on a socket as errors of ours; `late` is what a daemon does that takes too long."""
    try:
        yield
    except TimeoutError:
        raise Late(f"the daemon at {path} {late}") from None
    except (ConnectionError, FileNotFoundError) as error:
        raise NoDaemon(f"no daemon answers at {path}: {error.strerror or 'connection lost'}") from None
    except OSError as error:  # not ours to open, or longer than a socket's path may be
        raise MediafsError(f"cannot talk to the daemon at {path}: {error.strerror or error}") from None


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


def _send(sock: socket.socket, what: Mapping[str, object]) -> None:
    # A daemon that refuses says so and hangs up without reading: what it said is there to read.
    with contextlib.suppress(BrokenPipeError):
        sock.sendall(json.dumps(what).encode() + b"\n")


def _received_line(sock: socket.socket, deadline: float) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n") and len(data) <= _LONGEST_REPLY:
        sock.settimeout(_left(deadline))
        data += _received(sock)
    return bytes(data)


def _received(sock: socket.socket) -> bytes:
    if chunk := sock.recv(64 * 1024):
        return chunk
    raise ConnectionResetError(0, "it closed the connection without an answer")


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
    return KINDS[kind](message) if kind in KINDS else ControlFailed(kind, message)
