"""Frames poured into tables, merged and found again: exactly, in bulk, and without leftovers."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal as Exact
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from crmmap.kinds.types import Text
from crmmap.load import Transaction
from crmmap.load.staging import ROW, matching, merge, pour, staged
from crmmap.values import Counts
from stores import KINDS, PEOPLE, Loader, Stop, frame, load, store_url  # noqa: F401  (fixtures)

# What databases can hold: no NUL and no half of a pair. What files and statements are made of
# comes more often.
TEXTS = some.one_of(
    some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9),
    some.text("'\"\\,;()%\n\r\t\x1a\x1f \u2028N.ñ\U0001f4de", max_size=9),
    some.sampled_from(["", "NULL", "\\N", "\\.", "'", "\\'", "''", '"', "),(", "x\n\\.\ny", "%s"]),
)
WHOLE = some.integers(-(2**63) + 1, 2**63 - 1)
CELLS = some.tuples(
    TEXTS,
    WHOLE,
    some.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0),
    some.decimals(-(10**16) + 1, 10**16 - 1, places=4, allow_nan=False),
    some.booleans(),
    some.dates(),
    some.datetimes(timezones=some.just(UTC)),
    some.sampled_from(['{"b":1,"a":[null]}', '"\\\\"', '["\'"]']),
    some.times(),
    some.decimals(-(10**9), 10**9, places=6, allow_nan=False),
    TEXTS,
    some.uuids().map(str),
)
EDGES: list[tuple[Any, ...]] = [
    ("\\", 2**63 - 1, 5e-324, Exact("0.0001"), True, date(1, 1, 1), datetime(1, 1, 1, tzinfo=UTC),
     "1", time(0, 0), Exact(0), "", ""),
    ("a", 0, 1.7976931348623157e308, Exact("-9999999999999999.9999"), False, date(9999, 12, 31),
     datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "1", time(23, 59, 59, 999999),
     Exact("-99999999999.999999"), "b", "c"),
    ("a", 0, 0.1 + 0.2, Exact(1), False, date(2024, 2, 29), datetime(2024, 1, 1, tzinfo=UTC),
     "1", time(1, 2, 3), Exact(1), "b", "c"),
]  # fmt: skip


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cells=some.lists(CELLS, min_size=5, max_size=40))
def test_what_is_poured_or_merged_is_what_is_found(
    load: Callable[..., Loader], cells: list[tuple[Any, ...]]
) -> None:
    it = load(KINDS, run_id=os.urandom(8).hex())
    it.sql("DELETE FROM kinds")
    blank = [None] * len(KINDS.columns[1:])
    rows = frame(KINDS, [(n, *row) for n, row in enumerate([*EDGES, *cells, blank])])
    key, told = KINDS.columns[:1], [each for each in KINDS.columns if each.name != "document"]

    def work(transaction: Transaction) -> pl.DataFrame:
        half, session = len(rows) // 2, transaction.session
        assert pour(session, "kinds", KINDS.columns, rows[:half]) == half
        assert merge(session, "kinds", KINDS.columns, rows, key=KINDS.key) == len(rows)
        return matching(session, "kinds", on=key, wanted=told, rows=rows)

    found = it.work(work).sort(ROW)
    assert found[ROW].to_list() == list(range(len(rows)))
    assert found.drop(ROW).equals(rows.select(each.name for each in told))
    it.store.end_run(it.run_id, status="done")
    it.store.close()


def test_null_equals_nothing_and_a_row_comes_for_each_that_equals_it(
    load: Callable[..., Loader],
) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1), ("b", "n", 1), ("c", "N", 1), ("d", "n", None)])
    asked = pl.DataFrame({"name": ["n", None, "n", "n"], "count": [1, 1, None, 1]})
    on = [PEOPLE.column("name"), PEOPLE.column("count")]

    def find(transaction: Transaction) -> pl.DataFrame:
        wanted = [PEOPLE.column("id")]
        return matching(transaction.session, "people", on=on, wanted=wanted, rows=asked)

    assert it.work(find).sort(ROW, "id").rows() == [(0, "a"), (0, "b"), (3, "a"), (3, "b")]


def test_a_failed_transaction_leaves_nothing_in_its_connection(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    seen: list[int] = []

    def stop(transaction: Transaction) -> None:
        session = transaction.session
        with staged(session, "people", PEOPLE.columns, frame(PEOPLE, [("a", "n", 1)])) as name:
            found = session.connection.exec_driver_sql(f"SELECT count(*) FROM {name}")
            seen.append(found.scalar_one())
            if len(seen) < 3:
                raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            it.work(stop)
    it.work(stop)
    assert seen == [1, 1, 1]


def test_streams_side_by_side_stage_apart(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    if it.store.dialect.single_writer:
        return  # they take turns

    def outer(transaction: Transaction) -> pl.DataFrame:
        with staged(transaction.session, "people", PEOPLE.columns, frame(PEOPLE, [("a", "n", 1)])):
            it.store.distinct(PEOPLE, "name", 1)
            with it.store._transaction() as other:
                rows = frame(PEOPLE, [("b", "n", 1), ("c", "n", 1)])
                with staged(other, "people", PEOPLE.columns, rows) as name:
                    count = other.connection.exec_driver_sql(f"SELECT count(*) FROM {name}")
                    return count.scalar_one()

    assert it.work(outer) == 2


def test_rows_longer_than_a_statement_are_written(load: Callable[..., Loader]) -> None:
    target = replace(PEOPLE, columns=(PEOPLE.columns[0], replace(PEOPLE.columns[1], type=Text()),
                                      PEOPLE.columns[2]))  # fmt: skip
    it = load(target)
    rows = [(str(n), f"{n}" * 700_000, n) for n in range(4)]
    assert it.upsert(target, rows).counts == Counts(inserted=4)
    it.next_run("run2")
    assert it.upsert(target, rows).counts == Counts(unchanged=4)
    lengths = it.sql("SELECT length(name) FROM people ORDER BY id")
    assert lengths == [(700_000,)] * 4


def test_a_text_longer_than_the_column_equals_nothing(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "x" * 20, 1)])
    names = pl.Series(["x" * 21, "x" * 20, "x" * 9000])
    found = it.work(lambda transaction: transaction.known(PEOPLE, "name", names))
    assert found.rows() == [("x" * 20, "a")]
