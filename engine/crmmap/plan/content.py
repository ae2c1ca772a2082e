"""The hash of a row's content: how a stored row is told from a changed one without reading it."""

from __future__ import annotations

from hashlib import blake2b

import polars as pl

from crmmap.plan.steps import Column

HASH = "#hash"


def content_hashes(rows: pl.DataFrame, columns: tuple[Column, ...]) -> pl.Series:
    """Return 64 bits (Int64, named `#hash`) of each row's content, the same on every machine.

    Every value goes in as its type's canonical text, prefixed with its length,
    so that no two different rows give the same bytes. (polars' own hash is not
    promised to stay the same from version to version.) A change goes unseen
    with a probability of 2**-64.
    """
    texts = rows.select(pl.concat_str(*(_part(column) for column in columns)).alias(HASH))
    digests = [blake2b(text.encode(), digest_size=8).digest() for text in texts[HASH]]
    return pl.Series(HASH, digests, dtype=pl.Binary).bin.reinterpret(
        dtype=pl.Int64, endianness="little"
    )


def _part(column: Column) -> pl.Expr:
    text = column.type.show(pl.col(column.name))
    return pl.concat_str(text.str.len_bytes().cast(pl.String), pl.lit(":"), text).fill_null("-")
