"""The configuration file as a whole: what it may say, and that every fault is told at once."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mediafs.config import (
    AccountConfig,
    CacheConfig,
    ClientCert,
    Delete,
    KeepFree,
    Listed,
    Names,
    Secret,
    Service,
    read_conversations,
)
from mediafs.config.load import CACHE_KEYS, COMMON_KEYS
from mediafs.errors import ConfigError
from mediafs.model import AccountName, ConversationId
from mediafs.vendors import VENDORS
from tests.config.conftest import Write, loaded, problems

MINIMAL = '[accounts.clinic]\nvendor = "apizee"\ntoken = { env = "APIZEE_TOKEN" }\n'


def problems_of_account(write: Write, line: str) -> list[str]:
    """Of a sound account with one more line, which is line 4."""
    return problems(write(MINIMAL + line + "\n"))


def test_an_account_needs_no_more_than_a_vendor_and_credentials(write: Write) -> None:
    config = loaded(write(MINIMAL))

    account = config.accounts[AccountName("clinic")]
    token = account.service.values["token"]
    assert isinstance(token, Secret)
    assert token.read() == "s3cret"
    assert account == AccountConfig(
        name=AccountName("clinic"),
        vendor="apizee",
        base_url="https://cloud.apizee.com",
        service=account.service,
    )
    assert config.cache == CacheConfig(size=10 * 1024**3, keep_free=KeepFree(percent=5), memory=256 * 1024**2)


def test_every_documented_key_arrives_typed(write: Write, tmp_path: Path) -> None:
    for name in ("recorder.pem", "client.pem", "client.key"):
        (tmp_path / name).write_text("pem")
    config = loaded(
        write(
            """
            [accounts.clinic]
            vendor = "apizee"
            base_url = "http://Recorder.Example:8080/apizee/"
            username = "nurse"
            password = "pässword"
            user = "all"
            conversations = ["12345", 678]
            conversations_file = "~/conversations.txt"
            filters = { conversation = "conv", user = "owner" }
            since = "2023-01-01"
            delete = "permanent"
            delete_limit = 7
            names = "title"
            time_zone = "Europe/Paris"
            fresh_for = "2m"
            list_deadline = "30s"
            poll = "5m"
            requests_per_minute = 10
            insecure = true
            ca_file = "recorder.pem"
            client_cert = { file = "client.pem", key = "client.key" }
            download_hosts = ["Media.Example.com"]
            uid = 1000
            gid = 100
            umask = "027"
            [cache]
            size = "1.5GB"
            keep_free = "2GiB"
            memory = "64MiB"
            """
        )
    )

    account = config.account("clinic")
    assert account == AccountConfig(
        name=AccountName("clinic"),
        vendor="apizee",
        base_url="http://recorder.example:8080/apizee",
        service=Service(
            values={
                "username": "nurse",
                "password": Secret.plain("pässword", "accounts.clinic.password"),
                "user": "all",
                "filters": {
                    "conversation": "conv",
                    "user": "owner",
                    "group": "group_id",
                    "tag": "tag",
                    "source": "source_type",
                },
            },
            listed=Listed(
                ids=(ConversationId("12345"), ConversationId("678")),
                file=Path("/home/nurse/conversations.txt"),
            ),
        ),
        since=date(2023, 1, 1),
        delete=Delete.PERMANENT,
        delete_limit=7,
        names=Names.TITLE,
        time_zone=ZoneInfo("Europe/Paris"),
        fresh_for_s=120.0,
        list_deadline_s=30.0,
        poll_s=300.0,
        requests_per_minute=10,
        insecure=True,
        ca_file=tmp_path / "recorder.pem",
        client_cert=ClientCert(file=tmp_path / "client.pem", key=tmp_path / "client.key"),
        download_hosts=("media.example.com",),
        uid=1000,
        gid=100,
        umask=0o027,
    )
    assert config.cache == CacheConfig(
        size=1_500_000_000, keep_free=KeepFree(bytes=2 * 1024**3), memory=64 * 1024**2
    )
    assert "pässword" not in repr(config)


def test_all_problems_are_told_at_once_with_line_and_suggestion(write: Write) -> None:
    path = write(
        """[accounts.clinic]
vendor = "apizee"
tokne = { env = "APIZEE_TOKEN" }
delete = "permenant"
fresh_for = "soon"

