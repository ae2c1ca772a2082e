"""Comparisons of columns, by the rules of jmespath's own and of Python below them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TypeGuard

import polars as pl

from crmmap.select.sight import Outside
from crmmap.select.vector_lists import whole
from crmmap.select.vectors import (
    NONE,
    Column,
    Parts,
    Trouble,
    Value,
    column,
    is_boolean,
    is_fraction,
    is_list,
    is_nothing,
    is_object,
    is_text,
    is_whole,
    present,
    unbounded,
)


def equal(left: Value, right: Value, *, loosely: bool = False) -> Column:
    """Say where two values are equal; `loosely`, as Python's `in` does, 1 is true and 0 false."""
    if is_nothing(left) or is_nothing(right):
        return _both_null(left, right)
    if is_list(left) and is_list(right):
        return _equal_lists(left, right)
    if is_object(left) and is_object(right):
        message = "compares objects"
        raise Outside(message)
    if _numeric(left) and _numeric(right) and (is_fraction(left) or is_fraction(right)):
        first, second, unsure = _comparable(left, right)
        return column(first.eq_missing(second), pl.Boolean(), unsure)
    return _equal_scalars(left, right, loosely=loosely)


def _equal_scalars(left: Value, right: Value, *, loosely: bool) -> Column:
    if not isinstance(left, Column) or not isinstance(right, Column):
        return _both_null(left, right)
    if left.dtype == right.dtype:
        return column(left.expr.eq_missing(right.expr), pl.Boolean())
    if loosely and counted(left) and counted(right):
        numbers = [each.expr.cast(pl.Int64) for each in (left, right)]
        return column(numbers[0].eq_missing(numbers[1]), pl.Boolean())
    return _both_null(left, right)


def counted(value: Value) -> bool:
    """Say whether it is a whole number or a boolean, which Python takes for 1 or 0."""
    return is_whole(value) or is_boolean(value)


def _both_null(left: Value, right: Value) -> Column:
    return column(~present(left) & ~present(right), pl.Boolean())


def _equal_lists(left: Value, right: Value) -> Column:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Parts) and not one.parts and one.there is None:
            if isinstance(other, Parts):
                told = pl.lit(value=False) if other.parts else present(other)
            else:
                told = (whole(other).expr.list.len() == 0).fill_null(value=False)
            return column(told, pl.Boolean())
    message = "compares lists"
    raise Outside(message)


def _numeric(value: Value) -> TypeGuard[Column]:
    return is_whole(value) or is_fraction(value)


EXACT = 2**53


def _comparable(left: Column, right: Column) -> tuple[pl.Expr, pl.Expr, Trouble]:
    """Return two numbers, of which one is a fraction, to be compared, and where that is unsure.

    The digits that were sent can lie on either side of what 64 bits hold, but never beyond another
    number that 64 bits hold: so the order is sure but where the two seem equal.
    """
    both = (left, right)
    if any(each.dtype.is_decimal() for each in both):
        message = "compares exact fractions"
        raise Outside(message)
    sent = [each for each in both if is_fraction(each) and each.written is None]
    if len(sent) == 2:
        message = "compares fractions"
        raise Outside(message)
    first, second = (each.expr.cast(pl.Float64) for each in both)
    unsure = [~each.expr.is_between(-EXACT, EXACT) for each in both if is_whole(each)]
    if sent:
        unsure.append(first == second)
    beyond = sum((unbounded(each) for each in sent), NONE)
    return first, second, Trouble(unsure=tuple(unsure)) + beyond


ORDERS: Mapping[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip


def ordered(name: str, left: Value, right: Value) -> Column:
    """Say where two texts, or two numbers, are in an order; null where one is of another kind."""
    if _numeric(left) and _numeric(right) and (is_fraction(left) or is_fraction(right)):
        first, second, unsure = _comparable(left, right)
        return column(ORDERS[name](first, second), pl.Boolean(), unsure)
    if (is_text(left) and is_text(right)) or (is_whole(left) and is_whole(right)):
        return column(ORDERS[name](left.expr, right.expr), pl.Boolean())
    null = pl.lit(None, dtype=pl.Boolean)
    if all(is_text(each) or _numeric(each) for each in (left, right)):
        # A text and a number: JMESPath's library raises.
        return column(null, pl.Boolean(), Trouble(fails=(present(left) & present(right),)))
    return column(null, pl.Boolean())
