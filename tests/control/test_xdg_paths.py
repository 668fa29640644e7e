"""Where mediafs keeps things, and which folders it refuses."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediafs.errors import MediafsError
from mediafs.paths import UnsafeFolder, cache_dir, config_file, private_cache_dir, runtime_dir

UID = os.geteuid()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_xdg_folders_are_followed() -> None:
    env = {"HOME": "/home/n", "XDG_CONFIG_HOME": "/c", "XDG_CACHE_HOME": "/k"}

    assert config_file(env) == Path("/c/mediafs/config.toml")
    assert cache_dir(env) == Path("/k/mediafs")


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_xdg_folders_that_are_not_absolute_are_ignored(value: str) -> None:
    env = {"HOME": "/home/n", "XDG_CONFIG_HOME": value, "XDG_CACHE_HOME": value}

    assert config_file(env) == Path("/home/n/.config/mediafs/config.toml")
    assert cache_dir(env) == Path("/home/n/.cache/mediafs")


def test_without_a_home_in_the_environment_the_users_own_is_taken() -> None:
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)

    assert config_file({}) == home / ".config/mediafs/config.toml"


def test_a_cache_folder_is_made_for_its_user_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        path = private_cache_dir(tmp_path / "new" / "mediafs")
    finally:
        os.umask(previous)

    assert mode(path) == 0o700
    assert private_cache_dir(path) == path


@pytest.mark.parametrize("open_mode", [0o770, 0o702, 0o777])
def test_a_cache_folder_that_others_can_write_is_refused(tmp_path: Path, open_mode: int) -> None:
    tmp_path.chmod(open_mode)

    with pytest.raises(UnsafeFolder, match=f"chmod 700 {tmp_path}"):
        private_cache_dir(tmp_path)


def test_a_cache_folder_that_cannot_be_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for path in (tmp_path / "file", tmp_path / "file" / "mediafs"):
        with pytest.raises(MediafsError, match="cannot make the cache folder"):
            private_cache_dir(path)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with room for a socket's path, which pytest's own may not have."""
    with tempfile.TemporaryDirectory(prefix="m") as folder:
        yield Path(folder)


@pytest.fixture
def run_user(short: Path) -> Path:
    (short / "run" / str(UID)).mkdir(parents=True)
    return short / "run"


def test_sockets_live_in_the_runtime_folder(short: Path, run_user: Path) -> None:
    (short / "xdg").mkdir(mode=0o700)

    path = runtime_dir({"XDG_RUNTIME_DIR": str(short / "xdg")}, run_user=run_user)

    assert path == short / "xdg" / "mediafs"
    assert mode(path) == 0o700


@pytest.mark.parametrize("value", [None, "", "relative", "/nonexistent/folder"])
def test_without_a_runtime_folder_the_usual_place_is_taken(run_user: Path, value: str | None) -> None:
    """A command in cron or under su thereby finds the daemon of the desktop session."""
    env = {} if value is None else {"XDG_RUNTIME_DIR": value}

    assert runtime_dir(env, run_user=run_user) == run_user / str(UID) / "mediafs"


@pytest.mark.skipif(UID != 0, reason="giving a folder away needs root")
def test_the_runtime_folder_of_another_user_is_passed_over(tmp_path: Path, run_user: Path) -> None:
    (tmp_path / "xdg").mkdir(mode=0o700)
    os.chown(tmp_path / "xdg", 1000, 1000)

    path = runtime_dir({"XDG_RUNTIME_DIR": str(tmp_path / "xdg")}, run_user=run_user)

    assert path == run_user / str(UID) / "mediafs"


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Short enough for sockets, which a test's own folder may not be."""
    path = Path(f"/tmp/mediafs-test-{os.getpid()}")
    path.mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


def in_temporary(temporary: Path) -> Path:
    return runtime_dir({"TMPDIR": str(temporary)}, run_user=temporary / "none")


def test_a_runtime_folder_too_long_for_a_socket_is_passed_over(tmp_path: Path, temporary: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir(mode=0o700)

    env = {"XDG_RUNTIME_DIR": str(long), "TMPDIR": str(long)}
    path = runtime_dir(env, run_user=tmp_path / "none", temporary=temporary)

    assert path == temporary / f"mediafs-{UID}"


def test_the_last_resort_is_a_folder_of_ours_among_the_temporary_files(temporary: Path) -> None:
    path = in_temporary(temporary)

    assert path == temporary / f"mediafs-{UID}"
    assert mode(path) == 0o700
    assert in_temporary(temporary) == path


def test_a_link_in_its_place_is_refused(temporary: Path, tmp_path: Path) -> None:
    (temporary / f"mediafs-{UID}").symlink_to(tmp_path)

    with pytest.raises(UnsafeFolder, match="is a link"):
        in_temporary(temporary)


def test_a_file_in_its_place_is_refused(temporary: Path) -> None:
    (temporary / f"mediafs-{UID}").write_text("")

    with pytest.raises(UnsafeFolder, match="is not a folder"):
        in_temporary(temporary)


def test_a_folder_open_to_others_is_refused(temporary: Path) -> None:
    in_temporary(temporary).chmod(0o710)

    with pytest.raises(UnsafeFolder, match="chmod 700"):
        in_temporary(temporary)


@pytest.mark.skipif(UID != 0, reason="giving a folder away needs root")
def test_a_folder_of_another_user_is_refused(temporary: Path) -> None:
    os.chown(in_temporary(temporary), 1000, 1000)

    with pytest.raises(UnsafeFolder, match="belongs to another user"):
        in_temporary(temporary)
