"""What a database's values become: the same cells, whichever database holds them."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.extract.database_cells import clock, tagged, text_of, texts_of, untagged
from crmmap.extract.readers import open_reader
from crmmap.values import Secret, Start
from databases import Origin, mariadb, origin, postgres  # noqa: F401  (fixtures)
from invented import load, plan_of, sqlite, table

HEAD = """
crmmap: 1
name: store
settings: {database: {env: STORE_DB, secret: true}}
source: {kind: sql, url: "{{ settings.database }}"%s}
streams:
  things:
    query: {table: things}
    table: {name: things, key: id}
    fields:
      id: {from: id, type: integer}
"""


def plan(origin: Origin, *fields: str, source: str = ""):
    text = HEAD % source + "".join(f"      {field}\n" for field in fields)
    return plan_of(text, {"database": Secret(origin.url)})


def read(plan):
    with open_reader(plan, stop=threading.Event(), clock=lambda: datetime.now(UTC)) as reader:
        [page] = reader.pages(plan.step("things"), Start(began="2030-01-01T00:00:00Z"))
    return page


@pytest.mark.mariadb
def test_mariadb_values_come_as_they_are_written(mariadb) -> None:
    mariadb(
        "CREATE TABLE things (id BIGINT UNSIGNED PRIMARY KEY, exact DECIMAL(30,10), float_ FLOAT, "
        "double_ DOUBLE, flag TINYINT(1), bit_ BIT(9), day DATE, moment DATETIME(6), "
        "stamp TIMESTAMP NULL, clock TIME(3), year_ YEAR, text_ LONGTEXT, old VARCHAR(20) "
        "CHARACTER SET latin1, json_ JSON, bytes_ VARBINARY(20), word ENUM('a', 'b'))",
        "INSERT INTO things VALUES (18446744073709551615, 12345678901234567890.1234567890, 1.5, "
        "0.1, 1, b'100000001', '2024-02-29', '2024-02-29 23:59:59.123456', '2024-02-29 12:00:00', "
        "'-838:59:59.5', 2024, '⚓ 𝒮hip', 'Å', '{\"a\": 1.10}', 'ab', 'b')",
        "INSERT INTO things (id) VALUES (7)",
    )
    names = ("exact", "float_", "double_", "flag", "bit_", "day", "moment", "stamp", "clock",
             "year_", "text_", "old", "json_", "bytes_", "word")  # fmt: skip
    page = read(plan(mariadb, *(f"{name}: {name}" for name in names)))
    assert page.records.rows()[0] == ("7", *[None] * len(names))
    assert page.records.rows()[1] == (
        "18446744073709551615", "12345678901234567890.1234567890", "1.5", "0.1", "1", "257",
        "2024-02-29", "2024-02-29 23:59:59.123456", "2024-02-29 12:00:00", "-838:59:59.500",
        "2024", "⚓ 𝒮hip", "Å", '{"a": 1.10}', "ab", "b",
    )  # fmt: skip


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("source", "days", "rejected"),
    [("", {1: None, 2: "2024-01-31"}, 1), (", zero_dates: text", {2: "2024-01-31"}, 2)],
)  # fmt: skip
def test_zero_dates_are_nothing_or_refused(mariadb, tmp_path, source, days, rejected) -> None:
    mariadb(
        "CREATE TABLE things (id INT PRIMARY KEY, day DATE, moment DATETIME)",
        "INSERT INTO things VALUES (1, '0000-00-00', '0000-00-00 00:00:00'), "
        "(2, '2024-01-31', '2024-01-31 00:00:00'), (3, '2024-00-31', '2024-01-00 00:00:00')",
    )
    fields = ("day: {from: day, type: date}", "moment: {from: moment, type: datetime}")
    report = load(plan(mariadb, *fields, source=source), sqlite(tmp_path))
    assert {row[0]: row[1] for row in table(sqlite(tmp_path), "things")} == days
    assert report.streams[0].counts.rejected == rejected
    assert report.streams[0].reasons == {"day: type": rejected, "moment: type": rejected}


@pytest.mark.postgres
def test_postgresql_values_come_as_they_are_written(postgres) -> None:
    postgres(
        "CREATE TABLE things (id BIGINT PRIMARY KEY, exact NUMERIC, double_ DOUBLE PRECISION, "
        "flag BOOLEAN, day DATE, moment TIMESTAMP, stamp TIMESTAMPTZ, clock TIME, "
        "span INTERVAL, text_ TEXT, json_ JSONB, bytes_ BYTEA, uid UUID, list_ INT[])",
        "INSERT INTO things VALUES (9223372036854775807, 12345678901234567890.12345678900, "
        "0.1, true, '2024-02-29', '2024-02-29 23:59:59.123456', '2024-02-29 12:00:00+02', "
        "'23:59:59', '02:00:00', '⚓ 𝒮hip', '{\"a\": 1.10}', 'ab', "
        "'00000000-0000-0000-0000-000000000001', '{1,2}')",
        "INSERT INTO things (id, day, moment, exact) "
        "VALUES (1, '10000-01-01', 'infinity', 'NaN'), (2, NULL, NULL, NULL)",
    )
    names = ("exact", "double_", "flag", "day", "moment", "stamp", "clock", "span", "text_",
             "json_", "bytes_", "uid", "list_")  # fmt: skip
    rows = read(plan(postgres, *(f"{name}: {name}" for name in names))).records.rows()
    assert rows[0] == ("1", "NaN", None, None, "10000-01-01", "infinity", *[None] * 8)
    assert rows[1] == ("2", *[None] * 13)
    assert rows[2] == (
        "9223372036854775807", "12345678901234567890.12345678900", "0.1", "true",
        "2024-02-29", "2024-02-29 23:59:59.123456", "2024-02-29 10:00:00+00", "23:59:59",
        "02:00:00", "⚓ 𝒮hip", '{"a": 1.10}', "ab",
        "00000000-0000-0000-0000-000000000001", "[1,2]",
    )  # fmt: skip


def test_types_read_what_databases_write(origin, tmp_path) -> None:
    moment = "DATETIME(6)" if origin.kind == "mariadb" else "TIMESTAMP"
    origin(
        f"CREATE TABLE things (id INTEGER PRIMARY KEY, pay NUMERIC(12,2), aboard BOOLEAN, "
        f"day DATE, moment {moment}, name VARCHAR(20))"
    )
    origin.fill(
        "things",
        [{"id": 1, "pay": Decimal("18450.50") if origin.kind != "sqlite" else "18450.50",
          "aboard": True, "day": "2024-02-29", "moment": "2024-02-29 23:59:59.250000",
          "name": "⚓ 𝒮hip"},
         dict.fromkeys(("pay", "aboard", "day", "moment", "name")) | {"id": 2}],
    )  # fmt: skip
    fields = (
        'pay: {from: pay, type: "decimal(12,2)"}', "aboard: {from: aboard, type: boolean}",
        "day: {from: day, type: date}", "name: name",
        "moment: {from: moment, type: {kind: datetime, zone: America/New_York}}",
    )  # fmt: skip
    report = load(plan(origin, *fields), sqlite(tmp_path))
    assert report.streams[0].counts.inserted == 2
    [one, two] = table(sqlite(tmp_path), "things")
    assert one[:6] == (1, "18450.50", 1, "2024-02-29", "⚓ 𝒮hip", "2024-03-01T04:59:59.250000Z")
    assert two[:6] == (2, None, None, None, None, None)


def test_bytes_that_are_no_text_are_rejected_with_their_bytes(origin, tmp_path) -> None:
    kind = {"mariadb": "VARBINARY(9)", "postgresql": "BYTEA", "sqlite": "BLOB"}[origin.kind]
    origin(f"CREATE TABLE things (id INTEGER PRIMARY KEY, data {kind}, name VARCHAR(9))")
    origin.fill("things", [{"id": 1, "data": b"fine", "name": "a"},
                           {"id": 2, "data": b"\xff\x00", "name": "b"},
                           {"id": 3, "data": None, "name": "c"}])  # fmt: skip
    report = load(plan(origin, "data: data", "name: name"), sqlite(tmp_path))
    counts = report.streams[0].counts
    assert (counts.fetched, counts.inserted, counts.rejected) == (3, 2, 1)
    assert report.streams[0].reasons == {"sql.bytes": 1}
    page = read(plan(origin, "data: data", "name: name"))
    [refused] = page.refused
    assert json.loads(refused.raw) == {"id": "2", "data": "0xff00", "name": "b"}
    assert refused.at == 1
    assert "column 'data'" in refused.reasons[0].message
    assert [*page.lines] == [0, 2]


# --- laws -----------------------------------------------------------------------------------------


@given(
    st.none() | st.integers() | st.text() | st.binary() | st.booleans() | st.uuids()
    | st.floats(allow_nan=False) | st.decimals(allow_nan=False)
)  # fmt: skip
def test_a_place_is_found_again(value) -> None:
    found = untagged(json.loads(json.dumps(tagged(value))))
    assert found == (str(value) if isinstance(value, UUID) else value)
    assert type(found) is (str if isinstance(value, UUID) else type(value))


@given(st.timedeltas(min_value=timedelta(hours=-838), max_value=timedelta(hours=838)))
def test_a_span_is_written_so_that_it_can_be_read(span) -> None:
    text = clock(span)
    hours, minutes, seconds = text.lstrip("-").split(":")
    found = timedelta(hours=int(hours), minutes=int(minutes)) + timedelta(
        seconds=int(seconds[:2]), microseconds=int(seconds[3:] or 0)
    )
    assert (-found if text.startswith("-") else found) == span


@given(st.lists(st.tuples(st.integers() | st.none(), st.text() | st.binary())))
def test_every_row_is_read_or_told(rows) -> None:
    frame, faults = texts_of(rows, {"a": "number", "b": "text"}, zero_is_empty=True)
    assert frame.height == len(rows)
    assert {"String"} >= {str(each) for each in frame.dtypes}
    for at, (one, other) in enumerate(rows):
        assert frame["a"][at] == (None if one is None else str(one))
        whole = isinstance(other, str) or is_text(other)
        assert (at not in faults) == whole
        if whole:
            assert frame["b"][at] == (other if isinstance(other, str) else other.decode())


def is_text(data: bytes) -> bool:
    try:
        return bool(data.decode()) or not data
    except UnicodeDecodeError:
        return False


def test_numbers_keep_their_digits() -> None:
    assert text_of(Decimal("1.10E+3")) == "1100"
    assert text_of(Decimal("0E-10")) == "0.0000000000"
