"""Cells compiled to columns are those of the exact path, or the cell is declined."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest

from both_paths import SCALAR, Compared, cell, compared
from crmmap.select import sight, vector_functions, vector_nodes
from crmmap.select.columnar import (
    BLANKS,
    Columns,
    compile_cell,
    declined,
    dtype_of,
    hints_of,
    touched,
)
from crmmap.select.jmespath import Cell


@pytest.mark.parametrize(
    ("cell", "records"),
    [
        (cell("a"), [{"a": "x"}, {"a": " "}, {"a": ""}, {}, {"a": None}, {"a": " y "}]),
        (cell("a"), [{"a": 2**63 - 1}, {"a": 0}, {"a": -1}]),
        (cell("a.b.c"), [{"a": {"b": {"c": "x"}}}, {"a": {"b": {}}}, {"a": None}, {}]),
        (cell("a.b"), [{"a": "x"}]),
        (cell("a", accepts=SCALAR | {"boolean"}), [{"a": True}, {"a": False}, {}]),
        (cell("a"), [{"a": True}, {}]),
        (cell("a", accepts=frozenset()), [{"a": 1}, {}]),
        (cell("a"), [{"a": {}}, {"a": None}]),
        (cell("a"), [{"a": []}, {"a": [1]}, {}]),
        (cell("a", "b"), [{"a": "", "b": "x"}, {"b": "x"}, {"a": "y", "b": "x"}, {}]),
        (cell("a", "b"), [{"a": True, "b": "x"}, {"b": "x"}, {"a": None, "b": ""}, {}]),
        (cell("a", "b"), [{"a": 5, "b": "x"}, {"b": "x"}]),
        (cell("a"), [{"a": blank} for blank in BLANKS]),
        (cell("[a]", "`false` == b[0]"), [{"a": "x", "b": []}, {"a": "x", "b": [True]}]),
    ],
)
def test_plain_walks(cell: Cell, records: list[object]) -> None:
    for answers in compared([cell], records):
        assert isinstance(answers, Compared)
        assert list(answers.compiled) == list(answers.exact)


def test_all_blanks_of_python_are_known() -> None:
    assert set(BLANKS) == {chr(point) for point in range(0x110000) if chr(point).isspace()}


@pytest.mark.parametrize(
    ("cell", "records"),
    [
        (cell("a || b"), [{"a": "", "b": "x"}, {"a": "y", "b": "x"}, {"b": ""}]),
        (cell("a || b"), [{"a": 0, "b": 1}, {"b": 1}]),
        (cell("a && b"), [{"a": 0, "b": 1}, {"a": None, "b": 1}]),
        (cell("a[-1]"), [{"a": ["x", "y"]}, {"a": []}, {"a": ["x", None]}]),
        (cell("join(' ', [a, b][?@])"), [{"a": "x", "b": ""}, {"b": "y"}, {"a": "x", "b": "y"}]),
        (cell("join(', ', a[*].b)"), [{"a": [{"b": "x"}, {}, {"b": "y"}]}, {"a": []}, {}]),
        (cell("a[?b == 'x'].c | [0]"), [{"a": [{"b": "y", "c": "1"}, {"b": "x", "c": "2"}]}, {}]),
        (cell("length(a)", "b"), [{"a": "e\u0301👍"}, {"b": "x"}, {"a": ""}, {}]),
        (cell("a == b"), [{"a": 1, "b": True}, {}, {"a": 0, "b": False}]),
        (cell("a < b"), [{"a": "x", "b": 1}, {"b": 1}, {"a": "x"}]),
        (cell("max(a)"), [{"a": [1, 3, 2]}, {"a": []}, {"a": [1, None]}, {}]),
        (cell("sum(a)"), [{"a": [1, 2]}, {"a": []}, {"a": [2**63 - 1, -1]}]),
        (cell("a[::99999999999999999999] | [0]"), [{"a": ["x", "y"]}, {"a": []}]),
        (cell("to_number(a)"), [{"a": "12"}, {"a": "x"}, {"a": ""}, {}]),
    ],
)
def test_expressions(cell: Cell, records: list[object]) -> None:
    for answers in compared([cell], records):
        assert isinstance(answers, Compared)
        assert list(answers.compiled) == list(answers.exact)


@pytest.mark.parametrize(
    ("cell", "records"),
    [
        (cell("a > `1`"), [{"a": Decimal("1.0")}]),  # or 1.00000000000000000001
        (cell("sum(a)"), [{"a": [2**63 - 1, 1]}]),
        (cell("to_number(a)"), [{"a": "1.50"}]),
        (cell("reverse(a)"), [{"a": "é"}]),
        (cell("!a", accepts=SCALAR | {"boolean"}), [{"a": {"c": 1}}, {"a": {"b": None}}]),
    ],
)  # fmt: skip
def test_what_columns_cannot_decide_is_left_to_the_exact_path(
    cell: Cell, records: list[object]
) -> None:
    dtype = (
        pl.Struct({"a": pl.Struct({"b": pl.String})}) if cell.expressions[0].text == "!a" else None
    )
    answers, _ = compared([cell], records, dtype)
    assert isinstance(answers, Compared)
    assert {*answers.compiled} == {None}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (cell("[a]", accepts=SCALAR | {"container"}), "takes whole values as JSON that it makes"),
        (cell("to_string(@)"), "takes the whole record"),
        (cell("a.*"), "reads all entries of an object"),
        (cell("keys(a)"), "reads all entries of an object"),
        (cell("avg(a)"), "calls avg()"),
        (cell(r'"\ud83d"'), "names an entry by what is no text"),
    ],
)  # fmt: skip
def test_cells_that_are_never_compiled_say_why(cell: Cell, reason: str) -> None:
    assert declined(cell) == reason


@pytest.mark.parametrize(
    ("cell", "record", "reason"),
    [
        (cell("a || b"), {"a": 1, "b": "x"}, "gives values of several kinds"),
        (cell("a == b"), {"a": {}, "b": {}}, "compares objects"),
        (cell("length(a)"), {"a": {}}, "counts the entries of an object"),
        (cell("a", "b"), {"a": Decimal("1.5"), "b": "x"}, "takes fractions and other values"),
        (cell('"*"'), {"*": 1}, "reads '*', which looks like a pattern"),
        (cell("reverse(" * 60 + "a" + ")" * 60), {"a": "x"}, "is too involved"),
    ],
)  # fmt: skip
def test_cells_that_are_not_compiled_for_such_records_say_why(
    cell: Cell, record: object, reason: str
) -> None:
    assert compared([cell], [record])[0] == reason


def test_a_fraction_is_given_as_a_number_for_its_digits_are_gone() -> None:
    made = compile_cell(cell("a"), pl.Struct({"a": pl.Decimal(14, 2)}))
    assert isinstance(made, Columns)
    assert made.dtype == pl.Decimal(14, 2)
    made = compile_cell(cell("a"), pl.Struct({"a": pl.Float64}))
    assert isinstance(made, Columns)
    values = pl.DataFrame({"a": [-0.0, 1.5, float("inf")]}).select(made.value, made.unsure)
    assert [str(each) for each in values["f"]][:2] == ["0.0", "1.5"]
    assert values[:, 1].to_list() == [False, False, True]


# --- what is read, and what a sample says of it ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("a.b", {"a": pl.Struct({"b": pl.String})}),
        ("map(&a.b, x)", {"x": pl.List(pl.Struct({"a": pl.Struct({"b": pl.String})}))}),
        ("sort_by(x, &n)[0].t", {"x": pl.List(pl.Struct({"n": pl.String, "t": pl.String}))}),
        ("x[?k == 'a'].v | [0]", {"x": pl.List(pl.Struct({"k": pl.String, "v": pl.String}))}),
        ("{p: a, q: b}.p.c", {"a": pl.Struct({"c": pl.String}), "b": pl.String}),
        ("[x, y][].k | [0]", {
            "x": pl.Struct({"k": pl.String}), "y": pl.Struct({"k": pl.String}),
        }),
        ("join(',', x)", {"x": pl.List(pl.String)}),
    ],
)  # fmt: skip
def test_all_that_is_read_is_in_the_schema(text: str, dtype: dict[str, pl.DataType]) -> None:
    assert dtype_of(touched((cell(text),)), [], {}) == pl.Struct(dtype)


def test_a_sample_tells_the_kind_of_each_place() -> None:
    names = ("text", "whole", "fraction", "boolean", "mostly", "list", "object")
    cells = tuple(cell(name) for name in names)
    records: list[object] = [
        {"text": "x", "whole": 1, "fraction": 1, "boolean": True, "mostly": "x", "list": [None]},
        {"fraction": Decimal("1.5"), "mostly": "y", "list": ["x"], "object": {"a": 1}},
        {"mostly": 1, "list": None},
    ]
    assert dict(dtype_of(touched(cells), records, {})) == {
        "text": pl.String, "whole": pl.Int64, "fraction": pl.Float64, "boolean": pl.Boolean,
        "mostly": pl.String, "list": pl.List(pl.String), "object": pl.Struct({}),
    }  # fmt: skip


def test_a_hint_tells_where_a_sample_has_nothing_and_what_number_it_is() -> None:
    cells = tuple(
        replace(cell(name), field=field)
        for field, name in [("p", "a"), ("q", "b"), ("r", "c"), ("s", "d"), ("t", "d")]
    )
    dtypes = {"p": pl.Int64(), "q": pl.Boolean(), "r": pl.Float64(), "s": pl.Int64()}
    hints = hints_of(cells, dtypes)
    made = dtype_of(touched(cells), [{"c": 1, "d": None}], hints)
    # What also is read by a field of another type has no hint.
    assert dict(made) == {"a": pl.Int64, "b": pl.Boolean, "c": pl.Float64, "d": pl.String}


def test_every_function_whose_places_are_known_is_compiled() -> None:
    assert {*vector_functions.FUNCTIONS} == {*sight.FUNCTIONS}
    assert {*vector_nodes.NODES} == {*sight.NODES}
