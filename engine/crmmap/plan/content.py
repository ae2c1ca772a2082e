"""The hash of a row's content: how a stored row is told from a changed one without reading it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import polars as pl

from crmmap.plan.steps import Column

HASH = "#hash"
BETWEEN = "\x1f"
NULL = "\0"
MARKS = f"[{NULL}{BETWEEN}]"


def content_hashes(rows: pl.DataFrame, columns: tuple[Column, ...]) -> pl.Series:
    """Return 64 bits (Int64, named `#hash`) of each row's content, the same on every machine.

    The values go in as texts, with a mark between them, and another for null. Behind them stand
    the lengths of the texts, where one of the row's holds such a mark itself: so no two different
    rows give the same bytes. (polars' own hash is not promised to stay the same from version to
    version.) A change goes unseen with a probability of 2**-64.
    """
    content = rows.select(_content(columns)).to_series()
    if marked := _marked(rows, columns):
        odd = pl.any_horizontal(pl.col(name).str.contains(MARKS) for name in marked)
        whole = pl.concat_str(content, *_lengths(columns), separator=BETWEEN)
        content = rows.select(pl.when(odd).then(whole).otherwise(content)).to_series()
    texts = content.cast(pl.Binary).to_list()
    digests = [blake2b(text, digest_size=8).digest() for text in texts]
    return pl.Series(HASH, digests, dtype=pl.Binary).bin.reinterpret(
        dtype=pl.Int64, endianness="little"
    )


@lru_cache(maxsize=256)
def _content(columns: tuple[Column, ...]) -> pl.Expr:
    return pl.concat_str((_text(each).fill_null(NULL) for each in columns), separator=BETWEEN)


def _text(column: Column) -> pl.Expr:
    """Return a cell's text; of times, their number, for their text takes far longer to write."""
    cell = pl.col(column.name)
    timed = column.type.dtype.is_temporal()
    return cell.to_physical().cast(pl.String) if timed else column.type.show(cell)


def _texts(columns: Sequence[Column]) -> list[str]:
    return [each.name for each in columns if each.type.dtype == pl.String]


def _marked(rows: pl.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Return the columns with texts that hold a mark. Almost always, none does."""
    joined = rows.select(pl.col(_texts(columns)).str.join("").str.contains(MARKS))
    return [each.name for each in joined if each.any()]


def _lengths(columns: Sequence[Column]) -> list[pl.Expr]:
    lengths = (pl.col(name).str.len_bytes() for name in _texts(columns))
    return [each.cast(pl.String).fill_null(NULL) for each in lengths]
