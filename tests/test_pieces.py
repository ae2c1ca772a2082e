"""Values cut out of records are those of the records decoded, whatever is sent."""

from __future__ import annotations

import json
import os

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from both_paths import SCALAR, cell
from crmmap.select.jmespath import cells_of
from crmmap.select.pieces import cut_cells, cutting
from crmmap.select.strict import read_document
from test_two_paths import blanks, values

EXAMPLES = int(os.environ.get("CRMMAP_LAW_EXAMPLES", "100"))
WHOLE = SCALAR | {"container", "boolean"}
CELLS = (
    cell("a", field="scalar"),
    cell("a", "o.x", 'o."é"', field="several"),
    cell("o.x", accepts=SCALAR | {"boolean"}, field="truth"),
    cell('o."é"', accepts=frozenset({"string"}), field="text"),
    cell("o.x", "a", accepts=WHOLE, field="whole"),
    cell("p.q.r", accepts=WHOLE, field="deep"),
)
WITHIN = cell("o", accepts=WHOLE, field="around")
"""What is cut out for the others stands in it."""
DECODED = (cell("length(p.q.r)", field="counted"), cell("o.* | [0]", "a && p", field="more"))
ALL = (*DECODED, cell("keys(@) | join(',', @)", field="all"))

spelled = st.sampled_from(
    ["1.50", "0.0000001", "-0.0000000", "0.000001", "-0", "[-0,0,-0.0]", '{"a":1e5}', '["1e5",1E5]',
     '"\\u0000"', '"\\\\u0000"', '"\\ud83d\\ude00"', '{"k": [1, {"é": null}], "\\n":" x , y "}',
     "{}",
     '"\u3000"', '"\x7f"', '"é"', "[ ]", "9" * 150, "1." + "0" * 150, "false"]
)  # fmt: skip
value = st.one_of(spelled, values)


@st.composite
def records(draw: st.DrawFn) -> str:
    """Draw a record, all the ways in it leading through objects, or nulls."""
    blank = draw(blanks)
    of = draw(st.dictionaries(st.sampled_from(['"x"', '"é"', '"\\u00e9"', '"z"']), value))
    inner = ",".join(f"{name}{blank}:{each}" for name, each in of.items())
    deep = f'{{"q":{{"r":{draw(value)}}}}}'
    entries = {
        '"a"': draw(value), '"o"': draw(st.sampled_from([f"{{{inner}}}", "null"])),
        '"p"': draw(st.sampled_from(["null", "{}", deep, '{"q":null}'])),
    }  # fmt: skip
    kept = [name for name in entries if draw(st.integers(0, 5))]
    return "{" + ",".join(f"{blank}{name}:{blank}{entries[name]}" for name in kept) + "}"


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(records(), max_size=6))
@example([])
@example(['{"o":[]}', '{"a":1.50}'])
def test_cells_are_the_same_cut_out_and_decoded(texts: list[str]) -> None:
    sound = [each for each in texts if not read_document(each).has_ambiguous]
    for cells in (CELLS, (*CELLS, WITHIN, *DECODED), ALL):
        found = cut_cells(cells, [each.encode() for each in sound])
        expected = pl.DataFrame(cells_of(cells, [read_document(each).value for each in sound]))
        assert_frame_equal(found, expected, check_column_order=False)


@pytest.mark.parametrize("text", ["a.[`1`]", "(a && 'yes')[*].[`1`]", "(a || b)[*].{k: `1`}"])
def test_what_is_only_looked_for_is_decoded_too(text: str) -> None:
    records = [{"a": []}, {"a": [1]}, {"a": {"k": 1}}, {"a": None}, {"b": [1]}]
    odd = (cell(text, field="odd"),)
    found = cut_cells(odd, [json.dumps(each).encode() for each in records])
    assert_frame_equal(found, pl.DataFrame(cells_of(odd, records)), check_column_order=False)


def test_what_stands_under_a_name_that_json_escapes_is_decoded() -> None:
    cells = [cell(r'"a\"b"', r'"\\"', accepts=WHOLE, field="odd"), CELLS[0]]
    records = [{'a"b': {"k": 1}, "a": "x"}, {"\\": 1, "a": "y"}]
    assert cutting(tuple(cells))[0] == [CELLS[0]]
    found = cut_cells(cells, [json.dumps(each).encode() for each in records])
    assert_frame_equal(found, pl.DataFrame(cells_of(cells, records)), check_column_order=False)


def test_what_can_be_cut_out_is() -> None:
    assert cutting((*CELLS, WITHIN, *DECODED))[0] == [*CELLS]
