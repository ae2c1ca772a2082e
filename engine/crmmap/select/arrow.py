"""JSON records read into columns by Arrow, which is strict: it converts nothing, and loses nothing.

An object with the same key twice is an error there, wherever it stands. So the schema has all that
the records have, not only what is asked for: Arrow passes over other entries without a look. Where
records hold what a sample of them did not, Arrow finds the type of it out, over fewer records at
once, for of entries whose names are data there may be any number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import isqrt
from typing import TYPE_CHECKING

import polars as pl

from crmmap.select.columnar import as_instance
from crmmap.select.strict import DIGITS

if TYPE_CHECKING:
    import pyarrow as pa

ROW = re.compile(r"in row ([0-9]+)$")
"""How Arrow names the record that does not fit, where it knows it."""
MARKS = tuple(
    (part, re.compile(pattern))
    for part, pattern in (
        (b"\\", rb"\\u0000"),
        (b"-", rb"-(?<=[eE]-)[0-9]{3,}\s*[,\]}]"),
        (b"0" * 300, rb"0\." + b"0" * 300),
    )
)
"""What Arrow reads otherwise than the exact path: a NUL, and numbers so small that they become 0.

Each pattern begins with the same bytes always, and has a part of which it is soon known whether
it is anywhere at all.
"""
APART, RUN = 50, re.compile(rb"[0-9]{25}")
"""A number longer than the exact path takes, which Arrow does read, has so many digits in a row,
before the point, behind it or in the exponent, that of bytes which stand `APART` there are `RUN`.
"""
SPACE = b" "
NEWLINES = bytes.maketrans(b"\r\n", b"  ")
AT_ONCE = 64_000_000
"""Bytes of records that are read at once."""
FEW = 8
"""Records that are no longer divided in search of the one that does not fit."""
SOME, ODD_ONE_IN = 4, 32
"""Records that may not fit, and of how many one more may: to search for more saves nothing."""
FIRST = 64
"""Records that are read at first, where not all fit: what comes of them tells what to expect."""
MOST_ENTRIES = 2_000
"""Entries that records may have beside those of the sample, if there were as many records before:
beyond, their names are data."""
SQUARE = 10_000_000
"""Records times entries that Arrow may have to find out about at once."""
SHORTEST = 8
"""Bytes of the shortest entry, about."""


class Unlike(Exception):
    """Two values are of different JSON kinds."""


# --- schemas ----------------------------------------------------------------------------------

Kind = str | dict[str, "Kind"] | list["Kind"]
"""What a value is: an object with its entries, a list with its item, or one of the words below."""
NOTHING, TEXT, NUMBER, BOOLEAN = "nothing", "text", "number", "boolean"


def kind_of(value: object) -> Kind:
    """Return the kind of a JSON value. Raises Unlike."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, str):
        return TEXT
    if isinstance(value, dict):
        return {name: kind_of(each) for name, each in value.items()}
    if isinstance(value, list):
        nothing: Kind = NOTHING
        return [reduce(both, map(kind_of, value), nothing)]
    return NUMBER


def both(one: Kind, other: Kind) -> Kind:
    """Return the kind that values of both kinds have. Raises Unlike."""
    if other in (NOTHING, one):
        return one
    if one == NOTHING:
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{name: both(one.get(name, NOTHING), other[name]) for name in other}}
    if isinstance(one, list) and isinstance(other, list):
        return [both(one[0], other[0])]
    raise Unlike


def learned(records: Iterable[object]) -> Kind:
    """Return the kind of what most of the records have; others will not fit it."""
    found: Kind = {}
    for record in records:
        try:
            found = both(found, kind_of(record))
        except Unlike:
            continue
    return found


