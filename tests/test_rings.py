"""Records that wait for each other in a ring: they load together, whatever a batch holds."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmmap.events import Event
from invented import sqlite
from stores import store_url
from test_loop import Sources, load, load_from, plan, rows, stream
from test_waiting import SELF, counts, let_wait_since_2020, sql

__all__ = ["store_url"]


def couples(constraint: str) -> str:
    """Return two streams that wait for each other, the second by a field that is no key."""
    how = f"missing: wait, constraint: {constraint}"
    return stream(
        "people", "mail: mail",
        f"office: {{from: office, lookup: {{stream: offices, {how}}}}}",
    ) + stream(
        "offices", f"head: {{from: head, lookup: {{stream: people, by: mail, {how}}}}}",
    )  # fmt: skip


@pytest.mark.parametrize("constraint", ["false", "true"])
def test_a_ring_of_one_stream_loads_whatever_a_batch_holds(store_url: str, constraint: str) -> None:
    text = SELF.replace("missing: wait", f"missing: wait, constraint: {constraint}")
    people = [{"id": str(n), "n": n, "boss": str((n + 1) % 7)} for n in range(7)]
    people += [{"id": "under", "boss": "3"}, {"id": "lost", "boss": "nobody"}]
    report = load(plan(text, 2), store_url, size=1, people=people)
    assert counts(report, "people") == {"fetched": 9, "inserted": 8, "deferred": 1}
    assert (report.counts.balanced, report.streams[0].waiting) == (True, 1)
    assert rows(store_url, "people", "id", "boss") == [
        *((str(n), str((n + 1) % 7)) for n in range(7)), ("under", "3"),
    ]  # fmt: skip
    again = load(plan(text, 2), store_url, size=1, people=people)
    assert again.counts.unchanged == 8


@pytest.mark.parametrize("constraint", ["false", "true"])
@pytest.mark.parametrize("batch", [1, 100])
def test_a_ring_of_two_streams_loads(store_url: str, batch: int, constraint: str) -> None:
    the_plan = plan(couples(constraint), batch)
    people = [{"id": n, "mail": f"{n}@x", "office": f"o{n}"} for n in "abc"]
    offices = [{"id": f"o{n}", "head": f"{n}@x"} for n in "abc"]
    first = load(the_plan, store_url, size=1, people=people, offices=offices[:1])
    assert counts(first, "people") == {"fetched": 3, "inserted": 1, "deferred": 2}
    assert counts(first, "offices") == {"fetched": 1, "inserted": 1}
    second = load(the_plan, store_url, size=1, people=[], offices=offices)
    assert counts(second, "people") == {"inserted": 2, "deferred": -2}
    assert second.counts.balanced
    assert [each.waiting for each in second.streams] == [0, 0]
    assert rows(store_url, "people", "id", "office") == [(n, f"o{n}") for n in "abc"]
    assert rows(store_url, "offices", "id", "head") == [(f"o{n}", n) for n in "abc"]
    assert load(the_plan, store_url, size=1, people=people, offices=offices).counts.unchanged == 6


@pytest.mark.parametrize("write", ["append", "history"])
def test_a_ring_of_rows_that_keep_their_past_is_written_once(store_url: str, write: str) -> None:
    text = SELF.replace("key: id}", f"key: id, write: {write}}}")
    people = [{"id": "1", "boss": "2"}, {"id": "2", "boss": "1"}]
    report = load(plan(text, 1), store_url, size=1, people=people)
    assert counts(report, "people") == {"fetched": 2, "inserted": 2}
    assert rows(store_url, "people", "id", "boss") == [("1", "2"), ("2", "1")]


def test_a_ring_waits_while_one_of_it_lacks_something_else(store_url: str) -> None:
    text = stream("towns") + SELF.replace(
        "    fields:\n", "    fields:\n      town: {from: town, lookup: "
        "{stream: towns, missing: wait}}\n"
    )  # fmt: skip
    people = [{"id": "1", "boss": "2"}, {"id": "2", "boss": "1", "town": "t"}]
    people += [{"id": "3", "boss": "4"}, {"id": "4", "boss": "3"}]
    first = load(plan(text, 1), store_url, size=1, towns=[], people=people)
    assert counts(first, "people") == {"fetched": 4, "inserted": 2, "deferred": 2}
    second = load(plan(text, 1), store_url, size=1, towns=[{"id": "t"}], people=[])
    assert counts(second, "people") == {"inserted": 2, "deferred": -2}


@pytest.mark.parametrize(("batch", "constraint"), [(1, "false"), (1, "true"), (100, "true")])
def test_a_ring_of_which_the_database_refuses_one_costs_that_one(
    store_url: str, batch: int, constraint: str
) -> None:
    the_plan = plan(
        SELF.replace("missing: wait", f"missing: wait, constraint: {constraint}"), batch
    )
    load(the_plan, store_url, size=1, people=[{"id": "0", "n": 0}])
    sql(store_url, "CREATE UNIQUE INDEX one_number ON people (n)")
    people: list[dict[str, Any]] = [
        {"id": "1", "boss": "2", "n": 1}, {"id": "2", "boss": "1", "n": 0},
        {"id": "3", "boss": "4", "n": 3}, {"id": "4", "boss": "3", "n": 4},
        {"id": "5", "boss": "1", "n": 5},
    ]  # fmt: skip
    report = load(the_plan, store_url, size=1, people=people)
    expected = {"fetched": 5, "inserted": 2, "deferred": 2, "rejected": 1}
    assert counts(report, "people") == expected
    assert report.counts.balanced
    assert rows(store_url, "people", "id") == [("0",), ("3",), ("4",)]
    ((raw, reasons),) = sql(store_url, "SELECT raw, reasons FROM crmmap_rejects")
    assert json.loads(raw) == people[1]
    assert json.loads(reasons)[0]["rule"] == "store.unique"


def test_a_ring_of_which_the_database_refuses_a_bare_row_goes_on_waiting(tmp_path: Path) -> None:
    url, text = sqlite(tmp_path), SELF.replace("missing: wait", "missing: wait, constraint: true")
    load(plan(text, 1), url, size=1, people=[{"id": "0", "n": 0}])
    sql(url, "CREATE TRIGGER t BEFORE INSERT ON people WHEN new.id = '2' AND new.n IS NULL "
             "BEGIN SELECT raise(ABORT, 'bare'); END")  # fmt: skip
    people = [{"id": "1", "boss": "2", "n": 1}, {"id": "2", "boss": "1", "n": 2}]
    report = load(plan(text, 1), url, size=1, people=people)
    assert counts(report, "people") == {"fetched": 2, "deferred": 2}
    assert [each.rpartition(": ")[2] for each in report.remarks] == [
        "a trigger of the store refuses the row"
    ]
    sql(url, "DROP TRIGGER t")
    report = load(plan(text, 1), url, size=1, people=[])
    assert report.remarks == ()
    assert counts(report, "people") == {"inserted": 2, "deferred": -2}


def test_a_ring_loads_though_the_table_of_another_is_out_of_reach(store_url: str) -> None:
    the_plan = plan(SELF + SELF.replace("people", "bosses"), 100)
    first, second = {"id": "1", "boss": "2"}, {"id": "2", "boss": "1"}
    load(the_plan, store_url, people=[first], bosses=[first])

    def out_of_reach(event: Event) -> None:
        if (event.kind, event.stream) == ("end", "bosses"):
            sql(store_url, "ALTER TABLE people RENAME TO aside")

    report = load(the_plan, store_url, out_of_reach, only=("bosses",), bosses=[second])
    told = {each.stream: (each.status, each.waiting) for each in report.streams}
    assert told == {"bosses": ("done", 0), "people": ("failed", 1)}
    assert rows(store_url, "bosses", "id", "boss") == [("1", "2"), ("2", "1")]


def test_a_key_that_only_a_lookup_tells_is_not_taken_for_what_the_source_calls_it(
    tmp_path: Path,
) -> None:
    """The details of the firm with the code `2` are those of firm `1`, and no details of `2`."""
    wait = "missing: wait"
    firms = stream("firms", "code: code", f"of: {{from: of, lookup: {{stream: details, {wait}}}}}")
    details = stream(
        "details", f"firm: {{from: firm, lookup: {{stream: firms, by: code, {wait}}}}}"
    )
    the_plan = plan(firms + details.replace("key: id", "key: firm").replace("      id: id\n", ""))
    records = {"firms": [{"id": "1", "code": "2", "of": "2"}], "details": [{"firm": "2"}]}
    report = load(the_plan, sqlite(tmp_path), **records)
    assert [each.waiting for each in report.streams] == [1, 1]


def test_a_ring_that_came_in_pieces_loads_though_its_first_has_waited_too_long(
    store_url: str,
) -> None:
    text = SELF.replace("missing: wait", "missing: wait, wait_for: 30d")
    load(plan(text, 1), store_url, size=1, people=[{"id": "1", "boss": "2"}])
    let_wait_since_2020(store_url, "1")
    report = load(plan(text, 1), store_url, size=1, people=[{"id": "2", "boss": "1"}])
    assert counts(report, "people") == {"fetched": 1, "inserted": 2, "deferred": -2 + 1}


def test_a_ring_loads_though_what_nobody_looks_up_has_settled_before(store_url: str) -> None:
    """What settles in a round may concern no other that waits; rings are tried all the same."""
    text = stream("towns") + SELF.replace("missing: wait", "missing: wait, wait_for: 30d")
    text += stream("visits", "town: {from: town, lookup: {stream: towns, missing: wait}}")
    visits = [{"id": "v", "town": "t"}]
    people = [{"id": "1", "boss": "2"}]
    load(plan(text, 1), store_url, size=1, towns=[], people=people, visits=visits)
    let_wait_since_2020(store_url, "1")
    people = [{"id": "2", "boss": "1"}]
    report = load(plan(text, 1), store_url, size=1, towns=[{"id": "t"}], people=people, visits=[])
    assert counts(report, "visits") == {"inserted": 1, "deferred": -1}
    assert counts(report, "people") == {"fetched": 1, "inserted": 2, "deferred": -1}


def test_a_large_ring_loads_in_bounded_memory(tmp_path: Path) -> None:
    url, wide, count = sqlite(tmp_path), "x" * 10_000, 400
    text = SELF.replace("fields:", "fields:\n      name: name")
    the_plan = plan(text, 20)
    ring = [{"id": f"w{n}", "boss": f"w{(n * 7 + 1) % count}", "name": wide} for n in range(count)]
    load_from(the_plan, url, Sources({"people": ring[1:]}, 20))
    (first, ring) = (ring[0], [])
    tracemalloc.start()
    try:
        report = load(the_plan, url, people=[first])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.streams[0].waiting == 0
    assert sql(url, "SELECT count(*) FROM people") == [(count,)]
    assert peak < count * len(wide) / 2


NUMBERS = st.integers(0, 4)
PEOPLE = st.dictionaries(NUMBERS, st.tuples(st.none() | NUMBERS, st.none() | NUMBERS), max_size=5)
OFFICES = st.dictionaries(NUMBERS, st.none() | NUMBERS, max_size=5)


def test_whatever_a_batch_holds_those_load_that_lack_nothing_but_each_other(tmp_path: Path) -> None:
    """Each person has a boss and an office, each office a head: in one run, or in two."""
    lookup = "lookup: {{stream: {}, missing: wait}}}}"
    text = stream(
        "people", "boss: {from: boss, " + lookup.format("people"),
        "office: {from: office, " + lookup.format("offices"),
    ) + stream("offices", "head: {from: head, " + lookup.format("people"))  # fmt: skip
    plans = {batch: plan(text, batch) for batch in (1, 3, 100)}
    places = iter(range(10**6))

    @settings(max_examples=12, deadline=None)
    @given(people=PEOPLE, offices=OFFICES, batch=st.sampled_from([*plans]), later=st.booleans())
    def hold(people: Any, offices: Any, batch: int, *, later: bool) -> None:
        folder = tmp_path / str(next(places))
        folder.mkdir()
        url = sqlite(folder)
        persons = [{"id": k, "boss": b, "office": o} for k, (b, o) in people.items()]
        houses = [{"id": k, "head": head} for k, head in offices.items()]
        first, then = (persons[::2], persons[1::2]) if later else (persons, [])
        load(plans[batch], url, size=1, people=first, offices=[] if later else houses)
        report = load(plans[batch], url, size=1, people=then, offices=houses)
        there, open_ = {*people}, {*offices}
        while True:
            whole = {k for k in there if {people[k][0]} <= {None, *there}}
            whole = {k for k in whole if {people[k][1]} <= {None, *open_}}
            known = {k for k in open_ if {offices[k]} <= {None, *whole}}
            if (whole, known) == (there, open_):
                break
            there, open_ = whole, known
        assert {int(key) for (key,) in sql(url, "SELECT id FROM people")} == there
        assert {int(key) for (key,) in sql(url, "SELECT id FROM offices")} == open_
        waiting = len(people) + len(offices) - len(there) - len(open_)
        assert sum(each.waiting for each in report.streams) == waiting
        assert report.counts.balanced

    hold()
