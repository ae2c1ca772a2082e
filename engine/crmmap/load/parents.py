"""The rows of a table in the order of their keys, as texts: a stream may be read for each.

Rows that are marked as deleted are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from crmmap.load.statements import Session, compared
from crmmap.load.storage import from_driver, to_driver
from crmmap.load.tables import DELETED_AT, SYNCED_AT, holding
from crmmap.plan import Target

Row = dict[str, str | None]


def rows_after(
    session: Session,
    *,
    target: Target,
    names: Sequence[str],
    after: Sequence[str] | None,
    count: int,
    since: str | None,
) -> list[Row]:
    """Return at most `count` rows of the target after a key; see `Store.parents`."""
    wanted = dict.fromkeys((*names, *target.key))
    columns = [target.column(name) for name in wanted]
    where, values = _conditions(session, target, after, since)
    quote = session.quote
    text = (
        f"SELECT {', '.join(map(quote, wanted))} FROM {quote(target.table)}{where} "  # noqa: S608  (names are quoted, values are parameters)
        f"ORDER BY {', '.join(map(quote, target.key))} LIMIT {int(count)}"
    )
    found = session.connection.exec_driver_sql(text, tuple(values)).all()
    typed = from_driver(found, columns, session.connection.dialect)
    shown = typed.select(
        column.type.show(pl.col(column.name)).alias(column.name) for column in columns
    )
    return shown.to_dicts()


def distinct_values(session: Session, *, target: Target, column: str, count: int) -> list[str]:
    """Return the values of a column, each once, as texts in their order; see `Store.distinct`."""
    quote, told, only = session.quote, target.column(column), holding(target)
    held = (f"{quote(name)} = {session.marks(1)}" for name in only)
    conditions = [f"{quote(column)} IS NOT NULL", *_live(session, target), *held]
    text = (
        f"SELECT DISTINCT {quote(column)} FROM {quote(target.table)} "  # noqa: S608  (names are quoted)
        f"WHERE {' AND '.join(conditions)} ORDER BY {quote(column)} LIMIT {int(count)}"
    )
    found = session.connection.exec_driver_sql(text, tuple(only.values())).all()
    typed = from_driver(found, [told], session.connection.dialect)
    return list(typed.select(told.type.show(pl.col(column))).to_series())


def _live(session: Session, target: Target) -> list[str]:
    return [f"{session.quote(DELETED_AT)} IS NULL"] if target.marks else []


def _conditions(
    session: Session, target: Target, after: Sequence[str] | None, since: str | None
) -> tuple[str, list[Any]]:
    quote, only = session.quote, holding(target)
    conditions = [
        *_live(session, target),
        *(f"{quote(name)} = {session.marks(1)}" for name in only),
    ]
    values: list[Any] = [*only.values()]
    if after is not None:
        beyond, given = compared(session, target.key, ">", _key_values(session, target, after))
        conditions.append(beyond)
        values += given
    if since is not None:
        conditions.append(f"{quote(SYNCED_AT)} >= {session.marks(1)}")
        values.append(session.dialect.bind_time(datetime.fromisoformat(since)))
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _key_values(session: Session, target: Target, after: Sequence[str]) -> tuple[Any, ...]:
    columns = [target.column(name) for name in target.key]
    texts = pl.DataFrame([list(after)], schema=dict.fromkeys(target.key, pl.String), orient="row")
    typed = texts.select(
        column.type.read(pl.col(column.name)).alias(column.name) for column in columns
    )
    return typed.select(to_driver(columns, session.connection.dialect)).row(0)
