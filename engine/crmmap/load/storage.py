"""How a frame's columns travel to the database's driver and back: exactly, whatever the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import polars as pl
from sqlalchemy.engine import Connection
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
    cells = rows.select(to_driver(columns, compiler))
    # Column by column: `DataFrame.rows` takes half as long again.
    return list(zip(*(column.to_list() for column in cells), strict=True))


def insert_each(
    connection: Connection, statement: str, columns: Sequence[Column], rows: pl.DataFrame
) -> int:
    """Run a statement for each row of a frame; return how many rows of the table were written."""
    cells = cells_of(rows, columns, connection.dialect)
    return connection.exec_driver_sql(statement, cells).rowcount


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


def _stored(column: Column, compiler: Compiler) -> str:
    return column.type.sql().compile(dialect=compiler)


def _as_text(column: Column, compiler: Compiler) -> bool:
    return column.type.dtype != pl.String and _stored(column, compiler) == "TEXT"


def _as_number(column: Column, compiler: Compiler) -> bool:
    return column.type.dtype == pl.Boolean and _stored(column, compiler) in ("INTEGER", "BOOL")
