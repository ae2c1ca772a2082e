"""Records as the source sent them: bytes, of which few ever become values of Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast, overload

import polars as pl

from crmmap.select.strict import read_bytes, read_json


@dataclass(frozen=True, slots=True)
class RawRecords:
    """A sequence of records, each a JSON object in UTF-8, decoded when it is asked for.

    Whoever takes the records apart saw to it that each is one whole JSON text, of an object that
    is not nested too deep to read. It may still have a key twice (`Ambiguous`). `cells` are the
    records', where those were selected already.
    """

    raws: Sequence[bytes]
    cells: pl.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.raws)

    @overload
    def __getitem__(self, at: int) -> object: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[object]: ...
    def __getitem__(self, at: int | slice) -> object:
        if not isinstance(at, slice):
            return _value(self.raws[at])
        return raw_records(self.raws[at], None if self.cells is None else self.cells[at])

    def __iter__(self) -> Iterator[object]:
        return iter(together(self.raws)[0])


def raw_records(raws: Sequence[bytes], cells: pl.DataFrame | None = None) -> Sequence[object]:
    """Return raw records as what a page holds."""
    # All that a sequence is asked for here is there; the house has no base classes.
    return cast("Sequence[object]", RawRecords(raws, cells))


def bytes_of(records: object) -> Sequence[bytes] | None:
    """Return the bytes of records that were not decoded; None of others."""
    return records.raws if isinstance(records, RawRecords) else None


def cells_in(records: object) -> pl.DataFrame | None:
    """Return the cells of records that were selected already; None of others."""
    return records.cells if isinstance(records, RawRecords) else None


def together(raws: Sequence[bytes]) -> tuple[list[object], bool]:
    """Return what raw records hold, and whether an object in them may have a key twice.

    Read as one text, they take less time than one by one.
    """
    document = read_bytes(b"[" + b",".join(raws) + b"]")
    assert isinstance(document.value, list)  # noqa: S101  (it stands between brackets)
    return document.value, document.has_ambiguous


def _value(raw: bytes) -> object:
    return read_json(bytes(raw).decode())
