"""What a read has met, through kills and beside others who write: only what is gone is deleted."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from crmmap.errors import StoreUnfit
from crmmap.kinds.writes import Delete, Replace, Snapshot, Sweep, Upsert
from crmmap.load import OUTCOME, Tally, Transaction
from crmmap.plan import Target
from stores import PEOPLE, Loader, frame, load, store_url  # noqa: F401  (fixtures)

HERE = Path(__file__).parent
MIRROR = replace(PEOPLE, write=Snapshot(), deletes="soft")
BATCHES = 3
LIVE = "SELECT id FROM people WHERE _crmmap_deleted_at IS NULL ORDER BY id"


def read_batch(
    it: Loader, names: Sequence[str], *, position: str | None = None, gap: str = ""
) -> int:
    """Load a batch of a read, the last one without a position; return how many were deleted."""
    rows = frame(MIRROR, [(name, "n", 1) for name in names])

    def work(transaction: Transaction) -> Tally:
        written = transaction.write(MIRROR, rows)
        transaction.meet(MIRROR, rows.select("id"))
        counts = replace(written.counts, fetched=len(rows))
        if position is None:
            counts += transaction.finish(MIRROR, gap)
        return Tally(counts=counts, position=position, ended=position is None, gap=gap)

    it.mark, tally = it.store.commit(it.mark, work)
    return tally.counts.deleted


def feed(url: str, run_id: str) -> None:
    """Read all batches, from where an earlier run left off."""
    it = Loader(url, MIRROR, run_id=run_id)
    for number in range(int(it.mark.position or 0), BATCHES):
        last = number == BATCHES - 1
        read_batch(
            it, [f"{number}{end}" for end in "ab"], position=None if last else str(number + 1)
        )
    it.store.end_run(run_id, status="done")
    it.store.close()


PLACES = ["load.after_commit:2", "load.before_commit:3"]


@pytest.mark.parametrize("place", PLACES)
def test_a_read_that_is_killed_deletes_just_what_it_would_have(
    load: Callable[..., Loader], store_url: str, place: str
) -> None:
    it = load(MIRROR)
    read_batch(it, ["0a", "1b", "2a", "old", "older"])
    it.store.end_run(it.run_id, status="done")
    paths = [str(HERE), str(HERE.parent / "engine")]
    script = f"import sys; sys.path[:0] = {paths}; from {__name__} import feed; feed(*sys.argv[1:])"
    child = subprocess.run(
        [sys.executable, "-c", script, store_url, "killed"],
        env={**os.environ, "CRMMAP_FAILPOINT": place},
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    assert len(it.sql(LIVE)) >= 5
    feed(store_url, "next")
    assert it.sql(LIVE) == [(f"{number}{end}",) for number in range(BATCHES) for end in "ab"]
    assert it.sql("SELECT sum(deleted) FROM crmmap_batches") == [(2,)]
    assert it.sql("SELECT count(*) FROM crmmap_seen_people") == [(0,)]


def test_a_row_that_was_written_since_the_read_began_stays(load: Callable[..., Loader]) -> None:
    it = load(MIRROR)
    read_batch(it, ["a", "b", "c"])
    it.next_run("run2")
    read_batch(it, ["a"], position="1")
    # Meanwhile, another stream or a webhook brings what the pages did not have yet.
    other = it.stream(stream="other")
    rows = frame(PEOPLE, [("b", "changed", 2), ("new", "n", 1)])
    beside = replace(MIRROR, write=Upsert())
    it.store.commit(other, lambda each: Tally(
        counts=replace(each.write(beside, rows).counts, fetched=2), ended=True,
    ))  # fmt: skip
    assert read_batch(it, []) == 1
    assert it.sql(LIVE) == [("a",), ("b",), ("new",)]


def test_a_gap_of_an_earlier_batch_is_remembered(load: Callable[..., Loader]) -> None:
    it = load(MIRROR)
    read_batch(it, ["a", "b"])
    it.next_run("run2")
    read_batch(it, ["a"], position="1", gap="something was skipped")
    it.next_run("run3")
    assert it.mark.resumed
    assert read_batch(it, []) == 0
    assert it.mark.read.gap == "something was skipped"


@pytest.mark.parametrize("write", [Snapshot(), Replace()])
def test_a_changed_key_asks_nothing_of_the_tables_beside(
    load: Callable[..., Loader], write: Snapshot | Replace
) -> None:
    """They are made anew, and the read that had filled them proves no longer what is gone."""
    old = replace(PEOPLE, write=write, deletes="soft" if write == Snapshot() else None)
    new = replace(old, key=("id", "name"))
    it = load(old)
    it.upsert(old, [("a", "n", 1)], position="next")
    if write == Snapshot():
        rows = frame(old, [("a", "n", 1)]).select("id")
        it.work(lambda transaction: transaction.meet(old, rows), position="next")
    with pytest.raises(StoreUnfit) as caught:
        it.store.prepare([new])
    assert not re.search("crmmap_seen|__next", str(caught.value))
    it.sql("DROP TABLE people")
    it.store.prepare([new])
    assert it.store.prepare([new]) == ()
    it.next_run("run2")
    assert it.mark.position == "next"
    assert "did not fit any more" in it.mark.read.gap


def test_what_waits_is_missed_only_of_what_was_asked_for(load: Callable[..., Loader]) -> None:
    links = replace(MIRROR, key=("id", "name"), write=Snapshot(per="name"))
    it = load(links)
    since = it.store.dialect.bind_time(datetime(2024, 1, 1, tzinfo=UTC))
    for key in ("a,x", "b,x", "b,half", "b,never asked", "no key"):
        it.sql(
            'INSERT INTO crmmap_deferred (mapping, stream, "key", digest, since) '
            f"VALUES ('m', 's', '{key}', 'd', '{since}')"
        )

    def keys_of(texts: pl.Series) -> pl.DataFrame:
        parts = [[*each.split(","), None][:2] for each in texts]
        return pl.DataFrame(parts, schema={"id": pl.String, "name": pl.String}, orient="row")

    def missed(transaction: Transaction) -> list[str]:
        met = frame(links, [("a", "x", 1)]).select("id", "name")
        transaction.meet(links, met, {"x": True, "half": False})
        unmet = transaction.unmet_waiting(links, keys_of, "s")
        return [key for some in unmet for key in some["key"]]

    assert it.work(missed) == ["b,x"]


def test_what_an_abandoned_read_has_met_counts_for_no_other(load: Callable[..., Loader]) -> None:
    it = load(MIRROR)
    read_batch(it, ["a", "b"])
    it.next_run("run2")
    read_batch(it, ["a", "b"], position="1")
    it.store.end_run("run2", status="interrupted")
    it.begin("run3")
    it.mark = it.stream(fresh=True)
    assert read_batch(it, ["a"], position="1") == 0
    assert it.sql("SELECT id FROM crmmap_seen_people") == [("a",)]
    assert read_batch(it, []) == 1
    assert it.sql(LIVE) == [("a",)]


def test_a_renamed_stream_goes_on_with_its_read(load: Callable[..., Loader]) -> None:
    it = load(MIRROR)
    read_batch(it, ["a", "b", "c"])
    it.next_run("run2")
    read_batch(it, ["a"], position="1")
    it.next_run("run3")
    it.mark = it.stream(stream="renamed", was=("s",))
    assert it.mark.resumed
    assert read_batch(it, ["b"]) == 1
    assert it.sql(LIVE) == [("a",), ("b",)]


@pytest.mark.parametrize("later", [True, False])
def test_what_was_read_before_a_later_run_does_not_delete_its_rows(
    load: Callable[..., Loader], later: bool
) -> None:
    it = load(MIRROR)
    read_batch(it, ["a"])
    gone, listed = replace(MIRROR, write=Delete()), replace(MIRROR, write=Sweep())
    older = frozenset({"run1"} if later else ())
    rows = frame(PEOPLE, [("a", None, None)])

    def outcome(target: Target) -> list[str]:
        written = it.work(lambda each: each.write(target, rows, older_than=older))
        return list(written.outcomes[OUTCOME])

    assert outcome(gone) == (["duplicate"] if later else ["updated"])
    it.sql("UPDATE people SET _crmmap_deleted_at = _crmmap_synced_at")
    it.next_run("run2")
    assert outcome(listed) == (["unchanged"] if later else ["updated"])
