"""What all twins share, tried on one that is not Apizee's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar

import pytest
import trio

from mediafs.sandbox import (
    SERVICES,
    CommonOptions,
    Fault,
    Kind,
    Media,
    Server,
    Service,
    World,
    serve,
)
from mediafs.sandbox.service import Reshape
from mediafs.sandbox.services import made
from mediafs.sandbox.state import Origin
from mediafs.sandbox.transfer import send_body
from mediafs.sandbox.twin import Twin
from mediafs.sandbox.wire import Headers, Refusal, Request, Response, WaitForm, json_response

NOW_S = 1_700_000_000.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyOptions(CommonOptions):
    key: str = field(default="a-toy-of-a-key", repr=False)
    rate_header: WaitForm = "retry-seconds"
    sizes: tuple[str, ...] = ("big", "small")
    regions: frozenset[str] = frozenset()
    numbers: frozenset[int] = frozenset()
    share: float | None = None


class Toy(Twin[ToyOptions]):
    """A service whose media are called ``item-7`` and whose errors have a number."""

    name = "toy"
    options_type: ClassVar[type[CommonOptions]] = ToyOptions

    def handle(self, request: Request, reshape: Reshape | None = None) -> Response:
        extra: Headers = ()
        try:
            if request.headers.get("x-key") != self.options.key:
                raise Refusal(401, "no key", code=1)
            extra = self.limits.count("everybody", request.at_s, self.options, text="slow down")
            media = self.media_of(request)
            if media is None:
                raise Refusal(404, "no item", code="E404")
            if request.method == "DELETE":
                self.world.remove(media.id)
                response = Response(status=204)
            elif self.options.redirect:
                response = Response(status=302, headers=(("Location", self.link(media, request)),))
            else:
                response = send_body(request, self.options, media, reshape)
        except Refusal as refusal:
            response = self.error(refusal)
        return response.adding(extra)

    def media_of(self, request: Request) -> Media | None:
        match request.segments:
            case ["items", item]:
                return self.world.named(item.removeprefix("item-"))
        return super().media_of(request)

    def credentials(self) -> dict[str, str]:
        return {"key": self.options.key}

    def account(self) -> dict[str, str | bool | list[str]]:
        return {"base_url": self.origin}

    def expire(self) -> None:
        pass

    def error(self, refusal: Refusal) -> Response:
        said = {"reason": {"number": refusal.code, "text": refusal.text}}
        return json_response(refusal.status, said, *refusal.headers)


def server(**options: object) -> Server:
    world = World()
    world.add(body=b"the bytes", filename="a b.bin", created=datetime(2025, 1, 1))
    return Server(Toy(world, ToyOptions().patched(options), signing_key=b"k"), clock=lambda: NOW_S)


def asked(
    server: Server,
    target: str = "/items/item-1",
    *,
    method: str = "GET",
    origin: Origin = "api",
    at_s: float = NOW_S,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to one request, logged and spoiled as over a socket; on the API it brings the key."""
    given = dict(headers or {}) | ({"x-key": "a-toy-of-a-key"} if origin == "api" else {})
    request = Request(method=method, target=target, headers=given, at_s=at_s)
    server.noted(request, origin)
    return server.respond(request, origin, server.faults.take(request))


def body(response: Response) -> bytes:
    return b"".join(response.chunks())


def test_options_of_a_subclass_are_changed_and_shown_like_the_common_ones() -> None:
    changes = {"sizes": ["b", "a"], "regions": ["y", "x"], "numbers": [2, 1], "share": 1, "redirect": True}
    options = ToyOptions().patched(changes)
    assert options == ToyOptions(
        sizes=("b", "a"),
        regions=frozenset({"x", "y"}),
        numbers=frozenset({1, 2}),
        share=1.0,
        redirect=True,
    )
    shown = options.as_json()
    assert {name: shown[name] for name in changes} == changes | {"regions": ["x", "y"], "numbers": [1, 2]}
    assert ToyOptions().patched(shown) == options
    assert options.patched({"share": None}).share is None
    assert options.patched({"sizes": {"b", "a"}}).sizes == ("a", "b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sizes", [1]),
        ("sizes", "big"),
        ("regions", [None]),
        ("numbers", ["1"]),
        ("numbers", [True]),
        ("share", "1"),
        ("rate_header", "smoke"),
        ("token", "x"),
    ],
)
def test_an_option_that_a_subclass_does_not_have_or_cannot_take_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        ToyOptions().patched({name: value})


