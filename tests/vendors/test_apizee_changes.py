"""Edits and deletions as Apizee takes them: how it takes an edit is not documented, so it is found out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import pytest

from mediafs.errors import (
    Denied,
    InvalidReply,
    MediafsError,
    NotFound,
    Unavailable,
    Unsupported,
    ValueRefused,
)
from mediafs.model import Edited, Erased, MediaId, Removal
from mediafs.vendors.apizee import Apizee
from mediafs.vendors.protocol import Call, Flow, Reply
from tests.vendors.test_apizee import apizee, media, record, reply

ENCODINGS = ("json", "form", "query")
PLACES = (("lat", "lng"), ("latitude", "longitude"))


@dataclass
class Service:
    """Takes edits in one encoding only, as the documentation does not say which."""

    encoding: str = "json"
    places: tuple[str, str] = ("lat", "lng")
    kept: dict[str, Any] = field(default_factory=record)
    echoes: bool = True
    unreadable: int | None = None
    """The status for an encoding that it does not read; None: it is ignored with a 200."""
    change: Callable[[str, Any], Any] = lambda name, value: value
    """What it makes of a value. Raises ValueError for a 400."""
    asked: Counter[str] = field(default_factory=Counter)

    def __call__(self, call: Call) -> Reply:
        self.asked[call.method] += 1
        if call.method == "GET":
            return reply(self.kept)
        fields = self.fields(call)
        if fields is None:
            return reply({}, self.unreadable) if self.unreadable else self.echo()
        place = dict(self.kept["geoloc"] or {"lat": 0.0, "lng": 0.0})
        changed = dict(self.kept)
        try:
            for name, value in fields.items():
                if name in ("title", "description"):
                    changed[name] = self.change(name, value)
                elif name in self.places:
                    place[("lat", "lng")[self.places.index(name)]] = float(value)
                    changed["geoloc"] = place
        except (ValueError, TypeError):
            return reply({"error": "a value is refused"}, 400)
        self.kept = changed
        return self.echo()

    def echo(self) -> Reply:
        return reply(self.kept) if self.echoes else reply(b"")

    def fields(self, call: Call) -> Mapping[str, Any] | None:
        kinds = dict(call.headers)
        if call.query:
            return dict(call.query) if self.encoding == "query" else None
        wanted = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
        if kinds.get("Content-Type") != wanted.get(self.encoding):
            return None
        body = call.body or b""
        if self.encoding == "json":
            found: dict[str, Any] = json.loads(body)
            return found
        return dict(parse_qsl(body.decode(), keep_blank_values=True))


def driven(flow: Flow[Any], service: Callable[[Call], Reply]) -> Any:
    try:
        call = next(flow)
        while True:
            call = flow.send(service(call))
    except StopIteration as stop:
        return stop.value


def edit(vendor: Apizee, service: Service, **edits: str | None) -> Edited:
    done = driven(vendor.update(apizee().parse_media(reply(service.kept)), edits), service)
    assert isinstance(done, Edited)
    return done


# --- the encoding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("unreadable", [None, 400, 415, 422])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_encoding_is_found_by_the_echo_and_remembered(encoding: str, unreadable: int | None) -> None:
    vendor, service = apizee(), Service(encoding, unreadable=unreadable)
    done = edit(vendor, service, title="a new title")
    assert done.refused is None
    assert done.media is not None
    assert done.media.title == service.kept["title"] == "a new title"
    assert service.asked["PUT"] == ENCODINGS.index(encoding) + 1
    assert edit(vendor, service, description="and a description").refused is None
    assert service.asked["PUT"] == ENCODINGS.index(encoding) + 2, "found once"
    assert service.kept["title"] == "a new title", "only what is changed is sent"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_was_learnt_outlives_the_process(encoding: str) -> None:
    before, service = apizee(), Service(encoding)
    edit(before, service, title="one")
    service.asked.clear()
    after = apizee()
    after.learnt = json.loads(json.dumps(before.learnt))
    edit(after, service, title="two")
    assert service.asked["PUT"] == 1


@pytest.mark.parametrize(
    "learnt", [None, "json", ["xml", "lat", "lng"], ["json", "x", "y"], ["json"], [1, 2, 3], {"json": 1}]
)
def test_what_was_learnt_is_checked_like_any_input(learnt: object) -> None:
    vendor, service = apizee(), Service("form")
    vendor.learnt = {"update": learnt}
    assert edit(vendor, service, title="new").refused is None


def test_a_service_that_has_changed_its_mind_is_found_out_again() -> None:
    vendor, service = apizee(), Service("json")
    edit(vendor, service, title="one")
    service.encoding = "query"
    edit(vendor, service, title="two")
    assert service.kept["title"] == "two"
    service.asked.clear()
    edit(vendor, service, title="three")
    assert service.asked["PUT"] == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_value_equal_to_the_old_one_stands_and_teaches_nothing(encoding: str) -> None:
    vendor, service = apizee(), Service(encoding)
    done = edit(vendor, service, title=str(service.kept["title"]))
    assert done.refused is None
    assert service.asked["PUT"] == 1
    assert vendor.learnt == {}, "it would have stood in any encoding"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "title",
    [
        "",
        " ",
        "a\nb",
        "a\r\nb",
        "naïve & co = 100 %? #",
        "\U0001f468‍\U0001f469 emoji",
        "e\u0301",
        "x" * 10_000,
    ],
)
def test_every_text_arrives_as_it_is(encoding: str, title: str) -> None:
    service = Service(encoding)
    done = edit(apizee(), service, title=title)
    assert done.refused is None
    assert service.kept["title"] == title


def test_what_a_service_tidies_up_stands() -> None:
    tidies: dict[str, Callable[[str, str], str]] = {
        "  a  ": lambda name, value: value.strip(),
        "e\u0301": lambda name, value: "é",
        "a\r\nb": lambda name, value: "a\nb",
    }
    for title, tidy in tidies.items():
        assert edit(apizee(), Service(change=tidy), title=title).refused is None


# --- places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_names_of_the_coordinates_are_found_too(encoding: str, places: tuple[str, str]) -> None:
    vendor, service = apizee(), Service(encoding, places)
    assert edit(vendor, service, latitude="48.117266").refused is None
    assert service.kept["geoloc"]["lat"] == 48.117266
    service.asked.clear()
    assert edit(vendor, service, longitude="-1.5").refused is None
    assert service.asked["PUT"] == 1


def test_names_of_coordinates_are_tried_first_in_the_encoding_that_works() -> None:
    vendor, service = apizee(), Service("form", ("latitude", "longitude"))
    edit(vendor, service, title="new")
    service.asked.clear()
    edit(vendor, service, latitude="1")
    assert service.asked["PUT"] == 2


def test_a_rounded_place_stands_and_another_does_not() -> None:
    service = Service()
    assert edit(apizee(), service, latitude="48.1172661234567").refused is None
    service.kept["geoloc"] = {"lat": 0.0, "lng": 0.0}
    assert edit(apizee(), Service(places=("north", "east")), latitude="48").refused is not None


# --- refusals --------------------------------------------------------------------------------------


def refusing(name: str, value: str) -> str:
    raise ValueError


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_refused_value_changes_nothing(encoding: str) -> None:
    service = Service(encoding, change=refusing)
    before = dict(service.kept)
    try:
        refused = edit(apizee(), service, title="x").refused
    except ValueRefused as error:  # where it is the last word
        refused = str(error)
    assert "refuses a value: a value is refused" in str(refused)
    assert service.kept == before


def test_a_refusal_in_the_known_encoding_is_final() -> None:
    vendor, service = apizee(), Service("query")
    edit(vendor, service, title="one")
    service.change = refusing
    service.asked.clear()
    with pytest.raises(ValueRefused):
        edit(vendor, service, title="two")
    assert service.asked["PUT"] == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_value_that_is_cut_is_refused_and_shown_as_it_is_kept(encoding: str) -> None:
    service = Service(encoding, change=lambda name, value: value[:5])
    done = edit(apizee(), service, title="a long title")
    assert done.refused is not None
    assert done.media is not None
    assert done.media.title == "a lon"
    assert service.asked["PUT"] == ENCODINGS.index(encoding) + 1, "it was taken: no other way is tried"


def test_a_value_that_is_quietly_not_kept_is_refused() -> None:
    service = Service("nothing")
    done = edit(apizee(), service, title="new")
    assert done.refused is not None
    assert done.media is not None
    assert done.media.title == record()["title"]
    assert service.asked["PUT"] == 3


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, Denied),
        (404, NotFound),
        (405, Unsupported),
        (409, InvalidReply),
        (500, Unavailable),
        (501, Unsupported),
        (503, Unavailable),
    ],
)
def test_other_answers_end_it(status: int, error: type[MediafsError]) -> None:
    asked = []

    def service(call: Call) -> Reply:
        asked.append(call)
        return reply({"error": "no"}, status)

    with pytest.raises(error):
        driven(apizee().update(media(), {"title": "x"}), service)
    assert len(asked) == 1


# --- the echo --------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_without_an_echo_the_record_is_read(encoding: str) -> None:
    service = Service(encoding, echoes=False)
    done = edit(apizee(), service, title="new")
    assert done.refused is None
    assert done.media is not None
    assert done.media.title == "new"
    assert service.asked["GET"] == service.asked["PUT"]


@pytest.mark.parametrize("echo", [b"<html>sign in", b"[]", b'{"id": 2}', b"{}", b"null"])
def test_an_echo_that_is_no_record_of_the_media_is_no_confirmation(echo: bytes) -> None:
    with pytest.raises(InvalidReply):
        driven(apizee().update(media(), {"title": "x"}), lambda call: reply(echo))


def test_the_record_of_another_media_is_no_confirmation() -> None:
    other = reply(record(id=999, title="x"))
    with pytest.raises(InvalidReply, match="another media"):
        driven(apizee().update(media(), {"title": "x"}), lambda call: other)


def test_an_id_that_is_no_part_of_a_path_is_never_sent() -> None:
    bad = media()
    object.__setattr__(bad, "id", MediaId("../../admin"))
    for flow in (apizee().update(bad, {"title": "x"}), apizee().erase(bad, Removal.PERMANENT)):
        with pytest.raises(NotFound):
            next(flow)


# --- deletions -------------------------------------------------------------------------------------


def erase(*replies: Reply, removal: Removal = Removal.PERMANENT) -> tuple[list[Call], Erased]:
    calls: list[Call] = []
    left = iter(replies)

    def service(call: Call) -> Reply:
        calls.append(call)
        return next(left)

    done = driven(apizee().erase(media(), removal), service)
    assert next(left, None) is None, "every answer was asked for"
    return calls, done


@pytest.mark.parametrize("body", [b"[]", b"", b" \n", b"{}"])
@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_deletion_is_one_request(status: int, body: bytes) -> None:
    calls, done = erase(reply(body, status))
    assert [(call.method, call.url.rsplit("/", 1)[1]) for call in calls] == [("DELETE", str(media().id))]
    assert done == Erased(answer=f"DELETE {status}")


def test_what_is_gone_already_is_done() -> None:
    _, done = erase(reply({"error": "Media not found"}, 404))
    assert done == Erased(answer="DELETE 404", carried_out=False)
    _, done = erase(reply({"error": "gone"}, 410))
    assert not done.carried_out


def test_a_404_of_something_before_the_service_is_not_taken_on_trust() -> None:
    gone = reply({"error": "no such media"}, 404)
    calls, done = erase(reply(b"<html>", 404), gone)
    assert not done.carried_out
    assert [call.method for call in calls] == ["DELETE", "GET"]
    with pytest.raises(MediafsError):
        erase(reply(b"<html>", 404), reply(b"<html>", 404), reply(b"<html>", 404))
    with pytest.raises(InvalidReply, match="still there"):
        erase(reply(b"<html>", 404), reply(record()))


def test_what_a_second_try_finds_gone_the_first_has_deleted() -> None:
    answer = reply({"error": "Media not found"}, 404)
    _, done = erase(Reply(status=404, headers={}, body=answer.body, repeated=True))
    assert done.carried_out
    assert "404" in done.answer


def test_nor_is_one_to_the_look_after_a_deletion_that_was_not_answered_in_the_services_words() -> None:
    with pytest.raises(InvalidReply):
        erase(reply(b"<html>", 200), reply(b"<html>", 404), reply(b"<html>", 404))
    _, done = erase(reply(b"<html>", 200), reply(b"", 404), reply({"total": 1, "data": [record()]}))
    assert done.answer == "DELETE 200"


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b'{"status": "queued"}', b"[1]"])
def test_another_answer_is_believed_only_when_the_record_is_gone(body: bytes) -> None:
    _, done = erase(reply(body), reply({"error": "no such media"}, 404))
    assert done.carried_out
    with pytest.raises(InvalidReply, match="still there"):
        erase(reply(body), reply(record()))


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, Denied), (405, Unsupported), (400, InvalidReply), (409, InvalidReply), (500, Unavailable)],
)
def test_a_refused_deletion_is_told(status: int, error: type[MediafsError]) -> None:
    with pytest.raises(error):
        erase(reply({"error": "no"}, status))


def test_there_is_no_trash() -> None:
    with pytest.raises(Unsupported):
        erase(removal=Removal.TRASH)
    assert apizee().traits.trash is False
    assert apizee().traits.deletable is True
