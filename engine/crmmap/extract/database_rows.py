"""The rows of a database as pages, each of which can be read on from in another process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from crmmap.errors import SourceError
from crmmap.extract.database import Database
from crmmap.extract.database_cells import tagged, texts_of, untagged
from crmmap.extract.database_reading import Reading
from crmmap.values import Page, Reason, Refusal

FIRST = 500
"""Rows that are asked for at first, when nothing is known of their size."""
PAGE_BYTES = 16 * 1024 * 1024
"""What a page may hold, about, whatever `fetch` says."""
MOST_ALIKE = 1_000_000
"""Rows that share all keys, and so must be read in one page, are refused beyond this."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where reading goes on: after the row with these keys."""

    after: tuple[Any, ...] | None = None
    number: int = 0


def read_rows(database: Database, reading: Reading, position: str | None) -> Iterator[Page]:
    """Yield the rows that a reading finds, `fetch` to a page at most.

    `position`, from any page but the last, resumes after that page; if it is of another
    reading, all is read from the start. Raises SourceError.
    """
    place = _resumed(position, reading) or _Place()
    size = min(FIRST, database.source.fetch)
    while True:
        rows, more = _next_rows(database, reading, place, size)
        records, faults = texts_of(
            [row[: len(reading.columns)] for row in rows], reading.columns,
            zero_is_empty=database.source.zero_dates == "empty",
        )  # fmt: skip
        after = rows[-1][len(reading.columns) :] if rows else None
        place = _Place(after=after, number=place.number + 1)
        page = Page(
            number=place.number,
            records=records,
            size=int(records.estimated_size()),
            position=_position(place, reading) if more else None,
        )
        yield _without(page, records, faults) if faults else page
        if not more:
            return
        size = _fitting(database, records)


def _without(page: Page, records: pl.DataFrame, faults: Mapping[int, Reason]) -> Page:
    """Return the page with the rows that can't be read taken out of its records."""
    refused = [
        Refusal(at=at, raw=page.raw(at), reasons=(reason,)) for at, reason in sorted(faults.items())
    ]
    kept = [at for at in range(records.height) if at not in faults]
    return replace(page, records=records[kept], refused=tuple(refused), lines=kept)


def _next_rows(
    database: Database, reading: Reading, place: _Place, size: int
) -> tuple[Sequence[Row], bool]:
    """Return a page's rows, and whether more follow. Rows with the same keys are not parted."""
    width = len(reading.columns)
    while True:
        rows = database.rows(reading.page(place.after, size + 1))
        if len(rows) <= size:
            return rows, False
        end, following = size, rows[size][width:]
        while end and rows[end - 1][width:] == following:
            end -= 1
        if end:
            return rows[:end], True
        if size >= MOST_ALIKE:
            names = ", ".join(str(key.value.key) for key in reading.keys)
            message = (
                f"{database.name}: more than {MOST_ALIKE} rows have the same {names}. Name "
                "columns that tell rows apart in the query's `order`"
            )
            raise SourceError(message)
        size *= 2


def _fitting(database: Database, records: pl.DataFrame) -> int:
    """Return how many rows the next page may have, going by the size of the last ones."""
    per_row = max(1, records.estimated_size() // max(1, records.height))
    return max(1, min(database.source.fetch, PAGE_BYTES // int(per_row)))


def _by(reading: Reading) -> list[str]:
    return [str(key.value) for key in reading.keys]


def _position(place: _Place, reading: Reading) -> str:
    after = [tagged(value) for value in place.after or ()]
    return json.dumps({"by": _by(reading), "after": after, "number": place.number})


def _resumed(position: str | None, reading: Reading) -> _Place | None:
    if position is None:
        return None
    try:
        kept = json.loads(position)
        after = tuple(untagged(each) for each in kept["after"])
        number = int(kept["number"])
    except (ValueError, KeyError, TypeError, ArithmeticError):
        return None
    same = kept.get("by") == _by(reading) and len(after) == len(reading.keys)
    return _Place(after=after, number=number) if same else None
