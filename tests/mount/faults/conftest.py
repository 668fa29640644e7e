"""Each module here names one OPERATION; its tests share a mount, and are given its cells one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mediafs.mount import FuseUnavailable, check_fuse

from .cells import judge, keep, run
from .faults import FAULTS
from .operations import OPERATIONS, Operation, Target
from .stage import Stage, staged
from .table import TABLE, Cell, cells


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
        metafunc.parametrize("fault", cells(metafunc.module.OPERATION))


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
