"""Mount tests need FUSE. Where CI runs there is FUSE, so a missing one is a failure, not a skip."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.testing import Box, sandbox_process


@pytest.fixture(autouse=True)
def fuse() -> None:
    try:
        check_fuse()
    except FuseUnavailable as error:
        if os.environ.get("CI") or os.environ.get("MEDIAFS_FUSE") == "required":
            pytest.fail(f"FUSE is needed here: {error}")
        pytest.skip(str(error))


@pytest.fixture
def box() -> Iterator[Box]:
    """An account of 300 media."""
    with sandbox_process(media=300) as running:
        yield running


@pytest.fixture(scope="module")
def hostile_box() -> Iterator[Box]:
    """An account of 300 media and some with hostile names; shared, so never changed."""
    with sandbox_process(media=300, hostile=True) as running:
        yield running
