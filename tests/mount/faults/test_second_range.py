"""Faults while an open file is read elsewhere."""

from __future__ import annotations

from typing import Final

from .conftest import Scene

OPERATION: Final = "second range"


def test_bytes_from_elsewhere_are_of_the_same_content_or_the_read_fails(scene: Scene, fault: str) -> None:
    scene.keeps_to_the_table(fault)
