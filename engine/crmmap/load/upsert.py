"""Rows into a table by key: what each row comes to, and which rows the database refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
from sqlalchemy.exc import DBAPIError

from crmmap.errors import StoreError
from crmmap.load.dialects import Refusal
from crmmap.load.statements import Row, Session, insert_statement, select_in, write_all
from crmmap.load.storage import from_driver, to_driver
from crmmap.load.tables import AUDIT, ROW_HASH, RUN_ID
from crmmap.plan import Target
from crmmap.plan.content import HASH, content_hashes

OUTCOME = "#outcome"
WRITING = ("inserted", "updated")

_STORED = "#stored"
_STORED_RUN = "#stored_run"
_STORED_HASH = "#stored_hash"
_STORED_VERSION = "#stored_version"

SAME_REFUSALS = 20
"""So many rows refused one after the other for the same reason: the table may have changed."""


def judged(session: Session, target: Target, rows: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """Return the rows with their digest and outcome, by comparing them with the stored ones.

    Outcomes are `inserted`, `updated`, `unchanged` and `duplicate` (written by
    this run already, or older than the stored version). Row counts of drivers
    can't tell them apart: an upsert that changes nothing counts like one that does.
    """
    hashed = rows.with_columns(content_hashes(rows, target.columns))
    stored = _stored(session, target, rows)
    joined = hashed.join(stored, on=list(target.key), how="left", maintain_order="left")
    return joined.with_columns(_outcome(target, run_id).alias(OUTCOME)).select(
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


def _outcome(target: Target, run_id: str) -> pl.Expr:
    same = pl.col(HASH) == pl.col(_STORED_HASH)
    own = pl.col(_STORED_RUN) == run_id
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
    return outcome.otherwise(pl.lit("updated"))


def _loses(version: str, own: pl.Expr) -> pl.Expr:
    """Say whether the stored row's version beats the new one. Null is the oldest."""
    new, stored = pl.col(version), pl.col(_STORED_VERSION)
    older = (new < stored) | (new.is_null() & stored.is_not_null())
    # Within a run, which of two equal versions wins must not depend on their order.
    tie = new.eq_missing(stored) & own & (pl.col(HASH) <= pl.col(_STORED_HASH))
    return older | tie


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """One table's upsert: its statement, and its rows as the driver takes them."""

    session: Session
    statement: str
    compare: Callable[[], None]
    """Raises StoreError where the live table is no longer the wanted one."""

    def write(self, rows: Sequence[Row]) -> list[tuple[int, Refusal]]:
        """Write the rows; return the index and reason of those that the database refuses.

        A refused statement is halved, inside savepoints, until the bad rows stand
        alone: some 35 statements for 500 rows with 3 bad ones, not 501.
        """
        refused: list[tuple[int, Refusal]] = []
        self._halve(rows, (0, len(rows)), refused, sure=False)
        return refused

    def _halve(
        self,
        rows: Sequence[Row],
        span: tuple[int, int],
        refused: list[tuple[int, Refusal]],
        *,
        sure: bool,
    ) -> bool:
        """Return whether a row of the span was refused. `sure`: it is known that one will be."""
        start, stop = span
        if start == stop:
            return False
        if not sure or stop - start == 1:
            refusal = self._attempt(rows[start:stop])
            if refusal is None:
                return False
            if stop - start == 1:
                refused.append((start, refusal))
                self._doubt(refused)
                return True
        middle = (start + stop) // 2
        left = self._halve(rows, (start, middle), refused, sure=False)
        right = self._halve(rows, (middle, stop), refused, sure=not left)
        return left or right

    def _attempt(self, rows: Sequence[Row]) -> Refusal | None:
        savepoint = self.session.connection.begin_nested()
        try:
            write_all(self.session, self.statement, rows)
            savepoint.commit()
        except DBAPIError as error:
            refusal = self.session.dialect.refusal(error)
            if refusal is None:
                raise
            savepoint.rollback()
            return refusal
        return None

    def _doubt(self, refused: list[tuple[int, Refusal]]) -> None:
        """Ask the schema, not the rows, once too many of them fail in the same way."""
        if _alike(refused, SAME_REFUSALS) and not _alike(refused, SAME_REFUSALS + 1):
            self.compare()


def _alike(refused: list[tuple[int, Refusal]], count: int) -> bool:
    """Say whether the last `count` refusals are of neighbouring rows, for one reason."""
    last = refused[-count:]
    neighbours = len(last) == count and last[-1][0] - last[0][0] == count - 1
    return neighbours and all(reason == last[0][1] for _, reason in last)


def upsert(
    session: Session,
    target: Target,
    rows: pl.DataFrame,
    *,
    run_id: str,
    compare: Callable[[], None],
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
    return Upsert(session=session, statement=statement, compare=compare).write(tuples)


def check_keys(target: Target, rows: pl.DataFrame) -> None:
    """Raise StoreError where a key is null: SQLite would make one up for an integer key."""
    for name in target.key:
        if rows[name].null_count():
            message = f"table '{target.table}': rows without a value in the key column '{name}'"
            raise StoreError(message)
