"""Databases as sources: MariaDB, PostgreSQL and SQLite files, read by key and never written to."""

# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from commands import crmmap, write
from crmmap.extract.readers import open_reader
from crmmap.values import Secret, Start
from databases import Origin, mariadb, origin, postgres  # noqa: F401  (fixtures)
from invented import load, plan_of, sqlite, table
from stores import store_url  # noqa: F401  (a fixture)

SHIPS = """
crmmap: 1
name: harbour
settings:
  database: {env: HARBOUR_DB, secret: true, help: Ask the harbour master}
source: {kind: sql, url: "{{ settings.database }}", fetch: 3}
streams:
  ships:
    query: {table: ships}
    table: {name: harbour_ships, key: id}
    incremental: {kind: timestamp, field: changed}
    fields:
      id: {from: id, type: integer}
      name: name
      changed: {from: changed, type: datetime}
"""
CREATE = "CREATE TABLE ships (id INTEGER PRIMARY KEY, name VARCHAR(40), changed {moment})"


def plan(origin: Origin, text: str = SHIPS):
    return plan_of(text, {"database": Secret(origin.url)})


def pages(plan, stream="ships", **start):
    with open_reader(plan, stop=threading.Event(), clock=lambda: datetime.now(UTC)) as reader:
        step = plan.step(stream)
        return [*reader.pages(step, Start(began="2030-01-01T00:00:00Z", **start))]


def ids(page, name="id"):
    return page.records[name].to_list()


def made(origin: Origin, rows) -> None:
    moment = "DATETIME" if origin.kind == "mariadb" else "TIMESTAMP"
    origin(CREATE.format(moment=moment))
    if rows:
        origin.fill("ships", [{"id": at, "name": f"n{at}", "changed": when} for at, when in rows])


def test_a_table_is_read_page_by_page(origin) -> None:
    made(origin, [(at, "2024-01-01 10:00:00") for at in range(1, 8)])
    found = pages(plan(origin))
    assert [ids(page) for page in found] == [["1", "2", "3"], ["4", "5", "6"], ["7"]]
    assert [page.position is None for page in found] == [False, False, True]
    assert all(page.size >= len(ids(page)) for page in found)


def test_a_table_without_rows_is_one_empty_page(origin) -> None:
    made(origin, [])
    [page] = pages(plan(origin))
    assert (page.fetched, page.position) == (0, None)


# --- cursors and pages --------------------------------------------------------------------------

BULK = "2024-05-01 08:00:00"


def test_rows_that_share_a_time_across_a_page_edge_are_neither_lost_nor_doubled(origin) -> None:
    made(origin, [(at, BULK if at > 2 else "2024-01-01 10:00:00") for at in range(1, 12)])
    found = pages(plan(origin), since={"": "2024-03-01T00:00:00.000000Z"})
    assert [ids(page) for page in found] == [
        ["3", "4", "5"], ["6", "7", "8"], ["9", "10", "11"],
    ]  # fmt: skip


def test_rows_without_a_time_are_read_each_time(origin) -> None:
    rows = [(at, "2024-01-01 10:00:00") for at in range(1, 4)]
    made(origin, [*rows, (4, None), (5, None), (6, None), (7, None), (8, BULK), (9, BULK)])
    found = pages(plan(origin), since={"": "2024-03-01T00:00:00.000000Z"})
    assert [each for page in found for each in ids(page)] == ["4", "5", "6", "7", "8", "9"]


def test_every_page_can_be_read_on_from(origin) -> None:
    rows = [(at, None if at % 4 == 0 else f"2024-05-0{at % 3 + 1} 08:00:00") for at in range(1, 20)]
    made(origin, rows)
    for since in ({}, {"": "2024-05-02T00:00:00.000000Z"}):
        whole = pages(plan(origin), since=since)
        for at, page in enumerate(whole[:-1]):
            rest = pages(plan(origin), since=since, position=page.position)
            assert [ids(each) for each in rest] == [ids(each) for each in whole[at + 1 :]]
            assert [each.number for each in rest] == [each.number for each in whole[at + 1 :]]


def place(**inner):
    """Return a position as a partitioned read keeps it."""
    return json.dumps({"part": {"at": 0}, "inner": json.dumps(inner), "number": 1})


@pytest.mark.parametrize(
    "position",
    [
        place(),
        place(by=["id"], after=[["int", "x"]], number=1),
        place(by=["id"], after=[["sailor", "5"]], number=1),
        place(by=["name"], after=[["int", "5"]], number=1),
        place(by=["id"], after=[], number=1),
    ],
)
def test_a_position_of_another_reading_is_worth_nothing(origin, position) -> None:
    made(origin, [(at, BULK) for at in range(1, 5)])
    found = pages(plan(origin), position=position)
    assert [ids(page) for page in found] == [["1", "2", "3"], ["4"]]
    assert found[0].number == 1


