"""Bodies that are lines, JSON Lines and CSV: cut short they look whole, so length is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO

from crmmap.extract.body import BadBody
from crmmap.extract.crowded import LINES, ROWS_MOST, refuse_crowded, rows
from crmmap.extract.csv_chunks import Stretch
from crmmap.extract.csv_header import Wanted
from crmmap.extract.csv_quick import quickest
from crmmap.extract.csv_start import csv_start
from crmmap.extract.expected import expected, page_for_people
from crmmap.extract.json_lines import LINE, reader_of_lines
from crmmap.extract.json_quick import placed
from crmmap.kinds.formats import Csv, Unpack
from crmmap.kinds.shaping import Misfit
from crmmap.plan import Step
from crmmap.select.document import Document, Found, ambiguous
from crmmap.select.strict import read_json
from crmmap.values import Refusal, Response, as_json

FRAMED = ("content-length", "transfer-encoding")


def demand_length(response: Response, unpack: Unpack) -> None:
    """Raise BadBody for an answer of which nobody could tell that it was cut short."""
    framed = any(name in response.headers for name in FRAMED)
    packed = unpack != "none" or response.headers.get("content-encoding", "identity") != "identity"
    if not framed and not packed:
        message = (
            f"{response.url}: the answer does not say how long it is, and lines that are cut short "
            "look whole. Ask for it compressed, or as JSON"
        )
        raise BadBody(message, again=False)


def read_ndjson(response: Response, *, raw: bool = False) -> Document:
    """Return the lines' values; a line that is not JSON is one that does not fit.

    With `raw` they stay bytes, but where some line is out of the ordinary.
    """
    refuse_crowded(response, LINES)
    try:
        text = response.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise expected("JSON lines", response, "bytes that are not utf-8 text") from None
    if text.lstrip()[:1] == "<":
        raise expected("JSON lines", response, page_for_people(response, text), again=False)
    lines = list(_lines(text, reader_of_lines(raw=raw)))
    if raw:
        if (found := _found(lines)) is not None:
            return Document([], found=found)
        lines = list(_lines(text, read_json))
    return Document(lines, any(ambiguous(each) for each in lines))


def _lines(text: str, read: Callable[[str], object]) -> Iterator[object]:
    for line in text.split("\n"):
        if line.strip():
            try:
                yield read(line)
            except (ValueError, RecursionError):
                yield Misfit(value=line.rstrip("\r"), rule=LINE.rule, message=LINE.message)


def _found(lines: Sequence[object]) -> Found | None:
    """Return records that are bytes; None where they have to be decoded."""
    if not all(isinstance(each, bytes | Misfit) for each in lines):
        return None
    places = [at for at, each in enumerate(lines) if isinstance(each, bytes)]
    broken = [
        Refusal(at=at, raw=as_json(each.value), reasons=(LINE,))
        for at, each in enumerate(lines)
        if isinstance(each, Misfit)
    ]
    return placed([each for each in lines if isinstance(each, bytes)], places, broken)


def read_csv(step: Step, form: Csv, response: Response) -> Document:
    """Return the rows as objects, each cell by its header; an empty one is null."""
    where = response.url
    refuse_crowded(response, rows(form.delimiter), most=ROWS_MOST)
    text, shape, offset, line = csv_start(BytesIO(response.body), form, _wanted(step), where)
    text.seek(offset)
    chunk = quickest(Stretch(text=_rest(text), line=line, ended=True), shape)
    return Document(
        None,
        found=Found(records=chunk.records.to_dicts(), lines=chunk.lines, refused=chunk.refused),
    )


def _rest(text: object) -> bytes:
    read = text.read  # type: ignore[attr-defined]
    return b"".join(iter(lambda: read(1024 * 1024), b""))


def _wanted(step: Step) -> Wanted:
    headers = [tuple(map(_header, each.sources)) for each in step.fields]
    return Wanted(headers=headers, optional=step.optional)


def _header(expression: str) -> str:
    """Return the header that an expression names: it is the quoted header itself."""
    try:
        return str(json.loads(expression))
    except ValueError:
        return expression  # what the mapping gives, which no file has
