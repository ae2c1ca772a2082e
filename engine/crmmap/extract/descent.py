"""A partition whose rows are asked for in turn: a row, then the rows that it brought, and so on.

The rows of one level are asked for before those below them, so that each is asked for where it
stands highest. Where reading stands is JSON:

    row       the row that is asked for: its level, and its columns that templates may name
    inner     where reading stands in what that row has
    waiting   the rows that are still to be asked for, as `row`
    asked     digests of all rows that were asked for, or wait
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Self

import polars as pl

from crmmap.errors import SourceError
from crmmap.plan import FieldPlan, Recursion, Step
from crmmap.values import Page

Row = Mapping[str, str | None]
ReadRow = Callable[[Row, str | None], Iterator[Page]]
"""Reads the pages of what is below a row, from a position within that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """Where reading stands: see the module. `level` counts from the row that came first."""

    row: Row
    level: int = 0
    waiting: tuple[tuple[int, Row], ...] = ()
    asked: frozenset[str]

    @classmethod
    def at(cls, first: Row, position: str | None) -> tuple[Self, str | None]:
        """Return where a position leads, and the position within its row."""
        if position is None:
            return cls(row=first, asked=frozenset({_digest(first)})), None
        kept = json.loads(position)
        level, row = kept["row"]
        waiting = tuple((int(deep), each) for deep, each in kept["waiting"])
        found = cls(row=row, level=int(level), waiting=waiting, asked=frozenset(kept["asked"]))
        return found, kept["inner"]

    def position(self, inner: str | None) -> str | None:
        """Return where reading goes on: within the row, or with the next; None at the end."""
        if inner is None:
            after = self.following()
            return None if after is None else after._written(None)
        return self._written(inner)

    def _written(self, inner: str | None) -> str:
        kept = {"row": [self.level, self.row], "inner": inner, "waiting": self.waiting,
                "asked": sorted(self.asked)}  # fmt: skip
        return json.dumps(kept, separators=(",", ":"))

    def following(self) -> Self | None:
        """Return where reading stands once all below the row was read."""
        if not self.waiting:
            return None
        (level, row), *others = self.waiting
        return replace(self, row=row, level=level, waiting=tuple(others))

    def beyond(self, how: Recursion, rows: Collection[Row]) -> Self:
        """Return where reading stands after rows that came; those not asked for yet will be.

        Raises SourceError where there are too many.
        """
        if how.depth is not None and self.level >= how.depth:
            return self
        new = {_digest(row): row for row in rows}
        new = {digest: row for digest, row in new.items() if digest not in self.asked}
        if len(self.asked) + len(new) > how.most + 1:
            message = (
                f"`for_each.recurse`: there are more than {how.most} rows to ask for below one row "
                "(`most`). Write a greater number, or a smaller `depth`"
            )
            raise SourceError(message)
        waiting = ((self.level + 1, row) for row in new.values())
        return replace(self, waiting=(*self.waiting, *waiting), asked=self.asked.union(new))


def descend(step: Step, first: Row, position: str | None, read: ReadRow) -> Iterator[Page]:
    """Yield the pages of a row and of all below it, numbered through. Raises SourceError."""
    how = step.parts.recursion
    assert how is not None  # noqa: S101  (its caller saw to it)
    here, inner = Descent.at({**step.parts.blank, **first}, position)
    going: Descent | None = here
    while going is not None:
        for page in read(going.row, inner):
            going = going.beyond(how, brought(step, page))
            yield replace(page, position=going.position(page.position))
        going, inner = going.following(), None


def brought(step: Step, page: Page) -> list[Row]:
    """Return the rows of a page that are to be asked for, as templates are given them."""
    how = step.parts.recursion
    assert how is not None  # noqa: S101  (its caller saw to it)
    wanted, frame = marked(step, page)
    rows = frame.filter(wanted).rows(named=True)
    return [{**step.parts.blank, **row} for row in rows]


def marked(step: Step, page: Page) -> tuple[pl.Series, pl.DataFrame]:
    """Return which records of a page are to be asked for, and their columns as texts."""
    how = step.parts.recursion
    assert how is not None  # noqa: S101  (its caller saw to it)
    judged = {*how.columns, *(each.field for each in step.filters)} | {how.where or ""}
    fields = [each for each in step.fields if each.name in judged]
    frame = step.selector.select(page)
    tidy = frame.with_columns(
        _tidy(each) for each in fields if frame.schema[each.name] == pl.String
    )
    typed = tidy.with_columns(
        each.read.alias(each.name) for each in fields if tidy.schema[each.name] == pl.String
    )
    types = {each.name: each.type for each in fields}
    conditions = [pl.col(name).is_not_null() for name in step.target.key]
    conditions += [rule.passes.fill_null(value=True) for f in step.filters for rule in f.rules]
    conditions += [pl.col(how.where).fill_null(value=False)] if how.where is not None else []
    wanted = typed.select(pl.all_horizontal(conditions).alias("wanted")).to_series()
    return wanted, typed.select(types[name].show(pl.col(name)).alias(name) for name in how.columns)


def _tidy(field: FieldPlan) -> pl.Expr:
    return field.clean if field.default is None else field.clean.fill_null(field.default)


def _digest(row: Mapping[str, Any]) -> str:
    """Return what tells a row from others: rows of which the request sees the same are the same."""
    said = json.dumps(row, sort_keys=True)
    return blake2b(said.encode(), digest_size=12).hexdigest()
