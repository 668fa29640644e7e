"""Single values: how they are written, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafs.config import KeepFree, Wrong, duration, size
from mediafs.config.values import base_url, hosts, keep_free, period, umask

HOUR_S = 3600


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("60s", 60),
        ("5m", 300),
        ("2h", 2 * HOUR_S),
        ("1d", 24 * HOUR_S),
        ("250ms", 0.25),
        ("90", 90),
        (60, 60),
        (0.5, 0.5),
        (0, 0),
        (" 1.5 m ", 90),
    ],
)
def test_a_duration_is_seconds(written: object, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        True,
        None,
        "",
        "s",
        "-1s",
        -1,
        "1 week",
        "1e3",
        float("nan"),
        float("inf"),
        10**400,
        "9" * 12 + "d",
        "٣s",
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(Wrong):
        duration(written)


def test_a_service_is_polled_never_or_now_and_then() -> None:
    assert (period(0), period("0"), period("10s"), period("5m")) == (0, 0, 10, 300)
    for wrong in ("1s", 9.9, "250ms", -1, "never"):
        with pytest.raises(Wrong):
            period(wrong)


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("10GiB", 10 * 2**30),
        ("256MiB", 2**28),
        ("0", 0),
        ("1.5GB", 1_500_000_000),
        ("1G", 2**30),
        (4096, 4096),
        ("1 KiB", 1024),
        ("2TB", 2 * 10**12),
        ("0.1KB", 100),
        ("7B", 7),
    ],
)
def test_a_size_is_bytes(written: object, amount: int) -> None:
    assert size(written) == amount


@pytest.mark.parametrize("written", [True, 1.5, "", "GiB", "-1", -1, "1gib", "1XB", 2**63, "9" * 18 + "TiB"])
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(Wrong):
        size(written)


@given(st.integers(0, 10**6), st.sampled_from([("s", 1), ("m", 60), ("h", 3600)]))
def test_a_duration_reads_as_it_was_written(amount: int, unit: tuple[str, int]) -> None:
    assert duration(f"{amount % 80_000}{unit[0]}") == amount % 80_000 * unit[1]


@given(st.integers(0, 2**20), st.sampled_from(list(enumerate(["B", "KiB", "MiB", "GiB", "TiB"]))))
def test_a_size_reads_as_it_was_written(amount: int, unit: tuple[int, str]) -> None:
    assert size(f"{amount}{unit[1]}") == amount * 1024 ** unit[0]


def test_room_to_keep_free_is_a_share_or_a_size() -> None:
    assert keep_free("5%") == KeepFree(percent=5.0)
    assert keep_free("2.5 %").of(1000) == 25
    assert keep_free("10GiB").of(1) == 10 * 2**30
    for wrong in ("100%", "-1%", "%", "5 percent", None):
        with pytest.raises(Wrong):
            keep_free(wrong)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("https://cloud.apizee.com", "https://cloud.apizee.com"),
        ("HTTPS://Cloud.Apizee.com/", "https://cloud.apizee.com"),
        ("https://recorder.example:8443/Verba//", "https://recorder.example:8443/Verba"),
        ("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.8.9.1/", "http://127.8.9.1"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_an_address_is_made_canonical(written: str, canonical: str) -> None:
    assert base_url(written, insecure=False) == canonical
    assert base_url(canonical, insecure=False) == canonical


@pytest.mark.parametrize(
    "written",
    [
        "",
        None,
        "cloud.apizee.com",
        "ftp://x.example",
        "https://",
        "https:///path",
        "https://me@x.example",
        "https://me:pw@x.example",
        "https://@x.example",
        "https://x.example?",
        "https://x.example/?a=1",
        "https://x.example/#f",
        "https://x.example:0",
        "https://x.example:99999",
        "https://x.example:",
        "https://x..example",
        "https://[::1",
        "https://[127.0.0.1]",
        "https://[fe80::1%25eth0]",
        "https://x.example\\@evil.example",
        "https://x.exa\tmple",
        "https://x.example/ä",
        "http://x.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://127.1",
    ],
)
def test_an_address_that_could_mislead_is_refused(written: object) -> None:
    with pytest.raises(Wrong):
        base_url(written, insecure=False)


def test_plain_http_elsewhere_needs_the_word_insecure() -> None:
    with pytest.raises(Wrong, match="insecure = true"):
        base_url("http://recorder.example", insecure=False)
    assert base_url("http://recorder.example", insecure=True) == "http://recorder.example"


@given(st.text(st.sampled_from("htps:/[]@?#%.:1xX-_\\ \t"), max_size=40), st.booleans())
def test_any_text_is_an_address_that_stays_itself_or_is_refused(text: str, insecure: bool) -> None:
    try:
        once = base_url(f"http://{text}", insecure=insecure)
    except Wrong:
        return
    assert base_url(once, insecure=insecure) == once
    assert not set("@?#\\ \t") & set(once)


def test_hosts_are_names_or_addresses_alone() -> None:
    assert hosts(["A.example", "192.0.2.1", "2001:db8::1", "a.example"]) == (
        "a.example",
        "192.0.2.1",
        "2001:db8::1",
    )
    for wrong in ("x", ["x:80"], ["x/y"], [""], [1], ["*.x"]):
        with pytest.raises(Wrong):
            hosts(wrong)


def test_a_umask_is_octal_in_quotes() -> None:
    assert umask("022") == umask("22") == 0o022
    for wrong in (22, "8", "01777", "", "u+w"):
        with pytest.raises(Wrong):
            umask(wrong)
