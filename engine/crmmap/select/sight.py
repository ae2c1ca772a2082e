"""Which places of a record an expression reads, found without a record.

The expression is walked with the places that each part's value may have come from. They are rather
too many than too few: a place that is not looked for would look like a null, and the compiler
refuses to read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, reduce

from crmmap.select.closures import Tree
from crmmap.select.jmespath import Cell, Leaf

ITEM = 0
"""Stands for each item of a list, in a `Leaf`."""
ESCAPED = re.compile(r'["\\\x00-\x1f]')
"""What JSON does not take within a text as it is."""


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


@lru_cache
def touched(cells: tuple[Cell, ...]) -> Touched:
    """Return what the cells' expressions read of a record, but of those that are declined."""
    places: list[Leaf] = []
    for cell in cells:
        with suppress(Outside):
            places += _seen(cell)
    return _tree(places)


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
        if plain_ways(cell):
            return []  # no column holds such a value: it is cut out
        message = "takes whole values as JSON that it makes"
        raise Outside(message)
    walk = _Walk(seen={})
    try:
        for each in cell.expressions:
            _scalar(walk.see(each.tree, Sight(places=frozenset({()}))))
    except RecursionError:
        message = "is nested too deep"
        raise Outside(message) from None
    return list(walk.seen)


def plain_ways(cell: Cell) -> list[tuple[str, ...]]:
    """Return the plain ways that a cell's expressions are; none, if one of them is no such way."""
    ways = [
        each.names for each in cell.expressions if each.names and all(map(is_plain, each.names))
    ]
    return ways if len(ways) == len(cell.expressions) else []


# --- what a value may be --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a value may be: what stands in one of the places, or what the expression makes."""

    places: frozenset[Leaf] = frozenset()
    items: Sight | None = None
    """Of a list that the expression makes."""
    entries: Mapping[str, Sight] | None = None
    """Of an object that the expression makes."""


MADE = Sight()


def _either(one: Sight, other: Sight) -> Sight:
    names = {**(one.entries or {}), **(other.entries or {})}
    entries = {
        name: _either((one.entries or {}).get(name, MADE), (other.entries or {}).get(name, MADE))
        for name in names
    }
    made = one.entries is not None or other.entries is not None
    items = [each.items for each in (one, other) if each.items is not None]
    return Sight(
        places=one.places | other.places,
        items=reduce(_either, items) if items else None,
        entries=entries if made else None,
    )


def _any(several: Iterable[Sight]) -> Sight:
    return reduce(_either, several, MADE)


def _scalar(value: Sight) -> None:
    """Refuse to take the record itself for a value: what else is in it is not read."""
    if () in value.places:
        message = "takes the whole record"
        raise Outside(message)


def _named(name: str) -> None:
    if not is_unicode(name):
        message = "names an entry by what is no text"
        raise Outside(message)


def is_plain(name: str) -> bool:
    """Say whether msgspec can be asked for entries of that name: in JSON it stands as it is."""
    return ESCAPED.search(name) is None and is_unicode(name)


def is_unicode(text: str) -> bool:
    """Say whether a text has no half of a character, as JSON's escapes may make."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk through an expression. `seen` are the places that it came to, in order."""

    seen: dict[Leaf, None]

    def see(self, tree: Tree, at: Sight) -> Sight:
        """Return what the tree's value may be."""
        if tree["type"] not in NODES:
            message = f"holds a {tree['type']}"
            raise Outside(message)
        return NODES[tree["type"]](self, tree, at)

    def below(self, value: Sight, step: str | int) -> Sight:
        """Return what stands at an entry, or at any item, of the value."""
        if isinstance(step, str):
            _named(step)
        places = frozenset((*place, step) for place in value.places)
        self.seen.update(dict.fromkeys(sorted(places, key=str)))
        made = value.items if step == ITEM else (value.entries or {}).get(str(step))
        return _either(Sight(places=places), made or MADE)

    def items(self, value: Sight) -> Sight:
        """Return what the items of a list may be."""
        return self.below(value, ITEM)


def _then(walk: _Walk, tree: Tree, at: Sight) -> Sight:
    return reduce(lambda value, child: walk.see(child, value), tree["children"], at)


def _flatten(walk: _Walk, tree: Tree, at: Sight) -> Sight:
    items = walk.items(walk.see(tree["children"][0], at))
    if items.places or items.items is not None:
        items = _either(items, _inner(walk, items))
    return Sight(items=items)


def _inner(walk: _Walk, items: Sight) -> Sight:
    """Return what the items' items may be, without a claim that they are lists."""
    places = frozenset((*place, ITEM) for place in items.places)
    return _either(Sight(places=places), items.items or MADE)


