"""What streams ask a database for: the author's SQL, its parameters, and cursors of all sorts."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from crmmap.errors import SourceError
from crmmap.extract.readers import open_reader
from crmmap.values import Secret, Start
from databases import Origin, mariadb, origin, postgres  # noqa: F401  (fixtures)
from invented import load, plan_of, sqlite, table

HARBOUR = """
crmmap: 1
name: harbour
settings:
  database: {env: HARBOUR_DB, secret: true}
  rank: {env: HARBOUR_RANK, default: "mate's 100%"}
source: {kind: sql, url: "{{ settings.database }}", fetch: 2}
streams:
  ships:
    query: {table: ships, where: "name <> '12\\\\:30'"}
    table: {name: harbour_ships, key: id}
    fields: {id: {from: id, type: integer}, name: name}
  crews:
QUERY
    table: {name: harbour_crews, key: [ship, sailor]}
    fields: {ship: {from: ship_id, type: integer}, sailor: {from: sailor, type: integer}}
"""
JOINED = """
    query:
      select: |
        SELECT c.ship_id, c.sailor AS sailor, s.name
        FROM crews c JOIN ships s ON s.id = c.ship_id WHERE c.role = :setting_rank
"""
FOR_EACH = """
    for_each: {stream: ships}
    query: {table: crews, where: "ship_id = :parent_id"}
"""
BATCHED = """
    for_each: {stream: ships, batch: 2}
    query: {table: crews, where: "ship_id IN :parents_id"}
"""
OVER = """
    for_each: {over: {role: {list: [mate, "mate's 100%"]}}}
    query: {table: crews, where: "role = :partition_role"}
"""


@pytest.fixture
def harbour(origin) -> Origin:
    origin(
        "CREATE TABLE ships (id INTEGER PRIMARY KEY, name VARCHAR(40))",
        "CREATE TABLE crews (ship_id INTEGER, sailor INTEGER, role VARCHAR(20))",
    )
    origin.fill("ships", [{"id": at, "name": f"ship {at}"} for at in range(1, 6)])
    origin.fill("ships", [{"id": 9, "name": "12:30"}])
    roles = ("mate's 100%", "mate")
    origin.fill("crews", [{"ship_id": ship, "sailor": at, "role": roles[at % 2]}
                          for ship in (1, 3, 4, 8) for at in range(3)])  # fmt: skip
    return origin


def plan(origin: Origin, text: str):
    values = {"database": Secret(origin.url), "rank": "mate's 100%"}
    return plan_of(text, {name: each for name, each in values.items() if name in text})


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        (JOINED, [(ship, at) for ship in (1, 3, 4) for at in (0, 2)]),
        (FOR_EACH, [(ship, at) for ship in (1, 3, 4) for at in range(3)]),
        (BATCHED, [(ship, at) for ship in (1, 3, 4) for at in range(3)]),
        (OVER, [(ship, at) for ship in (1, 3, 4, 8) for at in range(3)]),
    ],
    ids=["select", "parent", "parents", "partition"],
)
def test_parameters_reach_the_database_as_values(harbour, tmp_path, query, pairs) -> None:
    report = load(plan(harbour, HARBOUR.replace("QUERY", query.strip("\n"))), sqlite(tmp_path))
    assert [each.message for each in report.streams] == ["", ""]
    assert [row[0] for row in table(sqlite(tmp_path), "harbour_ships")] == [1, 2, 3, 4, 5]
    assert [row[:2] for row in table(sqlite(tmp_path), "harbour_crews")] == pairs


def test_names_are_quoted(origin, tmp_path) -> None:
    quote = "`" if origin.kind == "mariadb" else '"'
    table_, key, value = (f"{quote}{name}{quote}" for name in ("Order s", "key", "50% of; it"))
    origin(f"CREATE TABLE {table_} ({key} INTEGER PRIMARY KEY, {value} VARCHAR(9))",
           f"INSERT INTO {table_} VALUES (1, 'one'), (2, 'two'), (3, 'three')")  # fmt: skip
    text = """
