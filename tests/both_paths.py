"""Cells on both paths: compiled to columns, and record by record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from crmmap.kinds.types import Number
from crmmap.select.columnar import Declined, compile_cell, declined, dtype_of, touched
from crmmap.select.document import ambiguous
from crmmap.select.jmespath import Cell, Jmespath, JmespathSelector, compile_expression
from crmmap.select.sight import Outside, is_unicode
from crmmap.select.vector_lists import whole
from crmmap.select.vector_nodes import find
from crmmap.select.vectors import Record
from crmmap.values import Page, fault_column

SCALAR = frozenset({"string", "number"})
Answer = tuple[object, str | None]
"""A cell's text, or number, and the rule that it broke."""


def cell(*texts: str, accepts: frozenset[str] = SCALAR, field: str = "f") -> Cell:
    expressions = tuple(compile_expression(text) for text in texts)
    return Cell(field=field, expressions=expressions, accepts=accepts)


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
    cells: Sequence[Cell], records: Sequence[object], dtype: pl.Struct | None = None
) -> list[Compared | str]:
    """Return both paths' answers for each cell and then for each of its expressions.

    Instead of answers that there are none of: why the compiled path declined.
    """
    dtype = dtype or dtype_of(touched(tuple(cells)), records, {})
    asked: list[_Asked | str] = []
    for each in cells:
        asked.append(_of_cell(each, records, dtype))
        asked += [_of_value(one, records, dtype) for one in each.expressions]
    exprs = {
        f"{at}{name}": expr
        for at, each in enumerate(asked) if not isinstance(each, str)
        for name, expr in each.exprs.items()
    }  # fmt: skip
    made = frame_of(records, dtype).select("#", **exprs) if exprs else pl.DataFrame()
    return [each if isinstance(each, str) else each.told(at, made) for at, each in enumerate(asked)]


@dataclass(frozen=True)
class _Asked:
    exprs: dict[str, pl.Expr]
    """`value`, `fault`, and `unsure`."""
    dtype: pl.DataType
    exact: Sequence[Answer]

    def told(self, at: int, made: pl.DataFrame) -> Compared:
        value, fault, unsure = (made[f"{at}{name}"] for name in ("value", "fault", "unsure"))
        assert (value.dtype, fault.dtype) == (self.dtype, pl.String)
        answers = [
            None if doubt else (one, rule)
            for one, rule, doubt in zip(value, fault, unsure, strict=True)
        ]
        return Compared([_plain(each) for each in answers], self.exact)


def _plain(answer: Answer | None) -> Answer | None:
    if answer is None:
        return None
    if answer[1] == "raised":
        return None, "raised"
    return answer[0].to_list() if isinstance(answer[0], pl.Series) else answer[0], answer[1]


NEVER = pl.lit(value=False)
NONE = pl.lit(None, dtype=pl.String)


def _of_cell(cell: Cell, records: Sequence[object], dtype: pl.Struct) -> _Asked | str:
    if (why := declined(cell)) is not None:
        return why
    columns = compile_cell(cell, dtype)
    if isinstance(columns, Declined):
        return columns.reason
    exprs = {
        "value": columns.value,
        "fault": NONE if columns.fault is None else columns.fault,
        "unsure": NEVER if columns.unsure is None else columns.unsure,
    }
    return _Asked(exprs, columns.dtype, exact(cell, records, columns.dtype))


def _of_value(expression: Jmespath, records: Sequence[object], dtype: pl.Struct) -> _Asked | str:
    """Ask for what the expression finds, of any kind: fault `raised` where evaluating raises.

    Of objects only the entries that the compiled path reads are compared; null is as good as none.
    """
    try:
        found = whole(find(expression.tree, Record(dtype=dtype)))
    except Outside as outside:
        return str(outside)
    fails, unsure = (
        pl.any_horizontal([NEVER, *exprs]).fill_null(value=False)
        for exprs in (found.trouble.fails, found.trouble.unsure)
    )
    value = found.expr.cast(pl.String) if found.dtype == pl.Null() else found.expr
    fitting = pl.String() if found.dtype == pl.Null() else found.dtype
    fault = pl.when(fails).then(pl.lit("raised"))
    return _Asked(
        {"value": value, "fault": fault, "unsure": unsure}, fitting,
        [_exact_value(expression, each, fitting) for each in records],
    )  # fmt: skip


RAISED: Answer = (None, "raised")


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
    fault = fault_column(cell.field)
    faults = frame[fault] if fault in frame.columns else [None] * len(records)
    values = frame[cell.field]
    if dtype == pl.Float64():
        values = frame.select(Number().read(pl.col(cell.field)))[cell.field]
    return list(zip(values, faults, strict=True))


def frame_of(records: Sequence[Any], dtype: pl.Struct) -> pl.DataFrame:
    """Return the records as columns, beside a column `#`. Raises Unfit."""
    columns = {
        each.name: pl.Series([_fitted(record.get(each.name), each.dtype) for record in records],
                             dtype=each.dtype, strict=True)
        for each in dtype.fields
    }  # fmt: skip
    return pl.DataFrame({"#": range(len(records)), **columns})


class Unfit(Exception):
    pass


def fits(record: dict[str, Any], dtype: pl.Struct) -> bool:
    """Say whether columns of the dtype hold the record."""
    try:
        _fitted(record, dtype)
    except Unfit:
        return False
    return not ambiguous(record)


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
    if isinstance(value, str) and ("\0" in value or not is_unicode(value)):
        raise Unfit
    if dtype == pl.Int64() and not -(2**63) <= value < 2**63:
        raise Unfit
    return float(str(value)) if dtype == pl.Float64() else value
