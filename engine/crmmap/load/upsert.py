"""Rows into a table by key: what each row comes to, and which rows are written at all."""

from __future__ import annotations

from functools import partial

import polars as pl

from crmmap.errors import StoreError
from crmmap.load.accounts import OUTCOME, Mark, Written
from crmmap.load.dialects import Refusal
from crmmap.load.family import parents_first
from crmmap.load.halving import Halving, refused_rows
from crmmap.load.statements import Session, insert_statement, select_in
from crmmap.load.storage import from_driver, to_driver
from crmmap.load.tables import AUDIT, ROW_HASH, RUN_ID
from crmmap.plan import Target
from crmmap.plan.content import HASH, content_hashes
from crmmap.values import INDEX, PAGE

WRITING = ("inserted", "updated")

_STORED = "#stored"
_STORED_RUN = "#stored_run"
_STORED_HASH = "#stored_hash"
_STORED_VERSION = "#stored_version"


def upsert(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Write rows by key and tell what each came to; unchanged rows are not written.

    No two rows have the same key. A row older than the stored one, by their versions or by the
    runs that read them, is not written, and is a duplicate.
    """
    _check_keys(target, rows)
    told = judged(session, target, rows, mark)
    writing = told.filter(pl.col(OUTCOME).is_in(WRITING))
    write = partial(_write, session, target, run_id=mark.run_id)
    refused = refused_rows(writing, parents_first(session, target, writing, write))
    outcomes = told.join(refused, on=[PAGE, INDEX], how="anti", maintain_order="left")
    return Written(outcomes=outcomes.select(PAGE, INDEX, OUTCOME), refused=refused)


def judged(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> pl.DataFrame:
    """Return the rows with their digest and outcome, by comparing them with the stored ones.

    Outcomes are `inserted`, `updated`, `unchanged` and `duplicate` (written by
    this run already, or older than the stored version). Row counts of drivers
    can't tell them apart: an upsert that changes nothing counts like one that does.
    """
    hashed = rows.with_columns(content_hashes(rows, target.columns))
    stored = _stored(session, target, rows)
    joined = hashed.join(stored, on=list(target.key), how="left", maintain_order="left")
    return joined.with_columns(_outcome(target, mark).alias(OUTCOME)).select(
        *rows.columns, HASH, OUTCOME
    )


def _stored(session: Session, target: Target, rows: pl.DataFrame) -> pl.DataFrame:
    """Return key, run, digest and version of the rows already there."""
    compiler = session.connection.dialect
    key = [target.column(name) for name in target.key]
    typed = key if target.version is None else [*key, target.column(target.version)]
    found = select_in(
        session,
        target.table,
        wanted=[*(column.name for column in typed), RUN_ID, ROW_HASH],
        among=target.key,
        rows=rows.select(to_driver(key, compiler)).rows(),
    )
    frame = from_driver([row[: len(key)] for row in found], key, compiler)
    version = from_driver([row[len(key) : -2] for row in found], typed[len(key) :], compiler)
    return frame.with_columns(
        pl.lit(value=True).alias(_STORED),
        pl.Series(_STORED_RUN, [row[-2] for row in found], dtype=pl.String),
        pl.Series(_STORED_HASH, [row[-1] for row in found], dtype=pl.Int64),
        *(series.alias(_STORED_VERSION) for series in version),
    )


def _outcome(target: Target, mark: Mark) -> pl.Expr:
    same = pl.col(HASH) == pl.col(_STORED_HASH)
    own = pl.col(_STORED_RUN) == mark.run_id
    outcome = (
        pl.when(pl.col(_STORED).is_null())
        .then(pl.lit("inserted"))
        .when(same & own)
        .then(pl.lit("duplicate"))
        .when(same)
        .then(pl.lit("unchanged"))
    )
    if target.version is not None:
        outcome = outcome.when(_loses(target.version, own)).then(pl.lit("duplicate"))
    elif mark.older_than:
        # A bare parent, which has no digest, is newer than nothing.
        later = (
            pl.col(_STORED_RUN).is_in(list(mark.older_than)) & pl.col(_STORED_HASH).is_not_null()
        )
        outcome = outcome.when(later).then(pl.lit("duplicate"))
    return outcome.otherwise(pl.lit("updated"))


def _loses(version: str, own: pl.Expr) -> pl.Expr:
    """Say whether the stored row's version beats the new one. Null is the oldest."""
    new, stored = pl.col(version), pl.col(_STORED_VERSION)
    older = (new < stored) | (new.is_null() & stored.is_not_null())
    # Within a run, which of two equal versions wins must not depend on their order.
    tie = new.eq_missing(stored) & own & (pl.col(HASH) <= pl.col(_STORED_HASH))
    return older | tie


def _write(
    session: Session, target: Target, rows: pl.DataFrame, *, run_id: str
) -> list[tuple[int, Refusal]]:
    """Write judged rows by key; return the index and reason of those that the database refuses."""
    columns = [*target.names, *AUDIT]
    changed = [name for name in columns if name not in target.key]
    statement = insert_statement(
        session, target.table, columns=columns, key=target.key, changed=changed
    )
    compiler = session.connection.dialect
    cells = rows.select(
        *to_driver(target.columns, compiler), pl.lit(run_id).alias(AUDIT[0]), HASH
    ).rows()
    moment = session.moment
    tuples = [(*row[:-1], moment, row[-1]) for row in cells]
    return Halving(session=session, statement=statement, target=target).write(tuples)


def _check_keys(target: Target, rows: pl.DataFrame) -> None:
    """Raise StoreError where a key is null: SQLite would make one up for an integer key."""
    for name in target.key:
        if rows[name].null_count():
            message = f"table '{target.table}': rows without a value in the key column '{name}'"
            raise StoreError(message)