COMPOSITE = """
crmmap: 1
name: harbour
settings: {database: {env: HARBOUR_DB, secret: true}}
source: {kind: sql, url: "{{ settings.database }}", fetch: 2}
streams:
  crews:
    query: {table: crews}
    table: {name: harbour_crews, key: [ship, sailor]}
    fields: {ship: ship, sailor: sailor, rank: {from: role}}
"""


@pytest.mark.parametrize("key", [", PRIMARY KEY (ship, sailor)", ""], ids=["key", "no key"])
def test_composite_keys_part_pages(origin, key) -> None:
    origin(
        "CREATE TABLE crews (ship VARCHAR(9) NOT NULL, sailor INTEGER NOT NULL, role VARCHAR(9)"
        f"{key})"
    )
    rows = [("a", 1), ("a", 2), ("a", 10), ("b", 1), ("B", 2), ("b", 3), ("ä", 3), ("c", 0)]
    origin.fill("crews", [{"ship": ship, "sailor": at, "role": "r"} for ship, at in rows])
    whole = pages(plan(origin, COMPOSITE), "crews")
    found = [pair for page in whole for pair in page.records.select("ship", "sailor").rows()]
    assert sorted(found) == sorted((ship, str(at)) for ship, at in rows)
    for at, page in enumerate(whole[:-1]):
        rest = pages(plan(origin, COMPOSITE), "crews", position=page.position)
        assert [each.records.rows() for each in rest] == [
            each.records.rows() for each in whole[at + 1 :]
        ]


def test_rows_that_no_key_tells_apart_stay_on_one_page(origin) -> None:
    origin("CREATE TABLE crews (ship VARCHAR(9), sailor INTEGER, role VARCHAR(9))")
    ships = [None, None, "a", "A", "a", "a", "a", "b", "B", "b"]
    origin.fill("crews", [{"ship": ship, "sailor": 1, "role": str(at)}
                          for at, ship in enumerate(ships)])  # fmt: skip
    whole = pages(plan(origin, COMPOSITE), "crews")
    assert sorted(each for page in whole for each in ids(page, "role")) == sorted("0123456789")
    for at, page in enumerate(whole[:-1]):
        rest = pages(plan(origin, COMPOSITE), "crews", position=page.position)
        assert sum(map(len, (ids(each, "role") for each in rest))) == sum(
            len(ids(each, "role")) for each in whole[at + 1 :]
        )


# --- whole runs -----------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.mariadb
def test_a_second_run_reads_only_what_changed(mariadb, store_url) -> None:
    made(mariadb, [(at, BULK) for at in range(1, 8)])
    first = load(plan(mariadb), store_url)
    assert first.streams[0].counts.inserted == 7
    again = load(plan(mariadb), store_url)
    # The greatest time is asked for again: more rows may have come with it.
    assert (again.streams[0].counts.fetched, again.streams[0].counts.unchanged) == (7, 7)
    mariadb(
        "UPDATE ships SET name = 'renamed', changed = '2024-06-01 00:00:00' WHERE id IN (2, 5, 6)",
        "INSERT INTO ships VALUES (8, 'new', '2024-06-01 00:00:00')",
    )
    load(plan(mariadb), store_url)
    mariadb("UPDATE ships SET name = 'again', changed = '2024-06-02 00:00:00' WHERE id = 1")
    last = load(plan(mariadb), store_url)
    counts = last.streams[0].counts
    assert (counts.fetched, counts.updated, counts.unchanged) == (5, 1, 4)
    names = {row[0]: row[1] for row in table(store_url, "harbour_ships")}
    assert names == {1: "again", 2: "renamed", 3: "n3", 4: "n4", 5: "renamed", 6: "renamed",
                     7: "n7", 8: "new"}  # fmt: skip


def test_an_interrupted_run_goes_on_to_the_same_tables(origin, tmp_path) -> None:
    made(origin, [(at, BULK) for at in range(1, 20)])
    straight = sqlite(tmp_path)
    load(plan(origin), straight)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    small = plan(origin, SHIPS + "defaults: {batch: 3}\n")
    stop = threading.Event()
    seen = []

    class Stops:
        """Ends the run after its second page."""

        def __init__(self, reader) -> None:
            self.reader = reader

        def __getattr__(self, name):
            return getattr(self.reader, name)

        def pages(self, step, start):
            for page in self.reader.pages(step, start):
                seen.append(page.number)
                if len(seen) == 2:
                    stop.set()
                yield page

    interrupted = load(small, other, stop=stop, through=Stops)
    assert interrupted.status == "interrupted"
    done = load(small, other)
    assert (done.status, done.streams[0].resumed) == ("done", True)
    assert done.streams[0].counts.fetched < 19
    assert table(other, "harbour_ships") == table(straight, "harbour_ships")


