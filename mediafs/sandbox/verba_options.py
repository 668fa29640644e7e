"""What is open about the Verba HTTP API, and the account's credentials."""

from dataclasses import dataclass, field
from typing import Literal

from mediafs.sandbox.options import CommonOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbaOptions(CommonOptions):
    """Every switch of the Verba twin. A recorder on premises: no ranges, no validators, no rate limit."""

    ranges: bool = False
    etags: bool = False

    # Who may come in.
    api_key: str = field(default="74c8eea0-sandbox-api-key", repr=False)
    username: str = "apiuser"
    password: str = field(default="sandbox-password", repr=False)
    auth_required: bool = True
    """Whether the key needs a login."""
    basic_login: bool = True
    """Whether RequestToken takes an Authorization header."""
    parameter_login: bool = True
    """Whether it takes userName and password."""
    expires_in_s: float = 3600.0
    cookie: bool = True
    """Whether a login sets JSESSIONID, which nothing here asks for."""

    # Times.
    zone: str = "UTC"
    """The API user's; without a token times are in GMT."""
    later_fold: bool = False
    """Whether a bound inside an hour that the clock shows twice means the second one."""
    time_tag: Literal["start_time", "starttime", "startdate"] = "start_time"
    time_form: Literal["seconds", "minutes", "fraction"] = "seconds"
    information_time_form: Literal["seconds", "minutes", "fraction"] = "seconds"

    # Search.
    page_base: int = 0
    """What pagefirst calls the first row."""
    page_cap: int = 100
    """The most rows of one page, whatever pagelen says."""
    pages: bool = True
    """Whether pagefirst is heeded."""
    sorts: Literal["time", "text", "no"] = "time"
    """Whether orderby is heeded, and as what: as moments, or as the times shown."""
    inclusive_end: bool = True
    whole_minutes: bool = False
    """Whether the seconds of start and end are looked at."""
    max_window_days: int | None = None
    silent_window: bool = False
    """Whether a longer window is cut without a word, else refused."""
    nothing_code: int = 0
    """The code of a search that finds nothing."""
    root: Literal["VerbaApi", "verbacdrlist", "VerbaData"] = "VerbaApi"

    # Calls.
    id_parameter: Literal["callID", "ccdr_id"] = "callID"
    """How GetMedia wants the call named."""
    information_id_parameter: Literal["callID", "ccdr_id"] = "callID"
    ongoing_bytes: int = 1000
    """By how much a call that goes on has grown with each request."""

    # Metadata.
    metadata_fields: tuple[str, ...] = ("subject", "ticket")
    """Fields of a template with API access; the first of them is the world's title at first."""
    metadata_as: Literal["elements", "fields"] = "elements"
    attach_action: str = "AttachMetaData"
    keeps_metadata: bool = True
    """Whether a value that was attached is really kept."""

    # Errors.
    error_type: Literal["text/xml", "application/octet-stream", "none"] = "text/xml"
    refusal_code: int = -60
    """For what the account may not do: a retention period, a legal hold."""
