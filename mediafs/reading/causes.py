"""A failure within a nursery leaves the room as what it is, and not as a group of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_cause() -> Iterator[None]:
    """No exception group leaves it when there is one cause."""
    only: BaseException | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        only = group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        if only is group:
            raise
    if only is not None:
        raise only
