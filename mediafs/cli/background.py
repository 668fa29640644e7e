"""A daemon in the background: a fresh process that says when it serves, never a fork.

A fork after FUSE was initialised leaves a child that nothing can end.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import MediafsError
from .exits import Exit

_LOG_BYTES: Final = 4 << 20
"""A log that has grown beyond this is put aside at the next start; the one before it goes."""


@dataclass(frozen=True, slots=True)
class Started:
    """What became of a daemon that was started: it serves, or why not."""

    process: subprocess.Popen[bytes]
    exit: Exit
    message: str = ""


def start(arguments: Sequence[str], log_file: Path | None) -> Started:
    """Runs `mediafs ARGUMENTS --ready-fd N` in a session of its own and waits until it serves or ends.

    With `log_file` None its messages come to ours.
    """
    read_end, write_end = (_above_the_standard_streams(end) for end in os.pipe())
    output = subprocess.DEVNULL if log_file is None else _opened_log(log_file)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "mediafs", *arguments, "--ready-fd", str(write_end)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if log_file is None else output,
            pass_fds=(write_end,),
            start_new_session=True,
        )
    finally:
        os.close(write_end)
        if log_file is not None:
            os.close(output)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read()
    if said:
        answer = json.loads(said)
        return Started(process, Exit(answer["exit"]), answer["message"])
    code = process.wait()
    where = f"; {log_file} says more" if log_file else ""
    return Started(process, Exit.FAILED, f"the daemon ended with status {code} before it served{where}")


def _above_the_standard_streams(descriptor: int) -> int:
    """Where ours are closed, a new descriptor may take the number of one, which the child then covers."""
    if descriptor > 2:
        return descriptor
    higher = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return higher


class Readiness:
    """The daemon's end of the pipe: tells the waiting command once how the start went."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def tell(self, code: Exit, message: str = "") -> bool:
        """Whether anybody was there to be told."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return False
        try:
            os.write(descriptor, json.dumps({"exit": int(code), "message": message}).encode())
        except OSError:
            pass  # whoever started us is gone; that ends nothing
        finally:
            os.close(descriptor)
        return True


def _opened_log(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MediafsError(f"cannot write the log {path}: {error.strerror}; try --cache-dir") from None
