"""The one credential of an account: gained once for all who need it, renewed ahead of its end.

A refusal is a state that lasts: while it does, calls fail at once and send nothing, and one call a
minute tries again, because an operator may have put things right.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import trio

from ..errors import CredentialsRefused, MediafsError
from ..vendors.protocol import Credential

log = logging.getLogger(__name__)

AGAIN_AFTER_S: Final = 60.0
"""Between two attempts while credentials are refused, or while a renewal ahead of time fails."""
AT_MOST_AFTER_S: Final = 3600.0
"""The wait doubles with every refusal up to this: services lock accounts that keep guessing."""
REFUSED: Final = "the service refuses the account's credentials"


class CredentialState(Enum):
    NONE = "none"
    """Nothing was asked yet."""
    GOOD = "good"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Held:
    """A credential and its number: a refusal of an older one says nothing about a newer one."""

    number: int
    credential: Credential = field(repr=False)


class Credentials:
    """`login` gains a credential; it may read secrets again, and raises CredentialsRefused or another
    MediafsError."""

    def __init__(self, login: Callable[[], Awaitable[Credential]]) -> None:
        self._login = login
        self._lock = trio.Lock()
        self._held: Held | None = None
        self._refusals = 0
        """Logins that were refused."""
        self._renew_at: float | None = None
        self._refusal: str | None = None
        self._try_at = 0.0

    def __repr__(self) -> str:
        return f"<Credentials {self.state.value}>"

    @property
    def state(self) -> CredentialState:
        if self._refusal is not None:
            return CredentialState.REFUSED
        return CredentialState.NONE if self._held is None else CredentialState.GOOD

    @property
    def refused(self) -> bool:
        return self._refusal is not None

    async def current(self) -> Held:
        """The credential to use now, gained or renewed first where that is due.

        Raises CredentialsRefused at once while the service refuses, and what the login raises.
        """
        held = self._held
        if self._refusal is not None:
            self._refuse_or_try()
            return await self._gain(0 if held is None else held.number)
        if held is None:
            return await self._gain(0)
        if self._renew_at is None or trio.current_time() < self._renew_at:
            return held
        try:
            return await self._gain(held.number)
        except MediafsError as exc:
            # It is not at its end yet: go on with it, and try again later.
            self._renew_at = trio.current_time() + AGAIN_AFTER_S
            self._refusal = None
            log.info("the login could not be renewed ahead of its end: %s", exc)
            return held

    async def renewed(self, refused: Held) -> Held:
        """Another credential than `refused`, which the service answered with 401.

        Raises CredentialsRefused where the login is refused too, and what the login raises.
        """
        return await self._gain(refused.number)

    def refuse(self, refused: Held, why: str) -> CredentialsRefused:
        """The service refused a renewed credential too; returns what to raise."""
        if refused == self._held:
            self._note_refusal(why)
        return CredentialsRefused(why)

    def accepted(self, held: Held) -> None:
        """The service took this credential: a refusal is over."""
        if held == self._held:
            self._refusal = None

    async def _gain(self, after: int) -> Held:
        """A credential with a number above `after`; one login for all who wait."""
        refusals = self._refusals
        async with self._lock:
            if self._held is not None and self._held.number > after:
                if self._refusal is not None:
                    raise CredentialsRefused(self._refusal)
                return self._held
            if self._refusals > refusals:  # while this call waited: it would ask the same again
                raise CredentialsRefused(self._refusal or REFUSED)
            try:
                credential = await self._login()
            except CredentialsRefused as exc:
                self._refusals += 1
                self._note_refusal(str(exc))
                raise
            number = 1 if self._held is None else self._held.number + 1
            self._held = Held(number, credential)
            life_s = credential.renew_after_s
            self._renew_at = None if life_s is None else trio.current_time() + life_s
            return self._held

    def _refuse_or_try(self) -> None:
        now = trio.current_time()
        if self._lock.locked() or now < self._try_at:
            raise CredentialsRefused(self._refusal or REFUSED)
        self._try_at = now + self._pause_s()

    def _note_refusal(self, why: str) -> None:
        if self._refusal is None:
            log.warning("%s", why)
        self._refusal = why
        self._try_at = trio.current_time() + self._pause_s()

    def _pause_s(self) -> float:
        return min(AGAIN_AFTER_S * 2.0 ** min(max(self._refusals - 1, 0), 10), AT_MOST_AFTER_S)
