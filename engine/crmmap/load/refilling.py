"""Digests that count no more, as rows lack what a column that is added to their table would hold.

A row's digest may be of that value, too: the column may have been there, and dropped by hand, or
have had another name, for a digest is of values and not of names. A table may be large; so its
digests are undone stretch by stretch, in the order of its key, each in a transaction of its own.
All that comes before the column is added: whatever breaks off in between is done again by the next
run, which finds it missing still.
"""

# ruff: noqa: S608  (names are quoted, values are parameters)

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from crmmap.load.statements import Row, Session, compared
from crmmap.load.tables import ROW_HASH

STRETCH = 10_000
"""Rows whose digests are undone by one statement."""


def undoing(table: sa.Table, quote: Callable[[str], str]) -> str:
    """Return the statement that undoes all digests of a table at once. A bare parent has none."""
    digest = quote(ROW_HASH)
    return f"UPDATE {quote(table.name)} SET {digest} = 0 WHERE {digest} <> 0"


def undo_some(session: Session, table: sa.Table, after: Row | None) -> Row | None:
    """Undo the digests of the next rows after a key; return the last one's, None once all are."""
    key = [column.name for column in table.primary_key.columns]
    names = ", ".join(map(session.quote, key))
    bounds = [] if after is None else [compared(session, key, ">", after)]
    where, values = _together(bounds)
    last = session.connection.exec_driver_sql(
        f"SELECT {names} FROM {session.quote(table.name)}{where and ' WHERE '}{where} "
        f"ORDER BY {names} LIMIT 1 OFFSET {STRETCH - 1}", values,
    ).one_or_none()  # fmt: skip
    if last is not None:
        bounds.append(compared(session, key, "<=", tuple(last)))
    where, values = _together(bounds)
    statement = f"{undoing(table, session.quote)}{where and ' AND '}{where}"
    session.connection.exec_driver_sql(statement, values)
    return None if last is None else tuple(last)


def _together(bounds: Sequence[tuple[str, Row]]) -> tuple[str, Row]:
    texts, values = [text for text, _ in bounds], [value for _, row in bounds for value in row]
    return " AND ".join(texts), tuple(values)
