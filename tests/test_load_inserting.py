"""Rows inserted without asking the table first: quicker while all is new, and never another result.

Every way of writing does the same reads twice, as it is and with the table asked each time: each
batch comes to the same, and the tables hold the same. CRMMAP_LAW_EXAMPLES says how many random
reads are tried.
"""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as some

from crmmap.kinds.types import Datetime, Integer, Text
from crmmap.kinds.writes import Append, History, Replace, Snapshot
from crmmap.load import Tally, Transaction
from crmmap.plan import Target
from crmmap.transform import dedupe
from crmmap.values import DELETED, Counts
from stores import PEOPLE, Loader, columns, frame, load, rejects_of, store_url  # noqa: F401

Row = tuple[Any, ...]

VERSIONED = replace(PEOPLE, version="count")
BAD = "bad"


def guard(it: Loader, table: str = "people") -> None:
    """Have the database refuse every row with a bad name."""
    if it.kind == "sqlite":  # which can't add a CHECK
        it.sql(
            f"CREATE TRIGGER guard_{table} BEFORE INSERT ON {table} WHEN NEW.name = '{BAD}' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    else:
        it.sql(f"ALTER TABLE {table} ADD CHECK (name <> '{BAD}')")


def asked(it: Loader) -> list[str]:
    """Note from now on the statements that ask which rows the table has."""
    seen: list[str] = []

    def note(_c: Any, _cu: Any, statement: str, *_: Any) -> None:
        if re.search(r"JOIN .?people\W", statement):
            seen.append(statement)

    sa.event.listen(it.store.engine, "before_cursor_execute", note)
    return seen


def people(*names: str, name: str = "n", count: int = 1) -> list[Row]:
    return [(each, name, count) for each in names]


# --- whether the table is asked -----------------------------------------------------------------


def test_while_all_is_new_only_the_first_batch_asks(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    seen = asked(it)
    for number, batch in enumerate((people("a", "b"), people("c"), people("d", "e"))):
        assert it.upsert(PEOPLE, batch).counts == Counts(inserted=len(batch))
        assert len(seen) == 1, number
    assert it.sql("SELECT id FROM people ORDER BY id") == [(each,) for each in "abcde"]


def test_what_another_program_inserts_in_the_middle_is_updated(
    load: Callable[..., Loader],
) -> None:
    it = load(PEOPLE)
    seen = asked(it)
    it.upsert(PEOPLE, people("a"))
    it.sql("INSERT INTO people (id, name) VALUES ('c', 'theirs')")
    assert it.upsert(PEOPLE, people("b", "c", "d")).counts == Counts(inserted=2, updated=1)
    assert len(seen) == 2
    assert it.upsert(PEOPLE, people("e")).counts == Counts(inserted=1)
    assert len(seen) == 3, "what is there may be there again"
    found = it.sql("SELECT id, name, _crmmap_run_id FROM people ORDER BY id")
    assert found == [(each, "n", "run1") for each in "abcde"]


def test_a_second_run_asks(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    batches = [people("a", "b"), people("c", "d"), people("e")]
    for batch in batches:
        it.upsert(PEOPLE, batch)
    it.next_run("run2")
    seen = asked(it)
    for batch in batches:
        assert it.upsert(PEOPLE, batch).counts == Counts(unchanged=len(batch))
    assert len(seen) == 3


def test_a_bare_parent_is_no_new_row(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, people("a"))

    def work(transaction: Transaction) -> Any:
        transaction.stub(PEOPLE, pl.Series(["c"]))
        return transaction.write(PEOPLE, frame(PEOPLE, people("b")))

    assert it.work(work).counts == Counts(inserted=1)
    it.mark = replace(it.mark, inserting=True)
    assert it.upsert(PEOPLE, people("c", "d")).counts == Counts(inserted=1, updated=1)


@pytest.mark.parametrize(
    ("target", "second", "kept"),
    [
        (PEOPLE, 1, ("later", 1)),
        (VERSIONED, 4, ("first", 5)),
        (VERSIONED, 6, ("later", 6)),
        (replace(PEOPLE, first=True), 6, ("first", 5)),
    ],
)
def test_a_key_that_comes_again_in_a_later_batch(
    load: Callable[..., Loader], target: Target, second: int, kept: Row
) -> None:
    it = load(target)
    it.upsert(target, people("x"))
    it.upsert(target, people("a", name="first", count=5))
    outcome = "duplicate" if kept[0] == "first" else "updated"
    again = [*people("b"), *people("a", name="later", count=second), *people("c")]
    assert it.upsert(target, again).counts == Counts(inserted=2, **{outcome: 1})
    assert it.sql("SELECT name, count FROM people WHERE id = 'a'") == [kept]


def test_of_equal_versions_in_two_batches_the_order_does_not_choose(
    load: Callable[..., Loader],
) -> None:
    it = load(VERSIONED)
    kept = []
    for number, names in enumerate((("x", "y"), ("y", "x"))):
        it.sql("DELETE FROM people")
        it.next_run(f"again{number}")
        it.upsert(VERSIONED, people("first of all"))
        for name in names:
            it.upsert(VERSIONED, [*people(f"new {name}"), *people("a", name=name)])
        kept += it.sql("SELECT name FROM people WHERE id = 'a'")
    assert kept[0] == kept[1]


def test_a_row_that_the_database_refuses_costs_itself_alone(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    guard(it)
    it.upsert(PEOPLE, people("a"))
    wrong = {3, 200}
    rows = [(f"p{n:03}", BAD if n in wrong else "n", n) for n in range(256)]
    written = it.upsert(PEOPLE, rows)
    assert written.counts == Counts(inserted=254)
    assert set(written.refused["#index"]) == wrong
    assert it.upsert(PEOPLE, people("b")).counts == Counts(inserted=1)
    assert it.sql("SELECT count(*) FROM people") == [(256,)]
    ledger = "SELECT fetched, inserted, rejected FROM crmmap_batches ORDER BY batch_seq"
    assert it.sql(ledger) == [(1, 1, 0), (256, 254, 2), (1, 1, 0)]


def test_a_batch_with_a_refused_row_and_one_that_is_there(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    guard(it)
    it.upsert(PEOPLE, people("a"))
    rows = [*people("b"), *people("c", name=BAD), *people("a", count=2), *people("d")]
    written = it.upsert(PEOPLE, rows)
    assert (written.counts, len(written.refused)) == (Counts(inserted=2, updated=1), 1)
    assert it.sql("SELECT id, count FROM people ORDER BY id") == [("a", 2), ("b", 1), ("d", 1)]


def test_a_read_that_is_gone_on_with_asks_again(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, people("a", "b"), position="2")
    it.upsert(PEOPLE, people("c"), position="3")
    it.next_run("run2")  # as after a kill, for the read has not ended
    assert it.mark.resumed
    seen = asked(it)
    assert it.upsert(PEOPLE, people("c", "d"), position="4").counts == Counts(
        inserted=1, unchanged=1
    )
    assert it.upsert(PEOPLE, people("e"), ended=True).counts == Counts(inserted=1)
    assert len(seen) == 2
    assert it.sql("SELECT id FROM people ORDER BY id") == [(each,) for each in "abcde"]


# --- inserting first gives what asking gives ----------------------------------------------------

RULES = {"same_by": (("name",),), "indexed": (("name",),)}
TIMED = replace(PEOPLE, columns=columns(id=Text(), name=Text(), count=Integer(), at=Datetime()))

TARGETS = {
    "keep last": PEOPLE,
    "keep the latest": VERSIONED,
    "keep first": replace(PEOPLE, first=True),
    "deleted rows": replace(PEOPLE, deletes="soft"),
    "deleted rows by version": replace(VERSIONED, deletes="soft"),
    "removed rows": replace(PEOPLE, deletes="hard"),
    "snapshot": replace(PEOPLE, write=Snapshot(), deletes="soft"),
    "append": replace(PEOPLE, write=Append()),
    "history": replace(PEOPLE, write=History()),
    "history by version": replace(TIMED, write=History(), version="at"),
    "history that ends": replace(PEOPLE, write=History(vanished="end")),
    "replace": replace(PEOPLE, write=Replace()),
    "first by rules": replace(PEOPLE, first=True, **RULES),
    "latest by rules": replace(VERSIONED, **RULES),
}

Reads = Sequence[tuple[Sequence[Sequence[Row]], bool]]
"""Each with its batches, and whether it comes to its end or is gone on with by the next run.

A record has an id, a name, a count, and whether it is deleted."""

SCENE: Reads = [
    ([
        [("a", "m", 1, False), ("b", "n", 1, False)],
        [("c", "o", 1, False), ("d", BAD, 1, False), ("d", "p", 0, False)],
        [("e", "q", 2, False)],
        [("f", "m", 2, False), ("a", "r", 2, False), ("e", "s", 1, False), ("g", BAD, 1, False)],
    ], False),
    ([
        [("h", "u", 1, False)],
        [("h", "u", 1, False), ("i", None, 1, False)],
        [("b", "n", 2, True), ("j", "v", 1, True), ("b", "n", 1, False)],
    ], True),
    ([
        [("k", "w", 1, False)],
        [("b", "x", 1, False), ("c", "o", 1, False), ("l", "w", 0, False)],
    ], True),
]  # fmt: skip

RECORD = some.tuples(
    some.sampled_from("abcdefgh"), some.sampled_from([None, "m", "n", BAD]), some.integers(0, 2),
    some.booleans(),
)  # fmt: skip
READ = some.lists(some.lists(RECORD, min_size=1, max_size=4), min_size=1, max_size=4)
READS = some.lists(some.tuples(READ, some.booleans()), min_size=1, max_size=3)
EXAMPLES = int(os.environ.get("CRMMAP_LAW_EXAMPLES", "0"))


def rows_of(target: Target, records: Sequence[Row]) -> pl.DataFrame:
    """Return records as the transforms would give them, deleted ones only where rows may be."""
    times = {"at": pl.from_epoch("count", "d").cast(pl.Datetime("us", "UTC"))}
    values = frame(PEOPLE, [each[:3] for each in records])
    if "at" in target.names:
        values = values.with_columns(**times)
    if target.deletes and not isinstance(target.write, Snapshot):
        gone = pl.Series(DELETED, [each[3] for each in records], dtype=pl.Boolean)
        values = values.with_columns(gone)
    return dedupe(values, target)


def write(it: Loader, target: Target, records: Sequence[Row], *, ended: bool) -> Counts:
    """Write a batch as the loop does, and return what it came to."""
    rows = rows_of(target, records)

    def work(transaction: Transaction) -> Tally:
        written = transaction.write(target, rows)
        if target.vanishing:
            transaction.meet(target, rows.select(target.key))
        bad = rejects_of(written)
        counts = replace(written.counts, fetched=len(rows), rejected=len(bad))
        if ended:
            counts += transaction.finish(target, "")
        position = None if ended else "more"
        return Tally(counts=counts, rejects=bad, position=position, ended=ended)

    it.mark, tally = it.store.commit(it.mark, work)
    return tally.counts


def done(it: Loader, target: Target, reads: Reads, *, asking: bool) -> tuple[Any, ...]:
    """Do the reads with empty tables; return what they came to and what the tables hold.

    One that does not end is gone on with by the next run.
    """
    tables = [target.table, *(each.table for each in target.beside)]
    for table in tables:
        it.sql(f"DELETE FROM {table}")
    it.next_run(os.urandom(8).hex())
    it.mark = it.stream(fresh=True)
    counts = []
    for batches, ends in reads:
        for number, batch in enumerate(batches, start=1):
            if asking:
                it.mark = replace(it.mark, inserting=False)
            counts.append(write(it, target, batch, ended=ends and number == len(batches)))
        it.next_run(os.urandom(8).hex())
    shown = ", ".join([*target.names, *(["_crmmap_current"] if _keeps(target) else [])])
    marks = ", _crmmap_deleted_at IS NULL" if target.marks else ""
    held = [sorted(it.sql(f"SELECT {shown}{marks} FROM {table}"), key=repr) for table in tables]
    return counts, held


def _keeps(target: Target) -> bool:
    return isinstance(target.write, History)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_inserting_first_gives_what_asking_gives(
    load: Callable[..., Loader], target: Target
) -> None:
    it = load(target)
    for table in (target, *target.beside):
        guard(it, table.table)

    @settings(max_examples=max(1, EXAMPLES), deadline=None)
    @example(SCENE)
    @given(reads=READS)
    def check(reads: Reads) -> None:
        assert done(it, target, reads, asking=False) == done(it, target, reads, asking=True)

    check()
