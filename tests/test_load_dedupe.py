"""Records that are the same under several keys: one stays, whatever the order, and all are counted.

A plain model says what must: of every key the latest version counts, and it is a duplicate where
a later record agrees with it in all fields of a rule.
"""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from crmmap.kinds.types import Integer, Text
from crmmap.load import Tally, Transaction
from crmmap.plan import Target
from crmmap.transform import dedupe, dedupe_all
from crmmap.values import Counts
from stores import Loader, columns, frame, load, rejects_of, store_url  # noqa: F401  (fixtures)

Record = tuple[Any, ...]

LATEST = Target(
    table="persons",
    key=("id",),
    columns=columns(
        id=Text(), email=Text(), phone=Text(), birth=Integer(), version=Integer()
    ),
    version="version",
    same_by=(("email",), ("phone", "birth")),
    indexed=(("email",), ("phone", "birth")),
)  # fmt: skip
FIRST = replace(LATEST, version=None, first=True)


def write(it: Loader, target: Target, records: Sequence[Record]) -> Counts:
    """Write records as the loop does, and return what they came to."""

    def work(transaction: Transaction) -> Tally:
        read = frame(target, records)
        rows = dedupe(read, target)
        written = transaction.write(target, rows)
        bad = rejects_of(written)
        repeated = len(read) - len(rows)
        counts = replace(
            written.counts, fetched=len(read), rejected=len(bad),
            duplicate=written.counts.duplicate + repeated,
        )  # fmt: skip
        return Tally(counts=counts, rejects=bad)

    it.mark, tally = it.store.commit(it.mark, work)
    return tally.counts


def stored(it: Loader, table: str = "persons") -> list[Record]:
    return sorted(it.sql(f"SELECT id, email, phone, birth, version FROM {table}"))


def same(one: Record, other: Record) -> bool:
    email = one[1] is not None and one[1] == other[1]
    return email or (None not in one[2:4] and one[2:4] == other[2:4])


def latest(records: Sequence[Record]) -> list[Record]:
    """Return what the table must hold of records that have different versions."""
    current: dict[str, Record] = {}
    for record in sorted(records, key=lambda each: each[4]):
        current[record[0]] = record
    return sorted(
        record for record in current.values()
        if not any(same(record, other) and other[4] > record[4] for other in current.values())
    )  # fmt: skip


def first(records: Sequence[Record]) -> list[Record]:
    kept: list[Record] = []
    for record in records:
        if not any(record[0] == other[0] or same(record, other) for other in kept):
            kept.append(record)
    return sorted(kept)


FEW = some.none() | some.sampled_from(["x", "y", "z"])
RECORDS = some.lists(
    some.tuples(some.sampled_from("abcd"), FEW, FEW, some.none() | some.integers(0, 1)), max_size=9
).flatmap(
    lambda made: some.permutations(range(len(made))).map(
        lambda versions: [(*each, at) for each, at in zip(made, versions, strict=True)]
    )
)


def quickly(it: Loader) -> settings:
    """Try a few examples, fewer of them over a connection."""
    return settings(max_examples=8 if it.kind == "sqlite" else 5, deadline=None)


def split(records: list[Record], size: int) -> list[list[Record]]:
    return [records[at : at + size] for at in range(0, len(records), size)]


def begin(it: Loader) -> None:
    """Begin a run with empty tables."""
    it.next_run(os.urandom(8).hex())
    it.sql("DELETE FROM persons")
    it.sql("DELETE FROM persons__duplicates")


@pytest.mark.parametrize(("target", "model"), [(LATEST, latest), (FIRST, first)])
def test_the_table_is_what_a_plain_model_says(
    load: Callable[..., Loader], target: Target, model: Any
) -> None:
    it = load(LATEST)

    @quickly(it)
    @given(records=RECORDS, size=some.integers(1, 9))
    def check(records: list[Record], size: int) -> None:
        begin(it)
        for batch in split(records, size):
            assert write(it, target, batch).fetched == len(batch)
        kept = model(records)
        assert stored(it) == kept
        alone = dedupe_all(frame(target, records), target)
        assert sorted(alone.select(target.names).rows()) == kept
        it.next_run(os.urandom(8).hex())
        before = it.sql("SELECT * FROM persons ORDER BY id")
        again = sum((write(it, target, batch) for batch in split(records, 5)), Counts())
        assert (again.inserted, again.updated) == (0, 0)
        assert it.sql("SELECT * FROM persons ORDER BY id") == before

    check()


