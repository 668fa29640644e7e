"""What an account of each vendor says, and what it must not leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediafs.config import Delete, Secret, Service, Value
from tests.config.conftest import Write, loaded, problems

PEM = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"


def service(write: Write, text: str) -> Service:
    return loaded(write("[accounts.a]\n" + text)).account("a").service


def read(secret: Value | None, **how: bool) -> str:
    assert isinstance(secret, Secret)
    return secret.read(**how)


def test_vonage_wants_an_application_and_its_key(write: Write, tmp_path: Path) -> None:
    (tmp_path / "private.key").write_text(PEM)
    (tmp_path / "private.key").chmod(0o600)
    found = service(
        write, 'vendor = "vonage"\napplication_id = "aaaa-bbbb"\nprivate_key_file = "private.key"'
    )
    assert found.values["application_id"] == "aaaa-bbbb"
    assert read(found.values.get("private_key"), lines=True) == PEM.rstrip("\n")


def test_vonage_takes_a_key_and_secret_instead(write: Write) -> None:
    found = service(write, 'vendor = "vonage"\napi_key = "k"\napi_secret = { env = "S" }')
    assert read(found.values.get("api_key")) == "k"


def test_zoom_wants_key_and_secret(write: Write) -> None:
    found = service(write, 'vendor = "zoom"\napi_key = "k"\napi_secret = "s"')
    assert (read(found.values.get("api_key")), read(found.values.get("api_secret"))) == ("k", "s")


@pytest.mark.parametrize(
    ("secret", "values"), [('"one"', ["one"]), ('["new", { env = "OLD" }]', ["new", None])]
)
def test_veriff_takes_one_secret_or_several_and_its_sessions(
    write: Write, secret: str, values: list[str | None]
) -> None:
    text = f'vendor = "veriff"\napi_key = "k"\nshared_secret = {secret}\nsessions = ["s-1"]\n'
    found = service(write, text + 'sessions_file = "sessions.txt"')
    secrets = found.values["shared_secret"]
    assert isinstance(secrets, tuple)
    for one, value in zip(secrets, values, strict=True):
        assert isinstance(one, Secret)
        assert value is None or one.read() == value
    assert found.listed.ids == ("s-1",)
    assert found.listed.file is not None
    assert found.listed.file.name == "sessions.txt"


def test_verba_says_where_it_is_and_what_may_be_asked(write: Write) -> None:
    found = service(
        write,
        'vendor = "verba"\nbase_url = "https://recorder.example/verba"\napi_key = "k"\n'
        'username = "u"\npassword = "p"\nextensions = ["8856", 8857]\ncalls = ["c-1"]\nsearch = true\n'
        'metadata_fields = ["case_number"]',
    )
    assert found.values["extensions"] == ("8856", "8857")
    assert found.listed.ids == ("c-1",)
    assert found.values["search"]
    assert found.values["metadata_fields"] == ("case_number",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('vendor = "vonage"', "needs application_id and private_key, or api_key and api_secret"),
        ('vendor = "vonage"\napplication_id = "a"', "needs private_key beside it"),
        ('vendor = "vonage"\nprivate_key = "k"', "needs application_id beside it"),
        ('vendor = "vonage"\napi_key = "k"', "needs api_secret beside it"),
        ('vendor = "zoom"\napi_key = "k"', "needs api_secret"),
        ('vendor = "veriff"\napi_key = "k"', "needs shared_secret"),
        ('vendor = "veriff"\napi_key = "k"\nshared_secret = []', "must hold at least one secret"),
        ('vendor = "veriff"\napi_key = "k"\nshared_secret = ["a", 7]', "shared_secret.1: must be a text"),
        (
            'vendor = "veriff"\napi_key = "k"\nshared_secret = "s"\ndelete = "permanent"',
            'delete can be "deny"',
        ),
        ('vendor = "verba"\napi_key = "k"', "needs base_url"),
        ('vendor = "verba"\nbase_url = "https://x.example"\napi_key = "k"\nusername = "u"', "needs password"),
        (
            'vendor = "verba"\nbase_url = "https://x.example"\napi_key = "k"\nmetadata_fields = ["a b"]',
            "3 to 128 letters",
        ),
        ('vendor = "apizee"\ntoken = "t"\ndelete = "trash"', 'no trash; delete can be "permanent" or "deny"'),
    ],
)
def test_what_is_missing_is_told(write: Write, text: str, says: str) -> None:
    assert any(says in problem for problem in problems(write("[accounts.a]\n" + text))), problems(
        write("[accounts.a]\n" + text)
    )


def test_a_secret_of_a_list_makes_the_file_one_to_be_guarded(write: Write) -> None:
    path = write('[accounts.a]\nvendor = "veriff"\napi_key = { env = "K" }\nshared_secret = ["s"]')
    path.chmod(0o644)
    (problem,) = problems(path)
    assert "others can read this file" in problem
    assert Delete.DENY.value == "deny"
