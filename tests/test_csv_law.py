"""Laws of reading files: the quick way is the exact way, and neither chunks nor kills show."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from crmmap.extract.csv_chunks import ChunkReader, Shape, Stretch
from crmmap.extract.csv_exact import exactly
from crmmap.extract.csv_quick import quickest, quickly
from crmmap.extract.files import CsvFile, Wanted, read_pages
from crmmap.extract.regular_file import Local
from crmmap.kinds.formats import Csv
from crmmap.values import Page

HEADER = b"a,b,c\n"
SHAPE = Shape(columns=("a", "b", "c"), max_record=64)
DIALECTS = [(",", '"'), (";", "'"), ("\t", '"'), ("|", "'")]

LINES = [
    b"1,2,3\n", b"4,5,6\r\n", b",,\n", b'"p","q, r","s"\n', b'x,"two\nlines",y\n', b'"",,""\n',
    b'x,"two\r\nlines",y\r\n', b"\xc3\xa9,\xe2\x80\xa8,\x0b\n", b" #1 , 2,3 \n",
]  # fmt: skip
ODD_LINES = [
    b'1,5" pipe,3\n', b'1,5" x 6",3\n', b'1,"2"x,3\n', b'a""b,2,3\n', b'1,"2" ,3\n', b'"1,2,3\n',
    b"\xef\xbb\xbf1,2,3\n", b"1,2\n", b"1,2,3,4\n", b"\n", b"  \n", b"1,\xff,3\n", b"1,\0,3\n",
    b"1,2,3\r", b"1,2,a long cell of some forty bytes, or more\n", b'1,"\n\n\n",3,4\n', b"1,2,3",
]  # fmt: skip
PIECES = [
    b"x", b",", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b" ", b"\t", b"\xc3", b"\xff", b"\0",
    b"\xc3\xa9", b"\xef\xbb\xbf", b"\x0b", *LINES, *ODD_LINES,
]  # fmt: skip
# Clean text, clean text with a flaw or two, and anything: each way is taken often.
calm = st.lists(st.sampled_from(LINES), max_size=8).map(b"".join)
flawed = st.tuples(calm, st.sampled_from(ODD_LINES), calm).map(b"".join)
messy = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)
bodies = calm | flawed | messy
sizes = st.integers(1, 90)
limits = st.integers(8, 90)

cells = st.text(st.sampled_from('ab ,;"\n\ré€😀\u2028#'), max_size=6)
tables = st.lists(st.tuples(cells, cells, cells), max_size=12)

Told = tuple[list[tuple[object, ...]], list[int], list[tuple[int, str, str, str]]]


def told(pages: list[Page]) -> Told:
    """All that the pages say, however it was cut into pages."""
    rows = [row for page in pages for row in page.records.rows()]
    lines = [line for page in pages for line in page.lines]
    refused = [
        (each.at, each.raw, each.reasons[0].rule, each.reasons[0].message)
        for page in pages
        for each in page.refused
    ]
    return rows, lines, refused


@contextmanager
def written(content: bytes, **form: object) -> Iterator[CsvFile]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "records.csv")
        path.write_bytes(content)
        yield CsvFile(
            file=Local(path=path), format=Csv(**form), wanted=Wanted(headers=[("a",), ("b",)])
        )


def pages_of(file: CsvFile, size: int, read_chunk: ChunkReader) -> list[Page]:
    return list(read_pages(file, chunk_bytes=size, read_chunk=read_chunk))


def as_csv(table: list[tuple[str, ...]], line_end: str, *, quote_all: bool) -> str:
    def written_cell(cell: str) -> str:
        bare = not quote_all and not set(cell) & set(',"\r\n')
        return cell if bare else '"' + cell.replace('"', '""') + '"'

    return "".join(",".join(map(written_cell, row)) + line_end for row in [("a", "b", "c"), *table])


def stored(table: list[tuple[str, ...]]) -> list[tuple[object, ...]]:
    return [tuple(cell or None for cell in row) for row in table]


@given(bodies, sizes, limits)
@settings(max_examples=400, deadline=None)
def test_neither_the_way_nor_the_chunk_size_changes_what_is_read(
    body: bytes, size: int, limit: int
) -> None:
    with written(HEADER + body, max_record=limit) as file:
        whole = told(pages_of(file, 100_000, exactly))
        assert told(pages_of(file, 100_000, quickest)) == whole
        assert told(pages_of(file, size, exactly)) == whole
        assert told(pages_of(file, size, quickest)) == whole
        assert told(pages_of(file, 100_000, partial(quickest, piece=size))) == whole


@given(bodies, st.booleans(), st.sampled_from(DIALECTS), st.integers(1, 4), limits)
@settings(max_examples=800, deadline=None)
@example(b"1,2\n4,5,6,7\n", True, (",", '"'), 3, 64)  # as many cells as there should be
@example(b"1,2,3\n4,5\n6,7,8,", True, (",", '"'), 3, 64)  # and bytes, too, at an open end
@example(b'1,"2"x,3\n', True, (",", '"'), 3, 64)
@example(b'"1","2",3\r\n"","\n",""""', True, (",", '"'), 3, 64)
def test_what_is_read_quickly_is_read_exactly_so(
    body: bytes, ended: bool, dialect: tuple[str, str], width: int, limit: int
) -> None:
    shape = Shape(
        columns=("a", "b", "c", "d")[:width], delimiter=dialect[0], quote=dialect[1],
        max_record=limit,
    )  # fmt: skip
    body = body.translate(bytes.maketrans(b',"', "".join(dialect).encode()))
    quick = quickly(Stretch(text=body, line=7, ended=ended), shape)
    if quick is None:
        return
    exact = exactly(Stretch(text=body[: quick.consumed], line=7), shape)
    assert quick.records.equals(exact.records)
    assert quick.lines.equals(exact.lines)
    assert quick.nul or not any(
        "\0" in cell for row in exact.records.rows() for cell in row if cell
    )
    assert (quick.consumed, quick.passed) == (exact.consumed, exact.passed)
    assert exact.refused == ()


