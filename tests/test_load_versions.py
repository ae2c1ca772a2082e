"""Tables that keep several versions of a record: what they hold is what a plain model says."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from crmmap.kinds.types import Datetime, Text
from crmmap.kinds.writes import Append, History, Upsert
from crmmap.load import Tally, Transaction
from crmmap.plan import Target
from crmmap.values import DELETED, Counts
from stores import PEOPLE, Loader, columns, frame, load, store_url  # noqa: F401  (fixtures)

Row = tuple[Any, ...]


def quickly(it: Loader) -> settings:
    """Try a few examples, fewer of them over a connection."""
    return settings(max_examples=8 if it.kind == "sqlite" else 5, deadline=None)


# --- append -------------------------------------------------------------------------------------

LOG = replace(PEOPLE, write=Append())
CELL = some.none() | some.sampled_from(["", "a", "A"])
RUNS = some.lists(
    some.lists(
        some.lists(
            some.tuples(some.sampled_from("ab"), CELL, some.none() | some.integers(0, 1)),
            max_size=4,
        ),
        max_size=3,
    ),
    min_size=1,
    max_size=3,
)


def test_a_log_has_each_content_of_each_record_once(load: Callable[..., Loader]) -> None:
    it = load(LOG)

    @quickly(it)
    @given(runs=RUNS)
    def check(runs: list[list[list[Row]]]) -> None:
        it.sql("DELETE FROM people")
        before: set[Row] = set()
        for run in runs:
            it.next_run(os.urandom(8).hex())
            added: set[Row] = set()
            for batch in run:
                counts = it.upsert(LOG, batch).counts
                fresh = set(batch) - before - added
                added |= fresh
                assert counts.inserted == len(fresh)
                assert counts.inserted + counts.unchanged + counts.duplicate == len(batch)
            before |= added
        assert set(it.sql("SELECT id, name, count FROM people")) == before
        assert it.sql("SELECT COUNT(*) FROM people") == [(len(before),)]

    check()


def test_a_row_of_a_log_that_the_database_refuses_is_alone(load: Callable[..., Loader]) -> None:
    it = load(LOG)
    name = "n" * 21 if it.kind != "sqlite" else None
    if name is None:
        it.sql("CREATE TRIGGER t BEFORE INSERT ON people WHEN NEW.count > 8 "
               "BEGIN SELECT RAISE(ABORT, 'no'); END")  # fmt: skip
    written = it.upsert(LOG, [("a", "n", 1), ("a", name, 9), ("b", "n", 1)])
    assert (written.counts, len(written.refused)) == (Counts(inserted=2), 1)


# --- history ------------------------------------------------------------------------------------

TIMED = Target(
    table="people",
    key=("id",),
    columns=columns(id=Text(), name=Text(), at=Datetime()),
    write=History(),
    version="at",
)
START = datetime(2024, 1, 1, tzinfo=UTC)
SAID = some.lists(
    some.tuples(some.sampled_from("ab"), some.integers(0, 6), some.sampled_from("xyz")), max_size=8
)


def line(it: Loader) -> dict[str, list[Row]]:
    """Return by key (name, from, to, current) of each version, times as hours since the start."""

    def hours(value: Any) -> int | None:
        if value is None:
            return None
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        # MariaDB gives times of UTC without a zone.
        return round((at.replace(tzinfo=at.tzinfo or UTC) - START).total_seconds() / 3600)

    rows = it.sql(
        "SELECT id, name, _crmmap_valid_from, _crmmap_valid_to, _crmmap_current FROM people "
        "ORDER BY id, _crmmap_valid_from"
    )
    found: dict[str, list[Row]] = {}
    for key, name, start, end, current in rows:
        found.setdefault(key, []).append((name, hours(start), hours(end), bool(current)))
    return found


def told(said: dict[str, dict[int, str]]) -> dict[str, list[Row]]:
    """Return the same of what was said of each record, by the hour."""
    return {
        key: [
            (names[at], at, following, following is None)
            for at, following in zip(
                sorted(names), [*sorted(names)[1:], None], strict=True
            )
        ]
        for key, names in sorted(said.items())
    }  # fmt: skip


def test_every_version_finds_its_place_in_time(load: Callable[..., Loader]) -> None:
    it = load(TIMED)

    @quickly(it)
    @given(runs=some.lists(SAID, min_size=1, max_size=3), size=some.integers(1, 8))
    def check(runs: list[list[tuple[str, int, str]]], size: int) -> None:
        it.sql("DELETE FROM people")
        said: dict[str, dict[int, str]] = {}
        for run in runs:
            it.next_run(os.urandom(8).hex())
            once = {(key, at): (key, name, START + timedelta(hours=at)) for key, at, name in run}
            records = [*once.values()]
            new_keys = {key for key, _ in once} - said.keys()
            changed = sum(said.get(key, {}).get(at) != row[1] for (key, at), row in once.items())
            for (key, at), row in once.items():
                said.setdefault(key, {})[at] = row[1]
            counts = Counts()
            for start in range(0, len(records), size):
                counts += it.upsert(TIMED, records[start : start + size]).counts
            assert line(it) == told(said)
            assert counts.inserted == len(new_keys)
            assert counts.inserted + counts.updated == changed
            assert counts.unchanged == len(records) - changed
            before = it.sql("SELECT * FROM people ORDER BY id, at")
            it.next_run(os.urandom(8).hex())
            assert it.upsert(TIMED, records).counts == Counts(unchanged=len(records))
            assert it.sql("SELECT * FROM people ORDER BY id, at") == before

    check()


def test_without_versions_what_was_read_last_holds(load: Callable[..., Loader]) -> None:
    target = replace(PEOPLE, write=History())
    it = load(target)

    @quickly(it)
    @given(runs=RUNS)
    def check(runs: list[list[list[Row]]]) -> None:
        it.sql("DELETE FROM people")
        wanted: dict[str, list[Row]] = {}
        for run in runs:
            it.next_run(os.urandom(8).hex())
            ours: set[str] = set()
            for batch in run:
                last = {row[0]: row for row in batch}
                for key, row in last.items():
                    lines = wanted.setdefault(key, [])
                    if not lines or lines[-1] != row:
                        if key in ours:
                            lines.pop()
                        lines.append(row)
                        ours.add(key)
                counts = it.upsert(target, batch).counts
                assert sum(asdict(counts).values()) == len(batch)
        found = it.sql("SELECT id, name, count, _crmmap_valid_from, _crmmap_valid_to, "
                       "_crmmap_current FROM people ORDER BY id, _crmmap_valid_from")  # fmt: skip
        assert [row[:3] for row in found] == [
            row for _, rows in sorted(wanted.items()) for row in rows
        ]
        for one, other in pairwise(found):
            if one[0] == other[0]:
                assert (one[4], bool(one[5])) == (other[3], False)
            else:
                assert (one[4], bool(one[5])) == (None, True)

    check()


def test_a_version_that_the_database_refuses_ends_no_other(load: Callable[..., Loader]) -> None:
    it = load(TIMED)
    it.upsert(TIMED, [("a", "first", START), ("b", "b", START)])
    if it.kind == "sqlite":
        guard = "CREATE TRIGGER guard BEFORE INSERT ON people WHEN NEW.name = 'bad'"
        it.sql(f"{guard} BEGIN SELECT RAISE(ABORT, 'no'); END")
    else:
        it.sql("ALTER TABLE people ADD CHECK (name <> 'bad')")
    hours = [START + timedelta(hours=number) for number in range(4)]
    rows = [
        ("a", "bad", hours[1]),
        ("a", "good", hours[2]),
        ("a", "bad", hours[3]),
        ("b", "bad", hours[1]),
    ]
    written = it.upsert(TIMED, rows)
    assert (written.counts, len(written.refused)) == (Counts(updated=1), 3)
    assert line(it) == {
        "a": [("first", 0, 2, False), ("good", 2, None, True)], "b": [("b", 0, None, True)]
    }  # fmt: skip


def test_of_two_contents_of_one_version_the_order_does_not_choose(
    load: Callable[..., Loader],
) -> None:
    it = load(TIMED)
    kept = []
    for names in ("xy", "yx"):
        it.sql("DELETE FROM people")
        for name in names:
            it.upsert(TIMED, [("a", name, START)])
        kept += it.sql("SELECT name FROM people")
    assert kept[0] == kept[1]
    it.next_run("run2")
    other = {"x": "y", "y": "x"}[kept[0][0]]
    assert it.upsert(TIMED, [("a", other, START)]).counts == Counts(updated=1)
    assert line(it) == {"a": [(other, 0, None, True)]}


def test_others_see_what_holds_now(load: Callable[..., Loader]) -> None:
    it = load(TIMED)
    later = START + timedelta(hours=1)
    it.upsert(TIMED, [("a", "old", START), ("a", "new", later), ("b", "b", START)])
    names = pl.Series(["old", "new", "b"])
    found = it.work(lambda transaction: transaction.known(TIMED, "name", names))
    assert sorted(found.rows()) == [("b", "b"), ("new", "a")]
    assert it.store.distinct(TIMED, "name", 9) == ["b", "new"]
    rows = it.store.parents(TIMED, ["name"], after=None, count=9)
    assert [row["name"] for row in rows] == ["new", "b"]
    assert it.store.parents(TIMED, ["name"], after=["a"], count=9) == [{"name": "b", "id": "b"}]


# --- records that are gone ------------------------------------------------------------------------


def gone(it: Loader, *rows: Row, ended: bool = True, target: Target = TIMED) -> Counts:
    """Write rows that say that they are gone, or with `ended` false that they are not."""

    def work(transaction: Transaction) -> Tally:
        read = frame(target, rows).with_columns(pl.lit(value=ended).alias(DELETED))
        written = transaction.write(target, read)
        return Tally(counts=replace(written.counts, fetched=len(rows)))

    it.mark, tally = it.store.commit(it.mark, work)
    return replace(tally.counts, fetched=0)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def test_a_record_that_is_gone_ends_the_version_that_held(load: Callable[..., Loader]) -> None:
    it = load(TIMED)
    it.upsert(TIMED, [("a", "one", at(1)), ("a", "four", at(4)), ("b", "b", at(1))])
    assert gone(it, ("a", None, at(2)), ("b", None, at(3))) == Counts(updated=2, deleted=1)
    assert gone(it, ("a", None, at(2)), ("b", None, at(5))) == Counts(unchanged=2)
    assert gone(it, ("a", None, at(0)), ("c", None, at(9))) == Counts(duplicate=1, unchanged=1)
    ended = {
        "a": [("one", 1, 2, False), ("four", 4, None, True)], "b": [("b", 1, 3, False)],
    }  # fmt: skip
    assert line(it) == ended
    it.next_run("run2")
    back = [("b", "late", at(2)), ("b", "back", at(7)), ("a", "one", at(1))]
    assert it.upsert(TIMED, back).counts == Counts(updated=2, unchanged=1)
    assert line(it) == {
        **ended, "b": [("b", 1, 2, False), ("late", 2, 3, False), ("back", 7, None, True)],
    }  # fmt: skip


def test_without_versions_the_last_record_says_whether_it_is_gone(
    load: Callable[..., Loader],
) -> None:
    target = replace(PEOPLE, write=History())
    it = load(target)
    it.upsert(target, [("a", "n", 1), ("b", "n", 1)])
    it.next_run("run2")
    assert gone(it, ("a", None, None), target=target) == Counts(updated=1, deleted=1)
    assert it.sql("SELECT id FROM people WHERE _crmmap_valid_to IS NULL") == [("b",)]
    it.next_run("run3")
    assert gone(it, ("a", "n", 1), ended=False, target=target) == Counts(updated=1)
    found = it.sql("SELECT id, _crmmap_current FROM people ORDER BY id, _crmmap_valid_from")
    assert [(key, bool(current)) for key, current in found] == [
        ("a", False), ("a", True), ("b", True)
    ]  # fmt: skip


def test_a_version_that_had_vanished_holds_again_once_it_is_back(
    load: Callable[..., Loader],
) -> None:
    target = replace(TIMED, write=History(vanished="end"))
    it = load(target)
    row = ("a", "one", at(1))
    it.upsert(target, [row])

    def read(*rows: Row) -> Counts:
        def work(transaction: Transaction) -> Tally:
            written = transaction.write(target, frame(target, rows))
            transaction.meet(target, frame(target, rows).select("id"))
            counts = replace(written.counts, fetched=len(rows)) + transaction.finish(target, "")
            return Tally(counts=counts, ended=True)

        it.next_run(os.urandom(8).hex())
        it.mark, tally = it.store.commit(it.mark, work)
        return replace(tally.counts, fetched=0)

    assert read(row) == Counts(unchanged=1)
    assert read() == Counts(deleted=1)
    assert not line(it)["a"][0][3]
    assert read(row) == Counts(updated=1)
    assert line(it) == {"a": [("one", 1, None, True)]}
    assert read(row) == Counts(unchanged=1)


# --- a column that is filled again ----------------------------------------------------------------


def dropped_by_hand(it: Loader, target: Target, column: str) -> None:
    it.sql(f"ALTER TABLE people DROP COLUMN {column}")
    assert it.store.prepare([target]) == (
        f"added the column {column} to the existing table 'people'",
    )


def test_where_no_field_says_when_a_column_is_filled_by_a_version_of_its_own(
    load: Callable[..., Loader],
) -> None:
    """What a former version had in it is not known, and the table says so."""
    target = replace(TIMED, columns=columns(id=Text(), name=Text(), more=Text()), version=None)
    it = load(target)
    rows = [("a", "one", "x"), ("b", "one", None)]
    it.upsert(target, rows, ended=True)
    dropped_by_hand(it, target, "more")
    it.next_run("run2")
    half = len(rows) // 2
    assert it.upsert(target, rows[:half]).counts == Counts(updated=1)
    assert it.upsert(target, [*rows[half:], rows[0]], ended=True).counts == Counts(
        updated=1, duplicate=1
    )
    versions = "SELECT id, name, more, _crmmap_valid_to IS NULL FROM people ORDER BY 1, 4"
    before = [(*row[:3], bool(row[3])) for row in it.sql(versions)]
    assert before == [
        ("a", "one", None, False), ("a", "one", "x", True),
        ("b", "one", None, False), ("b", "one", None, True),
    ]  # fmt: skip
    times = it.sql("SELECT id, _crmmap_valid_from, _crmmap_valid_to FROM people ORDER BY 1, 2")
    assert [row[2] for row in times[::2]] == [row[1] for row in times[1::2]]
    it.next_run("run3")
    assert it.upsert(target, rows, ended=True).counts == Counts(unchanged=2)


def test_where_a_field_says_when_a_column_is_filled_in_the_version_itself(
    load: Callable[..., Loader],
) -> None:
    target = replace(TIMED, columns=(*TIMED.columns, *columns(more=Text())))
    it = load(target)
    first, second = ("a", "one", at(1), "x"), ("a", "two", at(2), "y")
    it.upsert(target, [first, second])
    dropped_by_hand(it, target, "more")
    it.next_run("run2")
    assert it.upsert(target, [second]).counts == Counts(updated=1)
    assert it.upsert(target, [first]).counts == Counts(updated=1)
    it.next_run("run3")
    assert it.upsert(target, [first, second]).counts == Counts(unchanged=2)
    assert line(it) == {"a": [("one", 1, 2, False), ("two", 2, None, True)]}
    assert it.sql("SELECT more FROM people ORDER BY more") == [("x",), ("y",)]


# --- a table that is given versions -------------------------------------------------------------


@pytest.mark.parametrize("write", [Append(), History()])
def test_the_statements_that_are_shown_let_a_table_keep_versions_from_now_on(
    load: Callable[..., Loader], write: Any
) -> None:
    there = replace(TIMED, write=Upsert())
    it = load(there)
    it.upsert(there, [("a", "one", at(1)), ("b", "b", at(2))])
    wanted = replace(TIMED, write=write, version="at" if isinstance(write, History) else None)
    for statement in it.store.ddl([wanted]).split(";\n"):
        it.sql(statement) if statement else None
    it.store.prepare([wanted])
    it.next_run("run2")
    counts = it.upsert(wanted, [("a", "one", at(1)), ("b", "two", at(3))]).counts
    assert counts.unchanged == 1
    assert len(it.sql("SELECT * FROM people")) == 3
    if isinstance(write, History):
        assert line(it)["b"] == [("b", 2, 3, False), ("two", 3, None, True)]


def test_rows_that_are_marked_as_deleted_are_no_current_versions_in_the_table_made_anew(
    load: Callable[..., Loader],
) -> None:
    there = replace(TIMED, write=Upsert(), deletes="soft")
    it = load(there)
    it.upsert(there, [("a", "one", at(1)), ("b", "b", at(2))])
    it.sql("UPDATE people SET _crmmap_deleted_at = _crmmap_synced_at WHERE id = 'b'")
    wanted = replace(TIMED, write=History(), version="at")
    for statement in it.store.ddl([wanted]).split(";\n"):
        it.sql(statement) if statement else None
    it.store.prepare([wanted])
    ends = it.sql("SELECT id, _crmmap_current, _crmmap_valid_to IS NULL FROM people ORDER BY id")
    assert [(key, bool(now), bool(open_)) for key, now, open_ in ends] == [
        ("a", True, True), ("b", False, False),
    ]  # fmt: skip
