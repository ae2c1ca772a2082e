"""Fresh stores for the runs, and a look into them afterwards."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
MARIADB = "mysql://root@127.0.0.1:3306"
SCHEMA = f"crmmap_bench_{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A place to load into. `clear` makes it as if nothing had ever been loaded."""

    name: str
    url: str
    clear: Callable[[], None]
    ask: Callable[[str], Any]
    """Runs a query and returns the first value of its first row."""
    drop: Callable[[], None]
    """Leaves nothing behind."""


def sqlite_store(folder: Path) -> Database:
    file = folder / "bench.db"

    def clear() -> None:
        for each in folder.glob("bench*.db*"):  # what dlt leaves beside, too
            each.unlink()

    def ask(query: str) -> Any:
        with closing(sqlite3.connect(file)) as connection:
            return connection.execute(query).fetchone()[0]

    return Database(name="SQLite", url=f"sqlite:///{file}", clear=clear, ask=ask, drop=clear)


def postgres_store() -> Database | None:
    """Return a schema of the bench's own; None where no server listens."""
    server = os.environ.get("CRMMAP_BENCH_POSTGRES_URL", "")
    if not server:
        try:
            socket.create_connection(("127.0.0.1", 5432), timeout=1).close()
        except OSError:
            return None
    server = server or POSTGRES

    def execute(statement: str) -> Any:
        import psycopg

        with closing(psycopg.connect(server, autocommit=True)) as connection:
            connection.execute(f"SET search_path = {SCHEMA}")
            cursor = connection.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    def clear() -> None:
        execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")

    url = f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{SCHEMA}"
    return Database(
        name="PostgreSQL", url=url, clear=clear, ask=execute,
        drop=lambda: execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"),
    )  # fmt: skip


def mysql_connection(url: str, **options: Any) -> AbstractContextManager[Any]:
    """Open a MariaDB or MySQL database by its address."""
    import pymysql

    there = make_url(url)
    return closing(
        pymysql.connect(
            host=there.host or "", port=there.port or 3306, user=there.username,
            password=there.password or "", database=there.database,
            **{"charset": "utf8mb4", "autocommit": True} | options,
        )
    )  # fmt: skip


def mariadb_store(name: str = SCHEMA) -> Database | None:
    """Return a database of the bench's own; None where no server listens."""
    server = os.environ.get("CRMMAP_BENCH_MARIADB_URL", "") or MARIADB
    there = make_url(server)
    try:
        socket.create_connection((there.host or "", there.port or 3306), timeout=1).close()
    except OSError:
        return None

    def execute(*statements: str) -> Any:
        with mysql_connection(server) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    return Database(
        name="MariaDB", url=f"{server}/{name}",
        clear=lambda: execute(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}"),
        ask=lambda query: execute(f"USE {name}", query),
        drop=lambda: execute(f"DROP DATABASE IF EXISTS {name}"),
    )  # fmt: skip
