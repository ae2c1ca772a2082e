"""Rows into a table by key: what each row comes to, and which rows are written at all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from crmmap.errors import StoreError
from crmmap.kinds.types import Datetime
from crmmap.load.accounts import OUTCOME, Mark, Written
from crmmap.load.dialects import Refusal
from crmmap.load.family import parents_first
from crmmap.load.halving import Halving, refused_rows
from crmmap.load.statements import Session, insert_statement, select_in
from crmmap.load.storage import from_driver, to_driver
from crmmap.load.tables import AUDIT, DELETED_AT, ROW_HASH, RUN_ID, SYNCED_AT, primary_key
from crmmap.plan import Column, Target
from crmmap.plan.content import HASH, content_hashes
from crmmap.values import DELETED, INDEX, PAGE

WRITING = ("inserted", "updated")

STORED = "#stored"
STORED_HASH = "#stored_hash"
STORED_VERSION = "#stored_version"
STORED_RUN = "#stored_run"
GONE = "#gone"


def upsert(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Write rows by key and tell what each came to; unchanged rows are not written.

    No two rows have the same key. A row older than the stored one, by their versions or by the
    runs that read them, is not written, and is a duplicate; so is every other than the stored
    one where the first is kept. One that says that it is deleted marks the stored one, or removes
    it.
    """
    check_keys(target, rows)
    stored = stored_rows(session, target, among=target.key, rows=rows)
    return written(session, target, judged(target, rows, stored, mark), mark)


def written(session: Session, target: Target, told: pl.DataFrame, mark: Mark) -> Written:
    """Write those judged rows that are inserted or updated."""
    if DELETED not in told.columns:
        told = told.with_columns(pl.lit(value=False).alias(name) for name in (DELETED, GONE))
    ending = (pl.col(OUTCOME) == "updated") & pl.col(DELETED)
    writing = told.filter(pl.col(OUTCOME).is_in(WRITING) & ~ending)
    beside: tuple[Column, ...] = ()
    if target.marks:
        beside = (Column(name=DELETED_AT, type=Datetime()),)
        since = pl.when(DELETED).then(pl.lit(session.now)).cast(pl.Datetime("us", "UTC"))
        writing = writing.with_columns(since.alias(DELETED_AT))
    write = partial(write_by_key, session, target, run_id=mark.run_id, beside=beside)
    refused = refused_rows(writing, parents_first(session, target, writing, write))
    ended = end(session, target, told.filter(ending), mark)
    refused = pl.concat([refused, ended.refused])
    outcomes = told.join(refused, on=[PAGE, INDEX], how="anti", maintain_order="left")
    return Written(
        outcomes=outcomes.select(PAGE, INDEX, OUTCOME), refused=refused, deleted=ended.deleted
    )


