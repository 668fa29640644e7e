"""What every twin is made of besides its own API."""

from typing import ClassVar, Generic, TypeVar

from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.ratelimit import RateLimit
from mediafs.sandbox.records import Media
from mediafs.sandbox.service import Reshape
from mediafs.sandbox.storage import Storage
from mediafs.sandbox.wire import Request, Response
from mediafs.sandbox.world import World

OptionsT = TypeVar("OptionsT", bound=CommonOptions)


class Twin(Generic[OptionsT]):
    """The half of a Service that does not depend on the vendor."""

    name: ClassVar[str]
    options_type: ClassVar[type[CommonOptions]]

    def __init__(self, world: World, options: OptionsT, *, signing_key: bytes) -> None:
        self.world = world
        self.options = options
        self.limits = RateLimit()
        self.origin = "http://sandbox.invalid"
        self.storage = "http://storage.invalid"
        self._stored = Storage(world, signing_key)

    def configure(self, options: CommonOptions) -> None:
        """Takes other options; what was counted under another limit is forgotten. Raises TypeError."""
        before = self.options
        if not isinstance(options, type(before)):
            raise TypeError(f"{type(options).__name__} are not the options of {self.name}")
        self.options = options
        if (before.rate_limit, before.rate_window_s) != (options.rate_limit, options.rate_window_s):
            self.limits.reset()

    def link(self, media: Media, request: Request) -> str:
        """The signed address of *media* on the storage origin, good for ``redirect_ttl_s`` from *request*
        on.
        """
        return self.storage + self._stored.target(media, request.at_s + self.options.redirect_ttl_s)

    def media_of(self, request: Request) -> Media | None:
        """The media that a signed link is for; a twin finds its API's own and leaves the others to this."""
        return self._stored.media_of(request)

    def handle_storage(self, request: Request, reshape: Reshape | None = None) -> Response:
        """The answer of the storage origin, which knows signed links and nothing else."""
        return self._stored.answer(request, self.options, reshape)
