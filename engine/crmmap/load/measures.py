"""What a table holds now: how many rows, and how late the latest is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from crmmap.load.accounts import Read
from crmmap.load.statements import Session
from crmmap.load.storage import from_driver
from crmmap.load.tables import DELETED_AT, RUN_ID, holding
from crmmap.plan import Target


def count_rows(session: Session, target: Target, read: Read) -> int:
    """Return how many rows hold now: not deleted ones, nor former versions."""
    return int(_asked(session, target, read, "COUNT(*)"))


def latest(session: Session, target: Target, read: Read, column: str) -> datetime | None:
    """Return the latest value of a date or datetime among the rows that hold now; None of none.

    A day lasts until its end.
    """
    found = _asked(session, target, read, f"MAX({session.quote(column)})")
    told = target.column(column)
    value = from_driver([(found,)], [told], session.connection.dialect).item()
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC) + timedelta(days=1)
    return None


def _asked(session: Session, target: Target, read: Read, what: str) -> Any:
    """Ask the table; where rows are to be replaced at the end of a read, those that it gathered."""
    quote, table, only = session.quote, target.table, holding(target)
    if target.next is not None:
        table, only = target.next.table, {RUN_ID: read.name}
    conditions = [f"{quote(name)} = {session.marks(1)}" for name in only]
    conditions += [f"{quote(DELETED_AT)} IS NULL"] if target.marks else []
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    statement = f"SELECT {what} FROM {quote(table)}{where}"  # noqa: S608  (names are quoted, values are parameters)
    return session.connection.exec_driver_sql(statement, tuple(only.values())).scalar_one()
