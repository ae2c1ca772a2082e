"""JMESPath selection: records, cells, and what an expression touches."""

from __future__ import annotations

from decimal import Decimal
from itertools import zip_longest

import jmespath
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.select.document import NotANumber
from crmmap.select.jmespath import (
    Cell,
    JmespathSelector,
    cells_of,
    compile_expression,
    find_records,
    leaves,
    names_under,
    text_of,
)
from crmmap.values import Page

SCALAR = frozenset({"string", "number"})
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
)


@given(st.sampled_from(["a", "a.b", "a.b.c", '"a"."b"']), documents)
def test_a_plain_walk_finds_what_jmespath_finds(text: str, document: object) -> None:
    expression = compile_expression(text)
    assert expression.names is not None
    assert expression.find(document) == jmespath.search(text, document)


@pytest.mark.parametrize(
    ("text", "document", "records"),
    [
        ("results[]", {"results": [1, None, 2]}, [1, None, 2]),
        ("results[*]", {"results": [None]}, [None]),
        ("results[]", {"results": [[], {}, 0]}, [[], {}, 0]),
        ("@", [{"a": 1}, None], [{"a": 1}, None]),
        ("data.items[]", {"data": {"items": [[1, 2], 3]}}, [1, 2, 3]),
        ("results[].x", {"results": [{"x": 1}, {}, {"x": 2}]}, [1, None, 2]),
        ("results[?ok].x", {"results": [{"ok": True, "x": 1}, {"x": 2}]}, [1]),
        ("results[].items[]", {"results": [{"items": [1]}, {}, {"items": [2]}]}, [1, 2]),
    ],
)
def test_no_record_is_lost_to_a_projection(
    text: str, document: object, records: list[object]
) -> None:
    assert find_records(compile_expression(text), document) == records


@pytest.mark.parametrize(
    ("text", "document"), [("results[]", {"items": []}), ("results[]", {"results": {}}), ("@", 5)]
)
def test_a_missing_list_is_an_error_and_not_the_end(text: str, document: object) -> None:
    with pytest.raises(ValueError, match="selects"):
        find_records(compile_expression(text), document)


@pytest.mark.parametrize("text", ["a..b", "a[", "", "no spaces here", "((((" * 900, "x" * 3000])
def test_what_is_not_jmespath_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not JMESPath|is longer"):
        compile_expression(text)


@pytest.mark.parametrize(
    ("value", "accepts", "text"),
    [
        (Decimal("1.10"), SCALAR, "1.10"), (Decimal("1E+5"), SCALAR, "100000"),
        (9007199254740993, SCALAR, "9007199254740993"), ("0012", SCALAR, "0012"),
        (True, SCALAR | {"boolean"}, "true"),
        ({"a": Decimal("1.10"), "b": [None, "é"]}, SCALAR | {"container"},
         '{"a":1.10,"b":[null,"é"]}'),
    ],
)  # fmt: skip
def test_a_cell_has_the_text_that_the_source_sent(
    value: object, accepts: frozenset[str], text: str
) -> None:
    assert text_of(value, accepts) == (text, None)


@pytest.mark.parametrize(
    ("value", "accepts", "rule"),
    [
        ({}, SCALAR, "json.container"), ([1], SCALAR, "json.container"),
        (False, SCALAR, "json.boolean"), (NotANumber("NaN"), SCALAR, "json.number"),
        (5, frozenset({"string"}), "json.number_given"), ("a\x00b", SCALAR, "text.nul"),
        ("\ud83d", SCALAR, "text.surrogate"), (["\x00"], SCALAR | {"container"}, "text.nul"),
    ],
)  # fmt: skip
def test_what_no_column_can_hold_is_a_fault(
    value: object, accepts: frozenset[str], rule: str
) -> None:
    assert text_of(value, accepts) == (None, rule)


def test_the_first_value_that_is_not_empty_is_taken() -> None:
    cell = Cell(
        field="phone",
        expressions=(compile_expression("length(a)"), compile_expression("b")),
        accepts=SCALAR,
    )
    page = Page(number=3, records=[{"b": " "}, {"a": "xy"}, {"b": "5"}])
    frame = JmespathSelector(cells=(cell,)).select(page)
    assert frame["phone"].to_list() == [None, "2", "5"]
    assert frame["phone!"].to_list() == ["select.type", None, None]
    assert frame.select("#page", "#index", "#at").rows() == [(3, 0, 0), (3, 1, 1), (3, 2, 2)]


KINDS: list[list[object]] = [
    ["x", "", " ", "\x1c", "\u2003", "Zo\u00eb", "12"], [1, 0, -7, 10**40],
    [1, Decimal("1.10"), Decimal("1E+2"), Decimal("-0.0")], [True, False],
    ["x", "\0", "a\0b"], ["x", "\ud800", ""],
    ["x", "", 1, True, Decimal("0.5"), {"b": 1}, [], "\0", "\ud800", NotANumber("1e999")],
]  # fmt: skip
columns_of_values = st.sampled_from(KINDS).flatmap(
    lambda kind: st.lists(st.one_of(st.none(), st.sampled_from(kind)), max_size=6)
)


@given(
    columns_of_values, columns_of_values,
    st.sampled_from([["a"], ["a", "o.b"], ["o.b", "a", "none"], ["o", "a"]]),
    st.sets(st.sampled_from(["string", "number", "boolean", "container"])),
)  # fmt: skip
def test_cells_of_values_that_are_alike_are_those_of_each(
    several: list[object], others: list[object], ways: list[str], accepts: set[str]
) -> None:
    pairs = zip_longest(several, others)
    records: list[object] = [{"a": each, "o": {"b": other}} for each, other in pairs]
    records += [{"o": 5}, {}]
    made, expected = (
        cells_of(
            [Cell(
                field="f", expressions=tuple(compile_expression(way + more) for way in ways),
                accepts=frozenset(accepts),
            )],
            records,
        )
        for more in ("", " | @")  # which is the same, and no plain way
    )  # fmt: skip
    assert [each.to_list() for each in made] == [each.to_list() for each in expected]
    assert [each.dtype for each in made] == [pl.String] * len(expected)


def test_a_key_first_seen_in_a_late_record_is_selected() -> None:
    """polars infers a schema from the first hundred records and drops what comes later."""
    records: list[object] = [{"a": 1} for _ in range(200)]
    records.append({"a": 9007199254740993, "late": "kept"})
    cells = tuple(
        Cell(field=name, expressions=(compile_expression(name),), accepts=SCALAR)
        for name in ("a", "late")
    )
    frame = JmespathSelector(cells=cells).select(Page(number=1, records=records))
    assert frame.schema["late"] == pl.String
    assert frame.row(-1)[3:] == ("9007199254740993", "kept")


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("a.b", [("a", "b")]),
        ("join(' ', [first, last][?@])", [("first",), ("last",)]),
        ("a[0].b || c", [("a", 0, "b"), ("c",)]),
        ("items[*].id", [("items", 0, "id")]),
        ("results[?kind=='x'].value | [0]", [("results", 0, "value", 0)]),
    ],
)
def test_the_ways_into_a_document_are_known(text: str, ways: list[tuple[str | int, ...]]) -> None:
    assert list(leaves(compile_expression(text))) == ways


def test_the_names_under_an_object_are_known() -> None:
    expressions = [compile_expression(text) for text in ("p.b", "p.a", "p.b", "q.c", "p")]
    assert names_under(expressions, "p") == ("a", "b")
