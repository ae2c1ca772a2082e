"""Records that wait for a parent: which of them wait, when they are tried, and what is told."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as some

from crmmap.errors import SourceError
from crmmap.events import Event, RunReport
from crmmap.load import Store, ledger
from crmmap.plan import compile_plan
from invented import mapping, sqlite
from stores import LONG, store_url
from test_loop import Sources, load, load_from, plan, stream

__all__ = ["store_url"]

WAITING = "{stream: people, missing: wait}"
SELF = stream("people", "n: {from: n, type: integer}", f"boss: {{from: boss, lookup: {WAITING}}}")
VERSIONED = stream(
    "people", "n: {from: n, type: integer}", "v: {from: v, type: integer}",
    f"boss: {{from: boss, lookup: {WAITING}}}", extra="    dedupe: {keep: {latest: v}}\n",
)  # fmt: skip
TWO = stream("offices") + stream(
    "people", "office: {from: office, lookup: {stream: offices, missing: wait}}"
)


def sql(url: str, query: str) -> list[tuple[Any, ...]]:
    store = Store.open(url, application="tests")
    try:
        with store.engine.begin() as connection:
            result = connection.exec_driver_sql(query)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        store.close()


def let_wait_since_2020(url: str, key: str) -> None:
    store = Store.open(url, application="tests")
    since = store.dialect.bind_time(datetime(2020, 1, 1, tzinfo=UTC))
    table = ledger.DEFERRED
    with store.engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.key == key).values(since=since))
    store.close()


def counts(report: RunReport, name: str) -> dict[str, int]:
    found = next(each for each in report.streams if each.stream == name).counts
    names = ("fetched", "inserted", "updated", "duplicate", "deferred", "rejected")
    return {name: getattr(found, name) for name in names if getattr(found, name)}


@pytest.mark.parametrize("batch", [1, 100])
def test_what_waits_does_not_overwrite_what_was_read_after_it(store_url: str, batch: int) -> None:
    """In one batch as across batches, and whether or not what is newer waits, too."""
    records = [
        {"id": "1", "n": 1, "boss": "9"}, {"id": "1", "n": 2, "boss": None},
        {"id": "2", "n": 1, "boss": "7"}, {"id": "2", "n": 2, "boss": "8"},
        {"id": "3", "n": 1, "boss": None}, {"id": "3", "n": 2, "boss": "9"}, {"id": "9"},
    ]  # fmt: skip
    report = load(plan(SELF, batch), store_url, people=records)
    found = sql(store_url, "SELECT id, n, boss FROM people ORDER BY id")
    assert found == [("1", 2, None), ("3", 2, "9"), ("9", None, None)]
    assert report.streams[0].waiting == 1
    assert report.counts.balanced
    load(plan(SELF, batch), store_url, people=[{"id": "8"}, {"id": "7"}])
    assert sql(store_url, "SELECT n, boss FROM people WHERE id = '2'") == [(2, "8")]


def test_a_later_run_outdoes_what_waits_from_an_earlier_one(store_url: str) -> None:
    load(plan(SELF), store_url, people=[{"id": "1", "n": 1, "boss": "9"}])
    report = load(plan(SELF), store_url, people=[{"id": "1", "n": 2}, {"id": "9"}])
    assert counts(report, "people") == {"fetched": 2, "inserted": 2}
    assert sql(store_url, "SELECT n FROM people WHERE id = '1'") == [(2,)]
    assert sql(store_url, "SELECT count(*) FROM crmmap_deferred") == [(0,)]


@pytest.mark.parametrize(("waits", "loaded", "wins"), [(2, 1, 2), (1, 2, 2), (2, 2, None)])
def test_versions_decide_between_what_waits_and_what_a_later_run_loads(
    store_url: str, waits: int, loaded: int, wins: int | None
) -> None:
    """Of equal versions that of the later run is taken, as an edit."""
    load(plan(VERSIONED), store_url, people=[{"id": "1", "n": 1, "v": waits, "boss": "9"}])
    report = load(plan(VERSIONED), store_url, people=[{"id": "1", "n": 2, "v": loaded}])
    assert report.streams[0].waiting == (waits > loaded)
    load(plan(VERSIONED), store_url, people=[{"id": "9"}])
    ((n, v),) = sql(store_url, "SELECT n, v FROM people WHERE id = '1'")
    assert (n, v) == ((2, 2) if wins is None else (1 if waits > loaded else 2, wins))


def test_versions_that_are_equal_in_one_run_wait_side_by_side(tmp_path: Path) -> None:
    for order in (1, -1):
        url = sqlite(tmp_path / str(order))
        (tmp_path / str(order)).mkdir()
        both = [{"id": "1", "n": n, "v": 1, "boss": "9"} for n in (1, 2)][::order]
        assert load(plan(VERSIONED), url, people=both).streams[0].waiting == 2
        load(plan(VERSIONED), url, people=[{"id": "9"}])
    first, second = (sqlite(tmp_path / str(order)) for order in (1, -1))
    query = "SELECT n FROM people WHERE id = '1'"
    assert sql(first, query) == sql(second, query)


def test_what_waits_is_tried_where_only_the_parent_is_read(store_url: str) -> None:
    load(plan(TWO), store_url, offices=[], people=[{"id": "1", "office": "o"}])
    report = load(plan(TWO), store_url, only=("offices",), offices=[{"id": "o"}])
    assert counts(report, "people") == {"inserted": 1, "deferred": -1}
    told = next(each for each in report.streams if each.stream == "people")
    assert (told.status, told.message) == (
        "done", "not read; records that had waited for a parent were tried again",
    )  # fmt: skip
    assert sql(store_url, "SELECT id, office FROM people") == [("1", "o")]
    assert report.counts.balanced
    again = load(plan(TWO), store_url, only=("offices",), offices=[{"id": "o"}])
    assert [each.stream for each in again.streams] == ["offices"]


def test_trying_what_waits_leaves_alone_where_reading_goes_on(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    people = [{"id": "1", "office": "o"}, {"id": "2"}, {"id": "3"}, SourceError("gone")]
    load(plan(TWO), url, offices=[], people=people)
    query = "SELECT position, ended FROM crmmap_cursors WHERE stream = 'people'"
    before = sql(url, query)
    assert before == [("2", 0)]
    load(plan(TWO), url, only=("offices",), offices=[{"id": "o"}])
    assert sql(url, "SELECT office FROM people WHERE id = '1'") == [("o",)]
    assert sql(url, query) == before


def test_what_is_too_long_to_wait_costs_only_itself(store_url: str) -> None:
    people = [{"id": "1", "office": "o"}, {"id": LONG, "office": "o"}, {"id": "2"}]
    report = load(plan(TWO, 100), store_url, offices=[], people=people)
    if report.counts.rejected:
        rejected = {"fetched": 3, "inserted": 1, "deferred": 1, "rejected": 1}
        assert counts(report, "people") == rejected
        ((raw,),) = sql(store_url, "SELECT raw FROM crmmap_rejects")
        assert json.loads(raw) == people[1]
    else:  # SQLite takes texts of any length
        assert counts(report, "people") == {"fetched": 3, "inserted": 1, "deferred": 2}
    assert report.counts.balanced
    load(plan(TWO), store_url, only=("offices",), offices=[{"id": "o"}])
    assert ("1", "o") in sql(store_url, "SELECT id, office FROM people")


def test_a_stream_that_failed_is_not_done_once_what_waited_is_loaded(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    people = [{"id": "1", "boss": "2"}, {"id": "2"}, SourceError("gone")]
    report = load(plan(SELF, 1), url, size=1, people=people)
    assert counts(report, "people") == {"fetched": 2, "inserted": 2}
    assert sql(url, "SELECT status FROM crmmap_stream_runs") == [("failed",)]


def test_what_waits_is_tried_though_its_source_is_out_of_order(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    load(plan(TWO), url, offices=[], people=[{"id": "1", "office": "o"}])
    report = load(plan(TWO), url, offices=[{"id": "o"}], people=[SourceError("gone")])
    assert counts(report, "people") == {"inserted": 1, "deferred": -1}
    assert next(each.status for each in report.streams if each.stream == "people") == "failed"


def test_what_waits_is_tried_by_the_mapping_as_it_is_now(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    load(plan(TWO), url, offices=[], people=[{"id": "1", "office": "o"}])
    report = load(plan(TWO.replace("missing: wait", 'missing: "null"')), url, offices=[], people=[])
    assert counts(report, "people") == {"inserted": 1, "deferred": -1}


def test_what_waits_of_a_stream_that_is_gone_is_told(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    load(plan(TWO), url, offices=[], people=[{"id": "1", "office": "o"}])
    report = load(plan(stream("offices")), url, offices=[])
    assert any("'people' wait in crmmap_deferred" in remark for remark in report.remarks)


INSTEAD = (
    """
