"""Values taken out of records that stay bytes, each as the bytes that it is.

Some fields take what no column holds: the digits of a fraction, or a whole value as JSON. Where the
way to a value is plain, msgspec cuts it out, and mostly its text is just what was sent. Only what
is otherwise is decoded, and nothing else of its record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from crmmap.select.jmespath import ANY, Cell, cells_of, leaves
from crmmap.select.raw_records import together
from crmmap.select.sight import is_plain, plain_ways

if TYPE_CHECKING:
    import msgspec

AT_ONCE = 128
"""Records that are decoded at once: so few that they stay in the processor's cache."""
NULL = b"null"
BLANKS = (b" ", b"\t", b"\r")
DIGITS = r"^-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?$"
"""Numbers that are texts as they were sent, but for the zero that has a sign."""
SEEN = r'^"[!#-\[\]-~]'
"""A text that is not blank, since it begins with what is seen."""
OTHERWISE = r"(?:^|[\[,:])(?:-0(?:[,\]}]|$)|-?0\.000000|-?[0-9]+(?:\.[0-9]+)?[eE])"
"""A number that is written in JSON otherwise than it was sent."""

Names = tuple[str, ...]


def cut_cells(cells: Sequence[Cell], raws: Sequence[bytes]) -> pl.DataFrame:
    """Return cells of records that are not computed of columns; no record has a key twice."""
    some, pieces = cutting(tuple(cells))
    cut = None if pieces is None or not raws else pieces.cut(raws)
    if cut is None:
        return _decoded(cells, raws)
    columns = [each for cell in some for each in _columns(cell, cut)]
    rest = [cell for cell in cells if cell not in some]
    return pl.DataFrame([*columns, *(_decoded(rest, raws) if rest else ())])


def _decoded(cells: Sequence[Cell], raws: Sequence[bytes]) -> pl.DataFrame:
    """Return cells of records of which no more is decoded than they read."""
    frames, pieces = [pl.DataFrame(cells_of(cells, []))], _read_by(tuple(cells))
    for start in range(0, len(raws), AT_ONCE):
        some = raws[start : start + AT_ONCE]
        cut = None if pieces is None else pieces.cut(some)
        records = together(some)[0] if cut is None else _records(cut, len(some))
        frames.append(pl.DataFrame(cells_of(cells, records)))
    return pl.concat(frames, how="diagonal", rechunk=True)


@lru_cache
def _read_by(cells: tuple[Cell, ...]) -> Pieces | None:
    """Return what cuts out the entries of a record that cells read; None where they read all."""
    read = [leaf for cell in cells for each in cell.expressions for leaf in leaves(each)]
    names = {leaf[0] if leaf else ANY for leaf in read}
    if any(not isinstance(name, str) or name == ANY or not is_plain(name) for name in names):
        return None
    return pieces_of(frozenset((str(name),) for name in names))


# --- cutting ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pieces:
    """What cuts values out of records; `steps` are the attributes that lead to each."""

    decoder: msgspec.json.Decoder[Any]
    steps: Mapping[Names, Sequence[str]]

    def find(self, text: bytes) -> dict[Names, list[bytes | None]] | None:
        """Return what stands at each way in a list of records, each as a part of that text.

        None where something on a way is no object.
        """
        try:
            records = self.decoder.decode(text)
        except ValueError:  # msgspec's own
            return None
        return {names: _along(steps, records) for names, steps in self.steps.items()}

    def cut(self, raws: Sequence[bytes]) -> dict[Names, list[bytes]] | None:
        """Return what stands at each way, null where nothing does, each without line feeds."""
        found = self.find(listed(raws))
        if found is None:
            return None
        return {
            names: [NULL if each is None else each for each in values]
            for names, values in found.items()
        }


def _along(steps: Sequence[str], found: Sequence[Any]) -> list[bytes | None]:
    for step in steps:
        found = [None if each is None else getattr(each, step) for each in found]
    return [*found]


def listed(raws: Iterable[bytes]) -> bytes:
    """Return JSON texts as that of a list, without line feeds."""
    return b"[" + b",".join(raws).replace(b"\n", b" ") + b"]"


