"""Types that reach people: e-mail addresses and phone numbers."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl

from crmmap.declare import SettingText
from crmmap.kinds import numbering_plans
from crmmap.kinds.once import in_turn, on_distinct, unread
from crmmap.kinds.people import some_name

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

LONGEST_EMAIL = 254
ATOM = r"[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[\p{L}\p{M}\p{N}]+(?:-+[\p{L}\p{M}\p{N}]+)*"
EMAIL = rf"^{ATOM}(?:\.{ATOM})*@(?:{LABEL}\.)+{LABEL}$"
PLAIN_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
PLAIN_LABEL = "[a-z0-9]+(?:-+[a-z0-9]+)*"
PLAIN_LOCAL = rf"{PLAIN_ATOM}(?:\.{PLAIN_ATOM})*"
PLAIN_DOMAIN = rf"(?:{PLAIN_LABEL}\.)+{PLAIN_LABEL}"
PLAIN_EMAIL = rf"^{PLAIN_LOCAL}@{PLAIN_DOMAIN}$"
"""What is all ASCII, and in lower case where it will be: what most are, and stay as they are."""
ASCII_EMAIL = rf"^{PLAIN_LOCAL}@(?i-u:{PLAIN_DOMAIN})$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """One e-mail address, at most 254 characters. Stored as VARCHAR(254); as TEXT on SQLite.

    The domain is put in lower case; the part before the @, where case may
    matter, stays as it is (`clean: lower` makes it lower too). Refused: names
    around the address, several addresses, quoted local parts, a domain without
    a dot.
    """

    @property
    def dtype(self) -> pl.DataType:
        return pl.String()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string"})

    def read(self, text: pl.Expr) -> pl.Expr:
        return in_turn(text, (_plain_address, _ascii_address), self.dtype, every=_any_address)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.text(LONGEST_EMAIL)

    def show(self, column: pl.Expr) -> pl.Expr:
        return column

    def sample(self, random: Random) -> object:
        given, family = (_ascii(name).lower() for name in some_name(random))
        return f"{given}.{family}{random.randint(1, 9999)}@example.com"

    def spoil(self, random: Random) -> object | None:
        return random.choice(("nobody", "a@b@example.com", "none@", "Ada <ada@example.com>"))


def _plain_address(text: pl.Expr) -> pl.Expr:
    short = text.str.len_bytes() <= LONGEST_EMAIL
    return pl.when(short & text.str.contains(PLAIN_EMAIL)).then(text)


def _ascii_address(text: pl.Expr) -> pl.Expr:
    short = text.str.len_bytes() <= LONGEST_EMAIL
    return pl.when(short & text.str.contains(ASCII_EMAIL)).then(_domain_in_lower_case(text))


def _any_address(text: pl.Expr) -> pl.Expr:
    # Some letters grow as they become lower case.
    short = text.str.to_lowercase().str.len_chars() <= LONGEST_EMAIL
    return pl.when(short & text.str.contains(EMAIL)).then(_domain_in_lower_case(text))


def _domain_in_lower_case(text: pl.Expr) -> pl.Expr:
    parts = text.str.splitn("@", 2).struct
    return pl.concat_str(parts[0], pl.lit("@"), parts[1].str.to_lowercase())


def _ascii(name: str) -> str:
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()


LONGEST_PHONE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """One phone number, kept as E.164 with its extension. Stored as VARCHAR(32); as TEXT on SQLite.

    `(410) 555-0142 ext. 12` becomes `+14105550142;ext=12`. Numbers without a
    country code are taken as `region`'s. Refused: a number that the region's
    numbering plan does not have, and texts of more than 60 characters.
    """

    region: Annotated[SettingText, "Two-letter country of numbers that name none themselves."] = (
        "US"
    )

    def __post_init__(self) -> None:
        known = self.region == "US"  # without asking the library, whose import takes its time
        if not known and "{" not in self.region and not numbering_plans.knows(self.region):
            message = f"region '{self.region}' is not known. Write two capital letters, as in US"
            raise ValueError(message)

    @property
    def dtype(self) -> pl.DataType:
        return pl.String()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string", "number"})

    def read(self, text: pl.Expr) -> pl.Expr:
        short = pl.when(text.str.len_chars() <= LONGEST_PHONE).then(text)
        return short.map_batches(self._numbers, return_dtype=pl.String(), is_elementwise=True)

    def _numbers(self, texts: pl.Series) -> pl.Series:
        plain = numbering_plans.e164(texts, self.region)
        if plain.null_count() == texts.null_count():
            return plain
        odd = unread(plain, texts)
        asked = texts.gather(odd).to_frame("text")
        numbers = asked.select_seq(on_distinct(pl.col("text"), self._number))
        return plain.scatter(odd, numbers.to_series())

    def _number(self, text: str) -> str | None:
        import phonenumbers

        try:
            number = phonenumbers.parse(text, self.region)
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_valid_number(number):
            return None
        plain = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        return f"{plain};ext={number.extension}" if number.extension else str(plain)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.text(32)

    def show(self, column: pl.Expr) -> pl.Expr:
        return column

    def sample(self, random: Random) -> object:
        import phonenumbers

        number = None if self.region == "US" else phonenumbers.example_number(self.region)
        if number is None:
            return f"+1 ({random.choice((410, 443, 202))}) 555-01{random.randint(0, 99):02}"
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)

    def spoil(self, random: Random) -> object | None:
        return random.choice(("none", "000", "+999 1234567", "9" * 100))
