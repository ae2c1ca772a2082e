"""Several files as one stream: which are read, what is remembered, and going on anywhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commands import crmmap, write
from crmmap.errors import SourceError
from crmmap.extract.file_reader import FileReader
from crmmap.plan import compile_plan
from crmmap.spec import read_mapping
from crmmap.values import Page, Start
from invented import table

EXPORTS = """
crmmap: 1
name: exports
defaults: {{batch: {batch}}}
source: {{kind: files{source}}}
streams:
  people:
    file: "{file}"
    table: {{name: people, key: id}}
    {more}
    fields: {{id: Id, name: Name{fields}}}
"""
NOW = datetime(2030, 1, 1, tzinfo=UTC)
REMEMBERED = "incremental: {kind: file}"


def mapping(
    file: object, *, source: str = "", more: str = "", fields: str = "", batch: int = 2
) -> str:
    return EXPORTS.format(file=file, source=source, more=more, fields=fields, batch=batch)


def reader(file: object, now: datetime = NOW, **words: object) -> FileReader:
    plan = compile_plan(read_mapping(mapping(file, **words).encode(), "exports.yaml"), {})
    return FileReader(plan, lambda: now)


def pages(found: FileReader, **start: str | None) -> list[Page]:
    return list(found.pages(found.plan.steps[0], Start(**start)))


def ids(found: Sequence[Page]) -> list[str]:
    return [each for page in found if page.records.width for each in page.records["Id"]]


def unread(found: FileReader) -> dict[str, int]:
    return dict(found.troubles(found.plan.steps[0]).unread)


def put(path: Path, *records: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("Id,Name\n" + "".join(f"{each},n{each}\n" for each in records))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "in" / "b.csv", "3", "4", "5")
    put(tmp_path / "in" / "a.csv", "1", "2")
    put(tmp_path / "in" / "c.csv", "6")
    put(tmp_path / "in" / "deep" / "d.csv", "7")
    (tmp_path / "in" / "notes.txt").write_text("no export")
    return tmp_path / "in"


# Which files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("{folder}/*.csv", "", "123456"),
        ("{folder}/**/*.csv", "", "1234567"),
        ("{folder}/[bc].csv", "", "3456"),
        ("{folder}", ", pattern: '?.csv'", "123456"),
        ("{folder}", ", pattern: '**/*.csv'", "1234567"),
        ("{folder}/b.csv", "", "345"),
    ],
)
def test_files_are_read_in_the_order_of_their_names(
    folder: Path, file: str, source: str, expected: str
) -> None:
    found = pages(reader(file.format(folder=folder), source=source))
    assert ids(found) == [*expected]
    assert [page.number for page in found] == [*range(1, len(found) + 1)]
    assert [page.position is None for page in found] == [False] * (len(found) - 1) + [True]


def test_a_path_that_is_there_is_that_file_whatever_its_characters(tmp_path: Path) -> None:
    put(tmp_path / "[2024] people*.csv", "1")
    put(tmp_path / "2 people.csv", "2")
    assert ids(pages(reader(tmp_path / "[2024] people*.csv"))) == ["1"]


@pytest.mark.parametrize("file", ["{folder}/*.xls", "{folder}/empty"])
def test_a_pattern_without_files_is_an_error_or_nothing_to_read(folder: Path, file: str) -> None:
    (folder / "empty").mkdir()
    file = file.format(folder=folder)
    with pytest.raises(SourceError, match="no file is there"):
        pages(reader(file))
    (page,) = pages(reader(file, source=", none: ok"))
    assert (page.fetched, page.position) == (0, None)


@pytest.mark.parametrize("file", ["{folder}/../secret.csv", "{folder}/link.csv", "{folder}/*"])
def test_nothing_is_read_from_outside_of_the_root(folder: Path, file: str) -> None:
    put(folder.parent / "secret.csv", "9")
    (folder / "link.csv").symlink_to(folder.parent / "secret.csv")
    found = reader(file.format(folder=folder), source=f", root: '{folder}'")
    with pytest.raises(SourceError, match="leads out of the source's `root`"):
        pages(found)


def test_a_link_within_the_root_is_followed(folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "c.csv")
    assert ids(pages(reader(folder / "link.csv", source=f", root: '{folder}'"))) == ["6"]


def test_the_same_content_is_read_once(folder: Path) -> None:
    put(folder / "d.csv", "6")
    put(folder / "e.csv", "8")  # of the same size only
    found = reader(f"{folder}/*.csv")
    assert ids(pages(found)) == [*"1234568"]
    assert unread(found) == {"the same content as another file": 1}


def test_files_that_differ_beyond_their_heads_are_no_copies(tmp_path: Path) -> None:
    long = "x" * 2_000_000
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(f'Id,Name\n1,"{long[:900_000]}"\n{name},y\n' * 2)
    assert set(ids(pages(reader(f"{tmp_path}/*.csv")))) == {"1", "a", "b", "Id"}


def test_copies_are_read_where_rows_say_which_file_they_are_of(folder: Path) -> None:
    put(folder / "d.csv", "6")
    found = reader(f"{folder}/*.csv", fields=', of: {value: "{{ file.name }}"}')
    assert ids(pages(found)) == [*"1234566"]
    assert [*pages(found)[-1].records["#given.of"]] == ["d.csv"]


def test_a_file_that_changed_just_now_is_left_for_later(folder: Path) -> None:
    for name, seconds in {"a": 301, "b": 299, "c": 1}.items():
        os.utime(folder / f"{name}.csv", (NOW.timestamp() - seconds,) * 2)
    found = reader(f"{folder}/*.csv", source=", settle: 5m")
    assert ids(pages(found)) == ["1", "2"]
    assert unread(found) == {"changed less than 5m ago": 2}


def test_a_single_file_is_left_for_later_too(folder: Path) -> None:
    os.utime(folder / "c.csv", (NOW.timestamp() - 1,) * 2)
    (page,) = pages(reader(folder / "c.csv", source=", settle: 5m"))
    assert page.fetched == 0
    assert ids(pages(reader(folder / "c.csv", source=", settle: 1s"))) == ["6"]


def test_a_refused_line_names_its_file(folder: Path) -> None:
    (folder / "b.csv").write_text("Id,Name\n3\n")
    refused = [each for page in pages(reader(f"{folder}/*.csv")) for each in page.refused]
    assert [each.at for each in refused] == [2]
    assert str(folder / "b.csv") in refused[0].reasons[0].message


def test_the_share_grows_to_the_whole(folder: Path) -> None:
    found = reader(f"{folder}/*.csv")
    step = found.plan.steps[0]
    shares = [found.share(step, page) for page in found.pages(step, Start())]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert 0 < shares[0] < 1


# Going on ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["", REMEMBERED])
def test_reading_goes_on_after_any_page(folder: Path, more: str) -> None:
    put(folder / "b.csv", *map(str, range(3_000)))
    words = {"more": more, "batch": 300}
    whole = pages(reader(f"{folder}/*.csv", **words))
    assert len(whole) > 5
    for page in whole[:-1]:
        state = [each.cursor for each in whole[: page.number] if each.cursor][-1:]
        rest = pages(
            reader(f"{folder}/*.csv", **words),
            position=page.position, state=state[0] if state else None,
        )  # fmt: skip
        assert ids(rest) == ids(whole[page.number :])
        assert [each.number for each in rest] == [
            *range(page.number + 1, len(rest) + page.number + 1)
        ]


def test_a_file_that_changed_starts_over_alone(folder: Path) -> None:
    put(folder / "b.csv", *map(str, range(20_000)))
    whole = pages(reader(f"{folder}/*.csv", batch=1000))
    within = next(page for page in whole[1:] if '"inner": "' in (page.position or ""))
    put(folder / "b.csv", "x")
    assert ids(pages(reader(f"{folder}/*.csv", batch=1000), position=within.position)) == ["x", "6"]


# Remembering ------------------------------------------------------------------------------------


def kept(found: Sequence[Page]) -> str | None:
    return [page.cursor for page in found if page.cursor][-1]


def test_a_file_is_read_again_only_if_it_changed(folder: Path) -> None:
    file = f"{folder}/*.csv"
    state = kept(pages(reader(file, more=REMEMBERED)))
    again = reader(file, more=REMEMBERED)
    (page,) = pages(again, state=state)
    assert page.fetched == 0
    assert unread(again) == {"read before, and not changed since": 3}

    put(folder / "b.csv", "8")
    put(folder / "0.csv", "0")
    os.utime(folder / "c.csv", (0, 0))  # touched: its content is known
    found = pages(reader(file, more=REMEMBERED), state=kept([page]))
    assert ids(found) == ["0", "8"]
    assert ids(pages(reader(file, more=REMEMBERED))) == [*"01286"]


def test_what_was_kept_for_other_words_is_worth_nothing(folder: Path) -> None:
    state = kept(pages(reader(f"{folder}/*.csv", more=REMEMBERED)))
    assert ids(pages(reader(f"{folder}/?.csv", more=REMEMBERED), state=state)) == [*"123456"]


def test_the_memory_is_bounded(folder: Path) -> None:
    few = "incremental: {kind: file, most: 2}"
    state = kept(pages(reader(f"{folder}/[ab].csv", more=few)))
    with pytest.raises(SourceError, match="more than 2 files would be remembered"):
        pages(reader(f"{folder}/*.csv", more=few))
    (folder / "a.csv").unlink()  # and is forgotten
    assert state is not None
    assert "a.csv" not in (kept(pages(reader(f"{folder}/[ab].csv", more=few), state=state)) or "")


def test_ten_thousand_files_are_remembered_now_and_then(tmp_path: Path) -> None:
    for number in range(2_000):
        (tmp_path / f"{number:05}.csv").write_text(f"Id,Name\n{number},n\n")
    found = pages(reader(f"{tmp_path}/*.csv", more=REMEMBERED, batch=100_000))
    assert len(ids(found)) == 2_000
    assert len([page for page in found if page.cursor]) < 10
    assert (kept(found) or "").count(".csv") == 2_000


# Whole runs -------------------------------------------------------------------------------------


@pytest.fixture
def run(folder: Path) -> Path:
    text = mapping(
        f"{folder}/*.csv", more=REMEMBERED, fields=', of: {value: "{{ file.name }}"}', batch=1
    )
    write(folder.parent, exports_yaml=text)
    return folder.parent


def test_a_new_file_is_found_by_the_next_run(run: Path) -> None:
    store = f"sqlite:///{run}/s.db"
    first = crmmap(run, "run", "exports.yaml", "--store", store)
    assert first.code == 0, first.err
    put(run / "in" / "d.csv", "9")
    second = crmmap(run, "run", "exports.yaml", "--store", store, "--json")
    (stream,) = second.json["streams"]
    assert stream["counts"]["fetched"] == 1
    assert stream["unread"] == {"read before, and not changed since": 3}
    rows = table(store, "people")
    assert rows[0][:3] == ("1", "n1", "a.csv")
    assert rows[-1][:3] == ("9", "n9", "d.csv")
    full = crmmap(run, "run", "exports.yaml", "--store", store, "--full", "--json")
    assert full.json["streams"][0]["counts"]["unchanged"] == 7


def test_a_limited_run_remembers_no_file_that_it_left(run: Path) -> None:
    store = f"sqlite:///{run}/s.db"
    crmmap(run, "run", "exports.yaml", "--store", store, "--limit", "3")
    done = crmmap(run, "run", "exports.yaml", "--store", store, "--json")
    assert done.code == 0
    assert len(table(store, "people")) == 6


@pytest.mark.parametrize("at", range(1, 4))
def test_a_run_killed_after_any_batch_goes_on(run: Path, at: int) -> None:
    store = f"sqlite:///{run}/s.db"
    place = {"CRMMAP_FAILPOINT": f"load.after_commit:{at}"}
    killed = crmmap(run, "run", "exports.yaml", "--store", store, env=place)
    assert killed.code == -9
    done = crmmap(run, "run", "exports.yaml", "--store", store, "--json")
    assert done.code == 0, done.err
    assert len(table(store, "people")) == 6
    last = crmmap(run, "run", "exports.yaml", "--store", store, "--json")
    assert last.json["streams"][0]["counts"]["fetched"] == 0
