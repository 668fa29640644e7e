"""mediafs: a vendor's media archive, mounted as a drive."""

__version__ = "0.1.0"
