"""What a value must satisfy once it has its type. A null passes: `required` is the field's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Protocol

import polars as pl

from crmmap.declare import Limits, OneOrMany

PLACES = 38
"""Decimal places that a number to compare with may have, as polars holds decimals."""


class Check(Protocol):
    """What every check offers. Its word in the table is the rule that a reject names."""

    def applies_to(self, dtype: pl.DataType) -> bool:
        """Say whether columns of this dtype can be checked."""
        ...

    def passes(self, column: pl.Expr) -> pl.Expr:
        """Return a Boolean expression, null where the value is null."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Min:
    """The number is at least this. Of integer, number and decimal; compared exactly."""

    value: Annotated[float, "The smallest number that passes."]

    def applies_to(self, dtype: pl.DataType) -> bool:
        return dtype.is_numeric()

    def passes(self, column: pl.Expr) -> pl.Expr:
        return column >= _exactly(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Max:
    """The number is at most this. Of integer, number and decimal; compared exactly."""

    value: Annotated[float, "The greatest number that passes."]

    def applies_to(self, dtype: pl.DataType) -> bool:
        return dtype.is_numeric()

    def passes(self, column: pl.Expr) -> pl.Expr:
        return column <= _exactly(self.value)


def _exactly(number: float) -> pl.Expr:
    # 0.1 means one tenth, as it is written, and not the nearest binary fraction.
    if isinstance(number, int) or number.is_integer():
        return pl.lit(int(number))
    exact = Decimal(repr(number))
    if -int(exact.as_tuple().exponent) > PLACES:
        # polars makes a literal of it, and panics where that is compared.
        message = f"{number} has more than {PLACES} decimal places"
        raise ValueError(message)
    return pl.lit(exact)


@dataclass(frozen=True, slots=True, kw_only=True)
class MinLength:
    """The text has at least so many characters."""

    value: Annotated[int, "Characters (code points).", Limits(minimum=0)]

    def applies_to(self, dtype: pl.DataType) -> bool:
        return dtype == pl.String

    def passes(self, column: pl.Expr) -> pl.Expr:
        return column.str.len_chars() >= self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxLength:
    """The text has at most so many characters."""

    value: Annotated[int, "Characters (code points).", Limits(minimum=0)]

    def applies_to(self, dtype: pl.DataType) -> bool:
        return dtype == pl.String

    def passes(self, column: pl.Expr) -> pl.Expr:
        return column.str.len_chars() <= self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """The whole text matches a regular expression, as Rust's regex crate writes them.

    There is no lookahead and no back reference, so that no text can make it slow.
    """

    value: Annotated[str, "The expression. It need not say ^ and $.", Limits(min_length=1)]

    def __post_init__(self) -> None:
        if re.search(r"\(\?[a-zA-Z]*x", self.value):
            # A comment at its end would swallow what we put around it.
            message = "uses the flag x (spaces and comments), which is not allowed"
            raise ValueError(message)

    def applies_to(self, dtype: pl.DataType) -> bool:
        return dtype == pl.String

    def passes(self, column: pl.Expr) -> pl.Expr:
        return column.str.contains(rf"\A(?:{self.value})\z")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf:
    """The value is one of these. Of text, integer and boolean, written as they are shown."""

    value: Annotated[tuple[str, ...], OneOrMany(), "The values that pass.", Limits(min_items=1)]

    def applies_to(self, dtype: pl.DataType) -> bool:
        return dtype in (pl.String, pl.Boolean) or dtype.is_integer()

    def passes(self, column: pl.Expr) -> pl.Expr:
        return column.cast(pl.String).is_in(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """The date or moment is later than this; a day alone stands for its midnight in UTC."""

    value: Annotated[str, "ISO 8601: `2020-01-01`, `2020-01-01T08:00:00Z`. UTC if no zone."]

    def __post_init__(self) -> None:
        _moment(self.value)

    def applies_to(self, dtype: pl.DataType) -> bool:
        return dtype.is_temporal()

    def passes(self, column: pl.Expr) -> pl.Expr:
        return column.cast(UTC_MOMENT) > pl.lit(_moment(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The date or moment is earlier than this; a day alone stands for its midnight in UTC."""

    value: Annotated[str, "ISO 8601: `2020-01-01`, `2020-01-01T08:00:00Z`. UTC if no zone."]

    def __post_init__(self) -> None:
        _moment(self.value)

    def applies_to(self, dtype: pl.DataType) -> bool:
        return dtype.is_temporal()

    def passes(self, column: pl.Expr) -> pl.Expr:
        return column.cast(UTC_MOMENT) < pl.lit(_moment(self.value))


UTC_MOMENT = pl.Datetime("us", "UTC")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = "is not a date or moment in ISO 8601, as 2020-01-01 or 2020-01-01T08:00:00Z"
        raise ValueError(message) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


CHECKS: dict[str, type[Check]] = {
    "min": Min,
    "max": Max,
    "min_length": MinLength,
    "max_length": MaxLength,
    "pattern": Pattern,
    "one_of": OneOf,
    "after": After,
    "before": Before,
}


def rule_name(check: Check) -> str:
    """Return the word by which mappings and rejects name this check."""
    return next(word for word, kind in CHECKS.items() if kind is type(check))
