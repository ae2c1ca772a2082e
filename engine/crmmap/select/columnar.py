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

from crmmap.select.jmespath import Cell
from crmmap.select.learned import Hints, dtype_of, hints_of
from crmmap.select.sight import Outside, Touched, declined, touched
from crmmap.select.vector_nodes import find, involved
from crmmap.select.vectors import (
    Column,
    Record,
    Trouble,
    Value,
    as_instance,
    is_boolean,
    is_fraction,
    is_list,
    is_object,
    is_text,
    is_whole,
    present,
    troubled,
    unbounded,
)
from crmmap.values import fault_column

__all__ = [
    "Columns",
    "Declined",
    "Hints",
    "Touched",
    "as_instance",
    "compile_cell",
    "declined",
    "dtype_of",
    "hints_of",
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
        made = _cell(cell, [find(each.tree, Record(dtype=dtype)) for each in cell.expressions])
    except Outside as outside:
        return Declined(str(outside))
    except RecursionError:
        return Declined("is nested too deep")
    exprs = (made.value, made.fault, made.unsure)
    return Declined("is too involved") if any(map(involved, exprs)) else made


# --- values to a cell -----------------------------------------------------------------------------


def _cell(cell: Cell, values: Sequence[Value]) -> Columns:
    """Return the text of the first value that is not empty, or why there is none."""
    if "container" in cell.accepts:
        message = "takes whole values as JSON"
        raise Outside(message)
    texts = [_text(each, cell.accepts) for each in values]
    dtypes = {each.dtype for each in texts} - {pl.Null()}
    if len(dtypes) > 1:
        message = "takes fractions and other values"
        raise Outside(message)
    dtype = dtypes.pop() if dtypes else pl.String()
    fault = _fault(texts)
    unsure = [expr for each in texts for expr in each.trouble.unsure]
    return Columns(
        value=_value(texts).cast(dtype).alias(cell.field),
        dtype=dtype,
        fault=None if fault is None else fault.alias(fault_column(cell.field)),
        unsure=_any(unsure) if unsure else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """A value as the raw frame holds it: null where it is empty, or where it breaks a rule."""

    expr: pl.Expr
    dtype: pl.DataType
    rule: str | None = None
    """The rule that the value breaks wherever it is `there`."""
    there: pl.Expr | None = None
    trouble: Trouble

    @property
    def fails(self) -> pl.Expr | None:
        """Say where evaluating raises."""
        return _any(self.trouble.fails) if self.trouble.fails else None


def _any(exprs: Sequence[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal(exprs).fill_null(value=False)


def _value(texts: Sequence[_Text]) -> pl.Expr:
    found = [each.expr for each in texts]
    # Behind a value that breaks a rule nothing else is looked for.
    chosen = found[-1]
    for each, expr in reversed([*zip(texts[:-1], found[:-1], strict=True)]):
        if each.there is not None:
            chosen = _where(each.there, pl.lit(None), chosen)
        elif each.dtype != pl.Null():
            chosen = pl.coalesce(expr, chosen)
    return chosen


def _where(there: pl.Expr, found: pl.Expr, otherwise: pl.Expr) -> pl.Expr:
    # Where a condition is a constant, polars takes what it chooses for a column of one row.
    return found if there.meta.is_literal() else pl.when(there).then(found).otherwise(otherwise)


def _fault(texts: Sequence[_Text]) -> pl.Expr | None:
    fails = [each.fails for each in texts if each.fails is not None]
    if not fails and all(each.there is None for each in texts):
        return None
    fault = pl.when(_any(fails)).then(pl.lit("select.type")) if fails else pl.lit(None)
    for each in reversed(texts):
        if each.there is not None:
            fault = _where(each.there, pl.lit(each.rule), fault)
        elif each.dtype != pl.Null():
            fault = pl.when(each.expr.is_null()).then(fault)
    return fault


def _text(value: Value, accepts: frozenset[str]) -> _Text:
    """Return a value's text as the raw frame holds it, or the rule that it breaks."""
    made = _plain(value, accepts)
    if not value.trouble.fails:
        return made
    sound = ~_any(value.trouble.fails)
    there = None if made.there is None else sound & made.there
    return replace(made, expr=pl.when(sound).then(made.expr), there=there)


def _plain(value: Value, accepts: frozenset[str]) -> _Text:
    if isinstance(value, Record):
        message = "takes the whole record"
        raise Outside(message)
    if is_list(value) or is_object(value):
        return _breaking("json.container", value)
    assert isinstance(value, Column)  # noqa: S101  (it is no list and no object)
    if is_boolean(value) and "boolean" not in accepts:
        return _breaking("json.boolean", value)
    if (is_whole(value) or is_fraction(value)) and "number" not in accepts:
        return _breaking("json.number_given", troubled(value, unbounded(value)))
    return _scalar(value)


def _breaking(rule: str, value: Value) -> _Text:
    return _Text(
        expr=pl.lit(None), dtype=pl.Null(), rule=rule, there=present(value), trouble=value.trouble
    )


def _scalar(value: Column) -> _Text:
    expr, dtype, trouble = value.expr, value.dtype, value.trouble
    if value.written is not None:
        return _Text(expr=pl.lit(str(value.written)), dtype=pl.String(), trouble=trouble)
    if is_text(value):
        # A text of blanks alone counts as none.
        expr = pl.when(expr.str.strip_chars_start(BLANKS) != "").then(expr)
    elif is_boolean(value) or is_whole(value):
        expr, dtype = expr.cast(pl.String), pl.String()
    elif dtype.is_float():
        # -0.0 equals 0.0, so both must be one.
        trouble += unbounded(value)
        expr = pl.when(expr == 0).then(0.0).otherwise(expr)
    return _Text(expr=expr, dtype=dtype, trouble=trouble)
