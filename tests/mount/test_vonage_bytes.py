"""Three hundred media of Vonage's, byte for byte: in a file of its own, since it waits a minute for turns."""

from __future__ import annotations

from collections import Counter

from mediafs.sandbox.testing import sandbox_process

from .vendor_accounts import mounted_vendor
from .vonage_service import LIST, hash_of, truth_of


def test_300_media_are_read_byte_for_byte() -> None:
    # A minute: five requests a second are sent at most.
    with sandbox_process("vonage", media=0) as box:
        for number in range(300):
            box.add(size=500 + number, filename="test.wav", created=f"2025-03-{number % 28 + 1:02}T10:00:00Z")
        with mounted_vendor(box) as mount:
            found = Counter(hash_of(mount.root / path) for path in mount.files("by-date"))
            assert found == Counter(truth_of(box).keys())
            downloads = [r for r in box.requests() if r["path"] != LIST]
            assert len(downloads) == 300
