"""`crmmap check`, `plan`, `mock`, `schema` and the package's public names."""

from __future__ import annotations

import csv
import json
import re
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from commands import API, PEOPLE, ROOT, Ran, command, crmmap, environment, write

BROKEN = PEOPLE.replace("key: id}", "key: idd}").replace("type: integer", "type: intger")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, people_yaml=PEOPLE, api_yaml=API, broken_yaml=BROKEN)
    return tmp_path


# --- check ----------------------------------------------------------------------------------------


def test_a_sound_mapping_is_passed_in_silence(folder: Path) -> None:
    assert crmmap(folder, "check", "people.yaml", "api.yaml") == Ran(0, "", "")


def test_problems_stand_one_per_line_with_their_places(folder: Path) -> None:
    ran = crmmap(folder, "check", "broken.yaml", "people.yaml", "missing.yaml")

    assert ran.code == 2
    assert ran.err == ""
    lines = ran.out.splitlines()
    assert all(re.match(r"(broken|missing)\.yaml:\d+:\d+: ", line) for line in lines)
    assert any("did you mean 'integer'" in line for line in lines)
    assert "missing.yaml:1:1: does not exist" in lines


def test_problems_as_json(folder: Path) -> None:
    ran = crmmap(folder, "check", "broken.yaml", "--json")

    assert ran.code == 2
    assert ran.json["status"] == "problems"
    assert {"file", "line", "column", "path", "rule", "message"} == set(ran.json["problems"][0])
    assert crmmap(folder, "check", "people.yaml", "--json").json == {"status": "ok", "problems": []}


def test_two_mappings_that_claim_one_name_or_table_are_a_problem_of_the_second(
    folder: Path,
) -> None:
    write(folder, twin_yaml=PEOPLE.replace("name: orders,", "name: others,"))

    ran = crmmap(folder, "check", "people.yaml", "twin.yaml")

    advice = "Give one of them another name, or load them into two stores"
    path = "streams.people.table.name"
    line = 1 + PEOPLE[: PEOPLE.index("table:")].count("\n")
    assert ran.out.splitlines() == [
        f"twin.yaml:3:7: name: 'people' is the name of people.yaml too. {advice}",
        f"twin.yaml:{line}:19: {path}: 'people' is a table of people.yaml too. {advice}",
    ]
    assert crmmap(folder, "run", "people.yaml", "twin.yaml").code == 2


# --- plan -----------------------------------------------------------------------------------------


def test_a_plan_says_what_a_run_would_do_without_any_setting(folder: Path) -> None:
    ran = crmmap(folder, "plan", "api.yaml")

    assert ran.code == 0
    assert "request   GET URL/notes" in ran.out
    assert "pages     token(token=next, param=after)" in ran.out
    assert re.search(r"^   id +text +id +compiled +required +reject$", ran.out, re.MULTILINE)
    assert re.search(r"^   text +text +to_string\(body\) +(comp|exact: )", ran.out, re.MULTILINE)


def test_a_plan_says_why_a_stream_comes_after_another(folder: Path) -> None:
    ran = crmmap(folder, "plan", "people.yaml", "--set", "people=x/people.csv")

    assert "   after     people, which it needs" in ran.out
    assert "   file      x/people.csv" in ran.out
    assert "people.id, else stub" in ran.out
    assert ran.out.index("1. people") < ran.out.index("2. orders")


def test_a_plan_as_json_shows_no_secret(folder: Path) -> None:
    ran = crmmap(folder, "plan", "api.yaml", "--json", "--set", "token=canary-secret-7731")

    stream = ran.json["streams"][0]
    assert ran.json["sources"]["source"]["auth"] == "bearer"
    assert stream["request"]["method"] == "GET"
    assert [each["selected"] for each in stream["fields"]] == ["compiled", "compiled"]
    assert "canary" not in ran.out


def test_the_ddl_can_be_run_and_leaves_no_file(folder: Path) -> None:
    import sqlite3

    ran = crmmap(folder, "plan", "people.yaml", "--ddl")

    assert not list(folder.glob("*.db"))
    database = sqlite3.connect(":memory:")
    database.executescript(ran.out)
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert {"people", "orders", "crmmap_rejects"} <= tables


def test_a_plan_is_printed_as_sql_or_as_json(folder: Path) -> None:
    ran = crmmap(folder, "plan", "people.yaml", "--ddl", "--json")

    assert ran.code == 2
    assert ran.out == ""
    assert "--ddl prints SQL and --json prints JSON. Give one of them" in ran.err


