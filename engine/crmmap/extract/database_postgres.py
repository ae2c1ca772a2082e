"""PostgreSQL as a source, through psycopg 3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from crmmap.errors import SourceUnreachable
from crmmap.extract.database_dialects import Diagnosis, Family, Trouble, single
from crmmap.kinds.database import Sql

LOOPBACK = ("", "localhost", "127.0.0.1", "::1")
SESSION = (
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO'",
    "SET IntervalStyle = 'postgres'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
)
AS_WRITTEN = (
    "date", "time", "timetz", "timestamp", "timestamptz", "interval", "float4", "float8", "json",
    "jsonb",
)  # fmt: skip
"""Taken as the server writes them: their digits stay, and so does what Python has no value for."""

FAMILIES: Mapping[int, Family] = {
    **dict.fromkeys((20, 21, 23, 26, 700, 701, 1700), "number"),
    **dict.fromkeys((18, 19, 25, 1042, 1043), "text"),
    1184: "moment", 1114: "local", 1082: "day",
}  # fmt: skip

UNREACHABLE = {
    "28": "the server refuses the user or the password",
    "3D000": "the server has no such database",
}
AGAIN = {
    "08": "the connection was lost",
    "53300": "the server has no connection left; allow fewer: `connections`",
    "40": "transactions of others kept getting in the way",
    "55P03": "a lock was held by others for too long",
    "57P": "the server is shutting down, or ended the connection",
}
FINAL = {
    "25006": "the query would write, and a source is only read",
    "42501": "the user may not read it; grant SELECT on the table, and USAGE on its schema",
    "42601": "the server does not understand the query's SQL",
    "42702": "the query names a column that several tables have",
    "42703": "the query names a column that is not there",
    "42P01": "the query names a table that is not there",
    "42804": "the query compares values of different types",
    "42883": "the query compares values of different types, or calls what is not there",
    "57014": "a statement took longer than its timeout, or was ended",
}
CONNECTING = {
    r"password|authentication|role .* does not exist|pg_hba": UNREACHABLE["28"],
    r"database .* does not exist": UNREACHABLE["3D000"],
    r"translate host name|resolve|Name or service": "the host's name is not known",
    r"refused": "the host refuses the connection; is the server running, and is the port right?",
    r"timeout|timed out": "the host does not answer",
    r"SSL|certificate|root\.crt": "no trusted TLS connection; the server must offer a certificate "
    "that this machine trusts, or the URL must say ?sslmode=… otherwise",
    r"invalid|bad value|definition of service": "the port or an option in the URL can't be used",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """See `crmmap.extract.database_dialects.Dialect`."""

    nulls_first: bool = True

    def connect(self, url: URL, source: Sql) -> Engine:
        """See the protocol. Away from loopback, TLS with a trusted certificate is the default."""
        try:
            engine = create_engine(
                url.set(query={}),
                hide_parameters=True,
                pool_pre_ping=True,
                pool_size=source.connections,
                max_overflow=0,
                pool_timeout=source.timeout.statement,
                # Values become literals of no type, which is settled by what they stand beside.
                connect_args={**_connection(url, source), "cursor_factory": _cursor()},
            )
        except ImportError:
            message = "PostgreSQL needs psycopg: pip install 'crmmap[postgres]'"
            raise SourceUnreachable(message) from None
        limit = f"SET statement_timeout = {round(source.timeout.statement * 1000)}"

        def begin(connection: Any, _record: Any) -> None:
            for name in AS_WRITTEN:
                connection.adapters.register_loader(name, _text_loader())
            with connection.cursor() as cursor:
                for statement in (*SESSION, limit):
                    cursor.execute(statement)
            connection.commit()

        event.listen(engine, "connect", begin)
        return engine

    def name(self, url: URL) -> str:
        host = url.host or single(url.query.get("host")) or "localhost"
        return f"postgresql://{host}:{url.port or 5432}/{url.database or ''}"

    def family(self, code: Any) -> Family:
        return FAMILIES.get(code, "other")

    def exactly(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        return column  # its collations tell apart whatever differs

    def not_before(
        self, column: ColumnElement[Any], family: Family, text: str
    ) -> ColumnElement[bool]:
        return column >= sa.bindparam(None, text, type_=sa.types.NullType())

    def filled(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        return column

    def diagnosis(self, error: DBAPIError) -> Diagnosis:
        state = getattr(error.orig, "sqlstate", None) or ""
        told = f" (SQLSTATE {state})" if state else ""
        for trouble, known in (
            (Trouble.UNREACHABLE, UNREACHABLE), (Trouble.AGAIN, AGAIN), (Trouble.FINAL, FINAL),
        ):  # fmt: skip
            for start, meaning in known.items():
                if state.startswith(start):
                    return Diagnosis(trouble=trouble, message=meaning + told)
        if state:
            return Diagnosis(trouble=Trouble.FINAL, message=f"the server refuses the query{told}")
        return _without_state(error)

    def cut(self, engine: Engine, connection: Any) -> None:
        with suppress(Exception):
            connection.cancel()


def _without_state(error: DBAPIError) -> Diagnosis:
    for pattern, meaning in CONNECTING.items():
        if re.search(pattern, str(error.orig)):
            return Diagnosis(trouble=Trouble.UNREACHABLE, message=meaning)
    return Diagnosis(trouble=Trouble.AGAIN, message="the connection was lost")


def _connection(url: URL, source: Sql) -> dict[str, str | int]:
    """Return libpq's parameters. The user's own come last, and win."""
    asked = {name: single(value) for name, value in url.query.items()}
    local = (url.host or asked.get("host", "")) in LOOPBACK or asked.get("host", "")[:1] == "/"
    secured = {} if local else {"sslmode": "verify-full", "sslrootcert": "system"}
    if "sslmode" in asked:  # a weaker mode does not go with the system's certificates
        secured = {}
    return {
        "application_name": "crmmap",
        "connect_timeout": round(source.timeout.connect),
        **secured,
        **asked,
    }


def _cursor() -> type[Any]:
    from psycopg import ClientCursor

    return ClientCursor


def _text_loader() -> type[Any]:
    from psycopg.types.string import TextLoader

    return TextLoader


DIALECT = Postgres()
