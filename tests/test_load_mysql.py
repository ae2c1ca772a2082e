"""What is MySQL's and MariaDB's alone: collations, engines, packets, privileges, settings."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from crmmap.errors import StoreUnfit, StoreUnreachable
from crmmap.kinds.types import Decimal, Text
from crmmap.load import Store
from crmmap.load.multirow import PACKET
from crmmap.load.mysql_session import MODES, set_up
from crmmap.load.refilling import undo_some
from crmmap.load.tables import table_of
from crmmap.plan import Target
from crmmap.values import Counts
from stores import PEOPLE, Loader, columns, mariadb_url

pytestmark = pytest.mark.mariadb

NOTES = Target(table="notes", key=("id",), columns=columns(id=Text(), body=Text()))


@pytest.fixture
def url() -> Iterator[str]:
    yield from mariadb_url()


@pytest.fixture
def it(url: str) -> Iterator[Loader]:
    made = Loader(url, PEOPLE, NOTES)
    yield made
    made.store.close()


# --- tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("COLLATE utf8mb4_general_ci", "'mine', columns id: their character set or collation"),
        ("COLLATE utf8mb4_bin", "'mine', columns id: "),  # trailing spaces
        ("CHARACTER SET latin1", "'mine', columns id, name: "),
    ],
)
def test_a_table_that_would_lose_or_merge_rows_is_refused_with_its_remedy(
    it: Loader, how: str, message: str
) -> None:
    mine = replace(PEOPLE, table="mine")
    it.sql(f"CREATE TABLE mine (id VARCHAR(512) PRIMARY KEY, name VARCHAR(20)) {how}")
    it.sql("INSERT INTO mine VALUES ('é', 'x')")
    with pytest.raises(StoreUnfit, match=message) as caught:
        it.store.prepare([mine])
    it.sql(str(caught.value).rpartition("change it: ")[2])
    it.store.prepare([mine])
    assert it.upsert(mine, [(each, "🚀", 1) for each in ("É", "e", "é ")]).counts.inserted == 3
    assert it.sql("SELECT count(*) FROM mine") == [(4,)]


def test_a_table_without_transactions_is_refused_with_its_remedy(it: Loader) -> None:
    mine = replace(PEOPLE, table="mine", key=("count",))
    it.sql("CREATE TABLE mine (count BIGINT PRIMARY KEY, name VARCHAR(20)) ENGINE=MyISAM")
    with pytest.raises(StoreUnfit, match="'mine' is kept by MyISAM") as caught:
        it.store.prepare([mine])
    it.sql(str(caught.value).rpartition("change it: ")[2])
    it.store.prepare([mine])


def test_tables_are_made_whatever_the_servers_defaults_are(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        name = make_url(url).database
        connection.exec_driver_sql(f"ALTER DATABASE {name} COLLATE latin1_swedish_ci")
    engine.dispose()
    it = Loader(url, PEOPLE)
    it.upsert(PEOPLE, [("ID", "🚀", 1), ("id", "Ω", 2)])
    assert it.sql("SELECT id, name FROM people ORDER BY id") == [("ID", "🚀"), ("id", "Ω")]
    it.store.close()


def test_a_making_that_was_interrupted_anywhere_is_finished_by_the_next(url: str) -> None:
    """Each statement commits by itself."""
    target = replace(PEOPLE, comment="100 % people", indexed=(("name",),))
    store = Store.open(url, application="crmmap:test")
    statements = store.ddl([target]).split(";\n")[:-1]
    with store.engine.begin() as connection:
        for statement in statements[-3:]:
            name = make_url(url).database
            connection.exec_driver_sql(f"DROP DATABASE {name}")
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
            connection.exec_driver_sql(f"USE {name}")
            for each in statements[: statements.index(statement)]:
                connection.exec_driver_sql(each.replace("%", "%%"))
            store.prepare([target])
            assert store.ddl([target]) == ""
    store.close()


def test_rows_after_a_key_of_several_columns_are_searched_by_their_index(it: Loader) -> None:
    """Compared as rows alone, it would be read from its beginning each time."""
    pairs = replace(PEOPLE, table="pairs", key=("id", "count"))
    it.store.prepare([pairs])
    it.upsert(pairs, [(f"{number:05}", "n", number % 7) for number in range(3000)])
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cu: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    sa.event.listen(it.store.engine, "before_cursor_execute", note)
    place = ["02990", "1"]
    found = it.store.parents(pairs, ["id"], after=place, count=100)
    assert [each["id"] for each in found] == [f"{number:05}" for number in range(2990, 3000)][1:]
    it.store.ask(lambda session: undo_some(session, table_of(pairs), ("02990", 1)))
    sa.event.remove(it.store.engine, "before_cursor_execute", note)
    with it.store.engine.connect() as connection:
        told = [
            connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings().one()
            for statement, parameters in asked
            if "pairs" in statement
        ]
    assert len(told) == 3
    assert all(int(each["rows"]) < 100 for each in told), told


def test_what_the_server_can_not_make_is_told(it: Loader) -> None:
    many = columns(id=Text(), **{f"c{n}": Text() for n in range(1100)})
    with pytest.raises(StoreUnfit, match=r"more columns than the server allows.*1005"):
        it.store.prepare([replace(NOTES, table="wide", columns=many)])
    with pytest.raises(StoreUnfit, match=r"comment is longer than 2048"):
        it.store.prepare([replace(NOTES, table="told", comment="c" * 3000)])
    fine = columns(id=Text(), x=Decimal(precision=38, scale=38))
    it.store.prepare([replace(NOTES, table="fine", columns=fine)])


# --- rows --------------------------------------------------------------------------------------


def test_a_key_too_long_for_an_index_costs_itself_and_is_never_cut(it: Loader) -> None:
    longest = "😀" * 512
    written = it.upsert(
        NOTES,
        [
            (
                "k" * 513,
                "a",
            ),
            (longest, "b"),
            (longest + "x", "c"),
        ],
    )
    assert written.counts == Counts(inserted=1)
    assert {json.loads(text)[0]["rule"] for text in written.refused["reasons"]} == {"store.length"}
    assert json.loads(written.refused["reasons"][0])[0]["field"] == "id"
    assert it.sql("SELECT id, body FROM notes") == [(longest, "b")]


def test_a_batch_longer_than_a_packet_goes_in_parts_and_a_row_is_refused(it: Loader) -> None:
    smallest = 1 << 20

    def shrink(_c: Any, record: Any, _p: Any) -> None:
        record.info[PACKET] = smallest

    sa.event.listen(it.store.engine, "checkout", shrink)
    texts = ["x" * 700_000, "'" * 600_000, "\n" * 400_000, "Ω" * 500_000, "", "y" * 400_000]
    written = it.upsert(NOTES, [(str(n), text) for n, text in enumerate(texts)])
    assert written.counts == Counts(inserted=5)
    (reason,) = json.loads(written.refused["reasons"][0])
    assert reason["rule"] == "store.packet"
    assert "max_allowed_packet" in reason["message"]
    found = it.sql("SELECT id, char_length(body) FROM notes ORDER BY id")
    assert found == [(str(n), len(text)) for n, text in enumerate(texts) if n != 1]


def test_a_row_is_never_written_over_another_by_a_unique_index_beside_the_key(it: Loader) -> None:
    """It is what ON DUPLICATE KEY UPDATE does by itself."""
    it.sql("ALTER TABLE people ADD UNIQUE one_name (name)")
    it.upsert(PEOPLE, [("a", "Ada", 1), ("b", "Bob", 1)])
    written = it.upsert(PEOPLE, [("c", "Ada", 2), ("a", "Bob", 2), ("d", "Dan", 2)])
    assert written.counts == Counts(inserted=1)
    assert [json.loads(text)[0]["rule"] for text in written.refused["reasons"]] == (
        ["store.unique"] * 2
    )
    found = it.sql("SELECT id, name, count FROM people ORDER BY id")
    assert found == [("a", "Ada", 1), ("b", "Bob", 1), ("d", "Dan", 2)]


# --- connections -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://", "names no database"),
        ("mariadb://user:s3cret@127.0.0.1:1", "names no database"),
        ("mysql://user:s3cret@127.0.0.1:1/db?charset=latin1", "unknown option 'charset'"),
        ("mysql://user:s3cret@127.0.0.1:1/db?s3cret@host/db=1", "unknown option;"),
        ("mysql://user:s3cret@127.0.0.1:1/db?ssl_verify_cert=s3cret", "is true or false"),
        ("mysql://user:s3cret@127.0.0.1:1/db?ssl_ca=/s3cret", "can't be read"),
        ("mysql://user:s3cret@127.0.0.1:1/db?lock_timeout=s3cret", "whole number of seconds"),
        ("mysql://user:s3cret@127.0.0.1:1/db?statement_timeout=s3cret", "statement_timeout is a"),
        ("mysql://user:s3cret@127.0.0.1:port/db", "malformed"),
    ],
)
def test_a_url_that_will_not_do_is_refused_and_not_echoed(url: str, message: str) -> None:
    with pytest.raises(StoreUnfit, match=message) as caught:
        Store.open(url, application="crmmap:test")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_what_keeps_us_out_is_told_from_numbers(url: str) -> None:
    parsed = make_url(url)
    for changed, message in [
        ({"port": 1}, "the host refuses the connection"),
        ({"host": "nowhere.invalid"}, "the host's name is not known"),
        ({"database": "crmmap_nowhere"}, r"has no such database \(error 1049\)"),
        ({"username": "nobody", "password": "s3cret"}, r"the user or the password \(error 1"),
    ]:
        there = parsed.set(**changed).render_as_string(hide_password=False)
        with pytest.raises(StoreUnreachable, match=message) as caught:
            Store.open(there, application="crmmap:test")
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_tls_that_is_asked_for_is_had_or_nothing(url: str) -> None:
    there = make_url(url).update_query_dict({"ssl_verify_cert": "true"})
    with pytest.raises(StoreUnreachable, match="no trusted TLS connection"):
        Store.open(there.render_as_string(hide_password=False), application="crmmap:test")


def test_a_missing_privilege_is_told_before_anything_is_attempted(url: str) -> None:
    it, parsed, user = Loader(url), make_url(url), f"crmmap_{uuid4().hex[:20]}"
    it.sql(f"CREATE USER {user}@'%' IDENTIFIED BY 'pä€ß'")
    it.sql(f"GRANT SELECT ON {parsed.database}.* TO {user}@'%'")
    poor = parsed.set(username=user, password="pä€ß").render_as_string(hide_password=False)
    store = Store.open(poor, application="crmmap:test")
    with pytest.raises(StoreUnfit, match="lacks a privilege"):
        store.prepare([PEOPLE])
    store.close()
    it.sql(f"DROP USER {user}@'%'")
    it.store.close()


def test_who_may_make_no_temporary_table_is_told_before_anything_is_attempted(url: str) -> None:
    it, parsed, user = Loader(url), make_url(url), f"crmmap_{uuid4().hex[:20]}"
    it.sql(f"CREATE USER {user}@'%' IDENTIFIED BY 'x'")
    granted = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES"
    it.sql(f"GRANT {granted} ON {parsed.database}.* TO {user}@'%'")
    poor = parsed.set(username=user, password="x").render_as_string(hide_password=False)
    store = Store.open(poor, application="crmmap:test")
    with pytest.raises(StoreUnfit, match="can't make temporary tables"):
        store.prepare([PEOPLE])
    store.close()
    it.sql(f"DROP USER {user}@'%'")
    it.store.close()


def test_sessions_are_strict_and_in_utc(it: Loader) -> None:
    names = "@@sql_mode, @@time_zone, @@character_set_connection, @@tx_isolation, @@autocommit"
    ((modes, *others),) = it.sql(f"SELECT {names}")
    assert set(modes.split(",")) == set(MODES)
    assert others == ["+00:00", "utf8mb4", "READ-COMMITTED", 0]


class Server:
    """A connection to a server that answers as it is told."""

    def __init__(self, version: str, modes: str = ",".join(MODES), packet: int = 1 << 24) -> None:
        self.answer = (version, modes, "+00:00", packet, 0)

    def cursor(self) -> Server:
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, _statement: str) -> None:
        pass

    def fetchone(self) -> tuple[Any, ...]:
        return self.answer


@pytest.mark.parametrize(
    ("server", "message"),
    [
        (Server("10.3.39-MariaDB-log"), r"MariaDB 10\.3\.39 is too old; crmmap needs 10\.4"),
        (Server("8.0.16"), r"MySQL 8\.0\.16 is too old; crmmap needs 8\.0\.17"),
        (Server("5.7.44-log"), "too old"),
        (Server("8.4.3", modes="ANSI"), "does not let a session be strict"),
        (Server("11.4.2-MariaDB", packet=65536), "max_allowed_packet is too small"),
    ],
)
def test_a_server_that_would_lose_data_is_refused(server: Server, message: str) -> None:
    with pytest.raises(StoreUnfit, match=message):
        set_up(server, None)
