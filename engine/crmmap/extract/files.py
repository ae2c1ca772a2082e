"""Files as pages: a chunk of records at a time, in constant memory, resumable after any page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import polars as pl

from crmmap.errors import SourceError
from crmmap.extract.csv_chunks import Chunk, ChunkReader, Shape, Stretch
from crmmap.extract.csv_exact import too_long
from crmmap.extract.csv_header import Wanted, foreign_format
from crmmap.extract.csv_quick import quickest
from crmmap.extract.csv_start import csv_start
from crmmap.extract.stored import (
    Identity,
    Opened,
    Stored,
    demand_unchanged,
    identify,
    shown,
)
from crmmap.extract.text_files import Lookahead
from crmmap.kinds.formats import Csv
from crmmap.values import Page

__all__ = ["CHUNK", "CsvFile", "Wanted", "progress_of", "read_pages"]

CHUNK = 4 * 1024 * 1024
"""How many bytes of text make a page at most, unless one record is larger."""

ROWS = 5000
"""How many lines make a page, about: of short lines, far fewer bytes than `CHUNK` are taken."""

SIGNATURE = 1024
"""How many bytes at the start of a file show what format it is of."""

FIRST = 64 * 1024
"""How many bytes are taken at first, when nothing is known of the lines' lengths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """A file, how it is written, and the headers that the mapping reads from it."""

    file: Stored
    format: Csv
    wanted: Wanted


def read_pages(
    file: CsvFile,
    position: str | None = None,
    *,
    chunk_bytes: int = CHUNK,
    chunk_rows: int = ROWS,
    read_chunk: ChunkReader = quickest,
) -> Iterator[Page]:
    """Yield the file's records, about `chunk_rows` at a time, in `chunk_bytes` of text at most.

    A page's `records` has every column of the file, named by its header (see
    `column_names`), as String; a cell that is empty, quoted or not, is null.
    `lines` is the physical line on which each record starts. What can't be
    read is in `refused`, under the rules `file.ragged`, `file.quote`,
    `file.long` and `file.encoding`. A file without records gives one page.

    `position`, from any page but the last, resumes after that page, also in
    another process; `number` then goes on. If the file or its format is not
    the same any more, or the position is none of ours, reading starts over:
    the first page's number is 1.

    Raises SourceError if the file can't be read, changes while it is read, or
    its header row is not what is wanted.
    """
    with file.file.opened() as opened:
        identity = identify(file.file, opened)
        source = opened.bytes
        _demand_own_format(file.file, opened)
        text, shape, offset, line = csv_start(
            source, file.format, file.wanted, shown(file.file.name)
        )
        start = _Place(offset=offset, line=line)
        signature = _signature(identity, shape)
        place = _resumed(position, signature) or start
        text.seek(place.offset)
        ahead = Lookahead(text)
        size, last = min(FIRST, chunk_bytes), False
        while not last:
            how = _How(size=size, rows=chunk_rows, read=read_chunk)
            chunk, last = _next_chunk(ahead, place.line, shape, how)
            size = min(chunk_bytes, chunk_rows * _per_line(chunk))
            place = place.after(chunk, read=opened.passed(ahead.held))
            demand_unchanged(file.file, identity)
            yield Page(
                number=place.page,
                records=chunk.records,
                lines=chunk.lines,
                refused=chunk.refused,
                nul=chunk.nul,
                size=chunk.consumed,
                position=None if last else json.dumps({**signature, **asdict(place)}),
            )


def progress_of(position: str) -> int:
    """Return how many bytes of the file, of its size, were read at a page's position.

    Exact for UTF-8. Of another encoding, some of the bytes may only have been
    read ahead, about `CHUNK` at most.
    """
    return int(json.loads(position)["read"])


def _demand_own_format(file: Stored, opened: Opened) -> None:
    # The bytes as they are: decoded, a signature would look different in every encoding.
    if message := foreign_format(opened.bytes.read(SIGNATURE)):
        raise SourceError(f"{shown(file.name)}: {message}")
    opened.bytes.seek(0)


# Where reading stands -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where reading goes on.

    `offset` is in bytes of the UTF-8 text (of a UTF-8 file: of the file),
    `line` the next line's number, `page` the pages so far, `read` the bytes
    of the file so far.
    """

    offset: int
    line: int
    page: int = 0
    read: int = 0

    def after(self, chunk: Chunk, *, read: int) -> _Place:
        return _Place(
            offset=self.offset + chunk.consumed,
            line=self.line + chunk.passed,
            page=self.page + 1,
            read=read,
        )


def _signature(identity: Identity, shape: Shape) -> dict[str, object]:
    """Return what must be the same for a position to mean anything."""
    form = [shape.encoding, shape.delimiter, shape.quote, shape.max_record]
    return {**asdict(identity), "form": form}


def _resumed(position: str | None, signature: dict[str, object]) -> _Place | None:
    if position is None:
        return None
    try:
        found = json.loads(position)
        place = _Place(**{name: int(found[name]) for name in ("offset", "line", "page", "read")})
    except (ValueError, KeyError, TypeError):
        return None
    return place if all(found.get(name) == signature[name] for name in signature) else None


# Chunks ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """How the next chunk is to be read: bytes to look at, lines to take about, and by whom."""

    size: int
    rows: int
    read: ChunkReader


def _per_line(chunk: Chunk) -> int:
    return max(1, chunk.consumed // max(1, chunk.passed))


def _shortened(text: bytes, rows: int) -> bytes | None:
    """Return the start of a text that has far more lines than wanted; None if it has not."""
    lines = text.count(b"\n") + (text.count(b"\r") if b"\r" in text else 0)
    return text[: len(text) * rows // lines] if lines > 4 * rows else None


def _next_chunk(ahead: Lookahead, line: int, shape: Shape, how: _How) -> tuple[Chunk, bool]:
    """Take the next chunk, and say whether it is the last: a larger one where a record is large."""
    size = how.size
    while True:
        text, ended = ahead.peek(size)
        if (start := _shortened(text, how.rows)) is not None:
            chunk = how.read(Stretch(text=start, line=line, ended=False), shape)
            if chunk.consumed:
                ahead.take(chunk.consumed)
                return chunk, False
        chunk = how.read(Stretch(text=text, line=line, ended=ended), shape)
        if chunk.consumed or ended:
            ahead.take(chunk.consumed)
            return chunk, ended
        # Nothing settled in so much text: it is all one line, longer than a record may be.
        if size > shape.max_record:
            return _skip_line(ahead, line, shape)
        size *= 2


def _skip_line(ahead: Lookahead, line: int, shape: Shape) -> tuple[Chunk, bool]:
    start, _ = ahead.peek(shape.max_record)
    consumed = ahead.take_line()
    chunk = Chunk(
        records=pl.DataFrame(schema=dict.fromkeys(shape.columns, pl.String)),
        lines=pl.Series("line", [], dtype=pl.UInt32),
        refused=(too_long(line, start, shape),),
        consumed=consumed,
        passed=1,
    )
    return chunk, not ahead.peek(1)[0]
