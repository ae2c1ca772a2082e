"""Rows into a table by key: what each row comes to, and which rows are written at all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from crmmap.errors import StoreError
from crmmap.load.accounts import OUTCOME, Mark, Written
from crmmap.load.dialects import Refusal
from crmmap.load.family import parents_first
from crmmap.load.halving import Halving, refused_rows
from crmmap.load.statements import Session, insert_statement, select_in
from crmmap.load.storage import from_driver, to_driver
from crmmap.load.tables import AUDIT, ROW_HASH, RUN_ID, primary_key
from crmmap.plan import Column, Target
from crmmap.plan.content import HASH, content_hashes
from crmmap.values import INDEX, PAGE

WRITING = ("inserted", "updated")

STORED_HASH = "#stored_hash"
STORED_VERSION = "#stored_version"
STORED_RUN = "#stored_run"
_STORED = "#stored"


def upsert(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Write rows by key and tell what each came to; unchanged rows are not written.

    No two rows have the same key. A row older than the stored one, by their versions or by the
    runs that read them, is not written, and is a duplicate; so is every other than the stored
    one where the first is kept.
    """
    check_keys(target, rows)
    stored = stored_rows(session, target, among=target.key, rows=rows)
    return written(session, target, judged(target, rows, stored, mark), mark)


def written(session: Session, target: Target, told: pl.DataFrame, mark: Mark) -> Written:
    """Write those judged rows that are inserted or updated."""
    writing = told.filter(pl.col(OUTCOME).is_in(WRITING))
    write = partial(write_by_key, session, target, run_id=mark.run_id)
    refused = refused_rows(writing, parents_first(session, target, writing, write))
    outcomes = told.join(refused, on=[PAGE, INDEX], how="anti", maintain_order="left")
    return Written(outcomes=outcomes.select(PAGE, INDEX, OUTCOME), refused=refused)


def judged(target: Target, rows: pl.DataFrame, stored: pl.DataFrame, mark: Mark) -> pl.DataFrame:
    """Return the rows with their digest and outcome, by comparing them with the stored ones.

    Outcomes are `inserted`, `updated`, `unchanged` and `duplicate` (written by
    this run already, or older than the stored version). Row counts of drivers
    can't tell them apart: an upsert that changes nothing counts like one that does.
    """
    hashed = rows.with_columns(content_hashes(rows, target.columns))
    joined = hashed.join(stored, on=list(target.key), how="left", maintain_order="left")
    return joined.with_columns(_outcome(target, mark).alias(OUTCOME)).select(
        *rows.columns, HASH, OUTCOME
    )


def stored_rows(
    session: Session,
    target: Target,
    *,
    among: Sequence[str],
    rows: pl.DataFrame,
    wanted: Sequence[str] = (),
) -> pl.DataFrame:
    """Return those rows of a table whose columns `among` are as in one of `rows`.

    The frame has the key and the columns `wanted`, and each row's run, digest and version.
    """
    compiler = session.connection.dialect
    version = () if target.version is None else (target.version,)
    names = dict.fromkeys((*target.key, *wanted))
    columns = [target.column(name) for name in dict.fromkeys((*names, *version))]
    asked = [target.column(name) for name in among]
    found = select_in(
        session,
        target.table,
        wanted=[*(column.name for column in columns), RUN_ID, ROW_HASH],
        among=among,
        rows=rows.select(to_driver(asked, compiler)).rows(),
    )
    frame = from_driver([row[:-2] for row in found], columns, compiler)
    return frame.select(
        *names,
        pl.lit(value=True).alias(_STORED),
        pl.Series(STORED_RUN, [row[-2] for row in found], dtype=pl.String),
        pl.Series(STORED_HASH, [row[-1] for row in found], dtype=pl.Int64),
        *(pl.col(name).alias(STORED_VERSION) for name in version),
    )


def _outcome(target: Target, mark: Mark) -> pl.Expr:
    same = pl.col(HASH) == pl.col(STORED_HASH)
    own = pl.col(STORED_RUN) == mark.run_id
    outcome = (
        pl.when(pl.col(_STORED).is_null())
        .then(pl.lit("inserted"))
        .when(same & own)
        .then(pl.lit("duplicate"))
        .when(same)
        .then(pl.lit("unchanged"))
    )
    if target.first:  # a bare parent is no record yet
        outcome = outcome.when(pl.col(STORED_HASH).is_not_null()).then(pl.lit("duplicate"))
    if target.version is not None:
        outcome = outcome.when(_loses(target.version, own)).then(pl.lit("duplicate"))
    elif mark.older_than:
        # A bare parent, which has no digest, is newer than nothing.
        later = pl.col(STORED_RUN).is_in(list(mark.older_than)) & pl.col(STORED_HASH).is_not_null()
        outcome = outcome.when(later).then(pl.lit("duplicate"))
    return outcome.otherwise(pl.lit("updated"))


def _loses(version: str, own: pl.Expr) -> pl.Expr:
    """Say whether the stored row's version beats the new one. Null is the oldest."""
    new, stored = pl.col(version), pl.col(STORED_VERSION)
    older = (new < stored) | (new.is_null() & stored.is_not_null())
    # Within a run, which of two equal versions wins must not depend on their order.
    tie = new.eq_missing(stored) & own & (pl.col(HASH) <= pl.col(STORED_HASH))
    return older | tie


def write_by_key(
    session: Session,
    target: Target,
    rows: pl.DataFrame,
    *,
    run_id: str,
    beside: Sequence[Column] = (),
) -> list[tuple[int, Refusal]]:
    """Write judged rows by key; return the index and reason of those that the database refuses.

    `beside` are columns that rows have beside the mapping's.
    """
    told = (*target.columns, *beside)
    columns = [*(column.name for column in told), *AUDIT]
    key = primary_key(target)
    changed = [name for name in columns if name not in key]
    statement = insert_statement(session, target.table, columns=columns, key=key, changed=changed)
    compiler = session.connection.dialect
    cells = rows.select(*to_driver(told, compiler), pl.lit(run_id).alias(AUDIT[0]), HASH).rows()
    moment = session.moment
    tuples = [(*row[:-1], moment, row[-1]) for row in cells]
    return Halving(session=session, statement=statement, target=target).write(tuples)


def check_keys(target: Target, rows: pl.DataFrame) -> None:
    """Raise StoreError where a key is null: SQLite would make one up for an integer key."""
    for name in target.key:
        if rows[name].null_count():
            message = f"table '{target.table}': rows without a value in the key column '{name}'"
            raise StoreError(message)
