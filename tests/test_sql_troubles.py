"""Databases that can't be read, break off, or would be written to; and what is told of them."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
import sqlalchemy as sa

from commands import crmmap, write
from crmmap.errors import ExitCode, SourceError, SourceUnreachable
from crmmap.events import Troubles
from crmmap.extract.readers import open_reader
from crmmap.values import Secret, Start
from databases import Origin, mariadb, origin, postgres  # noqa: F401  (fixtures)
from invented import load, plan_of, sqlite, table
from stores import mariadb_server, postgres_server

CANARY = "canary-p:ss"
SHIPS = """
crmmap: 1
name: harbour
settings: {database: {env: HARBOUR_DB, secret: true}}
source: {kind: sql, url: "{{ settings.database }}", fetch: 2, attempts: 3, timeout: {statement: 1}}
streams:
  ships:
    query: {table: ships}
    table: {name: harbour_ships, key: id}
    fields: {id: {from: id, type: integer}, name: name}
"""


def plan(url: str, text: str = SHIPS):
    return plan_of(text, {"database": Secret(url)})


@contextmanager
def reading(plan, stop=None):
    stop = stop or threading.Event()
    with asked(plan, stop) as reader:
        yield reader.pages(plan.steps[0], Start(began="2030-01-01T00:00:00Z"))


def asked(plan, stop):
    return open_reader(plan, stop=stop, clock=lambda: datetime.now(UTC))


def failure(url: str, text: str = SHIPS) -> SourceError:
    with pytest.raises(SourceError) as caught, reading(plan(url, text)) as pages:
        list(pages)
    assert CANARY not in str(caught.value)
    assert "canary" not in str(caught.value)
    return caught.value


@pytest.fixture
def ships(origin) -> Origin:
    origin("CREATE TABLE ships (id INTEGER PRIMARY KEY, name VARCHAR(20))")
    origin.fill("ships", [{"id": at, "name": f"ship {at}"} for at in range(1, 8)])
    return origin


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("no url, canary-p:ss", "the source's address is no database's URL"),
        ("oracle://me:canary-p%3Ass@h/d", "names no kind of database that crmmap reads"),
        ("mysql://me:canary-p%3Ass@h", "names no database. Add it after the host"),
        ("mysql://me:canary-p%3Ass@h/d?canary=1", "has an option that is not known"),
        ("mysql://me:canary-p%3Ass@h/d?charset=latin1", "has an option that is not known"),
        ("mysql://me:canary-p%3Ass@127.0.0.1:1/d", "mysql://127.0.0.1:1/d: the host refuses"),
        ("mariadb://me:canary-p%3Ass@h.invalid/d", "mysql://h.invalid:3306/d: the host"),
        ("postgresql://me:canary-p%3Ass@127.0.0.1:1/d", "postgresql://127.0.0.1:1/d: the host ref"),
        ("postgres://me:canary-p%3Ass@h.invalid/d", "postgresql://h.invalid:5432/d: the host's"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////nowhere/ships.db", "sqlite:////nowhere/ships.db: the file can't be opened"),
        ("sqlite:////nowhere/%00", "a NUL character"),
    ],
)
def test_a_database_that_is_not_there_is_told_without_its_url(url, says) -> None:
    error = failure(url)
    assert says in str(error)
    assert isinstance(error, SourceUnreachable)


@pytest.mark.parametrize(
    ("url", "says"),
    [("harbour.example/canary", "is no database's URL. It is written mysql://"),
     ("oracle://me:canary@h/d", "names no kind of database that crmmap reads")],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_before_anything_is_attempted(tmp_path, url, says) -> None:
    write(tmp_path, harbour_yaml=SHIPS)
    ran = crmmap(tmp_path, "run", "harbour.yaml", env={"HARBOUR_DB": url})
    assert ran.code == ExitCode.USAGE
    assert f"setting database (HARBOUR_DB): {says}" in ran.err
    assert "canary" not in ran.err + ran.out
    assert [each.name for each in tmp_path.iterdir()] == ["harbour.yaml"]


@pytest.mark.mariadb
def test_a_password_that_mariadb_refuses_ends_the_run_with_its_exit_code(tmp_path) -> None:
    url = mariadb_server().set(drivername="mysql", username="nobody", password=CANARY, database="d")
    write(tmp_path, harbour_yaml=SHIPS)
    env = {"HARBOUR_DB": url.render_as_string(hide_password=False)}
    ran = crmmap(tmp_path, "run", "harbour.yaml", env=env)
    assert ran.code == ExitCode.UNREACHABLE
    assert "the server refuses the user or the password" in ran.out
    for text in (ran.out, ran.err, (tmp_path / "crmmap.db").read_bytes().decode("latin-1")):
        assert "canary" not in text
        assert "nobody" not in text


@pytest.mark.postgres
def test_a_database_that_postgresql_does_not_have_is_told() -> None:
    url = postgres_server().set(drivername="postgresql", database="nowhere")
    error = failure(url.render_as_string(hide_password=False))
    assert isinstance(error, SourceUnreachable)
    assert "the server has no such database" in str(error)


def test_a_file_that_is_no_database_is_told(tmp_path) -> None:
    (tmp_path / "ships.db").write_text("id,name\n1,one\n" * 100)
    error = failure(f"sqlite:///{tmp_path / 'ships.db'}")
    assert isinstance(error, SourceUnreachable)
    assert "is no SQLite database" in str(error)


TWO = """
crmmap: 1
name: harbour
settings: {database: {env: HARBOUR_DB, secret: true}}
sources:
  files: {kind: files}
  database: {kind: sql, url: "{{ settings.database }}"}
