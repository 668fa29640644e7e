"""What is open about Veriff's media API, and the integration's credentials."""

from dataclasses import dataclass, field
from typing import Literal

from mediafs.sandbox.options import CommonOptions

SECRET = "sandbox-veriff-secret-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class VeriffOptions(CommonOptions):
    """Every switch of the Veriff twin."""

    # Who may come in.
    api_key: str = field(default="5a4dbc4f-0e6b-4f0e-9d5a-0d5a5a0dbc4f", repr=False)
    """A UUID: what is none answers 401 with code 1802."""
    shared_secrets: tuple[str, ...] = field(default=(SECRET,), repr=False)
    """Those that are active: two while one is being rotated."""
    media_signed_by: Literal["media", "session", "either"] = "media"
    """Whose id the signature of a download covers: its page says the media's, the FAQ the session's."""
    signed_replies: bool = True
    """Whether JSON comes with the HMAC of its body in x-hmac-signature."""

    # Listing.
    attempts: int = 3
    """How many attempts the media of a session are spread over, at most."""
    attempts_listing: Literal["yes", "404", "405"] = "yes"
    """Whether GET /v1/sessions/{id}/attempts exists, and how an integration answers that lacks it."""
    attempt_media: Literal["yes", "404", "405"] = "yes"
    """The same for GET /v1/attempts/{id}/media."""
    undated: Literal["none", "some", "all"] = "some"
    """Which attempts lack their createdTime; the vendor's sample lacks it on some rows."""
    twice: bool = True
    """Whether one attempt is listed twice, as in the vendor's sample."""
    sizes: bool = True
    """Whether records tell a size."""
    mimetypes: bool = True
    videos: bool = True
    """Test integrations show none."""
    urls: Literal["own", "other", "none"] = "own"
    """Where the links of records lead: this origin, the storage origin, or nowhere."""
    bare_404: bool = False
    """Whether something in front answers 404 without the service's words, to everything."""

    # Deletion.
    deletion: bool = False
    """Whether DELETE /v1/sessions/{id} is on; the vendor switches it on by request."""
