"""A configuration that is wrong, as the commands tell it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Type, Write

FIVE = """\
[accounts.clinic]
vendor = "apizi"
base_url = "ftp://somewhere"
token = { enw = "TOKEN" }
fresh_for = "soon"
delete = "maybe"

[cache]
memory = "lots"
"""


@pytest.mark.parametrize("command", [("check",), ("mount", "clinic", "mnt")])
def test_five_mistakes_are_told_at_once_each_with_its_line(
    typed: Type, write: Write, home: Path, command: tuple[str, ...]
) -> None:
    config = write(text=FIVE)
    said = typed(*command)
    assert said.code == 3
    for number in (2, 3, 4, 5, 6, 9):
        assert f"mediafs: {config}:{number}: " in said.err
    assert 'did you mean "apizee"' in said.err
    assert 'did you mean "env"' in said.err
    assert len(said.err.splitlines()) == 6, "one line each, and nothing twice"


def test_a_file_that_others_can_read_is_refused_with_what_to_type(typed: Type, write: Write) -> None:
    config = write()
    config.chmod(0o644)
    said = typed("check")
    assert said.code == 3
    assert f"chmod 600 {config}" in said.err
    assert "sandbox-admin-token" not in said.err


def test_a_file_that_is_not_there_or_no_file_is_told(typed: Type, home: Path) -> None:
    for path, words in ((home / "none.toml", "no such file"), (home, "it is not a file")):
        said = typed("check", "--config", path)
        assert said.code == 3
        assert str(path) in said.err
        assert words in said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_told(typed: Type, write: Write) -> None:
    config = write()
    config.chmod(0)
    said = typed("check")
    assert said.code == 3
    assert "cannot be read: Permission denied" in said.err


def test_what_it_advises_can_be_typed(typed: Type, home: Path) -> None:
    said = typed("check", "--config", home / "none.toml")
    if said.code != 3:
        pytest.fail("the file is there", pytrace=False)
    assert "init" not in said.err or typed("init", "--help").code == 0


def test_an_unknown_account_is_answered_with_the_nearest(typed: Type, write: Write) -> None:
    write()
    said = typed("mount", "clinik", "mnt")
    assert said.code == 3
    assert "clinik" in said.err
    assert '"clinic"' in said.err


def test_commands_to_a_daemon_need_no_configuration(typed: Type, write: Write, home: Path) -> None:
    write(text="[accounts")
    assert typed("status").code == 0
    assert "lies in no mount" in typed("refresh", home).err
    assert "nothing is mounted" in typed("umount", home / "mnt").err


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ('{ env = "NO_SUCH_TOKEN" }', "NO_SUCH_TOKEN"),
        ('{ file = "no-such-file" }', "no-such-file"),
        ('{ command = ["false"] }', "false"),
        ('{ credential = "token" }', "LoadCredential"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named_with_where_it_was_looked_for(
    typed: Type, write: Write, token: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediafs.cli.checking.check_fuse", lambda **_: None)
    write(token=token)
    said = typed("check")
    assert said.code == 3
    assert "accounts.clinic.token" in said.out
    assert words in said.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("config=", "'config=': the path is empty"),
        ("ro,cache_dir=", "'cache_dir=': the path is empty"),
        ("delete=", "'delete=': it is permanent, trash or deny"),
        ("uid=99999999999", "uid is a number from 0 to 4294967294"),
        ("uid=4294967295", "uid is a number from 0 to 4294967294"),
        ("gid=-1", "gid is a number from 0 to 4294967294"),
        ("max_read=1", "'max_read=1' is not supported"),
    ],
)
def test_a_mount_option_of_no_use_is_told_before_anything_is_made(
    typed: Type, write: Write, home: Path, options: str, words: str
) -> None:
    write()
    said = typed("mount", "clinic", home / "mnt", "-o", options)
    assert said.code == 3
    assert words in said.err
    assert list((home / "cache").iterdir()) == []


@pytest.mark.parametrize("how", ["--cache-dir", "-o", "a link", "default"])
@pytest.mark.parametrize("where", ["mnt", "mnt/deep/cache"])
def test_a_cache_folder_in_the_mount_point_is_refused_before_anything_is_made(
    typed: Type, write: Write, home: Path, how: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    cache = home / where
    (home / "link").symlink_to(cache)
    given = {
        "--cache-dir": ["--cache-dir", str(cache)],
        "-o": ["-o", f"cache_dir={cache}"],
        "a link": ["--cache-dir", str(home / "link")],
        "default": [],
    }[how]
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache if how == "default" else home / "cache"))
    said = typed("mount", "clinic", home / "mnt", *given)
    assert said.code == 3
    assert "must not lie in each other" in said.err
    assert "--cache-dir" in said.err
    assert list((home / "mnt").iterdir()) == []


@pytest.mark.parametrize("mountpoint", ["cache/mediafs/clinic", "cache/mediafs/clinic/spool"])
def test_a_mount_point_in_the_cache_folder_of_its_account_is_refused(
    typed: Type, write: Write, home: Path, mountpoint: str
) -> None:
    write()
    (home / mountpoint).mkdir(parents=True)
    said = typed("mount", "clinic", home / mountpoint)
    assert said.code == 3
    assert "must not lie in each other" in said.err
