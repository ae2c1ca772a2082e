"""Foreign keys, compiled: what means that there is no parent, and what is compared with what."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce

import polars as pl

from crmmap.kinds.clean import NullIf
from crmmap.kinds.durations import seconds
from crmmap.kinds.types import Text, Type
from crmmap.plan.steps import LookupPlan, Target
from crmmap.spec.model import Lookup, Stream
from crmmap.spec.model import Mapping as MappingSpec


def lookups_of(
    mapping: MappingSpec,
    name: str,
    types: Mapping[str, Mapping[str, Type]],
    targets: Mapping[str, Target],
) -> tuple[LookupPlan, ...]:
    """Return the lookups of a stream. `types` and `targets` are those of every stream."""
    return tuple(
        _lookup(mapping, (name, field), each.lookup, types, targets)
        for field, each in mapping.streams[name].fields.items()
        if each.lookup is not None
    )


def _lookup(
    mapping: MappingSpec,
    place: tuple[str, str],
    lookup: Lookup,
    types: Mapping[str, Mapping[str, Type]],
    targets: Mapping[str, Target],
) -> LookupPlan:
    name, field = place
    stream, parent, target = mapping.streams[name], lookup.stream, targets[lookup.stream]
    by = lookup.by or target.key[0]
    return LookupPlan(
        field=field,
        stream=parent,
        parent=target,
        by=by,
        missing=lookup.missing or "null",
        required=stream.fields[field].required or field in stream.table.key,
        compared=_compared(
            field, types[name][field], mapping.streams[parent], by, target.column(by).type
        ),
        wait_for=None if lookup.wait_for is None else seconds(lookup.wait_for),
    )


def _compared(field: str, own: Type, parent: Stream, by: str, type_: Type) -> pl.Expr | None:
    """Return a text as it would stand in the parent's field; None where it does so already."""
    tidy = parent.fields[by].clean
    if own.dtype != pl.String or type_.dtype != pl.String or (own == type_ and not tidy):
        return None
    text = reduce(lambda each, step: step.apply(each), tidy, pl.col(field))
    return type_.read(text)


def without_placeholders(text: pl.Expr, none: tuple[str, ...], type_: Type) -> pl.Expr:
    """Return a tidy text, null where it means that there is no parent: as a text, or as a value.

    So `0` means `0.0` too, where the field is an integer. An empty text names nobody.
    """
    tidy = NullIf(value=("", *none)).apply(text)
    if not none or type_ == Text():
        return tidy
    nobody = type_.read(tidy).is_in(_meant(none, type_).implode()).fill_null(value=False)
    return pl.when(~nobody).then(tidy)


@lru_cache(maxsize=256)  # a source has one way to write it, in all of its tables
def _meant(none: tuple[str, ...], type_: Type) -> pl.Series:
    """Return the values that texts are, as far as they are any."""
    told = pl.Series(none, dtype=pl.String).alias("none").to_frame()
    return told.select(type_.read(pl.col("none"))).to_series().drop_nulls()
