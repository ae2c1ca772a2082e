"""Comma-separated text, a stretch at a time: a quick reader for clean text, an exact one for any.

Both give the same records, refusals and line numbers; a law in the tests says
so. The quick reader answers None wherever it is not certain.

A record is what RFC 4180 calls one. Where text breaks that grammar, its first
physical line is refused and reading resumes on the next: a quote that was
never closed costs one line, not the rest of the file. Line ends are LF, CRLF
and CR, in any mixture; blank lines are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import polars as pl

from crmmap.values import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What every record of one file must look like.

    `columns` are the frame's column names, in the order of the cells, no two
    alike. `max_record` is in bytes of UTF-8, line ends included. `encoding`
    is only named in messages.
    """

    columns: tuple[str, ...]
    delimiter: str = ","
    quote: str = '"'
    max_record: int = 1024 * 1024
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """UTF-8 text that starts where a record starts; bytes that were undecodable are still invalid.

    `line` is its first line's number, counted from 1. `ended` says that the
    file ends with it; otherwise its last record may be incomplete.
    """

    text: bytes
    line: int = 1
    ended: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The records at the start of a stretch that are certainly complete.

    `records` has one String column per column of the shape, null where a cell
    is empty, quoted or not. `lines` (UInt32) is the line where each record
    starts. `consumed` counts the bytes, `passed` the physical lines that the
    chunk has settled. Nothing consumed means: more text is needed. `nul` says whether a cell may
    hold a NUL character.
    """

    records: pl.DataFrame
    lines: pl.Series
    refused: tuple[Refusal, ...] = ()
    consumed: int
    passed: int
    nul: bool = True


class ChunkReader(Protocol):
    """A way to read: `quickest` is for use; `exactly` shows what is right."""

    def __call__(self, stretch: Stretch, shape: Shape) -> Chunk: ...


def valid(text: bytes) -> bool:
    """Whether the text is UTF-8 throughout."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
