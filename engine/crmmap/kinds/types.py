"""What a value may be: the types of columns, and how text becomes one of them.

Every value reaches its type as text, as the source sent it; a type reads it
exactly or not at all. The table at the foot lists the types by their words.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import takewhile
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, cast

import polars as pl

from crmmap.kinds.clock import Duration, Time
from crmmap.kinds.contacts import Email, Phone
from crmmap.kinds.numbers import Decimal, Integer, Number
from crmmap.kinds.references import Url, Uuid
from crmmap.kinds.texts import Boolean, Enum, Json, Text
from crmmap.kinds.times import Date, Datetime

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine


class Type(Protocol):
    """What every type offers."""

    def __hash__(self) -> int: ...

    @property
    def dtype(self) -> pl.DataType:
        """Return how a frame holds a column of it."""
        ...

    @property
    def accepts(self) -> frozenset[str]:
        """Return the JSON kinds that it takes: `string`, `number`, `boolean`, `container`."""
        ...

    def read(self, text: pl.Expr) -> pl.Expr:
        """Turn a String expression into `dtype`: null where the text is null or is not one."""
        ...

    def sql(self) -> TypeEngine[Any]:
        """Return the column type; on SQLite only INTEGER, REAL, TEXT and BLOB (STRICT tables)."""
        ...

    def show(self, column: pl.Expr) -> pl.Expr:
        """Turn a `dtype` expression into its canonical text, for hashes, keys and notes.

        `read(show(x))` is `x`, but for a decimal whose source writes another point than `.`.
        """
        ...

    def sample(self, random: Random) -> object:
        """Return a JSON value as a real source would send it, about invented people."""
        ...

    def spoil(self, random: Random) -> object | None:
        """Return a JSON value that `read` refuses, or None if it refuses nothing."""
        ...


TYPES: dict[str, type[Type]] = {
    "text": Text,
    "integer": Integer,
    "number": Number,
    "decimal": Decimal,
    "boolean": Boolean,
    "date": Date,
    "datetime": Datetime,
    "email": Email,
    "phone": Phone,
    "time": Time,
    "duration": Duration,
    "url": Url,
    "uuid": Uuid,
    "enum": Enum,
    "json": Json,
}


def declared(type_: Type) -> str:
    """Return a type as a mapping may declare it: `decimal(12,2)`, its whole numbers in brackets."""
    word = next(word for word, made in TYPES.items() if made is type(type_))
    values = (getattr(type_, each.name) for each in fields(cast("Any", type_)))
    numbers = takewhile(lambda value: type(value) is int, values)
    inside = ",".join(str(number) for number in numbers)
    return f"{word}({inside})" if inside else word


__all__ = [
    "TYPES", "Boolean", "Date", "Datetime", "Decimal", "Duration", "Email", "Enum", "Integer",
    "Json", "Number", "Phone", "Text", "Time", "Type", "Url", "Uuid", "declared",
]  # fmt: skip
