"""Phone numbers by the column: those that a numbering plan plainly has, without asking a library.

`phonenumbers` reads some 30,000 numbers a second. Its metadata are regular expressions over digits,
which polars runs over whole columns: a text that is separators and digits only, and whose digits
the plan has, is E.164 at once. What is decided here is decided as the library does; nothing is
refused here, so whatever is odd is null and left to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl

from crmmap.kinds.once import unread

SEPARATORS = [*" ()[]-./\xa0\xad\u200b\u2060\u2212", *map(chr, range(0x2010, 0x2016))]
"""What the library takes for punctuation, but what also stands for an extension, as `x` and `~`."""

EXTENDED = r"^(.*[0-9)]) ?(?:;ext=|,? ?(?i:extension|extn|ext|x)[.:]? ?)([0-9]{1,7})$"
"""A number and its extension."""

WORTH_A_PLAN = 100
"""So many numbers of a country pay for its plan, whose patterns take milliseconds to prepare."""

KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip",
    "personal_number", "pager", "uan", "voicemail",
)  # fmt: skip
"""A number is valid if it is of one of these kinds."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """What is dialled before a number within the country, and is no part of it."""

    prefix: str
    rewriting: int
    """The group of `prefix` that, where it is found, has the number rewritten; 0: none does."""

    def removed(self, home: pl.Expr) -> pl.Expr:
        if self.prefix.isdigit():
            return home.str.strip_prefix(self.prefix)
        return home.str.replace(_begins(self.prefix), "") if self.prefix else home

    def leaves(self, home: pl.Expr) -> pl.Expr:
        """Say whether the number is not rewritten."""
        if not self.rewriting:
            return pl.lit(value=True)
        return home.str.extract(_begins(self.prefix), self.rewriting).is_null()


@dataclass(frozen=True, slots=True)
class NumberingPlan:
    """What is certain of one calling code, seen from one of its regions. All are patterns.

    A number is one of the plan if it fits `general` and, unless it begins as a number of one of
    the `claimed` regions, is one of `free`, or else one of a region that it begins as.
    """

    code: str
    trunks: tuple[Trunk, ...]
    """Those of the region and of the code's main region, which must agree."""
    abroad: str
    """What is dialled to leave the country."""
    general: tuple[str, ...]
    free: str
    claimed: str
    claims: tuple[tuple[str, str, str], ...]
    """Of a region: how its numbers begin, how those of the others do, its numbers."""

    def read(self, digits: pl.Series) -> pl.Series:
        """Return E.164 of what begins with `+` and the calling code, or is written as at home."""
        home, number, read = self.expressions()
        frame = digits.alias("digits").to_frame().select_seq(home)
        return frame.with_columns_seq(number).select_seq(read).to_series().alias(digits.name)

    @cache  # noqa: B019  (plans are few, and kept)
    def expressions(self) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
        """Return what is dialled at home, the number proper, and E.164 where it is certain."""
        home = pl.col("digits").str.strip_prefix(f"+{self.code}").alias("home")
        number = self.trunks[0].removed(pl.col("home")).alias("number")
        whole = pl.concat_str(pl.lit(f"+{self.code}"), pl.col("number"))
        return home, number, pl.when(self._certain()).then(whole).alias("number")

    def _certain(self) -> pl.Expr:
        home, number = pl.col("home"), pl.col("number")
        ways = [
            number.str.contains(_whole(kinds)) & _begin(number, own) & ~_begin(number, others)
            for own, others, kinds in self.claims
        ]
        if self.free:
            ways.append(number.str.contains(_whole(self.free)) & ~_begin(number, self.claimed))
        certain = pl.any_horizontal(ways) & ~_begin(home, self.abroad)
        for pattern in self.general:
            certain &= number.str.contains(_whole(pattern))
        for trunk in self.trunks:
            certain &= trunk.leaves(home)
        for other in self.trunks[1:]:
            certain &= other.removed(home) == number
        return certain & self._once_only(home, number)

    def _once_only(self, home: pl.Expr, number: pl.Expr) -> pl.Expr:
        """Say whether what was taken off can't have been the calling code, or was both."""
        if all(trunk.prefix == self.code for trunk in self.trunks):
            return ~number.str.starts_with(self.code)
        return (home == number) | ~home.str.starts_with(self.code)


def _whole(pattern: str) -> str:
    return f"^(?-u:{pattern})$"


def _begins(pattern: str) -> str:
    return f"^(?-u:{pattern})"


def _begin(text: pl.Expr, pattern: str) -> pl.Expr:
    if not pattern:
        return pl.lit(value=False)
    return (
        text.str.starts_with(pattern) if pattern.isdigit() else text.str.contains(_begins(pattern))
    )


# --- plans from the metadata ----------------------------------------------------------------------


def knows(region: str) -> bool:
    """Return whether there is such a region."""
    from phonenumbers import SUPPORTED_REGIONS

    return region in SUPPORTED_REGIONS


def plan_of_region(region: str) -> NumberingPlan | None:
    """Return the plan that a region's numbers belong to, or None where it is not this simple."""
    metadata = _metadata_of(region, 0)
    return None if metadata is None else _plan(metadata.country_code, region)


