"""Types that are words: any text, yes or no, one of a list, JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, Literal

import polars as pl

from crmmap.declare import Limits, OneOrMany
from crmmap.kinds.once import in_stages, on_distinct
from crmmap.kinds.people import some_words

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Any text, kept as it is. Stored as TEXT; with a length as VARCHAR on PostgreSQL.

    A JSON number becomes the text of its digits as they were sent: `12` and
    `"12"` are the same text, `12` and `12.0` are not; an exponent is written
    out. A JSON boolean, object or list is refused. Length is counted in
    characters (code points); a longer value is refused, never cut.
    """

    length: Annotated[
        int | None, "Characters at most; a longer value is refused.", Limits(minimum=1)
    ] = None

    @property
    def dtype(self) -> pl.DataType:
        return pl.String()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string", "number"})

    def read(self, text: pl.Expr) -> pl.Expr:
        if self.length is None:
            return text
        return pl.when(text.str.len_chars() <= self.length).then(text)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.text(self.length)

    def show(self, column: pl.Expr) -> pl.Expr:
        return column

    def sample(self, random: Random) -> object:
        return some_words(random)[: self.length].strip()

    def spoil(self, random: Random) -> object | None:
        return None if self.length is None else "x" * (self.length + random.randint(1, 9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Boolean:
    """Yes or no, by lists of words in any case. Stored as BOOLEAN; as INTEGER 1 or 0 on SQLite.

    `true` and `false`, which JSON's own booleans are written as, are always
    among the words. A word on neither list is refused.
    """

    yes: Annotated[tuple[str, ...], OneOrMany(), "Words that mean yes, in any case."] = (
        "true", "yes", "y", "t", "1", "on",
    )  # fmt: skip
    no: Annotated[tuple[str, ...], OneOrMany(), "Words that mean no, in any case."] = (
        "false", "no", "n", "f", "0", "off",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if both := sorted(set(self._words(self.yes, "true")) & set(self._words(self.no, "false"))):
            message = f"'{both[0]}' means both yes and no. Take it off one of the lists"
            raise ValueError(message)

    @property
    def dtype(self) -> pl.DataType:
        return pl.Boolean()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string", "number", "boolean"})

    @staticmethod
    def _words(words: tuple[str, ...], own: str) -> list[str]:
        return [own, *(each.lower() for each in words)]

    def read(self, text: pl.Expr) -> pl.Expr:
        return in_stages(text.str.to_lowercase(), self._meant, self.dtype)

    def _meant(self, lower: pl.Expr) -> pl.Expr:
        yes = pl.when(lower.is_in(self._words(self.yes, "true"))).then(statement=True)
        return yes.when(lower.is_in(self._words(self.no, "false"))).then(statement=False)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.FLAG

    def show(self, column: pl.Expr) -> pl.Expr:
        return column.cast(pl.String)

    def sample(self, random: Random) -> object:
        word = random.choice((self.yes, self.no))[:1]
        return word[0] if word else True

    def spoil(self, random: Random) -> object | None:
        return random.choice(("perhaps", "?", 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    """One of a list of texts; any other is refused. Stored as VARCHAR; as TEXT on SQLite."""

    values: Annotated[tuple[str, ...], "The texts that are allowed.", Limits(min_items=1)]
    case: Annotated[
        Literal["exact", "ignore"],
        "`ignore`: read in any case, and stored as it is written in `values`.",
    ] = "exact"

    def __post_init__(self) -> None:
        if len({self._folded(value) for value in self.values}) < len(self.values):
            message = "`values` lists a value twice. Each may stand once"
            raise ValueError(message)

    def _folded(self, value: str) -> str:
        return value.lower() if self.case == "ignore" else value

    @property
    def dtype(self) -> pl.DataType:
        return pl.String()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string", "number"})

    def read(self, text: pl.Expr) -> pl.Expr:
        if self.case == "exact":
            return pl.when(text.is_in(self.values)).then(text)
        known = {self._folded(value): value for value in self.values}
        return text.str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.String())

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.text(max(len(value) for value in self.values))

    def show(self, column: pl.Expr) -> pl.Expr:
        return column

    def sample(self, random: Random) -> object:
        return random.choice(self.values)

    def spoil(self, random: Random) -> object | None:
        return max(self.values, key=len) + "?" * random.randint(1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Json:
    r"""Any JSON value: object, list, text, number. Stored as JSONB on PostgreSQL, else as TEXT.

    White space between its parts is removed; order, digits and escapes stay as
    they were sent. A text that is not JSON (RFC 8259: no NaN, no comments) is
    refused, and so is one that no database can store: with `\u0000` in a text,
    half of a surrogate pair, or nested hundreds deep.
    """

    @property
    def dtype(self) -> pl.DataType:
        return pl.String()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string", "number", "boolean", "container"})

    def read(self, text: pl.Expr) -> pl.Expr:
        return on_distinct(text, _compact)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.document()

    def show(self, column: pl.Expr) -> pl.Expr:
        return column

    def sample(self, random: Random) -> object:
        return {"label": some_words(random), "rank": random.randint(1, 9), "tags": ["new"]}

    def spoil(self, random: Random) -> object | None:
        return None


SPACE = re.compile(r"[ \t\r\n]")
TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')
STORABLE = re.compile("[^\0\ud800-\udfff]*")


def _compact(text: str) -> str | None:
    try:
        CHECKED.decode(text)
    except (ValueError, RecursionError):
        return None
    if not _storable(text):
        return None
    return TOKEN.sub(r"\1", text) if SPACE.search(text) else text


def _no_constant(name: str) -> object:
    message = f"{name} is not JSON"
    raise ValueError(message)


CHECKED = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_constant)
"""Numbers are checked, not converted: a number of 5,000 digits is still JSON."""


def _storable(text: str) -> bool:
    if "\\u" not in text:
        return True
    strings = (match[1] for match in TOKEN.finditer(text) if match[1])
    return all(STORABLE.fullmatch(json.loads(string)) for string in strings)
