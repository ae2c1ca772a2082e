"""How a frame's columns travel to the database's driver and back: exactly, whatever the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import polars as pl
from sqlalchemy.engine import Dialect as Compiler

from crmmap.plan import Column


def to_driver(columns: Iterable[Column], compiler: Compiler) -> list[pl.Expr]:
    """Return expressions that turn a frame's typed columns into what the driver must be given.

    Where the store has only text for a type (a decimal on SQLite), it is given
    the type's canonical text.
    """
    return [_to_driver(column, compiler) for column in columns]


def _to_driver(column: Column, compiler: Compiler) -> pl.Expr:
    cell = pl.col(column.name)
    if _as_text(column, compiler):
        return column.type.show(cell).alias(column.name)
    return cell.cast(pl.Int64) if _as_number(column, compiler) else cell


def cells_of(
    rows: pl.DataFrame, columns: Sequence[Column], compiler: Compiler
) -> list[tuple[Any, ...]]:
    """Return a frame's columns row by row, as the driver must be given them."""
    cells, width = flat_cells(rows.select(to_driver(columns, compiler))), len(columns)
    return [tuple(cells[start : start + width]) for start in range(0, len(cells), width)]


def flat_cells(rows: pl.DataFrame) -> list[Any]:
    """Return the cells of a frame, row after row."""
    # Column by column: `DataFrame.rows` takes twice as long.
    cells: list[Any] = [None] * (rows.height * rows.width)
    for place, column in enumerate(rows):
        cells[place :: rows.width] = column.to_list()
    return cells


def from_driver(
    rows: Sequence[Sequence[Any]], columns: Sequence[Column], compiler: Compiler
) -> pl.DataFrame:
    """Return what the driver gave for `columns`, typed as a frame would hold it."""
    # Column by column: a frame made of rows takes three times as long.
    cells = zip(*rows, strict=True) if rows else repeat(())
    frame = pl.DataFrame(
        pl.Series(column.name, values, dtype=_driver_dtype(column, compiler))
        for column, values in zip(columns, cells, strict=False)
    )
    return frame.select(
        column.type.read(pl.col(column.name)).alias(column.name)
        if _as_text(column, compiler)
        else pl.col(column.name).cast(column.type.dtype)
        for column in columns
    )


def _driver_dtype(column: Column, compiler: Compiler) -> pl.DataType:
    if _as_text(column, compiler):
        return pl.String()
    return pl.Int64() if _as_number(column, compiler) else column.type.dtype


@lru_cache(maxsize=256)
def _stored(column: Column, compiler: Compiler) -> str:
    return column.type.sql().compile(dialect=compiler)


def _as_text(column: Column, compiler: Compiler) -> bool:
    return column.type.dtype != pl.String and _stored(column, compiler) == "TEXT"


def _as_number(column: Column, compiler: Compiler) -> bool:
    return column.type.dtype == pl.Boolean and _stored(column, compiler) in ("INTEGER", "BOOL")
