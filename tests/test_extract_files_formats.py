"""Files in every format, packed and not, and by standard input: the same records, resumable."""

from __future__ import annotations

import gzip
import json
import subprocess
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from commands import command, crmmap, environment, write
from crmmap.errors import SourceError
from crmmap.extract.file_reader import FileReader
from crmmap.extract.request import given_values
from crmmap.plan import compile_plan
from crmmap.spec import read_mapping
from crmmap.values import RECORD, Page, Start
from invented import table

MAPPING = """
crmmap: 1
name: exports
defaults: {{batch: 7}}
source: {{kind: files, format: {form}}}
streams:
  people:
    file: "{file}"
    {records}
    {more}
    table: {{name: people, key: id}}
    fields: {{id: {id}, name: {name}, of: {{value: "{{{{ file.name }}}}"}}}}
"""
FORMATS = ("csv", "ndjson", "json", "xml")
COUNT = 40
squeezed = partial(gzip.compress, mtime=0)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def text_of(form: str, ids: Sequence[int], name: str = "n") -> bytes:
    if form == "csv":
        text = "id,name\n" + "".join(f"{each},{name}{each}\n" for each in ids)
    elif form == "ndjson":
        text = "".join(f'{{"id": {each}, "name": "{name}{each}"}}\n' for each in ids)
    elif form == "json":
        text = json.dumps({"items": [{"id": each, "name": f"{name}{each}"} for each in ids]})
    else:
        text = "".join(f"<p><id>{each}</id><name>{name}{each}</name></p>" for each in ids)
        text = f"<all>{text}</all>"
    return text.encode()


def mapping(form: str, file: object, *, unpack: str = "none", more: str = "", **words: str) -> str:
    records = {"json": "records: items", "xml": "records: /all/p"}.get(form, "")
    options = "".join(f", {name}: {value}" for name, value in words.items())
    return MAPPING.format(
        form=f"{{kind: {form}, unpack: {unpack}{options}}}", file=file, records=records, more=more,
        id="id", name="name",
    )  # fmt: skip


def reader(*words: object, **more: str) -> FileReader:
    plan = compile_plan(read_mapping(mapping(*words, **more).encode(), "exports.yaml"), {})
    return FileReader(plan, lambda: NOW)


def read(found: FileReader, position: str | None = None) -> list[Page]:
    return list(found.pages(found.plan.steps[0], Start(position=position)))


def ids(found: FileReader, pages: Sequence[Page]) -> list[int]:
    selector = found.plan.steps[0].selector
    return [int(each) for page in pages for each in selector.select(page)["id"]]


def packed(path: Path, how: str, body: bytes) -> Path:
    if how == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("../../export", body)
    else:
        path.write_bytes(squeezed(body) if how == "gzip" else body)
    return path


