"""Tables that keep several versions of a record: what they hold is what a plain model says."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from crmmap.kinds.writes import Append
from crmmap.values import Counts
from stores import PEOPLE, Loader, load, store_url  # noqa: F401  (fixtures)

Row = tuple[Any, ...]
quickly = settings(max_examples=15, deadline=None)

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

    @quickly
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
    name = "n" * 21 if it.store.engine.dialect.name != "sqlite" else None
    if name is None:
        it.sql("CREATE TRIGGER t BEFORE INSERT ON people WHEN NEW.count > 8 "
               "BEGIN SELECT RAISE(ABORT, 'no'); END")  # fmt: skip
    written = it.upsert(LOG, [("a", "n", 1), ("a", name, 9), ("b", "n", 1)])
    assert (written.counts, len(written.refused)) == (Counts(inserted=2), 1)
