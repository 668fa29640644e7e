"""Commands typed in this process: what needs no mount needs no second interpreter either."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mediafs.cli import main
from mediafs.sandbox.testing import Box, sandbox_process


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert "Traceback" not in self.err


Type = Callable[..., Said]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of its own instead of the user's, and no token from outside."""
    for name in ("run", "config/mediafs", "cache", "mnt"):
        (tmp_path / name).mkdir(mode=0o700, parents=True)
    for variable, name in (("HOME", ""), ("XDG_RUNTIME_DIR", "run"), ("XDG_CONFIG_HOME", "config")):
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def typed(home: Path, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command: `typed("status", "--json")`."""

    def type_it(*arguments: str | os.PathLike[str]) -> Said:
        capsys.readouterr()
        try:
            code = main([os.fspath(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = end.code if isinstance(end.code, int) else 1
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return type_it


Write = Callable[..., Path]


@pytest.fixture
def write(home: Path) -> Write:
    """Writes the configuration: one account, `clinic`, or any text."""

    def write_it(
        url: str = "http://127.0.0.1:9", *lines: str, token: str = '"sandbox-admin-token"', text: str = ""
    ) -> Path:
        path = home / "config/mediafs/config.toml"
        head = [
            "[accounts.clinic]",
            'vendor = "apizee"',
            f'base_url = "{url}"',
            f"token = {token}",
            'user = "all"',
        ]
        path.write_text(text or "\n".join([*head, *lines]) + "\n")
        path.chmod(0o600)
        return path

    return write_it


@pytest.fixture(scope="session")
def archive() -> Iterator[Box]:
    """A service with 60 media; its faults are for the test that sets them."""
    with sandbox_process(media=60) as running:
        yield running


@pytest.fixture
def box(archive: Box) -> Iterator[Box]:
    yield archive
    archive.clear_faults()
    archive.set(conversation_parameter="conversation_id", user_parameter="user_id", strict_parameters=False)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command may say how much is logged from then on: its process would end with it."""
    logger = logging.getLogger("mediafs")
    level = logger.level
    yield
    logger.setLevel(level)
