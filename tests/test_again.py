"""Records that were kept, loaded again: no cursor moves, and what was read later stays."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from crmmap.events import RunReport
from crmmap.load import Store, Tally, Transaction
from crmmap.loop import Options, run
from crmmap.loop.again import Again, Kept, later_than
from crmmap.plan import Plan, Step
from crmmap.values import Refusal
from invented import sqlite
from stores import OWNER, PEOPLE, Loader, frame, load, store_url  # noqa: F401  (fixtures)
from test_loop import Sources, plan, rows, stream
from test_loop import load as run_from

CURSORS = 'SELECT position, "cursor", ended, fingerprint FROM crmmap_cursors'


def test_what_is_loaded_apart_leaves_position_and_cursor(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1)], position='"p"', cursor="c")
    before = it.sql(CURSORS)
    it.store.end_run("run1", status="interrupted")
    it.store.begin_run(mapping="m", run_id="run2", owner=OWNER, kind="remap")
    it.run_id, zombie = "run2", it.mark
    it.mark = it.stream(apart=True, fingerprint="another")
    assert (it.mark.position, it.mark.resumed) == (None, False)
    it.upsert(PEOPLE, [("b", "n", 1)], position='"q"', cursor="d")
    it.upsert(PEOPLE, [("c", "n", 1)], ended=True)
    assert it.sql(CURSORS) == before
    assert it.sql("SELECT status FROM crmmap_stream_runs WHERE run_id = 'run2'") == [("done",)]
    assert it.stream(fingerprint="f").position == '"p"'
    assert zombie.epoch < it.mark.epoch


def test_a_row_that_a_later_run_wrote_is_not_made_older(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("old", "n", 1), ("both", "n", 1)], ended=True)
    it.next_run("run2")
    it.upsert(PEOPLE, [("both", "new", 2)], ended=True)
    it.work(lambda transaction: transaction.stub(PEOPLE, frame(PEOPLE, [("bare", "", 0)])["id"]))
    it.next_run("run3")

    def again(transaction: Transaction) -> Tally:
        kept = [("old", "again", 1), ("both", "again", 1), ("gone", "n", 1), ("bare", "n", 1)]
        written = transaction.write(PEOPLE, frame(PEOPLE, kept), older_than=frozenset({"run2"}))
        assert (written.counts.inserted, written.counts.updated) == (1, 2)
        return Tally(counts=replace(written.counts, fetched=4))

    _, tally = it.store.commit(it.mark, again)
    assert tally.counts.duplicate == 1
    assert it.sql("SELECT id, name FROM people ORDER BY id") == [
        ("bare", "n"), ("both", "new"), ("gone", "n"), ("old", "again"),
    ]  # fmt: skip


def test_remaps_read_nothing_and_so_are_later_than_no_run() -> None:
    runs = [("r1", "run"), ("m1", "remap"), ("r2", "run"), ("m2", "remap"), ("r3", "run")]
    assert later_than("r1", runs) == {"r2", "r3"}
    assert later_than("m1", runs) == {"r2", "r3"}
    assert later_than("r3", runs) == set()
    assert later_than("unknown", runs) == set()


def load_kept(the_plan: Plan, url: str, *kept: Kept) -> RunReport:
    def of(_: Step) -> Iterator[Kept]:
        yield from kept

    store = Store.open(url, application="tests")
    try:
        store.prepare([])
        reader = Again(reader=Sources({}), kept=of, runs=store.runs("loop"))
        options = Options(run_id="again", owner="tests:1", started_at="", kind="remap")
        return run(the_plan, store, reader, options=options, stop=threading.Event())
    finally:
        store.close()


def test_kept_records_are_loaded_as_a_run_of_their_own(tmp_path: Path) -> None:
    url, the_plan = sqlite(tmp_path), plan(stream("notes", "text: text", "size: size"), batch=100)
    run_from(the_plan, url, notes=[{"id": "1", "text": "one"}, {"id": "2", "text": "two"}])
    (first,) = [run_id for (run_id,) in rows(url, "crmmap_runs", "run_id")]
    run_from(the_plan, url, notes=[{"id": "2", "text": "newer"}])
    before = rows(url, "crmmap_cursors", "mapping", "stream", "position", "ended", "fingerprint")
    refused = Refusal(at=9, raw="unreadable", reasons=())
    kept = [
        Kept(run_id=str(first), raws=['{"id":"1","text":"one","size":"7"}', '{"id":"2"}']),
        Kept(run_id=str(first), raws=['{"id":"3"}'], refused=(refused,)),
    ]
    report = load_kept(the_plan, url, *kept)
    assert report.exit_code == 0
    (counts,) = [each.counts for each in report.streams]
    assert (counts.fetched, counts.inserted, counts.updated) == (4, 1, 1)
    assert (counts.duplicate, counts.rejected) == (1, 1)
    assert rows(url, "notes", "id", "text", "size") == [
        ("1", "one", "7"), ("2", "newer", None), ("3", None, None),
    ]  # fmt: skip
    after = rows(url, "crmmap_cursors", "mapping", "stream", "position", "ended", "fingerprint")
    assert after == before
    assert ("again", "remap") in rows(url, "crmmap_runs", "run_id", "kind")


def test_a_stream_of_which_nothing_was_kept_is_read_to_its_end(tmp_path: Path) -> None:
    report = load_kept(plan(stream("notes")), sqlite(tmp_path))
    assert [(each.status, each.counts.fetched) for each in report.streams] == [("done", 0)]
