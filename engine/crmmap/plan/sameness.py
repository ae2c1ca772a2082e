"""Which rows are the same thing under several keys, and which one of them is kept.

A rule is a group of columns: two rows are the same where they agree in all of them. Null agrees
with nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import polars as pl

from crmmap.plan.content import HASH

Rules = Sequence[tuple[str, ...]]

_RANK = "#rank"


def earlier_by(
    rows: pl.DataFrame, rules: Rules, taken: Sequence[Collection[tuple[Any, ...]]]
) -> list[int | None]:
    """Say of each row, in order, by which rule a row that is kept before it is the same.

    That is the number of the first such rule; a row is kept where there is none. `taken` are, by
    rule, the values of rows that were kept before them all.
    """
    seen = [set(values) for values in taken]
    return [
        _earlier(values, seen)
        for values in zip(*(_values(rows, rule) for rule in rules), strict=True)
    ]


def _earlier(
    values: Sequence[tuple[Any, ...] | None], seen: list[set[tuple[Any, ...]]]
) -> int | None:
    for number, (each, known) in enumerate(zip(values, seen, strict=True)):
        if each in known:
            return number
    for each, known in zip(values, seen, strict=True):
        if each is not None:
            known.add(each)
    return None


def _values(rows: pl.DataFrame, rule: tuple[str, ...]) -> list[tuple[Any, ...] | None]:
    return [None if None in row else row for row in rows.select(rule).iter_rows()]


def later_by(rows: pl.DataFrame, rules: Rules, version: str, key: Sequence[str]) -> pl.Series:
    """Say of each row by which rule one of the others is the same and later.

    That is the number of the first such rule, null where there is none. Rows have different keys.
    Null is the oldest version; of equal ones the content hash (`#hash`) decides, and then the key,
    so that no order does.
    """
    ranks = rows.with_row_index("#place").sort(version, HASH, *key, nulls_last=False)
    ranked = ranks.with_row_index(_RANK).sort("#place")
    later = [
        pl.when(
            pl.all_horizontal(pl.col(rule).is_not_null())
            & (pl.col(_RANK).max().over(rule) > pl.col(_RANK))
        ).then(pl.lit(number, dtype=pl.UInt32))
        for number, rule in enumerate(rules)
    ]
    return ranked.select(pl.coalesce(later).alias("later_by")).to_series()
