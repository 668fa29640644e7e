"""What is remembered of an archive."""

from .coverage import Coverage, CrawlState, ListingState
from .database import Database
from .filenames import NameOf
from .humans import FolderOf
from .scopes import RECENT_COUNT
from .store import Catalogue, opened
from .views import Stat, Views
from .words import terms_of

__all__ = [
    "RECENT_COUNT",
    "Catalogue",
    "Coverage",
    "CrawlState",
    "Database",
    "FolderOf",
    "ListingState",
    "NameOf",
    "Stat",
    "Views",
    "opened",
    "terms_of",
]
