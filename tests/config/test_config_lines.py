"""Line numbers of keys, which the standard library's reader does not give."""

from __future__ import annotations

import string
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mediafs.config import Config, load
from mediafs.config.lines import key_lines
from mediafs.errors import ConfigError


def test_every_way_to_write_a_key_has_its_line() -> None:
    lines = key_lines(
        '''# a comment with [brackets] = "and more"
top = 1
a.b."c d" = """
not = "a key"
[nor.this]
"""
[ table . 'lit.eral' ]
"quo\\u0074ed" = 'x = "y"'
list = [ # [
  "]",
  { in = 1, "deep" = [2,
   3] },
]
inline = { x.y = 1, z = "}" }
when = 2023-01-01 10:00:00 # trailing
text = """two quotes at the end"""""
[[many]]
k = 1
[[many]]
[many.sub]
k = 2
'''
    )

    assert lines["top",] == 2
    assert lines["a", "b", "c d"] == lines["a",] == 3
    assert lines["table", "lit.eral"] == 7
    assert lines["table", "lit.eral", "quoted"] == 8
    assert lines["table", "lit.eral", "list", 0] == 10
    assert lines["table", "lit.eral", "list", 1, "in"] == 11
    assert lines["table", "lit.eral", "list", 1, "deep", 1] == 12
    assert lines["table", "lit.eral", "inline", "x", "y"] == 14
    assert lines["table", "lit.eral", "text"] == 16
    assert lines["many", 0, "k"] == 18
    assert lines["many", 1] == 19
    assert lines["many", 1, "sub", "k"] == 21
    assert not any("not" in where or "nor" in where for where in lines)


def test_windows_line_ends_count_once() -> None:
    assert key_lines("a = 1\r\nb = 2\r\n") == {("a",): 1, ("b",): 2}


@given(st.text(max_size=200))
@example("a = [" * 2000)
@example("[[a]]\n[a")
@example('"""')
def test_any_text_gives_lines_and_never_an_error(text: str) -> None:
    assert all(1 <= line <= text.count("\n") + 1 for line in key_lines(text).values())


words = st.text(string.ascii_lowercase + " .\"'#=[]{}\n\\é", max_size=8)
leaves = st.one_of(st.integers(), st.booleans(), words, st.dates())
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def written(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case list():
            return "[" + ",\n".join(map(written, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{quoted(key)} = {written(one)}" for key, one in value.items()) + "}"
    return str(value)


def places(value: object, where: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    found = {where} if where else set()
    if isinstance(value, dict):
        return found.union(*(places(one, (*where, key)) for key, one in value.items()))
    if isinstance(value, list):
        return found.union(*(places(one, (*where, nth)) for nth, one in enumerate(value)))
    return found


@given(st.dictionaries(words, trees, max_size=4))
def test_every_place_of_a_document_has_a_line(document: dict[str, object]) -> None:
    text = "\n".join(f"{quoted(key)} = {written(value)}" for key, value in document.items())
    assert tomllib.loads(text) == document

    assert set(key_lines(text)) == places(document)


KEYS = ["vendor", "token", "username", "password", "base_url", "since", "conversations", "filters", "user"]
KEYS += ["delete", "delete_limit", "names", "time_zone", "fresh_for", "insecure", "client_cert", "umask", "x"]
VALUES = ['"apizee"', '"zoom"', '"t"', '{ env = "T" }', '{ file = "f" }', "{ command = [] }", "{}", "[]", "1"]
VALUES += ['"https://x.example"', '"http://[::1"', "2023-01-01", "9999-12-31", '["1", 2]', "true", "inf"]
VALUES += ["1979-05-27T07:32:00Z", '"UTC"', '"/etc"', '"60s"', "-1", "nan", '"\\u0000"', "0x7fffffffffffffff"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), unique_by=lambda pair: pair[0]))
@example([("vendor", '"apizee"'), ("token", '"t"')])
def test_any_account_is_a_configuration_or_its_problems(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[accounts.a]\n" + "\n".join(f"{key} = {value}" for key, value in pairs))
    path.chmod(0o600)
    found: Config | ConfigError
    try:
        found = load(path, {})
    except ConfigError as error:
        found = error

    if isinstance(found, ConfigError):
        assert found.problems
        assert all(problem.startswith(f"{path}:") and "\n" not in problem for problem in found.problems)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=60).map(str.encode), st.binary(max_size=60)))
def test_any_bytes_are_a_configuration_or_its_problems(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(raw)

    with pytest.raises(ConfigError):
        load(path, {})
