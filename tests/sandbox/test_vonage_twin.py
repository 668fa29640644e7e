"""The Vonage twin as a client sees it that knows the vendor's pages and nothing of mediafs."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
import pytest

from mediafs.sandbox import World
from mediafs.sandbox.media import read_all
from mediafs.sandbox.records import Media
from mediafs.sandbox.services import made
from mediafs.sandbox.testing import sandbox_process
from mediafs.sandbox.vonage import Vonage
from mediafs.sandbox.vonage_options import VonageOptions
from mediafs.sandbox.wire import Request, Response

NOW = datetime(2024, 5, 17, 10, tzinfo=UTC)
START = "start_time=2010-01-01T00:00:00.000Z"
MEDIA = "/v3/media"


@cache
def token_for(claims: str, key: str, algorithm: str = "RS256") -> str:
    return jwt.encode(json.loads(claims), key, algorithm=algorithm)


class Client:
    """The service and a token for it."""

    def __init__(self, **options: Any) -> None:
        self.world = World.generate(0, seed=1)
        service = made("vonage", self.world, VonageOptions(**options))
        assert isinstance(service, Vonage)
        self.service = service

    def set(self, **options: Any) -> None:
        self.service.configure(replace(self.service.options, **options))

    def add(self, count: int = 1, **fields: Any) -> list[Media]:
        """Media an hour apart, the last one an hour old."""
        moments = [NOW - timedelta(hours=count - number) for number in range(count)]
        given: dict[str, Any] = {"size": 100} | fields
        return [self.world.add(**({"created": moment} | given)) for moment in moments]

    def token(self, **claims: Any) -> str:
        options = self.service.options
        issued = int(NOW.timestamp())
        given = {"application_id": options.application_id, "iat": issued, "exp": issued + 900, "jti": "1"}
        kept = {name: value for name, value in (given | claims).items() if value is not ...}
        return token_for(json.dumps(kept), options.private_key)

    def ask(
        self, target: str, method: str = "GET", body: bytes = b"", bearer: str | None = None, **headers: str
    ) -> Response:
        token = self.token() if bearer is None else bearer
        given = {"authorization": f"Bearer {token}"} if token else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.service.handle(
            Request(method=method, target=target, headers=given | named, body=body, at_s=NOW.timestamp())
        )

    def listed(self, query: str) -> Any:
        return content(self.ask(f"{MEDIA}?{query}"))

    def ids(self, query: str) -> list[str]:
        return [item["id"] for item in self.listed(query)["_embedded"]["media"]]

    def at(self, media: Media, rest: str = "") -> str:
        return f"{MEDIA}/{self.service.id_of(media)}{rest}"

    def info(self, media: Media) -> Any:
        return content(self.ask(self.at(media, "/info")))

    def put(self, target: str, body: str, content_type: str) -> int:
        return self.ask(target, "PUT", body.encode(), content_type=content_type).status


def content(response: Response) -> Any:
    assert response.status == 200
    return json.loads(b"".join(response.chunks()))


# --- who may come in


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"application_id": "another"}, 401),
        ({"application_id": ...}, 401),
        ({"exp": int(NOW.timestamp())}, 401),
        ({"exp": ..., "iat": int(NOW.timestamp()) - 899}, 200),
        ({"exp": ..., "iat": int(NOW.timestamp()) - 900}, 401),
        ({"iat": ...}, 401),
        ({"iat": int(NOW.timestamp()) - 86400, "exp": int(NOW.timestamp()) + 900}, 401),
        ({"iat": int(NOW.timestamp()) + 3600}, 401),
        ({"jti": ...}, 401),
        ({"acl": {"paths": {"/*/media/**": {}}}}, 200),
        ({"acl": {"paths": {"/*/users/**": {}}}}, 403),
    ],
)
def test_a_token_opens_the_service_only_with_the_claims_that_it_wants(
    claims: dict[str, Any], status: int
) -> None:
    client = Client()
    client.add()
    assert client.ask(f"{MEDIA}?{START}", bearer=client.token(**claims)).status == status


def test_a_token_that_the_applications_key_has_not_signed_is_refused() -> None:
    client = Client()
    good = client.token()
    body = {"application_id": client.service.options.application_id, "jti": "1", "iat": int(NOW.timestamp())}
    by_secret = token_for(json.dumps(body), "a secret that both sides would have to know", "HS256")
    for bad in (f"{good[:-8]}AAAAAAAA", by_secret, "a.b.c", "abc", f"{good}.x"):
        assert client.ask(MEDIA, bearer=bad).status == 401
    assert client.ask(MEDIA, bearer="").status == 401


def test_tokens_can_be_made_worthless() -> None:
    client = Client(empty="list")
    assert client.ask(MEDIA).status == 200
    client.service.expire()
    assert client.ask(MEDIA).status == 401
    assert client.ask(MEDIA, bearer=client.token(jti="2")).status == 200


@pytest.mark.parametrize(
    ("taken", "in_query", "basic"),
    [("refused", 401, 401), ("query", 200, 401), ("basic", 401, 200), ("either", 200, 200)],
)
def test_key_and_secret_are_taken_where_the_options_say(taken: str, in_query: int, basic: int) -> None:
    client = Client(key_secret=taken, empty="list")
    pair = "api_key=abcd1234&api_secret=sandbox-api-secret"
    assert client.ask(f"{MEDIA}?{pair}", bearer="").status == in_query
    header = "Basic YWJjZDEyMzQ6c2FuZGJveC1hcGktc2VjcmV0"
    assert client.ask(MEDIA, bearer="", authorization=header).status == basic
    assert client.ask(f"{MEDIA}?{pair}x", bearer="").status == 401


# --- listing


def test_without_a_start_everything_older_than_a_week_is_invisible() -> None:
    client = Client()
    (old,) = client.add(created=NOW - timedelta(days=8))
    (young,) = client.add(created=NOW - timedelta(days=6))
    assert client.ids("") == [client.service.id_of(young)]
    assert client.ids(f"{START}&order=ascending") == [client.service.id_of(m) for m in (old, young)]


def test_a_page_is_twenty_of_the_newest_and_links_lead_on() -> None:
    client = Client()
    wanted = [client.service.id_of(media) for media in client.add(45)][::-1]
    found: list[str] = []
    target = f"{MEDIA}?{START}"
    while True:
        reply = content(client.ask(target))
        found += [item["id"] for item in reply["_embedded"]["media"]]
        assert (reply["page_size"], reply["count"], reply["page_index"]) == (20, 45, (len(found) - 1) // 20)
        if "next" not in reply["_links"]:
            break
        target = f"{reply['_links']['next']['href']}&{START}"
    assert found == wanted
    assert reply["_links"]["prev"]["href"].startswith("/v3/media?page_index=1&")


def test_the_index_counts_from_zero_and_a_size_above_the_largest_is_lowered_or_refused() -> None:
    client = Client(max_page_size=10)
    client.add(12)
    assert len(client.ids(f"{START}&page_size=100")) == 10
    assert len(client.ids(f"{START}&page_size=100&page_index=1")) == 2
    client.set(over_max="refused")
    assert client.ask(f"{MEDIA}?{START}&page_size=100").status == 400


def test_bounds_include_their_moment_or_not() -> None:
    client = Client()
    (media,) = client.add(created=NOW)
    query = "start_time=2024-05-17T10:00:00.000Z&end_time=2024-05-17T10:00:00.000Z"
    assert client.ids(query) == [client.service.id_of(media)]
    client.set(inclusive_dates=False)
    assert client.ask(f"{MEDIA}?{query}").status == 404


def test_nothing_is_404_or_an_empty_list() -> None:
    client = Client()
    assert client.ask(MEDIA).status == 404
    client.set(empty="list")
    assert client.listed("")["_embedded"]["media"] == []


@pytest.mark.parametrize(
    "query",
    [
        *(
            "order=up",
            "page_index=-1",
            "page_index=x",
            "page_size=0",
            "page_size=1.5",
            "start_time=2020-01-01",
        ),
        "start_time=2020-01-01T00:00:00Z",
        f"{START}&end_time=2009-01-01T00:00:00.000Z",
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused(query: str) -> None:
    assert Client(empty="list").ask(f"{MEDIA}?{query}").status == 400


def test_unknown_parameters_are_ignored_unless_it_is_strict() -> None:
    client = Client(empty="list")
    assert client.ask(f"{MEDIA}?conversation=1").status == 200
    client.set(strict_parameters=True)
    assert client.ask(f"{MEDIA}?conversation=1").status == 400
    assert client.ask(f"{MEDIA}?{START}&page_size=1&page_index=0&order=ascending").status == 200


def test_every_open_question_about_the_envelope_is_an_option() -> None:
    client = Client(links="bare", count="page", reply_page_size="returned")
    client.add(3)
    reply = client.listed(f"{START}&page_size=2&page_index=1")
    assert (reply["count"], reply["page_size"]) == (1, 1)
    assert reply["_links"].keys() == {"self", "first", "last"}
    assert "page_index" not in str(reply["_links"])
    client.set(links="none")
    assert "_links" not in client.listed(START)
    client.set(links="next", absolute_links=True)
    assert client.listed(START)["_links"]["self"]["href"].startswith("http://")
    last = client.ids(f"{START}&page_size=2&page_index=1")
    client.set(past_the_end="repeat")
    assert client.ids(f"{START}&page_size=2&page_index=9") == last
    client.set(ignores_page_index=True)
    assert client.ids(f"{START}&page_size=2&page_index=1") == client.ids(f"{START}&page_size=2")


def test_media_that_are_not_complete_are_not_there() -> None:
    client = Client()
    (media,) = client.add(status="in_progress")
    assert client.ask(f"{MEDIA}?{START}").status == 404
    assert client.ask(client.at(media, "/info")).status == 404


# --- records


def test_a_record_has_the_fields_of_the_specification() -> None:
    client = Client()
    (media,) = client.add(filename="test.wav")
    found = client.info(media)
    assert sorted(found) == sorted(
        [
            "account_id",
            "etag",
            "id",
            "max_downloads_allowed",
            "media_size",
            "metadata_primary",
            "metadata_secondary",
            "mime_type",
            "original_file_name",
            "public",
            "store_id",
            "time_created",
            "time_last_updated",
            "times_downloaded",
        ]
    )
    assert found["time_created"] == "2024-05-17T09:00:00.000Z"
    assert (found["original_file_name"], found["media_size"], found["account_id"]) == (
        "test.wav",
        100,
        "abcd1234",
    )
    assert len(found["etag"]) == 32


def test_the_older_form_has_other_names_and_numbers_for_times() -> None:
    client = Client(spelling="camel", times="epoch-ms", shows_title=True)
    (media,) = client.add(title="A title")
    found = client.info(media)
    assert found["timeCreated"] == int((NOW.timestamp() - 3600) * 1000)
    assert (found["publicItem"], found["mediaSize"], found["title"]) == (False, 100, "A title")
    assert "media_size" not in found


@pytest.mark.parametrize("nonsense", ["1", "x", "00000000-0000-4000-a000-000000000001", ""])
def test_an_id_that_is_none_is_404(nonsense: str) -> None:
    client = Client()
    client.add()
    assert client.ask(f"{MEDIA}/{nonsense}/info").status == 404


# --- bytes


def test_bytes_come_whole_and_in_ranges_and_are_counted() -> None:
    client = Client()
    (media,) = client.add()
    whole = client.ask(client.at(media))
    assert b"".join(whole.chunks()) == read_all(media.body)
    assert whole.header("ETag") == f'"{client.info(media)["etag"]}"'
    part = client.ask(client.at(media), range="bytes=10-19")
    assert (part.status, part.header("Content-Range")) == (206, "bytes 10-19/100")
    assert client.ask(client.at(media), if_none_match=whole.header("ETag") or "").status == 304
    assert client.info(media)["times_downloaded"] == 3


def test_the_limit_on_downloads_is_one_of_those_without_a_token() -> None:
    client = Client()
    (media,) = client.add()
    assert client.ask(client.at(media), bearer="").status == 401
    client.service.facts(media).public = True
    client.service.facts(media).max_downloads_allowed = 1
    assert [client.ask(client.at(media), bearer="").status for _ in range(2)] == [200, 403]
    assert client.ask(client.at(media)).status == 200
    client.set(limits_all=True)
    assert client.ask(client.at(media)).status == 403
    assert client.ask(client.at(media, "/info"), bearer="").status == 401


def test_a_download_may_lead_to_storage() -> None:
    client = Client(redirect=True)
    (media,) = client.add()
    answer = client.ask(client.at(media))
    assert answer.status == 302
    assert (answer.header("Location") or "").startswith("http://storage.invalid/stored/")


# --- changes

FORM = "multipart/form-data; boundary=XyZ"


def form(**fields: str) -> str:
    parts = [f'--XyZ\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()]
    return "".join(parts) + "--XyZ--\r\n"


def test_a_form_changes_what_it_names_and_nothing_else() -> None:
    client = Client(shows_title=True)
    (media,) = client.add(title="before", description="kept")
    body = form(title="a\nb", public="true", max_downloads_allowed="7", mime_type="audio/x", unknown="1")
    assert client.put(client.at(media, "/info"), body, FORM) == 204
    found = client.info(media)
    assert (found["title"], found["description"], found["public"]) == ("a\nb", "kept", True)
    assert (found["max_downloads_allowed"], found["mime_type"]) == (7, "audio/x")
    assert found["time_last_updated"] == "2024-05-17T10:00:00.000Z"
    assert client.ask(client.at(media)).header("Content-Type") == "audio/x"


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"public": "yes"}, "public"),
        ({"max_downloads_allowed": "many"}, "max_downloads_allowed"),
        ({"metadata_primary": "x" * 5000}, "metadata_primary"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_nothing_is_changed(fields: dict[str, str], kept: str) -> None:
    client = Client()
    (media,) = client.add()
    before = client.info(media)
    assert client.put(client.at(media, "/info"), form(metadata_secondary="new", **fields), FORM) == 400
    assert client.info(media) == before


def test_a_part_without_a_charset_may_be_read_as_latin_1() -> None:
    client = Client(form_charset="latin-1")
    (media,) = client.add()
    client.put(client.at(media, "/info"), form(metadata_primary="é"), FORM)
    assert client.info(media)["metadata_primary"] == "Ã©"


@pytest.mark.parametrize("body", ["", "--XyZ\r\n", "no form", form(title="x").replace('name="title"', "")])
def test_a_form_that_cannot_be_read_is_refused(body: str) -> None:
    client = Client()
    (media,) = client.add()
    assert client.put(client.at(media, "/info"), body, FORM) == 400


def test_each_published_form_of_the_edit_can_be_the_one_that_is_understood() -> None:
    client = Client()
    (media,) = client.add()
    old, new = (
        '{"metadataPrimary": "old", "publicItem": true}',
        '{"metadata_primary": "new", "public": false}',
    )
    info, plain = client.at(media, "/info"), client.at(media)
    assert (client.put(info, old, "application/json"), client.put(plain, new, "application/json")) == (
        415,
        405,
    )
    client.set(update="json-info")
    assert client.put(info, form(metadata_primary="x"), FORM) == 415
    assert client.put(info, old, "application/json") == 200
    assert (client.info(media)["metadata_primary"], client.info(media)["public"]) == ("old", True)
    client.set(update="json")
    assert client.put(info, old, "application/json") == 405
    assert client.put(plain, new, "application/json") == 204
    assert (client.info(media)["metadata_primary"], client.info(media)["public"]) == ("new", False)
    client.set(update="json-info", update_refusal=204)
    assert client.put(info, form(metadata_primary="x"), FORM) == 200
    assert client.info(media)["metadata_primary"] == "new"


def test_what_is_deleted_is_gone() -> None:
    client = Client()
    (media,) = client.add()
    assert client.ask(client.at(media), "DELETE").status == 204
    assert client.ask(client.at(media), "DELETE").status == 404
    assert len(client.world) == 0


def test_what_an_application_may_not_do_is_403() -> None:
    client = Client()
    (media,) = client.add()
    only = frozenset({media.id})
    client.set(forbidden_downloads=only, forbidden_updates=only, forbidden_deletes=only)
    assert client.ask(client.at(media)).status == 403
    assert client.put(client.at(media, "/info"), form(title="x"), FORM) == 403
    assert client.ask(client.at(media), "DELETE").status == 403


# --- errors


def test_errors_are_problems_or_have_no_body() -> None:
    client = Client()
    answer = client.ask(f"{MEDIA}/x/info")
    assert answer.header("Content-Type") == "application/problem+json"
    problem = json.loads(b"".join(answer.chunks()))
    assert problem.keys() == {"type", "title", "detail", "instance"}
    client.set(errors="empty")
    assert len(client.ask(f"{MEDIA}/x/info")) == 0


def test_another_path_is_no_media_api() -> None:
    assert Client().ask("/v2/media").header("Content-Type") == "text/html"


def test_too_many_requests_are_429() -> None:
    client = Client(rate_limit=2, empty="list", rate_header="retry-iso")
    assert [client.ask(MEDIA).status for _ in range(3)] == [200, 200, 429]
    assert "T" in (client.ask(MEDIA).header("Retry-After") or "")


def test_it_can_be_served_in_a_process_of_its_own() -> None:
    with sandbox_process("vonage", media=30, last="2025-12-31", links="none") as box:
        assert box.credentials["application_id"] == VonageOptions().application_id
        assert "PRIVATE KEY" in box.credentials["private_key"]
        assert box.call("GET", MEDIA).status == 401
