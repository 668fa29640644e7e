"""The service as a client sees it, over real sockets."""

import time
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

import pytest

from mediafs.sandbox.testing import Answer, Box, sandbox_process

MEDIAS = "/api/v3/medias"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    with sandbox_process(media=60, conversations=3, hostile=True) as box:
        yield box


@pytest.fixture
def box(shared: Box) -> Iterator[Box]:
    """The shared sandbox, its options put back afterwards."""
    before = shared.set()
    shared.reset()
    yield shared
    shared.set(**before)
    shared.clear_faults()


def listed(box: Box, query: str, token: str = "") -> Answer:
    return box.call("GET", f"{MEDIAS}?{query}", token=token)


def ids(answer: Answer) -> list[int]:
    assert answer.status == 200
    return [record["id"] for record in answer.json["data"]]


def walk(box: Box, query: str) -> list[int]:
    found: list[int] = []
    offset: int | None = 0
    while offset is not None:
        answer = listed(box, f"{query}&offset={offset}")
        found += ids(answer)
        offset = answer.json["next_offset"]
    return found


@pytest.mark.parametrize("header", [None, "Basic abc", "Bearer", "Bearer wrong"])
def test_every_call_without_a_good_token_answers_401(box: Box, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, target in (("GET", MEDIAS), ("PUT", f"{MEDIAS}/1"), ("GET", f"{MEDIAS}/1/download")):
        answer = box.call(method, target, headers=headers, token=None)
        assert answer.status == 401
        assert "error" in answer.json


def test_a_listing_without_parameters_has_ten_of_the_users_own_completed_media_newest_first(box: Box) -> None:
    answer = listed(box, "")
    data = answer.json["data"]
    assert len(data) == 10
    assert answer.json["next_offset"] == 10
    assert {record["owner"]["id"] for record in data} == {1000}
    assert {record["status"] for record in data} == {"completed"}
    assert [r["created"] for r in data] == sorted((r["created"] for r in data), reverse=True)


def test_walking_the_pages_gives_everything_once(box: Box) -> None:
    wanted = [media["id"] for media in box.world() if media["completed"]]
    assert walk(box, "user_id=all&order=asc&limit=7") == wanted
    assert walk(box, "user_id=all&limit=7") == wanted[::-1]


def test_a_limit_above_the_maximum_is_silently_lowered(box: Box) -> None:
    box.set(max_limit=20)
    answer = listed(box, "user_id=all&limit=1000")
    assert len(ids(answer)) == 20
    assert answer.json["next_offset"] == 20


@pytest.mark.parametrize(("form", "wanted"), [("null", None), ("total", "total"), ("same", 0)])
def test_the_last_page_ends_in_the_configured_way(box: Box, form: str, wanted: object) -> None:
    box.set(last_next_offset=form)
    reply = listed(box, "media_type=audio&limit=100").json
    assert reply["next_offset"] == (reply["total"] if wanted == "total" else wanted)


def test_the_last_page_may_lack_its_next_offset(box: Box) -> None:
    box.set(last_next_offset="absent")
    assert "next_offset" not in listed(box, "limit=100").json


def test_dates_exclude_their_own_second_unless_configured(box: Box) -> None:
    media = [item for item in box.world() if item["completed"]][20]
    moment = quote(media["created"].replace("+00:00", "Z"))
    assert media["id"] not in walk(box, f"user_id=all&since={moment}")
    assert media["id"] not in walk(box, f"user_id=all&until={moment}")
    box.set(inclusive_dates=True)
    assert ids(listed(box, f"user_id=all&since={moment}&until={moment}")) == [media["id"]]


@pytest.mark.parametrize(
    "query",
    [
        "since=2020-01-01",
        "until=2020-01-01T00:00:00%2B00:00",
        "since=2020-13-01T00:00:00Z",
        "since=2020-01-01T00:00:00.000Z",
        "orderby=title",
        "order=down",
        "limit=0",
        "limit=ten",
        "offset=-1",
        "status=deleted",
        "media_type=text",
    ],
)
def test_a_parameter_the_service_does_not_understand_answers_400(box: Box, query: str) -> None:
    assert listed(box, query).status == 400


def test_filters_select_by_what_the_record_does_not_show(box: Box) -> None:
    world = [media for media in box.world() if media["completed"]]
    conversation = world[0]["conversation"]
    wanted = {media["id"] for media in world if media["conversation"] == conversation}
    assert set(walk(box, f"user_id=all&conversation_id={quote(conversation)}")) == wanted
    wanted = {media["id"] for media in world if media["group"] == 301}
    assert set(walk(box, "user_id=all&group_id=301")) == wanted
    wanted = {media["id"] for media in world if "meter" in media["tags"] and media["media_type"] == "image"}
    assert set(walk(box, "user_id=all&tag=meter&media_type=image")) == wanted
    wanted = {media["id"] for media in world if "snapshot" in media["filename"]}
    assert set(walk(box, "user_id=all&search=SNAPSHOT.png")) >= wanted


def test_a_filter_of_the_wrong_name_lists_everything(box: Box) -> None:
    everything = listed(box, "user_id=all").json["total"]
    assert listed(box, "user_id=all&conversation=nonsense").json["total"] == everything
    assert listed(box, "user_id=all&conversation_id=nonsense").json["total"] == 0
    box.set(conversation_parameter="conversation")
    assert listed(box, "user_id=all&conversation=nonsense").json["total"] == 0
    box.set(strict_parameters=True)
    assert listed(box, "user_id=all&conversation_id=5000").status == 400


def test_other_statuses_are_listed_only_when_asked_for(box: Box) -> None:
    wanted = [media["id"] for media in box.world() if not media["completed"]]
    assert wanted
    assert walk(box, "user_id=all&status=in_progress,failed&order=asc") == wanted


def test_the_whole_enterprise_needs_an_administrator(box: Box) -> None:
    assert listed(box, "user_id=all", token=box.user_token).status == 403
    assert listed(box, "user_id=1001", token=box.user_token).status == 403
    assert listed(box, "user_id=1000", token=box.user_token).status == 200
    other = next(media["id"] for media in box.world() if media["owner"]["id"] == 1001)
    assert box.call("GET", f"{MEDIAS}/{other}", token=box.user_token).status == 403


def test_a_record_is_the_same_alone_as_in_the_listing(box: Box) -> None:
    record = listed(box, "limit=1").json["data"][0]
    assert box.call("GET", f"{MEDIAS}/{record['id']}").json == record


@pytest.mark.parametrize("target", ["999999", "0", "x", "%2e%2e", "1/2/3", "9" * 40])
def test_what_does_not_exist_answers_404(box: Box, target: str) -> None:
    assert box.call("GET", f"{MEDIAS}/{target}").status == 404


def test_a_login_gives_a_token_that_ends(box: Box) -> None:
    target = "/api/v3/token?grant_type=password"
    body = f"username={quote(box.username)}&password={box.password}"
    reply = box.call("POST", target, body=body, headers=FORM, token=None).json
    assert set(reply) == {"access_token", "created_at", "expires_in"}
    assert listed(box, "user_id=all", token=reply["access_token"]).status == 200
    assert box.call("POST", "/api/v3/token/revoke", token=reply["access_token"]).status == 200
    assert listed(box, "", token=reply["access_token"]).status == 401
    box.set(expires_in_s=0)
    reply = box.call("POST", f"{target}&{body}", token=None).json
    assert listed(box, "", token=reply["access_token"]).status == 401


def test_tokens_given_out_can_be_made_worthless(box: Box) -> None:
    target = f"/api/v3/token?grant_type=password&username={quote(box.username)}&password={box.password}"
    token = box.call("POST", target, token=None).json["access_token"]
    box.expire_tokens()
    assert listed(box, "", token=token).status == 401


def test_a_login_reads_its_fields_only_where_configured(box: Box) -> None:
    fields = f"username={quote(box.username)}&password={box.password}"
    box.set(login_in="form")
    target = "/api/v3/token?grant_type=password"
    assert box.call("POST", f"{target}&{fields}", token=None).status == 400
    assert box.call("POST", target, body=fields, headers=FORM, token=None).status == 200
    box.set(login_in="query")
    assert box.call("POST", target, body=fields, headers=FORM, token=None).status == 400
    grant = "grant_type=password&"
    assert box.call("POST", "/api/v3/token", body=grant + fields, headers=FORM, token=None).status == 400
    wrong = f"{target}&username={quote(box.username)}&password=no"
    assert box.call("POST", wrong, token=None).status == 401


def test_a_jwt_is_exchanged_when_it_is_the_configured_one(box: Box) -> None:
    target = "/api/v3/token?grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=a.b.c"
    assert box.call("POST", target, token=None).status == 401
    box.set(assertion="a.b.c")
    assert box.call("POST", target, token=None).status == 200


def test_an_update_is_read_in_one_encoding_and_ignored_in_the_others(box: Box) -> None:
    target = f"{MEDIAS}/{box.add(title='old')['id']}"

    def titles() -> dict[str, str]:
        return {
            "json": box.call("PUT", target, body='{"title":"by json"}', headers=JSON).json["title"],
            "form": box.call("PUT", target, body="title=by+form", headers=FORM).json["title"],
            "query": box.call("PUT", f"{target}?title=by%20query").json["title"],
        }

    for encoding in ("json", "form", "query"):
        box.set(update_encoding=encoding)
        box.update(int(target.rsplit("/", 1)[1]), title="old")
        changed = {name for name, title in titles().items() if title == f"by {name}"}
        assert changed == {encoding}


def test_an_update_changes_texts_and_place_and_refuses_what_does_not_fit(box: Box) -> None:
    media_id = box.add(title="old", description="old")["id"]
    target = f"{MEDIAS}/{media_id}"

    def put(text: str) -> Answer:
        return box.call("PUT", target, body=text, headers=JSON)

    record = put('{"description":"new","lat":48.5,"lng":"-4"}').json
    assert (record["title"], record["description"], record["geoloc"]) == (
        "old",
        "new",
        {"lat": 48.5, "lng": -4.0},
    )
    for text in ('{"title":"%s"}' % ("x" * 256), '{"title":1}', '{"lat":91}', '{"lng":"east"}', "{", "[]"):
        assert put(text).status == 400
    assert box.call("GET", target).json == record
    box.set(forbidden_updates=[media_id])
    assert put('{"title":"new"}').status == 403


def test_a_deletion_is_for_ever(box: Box) -> None:
    media_id = box.add()["id"]
    target = f"{MEDIAS}/{media_id}"
    box.set(forbidden_deletes=[media_id])
    assert box.call("DELETE", target).status == 403
    box.set(forbidden_deletes=[])
    answer = box.call("DELETE", target)
    assert (answer.status, answer.body) == (200, b"[]")
    assert box.call("DELETE", target).status == 404
    assert media_id not in walk(box, "user_id=all")


def test_hostile_names_travel_unharmed(box: Box) -> None:
    seen = {record["filename"] for record in listed(box, "user_id=all&limit=100").json["data"]}
    wanted = {media["filename"] for media in box.world() if media["conversation"] == "5999"}
    assert wanted <= seen
    for media in box.world():
        if media["conversation"] == "5999":
            answer = box.call("GET", f"{MEDIAS}/{media['id']}/download")
            assert (answer.status, len(answer.body)) == (200, media["size"])


def test_over_the_rate_limit_every_endpoint_answers_429_with_the_seconds_left(box: Box) -> None:
    box.set(rate_limit=3, rate_window_s=60)
    left = [listed(box, "").headers["x-ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    for target in (MEDIAS, f"{MEDIAS}/1", f"{MEDIAS}/1/download"):
        answer = box.call("GET", target)
        assert answer.status == 429
        assert 1 <= int(answer.headers["x-ratelimit-reset"]) <= 60
        assert answer.headers["x-ratelimit-remaining"] == "0"
        assert "error" in answer.json
    assert box.call("GET", box.world()[0]["thumbnail_url"], token=None).status == 200


@pytest.mark.parametrize("mode", ["rolling", "fixed"])
def test_the_rate_limit_ends_when_it_says(box: Box, mode: str) -> None:
    box.set(rate_limit=1, rate_window_s=0.2, rate_mode=mode)
    # A fixed window may turn between two requests, hence more than two.
    assert 429 in [listed(box, "").status for _ in range(4)]
    time.sleep(0.25)
    assert listed(box, "").status == 200


def test_errors_have_the_configured_shape(box: Box) -> None:
    box.set(error_shape="code")
    assert set(box.call("GET", f"{MEDIAS}/999999").json) == {"code", "message", "details"}


def test_links_with_the_hash_need_no_token_and_links_without_it_fail(box: Box) -> None:
    media = next(item for item in box.world(digest=True) if item["completed"])
    answer = box.call("GET", media["url"], token=None)
    assert (answer.status, len(answer.body)) == (200, media["size"])
    assert box.call("GET", media["thumbnail_url"], token=None).body.startswith(b"\x89PNG")
    assert box.call("GET", media["url"][:-1] + "x", token=None).status == 404


def test_a_connection_is_kept_open_for_the_next_request(box: Box) -> None:
    connection = HTTPConnection(urlsplit(box.url).netloc, timeout=10)
    for _ in range(5):
        connection.request("GET", f"{MEDIAS}/1", headers={"Authorization": f"Bearer {box.token}"})
        connection.getresponse().read()
    connection.close()
    counts = box.counts()
    assert len(counts["requests"]) == 5
    assert counts["connections"] == 1


def test_a_head_request_is_refused_without_harm(box: Box) -> None:
    assert box.call("HEAD", f"{MEDIAS}/1/download").status == 405
    assert box.call("GET", f"{MEDIAS}/1").status == 200


def test_the_log_tells_what_was_asked_and_how_much_was_sent(box: Box) -> None:
    box.call("GET", f"{MEDIAS}/1/download?x=1", headers={"Range": "bytes=0-9", "User-Agent": "me"})
    (entry,) = box.requests(path="/download")
    assert (entry["method"], entry["query"], entry["user_agent"]) == ("GET", "x=1", "me")
    assert (entry["status"], entry["bytes_sent"], entry["range"]) == (206, 10, "bytes=0-9")
    assert "authorization" not in entry["headers"]
    box.reset()
    assert box.requests() == []


def test_the_control_api_wants_its_key(box: Box) -> None:
    assert box.call("GET", "/_sandbox/world").status == 403
    with pytest.raises(RuntimeError, match="no option is called speed"):
        box.set(speed=3)
    with pytest.raises(RuntimeError, match="404"):
        box.remove(999999)
    with pytest.raises(RuntimeError, match="nonsense"):
        box.fault("nonsense")
    with pytest.raises(RuntimeError, match="colour"):
        box.add(colour="red")