@cache
def _plan(code: int, region: str) -> NumberingPlan | None:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    known = {each: _metadata_of(each, code) for each in regions}
    if any(metadata is None for metadata in known.values()):
        return None
    main, own = known[regions[0]], known[region]
    general = tuple(
        dict.fromkeys(each.general_desc.national_number_pattern for each in (main, own))
    )
    lengths = {*main.general_desc.possible_length} & {*own.general_desc.possible_length}
    begins = {each: data.leading_digits for each, data in known.items() if data.leading_digits}
    kinds = {each: "|".join(_kinds(data, lengths)) for each, data in known.items()}
    return NumberingPlan(
        code=str(code),
        trunks=tuple(dict.fromkeys((_trunk(own), _trunk(main)))),
        abroad=own.international_prefix or "",
        general=general,
        free="|".join(
            kinds[each]
            for each, data in known.items()
            if each not in begins
            and kinds[each]
            and (data is own or data.general_desc.national_number_pattern == general[0])
        ),
        claimed="|".join(begins.values()),
        claims=tuple(
            (
                begins[each],
                "|".join(begins[other] for other in begins if other != each),
                kinds[each],
            )
            for each, data in known.items()
            if each in begins and kinds[each] and (data is main or data is own)
        ),
    )


def _metadata_of(region: str, code: int) -> Any:
    from phonenumbers import PhoneMetadata

    return PhoneMetadata.metadata_for_region_or_calling_code(code, region)


def _trunk(metadata: Any) -> Trunk:
    prefix = metadata.national_prefix_for_parsing or ""
    rewritten = bool(metadata.national_prefix_transform_rule)
    return Trunk(prefix=prefix, rewriting=re.compile(prefix).groups if rewritten else 0)


def _kinds(metadata: Any, lengths: Iterable[int]) -> Iterator[str]:
    """Return the patterns of a region's numbers, but of those whose length says more than they."""
    general = {*metadata.general_desc.possible_length}
    for kind in KINDS:
        numbers = getattr(metadata, kind)
        if numbers is None or not numbers.national_number_pattern:
            continue
        if kind == "mobile" and metadata.same_mobile_and_fixed_line_pattern:
            continue
        allowed = {*(numbers.possible_length or general)} & general & {*lengths}
        if _lengths(numbers.national_number_pattern) <= allowed:
            yield numbers.national_number_pattern


ATOM = re.compile(r"(\{[^}]*\})|\[[^\]]*\]|\\d|[0-9]")
LONGEST, SHORTEST = 17, 3
"""Digits of a number that the library takes, and that one among punctuation must have."""


def _lengths(pattern: str) -> set[int]:
    """Return the lengths of the texts that a pattern of digits matches."""
    unary = re.compile(ATOM.sub(lambda found: found[1] or "d", pattern))
    found = {length for length in range(LONGEST + 2) if unary.fullmatch("d" * length)}
    return found if min(found, default=0) >= SHORTEST else {0}


# --- columns of texts -----------------------------------------------------------------------------


def e164(texts: pl.Series, region: str) -> pl.Series:
    """Return numbers as E.164, with `;ext=` and their extension: null where it is not certain."""
    enough = len(texts) - texts.null_count() >= WORTH_A_PLAN
    plan = plan_of_region(region) if enough else None
    if plan is None:
        return pl.Series(texts.name, [None], pl.String).new_from_index(0, len(texts))
    plain = plan.read(_digits(texts))
    if plain.null_count() - texts.null_count() < WORTH_A_PLAN:
        return plain
    odd = unread(plain, texts)
    return plain.scatter(odd, _second_look(texts.gather(odd), plan))


def _digits(texts: pl.Series) -> pl.Series:
    return texts.str.replace_many(SEPARATORS, [""] * len(SEPARATORS))


def _second_look(texts: pl.Series, plan: NumberingPlan) -> pl.Series:
    """Read numbers that have an extension, or are of other countries."""
    body = texts.str.extract(EXTENDED, 1)
    digits = _digits(body.zip_with(body.is_not_null(), texts))
    if plan.abroad.isdigit():
        digits = digits.str.replace(f"^{plan.abroad}([1-9])", "+$1")
    numbers = plan.read(digits)
    for other in _other_plans(digits, plan):
        theirs = digits.zip_with(digits.str.starts_with(f"+{other.code}"), NOTHING)
        numbers = numbers.zip_with(numbers.is_not_null(), other.read(theirs))
    extension = ";ext=" + texts.str.extract(EXTENDED, 2)
    return numbers + extension.fill_null("")


NOTHING = pl.Series([None], dtype=pl.String)


def _other_plans(digits: pl.Series, plan: NumberingPlan) -> Iterator[NumberingPlan]:
    """Return the plans of the other countries that many of the numbers name."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    heads = digits.str.extract(r"^\+([1-9][0-9]{2})").drop_nulls().value_counts()
    counts: dict[int, int] = {}
    for head, count in heads.iter_rows():
        codes = (int(head[:length]) for length in range(1, 4))
        code = next((each for each in codes if each in COUNTRY_CODE_TO_REGION_CODE), 0)
        counts[code] = counts.get(code, 0) + count
    for code, count in counts.items():
        if code and count >= WORTH_A_PLAN and str(code) != plan.code:
            other = _plan(code, COUNTRY_CODE_TO_REGION_CODE[code][0])
            if other is not None:
                yield other
