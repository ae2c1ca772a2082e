"""Periods of time, one after the other: so many days each, or months and years of the calendar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from crmmap.kinds.durations import DURATION, seconds

STEP = rf"{DURATION}|^(month|year)$"
"""How long a period is."""


def periods(start: datetime, end: datetime, step: str) -> Iterator[tuple[datetime, datetime]]:
    """Yield the start and end of each period; the last one ends where all do.

    Months and years begin at the first of theirs, but for the first one. Raises ValueError
    where a period has no length.
    """
    while start < end:
        until = min(_after(start, step), end)
        yield start, until
        start = until


def _after(start: datetime, step: str) -> datetime:
    if step not in ("month", "year"):
        length = timedelta(seconds=seconds(step))
        if length < timedelta(seconds=1):
            message = "`step` must be a second at least"
            raise ValueError(message)
        return start + length
    month = start.month % 12 + 1 if step == "month" else 1
    return datetime(start.year + (month == 1), month, 1, tzinfo=UTC)
