"""Any expression over any records: compiled to columns, it gives the cells of the exact path.

Records are made by a random schema, so that they have the one kind at each place that columns need,
and whatever JSON leaves open: missing entries, nulls, empty texts, lists and objects.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from both_paths import Compared, cell, compared
from crmmap.select.jmespath import Cell

EXAMPLES = int(os.environ.get("CRMMAP_LAW_EXAMPLES", "400"))
NAMES = st.sampled_from("abc")

# --- schemas and records --------------------------------------------------------------------------

TEXTS = st.sampled_from(
    ["", " ", "a", "b", "ab", "Z", "é", "e\u0301", "👍", "\u00a0", "\x1f", "1", "-7", " 5", "1.5",
     "1e3", "true", "null", "x,y", "ﬀ", "𐐀", "\uffff"]
)  # fmt: skip
WHOLES = st.sampled_from([0, 1, 2, -1, -2, 10, 2**53 + 1, 2**63 - 1, -(2**63), -(2**63) + 1])
FRACTIONS = st.sampled_from([0, 1, Decimal("1.0"), Decimal("1.5"), Decimal("-0.0"), Decimal("0.1"),
                             Decimal("1E+5"), Decimal("2.00"), -3])  # fmt: skip
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS, "whole": WHOLES, "boolean": st.booleans(), "fraction": FRACTIONS,
}  # fmt: skip

schemas: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(["text", "text", "whole", "boolean", "fraction"]),
    lambda inner: st.one_of(
        st.tuples(st.just("list"), inner),
        st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)


def values(schema: Any) -> st.SearchStrategy[Any]:
    if isinstance(schema, str):
        return LEAVES[schema]
    if isinstance(schema, tuple):
        return st.lists(optional(schema[1]), max_size=4)
    return objects(schema)


def optional(schema: Any) -> st.SearchStrategy[Any]:
    made = values(schema)
    return st.one_of(made, made, made, st.none())


def objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={k: optional(v) for k, v in schema.items()})


roots = st.fixed_dictionaries(dict.fromkeys("abc", schemas))


def places(schema: Any, at: str) -> Iterator[str]:
    """Yield the ways to a value and to all within it."""
    yield at
    if isinstance(schema, tuple):
        for way in ("[*]", "[]", "[0]", "[-1]"):
            yield from places(schema[1], at + way)
    elif isinstance(schema, dict):
        for name, inner in schema.items():
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
]  # fmt: skip
TWO = [
    "({}) || ({})", "({}) && ({})", "({}) == ({})", "({}) < ({})", "({}) != ({})", "({}) >= ({})",
    "contains({}, {})", "starts_with({}, {})", "ends_with({}, {})", "({})[?{}]", "[{}, {}]",
    "{{x: {}, y: {}}}.y", "[{}, {}][?@]", "[{}, {}] | [1]", "[{}, {}][]", "not_null({}, {})",
    "join({}, {})", "({}) || ({}) || c", "({}) && ({}) && c", "({})[*].[{}]", "[{}, {}][*].a",
]  # fmt: skip


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(lambda form, a: form.format(a), st.sampled_from(ONE), inner),
        st.builds(lambda form, a, b: form.format(a, b), st.sampled_from(TWO), inner, inner),
    )


LITERALS = [
    "`1`", "'a'", "''", "`[]`", "`0`", "`true`", "`null`", "`[\"a\", \"b\"]`", "`[1, 2]`", "`1.5`",
    "@", "c", "missing",
]  # fmt: skip


def expressions(root: dict[str, Any]) -> st.SearchStrategy[str]:
    ways = [way for name, schema in root.items() for way in places(schema, name)]
    leaf = st.one_of(st.sampled_from(ways), st.sampled_from(ways), st.sampled_from(LITERALS))
    return st.recursive(leaf, _grown, max_leaves=4)


ACCEPTS = st.sampled_from(
    [
        frozenset({"string", "number"}),
        frozenset({"string", "number", "boolean"}),
        frozenset({"string"}),
    ]
)


def cells(root: dict[str, Any]) -> st.SearchStrategy[list[Cell]]:
    texts = st.lists(expressions(root), min_size=1, max_size=2)
    made = st.builds(lambda texts, accepts: cell(*texts, accepts=accepts), texts, ACCEPTS)
    return st.lists(made, min_size=1, max_size=4)


def records(root: dict[str, Any]) -> st.SearchStrategy[list[object]]:
    return st.lists(objects(root), min_size=1, max_size=6)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])
@given(roots.flatmap(lambda root: st.tuples(cells(root), records(root))))
def test_both_paths_find_the_same(case: tuple[list[Cell], list[object]]) -> None:
    asked, records = case
    for answers in compared(asked, records):
        if isinstance(answers, Compared):
            assert not answers.differ, answers
            event("unsure of some" if None in answers.compiled else "sure")
        else:
            event(f"declined: {answers}")
