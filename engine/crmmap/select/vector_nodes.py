"""JMESPath trees as columns: what `closures` makes for one document, for many records at once.

`find` gives what the tree finds at a value, with the trouble of evaluating the tree alone: the way
to that value has its own, which is added where the two are put together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl

from crmmap.select.closures import Tree
from crmmap.select.sight import Outside, is_unicode
from crmmap.select.vector_functions import called
from crmmap.select.vector_lists import chosen, flattened, projected, sliced, values_of
from crmmap.select.vector_logic import equal, ordered
from crmmap.select.vectors import (
    NONE,
    Column,
    Parts,
    Record,
    Value,
    column,
    entry,
    is_object,
    item,
    nothing,
    present,
    troubled,
    truth,
)

INVOLVED = 10_000
"""The longest expression, as polars writes it: parts that are needed twice stand there twice."""


def find(tree: Tree, at: Value) -> Value:
    """Return what the tree finds at a value. Raises Outside."""
    found = NODES[tree["type"]](tree, at)
    if isinstance(found, Column) and involved(found.expr):
        message = "is too involved"
        raise Outside(message)
    return found


def involved(expr: pl.Expr | None) -> bool:
    """Say whether an expression is too long to be worth computing."""
    return expr is not None and len(str(expr)) > INVOLVED


# --- ways into a record ---------------------------------------------------------------------------


def _own(value: Value) -> Value:
    """Return the value with which a tree begins, whose trouble is not the tree's."""
    return replace(value, trouble=NONE)


def _identity(_: Tree, at: Value) -> Value:
    return _own(at)


def _field(tree: Tree, at: Value) -> Value:
    return entry(_own(at), tree["value"])


def _index(tree: Tree, at: Value) -> Value:
    return item(_own(at), tree["value"])


def _then(tree: Tree, at: Value) -> Value:
    value = _own(at)
    for child in tree["children"]:
        value = troubled(find(child, value), value.trouble)
    return value


def _slice(tree: Tree, at: Value) -> Value:
    return sliced(_own(at), slice(*tree["children"]))


# --- projections ----------------------------------------------------------------------------------


def _flatten(tree: Tree, at: Value) -> Value:
    return flattened(find(tree["children"][0], at))


def _projection(tree: Tree, at: Value) -> Value:
    base, right = tree["children"]
    return projected(find(base, at), partial(find, right))


def _filter_projection(tree: Tree, at: Value) -> Value:
    base, right, wanted = tree["children"]
    return projected(find(base, at), partial(find, right), partial(holds, wanted))


def _value_projection(tree: Tree, at: Value) -> Value:
    base, right = tree["children"]
    found = find(base, at)
    if not is_object(found):
        return nothing(found.trouble)
    if not isinstance(found, Parts):
        message = "reads all entries of an object"
        raise Outside(message)
    return projected(values_of(found), partial(find, right))


# --- logic ----------------------------------------------------------------------------------------


def holds(tree: Tree, at: Value) -> Column:
    """Say where what the tree finds counts as true: whatever kinds it finds."""
    kind = tree["type"]
    if kind == "not_expression":
        inner = holds(tree["children"][0], at)
        return replace(inner, expr=~inner.expr)
    if kind not in ("or_expression", "and_expression"):
        return truth(find(tree, at))
    first, *others = [holds(each, at) for each in _operands(tree)]
    told, trouble = first.expr, first.trouble
    for each in others:
        trouble += each.trouble.where(~told if kind == "or_expression" else told)
        told = told | each.expr if kind == "or_expression" else told & each.expr
    return column(told, pl.Boolean(), trouble)


def _operands(tree: Tree) -> Iterator[Tree]:
    for child in tree["children"]:
        if child["type"] == tree["type"]:
            yield from _operands(child)
        else:
            yield child


def _or(tree: Tree, at: Value) -> Value:
    return _first(tree, at, lambda expr: expr)


def _and(tree: Tree, at: Value) -> Value:
    return _first(tree, at, lambda expr: ~expr)


