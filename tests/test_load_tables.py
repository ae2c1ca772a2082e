"""Tables made, compared, and refused; stores opened, and refused."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import sqlite3
import stat
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal as Exact
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from crmmap.errors import StoreError, StoreUnreachable
from crmmap.kinds.types import Decimal, Number, Text
from crmmap.load import Store
from crmmap.plan import Column, Target
from crmmap.values import Counts
from stores import KINDS, PEOPLE, Loader, columns, load, sqlite_url, store_url  # noqa: F401  (fixtures)

# --- tables ------------------------------------------------------------------------------------


def test_what_plan_shows_is_what_prepare_runs(load: Callable[..., Loader]) -> None:
    it = load()
    target = replace(PEOPLE, comment="100% people", indexed=("name",))
    shown = it.store.ddl([target])
    assert "CREATE TABLE people" in shown
    assert "CREATE INDEX" in shown
    it.store.prepare([target])
    assert it.store.ddl([target]) == ""


def test_a_new_column_is_added(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1)])
    wider = replace(PEOPLE, columns=(*PEOPLE.columns, *columns(more=Decimal())), indexed=("more",))
    it.store.prepare([wider])
    it.next_run("run2")
    assert it.upsert(wider, [("a", "n", 1, Exact("1.50"))]).counts.updated == 1
    assert [str(row[0]) for row in it.sql("SELECT more FROM people")] == ["1.50"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (replace(PEOPLE, key=("id", "name")), r"primary key \(id\).*key is \(id, name\)"),
        (
            replace(PEOPLE, columns=columns(id=Text(), name=Text(length=20), count=Number())),
            "column 'count': has another type",
        ),
    ],
)
def test_a_table_that_differs_is_refused_with_what_to_do(
    load: Callable[..., Loader], wanted: Target, message: str
) -> None:
    it = load(PEOPLE)
    with pytest.raises(StoreError, match=message) as caught:
        it.store.prepare([wanted])
    assert "ALTER TABLE" in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(load: Callable[..., Loader]) -> None:
    it = load()
    it.sql("CREATE TABLE people (id TEXT NOT NULL PRIMARY KEY, extra INTEGER NOT NULL)")
    it.sql("CREATE VIEW seen AS SELECT id FROM people")
    with pytest.raises(StoreError) as caught:
        it.store.prepare([PEOPLE, replace(PEOPLE, table="seen")])
    assert "column 'extra' that takes no null" in str(caught.value)
    assert "'seen' is a view" in str(caught.value)


def test_every_kind_of_column_compares_equal_to_itself(load: Callable[..., Loader]) -> None:
    it = load(KINDS)
    it.store.prepare([KINDS])


def test_a_ledger_of_a_newer_crmmap_is_refused(load: Callable[..., Loader]) -> None:
    it = load()
    it.sql("UPDATE crmmap_schema_version SET version = 99")
    with pytest.raises(StoreError, match=r"version 99.*upgrade crmmap"):
        it.store.prepare([])


@pytest.mark.parametrize(
    "name", ['a"b', "a`b'c", "100%s", "a:b", "a;b -- c", "ü é", "select", "[x]"]
)
def test_hostile_names_are_only_names(load: Callable[..., Loader], name: str) -> None:
    target = Target(
        table=f"t {name}",
        key=(name,),
        columns=(
            Column(name=name, type=Text(), comment=f"'{name}%"), *columns(other=Text(), last=Text())
        ),
        indexed=("other",),
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
        table="t" * 63, key=("id",), columns=columns(id=Text(), **names), indexed=tuple(names)
    )
    it = load(target)
    assert len(sa.inspect(it.store.engine).get_indexes(target.table)) == 2


# --- opening -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense with s3cret", "malformed"),
        ("oracle://user:s3cret@host/db", "does not load into"),
        ("sqlite://", "names no file"),
        ("sqlite:////nowhere/at/all/x.db", "does not exist"),
        ("postgresql://user:s3cret@127.0.0.1:1/db", "refuses the connection"),
        ("postgresql://user:s3cret@127.0.0.1:notaport/db", "malformed"),
    ],
)
def test_a_url_that_will_not_do_is_not_echoed(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        Store.open(url, application="crmmap:test")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_store_that_cant_be_reached_has_its_own_exit_code() -> None:
    with pytest.raises(StoreUnreachable):
        Store.open("postgresql://user:x@127.0.0.1:1/db", application="crmmap:test")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("not a database at all, but text " * 40)
    with pytest.raises(StoreError, match="not an SQLite database"):
        Store.open(sqlite_url(tmp_path), application="crmmap:test")


def test_the_name_is_without_credentials(store_url: str) -> None:
    store = Store.open(store_url, application="crmmap:test")
    assert store.name.startswith(("sqlite:/", "postgresql://"))
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


@contextmanager
def busy(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()
