"""When a source takes requests again, as its answers tell it: a span of time, or a moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Holds = Literal["seconds", "milliseconds", "epoch", "epoch_ms", "date"]
"""What a number or text tells: a span in seconds or milliseconds; a moment in seconds or
milliseconds since 1970; a moment as a date (ISO 8601, or as HTTP writes it)."""

_NUMBER = re.compile(r"\d{1,30}(\.\d{1,30})?", re.ASCII)


def seconds_until(said: object, holds: Holds, now: datetime) -> float | None:
    """Return the seconds that an answer asks to wait; None where it says nothing readable.

    A moment that is past asks for no wait: 0.
    """
    if isinstance(said, bool) or said is None or isinstance(said, dict | list):
        return None
    text = str(said).strip()
    if holds == "date":
        moment = _moment(text)
        return None if moment is None else max(0.0, (moment - now).total_seconds())
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text) / (1000 if holds in ("milliseconds", "epoch_ms") else 1)
    return max(0.0, number - now.timestamp()) if holds.startswith("epoch") else number


def _moment(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        # Python's parsers raise various errors on what they do not expect.
        try:
            moment = read(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def zone_of(name: str) -> ZoneInfo:
    """Return the zone of a name. Raises ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"'{name[:40]}' is no time zone. Write one like Europe/Berlin, or UTC"
        raise ValueError(message) from None


def midnight(zone: str, now: datetime) -> datetime:
    """Return the next midnight in a zone. Raises ValueError where the zone is none."""
    there = zone_of(zone)
    tomorrow = now.astimezone(there).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), there)
