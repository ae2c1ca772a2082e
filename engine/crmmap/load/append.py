"""Rows added to a log: what is there is never changed."""

from __future__ import annotations

import polars as pl

from crmmap.load.accounts import OUTCOME, Mark, Written
from crmmap.load.staging import ROW, matching
from crmmap.load.statements import Session
from crmmap.load.tables import ROW_HASH, RUN_ID
from crmmap.load.upsert import AUDIT, check_keys, written
from crmmap.plan import Target
from crmmap.plan.content import HASH, content_hashes
from crmmap.values import INDEX, PAGE


def append(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Add the rows whose key and content are not there yet.

    The others were written by this run, or come twice in the batch (`duplicate`), or were there
    before (`unchanged`).
    """
    check_keys(target, rows)
    hashed = rows.sort(PAGE, INDEX).with_columns(
        content_hashes(rows.sort(PAGE, INDEX), target.columns)
    )
    known = [*target.key, HASH]
    there = hashed.join(_runs(session, target, hashed), on=known, how="left", maintain_order="left")
    first = pl.struct(known).is_first_distinct()
    outcome = (
        pl.when(~first | (pl.col("#run") == mark.run_id)).then(pl.lit("duplicate"))
        .when(pl.col("#run").is_not_null()).then(pl.lit("unchanged"))
        .otherwise(pl.lit("inserted"))
    )  # fmt: skip
    return written(session, target, there.with_columns(outcome.alias(OUTCOME)), mark)


def _runs(session: Session, target: Target, hashed: pl.DataFrame) -> pl.DataFrame:
    """Return the run that wrote each of the rows which are there, by key and digest."""
    asked = hashed.select(*target.key, pl.col(HASH).alias(ROW_HASH)).unique()
    run, _, digest = AUDIT
    found = matching(
        session, target.table, on=[*map(target.column, target.key), digest], wanted=[run],
        rows=asked,
    )  # fmt: skip
    return asked[found[ROW]].select(
        *target.key, pl.col(ROW_HASH).alias(HASH), found[RUN_ID].alias("#run")
    )