def test_the_latest_follow_from_all_that_was_ever_read(load: Callable[..., Loader]) -> None:
    it = load(LATEST)

    @quickly(it)
    @given(runs=some.lists(RECORDS, min_size=2, max_size=3), size=some.integers(2, 5))
    def check(runs: list[list[Record]], size: int) -> None:
        begin(it)
        every: list[Record] = []
        for number, records in enumerate(runs):
            it.next_run(os.urandom(8).hex())
            read = [(*each[:4], each[4] + 100 * number) for each in records]
            every += read
            for batch in split(read, size):
                write(it, LATEST, batch)
            kept = latest(every)
            assert stored(it) == kept
            keys = {record[0] for record in every} - {record[0] for record in kept}
            assert {row[0] for row in stored(it, "persons__duplicates")} == keys

    check()


ANN = ("a", "ann@x", None, None, 1)
ANNE = ("b", "ann@x", None, None, 2)


def test_a_record_that_takes_the_place_of_another_is_an_update(load: Callable[..., Loader]) -> None:
    it = load(LATEST)
    assert write(it, LATEST, [ANN]) == Counts(fetched=1, inserted=1)
    assert write(it, LATEST, [ANNE]) == Counts(fetched=1, updated=1)
    assert stored(it) == [ANNE]
    assert write(it, LATEST, [ANN]) == Counts(fetched=1, duplicate=1)
    it.next_run("run2")
    assert write(it, LATEST, [ANN, ANNE]) == Counts(fetched=2, duplicate=1, unchanged=1)


def test_what_lost_comes_back_once_it_is_alone(load: Callable[..., Loader]) -> None:
    it = load(LATEST)
    write(it, LATEST, [ANN, ANNE])
    it.next_run("run2")
    moved = ("b", "anne@y", None, None, 3)
    assert write(it, LATEST, [moved]) == Counts(fetched=1, updated=1)
    assert stored(it) == [ANN, moved]
    assert stored(it, "persons__duplicates") == []


def test_the_first_stays_as_it_is(load: Callable[..., Loader]) -> None:
    it = load(FIRST)
    assert write(it, FIRST, [ANN, ANNE]) == Counts(fetched=2, inserted=1, duplicate=1)
    it.next_run("run2")
    changed = ("a", "else@x", None, None, 9)
    assert write(it, FIRST, [changed, ANN]) == Counts(fetched=2, duplicate=1, unchanged=1)
    assert stored(it) == [ANN]


def test_by_the_key_alone_the_first_stays_too(load: Callable[..., Loader]) -> None:
    target = replace(FIRST, same_by=(), indexed=())
    it = load(target)
    assert write(it, target, [ANN, ("a", None, None, None, 2)]).duplicate == 1
    assert write(it, target, [ANNE]).inserted == 1
    assert stored(it) == [ANN, ANNE]


def refuse_late_versions(it: Loader) -> None:
    if it.kind == "sqlite":
        guard = "CREATE TRIGGER guard BEFORE INSERT ON persons WHEN NEW.version > 50"
        it.sql(f"{guard} BEGIN SELECT RAISE(ABORT, 'no'); END")
    else:
        it.sql("ALTER TABLE persons ADD CHECK (version <= 50)")


def test_a_record_that_the_database_refuses_changes_no_other(load: Callable[..., Loader]) -> None:
    it = load(LATEST)
    write(it, LATEST, [ANN, ("c", "c@x", None, None, 5), ("d", "c@x", None, None, 4)])
    refuse_late_versions(it)
    better, gone = ("b", "ann@x", None, None, 60), ("c", "e@x", None, None, 61)
    counts = write(it, LATEST, [better, gone, ("e", "e@x", None, None, 7)])
    assert counts == Counts(fetched=3, inserted=1, rejected=2)
    assert [row[0] for row in stored(it)] == ["a", "c", "e"]
    assert [row[0] for row in stored(it, "persons__duplicates")] == ["d"]


def test_one_that_the_database_refuses_is_not_the_first(load: Callable[..., Loader]) -> None:
    it = load(FIRST)
    refuse_late_versions(it)
    bad, worse = ("a", "ann@x", None, None, 60), ("b", "ann@x", None, None, 61)
    good, after = ("c", "ann@x", None, None, 1), ("d", "ann@x", None, None, 2)
    counts = write(it, FIRST, [bad, worse, good, after])
    assert counts == Counts(fetched=4, inserted=1, duplicate=1, rejected=2)
    assert stored(it) == [good]
