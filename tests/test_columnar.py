"""Cells compiled to columns are those of the exact path, or the cell is declined."""

from __future__ import annotations

import pytest

from both_paths import SCALAR, Compared, cell, compared
from crmmap.select.columnar import BLANKS
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
    ],
)
def test_plain_walks(cell: Cell, records: list[object]) -> None:
    for answers in compared([cell], records):
        assert isinstance(answers, Compared)
        assert list(answers.compiled) == list(answers.exact)


def test_all_blanks_of_python_are_known() -> None:
    assert set(BLANKS) == {chr(point) for point in range(0x110000) if chr(point).isspace()}
