"""Fresh stores for tests: an SQLite file, a PostgreSQL schema, or a MariaDB database of its own.

A test module takes the fixtures by importing them: `from stores import store_url`.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
import sqlalchemy as sa
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import URL

from crmmap.kinds.types import (
    Boolean,
    Date,
    Datetime,
    Decimal,
    Duration,
    Integer,
    Json,
    Number,
    Text,
    Time,
    Url,
    Uuid,
)  # fmt: skip
from crmmap.load import Mark, Store, Tally, Transaction, Written
from crmmap.plan import Column, Target
from crmmap.values import AT, INDEX, PAGE, REJECT_SCHEMA, Counts

OWNER = f"{socket.gethostname()}:{os.getpid()}"

POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
HOW_POSTGRES = (
    "no PostgreSQL on 127.0.0.1:5432: start one, or name one in CRMMAP_TEST_POSTGRES_URL "
    "(its user must be allowed to create schemas)"
)
MARIADB = "mysql+pymysql://root@127.0.0.1:3306"
HOW_MARIADB = (
    "no MariaDB on 127.0.0.1:3306 (user root, no password): start one, or name one in "
    "CRMMAP_TEST_MARIADB_URL (its user must be allowed to create databases)"
)


def sqlite_url(folder: Path, **query: str) -> str:
    """Return the URL of a file that is not there yet."""
    return str(URL.create("sqlite", database=str(folder / "store.db"), query=query))


def server(name: str, default: str, how: str) -> URL:
    """Return a server's URL, or skip the test where there is none (fail where one is required)."""
    url = make_url(default)
    named = os.environ.get(f"CRMMAP_TEST_{name.upper()}_URL")
    if named:
        return make_url(named).set(drivername=url.drivername)
    try:
        socket.create_connection((url.host, url.port), timeout=1).close()
    except OSError:
        if name in os.environ.get("CRMMAP_TEST_REQUIRE", ""):
            pytest.fail(how)
        pytest.skip(how)
    return url


def postgres_server() -> URL:
    return server("postgres", POSTGRES, HOW_POSTGRES)


def mariadb_server() -> URL:
    return server("mariadb", MARIADB, HOW_MARIADB)


def postgres_url() -> Iterator[str]:
    """Yield the URL of an empty schema, and drop it afterwards."""
    found = postgres_server()
    schema = f"crmmap_test_{uuid4().hex}"
    admin = create_engine(found)
    with admin.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    # As in `conftest`: nothing here tests that the server outlives the loss of its machine.
    options = f"-csearch_path={schema} -csynchronous_commit=off"
    url = found.update_query_dict({"options": options})
    try:
        yield url.set(drivername="postgresql").render_as_string(hide_password=False)
    finally:
        with admin.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
        admin.dispose()


def mariadb_url() -> Iterator[str]:
    """Yield the URL of an empty database, and drop it afterwards."""
    found, name = mariadb_server(), f"crmmap_test_{uuid4().hex}"
    admin = create_engine(found, connect_args={"ssl_disabled": True})
    with admin.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
        )
    url = found.set(database=name)
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        with admin.begin() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
        admin.dispose()


STORES = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give each test a fresh store, once of each kind."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
    else:
        yield from postgres_url() if request.param == "postgresql" else mariadb_url()


@contextmanager
def empty_store(kind: str) -> Iterator[str]:
    """Give the URL of a fresh store, for tests that need several of them."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield sqlite_url(Path(folder))
    else:
        yield from postgres_url() if kind == "postgresql" else mariadb_url()


# --- a store with a run under way --------------------------------------------------------------


def frame(target: Target, rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Return rows as the transforms would give them."""
    schema = {column.name: column.type.dtype for column in target.columns}
    numbers = pl.Series(range(len(rows)), dtype=pl.UInt32)
    return pl.DataFrame(list(rows), schema=schema, orient="row").with_columns(
        pl.lit(1, dtype=pl.UInt32).alias(PAGE), numbers.alias(INDEX), numbers.alias(AT)
    )


def rejects_of(written: Written) -> pl.DataFrame:
    return pl.DataFrame(
        [(row[0], row[2], row[3], row[4], "{}") for row in written.refused.rows()],
        schema=REJECT_SCHEMA,
        orient="row",
    )


def columns(**types: Any) -> tuple[Column, ...]:
    """Return columns by name and type."""
    return tuple(Column(name=name, type=kind) for name, kind in types.items())


