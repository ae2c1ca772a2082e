"""JMESPath trees as Python functions: what the interpreter decides at each visit, decided once.

The rules are those of jmespath's `TreeInterpreter`, node by node, and its functions are its own:
over every document both give the same value, or raise the same error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from numbers import Number
from typing import Any

from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

Tree = dict[str, Any]
"""jmespath's own syntax tree: `{"type": …, "children": […], "value": …}`."""

Find = Callable[[Any], Any]
"""Finds a value in a document. Raises what jmespath's interpreter would raise."""

FUNCTIONS = Functions()
COMPARATORS = TreeInterpreter.COMPARATOR_FUNC


def closure(tree: Tree) -> Find:
    """Return the function that finds what the tree selects."""
    return NODES[tree["type"]](tree)


def _children(tree: Tree) -> list[Find]:
    return [closure(child) for child in tree["children"]]


# --- ways into a document -----------------------------------------------------------------------


def _identity(_: Tree) -> Find:
    return lambda value: value


def _field(tree: Tree) -> Find:
    name = tree["value"]
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _index(tree: Tree) -> Find:
    index = tree["value"]

    def find(value: Any) -> Any:
        if not isinstance(value, list):
            return None
        return value[index] if -len(value) <= index < len(value) else None

    return find


def _slice(tree: Tree) -> Find:
    part = slice(*tree["children"])
    return lambda value: value[part] if isinstance(value, list) else None


def _then(tree: Tree) -> Find:
    steps = _children(tree)
    if len(steps) == 2:
        first, second = steps
        return lambda value: second(first(value))

    def find(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return find


# --- projections --------------------------------------------------------------------------------


def _flatten(tree: Tree) -> Find:
    (base,) = _children(tree)

    def find(value: Any) -> Any:
        found = base(value)
        if not isinstance(found, list):
            return None
        return [
            item for each in found for item in (each if isinstance(each, list) else (each,))
        ]  # fmt: skip

    return find


def _projection(tree: Tree) -> Find:
    base, right = _children(tree)

    def find(value: Any) -> Any:
        found = base(value)
        return _projected(right, found) if isinstance(found, list) else None

    return find


def _value_projection(tree: Tree) -> Find:
    base, right = _children(tree)

    def find(value: Any) -> Any:
        found = base(value)
        return _projected(right, found.values()) if isinstance(found, dict) else None

    return find


def _filter_projection(tree: Tree) -> Find:
    base, right, wanted = _children(tree)

    def find(value: Any) -> Any:
        found = base(value)
        if not isinstance(found, list):
            return None
        return _projected(right, (each for each in found if not _false(wanted(each))))

    return find


def _projected(right: Find, items: Iterable[Any]) -> list[Any]:
    return [found for found in map(right, items) if found is not None]


# --- logic --------------------------------------------------------------------------------------


def _false(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {})


def _or(tree: Tree) -> Find:
    left, right = _children(tree)

    def find(value: Any) -> Any:
        found = left(value)
        return right(value) if _false(found) else found

    return find


def _and(tree: Tree) -> Find:
    left, right = _children(tree)

    def find(value: Any) -> Any:
        found = left(value)
        return found if _false(found) else right(value)

    return find


def _not(tree: Tree) -> Find:
    (inner,) = _children(tree)

    def find(value: Any) -> Any:
        found = inner(value)
        # No number is false, not even 0; Python would say otherwise.
        return False if isinstance(found, Number) and not isinstance(found, bool) else not found

    return find


def _comparator(tree: Tree) -> Find:
    left, right = _children(tree)
    compare = COMPARATORS[tree["value"]]
    if tree["value"] in ("eq", "ne"):
        return lambda value: compare(left(value), right(value))

    def find(value: Any) -> Any:
        first, second = left(value), right(value)
        return compare(first, second) if _ordered(first) and _ordered(second) else None

    return find


def _ordered(value: Any) -> bool:
    return isinstance(value, Number | str) and not isinstance(value, bool)


# --- what is made -------------------------------------------------------------------------------


def _literal(tree: Tree) -> Find:
    found = tree["value"]
    return lambda _: found


def _list(tree: Tree) -> Find:
    parts = _children(tree)
    return lambda value: None if value is None else [part(value) for part in parts]


def _dict(tree: Tree) -> Find:
    parts = [(child["value"], closure(child["children"][0])) for child in tree["children"]]
    return lambda value: None if value is None else {name: part(value) for name, part in parts}


class _Expression:
    """An expression as an argument (`&name`). jmespath's functions know it by this class name."""

    __slots__ = ("expression",)

    def __init__(self, expression: Find) -> None:
        self.expression = expression

    @staticmethod
    def visit(expression: Find, value: Any) -> Any:
        return expression(value)


def _expref(tree: Tree) -> Find:
    (inner,) = _children(tree)
    found = _Expression(inner)
    return lambda _: found


def _function(tree: Tree) -> Find:
    call = partial(FUNCTIONS.call_function, tree["value"])
    arguments = _children(tree)
    return lambda value: call([argument(value) for argument in arguments])


NODES: dict[str, Callable[[Tree], Find]] = {
    "identity": _identity, "current": _identity, "field": _field, "index": _index,
    "slice": _slice, "subexpression": _then, "index_expression": _then, "pipe": _then,
    "flatten": _flatten, "projection": _projection, "value_projection": _value_projection,
    "filter_projection": _filter_projection, "or_expression": _or, "and_expression": _and,
    "not_expression": _not, "comparator": _comparator, "literal": _literal,
    "multi_select_list": _list, "multi_select_dict": _dict, "expref": _expref,
    "function_expression": _function,
}  # fmt: skip
