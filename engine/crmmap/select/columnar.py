"""JMESPath over columns: expressions compiled to polars, for records read by one schema.

The frame has a row for each record, which is an object, and a column for each entry that
expressions read. Each leaf is of one JSON kind, or null: a record that has another kind there does
not fit, and must take the exact path (`select/jmespath.py`), as must one with a NUL in a text. A
missing entry and a null look the same, as they do to JMESPath. What is compiled gives the
same cells as the exact path; what can't be is `Declined`, cell by cell, and never guessed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from crmmap.select.jmespath import Cell, Jmespath
from crmmap.select.learned import Hints, dtype_of, hints_of
from crmmap.select.sight import Outside, Touched, declined, touched
from crmmap.values import fault_column

__all__ = [
    "Columns", "Declined", "Hints", "Touched", "compile_cell", "declined", "dtype_of", "hints_of",
    "touched",
]  # fmt: skip

BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What Python's `strip` takes off, some of which polars' own does not."""


@dataclass(frozen=True, slots=True)
class Declined:
    """A cell that is not compiled, and why, in words that follow on "exact: "."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A cell's columns, as expressions over a frame of the dtype that it was compiled for.

    An expression may be a constant: evaluate it beside a column of the frame.
    """

    value: pl.Expr
    """Named as the field, of `dtype`."""
    dtype: pl.DataType
    """String, or Float64 or Decimal where the value is a fraction: fit for a field of that
    very dtype, and for no other, since its digits are not kept as they were sent."""
    fault: pl.Expr | None = None
    """Named `<field>!`: the rule that selection breaks, or null. None if it can't arise."""
    unsure: pl.Expr | None = None
    """True for records that only the exact path can decide. None if there can be none."""


def compile_cell(cell: Cell, dtype: pl.Struct) -> Columns | Declined:
    """Return a cell's columns over a frame whose columns are `dtype`'s fields."""
    try:
        return _first(cell, [_walked(each, dtype) for each in cell.expressions])
    except Outside as outside:
        return Declined(str(outside))


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What an expression finds: of one dtype, or null."""

    expr: pl.Expr
    dtype: pl.DataType


NOTHING = Value(expr=pl.lit(None, dtype=pl.String), dtype=pl.Null())


def _walked(expression: Jmespath, dtype: pl.Struct) -> Value:
    if expression.names is None:
        message = "is no plain walk"
        raise Outside(message)
    first, *others = expression.names
    value = Value(expr=pl.col(_name(first)), dtype=_entry(dtype, first))
    for name in others:
        if not isinstance(value.dtype, pl.Struct):
            return NOTHING
        value = Value(expr=value.expr.struct.field(_name(name)), dtype=_entry(value.dtype, name))
    return value


def _name(name: str) -> str:
    """Return an entry's name, unless polars would take it for a pattern of names."""
    if name == "*" or (name.startswith("^") and name.endswith("$")):
        message = f"reads '{name}', which looks like a pattern"
        raise Outside(message)
    return name


def _entry(dtype: pl.Struct, name: str) -> pl.DataType:
    for each in dtype.fields:
        if each.name == name:
            return as_instance(each.dtype)
    message = f"reads '{name}', which was not looked for"
    raise Outside(message)


def as_instance(dtype: object) -> pl.DataType:
    """Return a dtype that polars may have as a class."""
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[return-value]


# --- values to a cell -----------------------------------------------------------------------------


def _first(cell: Cell, values: Sequence[Value]) -> Columns:
    """Return the text of the first value that is not empty, or why there is none."""
    made = [_text(cell, each) for each in values if each.dtype != pl.Null()]
    if not made:
        return Columns(value=pl.lit(None, dtype=pl.String).alias(cell.field), dtype=pl.String())
    dtypes = {each.dtype for each in made}
    if len(dtypes) > 1:
        message = "takes a fraction or something else"
        raise Outside(message)
    if len(made) == 1:
        return _named(cell, made[0])
    value = pl.coalesce(each.value for each in made)
    faults = [each.fault for each in made]
    if not any(fault is not None for fault in faults):
        return _named(cell, replace(made[0], value=value))
    found = [_there(each) for each in made]
    rules = [pl.lit(None, dtype=pl.String) if fault is None else fault for fault in faults]
    return _named(
        cell, replace(made[0], value=_chosen(found, [each.value for each in made]),
                      fault=_chosen(found, rules)),
    )  # fmt: skip


def _there(made: Columns) -> pl.Expr:
    there = made.value.is_not_null()
    return there if made.fault is None else there | made.fault.is_not_null()


def _chosen(conditions: Sequence[pl.Expr], values: Sequence[pl.Expr]) -> pl.Expr:
    """Return the value whose condition is the first to hold, or null."""
    chosen = pl.lit(None, dtype=pl.String)
    for condition, value in zip(reversed(conditions), reversed(values), strict=True):
        chosen = pl.when(condition).then(value).otherwise(chosen)
    return chosen


def _named(cell: Cell, columns: Columns) -> Columns:
    fault = columns.fault
    return replace(
        columns,
        value=columns.value.alias(cell.field),
        fault=None if fault is None else fault.alias(fault_column(cell.field)),
    )


def _text(cell: Cell, value: Value) -> Columns:
    """Return a value's text as the raw frame holds it, or the rule that it breaks."""
    if "container" in cell.accepts:
        message = "takes whole values as JSON"
        raise Outside(message)
    expr, dtype = value.expr, value.dtype
    if dtype == pl.String():
        # A text of blanks alone counts as none.
        kept = pl.when(expr.str.strip_chars_start(BLANKS) != "").then(expr)
        return Columns(value=kept, dtype=pl.String())
    if dtype == pl.Boolean():
        if "boolean" not in cell.accepts:
            return _refused(expr, "json.boolean")
        return Columns(value=expr.cast(pl.String), dtype=pl.String())
    if isinstance(dtype, pl.List | pl.Struct):
        return _refused(expr, "json.container")
    return _number(cell, value)


def _number(cell: Cell, value: Value) -> Columns:
    expr, dtype = value.expr, value.dtype
    if "number" not in cell.accepts:
        return _refused(expr, "json.number_given")
    if dtype.is_integer():
        return Columns(value=expr.cast(pl.String), dtype=pl.String())
    if dtype == pl.Float64():
        # -0.0 equals 0.0, so both must be one; and a number beyond 64 bits is none.
        return Columns(
            value=pl.when(expr == 0).then(0.0).otherwise(expr), dtype=dtype,
            unsure=expr.is_infinite().fill_null(value=False),
        )  # fmt: skip
    return Columns(value=expr, dtype=dtype)


def _refused(expr: pl.Expr, rule: str) -> Columns:
    return Columns(
        value=pl.lit(None, dtype=pl.String), dtype=pl.String(),
        fault=pl.when(expr.is_not_null()).then(pl.lit(rule)),
    )  # fmt: skip
