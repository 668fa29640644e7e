"""Secrets: where they come from, and that they show nowhere."""

from __future__ import annotations

import copy
import dataclasses
import os
import sys
import time
from pathlib import Path

import pytest

from mediafs.config import AccountConfig, Secret, Service
from mediafs.config.secrets import FromCommand, FromCredential, FromEnv, FromFile, Origin, Plain, origin
from mediafs.errors import ConfigError
from mediafs.model import AccountName

KEY = "accounts.clinic.token"
ENV = {"PATH": os.environ["PATH"], "TOKEN": "s3cret\n"}


def command(*argv: str) -> Secret:
    return Secret(KEY, FromCommand(argv), ENV)


def python(code: str) -> Secret:
    return command(sys.executable, "-c", code)


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def problem(secret: Secret) -> str:
    with pytest.raises(ConfigError) as caught:
        secret.read()
    (found,) = caught.value.problems
    assert found.startswith(f"{KEY}: ")
    assert caught.value.__cause__ is None
    return found


def test_a_secret_is_read_from_each_origin(tmp_path: Path) -> None:
    path = private(tmp_path / "token", "s3cret\n")
    origins: list[Origin] = [
        Plain("s3cret"),
        FromEnv("TOKEN"),
        FromFile(path),
        FromCommand(("printf", "s3cret")),
        FromCredential("token"),
    ]
    env = ENV | {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert [Secret(KEY, one, env).read() for one in origins] == ["s3cret"] * 5


@pytest.mark.parametrize(("raw", "value"), [("a\n", "a"), ("a\r\n", "a"), (" a b ", " a b "), ("ä", "ä")])
def test_only_the_one_line_break_that_ends_a_secret_is_dropped(raw: str, value: str) -> None:
    assert Secret(KEY, Plain(raw), {}).read() == value


@pytest.mark.parametrize("raw", ["a\n\n", "a\nb", "a\x00", "a\x7f"])
def test_a_secret_that_no_header_could_carry_is_refused(raw: str) -> None:
    assert "control character" in problem(Secret(KEY, Plain(raw), {}))


def test_a_secret_is_read_when_it_is_asked_for_and_not_before(tmp_path: Path) -> None:
    secret = Secret(KEY, FromFile(tmp_path / "token"), {})
    private(tmp_path / "token", "later")

    assert secret.read() == "later"


def test_a_missing_origin_is_named_with_its_key(tmp_path: Path) -> None:
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert "environment variable NONE is not set" in problem(Secret(KEY, FromEnv("NONE"), {}))
    assert f"cannot read {tmp_path}/no: No such file" in problem(Secret(KEY, FromFile(tmp_path / "no"), {}))
    assert "cannot run 'no-such-program'" in problem(command("no-such-program"))
    assert "CREDENTIALS_DIRECTORY is not set" in problem(Secret(KEY, FromCredential("t"), {}))
    assert f"cannot read {tmp_path}/t" in problem(Secret(KEY, FromCredential("t"), env))
    assert "is empty" in problem(Secret(KEY, FromEnv("E"), {"E": "\n"}))


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_secret_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "token", "s3cret", mode)

    assert problem(Secret(KEY, FromFile(path), {})).endswith(f"others can read {path}: chmod 600 {path}")


def test_a_secret_file_must_be_a_file_of_text(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "raw").write_bytes(b"s3cret\xff")
    (tmp_path / "raw").chmod(0o600)
    private(tmp_path / "long", "x" * (64 * 1024 + 1))

    assert "is not a file" in problem(Secret(KEY, FromFile(tmp_path / "pipe"), {}))
    assert "is not a file" in problem(Secret(KEY, FromFile(tmp_path), {}))
    assert "is not UTF-8 text" in problem(Secret(KEY, FromFile(tmp_path / "raw"), {}))
    assert "is longer than" in problem(Secret(KEY, FromFile(tmp_path / "long"), {}))


def test_a_command_runs_without_a_shell_and_with_the_given_environment() -> None:
    assert command("printf", "%s", "$TOKEN;`id`").read() == "$TOKEN;`id`"
    assert python("import os; print(os.environ['TOKEN'], end='')").read() == "s3cret"


def test_a_failed_command_is_told_without_what_it_said_or_was_told() -> None:
    found = problem(python("import sys; print('s3cret'); sys.exit('s3cret')"))

    assert found.endswith("failed with status 1; run it by hand to see why")
    assert "s3cret" not in found


def test_a_command_that_says_too_much_is_cut_off() -> None:
    assert "is longer than" in problem(command("yes"))


def test_a_late_command_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write('%d %d' % (os.getpid(), child.pid))\n"
        "time.sleep(600)"
    )

    with pytest.raises(ConfigError, match="did not end within 1 s"):
        python(code).read(command_timeout_s=1)

    assert all(wait_ended(pid) for pid in (tmp_path / "pids").read_text().split())


def wait_ended(pid: str) -> bool:
    """Whether the process is gone, or dead and not collected yet, within some seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def test_a_command_that_leaves_a_child_behind_does_not_wait_for_it() -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '20']); print('s3cret')"

    assert python(code).read() == "s3cret"


def test_no_repr_shows_a_secret_or_the_arguments_of_a_command() -> None:
    shown = [
        repr(Secret.plain("s3cret", KEY)),
        str(command("curl", "-H", "s3cret")),
        repr(dataclasses.asdict(Service(values={"token": Secret.plain("s3cret")}))),
        repr(
            AccountConfig(
                name=AccountName("a"),
                vendor="apizee",
                base_url="https://x.example",
                service=Service(values={"token": Secret.plain("s3cret")}),
            )
        ),
        repr(copy.deepcopy(Secret.plain("s3cret"))),
        repr(Secret(KEY, FromEnv("TOKEN"), ENV)),
    ]

    assert "s3cret" not in "".join(shown)
    assert shown[0] == "<Secret accounts.clinic.token: Plain()>"
    assert shown[5] == "<Secret accounts.clinic.token: FromEnv(variable='TOKEN')>"


def test_relative_files_belong_to_the_configuration() -> None:
    base = Path("/etc/mediafs")

    assert origin({"file": "token"}, base, "/home/n") == FromFile(Path("/etc/mediafs/token"))
    assert origin({"file": "~/token"}, base, "/home/n") == FromFile(Path("/home/n/token"))
    assert origin({"file": "/token"}, base, None) == FromFile(Path("/token"))
