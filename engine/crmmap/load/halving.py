"""Rows that the database refuses: found by halving, told by their reasons, and left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
from sqlalchemy.exc import DBAPIError

from crmmap.errors import StoreError
from crmmap.load.accounts import REFUSED_SCHEMA
from crmmap.load.dialects import Refusal
from crmmap.load.statements import Session, check_written
from crmmap.load.tables import changes, table_of
from crmmap.plan import Target
from crmmap.values import AT, INDEX, KEY, PAGE

SAME_REFUSALS = 20
"""So many rows refused one after the other for the same reason: the table may have changed."""


Write = Callable[[pl.DataFrame], int]
"""Writes rows; returns how many the database says it wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halving:
    """How rows are written into the target's table, all of them or none.

    `write` returns how many rows the database says it wrote. It may be called again with
    parts of the same rows, down to a single one, in their order.
    """

    session: Session
    target: Target
    write: Write

    def run(self, rows: pl.DataFrame) -> list[tuple[int, Refusal]]:
        """Write the rows; return the index and reason of those that the database refuses.

        Refused rows are halved, inside savepoints, until the bad ones stand
        alone: some 35 attempts for 500 rows with 3 bad ones, not 501.
        """
        refused: list[tuple[int, Refusal]] = []
        self._halve(rows, (0, len(rows)), refused, sure=False)
        return refused

    def _halve(
        self,
        rows: pl.DataFrame,
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
            refusal = attempt(self.session, self.write, rows[start:stop])
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

    def _doubt(self, refused: list[tuple[int, Refusal]]) -> None:
        """Ask the schema, not the rows, once too many of them fail in the same way."""
        if _alike(refused, SAME_REFUSALS) and not _alike(refused, SAME_REFUSALS + 1):
            _compare(self.session, self.target)


def attempt(session: Session, write: Write, rows: pl.DataFrame) -> Refusal | None:
    """Write the rows, or else none of them: then return why the database refuses one."""
    savepoint = session.connection.begin_nested()
    try:
        check_written(write(rows), len(rows))
        savepoint.commit()
    except DBAPIError as error:
        refusal = session.dialect.refusal(error)
        if refusal is None:
            raise
        savepoint.rollback()
        return refusal
    return None


def _alike(refused: list[tuple[int, Refusal]], count: int) -> bool:
    """Say whether the last `count` refusals are of neighbouring rows, for one reason."""
    last = refused[-count:]
    neighbours = len(last) == count and last[-1][0] - last[0][0] == count - 1
    return neighbours and all(reason == last[0][1] for _, reason in last)


def _compare(session: Session, target: Target) -> None:
    """Raise StoreError where the live table is no longer the wanted one."""
    found = changes(session.connection, session.dialect, [table_of(target)])
    if found.faults or found.statements:
        message = f"the table was changed during the run: {'; '.join(found.faults)}"
        raise StoreError(message.removesuffix(": "))


def refused_rows(rows: pl.DataFrame, refused: Sequence[tuple[int, Refusal]]) -> pl.DataFrame:
    """Return those of the rows that were refused, with their reasons (`REFUSED_SCHEMA`)."""
    if not refused:
        return pl.DataFrame(schema=REFUSED_SCHEMA)
    bad = rows[[index for index, _ in refused]]
    if KEY not in bad.columns:
        bad = bad.with_columns(pl.lit(None, dtype=pl.String).alias(KEY))
    reasons = [json.dumps([refusal.reason().as_json()]) for _, refusal in refused]
    return bad.select(PAGE, INDEX, AT, KEY, pl.Series("reasons", reasons, dtype=pl.String)).cast(
        REFUSED_SCHEMA  # type: ignore[arg-type]
    )
