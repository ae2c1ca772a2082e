"""One cell on both paths: compiled to columns, and record by record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from crmmap.kinds.types import Number
from crmmap.select.columnar import Declined, compile_cell, declined, dtype_of, touched
from crmmap.select.jmespath import Cell, Jmespath, JmespathSelector, compile_expression
from crmmap.select.sight import Outside
from crmmap.select.vector_lists import whole
from crmmap.select.vector_nodes import find
from crmmap.select.vectors import Record, Trouble
from crmmap.values import Page

SCALAR = frozenset({"string", "number"})
Answer = tuple[object, str | None]
"""A cell's text, or number, and the rule that it broke."""


def cell(*texts: str, accepts: frozenset[str] = SCALAR) -> Cell:
    expressions = tuple(compile_expression(text) for text in texts)
    return Cell(field="f", expressions=expressions, accepts=accepts)


@dataclass(frozen=True)
class Compared:
    """What the compiled path says of each record, None where it is unsure, and what the exact."""

    compiled: Sequence[Answer | None]
    exact: Sequence[Answer]

    @property
    def differ(self) -> list[tuple[int, Answer, Answer]]:
        both = enumerate(zip(self.compiled, self.exact, strict=True))
        return [(at, ours, theirs) for at, (ours, theirs) in both if ours not in (None, theirs)]


def compared(
    cell: Cell, records: Sequence[object], dtype: pl.Struct | None = None
) -> Compared | str:
    """Return both paths' answers, or why the compiled path declined."""
    if (why := declined(cell)) is not None:
        return why
    dtype = dtype or dtype_of(touched((cell,)), records, {})
    columns = compile_cell(cell, dtype)
    if isinstance(columns, Declined):
        return columns.reason
    frame = frame_of(records, dtype)
    fault = pl.lit(None, dtype=pl.String).alias("f!") if columns.fault is None else columns.fault
    unsure = pl.lit(value=False) if columns.unsure is None else columns.unsure
    made = frame.select("#", columns.value, fault, unsure.alias("?"))
    assert made["f"].dtype == columns.dtype
    assert made["f!"].dtype == pl.String
    answers = [None if row["?"] else (row["f"], row["f!"]) for row in made.iter_rows(named=True)]
    return Compared(answers, exact(cell, records, columns.dtype))


def values_compared(text: str, records: Sequence[object]) -> Compared | str:
    """Return what both paths find, as Python values, whatever its kind: `("raised", None)` if so.

    Of objects only the entries that the compiled path reads are compared; null is as good as none.
    """
    expression = compile_expression(text)
    by_field = Cell(field="f", expressions=(expression,), accepts=SCALAR)
    dtype = dtype_of(touched((by_field,)), records, {})
    try:
        found = whole(find(expression.tree, Record(dtype=dtype)))
    except Outside as outside:
        return str(outside)
    some = frame_of(records, dtype).select("#", value=found.expr, **_told(found.trouble))
    answers: list[Answer | None] = [
        None if row["unsure"] else RAISED if row["fails"] else (row["value"], None)
        for row in some.iter_rows(named=True)
    ]
    return Compared(answers, [_exact_value(expression, each, found.dtype) for each in records])


RAISED: Answer = (None, "raised")


def _told(trouble: Trouble) -> dict[str, pl.Expr]:
    never = pl.lit(value=False)
    return {
        name: pl.any_horizontal([never, *exprs]).fill_null(value=False)
        for name, exprs in (("fails", trouble.fails), ("unsure", trouble.unsure))
    }


def _exact_value(expression: Jmespath, record: object, dtype: pl.DataType) -> Answer:
    try:
        value = expression.find(record)
    except ValueError:
        return RAISED
    try:
        return _fitted(value, dtype), None
    except Unfit:
        return value, "is of another kind"


def exact(cell: Cell, records: Sequence[object], dtype: pl.DataType) -> list[Answer]:
    frame = JmespathSelector(cells=(cell,)).select(Page(number=1, records=records))
    faults = frame["f!"] if "f!" in frame.columns else [None] * len(records)
    values = frame["f"]
    if dtype == pl.Float64():
        values = frame.select(f=Number().read(pl.col("f")))["f"]
    return list(zip(values, faults, strict=True))


def frame_of(records: Sequence[object], dtype: pl.Struct) -> pl.DataFrame:
    """Return the records as columns, beside a column `#`. Raises Unfit."""
    columns = {
        each.name: pl.Series([_fitted(record, dtype)[each.name] for record in records],
                             dtype=each.dtype, strict=True)
        for each in dtype.fields
    }  # fmt: skip
    return pl.DataFrame({"#": range(len(records)), **columns})


class Unfit(Exception):
    pass


def _fitted(value: object, dtype: pl.DataType) -> object:
    if value is None:
        return None
    if isinstance(dtype, pl.Struct) and isinstance(value, dict):
        return {each.name: _fitted(value.get(each.name), each.dtype) for each in dtype.fields}
    if isinstance(dtype, pl.List) and isinstance(value, list):
        return [_fitted(each, dtype.inner) for each in value]
    kinds = {pl.String: str, pl.Boolean: bool, pl.Int64: int, pl.Float64: (int, float, Decimal)}
    kind = kinds.get(type(dtype) if isinstance(dtype, pl.DataType) else dtype)
    if kind is None or not isinstance(value, kind):
        raise Unfit
    if isinstance(value, bool) != (dtype == pl.Boolean()):
        raise Unfit
    return float(value) if dtype == pl.Float64() else value
