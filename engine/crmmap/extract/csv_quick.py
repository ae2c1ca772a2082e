"""The quick reader: clean text goes to polars, and all other to the exact reader.

Whether text is clean is told by where its quotes and line feeds stand, which a column of its bytes
gives for next to nothing, and by how many bytes polars has found in its cells: were a record short
of a cell, they would be more than there can be. polars itself refuses a record with one too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import polars as pl

from crmmap.extract.csv_chunks import Chunk, Shape, Stretch
from crmmap.extract.csv_exact import exactly
from crmmap.extract.octets import octets

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
FEED, RETURN = b"\n\r"


PIECE = 256 * 1024
"""Bytes of text that are read exactly, about, for the sake of one that is not clean."""


def quickest(stretch: Stretch, shape: Shape, *, piece: int = PIECE) -> Chunk:
    """Read clean text at full speed, and other text exactly, for about `piece` bytes around it."""
    chunk = quickly(stretch, shape)
    if chunk is not None:
        return chunk
    chunks: list[Chunk] = []
    at, line, size = 0, stretch.line, piece
    while at < len(stretch.text):
        ended = at + size >= len(stretch.text)
        some = Stretch(
            text=stretch.text[at : at + size], line=line, ended=ended and stretch.ended
        )  # fmt: skip
        if size == piece:
            chunk = quickly(some, shape) or exactly(some, shape)
        else:
            chunk = exactly(some, shape, most=1)
        if chunk.consumed:
            chunks.append(chunk)
            at, line, size = at + chunk.consumed, line + chunk.passed, piece
        elif ended:
            break
        else:  # all of it is one record, as it seems where a quote is never closed
            size = max(2 * size, shape.max_record + 1)
    return _together(chunks) if chunks else exactly(stretch, shape)


def _together(chunks: Sequence[Chunk]) -> Chunk:
    return Chunk(
        records=pl.concat([each.records for each in chunks]),
        lines=pl.concat([each.lines for each in chunks]),
        refused=tuple(refusal for each in chunks for refusal in each.refused),
        consumed=sum(each.consumed for each in chunks),
        passed=sum(each.passed for each in chunks),
        nul=any(each.nul for each in chunks),
    )


def quickly(stretch: Stretch, shape: Shape) -> Chunk | None:
    """Read with polars. None: the text is not plainly well-formed, so it must be read exactly."""
    if not (shape.delimiter.isascii() and shape.quote.isascii()):
        return None
    marks = _Marks.of(stretch, shape)
    text = stretch.text[: marks.end]
    if not text or not _plain(text, shape) or not marks.well_formed(shape):
        return None
    if marks.longest() > shape.max_record:
        return None
    # At an end without a line feed, polars does not mind one cell too many.
    records = _parsed(text + b"\n" if marks.open else text, shape)
    if records is None or records.height != marks.records:
        return None
    cells = records.select(pl.sum_horizontal(pl.all().str.len_bytes().sum())).item()
    if cells != marks.room(len(shape.columns)):
        return None
    return Chunk(
        records=records,
        lines=marks.first_lines(stretch.line),
        consumed=marks.end,
        passed=len(marks.feeds) + marks.open,
        nul=False,
    )


def _plain(text: bytes, shape: Shape) -> bool:
    """Whether polars certainly sees the same characters and line ends as we do."""
    return (
        len(shape.columns) > 1  # in a single column, a blank line could be a record
        and not text.startswith(BYTE_ORDER_MARK)  # polars would drop it from the first cell
        and b"\0" not in text
        and (b"\r" not in text or text.count(b"\r") == text.count(b"\r\n"))
        and (text.isascii() or _utf8(text))
    )


def _utf8(text: bytes) -> bool:
    """Whether the text is UTF-8 throughout: a quarter of the time that a `str` of it takes."""
    try:
        pl.Series([text], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.PolarsError:
        return False
    return True


def _only(signs: pl.Series, *known: int) -> bool:
    """Whether a column of bytes has none but these: for so few, faster than `is_in`."""
    return bool(reduce(or_, (signs == each for each in known)).all())


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marks:
    """Where quotes and line feeds stand in the text up to `end`, after which no record is whole.

    `borders` are the numbers, among the `feeds`, of those outside of quotes: they end records.
    `open` says that the last record is ended by no line feed.
    """

    octets: pl.Series
    quotes: pl.Series
    feeds: pl.Series
    borders: pl.Series
    end: int
    open: bool

    @classmethod
    def of(cls, stretch: Stretch, shape: Shape) -> _Marks:
        every = octets(stretch.text)
        quote = ord(shape.quote)
        marks = ((every == quote) | (every == FEED)).arg_true()
        quoting = every.gather(marks) == quote
        quotes, feeds = marks.filter(quoting), marks.filter(~quoting)
        borders = (quoting.cum_sum().filter(~quoting) % 2 == 0).arg_true()
        if stretch.ended:
            end, last = len(every), len(feeds)
        else:
            last = int(borders[-1]) + 1 if len(borders) else 0
            end = int(feeds[last - 1]) + 1 if last else 0
        return cls(
            octets=every,
            quotes=quotes.filter(quotes < end),
            feeds=feeds[:last],
            borders=borders,
            end=end,
            open=not end or every[end - 1] != FEED,
        )

    @property
    def records(self) -> int:
        """How many records there are, blank lines among them."""
        return len(self.borders) + self.open

    @property
    def opening(self) -> pl.Series:
        return self.quotes.gather_every(2)

    @property
    def closing(self) -> pl.Series:
        return self.quotes.gather_every(2, 1)

    def well_formed(self, shape: Shape) -> bool:
        """Whether every quote opens a cell, closes one, or is doubled within one."""
        if len(self.quotes) % 2:
            return False
        delimiter, quote = ord(shape.delimiter), ord(shape.quote)
        opening, closing = self.opening, self.closing
        before = self.octets.gather(opening.filter(opening > 0) - 1)
        after = self.octets.gather(closing.filter(closing < self.end - 1) + 1)
        return _only(before, delimiter, FEED, quote) and _only(
            after, delimiter, FEED, RETURN, quote
        )

    def longest(self) -> int:
        """Return the length of the longest record, with its line end."""
        ends = self.feeds.gather(self.borders).cast(pl.Int64)
        bounds = pl.concat([pl.Series([-1]), ends, pl.Series([self.end - 1])])
        return int(bounds.diff().max())  # type: ignore[arg-type]

    def room(self, width: int) -> int:
        """Return how many bytes are in the cells of well-formed records of so many cells each."""
        ends = self.feeds.gather(self.borders)
        returns = self.octets.gather(ends.filter(ends > 0) - 1) == RETURN
        doubled = self.opening[1:] == self.closing[:-1] + 1
        around = len(self.quotes) - int(doubled.sum()) + len(ends) + int(returns.sum())
        return self.end - around - self.records * (width - 1)

    def first_lines(self, first: int) -> pl.Series:
        """Return the line on which each record starts."""
        after = (self.borders[: self.records - 1] + (first + 1)).cast(pl.UInt32)
        return pl.concat([pl.Series([first], dtype=pl.UInt32), after]).alias("line")
