"""The schema of what expressions read, as a sample of the records suggests it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import polars as pl

from crmmap.select.document import Ambiguous, NotANumber
from crmmap.select.jmespath import Cell, Leaf
from crmmap.select.sight import ITEM, Touched

Hints = Mapping[Leaf, pl.DataType]
"""The dtypes of the fields that take what stands at a place as it is.

Float64 and Decimal only for fields that can take the number instead of its digits.
"""


def hints_of(cells: Iterable[Cell], dtypes: Mapping[str, pl.DataType]) -> Hints:
    """Return what the fields' dtypes say of the places that plain walks lead to."""
    said: dict[Leaf, list[pl.DataType | None]] = {}
    for cell in cells:
        for each in cell.expressions:
            if each.names is not None:
                said.setdefault(each.names, []).append(dtypes.get(cell.field))
    return {
        place: first
        for place, (first, *others) in said.items()
        if first is not None and all(other == first for other in others)
    }


def dtype_of(touched: Touched, records: Sequence[object], hints: Hints) -> pl.Struct:
    """Return the schema of what is touched, as most of the sampled records have it.

    Where they have nothing, or null, the hint tells; without one it is a text.
    """
    return _object(touched, records, hints, ())


def _object(touched: Touched, found: Sequence[object], hints: Hints, at: Leaf) -> pl.Struct:
    objects = [each for each in found if isinstance(each, dict)]
    return pl.Struct(
        {
            name: _dtype(below, [each.get(name) for each in objects], hints, (*at, name))
            for name, below in touched.entries.items()
        }
    )


def _dtype(touched: Touched, found: Sequence[object], hints: Hints, at: Leaf) -> pl.DataType:
    kinds = Counter(_kind(each) for each in found if each is not None)
    kind = kinds.most_common(1)[0][0] if kinds else _expected(touched, hints.get(at))
    if kind is dict:
        return _object(touched, found, hints, at)
    if kind is list:
        items = [item for each in found if isinstance(each, list) for item in each]
        return pl.List(_dtype(touched.items or Touched(), items, hints, (*at, ITEM)))
    if kind is int:
        return _number(found, hints.get(at))
    return pl.Boolean() if kind is bool else pl.String()


def _kind(value: object) -> type:
    return ALSO.get(type(value), type(value))


ALSO: Mapping[type, type] = {Decimal: int, NotANumber: int, Ambiguous: dict}
"""Types of decoded values that stand for a JSON kind beside Python's own."""


def _expected(touched: Touched, hint: pl.DataType | None) -> type:
    if touched.entries:
        return dict
    if touched.items is not None:
        return list
    if hint is not None and hint.is_numeric():
        return int
    return bool if hint == pl.Boolean() else str


def _number(found: Sequence[object], hint: pl.DataType | None) -> pl.DataType:
    if hint is not None and (hint.is_decimal() or hint.is_float()):
        return hint
    fractions = any(isinstance(each, Decimal | NotANumber) for each in found)
    return pl.Float64() if fractions else pl.Int64()
