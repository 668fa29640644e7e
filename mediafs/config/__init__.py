"""The operator's configuration: a TOML file in, typed values or all of its problems out."""

from .load import load, read_conversations
from .options import AccountConfig, CacheConfig, ClientCert, Config, Delete, KeepFree, Names
from .secrets import Secret
from .services import (
    ApizeeConfig,
    Auth,
    Filters,
    Listed,
    PasswordAuth,
    Service,
    TokenAuth,
    VerbaConfig,
    VeriffConfig,
    VonageConfig,
    ZoomConfig,
)
from .values import Wrong, duration, size

__all__ = [
    "AccountConfig",
    "ApizeeConfig",
    "Auth",
    "CacheConfig",
    "ClientCert",
    "Config",
    "Delete",
    "Filters",
    "KeepFree",
    "Listed",
    "Names",
    "PasswordAuth",
    "Secret",
    "Service",
    "TokenAuth",
    "VerbaConfig",
    "VeriffConfig",
    "VonageConfig",
    "Wrong",
    "ZoomConfig",
    "duration",
    "load",
    "read_conversations",
    "size",
]
