"""Of several rows with one key, keep one."""

from __future__ import annotations

import polars as pl

from crmmap.plan import Target
from crmmap.plan.content import HASH, content_hashes


def dedupe(rows: pl.DataFrame, target: Target) -> pl.DataFrame:
    """Return the rows with each key once, in the order of reading.

    The row read last is kept; with a version, the row whose version is
    greatest (null is the oldest), and of equal versions the one with the
    greater content hash, so that the order of reading decides nothing.
    """
    repeated = rows.select(pl.struct(target.key).is_duplicated()).to_series()
    if not repeated.any():
        return rows
    place = "#place"
    numbered = rows.with_row_index(place)
    candidates = numbered.filter(repeated)
    if target.version is not None:
        hashed = candidates.with_columns(content_hashes(candidates, target.columns))
        candidates = hashed.sort(target.version, HASH, place, nulls_last=False).drop(HASH)
    kept = candidates.unique(target.key, keep="last", maintain_order=True)
    return pl.concat([numbered.filter(~repeated), kept]).sort(place).drop(place)
