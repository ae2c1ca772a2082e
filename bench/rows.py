"""Invented rows of 25 columns, typed as the transforms leave them: made of their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal as Exact

import polars as pl

from bench.data import CITIES, FAMILY, GIVEN, WORDS
from crmmap.kinds.types import Boolean, Date, Datetime, Decimal, Integer, Number, Text
from crmmap.plan import Column, Target
from crmmap.values import AT, INDEX, PAGE

TYPES = {
    "id": Text(), "email": Text(length=200), "first_name": Text(), "last_name": Text(),
    "phone": Text(), "company": Text(), "title": Text(), "street": Text(), "city": Text(),
    "state": Text(), "zip": Text(), "note": Text(), "owner_id": Integer(), "employees": Integer(),
    "visits": Integer(), "revenue": Decimal(precision=12, scale=2),
    "discount": Decimal(precision=5, scale=2), "score": Number(), "latitude": Number(),
    "opted_out": Boolean(), "active": Boolean(), "born": Date(), "first_visit": Date(),
    "created_at": Datetime(), "updated_at": Datetime(),
}  # fmt: skip
TARGET = Target(
    table="people",
    key=("id",),
    columns=tuple(Column(name=name, type=kind) for name, kind in TYPES.items()),
)


def batches(count: int, size: int, *, changed: bool) -> Iterator[pl.DataFrame]:
    """Yield the rows, so many at a time; in every tenth another note where some have `changed`."""
    for start in range(0, count, size):
        yield rows(start, min(size, count - start), changed=changed)


def rows(start: int, count: int, *, changed: bool) -> pl.DataFrame:
    number = pl.col("number")
    numbers = pl.int_range(start, start + count, dtype=pl.Int64, eager=True)
    place = pl.int_range(count, dtype=pl.UInt32, eager=True)
    note = _sometimes(_words(4), 3)
    if changed:
        note = pl.when(number % 10 == 0).then(pl.lit("called again")).otherwise(note)
    made = {
        "id": (10_000_000_000 + number).cast(pl.String),
        "email": pl.format("{}.{}{}@example.com", _one_of(GIVEN, 1), _one_of(FAMILY, 2), number),
        "first_name": _one_of(GIVEN, 1),
        "last_name": _one_of(FAMILY, 2),
        "phone": _sometimes(pl.format("+1{}", 2_010_000_000 + _some(9, 8_000_000)), 4),
        "company": pl.format("{} {}", _one_of(FAMILY, 5), _words(6)),
        "title": _sometimes(_words(7), 8),
        "street": pl.format('{} "{}" St', number % 9000 + 1, _one_of(WORDS, 9)),
        "city": _one_of([city for city, _ in CITIES], 10),
        "state": _one_of([state for _, state in CITIES], 10),
        "zip": _some(11, 100_000).cast(pl.String).str.zfill(5),
        "note": note,
        "owner_id": 7_000_000 + _some(13, 40),
        "employees": _sometimes(_some(14, 5000), 15),
        "visits": _some(16, 100),
        "revenue": (_some(17, 900_000).cast(pl.Decimal(12, 2)) * pl.lit(Exact("0.37"))),
        "discount": _sometimes(_some(18, 100), 19),
        "score": _some(20, 1_000_000) / 7,
        "latitude": 39 + _some(21, 1000) / 1000,
        "opted_out": _some(22, 2) == 0,
        "active": _sometimes(_some(23, 3) == 0, 24),
        "born": _sometimes(pl.lit(date(1940, 1, 1)) + pl.duration(days=_some(25, 20_000)), 26),
        "first_visit": pl.lit(date(2020, 1, 1)) + pl.duration(days=_some(27, 1500)),
        "created_at": _moment(28, 1000),
        "updated_at": _moment(29, 1),
    }
    return numbers.alias("number").to_frame().select(
        *(cell.cast(TYPES[name].dtype).alias(name) for name, cell in made.items()),
        pl.lit(1, dtype=pl.UInt32).alias(PAGE),
        place.alias(INDEX),
        place.alias(AT),
    )  # fmt: skip


def _some(seed: int, most: int) -> pl.Expr:
    """Return numbers from 0 below `most` that look like chance."""
    return (pl.col("number") * 2_654_435_761 + seed * 40_503) % 1_000_003 % most


def _one_of(words: list[str] | tuple[str, ...], seed: int) -> pl.Expr:
    return pl.lit(pl.Series(words)).gather(_some(seed, len(words)))


def _words(seed: int) -> pl.Expr:
    return pl.format("{} {}, {}", *(_one_of(WORDS, seed * 100 + each) for each in range(3)))


def _sometimes(cell: pl.Expr, seed: int) -> pl.Expr:
    return pl.when(_some(seed, 7) != 0).then(cell)


def _moment(seed: int, step: int) -> pl.Expr:
    since = pl.duration(seconds=_some(seed, 1_000_000) * 60, microseconds=_some(30, 1000) * step)
    return (pl.lit(datetime(2023, 5, 1, 8)) + since).dt.replace_time_zone("UTC")
