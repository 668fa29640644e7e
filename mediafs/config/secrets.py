"""Secrets: how they are written, and how they are read at the moment they are needed.

What a secret is never appears in a repr, a message or a log; where it comes from may.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..errors import ConfigError
from .files import read_file

COMMAND_TIMEOUT_S: Final = 10.0
_LONGEST_BYTES: Final = 64 * 1024  # far above any token or key; keeps `command = ["yes"]` harmless
READABLE_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class Plain:
    """Written in the configuration itself."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FromEnv:
    variable: str


@dataclass(frozen=True, slots=True)
class FromFile:
    path: Path


@dataclass(frozen=True, slots=True)
class FromCommand:
    argv: tuple[str, ...] = field(repr=False)
    """Run without a shell; arguments may hold a secret, so only the first is ever shown."""


@dataclass(frozen=True, slots=True)
class FromCredential:
    """A file of that name in `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential=)."""

    name: str


Origin = Plain | FromEnv | FromFile | FromCommand | FromCredential


class Secret:
    """A secret of the configuration, read when `read` is called and not before."""

    __slots__ = ("_env", "_key", "_origin")

    def __init__(self, key: str, origin: Origin, env: Mapping[str, str]) -> None:
        """`key` names it in messages; `env` is where variables, PATH and credentials are found."""
        self._key = key
        self._origin = origin
        self._env = env

    @classmethod
    def plain(cls, value: str, key: str = "secret") -> Secret:
        """A secret that is known already."""
        return cls(key, Plain(value), {})

    def __repr__(self) -> str:
        return f"<Secret {self._key}: {self._origin!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self._key, self._origin) == (other._key, other._origin)

    def __hash__(self) -> int:
        return hash((self._key, self._origin))

    def read(self, *, lines: bool = False, command_timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """The secret, without the one line break that may end it; `lines`: it may have several, as PEM has.

        Blocks: up to `command_timeout_s` where a command gives it. Raises ConfigError, which names the key
        and the origin, when there is none or it could not be one.
        """
        value = self._raw(command_timeout_s)
        for ending in ("\r\n", "\n"):
            if value.endswith(ending):
                value = value.removesuffix(ending)
                break
        if not value:
            raise self._wrong("is empty")
        # A header could not carry it, and the HTTP library's own error would quote it.
        allowed = "\r\n" if lines else ""
        if any((ord(char) < 32 or ord(char) == 127) and char not in allowed for char in value):
            raise self._wrong("holds a line break or another control character")
        return value

    def _raw(self, command_timeout_s: float) -> str:
        match self._origin:
            case Plain(value):
                return value
            case FromEnv(variable):
                if variable not in self._env:
                    raise self._wrong(f"environment variable {variable} is not set")
                return self._env[variable]
            case FromFile(path):
                return self._file(path, private=True)
            case FromCommand(argv):
                return self._decoded(self._output(argv, command_timeout_s))
            case FromCredential(name):
                folder = self._env.get("CREDENTIALS_DIRECTORY")
                if not folder:
                    raise self._wrong(
                        "CREDENTIALS_DIRECTORY is not set: the unit needs LoadCredential=, "
                        "and outside systemd there are no credentials"
                    )
                # systemd guards that folder itself; modes in it differ between its versions.
                return self._file(Path(folder) / name, private=False)

    def _file(self, path: Path, *, private: bool) -> str:
        try:
            mode, content = read_file(path, _LONGEST_BYTES)
        except OSError as error:
            raise self._wrong(f"cannot read {path}: {error.strerror}") from None
        if private and mode & READABLE_BY_OTHERS:
            raise self._wrong(f"others can read {path}: chmod 600 {path}")
        return self._decoded(content)

    def _decoded(self, data: bytes) -> str:
        if len(data) > _LONGEST_BYTES:
            raise self._wrong(f"is longer than {_LONGEST_BYTES} bytes")
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass  # raised outside: the first error would carry the secret's bytes along
        raise self._wrong("is not UTF-8 text")

    def _output(self, argv: tuple[str, ...], timeout_s: float) -> bytes:
        shown = ascii(argv[0])
        try:
            # What a command says on stderr may hold the secret, and would reach a log: discarded.
            # A session of its own, so that what it starts can be ended with it.
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self._env),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not a command"
            raise self._wrong(f"cannot run {shown}: {why}") from None
        with process:
            data = _bounded_output(process, time.monotonic() + timeout_s)
        if data is None:
            raise self._wrong(f"{shown} did not end within {timeout_s:g} s")
        if process.returncode != 0 and len(data) <= _LONGEST_BYTES:
            raise self._wrong(f"{shown} failed with status {process.returncode}; run it by hand to see why")
        return data

    def _wrong(self, why: str) -> ConfigError:
        return ConfigError([f"{self._key}: {why}"])


def _bounded_output(process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """What the process writes until it ends, or None when it is late. Always leaves it ended.

    Not `communicate`: that waits for everyone who inherited the pipe, for ever.
    """
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    data = bytearray()
    ended = False
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0 and len(data) <= _LONGEST_BYTES:
                ended = process.poll() is not None
                if selector.select(0 if ended else min(left, 0.05)):
                    chunk = os.read(pipe, _LONGEST_BYTES)
                    data += chunk
                    if chunk:
                        continue
                    # The pipe is closed; the process may take a moment more.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(max(0.0, deadline - time.monotonic()))
                    ended = process.poll() is not None
                    break
                if ended:
                    break
    finally:
        if process.poll() is None:
            # It has not been waited for yet, so its id cannot be another's.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return bytes(data) if ended or len(data) > _LONGEST_BYTES else None


def origin(value: object, base: Path, home: str | None) -> Origin:
    """How a secret is written: a text, or a table of one key. Raises ValueError that says what is wrong.

    Relative files belong to `base`, `~/` is `home`.
    """
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("is empty")
        return Plain(value)
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(HOW_TO_WRITE)
    ((how, what),) = value.items()
    match how, what:
        case "env", str() if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", what, re.ASCII):
            return FromEnv(what)
        case "env", _:
            raise ValueError("env must be the name of an environment variable")
        case "file", str() if what and what.isprintable():
            return FromFile(located(what, base, home))
        case "file", _:
            raise ValueError("file must be a path")
        case "command", [str(first), *rest] if first and all(isinstance(one, str) for one in rest):
            if any("\0" in one for one in what):
                raise ValueError("command must not hold NUL characters")
            return FromCommand(tuple(what))
        case "command", _:
            raise ValueError('command must be a list of texts, as in ["pass", "show", "apizee"]')
        case "credential", str() if re.fullmatch(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,255}", what, re.ASCII):
            return FromCredential(what)
        case "credential", _:
            raise ValueError("credential must be the name that LoadCredential= gives it")
    raise ValueError(HOW_TO_WRITE)


HOW_TO_WRITE: Final = (
    'must be a text, { env = "NAME" }, { file = "PATH" }, { command = ["PROGRAM", ..] } '
    'or { credential = "NAME" }'
)
ORIGIN_KEYS: Final = ("env", "file", "command", "credential")


def located(path: str, base: Path, home: str | None) -> Path:
    """A path of the configuration: `~/` is `home`, and a relative one belongs to `base`."""
    if home and (path == "~" or path.startswith("~/")):
        path = home + path[1:]
    return base / path
