"""docs/RELIABILITY.md says what the tests demand, and the table leaves nothing out."""

from __future__ import annotations

from .document import DOCUMENT, complaints, rendered
from .operations import OPERATIONS
from .table import TABLE, Cell, cells, whole


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("|", "## ", "- "))]


def test_the_document_says_what_the_table_says() -> None:
    assert rows(DOCUMENT.read_text()) == rows(rendered()), "run scripts/reliability"
    assert DOCUMENT.read_text() == rendered(), "run scripts/reliability"


def test_every_operation_has_a_row_for_every_fault() -> None:
    assert whole()


def test_no_cell_is_bound_to_more_than_the_deadline_of_its_operation() -> None:
    for name, operation in OPERATIONS.items():
        for fault, cell in TABLE[name].items():
            if isinstance(cell, Cell) and (name, fault) != ("read", "stall, always"):  # many reads
                assert cell.within_s <= operation.deadline_s, (name, fault)


def test_a_run_that_left_a_cell_out_or_saw_something_else_writes_no_document() -> None:
    outcomes = [
        {"operation": operation, "fault": fault, "saw": [row.sees]}
        for operation in OPERATIONS
        for fault in cells(operation)
        if isinstance(row := TABLE[operation][fault], Cell)
    ]
    assert complaints(outcomes) == []
    assert len(complaints(outcomes[1:])) == 1
    outcomes[0]["saw"] = ["ENOTCONN"]
    assert len(complaints(outcomes)) == 1