def test_a_service_is_made_by_its_vendors_name_with_its_own_options_only() -> None:
    for name, twin in SERVICES.items():
        service: Service = made(name, World())
        assert service.name == twin.name == name
        assert type(service.options) is twin.options_type
        assert all(isinstance(value, str) for value in service.credentials().values())
        with pytest.raises(TypeError, match="ToyOptions"):
            made(name, World(), ToyOptions())
        with pytest.raises(TypeError, match="ToyOptions"):
            service.configure(ToyOptions())
    with pytest.raises(ValueError, match="nobody"):
        made("nobody", World())


def test_a_server_in_this_process_is_the_vendors() -> None:
    async def run() -> None:
        async with serve(World(), vendor="apizee") as running:
            assert running.service.name == "apizee"
            assert running.service.origin == running.url
        with pytest.raises(ValueError, match="nobody"):
            async with serve(World(), vendor="nobody"):
                pass
        with pytest.raises(TypeError):
            async with serve(World(), ToyOptions()):
                pass

    trio.run(run)


WAITS: dict[WaitForm, tuple[str, Callable[[str], float]]] = {
    "reset-seconds": ("X-RateLimit-Reset", float),
    "reset-unix": ("X-RateLimit-Reset", lambda text: float(text) - NOW_S),
    "retry-seconds": ("Retry-After", float),
    "retry-date": ("Retry-After", lambda text: parsedate_to_datetime(text).timestamp() - NOW_S),
    "retry-iso": ("Retry-After", lambda text: datetime.fromisoformat(text).timestamp() - NOW_S),
}


@pytest.mark.parametrize("form", sorted(WAITS))
def test_a_limit_tells_the_wait_in_the_form_that_its_option_names(form: WaitForm) -> None:
    limited = server(rate_limit=2, rate_window_s=30, rate_header=form)
    lefts = [asked(limited).header("X-RateLimit-Remaining") for _ in range(2)]
    assert lefts == ["1", "0"]
    refused = asked(limited)
    name, read = WAITS[form]
    wait_s = read(refused.header(name) or "")
    assert (refused.status, b"slow down" in body(refused)) == (429, True)
    assert 30 <= wait_s < 31, "never less: who waits as told is let in"
    assert [key for key, _ in refused.headers].count("X-RateLimit-Remaining") == 1
    assert asked(limited, at_s=NOW_S + wait_s).status == 200


def test_a_limit_can_be_kept_without_a_word() -> None:
    limited = server(rate_limit=1, rate_header="none")
    answers = [asked(limited), asked(limited)]
    assert [answer.status for answer in answers] == [200, 429]
    names = {name.lower() for answer in answers for name, _ in answer.headers}
    assert not {"retry-after", "x-ratelimit-reset", "x-ratelimit-remaining"} & names


def test_a_change_of_the_limit_forgets_what_was_counted_and_another_change_does_not() -> None:
    limited = server(rate_limit=1)
    assert [asked(limited).status for _ in range(2)] == [200, 429]
    limited.options = limited.options.patched({"etags": False})
    assert asked(limited).status == 429
    limited.options = limited.options.patched({"rate_limit": 2})
    assert asked(limited).status == 200


