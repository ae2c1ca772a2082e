"""Dates written anyhow: dateutil reads them, and is not believed where it had to guess."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo

LONGEST = 64
DEFAULTS = (datetime(2000, 1, 1), datetime(2003, 10, 28))  # noqa: DTZ001  (a text may lack a zone)
"""They differ in year, month, day and weekday, so that a part taken from them shows."""

YEAR_FIRST = re.compile(r"[0-9]{4}(?![0-9])")
OFFSET_OF_A_ZONE = re.compile(r"(?:UTC|GMT|Z)\s*[+-]", re.IGNORECASE)
UTC_NAMES = (None, "UTC", "GMT", "Z")


def flexible_datetime(text: str) -> str | None:
    """Return the moment as ISO 8601, without a zone where the text has none.

    None where the text is no date, lacks a part of one, can be read as two
    different dates (`01/02/2024`), or names a zone other than UTC (`EST` is
    several). `GMT+3` is refused too: half of the world means the opposite.
    """
    from dateutil import parser

    if len(text) > LONGEST or OFFSET_OF_A_ZONE.search(text):
        return None
    day_first = (False,) if YEAR_FIRST.match(text) else (False, True)
    try:
        readings = {
            parser.parse(text, default=default, dayfirst=first, tzinfos=_zone)
            for default in DEFAULTS
            for first in day_first
        }
    except (ValueError, OverflowError, TypeError):
        # TypeError: some malformed texts trip dateutil itself, and aware and naive don't mix.
        return None
    moment = readings.pop()
    # `5th 5th 5th` is no year.
    certain = not readings and f"{moment.year % 100:02}" in text
    return moment.isoformat() if certain else None


def flexible_date(text: str) -> str | None:
    """Return the day as ISO 8601; None as above, or where a time or a zone would be lost."""
    moment = flexible_datetime(text)
    return moment.removesuffix("T00:00:00") if moment and moment.endswith("T00:00:00") else None


def _zone(name: str | None, offset: int | None) -> tzinfo | None:
    # dateutil would take an unknown name for nothing, and this machine's for its own.
    if name not in UTC_NAMES:
        message = "names a zone that is not known everywhere"
        raise ValueError(message)
    return None if offset is None else timezone(timedelta(seconds=offset))
