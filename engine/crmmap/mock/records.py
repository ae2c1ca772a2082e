"""Invented records: each a function of the seed, its stream and its index, and of nothing else.

Records are made many at a time, a column of texts per place, and a record's
JSON is those texts put into one template: nothing is built to be written out again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from crmmap.kinds.writes import Delete
from crmmap.mock.chance import below, draw, indexes
from crmmap.mock.columns import Column
from crmmap.mock.pools import Hints
from crmmap.plan import Plan, Step

MISSHAPEN = 10
"""One broken record in so many is broken as a whole: no object, or a ragged line."""
NO_OBJECTS = ("null", '"not a record"', "true", "17")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """What is pretended: a plan's streams, `records` records each.

    `dirty` is the share of broken records in percent. `hints` (see `hints_of`)
    name values that checks allow, which a plan alone does not tell. `faults` is the share, of
    0 to 1, of requests that go wrong, and of records that come again.
    """

    plan: Plan
    records: int = 100
    seed: int = 0
    dirty: float = 0.0
    faults: float = 0.0
    hints: Hints = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """A stream's records.

    `template` is a record's text, JSON or XML, with `%s` for each of the `columns`, in their order.
    """

    world: World
    step: Step
    columns: tuple[Column, ...]
    template: str
    misshapen: tuple[str, ...] = NO_OBJECTS
    """What stands for a record that is broken as a whole."""

    def lines(self, start: int, stop: int) -> list[str]:
        """Return the JSON texts of the records from `start` to before `stop`."""
        texts, misshapen = self.cells(start, stop)
        values = [each.fill_null("null").to_list() for each in texts]
        return [
            self.template % row if shape is None else self.misshapen[shape % len(self.misshapen)]
            for row, shape in zip(zip(*values, strict=True), misshapen.to_list(), strict=True)
        ]

    @property
    def _first(self) -> int:
        """The index of the first record: what was deleted lies beyond the rows that there are.

        So a smaller world, pretended later, has records deleted that a larger one had.
        """
        return self.world.records if isinstance(self.step.target.write, Delete) else 0

    @property
    def headers(self) -> list[str]:
        """Of a file: the headers of its columns."""
        return [str(column.place[0]) for column in self.columns]

    def cells(self, start: int, stop: int) -> tuple[list[pl.Series], pl.Series]:
        """Return a Series of texts per column, and one that is null where a record is whole."""
        frame = indexes(start + self._first, stop + self._first)
        if self.world.dirty:
            frame = frame.with_columns(**self._broken())
        else:
            frame = frame.with_columns(misshapen=pl.lit(None, dtype=pl.Int64))
        texts = frame.select(pl.col("misshapen"), *self._values()).get_columns()
        return texts[1:], texts[0]

    def _values(self) -> Iterator[pl.Expr]:
        for number, column in enumerate(self.columns):
            value = column.value
            if self.world.dirty and column.spoilt is not None:
                here = pl.col("broken").eq_missing(number)
                value = pl.when(here).then(column.spoilt).otherwise(value)
            yield value.alias(str(number))

    def _broken(self) -> dict[str, pl.Expr]:
        """Return, per record, what breaks it: its shape, or the column with that number."""
        chance = draw(self.world.seed, self.step.name, "dirty")
        hit = below(chance, 1_000_000) < round(self.world.dirty * 10_000)
        breakable = [at for at, each in enumerate(self.columns) if each.spoilt is not None]
        whole = below(chance, MISSHAPEN, lot=1) == 0 if breakable else pl.lit(value=True)
        place = below(chance, max(len(breakable), 1), lot=2)
        at = pl.lit(pl.Series(breakable or [0], dtype=pl.Int64)).gather(place)
        return {
            "misshapen": pl.when(hit & whole).then(below(chance, 2**20, lot=2).cast(pl.Int64)),
            "broken": pl.when(hit & ~whole).then(at),
        }
