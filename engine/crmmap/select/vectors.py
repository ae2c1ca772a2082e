"""What an expression finds in many records at once: a column, or parts that it has put together.

A column has one dtype, and null where JMESPath finds null. Beside the value stands its trouble:
the records for which evaluating raises, and those that columns can't decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeGuard

import polars as pl

from crmmap.select.sight import Outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Booleans of which one that is true is enough; null counts as false."""

    fails: tuple[pl.Expr, ...] = ()
    unsure: tuple[pl.Expr, ...] = ()

    def __add__(self, other: Trouble) -> Trouble:
        return Trouble(fails=self.fails + other.fails, unsure=self.unsure + other.unsure)

    def where(self, condition: pl.Expr) -> Trouble:
        """Return the trouble of what is evaluated only where the condition holds."""
        return self._each(lambda expr: condition & expr)

    def within(self, items: pl.Expr) -> Trouble:
        """Return the trouble that any item of the lists makes."""
        return self._each(lambda expr: items.list.eval(expr.fill_null(value=False)).list.any())

    def _each(self, change: Callable[[pl.Expr], pl.Expr]) -> Trouble:
        return Trouble(
            fails=tuple(change(each) for each in self.fails),
            unsure=tuple(change(each) for each in self.unsure),
        )


NONE = Trouble()
ALWAYS = Trouble(fails=(pl.lit(value=True),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A value of one dtype; Null where nothing can be found."""

    expr: pl.Expr
    dtype: pl.DataType
    trouble: Trouble = NONE
    written: float | None = None
    """The number, if it is a fraction that stands in the expression itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A list that the expression makes, or an object, if it has `names`; null but where `there`."""

    parts: tuple[Value, ...]
    names: tuple[str, ...] | None = None
    there: pl.Expr | None = None
    trouble: Trouble = NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record itself, whose entries are the frame's columns."""

    dtype: pl.Struct
    trouble: Trouble = NONE


Value = Column | Parts | Record


def nothing(trouble: Trouble = NONE) -> Column:
    """Return null."""
    return Column(expr=pl.lit(None), dtype=pl.Null(), trouble=trouble)


def column(expr: pl.Expr, dtype: object, trouble: Trouble = NONE) -> Column:
    """Return a column of a dtype, which polars may have as a class."""
    made = as_instance(dtype)
    return nothing(trouble) if made == pl.Null() else Column(expr=expr, dtype=made, trouble=trouble)


def as_instance(dtype: object) -> pl.DataType:
    """Return a dtype that polars may have as a class."""
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[return-value]


def troubled(value: Value, trouble: Trouble) -> Value:
    """Return the value with further trouble."""
    return replace(value, trouble=value.trouble + trouble)


# --- kinds ----------------------------------------------------------------------------------------


def is_text(value: Value) -> TypeGuard[Column]:
    """Say whether it is a text, or null."""
    return isinstance(value, Column) and value.dtype == pl.String()


def is_whole(value: Value) -> TypeGuard[Column]:
    """Say whether it is a whole number of 64 bits, or null."""
    return isinstance(value, Column) and value.dtype == pl.Int64()


def is_fraction(value: Value) -> TypeGuard[Column]:
    """Say whether it is a number that may have been sent with a point or without."""
    return isinstance(value, Column) and (value.dtype.is_float() or value.dtype.is_decimal())


def is_boolean(value: Value) -> TypeGuard[Column]:
    """Say whether it is true or false, or null."""
    return isinstance(value, Column) and value.dtype == pl.Boolean()


def is_nothing(value: Value) -> TypeGuard[Column]:
    """Say whether it is always null."""
    return isinstance(value, Column) and value.dtype == pl.Null()


def is_list(value: Value) -> bool:
    """Say whether it is a list, or null."""
    if isinstance(value, Parts):
        return value.names is None
    return isinstance(value, Column) and isinstance(value.dtype, pl.List)


def is_object(value: Value) -> bool:
    """Say whether it is an object, or null."""
    if isinstance(value, Parts):
        return value.names is not None
    return isinstance(value, Record) or isinstance(value.dtype, pl.Struct)


def unbounded(value: Column) -> Trouble:
    """Return where a number that was sent may be beyond any that is read: such a one is none."""
    sent = value.dtype.is_float() and value.written is None
    return Trouble(unsure=(value.expr.is_infinite(),)) if sent else NONE


LAST = 2**31
"""More items than this no list has."""

# --- ways in --------------------------------------------------------------------------------------


def entry(value: Value, name: str) -> Value:
    """Return the entry of an object; null of anything else."""
    if isinstance(value, Parts):
        if value.names is None or name not in value.names:
            return nothing(value.trouble)
        # Of two entries with one name the last one counts.
        at = len(value.names) - 1 - value.names[::-1].index(name)
        return troubled(masked(value.parts[at], value.there), value.trouble)
    if not isinstance(value.dtype, pl.Struct):
        return nothing(value.trouble)
    dtype = next((each.dtype for each in value.dtype.fields if each.name == name), None)
    if dtype is None:
        message = f"reads '{name}', which the schema has not"
        raise Outside(message)
    if name == "*" or (name.startswith("^") and name.endswith("$")):
        message = f"reads '{name}', which looks like a pattern"
        raise Outside(message)
    expr = pl.col(name) if isinstance(value, Record) else value.expr.struct.field(name)
    return column(expr, dtype, value.trouble)


def item(value: Value, index: int) -> Value:
    """Return an item of a list; null of anything else, and where there is none."""
    if isinstance(value, Parts):
        size = len(value.parts)
        if value.names is not None or not -size <= index < size:
            return nothing(value.trouble)
        return troubled(masked(value.parts[index], value.there), value.trouble)
    if not isinstance(value.dtype, pl.List) or isinstance(value, Record):
        return nothing(value.trouble)
    if abs(index) > LAST:
        return nothing(value.trouble)
    found = value.expr.list.get(index, null_on_oob=True)
    return column(found, value.dtype.inner, value.trouble)


def present(value: Value) -> pl.Expr:
    """Say where there is anything but null."""
    if isinstance(value, Column):
        return value.expr.is_not_null()
    there = None if isinstance(value, Record) else value.there
    return pl.lit(value=True) if there is None else there


def masked(value: Value, there: pl.Expr | None) -> Value:
    """Return the value, null but where the condition holds."""
    if there is None:
        return value
    if isinstance(value, Column):
        expr = value.expr if is_nothing(value) else pl.when(there).then(value.expr)
        return replace(value, expr=expr, written=None)
    if isinstance(value, Record):
        message = "takes the whole record"
        raise Outside(message)
    return replace(value, there=there if value.there is None else there & value.there)


def truth(value: Value) -> Column:
    """Say where the value counts as true: where it is not null, false or empty."""
    if isinstance(value, Record):
        message = "asks whether the whole record is empty"
        raise Outside(message)
    if isinstance(value, Parts):
        told = present(value) if value.parts else pl.lit(value=False)
        return column(told, pl.Boolean(), value.trouble)
    expr, dtype = value.expr, value.dtype
    trouble = value.trouble
    if isinstance(dtype, pl.Struct):
        known = [expr.struct.field(each.name).is_not_null() for each in dtype.fields]
        if not known:
            message = "asks whether an object is empty"
            raise Outside(message)
        told = pl.any_horizontal(known)
        # What else the object may hold was not read.
        trouble += Trouble(unsure=(expr.is_not_null() & ~told,))
    elif dtype == pl.String():
        told = expr != ""
    elif dtype == pl.Boolean():
        told = expr
    elif isinstance(dtype, pl.List):
        told = expr.list.len() > 0
    else:
        told = expr.is_not_null()
    return column(told.fill_null(value=False), pl.Boolean(), trouble)