@given(tables, st.sampled_from(["\n", "\r\n"]), st.booleans())
@settings(deadline=None)
def test_well_formed_text_is_read_quickly(
    table: list[tuple[str, ...]], line_end: str, quote_all: bool
) -> None:
    tame = [tuple(cell.replace("\r", "") for cell in row) for row in table]
    text = as_csv(tame, line_end, quote_all=quote_all).encode()
    chunk = quickly(Stretch(text=text), Shape(columns=("a", "b", "c")))
    assert chunk is not None
    assert chunk.records.rows()[1:] == stored(tame)


@given(tables, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), sizes)
@settings(deadline=None)
def test_what_was_written_is_read(
    table: list[tuple[str, ...]], line_end: str, quote_all: bool, size: int
) -> None:
    with written(as_csv(table, line_end, quote_all=quote_all).encode()) as file:
        rows, _, refused = told(pages_of(file, size, quickest))
    assert rows == stored(table)
    assert refused == []


@given(tables, st.sampled_from(["utf-16", "utf-8-sig", "utf-32-be", "gb18030", "utf-7"]), sizes)
@settings(deadline=None)
def test_the_encoding_does_not_matter(
    table: list[tuple[str, ...]], encoding: str, size: int
) -> None:
    text = as_csv(table, "\n", quote_all=False)
    with written(text.encode()) as file:
        expected = told(pages_of(file, 100_000, quickest))
    with written(text.encode(encoding), encoding=encoding) as file:
        assert told(pages_of(file, size, quickest)) == expected


@given(bodies, sizes, limits, st.sampled_from(["utf-8", "utf-16", "cp1252"]))
@settings(max_examples=200, deadline=None)
def test_resuming_after_any_page_is_reading_on(
    body: bytes, size: int, limit: int, encoding: str
) -> None:
    mark = b"\xff\xfe" if encoding == "utf-16" else b""
    header = HEADER.decode().encode("utf-16-le") if mark else HEADER
    with written(mark + header + body, max_record=limit, encoding=encoding) as file:
        pages = pages_of(file, size, quickest)
        assert [page.number for page in pages] == list(range(1, len(pages) + 1))
        assert [page.position is None for page in pages] == [False] * (len(pages) - 1) + [True]
        for page in pages[:-1]:
            rest = list(read_pages(file, page.position, chunk_bytes=size))
            assert [each.number for each in rest] == [each.number for each in pages[page.number :]]
            assert [told([each]) for each in rest] == [
                told([each]) for each in pages[page.number :]
            ]


@given(bodies, sizes)
@settings(max_examples=200, deadline=None)
def test_what_is_refused_is_kept_as_it_stood(body: bytes, size: int) -> None:
    physical = (HEADER + body).splitlines(keepends=True)
    with written(HEADER + body) as file:
        for page in pages_of(file, size, quickest):
            for refused in page.refused:
                raw = json.loads(refused.raw)
                line = physical[raw["line"] - 1].decode("utf-8", "backslashreplace")
                assert raw["line"] == refused.at
                assert raw["bytes"].startswith(line)


@given(bodies)
@settings(max_examples=400, deadline=None)
def test_without_its_refused_lines_a_text_is_well_formed(body: bytes) -> None:
    chunk = exactly(Stretch(text=body), SHAPE)
    assert chunk.consumed == len(body)
    kept = body.splitlines(keepends=True)
    for refused in chunk.refused:
        lines = json.loads(refused.raw)["bytes"] if "encoding" in refused.reasons[0].rule else ""
        several = max(1, len(lines.encode().splitlines()))
        kept[refused.at - 1 : refused.at - 1 + several] = [b""] * several
    text = b"".join(kept).decode()
    rows = [
        row for row in csv.reader(io.StringIO(text, newline="")) if "".join(row).strip() or row[1:]
    ]
    assert stored([tuple(row) for row in rows]) == chunk.records.rows()
