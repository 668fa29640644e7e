"""A vendor with several credentials to try in turn, and with two ways to say a call."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import httpx
import pytest
import trio
from trio.testing import MockClock

from mediafs.errors import CredentialsRefused
from mediafs.model import AccountName, Question, Urgency
from mediafs.remote import CredentialState, RemoteAccount
from mediafs.vendors.apizee import Apizee, ApizeeOptions
from mediafs.vendors.protocol import Call, Credential, Flow, Reply

TOKENS = ("first", "second", "third")
PERSON = Urgency.PERSON


class Rotating(Apizee):
    """Apizee with three tokens; every call may be said with `other` in its query too."""

    def __init__(self, *, renewals: int, other: str = "") -> None:
        super().__init__(ApizeeOptions(base_url="https://api.example", token="unused"))
        self.at = 0
        self.other = other
        self._renewals = renewals

    @property
    def renewals(self) -> int:
        return self._renewals

    def login(self, now: datetime) -> Flow[Credential]:
        yield from ()
        return Credential(secret=TOKENS[self.at], renew_after_s=None)

    def refused(self, credential: Credential) -> None:
        if credential.secret == TOKENS[self.at]:
            self.at = (self.at + 1) % len(TOKENS)

    def list_page(self, question: Question) -> Call:
        return replace(super().list_page(question), subject="one", other_subject=self.other)

    def authorized(self, call: Call, credential: Credential) -> Call:
        signed = super().authorized(call, credential)
        return replace(signed, headers=(*signed.headers, ("X-Subject", call.subject)))

    def otherwise(self, call: Call, reply: Reply) -> Call | None:
        if call.other_subject and reply.body == b"subject":
            return replace(call, subject=call.other_subject, other_subject="")
        return None


class Service:
    """Takes one token, and calls for one subject; remembers what came."""

    def __init__(self, token: str, subject: str = "one") -> None:
        self.token, self.subject = token, subject
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        came = (request.headers["authorization"].removeprefix("Bearer "), request.headers["x-subject"])
        self.asked.append(came)
        if came != (self.token, self.subject):
            return httpx.Response(401, content=b"subject" if came[1] != self.subject else b"token")
        return httpx.Response(200, json={"total": 0, "data": []})


def account(vendor: Rotating, service: Service) -> RemoteAccount:
    return RemoteAccount(AccountName("clinic"), vendor, http=httpx.MockTransport(service))


async def test_as_many_credentials_are_tried_in_one_call_as_the_vendor_says() -> None:
    service = Service("third")
    async with account(Rotating(renewals=2), service) as source:
        await source.page(Question(), urgency=PERSON)
        assert [token for token, _ in service.asked] == ["first", "second", "third"]
        assert source.statistics().credentials is CredentialState.GOOD


async def test_no_more_than_that_are_tried_and_the_next_try_goes_on_from_there(
    autojump_clock: MockClock,
) -> None:
    service = Service("third")
    async with account(Rotating(renewals=1), service) as source:
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                await source.page(Question(), urgency=PERSON)
        assert [token for token, _ in service.asked] == ["first", "second"]
        await trio.sleep(61)
        await source.page(Question(), urgency=PERSON)
        assert [token for token, _ in service.asked] == ["first", "second", "third"]
        assert source.statistics().credentials is CredentialState.GOOD


async def test_while_all_are_refused_one_is_tried_a_minute(autojump_clock: MockClock) -> None:
    service = Service("none")
    async with account(Rotating(renewals=2), service) as source:
        for _ in range(4):
            with pytest.raises(CredentialsRefused):
                await source.page(Question(), urgency=PERSON)
            await trio.sleep(61)
        tried = ["first", "second", "third", "first", "second", "third"]
        assert [token for token, _ in service.asked] == tried


async def test_another_way_to_say_a_call_is_tried_before_another_credential() -> None:
    service = Service("second", subject="two")
    async with account(Rotating(renewals=2, other="two"), service) as source:
        await source.page(Question(), urgency=PERSON)
    # The second credential begins with the call as it was meant.
    assert service.asked == [("first", "one"), ("first", "two"), ("second", "one"), ("second", "two")]


async def test_a_call_without_another_way_is_about_the_credential() -> None:
    service = Service("first", subject="two")
    async with account(Rotating(renewals=1), service) as source:
        with pytest.raises(CredentialsRefused):
            await source.page(Question(), urgency=PERSON)
    assert service.asked == [("first", "one"), ("second", "one")]
