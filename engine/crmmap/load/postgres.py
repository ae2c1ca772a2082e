"""PostgreSQL, through psycopg 3."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import polars as pl
from sqlalchemy import Column, Engine, Table, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from sqlalchemy.engine import URL, Connection, Inspector
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.schema import SetColumnComment, SetTableComment
from sqlalchemy.types import TypeEngine

from crmmap.errors import StoreError, StoreUnfit, StoreUnreachable
from crmmap.load.dialects import (
    LONGEST_STATEMENT,
    LOOPBACK,
    REFERRED_TO,
    TIMED_OUT,
    WRITTEN,
    Fault,
    Insert,
    Refusal,
    check_options,
    seconds,
    single,
    spelled_by,
    standard_on_conflict,
    standard_update_from,
)
from crmmap.plan import Column as Typed

SETTINGS = {
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    # A batch finds its rows by their index. The default, of spinning disks, has it read a table
    # of a million rows whole for each batch of 5,000.
    "random_page_cost": "1.1",
}

STATEMENTS = "statement_timeout"
"""An option of ours, too: of libpq's, only `options` can say it."""

KINDS = {
    "23502": "not_null",
    "23505": "unique",
    "23503": "foreign_key",
    "23514": "check",
    "23P01": "exclusion",
    "22001": "length",
    "22003": "range",
    "22008": "range",
    "54000": "size",
    "P0001": "trigger",
}
AGAIN = ("40001", "40P01", "55P03")
"""Serialization failure, deadlock, lock timeout."""

UNFIT = ("3F", "42", "25006", "54")
"""Of a statement before anything was written: no schema, no privilege, read-only, too wide."""

COPIED = "crmmap_copied"
"""The execution option that holds the frame for a COPY."""
PART = 2500
"""Rows."""
MOMENT = "%Y-%m-%d %H:%M:%S%.6f+00"

