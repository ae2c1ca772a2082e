"""The hash of a row's content: how a stored row is told from a changed one without reading it."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import polars as pl

from crmmap.plan.steps import Column

HASH = "#hash"
BETWEEN = "\x1f"
NULL = "-"


def content_hashes(rows: pl.DataFrame, columns: tuple[Column, ...]) -> pl.Series:
    """Return 64 bits (Int64, named `#hash`) of each row's content, the same on every machine.

    Every value goes in as its type's canonical text, a text of the record's with its
    length before it, so that no two different rows give the same bytes. (polars' own hash is
    not promised to stay the same from version to version.) A change goes unseen
    with a probability of 2**-64.
    """
    texts = rows.select(_content(columns))[HASH].to_list()
    digests = [blake2b(text, digest_size=8).digest() for text in texts]
    return pl.Series(HASH, digests, dtype=pl.Binary).bin.reinterpret(
        dtype=pl.Int64, endianness="little"
    )


@lru_cache(maxsize=256)
def _content(columns: tuple[Column, ...]) -> pl.Expr:
    parts = [part for column in columns for part in _parts(column)]
    return pl.concat_str(parts, separator=BETWEEN, ignore_nulls=True).cast(pl.Binary).alias(HASH)


def _parts(column: Column) -> tuple[pl.Expr, ...]:
    """Return the parts of a cell's bytes: its text, and the length of a text that may be any.

    A null is a dash instead, which neither a length nor the text of another type is.
    """
    text = column.type.show(pl.col(column.name))
    if column.type.dtype != pl.String:
        return (text.fill_null(NULL),)
    return text.str.len_bytes().cast(pl.String).fill_null(NULL), text
