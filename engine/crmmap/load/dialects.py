"""Where databases differ: one protocol, one module per database, and no `if sqlite` elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

import polars as pl
from sqlalchemy import Column, Engine, Table, make_url
from sqlalchemy.engine import URL, Connection, Inspector
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.exc import ArgumentError, CompileError, DBAPIError, NoSuchModuleError
from sqlalchemy.types import TypeEngine

from crmmap.errors import StoreError, StoreUnfit
from crmmap.plan import Column as Typed
from crmmap.values import Reason


class Fault(Enum):
    """What a database error means for the transaction it struck."""

    AGAIN = "again"
    """A deadlock, a lock or serialization timeout: the whole transaction may be tried again."""
    LOST = "lost"
    """The connection is gone, and with it the knowledge whether a COMMIT arrived."""
    FINAL = "final"
    """Trying again would not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why the database refused rows, told by names of the schema only, never by values."""

    kind: str
    column: str | None = None
    constraint: str | None = None

    def reason(self) -> Reason:
        """Return it as a record's reason, with the rule `store.<kind>`."""
        where = f" (constraint '{self.constraint}')" if self.constraint else ""
        message = f"{REFUSALS.get(self.kind, 'the store refuses the row')}{where}"
        return Reason(field=self.column, rule=f"store.{self.kind}", message=message)


REFUSALS = {
    "not_null": "the store's column takes no null",
    "unique": "the store holds another row with the same unique value",
    "foreign_key": "the store holds no row that this one refers to, or rows that refer to this one",
    "check": "a check constraint of the store refuses the row",
    "exclusion": "an exclusion constraint of the store refuses the row",
    "length": "the value is too long for the store's column",
    "range": "the value is out of the range of the store's column",
    "type": "the store's column does not take the value",
    "size": "the row is longer than a row of the store can be: leave some of its columns out",
    "packet": "the row is longer than the server takes in one statement: raise its "
    "max_allowed_packet",
    "trigger": "a trigger of the store refuses the row",
}


