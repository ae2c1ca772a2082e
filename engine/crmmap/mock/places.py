"""Where in a JSON document an expression looks, and how something is put there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from crmmap.select.jmespath import Jmespath, Leaf, leaves, leaves_of

Place = Leaf
"""A way into a document: names of objects' entries and indexes into lists."""

PROBE = "probe"


def place_of(expression: Jmespath) -> Place | None:
    """Return the one place whose value the expression gives as it stands.

    None if it reads several places, or gives what a function makes of them.
    """
    found = leaves(expression)
    if len(found) != 1 or not found[0]:
        return None
    for place in shapes(found[0]):
        if selects(expression, {place: PROBE}, PROBE):
            return place
    return None


def selects(expression: Jmespath, values: Mapping[Place, object], wanted: object) -> bool:
    """Say whether the expression finds `wanted` in a document that holds just the values."""
    try:
        return expression.find(document_of(expression, values)) == wanted
    except ValueError:
        return False


def document_of(expression: Jmespath, values: Mapping[Place, object]) -> object:
    """Return a document with the values, and with all that the expression takes for granted."""
    document: object = {}
    for place, value in (*values.items(), *assumptions(expression)):
        document = put(document, place, value)
    return document


def shapes(place: Place) -> Iterator[Place]:
    """Yield the place, and the places it may really be: `a[*].b | [0]` reads b, not b's first."""
    zeros = [at for at, step in enumerate(place) if step == 0]
    for count in range(len(zeros) + 1):
        for dropped in combinations(reversed(zeros), count):
            if len(dropped) < len(place):
                yield tuple(step for at, step in enumerate(place) if at not in dropped)


def put(document: object, place: Place, value: object) -> object:
    """Return the document with the value at the place, making the objects and lists on the way.

    Lists and objects that are there already are changed in place.
    """
    if not place:
        return value
    step, rest = place[0], place[1:]
    if isinstance(step, str):
        entries = document if isinstance(document, dict) else {}
        entries[step] = put(entries.get(step), rest, value)
        return entries
    items = document if isinstance(document, list) else []
    items.extend([None] * (step + 1 - len(items)))
    items[step] = put(items[step], rest, value)
    return items


def outermost(places: Sequence[Place]) -> tuple[Place, ...]:
    """Return the places that hold no other: `a` is left out where `a.b` is one too."""
    holders = {place[:length] for place in places for length in range(len(place))}
    return tuple(place for place in dict.fromkeys(places) if place not in holders)


def json_template(places: Sequence[Place]) -> str:
    """Return the JSON text of a record with `%s` at each place, in the order of `order(places)`."""
    document: object = {}
    for place in places:
        document = put(document, place, PROBE)
    return _text(document)


def order(places: Sequence[Place]) -> list[int]:
    """Return the positions of the places in the order in which `json_template` has them."""
    document: object = {}
    for number, place in enumerate(places):
        document = put(document, place, number)
    return list(_numbers(document))


def _text(document: object) -> str:
    if isinstance(document, dict):
        pairs = (f"{_literal(name)}:{_text(each)}" for name, each in document.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(document, list):
        return "[" + ",".join(map(_text, document)) + "]"
    return "null" if document is None else "%s"


def _literal(name: str) -> str:
    return json.dumps(name).replace("%", "%%")


def _numbers(document: object) -> Iterator[int]:
    if isinstance(document, dict | list):
        for each in document.values() if isinstance(document, dict) else document:
            yield from _numbers(each)
    elif isinstance(document, int):
        yield document


# --- what a filter takes for granted --------------------------------------------------------------


def assumptions(expression: Jmespath) -> tuple[tuple[Place, object], ...]:
    """Return places and values that make the filters in the expression (`[?type=='home']`) true.

    Only equalities with a literal and bare names, joined by `&&`, are understood.
    """
    return tuple(_assumed(expression.tree, ()))


Tree = dict[str, Any]


def _assumed(tree: Tree, at: Place) -> Iterator[tuple[Place, object]]:
    children = tree.get("children", [])
    if tree["type"] == "filter_projection":
        for left in _walked(children[0], at):
            yield from _true(children[2], (*left, 0))
            yield from _assumed(children[1], (*left, 0))
    elif children:
        # Of a pipe or a path only the first part stands where the whole does.
        yield from _assumed(children[0], at)
        for later in children[1:]:
            for place in _walked(children[0], at):
                yield from _assumed(later, place) if _is_walk(tree) else _assumed(later, at)


def _is_walk(tree: Tree) -> bool:
    return tree["type"] in ("subexpression", "index_expression", "pipe", "projection")


def _walked(tree: Tree, at: Place) -> tuple[Place, ...]:
    return tuple((*at, *leaf) for leaf in leaves_of(tree))


def _true(condition: Tree, at: Place) -> Iterator[tuple[Place, object]]:
    children = condition["children"]
    if condition["type"] == "and_expression":
        for child in children:
            yield from _true(child, at)
    elif condition["type"] == "comparator" and condition["value"] == "eq":
        field, literal = sorted(children, key=lambda child: bool(child["type"] == "literal"))
        if literal["type"] == "literal":
            yield from ((place, literal["value"]) for place in _walked(field, at))
    elif condition["type"] in ("field", "subexpression"):
        yield from ((place, True) for place in _walked(condition, at))
