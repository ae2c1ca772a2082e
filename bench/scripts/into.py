"""The scripts' way into a database: its bulk path, and an upsert that writes every row."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any

Rows = Iterable[Sequence[object]]


def connected(url: str) -> AbstractContextManager[Any]:
    """Open a database as safely as crmmap does, or the comparison would be of settings."""
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return closing(connection)
    import psycopg

    return closing(psycopg.connect(url))


def upsert(url: str, table: str, columns: Sequence[str], batches: Iterable[Rows | bytes]) -> None:
    """Upsert batches of rows by the first column. PostgreSQL takes CSV for a batch, too.

    Without a `url` they are made, and that is all.
    """
    if not url:
        deque(batches, maxlen=0)
        return
    with connected(url) as connection:
        key, *others = columns
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} "
            f"({key} TEXT PRIMARY KEY, {', '.join(f'{name} TEXT' for name in others)})"
        )
        into = _sqlite if isinstance(connection, sqlite3.Connection) else _postgres
        into(connection, table, columns, batches)


def _merge(columns: Sequence[str]) -> str:
    key, *others = columns
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"ON CONFLICT ({key}) DO UPDATE SET {changes}"


def _sqlite(connection: Any, table: str, columns: Sequence[str], batches: Iterable[Any]) -> None:
    """`executemany`, a commit per batch."""
    places = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} VALUES ({places}) {_merge(columns)}"
    for batch in batches:
        connection.executemany(statement, batch)
        connection.commit()


def _postgres(connection: Any, table: str, columns: Sequence[str], batches: Iterable[Any]) -> None:
    """One COPY: into an empty table, else into one beside it, which is merged."""
    cursor = connection.cursor()
    fresh = cursor.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None
    if not fresh:
        cursor.execute(f"CREATE TEMPORARY TABLE staged (LIKE {table}) ON COMMIT DROP")
    batches = iter(batches)
    batch = next(batches, ())
    form = "csv" if isinstance(batch, bytes) else "text"
    with cursor.copy(f"COPY {table if fresh else 'staged'} FROM STDIN (FORMAT {form})") as copy:
        while batch is not None:
            if isinstance(batch, bytes):
                copy.write(batch)
            else:
                for row in batch:
                    copy.write_row(row)
            batch = next(batches, None)
    if not fresh:
        cursor.execute(f"INSERT INTO {table} SELECT * FROM staged {_merge(columns)}")
    connection.commit()
