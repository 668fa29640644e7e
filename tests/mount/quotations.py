"""Tests whose docstrings quote docs/SEMANTICS.md: whether what they quote stands there."""

from __future__ import annotations

from collections.abc import Mapping

from .mounting import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "SEMANTICS.md"


def plain(text: str) -> str:
    """One line, without the marks of bold type."""
    return " ".join(text.replace("**", "").split())


def quotations(module: Mapping[str, object]) -> dict[str, str]:
    """Test -> what it quotes, of the tests of a module that have a docstring."""
    return {name: each.__doc__ for name, each in module.items() if name.startswith("test_") and each.__doc__}


def unfounded(module: Mapping[str, object]) -> list[str]:
    """The sentences in docstrings of tests that do not stand in the document."""
    document = plain(DOCUMENT.read_text())
    return [
        f"{name}: {plain(sentence)}"
        for name, quotation in quotations(module).items()
        for sentence in quotation.split("\n\n")
        if plain(sentence) not in document
    ]
