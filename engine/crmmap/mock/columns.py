"""A column of a stream's records: what stands at one place, as expressions over `INDEX`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from crmmap.mock.chance import INDEX, below, draw
from crmmap.mock.identities import Maker, made
from crmmap.mock.places import Place
from crmmap.mock.slots import Slot
from crmmap.values import as_json, each_as_json

EMPTY = 50
"""Of a thousand values that nobody requires, so many are empty; of links, `ASTRAY`."""
ASTRAY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A place in the records, and the texts (String, null for no value) that stand there.

    `spoilt` are the texts that break a record; None where none does.
    """

    place: Place
    value: pl.Expr
    spoilt: pl.Expr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How values are written: in JSON, or as the cells of a file."""

    values: Callable[[Sequence[object]], list[str]]
    text: Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """What chance depends on beside index and place: the seed, the stream, how many there are."""

    seed: int
    stream: str
    records: int


def cell(value: object) -> str:
    """Return the text of a JSON value as a file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else as_json(value)


def _quoted(text: pl.Expr) -> pl.Expr:
    slashed = text.str.replace_all("\\", "\\\\", literal=True)
    return pl.format('"{}"', slashed.str.replace_all('"', '\\"', literal=True))


IN_JSON = Writing(values=each_as_json, text=_quoted)
IN_CELLS = Writing(values=lambda values: [*map(cell, values)], text=lambda text: text)


def column(slot: Slot, maker: Maker | None, lot: Lot, writing: Writing) -> Column:
    """Return a slot's column: its values come from its pool, or are made from an index."""
    chance = draw(lot.seed, lot.stream, repr(slot.place))
    if maker is None:
        value = _picked(slot, chance, writing)
    else:
        value = _made(maker, _whose(slot, chance, lot), writing)
    return Column(place=slot.place, value=value, spoilt=_spoilt(slot, chance, writing))


def _picked(slot: Slot, chance: pl.Expr, writing: Writing) -> pl.Expr:
    if not slot.pool.values:
        return pl.lit(None, dtype=pl.String)
    picked = _from(writing.values(slot.pool.values), chance, lot=1)
    if slot.required:
        return picked
    # The first record has everything, so that even a short look shows every field.
    return pl.when((below(chance, 1000) >= EMPTY) | (INDEX == 0)).then(picked)


def _made(maker: Maker, whose: pl.Expr, writing: Writing) -> pl.Expr:
    texts = maker(whose.fill_null(0)).cast(pl.String)
    is_text = isinstance(made(maker, (0,))[0], str)
    return pl.when(whose.is_not_null()).then(writing.text(texts) if is_text else texts)


def _whose(slot: Slot, chance: pl.Expr, lot: Lot) -> pl.Expr:
    """Return the index that the value is made from, the record's or a parent's; null for none."""
    link = slot.link
    if slot.identifies or link is None:
        return INDEX
    itself = link.stream == lot.stream
    parent = below(chance, INDEX.clip(1) if itself else lot.records, lot=1)
    if itself and not link.required:
        parent = pl.when(INDEX > 0).then(parent)
    if link.required or slot.required:
        return parent
    luck = below(chance, 1000)
    if link.missing != "reject":
        lost = (luck >= ASTRAY) & (luck < 2 * ASTRAY) & (INDEX > 0)
        parent = pl.when(lost).then(parent + lot.records).otherwise(parent)
    return pl.when((luck >= ASTRAY) | (INDEX == 0)).then(parent)


def _spoilt(slot: Slot, chance: pl.Expr, writing: Writing) -> pl.Expr | None:
    spoils: list[str | None] = [*writing.values(slot.pool.spoils)]
    if any(reading.needed for reading in slot.readings):
        spoils += [None] * max(1, len(spoils) // 4)
    return _from(spoils, chance, lot=2) if spoils else None


def _from(texts: Sequence[str | None], chance: pl.Expr, *, lot: int) -> pl.Expr:
    return pl.lit(pl.Series(texts, dtype=pl.String)).gather(below(chance, len(texts), lot=lot))
