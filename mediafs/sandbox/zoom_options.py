"""What is open about Zoom's Video SDK recordings API, and the account's credentials."""

from dataclasses import dataclass, field
from typing import Literal

from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.wire import WaitForm


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoomOptions(CommonOptions):
    """Every switch of the Zoom twin. Its documented limits are by the second: 30 Light, 20 Medium for Pro."""

    redirect: bool = True
    rate_window_s: float = 1.0
    rate_header: WaitForm = "reset-unix"
    """Documented for a second that is used up; "retry-iso" is what is documented for a day."""
    rate_type: Literal["QPS", "Daily-limit"] = "QPS"

    # Who may come in: whoever signs a JWT with these.
    api_key: str = field(default="sandbox-zoom-api-key", repr=False)
    api_secret: str = field(default="sandbox-zoom-api-secret-0123456789abcdef", repr=False)
    longest_life_s: int = 7200
    """Of a token; an hour is advised, the vendor's own library signs for two."""
    download_token: Literal["either", "header", "query"] = "either"
    """Where a download looks for it."""
    failed_auth: Literal["page", "401"] = "page"
    """What a download without a good token answers: 200 and a sign-in page, or an honest 401."""

    # Listing.
    envelope: bool = True
    """``{"sessions": [..]}``; otherwise one bare session a page, as the collection's sample has it."""
    echo: bool = True
    """Whether replies repeat the dates that were really listed."""
    over_long: Literal["clamp", "refuse"] = "clamp"
    """A range of more than a month: cut without a word, or 400."""
    to_included: bool = True
    filter_by: Literal["session", "recording"] = "session"
    """Whose day ``from`` and ``to`` bound."""
    session_lead_days: int = 0
    """How long before its first recording a session begins."""
    max_page_size: int = 300
    over_size: Literal["clamp", "refuse"] = "clamp"
    token_ttl_s: float = 900.0
    total_off_by: int = 0
    """Added to every ``total_records``."""
    repeated_entries: bool = False
    """Every file stands twice in its session, as in the collection's sample."""
    shared_ids: bool = False
    """All files of a session have one and the same id."""
    extensions: bool = True
    """Whether records say ``file_extension``."""
    participant_files: bool = False
    """Audio of the source type "recording" is a participant's: only the session's own page shows it."""

    # Paths.
    encoding: Literal["documented", "once", "twice"] = "documented"
    """How often a session's id must be encoded: once, but twice where it begins with / or holds //; or always
    so.
    """

    # Changes.
    trash: bool = True
    """Whether the account's trash is on; otherwise what is put there is gone."""
    refusal: Literal["200", "403"] = "200"
    """How the lack of a permission is answered: 200 with the code 200, or 403."""
