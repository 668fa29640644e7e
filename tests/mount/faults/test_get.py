"""Faults while a record is read back."""

from __future__ import annotations

from typing import Final

from .conftest import Scene

OPERATION: Final = "get"


def test_an_edit_whose_answer_shows_nothing_is_read_back_or_fails_in_time(scene: Scene, fault: str) -> None:
    scene.keeps_to_the_table(fault)
