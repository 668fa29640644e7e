"""Measures mediafs beside rclone, curl and an in-memory file system. See README.md."""
