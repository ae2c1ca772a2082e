"""MySQL and MariaDB, through PyMySQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from crmmap.mysql_codes import LOST, UNREACHABLE, error_code

OPTIONS = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_check_hostname", "ssl_verify_cert", "unix_socket")

FAMILIES: Mapping[int, Family] = {
    **dict.fromkeys((0, 1, 2, 3, 4, 5, 8, 9, 13, 246), "number"),
    7: "moment", 12: "local", 10: "day", 14: "day", 16: "bits",
    **dict.fromkeys((15, 247, 248, 249, 250, 251, 252, 253, 254), "text"),
}  # fmt: skip
"""Field types of the protocol; sessions are in UTC, so that a TIMESTAMP is a moment."""

DATES = ("moment", "local", "day")

AS_WRITTEN = (4, 5, 7, 10, 11, 12)
"""FLOAT, DOUBLE and all times: taken as the server writes them, zero dates included."""

SESSION = (
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION TRANSACTION READ ONLY",
)

AGAIN = {
    **LOST,
    1040: "the server has no connection left; allow fewer: `connections`",
    1205: "a lock was held by others for too long",
    1213: "transactions of others kept getting in the way",
}
FINAL = {
    1054: "the query names a column that is not there",
    1060: "the query has two columns of one name; give each a name of its own",
    1064: "the server does not understand the query's SQL",
    1142: "the user may not read the table; grant SELECT",
    1143: "the user may not read all of the table's columns; grant SELECT on it",
    1146: "the query names a table that is not there",
    1317: "the statement was ended",
    1792: "the query would write, and a source is only read",
    1969: "a statement took longer than its timeout",
    3024: "a statement took longer than its timeout",
}


@dataclass(frozen=True, slots=True)
class MySql:
    """See `crmmap.extract.database_dialects.Dialect`."""

    nulls_first: bool = False

    def connect(self, url: URL, source: Sql) -> Engine:
        """See the protocol."""
        _check(url)
        try:
            engine = create_engine(
                url.update_query_dict({"charset": "utf8mb4"}),
                hide_parameters=True,
                pool_pre_ping=True,
                pool_size=source.connections,
                max_overflow=0,
                pool_timeout=source.timeout.statement,
                connect_args={
                    "connect_timeout": round(source.timeout.connect),
                    "read_timeout": round(source.timeout.statement) + 10,
                    "write_timeout": round(source.timeout.statement) + 10,
                    "local_infile": False,
                    "conv": _conversions(),
                },
            )
        except ImportError:
            message = "MySQL and MariaDB need PyMySQL: pip install 'crmmap[mysql]'"
            raise SourceUnreachable(message) from None
        event.listen(engine, "connect", _session(source.timeout.statement))
        return engine

    def name(self, url: URL) -> str:
        return f"mysql://{url.host or 'localhost'}:{url.port or 3306}/{url.database or ''}"

    def family(self, code: Any) -> Family:
        return FAMILIES.get(code, "other")

    def exactly(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        if family != "text":
            return column
        # Collations take `a`, `A` and `ä` for one.
        written = sa.func.convert(column.op("USING")(sa.literal_column("utf8mb4")))
        return sa.cast(written, sa.BINARY)

    def not_before(
        self, column: ColumnElement[Any], family: Family, text: str
    ) -> ColumnElement[bool]:
        reached = column >= sa.bindparam(None, text, type_=sa.types.NullType())
        return sa.or_(reached, _is_zero(column)) if family in DATES else reached

    def filled(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        return sa.case((_is_zero(column), sa.null()), else_=column) if family in DATES else column

    def diagnosis(self, error: DBAPIError) -> Diagnosis:
        code = error_code(error)
        told = f" (error {code})" if code else ""
        if code in UNREACHABLE:
            return Diagnosis(trouble=Trouble.UNREACHABLE, message=UNREACHABLE[code] + told)
        if code in AGAIN or error.connection_invalidated or not code:
            what = AGAIN.get(code, "the connection was lost")
            return Diagnosis(trouble=Trouble.AGAIN, message=what + told)
        message = FINAL.get(code, "the server refuses the query")
        return Diagnosis(trouble=Trouble.FINAL, message=message + told)

    def cut(self, engine: Engine, connection: Any) -> None:
        with suppress(Exception):
            # Not from the pool, all of whose connections may be busy.
            another = engine.pool.recreate().connect()
            another.cursor().execute(f"KILL QUERY {int(connection.thread_id())}")
            another.close()


def _check(url: URL) -> None:
    if not url.database:
        message = "the database's URL names no database. Add it after the host: /DATABASE"
        raise SourceUnreachable(message)
    unknown = sorted(set(url.query) - {*OPTIONS, "charset"})
    if unknown or single(url.query.get("charset")) not in ("", "utf8mb4"):
        message = f"the database's URL has an option that is not known. Known: {', '.join(OPTIONS)}"
        raise SourceUnreachable(message)


def _is_zero(column: ColumnElement[Any]) -> ColumnElement[bool]:
    # Strict servers refuse to compare with '0000-00-00' itself; no other date is below this one.
    return column < sa.literal_column("'1000-01-01'")


def _conversions() -> dict[Any, Any]:
    from pymysql.converters import conversions

    return {code: made for code, made in conversions.items() if code not in AS_WRITTEN}


def _session(seconds: float) -> Callable[[Any, Any], None]:
    def begin(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for statement in SESSION:
                cursor.execute(statement)
            cursor.execute("SELECT VERSION()")
            maria = "mariadb" in str(cursor.fetchone()[0]).lower()
            limit = f"max_statement_time = {seconds:f}" if maria else (
                f"max_execution_time = {round(seconds * 1000)}"
            )  # fmt: skip
            with suppress(Exception):  # the oldest servers know no limit
                cursor.execute(f"SET SESSION {limit}")

    return begin


DIALECT = MySql()
