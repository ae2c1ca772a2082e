"""Types that are times without a day: a time of day, a length of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, Literal

import polars as pl

from crmmap.declare import OneOrMany
from crmmap.kinds.once import in_stages, in_turn
from crmmap.kinds.time_formats import TimeFormat, clock_format

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

CLOCK = (
    TimeFormat(
        polars="%H:%M:%S",
        pattern="^(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$",
        zoned=False,
        length=8,
    ),
    TimeFormat(
        polars="%H:%M:%S%.f",
        pattern=r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?$",
        zoned=False,
    ),
    TimeFormat(polars="%H:%M", pattern="^(?:[01][0-9]|2[0-3]):[0-5][0-9]$", zoned=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """A time of day, to the microsecond. Stored as TIME; as TEXT `14:30:00.000000` on SQLite.

    It is of no zone. Reads `14:30`, `14:30:05` and `14:30:05.5`, or else the formats that are
    given, tried in order against the whole text. The words of a format are those of Python's
    strptime: %H %I %M %S %p .%f. Fractions finer than a microsecond are cut; hour 24 and second
    60 are refused.
    """

    formats: Annotated[
        tuple[str, ...], OneOrMany(), "How times are written, as `%I:%M %p`. ISO 8601 if none."
    ] = ()

    def __post_init__(self) -> None:
        for text in self.formats:
            clock_format(text)

    @property
    def dtype(self) -> pl.DataType:
        return pl.Time()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string"})

    def read(self, text: pl.Expr) -> pl.Expr:
        formats = (*map(clock_format, self.formats), *CLOCK)
        return in_turn(text, [partial(_clock, how=each) for each in formats], self.dtype)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.CLOCK

    def show(self, column: pl.Expr) -> pl.Expr:
        return column.dt.to_string("%H:%M:%S%.6f")

    def sample(self, random: Random) -> object:
        hour, minute = random.randint(9, 16), random.randint(0, 59)
        written = self.formats[0] if self.formats else "%H:%M:%S"
        words = {"%H": f"{hour:02}", "%I": f"{(hour - 1) % 12 + 1:02}", "%M": f"{minute:02}",
                 "%S": "05", ".%f": ".250", "%p": "AM" if hour < 12 else "PM"}  # fmt: skip
        for word, value in words.items():
            written = written.replace(word, value)
        return written

    def spoil(self, random: Random) -> object | None:
        return random.choice(("soon", "24:00", "12:60", "12:00:60", "2024-01-01T12:00:00"))


def _clock(text: pl.Expr, how: TimeFormat) -> pl.Expr:
    if "%.f" not in how.polars:
        return how.matching(text).str.to_time(how.polars, strict=False)
    # By way of a day: polars reads a bare time without its fraction only.
    day = pl.lit("2001-01-01 ") + how.matching(text)
    moment = day.str.to_datetime(f"%Y-%m-%d {how.polars}", strict=False, exact=True, time_unit="us")
    return moment.dt.time()


Unit = Literal["milliseconds", "seconds", "minutes", "hours", "days"]
MICROSECONDS: dict[str, int] = {
    "milliseconds": 1_000, "seconds": 1_000_000, "minutes": 60_000_000,
    "hours": 3_600_000_000, "days": 86_400_000_000,
}  # fmt: skip
LENGTH = pl.Decimal(18, 6)
CLOCKED = r"^([+-]?)([0-9]{1,7}):([0-5][0-9])(?::([0-5][0-9])(\.[0-9]{1,6})?0*)?$"
ISO_LENGTH = (
    r"^([+-]?)P(?:([0-9]{1,7})W)?(?:([0-9]{1,7})D)?"
    r"(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,11})(\.[0-9]{1,6})?0*S)?)?$"
)
SOMETHING = "[0-9][WDHMS]"
NUMBER = r"^[+-]?[0-9]{1,11}(?:\.[0-9]{1,6}0*)?$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A length of time, to the microsecond. Stored as seconds, NUMERIC(18,6).

    On SQLite it is TEXT `PT5400.000000S`. Reads hours, minutes and seconds as a clock shows
    them (`1:30`, `-838:59:59`, `36:00:00.5`: the hours may be more than 24), ISO 8601 without
    years and months (`PT1H30M`, `P2DT5.5S`, `P1W`), and a bare number, which counts `unit`.
    What is finer than a microsecond is refused, and so are more than a hundred thousand million
    seconds.
    """

    unit: Annotated[Unit, "What a bare number counts."] = "seconds"

    @property
    def dtype(self) -> pl.DataType:
        return LENGTH

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string", "number"})

    def read(self, text: pl.Expr) -> pl.Expr:
        return in_turn(text, (_clocked, _iso, self._counted), self.dtype)

    def _counted(self, text: pl.Expr) -> pl.Expr:
        number = pl.when(text.str.contains(NUMBER)).then(text).cast(pl.Decimal(38, 6), strict=False)
        return _seconds(in_stages(number * MICROSECONDS[self.unit], _if_whole, pl.Int128()))

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.digits(18, 6)

    def show(self, column: pl.Expr) -> pl.Expr:
        # Not as a number, which `unit` would have count something else.
        text = column.cast(pl.String)
        sign = pl.when(text.str.starts_with("-")).then(pl.lit("-")).otherwise(pl.lit(""))
        return pl.when(text.is_not_null()).then(
            pl.concat_str(sign, pl.lit("PT"), text.str.strip_prefix("-"), pl.lit("S"))
        )

    def sample(self, random: Random) -> object:
        minutes = random.randint(1, 600)
        return random.choice((f"{minutes // 60}:{minutes % 60:02}:00", f"PT{minutes}M", minutes))

    def spoil(self, random: Random) -> object | None:
        return random.choice(("long", "1:60", "P1M", "PT", "1.5.2", "1e3"))


