"""What a chip of an identity card sends, as a JSON text: the sample file of services that serve documents."""

import json
import random
from typing import Final

DOCUMENT_TEMPLATES: Final = 8
_MARKER_CHARS: Final = 56
_GROUP_BYTES: Final = 700
_HARMLESS: Final = str.maketrans({'"': "'", "\\": "/"})


def _groups(number: int) -> dict[str, str]:
    """Data groups of a chip, more of them with each template."""
    dice = random.Random(f"json:{number}")
    return {f"DG{group}": dice.randbytes(_GROUP_BYTES).hex() for group in range(1, 3 + 2 * number)}


def document_parts(number: int) -> tuple[bytes, bytes]:
    """A text without its marker, which belongs between the two."""
    tail = json.dumps({"dataGroups": _groups(number)}, indent=1)
    return b'{\n "documentType": "sandbox",\n', f",\n{tail.removeprefix('{').strip()}\n".encode()


def document_mark(text: str) -> bytes:
    """*text*, cut to a fixed length, as one member of a JSON object."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text).translate(_HARMLESS)
    return b' "comment": "' + plain[:_MARKER_CHARS].ljust(_MARKER_CHARS).encode() + b'"'


def document_size(number: int) -> int:
    """Bytes of template *number* with its marker."""
    return sum(map(len, document_parts(number))) + len(document_mark(""))
