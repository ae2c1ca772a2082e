"""The limits' way into a database: one statement, executemany, a commit per batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any

Rows = Sequence[Sequence[str | None]]


def connected(url: str) -> AbstractContextManager[Any]:
    """Open a database as safely as crmmap does, or the comparison would be of settings."""
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return closing(connection)
    import psycopg

    return closing(psycopg.connect(url))


def upsert_into(connection: Any, table: str, columns: Sequence[str]) -> Callable[[Rows], None]:
    """Make the table, keyed by its first column; return the function that writes rows into it."""
    mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    key, *others = columns
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table} "
        f"({key} TEXT PRIMARY KEY, {', '.join(f'{name} TEXT' for name in others)})"
    )
    statement = (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))}) "
        f"ON CONFLICT ({key}) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in others)
    )

    def write(rows: Rows) -> None:
        connection.cursor().executemany(statement, rows)
        connection.commit()

    return write
