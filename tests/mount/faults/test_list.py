"""Faults while a day is listed."""

from __future__ import annotations

from typing import Final

from .conftest import Scene

OPERATION: Final = "list"


def test_a_listing_is_complete_or_fails_in_time(scene: Scene, fault: str) -> None:
    scene.keeps_to_the_table(fault)
