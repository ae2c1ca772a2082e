"""What became of records that had been refused, and were tried again."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from crmmap.load import OUTCOME, RETRIED_SCHEMA, Tally
from crmmap.values import AT, PAGE, Batch

ENDS = {"inserted": "loaded", "updated": "loaded", "unchanged": "loaded"}
PLACE = ["page", "at"]


def told_of_rejects(batch: Batch, tally: Tally) -> Tally:
    """Return the tally with what became of each reject. Its pages are none that a source sent."""
    nowhere = pl.lit(None, dtype=pl.UInt32)
    unplaced = [nowhere.alias("page"), nowhere.alias("at")]
    return replace(
        tally, retried=_retried(batch, tally), pages=0, by_page=None,
        rejects=tally.rejects.with_columns(unplaced), notes=tally.notes.with_columns(unplaced),
    )  # fmt: skip


def _retried(batch: Batch, tally: Tally) -> pl.DataFrame:
    ids = [(page, at, each) for page, tried in batch.tried.items() for at, each in enumerate(tried)]
    asked = pl.DataFrame(
        ids, schema={"page": pl.UInt32, "at": pl.UInt32, "id": pl.String}, orient="row"
    )
    ended = tally.taken.select(*PLACE, _outcome(batch, tally))
    refused = tally.rejects.select(*PLACE, "key", "reasons", pl.lit("refused").alias("refused"))
    kept = batch.rows.select(pl.col(PAGE).alias("page"), pl.col(AT).alias("at"))
    waiting = kept.with_columns(pl.lit("waiting").alias("waiting"))
    told = asked
    for frame in (ended, refused, waiting):
        told = told.join(frame, on=PLACE, how="left", maintain_order="left")
    outcome = pl.coalesce(OUTCOME, "refused", "waiting", pl.lit("filtered")).alias(OUTCOME)
    return told.select("id", outcome, "key", "reasons").cast(RETRIED_SCHEMA)  # type: ignore[arg-type]


def _outcome(batch: Batch, tally: Tally) -> pl.Expr:
    """Return what a reject's record came to, by the name of its count.

    Where neither versions nor contents tell rows apart, one is left alone only where one of the
    runs that read later wrote it.
    """
    by_runs = bool(batch.older_than) and not (tally.versioned or tally.keeping)
    later = "newer" if by_runs else "superseded"
    return pl.col(OUTCOME).replace({**ENDS, "duplicate": later})
