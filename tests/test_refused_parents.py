"""Whole runs in which the database refuses a row, or a bare one, that others refer to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from invented import sqlite
from stores import LONG, store_url
from test_loop import load, plan, rows, stream
from test_waiting import sql

__all__ = ["store_url"]


@pytest.mark.parametrize(
    ("missing", "stored", "waiting"),
    [
        ("wait", [("other", None)], 2),
        (
            "stub",
            [("child", "parent"), ("grandchild", "child"), ("other", None), ("parent", None)],
            0,
        ),
    ],
)
def test_a_row_that_the_database_refuses_is_nobodys_parent(
    tmp_path: Path, missing: str, stored: list[tuple[str, str | None]], waiting: int
) -> None:
    url = sqlite(tmp_path)
    lookup = f"{{stream: people, missing: {missing}}}"
    family = plan(stream("people", "name: name", f"of: {{from: of, lookup: {lookup}}}"), batch=9)
    load(family, url, people=[{"id": "other", "name": "taken"}])
    sql(url, "CREATE UNIQUE INDEX one_name ON people (name)")
    report = load(family, url, people=[
        {"id": "grandchild", "of": "child"},
        {"id": "parent", "name": "taken"},
        {"id": "child", "of": "parent"},
    ])  # fmt: skip
    assert rows(url, "people", "id", "of") == stored
    assert (report.counts.rejected, report.streams[0].waiting) == (1, waiting)
    assert (report.counts.fetched, report.counts.balanced) == (3, True)


@pytest.mark.parametrize("constraint", ["false", "true"])
@pytest.mark.parametrize(
    ("missing", "stored", "waiting"),
    [
        ("wait", {"0": None, "5": None, "6": "5"}, 3),
        ("stub", {"0": None, "1": None, "2": "1", "3": "2", "4": "1", "5": None, "6": "5"}, 0),
    ],
)
def test_what_refers_to_a_refused_row_is_as_its_lookup_says(
    store_url: str, missing: str, stored: dict[str, str | None], waiting: int, constraint: str
) -> None:
    """Also where the database holds the foreign key, and where the two name each other."""
    lookup = f"{{stream: people, missing: {missing}, constraint: {constraint}}}"
    the_plan = plan(
        stream("people", "n: {from: n, type: integer}", f"boss: {{from: boss, lookup: {lookup}}}"),
        batch=9,
    )
    load(the_plan, store_url, people=[{"id": "0", "n": 0}])
    sql(store_url, "CREATE UNIQUE INDEX one_number ON people (n)")
    report = load(the_plan, store_url, people=[
        {"id": "3", "n": 3, "boss": "2"}, {"id": "1", "n": 0, "boss": "4"},
        {"id": "2", "n": 2, "boss": "1"}, {"id": "4", "n": 4, "boss": "1"},
        {"id": "6", "n": 6, "boss": "5"}, {"id": "5", "n": 5},
    ])  # fmt: skip
    assert dict(rows(store_url, "people", "id", "boss")) == stored
    ((reasons,),) = sql(store_url, "SELECT reasons FROM crmmap_rejects")
    assert json.loads(reasons)[0]["rule"] == "store.unique"
    assert (report.streams[0].waiting, report.counts.balanced) == (waiting, True)


def test_a_row_that_is_refused_may_have_a_field_called_reasons(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    lookup = "{stream: people, missing: wait, constraint: true}"
    numbers = [f"{name}: {{from: {name}, type: integer}}" for name in ("n", "reasons")]
    the_plan = plan(stream("people", *numbers, f"boss: {{from: boss, lookup: {lookup}}}"), batch=9)
    load(the_plan, url, people=[{"id": "0", "n": 0}])
    sql(url, "CREATE UNIQUE INDEX one_number ON people (n)")
    people = [{"id": "1", "n": 0, "reasons": 7}, {"id": "2", "n": 2, "reasons": 8, "boss": "1"}]
    report = load(the_plan, url, people=people)
    assert report.exit_code == 0
    assert (report.counts.rejected, report.streams[0].waiting) == (1, 1)


def test_a_bare_parent_that_the_database_refuses_costs_those_that_refer_to_it(
    store_url: str,
) -> None:
    lookup = "{stream: offices, missing: stub}"
    the_plan = plan(
        stream("offices")
        + stream("people", f"office: {{from: office, lookup: {lookup}}}", "boss: "
                 "{from: boss, lookup: {stream: people, missing: wait}}"),
        batch=9,
    )  # fmt: skip
    load(the_plan, store_url, offices=[], people=[])
    if store_url.startswith("sqlite"):  # it takes texts of any length
        sql(store_url, "CREATE TRIGGER t BEFORE INSERT ON offices WHEN length(new.id) > 99 "
                       "BEGIN SELECT raise(ABORT, 'too long'); END")  # fmt: skip
    report = load(the_plan, store_url, offices=[], people=[
        {"id": "1", "office": "o"}, {"id": "2", "office": LONG}, {"id": "3", "boss": "2"},
        {"id": "4", "office": LONG}, {"id": "5", "office": "p"},
    ])  # fmt: skip
    assert report.exit_code == 0
    assert rows(store_url, "people", "id", "office") == [("1", "o"), ("5", "p")]
    assert rows(store_url, "offices", "id") == [("o",), ("p",)]
    assert (report.counts.rejected, report.counts.stubbed) == (2, 2)
    assert report.streams[1].waiting == 1
    for (reasons,) in sql(store_url, "SELECT reasons FROM crmmap_rejects"):
        (reason,) = json.loads(reasons)
        assert reason["field"] == "office"
        assert reason["rule"].startswith("store.")
