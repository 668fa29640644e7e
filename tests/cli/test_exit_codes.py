"""Every exit code, by a command that earns it; and that all are told in the help and the README."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mediafs.cli.exits import Exit, exit_for
from mediafs.errors import (
    ConfigError,
    CredentialsRefused,
    Denied,
    InvalidReply,
    Late,
    MediafsError,
    NotFound,
    Unavailable,
)
from mediafs.mount import FuseUnavailable, UnmountFailed
from mediafs.sandbox.testing import Box

from .conftest import Type, Write

ROOT = Path(__file__).parents[2]


def test_0_is_done(typed: Type, write: Write, box: Box) -> None:
    write(box.url)
    assert typed("status").code == 0
    assert typed("check").code == 0
    assert typed("--version").code == 0


def test_1_is_failed(typed: Type, home: Path) -> None:
    assert typed("umount", home / "mnt").code == 1
    assert typed("status", home / "mnt").code == 1
    assert typed("refresh", home / "mnt").code == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["mont"],
        ["mount"],
        ["mount", "clinic"],
        ["mount", "clinic", "here", "--delete", "perhaps"],
        ["umount"],
        ["refresh"],
        ["status", "--yaml"],
        ["demo", "--media", "many"],
        ["demo", "--media", "1_0"],
        ["demo", "--media", "-1"],
        ["demo", "--media", "\u0663"],
        ["demo", ""],
        ["mount", "clinic", ""],
        ["mount", "clinic", "here", "--cache-dir", ""],
        ["check", "--config", ""],
        ["umount", ""],
        ["status", ""],
        ["refresh", ""],
        ["sandbox", "--media", "many"],
        ["sandbox", "--options", '{"no_such": 1}'],
    ],
)
def test_2_is_usage_and_shows_how_it_is_used(typed: Type, words: list[str]) -> None:
    said = typed(*words)
    assert said.code == 2
    assert "usage: mediafs" in said.err
    assert said.out == ""


def test_3_is_configuration(typed: Type, write: Write, home: Path) -> None:
    assert typed("check").code == 3, "no file"
    write(text="[accounts")
    assert typed("mount", "clinic", home / "mnt").code == 3
    write()
    assert typed("check", "nobody").code == 3
    assert typed("mount", "clinic", home / "mnt", "-o", "perhaps").code == 3


def test_4_is_credentials_refused(typed: Type, write: Write, box: Box) -> None:
    write(box.url, token='"wrong"')
    assert typed("check").code == 4


def test_5_is_fuse_unavailable(write: Write, home: Path) -> None:
    write()
    # In a process of its own: it does not wait for the daemon that it starts.
    done = subprocess.run(
        [sys.executable, "-m", "mediafs", "mount", "clinic", str(home / "not there")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 5
    assert "not there" in done.stderr


def test_6_is_a_service_that_is_away(typed: Type, write: Write) -> None:
    write()
    assert typed("check").code == 6


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MediafsError("x"), 1),
        (NotFound("x"), 1),
        (Denied("x"), 1),
        (InvalidReply("x"), 1),
        (UnmountFailed("x"), 1),
        (ConfigError(["x"]), 3),
        (CredentialsRefused("x"), 4),
        (FuseUnavailable("x"), 5),
        (Unavailable("x"), 6),
        (Late("x"), 6),
    ],
)
def test_every_error_has_its_code(error: MediafsError, code: int) -> None:
    assert exit_for(error) == code


def test_ctrl_c_is_130(typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mediafs.cli.asking.daemons", interrupted)
    assert typed("status").code == 130


def test_the_codes_are_told_in_the_help_and_in_the_readme(typed: Type) -> None:
    told = typed("--help").out
    readme = (ROOT / "README.md").read_text()
    for code in Exit:
        assert f"{int(code)} " in told[told.index("exit status") :]
        assert str(int(code)) in readme[readme.lower().index("exit") :]
    assert [int(code) for code in Exit] == [0, 1, 2, 3, 4, 5, 6]
