"""Rows that vanish: those that a complete read did not meet.

What a read has met is kept beside the table, in `crmmap_seen_TABLE` its keys, and in
`crmmap_asked_TABLE` the rows of another stream for which it was asked, where rows vanish by those.
Both are filled in the batches' own transactions and empty once the read has ended.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import sqlalchemy as sa

from crmmap.kinds.stored import WHOLE
from crmmap.kinds.types import Integer, Text
from crmmap.kinds.writes import History
from crmmap.load import ledger
from crmmap.load.accounts import Mark, Read
from crmmap.load.aside import READ_BY
from crmmap.load.constraints import short_name
from crmmap.load.halving import Halving
from crmmap.load.staging import ROW, matching, merge
from crmmap.load.statements import Session, insert_statement, write
from crmmap.load.storage import to_driver
from crmmap.load.tables import (
    CURRENT,
    DELETED_AT,
    ROW_HASH,
    RUN_ID,
    SYNCED_AT,
    VALID_FROM,
    VALID_TO,
    table_of,
)
from crmmap.plan import Column, Target
from crmmap.values import NOTHING, Counts

READ = "_crmmap_read"
PARENT = "parent"
COMPLETE = "complete"

UNNOTED = "a key was met that the store can't keep"
"""Why records may be missing."""


def side_tables(target: Target) -> tuple[sa.Table, ...]:
    """Return the tables that remember what a read of the target has met."""
    seen = _side_table("seen", target, [*target.key], {})
    if target.per is None:
        return (seen,)
    return seen, _side_table("asked", target, [target.per], {target.per: PARENT}, _complete())


def _side_table(
    what: str, target: Target, names: list[str], called: Mapping[str, str], *more: sa.Column[int]
) -> sa.Table:
    of = table_of(target).columns
    key = [
        sa.Column(called.get(name, name), of[name].type, primary_key=True, autoincrement=False)
        for name in names
    ]
    read = sa.Column(READ, ledger.CURSORS.c.stream.type, primary_key=True)
    name = short_name(f"crmmap_{what}_{target.table}")
    comment = f"What the read of {target.table} that is under way has met."
    return sa.Table(
        name, sa.MetaData(), read, *key, *more,
        comment=comment, sqlite_strict=True, info={READ_BY: READ},
    )  # fmt: skip


def _complete() -> sa.Column[int]:
    return sa.Column(COMPLETE, WHOLE, comment="0 where records may be missing, else 1.")


# --- while it reads -----------------------------------------------------------------------------


def note_met(
    session: Session, target: Target, mark: Mark, keys: pl.DataFrame, asked: Mapping[str, bool]
) -> str:
    """Note what a batch has met: the key columns of its records, and what it was asked for.

    Return why not all was noted, in words; empty where all was.
    """
    tables = side_tables(target)
    if mark.batch_seq == 0 and not mark.resumed:
        for table in tables:
            _forget_abandoned(session, table.name)
    columns = [Column(name=READ, type=Text()), *map(target.column, target.key)]
    met = keys.unique().select(pl.lit(mark.read.name).alias(READ), *target.key)

    def write_some(some: pl.DataFrame) -> int:
        merge(session, tables[0].name, columns, some, key=[READ, *target.key])
        return len(some)  # those that were noted before are not written

    refused = Halving(session=session, target=target, write=write_some).run(met)
    if target.per is not None:
        doubtful = dict.fromkeys(asked, False) if refused else asked
        _note_asked(session, target, mark.read, doubtful)
    return UNNOTED if refused else ""


def _note_asked(session: Session, target: Target, read: Read, asked: Mapping[str, bool]) -> None:
    table = side_tables(target)[1].name
    per = target.column(target.per or "")
    texts = pl.DataFrame({per.name: [*asked], COMPLETE: [*map(int, asked.values())]})
    typed = texts.with_columns(per.type.read(pl.col(per.name).cast(pl.String)).alias(per.name))
    cells = typed.select(
        pl.lit(read.name).alias(READ), *to_driver([per], session.connection.dialect), COMPLETE
    )
    columns = [READ, PARENT, COMPLETE]
    # What is not complete once stays so.
    for complete, changed in ((1, ()), (0, (COMPLETE,))):
        statement = insert_statement(
            session, table, columns=columns, key=columns[:2], changed=changed
        )
        write(session, statement, cells.filter(pl.col(COMPLETE) == complete).rows())


def _forget_abandoned(session: Session, table: str) -> None:
    """Delete what reads have met that nobody will go on with."""
    quote = session.quote
    known = f"SELECT read_name FROM {quote(ledger.CURSORS.name)} WHERE read_name IS NOT NULL"  # noqa: S608  (names are quoted)
    statement = f"DELETE FROM {quote(table)} WHERE {quote(READ)} NOT IN ({known})"  # noqa: S608  (names are quoted)
    session.connection.exec_driver_sql(statement)


# --- once it has ended --------------------------------------------------------------------------


def vanish(session: Session, target: Target, mark: Mark) -> Counts:
    """Delete or end the rows that a read has not met, unless it has a gap; count them."""
    if not target.vanishing:
        return NOTHING
    read = mark.read
    count = 0 if read.gap else _vanished(session, target, mark)
    for table in side_tables(target):
        quote, place = session.quote, session.marks(1)
        statement = f"DELETE FROM {quote(table.name)} WHERE {quote(READ)} = {place}"  # noqa: S608  (names are quoted, values are parameters)
        session.connection.exec_driver_sql(statement, (read.name,))
    return Counts(deleted=count)


def unmet(session: Session, target: Target, read: Read, keys: pl.DataFrame) -> pl.Series:
    """Return the numbers of those keys that a read which has ended has not met, and should have."""
    seen, *asked = side_tables(target)
    place = "#place"
    rows = keys.with_row_index(place).drop_nulls().with_columns(pl.lit(read.name).alias(READ))
    if asked:
        rows = _asked_for(session, target, asked[0].name, rows)
    columns = [Column(name=READ, type=Text()), *map(target.column, target.key)]
    met = matching(session, seen.name, on=columns, wanted=[], rows=rows)[ROW]
    return rows.with_row_index(ROW).filter(~pl.col(ROW).is_in(met.implode()))[place]


def _asked_for(session: Session, target: Target, table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return those of the rows, by their keys, of whose parent the read had all."""
    if target.per not in target.key:
        return rows.clear()
    columns = (
        Column(name=READ, type=Text()),
        Column(name=PARENT, type=target.column(target.per).type),
        Column(name=COMPLETE, type=Integer()),
    )
    asked = rows.select(READ, pl.col(target.per).alias(PARENT), pl.lit(1).alias(COMPLETE))
    return rows[matching(session, table, on=columns, wanted=[], rows=asked)[ROW]]


