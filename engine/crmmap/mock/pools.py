"""Values that a field takes: its type invents them, and its own rules judge them.

What an expression makes of a value, a clean step, a check or a filter is not
understood here but tried: many candidates are made, and those that the field
refuses are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import polars as pl

from crmmap.kinds.checks import Check, Pattern
from crmmap.mock.alphabets import alphabets
from crmmap.plan import FieldPlan, Filter
from crmmap.select.jmespath import text_of
from crmmap.spec.model import Mapping as MappingSpec

SIZE = 500
"""Values in a pool; records share them."""
ENOUGH = 25
"""So many values are variety enough, and no more candidates are looked for."""
SPOILS = 40

NUMBERS: tuple[object, ...] = (0, 1, 2, 3, 5, 10, 25, 50, 75, 100, 1000, 10_000, -1, -10, "0.5")

Hints = Mapping[tuple[str, str], tuple[Check, ...]]
"""(stream, field) → what the mapping checks of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a place's value is read: by a field, with what filters and checks ask of it."""

    field: FieldPlan
    filters: tuple[Filter, ...] = ()
    checks: tuple[Check, ...] = ()
    identifies: bool = False
    first: bool = True
    """Whether the field looks here before it looks anywhere else."""
    only: bool = True
    """Whether the field looks nowhere else."""

    @property
    def needed(self) -> bool:
        """Whether a record without a value here is refused."""
        return self.only and self.field.required and self.field.default is None

    @property
    def accepts(self) -> frozenset[str]:
        # As the plan has it: `true` and `false` identify nothing.
        return self.field.type.accepts - ({"boolean"} if self.identifies else set())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """`values` that are read well, `spoils` that are refused; both are JSON values."""

    values: tuple[object, ...] = ()
    spoils: tuple[object, ...] = field(default=())


def hints_of(mapping: MappingSpec) -> Hints:
    """Return the checks and filters of every field: the values they name are worth trying."""
    return {
        (name, field): (*each.check, *stream.where.get(field, ()))
        for name, stream in mapping.streams.items()
        for field, each in stream.fields.items()
    }


def pool_of(readings: Sequence[Reading], random: Random) -> Pool:
    """Return values that suit every field that reads them: none if there are no such values."""
    found: list[object] = []
    for candidates in _candidates(readings, random):
        found += suitable(readings, candidates, random)
        if len(found) >= ENOUGH:
            break
    return Pool(values=tuple(found), spoils=spoils_of(readings, random))


def suitable(readings: Sequence[Reading], values: Sequence[object], random: Random) -> list[object]:
    """Return those values that every field accepts and, but for a few, that no filter drops."""
    frames = [_judged(reading, values) for reading in readings]
    fit = pl.select(pl.all_horizontal(frame["fit"] for frame in frames)).to_series()
    kept = pl.select(pl.all_horizontal(frame["kept"] for frame in frames)).to_series()
    chosen = [value for value, good, stays in zip(values, fit, kept, strict=True) if good & stays]
    dropped = [value for value, good, stays in zip(values, fit, kept, strict=True)
               if good and not stays]  # fmt: skip
    random.shuffle(dropped)
    return [*chosen, *dropped[: len(chosen) // 20]]


def fits(reading: Reading, values: Sequence[object]) -> list[bool]:
    """Say of each value whether the field accepts it and its filters keep it."""
    return _judged(reading, values).select(pl.col("fit") & pl.col("kept")).to_series().to_list()


def distinct(readings: Sequence[Reading], values: Sequence[object]) -> bool:
    """Say whether every field accepts all the values, and can tell them all apart."""
    frames = [_judged(reading, values) for reading in readings]
    return all(
        bool(frame["fit"].all()) and frame["value"].n_unique() == len(values) for frame in frames
    )


def _judged(reading: Reading, values: Sequence[object]) -> pl.DataFrame:
    """Return a row per value: what is read, whether it is fit, whether the filters keep it."""
    plan, accepts = reading.field, reading.accepts
    texts = [None if each is None else text_of(each, accepts)[0] for each in values]
    raw = pl.DataFrame({plan.name: texts}, schema={plan.name: pl.String})
    typed = raw.select(plan.clean.alias(plan.name)).select(plan.read.alias(plan.name))
    return typed.select(
        value=pl.col(plan.name),
        fit=pl.all_horizontal(
            pl.col(plan.name).is_not_null(), *(rule.passes for rule in plan.rules)
        ).fill_null(value=False),
        kept=pl.all_horizontal(
            pl.lit(value=True),
            *(rule.passes for each in reading.filters for rule in each.rules),
        ).fill_null(value=False),
    )


# --- what is tried ----------------------------------------------------------------------------


def _candidates(readings: Sequence[Reading], random: Random) -> Iterator[list[object]]:
    """Yield more and more far-fetched candidates."""
    types = list(dict.fromkeys(reading.field.type for reading in readings))
    samples = [kind.sample(random) for kind in types for _ in range(SIZE // len(types))]
    yield [*samples, *_awkward(readings, samples)]
    named = [value for reading in readings for value in _named(reading, random)]
    defaults = [each.field.default for each in readings if each.field.default is not None]
    yield [random.choice(named) for _ in range(SIZE)] if named else []
    yield [*defaults, *NUMBERS, *(str(number) for number in NUMBERS)]
    yield [random.randint(-(10**k), 10**k) for k in range(1, 10) for _ in range(10)]
    yield [_cut(random.choice(samples), length) for length in range(1, 25) for _ in range(10)]
    yield [f"{sample} {random.choice(samples)} {random.choice(samples)}" for sample in samples]


def _awkward(readings: Sequence[Reading], samples: Sequence[object]) -> list[object]:
    """Return a few texts with a line break and quotes in them, where any text will do."""
    if any(reading.field.type.dtype != pl.String for reading in readings):
        return []
    texts = [sample for sample in samples[: SIZE // 30] if isinstance(sample, str)]
    awkward = [f'{text}\n"{text}"' for text in texts]
    frames = [_judged(reading, awkward) for reading in readings]
    kept = [awkward[at] for at in range(len(awkward))
            if all(frame["value"][at] == awkward[at] for frame in frames)]  # fmt: skip
    return list[object](kept)


def _named(reading: Reading, random: Random) -> Iterator[object]:
    """Yield what the checks name: their own values, and texts that match a pattern."""
    for check in reading.checks:
        if isinstance(check, Pattern):
            letters = alphabets(check.value)
            if letters:
                yield from ("".join(map(random.choice, letters)) for _ in range(SIZE))
            continue
        value = getattr(check, "value", None)
        yield from value if isinstance(value, tuple) else (value,)


def _cut(sample: object, length: int) -> str:
    return str(sample)[:length]


def spoils_of(readings: Sequence[Reading], random: Random) -> tuple[object, ...]:
    """Return values that some field refuses, and does not merely find empty."""
    found: list[object] = []
    for reading in readings:
        spoils = [reading.field.type.spoil(random) for _ in range(SPOILS)] if reading.first else []
        spoils = [spoil for spoil in spoils if spoil is not None and str(spoil).strip()]
        fit = _judged(reading, spoils)["fit"]
        found += [spoil for spoil, good in zip(spoils, fit, strict=True) if not good]
    return tuple(found)
