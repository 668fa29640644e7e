"""One page of a listing: asked for, believed as far as it proves itself, taken in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from ..catalogue import Catalogue
from ..errors import InvalidReply, NotFound, ValueRefused
from ..model import Change, Conversation, Everything, Page, Question, Trash, User
from ..source import Source
from .freshness import RETRY_AFTER_S, is_younger
from .proofs import Proofs, UrgencyNow

SMALLER: Final = (50, 10)
"""What is tried where a larger page is refused; 10 is Apizee's documented default."""

NOTHING: Final = Page(media=(), total=0, next=None)


class Pages:
    """`limit` is how large a page may be. That is not documented: services cut a page short, or
    refuse the question."""

    def __init__(
        self,
        source: Source,
        catalogue: Catalogue,
        proofs: Proofs,
        emit: Callable[[Sequence[Change]], None],
        wall_clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._catalogue = catalogue
        self._proofs = proofs
        self._emit = emit
        self._now = wall_clock
        self.limit = source.traits.page_limit
        self._limit_is_taken = False
        """A page of this size was answered: a refusal is about something else."""
        self._refusal: tuple[float, str] | None = None
        """When and why the plainest question was refused: asking it again at once is no use."""

    async def ask(self, question: Question, urgency: UrgencyNow) -> Page:
        """The page, after the catalogue has taken it in.

        Raises what `Source.page` raises, and FilterRefused.
        """
        clock = self._catalogue.database.tick()
        page = await self._answered(question, urgency)
        scope, traits = question.scope, self._source.traits
        if isinstance(scope, User):
            self._proofs.check_owners(scope, page)
        elif isinstance(scope, Everything):
            await self._proofs.check_listing(page, urgency)
        changes = self._catalogue.contents.put(
            page.media,
            clock,
            dated=isinstance(scope, Everything) or (traits.all_users and not isinstance(scope, Trash)),
            conversation=scope if isinstance(scope, Conversation) else None,
            trashed=isinstance(scope, Trash),
        )
        self._emit(changes)
        return page

    async def _answered(self, question: Question, urgency: UrgencyNow) -> Page:
        if isinstance(question.scope, Everything):
            return await self._of_everything(question, urgency)
        try:
            return await self._source.page(self._fitted(question), urgency=urgency())
        except NotFound:
            if self._catalogue.views.is_populated(question.scope):
                # It had media. Before all of them are believed gone, the service has to show that it
                # answers at all: a gateway, or a deployment under way, says 404 to everything.
                await self._of_everything(Question(limit=1), urgency)
            return NOTHING
        except ValueRefused as error:
            if self._catalogue.views.is_populated(question.scope):
                raise InvalidReply(f"the service refuses the question: {error}") from error
            return NOTHING  # that cannot be an id

    async def _of_everything(self, question: Question, urgency: UrgencyNow) -> Page:
        if self._refusal is not None and is_younger(self._refusal[0], self._now(), RETRY_AFTER_S):
            raise InvalidReply(self._refusal[1])
        while True:
            fitted = self._fitted(question)
            try:
                page = await self._source.page(fitted, urgency=urgency())
            except ValueRefused as error:
                smaller = [limit for limit in SMALLER if limit < fitted.limit]
                if self._limit_is_taken or not smaller:
                    self._refusal = (self._now(), f"the service refuses the question: {error}")
                    raise InvalidReply(self._refusal[1]) from error
                self.limit = smaller[0]
            else:
                self._limit_is_taken = True
                return page

    def _fitted(self, question: Question) -> Question:
        return replace(question, limit=min(question.limit, self.limit))
