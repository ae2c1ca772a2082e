"""A page of texts as a table of Parquet, and back: in a tenth of the time that lines of JSON take.

The table's first column is each record's place; the others are the page's, by their own names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import chain, count

import polars as pl

from crmmap.redact import Clean, tells
from crmmap.values import Page

ESCAPED = 6
"""Characters of JSON that a byte of text becomes at most: `\\u001f`."""


def plain_texts(page: Page, clean: Clean | None, *, longest: int) -> pl.DataFrame | None:
    """Return a page's records if all are texts, no secret stands in them, and none may be too long.

    `longest` is in characters of JSON.
    """
    records = page.records
    if not isinstance(records, pl.DataFrame) or {*records.dtypes} != {pl.String}:
        return None
    if records.is_empty() or "" in records.columns or _longest(records) > longest:
        return None  # a column of a table has a name
    if clean is None:
        return records
    joined = records.select(pl.all().str.join("\n")).row(0)
    whole = "\n".join([*records.columns, *filter(None, joined)])
    return None if tells(clean, whole) else records


def _longest(records: pl.DataFrame) -> int:
    """Return how many characters of JSON a record may have."""
    cells: Sequence[int | None] = records.select(pl.all().str.len_bytes().max()).row(0)
    names = sum(len(name.encode()) for name in records.columns)
    return ESCAPED * (names + sum(filter(None, cells))) + len('"":null,') * len(cells)


def pack_texts(
    records: pl.DataFrame, places: Sequence[int] | pl.Series, *, most: int
) -> Iterator[tuple[int, bytes]]:
    """Yield tables of at most `most` bytes, or of one record, with the numbers of their records."""
    names = chain(["at"], (f"at {number}" for number in count(2)))
    place = next(name for name in names if name not in records.columns)
    at = pl.Series(place, places, dtype=pl.UInt32).to_frame()
    yield from _halved(at.hstack(records), most)


def _halved(table: pl.DataFrame, most: int) -> Iterator[tuple[int, bytes]]:
    body = BytesIO()
    table.write_parquet(body, compression="zstd", compression_level=1, statistics=False)
    if body.tell() <= most or len(table) == 1:
        yield len(table), body.getvalue()
        return
    middle = len(table) // 2
    yield from _halved(table[:middle], most)
    yield from _halved(table[middle:], most)


def unpack_texts(body: bytes) -> tuple[pl.DataFrame, list[int]]:
    """Return the records of a table, and their places."""
    table = pl.read_parquet(BytesIO(body))
    return table[:, 1:], table[:, 0].to_list()
