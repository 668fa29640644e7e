"""A configuration file to write, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mediafs.config import Config, load
from mediafs.errors import ConfigError

Write = Callable[..., Path]
ENV = {"HOME": "/home/nurse", "APIZEE_TOKEN": "s3cret"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str, mode: int = 0o600) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return to_file


def clock() -> datetime:
    return datetime(2024, 5, 17, 23, 30, tzinfo=UTC)


def loaded(path: Path) -> Config:
    return load(path, ENV, now=clock)


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(path)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]
