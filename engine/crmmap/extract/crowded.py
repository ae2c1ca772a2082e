"""How many values an answer may hold: the smallest take two bytes to send, and a hundred to keep.

They are counted by the marks between them before anything is read, which costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from crmmap.extract.body import BadBody
from crmmap.values import Response

MOST = 5_000_000
"""Values, about: what a gigabyte of memory holds of them."""

JSON: Mapping[bytes, int] = {b",": 1, b"[": 1, b"{": 1}
LINES: Mapping[bytes, int] = {**JSON, b"\n": 1}
XML: Mapping[bytes, int] = {b"<": 1, b"=": 1}
ROWS_MOST = 20_000_000
"""Of CSV, whose cells are texts side by side, and whose rows alone are objects."""


def rows(delimiter: str) -> Mapping[bytes, int]:
    """Return the marks of CSV: a row weighs more than a cell."""
    return {delimiter.encode(): 1, b"\n": 4, b"\r": 4}


def refuse_crowded(response: Response, marks: Mapping[bytes, int], *, most: int = MOST) -> None:
    """Raise BadBody where an answer has more values than can be held."""
    if len(response.body) <= most:
        return  # hardly a mark is shorter than a byte
    if sum(weight * response.body.count(mark) for mark, weight in marks.items()) > most:
        message = (
            f"{response.url}: the answer holds more than {most:,} values, too many to be held at "
            "once. Ask for smaller pages; of a file, write JSON Lines"
        )
        raise BadBody(message, again=False)
