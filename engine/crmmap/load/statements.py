"""SQL for many rows at once, given to the driver as plain tuples: no dict per row on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, Literal

from sqlalchemy.engine import Connection

from crmmap.errors import StoreError
from crmmap.load.dialects import Dialect, Insert

PARAMETERS = 10_000
"""Most parameters of one statement; PostgreSQL and SQLite stop at 32,766 or beyond."""

CHARACTERS = 200_000
"""Most characters in the texts among them; MySQL may take no more than 1 MiB."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A connection within a transaction, what its database is like, and its time of day.

    `now` is the database's clock, read when the transaction began.
    """

    connection: Connection
    dialect: Dialect
    now: datetime
    _numbers: Iterator[int] = field(default_factory=count)

    def temporary_name(self) -> str:
        """Return the name for a temporary table, another one each time."""
        return f"_crmmap_staged_{next(self._numbers)}"

    @property
    def moment(self) -> Any:
        """Return `now` as the driver must be given it."""
        return self.dialect.bind_time(self.now)

    def quote(self, name: str) -> str:
        """Return a name as it stands in a statement for the driver."""
        return self.connection.dialect.identifier_preparer.quote_identifier(name)

    def marks(self, count: int) -> str:
        return ", ".join([self.dialect.placeholder] * count)


def insert_statement(
    session: Session,
    table: str,
    *,
    columns: Sequence[str],
    key: Sequence[str] = (),
    changed: Sequence[str] = (),
) -> str:
    """Return an INSERT of one row: see `insertion`."""
    return insertion(session, table, columns=columns, key=key, changed=changed).text()


def insertion(
    session: Session,
    table: str,
    *,
    columns: Sequence[str],
    key: Sequence[str] = (),
    changed: Sequence[str] = (),
) -> Insert:
    """Return an INSERT; with `key`, rows already there are changed, or left alone (see Dialect)."""
    quote = session.quote
    return Insert(
        table=quote(table), names=tuple(map(quote, columns)), mark=session.dialect.placeholder,
        conflict=session.dialect.on_conflict([*map(quote, key)], [*map(quote, changed)])
        if key
        else "",
    )  # fmt: skip


def update_statement(
    session: Session, table: str, *, columns: Sequence[str], among: Sequence[str]
) -> str:
    """Return an UPDATE of the row whose `among` columns are as the last parameters say."""
    mark = session.dialect.placeholder
    given = ", ".join(f"{session.quote(name)} = {mark}" for name in columns)
    where = " AND ".join(f"{session.quote(name)} = {mark}" for name in among)
    return f"UPDATE {session.quote(table)} SET {given} WHERE {where}"  # noqa: S608  (names are quoted, values are parameters)


def compared(
    session: Session, key: Sequence[str], sign: Literal[">", "<="], values: Sequence[Any]
) -> tuple[str, tuple[Any, ...]]:
    """Return the condition of rows whose key comes after one, or no later, and its parameters.

    PostgreSQL searches an index by a comparison of rows, MySQL by those of columns alone, and each
    reads a whole table where it is given the other's: so both stand in it.
    """
    names, mark = [*map(session.quote, key)], session.dialect.placeholder
    told, given = f"({', '.join(names)}) {sign} ({session.marks(len(key))})", [*values]
    if len(key) == 1:
        return told, tuple(given)
    ways = []
    for at, name in enumerate(names):
        end = sign if at == len(key) - 1 else sign[:1]
        ways.append(" AND ".join([*(f"{n} = {mark}" for n in names[:at]), f"{name} {end} {mark}"]))
        given += values[: at + 1]
    return f"{told} AND ({' OR '.join(f'({way})' for way in ways)})", tuple(given)


def write(session: Session, statement: str, rows: Sequence[Row]) -> int:
    """Run a statement for each row and return how many rows of the table it wrote."""
    return session.connection.exec_driver_sql(statement, list(rows)).rowcount if rows else 0


def write_all(session: Session, statement: str, rows: Sequence[Row]) -> None:
    """Run a statement for each row. Raises StoreError where the database silently skipped one."""
    check_written(write(session, statement, rows), len(rows))


def check_written(written: int, given: int) -> None:
    """Raise StoreError where the database says that it wrote another number of rows."""
    if written != given:
        message = (
            f"the database took {given} rows without complaint, but wrote {written}: a trigger "
            "or rule on the table changes or drops rows. Remove it, or fill another table"
        )
        raise StoreError(message)


def move_in(
    session: Session,
    source: str,
    to: str,
    *,
    columns: Sequence[str],
    given: Mapping[str, Any],
    among: Sequence[str],
    rows: Sequence[Row],
) -> None:
    """Move the rows whose `among` columns equal one of `rows` from one table to another.

    They keep what is in `columns`, and are given the values of `given`.
    """
    quote = session.quote
    names = ", ".join(map(quote, columns))
    new = ", ".join(map(quote, given))
    for chunk in _chunks(rows, len(among)):
        where = _in(session, among, len(chunk))
        statement = (
            f"INSERT INTO {quote(to)} ({names}, {new}) "  # noqa: S608  (names are quoted, values are parameters)
            f"SELECT {names}, {session.marks(len(given))} FROM {quote(source)} WHERE {where}"
        )
        parameters = (*given.values(), *(value for row in chunk for value in row))
        session.connection.exec_driver_sql(statement, parameters)
    delete_in(session, source, among=among, rows=rows)


def delete_in(session: Session, table: str, *, among: Sequence[str], rows: Sequence[Row]) -> None:
    """Delete the rows whose `among` columns equal one of `rows`."""
    for chunk in _chunks(rows, len(among)):
        where = _in(session, among, len(chunk))
        statement = f"DELETE FROM {session.quote(table)} WHERE {where}"  # noqa: S608  (names are quoted, values are parameters)
        parameters = tuple(value for row in chunk for value in row)
        session.connection.exec_driver_sql(statement, parameters)


def _in(session: Session, among: Sequence[str], count: int) -> str:
    if len(among) == 1:
        return f"{session.quote(among[0])} IN ({session.marks(count)})"
    names = ", ".join(map(session.quote, among))
    rows = ", ".join([f"({session.marks(len(among))})"] * count)
    return f"({names}) IN {session.dialect.row_list.format(rows)}"


def _chunks(rows: Sequence[Row], width: int) -> Iterator[Sequence[Row]]:
    """Cut rows so that none of the statements made from them is too long."""
    size = max(1, PARAMETERS // width)
    start = length = 0
    for index, row in enumerate(rows):
        own = sum(len(value) for value in row if isinstance(value, str))
        if index - start == size or (length + own > CHARACTERS and index > start):
            yield rows[start:index]
            start, length = index, 0
        length += own
    if rows:
        yield rows[start:]