[acounts.two]
[cache]
"me mory" = 1
"""
    )

    assert problems(path) == [
        "1: accounts.clinic: needs token, or username and password",
        '3: accounts.clinic.tokne: unknown key; did you mean "token"?',
        '4: accounts.clinic.delete: must be one of "permanent", "trash", "deny"; did you mean "permanent"?',
        '5: accounts.clinic.fresh_for: must be a time such as "60s", "5m", "2h" or "1d", at most ten years',
        '7: acounts: unknown key; did you mean "accounts"?',
        '9: cache."me mory": unknown key; did you mean "memory"?',
    ]


@pytest.mark.parametrize("key", [*COMMON_KEYS, *VENDORS["apizee"].all_keys])
def test_every_known_key_is_really_read(write: Write, key: str) -> None:
    lines = {"vendor": 'vendor = "apizee"', "token": 'token = { env = "T" }'} | {key: f"{key} = -1.5"}

    found = problems(write("[accounts.clinic]\n" + "\n".join(lines.values())))

    assert any(f"accounts.clinic.{key}: " in problem and "unknown" not in problem for problem in found)


@pytest.mark.parametrize("key", CACHE_KEYS)
def test_every_known_key_of_the_cache_is_really_read(write: Write, key: str) -> None:
    (found,) = problems(write(f"{MINIMAL}[cache]\n{key} = -1.5"))

    assert found.startswith(f"5: cache.{key}: must be")


@pytest.mark.parametrize("vendor", ["vonage", "zoom", "veriff", "verba"])
def test_keys_of_another_vendor_are_unknown(write: Write, vendor: str) -> None:
    found = problems(write(f'[accounts.a]\nvendor = "{vendor}"\napi_key = "k"\nfilters = {{}}'))

    assert "4: accounts.a.filters: unknown key" in found


def test_a_mistyped_vendor_is_suggested(write: Write) -> None:
    assert problems(write('[accounts.a]\nvendor = "apize"\ntoken = "t"')) == [
        '2: accounts.a.vendor: must be one of "apizee", "vonage", "zoom", "veriff", "verba"'
        '; did you mean "apizee"?'
    ]


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        ("", "1: accounts.a: needs token, or username and password"),
        ('username = "u"', "3: accounts.a.username: needs password beside it"),
        ('password = "p"', "3: accounts.a.password: needs username beside it"),
        (
            'token = "t"\nusername = "u"',
            "4: accounts.a.username: give either token, or username and password",
        ),
        ('token = ""', "3: accounts.a.token: is empty"),
        ("token = 5", "3: accounts.a.token: must be a text, { env ="),
        ('token = { envv = "T" }', '3: accounts.a.token.envv: unknown key; did you mean "env"?'),
        ('token = { env = "T", file = "f" }', "3: accounts.a.token: must be a text, { env ="),
        ('token = { env = "not a name" }', "3: accounts.a.token: env must be the name of an environment"),
        ('token = { command = "pass show" }', "3: accounts.a.token: command must be a list of texts"),
        ('token = { credential = "../x" }', "3: accounts.a.token: credential must be the name"),
    ],
)
def test_credentials_are_a_token_or_a_login_and_nothing_between(
    write: Write, auth: str, problem: str
) -> None:
    (found,) = problems(write(f'[accounts.a]\nvendor = "apizee"\n{auth}'))

    assert found.startswith(problem)


def test_a_table_that_is_misplaced_is_told(write: Write) -> None:
    assert problems(write('cache = 1\n[accounts]\nvendor = "apizee"')) == [
        "1: cache: must be a table, as in [cache]",
        "3: accounts.vendor: must be a table, as in [accounts.vendor]",
        "3: accounts.vendor: needs vendor: one of apizee, vonage, zoom, veriff, verba",
        "3: accounts.vendor: needs token, or username and password",
    ]


def test_a_file_without_accounts_is_a_problem(write: Write) -> None:
    assert problems(write("")) == ["1: holds no account: add [accounts.NAME]"]


@pytest.mark.parametrize("name", ['"../up"', '""', '"a b"', "-a", '"é"', "a" * 65, '"a\\n"'])
def test_an_account_name_is_fit_for_a_file_name(write: Write, name: str) -> None:
    (found,) = problems(write(f'[accounts.{name}]\nvendor = "apizee"\ntoken = {{ env = "T" }}'))

    assert "is not a name for an account" in found
    assert "\n" not in found


def test_a_file_that_is_not_toml_is_told_with_its_line(write: Write) -> None:
    assert problems(write("[accounts.clinic]\nvendor = \n")) == ["2: is not TOML: Invalid value (column 10)"]


def test_a_file_that_is_not_utf8_is_told_with_its_line(write: Write) -> None:
    path = write("")
    path.write_bytes(b"# fine\n# \xff\n")

    assert problems(path) == ["2: is not UTF-8 text"]


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000])
def test_a_hostile_file_is_a_problem_and_not_a_crash(write: Write, text: str) -> None:
    assert problems(write(text))[0].startswith("1: is n")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; README\.md shows one"):
        loaded(tmp_path / "none.toml")


def test_a_folder_or_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="cannot be read: it is not a file"):
            loaded(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_plain_secret_in_a_file_that_others_can_read_is_refused(write: Write, mode: int) -> None:
    path = write('[accounts.a]\nvendor = "apizee"\ntoken = "s3cret"\n', mode)

    (found,) = problems(path)

    assert found.endswith(f"it holds a secret (accounts.a.token): chmod 600 {path}")
    assert "s3cret" not in found


def test_others_may_read_a_file_without_a_plain_secret(write: Write) -> None:
    assert loaded(write(MINIMAL, 0o644)).accounts


def test_a_file_that_anyone_can_write_is_refused(write: Write) -> None:
    assert "others can write this file" in problems(write(MINIMAL, 0o602))[0]


def test_no_problem_repeats_a_secret(write: Write) -> None:
    found = problems(
        write(
            '[accounts.a]\nvendor = "apizee"\nbase_url = "https://me:s3cret@x.example/"\n'
            'pasword = "s3cret"\ntoken = ["s3cret"]\n'
            '[accounts.b]\nvendor = "apizee"\nbase_url = "https://x.example/?key=s3cret"\n'
            'token = { env = "s3cret!" }\n'
        )
    )

    assert len(found) == 5
    assert "s3cret" not in "".join(found)


def test_since_is_judged_by_the_clock_of_the_account(write: Write) -> None:
    """At 23:30 UTC it is the next day in Paris already."""
    since = 'since = "2024-05-18"\n'

    assert problems_of_account(write, since) == ["4: accounts.clinic.since: 2024-05-18 lies in the future"]
    account = loaded(write(MINIMAL + since + 'time_zone = "Europe/Paris"\n')).account("clinic")
    assert account.since == date(2024, 5, 18)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('conversations = [\n  "1",\n  "1",\n]', "6: accounts.clinic.conversations[1]: '1' is listed twice"),
        ('conversations = ["1", 1]', "4: accounts.clinic.conversations[1]: '1' is listed twice"),
        ("conversations = [true]", "4: accounts.clinic.conversations[0]: must be a text or a number"),
        (
            'filters = { user = "conversation_id" }',
            "4: accounts.clinic.filters: each needs a name of its own",
        ),
        ('filters = { users = "x" }', '4: accounts.clinic.filters.users: unknown key; did you mean "user"?'),
        ('time_zone = "Mars/Base"', "4: accounts.clinic.time_zone: 'Mars/Base' is not a time zone known"),
        ('time_zone = "Europe"', "4: accounts.clinic.time_zone: 'Europe' is not a time zone known"),
        ('time_zone = "../../etc/passwd"', "4: accounts.clinic.time_zone: '../../etc/passwd' is not a time"),
        ('since = "2023-02-30"', "4: accounts.clinic.since: there is no day 2023-02-30"),
        ("umask = 22", "4: accounts.clinic.umask: must be octal digits in quotes"),
        ("uid = 4294967295", "4: accounts.clinic.uid: must be a number from 0 to 4294967294"),
        ("gid = -1", "4: accounts.clinic.gid: must be a number from 0 to 4294967294"),
        ("gid = true", "4: accounts.clinic.gid: must be a number"),
        ('uid = "1000"', "4: accounts.clinic.uid: must be a number"),
        ("list_deadline = 0", "4: accounts.clinic.list_deadline: must be more than 0"),
        ("delete_limit = true", "4: accounts.clinic.delete_limit: must be a whole number"),
        ('ca_file = "none.pem"', "4: accounts.clinic.ca_file: "),
        ("client_cert = {}", "4: accounts.clinic.client_cert: needs file"),
        (
            'download_hosts = ["https://x"]',
            "4: accounts.clinic.download_hosts[0]: must be the name of a host",
        ),
    ],
)
def test_a_wrong_value_is_told_where_it_stands(write: Write, line: str, problem: str) -> None:
    (found,) = problems_of_account(write, line)

    assert found.startswith(problem)


def test_the_highest_user_is_one(write: Write) -> None:
    assert loaded(write(MINIMAL + "uid = 4294967294")).account("clinic").uid == 4294967294


def test_toml_days_are_days(write: Write) -> None:
    assert loaded(write(MINIMAL + "since = 2023-01-01")).account("clinic").since == date(2023, 1, 1)


def test_an_account_that_is_not_there_is_answered_with_the_nearest(write: Write) -> None:
    with pytest.raises(ConfigError, match="no account 'clinci'; did you mean \"clinic\""):
        loaded(write(MINIMAL)).account("clinci")


def test_accounts_cannot_be_changed_afterwards(write: Write) -> None:
    accounts = loaded(write(MINIMAL)).accounts

    with pytest.raises(TypeError):
        accounts[AccountName("x")] = accounts[AccountName("clinic")]  # type: ignore[index]


def test_a_conversations_file_holds_one_id_a_line(tmp_path: Path) -> None:
    path = tmp_path / "conversations.txt"
    path.write_text("# ours\n12345\n\n 678 \r\n12345\n")

    assert read_conversations(path) == ("12345", "678")
    assert read_conversations(tmp_path / "none.txt") == ()


def test_a_conversations_file_with_wrong_lines_names_each(tmp_path: Path) -> None:
    path = tmp_path / "conversations.txt"
    path.write_text("a\x07b\nfine\n" + "x" * 201)

    with pytest.raises(ConfigError) as caught:
        read_conversations(path)

    assert [problem.split(": ")[0] for problem in caught.value.problems] == [f"{path}:1", f"{path}:3"]
