"""Invented files, read back by the csv module and by crmmap's own reader."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmmap.extract.files import CsvFile, Wanted, read_pages
from crmmap.extract.regular_file import Local
from crmmap.kinds.formats import Csv
from crmmap.mock import World, world_of, write_files
from crmmap.mock.files import CHUNK
from crmmap.spec.read import read_mapping

MAPPING = """
crmmap: 1
name: depot
settings:
  parts: {env: DEPOT_PARTS, required: false}
source:
  kind: files
  format: {kind: csv%s}
streams:
  bins:
    file: bins.csv
    table: {name: bins, key: id}
    fields: {id: Bin Id}
  parts:
    file: "{{ settings.parts }}"
    table: {name: parts, key: id}
    fields:
      id: {from: [Id, partId], type: integer}
      label: {from: "Label, short"}
      weight: {from: 'Weight "kg"', type: number}
      bin: {from: Bin, lookup: bins}
      bin_text: {from: Bin}
      active: {from: Active, type: boolean, optional: true}
"""


def world(*, form: str = "", **options: float) -> World:
    mapping = read_mapping((MAPPING % form).encode(), "invented.yaml")
    return world_of(mapping, {}, **{"records": 300, **options})  # type: ignore[arg-type]


def rows(path: Path, *, encoding: str = "utf-8", **dialect: str) -> list[list[str]]:
    with path.open(newline="", encoding=encoding) as file:
        return list(csv.reader(file, strict=True, **dialect))  # type: ignore[call-overload]


def read(path: Path, world: World, stream: str) -> tuple[int, int]:
    """How many records, and how many refused lines, crmmap's own reader finds."""
    step, form = world.plan.step(stream), world.plan.sources["source"].format
    assert isinstance(form, Csv)
    file = CsvFile(file=Local(path=path), format=form, wanted=Wanted(headers=step.headers))
    pages = list(read_pages(file))
    return sum(len(page.records) for page in pages), sum(len(page.refused) for page in pages)


def test_a_file_has_the_mappings_headers_and_a_line_for_each_record(tmp_path: Path) -> None:
    paths = write_files(world(), "source", tmp_path / "new")
    assert paths == {"bins": tmp_path / "new/bins.csv", "parts": tmp_path / "new/parts.csv"}
    found = rows(paths["parts"])
    assert found[0] == ["Id", "Label, short", 'Weight "kg"', "Bin", "Active"]
    assert len(found) == 301
    assert {len(row) for row in found} == {5}
    assert len({row[0] for row in found}) == 301


def test_line_breaks_and_quotes_stand_in_cells_now_and_then(tmp_path: Path) -> None:
    found = rows(write_files(world(records=2000), "source", tmp_path)["parts"])
    labels = [row[1] for row in found[1:]]
    odd = [label for label in labels if "\n" in label and '"' in label]
    assert 0 < len(odd) < 300


def test_foreign_keys_name_records_of_the_parents_file(tmp_path: Path) -> None:
    paths = write_files(world(records=2000), "source", tmp_path)
    bins = {row[0] for row in rows(paths["bins"])[1:]}
    wanted = [row[3] for row in rows(paths["parts"])[1:] if row[3]]
    assert 1800 < sum(each in bins for each in wanted) < len(wanted)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    texts = [
        write_files(world(seed=seed, dirty=9), "source", tmp_path / str(number))[
            "parts"
        ].read_bytes()
        for number, seed in enumerate((5, 5, 6))
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("dirty", [0, 10, 100])
def test_crmmaps_own_reader_finds_every_record_or_refuses_its_line(
    tmp_path: Path, dirty: float
) -> None:
    invented = world(records=1000, dirty=dirty)
    records, refused = read(write_files(invented, "source", tmp_path)["parts"], invented, "parts")
    assert records + refused == 1000
    assert refused == pytest.approx(dirty, abs=40 if dirty else 0)
    assert bool(refused) == bool(dirty)


@pytest.mark.parametrize(
    ("form", "encoding", "dialect"),
    [(', delimiter: ";"', "utf-8", {"delimiter": ";"}),
     (', delimiter: "\\t", quote: "\'"', "utf-8", {"delimiter": "\t", "quotechar": "'"}),
     (", encoding: cp1252", "cp1252", {}), (", encoding: utf-16", "utf-16", {})],
)  # fmt: skip
def test_the_declared_dialect_and_encoding_are_used(
    tmp_path: Path, form: str, encoding: str, dialect: dict[str, str]
) -> None:
    invented = world(form=form)
    path = write_files(invented, "source", tmp_path)["parts"]
    assert len(rows(path, encoding=encoding, **dialect)) == 301
    assert read(path, invented, "parts") == (300, 0)


@given(dirty=st.sampled_from([0, 30]), records=st.integers(0, 60))
@settings(max_examples=15, deadline=None)
def test_a_file_of_few_records_is_the_beginning_of_that_stream(
    tmp_path_factory: pytest.TempPathFactory, dirty: float, records: int
) -> None:
    folder = tmp_path_factory.mktemp("mock")
    text = MAPPING.replace("      bin: {from: Bin, lookup: bins}\n", "")
    mapping = read_mapping((text % "").encode(), "invented.yaml")
    sizes = {"one": records, "other": 60}
    one, other = (
        write_files(world_of(mapping, {}, records=size, dirty=dirty), "source", folder / name)[
            "parts"
        ]
        for name, size in sizes.items()
    )
    assert other.read_bytes().startswith(one.read_bytes())


def test_chunks_leave_no_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_files(world(records=500, dirty=5), "source", tmp_path / "whole")[
        "parts"
    ].read_bytes()
    assert CHUNK > 500
    monkeypatch.setattr("crmmap.mock.files.CHUNK", 64)
    assert (
        write_files(world(records=500, dirty=5), "source", tmp_path / "cut")["parts"].read_bytes()
        == whole
    )


def test_streams_that_name_one_file_share_it(tmp_path: Path) -> None:
    text = MAPPING.replace('"{{ settings.parts }}"', "bins.csv") % ""
    paths = write_files(
        world_of(read_mapping(text.encode(), "m.yaml"), {}, records=9), "source", tmp_path
    )
    assert paths["bins"] == paths["parts"]
    found = rows(paths["bins"])
    assert set(found[0]) == {"Bin Id", "Id", "Label, short", 'Weight "kg"', "Bin", "Active"}
    assert len(found) == 10


def test_streams_whose_files_only_share_a_name_do_not_share_it(tmp_path: Path) -> None:
    text = MAPPING.replace('"{{ settings.parts }}"', "other/bins.csv") % ""
    paths = write_files(
        world_of(read_mapping(text.encode(), "m.yaml"), {}, records=9), "source", tmp_path
    )
    assert paths["bins"].name == "bins.csv"
    assert paths["parts"].name == "parts.csv"
