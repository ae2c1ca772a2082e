"""The exact reader: record by record, with the standard library, refusing what is broken."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import polars as pl

from crmmap.extract.csv_chunks import Chunk, Shape, Stretch, valid
from crmmap.values import Reason, Refusal, as_json


def exactly(stretch: Stretch, shape: Shape, *, most: int | None = None) -> Chunk:
    """Read record by record with the standard library's strict reader, refusing what is broken.

    No more than `most` records are read or refused.
    """
    # The limit is the process's, and smaller than our records may be.
    csv.field_size_limit(max(csv.field_size_limit(), shape.max_record))
    lines = _Lines.of(stretch)
    rows: list[list[str]] = []
    starts: list[int] = []
    refused: list[Refusal] = []
    at = 0
    while at < lines.whole and (most is None or len(rows) + len(refused) < most):
        if _blank(lines.physical[at], shape):
            at += 1
            continue
        found = _read_record(lines, at, shape)
        if found is None:
            break
        if found.fault is None:
            rows.append(found.cells)
            starts.append(stretch.line + at)
        else:
            text = b"".join(lines.physical[at : at + found.lines])
            refused.append(refusal(stretch.line + at, text, found.fault, shape))
        at += found.lines
    return Chunk(
        records=_frame(rows, shape),
        lines=pl.Series("line", starts, dtype=pl.UInt32),
        refused=tuple(refused),
        consumed=sum(map(len, lines.physical[:at])),
        passed=at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """The first record of a file, whatever its width: its cells, its bytes and its lines.

    `consumed` and `passed` count the blank lines before it, too. `fault` is set
    if it could not be read; `cells` is None if there was no record at all.
    """

    cells: tuple[str, ...] | None
    fault: Reason | None = None
    consumed: int = 0
    passed: int = 0


def heading(stretch: Stretch, shape: Shape) -> Heading:
    """Return the first record of a stretch longer than `max_record`, or of a whole file."""
    csv.field_size_limit(max(csv.field_size_limit(), shape.max_record))
    lines = _Lines.of(stretch)
    at = 0
    while at < len(lines.physical) and _blank(lines.physical[at], shape):
        at += 1
    if at == len(lines.physical):
        return Heading(cells=None)
    found = _read_record(lines, at, shape)
    if found is None:
        return Heading(cells=None, fault=_long(shape))
    after = at + found.lines
    consumed = sum(map(len, lines.physical[:after]))
    return Heading(cells=tuple(found.cells), fault=found.fault, consumed=consumed, passed=after)


def refusal(line: int, text: bytes, fault: Reason, shape: Shape) -> Refusal:
    """Refuse the text at a line, keeping as much of it as a record may have."""
    shown = text[: shape.max_record].decode("utf-8", "backslashreplace")
    return Refusal(at=line, raw=as_json({"line": line, "bytes": shown}), reasons=(fault,))


def too_long(line: int, start: bytes, shape: Shape) -> Refusal:
    """Refuse a line longer than a record may be; `start` has at least `max_record` bytes."""
    return refusal(line, start, _long(shape), shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lines:
    """A stretch's physical lines; those after the first `whole` may go on beyond the stretch."""

    physical: list[bytes]
    whole: int
    ended: bool

    @classmethod
    def of(cls, stretch: Stretch) -> _Lines:
        physical = stretch.text.splitlines(keepends=True)
        # A CR at the very end may be the first half of a CRLF.
        whole = stretch.ended or not physical or physical[-1].endswith(b"\n")
        return cls(
            physical=physical,
            whole=len(physical) if whole else len(physical) - 1,
            ended=stretch.ended,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One record, or the lines to refuse instead of one, and why."""

    lines: int
    cells: list[str] = field(default_factory=list)
    fault: Reason | None = None


def _read_record(lines: _Lines, at: int, shape: Shape) -> _Found | None:
    """Read the record that starts with line `at`; None if more text is needed to settle it."""
    feed = _Feed(lines, at, shape.max_record)
    reader = partial(csv.reader, delimiter=shape.delimiter, quotechar=shape.quote, strict=True)
    try:
        cells = next(reader(feed), None)
    except csv.Error:
        cells = None
    if cells is None:
        return _unreadable(feed, shape)
    text = b"".join(lines.physical[at : feed.at])
    fault = _stray(text, cells, shape) or _ragged(cells, feed.at - at, shape)
    if fault is None and not valid(text):
        return _Found(lines=feed.at - at, cells=cells, fault=_undecodable(shape))
    return _Found(lines=1 if fault else feed.at - at, cells=cells, fault=fault)


class _Feed:
    """Gives the lines of one record to the standard library's reader, never more than allowed."""

    def __init__(self, lines: _Lines, at: int, limit: int) -> None:
        self.lines = lines
        self.at = at
        self.left = limit
        self.stopped: Literal["", "long", "out"] = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        lines = self.lines
        line = lines.physical[self.at] if self.at < len(lines.physical) else b""
        self.left -= len(line)
        if self.left < 0:
            self.stopped = "long"
            raise StopIteration
        if self.at >= lines.whole:
            self.stopped = "out"
            raise StopIteration
        self.at += 1
        return line.decode("utf-8", "surrogateescape")


def _unreadable(feed: _Feed, shape: Shape) -> _Found | None:
    if feed.stopped == "out" and not feed.lines.ended:
        return None
    if feed.stopped == "long":
        return _Found(lines=1, fault=_long(shape))
    if feed.stopped == "out":
        return _Found(lines=1, fault=_quote("a quote is opened and never closed"))
    return _Found(lines=1, fault=_quote("a closing quote is followed by more text"))


def _stray(text: bytes, cells: Sequence[str], shape: Shape) -> Reason | None:
    # The standard library reads a quote inside of an unquoted cell as itself.
    # Only if the cells hold one is it worth a look how it got there.
    if shape.quote not in "".join(cells) or _well_formed(text, shape):
        return None
    return _quote("a quote stands inside of an unquoted cell")


def _well_formed(text: bytes, shape: Shape) -> bool:
    """Whether every quote opens a cell, closes one, or is doubled within one."""
    pieces = text.split(shape.quote.encode())
    if len(pieces) % 2 == 0:
        return False
    # Every second piece stands inside of quotes. An empty one outside is a
    # doubled quote, which belongs to the quoted cell around it.
    outside = pieces[::2]
    delimiter = shape.delimiter.encode()
    opening, closing = (delimiter, b"\n"), (delimiter, b"\n", b"\r")
    return all(each.endswith(opening) for each in outside[:-1] if each) and all(
        each.startswith(closing) for each in outside[1:] if each
    )


def _ragged(cells: Sequence[str], lines: int, shape: Shape) -> Reason | None:
    expected = len(shape.columns)
    if len(cells) == expected or not expected:
        return None
    counts = f"{expected} cells expected, {len(cells)} found"
    if lines > 1:
        return _quote(f"{counts} in a record over {lines} lines; is a quote missing?")
    return Reason(field=None, rule="file.ragged", message=counts)


def _blank(line: bytes, shape: Shape) -> bool:
    return not line.strip() and shape.delimiter.encode() not in line


def _frame(rows: Sequence[Sequence[str]], shape: Shape) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else ((),) * len(shape.columns)
    series = [
        pl.Series(name, cells, dtype=pl.String)
        for name, cells in zip(shape.columns, columns, strict=True)
    ]
    return pl.DataFrame(series).select(pl.when(pl.all() != "").then(pl.all()))


# Reasons --------------------------------------------------------------------------------


def _long(shape: Shape) -> Reason:
    message = f"longer than max_record, {shape.max_record} bytes; is a quote never closed?"
    return Reason(field=None, rule="file.long", message=message)


def _quote(message: str) -> Reason:
    return Reason(field=None, rule="file.quote", message=message)


def _undecodable(shape: Shape) -> Reason:
    message = f"holds bytes that {shape.encoding} does not know; is the encoding another one?"
    return Reason(field=None, rule="file.encoding", message=message)
