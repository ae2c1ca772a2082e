"""MySQL's INSERT of many rows: one statement as long as the server may take, and truly counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any

import polars as pl
import polars.selectors as cs

STATEMENT = 1_000_000
"""Bytes of a statement of several rows; every server's max_allowed_packet is more than that."""

PACKET = "crmmap_packet"
"""Where a connection's `info` keeps the server's max_allowed_packet."""

TOO_LONG = 1153
"""ER_NET_PACKET_TOO_LARGE. The server itself would end the connection with it."""

LEFT_ALONE = " ON DUPLICATE KEY UPDATE /* nothing */ "
CHANGED = " ON DUPLICATE KEY UPDATE "
INSERT = re.compile(r"(.* VALUES )(\(%s(?:, %s)*\))( ON DUPLICATE KEY UPDATE .*)?", re.DOTALL)
"""As `Insert.text` writes it; in names each % is doubled, so that none looks like a mark."""

CELLS = "crmmap_cells"
"""The execution option that holds the frame whose rows an INSERT is run for."""
ROWS = 1000
"""Most rows of a statement: more of them are no faster."""
BETWEEN = "),("
MOMENT = "%Y-%m-%d %H:%M:%S%.6f"
CLOCK = "%H:%M:%S%.6f"

DUPLICATES = re.compile(rb"Duplicates: (\d+)")


def write_many(
    cursor: Any, statement: str, rows: Sequence[tuple[Any, ...]], context: Any
) -> bool | None:
    """Run an INSERT for all rows, in place of the driver's way; leave other statements to it.

    The cursor's row count becomes that of the rows written, as elsewhere: MySQL counts a row
    that is changed twice.
    """
    found = INSERT.fullmatch(statement)
    if found is None:
        return None
    marks = found[2]
    return _write(cursor, context, found, lambda longest: _texts(cursor, marks, rows, longest))


def write_one(cursor: Any, statement: str, row: tuple[Any, ...], context: Any) -> bool | None:
    """Run an INSERT for the one row that it was given; leave other statements to the driver."""
    cells: pl.DataFrame | None = context.execution_options.get(CELLS)
    if cells is None:
        return write_many(cursor, statement, [row], context)
    found = INSERT.fullmatch(statement)
    assert found is not None  # noqa: S101  (nothing else is given cells)
    return _write(cursor, context, found, lambda longest: _parts(cells, longest))


Chunk = tuple[bytes, bytes, int]
"""Rows as they stand after VALUES, the first of them alone, and how many they are."""


def _write(
    cursor: Any, context: Any, found: re.Match[str], chunks: Callable[[int], Iterator[Chunk]]
) -> bool:
    start, end = (found[1] % ()).encode(), ((found[3] or "") % ()).encode()
    longest = context.root_connection.info[PACKET] - len(start) - len(end) - 64
    written = 0
    for values, first, count in chunks(longest):
        written += _execute(cursor, b"%b%b" % (start, values), first, count, end)
    # Where SQLAlchemy's own way leaves it for MySQL.
    context._rowcount = cursor.rowcount = written
    return True


def _execute(cursor: Any, insert: bytes, first: bytes, count: int, end: bytes) -> int:
    if not end.startswith(LEFT_ALONE.encode()):
        cursor.execute(b"%b%b" % (insert, end))
        return count
    # The server tells duplicates of two rows or more only: so the first goes twice, as one more.
    cursor.execute(b"%b,%b%b" % (insert, first, end))
    told = DUPLICATES.search(cursor._result.message or b"")
    return count + 1 - int(told[1]) if told else 0


# --- rows as the driver has them ----------------------------------------------------------------


def _texts(
    cursor: Any, marks: str, rows: Sequence[tuple[Any, ...]], longest: int
) -> Iterator[Chunk]:
    """Write rows as SQL, so many at a time as one statement may have."""
    chunk: list[bytes] = []
    length = 0
    for row in rows:
        text = cursor.mogrify(marks, row).encode()
        if len(text) > longest:
            raise _too_long()
        if chunk and length + len(text) > STATEMENT:
            yield b",".join(chunk), chunk[0], len(chunk)
            chunk, length = [], 0
        chunk.append(text)
        length += len(text) + 1
    yield b",".join(chunk), chunk[0], len(chunk)


def _too_long() -> Exception:
    from pymysql.err import DataError

    error: Exception = DataError(TOO_LONG, "the row is longer than max_allowed_packet")
    return error


# --- rows as a frame has them -------------------------------------------------------------------


def _parts(cells: pl.DataFrame, longest: int) -> Iterator[Chunk]:
    """Write a frame's rows as SQL: a CSV file whose quotes, nulls and ends of lines are SQL's.

    Quotes are doubled, as in CSV. A backslash means something to MySQL only, and numbers that
    are approximate are read exactly from texts only.
    """
    texts = cells.with_columns(cs.float().cast(pl.String)).with_columns(
        cs.string().str.replace_all("\\", "\\\\", literal=True),
        # Here, and not by the writer of CSV, a moment that all rows share is written only once.
        cs.datetime().dt.to_string(MOMENT),
    )
    each = 1 + int(texts.estimated_size()) // len(texts)
    for part in texts.iter_slices(max(1, min(ROWS, STATEMENT // each))):
        yield from _fitting(part, longest)


def _fitting(part: pl.DataFrame, longest: int) -> Iterator[Chunk]:
    text = _sql(part)
    if len(text) <= (STATEMENT if len(part) > 1 else longest):
        yield text, _sql(part[:1]), len(part)
    elif len(part) == 1:
        raise _too_long()
    else:
        middle = len(part) // 2
        for half in (part[:middle], part[middle:]):
            yield from _fitting(half, longest)


def _sql(part: pl.DataFrame) -> bytes:
    text = BytesIO(b"(")
    text.seek(1)
    part.write_csv(
        text, include_header=False, quote_char="'", quote_style="non_numeric", null_value="NULL",
        line_terminator=BETWEEN, time_format=CLOCK,
    )  # fmt: skip
    return text.getvalue()[: 1 - len(BETWEEN)]
