"""What the benchmark compares does the same job, and its page keeps what was measured before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from bench.__main__ import write
from bench.data import write_tasks
from bench.measure import ROOT, Usage
from bench.micro import casts
from bench.page import Remembered, remembered
from bench.runs import contacts, people, tasks
from bench.scenarios import Scenario
from bench.scripts import contacts as contacts_script
from bench.scripts import people as people_script
from bench.scripts import tasks as tasks_script
from bench.scripts.into import Rows, upsert
from bench.server import listening
from bench.stages import STAGES, load_all, planned
from bench.summary import aims, quoting

from crmmap.kinds.types import TYPES

COUNT = 230


def keys(file: Path, query: str) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return sorted(str(key) for (key,) in connection.execute(query))


def check_same_job(
    scenario: Scenario, key: str, columns: Iterable[str], batches: Iterable[Rows], folder: Path
) -> None:
    """The script writes every record once; crmmap does, or rejects it."""
    script, product = folder / "script.db", folder / "product.db"
    upsert(f"sqlite:///{script}", scenario.table, tuple(columns), batches)
    plan = planned(ROOT / "bench" / scenario.mapping, scenario.setting)
    seconds = load_all(plan, f"sqlite:///{product}", "run")
    wanted = keys(script, f"SELECT {key} FROM {scenario.table}")
    assert len(set(wanted)) == COUNT
    rejects = keys(product, "SELECT key FROM crmmap_rejects")
    rows = keys(product, f"SELECT {key} FROM {scenario.table}")
    assert sorted([*rows, *rejects]) == wanted
    assert set(seconds) == set(STAGES[1:])


def test_json_over_http(tmp_path: Path) -> None:
    with listening("contacts", COUNT) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        rows = contacts_script.batches(url)
        check_same_job(contacts(url, COUNT), "id", contacts_script.COLUMNS, rows, tmp_path)


def test_xml_over_http(tmp_path: Path) -> None:
    with listening("people", COUNT) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        rows = people_script.batches(url)
        check_same_job(people(url, COUNT), "id", people_script.NAMES, rows, tmp_path)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tasks.csv"
    write_tasks(file, COUNT)
    columns, rows = tasks_script.columns(str(file)), tasks_script.rows(str(file))
    check_same_job(tasks(file, COUNT), "task_id", columns, rows, tmp_path)


@pytest.mark.parametrize("again", ["growth", "http"])
def test_a_section_takes_the_place_of_its_last_measurement_alone(
    tmp_path: Path, again: str
) -> None:
    usage = {"wall": 2.0, "cpu": 1.5, "served": 0.5, "peak": 100.0}
    compared = {
        "scenario": "contacts", "store": "SQLite", "turn": "first", "records": 1000,
        "usages": {"crmmap": [usage], "script": [usage | {"cpu": 0.5}]},
    }  # fmt: skip
    grown = [
        {"scenario": "contacts", "records": records, "usage": usage} for records in (1000, 10_000)
    ]
    found = {"http": {"comparisons": [compared], "profiles": []}, "growth": grown}
    first, second = (
        {
            name: Remembered(
                when=when, command="python -m bench", machine="two cores", load=0.5,
                found=each,
            )
            for name, each in found.items()
        }
        for when in ("Monday", "Tuesday")
    )  # fmt: skip
    file = tmp_path / "results.json"
    write(first, file)
    write(remembered(file) | {again: second[again]}, file)
    page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert (page.count("*Monday, "), page.count("*Tuesday, ")) == (1, 1)
    assert "| 1,000 → SQLite | first run, 1 × | **crmmap** | 500 | 2.0 | 1.5 (1.5 to 1.5) |" in page
    assert "| 1.0 | **3.0** |" in page
    assert Usage(**json.loads(file.read_text())["growth"]["found"][0]["usage"]).peak == 100
    assert "3.0 × script" in (tmp_path / "cpu.svg").read_text(encoding="utf-8")


def test_what_was_aimed_at_is_said_to_be_met_or_missed() -> None:
    usage = {"wall": 2.0, "cpu": 1.0, "served": 0.0, "peak": 100.0}
    compared = [
        {
            "scenario": "contacts", "store": store, "turn": "first", "records": 1000,
            "usages": {"crmmap": [usage | {"cpu": cpu}], "script": [usage]},
        }
        for store, cpu in (("SQLite", 1.2), ("PostgreSQL", 1.3))
    ]  # fmt: skip
    grown = [
        {"scenario": "contacts", "records": records, "usage": usage | {"peak": peak}}
        for records, peak in ((100, 90.0), (1_000, 90.0), (10_000, 300.0), (100_000, 331.0))
    ]
    told = aims({"http": {"comparisons": compared, "profiles": []}, "growth": grown})
    sqlite, postgres, memory = told.splitlines()[-3:]
    assert sqlite.endswith("| 1.20 × | met |")
    assert postgres.endswith("| 1.30 × | **missed** |")
    assert memory.endswith("| 1.10 ×, 331 MiB | **missed** |")


def test_a_summary_takes_the_place_of_the_last_one_alone() -> None:
    once = quoting("# One\n<!-- measured -->\nold\n<!-- /measured -->\n## Two\n", "| new |")
    assert once == "# One\n<!-- measured -->\n| new |\n<!-- /measured -->\n## Two\n"
    assert quoting(once, "") == "# One\n<!-- measured -->\n\n<!-- /measured -->\n## Two\n"


def test_the_readme_has_a_place_for_the_summary() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert quoting(readme, "").count("measured -->") == 2


def test_the_speed_of_every_type_is_measured() -> None:
    speeds = dict(casts(values=10, rounds=1))
    assert {words.split(",")[0].split("(")[0] for words in speeds} == set(TYPES)
    assert min(speeds.values()) > 0
