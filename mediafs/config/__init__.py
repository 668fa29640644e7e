"""The operator's configuration: a TOML file in, typed values or all of its problems out."""

from .load import load, read_conversations
from .options import (
    AccountConfig,
    Auth,
    CacheConfig,
    ClientCert,
    Config,
    Delete,
    Filters,
    KeepFree,
    Names,
    PasswordAuth,
    TokenAuth,
)
from .secrets import Secret
from .values import Wrong, duration, size

__all__ = [
    "AccountConfig",
    "Auth",
    "CacheConfig",
    "ClientCert",
    "Config",
    "Delete",
    "Filters",
    "KeepFree",
    "Names",
    "PasswordAuth",
    "Secret",
    "TokenAuth",
    "Wrong",
    "duration",
    "load",
    "read_conversations",
    "size",
]
