"""What is open about the Apizee Media API, and the account's credentials."""

from dataclasses import dataclass, field
from typing import Literal

from mediafs.sandbox.options import CommonOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ApizeeOptions(CommonOptions):
    """Every switch of the Apizee twin. Its documented rate limit is 10 requests per minute and user."""

    # Who may come in. The two tokens never expire; those given out by POST /api/v3/token do.
    token: str = field(default="sandbox-admin-token", repr=False)
    """A token of the first user, who is an administrator."""
    user_token: str = field(default="sandbox-user-token", repr=False)
    """A token of the first user without the administrator's rights."""
    username: str = "agent@example.org"
    password: str = field(default="sandbox-password", repr=False)
    assertion: str | None = field(default=None, repr=False)
    """The JWT that the jwt-bearer grant takes; None: that grant is refused."""
    login_admin: bool = True
    login_in: Literal["form", "query", "either"] = "either"
    """Where username and password are looked for: documented as query, sent as a form by a public client."""
    grant_type_in: Literal["query", "either"] = "query"
    expires_in_s: int = 86400
    user: int = 1000
    """The user whom the tokens belong to."""

    # Listing.
    max_limit: int = 100
    inclusive_dates: bool = False
    """Whether a media created exactly at since or until is in the list; "after" and "before" suggest not."""
    last_next_offset: Literal["null", "absent", "total", "same"] = "null"
    strict_parameters: bool = False
    """Whether an unknown query parameter answers 400 instead of being ignored."""
    user_parameter: str = "user_id"
    group_parameter: str = "group_id"
    tag_parameter: str = "tag"
    source_parameter: str = "source_type"
    conversation_parameter: str = "conversation_id"

    # Update.
    update_encoding: Literal["json", "form", "query"] = "json"
    """The only encoding that PUT reads; the fields in the other two are ignored without an error."""
    latitude_parameter: str = "lat"
    longitude_parameter: str = "lng"

    # Errors.
    error_shape: Literal["error", "code"] = "error"
    """``{"error"}`` of version 3 or ``{"code","message","details"}`` of version 2."""
