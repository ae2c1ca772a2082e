"""A whole run against a pretended source, and how a person is led to one."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmmap.kinds.source import Http
from crmmap.mock import mocked, pretended, world_of
from crmmap.mock.pools import Hints, hints_of
from crmmap.plan import compile_plan, resolve_settings
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.read import read_mapping
from invented import MAPPING, load, mapping, mock

DEPOT = """
crmmap: 1
name: depot
settings:
  bins: {env: DEPOT_BINS}
  folder: {env: DEPOT_FOLDER}
  zone: {default: UTC}
source: {kind: files}
streams:
  bins:
    file: "{{ settings.bins }}"
    table: {name: bins, key: id}
    fields: {id: Id}
  parts:
    file: "{{ settings.folder }}/all-parts.csv"
    table: {name: parts, key: id}
    fields: {id: Id, bin: {from: Bin, lookup: bins}}
"""


def test_a_clean_mock_loads_without_a_reject(tmp_path: Path) -> None:
    with mock(records=60) as plan:
        report = load(plan, f"sqlite:///{tmp_path}/store.db")
    assert [each.counts.rejected for each in report.streams] == [0, 0]
    assert [each.counts.fetched for each in report.streams] == [60, 60]
    assert all(each.counts.balanced and not each.notes for each in report.streams)


def test_a_dirty_mock_loads_with_rejects_and_notes(tmp_path: Path) -> None:
    with mock(records=200, dirty=30) as plan:
        report = load(plan, f"sqlite:///{tmp_path}/store.db")
    assert all(20 < each.counts.rejected < 80 for each in report.streams)
    assert all(each.counts.fetched == 200 and each.counts.balanced for each in report.streams)


def test_the_same_mock_loaded_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        with mock(records=40) as plan:
            report = load(plan, f"sqlite:///{tmp_path}/store.db")
    assert all(each.counts.inserted == each.counts.updated == 0 for each in report.streams)


def test_a_mock_of_files_loads_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with mocked(read_mapping(DEPOT.encode(), "depot.yaml"), {}, records=30) as plan:
        folder = Path(plan.steps[0].file or "").parent
        assert folder.exists()
        report = load(plan, f"sqlite:///{tmp_path}/store.db")
    assert [each.counts.inserted for each in report.streams] == [30, 30]
    assert not folder.exists()


def test_only_the_mock_may_be_sent_requests() -> None:
    with mock() as plan:
        assert isinstance(plan.sources["source"], Http)
        assert plan.sources["source"].base_url.startswith("http://127.0.0.1:")
        assert plan.sources["source"].origins == ()


def test_a_real_run_reads_from_a_served_mock_with_the_exports_it_names(tmp_path: Path) -> None:
    invented = mapping()
    with pretended(invented, {}, world_of(invented, {}, records=30), folder=tmp_path) as pretence:
        assert pretence.urls["source"] is not None
        assert pretence.reached
        assert pretence.routes == ("GET /sailors", "GET /voyages")
        assert pretence.exports == {
            "SHIPYARD_KEY": "mock-key",
            "SHIPYARD_URL": pretence.urls["source"],
        }
        plan = compile_plan(invented, resolve_settings(invented, pretence.exports, {}))
        report = load(plan, f"sqlite:///{tmp_path}/store.db")
    assert [each.counts.rejected for each in report.streams] == [0, 0]


def based(base_url: str) -> MappingSpec:
    return mapping(
        MAPPING.replace('base_url: "{{ settings.base_url }}"', f'base_url: "{base_url}"')
    )


def test_a_base_url_that_goes_on_after_its_setting_leads_to_the_mock(tmp_path: Path) -> None:
    invented = based("{{ settings.base_url }}/v3")
    with pretended(invented, {}, world_of(invented, {}, records=5), folder=tmp_path) as pretence:
        assert pretence.exports["SHIPYARD_URL"] == pretence.urls["source"]
        plan = compile_plan(invented, resolve_settings(invented, pretence.exports, {}))
        report = load(plan, f"sqlite:///{tmp_path}/store.db")
    assert [each.counts.fetched for each in report.streams] == [5, 5]


@pytest.mark.parametrize("base_url", ["https://api.example", "https://{{ settings.base_url }}.a.b"])
def test_an_address_that_no_setting_changes_is_said_to_be_out_of_reach(
    base_url: str, tmp_path: Path
) -> None:
    invented = based(base_url)
    with pretended(invented, {}, world_of(invented, {}, records=1), folder=tmp_path) as pretence:
        assert not pretence.reached


def test_a_real_run_reads_written_files_with_the_exports_they_name(tmp_path: Path) -> None:
    depot = read_mapping(DEPOT.encode(), "depot.yaml")
    world = world_of(depot, {}, records=5)
    with pretended(depot, {}, world, folder=tmp_path / "out") as pretence:
        pass
    assert pretence.reached
    assert pretence.exports == {
        "DEPOT_BINS": str(tmp_path / "out/bins.csv"), "DEPOT_FOLDER": str(tmp_path / "out"),
    }  # fmt: skip
    plan = compile_plan(depot, resolve_settings(depot, pretence.exports, {}))
    report = load(plan, f"sqlite:///{tmp_path}/store.db")
    assert [each.counts.inserted for each in report.streams] == [5, 5]


def test_given_settings_are_kept_and_named_again() -> None:
    depot = read_mapping(DEPOT.encode(), "depot.yaml")
    world = world_of(depot, {"zone": "Europe/Riga"}, records=1)
    assert world.plan.values["zone"] == "Europe/Riga"


def test_hints_are_what_the_mapping_checks() -> None:
    hints: Hints = hints_of(mapping())
    assert [type(each).__name__ for each in hints["sailors", "pay"]] == ["Min"]
