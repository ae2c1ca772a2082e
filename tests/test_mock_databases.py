"""A database that is pretended: made from the mapping, read by crmmap's own reader."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from commands import crmmap, write
from crmmap.mock import world_of
from crmmap.mock.databases import write_database
from invented import load, mapping, mock, sqlite, table

HARBOUR = """
crmmap: 1
name: harbour
settings:
  database: {env: HARBOUR_DB, secret: true, help: Ask the harbour master}
  region: {env: HARBOUR_REGION, default: north}
source: {kind: sql, url: "{{ settings.database }}", fetch: 50}
streams:
  ports:
    query: {table: Ports}
    table: {name: ports, key: id}
    fields:
      id: {from: id, type: integer}
      name: {from: "label, short", required: true}
  ships:
    query: {table: ships}
    table: {name: ships, key: id}
    incremental: {kind: timestamp, field: changed, lookback: 1h}
    fields:
      id: {from: id, type: integer}
      port: {from: port_id, type: integer, lookup: {stream: ports, missing: reject}}
      tonnage: {from: tons, type: "decimal(10,2)"}
      afloat: {from: is_afloat, type: boolean}
      changed: {from: [changed, added], type: datetime, required: true}
  names:
    query: {table: ships}
    table: {name: names, key: id}
    fields: {id: {from: id, type: integer}, port: {from: port_id, type: integer}, name: name}
"""
JOINED = """
  crews:
    query:
      select: "SELECT * FROM crew JOIN sailor USING (id) WHERE region = :setting_region"
      order: [number]
    table: {name: crews, key: [ship, sailor]}
    fields:
      ship: {from: ship_id, type: integer, lookup: ships}
      sailor: {from: sailor_id, type: integer}
"""


def test_tables_have_the_columns_that_the_streams_read(tmp_path: Path) -> None:
    world = world_of(mapping(HARBOUR + JOINED), {}, records=20)
    found = write_database(world, "source", tmp_path)
    with closing(sqlite3.connect(found.path)) as database:
        columns = {
            name: [row[1] for row in database.execute(f"PRAGMA table_info('{name}')")]
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
    assert columns == {
        "Ports": ["id", "label, short"],
        "ships": ["id", "port_id", "name", "tons", "is_afloat", "changed", "added"],
        "select_crews": ["ship_id", "sailor_id"],
    }


def test_a_mock_run_reads_every_row_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    with mock(records=300, text=HARBOUR + JOINED) as plan:
        first = load(plan, sqlite(tmp_path))
        assert first.status == "done"
        counts = {each.stream: each.counts for each in first.streams}
        assert {name: each.fetched for name, each in counts.items()} == dict.fromkeys(counts, 300)
        assert counts["names"].inserted == 300
        before = table(sqlite(tmp_path), "ships")
        again = load(plan, sqlite(tmp_path))
        assert all(not (each.counts.inserted or each.counts.updated) for each in again.streams)
        fetched = {each.stream: each.counts.fetched for each in again.streams}
        assert 0 < fetched["ships"] < 300
        assert table(sqlite(tmp_path), "ships") == before


def test_rows_can_be_broken_as_a_whole(tmp_path: Path) -> None:
    with mock(records=300, dirty=20, text=HARBOUR) as plan:
        report = load(plan, sqlite(tmp_path))
    reasons = {reason for each in report.streams for reason in each.reasons}
    assert "sql.bytes" in reasons
    assert any(reason.startswith("id: ") for reason in reasons)
    assert all(each.counts.balanced for each in report.streams)


def test_the_mock_command_writes_a_database_that_a_real_run_reads(tmp_path: Path) -> None:
    write(tmp_path, harbour_yaml=HARBOUR)
    told = crmmap(tmp_path, "mock", "harbour.yaml", "--records", "30", "--dirty", "0")
    assert told.code == 0, told.err
    address = f"sqlite:///{tmp_path / 'harbour-mock' / 'source.db'}"
    assert f"export HARBOUR_DB={address}" in told.out
    env = {"HARBOUR_DB": address}
    ran = crmmap(tmp_path, "run", "harbour.yaml", "--quiet", "--json", env=env)
    assert ran.code == 0, ran.err
    assert [each["counts"]["fetched"] for each in ran.json["streams"]] == [30, 30, 30]


def test_the_mock_command_says_where_the_mappings_own_sql_does_not_run(tmp_path: Path) -> None:
    write(tmp_path, harbour_yaml=HARBOUR + JOINED)
    told = crmmap(tmp_path, "mock", "harbour.yaml")
    assert told.code == 0, told.err
    assert "The mapping has SQL of its own, which does not run there. Instead:" in told.out
    assert "crmmap run harbour.yaml --mock" in told.out


@pytest.mark.parametrize("records", [0, 1])
def test_few_rows_are_rows_too(tmp_path: Path, records: int) -> None:
    with mock(records=records, text=HARBOUR) as plan:
        report = load(plan, sqlite(tmp_path))
    assert [each.counts.fetched for each in report.streams] == [records] * 3


def test_a_plan_tells_what_is_asked(tmp_path: Path) -> None:
    write(tmp_path, harbour_yaml=HARBOUR + JOINED)
    told = crmmap(tmp_path, "plan", "harbour.yaml")
    assert told.code == 0, told.err
    assert "reads sql, 50 rows to a page" in told.out
    assert "query     id, port_id, tons, is_afloat, changed and added of ships" in told.out
    assert "once there is a cursor, by changed and only from there on" in told.out
    assert "query     SELECT * FROM crew JOIN sailor USING (id) WHERE region = :setting" in told.out
    assert "pages     by number" in told.out
    shown = crmmap(tmp_path, "plan", "harbour.yaml", "--json").json
    assert shown["sources"] == {"source": {"kind": "sql", "fetch": 50}}
    assert shown["streams"][-1]["query"]["order"] == ["number"]


def test_a_case_gives_rows_as_a_database_would(tmp_path: Path) -> None:
    write(tmp_path, harbour_yaml=HARBOUR)
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "harbour.yaml").write_text("""
cases:
  - name: a ship, whose flags and numbers are not quoted
    stream: ships
    given:
      - {id: 7, port_id: 1, tons: "1200.50", is_afloat: 1, added: "2024-01-31 08:00:00"}
    rows:
      - {id: 7, port: 1, tonnage: "1200.50", afloat: true, changed: "2024-01-31T08:00:00Z"}
""")
    tested = crmmap(tmp_path, "test", "harbour.yaml", "--only", "cases")
    assert tested.code == 0, tested.out + tested.err
