"""Of several rows that are the same, keep one."""

from __future__ import annotations

import polars as pl

from crmmap.kinds.writes import KEEPING
from crmmap.plan import Target
from crmmap.plan.content import HASH, content_hashes
from crmmap.plan.sameness import earlier_by, later_by
from crmmap.values import DELETED


def dedupe(rows: pl.DataFrame, target: Target) -> pl.DataFrame:
    """Return the rows with each key once, in the order of reading.

    The row read last is kept, or the first; with a version, the row whose version is
    greatest (null is the oldest), and of equal versions the one that says that its row is
    deleted, or has the greater content hash, so that the order of reading decides nothing. Where
    the first is kept and other rules find the same rows too, all rows are returned: which of them
    come first depends on those that the table has; so they are where it keeps several versions of
    a record.
    """
    if (target.first and target.same_by) or isinstance(target.write, KEEPING):
        return rows
    repeated = rows.select(pl.struct(target.key).is_duplicated()).to_series()
    if not repeated.any():
        return rows
    place = "#place"
    numbered = rows.with_row_index(place)
    candidates = numbered.filter(repeated)
    if target.version is not None:
        hashed = candidates.with_columns(content_hashes(candidates, target.columns))
        told = [DELETED] if DELETED in rows.columns else []
        candidates = hashed.sort(target.version, *told, HASH, place, nulls_last=False).drop(HASH)
    kept = candidates.unique(
        target.key, keep="first" if target.first else "last", maintain_order=True
    )
    return pl.concat([numbered.filter(~repeated), kept]).sort(place).drop(place)


def dedupe_all(rows: pl.DataFrame, target: Target) -> pl.DataFrame:
    """Return what is kept where the rows are all that there is, by the key and the other rules."""
    kept = dedupe(rows, target)
    if isinstance(target.write, KEEPING):
        return kept.unique(target.names, keep="first", maintain_order=True)
    if not target.same_by:
        return kept
    if target.version is None:
        rules = (target.key, *target.same_by)
        found = pl.Series(earlier_by(kept, rules, [() for _ in rules]), dtype=pl.UInt32)
        return kept.filter(found.is_null())
    hashed = kept.with_columns(content_hashes(kept, target.columns))
    return kept.filter(later_by(hashed, target.same_by, target.version, target.key).is_null())
