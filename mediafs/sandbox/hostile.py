"""Media with names, owners and texts that break a careless file system."""

from datetime import date, datetime
from typing import Final

from mediafs.sandbox.formats import MediaType
from mediafs.sandbox.records import Owner
from mediafs.sandbox.world import World, at

TWIN_TOKEN: Final = "media-3npGq6km5jx2s4ct-1538745137.png"
CONVERSATION: Final = "5999"

OWNERS: Final = (
    Owner(id=2001, name="Alex Martin"),
    Owner(id=2002, name="Alex Martin"),
    Owner(id=2003, name=None),
    Owner(id=2004, name=None, named=False),
    Owner(id=2005, name="../../root"),
)

FILENAMES: Final = (
    "../../etc/cron.d/x",
    "/etc/passwd",
    "line one\nline two.png",
    "x" * 396 + ".png",
    "é" * 200 + ".png",
    "",
    ".",
    "..",
    "invoice\u202egnp.exe",
    "nul\0byte.png",
    *("snapshot.png",) * 5,
    TWIN_TOKEN,
    TWIN_TOKEN,
    "caf\u00e9.png",
    "cafe\u0301.png",
    "no-extension",
    "🔥 chaudière 👩‍🔧.png",
    "-rf.png",
    " leading space.png",
    ".hidden.png",
    "trailing dot.png.",
    "trailing space.png ",
    "CON.png",
    'quo"te\\back.png',
    "percent%2Fslash.png",
    "SNAPSHOT.PNG",
    # Half an emoji, as writers leave it that cut texts by UTF-16 units: JSON takes it, no encoding does.
    "half-emoji-\ud83d.png",
)


def add_hostile(world: World, last: date) -> None:
    """Adds one completed media per name and per hostile text, all on the day *last* and in one
    conversation.
    """
    for owner in OWNERS:
        world.add_owner(owner)
    moment = iter(range(0, 86400, 600))

    def add(
        filename: str,
        *,
        title: str | None = None,
        description: str | None = "",
        owner: int = 1000,
        media_type: MediaType = "image",
        geoloc: tuple[float, float] | None = None,
        conversation: str = CONVERSATION,
    ) -> None:
        created: datetime = at(last, next(moment))
        world.add(
            filename=filename,
            title=title,
            description=description,
            owner=owner,
            media_type=media_type,
            geoloc=geoloc,
            created=created,
            conversation=conversation,
        )

    for filename in FILENAMES:
        add(filename)
    for owner in OWNERS:
        add("owned.png", owner=owner.id)
    add("really-a-video.png", media_type="video")
    add("long-texts.png", title="T" * 900, description="D" * 900)
    add("nulls.png", description=None)
    add("odd-title.png", title="a/b\n\t\u202e\0 ..", description="<b>&amp;\ud7ff</b>", geoloc=(-90.0, 180.0))
    add("odd-conversation.png", conversation="../up?x=1&y=ü")
