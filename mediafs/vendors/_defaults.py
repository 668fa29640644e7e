"""What most services have in common: a vendor's class says only what is different about its own."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Unsupported
from ..model import Conversation, Edited, Edits, Erased, Media, Removal, User, UserId
from .protocol import Call, Credential, Flow, Pace, Reply


class Defaults:
    """A service that words failures as statuses, needs no proof, and changes nothing.

    Its subclasses implement `Vendor`. Which operations it has stands in their `traits`, so those below
    are not asked for; whoever asks all the same is refused.
    """

    def __init__(self) -> None:
        self.learnt: dict[str, object] = {}

    @property
    def default_requests_per_minute(self) -> int | None:
        return None

    @property
    def pace(self) -> Pace | None:
        return None

    @property
    def peeks(self) -> bool:
        return False

    @property
    def renewals(self) -> int:
        return 1

    def refused(self, credential: Credential) -> None:
        """There is one login: it is asked again."""

    def otherwise(self, call: Call, reply: Reply) -> Call | None:
        return None

    def status(self, call: Call, reply: Reply) -> int:
        return reply.status

    def is_message(self, call: Call, headers: Mapping[str, str], start: bytes) -> bool:
        return False

    def prove(self, scope: Conversation | User) -> Flow[None]:
        yield from ()

    def another_download(self, call: Call, reply: Reply) -> Call | None:
        return None

    def live(self, user: UserId) -> tuple[tuple[str, Media], ...]:
        return ()

    def update(self, media: Media, edits: Edits) -> Flow[Edited]:
        yield from ()
        raise Unsupported("the service has no way to change what it says of a media")

    def erase(self, media: Media, removal: Removal) -> Flow[Erased]:
        yield from ()
        raise Unsupported("the service has no way to delete a media")

    def recover(self, media: Media) -> Flow[Media]:
        yield from ()
        raise Unsupported("the service has no trash to take a media out of")
