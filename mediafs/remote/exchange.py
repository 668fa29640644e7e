"""A call until it is settled: turn, credential, redirects, retries; nothing particular to a vendor.

What comes out is an answer that a vendor's module can judge. 401 and 429 never do.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import trio

from ..errors import InvalidReply, Late, MediafsError
from ..model import AccountName, Urgency
from ..vendors.protocol import RENEW, Call, Credential, Reply, Vendor
from .credentials import Credentials, Held
from .failures import Failed
from .incoming import Incoming
from .limits import Limiter
from .redirects import STATUSES, Hop, first_hop, next_hop
from .retry import Failure, GiveUp, RetryOptions, decide, stated_wait_s
from .transport import Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call was answered in the end: `reply` where it was read whole, else `incoming` is open."""

    incoming: Incoming = field(repr=False)
    reply: Reply | None
    redirected: bool
    strayed: bool
    """It came from another origin than the one that was called."""


@dataclass(slots=True)
class Reached:
    """Whether a request may have been carried out by the service..."""

    service: bool = False
    """... without an answer."""
    doubtful: bool = False
    """... or with a 5xx, which may come from something before it."""


class Exchanges:
    """Sends the calls of one account. `reread` makes the vendor anew, with secrets read again."""

    def __init__(
        self,
        account: AccountName,
        vendor: Vendor,
        transport: Transport,
        limiter: Limiter,
        *,
        retry: RetryOptions,
        wall: Callable[[], float],
        jitter: Callable[[], float],
        reread: Callable[[], Awaitable[Vendor]] | None,
    ) -> None:
        self._account = account
        self.vendor = vendor
        self._transport = transport
        self._limiter = limiter
        self._retry = retry
        self._wall = wall
        self._jitter = jitter
        self._reread = reread
        self._logins = 0
        self.credentials = Credentials(self._login)

    async def fetch(self, call: Call, urgency: Urgency) -> Reply:
        """The whole answer to `call` with the account's credential; never 401 nor 429.

        Raises CredentialsRefused, Late, Unavailable, InvalidReply.
        """
        return _whole(await self._settle(call, urgency, stream=False, signed=True))

    async def open(self, call: Call, urgency: Urgency) -> Answer:
        """As `fetch`, but a 2xx with a body is left open: the caller closes it."""
        return await self._settle(call, urgency, stream=True, signed=True)

    async def _login(self) -> Credential:
        if self._logins and self._reread is not None:
            learnt, self.vendor = self.vendor.learnt, await self._reread()
            self.vendor.learnt = learnt
        self._logins += 1
        flow = self.vendor.login(datetime.fromtimestamp(self._wall(), UTC))
        try:
            call = next(flow)
            while True:
                # Everybody waits for a login, so it never waits behind the background.
                answer = await self._settle(call, Urgency.PERSON, stream=False, signed=False)
                call = flow.send(_whole(answer))
        except StopIteration as stop:
            credential: Credential = stop.value
            return credential
        finally:
            flow.close()

    async def _settle(self, call: Call, urgency: Urgency, *, stream: bool, signed: bool) -> Answer:
        reached = Reached()
        try:
            return await self._settled(call, urgency, reached, stream=stream, signed=signed)
        except MediafsError as error:
            error.undecided = reached.service
            raise

    async def _settled(
        self, call: Call, urgency: Urgency, reached: Reached, *, stream: bool, signed: bool
    ) -> Answer:
        tries: Counter[bool] = Counter()
        renewed: Held | None = None
        renewals = 0
        resolved_again = False
        said = call  # or another way to say it
        while True:
            held = renewed
            if signed and held is None:
                held = await self.credentials.current()
            signed_call = said if held is None else self.vendor.authorized(said, held.credential)
            answer: Answer | None = None
            error: MediafsError | None = None
            failure: Failure | None = None
            try:
                answer = await self._walk(said, signed_call, urgency, stream)
            except Failed as exc:
                error, failure = exc.error, exc.failure
                # What it has answered it has decided; a break leaves that open, for all tries that follow.
                reached.service |= failure is not Failure.UNSENT
                reached.doubtful |= reached.service
            if answer is not None:
                status = self._status(call, answer)
                if status == 401 and held is not None and not answer.strayed:
                    other = self.vendor.otherwise(said, _whole(answer))
                    if other is None:
                        renewed = await self._after_401(call, held, renewals)
                        renewals += 1
                    said = other or call
                    continue
                if status == RENEW and held is not None and renewed is None:
                    renewed = await self.credentials.renewed(held)
                    continue
                if held is not None and (answer.strayed or status < 429):
                    self.credentials.accepted(held)
                if status in (401, 403, 410) and answer.redirected and not resolved_again:
                    log.info(
                        "%s: %s: the link has expired; asking for another", self._account, call.operation
                    )
                    resolved_again = True
                    continue
                if status in (401, 403, 410) and answer.strayed:
                    raise InvalidReply(
                        f"{call.operation}: {answer.incoming.hop.host} refuses the link that the service gave"
                    )
                failure = _failure(status)
                if failure is None:
                    return _marked(answer, reached)
                reached.doubtful |= failure is Failure.SERVER
            tries[failure is Failure.THROTTLED] += 1
            if await self._again(call, urgency, failure, answer, tries[failure is Failure.THROTTLED]):
                continue
            if error is not None:
                raise error
            assert answer is not None
            return answer

    def _status(self, call: Call, answer: Answer) -> int:
        """What the answer amounts to: some services word failures as 200."""
        if answer.reply is None or answer.strayed:
            return answer.incoming.status
        return self.vendor.status(call, answer.reply)

    async def _after_401(self, call: Call, held: Held, renewals: int) -> Held:
        refused = f"{self._account}: the service refuses the account's credentials ({call.operation})"
        self.vendor.refused(held.credential)
        if renewals >= self.vendor.renewals or self.credentials.refused:
            raise self.credentials.refuse(held, refused)
        return await self.credentials.renewed(held)

    async def _again(
        self, call: Call, urgency: Urgency, failure: Failure | None, answer: Answer | None, attempt: int
    ) -> bool:
        """Whether to send it again, once the wait before that is over. Raises Late after a last 429."""
        if failure is None:
            return False
        stated: float | None = None
        if answer is not None:
            stated = stated_wait_s(answer.incoming.headers, self._wall())
        # The limiter knows nothing of a 429 that is worded as a 200.
        limited = answer is not None and answer.incoming.status == 429 and not answer.strayed
        if limited:
            stated = self._limiter.wait_s(urgency)
        decision = decide(
            self._retry,
            attempt=attempt,
            failure=failure,
            idempotent=call.idempotent,
            stated_wait_s=stated,
            left_s=trio.current_effective_deadline() - trio.current_time(),
            jitter=self._jitter(),
        )
        if isinstance(decision, GiveUp):
            if failure is Failure.THROTTLED:
                raise Late(f"{call.operation}: the service asks to wait {stated or 0:.0f} s", wait_s=stated)
            return False
        log.info(
            "%s: %s: %s, again in %.1f s", self._account, call.operation, failure.value, decision.seconds
        )
        if not limited:  # else the limiter holds the next turn back, and knows best until when
            await trio.sleep(decision.seconds)
        return True

    async def _walk(self, call: Call, signed: Call, urgency: Urgency, stream: bool) -> Answer:
        """The call and the redirects that follow. Raises Failed, Late, InvalidReply."""
        hop = first_hop(signed)
        home = hop.origin
        while True:
            if hop.origin == home:
                incoming = await self._send_limited(hop, urgency)
            else:
                incoming = await self._transport.send(hop)
            if incoming.status not in STATUSES:
                break
            await incoming.drain()
            hop = next_hop(hop, incoming.headers.get("location"))
            if urgency is Urgency.PREFETCH:  # begun, and worth to be waited for: somebody may need it by now
                urgency = Urgency.PERSON
        reply = None
        if not stream or incoming.status not in (200, 206) or await self._brings_message(call, incoming):
            reply = await incoming.read()
        return Answer(incoming, reply, redirected=bool(hop.seen), strayed=hop.origin != home)

    async def _brings_message(self, call: Call, incoming: Incoming) -> bool:
        start = await incoming.peek() if self.vendor.peeks else b""
        return self.vendor.is_message(call, incoming.headers, start)

    async def _send_limited(self, hop: Hop, urgency: Urgency) -> Incoming:
        turn = await self._limiter.turn(urgency, hop.operation)
        try:
            incoming = await self._transport.send(hop)
            turn.answered(incoming.status, incoming.headers)
            return incoming
        finally:
            turn.lost()


def _marked(answer: Answer, reached: Reached) -> Answer:
    if answer.reply is None or not reached.doubtful:
        return answer
    return replace(answer, reply=replace(answer.reply, repeated=True))


def _whole(answer: Answer) -> Reply:
    assert answer.reply is not None
    return answer.reply


def _failure(status: int) -> Failure | None:
    if status == 429:
        return Failure.THROTTLED
    # 501 says that it will never work; the others may pass.
    return Failure.SERVER if status >= 500 and status != 501 else None