def _projection(walk: _Walk, tree: Tree, at: Sight) -> Sight:
    base, right, *wanted = tree["children"]
    items = walk.items(walk.see(base, at))
    for each in wanted:
        walk.see(each, items)
    return Sight(items=walk.see(right, items))


def _value_projection(walk: _Walk, tree: Tree, at: Sight) -> Sight:
    base, right = tree["children"]
    return Sight(items=walk.see(right, _entries(walk.see(base, at))))


def _entries(value: Sight) -> Sight:
    if value.places:
        message = "reads all entries of an object"
        raise Outside(message)
    return _any((value.entries or {}).values())


def _several(walk: _Walk, tree: Tree, at: Sight) -> Sight:
    return _any([walk.see(child, at) for child in tree["children"]])


def _compare(walk: _Walk, tree: Tree, at: Sight) -> Sight:
    for child in tree["children"]:
        _scalar(walk.see(child, at))
    return MADE


def _list(walk: _Walk, tree: Tree, at: Sight) -> Sight:
    return Sight(items=_several(walk, tree, at))


def _dict(walk: _Walk, tree: Tree, at: Sight) -> Sight:
    for child in tree["children"]:
        _named(child["value"])
    return Sight(
        entries={child["value"]: walk.see(child["children"][0], at) for child in tree["children"]}
    )


NODES: dict[str, Callable[[_Walk, Tree, Sight], Sight]] = {
    "identity": lambda _walk, _tree, at: at,
    "current": lambda _walk, _tree, at: at,
    "field": lambda walk, tree, at: walk.below(at, tree["value"]),
    "index": lambda walk, _tree, at: walk.items(at),
    "slice": lambda walk, _tree, at: Sight(items=walk.items(at)),
    "subexpression": _then, "index_expression": _then, "pipe": _then,
    "flatten": _flatten, "projection": _projection, "filter_projection": _projection,
    "value_projection": _value_projection, "or_expression": _several,
    "and_expression": _several, "not_expression": _compare, "comparator": _compare,
    "literal": lambda _walk, _tree, _at: MADE,
    "multi_select_list": _list, "multi_select_dict": _dict,
    "function_expression": lambda walk, tree, at: _call(tree)(walk, tree["children"], at),
}  # fmt: skip


# --- functions ------------------------------------------------------------------------------------


Called = Callable[[_Walk, Sequence[Tree], Sight], Sight]


def _call(tree: Tree) -> Called:
    if tree["value"] not in FUNCTIONS:
        message = f"calls {tree['value']}()"
        raise Outside(message)
    return FUNCTIONS[tree["value"]]


def _values(walk: _Walk, children: Sequence[Tree], at: Sight) -> list[Sight]:
    values = [walk.see(child, at) for child in children if child["type"] != "expref"]
    for each in values:
        _scalar(each)
    return values


def _plain(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    _values(walk, children, at)
    return MADE


def _same(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    return _any(_values(walk, children, at))


def _listing(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    """See a list whose items are looked at, and which is given back."""
    value = _same(walk, children, at)
    return Sight(items=walk.items(value))


def _one_of(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    return walk.items(_same(walk, children, at))


def _join(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    for each in _values(walk, children, at)[1:]:
        walk.items(each)
    return MADE


def _sum(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    _one_of(walk, children, at)
    return MADE


def _to_array(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    value = _same(walk, children, at)
    return Sight(items=_either(value, _inner(walk, value)))


def _map(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    return Sight(items=_of_items(walk, children, at, _one_of(walk, children, at)))


def _by(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    items = _one_of(walk, children, at)
    _of_items(walk, children, at, items)
    return Sight(items=items)


def _first_by(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    return _by(walk, children, at).items or MADE


def _of_items(walk: _Walk, children: Sequence[Tree], at: Sight, items: Sight) -> Sight:
    return _any(
        walk.see(child["children"][0], items) for child in children if child["type"] == "expref"
    )


def _keys(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    for each in _values(walk, children, at):
        _entries(each)
    return MADE


def _entry_values(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    return Sight(items=_any(_entries(each) for each in _values(walk, children, at)))


def _merge(walk: _Walk, children: Sequence[Tree], at: Sight) -> Sight:
    values = _values(walk, children, at)
    for each in values:
        _entries(each)
    return _any(values)


FUNCTIONS: dict[str, Called] = {
    "abs": _plain, "ceil": _plain, "contains": _plain, "ends_with": _plain, "floor": _plain,
    "join": _join, "keys": _keys, "length": _plain, "map": _map, "max": _one_of,
    "max_by": _first_by, "merge": _merge, "min": _one_of, "min_by": _first_by,
    "not_null": _same, "reverse": _same, "sort": _listing, "sort_by": _by,
    "starts_with": _plain, "sum": _sum, "to_array": _to_array, "to_number": _plain,
    "to_string": _plain, "type": _plain, "values": _entry_values,
}  # fmt: skip