REFERRED_TO = (
    "rows that are to be removed are referred to by a foreign key. Have them marked as deleted "
    "instead (`table: {deletes: soft}`), or drop the foreign key"
)
WRITTEN = (
    "It is written sqlite:///FILE, postgresql://USER:PASSWORD@HOST:PORT/DATABASE or "
    "mysql://USER:PASSWORD@HOST:PORT/DATABASE (mariadb:// is the same); characters such as @ / : "
    "in a password are percent-encoded"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """An INSERT into columns of a table; all names are quoted, and values are `mark`s.

    `conflict` stands after the rows: see `Dialect.on_conflict`.
    """

    table: str
    names: tuple[str, ...]
    mark: str
    conflict: str = ""

    def text(self, rows: int = 1) -> str:
        """Return the statement for so many rows."""
        row = f"({', '.join([self.mark] * len(self.names))})"
        values = ", ".join([row] * rows)
        text = f"INSERT INTO {self.table} ({', '.join(self.names)}) VALUES {values}"  # noqa: S608  (names are quoted, values are parameters)
        return f"{text} {self.conflict}".rstrip()


UNABLE = {
    "duckdb": "DuckDB has no savepoints, so that one bad record would cost its whole batch. Load "
    "into SQLite, PostgreSQL or MySQL, and let DuckDB read from there (ATTACH)",
}
"""Databases that were tried, and why they will not do."""


class Dialect(Protocol):
    """What the room must know about one kind of database."""

    @property
    def now(self) -> str:
        """Return a query for the database's clock: the only one that leases are measured by."""
        ...

    @property
    def placeholder(self) -> str:
        """Return what marks a parameter in a driver's statement."""
        ...

    @property
    def row_list(self) -> str:
        """Return how rows of values stand after IN, as a format for the list of them."""
        ...

    @property
    def merges(self) -> bool:
        """Whether `pour` heeds what an INSERT says of rows that are there already."""
        ...

    @property
    def single_writer(self) -> bool:
        """Whether only one transaction at a time may write: ours then queue."""
        ...

    def connect(self, url: URL, application: str) -> Engine:
        """Return an engine with every setting made. Raises StoreUnfit where the URL can't do."""
        ...

    def name(self, url: URL) -> str:
        """Return the store's name for people, without user and password."""
        ...

    def serialize(self, connection: Connection) -> None:
        """Make beginnings wait for each other, until the end of the connection's transaction."""
        ...

    def bind_time(self, moment: datetime) -> object:
        """Return a UTC time as the driver must be given it."""
        ...

    def read_time(self, value: Any) -> datetime:
        """Return a time that the driver gave, as a UTC datetime."""
        ...

    def on_conflict(self, key: Sequence[str], changed: Sequence[str]) -> str:
        """Return what follows an INSERT that meets a row with its key; all names are quoted.

        `changed` columns take the new values; with none of them, the row is left alone.
        """
        ...

    def update_from(
        self, table: str, other: str, same: str, given: Mapping[str, str], where: str
    ) -> str:
        """Return an UPDATE of a table's rows by those of another that are the `same`.

        `given` has for each column what it is given, such as a column of the other. All names
        are quoted. Only pairs of rows are meant that are as `where` says.
        """
        ...

    def pour(
        self, connection: Connection, insert: Insert, columns: Sequence[Typed], rows: pl.DataFrame
    ) -> int:
        """Do what an INSERT says for each row of a frame, by the database's quickest way.

        Return how many rows were written.
        """
        ...

    def unbounded(self, text: str) -> str:
        """Return an expression like a text column (its quoted name), but of any length.

        It compares as the column does: of its collation, and served by its indexes.
        """
        ...

    def temporary(self, name: str, query: str) -> Sequence[str]:
        """Return the statements that make a temporary table like a query's result.

        One of that name that an earlier transaction left in the connection is replaced.
        """
        ...

    def drop_temporary(self, name: str) -> str:
        """Return the statement that drops a temporary table."""
        ...

    def fault(self, error: DBAPIError) -> Fault:
        """Tell what an error means for its transaction."""
        ...

    def refusal(self, error: DBAPIError) -> Refusal | None:
        """Tell why rows were refused, or None where the error is not about the rows."""
        ...

    def explain(self, error: DBAPIError) -> str:
        """Tell what an error is and what to do, from its codes: never from its text."""
        ...

    def failure(self, error: DBAPIError) -> type[StoreError]:
        """Return what an error is that was met before anything was attempted.

        StoreUnreachable where it is about reaching or being let in, StoreUnfit
        where it is about the URL, the tables or a privilege.
        """
        ...

    def folded(self, name: str) -> str:
        """Return a column's name as the database compares it with others."""
        ...

    def folded_table(self, name: str, connection: Connection) -> str:
        """Return a table's name as the database compares it with others."""
        ...

    def spelled(self, kind: TypeEngine[Any]) -> str:
        """Return a type as the database writes it: equal texts are the same type."""
        ...

    def alter_type(self, column: Column[Any]) -> str | None:
        """Return the statement that gives a live column this type, or None where there is none."""
        ...

    def drop_not_null(self, column: Column[Any]) -> str | None:
        """Return the statement that lets a live column take nulls, or None where there is none."""
        ...

    def table_options(self, compiler: Compiler) -> str:
        """Return what a new table must be told beside its columns, to stand after them."""
        ...

    def comments(self, table: Table) -> list[str]:
        """Return the statements that write a new table's comments into the database."""
        ...

    def unsafe(self, inspector: Inspector, table: Table) -> list[tuple[str, str]]:
        """Return why a live table would lose or merge rows, and the statement that mends it."""
        ...


def standard_on_conflict(key: Sequence[str], changed: Sequence[str]) -> str:
    """Return the clause as SQLite and PostgreSQL both write it."""
    found = f"ON CONFLICT ({', '.join(key)}) DO"
    if not changed:
        return f"{found} NOTHING"
    return f"{found} UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changed)}"


def standard_update_from(
    table: str, other: str, same: str, given: Mapping[str, str], where: str
) -> str:
    """Return the statement as SQLite and PostgreSQL both write it."""
    changes = ", ".join(f"{name} = {value}" for name, value in given.items())
    return f"UPDATE {table} SET {changes} FROM {other} WHERE {same} AND {where}"  # noqa: S608  (names are quoted, and no values)


LONGEST_STATEMENT = 120
"""Seconds that a server gives a statement, unless the URL says otherwise (`statement_timeout`)."""
TIMED_OUT = (
    "a statement took longer than its timeout; give it more by statement_timeout=SECONDS in the "
    "store's URL"
)

LOOPBACK = ("", "localhost", "127.0.0.1", "::1")
"""Hosts to which no encryption is asked for by default."""


def single(value: str | tuple[str, ...] | None) -> str:
    """Return an option of a URL, of which several may be given."""
    return value if isinstance(value, str) else ",".join(value or ())


def check_options(url: URL, known: Collection[str]) -> None:
    """Raise StoreUnfit where the URL's query has an option that nobody would heed."""
    for name in url.query:
        if name not in known:
            # What is no name may be the rest of a password that holds a question mark.
            told = f" '{name}'" if re.fullmatch(r"[A-Za-z_]{1,40}", name) else ""
            message = f"the store's URL has the unknown option{told}; leave it out"
            raise StoreUnfit(message)


def seconds(options: Mapping[str, str], name: str, default: int) -> int:
    """Return an option of a URL that is a number of seconds. Raises StoreUnfit."""
    asked = options.get(name, str(default))
    if not re.fullmatch(r"[1-9][0-9]{0,4}", asked):
        message = f"the store's URL: {name} is a whole number of seconds, such as {default}"
        raise StoreUnfit(message)
    return int(asked)


def spelled_by(compiler: Compiler, kind: TypeEngine[Any]) -> str:
    """Return a type as SQLAlchemy writes it, or UNKNOWN for one that it does not know."""
    try:
        return kind.compile(compiler).upper()
    except CompileError:
        return "UNKNOWN"


def dialect_for(url: str) -> tuple[Dialect, URL]:
    """Return the dialect of a store's URL, and the URL with its driver named.

    Raises StoreUnfit, without echoing the URL, where it is malformed or names
    a database that crmmap does not load into.
    """
    try:
        parsed = make_url(url)
        backend = parsed.drivername.partition("+")[0]
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise StoreUnfit(f"the store's URL is malformed. {WRITTEN}") from None
    if "\0" in url or "%00" in url:
        raise StoreUnfit(f"the store's URL holds a NUL character. {WRITTEN}")
    if backend == "sqlite":
        from crmmap.load.sqlite import Sqlite

        return Sqlite(), parsed.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        from crmmap.load.postgres import Postgres

        return Postgres(), parsed.set(drivername="postgresql+psycopg")
    if backend in ("mysql", "mariadb"):
        from crmmap.load.mysql import MySql

        return MySql(), parsed.set(drivername="mysql+pymysql")
    why = UNABLE.get(backend, WRITTEN)
    raise StoreUnfit(f"the store's URL names '{backend}'; crmmap does not load into that. {why}")