crmmap: 1
name: orders
settings: {database: {env: ORDERS_DB, secret: true}}
source: {kind: sql, url: "{{ settings.database }}", fetch: 1}
streams:
  orders:
    query: {table: "Order s"}
    table: {name: orders, key: id}
    fields: {id: key, half: "50% of; it"}
"""
    load(plan(origin, text), sqlite(tmp_path))
    assert [row[:2] for row in table(sqlite(tmp_path), "orders")] == [
        ("1", "one"), ("2", "two"), ("3", "three"),
    ]  # fmt: skip


# --- cursors --------------------------------------------------------------------------------------

CURSOR = """
crmmap: 1
name: log
settings: {database: {env: LOG_DB, secret: true}}
source: {kind: sql, url: "{{ settings.database }}"}
streams:
  log:
    query: %s
    table: {name: log, key: id}
    incremental: %s
    fields:
      id: {from: id, type: integer}
      changed: %s
"""


def read(origin: Origin, cursor: str, *, how: str, changed: str, query: str = "{table: log}"):
    found = plan(origin, CURSOR % (query, how, changed))
    with open_reader(found, stop=threading.Event(), clock=lambda: datetime.now(UTC)) as reader:
        start = Start(began="2030-01-01T00:00:00Z", since={"": cursor})
        pages = [*reader.pages(found.step("log"), start)]
    return sorted(int(each) for page in pages for each in page.records["id"].to_list())


def filled(origin: Origin, kind: str, *values) -> None:
    origin(f"CREATE TABLE log (id INTEGER PRIMARY KEY, changed {kind}, added {kind})")
    rows = [{"id": at, "changed": value, "added": None} for at, value in enumerate(values)]
    origin.fill("log", rows)


TIMESTAMP = "{kind: timestamp, field: changed}"


def test_days_are_cursors(origin) -> None:
    filled(origin, "DATE", "2024-01-30", "2024-01-31", "2024-02-01", None)
    changed = "{from: changed, type: date}"
    assert read(origin, "2024-01-31", how=TIMESTAMP, changed=changed) == [1, 2, 3]


@pytest.mark.parametrize(("form", "unit"), [("epoch_s", 1), ("epoch_ms", 1000)])
def test_counted_seconds_are_cursors(origin, form, unit) -> None:
    filled(origin, "BIGINT", 1706659199 * unit, 1706659200 * unit, 1706659201 * unit, None)
    changed = f"{{from: changed, type: {{kind: datetime, formats: {form}}}}}"
    assert read(origin, "2024-01-31T00:00:00Z", how=TIMESTAMP, changed=changed) == [1, 2, 3]


def test_numbers_that_only_grow_are_cursors(origin) -> None:
    filled(origin, "BIGINT", 9007199254740992, 9007199254740993, 9007199254740994, None)
    changed = "{from: changed, type: integer}"
    how = "{kind: sequence, field: changed}"
    assert read(origin, "9007199254740993", how=how, changed=changed) == [2, 3]
    how = "{kind: sequence, field: changed, lookback: 1}"
    assert read(origin, "9007199254740993", how=how, changed=changed) == [1, 2, 3]


def test_a_local_time_is_asked_for_in_its_own_zone(origin) -> None:
    kind = "DATETIME" if origin.kind == "mariadb" else "TIMESTAMP"
    # The clocks went back at 06:00 UTC: 01:50 is either 05:50 or 06:50 UTC.
    filled(origin, kind, "2024-11-02 22:00:00", "2024-11-03 01:10:00", "2024-11-03 01:50:00",
           "2024-11-03 03:00:00")  # fmt: skip
    changed = "{from: changed, type: {kind: datetime, zone: America/New_York}}"
    found = read(origin, "2024-11-03T05:30:00Z", how=TIMESTAMP, changed=changed)
    assert found == [1, 2, 3]


@pytest.mark.postgres
def test_a_moment_with_a_zone_is_asked_for_as_it_is(postgres) -> None:
    filled(postgres, "TIMESTAMPTZ", "2024-01-31 10:59:59+02", "2024-01-31 11:00:00+02", None)
    changed = "{from: changed, type: {kind: datetime, zone: America/New_York}}"
    assert read(postgres, "2024-01-31T09:00:00Z", how=TIMESTAMP, changed=changed) == [1, 2]


def test_the_first_of_several_columns_that_has_a_time_counts(origin) -> None:
    kind = "DATETIME" if origin.kind == "mariadb" else "TIMESTAMP"
    filled(origin, kind, "2024-01-01 00:00:00", "2024-02-01 00:00:00", None, None)
    origin("UPDATE log SET added = '2024-01-01 00:00:00' WHERE id IN (1, 2)")
    changed = "{from: [changed, added], type: datetime}"
    assert read(origin, "2024-01-31T00:00:00Z", how=TIMESTAMP, changed=changed) == [1, 3]


@pytest.mark.mariadb
@pytest.mark.parametrize("kind", ["DATETIME", "TIMESTAMP", "DATE"])
def test_a_zero_date_is_no_time_for_a_cursor(mariadb, kind) -> None:
    zero = "0000-00-00 00:00:00"
    filled(mariadb, f"{kind} NOT NULL", zero, zero, "2024-01-01 00:00:00", "2024-02-01 00:00:00")
    mariadb("UPDATE log SET added = '2024-01-01 00:00:00' WHERE id = 0")
    mariadb("UPDATE log SET added = '2024-02-01 00:00:00' WHERE id = 1")
    one, two = (f"{{from: {names}, type: datetime}}" for names in ("changed", "[changed, added]"))
    cursor = "2024-01-31T00:00:00Z"
    # Nothing tells whether what has no time is new.
    assert read(mariadb, cursor, how=TIMESTAMP, changed=one) == [0, 1, 3]
    assert read(mariadb, cursor, how=TIMESTAMP, changed=two) == [1, 3]


@pytest.mark.parametrize("cursor", [None, "2024-01-31T00:00:00Z"])
def test_the_authors_sql_may_name_the_cursor(origin, cursor) -> None:
    kind = "DATETIME" if origin.kind == "mariadb" else "TIMESTAMP"
    filled(origin, kind, "2024-01-01 00:00:00", "2024-01-31 00:00:00", "2024-02-01 00:00:00")
    query = (
        '{select: "SELECT id, changed, added FROM log WHERE :cursor IS NULL OR changed >= :cursor"}'
    )
    changed = "{from: changed, type: datetime}"
    if cursor is not None:
        found = read(origin, cursor, how=TIMESTAMP, changed=changed, query=query)
        assert found == [1, 2]
        return
    found = plan(origin, CURSOR % (query, TIMESTAMP, changed))
    with open_reader(found, stop=threading.Event(), clock=lambda: datetime.now(UTC)) as reader:
        [page] = reader.pages(found.step("log"), Start(began="2030-01-01T00:00:00Z"))
    assert page.fetched == 3


@pytest.mark.mariadb
@pytest.mark.parametrize("how", [TIMESTAMP, "{kind: sequence, field: changed}"])
def test_a_cursor_of_the_wrong_sort_of_column_is_refused(mariadb, how) -> None:
    filled(mariadb, "VARCHAR(30)", "2024-01-31")
    kind = "datetime" if "timestamp" in how else "integer"
    cursor = "2024-01-31T00:00:00Z" if kind == "datetime" else "7"
    with pytest.raises(SourceError, match="'changed' is read from a column that does not hold"):
        read(mariadb, cursor, how=how, changed=f"{{from: changed, type: {kind}}}")
