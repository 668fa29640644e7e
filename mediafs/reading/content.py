"""What is known and held of one open version, shared by its readers.

Everything here is synchronous: a method changes the state and wakes whom that concerns. Between two
awaits of `pump.py` and `reader.py` the state is whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from ..errors import Changed, MediafsError
from ..model import Media, Span, Version
from ..source import Body
from .blocks import Blocks, Edition, Piece
from .checks import Identity, accept, check_same
from .disk import PartialBody
from .options import ReadingOptions, Tally
from .plan import Ask, Fetch, Join, Known, plan
from .push import Pages, Push
from .spool import Store
from .stream import Stream
from .wish import Wish


@dataclass(slots=True, eq=False)
class Spooled:
    """A whole body in a store, or on its way into it."""

    stream: Stream | None
    """None: it was found in the disk cache."""
    store: Store | None = None
    """None: being made."""
    filled: int = 0
    """The bytes before this one can be read."""
    sealing: bool = False
    """All of it has come; it is being made to last."""
    finished: bool = False

    def discard(self) -> None:
        if self.store is not None:
            self.store.discard()


class Content:
    """The state of one version while it is open.

    Invariants:
    - Every byte in the blocks of `edition`, in a stream's assembly and in the spool came with a
      reply that `accept` held against `edition.identity`.
    - `streams` holds the streams under way that may still be joined, the one used last at the end;
      one that was cancelled left it in the same step.
    - While `spool` is set, all reads wait for it, and no request is planned.
    - Once `failed` is set, nothing is delivered any more and no stream is left.
    """

    def __init__(
        self,
        media: Media,
        version: Version,
        edition: Edition,
        *,
        options: ReadingOptions,
        blocks: Blocks,
        tally: Tally,
    ) -> None:
        self.media = media
        self.version = version
        self.edition = edition
        self.readers: set[object] = set()
        self.streams: list[Stream] = []
        self.wishes: set[Wish] = set()
        self.spool: Spooled | None = None
        self.failed: Changed | None = None
        self.forgotten = False
        """Deleted: what is held may be read until the last close, nothing is fetched any more."""
        self.ranges: bool | None = None
        self.spent: MediafsError | None = None
        """Why the one download of a media of which each counts came to nothing."""
        self.sought: trio.Lock | None = trio.Lock()
        """Held by who looks for it in the disk cache; None: that was done."""
        self.index_sought = False
        """The index behind its pictures and sounds was looked for."""
        self.disk: PartialBody | None = None
        """Blocks of it that are kept on disk, and where those that come are kept."""
        self.pages: Pages | None = None
        """Where the kernel takes pages of it."""
        self._options = options
        self._blocks = blocks
        self._tally = tally

    @property
    def ahead(self) -> int:
        """Bytes that a stream may run ahead of its reader now."""
        return self._options.ahead(self._tally.streams)

    # --- reading what is held ----------------------------------------------------------------------

    def fill(self, wish: Wish) -> None:
        """Gives a wish what is held of it."""
        while not wish.complete and (piece := self.held(wish.missing)) is not None:
            wish.offer(piece)

    def note(self, span: Span, user: object) -> None:
        """A read was made: the streams whose bytes it reads may run on."""
        size = self.edition.size
        if size is None or span.stop is None:
            return
        for stream in self.streams[:]:
            if stream.start <= span.start <= stream.flow(size, self.ahead).target:
                self._use(stream, span.stop, user)

    def foremost(self, stop: int) -> Push | None:
        """What puts pages ahead of a read up to `stop`, where no read has gone further."""
        for stream in self.streams:
            if stream.push is not None and stream.reach == stop:
                return stream.push
        return None

    def held(self, offset: int) -> Piece | None:
        """What memory holds around that byte."""
        piece = self._blocks.get(self.edition, offset)
        if piece is not None:
            return piece
        for stream in self.streams:
            if stream.assembly is not None and (piece := stream.assembly.shown(offset)) is not None:
                return piece
        return None

    # --- planning ----------------------------------------------------------------------------------

    def plan(self, wish: Wish, ask: Span, history: tuple[Span, ...], user: object) -> Stream | Fetch:
        """The stream to wait for, which then runs at least as far as the wish, or what to fetch."""
        if self.media.download_once:
            return self.streams[0] if self.streams else Fetch(Span(0), whole=True)
        size = self.edition.size
        assert size is not None
        prefix = 0
        near = wish.missing < max(self._options.gap, self._options.whole_below)
        while near and prefix < wish.missing and (stop := self._held_until(prefix)) > prefix:
            prefix = stop
        answer = plan(
            Ask(offset=ask.start, stop=wish.stop, missing=wish.missing, history=history),
            Known(
                size=size,
                ranges=self._tally.ranges if self.ranges is None else self.ranges,
                prefix=min(prefix, wish.missing),
                flows=[stream.flow(size, self.ahead) for stream in self.streams],
            ),
            self._options,
        )
        if not isinstance(answer, Join):
            return self._up_to_what_is_held(answer, size)
        stream = self.streams[answer.flow]
        if answer.brings:
            self._use(stream, wish.stop, user)
        return stream

    def _held_until(self, offset: int) -> int:
        if (piece := self.held(offset)) is not None:
            return piece.stop
        return self.disk.held_until(offset) if self.disk is not None else offset

    def _up_to_what_is_held(self, fetch: Fetch, size: int) -> Fetch:
        """Not beyond the next long run that is on disk: it is not received once more."""
        if self.disk is None or fetch.whole or fetch.span.stop is not None:
            return fetch
        at = self.disk.missing_until(fetch.span.start)
        while at < size:
            until = self.disk.held_until(at)
            if until - at >= self._options.whole_below:
                return Fetch(Span(fetch.span.start, at)) if at > fetch.span.start else fetch
            at = self.disk.missing_until(until)
        return fetch

    def begin(self, stream: Stream) -> None:
        """A stream starts; one that nobody waits for gives way where there are too many."""
        idle = [each for each in self.streams if each.open_ended and not self.awaited(each)]
        crowd = sum(each.open_ended for each in self.streams) - self._options.streams * len(self.readers)
        for each in idle[: max(crowd + 1, 0)] if stream.open_ended else ():
            self.cancel(each)
        self.streams.append(stream)
        self._tally.streams += 1

    def awaited(self, stream: Stream) -> bool:
        """Whether a read waits for it now."""
        return any(wish.stream is stream for wish in self.wishes)

    def _use(self, stream: Stream, reach: int, user: object) -> None:
        stream.extend(reach, user)
        self.streams.remove(stream)
        self.streams.append(stream)

    # --- what arrives ------------------------------------------------------------------------------

    def accept(self, stream: Stream, body: Body, asked: Span, if_range: str | None) -> None:
        """Takes note of a reply. Raises Changed or InvalidReply."""
        accepted = accept(
            body,
            asked,
            media=self.media,
            size=self.edition.size,
            known=self.edition.identity,
            if_range=if_range,
        )
        if self.edition.identity is None:
            self.edition.identity = accepted.identity
        self.edition.size = accepted.size
        if self.disk is not None:
            self.disk.identify(accepted.identity.etag, accepted.identity.last_modified)
        if not self.media.download_once:  # no range was asked for
            self.ranges = self._tally.ranges = body.partial
        stream.answered = True
        self._wake(stream)

    def arrived(self, stream: Stream, pieces: list[Piece]) -> None:
        """Delivers new bytes and then holds them: in this order, so that none is lost."""
        if stream.scope.cancel_called:
            return
        self._deliver(pieces)
        for piece in pieces:
            if stream.push is not None:
                stream.push.offer(piece)
            if self.disk is not None:
                self.disk.put_nowait(piece.offset, piece.data)

    def loaded(self, piece: Piece) -> None:
        """Delivers bytes of the disk and then holds them."""
        self._deliver([piece])

    def _deliver(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            for wish in self.wishes:
                wish.offer(piece)
            self._blocks.put(self.edition, piece)
        for wish in self.wishes:
            self.fill(wish)
            if wish.complete:
                wish.wake()

    def let_go(self, start: int, stop: int) -> None:
        """Nobody is to come to these bytes here any more: memory holds them no longer."""
        self._blocks.forget(self.edition, start, stop)

    def filled(self, spool: Spooled, stop: int) -> None:
        """The spool can be read up to `stop`."""
        spool.filled = stop
        for wish in self.wishes:
            if wish.stop <= stop:
                wish.wake()

    def sized(self, spool: Spooled, size: int) -> None:
        """A whole body ended where it must: that is its size."""
        spool.sealing = True
        self.edition.size = size
        if spool.stream is not None:
            self._wake(spool.stream)

    def found(self, store: Store, size: int, identity: Identity) -> None:
        """A whole body was held in the disk cache. Raises Changed where it is not the content that the
        service has shown since."""
        if self.edition.identity is not None:
            check_same(identity, self.edition.identity, self.media)
        else:
            self.edition.identity = identity
        self.edition.size = size
        self.spool = Spooled(None, store, filled=size, sealing=True, finished=True)

    def lost(self, spool: Spooled) -> None:
        """What was found in the disk cache is of no use after all."""
        if self.spool is spool:
            self.spool = None
        spool.discard()

    def ended(self, stream: Stream, error: MediafsError | None) -> None:
        """A stream's task is over."""
        self._leave(stream)
        self._tally.streams -= 1
        stream.error = error
        stream.ended.set()
        if isinstance(error, Changed):
            self.fail(error)
        self._wake(stream)

    # --- ends --------------------------------------------------------------------------------------

    def fail(self, error: Changed) -> None:
        """The content is not what it was: all its readers fail from now on."""
        if self.failed is None:
            self.failed = error
        if self.pages is not None:
            self.pages.end()
        self.distrust()
        self.release()

    def distrust(self) -> None:
        """A body turned out wrong after some of it was held: hold nothing of this content."""
        self._blocks.drop(self.edition)
        if self.disk is not None:
            self.disk.reset()

    def forget(self) -> None:
        """The media was deleted: fetch nothing more, hold nothing on disk, and in memory nothing longer
        than it is open."""
        self.forgotten = True
        self.release()

    @property
    def lingers(self) -> bool:
        """What is under way, or held, is not to end with the last reader: it would have to be fetched
        again, and may not be, or could never be had by who waits no longer than a deadline."""
        if self.forgotten or self.failed is not None or self.readers:
            return False
        spool = self.spool
        if self.media.download_once:
            if spool is None or not spool.finished:
                return bool(self.streams)
            return spool.store is not None and not spool.store.lasting
        if spool is None or spool.store is None or not spool.store.lasting or spool.finished:
            return False
        return spool.sealing or self.edition.size is None

    def leave(self, reader: object) -> list[Stream]:
        """A reader was closed; the streams that were cancelled for it."""
        self.readers.discard(reader)
        for stream in self.streams:
            stream.users.discard(reader)
        if self.lingers:
            return []
        unused = [each for each in self.streams if not self.readers or not (each.users or each.whole)]
        for stream in unused:
            self.cancel(stream)
        if not self.readers:
            self.release()
            if self.forgotten:
                self._blocks.drop(self.edition)
        self._wake_all()
        return unused

    def release(self) -> None:
        """Ends what is under way, and gives back what is held outside memory."""
        for stream in self.streams[:]:
            self.cancel(stream)
        if self.spool is not None:
            self.spool.discard()
            self.spool = None
        if self.disk is not None:
            self.disk.discard()
            self.disk = None
        self._wake_all()

    def cancel(self, stream: Stream) -> None:
        """Nobody needs it, or another is more urgent: who waits for it thinks again."""
        stream.scope.cancel()
        self._leave(stream)
        self._wake(stream)

    def _leave(self, stream: Stream) -> None:
        """Nothing more comes of it; the bytes of its last block that may be shown stay held."""
        if stream.push is not None:
            stream.push.end()
        if self.spool is not None and self.spool.stream is stream and not self.spool.finished:
            self.spool = None
        if stream not in self.streams:
            return
        self.streams.remove(stream)
        if stream.assembly is not None and self.failed is None:
            piece = stream.assembly.shown(stream.position - 1)
            if piece is not None:
                # A copy: the buffer behind it is larger than what would be counted of it.
                self._blocks.put(self.edition, Piece(piece.offset, bytes(piece.data)))

    def _wake(self, stream: Stream) -> None:
        for wish in self.wishes:
            if wish.stream is stream:
                wish.wake()

    def _wake_all(self) -> None:
        for wish in self.wishes:
            wish.wake()
