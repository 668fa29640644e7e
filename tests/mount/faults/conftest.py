"""Each module here names one OPERATION; its tests share a mount, and are given its cells one by one.

`scripts/reliability` runs all of them. Of the operations that neither give bytes nor delete, `scripts/test`
runs a fourth, each another one, so that every fault meets some of them: the whole table takes four minutes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from mediafs.mount import FuseUnavailable, check_fuse

from .cells import judge, keep, run
from .faults import FAULTS
from .operations import OPERATIONS, Operation, Target
from .stage import Stage, staged
from .table import TABLE, Cell, cells

WHOLE: Final = ("read", "delete")


@dataclass(frozen=True)
class Scene:
    """One operation on its mount."""

    stage: Stage
    operation: Operation
    targets: dict[str, Target]

    def keeps_to_the_table(self, fault: str) -> None:
        cell = TABLE[self.operation.name][fault]
        assert isinstance(cell, Cell)
        outcome = run(self.stage, self.operation, self.targets[fault], FAULTS[fault])
        judge(outcome, cell)
        keep(outcome)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault" in metafunc.fixturenames:
        metafunc.parametrize("fault", _to_run(metafunc.module.OPERATION))


def _to_run(operation: str) -> list[str]:
    every = cells(operation)
    if operation in WHOLE or "MEDIAFS_CELLS" in os.environ:
        return every
    return every[list(OPERATIONS).index(operation) % 4 :: 4]


@pytest.fixture(scope="module")
def mounted_scene(request: pytest.FixtureRequest) -> Iterator[Scene | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says what that means
        return
    operation = OPERATIONS[request.module.OPERATION]
    with staged(operation.lines, media=operation.generated) as stage:
        yield Scene(stage, operation, operation.prepare(stage, cells(operation.name)))


@pytest.fixture
def scene(mounted_scene: Scene | None) -> Scene:
    assert mounted_scene is not None
    return mounted_scene
