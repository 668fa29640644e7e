"""Commands whose output nobody reads, or that run without a terminal, end as they would otherwise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mediafs.sandbox.testing import Box

from .conftest import Write

ROOT = Path(__file__).parents[2]


def shell(line: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """A line of a shell in which `mediafs` is the command."""
    text = f'mediafs() {{ "{sys.executable}" -m mediafs "$@"; }}\n{line}'
    return subprocess.run(
        ["bash", "-c", text],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.parametrize("command", ["status", "check"])
def test_a_closed_standard_output_changes_nothing(home: Path, write: Write, box: Box, command: str) -> None:
    write(box.url)
    done = shell(f"mediafs {command} >&-")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_reader_that_leaves_early_is_no_failure(home: Path, write: Write, box: Box) -> None:
    write(box.url)
    # `true` ends at once; the command is slower than that to say its first line.
    done = shell("mediafs check | true; echo ${PIPESTATUS[0]}")
    assert done.stdout.strip() == "0"
    assert done.stderr == ""


def test_a_full_disk_behind_standard_output_is_said_without_a_traceback(home: Path) -> None:
    done = shell("mediafs status > /dev/full")
    assert "Traceback" not in done.stderr


def test_without_any_standard_stream_a_command_still_ends(home: Path, write: Write, box: Box) -> None:
    write(box.url)
    done = shell("mediafs check <&- >&- 2>&-")
    assert done.returncode == 0


@contextmanager
def sandbox(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mediafs", "sandbox", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_says_where_it_is_and_ends_when_it_is_told_to(number: signal.Signals) -> None:
    with sandbox("--media", "3", "--json") as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert facts["url"].startswith("http://127.0.0.1:")
        assert facts["media"] == 3
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_port_that_is_taken_is_told(box: Box) -> None:
    port = box.url.rpartition(":")[2]
    with sandbox("--port", port) as process:
        assert process.wait(15) == 1
        assert process.stderr is not None
        said = process.stderr.read()
        assert "Traceback" not in said
        assert "in use" in said
