"""Rows of a table that refers to itself by a constraint: parents first, circles closed afterwards.

A constraint is asked row by row, or statement by statement: what a row refers to must be there
before it. So a row that the database refuses takes those with it that refer to it, and only those.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import polars as pl

from crmmap.load.accounts import OUTCOME
from crmmap.load.dialects import Refusal
from crmmap.load.statements import Session
from crmmap.plan import Target

Refused = list[tuple[int, Refusal]]
Write = Callable[[pl.DataFrame], Refused]
"""Writes rows in their order; returns the index and reason of those that the database refuses."""
Reference = tuple[int, int, str]
"""The index of a row, that of the row that it refers to, and the column by which it does."""


def parents_first(session: Session, target: Target, rows: pl.DataFrame, write: Write) -> Refused:
    """Write judged rows so that none refers to one that is still to come.

    Where rows refer to each other in a circle, a reference is left empty at first; the row is
    written again once what it refers to is there.
    """
    references = [*_references(target, rows)]
    if not references:
        return write(rows)
    order, closing = _order(references, len(rows))
    return _written(session, rows, order, closing, write)


def _references(target: Target, rows: pl.DataFrame) -> Iterator[Reference]:
    """Yield the references to other rows that are new."""
    own = [each for each in target.foreign_keys if each.table == target.table]
    if not own or rows.is_empty():
        return
    outcomes = enumerate(rows.select(own[0].key, OUTCOME).iter_rows())
    places = {key: place for place, (key, outcome) in outcomes if outcome == "inserted"}
    for each in own:
        for place, parent in enumerate(rows[each.column]):
            other = places.get(parent)
            if other is not None and other != place:
                yield place, other, each.column


def _order(references: Sequence[Reference], count: int) -> tuple[list[int], set[Reference]]:
    """Return the rows' order, and the references that lead to a row after their own."""
    of: dict[int, list[Reference]] = {}
    for each in references:
        of.setdefault(each[0], []).append(each)
    order: list[int] = []
    closing: set[Reference] = set()
    begun, done = set[int](), set[int]()
    for start in range(count):
        if start in begun:
            continue
        begun.add(start)
        path = [(start, iter(of.get(start, ())))]
        while path:
            row, left = path[-1]
            for reference in left:
                parent = reference[1]
                if parent not in begun:
                    begun.add(parent)
                    path.append((parent, iter(of.get(parent, ()))))
                    break
                if parent not in done:
                    closing.add(reference)
            else:
                path.pop()
                done.add(row)
                order.append(row)
    return order, closing


def _written(
    session: Session,
    rows: pl.DataFrame,
    order: Sequence[int],
    closing: Collection[Reference],
    write: Write,
) -> Refused:
    """Write the rows in this order, then again those of `closing`.

    One that is refused only then must not stay half written: all is taken back, and done
    without it.
    """
    lost: dict[int, Refusal] = {}
    first: dict[int, Refusal] = {}  # later on, what a row refers to may be lost, too
    opened = _opened(rows, closing)
    while True:
        kept = [row for row in order if row not in lost]
        savepoint = session.connection.begin_nested() if closing else None
        refused = _write(opened, kept, write)
        again = {row for row, _, _ in closing} - refused.keys() - lost.keys()
        there = rows.with_columns(pl.lit("updated").alias(OUTCOME))
        late = _write(there, [row for row in kept if row in again], write)
        if savepoint is not None:
            savepoint.rollback() if late else savepoint.commit()
        first = refused | late | first
        if not late:
            return [(row, first[row]) for row in sorted({*refused, *lost})]
        lost |= late


def _opened(rows: pl.DataFrame, closing: Collection[Reference]) -> pl.DataFrame:
    """Return the rows with the references empty that close a circle."""
    emptied: dict[str, set[int]] = {}
    for row, _, column in closing:
        emptied.setdefault(column, set()).add(row)
    return rows.with_columns(
        pl.Series(
            column,
            [None if place in places else value for place, value in enumerate(rows[column])],
            dtype=rows.schema[column],
        )
        for column, places in emptied.items()
    )


def _write(rows: pl.DataFrame, places: Sequence[int], write: Write) -> dict[int, Refusal]:
    if not places:
        return {}
    return {places[at]: refusal for at, refusal in write(rows[list(places)])}