def schema_of(found: Kind, dtype: pl.DataType | None, unknown: pa.DataType | None) -> pa.DataType:
    """Return the type of values of a kind; where a polars dtype says what they are, that one.

    `unknown` is for what nothing is known of. With None, entries of objects are left out then.
    """
    import pyarrow as pa

    if isinstance(dtype, pl.Struct) or (dtype is None and isinstance(found, dict)):
        kinds = found if isinstance(found, dict) else {}
        told = (
            {} if dtype is None else {each.name: as_instance(each.dtype) for each in dtype.fields}
        )
        types = {
            name: schema_of(kinds.get(name, NOTHING), told.get(name), unknown)
            for name in {**kinds, **told}
        }
        return pa.struct([(name, each) for name, each in types.items() if not _open(each)])
    if isinstance(dtype, pl.List) or (dtype is None and isinstance(found, list)):
        item = found[0] if isinstance(found, list) else NOTHING
        inner = None if dtype is None else as_instance(dtype.inner)
        return pa.list_(schema_of(item, inner, unknown))
    if dtype is None:
        plain = {TEXT: pa.string(), NUMBER: pa.float64(), BOOLEAN: pa.bool_()}
        return plain.get(str(found), unknown or pa.null())
    if dtype == pl.Int64():
        return pa.int64()
    if dtype == pl.Float64():
        return pa.float64()
    return pa.bool_() if dtype == pl.Boolean() else pa.string()


def _open(found: pa.DataType) -> bool:
    """Say whether nothing is known of a value."""
    import pyarrow as pa

    return pa.types.is_null(found) or (pa.types.is_list(found) and _open(found.value_type))


def counted(found: pa.DataType) -> int:
    """Return how many entries a type has, those within others included."""
    inner = [found.field(at).type for at in range(found.num_fields)]
    return len(inner) + sum(map(counted, inner))


# --- reading ----------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Read:
    """What became of records: `frames` have those at the places `fit`, the others are `odd`."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    fit: list[int] = field(default_factory=list)
    odd: list[int] = field(default_factory=list)
    endless: bool = False
    """Whether names of entries are data, so that there is no end to what could be learned."""

    def add(self, table: pa.Table, rows: Sequence[int], dtype: pl.Struct) -> None:
        self.frames.append(frame_of(table, dtype))
        self.fit += rows


def read(raws: Sequence[bytes], rows: Sequence[int], dtype: pl.Struct, found: Kind) -> Read:
    """Read the records at the places `rows` into frames of `dtype`'s columns.

    `found` is the kind of the records as far as it is known. What records cost that do not fit is
    bounded: where there are too many, all that are left are odd.
    """
    import pyarrow as pa

    done = Read()
    rows = _unmarked(raws, rows, done)
    if not (dtype.fields and rows):
        done.odd += rows
        return done
    guessed = schema_of(found, dtype, pa.string())  # which is what most values are
    for some in _together(raws, rows):
        table = _table([raws[at] for at in some], guessed, "error")
        if isinstance(table, Unfit):
            _divided(raws, some, schema_of(found, dtype, None), dtype, done)
        else:
            done.add(table, some, dtype)
    return done


def _together(raws: Sequence[bytes], rows: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of records that Arrow can take in at once."""
    if sum(len(raws[at]) for at in rows) <= AT_ONCE:
        yield [*rows]
        return
    some: list[int] = []
    size = 0
    for at in rows:
        length = len(raws[at])
        if some and size + length > AT_ONCE:
            yield some
            some, size = [], 0
        some.append(at)
        size += length
    if some:
        yield some


def _unmarked(raws: Sequence[bytes], rows: Sequence[int], done: Read) -> list[int]:
    """Return the places without those of records that Arrow would read otherwise: odd ones."""
    text = SPACE.join([raws[at] for at in rows])
    marks = [mark for part, mark in MARKS if part in text and mark.search(text)]
    long = [at for at in rows if len(raws[at]) > DIGITS]
    gone = {at for at in long if RUN.search(bytes(raws[at])[::APART])}
    if not marks and not gone:
        return list(rows)
    gone |= {at for at in rows if any(mark.search(bytes(raws[at])) for mark in marks)}
    done.odd += sorted(gone)
    return [at for at in rows if at not in gone]


