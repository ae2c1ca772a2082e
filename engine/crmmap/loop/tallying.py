"""Where the records of each page went, told by what became of each record of a batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import polars as pl

from crmmap.load import OUTCOME
from crmmap.values import Counts

TOLD: dict[str, pl.DataType] = {"page": pl.UInt32(), OUTCOME: pl.String()}
"""A row for each record, or note: its page, and the name of the count that it is in."""

COUNTED = tuple(each.name for each in fields(Counts) if each.name not in ("fetched", "filtered"))


def told(pages: pl.Series, outcome: str) -> pl.DataFrame:
    """Return the pages of records that all came to one outcome, as `TOLD` has them."""
    return pl.DataFrame({"page": pages.cast(TOLD["page"])}).with_columns(
        pl.lit(outcome).alias(OUTCOME)
    )


def by_page(read: pl.DataFrame, told: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return the accounts of the pages that were `read` (`READ_SCHEMA`): a column for each count.

    `told` (`TOLD`) says what became of all records but those that the stream does not want.
    """
    counted = (
        pl.concat(told)
        .group_by("page")
        .agg((pl.col(OUTCOME) == name).sum().cast(pl.Int64).alias(name) for name in COUNTED)
    )
    joined = read.join(counted, on="page", how="left", maintain_order="left")
    return joined.with_columns(pl.col(COUNTED).fill_null(0))


def total(accounts: pl.DataFrame) -> Counts:
    """Return the sum of the accounts of pages."""
    names = [each.name for each in fields(Counts)]
    return Counts(**accounts.select(pl.col(names).sum()).row(0, named=True))
