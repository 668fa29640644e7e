"""`mediafs check`: each line passes or fails, and what fails says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mediafs.mount import FuseUnavailable
from mediafs.sandbox.testing import Box

from .conftest import Said, Type, Write


@pytest.fixture(autouse=True)
def fuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this machine has FUSE is not what is tried here."""
    monkeypatch.setattr("mediafs.cli.checking.check_fuse", lambda **_: None)


def passed(said: Said) -> list[str]:
    return [line.removeprefix("pass  ") for line in said.out.splitlines() if line.startswith("pass  ")]


def failed(said: Said) -> dict[str, str]:
    """What failed -> what to do about it."""
    lines = said.out.splitlines()
    return {
        line.removeprefix("FAIL  "): following.strip().removeprefix("-> ")
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("FAIL  ")
    }


def test_all_is_well_line_by_line(typed: Type, write: Write, box: Box) -> None:
    config = write(box.url)
    said = typed("check", "clinic")
    assert said.code == 0
    assert failed(said) == {}
    expected = [
        "FUSE",
        f"configuration {config}: 1 account",
        "cache folder",
        f"{box.url} answers, credentials are taken",
        "media can be seen",
        "clock",
        "by-conversation can be shown",
        "by-user can be shown",
        "all media are listed",
        "rm is refused",
        "setfattr can change description, latitude, longitude, title",
    ]
    lines = passed(said)
    for words in expected:
        assert any(words in line for line in lines), words
    count = sum(1 for media in box.world() if media["completed"])
    assert f"account clinic: {count} media can be seen" in lines
    assert box.token not in said.out


def test_it_costs_three_requests(typed: Type, write: Write, box: Box) -> None:
    write(box.url)
    box.reset()
    typed("check")
    assert len(box.requests()) == 3


def test_a_wrong_token_is_4_and_says_where_to_look(typed: Type, write: Write, box: Box) -> None:
    write(box.url, token='"not-the-token"')
    said = typed("check")
    assert said.code == 4
    ((line, advice),) = failed(said).items()
    assert "refuses the account's credentials" in line
    assert "[accounts.clinic]" in advice
    assert "not-the-token" not in said.out + said.err


def test_a_closed_port_is_6_and_says_where_to_look(typed: Type, write: Write) -> None:
    write("http://127.0.0.1:9")
    said = typed("check")
    assert said.code == 6
    ((line, advice),) = failed(said).items()
    assert "127.0.0.1:9" in line
    assert "base_url" in advice


@pytest.mark.parametrize("kind", ["conversation", "user"])
def test_a_filter_that_the_service_ignores_fails_with_what_to_do(
    typed: Type, write: Write, box: Box, kind: str
) -> None:
    write(box.url)
    box.set(**{f"{kind}_parameter": "another_name"})
    said = typed("check")
    assert said.code == 1
    ((line, _),) = failed(said).items()
    assert f"by-{kind} cannot be shown" in line
    assert f'filters = {{ {kind} = "..." }}' in line, "what to set, and where"
    assert f"{kind}_id" in line
    write(box.url, f'filters = {{ {kind} = "another_name" }}')
    assert typed("check").code == 0, "doing as it says helps"


def test_a_filter_that_the_service_refuses_fails_with_what_to_do(typed: Type, write: Write, box: Box) -> None:
    write(box.url, 'filters = { conversation = "convo" }')
    box.set(strict_parameters=True)
    said = typed("check")
    assert said.code == 1
    ((line, _),) = failed(said).items()
    assert "convo" in line
    assert "filters" in line


def test_a_clock_that_is_wrong_is_told(
    typed: Type, write: Write, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(box.url)

    class Ahead:
        @staticmethod
        def time() -> float:
            import time

            return time.time() + 3600

    monkeypatch.setattr("mediafs.cli.checking.time", Ahead)
    said = typed("check")
    assert said.code == 1
    ((line, advice),) = failed(said).items()
    assert "-3600 s" in line or "-3601 s" in line
    assert "NTP" in advice


def test_each_account_is_checked_and_the_first_failure_gives_the_code(
    typed: Type, write: Write, box: Box
) -> None:
    config = write(box.url)
    with config.open("a") as more:
        more.write('[accounts.away]\nvendor = "apizee"\nbase_url = "http://127.0.0.1:9"\ntoken = "x-y-z"\n')
        more.write(f'[accounts.wrong]\nvendor = "apizee"\nbase_url = "{box.url}"\ntoken = "x-y-z"\n')
    said = typed("check")
    assert said.code == 6
    assert [line.split(":")[0] for line in failed(said)] == ["account away", "account wrong"]
    assert any("account clinic" in line for line in passed(said))
    assert typed("check", "clinic").code == 0
    assert typed("check", "wrong").code == 4


def test_without_fuse_the_rest_is_checked_all_the_same(
    typed: Type, write: Write, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_fuse(**_: object) -> None:
        raise FuseUnavailable("fusermount3 is not installed: apt-get install fuse3")

    monkeypatch.setattr("mediafs.cli.checking.check_fuse", no_fuse)
    write(box.url)
    said = typed("check")
    assert said.code == 5
    assert any("apt-get install fuse3" in line for line in failed(said))
    assert any("credentials are taken" in line for line in passed(said))


def test_a_service_that_talks_nonsense_fails_and_is_not_taken_for_good(
    typed: Type, write: Write, box: Box
) -> None:
    write(box.url)
    box.fault("html", path="/api/v3/medias", times=None)
    said = typed("check")
    assert said.code == 1
    assert len(failed(said)) == 1
    assert not any("answers" in line for line in passed(said))


@pytest.mark.parametrize(
    "what",
    [
        "a secret that is missing",
        "an account that may not",
    ],
)
def test_the_advice_fits_what_is_wrong(typed: Type, write: Write, box: Box, what: str) -> None:
    write(box.url, token='{ env = "NO_SUCH_TOKEN" }' if "secret" in what else f'"{box.user_token}"')
    said = typed("check")
    if said.code != (3 if "secret" in what else 1):
        pytest.fail(f"exit code {said.code}", pytrace=False)
    ((_, advice),) = failed(said).items()
    assert "network" not in advice
    assert "proxy" not in advice


def test_a_cache_folder_of_no_use_fails_and_the_rest_is_checked(
    typed: Type, write: Write, box: Box, home: Path
) -> None:
    write(box.url)
    (home / "file").write_text("")
    said = typed("check", "--cache-dir", home / "file" / "below")
    assert said.code == 1
    assert any("cache folder" in line for line in failed(said))
    assert any("credentials are taken" in line for line in passed(said))


def test_an_account_that_sees_nothing_passes_and_says_none(typed: Type, write: Write, box: Box) -> None:
    write(box.url)
    empty = json.dumps({"total": 0, "next_offset": None, "data": []})
    box.fault("json", path="/api/v3/medias", body=empty, times=None)
    said = typed("check")
    assert said.code == 0
    assert "account clinic: 0 media can be seen" in passed(said)
