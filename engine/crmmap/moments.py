"""Moments as texts: read from ISO 8601, and written as the sources of the world want them.

All are functions of values: no clock is asked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].{1,40})?")
PIECE = re.compile(r"%.|[^%]+|%", re.DOTALL)
LONGEST = 200
"""Characters of a pattern."""
PRECISIONS = ("seconds", "milliseconds", "microseconds")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def moment(text: str) -> datetime:
    """Return the moment that ISO 8601 text names; without a zone it is UTC. Raises ValueError."""
    try:
        if not WRITTEN.fullmatch(text):  # Python would take some numbers for days, too
            raise ValueError
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{text[:40]!r} is no moment. Write it like 2024-01-31 or 2024-01-31T08:00:00Z"
        raise ValueError(message) from None


def written(when: datetime) -> str:
    """Return a moment as cursors are written: ISO 8601 in UTC, with milliseconds and a Z."""
    return iso(when)


def epoch(when: datetime) -> str:
    """Return whole seconds since 1970, rounded down."""
    return str((when - EPOCH) // timedelta(seconds=1))


def epoch_ms(when: datetime) -> str:
    """Return whole milliseconds since 1970, rounded down."""
    return str((when - EPOCH) // timedelta(milliseconds=1))


def iso(when: datetime, precision: str = "milliseconds", zone: str = "UTC") -> str:
    """Return ISO 8601: in UTC with a Z, in another zone with its offset."""
    if precision not in PRECISIONS:
        message = f"a precision is one of: {', '.join(PRECISIONS)}"
        raise ValueError(message)
    local = _in_zone(when, zone)
    text = local.isoformat(timespec=precision)
    return text.removesuffix("+00:00") + "Z" if zone == "UTC" else text


def sql(when: datetime, zone: str = "UTC") -> str:
    """Return `2024-01-31 08:00:00`."""
    return _in_zone(when, zone).replace(tzinfo=None).isoformat(" ", "seconds")


def date(when: datetime, zone: str = "UTC") -> str:
    """Return `2024-01-31`."""
    return _in_zone(when, zone).date().isoformat()


def rfc2822(when: datetime, zone: str = "UTC") -> str:
    """Return `Wed, 31 Jan 2024 08:00:00 +0000`."""
    return format_datetime(_in_zone(when, zone))


def http_date(when: datetime) -> str:
    """Return `Wed, 31 Jan 2024 08:00:00 GMT`, as `If-Modified-Since` has it."""
    return format_datetime(when.astimezone(UTC), usegmt=True)


def odata(when: datetime, zone: str = "UTC") -> str:
    """Return the literal of OData 2 and 3, `datetime'2024-01-31T08:00:00'`; 4 takes ISO 8601."""
    return f"datetime'{_in_zone(when, zone).replace(tzinfo=None).isoformat('T', 'seconds')}'"


def in_pattern(when: datetime, pattern: str, zone: str = "UTC") -> str:
    """Return the moment as a pattern of `strftime`'s words has it. Raises ValueError."""
    if len(pattern) > LONGEST:
        message = f"a pattern has at most {LONGEST} characters"
        raise ValueError(message)
    local = _in_zone(when, zone)
    return "".join(
        _word(piece)(local) if piece.startswith("%") else piece for piece in PIECE.findall(pattern)
    )


WORDS: Mapping[str, Callable[[datetime], str]] = MappingProxyType({
    "%Y": lambda when: f"{when.year:04}",
    "%y": lambda when: f"{when.year % 100:02}",
    "%m": lambda when: f"{when.month:02}",
    "%b": lambda when: MONTHS[when.month - 1],
    "%d": lambda when: f"{when.day:02}",
    "%j": lambda when: f"{when.timetuple().tm_yday:03}",
    "%a": lambda when: DAYS[when.weekday()],
    "%H": lambda when: f"{when.hour:02}",
    "%I": lambda when: f"{when.hour % 12 or 12:02}",
    "%p": lambda when: "AM" if when.hour < 12 else "PM",
    "%M": lambda when: f"{when.minute:02}",
    "%S": lambda when: f"{when.second:02}",
    "%f": lambda when: f"{when.microsecond:06}",
    "%L": lambda when: f"{when.microsecond // 1000:03}",
    "%z": lambda when: when.strftime("%z"),
    "%%": lambda _: "%",
})  # fmt: skip
"""A pattern's words; Python's own `strftime` depends on the machine and its language."""


def _word(piece: str) -> Callable[[datetime], str]:
    if piece not in WORDS:
        message = f"'{piece}' is not a word of a pattern. Allowed: {' '.join(WORDS)}"
        raise ValueError(message)
    return WORDS[piece]


def _in_zone(when: datetime, zone: str) -> datetime:
    try:
        found: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)
        return when.astimezone(found)
    except (ValueError, OSError, OverflowError, LookupError):
        message = "there is no such time zone. Write it as IANA calls it: America/New_York"
        raise ValueError(message) from None


FILTERS: Mapping[str, Callable[..., str]] = MappingProxyType({
    "date": date, "epoch": epoch, "epoch_ms": epoch_ms, "format": in_pattern,
    "http_date": http_date, "iso": iso, "odata": odata, "rfc2822": rfc2822, "sql": sql,
})  # fmt: skip
"""What a template may make of a moment."""


def demand_arguments(name: str, arguments: tuple[str, ...]) -> None:
    """Raise ValueError unless a filter takes these arguments."""
    try:
        FILTERS[name](EPOCH, *arguments)
    except TypeError:
        message = f"`{name}` is given too few or too many texts in its parentheses"
        raise ValueError(message) from None
