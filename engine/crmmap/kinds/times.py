"""Types that are times: a day, a moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, Literal

import polars as pl

from crmmap.declare import OneOrMany, SettingText
from crmmap.kinds.flexible import flexible_date, flexible_datetime
from crmmap.kinds.once import Way, in_stages, in_turn, on_distinct, within
from crmmap.kinds.time_formats import ZONE, Halves, TimeFormat, halves, time_format

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
MINUTE = "[0-9]{2}:[0-9]{2}"
ISO_DATE = TimeFormat(polars="%Y-%m-%d", pattern=f"^{DAY}$", zoned=False)
FIXED = tuple(
    TimeFormat(
        polars=f"%Y-%m-%d{between}%H:%M:%S{word}{zone}",
        pattern=f"^{DAY}{between}{MINUTE}:[0-5][0-9]{pattern}{zone}$",
        zoned=bool(zone),
        length=length,
    )
    for between, word, pattern, zone, length in (
        ("T", "", "", "Z", 20),
        ("T", ".%3f", "[.][0-9]{3}", "Z", 24),
        ("T", ".%6f", "[.][0-9]{6}", "Z", 27),
        ("T", "", "", "", 19),
        (" ", "", "", "", 19),
    )
)
"""What most moments are written as, without parts that may be missing: polars reads it faster."""
PARTS = rf"^({DAY})(?:[T ]({MINUTE})(:[0-5][0-9](?:\.[0-9]{{1,9}})?)?({ZONE})?)?$"
"""The day of a moment in ISO 8601, its hour and minute, its second and its zone."""
WHOLE = "%Y-%m-%dT%H:%M:%S%.f"
SHOWN = "%Y-%m-%dT%H:%M:%S%.6fZ"
"""How a moment is shown: of one width, so that texts sort as their moments do."""
AS_SHOWN = FIXED[2]

EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000}
"""Formats that count from 1970 → the microseconds of what they count."""

ODATA = r"^/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/$"
"""Milliseconds since 1970 as OData's JSON has them; the zone behind them changes nothing."""

