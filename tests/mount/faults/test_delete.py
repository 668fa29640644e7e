"""Faults while a media is deleted."""

from __future__ import annotations

from typing import Final

from .conftest import Scene

OPERATION: Final = "delete"


def test_a_media_is_gone_or_still_there_and_the_mount_agrees(scene: Scene, fault: str) -> None:
    scene.keeps_to_the_table(fault)
