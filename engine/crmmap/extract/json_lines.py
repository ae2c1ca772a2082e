"""Lines that are JSON, each of which is one record: as values, or as the bytes that they are."""

from __future__ import annotations

from collections.abc import Callable

from crmmap.select.strict import read_json
from crmmap.values import Reason

LINE = Reason(field=None, rule="json.line", message="the line is not one JSON document")
BLANKS = " \t\r\n"
"""What may stand around a JSON text."""


def reader_of_lines(*, raw: bool) -> Callable[[str], object]:
    """Return what reads a line: to its value, or to its own bytes, once they are known for JSON.

    Of a line that is JSON to us alone, as one with a NaN is, it is the value all the same. That
    raises ValueError or RecursionError where a line is not one JSON text.
    """
    if not raw:
        return read_json
    import msgspec

    check = msgspec.json.Decoder(msgspec.Raw).decode

    def read(line: str) -> object:
        try:
            check(line)
        except (ValueError, RecursionError):
            return read_json(line)
        return line.strip(BLANKS).encode()

    return read
