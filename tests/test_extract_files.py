"""Reading files: what is refused and why, what a header must be, and what a page tells."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.errors import SourceError
from crmmap.extract.csv_chunks import ChunkReader
from crmmap.extract.csv_exact import exactly
from crmmap.extract.csv_quick import quickest
from crmmap.extract.files import CsvFile, Wanted, progress_of, read_pages
from crmmap.extract.regular_file import Local
from crmmap.extract.text_files import BLOCK, Lookahead
from crmmap.kinds.formats import Csv
from crmmap.select.column import ColumnSelector
from crmmap.values import Page

ID_AND_NAME = Wanted(headers=[("Id",), ("Name",)])
Written = Callable[..., CsvFile]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(content: str | bytes, wanted: Wanted = ID_AND_NAME, **form: object) -> CsvFile:
        path = tmp_path / "people.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return CsvFile(file=Local(path=path), format=Csv(**form), wanted=wanted)

    return write


@pytest.fixture(params=[exactly, quickest], ids=["exactly", "quickest"])
def way(request: pytest.FixtureRequest) -> ChunkReader:
    return request.param


def only_page(file: CsvFile, way: ChunkReader = quickest) -> Page:
    (page,) = read_pages(file, read_chunk=way)
    return page


def refusals(page: Page) -> list[tuple[int, str, str]]:
    return [(each.at, each.reasons[0].rule, each.reasons[0].message) for each in page.refused]


def complaint(file: CsvFile) -> str:
    with pytest.raises(SourceError) as caught:
        list(read_pages(file))
    return str(caught.value)


# Records --------------------------------------------------------------------------------


def test_a_page_has_every_column_by_its_header_as_text(written: Written, way: ChunkReader) -> None:
    page = only_page(written('Id, Name ,Other\n007,1E5,TRUE\n,"",\n'), way)
    assert page.records.schema == {"Id": pl.String, "Name": pl.String, "Other": pl.String}
    assert page.records.rows() == [("007", "1E5", "TRUE"), (None, None, None)]
    assert (page.number, page.position, page.fetched) == (1, None, 2)
    assert page.raw(0) == '{"Id":"007","Name":"1E5","Other":"TRUE"}'


def test_cells_keep_quotes_delimiters_and_line_ends(written: Written, way: ChunkReader) -> None:
    page = only_page(written('Id,Name\r\n1,"a ""b"", c\r\nd"\r\n2,e\r\n'), way)
    assert page.records.rows() == [("1", 'a "b", c\r\nd'), ("2", "e")]
    assert page.lines.to_list() == [2, 4]
    assert page.lines.dtype == pl.UInt32


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_read_alike(written: Written, end: str) -> None:
    page = only_page(written(end.join(["Id,Name", "1,a", "", "2,b"])))
    assert page.records.rows() == [("1", "a"), ("2", "b")]
    assert page.lines.to_list() == [2, 4]


def test_mixed_line_ends_count_as_lines(written: Written) -> None:
    page = only_page(written("Id,Name\r1,a\r\n2,b\n\n  \r3,c"))
    assert page.lines.to_list() == [2, 3, 6]


def test_a_header_alone_gives_one_empty_page(written: Written, way: ChunkReader) -> None:
    page = only_page(written("Id,Name"), way)
    assert page.records.columns == ["Id", "Name"]
    assert (page.fetched, page.number, page.position) == (0, 1, None)


def test_blank_lines_may_stand_before_the_header_and_after_the_records(written: Written) -> None:
    page = only_page(written("\n \nId,Name\n1,a\n\n\n"))
    assert (page.records.rows(), page.lines.to_list()) == ([("1", "a")], [4])


def test_one_column_has_no_use_for_delimiters(written: Written, way: ChunkReader) -> None:
    page = only_page(written('Id\n1\n\n""\n 2\n', Wanted(headers=[("Id",)])), way)
    assert page.records.rows() == [("1",), (None,), (" 2",)]
    assert page.lines.to_list() == [2, 4, 5]


@pytest.mark.parametrize("delimiter", ["\t", ";", "|", "¦"])
def test_any_character_delimits(written: Written, delimiter: str) -> None:
    content = "Id,Name\n1,'a, ''b'''\n".replace(",", delimiter)
    page = only_page(written(content, delimiter=delimiter, quote="'"))
    assert page.records.rows() == [("1", f"a{delimiter} 'b'")]


def test_a_cell_longer_than_the_standard_library_allows(written: Written, way: ChunkReader) -> None:
    page = only_page(written(f'Id,Name\n1,"{"x" * 200_000}"\n'), way)
    assert page.records["Name"].str.len_chars().to_list() == [200_000]


def test_a_byte_order_mark_inside_the_file_belongs_to_its_cell(
    written: Written, way: ChunkReader
) -> None:
    page = only_page(written("\ufeffId,Name\n\ufeff1,a\n"), way)
    assert page.records.rows() == [("\ufeff1", "a")]


# Refusals -------------------------------------------------------------------------------


def test_a_ragged_line_is_refused_with_its_counts_and_reading_goes_on(
    written: Written, way: ChunkReader
) -> None:
    page = only_page(written("Id,Name\n1,a\n2\n3,c,\n4,d\n"), way)
    assert page.records["Id"].to_list() == ["1", "4"]
    assert page.lines.to_list() == [2, 5]
    assert refusals(page) == [
        (3, "file.ragged", "2 cells expected, 1 found"),
        (4, "file.ragged", "2 cells expected, 3 found"),
    ]
    assert page.refused[1].raw == '{"line":4,"bytes":"3,c,\\n"}'
    assert page.fetched == 4


@pytest.mark.parametrize("line", ['2,5" pipe', '2,5" x 6"', '2,"b"c', '2,a""b', '"2"" ,b'])
def test_a_stray_quote_costs_its_line_only(written: Written, way: ChunkReader, line: str) -> None:
    page = only_page(written(f"Id,Name\n1,a\n{line}\n3,c\n4,d\n"), way)
    assert page.records["Id"].to_list() == ["1", "3", "4"]
    assert [rule for _, rule, _ in refusals(page)] == ["file.quote"]


def test_a_quote_never_closed_costs_its_line_only(written: Written, way: ChunkReader) -> None:
    page = only_page(written('Id,Name\n1,a\n2,"b\n3,c\n4,d\n'), way)
    assert page.records["Id"].to_list() == ["1", "3", "4"]
    assert refusals(page) == [(3, "file.quote", "a quote is opened and never closed")]


def test_a_quote_closed_by_a_later_record_costs_its_line_only(
    written: Written, way: ChunkReader
) -> None:
    page = only_page(written('Id,Name\n1,"a\n2,b\n3,",c\n4,d\n'), way)
    assert page.records["Id"].to_list() == ["2", "4"]
    assert [(at, rule) for at, rule, _ in refusals(page)] == [(2, "file.quote"), (4, "file.quote")]
    assert "2 cells expected, 3 found in a record over 3 lines" in refusals(page)[0][2]


def test_a_record_longer_than_allowed_is_refused_and_bounded(
    written: Written, way: ChunkReader
) -> None:
    long = "x" * 3000
    page = only_page(written(f'Id,Name\n1,a\n2,{long}\n3,"c\n{long}\n4,d\n', max_record=1024), way)
    assert page.records["Id"].to_list() == ["1", "4"]
    assert [(at, rule) for at, rule, _ in refusals(page)] == [
        (3, "file.long"), (4, "file.long"), (5, "file.long"),
    ]  # fmt: skip
    assert len(json.loads(page.refused[0].raw)["bytes"]) == 1024


def test_a_line_longer_than_memory_should_hold_is_passed_over(written: Written) -> None:
    file = written("Id,Name\n" + "x" * 2_000_000 + "\r\n2,b\n", max_record=1024)
    pages = list(read_pages(file, chunk_bytes=512))
    assert [refused.at for page in pages for refused in page.refused] == [2]
    assert [(page.records.rows(), list(page.lines)) for page in pages][-1] == ([("2", "b")], [3])


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
@pytest.mark.parametrize("short", [0, 1, 2])
def test_a_line_is_passed_over_with_its_whole_end(end: bytes, short: int) -> None:
    line = b"x" * (BLOCK - short) + end
    ahead = Lookahead(io.BytesIO(line + b"\rnext"))
    assert ahead.take_line() == len(line)
    assert ahead.peek(9) == (b"\rnext", True)


def test_undecodable_bytes_cost_their_record(written: Written, way: ChunkReader) -> None:
    page = only_page(written(b'Id,Name\n1,Zo\xeb\n2,"x\nZo\xeb"\n3,c\n'), way)
    assert page.records["Id"].to_list() == ["3"]
    assert page.lines.to_list() == [5]
    assert [(at, rule) for at, rule, _ in refusals(page)] == [
        (2, "file.encoding"),
        (3, "file.encoding"),
    ]
    assert page.refused[0].raw == '{"line":2,"bytes":"1,Zo\\\\xeb\\n"}'


def test_what_another_encoding_does_not_know_is_refused_too(written: Written) -> None:
    page = only_page(written(b"Id,Name\n1,Zo\xeb\n2,\x81\n", encoding="cp1252"))
    assert page.records.rows() == [("1", "Zoë")]
    assert [(at, rule) for at, rule, _ in refusals(page)] == [(3, "file.encoding")]


def test_bytes_outside_of_ascii_are_never_taken_for_utf8(written: Written) -> None:
    page = only_page(written("Id,Name\n1,é\n", encoding="ascii"))
    assert refusals(page)[0][:2] == (2, "file.encoding")


def test_a_utf16_file_cut_in_the_middle_of_a_character(written: Written) -> None:
    page = only_page(written("\ufeffId,Name\n1,a\n2,b\n".encode("utf-16-le")[:-3]))
    assert page.records.rows() == [("1", "a")]
    assert [(at, rule) for at, rule, _ in refusals(page)] == [(3, "file.encoding")]


def test_no_message_holds_a_value(written: Written) -> None:
    page = only_page(written(b'Id,Name\nJane\nJane,"x"Jane\nJane,\xff\nJane,"x'))
    assert len(page.refused) == 4
    assert not any("Jane" in message for _, _, message in refusals(page))


# The header -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "people.csv: the file is empty"),
        ("\ufeff", "people.csv: the file is empty"),
        (" \n\r\n", "only blank lines"),
        ("Id;Name\n1;a\n", "one column found, 2 expected; the delimiter looks like ';', not ','"),
        ("Id\tName\n", "the delimiter looks like a tab"),
        ("\n<!DOCTYPE html>\n<html>", "the file is an HTML page"),
        ('"Id,Name\n1,a\n', "header row: a quote is opened and never closed"),
        ("Id,Name,Name\n", "a header is not unique: 'Name' (2 times)"),
        (b"Id,Name,\xff\n", "header row: holds bytes that utf-8 does not know"),
        ("Id,Name\n".encode("utf-16-le"), "UTF-16"),
        (
            b"PK\x03\x04\x14\0\x06\0",
            "is an Excel workbook or another ZIP archive. Export the sheet",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an Excel workbook of the old kind. Export the sheet"),
        (b"\x1f\x8b\x08\0", "people.csv: the file is compressed with gzip. Write `unpack: gzip`"),
        ('[\n  {"Id": 1, "Name": "Jane"}\n]', "the file holds JSON, not CSV. Export it as CSV."),
        ('{"Id":1,"Name":"Jane"}\n', "the file holds JSON, not CSV"),
        ("\ufeff[]", "the file holds JSON, not CSV"),
        ("x" * 2_000_000, "header row: longer than max_record"),
    ],
)
def test_what_is_no_header_stops_the_stream(
    written: Written, content: str | bytes, expected: str
) -> None:
    assert expected in complaint(written(content))


def test_what_is_another_format_is_told_whatever_the_encoding(written: Written) -> None:
    assert "gzip" in complaint(written(b"\x1f\x8b\x08\0", encoding="cp1252"))


def test_brackets_in_a_header_row_are_no_json(written: Written) -> None:
    wanted = Wanted(headers=[("[Id]",), ("{Name}",)])
    assert only_page(written("[Id],{Name}\n1,a\n", wanted)).records.height == 1


def test_all_missing_headers_are_named_with_the_nearest(written: Written) -> None:
    wanted = Wanted(headers=[("Id",), ("E-mail", "Email Address"), ("Phone",), ("Zip",)])
    text = complaint(written("Id,email,PHONE\n1,a,b\n", wanted))
    assert "3 headers are missing" in text
    assert "'E-mail' or 'Email Address' (the nearest is 'email')" in text
    assert "'Phone' (the nearest is 'PHONE'); 'Zip'." in text
    assert "Found: 'Id', 'email', 'PHONE'." in text


def test_a_file_without_a_header_row_does_not_show_its_first_record(written: Written) -> None:
    text = complaint(written("17,Doe,jane@example.org\n"))
    assert "2 headers are missing: 'Id'; 'Name'." in text
    assert "is it a header row at all?" in text
    assert "Doe" not in text
    assert "jane" not in text


def test_optional_and_alternative_headers_may_be_missing(written: Written) -> None:
    wanted = Wanted(headers=[("Id", "ID"), ("Shoe",)], optional=frozenset({1}))
    assert only_page(written("ID,Name\n1,a\n", wanted)).records.height == 1


def test_unwanted_headers_are_told_apart(written: Written) -> None:
    page = only_page(written("Id,Name,X,,X,X (2),,X\n1,2,3,4,5,6,7,8\n"))
    assert page.records.columns == [
        "Id", "Name", "X", "(column 4)", "X (3)", "X (2)", "(column 7)", "X (4)",
    ]  # fmt: skip


# Positions ------------------------------------------------------------------------------


def test_reading_resumes_after_a_page(written: Written) -> None:
    file = written("Id,Name\n" + "".join(f"{n},x\n" for n in range(1000)))
    pages = list(read_pages(file, chunk_bytes=1000))
    assert len(pages) > 3
    rest = list(read_pages(file, pages[1].position, chunk_bytes=1000))
    assert rest[0].number == 3
    assert rest[0].lines[0] == pages[2].lines[0]
    assert sum(page.records.height for page in pages[:2] + rest) == 1000


def test_positions_tell_how_far_reading_is(written: Written) -> None:
    file = written("Id,Name\n" + "1,x\n" * 1000)
    pages = list(read_pages(file, chunk_bytes=1000))
    done = [progress_of(page.position) for page in pages[:-1]]
    assert done == sorted(set(done))
    assert done[0] == len("Id,Name\n") + 1000
    assert done[-1] < file.file.status().size == 4008


@pytest.mark.parametrize("position", ["", "{}", "[1]", '{"offset": 1}', "next"])
def test_a_position_that_is_not_ours_starts_over(written: Written, position: str) -> None:
    assert next(read_pages(written("Id,Name\n1,a\n"), position)).number == 1


def test_another_file_or_format_starts_over(written: Written) -> None:
    file = written("Id,Name\n" + "1,x\n" * 1000)
    position = next(read_pages(file, chunk_bytes=1000)).position
    assert next(read_pages(file, position)).number == 2
    assert next(read_pages(written("Id,Name\n" + "1,y\n" * 1000), position)).number == 1
    os.utime(file.file.path, ns=(json.loads(position)["mtime_ns"],) * 2)
    assert next(read_pages(file, position)).number == 1  # same size and time, other content
    again = written("Id,Name\n" + "1,x\n" * 1000, quote="'")
    os.utime(file.file.path, ns=(json.loads(position)["mtime_ns"],) * 2)
    assert next(read_pages(again, position)).number == 1


# The world ------------------------------------------------------------------------------


def at(path: Path) -> CsvFile:
    return CsvFile(file=Local(path=path), format=Csv(), wanted=ID_AND_NAME)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("none.csv", "no such file"), ("a\0b", "is not a path"), ("", "directory")],
)
def test_only_files_that_are_there_are_read(tmp_path: Path, name: str, expected: str) -> None:
    assert expected in complaint(at(tmp_path / name))
    with pytest.raises(SourceError, match=expected):
        Local(path=tmp_path / name).status()


def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in complaint(at(tmp_path / "pipe"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_we_may_not_read(written: Written) -> None:
    file = written("Id,Name\n")
    file.file.path.chmod(0)
    assert "permission denied" in complaint(file)


def test_a_file_name_is_shown_on_one_line(tmp_path: Path) -> None:
    assert "a\\nb.csv: no such file" in complaint(at(tmp_path / "a\nb.csv"))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"encoding": "rot13"}, "encoding 'rot13' is unknown"),
        ({"encoding": "utf-8\0"}, "is unknown"),
        ({"encoding": "undefined"}, "is unknown"),
        ({"quote": ","}, "must differ"),
        ({"delimiter": "\r"}, "must differ, and be no line ends"),
        ({"quote": "\0"}, "must differ, and be no line ends"),
    ],
)
def test_a_format_that_nothing_can_be_written_in_is_none(
    form: dict[str, str], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        Csv(**form)


@pytest.mark.parametrize("change", ["grown", "replaced", "gone"])
def test_a_file_that_changes_while_it_is_read_stops_the_stream(
    written: Written, change: str
) -> None:
    file = written("Id,Name\n" + "1,x\n" * 1000)
    pages = read_pages(file, chunk_bytes=1000)
    next(pages)
    if change == "gone":
        file.file.path.unlink()
    else:
        with file.file.path.open("ab" if change == "grown" else "wb") as changed:
            changed.write(b"2,y\n")
    with pytest.raises(SourceError, match="vanished" if change == "gone" else "changed while"):
        list(pages)


# Selecting ------------------------------------------------------------------------------


def selected(
    rows: Sequence[Sequence[str | None]], *fields: tuple[str, tuple[str, ...]]
) -> pl.DataFrame:
    records = pl.DataFrame(
        rows, schema={"A": pl.String, "B": pl.String, "*": pl.String}, orient="row"
    )
    lines = pl.Series("line", range(2, 2 + len(rows)), dtype=pl.UInt32)
    return ColumnSelector(fields=fields).select(Page(number=4, records=records, lines=lines))


def test_a_field_takes_the_first_alternative_that_is_not_empty() -> None:
    frame = selected(
        [(" a ", "b", None), (None, "b", None), ("  ", None, None)], ("x", ("None", "A", "B"))
    )
    assert frame["x"].to_list() == [" a ", "b", None]
    assert frame.columns == ["x", "#page", "#index", "#at"]


def test_a_record_carries_its_place() -> None:
    frame = selected([("a", "b", "c"), ("d", "e", "f")], ("x", ("A",)))
    assert frame.select("#page", "#index", "#at").rows() == [(4, 0, 2), (4, 1, 3)]
    assert set(frame.dtypes[1:]) == {pl.UInt32}


def test_a_nul_is_a_fault_of_its_field_only() -> None:
    frame = selected([("a\0", "b", "c"), ("d", "e", "f")], ("x", ("A", "B")), ("y", ("B",)))
    assert frame["x"].to_list() == [None, "d"]
    assert frame["x!"].to_list() == ["text.nul", None]
    assert "y!" not in frame.columns


CELLS = st.none() | st.text(st.sampled_from("a!~é\0 \t\n\x1f\x7f\x85\xa0\u2003\u200b"), max_size=3)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=4))
def test_whatever_a_cell_begins_with_it_is_white_space_or_text(
    rows: list[tuple[str | None, str | None, str | None]],
) -> None:
    frame = selected(rows, ("x", ("A", "B")), ("y", ("*",)))
    found = [next((cell for cell in row[:2] if cell and cell.strip(WHITE)), None) for row in rows]
    assert frame["x"].to_list() == [None if cell and "\0" in cell else cell for cell in found]
    broken = frame["x!"] if "x!" in frame.columns else [None] * len(rows)
    assert [*broken] == ["text.nul" if cell and "\0" in cell else None for cell in found]


WHITE = " \t\n\x85\xa0\u2003"
"""What Unicode calls white space of the signs above: to Python, \\x1f is some, too."""


def test_headers_are_names_not_patterns() -> None:
    assert selected([("a", "b", "c")], ("x", ("*",)))["x"].to_list() == ["c"]


@pytest.mark.parametrize("height", [0, 1, 3])
def test_a_field_without_any_column_is_null(height: int) -> None:
    frame = selected([("a", "b", "c")] * height, ("x", ("Shoe",)))
    assert frame["x"].to_list() == [None] * height
    assert frame["x"].dtype == pl.String


@pytest.mark.parametrize("line", ["1,2\n", "1\n", '"1,2\n', "\n"])
def test_pages_are_bounded_however_short_or_broken_the_lines(tmp_path: Path, line: str) -> None:
    path = tmp_path / "short.csv"
    path.write_text("a,b\n" + line * 60_000)
    file = CsvFile(file=Local(path=path), format=Csv(), wanted=Wanted(headers=[["a"]]))
    pages = list(read_pages(file, chunk_rows=500))
    assert max(page.fetched for page in pages) <= 2000
    expected = 0 if line == "\n" else 60_000
    assert sum(page.fetched for page in pages) == expected
