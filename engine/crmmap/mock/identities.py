"""Values that tell records apart: one for each index, valid for the fields that hold it.

A parent's key is made from its index, and so a child makes the same key from
the same index, without looking at the parent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import polars as pl

from crmmap.kinds.checks import Pattern
from crmmap.kinds.times import Date, Datetime
from crmmap.mock.alphabets import alphabets, numbered
from crmmap.mock.chance import INDEX
from crmmap.mock.pools import Reading, distinct

TRIED = (0, 1, 2, 9, 10, 11, 99, 100, 5_000, 59_999, 60_000)
"""Indexes with which a way of making identities is tried."""
AREAS = (202, 205, 212, 213, 214, 215, 216, 301, 303, 305, 312, 313, 314, 401, 404, 405, 410, 412,
         415, 443, 502, 503, 504, 505, 512, 513, 602, 603, 605, 612, 615, 617)  # fmt: skip

Maker = Callable[[pl.Expr], pl.Expr]
"""Makes a value (Int64 or String) from an index (UInt64, never null)."""


def identity(readings: Sequence[Reading]) -> Maker | None:
    """Return a way of making distinct values that all the fields accept; None if none is found."""
    return next((maker for maker in _makers(readings) if _suits(maker, readings)), None)


def _suits(maker: Maker, readings: Sequence[Reading]) -> bool:
    return distinct(readings, made(maker, TRIED))


def made(maker: Maker, indexes: Sequence[int]) -> list[object]:
    """Return the values that are made from the indexes."""
    frame = pl.DataFrame({"index": indexes}, schema={"index": pl.UInt64})
    return frame.select(value=maker(INDEX))["value"].to_list()


def _makers(readings: Sequence[Reading]) -> list[Maker]:
    patterns = [each.value for reading in readings for each in reading.checks
                if isinstance(each, Pattern)]  # fmt: skip
    matching = [letters for pattern in patterns if (letters := alphabets(pattern))]
    numeric = all(each.field.type.dtype.is_numeric() for each in readings)
    serial, small = (each if numeric else _as_text(each) for each in (_serial, _small))
    return [
        serial,
        *(partial(numbered, letters) for letters in matching),
        small,
        _mailbox,
        _phone,
        _uuid,
        *(_written(when, form) for form in _formats(readings) for when in (_moment, _day)),
    ]


def _formats(readings: Sequence[Reading]) -> list[str]:
    types = [each.field.type for each in readings]
    own = [form for kind in types if isinstance(kind, Date | Datetime) for form in kind.formats]
    return [*(form for form in own if "%" in form), "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"]


def _as_text(maker: Maker) -> Maker:
    return lambda index: maker(index).cast(pl.String)


def _written(when: Maker, form: str) -> Maker:
    return lambda index: when(index).dt.strftime(form)


def _serial(index: pl.Expr) -> pl.Expr:
    return (index + 1_000_000_001).cast(pl.Int64)


def _small(index: pl.Expr) -> pl.Expr:
    return (index + 1).cast(pl.Int64)


def _mailbox(index: pl.Expr) -> pl.Expr:
    return pl.format("person{}@example.com", index + 1)


def _phone(index: pl.Expr) -> pl.Expr:
    # 555 numbers: nobody's, in nearly every area.
    area = ((index // 10_000) % len(AREAS)).replace_strict(dict(enumerate(AREAS)))
    return pl.format("+1{}555{}", area, _padded(index % 10_000, 4))


def _uuid(index: pl.Expr) -> pl.Expr:
    return pl.format("00000000-0000-4000-8000-{}", _padded(index, 12))


def _padded(number: pl.Expr, width: int) -> pl.Expr:
    return number.cast(pl.String).str.zfill(width)


def _moment(index: pl.Expr) -> pl.Expr:
    return pl.datetime(2001, 1, 1, time_zone="UTC") + pl.duration(minutes=index.cast(pl.Int64))


def _day(index: pl.Expr) -> pl.Expr:
    return pl.datetime(1900, 1, 1, time_zone="UTC") + pl.duration(days=index.cast(pl.Int64))
