"""How columns are stored where the databases have no one name for it.

SQLite's STRICT tables have only INTEGER, REAL, TEXT and BLOB. MySQL counts the
full length of each VARCHAR towards the 65,535 bytes of a row, so that there only
short ones are VARCHAR; its TEXT ends at 64 KB, and its times at the second.

The types import this only where a column is made: SQLAlchemy takes long to import, and a
mapping is read and checked without it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import DATETIME, LONGBLOB, LONGTEXT, TIME
from sqlalchemy.dialects.mysql import dialect as mysql_dialect
from sqlalchemy.types import TypeEngine

SHORT = 64
"""Characters of the longest text that is a VARCHAR on MySQL without being searched."""

PART = 128
"""Characters of a longer text that an index has."""

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: TypeEngine[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")
FLAG = sa.Boolean(create_constraint=False).with_variant(sa.Integer(), "sqlite")
DAY = sa.Date().with_variant(sa.Text(), "sqlite")
MOMENT = (
    sa.DateTime(timezone=True)
    .with_variant(sa.Text(), "sqlite")
    .with_variant(DATETIME(fsp=6), "mysql")
)
CLOCK = sa.Time().with_variant(sa.Text(), "sqlite").with_variant(TIME(fsp=6), "mysql")

BYTES = sa.LargeBinary().with_variant(LONGBLOB(), "mysql")


def text(length: int | None = None) -> sa.String:
    """Return a text column's type. With a length it is a VARCHAR where that costs nothing."""
    if length is None:
        return sa.Text().with_variant(LONGTEXT(), "mysql")
    lasting = sa.String(length).with_variant(sa.Text(), "sqlite")
    return lasting if length <= SHORT else lasting.with_variant(LONGTEXT(), "mysql")


def digits(precision: int, scale: int) -> TypeEngine[Any]:
    """Return the type of exact decimals; on SQLite, which has none, they are texts."""
    return sa.Numeric(precision, scale).with_variant(sa.Text(), "sqlite")


def document() -> TypeEngine[Any]:
    """Return the type of JSON."""
    from sqlalchemy.dialects.postgresql import JSONB

    return text().with_variant(JSONB(), "postgresql")


def keyed(kind: TypeEngine[Any], longest: int) -> TypeEngine[Any]:
    """Return a column's type as a key may have it: on MySQL a text must be bounded for it."""
    if not isinstance(kind, sa.String):
        return kind
    plain = sa.Text() if kind.length is None else sa.String(kind.length)
    bounded = sa.String(min(kind.length or longest, longest))
    return plain.with_variant(sa.Text(), "sqlite").with_variant(bounded, "mysql")


def first_part(kind: TypeEngine[Any]) -> int | None:
    """Return how many characters of a column MySQL has in an index; None where it takes all."""
    long = isinstance(kind.dialect_impl(mysql_dialect()), LONGTEXT)
    return PART if long else None


NAME = keyed(text(), SHORT)
"""The name or number of a run, a mapping or a stream."""
