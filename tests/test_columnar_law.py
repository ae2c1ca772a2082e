"""Any expression over any records: compiled to columns, it gives the cells of the exact path.

Records are made by a random schema, so that they have the one kind at each place that columns need,
and whatever JSON leaves open: missing entries, nulls, empty texts, lists and objects. Cases are
drawn evenly, by Python's own generator: Hypothesis draws the simplest ones most often, which find
nothing in their records, so that seeded bugs lived through hundreds of its cases.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

from both_paths import Compared, cell, compared
from crmmap.select.jmespath import Cell

EXAMPLES = int(os.environ.get("CRMMAP_LAW_EXAMPLES", "3000"))
"""How many answers of the compiled path are compared, each for several records."""
CELLS = 12

# --- schemas and records --------------------------------------------------------------------------

TEXTS = [
    "", " ", "a", "b", "ab", "Z", "é", "e\u0301", "👍", "\u00a0", "\x1f", "1", "-7", " 5", "1.5",
    "1e3", "true", "null", "x,y", "ﬀ", "𐐀", "\uffff", "007", "+3", "1_0", "inf",
]  # fmt: skip
WHOLES = [0, 0, 1, 1, 2, -1, -2, 3, 10, 2**53 + 1, 2**63 - 1, -(2**63), -(2**63) + 1]
FRACTIONS = [0, 1, -3, *map(Decimal, ("1.0", "1.5", "-0.0", "0.1", "1E+5", "2.00"))]

Schema = Any
"""The name of a kind, a list of one schema, or an object of several."""


def schema(draw: Random, depth: int = 0) -> Schema:
    chance = draw.random()
    if depth > 2 or chance < 0.5:
        return draw.choice(["text", "text", "whole", "boolean", "fraction"])
    if chance < 0.75:
        return [schema(draw, depth + 1)]
    return {name: schema(draw, depth + 1) for name in draw.sample("abc", draw.randint(1, 3))}


def value(draw: Random, of: Schema) -> object:
    if draw.random() < 0.2:
        return None
    if isinstance(of, list):
        return [value(draw, of[0]) for _ in range(draw.randint(0, 4))]
    if isinstance(of, dict):
        return record(draw, of)
    kinds = {"text": TEXTS, "whole": WHOLES, "fraction": FRACTIONS, "boolean": [True, False]}
    return draw.choice(kinds[of])


def record(draw: Random, of: dict[str, Schema]) -> dict[str, object]:
    return {name: value(draw, each) for name, each in of.items() if draw.random() < 0.8}


def places(of: Schema, at: str) -> Iterator[str]:
    """Yield the ways to a value and to all within it."""
    yield at
    if isinstance(of, list):
        for way in ("[*]", "[]", "[0]", "[-1]"):
            yield from places(of[0], at + way)
    elif isinstance(of, dict):
        for name, inner in of.items():
            yield from places(inner, f"{at}.{name}")


# --- expressions ----------------------------------------------------------------------------------

ONE = [
    "{}.a", "{}.b", "{}[0]", "{}[-1]", "{}[1]", "{}[*].b", "{}[*].a", "{}[]", "{}[].a", "{}[1:]",
    "{}[:-1]", "{}[::2]", "{}[::-1]", "{}[-2:1:-1]", "!({})", "({}) | a", "({}) | [0]",
    "({}) | @", "length({})", "to_string({})", "to_number({})", "type({})", "sort({})",
    "max({})", "min({})", "sum({})", "not_null({}, b)", "map(&a, {})", "map(&length(@), {})",
    "sort_by({}, &b)", "max_by({}, &a)", "min_by({}, &a)", "reverse({})", "[{}, a]", "[{}][]",
    "{{x: {}}}.x", "{{x: {}, y: a}} | [x, y]", "join(',', {})", "{}[?a]", "{}[?@]", "{}[?!@]",
    "{}[*].[a, b]", "{}[*].{{x: a, y: b}}", "to_array({})", "abs({})", "ceil({})", "{}[?a].b",
    "{}[?a == 'a']", "{}[?b == `1`].a", "{}[?@ > `0`]", "{}[*][0]", "{}[*][]", "{}[*].a[]",
    "{}[?length(@) > `1`]", "contains({}, 'a')", "contains({}, `1`)", "contains({}, `null`)",
    "starts_with({}, 'a')", "{} == `[]`", "{} == `null`", "{} != `0`", "{} >= `1`", "{} < 'b'",
    "{} > `1.5`", "{} == `1.0`", "keys({{x: {}}})", "values({{x: {}}})", "{{x: {}}}.*",
    "merge({{x: {}}}, {{y: a}}).x", "length({{x: {}}})", "join(' ', [{}, 'z'][?@])",
    "map(&to_string(@), {})", "sort(map(&to_string(@), {}))", "contains(`[\"a\", 1]`, {})",
    "{}[?a].length(b)", "{}[?@ == 'a'].length(@)", "sum({}[*].length(@))", "length(join('', {}))",
    "sum([{}, `9223372036854775807`])", "length(to_string({}))", "{}[1::2]", "{}[2::-2]",
]  # fmt: skip
TWO = [
    "({}) || ({})", "({}) && ({})", "({}) == ({})", "({}) < ({})", "({}) != ({})", "({}) >= ({})",
    "contains({}, {})", "starts_with({}, {})", "ends_with({}, {})", "({})[?{}]", "[{}, {}]",
    "{{x: {}, y: {}}}.y", "[{}, {}][?@]", "[{}, {}] | [1]", "[{}, {}][]", "not_null({}, {})",
    "join({}, {})", "({}) || ({}) || c", "({}) && ({}) && c", "({})[*].[{}]", "[{}, {}][*].a",
]  # fmt: skip
PLAIN = [
    "a", "b", "c", "@", "missing", "@.a", "`1`", "'a'", "''", "`[]`", "`0`", "`true`", "`null`",
    "`false`", "`[\"a\", \"b\"]`", "`[1, 2]`", "`1.5`", "`{\"x\": 1}`",
]  # fmt: skip
KINDS = ["string number", "string number boolean", "string"]


def expression(draw: Random, ways: list[str], depth: int) -> str:
    if depth <= 0 or draw.random() < 0.15:
        return draw.choice(ways if draw.random() < 0.7 else PLAIN)
    if draw.random() < 0.6:
        return draw.choice(ONE).format(expression(draw, ways, depth - 1))
    left, right = (expression(draw, ways, depth - less) for less in (1, 2))
    return draw.choice(TWO).format(left, right)


def a_cell(draw: Random, ways: list[str]) -> Cell:
    count = draw.choice([1, 1, 1, 2])
    texts = [expression(draw, ways, draw.choice([1, 1, 2, 2, 3])) for _ in range(count)]
    return cell(*texts, accepts=frozenset(draw.choice(KINDS).split()))


# --- the law --------------------------------------------------------------------------------------


def test_both_paths_find_the_same() -> None:
    counted: Counter[str] = Counter()
    seed = 0
    while counted["compared"] < EXAMPLES:
        draw = Random(seed)
        root = {name: schema(draw) for name in "abc"}
        ways = [way for name, each in root.items() for way in places(each, name)]
        records = [record(draw, root) for _ in range(draw.randint(1, 7))]
        cells = [a_cell(draw, ways) for _ in range(CELLS)]
        counted += alike(cells, records, seed)
        seed += 1
    # A law that is asked nothing holds always.
    assert counted["found"] > EXAMPLES / 5
    assert counted["broke"] > EXAMPLES / 5
    assert counted["unsure"] < EXAMPLES / 20


def alike(cells: list[Cell], records: list[Any], seed: int) -> Counter[str]:
    counted: Counter[str] = Counter()
    names = [
        name for each in cells
        for name in (each, *(one.text for one in each.expressions))
    ]  # fmt: skip
    for name, answers in zip(names, compared(cells, records), strict=True):
        if not isinstance(answers, Compared):
            counted[answers] += 1
            continue
        assert not answers.differ, (seed, name, records, answers.differ)
        sure = [each for each in answers.compiled if each is not None]
        counted["compared"] += 1
        counted["unsure"] += len(sure) < len(records)
        counted["found"] += any(found is not None for found, _ in sure)
        counted["broke"] += any(rule is not None for _, rule in sure)
    return counted
