"""Faults while a file is read from beginning to end."""

from __future__ import annotations

from typing import Final

from .conftest import Scene

OPERATION: Final = "read"


def test_bytes_are_right_or_the_read_fails_in_time(scene: Scene, fault: str) -> None:
    scene.keeps_to_the_table(fault)