def _clocked(text: pl.Expr) -> pl.Expr:
    return _in_units(text, CLOCKED, (3600, 60, 1), text.str.contains(":", literal=True))


def _iso(text: pl.Expr) -> pl.Expr:
    read = text.str.contains(ISO_LENGTH) & text.str.contains(SOMETHING)
    read &= ~text.str.ends_with("T")
    return _in_units(text, ISO_LENGTH, (604_800, 86_400, 3600, 60, 1), read)


def _in_units(text: pl.Expr, pattern: str, units: Sequence[int], read: pl.Expr) -> pl.Expr:
    """Add up a pattern's groups: a sign, how many of each unit, which are seconds, a fraction."""

    def total(parts: pl.Expr) -> pl.Expr:
        sign, *whole, fraction = (parts.struct[f"{at}"] for at in range(1, len(units) + 3))
        seconds = pl.sum_horizontal(
            _whole(part) * unit for part, unit in zip(whole, units, strict=True)
        )
        number = _signed(seconds * 1_000_000 + _fraction(fraction), sign)
        return pl.when(sign.is_not_null()).then(number)

    parts = pl.when(read).then(text).str.extract_groups(pattern)
    return _seconds(in_stages(parts, total, pl.Int64()))


def _whole(digits: pl.Expr) -> pl.Expr:
    return digits.cast(pl.Int64, strict=False).fill_null(0)


def _fraction(text: pl.Expr) -> pl.Expr:
    """Return the microseconds of `.5`."""
    return _whole(text.str.strip_prefix(".").str.pad_end(6, "0"))


def _signed(number: pl.Expr, sign: pl.Expr) -> pl.Expr:
    return pl.when(sign == "-").then(-number).otherwise(number)


MOST = 10**17
"""Microseconds: a hundred thousand million seconds."""


def _if_whole(number: pl.Expr) -> pl.Expr:
    return pl.when(number % 1 == 0).then(number).cast(pl.Int128, strict=False)


def _seconds(microseconds: pl.Expr) -> pl.Expr:
    return in_stages(in_stages(microseconds, _near, pl.Int64()), _as_decimal, LENGTH)


def _near(microseconds: pl.Expr) -> pl.Expr:
    return pl.when(microseconds.abs() <= MOST).then(microseconds).cast(pl.Int64, strict=False)


def _as_decimal(near: pl.Expr) -> pl.Expr:
    sign = pl.when(near < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    digits = near.abs().cast(pl.String).str.zfill(7)
    text = pl.concat_str(sign, digits.str.head(-6), pl.lit("."), digits.str.tail(6))
    return text.cast(LENGTH, strict=False)