def judged(target: Target, rows: pl.DataFrame, stored: pl.DataFrame, mark: Mark) -> pl.DataFrame:
    """Return the rows with their digest and outcome, by comparing them with the stored ones.

    `#deleted` says whether the row is, `#gone` whether the stored one was already.
    Outcomes are `inserted`, `updated`, `unchanged` and `duplicate` (written by
    this run already, or older than the stored version). Row counts of drivers
    can't tell them apart: an upsert that changes nothing counts like one that does.
    """
    deleted = pl.col(DELETED) if DELETED in rows.columns else pl.lit(value=False).alias(DELETED)
    hashed = rows.with_columns(content_hashes(rows, target.columns), deleted)
    joined = hashed.join(stored, on=list(target.key), how="left", maintain_order="left")
    return joined.with_columns(_outcome(target, mark).alias(OUTCOME)).select(
        *hashed.columns, GONE, OUTCOME
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

    The frame has the key and the columns `wanted`, and each row's run, digest and version, and
    whether it is marked as deleted.
    """
    compiler = session.connection.dialect
    version = () if target.version is None else (target.version,)
    names = dict.fromkeys((*target.key, *wanted))
    columns = [target.column(name) for name in dict.fromkeys((*names, *version))]
    asked = [target.column(name) for name in among]
    ours = [RUN_ID, ROW_HASH, *([DELETED_AT] if target.marks else [])]
    found = select_in(
        session,
        target.table,
        wanted=[*(column.name for column in columns), *ours],
        among=among,
        rows=rows.select(to_driver(asked, compiler)).rows(),
    )
    frame = from_driver([row[: len(columns)] for row in found], columns, compiler)
    told = [row[len(columns) :] for row in found]
    return frame.select(
        *names,
        pl.lit(value=True).alias(STORED),
        pl.Series(STORED_RUN, [row[0] for row in told], dtype=pl.String),
        pl.Series(STORED_HASH, [row[1] for row in told], dtype=pl.Int64),
        pl.Series(GONE, [row[2:] not in ((), (None,)) for row in told], dtype=pl.Boolean),
        *(pl.col(name).alias(STORED_VERSION) for name in version),
    )


def _outcome(target: Target, mark: Mark) -> pl.Expr:
    same = (pl.col(HASH) == pl.col(STORED_HASH)) & (pl.col(DELETED) == pl.col(GONE))
    own = pl.col(STORED_RUN) == mark.run_id
    outcome = (
        pl.when(pl.col(STORED).is_null() & pl.col(DELETED) & (not target.marks))
        .then(pl.lit("unchanged"))
        .when(pl.col(STORED).is_null())
        .then(pl.lit("inserted"))
        .when(same & own)
        .then(pl.lit("duplicate"))
        .when(same)
        .then(pl.lit("unchanged"))
    )
    if target.first:  # a bare parent is no record yet
        second = pl.col(STORED_HASH).is_not_null() & ~pl.col(DELETED) & ~pl.col(GONE)
        outcome = outcome.when(second).then(pl.lit("duplicate"))
    if target.version is not None:
        loses = is_older(target.version) | _loses_a_tie(target.version, own)
        outcome = outcome.when(loses).then(pl.lit("duplicate"))
    elif mark.older_than:
        # A bare parent, which has no digest, is newer than nothing.
        later = pl.col(STORED_RUN).is_in(list(mark.older_than)) & pl.col(STORED_HASH).is_not_null()
        outcome = outcome.when(later).then(pl.lit("duplicate"))
    return outcome.otherwise(pl.lit("updated"))


def is_older(version: str) -> pl.Expr:
    """Say whether the stored row's version beats the new one. Null is the oldest."""
    new, kept = pl.col(version), pl.col(STORED_VERSION)
    return (new < kept) | (new.is_null() & kept.is_not_null())


def _loses_a_tie(version: str, own: pl.Expr) -> pl.Expr:
    """Say whether the stored row stays though its version is equal.

    Within a run, which of the two wins must not depend on their order.
    """
    deleted, gone = pl.col(DELETED), pl.col(GONE)
    weaker = (gone & ~deleted) | ((gone == deleted) & (pl.col(HASH) <= pl.col(STORED_HASH)))
    return pl.col(version).eq_missing(pl.col(STORED_VERSION)) & own & weaker


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


def end(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Mark the rows with these keys as deleted, or remove them.

    `rows` have `#gone`, and may have a digest. Where they have a value in a column, the row gets
    it; it keeps the others.
    """
    digest = [HASH] if HASH in rows.columns else []
    key = [target.column(name) for name in target.key]
    others = [column for column in target.columns if column not in key] if target.marks else []
    compiler = session.connection.dialect
    cells = rows.select(*to_driver(others, compiler), *digest, *to_driver(key, compiler)).rows()
    width = len(others)
    moment = session.moment
    audit = (moment, mark.run_id, moment) if target.marks else ()
    statement = _end_statement(session, target, others, digest=bool(digest))
    tuples = [(*row[:width], *audit, *row[width:]) for row in cells]
    if not target.marks:
        tuples = [row[-len(key) :] for row in tuples]
    refused = refused_rows(
        rows, Halving(session=session, statement=statement, target=target).write(tuples)
    )
    done = rows.join(refused, on=[PAGE, INDEX], how="anti", maintain_order="left")
    outcomes = done.select(PAGE, INDEX, pl.lit("updated").alias(OUTCOME))
    return Written(outcomes=outcomes, refused=refused, deleted=int((~done[GONE]).sum()))


def _end_statement(
    session: Session, target: Target, others: Sequence[Column], *, digest: bool
) -> str:
    quote, place = session.quote, session.marks(1)
    table = quote(target.table)
    where = " AND ".join(f"{quote(name)} = {place}" for name in target.key)
    if not target.marks:
        return f"DELETE FROM {table} WHERE {where}"  # noqa: S608  (names are quoted, values are parameters)
    changed = [f"{quote(each.name)} = COALESCE({place}, {quote(each.name)})" for each in others]
    changed.append(f"{quote(DELETED_AT)} = COALESCE({quote(DELETED_AT)}, {place})")
    changed += [f"{quote(name)} = {place}" for name in (RUN_ID, SYNCED_AT)]
    changed += [f"{quote(ROW_HASH)} = {place}"] if digest else []
    return f"UPDATE {table} SET {', '.join(changed)} WHERE {where}"  # noqa: S608  (names are quoted, values are parameters)


def check_keys(target: Target, rows: pl.DataFrame) -> None:
    """Raise StoreError where a key is null: SQLite would make one up for an integer key."""
    for name in target.key:
        if rows[name].null_count():
            message = f"table '{target.table}': rows without a value in the key column '{name}'"
            raise StoreError(message)
