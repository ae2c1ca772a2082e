"""Files in other stores, by their addresses: the same files, by another way."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from crmmap.errors import SourceError
from crmmap.extract.file_reader import FileReader
from crmmap.plan import compile_plan
from crmmap.spec import read_mapping
from crmmap.values import Page, Start

MAPPING = """
crmmap: 1
name: exports
source: {{kind: files, format: {{kind: csv, unpack: auto}}, pattern: "*.csv"{source}}}
streams:
  people:
    file: "{file}"
    incremental: {{kind: file}}
    table: {{name: people, key: id}}
    fields: {{id: id, of: {{value: "{{{{ file.path }}}}"}}}}
"""


def reader(file: str, source: str = "") -> FileReader:
    text = MAPPING.format(file=file, source=source)
    plan = compile_plan(read_mapping(text.encode(), "exports.yaml"), {})
    return FileReader(plan, lambda: datetime(2100, 1, 1, tzinfo=UTC))


def pages(found: FileReader, state: str | None = None) -> list[Page]:
    return list(found.pages(found.plan.steps[0], Start(state=state)))


def ids(found: list[Page]) -> list[str]:
    return [each for page in found if page.records.width for each in page.records["id"]]


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    memory = fsspec.filesystem("memory")
    memory.pipe("/in/b.csv", b"id\n2\n")
    memory.pipe("/in/a.csv", gzip.compress(b"id\n1\n"))
    memory.pipe("/in/c.txt", b"no export")
    yield memory
    memory.rm("/in", recursive=True)


@pytest.mark.parametrize("file", ["memory://in/*.csv", "memory://in", "memory://in/[ab].*"])
def test_files_in_a_store_are_read_by_name(store: fsspec.AbstractFileSystem, file: str) -> None:
    found = pages(reader(file))
    assert ids(found) == ["1", "2"]
    assert [*found[1].records["#given.of"]] == ["memory:///in/b.csv"]


def test_files_in_a_store_are_remembered(store: fsspec.AbstractFileSystem) -> None:
    state = [page.cursor for page in pages(reader("memory://in/*.csv")) if page.cursor][-1]
    store.pipe("/in/b.csv", b"id\n3\n")
    assert ids(pages(reader("memory://in/*.csv"), state)) == ["3"]


def test_one_file_in_a_store_is_read(store: fsspec.AbstractFileSystem) -> None:
    assert ids(pages(reader("memory://in/b.csv"))) == ["2"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("memory://in/none.csv", "memory.*none.csv: no such file"),
        ("memory://out/*.csv", "no file is there"),
        ("nowhere://in/a.csv", "the store can't be opened"),
        ("simplecache::memory://in/a.csv", "addresses within addresses"),
        ("ftp://me:canary@host/a.csv", "holds a name or a password"),
    ],
)
def test_what_can_not_be_read_is_told(
    store: fsspec.AbstractFileSystem, file: str, expected: str
) -> None:
    with pytest.raises(SourceError, match=expected) as caught:
        pages(reader(file))
    assert "canary" not in str(caught.value)


def test_a_root_is_of_this_machine(store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="`root`"):
        pages(reader("memory://in/b.csv", ", root: /srv"))
    (tmp_path / "a.csv").write_text("id\n1\n")
    assert ids(pages(reader(f"file://{tmp_path}/*.csv", f", root: '{tmp_path}'"))) == ["1"]
    with pytest.raises(SourceError, match="leads out of"):
        pages(reader(f"file://{tmp_path}/a.csv", f", root: '{tmp_path}/in'"))


def test_without_fsspec_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(SourceError, match=r"pip install 'crmmap\[fsspec\]'"):
        pages(reader("memory://in/b.csv"))