EXPLAINED = {
    "23503": REFERRED_TO,
    "40": "transactions of others kept getting in the way; run again",
    "55P03": "a row or table was locked by others for too long; run again",
    "57014": TIMED_OUT,
    "53100": "the server's disk is full; make room and run again: what was committed stays",
    "53300": "the server has no connection left; end others, or raise max_connections",
    "25006": "the server is read-only; name its primary",
    "42501": "the user lacks a privilege; grant CREATE and USAGE on the schema, SELECT, INSERT, "
    "UPDATE and DELETE on its tables, and TEMPORARY on the database",
    "42P01": "a table was dropped meanwhile; run again to have it made anew",
    "42703": "a column was dropped meanwhile; run again to have it made anew",
    "28": "the server refuses the user or the password",
    "3D000": "the server has no such database; create it first",
    "3F000": "the database has no such schema; create it first",
}
UNUSABLE = (
    r"invalid (port number|integer value)|invalid \w+ value|bad value for|definition of service"
)
"""How libpq and psycopg call a port or an option that no server was asked about."""
CONNECTING = {
    UNUSABLE: "the port or an option in the store's URL has a value that can't be used",
    r"password|authentication|role .* does not exist|pg_hba": EXPLAINED["28"],
    r"database .* does not exist": EXPLAINED["3D000"],
    r"translate host name|resolve|Name or service": "the host's name is not known",
    r"refused": "the host refuses the connection; is the server running, and is the port right?",
    r"timeout|timed out": "the host does not answer",
    r"SSL|certificate|root\.crt": "no trusted TLS connection; the server must offer a certificate "
    "that this machine trusts, or the URL must say ?sslmode=… otherwise",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """See `crmmap.load.dialects.Dialect`. Times are `timestamp with time zone`."""

    now: str = "SELECT clock_timestamp()"
    placeholder: str = "%s"
    row_list: str = "({})"
    merges: bool = False
    single_writer: bool = False

    def connect(self, url: URL, application: str) -> Engine:
        """See the protocol. Away from loopback, TLS with a trusted certificate is the default."""
        try:
            _check(url)
            engine = create_engine(
                url.set(query={}),
                hide_parameters=True,
                pool_pre_ping=True,
                pool_timeout=30,
                connect_args=_connection(url, application),
            )
        except ImportError:
            message = "PostgreSQL needs psycopg: pip install 'crmmap[postgres]'"
            raise StoreUnfit(message) from None
        event.listen(engine, "do_execute", _feed)
        return engine

    def name(self, url: URL) -> str:
        host = url.host or single(url.query.get("host")) or "localhost"
        return f"postgresql://{host}:{url.port or 5432}/{url.database or ''}"

    def serialize(self, connection: Connection) -> None:
        # The number is arbitrary, and must only be the same in every run. Of runs that make their
        # tables in different schemas, none waits for another.
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock("
            "hashtextextended(coalesce(current_schema(), ''), 7238190551304213104))"
        )

    def bind_time(self, moment: datetime) -> object:
        return moment

    def read_time(self, value: Any) -> datetime:
        moment: datetime = value.astimezone(UTC)
        return moment

    def on_conflict(self, key: Sequence[str], changed: Sequence[str]) -> str:
        return standard_on_conflict(key, changed)

    def update_from(
        self, table: str, other: str, same: str, given: Mapping[str, str], where: str
    ) -> str:
        return standard_update_from(table, other, same, given, where)

    def pour(
        self, connection: Connection, insert: Insert, columns: Sequence[Typed], rows: pl.DataFrame
    ) -> int:
        """See the protocol. By COPY, which heeds triggers of the table, but no rules."""
        statement = f"COPY {insert.table} ({', '.join(insert.names)}) FROM STDIN (FORMAT csv)"
        cells = rows.select(map(_cell, columns))
        return connection.exec_driver_sql(statement, execution_options={COPIED: cells}).rowcount

    def unbounded(self, text: str) -> str:
        return f"CAST({text} AS TEXT)"

    def temporary(self, name: str, query: str) -> Sequence[str]:
        return (f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS {query}",)

    def drop_temporary(self, name: str) -> str:
        return f"DROP TABLE pg_temp.{name}"

    def fault(self, error: DBAPIError) -> Fault:
        silent = isinstance(error, OperationalError) and not _state(error)
        if silent or error.connection_invalidated or _state(error).startswith(("08", "57P")):
            return Fault.LOST
        return Fault.AGAIN if _state(error) in AGAIN else Fault.FINAL

    def refusal(self, error: DBAPIError) -> Refusal | None:
        state = _state(error)
        if not state:  # psycopg itself may refuse a value (NUL in a text): no server, no code
            is_data = type(error.orig).__name__ == "DataError"
            return Refusal(kind="type") if is_data else None
        if state not in KINDS and not state.startswith("22"):
            return None
        diagnosis: Any = getattr(error.orig, "diag", None)
        return Refusal(
            kind=KINDS.get(state, "type"),
            column=getattr(diagnosis, "column_name", None),
            constraint=getattr(diagnosis, "constraint_name", None),
        )

    def explain(self, error: DBAPIError) -> str:
        state = _state(error)
        for start, meaning in EXPLAINED.items():
            if state.startswith(start):
                return f"{meaning} (SQLSTATE {state})"
        if state:
            return f"PostgreSQL refuses (SQLSTATE {state})"
        for pattern, meaning in CONNECTING.items():
            if re.search(pattern, str(error.orig)):
                return meaning
        return "the connection can't be made, or was lost"

    def failure(self, error: DBAPIError) -> type[StoreError]:
        state = _state(error)
        if not state:
            unusable = re.search(UNUSABLE, str(error.orig)) or isinstance(error, ProgrammingError)
            return StoreUnfit if unusable else StoreUnreachable
        if state.startswith(("08", "28", "3D", "57P", "53300")):
            return StoreUnreachable
        return StoreUnfit if state.startswith(UNFIT) else StoreError

    def folded(self, name: str) -> str:
        return name  # we quote every name, and PostgreSQL keeps quoted ones as they are

    def folded_table(self, name: str, connection: Connection) -> str:
        return self.folded(name)

    def spelled(self, kind: TypeEngine[Any]) -> str:
        text = spelled_by(_compiler(), kind)
        return "DOUBLE PRECISION" if text == "FLOAT" else text.replace("DECIMAL", "NUMERIC")

    def alter_type(self, column: Column[Any]) -> str | None:
        kind, name = column.type.compile(_compiler()), _quoted(column.name)
        # Without USING, PostgreSQL changes only types that it casts by itself: not from text.
        return f"ALTER TABLE {_table(column)} ALTER COLUMN {name} TYPE {kind} USING {name}::{kind}"

    def drop_not_null(self, column: Column[Any]) -> str | None:
        return f"ALTER TABLE {_table(column)} ALTER COLUMN {_quoted(column.name)} DROP NOT NULL"

    def table_options(self, compiler: Compiler) -> str:
        return ""

    def comments(self, table: Table) -> list[str]:
        dialect = _compiler()
        made = [str(SetTableComment(table).compile(dialect=dialect))] if table.comment else []
        return made + [
            str(SetColumnComment(column).compile(dialect=dialect))
            for column in table.columns
            if column.comment
        ]

    def unsafe(self, inspector: Inspector, table: Table) -> list[tuple[str, str]]:
        return []


def _feed(cursor: Any, statement: str, _: object, context: Any) -> bool:
    """Feed a COPY with its frame, where one is to be executed.

    As an event of SQLAlchemy's, so that what fails in it is told like any other failure.
    """
    cells: pl.DataFrame | None = context.execution_options.get(COPIED)
    if cells is None:
        return False
    # Without parameters, psycopg leaves the doubled % of a quoted name as it is.
    with cursor.copy(statement.replace("%%", "%")) as copy:
        # In parts: the server takes one in while the next is written.
        for part in cells.iter_slices(PART):
            copy.write(_csv(part))
    return True


def _cell(column: Typed) -> pl.Expr:
    cell = pl.col(column.name)
    # Here, and not by the writer of CSV, a moment that all rows share is written only once.
    return cell.dt.to_string(MOMENT) if column.type.dtype == pl.Datetime else cell


def _csv(cells: pl.DataFrame) -> bytes:
    # Texts are quoted, so that an empty one is no null, and a lone \\. not the end of the data.
    # Floating-point numbers are written so that they are read back to the last bit.
    text = BytesIO()
    cells.write_csv(text, include_header=False, quote_style="non_numeric")
    return text.getvalue()


def _check(url: URL) -> None:
    """Raise StoreUnfit for a URL that leaves the choice of the database to libpq."""
    from psycopg.pq import Conninfo

    known = {each.keyword.decode() for each in Conninfo.get_defaults()}
    check_options(url, known | {STATEMENTS})
    if not url.database and not {"dbname", "service"} & set(url.query):
        message = f"the store's URL names no database. {WRITTEN}"
        raise StoreUnfit(message)


def _connection(url: URL, application: str) -> dict[str, str | int]:
    """Return libpq's parameters. The user's own come last, and win."""
    asked = {name: single(value) for name, value in url.query.items()}
    settings = {**SETTINGS, STATEMENTS: f"{seconds(asked, STATEMENTS, LONGEST_STATEMENT)}s"}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    asked.pop(STATEMENTS, None)
    local = (url.host or asked.get("host", "")) in LOOPBACK or asked.get("host", "")[:1] == "/"
    secured = {} if local else {"sslmode": "verify-full", "sslrootcert": "system"}
    if "sslmode" in asked:  # a weaker mode does not go with the system's certificates
        secured = {}
    return {
        "application_name": application,
        "connect_timeout": 10,
        **secured,
        **asked,
        "options": f"{options} {asked.get('options', '')}".strip(),
    }


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _compiler() -> Compiler:
    compiler: Compiler = psycopg_dialect()  # type: ignore[no-untyped-call]
    return compiler


def _quoted(name: str) -> str:
    return _compiler().identifier_preparer.quote_identifier(name)


def _table(column: Column[Any]) -> str:
    return _quoted(column.table.name)
