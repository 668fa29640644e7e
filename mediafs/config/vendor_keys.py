"""Reads the keys that only accounts of one vendor have, as the vendor's own `AccountSpec` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from ..vendors import VENDORS
from ..vendors.account import AccountSpec, Kind
from . import values
from .options import Delete
from .secrets import Secret
from .services import Listed, Service, Value
from .table import Table

EVERY_KEY: Final = tuple(dict.fromkeys(key for spec in VENDORS.values() for key in spec.all_keys))
"""Of an account whose vendor is not known, any vendor's keys are let pass."""

_PLAIN: Final[Mapping[Kind, Callable[[object], Value]]] = MappingProxyType(
    {
        Kind.TEXT: values.text,
        Kind.ID: values.identifier,
        Kind.IDS: values.conversations,
        Kind.WORDS: values.words,
        Kind.FLAG: values.flag,
    }
)


class Reader(Protocol):
    """What reads what belongs to the document rather than to a value."""

    def secret(self, table: Table, key: str) -> Secret | None:
        """None where it is absent or (noted as a problem) wrong."""
        ...

    def path(self, value: object) -> Path: ...


def deletes(spec: AccountSpec) -> tuple[Delete, ...]:
    """What `delete` may be: what the service can do."""
    can = {Delete.PERMANENT: spec.permanent, Delete.TRASH: spec.trash}
    return tuple(delete for delete in Delete if can.get(delete, True))


def read_service(spec: AccountSpec, table: Table, reader: Reader) -> Service | None:
    """None when too much is wrong; what is wrong is noted in any case."""
    found = {key: _value(spec, table, reader, key) for key in spec.keys}
    given = {key: value for key, value in found.items() if value is not None}
    whole = _way(spec, table)
    for keys in spec.together:
        _need_together(table, keys)
    listed = Listed()
    if spec.listed is not None:
        ids = table.take(spec.listed, values.conversations, ())
        listed = Listed(ids=tuple(ids), file=table.take(f"{spec.listed}_file", reader.path, None))
    complete = whole and all(key in given for key in spec.keys if _has(table, key))
    return Service(values=MappingProxyType(given), listed=listed) if complete else None


def _value(spec: AccountSpec, table: Table, reader: Reader, key: str) -> Value | None:
    match spec.keys[key]:
        case Kind.SECRET:
            return reader.secret(table, key)
        case Kind.SECRETS:
            return _secrets(table, reader, key)
        case Kind.SECRET_LINES:
            return _secret_or_file(table, reader, key)
        case Kind.NAMES:
            return _names(table, key, spec.names[key])
        case kind:
            return table.take(key, _PLAIN[kind], None)


def _has(table: Table, key: str) -> bool:
    return key in table or f"{key}_file" in table


def _way(spec: AccountSpec, table: Table) -> bool:
    """Whether one of the ways to come in is given, whole."""
    begun = [way for way in spec.ways if any(_has(table, key) for key in way)]
    named = [" and ".join(way) for way in spec.ways]
    if not begun:
        table.problems.add(table.where, f"needs {', or '.join(named)}")
    elif len(begun) > 1:
        first = next(key for key in begun[1] if _has(table, key))
        table.wrong(first, f"give either {', or '.join(' and '.join(way) for way in begun)}")
    return len(begun) == 1 and _need_together(table, begun[0])


def _need_together(table: Table, keys: tuple[str, ...]) -> bool:
    given = [key for key in keys if _has(table, key)]
    missing = [key for key in keys if not _has(table, key)]
    if given and missing:
        first = given[0] if given[0] in table else f"{given[0]}_file"
        table.wrong(first, f"needs {' and '.join(missing)} beside it")
    return not (given and missing)


def _secret_or_file(table: Table, reader: Reader, key: str) -> Secret | None:
    file = f"{key}_file"
    if file not in table:
        return reader.secret(table, key)
    if key in table:
        table.wrong(file, f"give either {key} or {file}")
    return reader.secret(table.changed(file, lambda value: {"file": value}), file)


def _secrets(table: Table, reader: Reader, key: str) -> tuple[Secret, ...] | None:
    """One secret, or a list of them."""
    many = table.list(key)
    if many is None:
        one = reader.secret(table, key)
        return (one,) if one else None
    found = [reader.secret(many, nth) for nth in many.keys]
    if not found:
        table.wrong(key, "must hold at least one secret")
    return tuple(one for one in found if one) or None


def _names(table: Table, key: str, defaults: Mapping[str, str]) -> Mapping[str, str]:
    """A table of other names; each thing needs a name of its own."""
    example = ", ".join(f'{name} = "{said}"' for name, said in list(defaults.items())[:2])
    inner = table.table(key, f"{{ {example} }}")
    inner.refuse_others(list(defaults))
    names = {name: inner.take(name, values.query_name, said) for name, said in defaults.items()}
    if len(set(names.values())) < len(names):
        table.wrong(key, "each needs a name of its own")
    return MappingProxyType(names)
