"""A file's columns, chosen by their headers."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from crmmap.frozen import dataclass
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

    @property
    def exact(self) -> ColumnSelector:
        return self

    def select(self, page: Page) -> RawFrame:
        records = page.records
        assert isinstance(records, pl.DataFrame)  # noqa: S101  (a plan pairs selector and source)
        spaced = _spaced(records)
        texts = records.select(_text(name, headers, spaced) for name, headers in self.fields)
        # Joined, a column is searched in a third of the time that its cells take one by one.
        nul = texts.select(pl.all().str.join("").str.contains(NUL, literal=True))
        broken = [each.name for each in nul if each.any()]
        faulty = texts.select(pl.col(name).str.contains(NUL, literal=True) for name in broken)
        faults = [
            pl.when(faulty[name]).then(pl.lit("text.nul")).alias(fault_column(name))
            for name in broken
        ]
        cleared = [pl.when(~faulty[name]).then(pl.col(name)).alias(name) for name in broken]
        return texts.with_columns(*cleared, *faults, *_places(page, records.height))


def _spaced(records: pl.DataFrame) -> dict[str, bool]:
    """Say of each column whether a cell may begin with white space, as one with nothing else does.

    Most do not: then nothing has to be looked at closely.
    """
    if not records.width:
        return {}
    odd = (pl.all() < FIRST_SIGN) | (pl.all() > LAST_SIGN)
    return dict(zip(records.columns, records.select(odd.any()).row(0), strict=True))


FIRST_SIGN, LAST_SIGN = "!", "\x7f"
"""What begins with a sign of ASCII stands between these."""


def _text(name: str, headers: tuple[str, ...], spaced: Mapping[str, bool]) -> pl.Expr:
    columns = list(spaced)
    # By place: polars takes a name like `*` or `^a$` for a pattern.
    cells = [
        _told(pl.nth(columns.index(header)), spaced=spaced[header])
        for header in headers
        if header in spaced
    ]
    none = pl.repeat(None, pl.len(), dtype=pl.String)
    return (pl.coalesce(cells) if cells else none).alias(name)


def _told(cell: pl.Expr, *, spaced: bool) -> pl.Expr:
    return pl.when(cell.str.strip_chars() != "").then(cell) if spaced else cell


def _places(page: Page, height: int) -> tuple[pl.Series, ...]:
    lines = range(height) if page.lines is None else page.lines
    return (
        pl.repeat(page.number, height, dtype=pl.UInt32, eager=True).alias(PAGE),
        pl.int_range(height, dtype=pl.UInt32, eager=True).alias(INDEX),
        pl.Series(AT, lines, dtype=pl.UInt32),
    )
