"""Records as the source sent them: bytes, of which few ever become values of Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast, overload

import polars as pl

from crmmap.select.document import ambiguous
from crmmap.select.strict import read_bytes, read_json
from crmmap.values import as_json


@dataclass(frozen=True, slots=True)
class RawRecords:
    """A sequence of records, each a JSON object in UTF-8, decoded when it is asked for.

    Whoever takes the records apart saw to it that each is one whole JSON text, of an object that
    is not nested too deep to read. It may still have a key twice (`Ambiguous`). `cells` are the
    records', where those were selected already.
    """

    raws: Sequence[bytes]
    cells: pl.DataFrame | None = None
    added: int = 0
    """Bytes at the end of each, before its brace, that the source did not send."""

    def __len__(self) -> int:
        return len(self.raws)

    @overload
    def __getitem__(self, at: int) -> object: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[object]: ...
    def __getitem__(self, at: int | slice) -> object:
        if not isinstance(at, slice):
            return _value(self.raws[at])
        cells = None if self.cells is None else self.cells[at]
        return raw_records(self.raws[at], cells, added=self.added)

    def __iter__(self) -> Iterator[object]:
        return iter(together(self.raws)[0])

    def sent(self, at: int) -> object:
        """Return a record that has entries as the source sent it."""
        return _value(self.raws[at][: -1 - self.added] + b"}") if self.added else self[at]


def raw_records(
    raws: Sequence[bytes], cells: pl.DataFrame | None = None, *, added: int = 0
) -> Sequence[object]:
    """Return raw records as what a page holds."""
    # All that a sequence is asked for here is there; the house has no base classes.
    return cast("Sequence[object]", RawRecords(raws, cells, added))


def with_entry(records: RawRecords, name: str, value: object) -> Sequence[object]:
    """Return records with one entry more, or with it in place of what has its name.

    The name begins with a sign of ASCII: records in which no text begins so can't have it.
    """
    whole = b",".join(records.raws)
    begins = (f'"{name[0]}'.encode(), f'"\\u{ord(name[0]):04x}'.encode())
    there = any(each in whole for each in begins)
    entry = f"{as_json(name)}:{as_json(value)}".encode()
    raws = [
        (there and _in_place(raw, name, value)) or _with_last(bytes(raw)[:-1], entry)
        for raw in records.raws
    ]
    return raw_records(raws, added=records.added + len(entry) + 1)


def _in_place(raw: bytes, name: str, value: object) -> bytes | None:
    """Return a record with an entry that it has already set to another value; None if it has not.

    None, too, where a key comes twice: that is refused, as it was sent.
    """
    record = _value(raw)
    if not isinstance(record, dict) or name not in record or ambiguous(record):
        return None
    return as_json(record | {name: value}).encode()


def _with_last(opened: bytes, entry: bytes) -> bytes:
    return opened + (b"," if opened[1:].strip() else b"") + entry + b"}"


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
