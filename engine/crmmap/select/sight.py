"""Which places of a record an expression reads, found without a record.

The expression is walked with the places that each part's value may have come from. They are never
too few: a place that is not looked for would look like a null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from crmmap.select.closures import Tree
from crmmap.select.jmespath import Cell, Leaf

ITEM = 0
"""Stands for each item of a list, in a `Leaf`."""


class Outside(Exception):
    """What an expression does can't be done with columns: says what, to follow on "exact: "."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What is read of a value: its entries, if it is an object, and its items, if a list."""

    entries: Mapping[str, Touched] = field(default_factory=dict)
    items: Touched | None = None


def declined(cell: Cell) -> str | None:
    """Return why the cell can never be compiled, whatever the records hold."""
    try:
        _seen(cell)
    except Outside as outside:
        return str(outside)
    return None


def touched(cells: Iterable[Cell]) -> Touched:
    """Return what the cells' expressions read of a record, but of those that are declined."""
    return _tree(place for cell in cells if declined(cell) is None for place in _seen(cell))


def _tree(places: Iterable[Leaf]) -> Touched:
    below: dict[str | int, list[Leaf]] = {}
    for first, *rest in filter(None, places):
        below.setdefault(first, []).append(tuple(rest))
    return Touched(
        entries={name: _tree(each) for name, each in below.items() if isinstance(name, str)},
        items=_tree(below[ITEM]) if ITEM in below else None,
    )


def _seen(cell: Cell) -> list[Leaf]:
    if "container" in cell.accepts:
        message = "takes whole values as JSON"
        raise Outside(message)
    return [place for each in cell.expressions for place in _places(each.tree)]


def _places(tree: Tree) -> Iterator[Leaf]:
    if tree["type"] == "field":
        yield (tree["value"],)
    elif tree["type"] == "subexpression":
        at: Leaf = ()
        for child in tree["children"]:
            at = (*at, *next(_places(child)))
        yield at
    else:
        message = "is no plain walk"
        raise Outside(message)
