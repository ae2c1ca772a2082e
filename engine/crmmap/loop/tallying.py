"""Where the records of each page went, told by what became of each record of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import polars as pl

from crmmap.load import OUTCOME
from crmmap.values import NOTHING, Counts, PageAccount

TOLD: dict[str, pl.DataType] = {"page": pl.UInt32(), OUTCOME: pl.String()}
"""A row for each record, or note: its page, and the name of the count that it is in."""
NOBODY = pl.DataFrame(schema=TOLD)


def told(pages: pl.Series, outcome: str) -> pl.DataFrame:
    """Return the pages of records that all came to one outcome, as `TOLD` has them."""
    if pages.is_empty():
        return NOBODY
    return pages.alias("page").to_frame().with_columns(pl.lit(outcome).alias(OUTCOME)).cast(TOLD)  # type: ignore[arg-type]


def by_page(read: Sequence[PageAccount], told: Iterable[pl.DataFrame]) -> tuple[PageAccount, ...]:
    """Return the accounts of the pages that were `read`, with what `told` (`TOLD`) says of each.

    It says what became of all records but those that the stream does not want.
    """
    every = pl.concat([NOBODY, *(each for each in told if len(each))])
    counted: dict[int, dict[str, int]] = {}
    # Of structs: to group by two columns takes twice as long.
    for told_of, count in every.to_struct().value_counts().iter_rows():
        counted.setdefault(told_of["page"], {})[told_of[OUTCOME]] = count
    return tuple(
        replace(each, counts=replace(each.counts, **counted.get(each.number, {}))) for each in read
    )


def total(accounts: Iterable[PageAccount]) -> Counts:
    """Return the sum of the accounts of pages."""
    return sum((each.counts for each in accounts), NOTHING)
