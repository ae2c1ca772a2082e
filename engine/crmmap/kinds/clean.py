"""Steps that tidy a text before it is given its type. Text in, text out; null stays null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import polars as pl

from crmmap.declare import Limits, OneOrMany


class Clean(Protocol):
    """What every cleaning step offers."""

    def apply(self, text: pl.Expr) -> pl.Expr:
        """Turn a String expression into another, naming it once.

        polars evaluates an expression anew wherever it stands, so a chain of
        steps that name it twice would double with each.
        """
        ...


SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000\u180e\u200b\u2060\ufeff"
)
"""Unicode's white space, then the marks without width that copied texts carry along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trim:
    """Remove white space at both ends: all of Unicode's, and spaces without width."""

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.strip_chars(SPACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollapseSpaces:
    """Replace every run of white space, line ends too, by one space."""

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.replace_all(f"[{SPACE}]+", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyToNull:
    """Read an empty text as no value."""

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.replace("", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lower:
    """Write in lower case."""

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.to_lowercase()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upper:
    """Write in upper case."""

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.to_uppercase()


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """Write each word with a capital first letter: `jane DOE` becomes `Jane Doe`."""

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.to_titlecase()


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """Keep the digits 0 to 9 only."""

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.replace_all("[^0-9]+", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class StripTags:
    """Replace HTML tags and comments by a space. Entities such as `&amp;` stay as they are."""

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.replace_all(r"(?s)<!--.*?-->|</?[A-Za-z][^<>]*>", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class NullIf:
    """Read certain texts (`n/a`, `-`) as no value. They must match exactly."""

    value: Annotated[
        tuple[str, ...], OneOrMany(), Limits(min_items=1), "Texts that mean: no value."
    ]

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.replace(list(self.value), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Replace every occurrence of a text by another."""

    find: Annotated[str, "What to look for.", Limits(min_length=1)]
    with_: Annotated[str, "What to put in its place."] = ""
    regex: Annotated[bool, "`find` is a regular expression."] = False

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.replace_all(self.find, self.with_, literal=not self.regex)


@dataclass(frozen=True, slots=True, kw_only=True)
class StripPrefix:
    """Remove a text at the start, once."""

    value: Annotated[str, "The text at the start.", Limits(min_length=1)]

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.strip_prefix(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class StripSuffix:
    """Remove a text at the end, once."""

    value: Annotated[str, "The text at the end.", Limits(min_length=1)]

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.strip_suffix(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """Replace whole values by others. A value that is not listed stays as it is."""

    values: Annotated[Mapping[str, str], "Value as it stands → value wanted."]

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.replace(dict(self.values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalize:
    """Write each character in one way only (Unicode normalisation, UAX 15)."""

    form: Annotated[Literal["NFC", "NFD", "NFKC", "NFKD"], "The normal form."] = "NFC"

    def apply(self, text: pl.Expr) -> pl.Expr:
        return text.str.normalize(self.form)


CLEAN: dict[str, type[Clean]] = {
    "trim": Trim,
    "collapse_spaces": CollapseSpaces,
    "empty_to_null": EmptyToNull,
    "lower": Lower,
    "upper": Upper,
    "title": Title,
    "digits": Digits,
    "strip_tags": StripTags,
    "null_if": NullIf,
    "replace": Replace,
    "strip_prefix": StripPrefix,
    "strip_suffix": StripSuffix,
    "map": Map,
    "normalize": Normalize,
}

TIDYING = (Trim, CollapseSpaces, EmptyToNull, Lower, Upper, StripTags, Normalize)
"""The kinds of steps that leave a number as it is: digits, one point, and a minus."""

IDLE = (Trim, EmptyToNull)
"""The kinds of steps that leave a neat text as it is: one that begins and ends in visible ASCII."""
NEAT = b"!~"
"""The first and the last sign of visible ASCII, as bytes."""
