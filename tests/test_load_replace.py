"""Tables that a complete read replaces: the old rows until its end, then its own, all counted."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from crmmap.kinds.writes import Replace
from crmmap.load import Tally, Transaction
from crmmap.transform import dedupe
from crmmap.values import OUTCOMES, Counts
from stores import PEOPLE, Loader, frame, load, rejects_of, store_url  # noqa: F401  (fixtures)

Row = tuple[Any, ...]

TARGET = replace(PEOPLE, write=Replace())
FIRST = replace(TARGET, first=True)
LATEST = replace(TARGET, version="count")


def batch(
    it: Loader, target: Any, rows: Sequence[Row], *, last: bool = False, gap: str = ""
) -> Counts:
    """Write a batch as the loop does, the last one with the end of the read."""

    def work(transaction: Transaction) -> Tally:
        read = frame(target, rows)
        kept = dedupe(read, target)
        written = transaction.write(target, kept)
        bad = rejects_of(written)
        counts = written.counts
        counts = replace(
            counts, fetched=len(read), rejected=len(bad),
            duplicate=counts.duplicate + len(read) - len(kept),
        )  # fmt: skip
        if last:
            counts += transaction.finish(target, gap)
        position = None if last else '"next"'
        return Tally(counts=counts, rejects=bad, ended=last, gap=gap, position=position)

    it.mark, tally = it.store.commit(it.mark, work)
    counts = tally.counts
    assert counts.fetched == sum(asdict(counts)[name] for name in OUTCOMES)
    return counts


def people(it: Loader, table: str = "people") -> list[Row]:
    return sorted(it.sql(f"SELECT id, name, count FROM {table}"))


READS = some.lists(
    some.tuples(
        some.lists(
            some.lists(
                some.tuples(some.sampled_from("abcd"), some.sampled_from(["x", "y"]), some.none()),
                max_size=4,
            ),
            min_size=1,
            max_size=3,
        ),
        some.sampled_from(["", "", "a part failed"]),
        some.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def test_the_table_is_always_what_the_last_complete_read_brought(
    load: Callable[..., Loader],
) -> None:
    it = load(TARGET)

    @settings(max_examples=8 if it.kind == "sqlite" else 5, deadline=None)
    @given(reads=READS)
    def check(reads: list[tuple[list[list[Row]], str, bool]]) -> None:
        it.next_run(os.urandom(8).hex())
        it.sql("DELETE FROM people")
        table: dict[str, Row] = {}
        for batches, gap, interrupted in reads:
            it.next_run(os.urandom(8).hex())
            brought: dict[str, Row] = {}
            total = Counts()
            for number, rows in enumerate(batches, start=1):
                last = number == len(batches)
                brought |= {row[0]: row for row in rows}
                total += batch(it, TARGET, rows, last=last, gap=gap)
                if not last:
                    assert people(it) == sorted(table.values())
                if interrupted and not last:
                    it.store.end_run(it.run_id, status="interrupted")
                    it.begin(os.urandom(8).hex())
                    assert it.mark.resumed
            if gap:
                assert total.deferred == len(brought)
            else:
                old, table = table, brought
                changed = [key for key in table if key in old and old[key] != table[key]]
                assert total.deferred == 0
                assert total.inserted == len(table.keys() - old.keys())
                assert total.updated == len(changed)
                assert total.deleted == len(old.keys() - table.keys())
                assert people(it, "people__next") == []
            assert people(it) == sorted(table.values())

    check()


def test_an_unchanged_row_is_not_written(load: Callable[..., Loader]) -> None:
    it = load(TARGET)
    assert batch(it, TARGET, [("a", "n", 1), ("b", "n", 1)], last=True).inserted == 2
    it.next_run("run2")
    counts = batch(it, TARGET, [("a", "n", 1), ("b", "m", 1)], last=True)
    assert (counts.unchanged, counts.updated) == (1, 1)
    written = it.sql("SELECT id, _crmmap_run_id FROM people ORDER BY id")
    assert written == [("a", "run1"), ("b", "run2")]


@pytest.mark.parametrize(("target", "kept"), [(TARGET, "old"), (FIRST, "new"), (LATEST, "new")])
def test_which_of_two_records_with_one_key_stays(
    load: Callable[..., Loader], target: Any, kept: str
) -> None:
    it = load(target)
    batch(it, target, [("a", "new", 2)])
    assert batch(it, target, [("a", "old", 1)]).duplicate == 1
    counts = batch(it, target, [("a", "old", 1)], last=True)
    assert (counts.duplicate, counts.inserted, counts.deferred) == (1, 1, -1)
    assert it.sql("SELECT name FROM people") == [(kept,)]


def test_a_row_that_the_database_refuses_is_not_in_the_new_table(
    load: Callable[..., Loader],
) -> None:
    it = load(TARGET)
    if it.kind == "sqlite":
        guard = "CREATE TRIGGER guard BEFORE INSERT ON people__next WHEN NEW.count > 8"
        it.sql(f"{guard} BEGIN SELECT RAISE(ABORT, 'no'); END")
    else:
        it.sql("ALTER TABLE people__next ADD CHECK (count <= 8)")
    counts = batch(it, TARGET, [("a", "n", 1), ("b", "n", 9)], last=True)
    assert (counts.inserted, counts.rejected) == (1, 1)
    assert people(it) == [("a", "n", 1)]


def test_what_is_no_part_of_a_read_goes_into_the_table(load: Callable[..., Loader]) -> None:
    it = load(TARGET)
    batch(it, TARGET, [("a", "n", 1)], last=True)
    it.next_run("run2")
    it.mark = it.stream(apart=True)
    assert batch(it, TARGET, [("b", "n", 1)]).inserted == 1
    assert people(it) == [("a", "n", 1), ("b", "n", 1)]
