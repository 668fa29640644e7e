"""Verba's flows driven without a network: against replies in a row, or against the twin as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from mediafs.errors import MediafsError
from mediafs.model import Media, Page, Question
from mediafs.sandbox import World
from mediafs.sandbox.verba import Verba as Twin
from mediafs.sandbox.verba_options import VerbaOptions as TwinOptions
from mediafs.sandbox.wire import Request
from mediafs.vendors.protocol import Call, Credential, Flow, Pace, Reply
from mediafs.vendors.verba import Verba, VerbaOptions

T = TypeVar("T")

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
BASE = "https://recorder.example/verba"
KEY = "74c8eea0-40c6-key"


class Unpaced(Verba):
    """For tests over sockets: ten requests a second would take minutes."""

    @property
    def pace(self) -> Pace | None:
        return None


def verba(**options: Any) -> Verba:
    given: dict[str, Any] = {"base_url": BASE, "api_key": KEY, "search": True}
    return Verba(VerbaOptions(**(given | options)))


def xml(body: str | bytes, status: int = 200, **headers: str) -> Reply:
    return Reply(status=status, headers=headers, body=body.encode() if isinstance(body, str) else body)


def failed(number: int, words: str = "") -> Reply:
    return xml(f'<VerbaApi><Response code="{number}"/><ErrorMessage>{words}</ErrorMessage></VerbaApi>')


def drive(flow: Flow[T], *replies: Reply) -> tuple[list[Call], T | MediafsError]:
    """What is sent, and what comes of it; the last reply comes again to whatever else is asked."""
    asked: list[Call] = []
    try:
        asked.append(next(flow))
        for number in range(500):
            asked.append(flow.send(replies[min(number, len(replies) - 1)]))
    except StopIteration as stop:
        outcome: T = stop.value
        return asked, outcome
    except MediafsError as error:
        return asked, error
    raise AssertionError("the flow wants more and more")


@dataclass
class Talk:
    """A vendor that talks to the twin of a world; `calls` is what was sent."""

    twin: Twin
    vendor: Verba
    calls: list[Call] = field(default_factory=list)
    spoil: Callable[[Call, Reply], Reply] = lambda call, reply: reply
    now: datetime = NOW

    def run(self, flow: Flow[T]) -> T:
        """Raises what the flow raises; a flow that asks without end fails the test."""
        credential = Credential(secret=self.token, renew_after_s=None)
        try:
            call = next(flow)
            for _ in range(2000):
                self.calls.append(call)
                reply = self.answer(self.vendor.authorized(call, credential))
                call = flow.send(self.spoil(call, reply))
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome
        raise AssertionError("the flow wants more and more")

    @property
    def token(self) -> str:
        self.twin._tokens.setdefault("token-of-the-test", float("inf"))
        return "token-of-the-test"

    def answer(self, call: Call) -> Reply:
        query = urlencode(call.query)
        request = Request(
            method=call.method,
            target=f"{urlsplit(call.url).path}?{query}",
            headers={name.lower(): value for name, value in call.headers},
            body=call.body or b"",
            at_s=self.now.timestamp(),
        )
        response = self.twin.handle(request)
        body = b"".join(response.chunks())
        headers = {name.lower(): value for name, value in response.headers}
        return Reply(status=response.status, headers=headers, body=body)

    def page(self, question: Question) -> Page:
        return self.run(self.vendor.page(question, self.now))

    def pages(self, question: Question) -> Iterator[Page]:
        """One after the other by their cursors."""
        for _ in range(2000):
            page = self.page(question)
            yield page
            if page.next is None:
                return
            question = replace(question, cursor=page.next)
        raise AssertionError("the pages do not end")

    def everything(self, question: Question) -> list[Media]:
        return [media for page in self.pages(question) for media in page.media]


def talk(world: World, vendor: dict[str, Any] | None = None, **options: Any) -> Talk:
    twin_options = TwinOptions(**options)
    twin = Twin(world, twin_options, signing_key=b"k")
    made = verba(
        api_key=twin_options.api_key,
        username=twin_options.username,
        password=twin_options.password,
        **(vendor or {}),
    )
    return Talk(twin, made)
