"""Cells compiled to columns are those of the exact path, or the cell is declined."""

from __future__ import annotations

import polars as pl
import pytest

from crmmap.select.columnar import (
    BLANKS,
    Declined,
    compile_cell,
    declined,
    dtype_of,
    touched,
)
from crmmap.select.jmespath import Cell, JmespathSelector, compile_expression
from crmmap.values import Page

SCALAR = frozenset({"string", "number"})


def cell(*texts: str, accepts: frozenset[str] = SCALAR) -> Cell:
    expressions = tuple(compile_expression(text) for text in texts)
    return Cell(field="f", expressions=expressions, accepts=accepts)


def compiled(cell: Cell, records: list[object]) -> list[tuple[str | None, str | None]] | str:
    """Return the texts and faults of the compiled path, or why it declined."""
    if (why := declined(cell)) is not None:
        return why
    dtype = dtype_of(touched((cell,)), records, {})
    columns = compile_cell(cell, dtype)
    if isinstance(columns, Declined):
        return columns.reason
    frame = pl.DataFrame({"r": records}, schema={"r": dtype}, strict=True).with_row_index("#")
    fault = pl.lit(None, dtype=pl.String).alias("f!") if columns.fault is None else columns.fault
    made = frame.unnest("r").select("#", columns.value, fault)
    return list(zip(made["f"].to_list(), made["f!"].to_list(), strict=True))


def exact(cell: Cell, records: list[object]) -> list[tuple[str | None, str | None]]:
    frame = JmespathSelector(cells=(cell,)).select(Page(number=1, records=records))
    faults = frame["f!"] if "f!" in frame.columns else [None] * len(records)
    return list(zip(frame["f"], faults, strict=True))


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
    assert compiled(cell, records) == exact(cell, records)


def test_all_blanks_of_python_are_known() -> None:
    assert set(BLANKS) == {chr(point) for point in range(0x110000) if chr(point).isspace()}