streams:
  ports:
    file: ports.csv
    table: {name: ports, key: id}
    fields: {id: Id}
  ships:
    source: database
    query: {table: ships}
    table: {name: ships, key: id}
    fields: {id: id}
"""


def test_a_database_that_is_not_there_costs_no_other_source(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ports.csv").write_text("Id\n1\n")
    report = load(plan("mysql://me:canary-p%3Ass@h", TWO), sqlite(tmp_path))
    assert {each.stream: each.status for each in report.streams} == {
        "ports": "done", "ships": "failed",
    }  # fmt: skip


# --- queries --------------------------------------------------------------------------------------


def test_a_table_that_is_not_there_is_told_with_the_nearest(ships) -> None:
    error = failure(ships.url, SHIPS.replace("table: ships}", "table: shipps}"))
    assert "there is no table 'shipps' (did you mean 'ships'?)" in str(error)
    assert error.exit_code == ExitCode.STREAM_FAILED


def test_columns_that_are_not_there_are_told_before_any_row(ships) -> None:
    text = SHIPS.replace("name: name}", "name: nmae, home: {from: [home, nest]}}")
    error = failure(ships.url, text)
    assert "has no columns 'nmae' (did you mean 'name'?), 'home', 'nest'" in str(error)
    assert "It has: id, name" in str(error)


def test_of_several_columns_one_must_be_there(ships, tmp_path) -> None:
    load(
        plan(ships.url, SHIPS.replace("name: name}", "name: {from: [home, name]}}")),
        sqlite(tmp_path),
    )
    assert table(sqlite(tmp_path), "harbour_ships")[0][:2] == (1, "ship 1")


def test_a_column_may_be_missing_where_it_is_optional(ships, tmp_path) -> None:
    text = SHIPS.replace("name: name}", "home: {from: [home, NAME], optional: true}}")
    load(plan(ships.url, text), sqlite(tmp_path))
    rows = table(sqlite(tmp_path), "harbour_ships")
    assert [row[:2] for row in rows][:2] == [(1, "ship 1"), (2, "ship 2")]


@pytest.mark.parametrize(
    "query",
    ['{select: "SELECT id, name FROM shipps"}', '{select: "SELECT id, nmae FROM ships"}',
     '{select: "SELECT id, name FROM ships WHERE"}', '{table: ships, where: "nmae = 1"}',
     '{table: ships, order: [number]}'],
)  # fmt: skip
def test_sql_that_is_wrong_is_told_without_a_row(ships, query) -> None:
    error = failure(ships.url, SHIPS.replace("{table: ships}", query))
    assert error.exit_code == ExitCode.STREAM_FAILED
    assert "ship 1" not in str(error)


@pytest.mark.postgres
def test_a_query_that_would_write_is_refused_by_postgresql(postgres) -> None:
    postgres(
        "CREATE TABLE ships (id INTEGER PRIMARY KEY, name VARCHAR(20))",
        "CREATE FUNCTION sink() RETURNS INTEGER AS "
        "'INSERT INTO ships VALUES (1, NULL) RETURNING id' LANGUAGE SQL",
    )
    error = failure(
        postgres.url, SHIPS.replace("{table: ships}", '{select: "SELECT sink() AS id, 1 AS name"}')
    )
    assert "the query would write, and a source is only read" in str(error)


@pytest.mark.mariadb
def test_a_query_that_would_write_is_refused_by_mariadb(mariadb) -> None:
    mariadb(
        "CREATE TABLE ships (id INTEGER PRIMARY KEY, name VARCHAR(20))",
        "CREATE FUNCTION sink() RETURNS INTEGER MODIFIES SQL DATA "
        "BEGIN INSERT INTO ships VALUES (1, NULL); RETURN 1; END",
    )
    error = failure(
        mariadb.url, SHIPS.replace("{table: ships}", '{select: "SELECT sink() AS id, 1 AS name"}')
    )
    assert "the query would write, and a source is only read" in str(error)


SERVERS = pytest.mark.parametrize("origin", [
    pytest.param("mariadb", marks=pytest.mark.mariadb),
    pytest.param("postgresql", marks=pytest.mark.postgres),
], indirect=True)  # fmt: skip


def slowly(origin: Origin, seconds: int) -> str:
    """Return a condition that takes about so long for each row, written as nobody else does."""
    span = f"{seconds}.{uuid4().int % 10**9:09}"
    return f"SLEEP({span}) = 0" if origin.kind == "mariadb" else f"pg_sleep({span}) IS NOT NULL"


@SERVERS
def test_a_statement_that_takes_too_long_is_ended(ships) -> None:
    query = f'{{table: ships, where: "{slowly(ships, 20)}"}}'
    began = monotonic()
    error = failure(ships.url, SHIPS.replace("{table: ships}", query))
    assert "a statement took longer than its timeout" in str(error)
    assert monotonic() - began < 10


# --- connections ----------------------------------------------------------------------------------

OTHERS = {
    "mariadb": "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() "
    "AND info LIKE :slow",
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE state = 'active' "
    "AND pid <> pg_backend_pid() AND query LIKE :slow",
}
KILL = {"mariadb": "KILL {}", "postgresql": "SELECT pg_terminate_backend({})"}


def slow_readers(origin: Origin, slow: str) -> list[int]:
    """Return the connections that wait for a page of a slow query."""
    with origin.engine.connect() as connection:
        return [
            *connection.execute(
                sa.text(OTHERS[origin.kind]), {"slow": f"%{slow}%ORDER BY%"}
            ).scalars()
        ]


@SERVERS
def test_a_connection_that_is_lost_while_a_page_is_read_is_made_anew(ships) -> None:
    slow = slowly(ships, 0)
    text = SHIPS.replace("{table: ships}", f'{{table: ships, where: "id <> 1 OR {slow}"}}')
    found: list[str] = []
    met: list[Troubles] = []

    def read() -> None:
        slowed = plan(ships.url, text.replace("statement: 1", "statement: 20"))
        step = slowed.steps[0]
        with asked(slowed, threading.Event()) as reader:
            for page in reader.pages(step, Start(began="2030-01-01T00:00:00Z")):
                found.extend(page.records["id"].to_list())
            met.append(reader.troubles(step))

    reader = threading.Thread(target=read)
    reader.start()
    ended: list[int] = []
    while reader.is_alive() and not ended:
        ended = slow_readers(ships, slow)
    ships(*(KILL[ships.kind].format(each) for each in ended))
    reader.join()
    assert ended
    assert found == [str(at) for at in range(1, 8)]
    assert [each.retries for each in met] == [1]


@SERVERS
def test_closing_ends_what_is_asked(ships) -> None:
    slow = slowly(ships, 20)
    query = f'{{table: ships, where: "{slow}"}}'
    text = SHIPS.replace("{table: ships}", query).replace("statement: 1", "statement: 60")
    caught: list[BaseException] = []
    began = monotonic()
    with open_reader(
        plan(ships.url, text), stop=threading.Event(), clock=lambda: datetime.now(UTC)
    ) as reader:
        step = plan(ships.url, text).steps[0]

        def read() -> None:
            try:
                list(reader.pages(step, Start(began="2030-01-01T00:00:00Z")))
            except SourceError as error:
                caught.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        while not slow_readers(ships, slow):
            assert thread.is_alive()
    thread.join()
    assert caught
    assert monotonic() - began < 15


@SERVERS
def test_a_run_that_is_to_stop_does_not_wait_for_a_long_statement(ships, tmp_path: Path) -> None:
    slow = slowly(ships, 20)
    query = f'{{table: ships, where: "{slow}"}}'
    text = SHIPS.replace("{table: ships}", query).replace("statement: 1", "statement: 60")
    stop, began = threading.Event(), monotonic()

    def interrupt() -> None:
        while not slow_readers(ships, slow) and monotonic() - began < 60:
            pass
        stop.set()

    person = threading.Thread(target=interrupt)
    person.start()
    report = load(plan(ships.url, text), sqlite(tmp_path), stop=stop)
    person.join()
    assert report.streams[0].status == "interrupted"
    assert monotonic() - began < 18


def test_nothing_is_written_beside_a_file_that_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "only"
    folder.mkdir()
    engine = sa.create_engine(f"sqlite:///{folder / 'ships.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE ships (id INTEGER PRIMARY KEY, name TEXT)")
        connection.exec_driver_sql("INSERT INTO ships VALUES (1, 'one')")
    engine.dispose()
    before = (folder / "ships.db").read_bytes()
    with reading(plan(f"sqlite:///{folder / 'ships.db'}")) as pages:
        assert sum(page.fetched for page in pages) == 1
        assert [each.name for each in folder.iterdir()] == ["ships.db"]
    assert (folder / "ships.db").read_bytes() == before
