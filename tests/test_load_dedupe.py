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


By = dict[tuple[str, ...], int]
"""How many were duplicates by which rule."""


def write(it: Loader, target: Target, records: Sequence[Record], by: By | None = None) -> Counts:
    """Write records as the loop does, and return what they came to; add up `by`."""

    def work(transaction: Transaction) -> Tally:
        read = frame(target, records)
        rows = dedupe(read, target)
        written = transaction.write(target, rows)
        for rule, count in written.same_by.items() if by is not None else ():
            by[rule] = by.get(rule, 0) + count
        bad = rejects_of(written)
        repeated = len(read) - len(rows)
        counts = replace(
            written.counts, fetched=len(read), rejected=len(bad),
            duplicate=written.counts.duplicate + repeated,
        )  # fmt: skip
        return Tally(counts=counts, rejects=bad)

    it.mark, tally = it.store.commit(it.mark, work)
    return tally.counts


EMAIL, PHONE = LATEST.same_by


def by_rule(record: Record, others: Sequence[Record]) -> tuple[str, ...]:
    """Return the first rule by which one of the others is the same; the key where none is."""
    if any(record[1] is not None and record[1] == other[1] for other in others):
        return EMAIL
    phones = [other[2:4] for other in others]
    return PHONE if None not in record[2:4] and record[2:4] in phones else LATEST.key


def counted(rules: Sequence[tuple[str, ...]]) -> By:
    return {rule: rules.count(rule) for rule in (EMAIL, PHONE) if rule in rules}


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


def losing(records: Sequence[Record]) -> By:
    """Return by which rules records lose that are read again, where the latest are kept.

    Those that are not the latest of their key lose by that, and in one read the key comes first.
    """
    current = {each[0]: each for each in sorted(records, key=lambda each: each[4])}
    later = ((each, [o for o in current.values() if o[4] > each[4]]) for each in current.values())
    return counted([by_rule(each, others) for each, others in later])


def refused(records: Sequence[Record]) -> By:
    """Return by which rules records that are read again are not the first."""
    kept = first(records)
    keys = {each[0] for each in kept}
    return counted([by_rule(each, kept) for each in records if each[0] not in keys])


def met(records: Sequence[Record]) -> By:
    """Return by which rules records are not the first, each by those that were kept before it."""
    kept: list[Record] = []
    rules = []
    for record in records:
        if any(record[0] == other[0] for other in kept):
            continue
        rules.append(by_rule(record, kept))
        kept += [record] if rules[-1] == LATEST.key else []
    return counted(rules)


@pytest.mark.parametrize(
    ("target", "model", "told"), [(LATEST, latest, losing), (FIRST, first, refused)]
)
def test_the_table_is_what_a_plain_model_says(
    load: Callable[..., Loader], target: Target, model: Any, told: Any
) -> None:
    it = load(LATEST)

    @quickly(it)
    @given(records=RECORDS, size=some.integers(1, 9))
    def check(records: list[Record], size: int) -> None:
        begin(it)
        by: By = {}
        for batch in split(records, size):
            assert write(it, target, batch, by).fetched == len(batch)
        if target.first:
            assert by == met(records), "wherever one batch ends and the next begins"
        kept = model(records)
        assert stored(it) == kept
        alone = dedupe_all(frame(target, records), target)
        assert sorted(alone.select(target.names).rows()) == kept
        it.next_run(os.urandom(8).hex())
        before = it.sql("SELECT * FROM persons ORDER BY id")
        by.clear()
        again = sum((write(it, target, batch, by) for batch in split(records, 5)), Counts())
        assert (again.inserted, again.updated) == (0, 0)
        assert by == told(records)
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


def test_duplicates_are_counted_by_the_rule_that_found_them(load: Callable[..., Loader]) -> None:
    it = load(LATEST)
    by: By = {}
    write(it, LATEST, [("a", "a@x", "1", 1, 10), ("a", "a@x", "1", 1, 9)], by)
    assert by == {}, "by the key"
    write(
        it, LATEST, [("b", "a@x", "1", 1, 5), ("c", None, "1", 1, 6), ("d", "d@x", "2", 2, 7)], by
    )
    assert by == {EMAIL: 1, PHONE: 1}, "by the first of several"
    assert write(it, LATEST, [("e", "a@x", None, None, 11)], by).updated == 1
    assert by == {EMAIL: 1, PHONE: 1}, "what lost its place was counted when it was read"
    it.next_run("run2")
    by.clear()
    again = [("a", "a@x", "1", 1, 10), ("b", "a@x", "1", 1, 5), ("c", None, "1", 1, 6)]
    again += [("d", "d@x", "2", 2, 7), ("e", "a@x", None, None, 11)]
    assert write(it, LATEST, again, by) == Counts(fetched=5, unchanged=2, duplicate=3)
    assert by == {EMAIL: 2, PHONE: 1}
    it.next_run("run3")
    by.clear()
    taken = [("d", "d@x", "2", 2, 7), ("f", "d@x", None, None, 20)]
    assert write(it, LATEST, taken, by) == Counts(fetched=2, updated=1, duplicate=1)
    assert by == {EMAIL: 1}, "one whose place another of its batch takes"


def test_those_after_the_first_are_counted_by_rule_too(load: Callable[..., Loader]) -> None:
    it = load(FIRST)
    refuse_late_versions(it)
    by: By = {}
    write(it, FIRST, [("a", "a@x", "1", 1, 1), ("a", "z@x", None, None, 1)], by)
    assert by == {}
    rest = [("b", "a@x", "1", 1, 1), ("c", "c@x", "1", 1, 1), ("d", "d@x", None, None, 1)]
    write(it, FIRST, [*rest, ("e", "d@x", None, None, 1)], by)
    assert by == {EMAIL: 2, PHONE: 1}
    by.clear()
    bad = ("f", "f@x", None, None, 60)
    write(it, FIRST, [bad, ("g", "f@x", None, None, 1), ("h", "f@x", None, None, 1)], by)
    assert by == {EMAIL: 1}, "one that the database refuses is nobody's first"


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
