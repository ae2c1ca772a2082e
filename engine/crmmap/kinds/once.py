"""Ways to evaluate an expression once: polars evaluates it anew wherever it stands.

`on_distinct` is for what polars has no word for: Python over the distinct
values of a column, each once.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl


def on_distinct(text: pl.Expr, function: Callable[[str], str | None]) -> pl.Expr:
    """Apply a pure function to the distinct texts of a String expression; null stays null."""

    def apply(column: pl.Series) -> pl.Series:
        distinct = column.drop_nulls().unique()
        if distinct.is_empty():
            return column
        answers = [function(each) for each in distinct]
        return column.replace_strict(distinct, answers, default=None, return_dtype=pl.String())

    return text.map_batches(apply, return_dtype=pl.String(), is_elementwise=True)


def in_stages(first: pl.Expr, then: Callable[[pl.Expr], pl.Expr], dtype: pl.DataType) -> pl.Expr:
    """Evaluate `first`, then what `then` makes of its result, which may name it many times."""

    def apply(column: pl.Series) -> pl.Series:
        return column.to_frame("first").select(then(pl.col("first"))).to_series()

    return first.map_batches(apply, return_dtype=dtype, is_elementwise=True)


def within(value: pl.Expr, first: object, last: object, dtype: pl.DataType) -> pl.Expr:
    """Null what is not from `first` to `last`."""

    def apply(column: pl.Series) -> pl.Series:
        nothing = pl.Series([None], dtype=column.dtype)
        return column.zip_with(column.is_between(first, last), nothing)

    return value.map_batches(apply, return_dtype=dtype, is_elementwise=True)
