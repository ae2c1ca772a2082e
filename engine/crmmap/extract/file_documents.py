"""Files in JSON, JSON Lines and XML, a page at a time; resumable after any page."""

from __future__ import annotations

import json
from bisect import bisect, bisect_left
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from crmmap.errors import SourceError
from crmmap.extract.body import BadBody
from crmmap.extract.decoders import decoded_json
from crmmap.extract.json_lines import LINE, reader_of_lines
from crmmap.extract.json_quick import Way, placed, way_of
from crmmap.extract.pages import page_of
from crmmap.extract.stored import (
    Identity,
    Opened,
    Stored,
    demand_unchanged,
    identify,
    shown,
)
from crmmap.extract.text_lines import Line, lines_of
from crmmap.extract.xml_body import PIECE, Found, NotXml, XmlReader, astray
from crmmap.extract.xml_mend import mended
from crmmap.kinds.formats import Format, Ndjson, Xml
from crmmap.kinds.source import Files
from crmmap.plan import Step
from crmmap.select.document import Document, ambiguous
from crmmap.select.elements import walk_for
from crmmap.select.strict import read_json
from crmmap.select.xpath import RecordPath
from crmmap.values import RECORD, Page, Refusal, Response


def read_documents(step: Step, file: Stored, position: str | None = None) -> Iterator[Page]:
    """Yield the records of a file that is not CSV, about `step.batch` at a time.

    `lines` is the line of each record in JSON Lines, its place among the records elsewhere.
    Raises SourceError if the file can't be read, changes while it is read, or is not what the
    mapping says.
    """
    with file.opened() as opened:
        identity = identify(file, opened)
        reading = _Reading(step=step, file=file, opened=opened, identity=identity, way=way_of(step))
        place = _resumed(position, identity) or _Place()
        try:
            yield from _pages(reading, place, step.format)
        except (BadBody, NotXml) as error:
            message = str(error).removesuffix(" (status 200)")
            where = "" if message.startswith(shown(file.name)) else f"{shown(file.name)}: "
            raise SourceError(f"{where}{message}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    step: Step
    file: Stored
    opened: Opened
    identity: Identity
    way: Way | None
    """How the records of JSON are taken apart, if they are not to be decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where reading goes on: after so many records, bytes of text, lines and pages.

    What is refused as a record counts, too, in a JSON document.
    """

    count: int = 0
    offset: int = 0
    line: int = 1
    page: int = 0


def _resumed(position: str | None, identity: Identity) -> _Place | None:
    try:
        found = json.loads(position or "")
        place = _Place(**{name: int(found[name]) for name in ("count", "offset", "line", "page")})
    except (ValueError, KeyError, TypeError):
        return None
    return place if found.get("identity") == _text(identity) else None


def _text(identity: Identity) -> str:
    return f"{identity.size}:{identity.mtime_ns}:{identity.head}"


def _pages(reading: _Reading, place: _Place, form: Format | None) -> Iterator[Page]:
    if isinstance(form, Ndjson):
        return _of_lines(reading, place)
    if isinstance(form, Xml):
        return _in_one_thread(_of_xml(reading, place, form))
    return _of_json(reading, place)


def _in_one_thread(pages: Generator[Page]) -> Iterator[Page]:
    """Yield the pages, all made in one thread: lxml's parser must not go from thread to thread."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            while (page := thread.submit(next, pages, None).result()) is not None:
                yield page
        finally:
            thread.submit(pages.close).result()


def _page(reading: _Reading, page: Page, place: _Place, *, last: bool) -> Page:
    """Return a page with its number, and the position after it."""
    demand_unchanged(reading.file, reading.identity)
    position = {
        "identity": _text(reading.identity), "read": reading.opened.passed(0),
        "count": place.count, "offset": place.offset, "line": place.line, "page": place.page,
    }  # fmt: skip
    return replace(page, number=place.page, position=None if last else json.dumps(position))


# --- JSON Lines ---------------------------------------------------------------------------------


def _of_lines(reading: _Reading, place: _Place) -> Iterator[Page]:
    source = reading.opened.bytes
    source.seek(place.offset)
    lines = lines_of(source, first=place.line, start=place.offset)
    batch, held = reading.step.batch, list[Line]()
    while True:
        chunk, held = _some(held, lines, batch)
        last = not held
        if chunk:
            place = replace(place, offset=chunk[-1].end, line=chunk[-1].number + 1)
        place = replace(place, page=place.page + 1)
        page = replace(_of_chunk(reading, chunk), size=sum(len(each.text) for each in chunk))
        yield _page(reading, page, place, last=last)
        if last:
            return


def _some(held: list[Line], lines: Iterator[Line], batch: int) -> tuple[list[Line], list[Line]]:
    """Return lines for a page, and the next one: so that the last page is known as such."""
    chunk, size = held, sum(len(each.text) for each in held)
    for line in lines:
        if len(chunk) >= batch or size >= batch * RECORD:
            return chunk, [line]
        chunk.append(line)
        size += len(line.text)
    return chunk, []


def _of_chunk(reading: _Reading, chunk: list[Line]) -> Page:
    raw = reading.way is not None
    values, places, refused = _read(chunk, reader_of_lines(raw=raw))
    if raw:
        sent = [each for each in values if isinstance(each, bytes)]
        found = placed(sent, places, refused) if len(sent) == len(values) else None
        if found is not None:
            return page_of(reading.step, 1, _response(reading, b""), Document([], found=found))
        values, places, refused = _read(chunk, read_json)
    document = Document(values, any(ambiguous(each) for each in values))
    page = page_of(reading.step, 1, _response(reading, b""), document)
    return _with_lines(page, places, refused)


def _read(
    chunk: list[Line], read: Callable[[str], object]
) -> tuple[list[object], list[int], list[Refusal]]:
    """Return what lines hold, the numbers of those, and the lines that are not JSON."""
    values: list[object] = []
    places: list[int] = []
    refused: list[Refusal] = []
    for line in chunk:
        text = line.text.strip()
        if not text and line.whole:
            continue
        try:
            if not line.whole:
                raise ValueError
            values.append(read(text.decode()))
            places.append(line.number)
        except (ValueError, RecursionError):
            raw = line.text.decode("utf-8", "backslashreplace").rstrip("\r\n")
            refused.append(Refusal(at=line.number, raw=raw, reasons=(LINE,)))
    return values, places, refused


def _with_lines(page: Page, places: list[int], refused: list[Refusal]) -> Page:
    """Return a page whose records' places are indexes with the lines of those instead."""
    at = [*(page.lines or ())]
    known = [each if each.at >= len(places) else replace(each, at=places[each.at])
             for each in page.refused]  # fmt: skip
    return replace(
        page,
        lines=[places[each] if each < len(places) else each for each in at],
        refused=tuple(sorted((*known, *refused), key=lambda each: each.at)),
    )


# --- JSON ---------------------------------------------------------------------------------------


def _of_json(reading: _Reading, place: _Place) -> Iterator[Page]:
    """Yield the records and what is none, in order, so many of the two to a page."""
    response = _response(reading, _whole(reading))
    page = page_of(reading.step, 1, response, decoded_json(reading.way, response))
    lines, refused = page.lines or (), page.refused
    # Whether an object with a key twice is refused here or later, all others have one place.
    ranks = [bisect(lines, each.at) + at for at, each in enumerate(refused)]
    while True:
        begin, stop = place.count, min(place.count + reading.step.batch, page.fetched)
        first, last = bisect_left(ranks, begin), bisect_left(ranks, stop)
        part = replace(
            page, records=page.records[begin - first : stop - last],
            lines=lines[begin - first : stop - last], refused=refused[first:last],
            size=page.size * (stop - begin) // max(1, page.fetched),
        )  # fmt: skip
        place = replace(place, count=stop, page=place.page + 1)
        yield _page(reading, part, place, last=stop == page.fetched)
        if stop == page.fetched:
            return


def _response(reading: _Reading, body: bytes) -> Response:
    return Response(status=200, headers={}, body=body, url=shown(reading.file.name))


def _whole(reading: _Reading) -> bytes:
    """Return all of a file that can be read only whole; there is a bound on that."""
    assert isinstance(reading.step.source, Files)  # noqa: S101  (its reader was chosen by that)
    limit = reading.step.source.max_document
    body = reading.opened.bytes.read(limit + 1)
    if len(body) > limit:
        message = (
            f"is longer than {limit} bytes, and can be read only whole. Write it as JSON Lines, or "
            "raise the source's `max_document`"
        )
        raise BadBody(f"{shown(reading.file.name)}: {message}", again=False)
    return body


# --- XML ----------------------------------------------------------------------------------------


def _of_xml(reading: _Reading, place: _Place, form: Xml) -> Generator[Page]:
    """Yield the elements; of a file that was begun, those before the place are passed over."""
    path = reading.step.records
    assert isinstance(path, RecordPath)  # noqa: S101  (a plan pairs it with the format)
    xml = XmlReader(path, walk_for(reading.step.selector))
    gathered: list[Found] = []
    skipped, most, count, size = place.count, reading.step.batch, 0, 0
    pieces, fixed = _pieces(reading, form)
    for piece in pieces:
        for each in xml.feed(piece):
            count += 1
            if count <= skipped:
                continue
            if len(gathered) >= most or size >= most * RECORD:
                # Only now that there is another one, so that the last page is known as such.
                place = replace(place, count=place.count + len(gathered), page=place.page + 1)
                yield _page(reading, _of_elements(gathered), place, last=False)
                gathered, size = [], 0
            gathered.append(each)
            size += len(each.text)
    root = xml.close()
    if not count and (lacking := astray(root, path)):
        raise NotXml(f"records: {lacking}", again=False)
    place = replace(place, count=place.count + len(gathered), page=place.page + 1)
    page = replace(_of_elements(gathered), mended=fixed)
    yield _page(reading, page, place, last=True)


def _pieces(reading: _Reading, form: Xml) -> tuple[Iterator[bytes], int]:
    if not form.sanitize:
        return iter(lambda: reading.opened.bytes.read(PIECE), b""), 0
    body, count = mended(_whole(reading))
    return (body[at : at + PIECE] for at in range(0, len(body), PIECE)), count


def _of_elements(found: list[Found]) -> Page:
    return Page(
        number=1, records=[each.record for each in found], lines=[each.at for each in found],
        size=sum(len(each.text) for each in found),
    )  # fmt: skip
