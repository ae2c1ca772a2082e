"""Whole runs, one way of writing each: what breaks off, comes again, late, or under another key."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence

from crmmap.errors import SourceError
from crmmap.events import RunReport, StreamReport
from crmmap.load import Store
from crmmap.loop import Options, run
from crmmap.plan import Plan
from crmmap.values import Counts
from stores import store_url  # noqa: F401  (a fixture)
from test_loop import Sources, plan, rows, stream

Record = Mapping[str, object]


def a_plan(write: str, extra: str = "", more: str = "") -> Plan:
    return plan(
        f"  people:\n    request: {{path: /people}}\n"
        f"    table: {{name: people, key: id, write: {write}}}\n{extra}"
        "    fields:\n      id: id\n      name: name\n      email: email\n"
        f"      at: {{from: at, type: datetime, required: true}}\n{more}",
        batch=2,
    )


def go(
    the_plan: Plan, url: str, limit: int | None = None, **records: Sequence[object]
) -> dict[str, StreamReport]:
    """Run, and return the report of each stream."""
    store = Store.open(url, application="tests")
    options = Options(run_id=str(uuid.uuid4()), owner="tests:1", started_at="", limit=limit)
    try:
        report: RunReport = run(
            the_plan, store, Sources(records),  # type: ignore[arg-type]
            options=options, stop=threading.Event(),
        )  # fmt: skip
    finally:
        store.close()
    assert all(each.counts.balanced for each in report.streams)
    return {each.stream: each for each in report.streams}


def person(key: str, name: str, day: int = 1, email: str | None = None) -> Record:
    return {"id": key, "name": name, "email": email, "at": f"2024-01-{day:02}T00:00:00Z"}


def names(url: str) -> list[tuple[object, ...]]:
    return rows(url, "people", "id", "name")


def test_a_table_is_replaced_by_complete_reads_only(store_url: str) -> None:
    replaced = a_plan("replace")
    old = [person(key, "old") for key in "abc"]
    assert go(replaced, store_url, people=old)["people"].counts == Counts(fetched=3, inserted=3)
    new = [person(key, "new") for key in "bcdef"]
    limited = go(replaced, store_url, limit=2, people=new)["people"]
    assert (limited.status, limited.counts) == ("done", Counts(fetched=2, deferred=2))
    broken = go(replaced, store_url, people=[*new[:2], SourceError("gone")])["people"]
    assert (broken.status, broken.counts) == ("failed", Counts(fetched=2, deferred=2))
    assert names(store_url) == [(key, "old") for key in "abc"]
    resumed = go(replaced, store_url, people=new)["people"]
    assert resumed.resumed
    assert resumed.counts == Counts(fetched=3, inserted=3, updated=2, deferred=-2, deleted=1)
    assert names(store_url) == [(key, "new") for key in "bcdef"]
    again = go(replaced, store_url, people=new)["people"]
    assert again.counts == Counts(fetched=5, unchanged=5)


def test_what_waited_before_a_table_was_replaced_is_no_row_of_it(store_url: str) -> None:
    """The stream was written by key, and had its records wait, until its mapping was changed."""
    text = stream("firms") + stream("people", "firm: {from: firm, lookup: {stream: firms, "
                                              "missing: wait}}")  # fmt: skip
    people = [{"id": "a"}, {"id": "b", "firm": "f"}, {"id": "c", "firm": "f"}]
    go(plan(text), store_url, firms=[], people=people)
    replaced = text.replace("name: people, key: id", "name: people, key: id, write: replace")
    the_plan = plan(replaced.replace("missing: wait", 'missing: "null"'))
    report = go(the_plan, store_url, firms=[{"id": "f"}], people=people[:2])["people"]
    assert rows(store_url, "people", "id", "firm") == [("a", None), ("b", "f")]
    assert report.waiting == 0
    assert rows(store_url, "crmmap_deferred", "stream") == []


def test_a_reject_has_no_row_in_a_replaced_table(store_url: str) -> None:
    replaced = a_plan("replace")
    go(replaced, store_url, people=[person("a", "n"), person("b", "n")])
    bad = [person("a", "n"), {"id": "b", "at": "never"}, {"name": "who?"}]
    counts = go(replaced, store_url, people=bad)["people"].counts
    assert counts == Counts(fetched=3, unchanged=1, rejected=2, deleted=1)


def test_a_log_takes_each_change_once_whatever_breaks_off(store_url: str) -> None:
    log = a_plan("append")
    told = [person("a", "one"), person("b", "one"), person("a", "two"), person("b", "one")]
    go(log, store_url, people=[*told[:2], SourceError("gone")])
    counts = go(log, store_url, people=told)["people"].counts
    assert counts == Counts(fetched=2, inserted=1, unchanged=1)
    assert go(log, store_url, people=told)["people"].counts.inserted == 0
    assert names(store_url) == [("a", "one"), ("a", "two"), ("b", "one")]


def test_others_refer_to_what_a_history_says_now(store_url: str) -> None:
    history = a_plan(
        "history", "    dedupe: {keep: {latest: at}}\n",
        "  calls:\n    request: {path: /calls}\n    table: {name: calls, key: id}\n    fields:\n"
        "      id: id\n"
        "      who: {from: who, lookup: {stream: people, by: email, missing: wait}}\n",
    )  # fmt: skip
    people = [person("a", "Ann", 3, "new@x"), person("a", "Ann", 1, "old@x")]
    calls = [{"id": "1", "who": "old@x"}, {"id": "2", "who": "new@x"}]
    found = go(history, store_url, people=people, calls=calls)
    assert found["people"].counts == Counts(fetched=2, inserted=1, updated=1)
    assert found["calls"].counts == Counts(fetched=2, inserted=1, deferred=1)
    assert rows(store_url, "calls", "id", "who") == [("2", "a")]
    late = [*people, person("a", "Ann", 2, "odd@x"), person("a", "Ann", 4, "old@x")]
    found = go(history, store_url, people=late, calls=calls)
    assert found["people"].counts == Counts(fetched=4, unchanged=2, updated=2)
    assert rows(store_url, "calls", "id", "who") == [("1", "a"), ("2", "a")]
    current = rows(store_url, "people", "email", "_crmmap_current")
    assert [email for email, is_current in current if is_current] == ["old@x"]


def test_records_of_one_person_are_one_row_through_all_runs(store_url: str) -> None:
    rule = "    dedupe: {by: [[id], [email]], keep: {latest: at}}\n"
    people = a_plan("upsert", rule)
    ann = [person("a", "Ann", 1, "ann@x"), person("b", "Anne", 2, "ann@x"), person("c", "Cy", 1)]
    counts = go(people, store_url, people=ann)["people"].counts
    assert counts == Counts(fetched=3, inserted=2, duplicate=1)
    again = go(people, store_url, people=ann[::-1])["people"]
    assert again.counts == Counts(fetched=3, unchanged=2, duplicate=1)
    assert again.duplicates == {"id": 0, "email": 1}
    assert names(store_url) == [("b", "Anne"), ("c", "Cy")]
    newer = [person("a", "Ann", 3, "ann@x"), *ann[1:]]
    counts = go(people, store_url, people=newer)["people"].counts
    assert counts == Counts(fetched=3, updated=1, unchanged=1, duplicate=1)
    assert names(store_url) == [("a", "Ann"), ("c", "Cy")]


def test_the_first_record_of_a_person_stays(store_url: str) -> None:
    people = a_plan("upsert", "    dedupe: {by: email, keep: first}\n")
    ann = [person("a", "Ann", 1, "ann@x"), person("b", "Anne", 2, "ann@x"), person("a", "A.", 3)]
    for counts in (Counts(fetched=3, inserted=1, duplicate=2),
                   Counts(fetched=3, unchanged=1, duplicate=2)):  # fmt: skip
        found = go(people, store_url, people=ann)["people"]
        assert found.counts == counts
        assert found.duplicates == {"id": 1, "email": 1}
    assert names(store_url) == [("a", "Ann")]


def test_what_is_gone_ends_in_a_history(store_url: str) -> None:
    history = a_plan(
        "history", "    dedupe: {keep: {latest: at}}\n    deleted: {name: {one_of: [gone]}}\n"
    )
    people = [person("a", "Ann"), person("b", "Bo"), person("a", "gone", 3)]
    counts = go(history, store_url, people=people)["people"].counts
    assert counts == Counts(fetched=3, inserted=2, updated=1, deleted=1)
    assert go(history, store_url, people=people)["people"].counts == Counts(fetched=3, unchanged=3)
    assert names(store_url) == [("a", "Ann"), ("b", "Bo")]
    current = rows(store_url, "people", "id", "_crmmap_current")
    assert [(key, bool(is_current)) for key, is_current in current] == [("a", False), ("b", True)]


def test_what_waited_is_counted_by_the_rule_by_which_it_is_a_duplicate(store_url: str) -> None:
    up = "      up: {from: up, lookup: {stream: teams, missing: wait}}\n"
    teams = "  teams:\n    request: {path: /teams}\n    table: {name: teams, key: id}\n"
    rule = "    dedupe: {by: email, keep: first}\n"
    people = a_plan("upsert", rule, f"{up}{teams}    fields: {{id: id}}\n")
    ann, anne = person("a", "Ann", email="ann@x"), person("b", "Anne", email="ann@x")
    waits = go(people, store_url, people=[{**anne, "up": "t"}, ann], teams=[])["people"]
    assert waits.counts == Counts(fetched=2, inserted=1, deferred=1)
    assert waits.duplicates == {"id": 0, "email": 0}
    found = go(people, store_url, people=[ann], teams=[{"id": "t"}])["people"]
    assert found.counts == Counts(fetched=1, unchanged=1, duplicate=1, deferred=-1)
    assert found.duplicates == {"id": 0, "email": 1}
