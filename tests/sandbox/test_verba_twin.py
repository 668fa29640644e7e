"""The twin of Verba behaves as the vendor's pages say, and in every other way that its options name."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from mediafs.sandbox import Media, World
from mediafs.sandbox.media import read_all
from mediafs.sandbox.verba import Verba
from mediafs.sandbox.verba_options import VerbaOptions
from mediafs.sandbox.verba_xml import call_id, number_of
from mediafs.sandbox.wire import Request, Response

NOW_S = 1_700_000_000.0
START = datetime(2024, 5, 17, 10, tzinfo=UTC)


class Client:
    def __init__(self, world: World | None = None, **options: Any) -> None:
        self.world = world or World(seed=1)
        self.twin = Verba(self.world, VerbaOptions(**options), signing_key=b"k")
        self.token = ""

    def ask(
        self,
        action: str,
        *,
        method: str = "GET",
        at_s: float = NOW_S,
        headers: dict[str, str] | None = None,
        keyed: bool = True,
        **given: Any,
    ) -> Response:
        keys = {"apiKey": self.twin.options.api_key} if keyed else {}
        if self.token:
            keys["token"] = self.token
        body = b""
        query = {"action": action} | keys | given
        sent = dict(headers or {})
        if method == "POST":
            query, body = {"action": action}, urlencode(keys | given).encode()
            sent["content-type"] = "application/x-www-form-urlencoded"
        target = f"/verba/api?{urlencode(query)}"
        return self.twin.handle(Request(method=method, target=target, headers=sent, body=body, at_s=at_s))

    def login(self) -> Client:
        who = b64encode(b"apiuser:sandbox-password").decode()
        answer = root(self.ask("RequestToken", headers={"authorization": f"Basic {who}"}))
        found = answer.find(".//Response")
        assert found is not None
        self.token = found.get("token") or ""
        return self


def payload(response: Response) -> bytes:
    return b"".join(response.chunks())


def root(response: Response) -> ElementTree.Element:
    return ElementTree.fromstring(payload(response))


def code(response: Response) -> int:
    found = next(root(response).iter("Response"))
    return int(found.get("code") or "")


def calls(response: Response) -> list[str]:
    return [element.text or "" for element in root(response).iter("ccdr_id")]


def filled(count: int = 5, **options: Any) -> Client:
    client = Client(**options).login()
    for n in range(count):
        client.world.add(
            created=START + timedelta(minutes=n), size=100 + n, media_type="audio", title=f"Title {n}"
        )
    return client


WHOLE: dict[str, Any] = {"start": "2024-05-17 00:00", "end": "2024-05-18 00:00", "pagelen": "100"}


def id_of(client: Client, number: int = 1) -> str:
    media: Media = client.world[number]
    return call_id(media.id)


def test_an_id_is_a_guid_that_leads_back_to_its_media() -> None:
    assert number_of(call_id(77)) == 77
    assert len(call_id(77)) == 36
    assert number_of(call_id(77).replace("-4", "-5", 1)) is None
    assert number_of("77") is None


def test_a_token_is_needed_lives_an_hour_and_is_refused_with_codes_in_a_200() -> None:
    client = filled()
    given: dict[str, Any] = {"callID": id_of(client)}
    assert payload(client.ask("GetMedia", **given)) == read_all(client.world[1].body)
    assert code(client.ask("GetMedia", at_s=NOW_S + 3601, **given)) == -43
    client.token = "another"
    assert code(client.ask("GetMedia", **given)) == -43
    client.token = ""
    answer = client.ask("GetMedia", **given)
    assert (answer.status, code(answer)) == (200, -42)
    assert code(client.ask("GetMedia", keyed=False, **given)) == -41


def test_a_key_may_need_no_login() -> None:
    client = filled(auth_required=False)
    client.token = ""
    assert payload(client.ask("GetMedia", callID=id_of(client))) == read_all(client.world[1].body)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_login_by_parameters(method: str) -> None:
    client = Client(basic_login=False)
    right = client.ask("RequestToken", method=method, userName="apiuser", password="sandbox-password")
    assert code(right) == 0
    assert (right.header("Set-Cookie") or "").startswith("JSESSIONID=")
    wrong = client.ask("RequestToken", method=method, userName="apiuser", password="x")
    assert code(wrong) == -40
    assert code(Client(parameter_login=False).ask("RequestToken", userName="apiuser", password="x")) == -40


def test_media_are_had_by_extension_and_status() -> None:
    client = filled(3)
    assert payload(client.ask("GetMedia", extension="1000", status="last")) == read_all(client.world[3].body)
    assert code(client.ask("GetMedia", extension="1000", status="ongoing")) == -50
    assert code(client.ask("GetMedia", extension="4711", status="last")) == -50
    assert code(client.ask("GetMedia", extension="1000")) == -20
    assert code(client.ask("GetMedia")) == -20
    both = client.ask("GetMedia", extension="1000", status="ongoing, next")
    assert both.delivery.delay_s == 60, "it waits a minute for a call"


def test_a_call_that_goes_on_grows_and_is_not_had_by_its_id() -> None:
    client = filled(3, ongoing_bytes=10)
    going = client.world.add(
        created=START + timedelta(hours=1), status="in_progress", size=25, media_type="audio"
    )
    sizes = []
    for _ in range(4):
        answer = client.ask("GetMedia", extension="1000", status="ongoing")
        assert answer.chunked
        sizes.append(len(payload(answer)))
    assert sizes == [10, 20, 25, 25]
    assert code(client.ask("GetMedia", callID=call_id(going.id))) == -70
    assert payload(client.ask("GetMedia", extension="1000", status="last, ongoing"))
    assert call_id(going.id) not in calls(client.ask("SearchCalls", **WHOLE))
    assert calls(client.ask("SearchCalls", status="ongoing", **WHOLE)) == [call_id(going.id)]


def test_the_parameter_of_a_call_may_have_been_renamed() -> None:
    client = filled(id_parameter="ccdr_id")
    assert code(client.ask("GetMedia", callID=id_of(client))) == -20
    assert payload(client.ask("GetMedia", ccdr_id=id_of(client))) == read_all(client.world[1].body)


def test_a_search_needs_both_bounds_and_takes_times_of_every_form() -> None:
    client = filled()
    assert code(client.ask("SearchCalls", start="2024-05-17 00:00")) == -20
    assert code(client.ask("SearchCalls", start="2024-05-17", end="2024-05-18")) == -20
    assert len(calls(client.ask("SearchCalls", **WHOLE))) == 5
    some = client.ask("SearchCalls", start="2024-05-17 10:01:00", end="2024-05-17 10:02:30.000")
    assert calls(some) == [id_of(client, 2), id_of(client, 3)]
    assert calls(client.ask("SearchCalls", order="desc", **WHOLE))[0] == id_of(client, 5)


@pytest.mark.parametrize("base", [0, 1])
def test_pages_begin_at_a_row_counted_from_the_base(base: int) -> None:
    client = filled(page_base=base)
    given: dict[str, Any] = WHOLE | {"pagelen": "2", "pagefirst": str(2 + base)}
    assert calls(client.ask("SearchCalls", **given)) == [id_of(client, 3), id_of(client, 4)]
    if base:
        assert code(client.ask("SearchCalls", **(WHOLE | {"pagefirst": "0"}))) == -20


def test_pages_may_be_capped_or_ignored_and_windows_limited() -> None:
    assert len(calls(filled(page_cap=3).ask("SearchCalls", **WHOLE))) == 3
    ignoring = filled(pages=False)
    assert calls(ignoring.ask("SearchCalls", pagefirst="3", **WHOLE))[0] == id_of(ignoring)
    assert code(filled(max_window_days=1).ask("SearchCalls", **(WHOLE | {"end": "2024-05-19 00:00"}))) == -20
    cut = filled(max_window_days=1, silent_window=True)
    assert calls(cut.ask("SearchCalls", start="2024-05-16 00:00", end="2024-05-19 00:00")) == []
    assert code(Client(nothing_code=-50).login().ask("SearchCalls", **WHOLE)) == -50


def test_a_search_finds_parts_of_numbers_and_names() -> None:
    client = Client().login()
    for n in range(6):
        client.world.add(created=START + timedelta(minutes=n), owner=(1000, 10001)[n % 2], size=5)
    assert len(calls(client.ask("SearchCalls", anynum="1000", **WHOLE))) == 6
    assert len(calls(client.ask("SearchCalls", anynum="10001", **WHOLE))) == 3
    assert len(calls(client.ask("SearchCalls", anyname="user 10001", **WHOLE))) == 3


@pytest.mark.parametrize(
    ("options", "tag", "text"),
    [
        ({}, "start_time", "2024-05-17 10:00:00"),
        ({"time_tag": "starttime", "time_form": "minutes"}, "starttime", "2024-05-17 10:00"),
        ({"time_form": "fraction"}, "start_time", "2024-05-17 10:00:00.600"),
        ({"zone": "Europe/Paris"}, "start_time", "2024-05-17 12:00:00"),
    ],
)
def test_times_are_worded_as_the_options_say(options: dict[str, Any], tag: str, text: str) -> None:
    client = filled(1, **options)
    (found,) = root(client.ask("SearchCalls", **WHOLE)).iter(tag)
    assert found.text is not None
    assert found.text[:19] == text[:19]
    assert len(found.text) == len(text)


@pytest.mark.parametrize("kind", ["VerbaApi", "verbacdrlist", "VerbaData"])
def test_a_listing_has_one_of_the_roots_that_were_seen(kind: str) -> None:
    answer = root(filled(root=kind).ask("SearchCalls", **WHOLE))
    assert answer.tag == kind
    assert len(list(answer.iter("verbacdr"))) == 5


def test_one_call_is_had_by_id_by_meeting_and_by_extension() -> None:
    client = filled(3)
    client.world.update(2, conversation="WHBFM6DD")
    by_id = client.ask("GetCallInformation", callID=id_of(client, 2))
    by_meeting = client.ask("GetCallInformation", meetingID="WHBFM6DD")
    assert calls(by_id) == calls(by_meeting) == [id_of(client, 2)]
    last = client.ask("GetCallInformation", extension="1000", status="last")
    assert calls(last) == [id_of(client, 3)]
    assert code(client.ask("GetCallInformation", callID=call_id(99))) == -50


@pytest.mark.parametrize("shown", ["elements", "fields"])
def test_metadata_are_attached_and_shown_on_demand(shown: Any) -> None:
    client = filled(1, metadata_as=shown)
    given: dict[str, Any] = {"callID": id_of(client)}
    assert code(client.ask("AttachMetaData", method="POST", ticket="T&7", **given)) == 0
    text = payload(client.ask("GetCallInformation", returnMetadata="1", **given)).decode()
    assert ("T&amp;7" in text, "Title 0" in text) == (True, True)
    assert "T&amp;7" not in payload(client.ask("GetCallInformation", **given)).decode()
    assert code(client.ask("AttachMetaData", unknown="x", **given)) == -20
    assert code(client.ask("AttachMetadata", ticket="x", **given)) == -30
    assert code(filled(1, forbidden_updates=frozenset({1})).ask("AttachMetaData", ticket="x", **given)) == -60


def test_a_call_is_deleted_by_get_or_post_once() -> None:
    for method in ("GET", "POST"):
        client = filled(2, forbidden_deletes=frozenset({2}))
        assert code(client.ask("DeleteCall", method=method, callID=id_of(client))) == 0
        assert client.world.get(1) is None
        assert code(client.ask("DeleteCall", method=method, callID=call_id(1))) == -50
        assert code(client.ask("DeleteCall", method=method, callID=id_of(client, 2))) == -60
        assert client.world.get(2) is not None
        assert client.twin.carried_out["delete"] == 1


def test_what_is_not_an_action_or_not_the_api() -> None:
    client = filled()
    assert code(client.ask("authenticate")) == -30
    assert client.twin.handle(Request(method="GET", target="/api?action=GetMedia")).status == 404


def test_failures_may_say_that_they_are_something_else() -> None:
    plain = filled(error_type="application/octet-stream").ask("GetMedia", callID=call_id(99))
    assert plain.header("Content-Type") == "application/octet-stream"
    assert payload(plain).startswith(b"<?xml")
    assert filled(error_type="none").ask("GetMedia", callID=call_id(99)).header("Content-Type") is None


def test_media_come_without_ranges_and_validators_unless_told() -> None:
    client = filled(1)
    plain = client.ask("GetMedia", headers={"range": "bytes=5-9"}, callID=id_of(client))
    assert (plain.status, plain.header("ETag"), len(plain)) == (200, None, 100)
    ranged = filled(1, ranges=True, etags=True)
    part = ranged.ask("GetMedia", headers={"range": "bytes=5-9"}, callID=id_of(ranged))
    assert (part.status, len(part)) == (206, 5)
