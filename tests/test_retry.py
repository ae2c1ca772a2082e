"""Rejects tried again: what passes now is loaded, and nothing newer is written over."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import gc
import os
import threading
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from commands import write
from crmmap.events import Rehearsal, RunReport
from crmmap.load import Store
from crmmap.load.reject_queries import STRETCH, Reject, Which, find_rejects
from crmmap.loop import Options
from crmmap.loop.retry import CUT, UNREAD, Tries, rehearse, retry
from crmmap.plan import Plan
from crmmap.values import RAW_LIMIT
from inside import Command, crmmap, file_url  # noqa: F401  (fixtures)
from stores import OWNER, store_url  # noqa: F401  (fixture)
from test_loop import Sources, plan, stream
from test_loop import load as run_from

STRICT = stream("people", "age: {from: age, type: integer}")
LENIENT = stream("people", "age: {from: age, type: integer, clean: [{null_if: [old, older]}]}")
PLAIN = {"people": [{"id": "a", "age": "1"}, {"id": "b", "age": "old"}, {"id": "c", "age": "x"}]}


def options() -> Options:
    return Options(run_id=f"retry-{uuid.uuid4()}", owner=OWNER, started_at="")


def tried_again(the_plan: Plan, url: str, *, force: bool = False, **which: Any) -> RunReport:
    with closing(Store.open(url, application="tests")) as store:
        tries = Tries.of(the_plan, store, Sources({}), Which(mappings=["loop"], **which))
        report = retry(the_plan, tries, options=options(), stop=threading.Event(), force=force)
        assert report.counts.balanced
        return report


def rehearsed(the_plan: Plan, url: str) -> Rehearsal:
    with closing(Store.open(url, application="tests")) as store:
        return rehearse(the_plan, Tries.of(the_plan, store, Sources({}), Which(mappings=["loop"])))


def sql(url: str, statement: str) -> list[tuple[Any, ...]]:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(sa.text(statement))]
    engine.dispose()
    return found


def rejects(url: str) -> list[tuple[Any, ...]]:
    return [(each.key, each.outcome) for each in every_reject(url)]


def every_reject(url: str) -> list[Reject]:
    which = Which(mappings=["loop"], state="all")
    with closing(Store.open(url, application="tests")) as store:
        return store.ask(lambda session: list(find_rejects(session, which, oldest_first=True)))


def test_what_passes_now_is_loaded_and_the_rest_stays_open(store_url: str) -> None:
    run_from(plan(STRICT, batch=10), store_url, **PLAIN)
    cursors = "SELECT position, ended, fingerprint FROM crmmap_cursors"
    before = every_reject(store_url)
    reading = sql(store_url, cursors)

    report = tried_again(plan(LENIENT), store_url)

    assert (report.counts.fetched, report.counts.inserted, report.counts.rejected) == (2, 1, 1)
    assert report.streams[0].retried == {"loaded": 1, "refused": 1}
    assert sql(store_url, "SELECT id, age FROM people ORDER BY id") == [("a", 1), ("b", None)]
    assert rejects(store_url) == [("b", "loaded"), ("c", None)]
    # It is the reject that it was, with the run that tried it.
    now = every_reject(store_url)
    assert now[1] == replace(before[1], retried_by=report.run_id)
    assert (now[0].resolved_by, now[0].retried_by) == (report.run_id, None)
    assert sql(store_url, cursors) == reading
    kinds = sql(store_url, "SELECT kind, status FROM crmmap_runs ORDER BY started_at")
    assert kinds == [("run", "done"), ("retry", "done")]


def test_a_reject_gets_the_reasons_of_now(file_url: str) -> None:
    run_from(plan(STRICT), file_url, **PLAIN)
    now = stream("people", "age: {from: age}", "name: {from: name, required: true}")
    tried_again(plan(now.replace("age: {from: age}", "age: {from: no, type: integer}")), file_url)

    reasons = sql(file_url, "SELECT reasons FROM crmmap_rejects")
    assert all('"name"' in each and '"age"' not in each for (each,) in reasons)


def test_a_rehearsal_tells_what_would_pass_and_writes_nothing(store_url: str) -> None:
    run_from(plan(STRICT), store_url, **PLAIN)
    before = [sql(store_url, f"SELECT * FROM {name}") for name in ("crmmap_rejects", "crmmap_runs")]

    found = rehearsed(plan(LENIENT), store_url)

    assert (found.tried, found.passing, found.waiting) == (2, 1, 0)
    assert found.by_rule == {("people", "age", "type"): (2, 1)}
    assert found.refused == {("people", "age", "type"): 1}
    names = ("crmmap_rejects", "crmmap_runs")
    assert [sql(store_url, f"SELECT * FROM {name}") for name in names] == before


def by_code(*, now: bool, extra: str = "") -> Plan:
    """Return a mapping that knows records by their number, and `now` also by their code."""
    key = "[number, code]" if now else "number"
    fields = stream("people", "name: name", "at: {from: at, type: integer}", extra=extra)
    return plan(fields.replace("id: id", f"id: {{from: {key}}}"))


def test_a_row_that_a_later_run_wrote_is_left_alone(store_url: str) -> None:
    run_from(by_code(now=False), store_url, people=[{"code": "c", "name": "before"}])
    run_from(by_code(now=True), store_url, people=[{"code": "c", "name": "after"}])

    report = tried_again(by_code(now=True), store_url)
    assert report.streams[0].retried == {"newer": 1}
    assert sql(store_url, "SELECT name FROM people") == [("after",)]
    assert rejects(store_url) == [(None, None)]

    forced = tried_again(by_code(now=True), store_url, force=True)
    assert forced.streams[0].retried == {"loaded": 1}
    assert sql(store_url, "SELECT name FROM people") == [("before",)]


def test_where_versions_decide_an_older_record_is_superseded(file_url: str) -> None:
    latest = "    dedupe: {keep: {latest: at}}\n"
    old = [{"code": "c", "name": "before", "at": 1}, {"code": "d", "name": "n", "at": 3}]
    new = [{"code": "c", "name": "after", "at": 2}, {"code": "d", "name": "o", "at": 2}]
    run_from(by_code(now=False, extra=latest), file_url, people=old)
    run_from(by_code(now=True, extra=latest), file_url, people=new)

    report = tried_again(by_code(now=True, extra=latest), file_url)
    assert report.streams[0].retried == {"superseded": 1, "loaded": 1}
    assert sql(file_url, "SELECT id, name FROM people ORDER BY id") == [("c", "after"), ("d", "n")]


@pytest.mark.parametrize("kind", ["append", "history"])
def test_a_version_that_was_refused_joins_the_others(store_url: str, kind: str) -> None:
    latest = "    dedupe: {keep: {latest: at}}\n" if kind == "history" else ""
    fields = ("at: {from: at, type: datetime, required: true}", "age: {from: age, type: integer%s}")
    text = stream("people", *fields, extra=latest).replace("key: id}", f"key: id, write: {kind}}}")
    strict, lenient = (text % each for each in ("", ", clean: [{null_if: [old]}]"))
    old, new = {"age": "old", "at": "2024-01-01"}, {"age": "7", "at": "2024-01-02"}
    run_from(plan(strict), store_url, people=[{"id": "a", **old}])
    run_from(plan(strict), store_url, people=[{"id": "a", **new}])
    assert rejects(store_url) == [("a", None)]

    assert tried_again(plan(lenient), store_url).streams[0].retried == {"loaded": 1}
    found = sql(store_url, "SELECT age FROM people ORDER BY age")
    assert sorted(found, key=str) == [(7,), (None,)]


def test_a_child_passes_with_the_parent_that_is_tried_before_it(file_url: str) -> None:
    child = stream("children", "up: {from: up, lookup: {stream: people, missing: reject}}")
    records = {**PLAIN, "children": [{"id": "k", "up": "b"}, {"id": "l", "up": "none"}]}
    run_from(plan(STRICT + child), file_url, **records)
    assert rehearsed(plan(LENIENT + child), file_url).passing == 1  # as the parents are now

    tried_again(plan(LENIENT + child), file_url)
    assert sql(file_url, "SELECT id, up FROM children") == [("k", "b")]


def test_what_the_mapping_leaves_out_now_is_filtered(file_url: str) -> None:
    run_from(plan(STRICT), file_url, **PLAIN)
    now = (
        stream("people", "age: {from: no}", "name: {from: age}")
        + "    where: {name: {one_of: [x]}}\n"
    )

    report = tried_again(
        plan(now.replace("age: {from: no}", "age: {from: no, type: integer}")), file_url
    )
    assert report.streams[0].retried == {"filtered": 1, "loaded": 1}
    assert rejects(file_url) == [("b", "filtered"), ("c", "loaded")]


def test_what_can_not_be_tried_again_is_counted(file_url: str) -> None:
    long = {"id": "long", "age": "x" * RAW_LIMIT}
    run_from(plan(STRICT), file_url, people=[long, {"id": "b", "age": "old"}])

    with closing(Store.open(file_url, application="tests")) as store:
        lenient = plan(LENIENT)
        tries = Tries.of(lenient, store, Sources({}), Which(mappings=["loop"]))
        report = retry(lenient, tries, options=options(), stop=threading.Event())

    assert report.streams[0].retried == {"loaded": 1}
    assert tries.untried[CUT] == 1
    assert rejects(file_url) == [("long", None), ("b", "loaded")]


def test_only_what_is_meant_is_tried(file_url: str) -> None:
    run_from(plan(STRICT), file_url, **PLAIN)
    found = [each.id for each in every_reject(file_url) if each.key == "c"]
    tried_again(plan(stream("people", "age: {from: no, type: integer}")), file_url, ids=found)

    assert rejects(file_url) == [("b", None), ("c", "loaded")]


def test_however_many_rejects_there_are_few_are_in_memory(file_url: str) -> None:
    the_plan = plan(STRICT, batch=STRETCH // 2)
    run_from(the_plan, file_url, **PLAIN)
    count = 5 * STRETCH // 2
    more = (
        f"WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {count}) "
        "INSERT INTO crmmap_rejects (run_id, mapping, stream, batch_seq, page, at, reasons, "
        "raw, created_at, id) SELECT run_id, mapping, stream, batch_seq, page, n, reasons, "
        "raw, created_at, n FROM n, crmmap_rejects WHERE key = 'c'"
    )
    engine = sa.create_engine(file_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(more)
    engine.dispose()
    held, tried = [], 0
    with closing(Store.open(file_url, application="tests")) as store:
        tries = Tries.of(the_plan, store, Sources({}), Which(mappings=["loop"]))
        for some in tries.batches(the_plan.steps[0]):
            tried += len(some)
            held.append(sum(isinstance(each, Reject) for each in gc.get_objects()))
    assert tried == count + 2
    assert max(held) <= 2 * STRETCH


# --- together with records that wait --------------------------------------------------------------

UP = "up: {from: up, lookup: {stream: parents, missing: wait}}"
CHILD = stream("people", "age: {from: age, type: integer}", UP) + stream("parents")


def family(*people: object, parents: Sequence[object] = ()) -> dict[str, Any]:
    return {"people": people, "parents": [{"id": each} for each in parents]}


def test_a_reject_is_superseded_by_a_newer_record_that_waits(file_url: str) -> None:
    run_from(plan(CHILD), file_url, **family({"id": "a", "age": "x", "up": "p"}))
    run_from(plan(CHILD), file_url, **family({"id": "a", "age": "2", "up": "p"}))
    assert rejects(file_url) == [("a", "superseded")]

    run_from(plan(CHILD), file_url, **family(parents=["p"]))
    assert sql(file_url, "SELECT id, age FROM people") == [("a", 2)]


def test_an_older_record_that_waited_resolves_no_reject(file_url: str) -> None:
    run_from(plan(CHILD), file_url, **family({"id": "a", "age": "1", "up": "p"}))
    run_from(plan(CHILD), file_url, **family({"id": "a", "age": "x", "up": "p"}))
    run_from(plan(CHILD), file_url, **family(parents=["p"]))

    assert sql(file_url, "SELECT id, age FROM people") == [("a", 1)]
    assert rejects(file_url) == [("a", None)]


# --- the command ----------------------------------------------------------------------------------

MAPPING = """
crmmap: 1
name: people
settings: {people: {env: PEOPLE_FILE, default: people.csv}}
source: {kind: files}
streams:
  people:
    file: "{{ settings.people }}"
    table: {name: people, key: id}
    fields:
      id: id
      age: {from: age, type: integer}
