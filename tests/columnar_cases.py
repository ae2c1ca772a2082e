"""Expressions and JSON records for them to read, drawn by Hypothesis.

A schema gives each place one kind, so that columns can hold what stands there; a few records break
it. All choices are between a few, evenly: what Hypothesis makes of its own large ranges is mostly
small, and finds nothing in a record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from both_paths import cell
from crmmap.select.jmespath import Cell

# --- schemas and records, as JSON texts -----------------------------------------------------------

TEXTS = [
    '"a"', '""', '" "', '"b"', '"ab"', '"Z"', '"é"', '"e\\u0301"', '"👍"', '"\\u00a0"', '"\\u001f"',
    '"1"', '"-7"', '" 5"', '"1.5"', '"1e3"', '"true"', '"null"', '"x,y"', '"ﬀ"', '"𐐀"', '"\\uffff"',
    '"007"', '"+3"', '"1_0"', '"inf"',
]  # fmt: skip
WHOLES = [
    "0", "0", "1", "1", "2", "-1", "-2", "3", "10", "9007199254740993", "9223372036854775807",
    "-9223372036854775808", "-9223372036854775807",
]  # fmt: skip
FRACTIONS = ["0", "1", "-3", "1.0", "1.5", "-0.0", "0.1", "1E+5", "2.00", "9007199254740993"]
LEAVES = {"text": TEXTS, "whole": WHOLES, "fraction": FRACTIONS, "boolean": ["true", "false"]}
ODD = [
    "null", '"x"', "1", "true", "1.5", "[]", "{}", '"\\u0000"', '"\\ud800"', "-0", "1e400",
    "1E-500", "9223372036854775808", "-9223372036854775809", "1" * 40, "1" * 400,
    f"0.{'0' * 420}1", '[["a"]]', '{"a":1,"a":2}', '{"b":{"c":[null]}}', "[null]", '[1,"x"]',
    '{"z":1}', '"\\ud83d\\ude00"', f"0.1{'0' * 4000}",
]  # fmt: skip
WRITTEN = {"a": "a", "b": "b", "c": "c", "é k": '"é k"'}
"""Names of entries, as expressions have them."""
NAMES = [*WRITTEN]

Schema = str | list["Schema"] | dict[str, "Schema"]
"""The name of a kind, a list of one schema, or an object of several."""
Entries = dict[str, str]
"""A record's entries, each a JSON text."""
MISSING, PRESENT = "", "."

kinds = st.sampled_from(["text", "text", "whole", "boolean", "fraction", "list", "list", "object"])
some_names = st.lists(st.sampled_from(NAMES[:3]), min_size=1, max_size=3, unique=True)


