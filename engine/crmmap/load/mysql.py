"""MySQL and MariaDB, through PyMySQL."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from sqlalchemy import Column, Engine, Table, create_engine, event
from sqlalchemy.dialects.mysql.pymysql import dialect as pymysql_dialect
from sqlalchemy.engine import URL, Connection, Inspector
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeEngine

from crmmap.errors import StoreError, StoreUnfit, StoreUnreachable
from crmmap.load.dialects import REFERRED_TO, Copy, Fault, Refusal, spelled_by
from crmmap.load.multirow import CELLS, CHANGED, LEFT_ALONE, TOO_LONG, write_many, write_one
from crmmap.load.mysql_session import FOLDS, connection_of, hold, let_go, set_up
from crmmap.load.storage import to_driver
from crmmap.mysql_codes import LOST, UNREACHABLE, error_code
from crmmap.plan import Column as Typed

ANOTHER_ROW = 1242
"""What our own guard makes of a row that meets another by a unique index beside the key."""

KINDS = {
    1048: "not_null",
    1364: "not_null",
    1062: "unique",
    1586: "unique",
    ANOTHER_ROW: "unique",
    1216: "foreign_key",
    1217: "foreign_key",
    1451: "foreign_key",
    1452: "foreign_key",
    3819: "check",
    4025: "check",
    1406: "length",
    1264: "range",
    1690: "range",
    1441: "range",
    1265: "type",
    1292: "type",
    1300: "type",
    1366: "type",
    1411: "type",
    1525: "type",
    3140: "type",
    1118: "size",
    TOO_LONG: "packet",
    1644: "trigger",
}
NAMED = (
    r"^(?:Column|Field) '(?P<column>\w+)' (?:cannot be null|doesn't have a default value)$",
    r" for column (?:`\w+`\.`\w+`\.)?['`](?P<column>\w+)['`] at row \d+$",
    r" for key '(?:\w+\.)?(?P<constraint>\w+)'$",
    r"^CONSTRAINT `(?P<constraint>\w+)` failed for ",
    r"^Check constraint '(?P<constraint>\w+)' is violated\.$",
    r" CONSTRAINT `(?P<constraint>\w+)` FOREIGN KEY ",
)
"""Where the messages tell names of the schema. Values stand before these, and never in them."""

AGAIN = {
    1020: "transactions of others kept getting in the way; run again",
    1040: "the server has no connection left; end others, or raise max_connections",
    1203: "the user has as many connections as the server allows",
    1205: "a row or table was locked by others for too long; run again",
    1213: "transactions of others kept getting in the way; run again",
    1412: "a table was changed meanwhile; run again",
}
UNFIT = {
    1005: "the table can't be made: it has more columns than the server allows, or a foreign key "
    "whose two columns do not fit each other",
    1050: "a table of that name is there, perhaps written in another case; rename one of them",
    1060: "two columns have names that are one to the server; rename one of them in the mapping",
    1071: "the key is longer than the server allows; choose a shorter one",
    1117: "the table has more columns than the server allows; leave some out",
    1118: "the table's row is longer than the server allows; leave some of its columns out",
    1142: "the user lacks a privilege; grant SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, "
    "REFERENCES and CREATE TEMPORARY TABLES on the database",
    1143: "the user lacks a privilege on a column; grant it on the whole table",
    1170: "the type of a key's column can't have an index; choose another",
    1425: "a decimal has more places than the server allows (MySQL: 30)",
    3750: "the server demands a primary key of every table (sql_require_primary_key)",
}
EXPLAINED = {
    **dict.fromkeys((1217, 1451), REFERRED_TO),
    **UNREACHABLE,
    **LOST,
    **AGAIN,
    **UNFIT,
    1021: "the server's disk is full; make room and run again: what was committed stays",
    1114: "the server's disk is full; make room and run again: what was committed stays",
    1290: "the server is read-only; name its primary",
    1836: "the server is read-only; name its primary",
    1054: "a column was dropped meanwhile; run again to have it made anew",
    1146: "a table was dropped meanwhile; run again to have it made anew",
    1153: "a record is longer than the server takes in one statement; raise its max_allowed_packet",
    1317: "the statement was ended by someone",
    1969: "a statement took longer than its timeout",
    3024: "a statement took longer than its timeout",
}
SEARCHED_BY = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
"""MariaDB's and MySQL's collation by which only equal texts are equal, trailing spaces and all."""


@dataclass(frozen=True, slots=True)
class MySql:
    """See `crmmap.load.dialects.Dialect`. Times are DATETIME(6) in UTC."""

    now: str = "SELECT utc_timestamp(6)"
    placeholder: str = "%s"
    row_list: str = "({})"
    copy: Copy | None = None
    single_writer: bool = False

    def connect(self, url: URL, application: str) -> Engine:
        """See the protocol. Away from loopback, TLS with a trusted certificate is the default."""
        try:
            engine = create_engine(
                url.set(query={}),
                hide_parameters=True,
                pool_pre_ping=True,
                pool_timeout=30,
                connect_args=connection_of(url, application),
            )
        except ImportError:
            message = "MySQL and MariaDB need PyMySQL: pip install 'crmmap[mysql]'"
            raise StoreUnfit(message) from None
        event.listen(engine, "connect", set_up)
        event.listen(engine, "checkin", let_go)
        event.listen(engine, "do_execute", write_one)
        event.listen(engine, "do_executemany", write_many)
        return engine

    def name(self, url: URL) -> str:
        return f"mysql://{url.host or 'localhost'}:{url.port or 3306}/{url.database or ''}"

    def serialize(self, connection: Connection) -> None:
        hold(connection)

    def bind_time(self, moment: datetime) -> object:
        return moment.astimezone(UTC).replace(tzinfo=None)

    def read_time(self, value: Any) -> datetime:
        moment: datetime = value.replace(tzinfo=UTC)
        return moment

    def on_conflict(self, key: Sequence[str], changed: Sequence[str]) -> str:
        """See the protocol.

        MySQL takes any unique index for a conflict, and would overwrite another record's row.
        So the key is compared first, and where it differs an error is made.
        """
        same = " AND ".join(f"{name} = VALUES({name})" for name in key)
        guard = f"{key[0]} = IF({same}, {key[0]}, (SELECT 1 UNION ALL SELECT 2))"
        taken = [f"{name} = VALUES({name})" for name in changed]
        return f"{CHANGED if changed else LEFT_ALONE}{', '.join([guard, *taken])}".lstrip()

    def update_from(
        self, table: str, other: str, same: str, given: Mapping[str, str], where: str
    ) -> str:
        changes = ", ".join(f"{table}.{name} = {value}" for name, value in given.items())
        return f"UPDATE {table} JOIN {other} ON {same} SET {changes} WHERE {where}"  # noqa: S608  (names are quoted, and no values)

    def insert(
        self, connection: Connection, statement: str, columns: Sequence[Typed], rows: pl.DataFrame
    ) -> int:
        cells = rows.select(to_driver(columns, connection.dialect))
        return connection.exec_driver_sql(statement, execution_options={CELLS: cells}).rowcount

    def unbounded(self, text: str) -> str:
        # A cast would have the session's collation. This is so long that it must be a LONGTEXT.
        return f"REPEAT({text}, 16777216)"

    def temporary(self, name: str, query: str) -> Sequence[str]:
        # A rollback does not drop it, and the connection may live on.
        return (self.drop_temporary(name), f"CREATE TEMPORARY TABLE {name} AS {query}")

    def drop_temporary(self, name: str) -> str:
        return f"DROP TEMPORARY TABLE IF EXISTS {name}"

    def fault(self, error: DBAPIError) -> Fault:
        code = error_code(error)
        if error.connection_invalidated or code in LOST or code in (0, 2002, 2003):
            return Fault.LOST
        return Fault.AGAIN if code in AGAIN else Fault.FINAL

    def refusal(self, error: DBAPIError) -> Refusal | None:
        kind = KINDS.get(error_code(error))
        if kind is None:
            return None
        # A trigger's message is its own, and may hold anything.
        names = {} if kind == "trigger" else _names(str(error.orig.args[1]))  # type: ignore[union-attr]
        return Refusal(kind=kind, **names)

    def explain(self, error: DBAPIError) -> str:
        code = error_code(error)
        cause = getattr(error.orig, "original_exception", None)
        meaning = EXPLAINED.get(code, "the server refuses" if code else "the connection was lost")
        if isinstance(cause, ssl.SSLError) or code == 2026:
            meaning = NO_TLS
        elif isinstance(cause, socket.gaierror):
            meaning = UNREACHABLE[2005]
        elif isinstance(cause, TimeoutError):
            meaning = "the host does not answer"
        return f"{meaning} (error {code})" if code else meaning

    def failure(self, error: DBAPIError) -> type[StoreError]:
        code = error_code(error)
        if code in UNREACHABLE or not code:
            return StoreUnreachable
        return StoreUnfit if code in UNFIT or 1064 <= code <= 1075 else StoreError

    def folded(self, name: str) -> str:
        return name.lower()

    def folded_table(self, name: str, connection: Connection) -> str:
        return name.lower() if connection.info[FOLDS] else name

    def spelled(self, kind: TypeEngine[Any]) -> str:
        text = re.sub(r" (CHARACTER SET|COLLATE) \w+", "", spelled_by(_compiler(), kind))
        if re.match(r"(BIG|SMALL|MEDIUM)?INT", text):  # the width to show it with means nothing
            text = re.sub(r"\(\d+\)", "", text)
        return {"BOOL": "TINYINT(1)"}.get(text, text.replace("NUMERIC", "DECIMAL"))

    def alter_type(self, column: Column[Any]) -> str | None:
        quoted = _compiler().identifier_preparer.quote_identifier(column.table.name)
        return f"ALTER TABLE {quoted} MODIFY {CreateColumn(column).compile(dialect=_compiler())}"

    def drop_not_null(self, column: Column[Any]) -> str | None:
        return self.alter_type(column)

    def table_options(self, compiler: Compiler) -> str:
        return (
            " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 "
            f"COLLATE {_collation(compiler)}"
        )

    def comments(self, table: Table) -> list[str]:
        return []  # they stand in the table's own statement

    def unsafe(self, inspector: Inspector, table: Table) -> list[tuple[str, str]]:
        """See the protocol: MyISAM rolls nothing back, and most collations take `a` for `A`."""
        quoted = inspector.dialect.identifier_preparer.quote_identifier(table.name)
        found = []
        engine, collation = _ask(inspector, ENGINE, table.name)[0]
        if engine != "InnoDB":
            text = f"'{table.name}' is kept by {engine}, which knows no transactions"
            found.append((text, f"ALTER TABLE {quoted} ENGINE=InnoDB"))
        columns = _loose(inspector, table)
        if columns or collation not in SEARCHED_BY:
            where = f"columns {', '.join(columns)}" if columns else "new columns"
            text = (
                f"'{table.name}', {where}: their character set or collation can't hold every text, "
                "or takes different texts for one"
            )
            wanted = f"CHARACTER SET utf8mb4 COLLATE {_collation(inspector.dialect)}"
            found.append((text, f"ALTER TABLE {quoted} CONVERT TO {wanted}"))
        return found


NO_TLS = (
    "no trusted TLS connection; the server must offer a certificate that this machine trusts "
    "(or name its authority: ?ssl_ca=FILE), or the URL must say ?ssl_verify_cert=false or "
    "?ssl_disabled=true"
)
ENGINE = (
    "SELECT engine, table_collation FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_name = %s"
)
TEXTS = (
    "SELECT column_name, character_set_name, collation_name FROM information_schema.columns "
    "WHERE table_schema = DATABASE() AND table_name = %s AND character_set_name IS NOT NULL"
)


def _ask(inspector: Inspector, query: str, name: str) -> list[tuple[Any, ...]]:
    connection = inspector.bind
    assert isinstance(connection, Connection)  # noqa: S101  (we inspect connections only)
    return [tuple(row) for row in connection.exec_driver_sql(query, (name,))]


def _loose(inspector: Inspector, table: Table) -> list[str]:
    """Return the table's text columns that can't hold every text, or whose keys would merge."""
    searched = {column.name for column in table.primary_key.columns}
    searched |= {column.name for index in table.indexes for column in index.columns}
    return [
        name
        for name, characters, collation in _ask(inspector, TEXTS, table.name)
        if name in table.columns
        and (characters != "utf8mb4" or (name in searched and collation not in SEARCHED_BY))
    ]


def _collation(compiler: Compiler) -> str:
    return SEARCHED_BY[0] if getattr(compiler, "is_mariadb", True) else SEARCHED_BY[1]


def _names(message: str) -> dict[str, str]:
    for pattern in NAMED:
        found = re.search(pattern, message)
        if found:
            return found.groupdict()
    return {}


def _compiler() -> Compiler:
    compiler: Compiler = pymysql_dialect()
    return compiler
