"""Brings the catalogue up to date from a source: complete or failed."""

from .listings import Listings, syncing
from .options import SyncOptions

__all__ = ["Listings", "SyncOptions", "syncing"]
