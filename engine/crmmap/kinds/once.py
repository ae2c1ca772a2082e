"""Ways to evaluate an expression once: polars evaluates it anew wherever it stands.

`in_turn` is for what can be written in several ways, of which most values are written in the first.
`on_distinct` is for what polars has no word for: Python over the distinct
values of a column, each once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import polars as pl

FEW = 500
"""So few values are read in all ways at once: to try each by itself would cost more."""

Way = Callable[[pl.Expr], pl.Expr]
"""How values of one writing are read: null where they are written otherwise."""


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
    late = then(pl.col("first"))

    def apply(column: pl.Series) -> pl.Series:
        return column.to_frame("first").select_seq(late).to_series()

    return first.map_batches(apply, return_dtype=dtype, is_elementwise=True)


def in_turn(
    text: pl.Expr, ways: Sequence[Way], dtype: pl.DataType, *, every: Way | None = None
) -> pl.Expr:
    """Return what the first of the ways makes of each value that it does not null.

    It is `coalesce` of all the ways, but a later one sees only what is left by those before it.
    `every` comes last, and reads just so whatever one of them does: few values are left to it
    alone, since the patterns of many ways take longer to prepare.
    """
    if every is not None:
        ways = (*ways, every)
    if len(ways) == 1:
        return ways[0](text)

    # Made once they are needed: most values are read in the first way, and types have many.
    @cache
    def reader(at: int) -> pl.Expr:
        return ways[at](pl.col("text"))

    @cache
    def from_here(at: int) -> pl.Expr:
        if every is not None:
            return reader(len(ways) - 1)
        return pl.coalesce([*map(reader, range(at, len(ways)))])

    def apply(column: pl.Series) -> pl.Series:
        texts = column.alias("text")
        read = texts.to_frame().select_seq(reader(0)).to_series()
        for at in range(1, len(ways)):
            count = read.null_count() - column.null_count()
            if not count:
                break
            few = count <= FEW
            if read.null_count() == len(read) and not few:  # nothing to leave out
                read = texts.to_frame().select_seq(reader(at)).to_series()
                continue
            left = unread(read, texts)
            late = texts.gather(left).to_frame().select_seq(from_here(at) if few else reader(at))
            read = read.scatter(left, late.to_series())
            if few:
                break
        return read

    return text.map_batches(apply, return_dtype=dtype, is_elementwise=True)


def unread(read: pl.Series, texts: pl.Series) -> pl.Series:
    """Return where there is a text, and nothing was made of it."""
    return pl.DataFrame({"read": read, "text": texts}).select_seq(UNREAD).to_series()


UNREAD = pl.arg_where(pl.col("read").is_null() & pl.col("text").is_not_null())


def within(value: pl.Expr, first: object, last: object, dtype: pl.DataType) -> pl.Expr:
    """Null what is not from `first` to `last`."""

    def apply(column: pl.Series) -> pl.Series:
        inside = column.is_between(first, last)
        if inside.all():
            return column
        return column.zip_with(inside, pl.Series([None], dtype=column.dtype))

    return value.map_batches(apply, return_dtype=dtype, is_elementwise=True)
