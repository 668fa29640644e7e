"""Brings the catalogue up to date from a source: complete or failed."""

from .crawlers import SyncOptions
from .listings import Listings, syncing

__all__ = ["Listings", "SyncOptions", "syncing"]
