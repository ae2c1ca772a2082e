"""Tables made, compared, and refused; stores opened, and refused."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import sqlite3
import stat
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal as Exact
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from crmmap.errors import ExitCode, StoreError, StoreUnfit, StoreUnreachable
from crmmap.kinds.types import Decimal, Integer, Number, Text
from crmmap.kinds.writes import Snapshot
from crmmap.load import Store
from crmmap.load.refilling import STRETCH
from crmmap.plan import Column, Target
from crmmap.values import Counts
from stores import (  # noqa: F401  (fixtures)
    KINDS,
    PEOPLE,
    STORES,
    Loader,
    Stop,
    columns,
    load,
    postgres_server,
    postgres_url,
    sqlite_url,
    store_url,
)

# --- tables ------------------------------------------------------------------------------------


def test_what_plan_shows_is_what_prepare_runs(load: Callable[..., Loader]) -> None:
    it = load()
    target = replace(PEOPLE, comment="100% people", indexed=(("name",),))
    shown = it.store.ddl([target])
    assert "CREATE TABLE people" in shown
    assert "CREATE INDEX" in shown
    assert it.store.prepare([target]) == ()
    assert it.store.ddl([target]) == ""


def test_a_new_column_is_added(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1)])
    wider = replace(
        PEOPLE, columns=(*PEOPLE.columns, *columns(more=Decimal())), indexed=(("more",),)
    )
    assert it.store.prepare([wider]) == (
        "added the column more to the existing table 'people'",
        "added the index on column more to the existing table 'people'",
    )
    assert it.store.prepare([wider]) == ()
    it.next_run("run2")
    assert it.upsert(wider, [("a", "n", 1, Exact("1.50"))]).counts.updated == 1
    assert [str(row[0]) for row in it.sql("SELECT more FROM people")] == ["1.50"]


def test_a_column_that_was_dropped_by_hand_is_filled_again(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1), ("b", "n", None)])
    it.sql("INSERT INTO people (id) VALUES ('bare parent')")
    it.sql('ALTER TABLE people DROP COLUMN "count"')
    it.store.prepare([PEOPLE])
    it.next_run("run2")
    assert it.upsert(PEOPLE, [("a", "n", 1), ("b", "n", None)]).counts.updated == 2
    it.next_run("run3")
    assert it.upsert(PEOPLE, [("a", "n", 1), ("b", "n", None)]).counts.unchanged == 2
    assert it.sql('SELECT "count" FROM people ORDER BY id') == [(1,), (None,), (None,)]
    assert it.sql("SELECT id FROM people WHERE _crmmap_row_hash IS NULL") == [("bare parent",)]


def test_a_column_of_another_name_is_filled_though_its_values_are_the_same(
    load: Callable[..., Loader],
) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1)])
    renamed = replace(PEOPLE, columns=columns(id=Text(), called=Text(length=20), count=Integer()))
    it.store.prepare([renamed])
    it.next_run("run2")
    assert it.upsert(renamed, [("a", "n", 1)]).counts == Counts(updated=1)
    assert it.sql("SELECT name, called FROM people") == [("n", "n")]


def test_of_a_large_table_digests_are_undone_stretch_by_stretch(
    load: Callable[..., Loader],
) -> None:
    target = replace(PEOPLE, key=("count", "id"))
    rows = [(str(number % 7), "n", number // 3) for number in range(2 * STRETCH + 1)]
    it = load(target)
    it.upsert(target, rows)
    it.sql("UPDATE people SET _crmmap_row_hash = NULL WHERE id = '0' AND count = 0")
    it.sql("ALTER TABLE people DROP COLUMN name")
    shown = it.store.ddl([target])
    undone: list[int] = []

    def before(_c: Any, _cu: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE") and len(undone) == 1:
            raise Stop

    def after(_c: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE"):
            undone.append(cursor.rowcount)

    sa.event.listen(it.store.engine, "after_cursor_execute", after)
    sa.event.listen(it.store.engine, "before_cursor_execute", before)
    with pytest.raises(Stop):
        it.store.prepare([target])
    sa.event.remove(it.store.engine, "before_cursor_execute", before)
    assert it.store.ddl([target]) == shown, "until all are undone, the column is missing"
    it.store.prepare([target])
    # A bare parent has no digest; and what was undone is not undone again.
    assert undone == [STRETCH - 1, 0, STRETCH, 1]
    digests = it.sql("SELECT DISTINCT _crmmap_row_hash FROM people")
    assert sorted(digests, key=str) == [(0,), (None,)]
    it.next_run("run2")
    assert it.upsert(target, rows).counts == Counts(updated=len(rows))
    assert it.sql("SELECT DISTINCT name FROM people") == [("n",)]


def test_the_statements_that_are_shown_fill_a_column_again_too(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1)])
    it.sql("ALTER TABLE people DROP COLUMN count")
    for statement in it.store.ddl([PEOPLE]).split(";\n")[:-1]:
        it.sql(statement)
    assert it.store.ddl([PEOPLE]) == ""
    it.next_run("run2")
    assert it.upsert(PEOPLE, [("a", "n", 1)]).counts == Counts(updated=1)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (replace(PEOPLE, key=("id", "name")), r"primary key \(id\).*key is \(id, name\)"),
        (
            replace(PEOPLE, columns=columns(id=Text(), name=Text(length=20), count=Number())),
            "column 'count': has the type (INTEGER|BIGINT), but the mapping's is (REAL|DOUBLE)",
        ),
    ],
)
def test_a_table_that_differs_is_refused_with_what_to_do(
    load: Callable[..., Loader], wanted: Target, message: str
) -> None:
    it = load(PEOPLE)
    with pytest.raises(StoreUnfit, match=message) as caught:
        it.store.prepare([wanted])
    assert "ALTER TABLE" in str(caught.value) or "crmmap plan --ddl" in str(caught.value)
    assert "table: {name: my_people}" in str(caught.value)
    shown = it.store.ddl([wanted])
    assert shown.startswith("-- 'people'")
    assert "ALTER TABLE" in shown


@pytest.mark.parametrize(
    "wanted",
    [
        replace(PEOPLE, key=("id", "name")),
        replace(PEOPLE, columns=columns(id=Text(), name=Text(), count=Decimal(scale=2))),
        replace(PEOPLE, columns=columns(id=Text(), name=Number())),
    ],
)
def test_the_statements_that_mend_a_table_keep_its_rows(
    load: Callable[..., Loader], wanted: Target
) -> None:
    it = load(replace(PEOPLE, indexed=(("name",),)))
    it.upsert(PEOPLE, [("a", "7", 1), ("b", "8", 2)])
    shown = it.store.ddl([replace(wanted, indexed=(("name",),))])
    with it.store.engine.begin() as connection:
        for statement in shown.split(";\n"):
            connection.exec_driver_sql(statement) if statement else None
    it.store.prepare([replace(wanted, indexed=(("name",),))])
    rows = it.sql("SELECT id, name FROM people ORDER BY id")
    assert [(key, float(name)) for key, name in rows] == [("a", 7), ("b", 8)]


def test_rows_that_are_marked_do_not_stay_so_once_nothing_deletes(
    load: Callable[..., Loader],
) -> None:
    marking = replace(PEOPLE, write=Snapshot(), deletes="soft")
    it = load(marking)
    it.sql("INSERT INTO people (id, _crmmap_deleted_at) VALUES ('a', '2024-01-01 00:00:00')")
    with pytest.raises(StoreUnfit, match="one that comes back would stay marked"):
        it.store.prepare([PEOPLE])
    for statement in it.store.ddl([PEOPLE]).split(";\n"):
        it.sql(statement.rpartition("statements\n")[2]) if statement else None
    assert it.store.prepare([PEOPLE]) == ()
    assert it.sql("SELECT id FROM people") == []


def test_a_foreign_table_without_a_key_is_refused(load: Callable[..., Loader]) -> None:
    it = load()
    it.sql("CREATE TABLE people (id {id}, name {short})")
    with pytest.raises(StoreUnfit, match=r"'people' has no primary key, but .* key is \(id\)"):
        it.store.prepare([PEOPLE])


def test_audit_columns_added_to_a_foreign_table_are_told(load: Callable[..., Loader]) -> None:
    it = load()
    it.sql("CREATE TABLE people (id {id} NOT NULL PRIMARY KEY, name {short})")
    (remark,) = it.store.prepare([PEOPLE])
    assert remark.startswith("added the columns count, _crmmap_run_id, ")


def test_a_column_of_a_type_that_reflection_does_not_know(load: Callable[..., Loader]) -> None:
    it = load()
    if it.kind == "sqlite":
        it.sql("CREATE TABLE people (id TEXT NOT NULL PRIMARY KEY, name)")
    elif it.kind == "mysql":
        it.sql("CREATE TABLE people (id {id} PRIMARY KEY, name INET6)")
    else:
        it.sql("CREATE TYPE pair AS (a INTEGER, b INTEGER)")
        it.sql("CREATE TABLE people (id TEXT PRIMARY KEY, name pair)")
    with pytest.raises(StoreUnfit, match="column 'name': has the type UNKNOWN"):
        it.store.prepare([PEOPLE])


# SQLite has no ALTER COLUMN.
@pytest.mark.parametrize("store_url", STORES[1:], indirect=True)
def test_the_remedy_for_another_type_does_what_it_says(load: Callable[..., Loader]) -> None:
    it = load()
    it.sql("CREATE TABLE people (id {id} PRIMARY KEY, count {short})")
    it.sql("INSERT INTO people VALUES ('a', '7')")
    with pytest.raises(StoreUnfit, match=r"has the type VARCHAR\(20\), .* is BIGINT") as caught:
        it.store.prepare([PEOPLE])
    it.sql(str(caught.value).partition("change it: ")[2].replace("::", "\\:\\:"))
    it.store.prepare([PEOPLE])
    assert it.sql("SELECT count FROM people") == [(7,)]


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("CREATE TABLE People (ID TEXT PRIMARY KEY)", "'people' is there as 'People'"),
        ("CREATE VIEW People AS SELECT 1 AS id", "'People' is a view"),
        ("CREATE TABLE people (ID TEXT PRIMARY KEY)", "column 'id': is there as 'ID'"),
        ("CREATE TABLE people (id TEXT PRIMARY KEY, Name)", "column 'name': is there as 'Name'"),
    ],
)
def test_sqlite_takes_names_that_differ_in_case_for_one(
    tmp_path: Path, there: str, message: str
) -> None:
    it = Loader(sqlite_url(tmp_path))
    it.sql(there)
    with pytest.raises(StoreUnfit, match=message) as caught:
        it.store.prepare([PEOPLE])
    assert str(caught.value).count("\n") == 0
    it.store.close()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([PEOPLE, replace(PEOPLE, table="People")], "'people' and 'People' are one name"),
        ([replace(PEOPLE, table="CRMMAP_runs")], "'crmmap_runs' and 'CRMMAP_runs' are one name"),
        (
            [replace(PEOPLE, columns=columns(id=Text(), ID=Text()))],
            "'people', columns 'id' and 'ID' are one name",
        ),
    ],
)
def test_a_mapping_whose_names_differ_in_case_only_is_refused_by_sqlite(
    tmp_path: Path, targets: list[Target], message: str
) -> None:
    it = Loader(sqlite_url(tmp_path))
    with pytest.raises(StoreUnfit, match=message):
        it.store.prepare(targets)
    it.store.close()


@pytest.mark.postgres
@pytest.mark.parametrize("store_url", STORES[1:2], indirect=True)
def test_names_that_differ_in_case_are_two_to_postgresql(load: Callable[..., Loader]) -> None:
    it = load()
    both = [PEOPLE, replace(PEOPLE, table="People", columns=columns(id=Text(), ID=Text()))]
    it.store.prepare(both)
    assert it.store.ddl(both) == ""


def test_what_the_database_refuses_to_make_does_not_suit(tmp_path: Path) -> None:
    it = Loader(sqlite_url(tmp_path))
    with pytest.raises(StoreUnfit, match="SQLite refuses"):
        it.store.prepare([replace(PEOPLE, table="sqlite_people")])
    it.store.close()


@pytest.mark.postgres
def test_a_missing_privilege_is_told_before_anything_is_attempted() -> None:
    for url in postgres_url():
        it = Loader(url)
        role = f"crmmap_test_{uuid4().hex}"
        it.sql(f"CREATE ROLE {role} LOGIN")
        schema = it.sql("SELECT current_schema()")[0][0]
        it.sql(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        poor = make_url(url).set(username=role).render_as_string(hide_password=False)
        store = Store.open(poor, application="crmmap:test")
        with pytest.raises(StoreUnfit, match="lacks a privilege"):
            store.prepare([])
        store.close()
        it.sql(f"DROP OWNED BY {role}")
        it.sql(f"DROP ROLE {role}")
        it.store.close()


@pytest.mark.postgres
def test_who_may_make_no_temporary_table_is_told_before_anything_is_attempted() -> None:
    name = f"crmmap_test_{uuid4().hex}"
    admin = sa.create_engine(postgres_server(), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN")
        connection.exec_driver_sql(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
        connection.exec_driver_sql(f"GRANT CREATE ON DATABASE {name} TO {name}")
        poor = postgres_server().set(username=name, database=name, drivername="postgresql")
        own = sa.create_engine(poor.set(drivername="postgresql+psycopg"))
        with own.begin() as there:
            there.exec_driver_sql(f"CREATE SCHEMA {name}")
        own.dispose()
        url = poor.update_query_dict({"options": f"-csearch_path={name}"})
        store = Store.open(url.render_as_string(hide_password=False), application="crmmap:test")
        with pytest.raises(StoreUnfit, match="can't make temporary tables"):
            store.prepare([PEOPLE])
        store.close()
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        connection.exec_driver_sql(f"DROP ROLE {name}")
    admin.dispose()


def test_all_that_is_wrong_is_said_at_once(load: Callable[..., Loader]) -> None:
    it = load()
    it.sql("CREATE TABLE people (id {id} NOT NULL PRIMARY KEY, extra INTEGER NOT NULL)")
    it.sql("CREATE VIEW seen AS SELECT id FROM people")
    with pytest.raises(StoreError) as caught:
        it.store.prepare([PEOPLE, replace(PEOPLE, table="seen")])
    assert caught.value.exit_code is ExitCode.USAGE
    assert "column 'extra' that takes no null" in str(caught.value)
    assert "'seen' is a view" in str(caught.value)


def test_every_kind_of_column_compares_equal_to_itself(load: Callable[..., Loader]) -> None:
    it = load(KINDS)
    it.store.prepare([KINDS])


def test_a_ledger_of_a_newer_crmmap_is_refused(load: Callable[..., Loader]) -> None:
    it = load()
    it.sql("UPDATE crmmap_schema_version SET version = 99")
    with pytest.raises(StoreUnfit, match=r"version 99.*upgrade crmmap"):
        it.store.prepare([])


@pytest.mark.parametrize(
    "name", ['a"b', "a`b'c", "100%s", "a:b", "a;b -- c", "ü é", "select", "[x]"]
)
def test_hostile_names_are_only_names(
    load: Callable[..., Loader], store_url: str, name: str
) -> None:
    if store_url.startswith("mysql"):  # what MySQL itself quotes by, its reflection does not know
        name = name.replace("`", "´")
    target = Target(
        table=f"t {name}",
        key=(name,),
        columns=(
            Column(name=name, type=Text(), comment=f"'{name}%"), *columns(other=Text(), last=Text())
        ),
        indexed=(("other",),),
        comment=name,
    )  # fmt: skip
    it = load(target)
    it.store.prepare([target])
    assert it.upsert(target, [("1", "x", None), ("2", "y", None)]).counts.inserted == 2
    it.work(lambda transaction: transaction.stub(target, pl.Series(["3"])))
    found = it.work(lambda transaction: transaction.known(target, "other", pl.Series(["y"])))
    assert found[name].to_list() == ["2"]
    it.next_run("run2")
    assert it.upsert(target, [("1", "x", None), ("2", "z", None)]).counts == Counts(
        updated=1, unchanged=1
    )


def test_long_names_make_indexes_of_their_own(load: Callable[..., Loader]) -> None:
    names = {f"{'c' * 60}{end}": Text() for end in "ab"}
    target = Target(
        table="t" * 63,
        key=("id",),
        columns=columns(id=Text(), **names),
        indexed=tuple((name,) for name in names),
    )
    it = load(target)
    assert len(sa.inspect(it.store.engine).get_indexes(target.table)) == 2


# --- opening -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense with s3cret", "malformed"),
        ("oracle://user:s3cret@host/db", "names 'oracle'; crmmap does not load into that"),
        ("duckdb:///s3cret.db", "names 'duckdb'.* has no savepoints"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://x.db", "names no file"),
        ("sqlite://user:s3cret@host/x.db", "names no file"),
        ("sqlite:///a\0b", "NUL"),
        ("sqlite:////", "is a folder or a device"),
        ("sqlite:////dev/null", "is a folder or a device"),
        ("sqlite:////tmp/x.db?foo=s3cret", "unknown option 'foo'"),
        ("sqlite:////tmp/x.db?timeout=s3cret", "number of seconds"),
        ("postgresql://user:s3cret@127.0.0.1:notaport/db", "malformed"),
    ],
)
def test_a_url_that_will_not_do_is_refused_and_not_echoed(url: str, message: str) -> None:
    with pytest.raises(StoreUnfit, match=message) as caught:
        Store.open(url, application="crmmap:test")
    assert caught.value.exit_code is ExitCode.USAGE
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://", "names no database"),
        ("postgresql://user:s3cret@127.0.0.1:1", "names no database"),
        ("postgresql://user:s3cret@127.0.0.1:1/db?foo=s3cret", "unknown option 'foo'"),
        ("postgresql://user:s3cret@127.0.0.1:1/db?s3cret@host/db=1", "unknown option;"),
        ("postgresql://user:s3cret@127.0.0.1:99999/db", "can't be used"),
        ("postgresql://user:s3cret@127.0.0.1:1/db?sslmode=s3cret", "can't be used"),
        ("postgresql://user:s3cret@127.0.0.1:1/db?connect_timeout=s3cret", "can't be used"),
        ("postgresql://user:s3cret@127.0.0.1:1/db?keepalives=s3cret", "can't be used"),
        ("postgresql://user:s3cret@127.0.0.1:1/db?statement_timeout=0", "statement_timeout is a"),
    ],
)
def test_a_postgresql_url_that_will_not_do_is_refused_and_not_echoed(
    url: str, message: str
) -> None:
    test_a_url_that_will_not_do_is_refused_and_not_echoed(url, message)


@pytest.mark.parametrize("store_url", STORES[1:], indirect=True)
def test_how_long_a_statement_may_take_is_said_in_the_url(store_url: str) -> None:
    for asked, expected in [({}, 120), ({"statement_timeout": "600"}, 600)]:
        url = make_url(store_url).update_query_dict(asked)
        store = Store.open(url.render_as_string(hide_password=False), application="crmmap:test")
        postgres = store.engine.dialect.name == "postgresql"
        setting = "extract(epoch FROM current_setting('statement_timeout')::interval)"
        with store.engine.connect() as connection:
            query = f"SELECT {setting if postgres else '@@max_statement_time'}"
            assert connection.exec_driver_sql(query).scalar() == expected
        store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////nowhere/at/all/x.db", "does not exist"),
        ("postgresql://user:s3cret@127.0.0.1:1/db", "refuses the connection"),
    ],
)
def test_a_store_that_is_not_there_is_not_echoed(url: str, message: str) -> None:
    with pytest.raises(StoreUnreachable, match=message) as caught:
        Store.open(url, application="crmmap:test")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_store_that_cant_be_reached_has_its_own_exit_code() -> None:
    with pytest.raises(StoreUnreachable):
        Store.open("postgresql://user:x@127.0.0.1:1/db", application="crmmap:test")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("not a database at all, but text " * 40)
    with pytest.raises(StoreUnfit, match="not an SQLite database"):
        Store.open(sqlite_url(tmp_path), application="crmmap:test")


def test_the_name_is_without_credentials(store_url: str) -> None:
    store = Store.open(store_url, application="crmmap:test")
    assert store.name.startswith(("sqlite:/", "postgresql://", "mysql://"))
    assert "@" not in store.name
    store.close()


def test_an_sqlite_file_is_private_and_durable(tmp_path: Path) -> None:
    it = Loader(sqlite_url(tmp_path), PEOPLE)
    assert stat.S_IMODE((tmp_path / "store.db").stat().st_mode) == 0o600
    assert it.sql("PRAGMA journal_mode") == [("wal",)]
    assert it.sql("PRAGMA synchronous") == [(2,)]
    assert it.sql("PRAGMA foreign_keys") == [(1,)]
    it.store.close()


def test_a_busy_sqlite_file_is_named(tmp_path: Path) -> None:
    it = Loader(sqlite_url(tmp_path, timeout="0.01"), PEOPLE)
    with (
        busy(tmp_path / "store.db"),
        pytest.raises(StoreError, match=r"store\.db.*writing") as caught,
    ):
        it.upsert(PEOPLE, [("a", "n", 1)])
    assert "tried 5 times" in str(caught.value)
    it.upsert(PEOPLE, [("a", "n", 1)])
    it.store.close()


def test_a_new_sqlite_file_that_is_busy_is_waited_for_as_long(tmp_path: Path) -> None:
    """Its change to write-ahead logging would fail at once."""
    waited: list[float] = []
    with (
        busy(tmp_path / "store.db"),
        pytest.raises(StoreError, match=r"store\.db.*writing.*tried 5 times"),
    ):
        Store.open(
            sqlite_url(tmp_path, timeout="0.01"), application="crmmap:test", pause=waited.append
        )
    assert len(waited) == 4


def test_a_new_sqlite_file_is_opened_once_another_has_written(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(busy(tmp_path / "store.db"))
        store = Store.open(
            sqlite_url(tmp_path, timeout="0.01"),
            application="crmmap:test",
            pause=lambda _: stack.close(),
        )
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()


def test_sqlite_is_waited_for_some_thirty_seconds_in_all(tmp_path: Path) -> None:
    it = Loader(sqlite_url(tmp_path), PEOPLE)
    assert it.sql("PRAGMA busy_timeout") == [(5000,)]
    it.store.close()


@contextmanager
def busy(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()