def _first(tree: Tree, at: Value, stops: Callable[[pl.Expr], pl.Expr]) -> Value:
    """Return the first operand at which evaluating stops, or the last one."""
    values = [find(each, at) for each in _operands(tree)]
    told = [truth(each) for each in values[:-1]]
    trouble, reached = NONE, pl.lit(value=True)
    for asked in told:
        trouble += asked.trouble.where(reached)
        reached &= ~stops(asked.expr)
    trouble += values[-1].trouble.where(reached)
    return troubled(chosen([stops(each.expr) for each in told], values), trouble)


def _not(tree: Tree, at: Value) -> Value:
    return holds({"type": "not_expression", "children": tree["children"]}, at)


def _comparator(tree: Tree, at: Value) -> Value:
    left, right = (find(child, at) for child in tree["children"])
    trouble = left.trouble + right.trouble
    if tree["value"] in ("eq", "ne"):
        told = equal(left, right)
        if tree["value"] == "ne":
            told = replace(told, expr=~told.expr)
        return troubled(told, trouble)
    return troubled(ordered(tree["value"], left, right), trouble)


# --- what is made ---------------------------------------------------------------------------------


def _literal(tree: Tree, _: Value) -> Value:
    return literal(tree["value"])


def literal(value: object) -> Value:
    """Return a value that stands in the expression."""
    if isinstance(value, list):
        return Parts(parts=tuple(literal(each) for each in value))
    if isinstance(value, dict) and all(map(_storable, value)):
        return Parts(parts=tuple(literal(each) for each in value.values()), names=tuple(value))
    dtype = next((dtype for fits, dtype in DTYPES if fits(value)), None)
    if dtype is None:
        message = "holds a value that no column holds"
        raise Outside(message)
    made = column(pl.lit(value, dtype=dtype), dtype)
    return replace(made, written=value) if isinstance(value, float) else made


DTYPES: tuple[tuple[Callable[[Any], bool], pl.DataType], ...] = (
    (lambda value: value is None, pl.Null()),
    (lambda value: isinstance(value, bool), pl.Boolean()),
    (lambda value: isinstance(value, int) and abs(value) < 2**63, pl.Int64()),
    (lambda value: isinstance(value, float) and math.isfinite(value), pl.Float64()),
    (lambda value: isinstance(value, str) and _storable(value), pl.String()),
)


def _storable(text: str) -> bool:
    return "\0" not in text and is_unicode(text)


def _list(tree: Tree, at: Value) -> Value:
    return _made(tuple(find(child, at) for child in tree["children"]), None, at)


def _dict(tree: Tree, at: Value) -> Value:
    names = tuple(child["value"] for child in tree["children"])
    return _made(tuple(find(child["children"][0], at) for child in tree["children"]), names, at)


def _made(parts: tuple[Value, ...], names: tuple[str, ...] | None, at: Value) -> Value:
    there = None if isinstance(at, Record) else present(at)
    trouble = sum((each.trouble for each in parts), NONE)
    return Parts(
        parts=tuple(_own(each) for each in parts), names=names, there=there,
        trouble=trouble if there is None else trouble.where(there),
    )  # fmt: skip


def _function(tree: Tree, at: Value) -> Value:
    arguments = [
        partial(find, child["children"][0]) if child["type"] == "expref" else find(child, at)
        for child in tree["children"]
    ]
    return called(tree["value"], arguments)


NODES: dict[str, Callable[[Tree, Value], Value]] = {
    "identity": _identity, "current": _identity, "field": _field, "index": _index,
    "slice": _slice, "subexpression": _then, "index_expression": _then, "pipe": _then,
    "flatten": _flatten, "projection": _projection, "value_projection": _value_projection,
    "filter_projection": _filter_projection, "or_expression": _or, "and_expression": _and,
    "not_expression": _not, "comparator": _comparator, "literal": _literal,
    "multi_select_list": _list, "multi_select_dict": _dict, "function_expression": _function,
}  # fmt: skip
