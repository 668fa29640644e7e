"""What `--help` says: something of use, of every command, and true."""

from __future__ import annotations

import re

import pytest

import mediafs
from mediafs.cli import mount_helper

from .conftest import Type

COMMANDS = (
    "mount",
    "umount",
    "status",
    "check",
    "refresh",
    "allow-deletes",
    "cache",
    "sync",
    "warm",
    "demo",
    "sandbox",
)


def test_the_help_names_every_command_with_what_it_does(typed: Type) -> None:
    said = typed("--help")
    assert said.code == 0
    for command in COMMANDS:
        lines = said.out.splitlines()
        at = next(at for at, line in enumerate(lines) if line.split()[:1] == [command])
        words = f"{lines[at]} {lines[at + 1]}".split()  # a long name has its words on the next line
        assert len(words) > 3, words
    listed = re.findall(r"^    ([\w-]+)(?: |$)", said.out, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS), "no command is hidden, and none is promised"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_explains_what_is_not_plain(typed: Type, command: str) -> None:
    said = typed(command, "--help")
    assert said.code == 0
    assert said.err == ""
    assert said.out.startswith(f"usage: mediafs {command}")
    lines = said.out.splitlines()
    assert len(max(lines, key=len)) <= 100
    assert "SUPPRESS" not in said.out
    assert "--ready-fd" not in said.out, "that is between us and ourselves"
    prose = next(line for line in lines if line and not line.startswith(("usage:", " ")))
    assert len(prose.split()) >= 4
    if command != "sandbox":
        assert "--config" in said.out
        assert "--cache-dir" in said.out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "sandbox"])
def test_no_option_or_argument_is_without_its_words(typed: Type, command: str) -> None:
    lines = typed(command, "--help").out.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(("positional", "options")))
    entries = [at for at in range(start, len(lines)) if re.match(r"  \S", lines[at])]
    for at in entries:
        told = re.split(r"\s{2,}", lines[at].strip())[1:] or lines[at + 1 : at + 2]
        assert told, lines[at]
        assert re.match(r"\s{4,}\w|\w", told[0]), lines[at]


def test_the_help_of_mount_names_its_options(typed: Type) -> None:
    said = typed("mount", "--help").out
    for option in ("--foreground", "--read-only", "--allow-other", "--delete", "-o OPTS"):
        assert option in said
    for word in ("uid=", "gid=", "umask=", "allow_other"):
        assert word in said


def test_the_helper_of_mount_has_a_help_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        mount_helper(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: mount.mediafs")


def test_the_version_is_the_packages(typed: Type) -> None:
    assert typed("--version").out.strip() == f"mediafs {mediafs.__version__}"
