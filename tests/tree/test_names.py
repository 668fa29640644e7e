"""Names: legal, distinct, a pure function of the record."""

from __future__ import annotations

import unicodedata
from typing import Final, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafs.tree.names import Names, file_name, folder_name, id_in_folder_name, legal_id
from tests.fakes import make_media

TWINS: Final[tuple[tuple[int, Literal["NFC", "NFD"]], ...]] = ((1, "NFC"), (2, "NFD"))

HOSTILE = [
    "../../etc/cron.d/x",
    "new\nline.png",
    "a" * 400 + ".png",
    "é" * 400,
    "",
    "..",
    ".",
    ".hidden",
    "-rf",
    " lead",
    "trail. ",
    "\u202egnp.exe",
    "nul\0l.png",
    "\ud800.png",
    "a/b",
    "🎥" * 100 + ".mp4",
    "\u2028",
    "con\x7f\x9b.png",
]


def is_legal(name: str) -> bool:
    return (
        0 < len(name.encode()) <= 255
        and name not in (".", "..")
        and name == unicodedata.normalize("NFC", name)
        and not name.startswith(("-", ".", " "))
        and not name.endswith((" ", "."))
        and not any(c == "/" or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)
        and not any(0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069 for c in name)
    )


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("names", list(Names))
def test_a_hostile_name_becomes_a_legal_one(hostile: str, names: Names) -> None:
    name = file_name(make_media(7, filename=hostile, title=hostile), 0, names)
    assert is_legal(name)
    assert "~" in name


@given(st.text(), st.text(), st.integers(0, 5))
def test_every_name_is_legal(filename: str, title: str, level: int) -> None:
    for names in Names:
        assert is_legal(file_name(make_media(7, filename=filename, title=title), level, names))
    assert is_legal(folder_name(title or "x", filename))


@given(st.text(), st.sampled_from(["image", "video", "audio"]))
def test_the_extension_fits_the_type(filename: str, kind: str) -> None:
    name = file_name(make_media(7, filename=filename, media_type=kind), 0)
    fits = {"image": ("png", "jpg", "gif"), "video": ("mp4", "webm"), "audio": ("wav", "mp3", "mp4")}
    if "." not in filename:
        assert name.rsplit(".", 1)[1] in fits[kind]


def test_a_name_that_the_vendor_makes_unique_is_kept() -> None:
    media = make_media(1, filename="media-3npGq6km5jx2s4ct-1538745137.png", filename_is_unique=True)
    assert file_name(media, 0) == "media-3npGq6km5jx2s4ct-1538745137.png"


def test_any_other_name_carries_a_hash_of_the_id_before_its_extension() -> None:
    one, other = (file_name(make_media(n, filename="snapshot.png"), 0) for n in (1, 2))
    assert one != other
    assert one.startswith("snapshot~")
    assert one.endswith(".png")
    assert len(one) == len("snapshot~12345678.png")


def test_a_name_that_met_another_draws_its_hash_out() -> None:
    media = make_media(1, filename="media-3npGq6km5jx2s4ct-1538745137.png", filename_is_unique=True)
    names = [file_name(media, level) for level in range(4)]
    assert len(set(names)) == 4
    assert names[1].startswith("media-3npGq6km5jx2s4ct-1538745137~")


@pytest.mark.parametrize(
    ("filename", "kind", "extension"),
    [
        ("x.exe", "image", ".exe.png"),
        ("x", "video", ".mp4"),
        ("x.mp4", "audio", ".mp4"),
        ("x.JPG", "image", ".JPG"),
        ("x", "", ".bin"),
        ("x.pdf", "document", ".pdf"),
        ("x.wav", "image", ".wav.png"),
    ],
)
def test_an_extension_that_contradicts_the_type_is_not_believed(
    filename: str, kind: str, extension: str
) -> None:
    name = file_name(make_media(1, filename=filename, media_type=kind), 0)
    stem, _, rest = name.partition("~")
    assert (stem + rest[8:]) == "x" + extension


def test_the_twins_nfc_and_nfd_are_told_apart() -> None:
    nfc, nfd = (
        file_name(make_media(n, filename=unicodedata.normalize(form, "é.png")), 0) for n, form in TWINS
    )
    assert nfc != nfd


def test_a_directory_shows_the_human_name_and_the_id() -> None:
    assert folder_name("1000", "John Doe") == "John Doe (1000)"
    assert folder_name("1000", None) == "1000"
    assert folder_name("1000", "") == "1000"
    assert folder_name("1000", "..") == "1000"


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_ids_never_share_a_directory_name(one: str, other: str) -> None:
    if one != other:
        assert folder_name(one, "same") != folder_name(other, "same")
        assert legal_id(one) != legal_id(other)


def test_the_id_is_found_again_in_a_directory_name() -> None:
    assert id_in_folder_name("John (the) Doe (1000)") == "1000"
    assert id_in_folder_name("1000") is None
