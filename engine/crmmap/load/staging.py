"""Frames and tables moved and compared within the database, many rows at a time.

`pour` appends a frame's rows to a table by the database's own bulk path, `staged` pours them
into a temporary table, `merge` writes them by key, `matching` finds the rows of a table that
equal those of a frame, and `unlike` those of a frame that a table has otherwise. Their `columns`
are those that both sides have, typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import polars as pl
import sqlalchemy as sa

from crmmap.kinds.types import Integer
from crmmap.load.statements import Session, insertion
from crmmap.load.storage import from_driver
from crmmap.plan import Column

ROW = "#row"
"""The number of a row in the frame that it comes from, from 0."""

THERE = "#there"
"""1 where the table has a row of that key, else 0."""

_NUMBER = Column(name=ROW, type=Integer())
_THERE = Column(name=THERE, type=Integer())


def pour(session: Session, table: str, columns: Sequence[Column], rows: pl.DataFrame) -> int:
    """Append a frame's `columns` to a table; return how many rows the database wrote.

    A row whose key is there already is refused, like one that breaks any other rule of the
    table, and with it all of them.
    """
    if rows.is_empty():
        return 0
    insert = insertion(session, table, columns=_names(columns))
    return session.dialect.pour(session.connection, insert, columns, rows)


@contextmanager
def staged(
    session: Session, table: str, columns: Sequence[Column], rows: pl.DataFrame
) -> Iterator[str]:
    """Give the name of a temporary table of the rows' `columns` while the block runs.

    They have the types and collations that they have in `table`, but texts may be of any
    length, and all may be null: what does not fit is refused where it is written. Its first
    column, `#row`, numbers the rows. A rollback drops it, too.
    """
    name, quote = session.temporary_name(), session.quote
    number = sa.cast(sa.literal_column("0"), sa.BigInteger()).compile(session.connection)
    alike = [f"{_alike(session, column)} AS {quote(column.name)}" for column in columns]
    wanted = ", ".join([f"{number} AS {quote(ROW)}", *alike])
    empty = f"SELECT {wanted} FROM {quote(table)} LIMIT 0"  # noqa: S608  (names are quoted)
    for statement in session.dialect.temporary(session.quote(name), empty):
        session.connection.exec_driver_sql(statement)
    pour(session, name, [_NUMBER, *columns], rows.with_row_index(ROW))
    yield name
    drop = session.dialect.drop_temporary(session.quote(name))
    session.connection.exec_driver_sql(drop)


def _alike(session: Session, column: Column) -> str:
    stored = column.type.sql().dialect_impl(session.connection.dialect)
    name = session.quote(column.name)
    return session.dialect.unbounded(name) if isinstance(stored, sa.String) else name


def merge(
    session: Session,
    table: str,
    columns: Sequence[Column],
    rows: pl.DataFrame,
    *,
    key: Sequence[str],
) -> int:
    """Write rows by key: insert those that are new, change those that are there.

    Return how many the database wrote. No two rows have the same key.
    """
    if rows.is_empty():
        return 0
    changed = [name for name in _names(columns) if name not in key]
    insert = insertion(session, table, columns=_names(columns), key=key, changed=changed)
    if session.dialect.merges:
        return session.dialect.pour(session.connection, insert, columns, rows)
    names = ", ".join(insert.names)
    with staged(session, table, columns, rows) as source:
        statement = (
            f"INSERT INTO {insert.table} ({names}) SELECT {names} FROM {session.quote(source)} "  # noqa: S608  (names are quoted)
            f"ORDER BY {session.quote(ROW)} {insert.conflict}"
        )
        return session.connection.exec_driver_sql(statement).rowcount


def matching(
    session: Session,
    table: str,
    *,
    on: Sequence[Column],
    wanted: Sequence[Column],
    rows: pl.DataFrame,
) -> pl.DataFrame:
    """Return the rows of a table whose `on` columns equal those of one of `rows`.

    The frame has `#row`, the number of the equal one among `rows` (Int64), and the `wanted`
    columns. A table's row comes once for each that equals it; null equals nothing.
    """
    compiler = session.connection.dialect
    if rows.is_empty():
        return from_driver([], [_NUMBER, *wanted], compiler)
    quote = session.quote
    with staged(session, table, on, rows) as source:
        names = [f"source.{quote(ROW)}", *(f"found.{name}" for name in _quoted(session, wanted))]
        statement = (
            f"SELECT {', '.join(names)} FROM {quote(source)} source "  # noqa: S608  (names are quoted)
            f"JOIN {quote(table)} found ON {equal(session, 'source', 'found', on)}"
        )
        found = session.connection.exec_driver_sql(statement).all()
    return from_driver(found, [_NUMBER, *wanted], compiler)


def unlike(
    session: Session,
    table: str,
    *,
    key: Sequence[Column],
    by: Sequence[Column],
    wanted: Sequence[Column],
    rows: pl.DataFrame,
    moreover: str,
    values: tuple[object, ...],
) -> pl.DataFrame:
    """Return what a table has for those rows of a frame that it does not have just so.

    It has one just so where the row with its `key` equals it in the columns `by`, and is as the
    condition `moreover` says of it (as `found`), with its parameters. The frame has `#row`, the
    number of the row (Int64), `#there`, and the `wanted` columns of the table's row.
    """
    compiler = session.connection.dialect
    given = [_NUMBER, _THERE, *wanted]
    if rows.is_empty():
        return from_driver([], given, compiler)
    quote = session.quote
    with staged(session, table, [*key, *by], rows) as source:
        # Not IS NOT TRUE: SQLite takes that for a column `true`, where there is one, and MariaDB
        # before 10.4.7 loses rows that the table does not have (MDEV-19790).
        there = f"CASE WHEN found.{quote(key[0].name)} IS NULL THEN 0 ELSE 1 END"
        names = ", ".join(f"found.{name}" for name in _quoted(session, wanted))
        statement = (
            f"SELECT source.{quote(ROW)}, {there}, {names} FROM {quote(source)} source "  # noqa: S608  (names are quoted, values are parameters)
            f"LEFT JOIN {quote(table)} found ON {equal(session, 'source', 'found', key)} "
            f"WHERE CASE WHEN {equal(session, 'source', 'found', by)} AND {moreover} "
            "THEN 0 ELSE 1 END = 1"
        )
        found = session.connection.exec_driver_sql(statement, values).all()
    return from_driver(found, given, compiler)


def equal(session: Session, one: str, other: str, columns: Iterable[Column]) -> str:
    """Return the condition that two tables, by their (quoted) names, have the same in `columns`."""
    names = _quoted(session, columns)
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in names)


def _names(columns: Iterable[Column]) -> list[str]:
    return [column.name for column in columns]


def _quoted(session: Session, columns: Iterable[Column]) -> list[str]:
    return [*map(session.quote, _names(columns))]
