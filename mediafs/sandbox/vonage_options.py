"""What is open about the Vonage Media API, and the application's credentials."""

from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mediafs.sandbox.options import CommonOptions


@cache
def _made_key() -> str:
    """A private key of this process's own, in PEM form."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class VonageOptions(CommonOptions):
    """Every switch of the Vonage twin. No rate limit is documented for the Media API."""

    # Who may come in.
    application_id: str = "5a0e7c1e-9d3b-4f6a-8c2d-1b7e6f3a9d40"
    private_key: str = field(default_factory=_made_key, repr=False)
    """PEM text. The service would hold its public half only."""
    api_key: str = "abcd1234"
    api_secret: str = field(default="sandbox-api-secret", repr=False)
    key_secret: Literal["refused", "query", "basic", "either"] = "refused"
    """Where key and secret are taken in place of a token: once in the query, later "unsupported"."""

    # Listing.
    max_page_size: int = 100
    over_max: Literal["lowered", "refused"] = "lowered"
    default_days: int = 7
    """How far a listing without start_time goes back."""
    inclusive_dates: bool = True
    """Whether a media created exactly at a bound is listed: "on or after" in the specification, "after" in
    the older reference.
    """
    empty: Literal["404", "list"] = "404"
    """How it is said that nothing matches."""
    links: Literal["next", "bare", "none"] = "next"
    """HAL links with next and prev; those of the specification's sample, without either and without an
    index; or none.
    """
    absolute_links: bool = False
    count: Literal["total", "page"] = "total"
    """What "total number of records returned by your request" counts."""
    reply_page_size: Literal["asked", "returned"] = "asked"
    """What page_size of a reply is: the size of the pages, or "the amount of records returned"."""
    past_the_end: Literal["empty", "repeat"] = "empty"
    """What a page behind the last one holds: nothing, or the last page again."""
    ignores_page_index: bool = False
    strict_parameters: bool = False
    """Whether an unknown query parameter answers 400 instead of being ignored."""

    # Record.
    spelling: Literal["snake", "camel"] = "snake"
    times: Literal["iso", "epoch-ms"] = "iso"
    shows_title: bool = False
    """Whether records have title and description, as the Node SDK's type does."""

    # Download.
    limits_all: bool = False
    """Whether max_downloads_allowed holds for authenticated downloads too; documented: it does not."""

    # Update and delete.
    update: Literal["multipart", "json-info", "json"] = "multipart"
    """The one form of the PUT that is understood; json-info takes the older names."""
    update_refusal: int = 415
    """How a body in another form is answered; 204 is to ignore it without a word."""
    form_charset: Literal["utf-8", "latin-1"] = "utf-8"
    """How a part without a charset is read."""

    errors: Literal["problem", "empty"] = "problem"
    """RFC 7807, or a status without a body."""
