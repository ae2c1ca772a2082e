"""Numbers, times and texts as a reader likes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def number(value: float) -> str:
    """Return a whole number with its thousands apart: `1,200`."""
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Return a time span: `0.4 s`, `12.3 s`, `4 min 05 s`, `2 h 07 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def rate(records: int, seconds: float) -> str:
    """Return records per second, or a dash where there is nothing to divide."""
    return number(records / seconds) if records and seconds > 0 else "-"


def size(length: int) -> str:
    """Return so many bytes as `340 B`, `12.3 kB` or `4.0 MB`."""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if length >= bytes_:
            return f"{length / bytes_:,.1f} {unit}"
    return f"{length} B"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return `1 record` or `2 records`."""
    return f"{number(count)} {one if count == 1 else many or f'{one}s'}"


def listed(words: Iterable[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def printable(text: str) -> str:
    """Return the text with control characters escaped: none can move a terminal's cursor."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