MAIL = tuple(time_format(f"%d %b %Y {clock} %z", with_time=True) for clock in ("%H:%M:%S", "%H:%M"))
MAIL_DAY = r"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +"
MAIL_ZONES = {
    "GMT": "+0000", "UTC": "+0000", "UT": "+0000", "EST": "-0500", "EDT": "-0400", "CST": "-0600",
    "CDT": "-0500", "MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}  # fmt: skip
"""The names of zones that RFC 2822 knows."""

WORDED = {*EPOCHS, "iso", "odata", "rfc2822"}
"""Formats that are a word, not a pattern."""

ZERO_RESTS = ("", "Z", ".000", ".000Z", ".000000", ".0000000")
ZERO = tuple(
    day + clock
    for day in ("0000-00-00", "0001-01-01")
    for clock in ("", *(f"{between}00:00:00{rest}" for between in " T" for rest in ZERO_RESTS))
)
"""How sources write that there is no date: zeros, or the first day that their language knows."""

ZEROS = Annotated[
    Literal["refuse", "null"],
    "What becomes of a date that says that there is none, `0000-00-00` or `0001-01-01` (both "
    "with midnight, too): it is refused, or null.",
]

LOCAL = pl.Datetime("us")
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Date:
    """A day. Stored as DATE; as TEXT `2024-12-31` on SQLite.

    Reads ISO 8601 (`2024-12-31`), or else the formats that are given, tried in
    order against the whole text. The words of a format are those of Python's
    strptime: %Y %y %m %b %B %d %j %a %A. A text that also names a time is
    refused: take `datetime`.
    """

    formats: Annotated[
        tuple[str, ...], OneOrMany(), "How days are written, as `%m/%d/%Y`. ISO 8601 if none."
    ] = ()
    flexible: Annotated[
        bool, "Also try to understand what no format matches. Where in doubt it is refused."
    ] = False
    zero: ZEROS = "refuse"

    def __post_init__(self) -> None:
        for text in self.formats:
            _refuse_lookalike(text, time_format(text, with_time=False))

    @property
    def dtype(self) -> pl.DataType:
        return pl.Date()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string", "number"})

    def read(self, text: pl.Expr) -> pl.Expr:
        formats = (*(time_format(each, with_time=False) for each in self.formats), ISO_DATE)
        ways: list[Way] = [partial(_day, how=each) for each in formats]
        if self.flexible:
            ways.append(lambda text: _day(on_distinct(text, flexible_date), ISO_DATE))
        return in_turn(text, ways, self.dtype)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.DAY

    def show(self, column: pl.Expr) -> pl.Expr:
        return column.dt.to_string("%Y-%m-%d")

    def sample(self, random: Random) -> object:
        return _some_moment(random).strftime(self.formats[0] if self.formats else "%Y-%m-%d")

    def spoil(self, random: Random) -> object | None:
        return random.choice(("soon", "2024-02-30", "0000-00-00", "31", "2024-01-01T10:00:00Z"))


def _day(text: pl.Expr, how: TimeFormat) -> pl.Expr:
    day = how.matching(text).str.to_date(how.polars, strict=False, exact=True)
    return within(_in_century(day, how, pl.Date()), date.min, date.max, pl.Date())


def _in_century(time: pl.Expr, how: TimeFormat, dtype: pl.DataType) -> pl.Expr:
    """Return the time of a `%y` in Python's century: 69 is 1969, which is 2069 to polars."""
    if "%y" not in how.polars or "%Y" in how.polars:
        return time

    def earlier(time: pl.Expr) -> pl.Expr:
        late = time.dt.year() == 2069
        return pl.when(late).then(time.dt.offset_by("-100y")).otherwise(time)

    return in_stages(time, earlier, dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Datetime:
    """A moment, to the microsecond. Stored in UTC as TIMESTAMP WITH TIME ZONE.

    Reads ISO 8601 (`2024-12-31T23:59:59.5Z`; `T` or a space; seconds, fraction
    and zone may be missing; a day alone is its midnight), or else the formats
    that are given, tried in order against the whole text. The words of a format
    are those of Python's strptime: %Y %y %m %b %B %d %j %a %A %H %I %M %S %p
    .%f %z, or it is a word: `epoch_s` or `epoch_ms`, seconds or milliseconds
    since 1970 (after each other they read both); `odata`, like `/Date(1464620400000)/`;
    `rfc2822`, like `Fri, 05 Jan 2024 10:00:00 +0000`; `iso`, for ISO 8601 beside
    others. Fractions finer than a microsecond are cut; second 60 and hour 24 are
    refused. On SQLite it is TEXT `2024-12-31T23:59:59.500000Z`, which sorts.
    """

    formats: Annotated[
        tuple[str, ...],
        OneOrMany(),
        "How moments are written, as `%m/%d/%Y %I:%M %p`. ISO 8601 if none.",
    ] = ()
    zone: Annotated[
        SettingText, "Time zone of texts that name none, as IANA calls it: `America/New_York`."
    ] = "UTC"
    ambiguous: Annotated[
        Literal["refuse", "earliest", "latest"],
        "A local time that came twice as clocks went back. One that clocks skipped is refused.",
    ] = "refuse"
    flexible: Annotated[
        bool, "Also try to understand what no format matches. Where in doubt it is refused."
    ] = False
    zero: ZEROS = "refuse"

    def __post_init__(self) -> None:
        for text in self.formats:
            if text not in WORDED:
                _refuse_lookalike(text, time_format(text, with_time=True))
        if "{" not in self.zone and self.zone != "UTC":  # which is known, and needs no polars
            _refuse_unknown(self.zone)

    @property
    def dtype(self) -> pl.DataType:
        return pl.Datetime("us", "UTC")

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string", "number"})

    def read(self, text: pl.Expr) -> pl.Expr:
        ways: list[Way] = [way for each in self.formats or ("iso",) for way in self._ways(each)]
        if self.formats:
            ways += self._moments([AS_SHOWN])
        if self.flexible:
            ways.append(lambda text: self._iso(on_distinct(text, flexible_datetime)))
        return within(in_turn(text, ways, self.dtype), FIRST, LAST, self.dtype)

    def _ways(self, how: str) -> list[Way]:
        if how == "iso":
            return [self._iso]
        if how in EPOCHS:
            return [partial(_counted, microseconds=EPOCHS[how])]
        if how == "odata":
            return [lambda text: _counted(text.str.extract(ODATA, 1), EPOCHS["epoch_ms"])]
        if how == "rfc2822":
            return [
                lambda text: in_turn(_without_day(text), self._moments(MAIL), self.dtype),
                lambda text: in_turn(_zone_as_number(text), self._moments(MAIL), self.dtype),
            ]
        any_such = partial(self._moment, how=time_format(how, with_time=True))
        mostly = halves(how)
        if mostly is None:
            return [any_such]
        half = partial(self._half, how=mostly)
        return [lambda text: in_turn(text, [half], self.dtype, every=any_such)]

    def _half(self, text: pl.Expr, how: Halves) -> pl.Expr:
        told = how.whole.matching(text)
        return self._in_utc(in_stages(told, partial(_of_half, how=how), LOCAL))

    def _moments(self, formats: Iterable[TimeFormat]) -> list[Way]:
        return [partial(self._moment, how=each) for each in formats]

    def _moment(self, text: pl.Expr, how: TimeFormat) -> pl.Expr:
        moment = _read(how.matching(text), how.polars)
        moment = _in_century(moment, how, pl.Datetime("us", "UTC" if how.zoned else None))
        return moment.dt.convert_time_zone("UTC") if how.zoned else self._in_utc(moment)

    def _in_utc(self, local: pl.Expr) -> pl.Expr:
        known = local.dt.replace_time_zone(
            self.zone,
            ambiguous="null" if self.ambiguous == "refuse" else self.ambiguous,
            non_existent="null",
        )
        return known.dt.convert_time_zone("UTC")

    def _iso(self, text: pl.Expr) -> pl.Expr:
        """Read ISO 8601: the ways that it is mostly written in, and all others as one."""
        return in_turn(text, self._moments(FIXED), self.dtype, every=self._any_iso)

    def _any_iso(self, text: pl.Expr) -> pl.Expr:
        def moment(parts: pl.Expr) -> pl.Expr:
            day, minute, second, zone = (parts.struct[at] for at in range(4))
            local = pl.concat_str(
                day, pl.lit("T"), minute.fill_null("00:00"), second.fill_null(":00")
            )
            zoned = _read(pl.concat_str(local, zone), f"{WHOLE}%#z").dt.convert_time_zone("UTC")
            return pl.coalesce(
                zoned, self._in_utc(_read(pl.when(zone.is_null()).then(local), WHOLE))
            )

        return in_stages(text.str.extract_groups(PARTS), moment, self.dtype)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.MOMENT

    def show(self, column: pl.Expr) -> pl.Expr:
        return column.dt.to_string(SHOWN)

    def sample(self, random: Random) -> object:
        moment = _some_moment(random)
        how = self.formats[0].removeprefix("iso") if self.formats else ""
        if how in EPOCHS:
            return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=EPOCHS[how])
        if how == "odata":
            return f"/Date({int(moment.timestamp() * 1000)})/"
        if how == "rfc2822":
            return moment.strftime("%a, %d %b %Y %H:%M:%S +0000")
        return moment.strftime(how or "%Y-%m-%dT%H:%M:%S.%fZ")

    def spoil(self, random: Random) -> object | None:
        return random.choice(("soon", "2024-02-30T10:00:00Z", "2024-01-01T25:00:00Z", "10 AM IST"))


def _of_half(text: pl.Expr, how: Halves) -> pl.Expr:
    """Return the local times of texts that end with AM or PM: their hours 1 to 11, and 12 for 0."""
    read = _read(text.str.head(-how.end), how.whole.polars)
    late = text.cast(pl.Binary).bin.get(-2).is_in([*b"Pp"])
    twelve = text.str.slice(how.at, 2) == "12"
    return read + (late.cast(pl.Int64) - twelve.cast(pl.Int64)) * pl.duration(hours=12)


def _read(text: pl.Expr, how: str) -> pl.Expr:
    return text.str.to_datetime(how, strict=False, exact=True, time_unit="us")


def _without_day(mail: pl.Expr) -> pl.Expr:
    return mail.str.replace(MAIL_DAY, "")


def _zone_as_number(mail: pl.Expr) -> pl.Expr:
    for name, offset in MAIL_ZONES.items():
        mail = mail.str.replace(f" {name}$", f" {offset}")
    return _without_day(mail)


def _counted(text: pl.Expr, microseconds: int) -> pl.Expr:
    # 10^18 microseconds still fit into 64 bits.
    digits = 18 - len(str(microseconds - 1))
    number = pl.when(text.str.contains(rf"^-?[0-9]{{1,{digits}}}(?:\.[0-9]{{1,9}})?$")).then(text)
    count = number.cast(pl.Decimal(27, 9), strict=False) * pl.lit(microseconds)
    return count.cast(pl.Int64, strict=False).cast(pl.Datetime("us", "UTC"))


@lru_cache(maxsize=1000)  # fields are many, and formats and zones few
def _refuse_lookalike(text: str, how: TimeFormat) -> None:
    """Refuse a format that reads our own way of showing a value as another value."""
    shown = pl.DataFrame({"text": ["2001-02-03", "2001-02-03T04:05:06.000007Z"]})
    day = how.matching(pl.col("text")).str.to_datetime(how.polars, strict=False).dt.date()
    if any(each not in (None, date(2001, 2, 3)) for each in shown.select(day).to_series()):
        message = f"the format '{text}' can be mistaken for ISO 8601, which means another day"
        raise ValueError(message)


@lru_cache(maxsize=1000)
def _refuse_unknown(zone: str) -> None:
    try:
        # polars takes no name at all for no zone.
        pl.Series([None], dtype=pl.Datetime("us")).dt.replace_time_zone(zone or "none")
    except pl.exceptions.PolarsError:
        message = f"zone '{zone}' is not known. Write it as IANA does: America/New_York"
        raise ValueError(message) from None


def _some_moment(random: Random) -> datetime:
    """Return a moment in office hours, when no clock is ever put forward or back."""
    day = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=random.randint(0, 1000))
    return day + timedelta(hours=random.randint(9, 16), milliseconds=random.randint(0, 3_599_999))
