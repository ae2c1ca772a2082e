"""SQLite: a file, one writer at a time, and true transactions only where they are asked for."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Column, Engine, Table, create_engine, event
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.engine import URL, Connection, Inspector
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from crmmap.errors import StoreError, StoreUnfit, StoreUnreachable
from crmmap.load.dialects import (
    REFERRED_TO,
    Fault,
    Insert,
    Refusal,
    check_options,
    spelled_by,
    standard_on_conflict,
    standard_update_from,
)
from crmmap.load.storage import flat_cells, to_driver
from crmmap.plan import Column as Typed

OLDEST = (3, 37)
"""The first SQLite with STRICT tables; without them a column keeps anything."""

PRAGMAS = (
    "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF",
    "cell_size_check=ON", "temp_store=MEMORY",
)  # fmt: skip
BUSY_TIMEOUT = 5.0
"""Seconds; with the attempts of the store, and its pauses between them, about 30 in all."""
PARAMETERS = 1000
"""Of one INSERT: rows one by one take a quarter longer, and more at once are no faster."""
STATEMENTS = 16
"""Whose parameters are made at once: so few stay in the processor's cache, and take no memory."""
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"

KINDS = {
    "SQLITE_CONSTRAINT_NOTNULL": "not_null",
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign_key",
    "SQLITE_CONSTRAINT_CHECK": "check",
    "SQLITE_CONSTRAINT_DATATYPE": "type",
    "SQLITE_CONSTRAINT_TRIGGER": "trigger",
    "SQLITE_MISMATCH": "type",
    "SQLITE_TOOBIG": "length",
}
EXPLAINED = {
    "SQLITE_CONSTRAINT_FOREIGNKEY": REFERRED_TO,
    "SQLITE_BUSY": "another process has been writing to the file for too long; let it finish, "
    "or end it, and run again",
    "SQLITE_FULL": "the disk is full; make room and run again: what was committed stays",
    "SQLITE_READONLY": "the file or its folder is read-only",
    "SQLITE_CANTOPEN": "the file can't be opened; its folder must exist and be writable",
    "SQLITE_CORRUPT": "the file is damaged; restore it from a backup",
    "SQLITE_NOTADB": "the file is not an SQLite database; name another file",
    "SQLITE_IOERR": "the file can't be read or written; look at the disk",
}


