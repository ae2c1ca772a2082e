"""The hash of a row's content: equal rows have one, different ones different ones."""

from __future__ import annotations

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crmmap.kinds.types import Datetime, Integer, Text
from crmmap.plan import Column
from crmmap.plan.content import content_hashes

COLUMNS = (
    Column(name="a", type=Text()),
    Column(name="n", type=Integer()),
    Column(name="b", type=Text()),
    Column(name="c", type=Text()),
)
SCHEMA = {each.name: each.type.dtype for each in COLUMNS}
Row = tuple[str | None, int | None, str | None, str | None]

# Few signs, among them those that part values: what could be taken for another row often is.
texts = st.none() | st.text(st.sampled_from("\0\x1f01-"), max_size=4)
rows = st.tuples(texts, st.none() | st.integers(0, 11), texts, texts)


def hashes(*some: Row) -> list[int]:
    frame = pl.DataFrame(some, schema=SCHEMA, orient="row")
    return content_hashes(frame, COLUMNS).to_list()


@given(st.lists(rows, max_size=12))
@settings(deadline=None)
@example([("\x1f", 1, None, None), (None, 1, "\x1f", None)])
@example([(None, None, None, None), ("\0", None, None, None), ("", None, None, None)])
@example([("a\x1f1\x1fb", 1, "c", "d"), ("a", 1, "b\x1f1\x1fc", "d")])
def test_different_rows_have_different_hashes(some: list[Row]) -> None:
    distinct = list(dict.fromkeys(some))
    assert len(set(hashes(*distinct))) == len(distinct)


@given(st.lists(rows, min_size=1, max_size=8))
@settings(deadline=None)
def test_a_row_has_one_hash_whatever_stands_beside_it(some: list[Row]) -> None:
    assert hashes(*some) == [hashes(each)[0] for each in some]


def test_hashes_are_the_same_on_every_machine_and_with_every_version() -> None:
    column = Column(name="t", type=Datetime())
    frame = pl.DataFrame({"t": ["2024-05-06T07:08:09Z", None]}).select(
        column.type.read(pl.col("t"))
    )
    assert content_hashes(frame, (column,)).to_list() == [7257886321507961047, 5224996704525874836]
    assert hashes(("é", 5, None, ""), ("\0", None, "x", "\x1f")) == [
        6426493614232180249,
        5401107273504806367,
    ]
