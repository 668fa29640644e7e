"""A running sandbox without its sockets: the service, the script of faults and the log of what was asked."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

from mediafs.sandbox.faults import Fault, Script, other_body, spoil
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.service import Service
from mediafs.sandbox.storage import carries, storage_error
from mediafs.sandbox.wire import Request, Response
from mediafs.sandbox.world import World

Origin = Literal["api", "storage"]

LOGGED_REQUESTS: Final = 100_000


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request of the log. ``status`` is 0 until answered; ``bytes_sent`` counts body bytes and grows
    meanwhile.

    ``headers`` are kept on the storage origin only, where a credential must never arrive.
    """

    at_s: float
    origin: Origin
    method: str
    path: str
    query: str
    user_agent: str
    range: str | None
    headers: Mapping[str, str]
    status: int = 0
    bytes_sent: int = 0

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class Server:
    """What ``serve`` yields. ``requests`` holds the last 100,000 requests since ``reset_counts``."""

    def __init__(
        self,
        service: Service,
        *,
        control_key: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.service = service
        self.faults = Script()
        self.requests: deque[Exchange] = deque(maxlen=LOGGED_REQUESTS)
        self.control_key = control_key or secrets.token_hex(16)
        self.clock = clock
        self.connections = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self._changes = 0

    def __repr__(self) -> str:
        return f"<Server {self.url} {len(self.world)} media, {len(self.requests)} requests>"

    @property
    def url(self) -> str:
        """The API origin, such as ``http://127.0.0.1:40123``."""
        return self.service.origin

    @property
    def storage_url(self) -> str:
        return self.service.storage

    @property
    def world(self) -> World:
        return self.service.world

    @property
    def options(self) -> CommonOptions:
        return self.service.options

    @options.setter
    def options(self, options: CommonOptions) -> None:
        self.service.configure(options)

    def reset_counts(self) -> None:
        """Empties the log and starts the counts of connections and of parallel requests again."""
        self.requests.clear()
        self.connections = 0
        self.peak_in_flight = self.in_flight

    def leaks(self, *secrets: str) -> list[Exchange]:
        """The requests that brought a credential to the storage origin: a header made for one, or any of the
        service's own or of *secrets* anywhere.
        """
        known = [*self.service.credentials().values(), *secrets]
        return [
            exchange
            for exchange in self.requests
            if exchange.origin == "storage"
            and carries(exchange.headers, f"{exchange.path}?{exchange.query}", known)
        ]

    def noted(self, request: Request, origin: Origin) -> Exchange:
        """The log's entry for *request*, to be completed by whoever answers it."""
        exchange = Exchange(
            at_s=request.at_s,
            origin=origin,
            method=request.method,
            path=request.path,
            query=request.query,
            user_agent=request.headers.get("user-agent", ""),
            range=request.headers.get("range"),
            headers=dict(request.headers) if origin == "storage" else {},
        )
        self.requests.append(exchange)
        return exchange

    def respond(self, request: Request, origin: Origin, fault: Fault | None) -> Response:
        """The service's answer, spoiled by *fault*."""
        handle = self.service.handle if origin == "api" else self.service.handle_storage
        if fault is None:
            return handle(request, None)
        return spoil(
            fault,
            request,
            handle,
            error=self.service.error if origin == "api" else storage_error,
            storage=self.storage_url,
            change=lambda size: self._change(request, size),
        )

    def _change(self, request: Request, size: int | None) -> None:
        media = self.service.media_of(request)
        if media is not None:
            self._changes += 1
            self.world.replace_body(media.id, other_body(media.body, size, seed=-self._changes))
