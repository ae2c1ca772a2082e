"""Databases to read from in tests: a database on a MariaDB server, a PostgreSQL schema, a file.

A test module takes the fixtures by importing them: `from databases import origin`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, create_engine, make_url

from stores import mariadb_server, postgres_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A database that a test fills, and that crmmap reads by its `url`."""

    kind: str
    url: str
    engine: Engine

    def __call__(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement.replace(":", "\\:")))

    def fill(self, table: str, rows: list[dict[str, Any]]) -> None:
        names = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        with self.engine.begin() as connection:
            connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({values})"), rows)


def mariadb_origin() -> Iterator[Origin]:
    """Yield a database of its own, as lax as old CRMs are; drop it afterwards."""
    server, name = mariadb_server(), f"crmmap_test_{uuid4().hex}"
    admin = create_engine(server)
    with admin.begin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    url = server.set(database=name)
    lax = {"init_command": "SET sql_mode = '', time_zone = '+00:00'"}
    engine = create_engine(url, connect_args=lax)
    plain = url.set(drivername="mysql").render_as_string(hide_password=False)
    yield Origin(kind="mariadb", url=plain, engine=engine)
    engine.dispose()
    with admin.begin() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    admin.dispose()


def postgres_origin() -> Iterator[Origin]:
    for url in postgres_url():
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        yield Origin(kind="postgresql", url=url, engine=engine)
        engine.dispose()


def sqlite_origin(folder: Path) -> Iterator[Origin]:
    url = f"sqlite:///{folder / 'origin.db'}"
    engine = create_engine(url)
    yield Origin(kind="sqlite", url=url, engine=engine)
    engine.dispose()


ORIGINS = [
    "sqlite",
    pytest.param("mariadb", marks=pytest.mark.mariadb),
    pytest.param("postgresql", marks=pytest.mark.postgres),
]


@pytest.fixture(params=ORIGINS)
def origin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Origin]:
    """Give each test an empty database to read from, once of each kind."""
    if request.param == "sqlite":
        yield from sqlite_origin(tmp_path)
    else:
        yield from mariadb_origin() if request.param == "mariadb" else postgres_origin()


@pytest.fixture
def mariadb() -> Iterator[Origin]:
    """Give a MariaDB database. The test must have the mark `mariadb`."""
    yield from mariadb_origin()


@pytest.fixture
def postgres() -> Iterator[Origin]:
    """Give a PostgreSQL schema to read from. The test must have the mark `postgres`."""
    yield from postgres_origin()
