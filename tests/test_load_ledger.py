"""Batches, locks and positions: committed together or not at all, by one run at a time."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from crmmap.errors import StoreError, StoreLocked
from crmmap.load import Tally, Transaction
from crmmap.values import REJECT_SCHEMA, Counts
from stores import OWNER, PEOPLE, Loader, Stop, expire, frame, load, store_url  # noqa: F401  (fixtures)

README = Path(__file__).parents[1] / "README.md"

# --- all or nothing ----------------------------------------------------------------------------


def test_a_failing_batch_leaves_nothing_behind(load: Callable[..., Loader]) -> None:
    """Savepoints and DDL included: SQLite's driver would keep both, by default."""
    it = load(PEOPLE)

    def work(transaction: Transaction) -> Tally:
        transaction.write(PEOPLE, frame(PEOPLE, [("a", "n", 1)]))
        if it.kind != "mysql":  # whose DDL would commit all that went before
            transaction.session.connection.exec_driver_sql("CREATE TABLE extra (x INTEGER)")
        raise Stop

    with pytest.raises(Stop):
        it.store.commit(it.mark, work)
    assert it.sql("SELECT * FROM people") == []
    assert not sa.inspect(it.store.engine).has_table("extra")


def test_a_batch_is_accounted_for(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1), ("b", "n", 2)], position='"p"', cursor="c")
    assert it.mark.batch_seq == 1
    assert it.mark.position == '"p"'
    query = (
        "SELECT run_id, stream, batch_seq, pages, fetched, inserted, rejected FROM crmmap_batches"
    )
    assert it.sql(query) == [("run1", "s", 1, 1, 2, 2, 0)]
    assert it.sql('SELECT "cursor", position, batch_seq FROM crmmap_cursors') == [("c", '"p"', 1)]
    it.upsert(PEOPLE, [], ended=True)
    assert it.sql('SELECT "cursor", position, batch_seq FROM crmmap_cursors') == [("c", None, 2)]
    assert it.sql("SELECT status FROM crmmap_stream_runs") == [("done",)]
    for query in README.read_text().split("```sql\n")[1].partition("```")[0].splitlines():
        it.sql(query.partition(";")[0])


def test_rejects_and_notes_are_kept_with_their_batch(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    rejects = pl.DataFrame([(1, 7, None, "[]", "{}")], schema=REJECT_SCHEMA, orient="row")
    notes = Tally(counts=Counts()).notes.clear()
    note = pl.DataFrame([(1, 7, "k", "f", "type", "a\0b")], schema=notes.schema, orient="row")

    def work(transaction: Transaction) -> Tally:
        return Tally(counts=Counts(fetched=1, rejected=1, noted=1), rejects=rejects, notes=note)

    it.store.commit(it.mark, work)
    query = "SELECT run_id, mapping, stream, batch_seq, page, at FROM"
    assert it.sql(f"{query} crmmap_rejects") == [("run1", "m", "s", 1, 1, 7)]
    assert it.sql("SELECT value FROM crmmap_notes") == [("a\\u0000b",)]


# --- fences, locks and resuming ----------------------------------------------------------------


def test_a_run_that_was_overtaken_can_commit_nothing(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1)], position='"1"')
    zombie = it.mark
    expire(it)
    it.begin("run2")
    fresh, it.mark = it.mark, zombie
    with pytest.raises(StoreError, match="fenced"):
        it.upsert(PEOPLE, [("b", "n", 2)])
    with pytest.raises(StoreLocked, match="no longer holds"):
        it.store.heartbeat("run1")
    with pytest.raises(StoreLocked, match="no longer holds"):
        it.stream(run_id="run1", stream="other")
    it.mark = fresh
    it.upsert(PEOPLE, [("c", "n", 3)])
    assert it.sql("SELECT id FROM people ORDER BY id") == [("a",), ("c",)]


