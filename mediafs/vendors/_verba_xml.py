"""Reading Verba's XML at the door: its code, its words, its calls, or `InvalidReply` saying where.

The root is `VerbaApi` on a real server, `verbacdrlist` in another's listing and `VerbaData` in a
client's tests, and tags have been seen with the calls inside or beside `Response`. So tags are found by
their name, wherever they stand, and in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..errors import InvalidReply
from ._json import At

NAME: Final = "verba"
LARGEST_BYTES: Final = 16 * 2**20
"""A page of 100 calls is about 200 KiB."""
_DEEPEST: Final = 32
_CODE: Final = re.compile(
    rb"<(?:[\w.-]+:)?Response\b[^<>]*?\scode\s*=\s*[\"']\s*([+-]?\d{1,9})\s*[\"']", re.IGNORECASE
)
_HEAD_BYTES: Final = 65536
_START: Final = (b"<?xml", b"<verba", b"<response", b"<html", b"<!doctype")


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply, read. `code` 0 is a success; None: there is no `Response` element."""

    root: Element
    code: int | None
    action: str | None
    """What it says that it answers."""
    words: str
    """The service's own, untrusted."""
    token: str | None
    cookie: str | None = None
    """The session that the token belongs to, as a client has to send it back: `NAME=VALUE`."""

    def records(self, operation: str) -> Iterator[At]:
        """Every call in it. Raises InvalidReply where one is nested more deeply than any call is."""
        for number, element in enumerate(_named(self.root, "verbacdr")):
            yield At(NAME, operation, f"verbacdr[{number}]", _mapping(operation, element, 0))

    @property
    def lists(self) -> bool:
        """It is a listing, also one of nothing: an answer of another kind is never an empty archive."""
        return self.code == 0 or next(_named(self.root, "verbacdrlist"), None) is not None

    def answers(self, action: str) -> bool:
        """Whether it says that it answers that action, or nothing of the kind: a success at something else
        is no empty archive either."""
        return self.action is None or self.action.lower() == action.lower()


def parse(operation: str, body: bytes) -> Answer:
    """Raises InvalidReply where `body` is no XML that can be held."""
    root: Element | None = None
    why = ""
    if len(body) > LARGEST_BYTES:
        raise InvalidReply(f"{NAME}: {operation}: the reply is larger than {LARGEST_BYTES} bytes")
    try:
        root = fromstring(body, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException:
        why = "a document type or an entity is declared, which no reply needs"
    except (ParseError, ValueError, LookupError, RecursionError):
        # LookupError: an encoding that does not exist.
        why = "this is not XML" if body.strip() else "the reply is empty"
    if root is None:
        raise InvalidReply(f"{NAME}: {operation}: /: {why}")
    response = next(_named(root, "response"), None)
    code: int | None = None
    action = token = None
    if response is not None:
        code = _code(operation, response)
        action, token = response.get("type"), response.get("token")
    said = next(_named(root, "errormessage"), None)
    name, session = (next(_named(root, tag), None) for tag in ("sessioncookiename", "sessionid"))
    cookie = None
    if name is not None and session is not None:
        cookie = f"{(name.text or '').strip()}={(session.text or '').strip()}"
    words = "" if said is None else " ".join((*said.itertext(), said.get("description") or ""))
    return Answer(root, code, action, words.strip(), token, cookie)


def code_of(body: bytes) -> int | None:
    """The code of a reply without reading it whole; None where its beginning shows none."""
    found = _CODE.search(body[:_HEAD_BYTES])
    return int(found[1]) if found else None


def looks_like_message(start: bytes) -> bool:
    """Whether a body begins as XML and HTML do, in UTF-8 or UTF-16; an empty one is no media either."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        start = start[2:].replace(b"\0", b"")
    elif not start:
        return True
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower()
    return bool(text) and any(text.startswith(mark) or mark.startswith(text) for mark in _START)


def _code(operation: str, response: Element) -> int:
    text = (response.get("code") or "").strip()
    if not re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII):
        raise InvalidReply(f"{NAME}: {operation}: Response/@code: a number was expected")
    return int(text)


def _named(root: Element, name: str) -> Iterator[Element]:
    return (element for element in root.iter() if _local(element) == name)


def _local(element: Element) -> str:
    """The tag without its name space, in lower case."""
    return _tag(element).lower()


def _tag(element: Element) -> str:
    # Comments and instructions have a function for a tag; the parser leaves them out.
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _mapping(operation: str, element: Element, depth: int) -> dict[str, object]:
    """Children by their tag as text, or as a mapping of theirs; several of one tag as a list.

    Attributes are members too. An element that names a field by an attribute (`<field id="a">b</field>`)
    is a member of that name: how metadata are worded is not documented.
    """
    if depth > _DEEPEST:
        raise InvalidReply(f"{NAME}: {operation}: the reply is nested too deeply")
    found: dict[str, object] = dict(element.attrib)
    for child in element:
        name = _tag(child)
        value: object
        if len(child):
            value = _mapping(operation, child, depth + 1)
        else:
            value = (child.text or "").strip()
            named = next((child.get(key) for key in ("id", "fieldId", "name") if child.get(key)), None)
            if named is not None:
                name, value = named, value or child.get("value") or ""
        if name in found:
            before = found[name]
            value = [*before, value] if isinstance(before, list) else [before, value]
        found[name] = value
    return found
