"""Which rows are the same thing under several keys, and which one of them is kept.

A rule is a group of columns: two rows are the same where they agree in all of them. Null agrees
with nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import polars as pl

from crmmap.plan.content import HASH

Rules = Sequence[tuple[str, ...]]

_RANK = "#rank"


def firsts(
    rows: pl.DataFrame, rules: Rules, taken: Sequence[Collection[tuple[Any, ...]]]
) -> list[bool]:
    """Say of each row, in order, whether no row that is kept before it is the same.

    `taken` are, by rule, the values of rows that were kept before them all.
    """
    seen = [set(values) for values in taken]
    return [
        _first(values, seen)
        for values in zip(*(_values(rows, rule) for rule in rules), strict=True)
    ]


def _first(values: Iterable[tuple[Any, ...] | None], seen: list[set[tuple[Any, ...]]]) -> bool:
    pairs = [(each, known) for each, known in zip(values, seen, strict=True) if each is not None]
    if any(each in known for each, known in pairs):
        return False
    for each, known in pairs:
        known.add(each)
    return True


def _values(rows: pl.DataFrame, rule: tuple[str, ...]) -> list[tuple[Any, ...] | None]:
    return [None if None in row else row for row in rows.select(rule).iter_rows()]


def surpassed(rows: pl.DataFrame, rules: Rules, version: str, key: Sequence[str]) -> pl.Series:
    """Say of each row whether one of the others is the same and later.

    Rows have different keys. Null is the oldest version; of equal ones the content hash (`#hash`)
    decides, and then the key, so that no order does.
    """
    ranks = rows.with_row_index("#place").sort(version, HASH, *key, nulls_last=False)
    ranked = ranks.with_row_index(_RANK).sort("#place")
    later = [
        pl.all_horizontal(pl.col(rule).is_not_null())
        & (pl.col(_RANK).max().over(rule) > pl.col(_RANK))
        for rule in rules
    ]
    return ranked.select(pl.any_horizontal(later).alias("surpassed")).to_series()
