"""Rows into a table by key: what each row comes to, and which rows are written at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import polars as pl

from crmmap.errors import StoreError
from crmmap.kinds.types import Datetime, Integer, Text
from crmmap.load.accounts import OUTCOME, OUTCOME_SCHEMA, REFUSED_SCHEMA, Mark, Written
from crmmap.load.dialects import Refusal
from crmmap.load.family import parents_first
from crmmap.load.halving import Halving, attempt, refused_rows
from crmmap.load.staging import ROW, THERE, matching, merge, pour, unlike
from crmmap.load.statements import Session, write
from crmmap.load.storage import cells_of
from crmmap.load.tables import DELETED_AT, ROW_HASH, RUN_ID, SYNCED_AT, primary_key
from crmmap.plan import Column, Target
from crmmap.plan.content import HASH, content_hashes
from crmmap.values import DELETED, INDEX, PAGE, without

WRITING = ("inserted", "updated")

AUDIT = (
    Column(name=RUN_ID, type=Text()),
    Column(name=SYNCED_AT, type=Datetime()),
    Column(name=ROW_HASH, type=Integer()),
)
"""The columns that every target table has beside the mapping's."""
MARK = Column(name=DELETED_AT, type=Datetime())
"""The column of those whose rows can be marked as deleted."""


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
    hashed = _hashed(target, rows)
    if mark.inserting and (done := _inserted(session, target, hashed, mark)) is not None:
        return done
    return written(session, target, _compared(session, target, hashed, mark), mark)


