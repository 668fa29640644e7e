"""The sandbox's account and its files, without sockets."""

import json
import shutil
import subprocess
import time
from collections import Counter
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from mediafs.sandbox import NoiseBody, Options, Selection, World
from mediafs.sandbox.formats import FORMATS, TEMPLATES, MediaType, SampleType
from mediafs.sandbox.hostile import add_hostile
from mediafs.sandbox.media import ResizedBody, Samples, read_all

EVERYTHING = Selection(statuses=("completed", "in_progress", "failed"))


def hostile_world(count: int, seed: int = 1) -> World:
    world = World.generate(count, seed=seed)
    add_hostile(world, date(2025, 12, 31))
    return world


def page(world: World, selection: Selection, offset: int = 0, limit: int = 100) -> list[int]:
    return [media.id for media in world.select(selection, offset=offset, limit=limit, newest_first=True)[1]]


@pytest.mark.parametrize("kind", sorted(TEMPLATES))
def test_the_size_of_a_sample_is_known_before_its_bytes_are_made(kind: SampleType) -> None:
    samples = Samples()
    for number in range(TEMPLATES[kind]):
        assert len(samples.render(kind, number, "text")) == samples.size(kind, number)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
@pytest.mark.parametrize("kind", sorted(set(TEMPLATES) - {"document"}))
def test_a_viewer_reads_every_kind_of_sample_without_a_complaint(kind: MediaType, tmp_path: Path) -> None:
    samples = Samples()
    for number in (0, TEMPLATES[kind] - 1):
        path = tmp_path / f"sample{number}.{FORMATS[kind].extension}"
        path.write_bytes(samples.render(kind, number, "text"))
        command = ["ffprobe", "-v", "warning", "-count_frames", "-show_streams", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert f"codec_type={'audio' if kind == 'audio' else 'video'}" in done.stdout


@pytest.mark.parametrize("number", range(TEMPLATES["document"]))
def test_a_document_is_what_it_says_whatever_its_marker(number: int) -> None:
    for text in ("text", 'a "quoted" \\ one', "ü\n", "x" * 500):
        data = Samples().render("document", number, text)
        found = json.loads(data)
        assert len(data) == Samples().size("document", number)
        assert len(found["dataGroups"]) == 2 + 2 * number


def test_a_video_has_its_index_at_the_end() -> None:
    data = Samples().render("video", 0, "text")
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") > data.index(b"mdat") > data.index(b"free")


def test_samples_range_from_a_kilobyte_to_one_and_a_half_megabytes() -> None:
    samples = Samples()
    sizes = [samples.size(kind, number) for kind in TEMPLATES for number in range(TEMPLATES[kind])]
    assert min(sizes) < 1100
    assert 1_400_000 < max(sizes) < 1_600_000


def test_no_two_media_have_the_same_bytes() -> None:
    digests = [sha256(read_all(media.body)).digest() for media in World.generate(120)]
    assert len(set(digests)) == 120


def test_an_account_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    once, again, other = (hostile_world(50, seed) for seed in (7, 7, 8))
    records = [[media.record("") for media in world] for world in (once, again, other)]
    assert records[0] == records[1] != records[2]
    assert read_all(once[9].body) == read_all(again[9].body)


def test_a_record_has_the_fields_of_the_services_sample_and_no_conversation() -> None:
    record = World.generate(3)[2].record("http://host")
    assert list(record) == [
        *("id", "hash", "created", "owner", "title", "description", "filename", "status", "media_type"),
        *("source_type", "filesize", "geoloc", "thumbnail_url", "url"),
    ]
    assert str(record["created"]).endswith("+00:00")


def test_a_few_per_cent_are_not_completed() -> None:
    statuses = Counter(media.status for media in World.generate(4000))
    assert 0.01 < 1 - statuses["completed"] / 4000 < 0.06
    assert set(statuses) == {"completed", "in_progress", "failed"}


def test_a_million_media_are_created_at_once_and_paged_quickly() -> None:
    started = time.perf_counter()
    world = World.generate(1_000_000)
    total, _ = world.select(Selection(), offset=0, limit=100, newest_first=True)
    assert time.perf_counter() - started < 10
    started = time.perf_counter()
    for offset in range(0, total, total // 50):
        world.select(Selection(), offset=offset, limit=100, newest_first=False)
    assert (time.perf_counter() - started) / 50 < 0.05
    assert len(world) == 1_000_000


def test_an_index_stays_right_through_additions_changes_and_removals() -> None:
    world = World.generate(200, conversations=4)
    for kind in ("user", "conversation", "tag", "media_type", "source_type", "group"):
        page(world, Selection(facets=((kind, "nobody"),)))
    added = world.add(conversation="5001", created=datetime(2024, 6, 1, tzinfo=UTC))
    world.update(3, conversation="5001", status="failed")
    world.remove(4)
    world.remove(added.id)
    kept = world.add(conversation="5001", tags=("a", "b"))
    for conversation in world.conversations:
        wanted = {media.id for media in world if media.conversation == conversation and media.completed}
        assert set(page(world, Selection(facets=(("conversation", conversation),)))) == wanted
    assert page(world, Selection(facets=(("tag", "b"),))) == [kept.id]
    assert page(world, Selection(facets=(("tag", "b"), ("conversation", "5001")))) == [kept.id]
    assert len(world) == len(list(world)) == 200


def test_a_search_finds_texts_and_forgets_what_was_removed() -> None:
    world = World.generate(30)
    found = world.add(title="The Needle")
    assert page(world, Selection(search="needle")) == [found.id]
    world.remove(found.id)
    assert page(world, Selection(search="needle")) == []


def test_a_day_holds_exactly_the_media_created_on_it() -> None:
    world = World.generate(500, first=date(2025, 3, 1), last=date(2025, 3, 10))
    start = int(datetime(2025, 3, 4, tzinfo=UTC).timestamp())
    day = Selection(statuses=EVERYTHING.statuses, since_s=start, until_s=start + 86400)
    wanted = [media.id for media in world if start <= media.created_s < start + 86400]
    assert sorted(page(world, day)) == wanted != []


def test_noise_is_the_same_from_every_offset() -> None:
    body = NoiseBody(size=1 << 30, seed=3)
    at = (1 << 29) - 100_001
    whole = b"".join(body.chunks(at, at + 600_000))
    assert len(whole) == 600_000
    assert b"".join(body.chunks(at + 70_000, at + 70_100)) == whole[70_000:70_100]


@pytest.mark.parametrize("size", [0, 99, 100, 101, 300_000])
def test_a_resized_body_has_the_size_it_says(size: int) -> None:
    body = ResizedBody(base=NoiseBody(size=100), size=size)
    data = read_all(body)
    assert len(data) == size
    assert b"".join(body.chunks(50, min(size, 200))) == data[50:200]


def test_hostile_media_bring_every_name_that_hurts() -> None:
    world = hostile_world(10)
    names = Counter(media.filename for media in world)
    assert names["snapshot.png"] == 5
    assert names["media-3npGq6km5jx2s4ct-1538745137.png"] == 2
    for name in ("../../etc/cron.d/x", "", "..", "caf\u00e9.png", "cafe\u0301.png", ".hidden.png", "-rf.png"):
        assert name in names
    assert max(map(len, names)) == 400
    assert max(len(media.title) for media in world) == 900
    owners = [media.record("")["owner"] for media in world]
    assert {"id": 2003, "name": None} in owners
    assert {"id": 2004} in owners


def test_an_option_that_does_not_exist_or_fit_is_refused_by_name() -> None:
    for name, value in (("speed", 1), ("max_limit", "many"), ("last_next_offset", "often"), ("ranges", 1)):
        with pytest.raises(ValueError, match=name):
            Options().patched({name: value})
    changed = Options().patched({"forbidden_deletes": [3], "rate_limit": 10, "rate_window_s": 1})
    assert changed == Options(forbidden_deletes=frozenset({3}), rate_limit=10, rate_window_s=1.0)