def _vanished(session: Session, target: Target, mark: Mark) -> int:
    condition, values = _unmet(session, target, mark.read)
    quote, place = session.quote, session.marks(1)
    table = quote(target.table)
    if isinstance(target.write, History):
        start = quote(VALID_FROM)
        # A version may begin later than now, by another clock.
        until = f"CASE WHEN {start} > {place} THEN {start} ELSE {place} END"
        changed = f"{quote(VALID_TO)} = {until}, {quote(CURRENT)} = {place}"
        changed += "".join(f", {quote(name)} = {place}" for name in (SYNCED_AT, RUN_ID))
        statement = f"UPDATE {table} SET {changed} WHERE {quote(CURRENT)} = {place} AND {condition}"  # noqa: S608  (names are quoted, values are parameters)
        given = (session.moment, session.moment, False, session.moment, mark.run_id, True)
        return session.connection.exec_driver_sql(statement, (*given, *values)).rowcount
    if not target.marks:
        statement = f"DELETE FROM {table} WHERE {condition}"  # noqa: S608  (names are quoted, values are parameters)
        return session.connection.exec_driver_sql(statement, values).rowcount
    changed = ", ".join(f"{quote(name)} = {place}" for name in (DELETED_AT, SYNCED_AT, RUN_ID))
    statement = f"UPDATE {table} SET {changed} WHERE {condition}"  # noqa: S608  (names are quoted, values are parameters)
    values = (session.moment, session.moment, mark.run_id, *values)
    return session.connection.exec_driver_sql(statement, values).rowcount


def _unmet(session: Session, target: Target, read: Read) -> tuple[str, tuple[object, ...]]:
    """Return the condition of rows that the source no longer has, and its parameters.

    A row that was written since the read began is newer than what it saw, and a bare parent was
    never at the source.
    """
    quote, mark = session.quote, session.marks(1)
    table, tables = quote(target.table), side_tables(target)
    same = " AND ".join(
        f"{quote('seen')}.{quote(name)} = {table}.{quote(name)}" for name in target.key
    )
    met = (
        f"SELECT 1 FROM {quote(tables[0].name)} {quote('seen')} "  # noqa: S608  (names are quoted, values are parameters)
        f"WHERE {quote(READ)} = {mark} AND {same}"
    )
    conditions = [
        f"{quote(SYNCED_AT)} <= {mark}",
        f"{quote(ROW_HASH)} IS NOT NULL",
        f"NOT EXISTS ({met})",
    ]
    values: tuple[object, ...] = (session.dialect.bind_time(read.began), read.name)
    if target.marks:
        conditions.append(f"{quote(DELETED_AT)} IS NULL")
    if target.per is not None:
        conditions.append(
            f"{quote(target.per)} IN (SELECT {quote(PARENT)} FROM {quote(tables[1].name)} "  # noqa: S608  (names are quoted, values are parameters)
            f"WHERE {quote(READ)} = {mark} AND {quote(COMPLETE)} = 1)"
        )
        values = (*values, read.name)
    return " AND ".join(conditions), values
