"""How many values an answer may hold: the smallest take two bytes to send, and a hundred to keep.

They are counted by the marks between them before anything is read, which costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from crmmap.extract.body import BadBody
from crmmap.extract.octets import octets
from crmmap.values import Response

MOST = 5_000_000
"""Values, about: what a gigabyte of memory holds of them."""
PIECE = 4 * 1024 * 1024
"""Bytes that are looked at together."""

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
    body = response.body
    if len(body) <= most:
        return  # hardly a mark is shorter than a byte
    pieces = (body[at : at + PIECE] for at in range(0, len(body), PIECE))
    if sum(_weight(piece, marks) for piece in pieces) > most:
        message = (
            f"{response.url}: the answer holds more than {most:,} values, too many to be held at "
            "once. Ask for smaller pages; of a file, write JSON Lines"
        )
        raise BadBody(message, again=False)


def _weight(piece: bytes, marks: Mapping[bytes, int]) -> int:
    every = octets(piece)
    return sum(
        weight * (int((every == ord(mark)).sum()) if len(mark) == 1 else piece.count(mark))
        for mark, weight in marks.items()
    )
