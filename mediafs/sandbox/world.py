"""The account's data: deterministic from a seed, changeable while it is served.

A generated media is a few bits until someone asks for it: ``bits[i]`` says who, where, what and when; the
record is made from them and thrown away again. What was added or changed is kept as it is, and wins over
the bits. That is why a million media take a second and some tens of megabytes.
"""

import random
from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from mediafs.sandbox.formats import FORMATS, TEMPLATES, MediaType, SampleType
from mediafs.sandbox.media import Body, BytesBody, NoiseBody, SampleBody, Samples
from mediafs.sandbox.records import COMPLETED, Media, Owner
from mediafs.sandbox.traits import (
    NAMES,
    SUBJECTS,
    Traits,
    media_type_of,
    place_of,
    source_type_of,
    status_of,
    tags_of,
    token_name,
    uuid_like,
)

KINDS: Final = ("all", "user", "group", "conversation", "tag", "media_type", "source_type")
FIRST_USER: Final = 1000
_ID_BITS: Final = 32
_ID_MASK: Final = (1 << _ID_BITS) - 1
_REMEMBERED_SELECTIONS: Final = 16
_REMEMBERED_MEDIA: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which media a listing wants: created in [since_s, until_s), and of every facet and text given."""

    statuses: tuple[str, ...] = (COMPLETED,)
    since_s: int | None = None
    until_s: int | None = None
    facets: tuple[tuple[str, object], ...] = ()
    search: str | None = None


class World:
    """Media in order of (created, id), indexed by status and by each of KINDS.

    Invariant: ``_indexes[kind][(status, value)]`` holds ``created_s << 32 | id`` of exactly the present
    media of that status and value, ascending, for every kind that was asked for once; kinds never asked for
    have no index.
    """

    def __init__(self, *, seed: int = 1) -> None:
        self.seed = seed
        self.owners: dict[int, Owner] = {}
        self.samples = Samples()
        self.conversations: tuple[str, ...] = ()
        self._everyone: list[Owner] = []
        self._bits: array[int] = array("Q")
        self._first_s = 0
        self._span_s = 0
        self._served_as: dict[MediaType, SampleType] = {}
        self._own: dict[int, Media] = {}
        self._gone: set[int] = set()
        self._next_id = 1
        self._indexes: dict[str, dict[tuple[str, object], array[int]]] = {}
        self._selections: OrderedDict[Selection, Sequence[int]] = OrderedDict()
        self._made: OrderedDict[int, Media] = OrderedDict()

    @classmethod
    def generate(
        cls,
        count: int,
        *,
        seed: int = 1,
        first: date = date(2024, 1, 1),
        last: date = date(2025, 12, 31),
        users: int = 8,
        conversations: int = 30,
    ) -> "World":
        """*count* media spread over the days from *first* to *last*, both included, UTC; ids count from 1."""
        world = cls(seed=seed)
        for number in range(max(1, users)):
            name = NAMES[number] if number < len(NAMES) else f"Agent {number + 1}"
            owner = Owner(id=FIRST_USER + number, name=name, group=300 + number % 3)
            world._everyone.append(world.add_owner(owner))
        # Both kinds of identifier that the documentation allows: integers and strings.
        world.conversations = tuple(
            f"room-{5000 + n}" if n % 3 == 2 else str(5000 + n) for n in range(max(1, conversations))
        )
        world._first_s = int(datetime.combine(first, datetime.min.time(), UTC).timestamp())
        world._span_s = max(1, ((last - first).days + 1) * 86400)
        world._bits.frombytes(random.Random(seed).randbytes(8 * count))
        world._next_id = count + 1
        return world

    def __len__(self) -> int:
        return (
            len(self._bits)
            - sum(media_id <= len(self._bits) for media_id in self._gone | self._own.keys())
            + len(self._own)
        )

    def __iter__(self) -> Iterator[Media]:
        """All media in order of creation, whatever their status."""
        keys = sorted(key for index in self._index("all").values() for key in index)
        return (self[key & _ID_MASK] for key in keys)

    def __getitem__(self, media_id: int) -> Media:
        found = self.get(media_id)
        if found is None:
            raise KeyError(media_id)
        return found

    def get(self, media_id: int) -> Media | None:
        """The media, or None when there is none of that id (any more)."""
        if media_id in self._own:
            return self._own[media_id]
        if not 1 <= media_id <= len(self._bits) or media_id in self._gone:
            return None
        media = self._made.get(media_id)
        if media is None:
            media = self._made[media_id] = self._make(media_id)
            if len(self._made) > _REMEMBERED_MEDIA:
                self._made.popitem(last=False)
        return media

    def named(self, text: str) -> Media | None:
        """The media whose id is written *text* in a client's request."""
        return self.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 13 else None

    def add_owner(self, owner: Owner) -> Owner:
        """*owner*, who from now on may own media."""
        self.owners[owner.id] = owner
        return owner

    def add(
        self,
        *,
        filename: str | None = None,
        title: str | None = None,
        description: str | None = "",
        created: datetime | None = None,
        owner: int = FIRST_USER,
        conversation: str | int | None = None,
        status: str = COMPLETED,
        media_type: MediaType = "image",
        source_type: str = "snapshot",
        geoloc: tuple[float, float] | None = None,
        tags: Iterable[str] = (),
        filesize: int | None = None,
        body: bytes | Body | None = None,
        size: int | None = None,
    ) -> Media:
        """A new media, by default the newest. Its bytes are *body*, or *size* bytes of noise, or a sample
        file.

        *filesize* makes the record claim something else than the bytes' real number.
        """
        media_id, self._next_id = self._next_id, self._next_id + 1
        dice = random.Random(f"{self.seed}:added:{media_id}")
        created_s = self._newest_s() + 1 if created is None else int(created.timestamp())
        if filename is None:
            filename = f"{token_name(dice, created_s)}.{FORMATS[media_type].extension}"
        if isinstance(body, bytes):
            body = BytesBody(data=body)
        if body is None and size is not None:
            body = NoiseBody(size=size, seed=media_id)
        if body is None:
            body = self._sample(media_type, dice.randrange(256), media_id)
        known = self.owners.get(owner) or self.add_owner(Owner(id=owner, name=f"User {owner}"))
        media = Media(
            id=media_id,
            hash=uuid_like(dice),
            created_s=created_s,
            owner=known,
            title=filename.rpartition(".")[0] if title is None else title,
            description=description,
            filename=filename,
            status=status,
            media_type=media_type,
            source_type=source_type,
            filesize=body.size if filesize is None else filesize,
            geoloc=geoloc,
            conversation=str(conversation)
            if conversation is not None
            else next(iter(self.conversations), "5000"),
            tags=tuple(tags),
            body=body,
        )
        self._put(None, media)
        return media

    def serve_as(self, media_type: MediaType, sample: SampleType) -> None:
        """From now on the sample files of media of this type are of that one."""
        self._served_as[media_type] = sample
        self._made.clear()
        for media in list(self._own.values()):
            if isinstance(media.body, SampleBody) and media.media_type == media_type:
                self.replace_body(media.id, self._sample(media_type, media.body.number, media.id))

    def remove(self, media_id: int) -> None:
        """Forgets the media for good. Raises KeyError when there is none."""
        media = self[media_id]
        self._put(media, None)

    def update(self, media_id: int, **changes: object) -> Media:
        """The media with the named fields of Media changed. Raises KeyError, or TypeError for an unknown
        field.
        """
        old = self[media_id]
        # The names are checked by replace(); the values come from tests that know what they do.
        new = replace(old, **changes)  # type: ignore[arg-type]
        self._put(old, new)
        return new

    def replace_body(self, media_id: int, body: bytes | Body) -> Media:
        """The media with other bytes, its file size and ETag following."""
        new = BytesBody(data=body) if isinstance(body, bytes) else body
        return self.update(media_id, body=new, filesize=new.size)

    def select(
        self, selection: Selection, *, offset: int, limit: int, newest_first: bool
    ) -> tuple[int, list[Media]]:
        """How many media *selection* has, and those of one page of it."""
        keys = self._selected(selection)
        low = 0 if selection.since_s is None else bisect_left(keys, selection.since_s << _ID_BITS)
        high = len(keys) if selection.until_s is None else bisect_left(keys, selection.until_s << _ID_BITS)
        high = max(low, high)
        if newest_first:
            stop = max(low, high - offset)
            page = keys[max(low, stop - limit) : stop][::-1]
        else:
            page = keys[min(low + offset, high) : min(low + offset + limit, high)]
        return high - low, [self[key & _ID_MASK] for key in page]

    def _selected(self, selection: Selection) -> Sequence[int]:
        """Keys of everything but the dates; an index itself where one answers, else worked out and
        remembered.
        """
        dateless = replace(selection, since_s=None, until_s=None)
        if len(dateless.statuses) == 1 and len(dateless.facets) <= 1 and dateless.search is None:
            kind, value = dateless.facets[0] if dateless.facets else ("all", None)
            return self._index(kind).get((dateless.statuses[0], value), ())
        found = self._selections.get(dateless)
        if found is None:
            found = self._selections[dateless] = array("q", sorted(self._worked_out(dateless)))
            if len(self._selections) > _REMEMBERED_SELECTIONS:
                self._selections.popitem(last=False)
        return found

    def _worked_out(self, selection: Selection) -> Iterable[int]:
        facets = selection.facets or (("all", None),)
        keys: set[int] = set()
        for status in selection.statuses:
            every = [set(self._index(kind).get((status, value), ())) for kind, value in facets]
            keys |= set.intersection(*every)
        if selection.search is None:
            return keys
        wanted = selection.search.casefold()
        return {key for key in keys if wanted in _searchable(self[key & _ID_MASK])}

    def _index(self, kind: str) -> dict[tuple[str, object], "array[int]"]:
        index = self._indexes.get(kind)
        if index is None:
            lists: dict[tuple[str, object], list[int]] = {}
            hidden = self._gone | self._own.keys()
            traits = self._traits(kind)
            for at, bits in enumerate(self._bits):
                if hidden and at + 1 in hidden:
                    continue
                key = self._created_s(at, bits) << _ID_BITS | (at + 1)
                for value in traits(bits):
                    lists.setdefault((status_of(bits), value), []).append(key)
            index = self._indexes[kind] = {name: array("q", keys) for name, keys in lists.items()}
            for media in self._own.values():
                for value in media.facets()[kind]:
                    insort(index.setdefault((media.status, value), array("q")), _key(media))
        return index

    def _put(self, old: Media | None, new: Media | None) -> None:
        self._selections.clear()
        if old is not None:
            self._made.pop(old.id, None)
            self._own.pop(old.id, None)
            self._gone.add(old.id)
        if new is not None:
            self._own[new.id] = new
            self._gone.discard(new.id)
        for kind, index in self._indexes.items():
            if old is not None:
                for value in old.facets()[kind]:
                    keys = index[(old.status, value)]
                    keys.pop(bisect_left(keys, _key(old)))
            if new is not None:
                for value in new.facets()[kind]:
                    insort(index.setdefault((new.status, value), array("q")), _key(new))

    def _newest_s(self) -> int:
        newest = [
            keys[-1] >> _ID_BITS for (_, value), keys in self._index("all").items() if keys and value is None
        ]
        return max(newest, default=int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()))

    # What the bits of a generated media mean. Each function takes its own bits, so no two traits go together.

    def _created_s(self, at: int, bits: int) -> int:
        """Rises with the id: the service numbers media as they come."""
        step = self._span_s / len(self._bits)
        return self._first_s + int((at + (bits >> 53) / 2048) * step)

    def _owner(self, bits: int) -> Owner:
        return self._everyone[(bits >> 10 & 1023) % len(self._everyone)]

    def _traits(self, kind: str) -> Traits:
        return Traits(kind, self._everyone, self.conversations)

    def _sample(self, kind: MediaType, number: int, media_id: int) -> SampleBody:
        text = f"mediafs sandbox seed {self.seed} media {media_id}"
        sample = self._served_as.get(kind, kind)
        return SampleBody(samples=self.samples, kind=sample, number=number % TEMPLATES[sample], text=text)

    def _make(self, media_id: int) -> Media:
        bits = self._bits[media_id - 1]
        dice = random.Random(f"{self.seed}:{media_id}")
        kind = media_type_of(bits)
        created_s = self._created_s(media_id - 1, bits)
        stem = token_name(dice, created_s)
        subject = dice.choice(SUBJECTS)
        status = status_of(bits)
        body = self._sample(kind, bits >> 36 & 255, media_id)
        return Media(
            id=media_id,
            hash=uuid_like(dice),
            created_s=created_s,
            owner=self._owner(bits),
            title=stem if dice.random() < 0.7 else f"{subject} {dice.randrange(1, 40)}",
            description=""
            if dice.random() < 0.5
            else f"{subject}, seen on site. Lorem ipsum dolor sit amet.",
            filename=f"{stem}.{FORMATS[kind].extension}",
            status=status,
            media_type=kind,
            source_type=source_type_of(bits),
            # A media that is not ready has no size yet; its record says so with a zero.
            filesize=body.size if status == COMPLETED else 0,
            geoloc=place_of(dice) if dice.random() < 0.6 else None,
            conversation=self.conversations[(bits >> 20 & 0xFFFF) % len(self.conversations)],
            tags=tags_of(bits),
            body=body,
        )


def _key(media: Media) -> int:
    return media.created_s << _ID_BITS | media.id


def _searchable(media: Media) -> str:
    return f"{media.title}\n{media.description or ''}\n{media.filename}".casefold()


def day(text: str) -> date:
    """The date written ``2024-01-31``. Raises ValueError."""
    return date.fromisoformat(text)


def at(when: date, seconds: int) -> datetime:
    """The moment *seconds* after midnight UTC of *when*."""
    return datetime.combine(when, datetime.min.time(), UTC) + timedelta(seconds=seconds)