def test_a_signed_link_is_good_for_its_media_and_its_time() -> None:
    linked = server(redirect=True, redirect_ttl_s=10)
    location = asked(linked).header("Location") or ""
    target = location.removeprefix(linked.storage_url)
    assert target.startswith("/stored/1/a%20b.bin?")
    assert body(asked(linked, target, origin="storage")) == b"the bytes"
    assert asked(linked, target, origin="storage", at_s=NOW_S + 11).status == 403
    linked.world.add(body=b"others")
    assert asked(linked, target.replace("/1/", "/2/"), origin="storage").status == 403
    assert asked(linked, target, method="PUT", origin="storage").status == 404
    linked.world.remove(1)
    assert asked(linked, target, origin="storage").status == 404


def test_a_credential_on_the_storage_origin_is_found_wherever_it_is() -> None:
    linked = server(redirect=True)
    target = (asked(linked).header("Location") or "").removeprefix(linked.storage_url)
    asked(linked, target, origin="storage", headers={"user-agent": "me"})
    assert linked.leaks("an-issued-token", "1") == []
    for headers in ({"authorization": "Basic eA=="}, {"cookie": "a=b"}, {"x-any": "Key a-toy-of-a-key"}):
        asked(linked, target, origin="storage", headers=headers)
    asked(linked, f"{target}&access_token=an-issued%2Dtoken", origin="storage")
    asked(linked, "/an-issued-token/x", origin="storage")
    assert len(linked.leaks()) == 3
    assert len(linked.leaks("an-issued-token")) == 5


def test_an_error_made_up_is_in_the_shape_of_the_service_or_as_the_fault_words_it() -> None:
    spoilt = server()
    spoilt.faults.add([Fault(kind=Kind.STATUS, status=status) for status in (409, 410, 503)])
    answers = [asked(spoilt) for _ in range(3)]
    assert [answer.status for answer in answers] == [409, 410, 503]
    assert body(answers[0]) == b'{"reason":{"number":null,"text":"Conflict"}}'
    assert body(answers[1]) == b'{"reason":{"number":null,"text":"Gone"}}'
    own = {"content-type": "application/problem+json"}
    spoilt.faults.add([Fault(kind=Kind.STATUS, status=409, body='{"n":7}', headers=own)])
    answer = asked(spoilt)
    assert (body(answer), answer.headers) == (b'{"n":7}', tuple(own.items()))
    spoilt.faults.add([Fault(kind=Kind.JSON)])
    assert b'"reason"' in body(asked(spoilt))
    spoilt.faults.add([Fault(kind=Kind.STATUS, status=503)])
    assert body(asked(spoilt, "/stored/1/x", origin="storage")).startswith(b"<?xml")


@pytest.mark.parametrize("redirect", [False, True])
def test_a_media_can_change_whatever_the_service_calls_it(redirect: bool) -> None:
    spoilt = server(redirect=redirect)
    origin: Origin = "storage" if redirect else "api"
    target = (asked(spoilt).header("Location") or "/items/item-1").removeprefix(spoilt.storage_url)
    spoilt.faults.add([Fault(kind=Kind.CHANGE, path=target.partition("?")[0])])
    changed = body(asked(spoilt, target, origin=origin))
    assert changed == body(asked(spoilt, target, origin=origin)) != b"the bytes"


@pytest.mark.parametrize("kind", [Kind.SHORT, Kind.LONG, Kind.CUT, Kind.IGNORE_RANGE, Kind.WRONG_RANGE])
def test_a_body_is_spoiled_whatever_the_service(kind: Kind) -> None:
    spoilt = server()
    right = asked(spoilt, headers={"range": "bytes=2-4"})
    spoilt.faults.add([Fault(kind=kind, after_bytes=6)])
    wrong = asked(spoilt, headers={"range": "bytes=2-4"})
    assert replace(right, payload=body(right)) != replace(wrong, payload=body(wrong))


def test_a_lost_answer_leaves_its_work_done() -> None:
    spoilt = server()
    spoilt.faults.add([Fault(kind=Kind.LOST)])
    answer = asked(spoilt, method="DELETE")
    assert (answer.status, answer.delivery.abort) == (0, "refuse")
    assert asked(spoilt, method="DELETE").status == 404
