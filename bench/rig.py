"""Processes, mounts and folders of a run, each with its end: nothing may be left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
PATIENCE_S: Final = 300.0
"""For any one thing that is measured."""
_END_WITHIN_S: Final = 10.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """What could not be measured, in words for the report."""


def environment(home: Path | None = None) -> dict[str, str]:
    """This one, without proxies; with folders of its own below *home*."""
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    env |= {"PYTHONPATH": str(REPOSITORY), "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    if home is not None:
        env |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        env |= {"XDG_CONFIG_HOME": str(home / "config")}
    return env


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


@contextmanager
def running(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own, so that a Ctrl-C is for us alone; ended with the block."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env or environment(),
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    for act in (process.terminate, process.kill):
        act()
        try:
            process.wait(_END_WITHIN_S)
            break
        except subprocess.TimeoutExpired:
            continue
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def first_line(process: subprocess.Popen[str], log: Path) -> str:
    """What the process says when it serves. Raises Failure with its own words where it ends instead."""
    assert process.stdout is not None
    with watched(process, 60):
        line = process.stdout.readline().strip()
    if not line:
        raise Failure(f"{process.args!r} did not start: {tail(log)}")
    return line


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-5:])


@contextmanager
def watched(process: subprocess.Popen[str], patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Kills the process when the block takes too long. Not `wait(timeout)`, which looks every 50 ms."""
    timer = threading.Timer(patience_s, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@dataclass(frozen=True)
class Spent:
    """What a command said on its standard output, and what it took."""

    said: str
    cpu_s: float
    peak_mib: float


def run(
    *command: str, patience_s: float = PATIENCE_S, env: Mapping[str, str] | None = None
) -> tuple[str, float]:
    """Standard output of a command, and the CPU seconds it took. Raises Failure where it fails."""
    done = spent(*command, patience_s=patience_s, env=env)
    return done.said, done.cpu_s


def spent(*command: str, patience_s: float = PATIENCE_S, env: Mapping[str, str] | None = None) -> Spent:
    """Runs a command to its end. Raises Failure where it fails."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env or environment(),
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        with watched(process, patience_s):
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        errors = process.stderr.read().strip()
        process.stdout.close()
        process.stderr.close()
    if process.returncode != 0:
        raise Failure(f"{' '.join(command[:3])}: exit {process.returncode}: {errors[-400:]}")
    return Spent(said, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = 30.0) -> None:
    end_at = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end_at:
            raise Failure(f"{what}: not within {patience_s:.0f} s")
        time.sleep(0.02)


def is_mounted(root: Path) -> bool:
    """Read from the kernel's table: a question to the mount itself may hang."""
    return f" {root} " in Path("/proc/self/mountinfo").read_text()


@contextmanager
def mounted(
    command: Sequence[str], root: Path, log: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """The daemon in the foreground, while *root* is its mount."""
    root.mkdir()
    with running(command, log, env=env) as process:
        try:

            def served() -> bool:
                if process.poll() is not None:
                    raise Failure(f"the daemon ended: {tail(log)}")
                return is_mounted(root)

            wait_until(served, "mounting")
            yield process
        finally:
            unmount(root, process)


def unmount(root: Path, process: subprocess.Popen[str]) -> None:
    for flags in ("-u", "-u", "-uz", "-uz"):
        if not is_mounted(root):
            break
        subprocess.run(["fusermount3", flags, str(root)], check=False, capture_output=True, timeout=30)
        time.sleep(0.05)
    try:
        process.wait(_END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        for task in Path(f"/proc/{member}/task").glob("*/children"):
            found += [int(word) for word in task.read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, its threads and its children, so far."""
    total = 0
    for member in _family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(word) for word in fields[11:15])
    return total / _TICKS


def peak_rss_mib(pid: int) -> float:
    """VmHWM of a process and its children, together."""
    total = 0
    for member in _family(pid):
        for line in Path(f"/proc/{member}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1])
    return total / 1024


def die_on_signals() -> None:
    """The first Ctrl-C, SIGTERM or hang-up ends the run; what comes while it cleans up is ignored."""

    def interrupted(number: int, frame: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupted)
