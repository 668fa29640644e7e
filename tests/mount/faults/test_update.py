"""Faults while a title is changed."""

from __future__ import annotations

from typing import Final

from .conftest import Scene

OPERATION: Final = "update"


def test_a_title_is_the_old_or_the_new_one_and_the_mount_agrees(scene: Scene, fault: str) -> None:
    scene.keeps_to_the_table(fault)