def test_a_run_without_its_lock_is_fenced_even_in_a_stream_nobody_else_began(
    load: Callable[..., Loader],
) -> None:
    it = load(PEOPLE)
    other = it.stream(stream="other")
    expire(it)
    it.begin("run2")
    it.mark = other
    with pytest.raises(StoreError, match="fenced"):
        it.upsert(PEOPLE, [("b", "n", 2)])


def test_beginning_a_stream_anew_shuts_out_the_mark_before(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.stream()
    with pytest.raises(StoreError, match="fenced"):
        it.upsert(PEOPLE, [("b", "n", 1)])
    assert it.sql("SELECT id FROM people") == []


def test_the_same_batch_is_not_committed_twice(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    before = it.mark
    it.upsert(PEOPLE, [("a", "n", 1)])
    it.mark = before
    with pytest.raises(StoreError, match="fenced"):
        it.upsert(PEOPLE, [("b", "n", 1)])
    assert it.sql("SELECT id FROM people") == [("a",)]


def test_a_second_run_is_told_who_holds_the_lock(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    with pytest.raises(StoreLocked, match=rf"run by {OWNER} since .* UTC \(run run1\)"):
        it.store.begin_run(mapping="m", run_id="run2", owner="elsewhere:1")
    it.store.begin_run(mapping="another", run_id="run3", owner=OWNER)
    it.store.heartbeat("run1")
    it.store.end_run("run1", status="done")
    it.store.begin_run(mapping="m", run_id="run2", owner="elsewhere:1")


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_dead_process_of_this_host_is_taken_over_at_once(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.store.end_run("run1", status="done")
    it.begin("run2", owner=f"{socket.gethostname()}:{dead_process()}")
    it.begin("run3")
    query = "SELECT run_id, status FROM crmmap_runs ORDER BY run_id"
    assert it.sql(query) == [("run1", "done"), ("run2", "interrupted"), ("run3", "running")]
    streams = "SELECT status FROM crmmap_stream_runs WHERE run_id = 'run2'"
    assert it.sql(streams) == [("interrupted",)]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells zombies by /proc")
def test_a_process_that_is_dead_but_not_buried_is_taken_over_too(
    load: Callable[..., Loader],
) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # its death is known, nobody waited
    it = load(PEOPLE)
    it.store.end_run("run1", status="done")
    it.begin("run2", owner=f"{socket.gethostname()}:{child.pid}")
    it.begin("run3")
    child.wait()


def test_a_process_of_another_host_is_not_taken_for_dead(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.store.end_run("run1", status="done")
    it.begin("run2", owner=f"elsewhere:{dead_process()}")
    with pytest.raises(StoreLocked):
        it.begin("run3")
    expire(it)
    it.begin("run3")


@pytest.mark.parametrize(
    ("changed", "position"),
    [({}, '"5"'), ({"fresh": True}, None), ({"fingerprint": "g"}, None), ({"stream": "t"}, None)],
)
def test_an_interrupted_stream_goes_on_where_it_stopped(
    load: Callable[..., Loader], changed: dict[str, Any], position: str | None
) -> None:
    it = load(PEOPLE)
    first = it.mark.epoch
    it.upsert(PEOPLE, [("a", "n", 1)], position='"5"')
    expire(it)
    it.store.begin_run(mapping="m", run_id="run2", owner=OWNER)
    mark = it.stream(run_id="run2", **changed)
    assert mark.position == position
    assert mark.resumed == (position is not None)
    assert mark.batch_seq == 0
    assert mark.epoch == (1 if "stream" in changed else first + 1)


def test_a_stream_that_ended_starts_anew(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1)], position='"5"', ended=True)
    it.next_run("run2")
    assert it.mark.position is None
    assert not it.mark.resumed


def test_the_mark_can_be_asked_for(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1)], position='"5"')
    assert it.store.mark(mapping="m", stream="s", run_id="run1") == it.mark
    with pytest.raises(StoreError, match="fenced"):
        it.store.mark(mapping="m", stream="s", run_id="run0")
