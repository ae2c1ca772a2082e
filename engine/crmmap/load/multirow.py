"""MySQL's INSERT of many rows: one statement as long as the server may take, and truly counted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

STATEMENT = 1_000_000
"""Bytes of a statement of several rows; every server's max_allowed_packet is more than that."""

PACKET = "crmmap_packet"
"""Where a connection's `info` keeps the server's max_allowed_packet."""

TOO_LONG = 1153
"""ER_NET_PACKET_TOO_LARGE. The server itself would end the connection with it."""

LEFT_ALONE = " ON DUPLICATE KEY UPDATE /* nothing */ "
CHANGED = " ON DUPLICATE KEY UPDATE "
INSERT = re.compile(r"(.* VALUES )(\(%s(?:, %s)*\))( ON DUPLICATE KEY UPDATE .*)?", re.DOTALL)
"""As `insert_statement` writes it; in names each % is doubled, so that none looks like a mark."""

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
    start, marks, end = found[1] % (), found[2], (found[3] or "") % ()
    longest = context.root_connection.info[PACKET] - len(start.encode()) - len(end.encode()) - 64
    written = 0
    for values in _chunks(cursor, marks, rows, longest):
        written += _write(cursor, start, values, end)
    # Where SQLAlchemy's own way leaves it for MySQL.
    context._rowcount = cursor.rowcount = written
    return True


def write_one(cursor: Any, statement: str, row: tuple[Any, ...], context: Any) -> bool | None:
    """Run an INSERT for the one row that it was given; leave other statements to the driver."""
    return write_many(cursor, statement, [row], context)


def _chunks(
    cursor: Any, marks: str, rows: Sequence[tuple[Any, ...]], longest: int
) -> Iterator[list[bytes]]:
    """Write rows as SQL, so many at a time as one statement may have."""
    chunk: list[bytes] = []
    length = 0
    for row in rows:
        text = cursor.mogrify(marks, row).encode()
        if len(text) > longest:
            from pymysql.err import DataError

            raise DataError(TOO_LONG, "the row is longer than max_allowed_packet")
        if chunk and length + len(text) > STATEMENT:
            yield chunk
            chunk, length = [], 0
        chunk.append(text)
        length += len(text) + 1
    yield chunk


def _write(cursor: Any, start: str, values: list[bytes], end: str) -> int:
    if not end.startswith(LEFT_ALONE):
        cursor.execute(b"%b%b%b" % (start.encode(), b",".join(values), end.encode()))
        return len(values)
    # The server tells duplicates of two rows or more only: so the first goes twice, as one more.
    again = [*values, values[0]]
    cursor.execute(b"%b%b%b" % (start.encode(), b",".join(again), end.encode()))
    told = DUPLICATES.search(cursor._result.message or b"")
    return len(again) - int(told[1]) if told else 0