@dataclass(frozen=True, slots=True)
class Sqlite:
    """See `crmmap.load.dialects.Dialect`. Times are ISO 8601 text in UTC, to the microsecond."""

    now: str = "SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'"
    placeholder: str = "?"
    row_list: str = "(VALUES {})"
    merges: bool = True
    single_writer: bool = True

    def connect(self, url: URL, application: str) -> Engine:
        """See the protocol. The file is made with mode 0600 where there is none."""
        if sqlite3.sqlite_version_info < OLDEST:
            message = f"SQLite {sqlite3.sqlite_version} is too old; crmmap needs 3.37 or newer"
            raise StoreUnfit(message)
        _make_file(_file(url))
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={} if "timeout" in url.query else {"timeout": BUSY_TIMEOUT},
        )
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        return engine

    def name(self, url: URL) -> str:
        return f"sqlite:{url.database}"

    def serialize(self, connection: Connection) -> None:
        """Do nothing: BEGIN IMMEDIATE holds the whole file already."""

    def bind_time(self, moment: datetime) -> object:
        return moment.astimezone(UTC).strftime(TIME)

    def read_time(self, value: Any) -> datetime:
        return datetime.strptime(value, TIME).replace(tzinfo=UTC)

    def on_conflict(self, key: Sequence[str], changed: Sequence[str]) -> str:
        return standard_on_conflict(key, changed)

    def update_from(
        self, table: str, other: str, same: str, given: Mapping[str, str], where: str
    ) -> str:
        return standard_update_from(table, other, same, given, where)

    def pour(
        self, connection: Connection, insert: Insert, columns: Sequence[Typed], rows: pl.DataFrame
    ) -> int:
        at_once = max(1, PARAMETERS // len(columns))
        step = at_once * len(columns)
        written = 0
        given = rows.select(to_driver(columns, connection.dialect))
        for some in given.iter_slices(at_once * STATEMENTS):
            cells = flat_cells(some)
            end = len(cells) - len(cells) % step
            parts = [tuple(cells[start : start + step]) for start in range(0, end, step)]
            if parts:
                written += connection.exec_driver_sql(insert.text(at_once), parts).rowcount
            if end < len(cells):
                last = insert.text(len(some) % at_once)
                written += connection.exec_driver_sql(last, tuple(cells[end:])).rowcount
        return written

    def unbounded(self, text: str) -> str:
        return text

    def temporary(self, name: str, query: str) -> Sequence[str]:
        return (f"CREATE TEMPORARY TABLE {name} AS {query}",)

    def drop_temporary(self, name: str) -> str:
        return f"DROP TABLE temp.{name}"

    def fault(self, error: DBAPIError) -> Fault:
        return (
            Fault.AGAIN
            if _code(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            else (Fault.FINAL)
        )

    def refusal(self, error: DBAPIError) -> Refusal | None:
        kind = KINDS.get(_code(error))
        if kind is None:
            return None
        if kind == "check":
            return Refusal(kind=kind, constraint=_after(error, r"constraint failed: (\w+)$"))
        if kind == "trigger":  # its message is the trigger's own, and may hold anything
            return Refusal(kind=kind)
        return Refusal(kind=kind, column=_after(error, r"\w\.(\w+)$"))

    def explain(self, error: DBAPIError) -> str:
        code = _code(error)
        for start, meaning in EXPLAINED.items():
            if code.startswith(start):
                return f"{meaning} ({code})"
        if re.match(r"no such (table|column)|table .* has no column", str(error.orig)):
            return "a table or a column was dropped meanwhile; run again to have it made anew"
        return f"SQLite refuses ({code or type(error.orig).__name__})"

    def failure(self, error: DBAPIError) -> type[StoreError]:
        code = _code(error)
        if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            return StoreUnreachable
        return StoreUnfit if code in ("SQLITE_NOTADB", "SQLITE_ERROR") else StoreError

    def folded(self, name: str) -> str:
        return name.encode().lower().decode()  # like SQLite, which folds ASCII only

    def folded_table(self, name: str, connection: Connection) -> str:
        return self.folded(name)

    def spelled(self, kind: TypeEngine[Any]) -> str:
        return spelled_by(sqlite_dialect(), kind)

    def alter_type(self, column: Column[Any]) -> str | None:
        return None

    def drop_not_null(self, column: Column[Any]) -> str | None:
        return None

    def table_options(self, compiler: Compiler) -> str:
        return ""

    def comments(self, table: Table) -> list[str]:
        return []

    def unsafe(self, inspector: Inspector, table: Table) -> list[tuple[str, str]]:
        return []


def _file(url: URL) -> str:
    if url.host or url.username or not url.database or url.database == ":memory:":
        message = (
            "the store's URL names no file; it is written sqlite:///FILE, "
            "with a fourth slash before an absolute path"
        )
        raise StoreUnfit(message)
    check_options(url, ("timeout",))
    if not re.fullmatch(r"\d+(\.\d+)?", str(url.query.get("timeout", "0"))):
        message = "the store's URL: timeout is a number of seconds, such as timeout=10"
        raise StoreUnfit(message)
    return url.database


def _make_file(database: str) -> None:
    path = Path(database)
    if not path.parent.is_dir():
        message = f"sqlite:{database}: the folder '{path.parent}' does not exist; make it first"
        raise StoreUnreachable(message)
    if path.exists() and not path.is_file():
        message = f"sqlite:{database}: is a folder or a device; name a file"
        raise StoreUnfit(message)
    try:  # before SQLite makes it: its log and index files take this one's mode
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        message = f"sqlite:{database}: can't be opened for writing ({error.strerror})"
        raise StoreUnreachable(message) from None


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    # The driver's own transactions are no transactions: a released savepoint
    # and DDL would survive the outer rollback.
    connection.isolation_level = None
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        # The change itself does not wait for a writer, as all else does: it fails at once.
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _code(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlite_errorname", None) or ""


def _after(error: DBAPIError, pattern: str) -> str | None:
    # SQLite tells names in its message only. For constraints it holds no value.
    found = re.search(pattern, str(error.orig))
    return found[1] if found else None
