"""Where databases that are read differ: one protocol, one module per database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Any, Literal, Protocol

from sqlalchemy import ColumnElement, Engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from crmmap.errors import SourceError, SourceUnreachable
from crmmap.kinds.database import Sql, unusable

Family = Literal["text", "number", "moment", "local", "day", "bits", "other", "loose"]
"""What a column holds. A `moment` has a zone, a `local` time none; a `loose` one holds anything."""


class Trouble(Enum):
    """What an error means for the page that was asked for."""

    AGAIN = "again"
    """The connection was lost, or others were in the way: it may be asked for again."""
    UNREACHABLE = "unreachable"
    """The database can't be reached, or does not let us in."""
    FINAL = "final"
    """Asking again would not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What an error is, told from its codes: never from a text that may hold values."""

    trouble: Trouble
    message: str

    @property
    def error(self) -> type[SourceError]:
        """Return what to raise."""
        return SourceUnreachable if self.trouble is Trouble.UNREACHABLE else SourceError


class Dialect(Protocol):
    """What must be known about one kind of database."""

    @property
    def nulls_first(self) -> bool:
        """Whether the order of a column must say that nulls come first: elsewhere they do."""
        ...

    def connect(self, url: URL, source: Sql) -> Engine:
        """Return an engine whose sessions only read. Raises SourceError where the URL can't do."""
        ...

    def name(self, url: URL) -> str:
        """Return the database's name for people, without user and password."""
        ...

    def family(self, code: Any) -> Family:
        """Return what a column holds, by the code with which the driver describes it."""
        ...

    def exactly(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        """Return a column, or a value, so that only what is the same in every letter is equal."""
        ...

    def not_before(
        self, column: ColumnElement[Any], family: Family, text: str
    ) -> ColumnElement[bool]:
        """Return the condition that a column's time is not before that of the text, or is none."""
        ...

    def filled(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        """Return a column in which what stands for no value is null."""
        ...

    def diagnosis(self, error: DBAPIError) -> Diagnosis:
        """Tell what an error is and what to do."""
        ...

    def cut(self, engine: Engine, connection: Any) -> None:
        """End the statement that a driver's connection is waiting for."""
        ...


DRIVERS: Mapping[str, tuple[str, str]] = {
    "mysql": ("database_mysql", "mysql+pymysql"),
    "mariadb": ("database_mysql", "mysql+pymysql"),
    "postgresql": ("database_postgres", "postgresql+psycopg"),
    "postgres": ("database_postgres", "postgresql+psycopg"),
    "sqlite": ("database_sqlite", "sqlite+pysqlite"),
}
"""Databases → the module that knows them, and what SQLAlchemy calls their driver."""


def dialect_for(text: str) -> tuple[Dialect, URL]:
    """Return the dialect of a database's URL, and the URL with its driver named.

    Raises SourceError, without echoing the URL, where it is malformed or names another database.
    """
    if message := unusable(text):
        raise SourceUnreachable(f"the source's address {message}")
    url = make_url(text)
    module, driver = DRIVERS[url.drivername.partition("+")[0]]
    dialect: Dialect = import_module(f"crmmap.extract.{module}").DIALECT
    return dialect, url.set(drivername=driver)


def single(value: str | tuple[str, ...] | None) -> str:
    """Return an option of a URL, of which several may be given."""
    return value if isinstance(value, str) else ",".join(value or ())
