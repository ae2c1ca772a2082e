"""A file's columns, chosen by their headers."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from crmmap.values import AT, INDEX, PAGE, Page, RawFrame, fault_column

NUL = "\0"


@dataclass(frozen=True, slots=True)
class ColumnSelector:
    """Makes the raw frame of a page of a file: for each field, its alternative headers in order.

    A field takes the first of its alternatives that is not empty, white space
    apart, and is null where all are, or none is in the file. A text with a NUL
    character, which no database stores, is null with the fault `text.nul`.
    """

    fields: tuple[tuple[str, tuple[str, ...]], ...]

    def select(self, page: Page) -> RawFrame:
        records = page.records
        assert isinstance(records, pl.DataFrame)  # noqa: S101  (a plan pairs selector and source)
        texts = records.select(_text(name, headers, records) for name, headers in self.fields)
        faulty = texts.select(pl.all().str.contains(NUL, literal=True))
        broken = [name for name in texts.columns if faulty[name].any()]
        faults = [
            pl.when(faulty[name]).then(pl.lit("text.nul")).alias(fault_column(name))
            for name in broken
        ]
        cleared = [pl.when(~faulty[name]).then(pl.col(name)).alias(name) for name in broken]
        return texts.with_columns(*cleared, *faults, *_places(page, records.height))


def _text(name: str, headers: tuple[str, ...], records: pl.DataFrame) -> pl.Expr:
    # By place: polars takes a name like `*` or `^a$` for a pattern.
    places = [records.columns.index(header) for header in headers if header in records.columns]
    cells = [pl.when(pl.nth(at).str.strip_chars() != "").then(pl.nth(at)) for at in places]
    none = pl.repeat(None, records.height, dtype=pl.String)
    return (pl.coalesce(cells) if cells else none).alias(name)


def _places(page: Page, height: int) -> tuple[pl.Series, ...]:
    lines = range(height) if page.lines is None else page.lines
    return (
        pl.repeat(page.number, height, dtype=pl.UInt32, eager=True).alias(PAGE),
        pl.int_range(height, dtype=pl.UInt32, eager=True).alias(INDEX),
        pl.Series(AT, lines, dtype=pl.UInt32),
    )
