"""Where redirects lead, and what travels along."""

from __future__ import annotations

import pytest

from mediafs.errors import InvalidReply
from mediafs.remote.redirects import MOST_HOPS, Hop, first_hop, next_hop
from mediafs.vendors.protocol import Call


def hop(url: str = "https://api.example/medias/1/download", method: str = "GET") -> Hop:
    return first_hop(
        Call(
            method=method,
            url=url,
            query=(("since", "2020-01-01T15:00:00Z"), ("key", "our secret")),
            headers=(("Authorization", "Bearer s3cret"), ("X-Auth-Client", "s3cret"), ("Range", "bytes=0-")),
            operation="download",
        )
    )


def names(one: Hop) -> set[str]:
    return {name for name, _ in one.headers}


def test_a_query_goes_out_as_the_documentation_writes_it() -> None:
    assert hop().target.endswith("?since=2020-01-01T15:00:00Z&key=our%20secret")


def test_the_same_origin_keeps_headers_and_loses_the_query() -> None:
    after = next_hop(hop(), "/other?signed=1")
    assert after.target == "https://api.example/other?signed=1"
    assert names(after) == {"Authorization", "X-Auth-Client", "Range"}


@pytest.mark.parametrize(
    "location",
    [
        "https://storage.example/x?sig=a%2Fb+c",
        "http://api.example/x",
        "https://api.example:8443/x",
        "//storage.example/x",
        "https://api.example.evil.example/x",
    ],
)
def test_another_origin_gets_nothing_of_ours_but_the_range(location: str) -> None:
    after = next_hop(hop(), location)
    assert names(after) == {"Range"}
    assert "our" not in after.target


def test_a_signed_address_is_sent_as_it_came() -> None:
    location = "https://storage.example/x?X-Sig=a%2Fb+c%20d&b&a=~'"
    assert next_hop(hop(), location).target == location


def test_the_default_port_and_case_are_the_same_origin() -> None:
    assert "Authorization" in names(next_hop(hop(), "https://API.example:443/x"))


def test_coming_back_does_not_bring_credentials_back() -> None:
    assert names(next_hop(next_hop(hop(), "https://storage.example/"), "https://api.example/x")) == {"Range"}


def test_a_name_and_password_in_an_address_are_dropped() -> None:
    assert next_hop(hop(), "https://u:p@storage.example/x#top").target == "https://storage.example/x"


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "ftp://x/",
        "file:///etc/passwd",
        "javascript:1",
        "https://",
        "http://[::1",
        "http://x:99999/",
    ],
)
def test_an_address_that_is_none_is_refused(location: str | None) -> None:
    with pytest.raises(InvalidReply):
        next_hop(hop(), location)


def test_a_loop_is_refused() -> None:
    with pytest.raises(InvalidReply, match="loop"):
        next_hop(next_hop(hop(), "https://b.example/"), hop().target)


def test_there_is_an_end_to_redirects() -> None:
    one = hop()
    for number in range(MOST_HOPS):
        one = next_hop(one, f"/{number}")
    with pytest.raises(InvalidReply, match="more than 5"):
        next_hop(one, "/last")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_only_a_get_is_redirected(method: str) -> None:
    with pytest.raises(InvalidReply, match="not a GET"):
        next_hop(hop(method=method), "/x")


def test_neither_repr_nor_refusal_shows_a_secret() -> None:
    one = next_hop(hop(), "https://storage.example/x?sig=s3cret")
    with pytest.raises(InvalidReply) as caught:
        next_hop(one, "gopher://x?sig=s3cret")
    assert "s3cret" not in repr(hop()) + repr(one) + str(caught.value)
