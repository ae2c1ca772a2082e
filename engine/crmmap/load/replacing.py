"""Rows that replace all others at the end of their read: gathered beside the table until then."""

# ruff: noqa: S608  (names are quoted, values are parameters)

from __future__ import annotations

from dataclasses import replace

import polars as pl

from crmmap.load.accounts import OUTCOME, Mark, Written
from crmmap.load.statements import Session, delete_in
from crmmap.load.storage import to_driver
from crmmap.load.tables import ROW_HASH, RUN_ID, SYNCED_AT
from crmmap.load.upsert import STORED_RUN, check_keys, judged, stored_rows, upsert, written
from crmmap.plan import Target
from crmmap.values import NOTHING, Counts

GATHERED = {"inserted": "deferred", "updated": "duplicate"}
"""What a row comes to that is written beside the table: a second one of its key takes the place of
the first."""


def gather(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Write rows beside the table, until `swap`. Those of earlier reads are as if not there.

    What is no part of a read is written into the table itself.
    """
    if mark.apart:
        return upsert(session, target, rows, mark)
    check_keys(target, rows)
    gathered, read = _next(target), replace(mark, run_id=mark.read.name)
    stored = stored_rows(session, gathered, among=target.key, rows=rows)
    ours = pl.col(STORED_RUN) == read.run_id
    key = [target.column(name) for name in target.key]
    earlier = stored.filter(~ours).select(to_driver(key, session.connection.dialect)).rows()
    delete_in(session, gathered.table, among=target.key, rows=earlier)
    done = written(session, gathered, judged(gathered, rows, stored.filter(ours), read), read)
    outcomes = done.outcomes.with_columns(pl.col(OUTCOME).replace(GATHERED))
    return replace(done, outcomes=outcomes)


def swap(session: Session, target: Target, mark: Mark) -> Counts:
    """Let the table hold what was gathered, if that is all that there is; return what it came to.

    The table is not made anew: so its grants, views and constraints stay, and readers see the old
    rows until the transaction ends.
    """
    if mark.read.gap:
        return NOTHING
    quote, sign = session.quote, session.dialect.placeholder
    old, new = quote(target.table), quote(_next(target).table)
    same = " AND ".join(f"{old}.{quote(name)} = {new}.{quote(name)}" for name in target.key)
    digest = quote(ROW_HASH)
    changed = f"({old}.{digest} IS NULL OR {old}.{digest} <> {new}.{digest})"  # null: a bare parent
    given = {quote(name): f"{new}.{quote(name)}" for name in (*target.names, ROW_HASH)}
    given |= {quote(RUN_ID): sign, quote(SYNCED_AT): sign}
    stamp = (mark.run_id, session.moment)

    def run(statement: str, *parameters: object) -> int:
        return session.connection.exec_driver_sql(statement, parameters).rowcount

    run(f"DELETE FROM {new} WHERE {quote(RUN_ID)} <> {sign}", mark.read.name)
    deleted = run(f"DELETE FROM {old} WHERE NOT EXISTS (SELECT 1 FROM {new} WHERE {same})")
    updated = run(session.dialect.update_from(old, new, same, given, changed), *stamp)
    inserted = run(
        f"INSERT INTO {old} ({', '.join(given)}) SELECT {', '.join(given.values())} FROM {new} "
        f"WHERE NOT EXISTS (SELECT 1 FROM {old} WHERE {same})", *stamp,
    )  # fmt: skip
    count = run(f"DELETE FROM {new}")
    return Counts(
        inserted=inserted, updated=updated, unchanged=count - inserted - updated, deleted=deleted,
        deferred=-count,
    )  # fmt: skip


def _next(target: Target) -> Target:
    assert target.next is not None  # noqa: S101  (only rows that are to be replaced come here)
    return target.next