def _divided(
    raws: Sequence[bytes], rows: list[int], schema: pa.DataType, dtype: pl.Struct, done: Read
) -> None:
    """Read what fits, and find what does not."""
    length = 1 + sum(len(raws[at]) for at in rows) // len(rows)
    most = max(isqrt(SQUARE * SHORTEST // length), FEW)
    known = counted(schema)
    at, size, read, missed, wasted = 0, min(most, FIRST), 0, 0, 0
    while at < len(rows) and missed <= SOME + read // ODD_ONE_IN and wasted <= len(rows):
        some = rows[at : at + size]
        table = _table([raws[each] for each in some], schema, "infer")
        if not isinstance(table, Unfit):
            entries = counted(table.schema.empty_table().to_struct_array().type) - known
            if entries >= min(MOST_ENTRIES, max(read, FIRST)):
                done.endless = True
                break
            done.add(table, some, dtype)
            at, read, size = at + len(some), read + len(some), min(4 * size, most)
        elif table.row is not None:
            missed, wasted, size = missed + 1, wasted + table.row, table.row or size
            done.odd.append(rows.pop(at + table.row))
        elif len(some) <= FEW:
            missed, at = missed + len(some), at + len(some)
            done.odd += some
        else:
            wasted, size = wasted + len(some), max(len(some) // 16, FEW)
    done.odd += rows[at:]


@dataclass(frozen=True, slots=True)
class Unfit:
    """Some record does not fit: the one in `row`, if Arrow says."""

    row: int | None


def _table(records: Sequence[bytes], schema: pa.DataType, unknown: str) -> pa.Table | Unfit:
    """Return the records as a table; `unknown` says what is done about entries not in `schema`."""
    import pyarrow as pa
    from pyarrow import json as arrow

    # To Arrow a record ends where it is whole, and none goes on in another line.
    text = SPACE.join(records)
    if b"\n" in text or b"\r" in text:
        text = text.translate(NEWLINES)
    try:
        table = arrow.read_json(
            pa.BufferReader(text),
            # One block, so that a row is the record's place.
            read_options=arrow.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=arrow.ParseOptions(
                explicit_schema=pa.schema(list(schema)), unexpected_field_behavior=unknown
            ),
            # Arrow's own way to allocate takes huge pages, of which a run gathers ever more.
            memory_pool=pa.system_memory_pool(),
        )
    except pa.ArrowException as error:
        row = ROW.search(str(error))
        return Unfit(None if row is None else int(row[1]))
    return table if table.num_rows == len(records) else Unfit(None)


# --- tables to frames -------------------------------------------------------------------------


def frame_of(table: pa.Table, dtype: pl.Struct) -> pl.DataFrame:
    """Return what a dtype names of a table."""
    columns = {
        each.name: _pruned(_array(table.column(each.name)), as_instance(each.dtype))
        for each in dtype.fields
    }
    return pl.DataFrame([pl.Series(Handed(column)).alias(name) for name, column in columns.items()])


@dataclass(frozen=True, slots=True)
class Handed:
    """An array as polars takes it from any library.

    Where polars knows that it is pyarrow's it imports `pyarrow.compute`, of which it needs nothing
    here, and which takes 0.08 s.
    """

    array: pa.Array

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        schema, array = self.array.__arrow_c_array__(requested_schema)
        return schema, array


def _array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array: it mostly is. To copy it might trip over what nothing reads."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _pruned(array: pa.Array, dtype: pl.DataType) -> pa.Array:
    """Return an array without the entries that a dtype does not name."""
    import pyarrow as pa

    if isinstance(dtype, pl.Struct):
        inner = [_pruned(array.field(e.name), as_instance(e.dtype)) for e in dtype.fields]
        names = [each.name for each in dtype.fields]
        if not names:  # something that says how many there are
            inner, names = [pa.nulls(len(array))], [""]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(inner, names=names, mask=mask)
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct | pl.List):
        mask = array.is_null() if array.null_count else None
        values = _pruned(array.values, as_instance(dtype.inner))
        return pa.ListArray.from_arrays(array.offsets, values, mask=mask)
    return array
