"""Faults while the size of a file is found out."""

from __future__ import annotations

from typing import Final

from .conftest import Scene

OPERATION: Final = "open"


def test_a_file_of_unknown_size_is_opened_with_its_true_size_or_not_at_all(scene: Scene, fault: str) -> None:
    scene.keeps_to_the_table(fault)
