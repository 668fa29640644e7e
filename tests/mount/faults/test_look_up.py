"""Faults while a conversation that nobody knows yet is looked up."""

from __future__ import annotations

from typing import Final

from .conftest import Scene

OPERATION: Final = "look up"


def test_a_conversation_is_found_or_not_for_a_reason(scene: Scene, fault: str) -> None:
    scene.keeps_to_the_table(fault)
