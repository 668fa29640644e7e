"""The seam: what one vendor's API must be to be served, spoiled and looked into like any other."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from mediafs.sandbox.media import Body
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.records import Media
from mediafs.sandbox.wire import Refusal, Request, Response
from mediafs.sandbox.world import World

Reshape = Callable[[Body], Body]
"""Other bytes for those of a download."""


class Service(Protocol):
    """One vendor's API over a world: requests in, responses out, no socket.

    ``origin`` and ``storage`` are the two addresses it puts into links, without a final slash; the server
    sets them once it listens.
    """

    name: ClassVar[str]
    options_type: ClassVar[type[CommonOptions]]
    world: World
    origin: str
    storage: str

    def __init__(self, world: World, options: Any, *, signing_key: bytes) -> None: ...

    @property
    def options(self) -> CommonOptions: ...

    def configure(self, options: CommonOptions) -> None:
        """Takes other options from now on. Raises TypeError when they are another service's."""

    def handle(self, request: Request, reshape: Reshape | None = None) -> Response:
        """The answer of the API origin; *reshape* swaps the bytes of a download for others."""
        ...

    def handle_storage(self, request: Request, reshape: Reshape | None = None) -> Response:
        """The answer of the storage origin, where no credential may ever arrive."""
        ...

    def media_of(self, request: Request) -> Media | None:
        """The media that a request of either origin is about."""
        ...

    def credentials(self) -> dict[str, str]:
        """What a client needs to come in, by its name."""
        ...

    def account(self) -> dict[str, str | bool | list[str]]:
        """What a client is configured with to see all that there is here, by the names that it has for it."""
        ...

    def expire(self) -> None:
        """Makes every token that was given out worthless."""

    def error(self, refusal: Refusal) -> Response:
        """*refusal* in the shape of this API's errors."""
        ...
