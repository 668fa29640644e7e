"""Failures that a daemon may answer with, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .. import errors
from ..errors import ConfigError, MediafsError

KINDS: Final[Mapping[str, type[MediafsError]]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, MediafsError) and kind is not ConfigError
    }
)
"""Those that are made from a message alone."""

NAMES: Final = frozenset(KINDS) | {ConfigError.__name__}
