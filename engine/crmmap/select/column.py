"""A file's columns, chosen by their headers."""

from __future__ import annotations

from collections.abc import Mapping, Set
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

    Nobody looks for white space in a field of one header whose texts are `trimmed` later, as most
    are: one that is nothing else is null then.
    """

    fields: tuple[tuple[str, tuple[str, ...]], ...]
    trimmed: frozenset[str] = frozenset()

    @property
    def exact(self) -> ColumnSelector:
        return self

    def select(self, page: Page) -> RawFrame:
        records = page.records
        assert isinstance(records, pl.DataFrame)  # noqa: S101  (a plan pairs selector and source)
        spaced = _spaced(records, self._asked())
        texts = records.select(_text(name, headers, spaced) for name, headers in self.fields)
        if not page.nul:
            return texts.with_columns(*_places(page, records.height))
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

    def _asked(self) -> set[str]:
        """Return the headers under which a cell of nothing but white space matters."""
        return {
            header
            for name, headers in self.fields
            if len(headers) > 1 or name not in self.trimmed
            for header in headers
        }


def _spaced(records: pl.DataFrame, asked: Set[str]) -> dict[str, bool]:
    """Say of each column whether a cell may begin with white space, as one with nothing else does.

    Most do not: then nothing has to be looked at closely. Nor has what is not `asked` for.
    """
    names = records.columns
    spaced = dict.fromkeys(names, False)
    # By place: polars takes a name like `*` or `^a$` for a pattern.
    places = [at for at, name in enumerate(names) if name in asked]
    if places:
        odd = (pl.nth(places) < FIRST_SIGN) | (pl.nth(places) > LAST_SIGN)
        told = records.select(odd.any())
        spaced |= zip(told.columns, told.row(0), strict=True)
    return spaced


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
