"""Types that point to something: an address in the web, an identifier without a meaning."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import polars as pl

from crmmap.declare import Limits
from crmmap.kinds.contacts import LABEL, PLAIN_LABEL
from crmmap.kinds.once import in_turn

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

LONGEST_URL = 2048
HOST = rf"(?:(?:{LABEL}\.)*{LABEL}|\[[0-9A-Fa-f:.]+\])"
REST = r"(?::[0-9]{1,5})?(?:[/?#][^\s\x00-\x1f\x7f<>\"{}|\\^`]*)?"
URL = rf"^(?i:https?)://{HOST}{REST}$"
PLAIN_URL = (
    rf"^https?://(?:{PLAIN_LABEL}\.)*{PLAIN_LABEL}(?::[0-9]{{1,5}})?"
    r"(?:[/?#][!#-;=?-\[\]_a-z~]*)?$"
)
"""What is ASCII, and in lower case where it will be: what most are, and stay as they are."""
BARE = rf"^(?:{LABEL}\.)+\p{{L}}{{2,}}{REST}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An address in the web, of `http` or `https`. Stored as VARCHAR(2048); as TEXT on SQLite.

    It has at most 2048 characters. Scheme and host are put in lower case, the rest stays as it
    is. Refused: other schemes, white space, a user or password before the host, and an address
    without a scheme unless `scheme` says which one it has.
    """

    scheme: Annotated[
        str | None, "What stands before an address that has none: `https`.",
        Limits(pattern="^https?$"),
    ] = None  # fmt: skip

    @property
    def dtype(self) -> pl.DataType:
        return pl.String()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string"})

    def read(self, text: pl.Expr) -> pl.Expr:
        if self.scheme is not None:
            bare = pl.concat_str(pl.lit(f"{self.scheme}://"), text)
            text = pl.when(text.str.contains(BARE)).then(bare).otherwise(text)
        return in_turn(text, (_plain_url, _any_url), self.dtype)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.text(LONGEST_URL)

    def show(self, column: pl.Expr) -> pl.Expr:
        return column

    def sample(self, random: Random) -> object:
        return f"https://www.example{random.randint(1, 99)}.com/about?page={random.randint(1, 9)}"

    def spoil(self, random: Random) -> object | None:
        return random.choice(("nowhere", "ftp://example.com", "https://", "https://a b.example"))


def _plain_url(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(PLAIN_URL) & (text.str.len_bytes() <= LONGEST_URL)).then(text)


def _any_url(text: pl.Expr) -> pl.Expr:
    origin = text.str.extract(r"^([^:]+://[^/?#]*)", 1)
    rest = text.str.extract(r"^[^:]+://[^/?#]*(.*)$", 1)
    fit = text.str.contains(URL) & (text.str.len_chars() <= LONGEST_URL)
    return pl.when(fit).then(pl.concat_str(origin.str.to_lowercase(), rest))


HEX = "[0-9a-fA-F]"
HYPHENED = rf"^{HEX}{{8}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{12}}$"
UUID_TEXT = (
    rf"^(?:(?:urn:uuid:)?{HEX}{{8}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{12}}"
    rf"|\{{{HEX}{{8}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{12}}\}}|{HEX}{{32}})$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uuid:
    """A UUID, also called GUID. Stored as VARCHAR(36); as TEXT on SQLite.

    It is kept in lower case with hyphens. Reads it in any case, in braces, after `urn:uuid:`,
    and without its hyphens. Two sources that write one identifier differently so give one text.
    """

    @property
    def dtype(self) -> pl.DataType:
        return pl.String()

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"string"})

    def read(self, text: pl.Expr) -> pl.Expr:
        return in_turn(text, (_hyphened, _in_digits), self.dtype)

    def sql(self) -> TypeEngine[Any]:
        from crmmap.kinds import stored

        return stored.text(36)

    def show(self, column: pl.Expr) -> pl.Expr:
        return column

    def sample(self, random: Random) -> object:
        return str(UUID(int=random.getrandbits(128), version=4))

    def spoil(self, random: Random) -> object | None:
        return random.choice(("unknown", "1234", "00000000-0000-4000-8000-00000000000g"))


def _hyphened(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(HYPHENED)).then(text.str.to_lowercase())


def _in_digits(text: pl.Expr) -> pl.Expr:
    digits = text.str.to_lowercase().str.strip_prefix("urn:uuid:").str.replace_all("[{}-]", "")
    parts = [digits.str.slice(at, length) for at, length in
             ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]  # fmt: skip
    return pl.when(text.str.contains(UUID_TEXT)).then(pl.concat_str(parts, separator="-"))
