"""Pages, compressed, and back: what the archive keeps of them.

A page of texts is a table (`packed_texts`), and so is one of XML that stayed as it was sent
(`packed_elements`); all else is lines of JSON. A line is
`{"at":3,"record":…}`, `at` being the record's place as a person would count it;
`{"at":3,"refused":…,"reasons":[…]}` for what could not be read as a record; or
`{"at":3,"withheld":…}`, which says why a record is not kept.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import polars as pl

from crmmap.loop.packed_elements import plain_elements, raws_of
from crmmap.loop.packed_texts import pack_texts, plain_texts, unpack_texts
from crmmap.plan import FoundField
from crmmap.redact import Clean, tells
from crmmap.select.raw_records import bytes_of, raw_records
from crmmap.values import Page, Reason, Refusal

PIECE = 1_000_000
"""Characters of a piece, about: no database is asked to take more at once."""
BODY = PIECE // 2
"""Bytes of a table."""
LONGEST = 2 * PIECE
"""Characters of the longest record that is kept."""

SECRET = "a secret stands in it"  # noqa: S105  (a sentence about one)
LONG = f"it has more than {LONGEST} characters"
RECORD = '"record":'
LEVEL = 1
"""Of compression: the others take several times as long for a tenth less."""

LINES, TABLE, ELEMENTS = "gzip", "parquet", "parquet of xml"
"""What a piece is: lines of JSON, compressed by gzip, or a table, of texts or of XML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A piece of a page: the number of its records, and those, compressed."""

    records: int
    codec: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What a piece holds: `raws` are records as JSON, with their places; what was refused."""

    raws: Sequence[str]
    places: Sequence[int]
    refused: tuple[Refusal, ...]
    withheld: int


def pack(page: Page, clean: Clean | None) -> Iterator[Packed]:
    """Yield a page's pieces, without secrets. None: there are none."""
    texts = plain_texts(page, clean, longest=LONGEST)
    codec = ELEMENTS if texts is None else TABLE
    if texts is None:
        texts = plain_elements(page, clean, longest=LONGEST)
    if texts is None:
        yield from _pieces(chain(_records(page, clean), _refusals(page, clean)))
        return
    for records, body in pack_texts(texts, _places(page), most=BODY):
        yield Packed(records=records, codec=codec, body=body)
    yield from _pieces(_refusals(page, clean))


def _pieces(lines: Iterable[str]) -> Iterator[Packed]:
    gathered: list[str] = []
    length = 0
    for line in lines:
        if gathered and length + len(line) > PIECE:
            yield _piece(gathered)
            gathered, length = [], 0
        gathered.append(line)
        length += len(line)
    if gathered:
        yield _piece(gathered)


def _piece(lines: Sequence[str]) -> Packed:
    return Packed(records=len(lines), codec=LINES, body=_compressed(lines))


def _compressed(lines: Sequence[str]) -> bytes:
    # Without the time of day, the same page gives the same bytes.
    return gzip.compress("".join(lines).encode("utf-8", "backslashreplace"), LEVEL, mtime=0)


def _places(page: Page) -> Sequence[int] | pl.Series:
    return range(len(page.records)) if page.lines is None else page.lines


def _records(page: Page, clean: Clean | None) -> Iterator[str]:
    raws = _raws(page, clean)
    hidden = clean is not None and tells(clean, "\n".join(raws))
    for at, raw in zip(_places(page), raws, strict=True):
        if len(raw) > LONGEST:
            yield f'{{"at":{at},"withheld":{json.dumps(LONG)}}}\n'
        elif hidden and tells(clean, raw):
            yield f'{{"at":{at},"withheld":{json.dumps(SECRET)}}}\n'
        else:
            yield f'{{"at":{at},{RECORD}{raw}}}\n'


def _refusals(page: Page, clean: Clean | None) -> Iterator[str]:
    for each in page.refused:
        raw = each.raw[:LONGEST]
        raw = raw if clean is None else clean(raw)
        reasons = [reason.as_json() for reason in each.reasons]
        yield json.dumps({"at": each.at, "refused": raw, "reasons": reasons}) + "\n"


def _raws(page: Page, clean: Clean | None) -> Sequence[str]:
    """Return the records as JSON, each on one line: as the source wrote them, where that will do.

    With escapes it would not where there are secrets: one could stand in them in another spelling.
    """
    raws = bytes_of(page.records)
    if raws is None:
        return page.raws()
    if not raws:
        return []
    whole = b"\n".join(raws)
    # Written anew, without what stands between values, one may be short enough to be kept.
    if whole.count(b"\n") >= len(raws) or max(map(len, raws)) > LONGEST:
        return page.raws()
    texts = whole.decode().split("\n")
    if clean is not None and b"\\" in whole:
        escaped = [at for at, text in enumerate(texts) if "\\" in text]
        written = Page(number=1, records=raw_records([raws[at] for at in escaped])).raws()
        for at, text in zip(escaped, written, strict=True):
            texts[at] = text
    return texts


def pack_fields(found: Sequence[FoundField]) -> bytes:
    """Return the fields that a source listed, a line for each."""
    lines = (json.dumps({"name": each.name, "type": each.type}) + "\n" for each in found)
    return _compressed([*lines])


def unpack_fields(body: bytes) -> tuple[FoundField, ...]:
    """Return the fields that were packed."""
    lines = gzip.decompress(body).decode().splitlines()
    return tuple(FoundField(**json.loads(line)) for line in lines)


def unpack(codec: str, body: bytes) -> Unpacked:
    """Return what a piece holds."""
    if codec in (TABLE, ELEMENTS):
        texts, places = unpack_texts(body)
        raws = raws_of(texts) if codec == ELEMENTS else Page(number=1, records=texts).raws()
        return Unpacked(raws=raws, places=places, refused=(), withheld=0)
    return _unpacked(body)


def _unpacked(body: bytes) -> Unpacked:
    raws: list[str] = []
    places: list[int] = []
    refused: list[Refusal] = []
    withheld = 0
    for line in gzip.decompress(body).decode().split("\n"):
        start, mark, record = line.partition(f",{RECORD}")
        if mark and start.removeprefix('{"at":').isdecimal():
            raws.append(record[:-1])
            places.append(int(start.removeprefix('{"at":')))
        elif line:
            told = json.loads(line)
            withheld += "withheld" in told
            refused += [_refusal(told)] if "refused" in told else []
    return Unpacked(raws=raws, places=places, refused=tuple(refused), withheld=withheld)


def _refusal(told: dict[str, object]) -> Refusal:
    reasons = told["reasons"]
    assert isinstance(reasons, list)  # noqa: S101  (as it was written)
    return Refusal(
        at=int(str(told["at"])), raw=str(told["refused"]),
        reasons=tuple(Reason(**each) for each in reasons),
    )  # fmt: skip
