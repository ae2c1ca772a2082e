"""Types that are numbers: whole, approximate, exact."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal as Exact
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, Literal

import polars as pl

from crmmap.declare import Limits
from crmmap.kinds.once import in_stages, in_turn

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

DIGITS = frozenset({"string", "number"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """A whole number of 64 bits. Stored as BIGINT; as INTEGER on SQLite.

    Reads `5`, `+5`, `-5`, `007`, and `5.0`, which is whole; refuses `5.5`, an
    exponent, separators, and what is beyond ±9,223,372,036,854,775,807.
    """

    @property
    def dtype(self) -> pl.DataType:
        return pl.Int64()

    @property
    def accepts(self) -> frozenset[str]:
        return DIGITS

    def read(self, text: pl.Expr) -> pl.Expr:
        return in_turn(
            text, (_whole_number, lambda text: _whole_number(_unpointed(text))), self.dtype
        )

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.WHOLE

    def show(self, column: pl.Expr) -> pl.Expr:
        return column.cast(pl.String)

    def sample(self, random: Random) -> object:
        return random.randint(0, 10 ** random.randint(1, 6))

    def spoil(self, random: Random) -> object | None:
        return random.choice((5.5, "five", "1,5", 2**63))


def _whole_number(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.Int64, strict=False)


def _unpointed(text: pl.Expr) -> pl.Expr:
    """Return `5` of `5.` and `5.0`."""
    return text.str.replace(r"([0-9])\.0*$", "${1}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """An approximate number of 64 bits. Stored as DOUBLE PRECISION; as REAL on SQLite.

    Reads `1.5`, `.5`, `5.` and `1.5e3`; refuses NaN, Infinity and what is too
    large to be anything else. For money take `decimal`.
    """

    @property
    def dtype(self) -> pl.DataType:
        return pl.Float64()

    @property
    def accepts(self) -> frozenset[str]:
        return DIGITS

    def read(self, text: pl.Expr) -> pl.Expr:
        return in_stages(text.cast(pl.Float64, strict=False), _finite, self.dtype)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.REAL

    def show(self, column: pl.Expr) -> pl.Expr:
        return column.cast(pl.String)

    def sample(self, random: Random) -> object:
        return round(random.uniform(0, 1000), 3)

    def spoil(self, random: Random) -> object | None:
        return random.choice(("NaN", "Infinity", "1e999", "1,5", "many"))


def _finite(number: pl.Expr) -> pl.Expr:
    # -0.0 equals 0.0, so both must have one text.
    return pl.when(number == 0).then(0.0).when(number.is_finite()).then(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decimal:
    """An exact decimal number, for money. Stored as NUMERIC; as TEXT with all its places on SQLite.

    It is made from the digits as they were sent, never through a floating
    number. More digits after the point than `scale` are refused unless they
    are zeros, or `round` says otherwise; too many before it are always refused.
    So is an exponent: a spreadsheet that writes `1.2E+05` has dropped digits.
    """

    precision: Annotated[int, "Digits in all.", Limits(1, 38)] = 18
    scale: Annotated[int, "Digits after the point.", Limits(0, 38)] = 2
    round: Annotated[
        Literal["refuse", "half_even", "half_up"],
        "What happens to further digits. A half goes to the even neighbour, or away from zero.",
    ] = "refuse"
    group: Annotated[
        str, "Thousands separator, one character (`,`). It must part groups of three digits."
    ] = ""
    point: Annotated[str, "Decimal point, one character.", Limits(pattern="^[^0-9+-]$")] = "."
    currency: Annotated[bool, "A currency sign (`$`, `€`) before or after is dropped."] = False

    def __post_init__(self) -> None:
        if self.scale > self.precision:
            message = f"scale {self.scale} is more than precision {self.precision}"
            raise ValueError(message)
        if not re.fullmatch(r"[^0-9+-]?", self.group) or self.group == self.point:
            message = "group must be one character, no digit or sign, and not the point"
            raise ValueError(message)

    @property
    def dtype(self) -> pl.DataType:
        return pl.Decimal(self.precision, self.scale)

    @property
    def accepts(self) -> frozenset[str]:
        return DIGITS

    def read(self, text: pl.Expr) -> pl.Expr:
        if not self.currency:
            return self._bare(text)
        ways = (self._unsigned, lambda text: self._bare(_without_currency(text)))
        return in_turn(text, ways, self.dtype)

    def _unsigned(self, text: pl.Expr) -> pl.Expr:
        # A point may be a currency sign, so a text with one is never read as it is.
        return self._bare(pl.when(~text.str.contains(r"\p{Sc}")).then(text))

    def _bare(self, text: pl.Expr) -> pl.Expr:
        if self.group:
            text = in_stages(text, self._ungrouped, pl.String())
        if self.point != ".":
            text = in_stages(text, self._pointed, pl.String())
        ways = (self._exact,) if self.round == "refuse" else (self._exact, self._rounded)
        return in_turn(text, ways, self.dtype)

    def _ungrouped(self, text: pl.Expr) -> pl.Expr:
        group, point = re.escape(self.group), re.escape(self.point)
        grouped = rf"^[+-]?[0-9]{{1,3}}(?:{group}[0-9]{{3}})+(?:{point}[0-9]*)?$"
        bare = text.str.replace_all(self.group, "", literal=True)
        return pl.when(text.str.contains(grouped)).then(bare).otherwise(text)

    def _pointed(self, text: pl.Expr) -> pl.Expr:
        pointed = text.str.replace(self.point, ".", literal=True)
        # A "." that is no group was no point of theirs either.
        return pl.when(~text.str.contains(".", literal=True)).then(pointed)

    def _exact(self, plain: pl.Expr) -> pl.Expr:
        fits = plain.str.contains(rf"^[+-]?[0-9]*(?:\.[0-9]{{0,{self.scale}}}0*)?$")
        # polars' own cast rounds without a word, hence the pattern.
        return pl.when(fits).then(plain).cast(self.dtype, strict=False)

    def _rounded(self, plain: pl.Expr) -> pl.Expr:
        """Cut after `scale` digits, then add one unit where what was cut asks for it."""
        whole = plain.str.replace(r"^([+-]?)\.([0-9])", "${1}0.${2}")
        kept = whole.str.extract(rf"^([+-]?[0-9]+(?:\.[0-9]{{0,{self.scale}}})?)[0-9]*$")
        cut = whole.str.extract(rf"\.[0-9]{{{self.scale}}}([0-9]+)$")
        value = kept.cast(self.dtype, strict=False)
        unit, most = self._literal(1), self._literal(10**self.precision - 1)
        # polars raises where a sum has no room.
        room = pl.when((value < most) & (value > -most)).then(value)
        step = pl.when(plain.str.starts_with("-")).then(-unit).otherwise(unit)
        up = self._goes_up(kept, cut).fill_null(value=False)
        return pl.when(up).then((room + step).cast(self.dtype, strict=False)).otherwise(value)

    def _literal(self, units: int) -> pl.Expr:
        # By way of text: arithmetic of decimals rounds to 28 digits.
        return pl.lit(Exact(f"{units}E-{self.scale}"))

    def _goes_up(self, kept: pl.Expr, cut: pl.Expr) -> pl.Expr:
        if self.round == "half_up":
            return cut.str.contains("^[5-9]")
        beyond_half = cut.str.contains("^(?:[6-9]|5.*[1-9])")
        half = cut.str.contains("^50*$") & kept.str.contains(r"[13579]\.?$")
        return beyond_half | half

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.digits(self.precision, self.scale)

    def show(self, column: pl.Expr) -> pl.Expr:
        return column.cast(pl.String)

    def sample(self, random: Random) -> object:
        digits = random.randint(1, min(self.precision - self.scale, 6) or 1)
        most = 10 ** min(self.precision, digits + self.scale) - 1
        value = Exact(random.randint(0, most)).scaleb(-self.scale)
        text = f"{value:,f}" if self.group else f"{value:f}"
        return text.translate({ord(","): self.group, ord("."): self.point})

    def spoil(self, random: Random) -> object | None:
        too_large = "9" * (self.precision - self.scale + 1)
        return random.choice(("twelve", "1.2.3", "1e2", too_large))


def _without_currency(text: pl.Expr) -> pl.Expr:
    sign_first, sign_last = r"\p{Sc}\s*([^\p{Sc}]*)", r"([^\p{Sc}]*[0-9.,])\s*\p{Sc}"
    return text.str.replace(rf"^([+-]?)(?:{sign_first}|{sign_last})$", "${1}${2}${3}")
