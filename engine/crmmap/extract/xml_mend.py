"""What XML may not hold, mended before it is read, and counted: only where a mapping asks."""

from __future__ import annotations

import re
from html.entities import html5

SUSPECT = re.compile(
    rb"(?P<kept><!\[CDATA\[.*?(?:\]\]>|\Z))"
    rb"|&#(?:x(?P<hex>[0-9a-fA-F]{1,8})|(?P<decimal>[0-9]{1,10}));"
    rb"|&(?P<name>[A-Za-z][A-Za-z0-9]{0,31});"
    rb"|&|[\x00-\x08\x0b\x0c\x0e-\x1f]",
    re.DOTALL,
)
QUICK = re.compile(
    rb"[&\x00-\x08\x0b\x0c\x0e-\x1f]"
    rb"(?:(?<=&)(?:#(?:x(?P<hex>[0-9a-fA-F]{1,8})|(?P<decimal>[0-9]{1,10}));"
    rb"|(?P<name>[A-Za-z][A-Za-z0-9]{0,31});))?"
)
"""The same where there is no CDATA, tried at those bytes only with which it may begin."""
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
CONTROLS = bytes(code for code in range(0x20) if code not in b"\t\n\r")
CDATA = b"<![CDATA["
OWN = {b"amp", b"lt", b"gt", b"quot", b"apos"}
"""The names that XML knows without a DOCTYPE."""

WIDE = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
"""How a document in UTF-16 begins; its bytes are no ASCII, and it is left as it is."""


def mended(body: bytes) -> tuple[bytes, int]:
    """Return the document as XML may be, and how many places of it were mended.

    Control characters and references to what is no character are removed. A name that only
    HTML knows becomes its character; any other `&` that begins no reference is one.
    """
    if body.startswith(WIDE) or _sound(body):
        return body, 0
    count = 0

    def mend(found: re.Match[bytes]) -> bytes:
        nonlocal count
        text = _mended(found)
        count += text != found[0]
        return text

    suspect = SUSPECT if CDATA in body else QUICK
    return suspect.sub(mend, body), count


def _sound(body: bytes) -> bool:
    """Say whether there is nothing to mend, where that can be seen at a glance."""
    known = sum(body.count(b"&%b;" % name) for name in OWN)
    return body.count(b"&") == known and len(body.translate(None, CONTROLS)) == len(body)


def _mended(found: re.Match[bytes]) -> bytes:
    parts, text = found.groupdict(), found[0]
    if (kept := parts.get("kept")) is not None:
        return CONTROL.sub(b"", kept)
    if parts["hex"] is not None or parts["decimal"] is not None:
        code = int(parts["hex"], 16) if parts["hex"] is not None else int(parts["decimal"])
        return text if _allowed(code) else b""
    if (name := parts["name"]) is not None:
        return text if name in OWN else _named(name)
    return b"&amp;" if text == b"&" else b""


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