PEOPLE = Target(
    table="people",
    key=("id",),
    columns=columns(id=Text(), name=Text(length=20), count=Integer()),
)
KINDS = Target(
    table="kinds",
    key=("id",),
    columns=columns(
        id=Integer(), text=Text(), whole=Integer(), approximate=Number(),
        exact=Decimal(precision=20, scale=4), flag=Boolean(), day=Date(), moment=Datetime(),
        document=Json(), clock=Time(), length=Duration(unit="minutes"), link=Url(), guid=Uuid(),
    ),
)  # fmt: skip


WRITTEN = {
    "sqlite": {"id": "TEXT", "short": "TEXT", "run": "TEXT", "whole": "INTEGER",
               "moment": "TEXT", "strict": "STRICT", "text": "TEXT"},
    "postgresql": {"id": "TEXT", "short": "VARCHAR(20)", "run": "TEXT", "whole": "BIGINT",
                   "moment": "TIMESTAMP WITH TIME ZONE", "strict": "", "text": "TEXT"},
    "mysql": {"id": "VARCHAR(512)", "short": "VARCHAR(20)", "run": "VARCHAR(64)",
              "whole": "BIGINT", "moment": "DATETIME(6)", "strict": "", "text": "CHAR"},
}  # fmt: skip
"""How the columns of `PEOPLE`, and what we add, are declared; and what CAST calls a text."""


LONG = Random(1).randbytes(5000).hex()
"""A text that no index of a server takes, however it is compressed."""


class Stop(Exception):
    """Raised by a test's work."""


class Loader:
    """An open store with a run under way, as the loop would use it."""

    def __init__(self, url: str, *targets: Target, run_id: str = "run1") -> None:
        self.store = Store.open(url, application="crmmap:test", pause=lambda _: None)
        self.store.prepare(targets)
        self.run_id = run_id
        self.begin(run_id)

    def begin(self, run_id: str, owner: str = OWNER) -> None:
        self.run_id = run_id
        self.store.begin_run(mapping="m", run_id=run_id, owner=owner)
        self.mark = self.stream()

    def stream(self, **changed: Any) -> Mark:
        given = {"mapping": "m", "run_id": self.run_id, "stream": "s", "fingerprint": "f"}
        return self.store.begin_stream(**{**given, **changed})

    def next_run(self, run_id: str) -> None:
        self.store.end_run(self.run_id, status="done")
        self.begin(run_id)

    def upsert(self, target: Target, rows: Sequence[tuple[Any, ...]], **tally: Any) -> Written:
        kept: list[Written] = []

        def work(transaction: Transaction) -> Tally:
            written = transaction.write(target, frame(target, rows))
            kept.append(written)
            bad = rejects_of(written)
            counts = replace(written.counts, fetched=len(rows), rejected=len(bad))
            return Tally(counts=counts, rejects=bad, pages=1, **tally)

        self.mark, _ = self.store.commit(self.mark, work)
        return kept[-1]

    def work(self, work: Callable[[Transaction], Any], **tally: Any) -> Any:
        kept = []

        def whole(transaction: Transaction) -> Tally:
            kept.append(work(transaction))
            return Tally(counts=Counts(), **tally)

        self.mark, _ = self.store.commit(self.mark, whole)
        return kept[-1]

    @property
    def kind(self) -> str:
        """`sqlite`, `postgresql` or `mysql`."""
        return self.store.engine.dialect.name

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, its names quoted by "; a type in it may stand as `{whole}`."""
        for word, written in WRITTEN[self.kind].items():
            statement = statement.replace(f"{{{word}}}", written)
        if self.kind == "mysql":
            statement = statement.replace('"', "`")
        with self.store.engine.begin() as connection:
            result = connection.execute(sa.text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []


def expire(it: Loader) -> None:
    """Let the locks of all runs be past their time."""
    past = it.store.dialect.bind_time(datetime(2020, 1, 1, tzinfo=UTC))
    it.sql(f"UPDATE crmmap_locks SET expires_at = '{past}'")


@pytest.fixture
def load(store_url: str) -> Iterator[Callable[..., Loader]]:
    opened: list[Loader] = []

    def make(*targets: Target, run_id: str = "run1") -> Loader:
        opened.append(Loader(store_url, *targets, run_id=run_id))
        return opened[-1]

    yield make
    for each in opened:
        each.store.close()
