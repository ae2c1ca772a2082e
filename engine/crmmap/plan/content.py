"""The hash of a row's content: how a stored row is told from a changed one without reading it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import zip_longest

import polars as pl

from crmmap.plan.steps import Column

HASH = "#hash"
BETWEEN = "\x1f"
NULL = "-"
NO_TEXT = 2**32 - 1
"""In the place of a null's length; no text is as long."""


def content_hashes(rows: pl.DataFrame, columns: tuple[Column, ...]) -> pl.Series:
    """Return 64 bits (Int64, named `#hash`) of each row's content, the same on every machine.

    The lengths of the record's texts go in first, then all other values as texts that tell them
    apart, then the texts, so that no two different rows give the same bytes. (polars' own hash is
    not promised to stay the same from version to version.) A change goes unseen
    with a probability of 2**-64.
    """
    texts = rows.select(_content(columns)).to_series().to_list()
    digests = [blake2b(text, digest_size=8).digest() for text in texts]
    return pl.Series(HASH, digests, dtype=pl.Binary).bin.reinterpret(
        dtype=pl.Int64, endianness="little"
    )


@lru_cache(maxsize=256)
def _content(columns: tuple[Column, ...]) -> pl.Expr:
    texts = [pl.col(each.name) for each in columns if each.type.dtype == pl.String]
    others = (_other(each) for each in columns if each.type.dtype != pl.String)
    parts = [*_lengths(texts), *others, *texts]
    return pl.concat_str(parts, separator=BETWEEN, ignore_nulls=True).cast(pl.Binary)


def _other(column: Column) -> pl.Expr:
    """Return a cell's text; of times, their number, for their text takes far longer to write."""
    cell = pl.col(column.name)
    timed = column.type.dtype.is_temporal()
    text = cell.to_physical().cast(pl.String) if timed else column.type.show(cell)
    return text.fill_null(NULL)


def _lengths(texts: Sequence[pl.Expr]) -> Iterator[pl.Expr]:
    """Yield the lengths of texts, two in one number."""
    lengths = [each.str.len_bytes().cast(pl.UInt64).fill_null(NO_TEXT) for each in texts]
    for first, second in zip_longest(lengths[::2], lengths[1::2]):
        both = first if second is None else first * (NO_TEXT + 1) + second
        yield both.cast(pl.String)
