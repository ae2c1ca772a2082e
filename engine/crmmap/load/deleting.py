"""Rows of a table that another stream fills, deleted by a stream's records, or by their absence."""

from __future__ import annotations

import polars as pl

from crmmap.load.accounts import OUTCOME, REFUSED_SCHEMA, Mark, Written
from crmmap.load.statements import Session, write
from crmmap.load.storage import to_driver
from crmmap.load.tables import DELETED_AT, RUN_ID, SYNCED_AT
from crmmap.load.upsert import GONE, STORED, STORED_RUN, check_keys, end, is_older, stored_rows
from crmmap.plan import Target
from crmmap.values import INDEX, PAGE


def delete(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Delete the rows with the keys of `rows`: `updated`, or `unchanged` where there is none.

    A row is a `duplicate` if what is stored is newer, by the versions or by the runs.
    """
    check_keys(target, rows)
    told = _with_stored(session, target, rows)
    nothing = pl.col(STORED).is_null() | pl.col(GONE)
    older = _of_later_run(mark) if target.version is None else is_older(target.version)
    outcome = (
        pl.when(nothing)
        .then(pl.lit("unchanged"))
        .when(older)
        .then(pl.lit("duplicate"))
        .otherwise(pl.lit("updated"))
    )
    told = told.with_columns(outcome.alias(OUTCOME))
    ended = end(session, target, told.filter(pl.col(OUTCOME) == "updated"), mark)
    outcomes = told.join(ended.refused, on=[PAGE, INDEX], how="anti", maintain_order="left")
    return Written(
        outcomes=outcomes.select(PAGE, INDEX, OUTCOME), refused=ended.refused,
        deleted=ended.deleted,
    )  # fmt: skip


def sweep(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Take note that the rows are there: one that was deleted before the read began is no longer.

    No other is written. Which are not there shows when the read has ended.
    """
    check_keys(target, rows)
    told = _with_stored(session, target, rows)
    back = told.filter(pl.col(GONE) & ~_of_later_run(mark))
    back = back.filter(_undeleted(session, target, back, mark))
    updated = back.select(PAGE, INDEX, pl.lit("updated").alias(OUTCOME))
    rest = told.select(PAGE, INDEX, pl.lit("unchanged").alias(OUTCOME))
    rest = rest.join(updated, on=[PAGE, INDEX], how="anti", maintain_order="left")
    return Written(outcomes=pl.concat([updated, rest]), refused=pl.DataFrame(schema=REFUSED_SCHEMA))


def _of_later_run(mark: Mark) -> pl.Expr:
    return pl.col(STORED_RUN).is_in(list(mark.older_than))


def _with_stored(session: Session, target: Target, rows: pl.DataFrame) -> pl.DataFrame:
    stored = stored_rows(session, target, among=target.key, rows=rows)
    return rows.join(stored, on=list(target.key), how="left", maintain_order="left")


def _undeleted(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> list[bool]:
    """Take the mark off rows that have it since before the read began; say which had it."""
    quote, place = session.quote, session.marks(1)
    where = " AND ".join(f"{quote(name)} = {place}" for name in target.key)
    statement = (
        f"UPDATE {quote(target.table)} SET {quote(DELETED_AT)} = NULL, "  # noqa: S608  (names are quoted, values are parameters)
        f"{quote(SYNCED_AT)} = {place}, {quote(RUN_ID)} = {place} "
        f"WHERE {where} AND {quote(SYNCED_AT)} <= {place}"
    )
    key = to_driver([target.column(name) for name in target.key], session.connection.dialect)
    began = session.dialect.bind_time(mark.read.began)
    return [
        write(session, statement, [(session.moment, mark.run_id, *cells, began)]) == 1
        for cells in rows.select(key).rows()
    ]
