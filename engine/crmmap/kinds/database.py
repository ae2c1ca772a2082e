"""Sources that are databases, and what a stream asks of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from crmmap.declare import Limits, OneOrMany, SecretText, SettingText

PARAMETER = re.compile(r"(?<![:\w\\]):([A-Za-z]\w*)(?!:)")
DAY = 86_400.0

BACKENDS = ("mysql", "mariadb", "postgresql", "postgres", "sqlite")
WRITTEN = (
    "It is written mysql://USER:PASSWORD@HOST:PORT/DATABASE, postgresql://… or sqlite:///FILE; "
    "characters such as @ / : in a password are percent-encoded"
)


def unusable(text: str) -> str | None:
    """Return why a text is no database's URL, without repeating it; None if it may be one."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return f"is no database's URL. {WRITTEN}"
    if "\0" in text or "%00" in text:
        return f"is a database's URL with a NUL character. {WRITTEN}"
    if url.drivername.partition("+")[0] not in BACKENDS:
        return f"names no kind of database that crmmap reads. {WRITTEN}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlTimeouts:
    """Bounds on a database, in seconds."""

    connect: Annotated[float, "To open a connection.", Limits(minimum=1, maximum=DAY)] = 10.0
    statement: Annotated[
        float, "For one statement, which reads one page.", Limits(minimum=1, maximum=DAY)
    ] = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql:
    """A database, read with SQL and never written to: every transaction is read-only.

    `url` is `mysql://USER:PASSWORD@HOST:PORT/DATABASE` (or `mariadb://`), `postgresql://…`, or
    `sqlite:///FILE`; characters such as @ / : in a password are percent-encoded. It comes from a
    secret setting. Tables are read in pages of `fetch` rows, each beginning after the last key
    of the page before, so that nothing is held open between two pages and a read can be resumed.

    Values come as the database writes them: decimals with all their digits, moments in UTC or,
    where a column knows no zone, as they stand there (`zone` of the field's type), MySQL's TIME
    as `02:00:00`, and its BIT as a number. Bytes are taken for UTF-8, and a record whose bytes
    are none is rejected (rule `sql.bytes`).
    """

    url: Annotated[SecretText, "Where the database is, and who reads it."]
    fetch: Annotated[int, "Rows to a page.", Limits(1, 100_000)] = 5000
    connections: Annotated[int, "Connections that are open at once, at most.", Limits(1, 50)] = 4
    attempts: Annotated[
        int, "How often a page is asked for at most, if the connection is lost.", Limits(1, 20)
    ] = 5
    timeout: Annotated[SqlTimeouts, "Bounds on what is asked."] = SqlTimeouts()
    zero_dates: Annotated[
        Literal["empty", "text"],
        "What MySQL's `0000-00-00` is: no value, or text that the field's type refuses.",
    ] = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    r"""What a stream reads from a database: a table, or what a SELECT of the author's finds.

    Of a table, only the columns that fields name are asked for. SQL may name parameters, which
    are given to the database as values, never as SQL: `:setting_NAME` (of a setting that is not
    secret), `:partition_NAME`, `:parent_FIELD`, and `:cursor`, which is null until there is one.
    With `batch`, `IN :parents_FIELD` is the list of them. Any other colon is written `\\:`.

    A column that a field is read from must be there; of several, one of them. A stream with
    `incremental` asks only for rows at or after its cursor; those without a value there are read
    each time, for nothing tells whether they are new. Where `field` is read from several columns,
    the first that has a value counts.
    """

    table: Annotated[SettingText | None, "The table's name; with its schema, `sales.people`."] = (
        None
    )
    select: Annotated[
        str | None, "Instead of a table: a SELECT, each of whose columns has a name of its own."
    ] = None
    where: Annotated[str | None, "An SQL condition: only the rows that meet it are read."] = None
    order: Annotated[
        tuple[str, ...], OneOrMany(),
        "Columns that tell rows apart, by which pages are parted; those of the table's key by "
        "default. An index on them makes reading fast.",
    ] = ()  # fmt: skip

    def __post_init__(self) -> None:
        if (self.table is None) == (self.select is None):
            message = "needs `table: NAME` or `select: SQL`, one of the two"
            raise ValueError(message)

    @property
    def parameters(self) -> frozenset[str]:
        """The parameters that its SQL names."""
        return frozenset(name for text in self.texts for name in PARAMETER.findall(text))

    @property
    def texts(self) -> Iterator[str]:
        """Its SQL."""
        yield from (text for text in (self.select, self.where) if text is not None)
