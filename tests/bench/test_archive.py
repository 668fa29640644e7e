"""The archive that listings are measured on, and the service that lists it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import report
from bench.archive import FIRST_DAY, Archive, size
from bench.listing_server import Service
from bench.report import Run
from bench.works import WORKS
from mediafs.model import Question
from mediafs.tree import file_name
from mediafs.vendors.apizee import Apizee
from mediafs.vendors.apizee_options import ApizeeOptions
from mediafs.vendors.protocol import Reply


@given(st.integers(1, 5000), st.integers(-10, 400_000))
def test_what_was_created_from_a_moment_on_begins_with_its_number(per_day: int, seconds: int) -> None:
    archive, moment = Archive(1, per_day), FIRST_DAY + timedelta(seconds=seconds)
    first = archive.from_on(moment)
    assert archive.created(first) >= moment
    assert first == 1 or archive.created(first - 1) < moment


def asked(archive: Archive, query: str) -> dict[str, Any]:
    """The page that the service shows."""
    return dict(json.loads(Service(archive, 0).page(dict(parse_qsl(query)))))


def test_a_service_lists_what_the_catalogue_of_the_archive_holds() -> None:
    archive = Archive(250, per_day=100)
    body = json.dumps(asked(archive, "order=asc&limit=100&offset=200")).encode()
    vendor = Apizee(ApizeeOptions(token="token"))
    shown = vendor.parse_page(Question(), Reply(status=200, headers={}, body=body))
    assert [media.id for media in shown.media] == [str(number) for number in range(201, 251)]
    assert shown.total == 250
    for number, media in enumerate(shown.media, 201):
        assert (media.created, media.size) == (archive.created(number), size(number))
        assert file_name(media, 0) == archive.name(number)


@pytest.mark.parametrize(
    ("query", "ids", "total"),
    [
        ("order=desc&limit=2", [250, 249], 250),
        ("order=asc&limit=2&since=2023-06-02T00:00:00Z", [101, 102], 150),
        ("order=asc&limit=2&since=2023-06-02T00:00:00Z&until=2023-06-02T00:14:24Z", [101], 1),
        ("order=asc&limit=2&offset=249", [250], 250),
        ("order=asc&limit=2&user_id=2147483647", [], 0),
    ],
)
def test_a_service_shows_what_is_asked_for(query: str, ids: list[int], total: int) -> None:
    page = asked(Archive(250, per_day=100), query)
    assert ([record["id"] for record in page["data"]], page["total"]) == (ids, total)


def test_the_document_of_a_group_that_was_not_measured_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr("bench.work.REPOSITORY", tmp_path)
    monkeypatch.setattr("bench.report.REPOSITORY", tmp_path)
    monkeypatch.setattr("bench.report._draw", lambda judged, crawled, path: drawn.append(path))
    (tmp_path / "docs").mkdir()
    kept = tmp_path / "docs" / "benchmarks.md"
    kept.write_text("as it was")
    head = {"rounds": 1, "machine": {}, "versions": {}, "link": {}}
    names = [name for name, work in WORKS.items() if work.group.name == "benchmarks-metadata"]
    samples: list[dict[str, Any]] = [
        {"work": name, "peer": "mediafs", "round": 1, "seconds": 1.0} for name in names
    ]
    report.write(Run(head, samples[1:]), parts=False)
    assert drawn == []
    report.write(Run(head, samples), parts=False)
    assert kept.read_text() == "as it was"
    written = (tmp_path / "docs" / "benchmarks-metadata.md").read_text()
    assert written.startswith("# Listings and attributes")
    assert drawn == [tmp_path / "docs" / "benchmarks-metadata.svg"]