PERIODS = """
crmmap: 1
name: harbour
settings:
  database: {env: HARBOUR_DB, secret: true, help: Ask the harbour master}
  flag: {env: HARBOUR_FLAG, default: NO}
source: {kind: sql, url: "{{ settings.database }}"}
streams:
  ships:
    for_each: {over: {month: {dates: {from: "2024-01-01", to: "2024-04-01"}}}}
    query:
      table: ships
      where: "name >= 'n' AND :partition_month_start <> :partition_month_end"
    table: {name: harbour_ships, key: [id, month]}
    fields:
      id: {from: id, type: integer}
      month: {value: "{{ partition.month.start | date }}", type: date}
"""


def test_a_database_is_asked_period_by_period(origin, tmp_path) -> None:
    made(origin, [(1, "2024-01-01 10:00:00"), (2, "2024-01-01 10:00:00")])
    report = load(plan(origin, PERIODS), sqlite(tmp_path))
    assert report.status == "done", report.streams[0].message
    assert [str(row[1])[:10] for row in table(sqlite(tmp_path), "harbour_ships")] == [
        "2024-01-01", "2024-02-01", "2024-03-01", "2024-01-01", "2024-02-01", "2024-03-01",
    ]  # fmt: skip


@pytest.mark.postgres
@pytest.mark.mariadb
def test_a_bulk_change_is_read_whole_and_once(mariadb, store_url) -> None:
    made(mariadb, [(at, "2024-01-01 10:00:00") for at in range(1, 30)])
    load(plan(mariadb), store_url)
    mariadb(f"UPDATE ships SET name = 'moved', changed = '{BULK}' WHERE id > 8")
    changed = load(plan(mariadb), store_url).streams[0].counts
    # The 8 that are still as old as the cursor are asked for again; the others share one time.
    assert (changed.fetched, changed.updated, changed.unchanged) == (29, 21, 8)
    again = load(plan(mariadb), store_url).streams[0].counts
    assert (again.fetched, again.updated, again.unchanged) == (21, 0, 21)
    names = [row[1] for row in table(store_url, "harbour_ships")]
    assert names == [f"n{at}" for at in range(1, 9)] + ["moved"] * 21


KILLED = ["load.before_commit:3", "load.after_commit:2", "load.after_rows:4"]


@pytest.mark.parametrize("place", KILLED)
def test_a_killed_run_is_finished_by_the_next(origin, tmp_path, place) -> None:
    made(origin, [(at, None if at % 5 == 0 else BULK) for at in range(1, 20)])
    write(tmp_path, harbour_yaml=SHIPS + "defaults: {batch: 3}\n")
    env, words = {"HARBOUR_DB": origin.url}, ("run", "harbour.yaml", "--quiet", "--json")
    killed = crmmap(tmp_path, *words, env={**env, "CRMMAP_FAILPOINT": place})
    assert killed.code == -signal.SIGKILL, killed.err
    done = crmmap(tmp_path, *words, env=env)
    assert done.code == 0, done.err
    [stream] = done.json["streams"]
    assert stream["resumed"]
    assert stream["counts"]["fetched"] < 19
    rows = table(f"sqlite:///{tmp_path / 'crmmap.db'}", "harbour_ships")
    assert [row[:2] for row in rows] == [(at, f"n{at}") for at in range(1, 20)]


def test_a_view_is_read_like_a_table(origin) -> None:
    made(origin, [(at, BULK) for at in range(1, 8)])
    origin("CREATE VIEW boats AS SELECT * FROM ships WHERE id > 2")
    whole = pages(plan(origin, SHIPS.replace("table: ships}", "table: boats}")))
    assert [ids(page) for page in whole] == [["3", "4", "5"], ["6", "7"]]


@pytest.mark.postgres
def test_a_table_may_be_named_with_its_schema(postgres) -> None:
    made(postgres, [(1, BULK)])
    with postgres.engine.connect() as connection:
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    text = SHIPS.replace("table: ships}", f"table: {schema}.ships}}")
    away = replace(postgres, url=postgres.url.partition("?")[0])
    assert [ids(page) for page in pages(plan(away, text))] == [["1"]]