"""
MENDED = MAPPING.replace("type: integer", "type: integer, clean: [{null_if: [old]}]")
CSV = "id,age\n1,3\n2,old\n3,x\n4,5,6\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, people_yaml=MAPPING, people_csv=CSV)
    return tmp_path


def test_rejects_are_tried_again_from_the_command_line(crmmap: Command, folder: Path) -> None:
    assert crmmap("run", "people.yaml", "-q").code == 0
    (folder / "people.csv").unlink()  # the source is not read
    write(folder, people_yaml=MENDED)

    dry = crmmap("rejects", "retry", "people.yaml", "--dry-run")
    assert "people: 1 of 2 rejects would pass now" in dry.out
    assert f"1 reject can't be tried again: {UNREAD}" in dry.out
    told = crmmap("rejects", "retry", "people.yaml", "-q")
    assert told.code == 0
    assert "2 rejects tried again: 1 loaded and 1 still refused" in told.out
    assert "2 fetched = 1 inserted + 1 rejected: balanced" in told.out
    again = crmmap("rejects", "retry", "people.yaml", "-q", "--json", "--rule", "none").json
    assert again["streams"] == []
    assert again["remarks"] == ["there is no open reject to try again"]
    dry = crmmap("rejects", "retry", "people.yaml", "--dry-run", "--json").json
    assert (dry["tried"], dry["passing"], dry["untried"]) == (1, 0, {UNREAD: 1})


def test_no_reject_is_tried_while_a_run_holds_the_lock(crmmap: Command, folder: Path) -> None:
    crmmap("run", "people.yaml", "-q")
    with closing(Store.open("sqlite:///crmmap.db", application="tests")) as store:
        store.begin_run(mapping="people", run_id="other", owner=f"elsewhere:{os.getpid()}")
        told = crmmap("rejects", "retry", "people.yaml", "-q")

    assert told.code == 5
    assert "is being run by elsewhere" in told.err