@pytest.mark.parametrize("how", ["none", "gzip", "zip"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_read_and_goes_on_after_any_page(
    tmp_path: Path, form: str, how: str
) -> None:
    path = packed(tmp_path / "export", how, text_of(form, range(COUNT)))
    for unpack in {how, "auto"}:
        found = reader(form, path, unpack=unpack)
        pages = read(found)
        assert ids(found, pages) == [*range(COUNT)]
        assert pages[-1].position is None
        for page in pages[:-1]:
            assert 0 < (found.share(found.plan.steps[0], page) or 0) <= 1
            again = reader(form, path, unpack=unpack)
            rest = read(again, page.position)
            assert ids(again, rest) == ids(found, pages[page.number :])
            assert rest[0].number == page.number + 1


@pytest.mark.parametrize("form", ["ndjson", "json", "xml"])
def test_a_page_holds_about_a_batch(tmp_path: Path, form: str) -> None:
    path = packed(tmp_path / "export", "none", text_of(form, range(COUNT)))
    assert max(page.fetched for page in read(reader(form, path))) == 7


@pytest.mark.parametrize("form", FORMATS)
def test_a_page_tells_its_size_and_holds_fewer_records_where_they_are_large(
    tmp_path: Path, form: str
) -> None:
    text = text_of(form, range(COUNT), "n" * 2 * RECORD)
    path = packed(tmp_path / "export", "none", text)
    found = reader(form, path)
    pages = read(found)
    assert ids(found, pages) == [*range(COUNT)]
    assert 0.9 < sum(page.size for page in pages) / len(text) <= 1
    assert all(page.weight > page.fetched for page in pages)
    if form in ("ndjson", "xml"):
        assert max(page.fetched for page in pages) == 4
        rest = read(reader(form, path), pages[1].position)
        assert ids(found, rest) == ids(found, pages[2:])


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_changed_starts_over(tmp_path: Path, form: str) -> None:
    path = packed(tmp_path / "export", "none", text_of(form, range(3000)))
    position = read(reader(form, path))[0].position
    path.write_bytes(text_of(form, [1, 2]))
    found = reader(form, path)
    assert ids(found, read(found, position)) == [1, 2]


def test_a_broken_line_is_refused_with_its_number(tmp_path: Path) -> None:
    lines = [b'{"id": 1}', b"", b'{"id": ', b"[7]", b'{"id": 1, "id": 2}', b'{"n": "\xff"}']
    lines.append(b'{"id": 8}')
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    found = reader("ndjson", tmp_path / "a")
    (page,) = read(found)
    assert [each.at for each in page.refused] == [3, 4, 5, 6]
    rules = [each.reasons[0].rule for each in page.refused]
    assert rules == ["json.line", "json.record", "json.duplicate_key", "json.line"]
    assert page.refused[0].raw == '{"id": '
    assert page.refused[3].raw == '{"n": "\\xff"}'
    assert [*page.lines] == [1, 7]


def test_lines_and_members_of_an_archive_are_read_by_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        archive.mkdir("in")
        archive.writestr("in/b.csv", text_of("csv", [2]))
        archive.writestr("in/a.csv", text_of("csv", [1]))
    found = reader("csv", tmp_path / "e.zip", unpack="zip")
    pages = read(found)
    assert ids(found, pages) == [1, 2]
    assert [*pages[1].records["#given.of"]] == ["b.csv"]


def test_a_file_in_an_archive_is_remembered(tmp_path: Path) -> None:
    for name, each in {"a": [1], "b": [2]}.items():
        packed(tmp_path / f"{name}.zip", "zip", text_of("csv", each))
    words = {"unpack": "auto", "more": "incremental: {kind: file}"}
    found = reader("csv", f"{tmp_path}/*.zip", **words)
    state = [page.cursor for page in read(found) if page.cursor][-1]
    packed(tmp_path / "b.zip", "zip", text_of("csv", [3]))
    again = reader("csv", f"{tmp_path}/*.zip", **words)
    pages = list(again.pages(again.plan.steps[0], Start(state=state)))
    assert ids(again, pages) == [3]


def encrypted(path: Path) -> None:
    packed(path, "zip", text_of("csv", [1]))
    body = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(magic) + at] |= 1
    path.write_bytes(bytes(body))


@pytest.mark.parametrize(
    ("how", "body", "expected"),
    [
        ("gzip", squeezed(text_of("csv", range(20_000)))[:-20], "damaged or cut short"),
        ("gzip", b"id,name\n1,a\n", "damaged or cut short"),
        ("gzip", squeezed(squeezed(b"id,name\n")), "packed once more"),
        ("zip", b"PK\x03\x04 and nothing else", "damaged or cut short"),
        ("gzip", squeezed(b"id,name\n" + b"1" * 30_000_000), "compression bomb"),
        ("none", squeezed(b"id,name\n"), "Write `unpack: gzip`"),
    ],
    ids=["cut", "plain", "twice", "no-zip", "bomb", "undeclared"],
)
def test_what_is_packed_badly_stops_the_stream(
    tmp_path: Path, how: str, body: bytes, expected: str
) -> None:
    (tmp_path / "a").write_bytes(body)
    with pytest.raises(SourceError, match=expected):
        read(reader("csv", tmp_path / "a", unpack=how))


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    encrypted(tmp_path / "a.zip")
    with pytest.raises(SourceError, match="is encrypted"):
        read(reader("csv", tmp_path / "a.zip", unpack="zip"))


@pytest.mark.parametrize(
    ("form", "body", "expected"),
    [
        ("json", b'{"items": [', "cut short"),
        ("json", b"<html><title>Log in</title>", "title 'Log in'"),
        ("json", b'{"other": 1}', "records"),
        ("xml", b"<all><p>", "cut short"),
        ("xml", b"<!DOCTYPE a><all/>", "DOCTYPE"),
        ("xml", b"<none/>", "'none' is the root element"),
    ],
)
def test_what_is_another_document_stops_the_stream(
    tmp_path: Path, form: str, body: bytes, expected: str
) -> None:
    (tmp_path / "a").write_bytes(body)
    with pytest.raises(SourceError, match=expected) as caught:
        read(reader(form, tmp_path / "a"))
    assert str(tmp_path / "a") in str(caught.value)


def test_records_of_a_case_are_in_a_file_too(tmp_path: Path) -> None:
    found = reader("csv", tmp_path / "a")
    assert given_values(found.plan, found.plan.steps[0], {}) == {"of": "export"}


# Whole runs -------------------------------------------------------------------------------------


def test_standard_input_is_read_and_its_bad_lines_numbered(tmp_path: Path) -> None:
    write(tmp_path, exports_yaml=mapping("ndjson", "-"))
    store = f"sqlite:///{tmp_path}/s.db"
    done = subprocess.run(
        command("run", "exports.yaml", "--store", store, "--json"), cwd=tmp_path,
        env=environment(), input=text_of("ndjson", range(COUNT)) + b"broken\n",
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    (stream,) = json.loads(done.stdout)["streams"]
    assert stream["counts"]["inserted"] == COUNT
    assert stream["counts"]["rejected"] == 1
    assert [row[0] for row in table(store, "people")][:1] == ["0"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_killed_within_a_packed_file_goes_on(tmp_path: Path, form: str) -> None:
    path = packed(tmp_path / "export.gz", "gzip", text_of(form, range(COUNT)))
    write(tmp_path, exports_yaml=mapping(form, path, unpack="auto"))
    store = f"sqlite:///{tmp_path}/s.db"
    place = {"CRMMAP_FAILPOINT": "load.after_commit:2" if form != "csv" else "load.after_commit"}
    crmmap(tmp_path, "run", "exports.yaml", "--store", store, env=place)
    done = crmmap(tmp_path, "run", "exports.yaml", "--store", store, "--json")
    assert done.code == 0, done.err
    assert len(table(store, "people")) == COUNT


@pytest.mark.parametrize("unpack", ["none", "gzip", "zip"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_mocked(tmp_path: Path, form: str, unpack: str) -> None:
    write(tmp_path, exports_yaml=mapping(form, "people/*", unpack=unpack))
    words = ("--store", f"sqlite:///{tmp_path}/s.db", "--mock", "--records", "50", "--json")
    done = crmmap(tmp_path, "run", "exports.yaml", *words)
    assert done.code in (0, 3), done.err
    (stream,) = done.json["streams"]
    assert stream["counts"]["fetched"] == 50
    assert stream["counts"]["inserted"] > 20
