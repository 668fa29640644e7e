"""Downloads and faults, over real sockets."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, IncompleteRead
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from mediafs.sandbox import World, serve
from mediafs.sandbox.testing import Answer, Box, sandbox_process

BODY = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    with sandbox_process(media=40) as box:
        yield box


@pytest.fixture
def box(shared: Box) -> Iterator[Box]:
    before = shared.set()
    shared.reset()
    yield shared
    shared.set(**before)
    shared.clear_faults()


@pytest.fixture
def media(box: Box) -> dict[str, Any]:
    """A media of 10,240 known bytes."""
    return box.add(body=BODY, filename="known.bin")


def download_of(media: dict[str, Any]) -> str:
    return f"/api/v3/medias/{media['id']}/download"


def test_a_download_is_the_media_bit_for_bit(box: Box) -> None:
    for item in box.world(digest=True)[:10]:
        answer = box.call("GET", download_of(item))
        if item["completed"]:
            assert sha256(answer.body).hexdigest() == item["sha256"]
            assert len(answer.body) == item["filesize"] == int(answer.headers["content-length"])
            assert item["filename"] in answer.headers["content-disposition"]


def test_a_media_that_is_not_completed_has_no_content(box: Box) -> None:
    answer = box.call("GET", download_of(box.add(status="in_progress")))
    assert (answer.status, answer.body) == (204, b"")


def test_a_forbidden_download_answers_403(box: Box, media: dict[str, Any]) -> None:
    box.set(forbidden_downloads=[media["id"]])
    assert box.call("GET", download_of(media)).status == 403


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-9", 0, 10), ("10239-", 10239, 10240), ("-5", 10235, 10240), ("10000-99999", 10000, 10240)],
)
def test_a_range_gives_the_bytes_asked_for(
    box: Box, media: dict[str, Any], asked: str, start: int, stop: int
) -> None:
    answer = box.call("GET", download_of(media), headers={"Range": f"bytes={asked}"})
    assert (answer.status, answer.body) == (206, BODY[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/10240"


@pytest.mark.parametrize("asked", ["10240-", "-0", "9-8"])
def test_a_range_without_bytes_answers_416_with_the_size(box: Box, media: dict[str, Any], asked: str) -> None:
    answer = box.call("GET", download_of(media), headers={"Range": f"bytes={asked}"})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */10240")


def test_if_range_gives_everything_once_the_bytes_have_changed(box: Box, media: dict[str, Any]) -> None:
    etag = box.call("GET", download_of(media)).headers["etag"]
    headers = {"Range": "bytes=0-9", "If-Range": etag}
    assert box.call("GET", download_of(media), headers=headers).status == 206
    box.update(media["id"], body=b"other")
    answer = box.call("GET", download_of(media), headers=headers)
    assert (answer.status, answer.body) == (200, b"other")


def test_ranges_and_etags_can_be_off(box: Box, media: dict[str, Any]) -> None:
    box.set(ranges=False, etags=False)
    answer = box.call("GET", download_of(media), headers={"Range": "bytes=0-9"})
    assert (answer.status, answer.body) == (200, BODY)
    assert not {"etag", "accept-ranges"} & answer.headers.keys()


def test_a_chunked_download_has_no_length(box: Box, media: dict[str, Any]) -> None:
    box.set(chunked=True)
    answer = box.call("GET", download_of(media))
    assert answer.body == BODY
    assert "content-length" not in answer.headers


def test_a_redirect_leads_to_a_signed_link_that_expires(box: Box, media: dict[str, Any]) -> None:
    box.set(redirect=True, redirect_ttl_s=0.2)
    answer = box.call("GET", download_of(media))
    location = answer.headers["location"]
    assert answer.status == 302
    assert location.startswith(box.storage_url)
    got = box.call("GET", location, token=None, headers={"Range": "bytes=5-6"})
    assert (got.status, got.body) == (206, BODY[5:7])
    assert box.call("GET", location.replace("signature=", "signature=0"), token=None).status == 403
    time.sleep(0.25)
    assert box.call("GET", location, token=None).status == 403


def test_the_storage_origin_remembers_every_header_it_was_sent(box: Box) -> None:
    box.call("GET", f"{box.storage_url}/x", headers={"X-Secret": "1"})
    (entry,) = box.requests(origin="storage")
    assert entry["headers"]["authorization"] == f"Bearer {box.token}"
    assert entry["headers"]["x-secret"] == "1"


def test_a_large_body_streams_without_being_built(box: Box) -> None:
    big = box.add(size=1 << 40)
    at = (1 << 39) + 12345
    answer = box.call("GET", download_of(big), headers={"Range": f"bytes={at}-{at + 999_999}"})
    assert (answer.status, len(answer.body)) == (206, 1_000_000)


def test_a_status_fault_is_used_up(box: Box) -> None:
    box.fault("status", path="/api/v3/medias", status=502, times=2)
    assert [box.call("GET", "/api/v3/medias").status for _ in range(3)] == [502, 502, 200]
    assert box.pending_faults() == 0


def test_a_fault_waits_for_its_method_and_path_and_turn(box: Box, media: dict[str, Any]) -> None:
    box.fault("status", method="GET", path="/api/v3/medias/*/download", status=500, skip=1)
    codes = [
        box.call("PUT", f"/api/v3/medias/{media['id']}").status,
        *(box.call("GET", target).status for target in ("/api/v3/medias", *[download_of(media)] * 3)),
    ]
    assert codes == [200, 200, 200, 500, 200]


def test_a_429_can_name_its_wait_in_every_form(box: Box) -> None:
    for form in ("retry-seconds", "retry-date", "retry-iso", "reset-seconds", "reset-unix"):
        box.fault("status", status=429, wait_s=30, wait_form=form, headers={"X-Form": form})
    answers = [box.call("GET", "/api/v3/medias") for _ in range(5)]
    waits = [answer.headers.get("retry-after") or answer.headers["x-ratelimit-reset"] for answer in answers]
    assert waits[0] == waits[3] == "30"
    assert abs(parsedate_to_datetime(waits[1]).timestamp() - time.time() - 30) < 5
    assert waits[2].endswith("Z")
    assert abs(int(waits[4]) - time.time() - 30) < 5


@pytest.mark.parametrize("kind", ["refuse", "reset"])
def test_a_connection_can_break_before_the_answer(box: Box, kind: str) -> None:
    box.fault(kind)
    with pytest.raises((ConnectionError, HTTPException)):
        box.call("GET", "/api/v3/medias")
    assert box.call("GET", "/api/v3/medias").status == 200


@pytest.mark.parametrize("after", [0, 1, 5000])
def test_a_body_can_be_cut(box: Box, media: dict[str, Any], after: int) -> None:
    box.fault("cut", after_bytes=after)
    with pytest.raises(IncompleteRead) as caught:
        box.call("GET", download_of(media))
    assert caught.value.partial == BODY[:after]
    assert box.requests()[0]["bytes_sent"] == after


def test_a_body_can_stall_or_trickle_and_an_answer_be_late(box: Box, media: dict[str, Any]) -> None:
    box.fault("stall", after_bytes=100, seconds=0.2)
    box.fault("trickle", bytes_per_s=40_000)
    box.fault("delay", seconds=0.2)
    box.fault("late", seconds=0.2)
    for _ in range(4):
        started = time.perf_counter()
        assert box.call("GET", download_of(media)).body == BODY
        assert 0.15 < time.perf_counter() - started < 2


def test_a_body_can_disagree_with_its_record(box: Box, media: dict[str, Any]) -> None:
    box.fault("short", after_bytes=40)
    box.fault("long", after_bytes=40)
    short, long = (box.call("GET", download_of(media)) for _ in range(2))
    assert short.body == BODY[:-40]
    assert (len(long.body), long.body[:10240]) == (10280, BODY)


def test_a_range_can_be_lied_about_or_ignored(box: Box, media: dict[str, Any]) -> None:
    box.fault("wrong-range")
    box.fault("ignore-range")
    wrong, ignored = (box.call("GET", download_of(media), headers={"Range": "bytes=5-9"}) for _ in range(2))
    assert (wrong.headers["content-range"], wrong.body) == ("bytes 6-10/10240", BODY[5:10])
    assert (ignored.status, ignored.body) == (200, BODY)


def test_a_media_can_change_between_two_requests(box: Box, media: dict[str, Any]) -> None:
    before = box.call("GET", download_of(media))
    box.fault("change")
    changed, after = box.call("GET", download_of(media)), box.call("GET", download_of(media))
    assert changed.headers["etag"] == after.headers["etag"] != before.headers["etag"]
    assert changed.body == after.body != before.body
    assert len(after.body) == len(before.body)


def test_a_body_can_be_something_else_altogether(box: Box, media: dict[str, Any]) -> None:
    kinds = ("html", "json", "bad-json", "deep-json", "empty")
    for kind in kinds:
        box.fault(kind)
    box.fault("huge-json", after_bytes=1_000_000)
    answers = {kind: box.call("GET", download_of(media)) for kind in (*kinds, "huge-json")}
    assert {answer.status for answer in answers.values()} == {200}
    assert answers["html"].headers["content-type"].startswith("text/html")
    assert "error" in answers["json"].json
    with pytest.raises(ValueError, match="Expecting"):
        answers["bad-json"].json  # noqa: B018
    with pytest.raises(RecursionError):
        answers["deep-json"].json  # noqa: B018
    assert answers["empty"].body == b""
    assert len(answers["huge-json"].json) == 999_998


def test_a_redirect_can_loop_or_lead_elsewhere(box: Box, media: dict[str, Any]) -> None:
    box.fault("redirect-loop")
    box.fault("redirect")
    box.fault("redirect", location="http://127.0.0.1:1/")
    locations = [box.call("GET", download_of(media)).headers["location"] for _ in range(3)]
    assert locations == [download_of(media), box.storage_url + download_of(media), "http://127.0.0.1:1/"]


def carried_out(box: Box, method: str, media: dict[str, Any]) -> bool:
    """Whether the media is as *method* leaves it."""
    left = {item["id"]: item for item in box.world()}
    return media["id"] not in left if method == "DELETE" else left[media["id"]]["title"] == "new"


def sent(box: Box, method: str, media: dict[str, Any]) -> Answer:
    body = '{"title":"new"}' if method == "PUT" else None
    target = f"/api/v3/medias/{media['id']}"
    return box.call(method, target, body=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_answer_can_be_lost_after_the_work_was_done(box: Box, media: dict[str, Any], method: str) -> None:
    box.fault("lost", method=method)
    with pytest.raises((ConnectionError, HTTPException)):
        sent(box, method, media)
    assert carried_out(box, method, media)
    (entry,) = box.requests()
    assert (entry["method"], entry["status"], entry["bytes_sent"]) == (method, 0, 0)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_answer_can_be_blank_after_the_work_was_done(box: Box, media: dict[str, Any], method: str) -> None:
    box.fault("blank", method=method)
    answer = sent(box, method, media)
    assert (answer.status, answer.body) == (200, b"")
    assert carried_out(box, method, media)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("kind", ["late", "delay"])
def test_work_is_done_before_an_answer_that_is_late_and_after_a_delay(
    box: Box, media: dict[str, Any], kind: str, method: str
) -> None:
    box.fault(kind, seconds=0.5)
    answers: list[Answer] = []
    thread = Thread(target=lambda: answers.append(sent(box, method, media)))
    started = time.perf_counter()
    thread.start()
    while not box.requests():
        time.sleep(0.01)
    if method != "GET":
        assert carried_out(box, method, media) == (kind == "late")
    thread.join(10)
    assert time.perf_counter() - started > 0.45
    assert answers[0].status == 200
    if method != "GET":
        assert carried_out(box, method, media)


def test_a_client_that_gave_up_on_a_late_answer_harms_nothing(box: Box, media: dict[str, Any]) -> None:
    box.fault("late", seconds=0.3)
    connection = HTTPConnection(urlsplit(box.url).netloc, timeout=0.1)
    target = f"/api/v3/medias/{media['id']}"
    connection.request("DELETE", target, headers={"Authorization": f"Bearer {box.token}"})
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert box.call("DELETE", target).status == 404


def test_a_credential_that_reaches_the_storage_origin_is_told(box: Box, media: dict[str, Any]) -> None:
    box.set(redirect=True)
    location = box.call("GET", download_of(media)).headers["location"]
    box.call("GET", location, token=None)
    assert box.leaks() == []
    box.call("GET", f"{location}&t={box.credentials['password']}", token=None)
    box.call("GET", location)
    assert [entry["path"] for entry in box.leaks()] == [urlsplit(location).path] * 2


def test_a_sandbox_says_whose_api_it_is_and_what_opens_it(box: Box) -> None:
    assert box.vendor == "apizee"
    assert box.credentials == {
        "token": box.token,
        "user_token": box.user_token,
        "username": box.username,
        "password": box.password,
    }


def test_a_sandbox_of_an_unknown_vendor_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="invalid choice: 'nobody'"), sandbox_process("nobody"):
        pass


def test_the_process_ends_cleanly_when_told_and_when_its_parent_is_gone() -> None:
    command = [sys.executable, "-m", "mediafs.sandbox", "--json", "--media", "1", "--until-eof"]
    for ending in (signal.SIGINT, signal.SIGTERM, None):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
        )
        assert process.stdout is not None
        assert b'"url"' in process.stdout.readline()
        if ending is not None:
            os.kill(process.pid, ending)
            process.wait(5)
        assert process.communicate(timeout=5)[1] == b""
        assert process.returncode == 0


def test_a_server_in_this_process_ends_with_its_block_and_passes_the_callers_error() -> None:
    async def run() -> None:
        async with serve(World.generate(3)) as server:
            stream = await trio.open_tcp_stream("127.0.0.1", int(server.url.rpartition(":")[2]))
            await stream.send_all(b"GET /api/v3/medias HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"401" in await stream.receive_some(1000)
            assert server.requests[0].status == 401
            await stream.aclose()
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        trio.run(run)