crmmap: 1
name: loop
sources:
  web: {kind: http, base_url: "https://loop.example"}
  other: {kind: http, base_url: "https://{{ settings.other }}.example"}
settings: {other: {required: false}}
streams:
"""
    + TWO.replace("request:", "source: web\n    request:").replace("  people:\n", "  people:\n")
    + (
        stream("copies", "office: {from: office, lookup: {stream: offices, missing: wait}}")
        .replace("name: copies", "name: people")
        .replace("request:", "source: other\n    instead_of: people\n    request:")
    )
)


def test_a_stream_read_instead_of_another_outdoes_what_waits_of_it(store_url: str) -> None:
    spec = mapping(INSTEAD)
    alone = compile_plan(spec, {"other": ""})
    load(alone, store_url, offices=[], people=[{"id": "1", "office": "o"}])
    both = compile_plan(spec, {"other": "x"})
    load(both, store_url, offices=[], copies=[{"id": "1"}])
    assert sql(store_url, "SELECT stream FROM crmmap_deferred") == []
    load(both, store_url, offices=[{"id": "o"}], copies=[])
    assert sql(store_url, "SELECT id, office FROM people") == [("1", None)]


def test_a_record_waits_no_longer_than_it_is_told_to(store_url: str) -> None:
    text = TWO.replace("missing: wait", "missing: wait, wait_for: 30d")
    waits = [{"id": "1", "office": "o"}, {"id": "2", "office": "o"}]
    load(plan(text), store_url, offices=[], people=waits)
    let_wait_since_2020(store_url, "1")
    # One that comes again, changed, waits since its key does.
    late = [{"id": "1", "office": "p"}, {"id": "2", "office": "o"}]
    report = load(plan(text), store_url, offices=[], people=late)
    assert counts(report, "people") == {"fetched": 2, "deferred": 1, "rejected": 1}
    assert report.streams[1].waiting == 1
    assert report.streams[1].reasons == {"office: lookup": 1}
    ((raw,),) = sql(store_url, "SELECT raw FROM crmmap_rejects")
    assert '"p"' in raw


def test_what_could_not_be_tried_is_not_rejected_for_having_waited_too_long(
    store_url: str,
) -> None:
    """Nor what waits for it: its parent has come, and is only out of reach."""
    wait = "missing: wait, wait_for: 30d"
    text = TWO.replace("missing: wait", wait) + stream(
        "visits", f"person: {{from: person, lookup: {{stream: people, {wait}}}}}"
    )
    waits = {"people": [{"id": "1", "office": "o"}], "visits": [{"id": "v", "person": "1"}]}
    load(plan(text), store_url, offices=[], **waits)
    for key in ("1", "v"):
        let_wait_since_2020(store_url, key)

    def out_of_reach(event: Event) -> None:
        if (event.kind, event.stream) == ("end", "offices"):
            sql(store_url, "ALTER TABLE people RENAME TO aside")

    report = load(
        plan(text), store_url, out_of_reach, only=("offices",), offices=[{"id": "o"}]
    )  # fmt: skip
    told = {each.stream: (each.status, each.waiting) for each in report.streams}
    assert told == {"offices": ("done", 0), "people": ("failed", 1), "visits": ("failed", 1)}
    assert [each.split(":")[0] for each in report.remarks] == ["people", "visits"]
    sql(store_url, "ALTER TABLE aside RENAME TO people")
    report = load(plan(text), store_url, only=("offices",), offices=[])
    assert counts(report, "people") == counts(report, "visits") == {"inserted": 1, "deferred": -1}


def test_fields_may_be_called_as_the_ledger_calls_its_own(tmp_path: Path) -> None:
    names = ("outcome", "key", "digest", "field", "raw", "since", "page", "at", "run_id")
    text = stream(
        "people", *(f"{name}: {name}" for name in names), "version: {from: v, type: integer}",
        f"boss: {{from: boss, lookup: {WAITING}}}",
        extra="    dedupe: {keep: {latest: version}}\n",
    )  # fmt: skip
    waits = {name: name for name in names} | {"id": "1", "v": 1, "boss": "9"}
    report = load(plan(text), sqlite(tmp_path), people=[waits, {"id": "2"}])
    assert (report.streams[0].message, report.streams[0].waiting) == ("", 1)
    load(plan(text), sqlite(tmp_path), people=[{"id": "9"}])
    quoted = ", ".join(f'"{name}"' for name in names)
    assert sql(sqlite(tmp_path), f"SELECT {quoted} FROM people WHERE id = '1'") == [names]


def test_the_report_says_for_what_records_wait_and_since_when(store_url: str) -> None:
    text = TWO + SELF.replace("people", "bosses")
    records = [{"id": "1", "office": "o"}, {"id": "2", "office": "o"}, {"id": "3", "office": "p"}]
    first = load(plan(text), store_url, offices=[], people=records, bosses=[])
    found = next(each for each in first.streams if each.stream == "people")
    ((field, parent, count, since),) = [
        (each.field, each.parent, each.count, each.since) for each in found.waits
    ]
    assert (found.waiting, field, parent, count) == (3, "office", "offices", 3)
    again = load(plan(text), store_url, offices=[{"id": "p"}], people=[], bosses=[])
    (left,) = next(each for each in again.streams if each.stream == "people").waits
    assert (left.count, left.since) == (2, since)


def test_several_parents_with_the_value_are_told(store_url: str) -> None:
    text = stream("offices", "town: town") + stream(
        "people", "office: {from: town, lookup: {stream: offices, by: town}}"
    )
    offices = [{"id": "b", "town": "Y"}, {"id": "a", "town": "Y"}, {"id": "c", "town": "Z"}]
    people = [{"id": "1", "town": "Y"}, {"id": "2", "town": "Y"}, {"id": "3", "town": "Z"}]
    report = load(plan(text, 10), store_url, offices=offices, people=people)
    assert report.streams[1].keys == {"office": {"resolved": 3, "ambiguous": 2}}
    assert report.remarks == (
        (
            "people.office: 2 found several rows of offices, where town is not unique; the one "
            "with the least key was taken"
        ),
    )
    assert sql(store_url, "SELECT office FROM people ORDER BY id") == [("a",), ("a",), ("c",)]


def test_what_waits_is_tried_in_bounded_memory(tmp_path: Path) -> None:
    """Forty times a batch of records wait: not much more is in memory than one."""
    url, wide, count = sqlite(tmp_path), "x" * 10_000, 800
    the_plan = plan(SELF, 20)
    waits = [{"id": f"w{n}", "boss": "none", "name": wide} for n in range(count)]
    load_from(the_plan, url, Sources({"people": waits}, 20))
    del waits
    tracemalloc.start()
    try:
        report = load(the_plan, url, people=[])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.streams[0].waiting == count
    assert peak < count * len(wide) / 2


@some.composite
def people(draw: some.DrawFn) -> list[dict[str, Any]]:
    numbers = some.integers(0, 5)
    record = some.fixed_dictionaries(
        {"id": numbers.map(str), "boss": some.none() | numbers.map(str), "v": some.integers(0, 2)}
    )
    return draw(some.lists(record, max_size=6))


def numbered(runs: list[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    n = 0
    for each in runs:
        yield [record | {"n": (n := n + 1)} for record in each]


@pytest.mark.parametrize("versioned", [False, True])
def test_whatever_comes_nothing_waits_in_vain_and_nothing_is_older(
    tmp_path: Path, *, versioned: bool
) -> None:
    the_plan = plan(VERSIONED if versioned else SELF, 2)
    places = iter(range(10**6))

    @settings(max_examples=10, deadline=None)
    @given(runs=some.lists(people(), min_size=1, max_size=3))
    def hold(runs: list[list[dict[str, Any]]]) -> None:
        folder = tmp_path / str(next(places))
        folder.mkdir()
        url = sqlite(folder)
        fetched = 0
        for records in numbered(runs):
            report = load(the_plan, url, people=records)
            assert report.counts.balanced
            fetched += len(records)
            held = sql(url, "SELECT key, run_id FROM crmmap_deferred")
            assert report.streams[0].waiting == len(held)
        table = {key: (n, boss) for key, n, boss in sql(url, "SELECT id, n, boss FROM people")}
        waiting = sql(
            url,
            "SELECT key, json_extract(raw, '$.n'), json_extract(raw, '$.v'), "
            "json_extract(raw, '$.boss') FROM crmmap_deferred",
        )
        assert all(boss is None or boss in table for _, boss in table.values())
        assert all(boss not in table for *_, boss in waiting)
        if versioned:
            everybody = [{"id": str(n), "v": -1, "boss": None} for n in range(6)]
            assert load(the_plan, url, people=everybody).streams[0].waiting == 0
            best = {str(n): -1 for n in range(6)}
            for each in (record for records in runs for record in records):
                best[each["id"]] = max(best[each["id"]], each["v"])
            assert dict(sql(url, "SELECT id, v FROM people")) == best
        else:
            assert all(n > table[key][0] for key, n, *_ in waiting if key in table)
            assert len({key for key, *_ in waiting}) == len(waiting)
            last = {r["id"]: r["n"] for records in numbered(runs) for r in records}
            newest = {key: n for key, (n, _) in table.items()} | {key: n for key, n, *_ in waiting}
            assert newest == last

    hold()
