"""SQLite files as sources."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from crmmap.errors import SourceUnreachable
from crmmap.extract.database_dialects import Diagnosis, Family, Trouble
from crmmap.kinds.database import Sql

BUSY = "SQLITE_BUSY", "SQLITE_LOCKED"
UNREACHABLE = {
    "SQLITE_CANTOPEN": "the file can't be opened. Does it exist, and may it be read?",
    "SQLITE_NOTADB": "the file is no SQLite database",
    "SQLITE_PERM": "the file may not be read",
    "SQLITE_AUTH": "the file may not be read",
}
FINAL = {
    "SQLITE_READONLY": "the query would write, and a source is only read",
    "SQLITE_CORRUPT": "the file is damaged",
    "SQLITE_INTERRUPT": "the statement was ended",
    "SQLITE_IOERR": "the file can't be read",
}


@dataclass(frozen=True, slots=True)
class Sqlite:
    """See `crmmap.extract.database_dialects.Dialect`. Its columns hold anything."""

    nulls_first: bool = False

    def connect(self, url: URL, source: Sql) -> Engine:
        """See the protocol."""
        if not url.database or url.database == ":memory:" or url.query:
            message = "the database's URL names no file. Write sqlite:///FILE, without options"
            raise SourceUnreachable(message)
        address = f"{Path(url.database).absolute().as_uri()}?mode=ro"

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                address, uri=True, check_same_thread=False, timeout=source.timeout.connect
            )
            connection.text_factory = _text
            return connection

        engine = create_engine(
            "sqlite+pysqlite://", creator=connect, poolclass=QueuePool, hide_parameters=True,
            pool_size=source.connections, max_overflow=0, pool_timeout=source.timeout.statement,
        )  # fmt: skip
        event.listen(engine, "connect", _begin)
        return engine

    def name(self, url: URL) -> str:
        return f"sqlite:///{url.database}"

    def family(self, code: Any) -> Family:
        return "loose"

    def exactly(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        return sa.collate(column, "BINARY")

    def not_before(
        self, column: ColumnElement[Any], family: Family, text: str
    ) -> ColumnElement[bool]:
        # However the column writes its times; what it can't read as one may be new.
        moment = sa.func.datetime(column)
        return sa.or_(moment.is_(None), moment >= sa.func.datetime(text))

    def filled(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        return column

    def diagnosis(self, error: DBAPIError) -> Diagnosis:
        code = getattr(error.orig, "sqlite_errorname", "") or ""
        told = f" ({code})" if code else ""
        if code.startswith(BUSY):
            return Diagnosis(trouble=Trouble.AGAIN, message=f"others keep the file locked{told}")
        for trouble, known in ((Trouble.UNREACHABLE, UNREACHABLE), (Trouble.FINAL, FINAL)):
            for start, meaning in known.items():
                if code.startswith(start):
                    return Diagnosis(trouble=trouble, message=meaning + told)
        message = f"the database does not understand the query's SQL, or lacks a name in it{told}"
        return Diagnosis(trouble=Trouble.FINAL, message=message)

    def cut(self, engine: Engine, connection: Any) -> None:
        with suppress(Exception):
            connection.interrupt()


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _begin(connection: Any, _record: Any) -> None:
    for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON"):
        connection.execute(f"PRAGMA {pragma}")


DIALECT = Sqlite()
