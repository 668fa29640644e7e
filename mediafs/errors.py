"""What can go wrong, in the words of the domain; no errno here (that is `mount/errnos.py`).

    MediafsError
    |- NotFound            there is no such media, directory or attribute target
    |- NoAttribute         the media has no value for that attribute
    |- Denied              the service refuses (403)
    |  `- CredentialsRefused   ... because of who asks (401 after one renewal): a lasting state
    |- Forbidden           our own policy refuses (delete = "deny", the brake)
    |- Busy                a directory that is part of the tree itself
    |- NotEmpty            a directory that holds media, or may hold some
    |- ReadOnly            content cannot be written
    |- Late                throttled, or not done within the deadline
    |- Unavailable         the service cannot be reached, or answers 5xx after retries
    |- InvalidReply        the service answered something that cannot be right
    |  |- FilterRefused    ... it ignores a filter, so a filtered listing would be everything
    |  `- Incomplete       ... its pages do not add up to the total it states
    |- NotReady            the media is not ready yet (204)
    |- Changed             content changed, or went, under an open handle
    |- ValueRefused        the service refuses a value (400)
    |- Unsupported         the service has no such operation
    |- NoRoom              no room on disk
    |- LocalFailure        something of this machine failed: a disk, a database
    `- ConfigError         the operator's configuration, all problems at once

Each is made from facts and words its own message: what, where, and what to do. Messages never hold
a token, a query string or a signed URL.
"""

from __future__ import annotations

from collections.abc import Sequence


class MediafsError(Exception):
    """Any failure that is explained. Everything else is a bug."""

    undecided = False
    """Of a change at the service: it may have been carried out all the same, for no answer said that it
    was not."""


class NotFound(MediafsError):
    """There is no such thing."""


class NoAttribute(MediafsError):
    """The media has no value for this attribute."""


class Denied(MediafsError):
    """The service refuses this to the account."""


class CredentialsRefused(Denied):
    """The service refuses the account's credentials, after one renewal."""


class Forbidden(MediafsError):
    """Our own policy refuses."""


class Busy(MediafsError):
    """The directory is part of the tree itself: it cannot go."""


class NotEmpty(MediafsError):
    """The directory holds media, or nobody knows that it holds none."""


class ReadOnly(MediafsError):
    """Content cannot be written."""


class Late(MediafsError):
    """Not done within the deadline.

    `wait_s` is how long the service asks us to wait, where it is known.
    """

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Unavailable(MediafsError):
    """The service cannot be reached, or fails on its side."""


class InvalidReply(MediafsError):
    """The service's answer cannot be right."""


class FilterRefused(InvalidReply):
    """The service ignores a filter: the listing would hold everything.

    `by_value`: it refused the impossible id of a probe with 400. That may be for the filter's name or
    for the value; a true id tells which.
    """

    def __init__(self, message: str, *, by_value: bool = False) -> None:
        super().__init__(message)
        self.by_value = by_value


class Incomplete(InvalidReply):
    """The pages of a listing do not add up to the total that the service states."""


class NotReady(MediafsError):
    """The service has the media but not its bytes yet."""


class Changed(MediafsError):
    """Content changed, or went, under an open handle."""


class ValueRefused(MediafsError):
    """The service refuses a value."""


class Unsupported(MediafsError):
    """The service has no such operation."""


class NoRoom(MediafsError):
    """No room on disk: to spool a body, to keep a listing, to record a deletion."""


class LocalFailure(MediafsError):
    """Something of this machine failed: a disk, a database."""


class ConfigError(MediafsError):
    """The operator's configuration is wrong; `problems` holds every fault found, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