def _pool(*plain: str) -> tuple[st.SearchStrategy[str], st.SearchStrategy[str]]:
    """Return what a value is drawn from, where most are sound, and where any may be odd."""
    empty = ["null", MISSING] * (1 + len(plain) // 8)
    sound = [*plain, *empty]
    return st.sampled_from(sound), st.sampled_from([*sound, *ODD[: len(sound)]])


POOLS = {name: _pool(*each) for name, each in LEAVES.items()}
THERE = _pool(*[PRESENT] * 8)
lengths = st.integers(0, 4)
unread = st.sampled_from([MISSING, MISSING, "1", "null", "[]"])


def schema(draw: st.DrawFn, depth: int = 0) -> Schema:
    """Draw what stands at a place."""
    kind = draw(kinds)
    if depth > 2 or kind in LEAVES:
        return kind if kind in LEAVES else "text"
    if kind == "list":
        return [schema(draw, depth + 1)]
    return {name: schema(draw, depth + 1) for name in draw(some_names)}


def value(draw: st.DrawFn, of: Schema, *, odd: bool) -> str:
    """Draw a value's JSON text, or none."""
    if isinstance(of, str):
        return draw(POOLS[of][odd])
    text = draw(THERE[odd])
    if text != PRESENT:
        return text
    if isinstance(of, list):
        items = [value(draw, of[0], odd=odd) or "null" for _ in range(draw(lengths))]
        return f"[{','.join(items)}]"
    return as_text(entries(draw, of, odd=odd))


def entries(draw: st.DrawFn, of: dict[str, Schema], *, odd: bool) -> Entries:
    """Draw what an object has, in which any entry may be missing."""
    drawn = {name: value(draw, each, odd=odd) for name, each in of.items()}
    drawn["z"] = draw(unread)
    return {name: each for name, each in drawn.items() if each != MISSING}


def as_text(entries: Entries) -> str:
    """Return an object as JSON."""
    return f"{{{','.join(f'{json.dumps(name)}:{each}' for name, each in entries.items())}}}"


@st.composite
def records(draw: st.DrawFn, root: dict[str, Schema], *, odd: bool = False) -> Entries:
    """Draw a record by its schema, or one of which anything may be odd."""
    return entries(draw, root, odd=odd)


def crossed(drawn: Sequence[Entries]) -> Iterator[Entries]:
    """Yield records, and others put together of their entries: each value meets several others."""
    for turn in range(3 if len(drawn) > 1 else 1):
        for at in range(len(drawn)):
            whole = {
                name: drawn[(at + turn * place) % len(drawn)].get(name, MISSING)
                for place, name in enumerate([*NAMES, "z"])
            }
            yield {name: each for name, each in whole.items() if each != MISSING}


def places(of: Schema, at: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to a value and to all within it, each with the kind that it leads to."""
    if isinstance(of, str):
        yield of, at
    elif isinstance(of, list):
        yield "list", at
        for way in ("[*]", "[]"):
            for _, inner in places(of[0], at + way):
                yield "list", inner
        for way in ("[0]", "[-1]"):
            yield from places(of[0], at + way)
    else:
        yield "object", at
        for name, each in of.items():
            yield from places(each, f"{at}.{name}")


# --- expressions ----------------------------------------------------------------------------------

ONE = {
    "list": [
        "{}[0]", "{}[-1]", "{}[-2]", "{}[1]", "{}[*].b", "{}[*].a", "{}[]", "{}[].a", "{}[1:]",
        "{}[:-1]", "{}[0:1]", "{}[::2]", "{}[1::2]", "{}[::-1]", "{}[-2:1:-1]", "{}[2::-2]",
        "({}) | [0]", "length({})", "map(&a, {})", "map(&length(@), {})", "{}[*].[a, b]",
        "{}[?a]", "{}[?@]", "{}[?!@]", "{}[?a].b", "{}[*].{{x: a, y: b}}", "{}[?a == 'a']",
        "{}[?b == `1`].a", "{}[?@ > `0`]", "{}[*][0]", "{}[*][]", "{}[*].a[]",
        "{}[?length(@) > `1`]", "contains({}, 'a')", "contains({}, `1`)", "contains({}, `null`)",
        "{} == `[]`", "map(&to_string(@), {})", "{}[?a != b]", "{}[?a || b]", "{}[?a].length(b)",
        "{}[?@ == 'a'].length(@)", "sum({}[*].length(@))", "length(join('', {}))",
        "{}[?a && !b].b", "{}[?@ != `null`]", "{}[?type(@) == 'string'] | [0]", "{}[::2] | [1]",
        "{}[*] | [-2]",
    ],
    "list in order": [
        "sort({})", "sort({})[0]", "max({})", "min({})", "sum({})", "reverse({})", "join(',', {})",
        "sort_by({}, &b)", "max_by({}, &a)", "min_by({}, &a)", "sort_by({}, &length(@))",
        "max_by({}, &length(@))", "min_by({}, &length(@))", "max_by({}, &type(@))",
        "sort(map(&to_string(@), {}))", "sort_by({}, &type(@))[-1]", "max_by({}, &a).b",
    ],
    "object": [
        "{}.a", "{}.b", "{}.\"é k\"", "({}) | a", "{}.*", "keys({})", "({}) && 'some'", "!({})",
        "({}) || 'none'", "[{}.a, ({}) && 'some'] | [1]",
    ],
    "text": [
        "length({})", "to_number({})", "reverse({})", "starts_with({}, 'a')", "contains({}, 'a')",
        "{} < 'b'", "length(to_string({}))", "ends_with({}, 'b')", "{} == 'a'",
        "join({}, `[\"a\"]`)",
        "contains(`[\"a\", 1]`, {})", "join(' ', [{}, 'z'][?@])", "({}) || 'none'",
    ],
    "whole": [
        "abs({})", "ceil({})", "floor({})", "{} >= `1`", "{} > `1.5`", "{} == `1.0`", "{} != `0`",
        "sum([{}, `9223372036854775807`])", "contains(`[\"a\", 1]`, {})", "({}) && 'some'",
    ],
    "fraction": ["{} > `1.5`", "{} == `1.0`", "{} >= `1`", "{} < `0`", "{} == `null`"],
    "boolean": ["!({})", "({}) && 'yes'", "{} == `true`", "contains(`[1, null]`, {})"],
    "any": [
        "!({})", "({}) | @", "to_string({})", "type({})", "not_null({}, b)", "[{}, a]", "[{}][]",
        "{{x: {}}}.x", "{{x: {}, y: a}} | [x, y]", "to_array({})", "{} == `null`",
        "keys({{x: {}}})", "values({{x: {}}})", "{{x: {}}}.*", "merge({{x: {}}}, {{y: a}}).x",
        "length({{x: {}}})", "({}) || b", "({}) && a", "({}) || 'none'",
    ],
}  # fmt: skip
"""Expressions with another in them, by the kind that they do something with."""
TWO = [
    "({}) || ({})", "({}) && ({})", "({}) == ({})", "({}) < ({})", "({}) != ({})", "({}) >= ({})",
    "contains({}, {})", "starts_with({}, {})", "ends_with({}, {})", "({})[?{}]", "[{}, {}]",
    "{{x: {}, y: {}}}.y", "[{}, {}][?@]", "[{}, {}] | [1]", "[{}, {}][]", "not_null({}, {})",
    "join({}, {})", "({}) || ({}) || c", "({}) && ({}) && c", "({})[*].[{}]", "[{}, {}][*].a",
]  # fmt: skip
PLAIN = [
    "a", "b", "c", "@", "missing", "@.a", '"é k"', "`1`", "'a'", "''", "`[]`", "`0`", "`true`",
    "`null`", "`false`", "`[\"a\", \"b\"]`", "`[1, 2]`", "`1.5`", "`{\"x\": 1}`",
]  # fmt: skip
ACCEPTED = ["string number", "string number boolean", "string"]

twos = st.sampled_from(TWO)
ones = {kind: st.sampled_from(each) for kind, each in ONE.items()}
wanted = st.sampled_from(
    [*["list"] * 5, *["list in order"] * 2, "any", "any", "any", "text", "text", *ONE]
)
accepted = st.sampled_from([frozenset(each.split()) for each in ACCEPTED])
of_ten = st.integers(0, 9)
Expressions = st.SearchStrategy[str]


def _within(outer: str, inner: str) -> str:
    """Return an expression with another one at each `{}`."""
    return outer.format(*[inner] * outer.count("{}"))


@st.composite
def fitting(draw: st.DrawFn, leaves: Mapping[str, Expressions]) -> str:
    """Draw what is done with a value of a kind."""
    kind = draw(wanted)
    inner = draw(leaves.get(kind.split()[0], leaves["any"]))
    return _within(draw(ones[kind]), inner)


@st.composite
def nested(draw: st.DrawFn, inner: Expressions) -> str:
    """Draw what is done with whatever another expression finds."""
    return _within(draw(ones[draw(wanted)]), draw(inner))


@st.composite
def double(draw: st.DrawFn, inner: Expressions, other: Expressions) -> str:
    """Draw what is done with what two expressions find."""
    return draw(twos).format(draw(inner), draw(other))


def expressions(ways: Sequence[tuple[str, str]]) -> Expressions:
    """Return expressions of parts within each other; most of the innermost are ways."""
    by_kind: dict[str, list[str]] = {}
    for kind, way in ways:
        by_kind.setdefault(kind, []).append(way)
    every = [way for _, way in ways]
    most = [*every * (1 + 2 * len(PLAIN) // len(every)), *PLAIN]
    leaves = {kind: st.sampled_from(each) for kind, each in by_kind.items()}
    leaf = st.sampled_from(most)
    one = fitting({**leaves, "any": leaf})
    two = nested(one) | double(one, leaf)
    return st.one_of(leaf, one, one, one, one, double(leaf, leaf), two, two, nested(two))


@dataclass(frozen=True)
class Asked:
    """A cell, written so that a counterexample can be read."""

    texts: Sequence[str]
    accepts: frozenset[str]
    as_number: bool
    """Whether its field can take a number instead of its digits."""

    def cell(self, field: str) -> Cell:
        return cell(*self.texts, accepts=self.accepts, field=field)


@st.composite
def asked(draw: st.DrawFn, expressions: Expressions) -> Asked:
    """Draw a cell: one expression mostly, or a second one for where the first finds nothing."""
    chance = draw(of_ten)
    texts = [draw(expressions)] if chance < 8 else [draw(expressions), draw(expressions)]
    accepts = draw(accepted)
    return Asked(texts, accepts, "number" in accepts and chance % 2 == 1)


@dataclass(frozen=True)
class Case:
    """Cells, and the records of a batch as they were sent."""

    asked: Sequence[Asked]
    records: Sequence[str]

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(each.cell(f"f{at}") for at, each in enumerate(self.asked))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw some expressions, and many records that have something for them."""
    root = {name: schema(draw) for name in NAMES}
    ways = [way for name, of in root.items() for way in places(of, WRITTEN[name])]
    several = st.lists(asked(expressions(ways)), min_size=1, max_size=9)
    some = [each for few in draw(st.lists(several, min_size=1, max_size=4)) for each in few]
    sound = draw(st.lists(records(root), min_size=1, max_size=12))
    odd = draw(st.lists(records(root, odd=True), max_size=4))
    return Case(some, [as_text(each) for each in (*crossed(sound), *odd)])
