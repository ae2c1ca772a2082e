"""The quick reader: clean text goes to polars, and all other to the exact reader."""

from __future__ import annotations

import polars as pl

from crmmap.extract.csv_chunks import Chunk, Shape, Stretch, unquoted, valid
from crmmap.extract.csv_exact import exactly

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def quickest(stretch: Stretch, shape: Shape) -> Chunk:
    """Read clean text at full speed, and any other text exactly."""
    chunk = quickly(stretch, shape)
    return exactly(stretch, shape) if chunk is None else chunk


def quickly(stretch: Stretch, shape: Shape) -> Chunk | None:
    """Read with polars. None: the text is not plainly well-formed, so it must be read exactly."""
    end = len(stretch.text) if stretch.ended else _last_border(stretch.text, shape)
    text = stretch.text[:end]
    if not text or not _plain(text, shape):
        return None
    outside = unquoted(text, shape)
    if outside is None:
        return None
    rows = outside.removesuffix(b"\n").split(b"\n")
    delimiter = shape.delimiter.encode()
    if {row.count(delimiter) for row in rows} != {len(shape.columns) - 1}:
        return None
    records = _parsed(text, shape)
    if records is None or records.height != len(rows) or _maybe_long(records, len(text), shape):
        return None
    inside = text.count(b"\n") - outside.count(b"\n")
    return Chunk(
        records=records,
        lines=_first_lines(records, stretch.line, inside),
        consumed=end,
        passed=text.count(b"\n") + (not text.endswith(b"\n")),
    )


def _last_border(text: bytes, shape: Shape) -> int:
    """Return the offset after the last line feed outside of quotes; 0 if there is none in reach."""
    quote = shape.quote.encode()
    odd = text.count(quote) % 2
    end, reach = len(text), max(0, len(text) - shape.max_record)
    while (border := text.rfind(b"\n", reach, end)) >= 0:
        odd ^= text.count(quote, border, end) % 2
        if not odd:
            return border + 1
        end = border
    return 0


def _plain(text: bytes, shape: Shape) -> bool:
    """Whether polars certainly sees the same characters, cells and line ends as we do."""
    return (
        len(shape.columns) > 1  # in a single column, a blank line could be a record
        and shape.delimiter.isascii()
        and shape.quote.isascii()
        and not text.startswith(BYTE_ORDER_MARK)  # polars would drop it from the first cell
        and b"\0" not in text
        and text.count(b"\r") == text.count(b"\r\n")
        and valid(text)
    )


def _parsed(text: bytes, shape: Shape) -> pl.DataFrame | None:
    try:
        return pl.read_csv(
            text,
            has_header=False,
            schema=dict.fromkeys(shape.columns, pl.String),
            infer_schema=False,
            separator=shape.delimiter,
            quote_char=shape.quote,
            null_values="",  # polars keeps a quoted empty cell apart; we don't
        )
    # A panic is no Exception. Whatever stops polars, the exact reader can judge.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def _maybe_long(records: pl.DataFrame, size: int, shape: Shape) -> bool:
    """Whether some record may be longer than allowed: cells can double in size by their quotes."""
    if size <= shape.max_record:
        return False
    longest = records.select(pl.sum_horizontal(pl.all().str.len_bytes()).max()).item()
    return 2 * int(longest or 0) + 3 * len(shape.columns) + 1 > shape.max_record


def _first_lines(records: pl.DataFrame, first: int, inside: int) -> pl.Series:
    """Return the line on which each record starts; `inside` line feeds stand within cells."""
    if not inside:
        return pl.int_range(first, first + records.height, dtype=pl.UInt32, eager=True).alias(
            "line"
        )
    feeds = pl.all().str.count_matches("\n", literal=True)
    height = pl.sum_horizontal(feeds).cast(pl.Int64) + 1
    starts = first + height.cum_sum() - height
    return records.select(starts.cast(pl.UInt32).alias("line")).to_series()
