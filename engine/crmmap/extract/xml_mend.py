"""What XML may not hold, mended before it is read, and counted: only where a mapping asks."""

from __future__ import annotations

import re
from html.entities import html5

SUSPECT = re.compile(
    rb"(?P<kept><!\[CDATA\[.*?(?:\]\]>|\Z))"
    rb"|&#(?:x(?P<hex>[0-9a-fA-F]{1,8})|(?P<decimal>[0-9]{1,10}));"
    rb"|&(?P<name>[A-Za-z][A-Za-z0-9]{0,31});"
    rb"|(?P<bare>&)"
    rb"|(?P<control>[\x00-\x08\x0b\x0c\x0e-\x1f])",
    re.DOTALL,
)
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
OWN = {b"amp", b"lt", b"gt", b"quot", b"apos"}
"""The names that XML knows without a DOCTYPE."""

WIDE = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
"""How a document in UTF-16 begins; its bytes are no ASCII, and it is left as it is."""


def mended(body: bytes) -> tuple[bytes, int]:
    """Return the document as XML may be, and how many places of it were mended.

    Control characters and references to what is no character are removed. A name that only
    HTML knows becomes its character; any other `&` that begins no reference is one.
    """
    if body.startswith(WIDE):
        return body, 0
    count = 0

    def mend(found: re.Match[bytes]) -> bytes:
        nonlocal count
        text = _mended(found)
        count += text != found[0]
        return text

    return SUSPECT.sub(mend, body), count


def _mended(found: re.Match[bytes]) -> bytes:
    if found["kept"] is not None:
        return CONTROL.sub(b"", found["kept"])
    if found["hex"] is not None or found["decimal"] is not None:
        code = int(found["hex"], 16) if found["hex"] is not None else int(found["decimal"])
        return found[0] if _allowed(code) else b""
    if found["name"] is not None:
        return found[0] if found["name"] in OWN else _named(found["name"])
    return b"&amp;" if found["bare"] is not None else b""


def _named(name: bytes) -> bytes:
    characters = html5.get(f"{name.decode()};")
    if characters is None:
        return b"&amp;" + name + b";"
    return b"".join(b"&#%d;" % ord(each) for each in characters)


def _allowed(code: int) -> bool:
    """Say whether XML 1.0 may hold the character with this number."""
    return (
        code in (0x9, 0xA, 0xD)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )
