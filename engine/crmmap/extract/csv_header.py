"""A file's header row: whether it is what the mapping expects, and what its columns are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import count

from crmmap.errors import SourceError

DELIMITERS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}
"""What files are commonly delimited with, and how a message calls it."""

SHOWN = 40
"""How many of the headers found a message lists."""

HTML = ("<!doctype html", "<html", "<head", "<body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Each field's alternative headers, in the fields' order.

    At least one of a field's alternatives must be there, unless the field's
    index is in `optional`.
    """

    headers: Sequence[Sequence[str]]
    optional: frozenset[int] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for names in self.headers for name in names))


def column_names(
    cells: Sequence[str], wanted: Wanted, *, delimiter: str, where: str
) -> tuple[str, ...]:
    """Return the frame's column names for a header row, no two alike.

    White space around a header is dropped. A header that stands there again
    gets its number (`Phone (2)`), a blank one its place (`(column 7)`).

    Raises SourceError, beginning with `where`, if the row isn't what is
    wanted. It lists the headers found only if some look like wanted ones:
    without a header row, they would be a record's values.
    """
    found = tuple(cell.strip() for cell in cells)
    fault = (
        _wrong_delimiter(found, wanted, delimiter)
        or _missing(found, wanted)
        or _duplicates(found, wanted)
    )
    if fault:
        raise SourceError(f"{where}: {fault}")
    return _unlike(found)


def looks_like_html(start: bytes) -> bool:
    """Whether a file's first bytes are those of a web page, such as a log-in form saved as CSV."""
    text = start[:1024].decode("utf-8", "ignore").lstrip("\ufeff \t\r\n").lower()
    return text.startswith(HTML)


FOREIGN = (
    (b"PK\x03\x04", "is an Excel workbook or another ZIP archive. Export the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook of the old kind. Export the sheet as CSV"),
    (b"\x1f\x8b", "is compressed with gzip. Write `unpack: gzip` in the format"),
)
JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\[\s*[\[{\"\]]|\{\s*[\"}])")
"""How a JSON document begins, and no header row that anybody has seen."""


def foreign_format(start: bytes) -> str:
    """Return what a file's first bytes say that it is instead of CSV, and what to do; "" if CSV."""
    for signature, message in FOREIGN:
        if start.startswith(signature):
            return f"the file {message}."
    if JSON.match(start):
        return "the file holds JSON, not CSV. Export it as CSV."
    return ""


def _wrong_delimiter(found: Sequence[str], wanted: Wanted, delimiter: str) -> str:
    if len(found) > 1 or not wanted.names or found[0] in wanted.names:
        return ""
    other = max(set(DELIMITERS) - {delimiter}, key=found[0].count)
    if other not in found[0]:
        return ""
    return (
        f"one column found, {len(wanted.headers)} expected; the delimiter looks like "
        f"{DELIMITERS[other]}, not {DELIMITERS.get(delimiter, repr(delimiter))}. "
        "Set the format's `delimiter`."
    )


def _missing(found: Sequence[str], wanted: Wanted) -> str:
    absent = [
        names
        for index, names in enumerate(wanted.headers)
        if index not in wanted.optional and not set(names) & set(found)
    ]
    if not absent:
        return ""
    nearest = [_nearest(names, found) for names in absent]
    described = [_described(names, near) for names, near in zip(absent, nearest, strict=True)]
    missing = f"{_headers(len(absent))} missing: {'; '.join(described)}."
    if not any(nearest) and not set(wanted.names) & set(found):
        return f"{missing} The first line has none of them; is it a header row at all?"
    return f"{missing} Found: {_listed(found)}."


def _nearest(names: Sequence[str], found: Sequence[str]) -> str:
    """Return the header most like one of the names, whatever its case; "" if none is near."""
    folded = {name.casefold(): name for name in reversed(found) if name}
    for name in names:
        for match in get_close_matches(name.casefold(), folded, n=1):
            return folded[match]
    return ""


def _described(names: Sequence[str], nearest: str) -> str:
    alternatives = " or ".join(repr(name) for name in names)
    return f"{alternatives} (the nearest is {nearest!r})" if nearest else alternatives


def _listed(found: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in found[:SHOWN])
    more = len(found) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _duplicates(found: Sequence[str], wanted: Wanted) -> str:
    counts = Counter(found)
    twice = [name for name in wanted.names if counts[name] > 1]
    if not twice:
        return ""
    names = ", ".join(f"{name!r} ({counts[name]} times)" for name in twice)
    return f"{_headers(len(twice))} not unique: {names}. Rename or remove all but one in the file."


def _headers(number: int) -> str:
    return "a header is" if number == 1 else f"{number} headers are"


def _unlike(found: Sequence[str]) -> tuple[str, ...]:
    taken = set(found)
    names: list[str] = []
    for place, name in enumerate(found, start=1):
        fresh = name if name and name not in names else _free(name, place, taken)
        taken.add(fresh)
        names.append(fresh)
    return tuple(names)


def _free(name: str, place: int, taken: set[str]) -> str:
    return next(text for text in _numbered(name, place) if text not in taken)


def _numbered(name: str, place: int) -> Iterator[str]:
    if not name:
        yield f"(column {place})"
    yield from (f"{name} ({number})".strip() for number in count(2))
