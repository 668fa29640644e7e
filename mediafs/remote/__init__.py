"""The only room that speaks HTTP: transport, credentials, retry, rate limit, redirects."""

from __future__ import annotations

from .account import AccountStatistics, Problem, RemoteAccount, RemoteOptions
from .credentials import CredentialState
from .limits import LimiterStatistics
from .options import TransportOptions
from .retry import RetryOptions

__all__ = [
    "AccountStatistics",
    "CredentialState",
    "LimiterStatistics",
    "Problem",
    "RemoteAccount",
    "RemoteOptions",
    "RetryOptions",
    "TransportOptions",
]
