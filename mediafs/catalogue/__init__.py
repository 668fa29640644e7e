"""What is remembered of an archive."""

from .contents import FolderOf, NameOf
from .coverage import Coverage, CrawlState, ListingState
from .scopes import RECENT_COUNT
from .store import Catalogue, opened
from .views import Stat, Views

__all__ = [
    "RECENT_COUNT",
    "Catalogue",
    "Coverage",
    "CrawlState",
    "FolderOf",
    "ListingState",
    "NameOf",
    "Stat",
    "Views",
    "opened",
]