@lru_cache
def cutting(cells: tuple[Cell, ...]) -> tuple[Sequence[Cell], Pieces | None]:
    """Return the cells whose values can be cut out, and what cuts them."""
    some: list[Cell] = []
    ends: set[Names] = set()
    above: set[Names] = set()
    for cell in cells:
        ways = {*plain_ways(cell)}
        over = {way[:at] for way in ways for at in range(len(way))}
        if ways and not (over & (ends | ways) or ways & above):
            some.append(cell)
            ends |= ways
            above |= over
    return some, pieces_of(frozenset(ends)) if ends else None


@lru_cache
def pieces_of(ways: frozenset[Names]) -> Pieces | None:
    """Return what cuts out all that stands at some ways; None if one of them is within another."""
    import msgspec

    steps: dict[Names, Sequence[str]] = {}

    def made(ways: Iterable[Names], above: Names, attributes: Sequence[str]) -> Any:
        below: dict[str, list[Names]] = defaultdict(list)
        for first, *rest in ways:
            below[first].append(tuple(rest))
        entries: list[tuple[str, Any, Any]] = []
        for at, (name, inner) in enumerate(below.items()):
            here, to = (*above, name), (*attributes, f"at{at}")
            if () in inner:
                steps[here] = to
            kind = msgspec.Raw if () in inner else made(inner, here, to) | None
            entries.append((f"at{at}", kind, None))
        named = {f"at{at}": name for at, name in enumerate(below)}
        return msgspec.defstruct("Record", entries, rename=named)

    record: Any = made(sorted(ways), (), ())
    return Pieces(msgspec.json.Decoder(list[record]), steps) if steps.keys() == ways else None


# --- to cells ---------------------------------------------------------------------------------


def _columns(cell: Cell, cut: Mapping[Names, Sequence[bytes]]) -> list[pl.Series]:
    """Return a cell's column, and its faults where there are any."""
    ways, whole = plain_ways(cell), "container" in cell.accepts
    found = [_compact(cut[names]) if whole else cut[names] for names in ways]
    sent = pl.DataFrame(
        {str(at): b"\n".join(each).decode().split("\n") for at, each in enumerate(found)}
    )
    there = [pl.when(each != "null").then(each) for each in map(pl.col, sent.columns)]
    texts, sure = zip(*(_text(each, cell.accepts) for each in there), strict=True)
    made = sent.select(
        pl.coalesce(texts).alias(cell.field),
        pl.all_horizontal(*sure).fill_null(value=True).not_().alias("odd"),
    )
    columns, odd = [made[cell.field]], made["odd"].arg_true()
    if odd.is_empty():
        return columns
    few = {names: [each[row] for row in odd] for names, each in zip(ways, found, strict=True)}
    decoded = cells_of([cell], _records(few, len(odd)))
    if len(decoded) > 1:
        columns.append(pl.Series(decoded[1].name, [None] * len(sent), dtype=pl.String))
    return [column.scatter(odd, other) for column, other in zip(columns, decoded, strict=True)]


def _text(sent: pl.Expr, accepts: frozenset[str]) -> tuple[pl.Expr, pl.Expr]:
    """Return a value's text, and where that is sure; null where nothing was sent."""
    text = sent.str.contains(SEEN) & ~sent.str.contains("\\", literal=True)
    if "container" in accepts:
        sure = text | ~sent.str.contains(r'^"|\\')
        return sent, sure & ~sent.str.contains(OTHERWISE)
    sure = text
    if "number" in accepts:
        sure |= sent.str.contains(DIGITS) & (sent != "-0")
    if "boolean" in accepts:
        sure |= sent.is_in(["true", "false"])
    return pl.when(text).then(sent.str.head(-1).str.slice(1)).otherwise(sent), sure


def _compact(raws: Sequence[bytes]) -> Sequence[bytes]:
    """Return JSON texts without blanks between their values."""
    import msgspec

    whole = listed(raws)
    if not any(blank in whole for blank in BLANKS):
        return raws
    return msgspec.json.decode(msgspec.json.format(whole, indent=-1), type=list[msgspec.Raw])


def _records(cut: Mapping[Names, Sequence[bytes]], count: int) -> list[object]:
    """Return records that have nothing but what was cut out of them."""
    records: list[Any] = [{} for _ in range(count)]
    for (*above, name), raws in cut.items():
        for record, value in zip(records, together(raws)[0], strict=True):
            at = record
            for step in above:
                at = at.setdefault(step, {})
            at[name] = value
    return records
