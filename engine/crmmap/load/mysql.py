"""MySQL and MariaDB, through PyMySQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import polars as pl
from sqlalchemy import Column, Engine, Table, create_engine, event
from sqlalchemy.dialects.mysql.pymysql import dialect as pymysql_dialect
from sqlalchemy.engine import URL, Connection, Inspector
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeEngine

from crmmap.errors import StoreError, StoreUnfit
from crmmap.load.dialects import Fault, Insert, Refusal, spelled_by
from crmmap.load.multirow import CELLS, CHANGED, LEFT_ALONE, write_many, write_one
from crmmap.load.mysql_errors import explanation, failure_of, fault_of, refusal_of
from crmmap.load.mysql_session import (
    FOLDS,
    connection_of,
    hold,
    let_go,
    longest_statement,
    set_up,
)
from crmmap.load.storage import to_driver
from crmmap.plan import Column as Typed

SEARCHED_BY = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
"""MariaDB's and MySQL's collation by which only equal texts are equal, trailing spaces and all."""

ENGINE = (
    "SELECT engine, table_collation FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_name = %s"
)
TEXTS = (
    "SELECT column_name, character_set_name, collation_name FROM information_schema.columns "
    "WHERE table_schema = DATABASE() AND table_name = %s AND character_set_name IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class MySql:
    """See `crmmap.load.dialects.Dialect`. Times are DATETIME(6) in UTC."""

    now: str = "SELECT utc_timestamp(6)"
    placeholder: str = "%s"
    row_list: str = "({})"
    merges: bool = True
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
        event.listen(engine, "connect", partial(set_up, longest=longest_statement(url)))
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

    def pour(
        self, connection: Connection, insert: Insert, columns: Sequence[Typed], rows: pl.DataFrame
    ) -> int:
        cells = rows.select(to_driver(columns, connection.dialect))
        return connection.exec_driver_sql(insert.text(), execution_options={CELLS: cells}).rowcount

    def unbounded(self, text: str) -> str:
        # A cast would have the session's collation. This is so long that it must be a LONGTEXT.
        return f"REPEAT({text}, 16777216)"

    def temporary(self, name: str, query: str) -> Sequence[str]:
        # A rollback does not drop it, and the connection may live on.
        return (self.drop_temporary(name), f"CREATE TEMPORARY TABLE {name} AS {query}")

    def drop_temporary(self, name: str) -> str:
        return f"DROP TEMPORARY TABLE IF EXISTS {name}"

    def fault(self, error: DBAPIError) -> Fault:
        return fault_of(error)

    def refusal(self, error: DBAPIError) -> Refusal | None:
        return refusal_of(error)

    def explain(self, error: DBAPIError) -> str:
        return explanation(error)

    def failure(self, error: DBAPIError) -> type[StoreError]:
        return failure_of(error)

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


def _compiler() -> Compiler:
    compiler: Compiler = pymysql_dialect()
    return compiler
