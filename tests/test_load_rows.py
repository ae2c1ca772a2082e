"""Rows: what each comes to, stored exactly, and counted as a dict would count."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal as Exact
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from crmmap.errors import StoreError
from crmmap.load import Transaction, Written
from crmmap.load.accounts import OUTCOME
from crmmap.load.upsert import written
from crmmap.plan.content import content_hashes
from crmmap.values import Counts
from stores import KINDS, PEOPLE, Loader, frame, load, store_url  # noqa: F401  (fixtures)

# --- what is written is what is read -----------------------------------------------------------

VALUES: list[tuple[Any, ...]] = [
    (1, "\U0001f4de Ω\ta", 2**63 - 1, 1.5, Exact("1234567890123456.7891"), True,
     date(1, 1, 1), datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC), '{"b":1,"a":[null]}',
     time(23, 59, 59, 999999), Exact("-3020399.000001"), "https://example.com/ü?x=1",
     "0a6dcb42-6a3f-4d6e-9f5c-1f1f3c1c0d01"),
    (2, "", -(2**63) + 1, -0.1, Exact("-0.0001"), False,
     date(9999, 12, 31), datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC), "[]",
     time(0, 0), Exact("99999999999.000000"), "http://localhost/",
     "00000000-0000-0000-0000-000000000000"),
    (3, *[None] * 12),
]  # fmt: skip


def test_every_kind_of_value_is_stored_exactly(load: Callable[..., Loader]) -> None:
    it = load(KINDS)
    it.upsert(KINDS, VALUES)
    for by in ("text", "whole", "approximate", "exact", "flag", "day", "moment", "clock", "length",
               "link", "guid"):  # fmt: skip
        values = frame(KINDS, VALUES)[by]
        found = it.work(
            lambda transaction, by=by, values=values: transaction.known(KINDS, by, values)
        )
        wanted = frame(KINDS, VALUES).select(by, "id").drop_nulls()
        assert found.sort("id").equals(wanted), by
    assert it.sql("SELECT id FROM kinds WHERE text = ''") == [(2,)]
    assert it.sql("SELECT id FROM kinds WHERE text IS NULL") == [(3,)]


def test_documents_keep_their_meaning(load: Callable[..., Loader]) -> None:
    it = load(KINDS)
    it.upsert(KINDS, VALUES)
    stored = it.sql("SELECT CAST(document AS {text}) FROM kinds WHERE id = 1")[0][0]
    assert json.loads(stored) == {"b": 1, "a": [None]}


def test_running_twice_changes_nothing(load: Callable[..., Loader]) -> None:
    it = load(KINDS)
    assert it.upsert(KINDS, VALUES).counts == Counts(inserted=3)
    it.next_run("run2")
    assert it.upsert(KINDS, VALUES).counts == Counts(unchanged=3)
    assert it.sql("SELECT DISTINCT _crmmap_run_id FROM kinds") == [("run1",)]


# --- counting ----------------------------------------------------------------------------------

CELL = some.one_of(some.none(), some.sampled_from(["", "a", "ä", "A", "1", "1:a", "-", "a "]))
SMALL = some.none() | some.integers(0, 3)
BATCHES = some.lists(
    some.dictionaries(some.sampled_from("abcde"), some.tuples(CELL, SMALL)),
    max_size=4,
)  # fmt: skip
Stored = dict[str, tuple[tuple[Any, ...], str]]


def expected(stored: Stored, batch: Mapping[str, tuple[Any, ...]], run_id: str) -> Counts:
    """Upsert into a dict, and count."""
    counts = dict.fromkeys(("inserted", "updated", "unchanged", "duplicate"), 0)
    for key, row in batch.items():
        if key not in stored:
            outcome = "inserted"
        elif stored[key][0] != row:
            outcome = "updated"
        else:
            outcome = "duplicate" if stored[key][1] == run_id else "unchanged"
        counts[outcome] += 1
        if outcome in ("inserted", "updated"):
            stored[key] = (row, run_id)
    return Counts(**counts)


def test_an_upsert_counts_as_a_dict_would(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)

    @settings(max_examples=25, deadline=None)
    @given(runs=some.lists(BATCHES, min_size=1, max_size=3))
    def law(runs: list[list[dict[str, tuple[Any, ...]]]]) -> None:
        it.sql("DELETE FROM people")
        stored: Stored = {}
        for batches in runs:
            it.next_run(os.urandom(8).hex())
            for batch in batches:
                rows = [(key, *row) for key, row in batch.items()]
                assert it.upsert(PEOPLE, rows).counts == expected(stored, batch, it.run_id)
        wanted = sorted((key, *row) for key, (row, _) in stored.items())
        assert sorted(it.sql("SELECT id, name, count FROM people")) == wanted

    law()


VERSIONED = replace(PEOPLE, version="count")


@pytest.mark.parametrize(
    ("stored", "new", "outcome"),
    [(5, 4, "duplicate"), (5, None, "duplicate"), (5, 6, "updated"), (None, 1, "updated")],
)
def test_an_older_version_never_overwrites(
    load: Callable[..., Loader], stored: int | None, new: int | None, outcome: str
) -> None:
    it = load(VERSIONED)
    it.upsert(VERSIONED, [("a", "first", stored)])
    it.next_run("run2")
    assert it.upsert(VERSIONED, [("a", "second", new)]).counts == Counts(**{outcome: 1})
    kept = "first" if outcome == "duplicate" else "second"
    assert it.sql("SELECT name FROM people") == [(kept,)]


def test_which_of_two_equal_versions_stays_does_not_depend_on_their_order(
    load: Callable[..., Loader],
) -> None:
    it = load(VERSIONED)
    kept = []
    for names in (("x", "y"), ("y", "x")):
        it.sql("DELETE FROM people")
        for name in names:
            it.upsert(VERSIONED, [("a", name, 1)])
        kept += it.sql("SELECT name FROM people")
    assert kept[0] == kept[1]


def test_an_equal_version_of_a_later_run_wins(load: Callable[..., Loader]) -> None:
    it = load(VERSIONED)
    it.upsert(VERSIONED, [("a", "x", 1)])
    for number, name in enumerate(("y", "x")):
        it.next_run(f"later{number}")
        assert it.upsert(VERSIONED, [("a", name, 1)]).counts.updated == 1


def test_a_composite_key_identifies_only_as_a_whole(load: Callable[..., Loader]) -> None:
    target = replace(PEOPLE, key=("count", "id"))
    it = load(target)
    rows = [("a", "n", 1), ("a", "n", 2), ("b", "n", 1)]
    assert it.upsert(target, rows).counts.inserted == 3
    it.next_run("run2")
    assert it.upsert(target, [("a", "m", 2), ("b", "n", 2)]).counts == Counts(inserted=1, updated=1)


def test_a_value_that_moves_to_another_column_is_a_change(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "1", None), ("b", "", None)])
    it.next_run("run2")
    assert it.upsert(PEOPLE, [("a", None, 1), ("b", None, None)]).counts == Counts(updated=2)


def test_more_values_than_a_statement_may_have_parameters(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("1", "n", 69_999), ("2", "n", 70_001)])
    values = pl.Series(range(70_000))
    found = it.work(lambda transaction: transaction.known(PEOPLE, "count", values))
    assert found["id"].to_list() == ["1"]
    target = replace(PEOPLE, table="pairs", key=("id", "count"))
    it.store.prepare([target])
    rows = [(str(number), "n", number) for number in range(6000)]
    assert it.upsert(target, rows).counts.inserted == 6000
    assert it.upsert(target, rows).counts.duplicate == 6000


def test_a_row_without_a_key_is_refused(load: Callable[..., Loader]) -> None:
    target = replace(PEOPLE, key=("count",))
    with pytest.raises(StoreError, match="without a value in the key column 'count'"):
        load(target).upsert(target, [("a", "n", None)])


# --- parents -----------------------------------------------------------------------------------


def test_a_stub_is_counted_once_and_later_updated(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    keys = pl.Series(["a", "b", "a", None])
    assert it.work(lambda transaction: transaction.stub(PEOPLE, keys)) == (2, {})
    assert it.work(lambda transaction: transaction.stub(PEOPLE, keys)) == (0, {})
    assert it.upsert(PEOPLE, [("a", None, None)]).counts.updated == 1
    assert it.upsert(PEOPLE, [("a", None, None)]).counts.duplicate == 1


@pytest.mark.parametrize("others", [[], [("b", "n", 2), ("c", "n", 3)]])
def test_a_row_that_another_program_inserts_meanwhile_is_updated(
    load: Callable[..., Loader], others: list[Any]
) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "old", 1)])
    it.next_run("run2")

    def work(transaction: Transaction) -> Written:
        rows = frame(PEOPLE, [("a", "new", 1), *others])
        told = rows.with_columns(
            content_hashes(rows, PEOPLE.columns), pl.lit("inserted").alias(OUTCOME)
        )
        return written(transaction.session, PEOPLE, told, transaction.mark)

    assert it.work(work).refused.is_empty()
    assert it.sql("SELECT id, name, count FROM people ORDER BY id") == [("a", "new", 1), *others]