def _hashed(target: Target, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with their digest and `#deleted`."""
    deleted = pl.col(DELETED) if DELETED in rows.columns else pl.lit(value=False).alias(DELETED)
    return rows.with_columns(content_hashes(rows, target.columns), deleted)


def _inserted(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written | None:
    """Insert rows that are likely to be new, without asking for them; None where that fails."""
    if rows[DELETED].any() or any(each.table == target.table for each in target.foreign_keys):
        return None
    everything = partial(pour, session, target.table, (*target.columns, *AUDIT))
    if attempt(session, everything, _stamped(session, rows, mark.run_id)) is not None:
        return None
    outcomes = rows.select(PAGE, INDEX, pl.lit("inserted").alias(OUTCOME))
    return Written(outcomes=outcomes, refused=pl.DataFrame(schema=REFUSED_SCHEMA))


def written(session: Session, target: Target, told: pl.DataFrame, mark: Mark) -> Written:
    """Write those judged rows that are inserted or updated."""
    if DELETED not in told.columns:
        told = told.with_columns(pl.lit(value=False).alias(name) for name in (DELETED, GONE))
    ending = (pl.col(OUTCOME) == "updated") & pl.col(DELETED)
    changing = told.filter(pl.col(OUTCOME).is_in(WRITING))
    writing = changing.filter(~ending)
    beside: tuple[Column, ...] = ()
    if target.marks:
        beside = (MARK,)
        writing = writing.with_columns(pl.when(DELETED).then(_now(session)).alias(DELETED_AT))
    new = pl.col(OUTCOME) == "inserted"
    by_key = partial(write_by_key, session, target, run_id=mark.run_id, beside=beside, new=new)
    refused = refused_rows(writing, parents_first(session, target, writing, by_key))
    ended = end(session, target, changing.filter(ending), mark)
    refused = pl.concat([refused, ended.refused])
    outcomes = without(told.select(PAGE, INDEX, OUTCOME), refused)
    return Written(outcomes=outcomes, refused=refused, deleted=ended.deleted)


def judged(target: Target, rows: pl.DataFrame, stored: pl.DataFrame, mark: Mark) -> pl.DataFrame:
    """Return the rows with their digest and outcome, by comparing them with the stored ones.

    `#deleted` says whether the row is, `#gone` whether the stored one was already.
    Outcomes are `inserted`, `updated`, `unchanged` and `duplicate` (written by
    this run already, or older than the stored version). Row counts of drivers
    can't tell them apart: an upsert that changes nothing counts like one that does.
    """
    return _judged(target, _hashed(target, rows), stored, mark)


def _judged(target: Target, hashed: pl.DataFrame, stored: pl.DataFrame, mark: Mark) -> pl.DataFrame:
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
    given = rows.select(among).unique(maintain_order=True)
    names = dict.fromkeys((*target.key, *wanted))
    asked = [name for name in (*names, *_version(target)) if name not in among]
    found = matching(
        session, target.table, on=[target.column(name) for name in among], rows=given,
        wanted=_wanted(target, asked),
    )  # fmt: skip
    return pl.concat([found, given[found[ROW]]], how="horizontal").select(*names, *_stored(target))


def _version(target: Target) -> list[str]:
    return [] if target.version is None else [target.version]


def _wanted(target: Target, names: Iterable[str]) -> list[Column]:
    """Return columns to ask a table for: these, each once, and how the row came to be as it is."""
    run, _, digest = AUDIT
    marks = [MARK] if target.marks else []
    return [*map(target.column, dict.fromkeys(names)), run, digest, *marks]


def _stored(target: Target) -> list[pl.Expr]:
    """Return what `stored_rows` tells of rows beside their values."""
    gone = pl.col(DELETED_AT).is_not_null() if target.marks else pl.lit(value=False)
    return [
        pl.lit(value=True).alias(STORED),
        pl.col(RUN_ID).alias(STORED_RUN),
        pl.col(ROW_HASH).alias(STORED_HASH),
        gone.alias(GONE),
        *(pl.col(name).alias(STORED_VERSION) for name in _version(target)),
    ]


def _compared(session: Session, target: Target, hashed: pl.DataFrame, mark: Mark) -> pl.DataFrame:
    """Judge hashed rows by what the table has.

    It is asked only for what it has otherwise: most of what a source sends again is as it was.
    """
    key, quote = list(target.key), session.quote
    moreover = f"found.{quote(RUN_ID)} <> {session.marks(1)}"
    if target.marks:
        moreover += f" AND found.{quote(DELETED_AT)} IS NULL"
    as_it_was = pl.when(~pl.col(DELETED)).then(HASH).alias(ROW_HASH)
    found = unlike(
        session, target.table, key=[*map(target.column, key)], by=AUDIT[-1:],
        wanted=_wanted(target, [name for name in _version(target) if name not in key]),
        rows=hashed.select(*key, as_it_was), moreover=moreover, values=(mark.run_id,),
    )  # fmt: skip
    there = found.filter(pl.col(THERE) == 1)
    stored = pl.concat([there, hashed[there[ROW]].select(key)], how="horizontal")
    otherwise = pl.int_range(pl.len()).is_in(found[ROW].implode())
    told = _judged(target, hashed.filter(otherwise), stored.select(*key, *_stored(target)), mark)
    same = (pl.lit(value=False).alias(GONE), pl.lit("unchanged").alias(OUTCOME))
    return pl.concat([told, hashed.filter(~otherwise).with_columns(same)])


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
        if mark.older_than:  # what is gone since does not come back by the version that it had
            tie = pl.col(target.version).eq_missing(pl.col(STORED_VERSION))
            later = pl.col(STORED_RUN).is_in(list(mark.older_than))
            loses |= tie & later & pl.col(GONE) & ~pl.col(DELETED)
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
    new: pl.Expr | None = None,
) -> list[tuple[int, Refusal]]:
    """Write hashed rows by key; return the index and reason of those that the database refuses.

    `beside` are columns that rows have beside the mapping's. `new` says which rows are likely to
    be the first with their keys: they go a faster way.
    """
    if rows.is_empty():
        return []
    columns, key = (*target.columns, *beside, *AUDIT), primary_key(target)
    known = pl.lit(value=False) if new is None else new

    def write_some(some: pl.DataFrame) -> int:
        # Once anything is refused, what was known may be no longer true: others write, too. So a
        # part, or a row alone, is merged.
        sure = known if len(some) == len(rows) > 1 else pl.lit(value=False)
        count = pour(session, target.table, columns, some.filter(sure))
        return count + merge(session, target.table, columns, some.filter(~sure), key=key)

    halving = Halving(session=session, target=target, write=write_some)
    return halving.run(_stamped(session, rows, run_id))


def _stamped(session: Session, rows: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """Add the columns `AUDIT` to hashed rows."""
    digest = pl.col(HASH).alias(ROW_HASH)
    return rows.with_columns(pl.lit(run_id).alias(RUN_ID), _now(session).alias(SYNCED_AT), digest)


def _now(session: Session) -> pl.Expr:
    return pl.lit(session.now).cast(MARK.type.dtype)


def end(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Mark the rows with these keys as deleted, or remove them.

    `rows` have `#gone`, and may have a digest. Where they have a value in a column, the row gets
    it; it keeps the others.
    """
    if rows.is_empty():
        return Written(
            outcomes=pl.DataFrame(schema=OUTCOME_SCHEMA),
            refused=pl.DataFrame(schema=REFUSED_SCHEMA),
        )
    hashed = HASH in rows.columns
    digest = rows if hashed else rows.with_columns(pl.lit(None, dtype=pl.Int64).alias(HASH))
    stamped = _stamped(session, digest, mark.run_id).with_columns(_now(session).alias(DELETED_AT))
    key = [target.column(name) for name in target.key]
    others = [column for column in target.columns if column not in key]
    audit = (MARK, *(AUDIT if hashed else AUDIT[:2])) if target.marks else ()
    columns = [*(others if target.marks else ()), *audit, *key]
    statement = _end_statement(session, target, others, digest=hashed)

    def write_some(some: pl.DataFrame) -> int:
        return write(session, statement, cells_of(some, columns, session.connection.dialect))

    halving = Halving(session=session, target=target, write=write_some)
    refused = refused_rows(rows, halving.run(stamped))
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
