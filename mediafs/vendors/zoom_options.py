"""What an account of Zoom's Video SDK is configured with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

_PLAIN: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)


DOWNLOAD_HOSTS: Final = ("zoom.us",)
"""Where records point to, unless the account says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoomOptions:
    """The API key and API secret of a Video SDK account: not those of the SDK, which sign session tokens.

    Raises ValueError, without the value, for what cannot work.
    """

    base_url: str = "https://api.zoom.us/v2"
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    download_hosts: tuple[str, ...] = DOWNLOAD_HOSTS
    """Hosts, and with them their subdomains, beside base_url's own that a record's download_url may point to:
    the credential is sent there."""
    token_in_query: bool = False
    """Whether downloads also carry the token as `access_token` in the query, which is how the documentation
    opens a recording that has a password. Proxies and logs keep queries: only where the header is not enough.
    """

    def __post_init__(self) -> None:
        split = urlsplit(self.base_url)
        if split.scheme not in ("http", "https") or not split.hostname:
            raise ValueError("base_url: an address such as https://api.zoom.us/v2 is needed")
        if split.query or split.fragment or split.username is not None:
            raise ValueError("base_url: neither query, fragment nor credentials belong in it")
        if not _PLAIN.fullmatch(self.api_key):
            raise ValueError("api_key: it is empty or holds a character that no key has")
        if not _PLAIN.fullmatch(self.api_secret):
            raise ValueError("api_secret: it is empty or holds a character that no secret has")
        for host in self.download_hosts:
            # A single label would be a whole top-level domain with all that lies under it.
            if not _HOST.fullmatch(host):
                raise ValueError(
                    f"download_hosts: {host[:64]!r} is not the name of a host such as zoom.us, in lower case"
                )
