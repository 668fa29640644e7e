"""Whether a filter filters: a listing with a filter that is ignored would hold everything."""

from __future__ import annotations

from collections.abc import Callable

from ..catalogue import Catalogue
from ..errors import FilterRefused, NotFound, ValueRefused
from ..model import Conversation, Everything, Page, Question, Urgency, User, UserId
from ..source import Source
from .freshness import is_younger
from .options import SyncOptions

UrgencyNow = Callable[[], Urgency]
"""How urgent a crawl is at this moment: who waits for it comes and goes."""


class Proofs:
    """Proofs last a day, over restarts; a refusal is looked into again after `fresh_for`."""

    def __init__(
        self, source: Source, catalogue: Catalogue, options: SyncOptions, wall_clock: Callable[[], float]
    ) -> None:
        self._source = source
        self._catalogue = catalogue
        self._options = options
        self._now = wall_clock
        self._refused: dict[str, tuple[float, str]] = {}

    def refusal(self, kind: str) -> str | None:
        """Why a filter ("conversation", "user") is refused; None: nothing speaks against it."""
        refused = self._refused.get(kind)
        return refused[1] if refused else None

    def check_owners(self, user: User, page: Page) -> None:
        """Raises FilterRefused where a page asked for one user shows another's media."""
        if all(media.owner is None or media.owner.id == user.id for media in page.media):
            return
        why = (
            f"asked for user {user.id}, the service listed others' media: its user filter has another"
            " name; set filters = { user = ... } in the account's configuration"
        )
        self._refused["user"] = (self._now(), why)
        raise FilterRefused(why)

    async def check_listing(self, page: Page, urgency: UrgencyNow) -> None:
        """Raises FilterRefused where the account's own listing, narrowed by `user`, is not what it says."""
        traits = self._source.traits
        if traits.user is not None:
            self.check_owners(User(traits.user), page)
        elif traits.all_users:
            # Several owners on one page prove that the filter on all users is heeded: without it the
            # service lists the token's own user. It costs nothing; the probe is for all other cases.
            if len({media.owner.id for media in page.media if media.owner}) > 1:
                if not self._proven("user"):
                    self._remember_proof("user")
            else:
                await self.prove("user", User(UserId("")), urgency, shown=bool(page.media))

    async def prove_all_users(self, urgency: UrgencyNow) -> None:
        """Raises FilterRefused where `user = "all"` is not heeded: any listing would then show only the
        token's own user's media."""
        if self._source.traits.all_users:
            await self.prove("user", User(UserId("")), urgency)

    async def prove(
        self, kind: str, scope: Conversation | User, urgency: UrgencyNow, *, shown: bool = False
    ) -> None:
        """A filter that is ignored would fill a directory with everything: refuse it instead.

        `shown`: the account shows some media. Of one that shows none, an empty answer proves nothing,
        for that is what it always answers; then the proof is not kept.
        """
        if self._proven(kind):
            return
        self.raise_refusal(kind)
        try:
            await self._source.prove_filter(scope, urgency=urgency())
        except FilterRefused as error:
            if not (error.by_value and scope.id and await self._takes(scope, urgency)):
                self._refused[kind] = (self._now(), str(error))
                raise
        self._refused.pop(kind, None)
        if shown or self._catalogue.views.is_populated(Everything()):
            self._remember_proof(kind)

    async def _takes(self, scope: Conversation | User, urgency: UrgencyNow) -> bool:
        """Whether the service takes a true id where it refused an impossible one: then it looks at it."""
        try:
            await self._source.page(Question(scope=scope, limit=1), urgency=urgency())
        except ValueRefused:
            return False
        except NotFound:
            pass
        return True

    def raise_refusal(self, kind: str) -> None:
        refused = self._refused.get(kind)
        if refused is not None and is_younger(refused[0], self._now(), self._options.fresh_for_s):
            raise FilterRefused(refused[1])

    def _proven(self, kind: str) -> bool:
        kept = self._catalogue.database.remembered(f"filter:{kind}:{self._options.filter_names}")
        return kept is not None and is_younger(kept["at"], self._now(), self._options.whole_for_s)

    def _remember_proof(self, kind: str) -> None:
        self._catalogue.database.remember(f"filter:{kind}:{self._options.filter_names}", {"at": self._now()})