def test_a_plan_names_types_as_they_are_declared(folder: Path) -> None:
    types = ("decimal(12,2)", "decimal(14,3)", "decimal", "text(40)", "{kind: phone, region: DE}",
             "{kind: decimal, precision: 9, round: half_up}")  # fmt: skip
    fields = "".join(
        f"      f{place}: {{from: f{place}, type: {each if each[0] == '{' else repr(each)}}}\n"
        for place, each in enumerate(types)
    )
    write(folder, typed_yaml=f"{API}{fields}")

    ran = crmmap(folder, "plan", "typed.yaml", "--json")

    assert [each["type"] for each in ran.json["streams"][0]["fields"]][2:] == [
        "decimal(12,2)", "decimal(14,3)", "decimal", "text(40)", "phone(region=DE)",
        "decimal(9,2, round=half_up)",
    ]  # fmt: skip


# --- mock -----------------------------------------------------------------------------------------


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A mock that serves, and what it has said."""
    process = subprocess.Popen(
        command("mock", "api.yaml", "--records", "7", "--dirty", "0"), cwd=folder,
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        said = ""
        while "Ctrl-C ends it" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        yield process, said
    finally:
        process.kill()
        process.communicate()


def test_a_mock_says_how_a_real_run_reads_from_it(served, folder: Path) -> None:
    process, said = served
    exports = dict(re.findall(r"export (\w+)=(\S+)", said))

    ran = crmmap(folder, "run", "api.yaml", "--json", "-q", env=exports)
    process.send_signal(signal.SIGINT)

    assert ran.code == 0
    assert ran.json["counts"]["inserted"] == 7
    assert "GET /notes" in said
    assert process.wait(timeout=30) == 0


def test_a_mock_of_files_writes_them(folder: Path) -> None:
    ran = crmmap(folder, "mock", "people.yaml", "--records", "5", "--dirty", "0", "--folder", "x y")

    assert ran.code == 0
    with (folder / "x y" / "people.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 5
    assert "export PEOPLE_FILE='x y/people.csv'" in ran.out
    assert "crmmap run people.yaml" in ran.out


def test_a_run_against_the_mock_needs_no_setting_and_is_the_same_on_both_paths(
    folder: Path,
) -> None:
    words = ("--mock", "--records", "40", "--dirty", "50", "-q", "--store")
    first = crmmap(folder, "run", "api.yaml", *words, "sqlite:///a.db", "--json")
    second = crmmap(
        folder, "run", "api.yaml", *words, "sqlite:///b.db", "--json", env={"CRMMAP_EXACT": "1"}
    )

    assert first.code == 0
    assert first.json["counts"]["rejected"] > 0
    assert first.json["counts"] == second.json["counts"]
    fetched = first.json["counts"]["fetched"]
    assert first.json["streams"][0]["paths"]["compiled"] > 0.8 * fetched
    assert second.json["streams"][0]["paths"] == {"compiled": 0, "exact": fetched}
    for asked in ("id, text FROM api_notes", "page, at, reasons, raw FROM crmmap_rejects"):
        one, other = (
            _rows(folder / name, f"SELECT {asked} ORDER BY 1, 2") for name in ("a.db", "b.db")
        )
        assert one == other


def _rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


# --- schema and the package -----------------------------------------------------------------------


def test_the_schema_is_printed_as_it_is_committed(folder: Path) -> None:
    from crmmap.spec import mapping_schema

    ran = crmmap(folder, "schema")

    assert ran.json == mapping_schema()
    assert ran.out == json.dumps(ran.json, indent=2, ensure_ascii=False) + "\n"


def test_the_package_reads_compiles_and_runs(folder: Path) -> None:
    (folder / "people.csv").write_text("id,email,age\n1,a@example.com,3\n")
    program = """if True:
        import json, crmmap
        plan = crmmap.compile(crmmap.read("people.yaml"), {"people": "people.csv"})
        reports = [crmmap.run(plan, "sqlite:///x.db") for _ in range(2)]
        assert all(isinstance(each, crmmap.RunReport) for each in reports)
        print(json.dumps([[each.counts.inserted, each.counts.unchanged] for each in reports]))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment(), capture_output=True,
        text=True, check=True,
    )  # fmt: skip

    assert json.loads(done.stdout) == [[1, 0], [0, 1]]


def test_the_public_names() -> None:
    import crmmap as package

    names = {"CrmmapError", "Mapping", "Plan", "RunReport", "__version__", "compile", "read", "run"}
    assert set(package.__all__) == names
    assert all(hasattr(package, name) for name in names)
    assert not hasattr(package, "nothing")


def test_the_version_is_the_distributions() -> None:
    import crmmap as package

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == package.__version__
