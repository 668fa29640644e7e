"""The operator's configuration: a TOML file in, typed values or all of its problems out."""

from .load import load, read_conversations
from .options import AccountConfig, CacheConfig, ClientCert, Config, Delete, KeepFree, Names
from .secrets import Secret
from .services import Listed, Service, Value
from .values import Wrong, duration, size

__all__ = [
    "AccountConfig",
    "CacheConfig",
    "ClientCert",
    "Config",
    "Delete",
    "KeepFree",
    "Listed",
    "Names",
    "Secret",
    "Service",
    "Value",
    "Wrong",
    "duration",
    "load",
    "read_conversations",
    "size",
]
