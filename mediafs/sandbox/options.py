"""How the sandbox behaves where the service's documentation is silent, contradicts itself, or depends on
the account.

The defaults are the likeliest reading; every other reading is one option away, so that a client can be
tried on all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import NoneType, UnionType
from typing import Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Every switch of the sandbox. Durations in seconds."""

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

    # Download.
    ranges: bool = True
    etags: bool = True
    chunked: bool = False
    """Whether media come without a Content-Length."""
    redirect: bool = False
    """Whether a download answers 302 to a signed link on the storage origin."""
    redirect_ttl_s: float = 300.0
    forbidden_downloads: frozenset[int] = frozenset()
    latency_s: float = 0.0
    """Wait before every answer."""
    bytes_per_s: int | None = None
    """Speed of every media body; None: as fast as it goes."""

    # Update and delete.
    update_encoding: Literal["json", "form", "query"] = "json"
    """The only encoding that PUT reads; the fields in the other two are ignored without an error."""
    latitude_parameter: str = "lat"
    longitude_parameter: str = "lng"
    forbidden_updates: frozenset[int] = frozenset()
    forbidden_deletes: frozenset[int] = frozenset()

    # Limits and errors.
    rate_limit: int | None = None
    """Requests per window and user; the service's documentation says 10. None: no limit."""
    rate_window_s: float = 60.0
    rate_mode: Literal["rolling", "fixed"] = "rolling"
    error_shape: Literal["error", "code"] = "error"
    """``{"error"}`` of version 3 or ``{"code","message","details"}`` of version 2."""

    def patched(self, changes: Mapping[str, object]) -> "Options":
        """These options with *changes*, as JSON has them. Raises ValueError naming the option that is
        wrong.
        """
        hints = get_type_hints(Options)
        known = {item.name for item in fields(Options)}
        for name in changes:
            if name not in known:
                raise ValueError(f"no option is called {name}")
        values = {name: _fitting(name, value, hints[name]) for name, value in changes.items()}
        # Each value was checked against its field's own type just above.
        return replace(self, **values)  # type: ignore[arg-type]

    def as_json(self) -> dict[str, object]:
        """Every option, sets as sorted lists."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: sorted(value) if isinstance(value, frozenset) else value for name, value in values.items()
        }


def _fitting(name: str, value: object, wanted: object) -> object:
    if get_origin(wanted) is Literal:
        if value in get_args(wanted):
            return value
    elif isinstance(wanted, UnionType):
        kinds = [kind for kind in get_args(wanted) if kind is not NoneType]
        return None if value is None else _fitting(name, value, kinds[0])
    elif get_origin(wanted) is frozenset:
        if isinstance(value, list | tuple | set | frozenset) and all(type(item) is int for item in value):
            return frozenset(value)
    elif wanted is float and type(value) is int:
        return float(value)
    elif type(value) is wanted:
        return value
    raise ValueError(f"option {name} cannot be {value!r}")
